//! Lost drivers, late reports, other logs, deaths.

use super::*;

const RUNNING: NodeState = NodeState::Running;

#[test]
fn a_lost_driver_leaves_a_partial_result_and_its_late_reports_count() {
    let mut world = World::with(&["a", "b"]);
    world.run("t", &["a", "b"]);
    world.report(interval("b", "t", 0));
    whole("a", "t")
        .into_iter()
        .for_each(|message| world.report(message));
    world.seconds(11, &[("a", NodeState::Idle, None)]);
    assert_eq!(world.phase("t"), Phase::Partial);
    assert!(
        world.reason("t").contains("b: lost: no heartbeat"),
        "{}",
        world.reason("t")
    );
    assert_eq!(world.result()["ok"], 30);
    assert_eq!(world.result()["coverage"]["unfinished_nodes"][0], "b");
    world.report(interval("b", "t", 1));
    assert_eq!(world.result()["ok"], 40, "a late report counts");
    world.report(interval("b", "t", 1));
    assert_eq!(world.results.len(), 2, "once");
    world.report(last("b", "t", Outcome::Done));
    assert!(world.state.row("t").unwrap().is_complete);
    assert_eq!(world.phase("t"), Phase::Partial, "an end is an end");
}

#[test]
fn a_run_whose_drivers_all_vanish_ends() {
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.seconds(11, &[]);
    assert_eq!(world.phase("t"), Phase::Failed, "nothing was reported");
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.report(interval("a", "t", 0));
    world.seconds(11, &[]);
    assert_eq!(world.phase("t"), Phase::Partial);
}

#[test]
fn a_driver_that_forgot_the_run_is_not_awaited_for_ever() {
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.seconds(14, &[("a", NodeState::Idle, None)]);
    assert_eq!(world.phase("t"), Phase::Running);
    world.seconds(3, &[("a", NodeState::Idle, None)]);
    assert!(world.phase("t").has_ended(), "{:?}", world.phase("t"));
    assert!(
        world.reason("t").contains("does not know this run"),
        "{}",
        world.reason("t")
    );
}

#[test]
fn a_driver_that_does_not_obey_a_stop_is_not_awaited_for_ever() {
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.stop("t");
    world.seconds(91, &[("a", RUNNING, Some("t"))]);
    assert_eq!(world.phase("t"), Phase::Aborted);
    assert!(
        world.reason("t").contains("did not report its end"),
        "{}",
        world.reason("t")
    );
}

#[test]
fn an_outage_of_the_broker_loses_nobody() {
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.seconds(2, &[("a", RUNNING, Some("t"))]);
    world.now_ms += 60_000;
    world.seconds(2, &[("a", RUNNING, Some("t"))]);
    assert_eq!(world.phase("t"), Phase::Running);
    whole("a", "t")
        .into_iter()
        .for_each(|message| world.report(message));
    assert_eq!(world.phase("t"), Phase::Done);
}

#[test]
fn failed_parts_make_a_run_partial_or_failed() {
    for (outcomes, phase) in [
        ([Outcome::Done, Outcome::Failed], Phase::Partial),
        ([Outcome::Failed, Outcome::Missed], Phase::Failed),
        ([Outcome::Done, Outcome::Aborted], Phase::Partial),
    ] {
        let mut world = World::with(&["a", "b"]);
        world.run("t", &["a", "b"]);
        world.report(last("a", "t", outcomes[0]));
        world.report(last("b", "t", outcomes[1]));
        assert_eq!(world.phase("t"), phase, "{outcomes:?}");
        assert!(!world.reason("t").is_empty());
    }
}

#[test]
fn a_driver_that_joins_late_is_no_part_of_the_run() {
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.beat("late", NodeState::Idle, None);
    whole("a", "t")
        .into_iter()
        .for_each(|message| world.report(message));
    assert_eq!(world.phase("t"), Phase::Done);
    assert_eq!(world.result()["coverage"]["nodes_expected"], 1);
    world.run("u", &["a", "late"]);
    assert_eq!(
        world.state.row("u").unwrap().nodes,
        2,
        "of the next one it is"
    );
}

#[test]
fn a_kill_at_any_step_changes_no_result() {
    let steps = |world: &mut World, restart_at: usize| {
        let mut step = 0;
        let mut then = |world: &mut World| {
            if step == restart_at {
                world.restart();
            }
            step += 1;
        };
        world.run("t", &["a", "b"]);
        then(world);
        for node in ["a", "b"] {
            for message in whole(node, "t") {
                world.report(message);
                then(world);
            }
        }
        (world.phase("t"), world.results.clone())
    };
    let undisturbed = steps(&mut World::with(&["a", "b"]), usize::MAX);
    assert_eq!(undisturbed.0, Phase::Done);
    for restart_at in 0..7 {
        assert_eq!(
            steps(&mut World::with(&["a", "b"]), restart_at),
            undisturbed,
            "{restart_at}"
        );
    }
}

#[test]
fn a_restart_gives_drivers_time_to_be_heard_of_again() {
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.now_ms += 120_000;
    world.restart();
    world.seconds(5, &[]);
    assert_eq!(world.phase("t"), Phase::Running);
    world.seconds(6, &[]);
    assert_eq!(world.phase("t"), Phase::Failed);
}

#[test]
fn after_a_restart_drivers_are_suspect_until_heard_and_a_start_waits_for_them() {
    let mut world = World::with(&["a", "b"]);
    world.create("t");
    world.restart();
    let states = |world: &World| -> Vec<&str> {
        let rows = world.state.nodes(world.now());
        rows.iter().map(|row| row.state.name()).collect()
    };
    assert_eq!(states(&world), ["suspect", "suspect"]);
    assert_eq!(world.trigger("t"), None);
    world.beat("a", NodeState::Ready, Some("t"));
    assert_eq!(states(&world), ["up", "suspect"]);
    assert!(world.triggers().is_empty(), "b is awaited");
    world.beat("b", NodeState::Ready, Some("t"));
    let participants = world.triggers().pop().unwrap().participants;
    assert_eq!(participants.unwrap(), ["a", "b"]);
}

#[test]
fn the_age_of_a_heartbeat_is_told_by_our_clock() {
    let mut world = World::with(&["a"]);
    let ahead = Now {
        unix_ms: world.now_ms + 3_600_000,
        ..world.now()
    };
    let beat = heartbeat("a", Some(NodeState::Idle), None);
    world.state.apply(Event::Heartbeat(beat), ahead);
    world.now_ms += 7_000;
    let age_s = world.state.nodes(world.now())[0].heartbeat_age_s;
    assert_eq!(age_s, Some(7.0), "its own clock is an hour ahead");
}

#[test]
fn what_waits_is_sent_again_until_the_broker_has_it() {
    let mut world = World::with(&["a"]);
    world.create("t");
    let token = world.published.last().unwrap().token;
    let copies = |world: &World| world.published.iter().filter(|m| m.token == token).count();
    assert_eq!(copies(&world), 1);
    world.event(Event::Delivered(token, Err(BusError::QueueFull)));
    world.pulse();
    world.pulse();
    assert_eq!(copies(&world), 2);
    world.connect("another");
    world.pulse();
    assert_eq!(copies(&world), 3, "another log has none of it");
    world.event(Event::Delivered(token, Ok(())));
    world.pulse();
    assert_eq!(copies(&world), 3);
    assert_eq!(world.state.outbox_len(), 0);
}

#[test]
fn a_log_that_the_store_does_not_know_gives_the_same_run() {
    let mut world = World::with(&["a"]);
    // Topics have no common order: the reports may be read first.
    for message in whole("a", "t") {
        world.report(message);
    }
    world.event(Event::Trigger(start("t", &["a"])));
    assert_eq!(world.state.orphans_len(), 4);
    world.event(Event::Config(Box::new(config("t"))));
    assert_eq!(world.phase("t"), Phase::Done);
    assert_eq!(world.result()["ok"], 20);
    assert_eq!(world.state.orphans_len(), 0);
}

#[test]
fn a_store_that_is_full_refuses_new_tests_and_lets_the_running_go_on() {
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.event(Event::Store(Err("disk full".into())));
    let create = Command::Create {
        test_id: "u".into(),
        workload: Box::new(workload()),
        queue: false,
    };
    let reply = world.command(create);
    assert_eq!(
        reply,
        Some(Reply::Refused(Refusal::StoreAway("disk full".into())))
    );
    whole("a", "t")
        .into_iter()
        .for_each(|message| world.report(message));
    assert_eq!(world.phase("t"), Phase::Done);
    let held = |world: &mut World| {
        let (result, _) = world.state.result("t", 0, world.now())?;
        Some((result.state.clone(), world.state.detail("t").is_some()))
    };
    let expected = Some(("done".to_owned(), true));
    assert_eq!(held(&mut world), expected, "it is nowhere else");
    world.event(Event::Store(Ok(())));
    assert_eq!(held(&mut world), None, "the store has it");
}
