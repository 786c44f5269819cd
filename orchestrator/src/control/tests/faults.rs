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
    assert!(world.state.list.get("t").unwrap().is_complete);
    assert_eq!(world.phase("t"), Phase::Partial, "an end is an end");
}

#[test]
fn a_driver_that_was_lost_and_failed_is_one() {
    let mut world = World::with(&["a", "b"]);
    world.run("t", &["a", "b"]);
    world.report(interval("a", "t", 0));
    world.seconds(11, &[("a", RUNNING, Some("t"))]);
    world.report(last("b", "t", Outcome::Failed));
    world.report(last("a", "t", Outcome::Done));
    world.pulse();
    assert_eq!(world.phase("t"), Phase::Partial, "{}", world.reason("t"));
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
    world.pass(60_000);
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
        world.state.list.get("u").unwrap().nodes,
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
    world.pass(120_000);
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
    let states = |world: &mut World| -> Vec<&str> {
        let rows = world.seen().nodes(world.now());
        rows.iter().map(|row| row.state).collect()
    };
    assert_eq!(states(&mut world), ["suspect", "suspect"]);
    assert_eq!(world.trigger("t"), None);
    world.beat("a", NodeState::Ready, Some("t"));
    assert_eq!(states(&mut world), ["up", "suspect"]);
    assert!(world.triggers().is_empty(), "b is awaited");
    world.beat("b", NodeState::Ready, Some("t"));
    let participants = world.triggers().pop().unwrap().participants;
    assert_eq!(participants.unwrap(), ["a", "b"]);
}

#[test]
fn the_age_of_a_heartbeat_is_told_by_our_clock() {
    let mut world = World::with(&["a"]);
    let mut beat = heartbeat("a", Some(NodeState::Idle), None);
    beat.timestamp = Some((world.now_ms + 3_600_000).to_string());
    world.event(Event::Heartbeat(beat));
    world.pass(7_000);
    let age_s = world.seen().nodes(world.now())[0].heartbeat_age_s;
    assert_eq!(age_s, Some(7.0), "its own clock is an hour ahead");
}

/// A run on one driver, with what `set` does to the clocks in the middle of it; its row.
fn run_with(set: impl Fn(&mut World)) -> TestRow {
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.seconds(3, &[("a", RUNNING, Some("t"))]);
    set(&mut world);
    world.seconds(3, &[("a", RUNNING, Some("t"))]);
    assert_eq!(world.phase("t"), Phase::Running, "nobody was lost by it");
    whole("a", "t")
        .into_iter()
        .for_each(|message| world.report(message));
    assert_eq!(world.phase("t"), Phase::Done);
    world.state.list.get("t").unwrap().as_ref().clone()
}

#[test]
fn a_step_of_our_wall_clock_moves_no_deadline_and_no_run_backwards() {
    let hour_ms = 3_600_000;
    for back in [false, true] {
        let row = run_with(|world| {
            world.now_ms = if back {
                world.now_ms - hour_ms
            } else {
                world.now_ms + hour_ms
            };
        });
        assert!(row.ended_unix_ms >= row.started_unix_ms, "{row:?}");
    }
    // What is computed from it says so too: the clocks of the drivers are measured anew.
    let mut world = World::with(&["a"]);
    world.now_ms -= hour_ms;
    world.event(Event::Tick);
    assert!(world.seen().broker.trouble.is_none());
    let is_told = |line: &Line| matches!(line, Line::Event(_, "clock_set", _));
    assert!(world.lines.iter().any(is_told));
}

#[test]
fn the_drivers_clocks_are_no_time_of_ours() {
    let row = run_with(|world| {
        let mut beat = heartbeat("a", Some(RUNNING), Some("t"));
        beat.timestamp = Some((world.now_ms + 108_000_000).to_string());
        world.event(Event::Heartbeat(beat));
    });
    let length_ms = row.ended_unix_ms.unwrap() - row.started_unix_ms.unwrap();
    assert!((4_000..8_000).contains(&length_ms), "{length_ms} ms");
}

#[test]
fn late_reports_of_many_are_one_write_a_turn() {
    let mut world = World::with(&["a", "b"]);
    world.run("t", &["a", "b"]);
    world.report(interval("a", "t", 0));
    world.seconds(11, &[]);
    assert_eq!(world.phase("t"), Phase::Partial);
    world.event(Event::Store(Ok(())));
    let before = world.results.len();
    for sequence in 1..30 {
        for node in ["a", "b"] {
            let message = interval(node, "t", sequence);
            let payload = proto::codec::encode(&message);
            world.event(Event::Metrics(Box::new(message), payload));
        }
    }
    assert_eq!(world.results.len(), before);
    world.event(Event::Tick);
    assert_eq!(world.results.len(), before + 1);
    assert_eq!(world.result()["ok"], 590);
    world.event(Event::Tick);
    assert_eq!(world.results.len(), before + 1, "nothing came");
}

#[test]
fn a_lost_driver_says_since_when_and_what_it_owes() {
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.report(interval("a", "t", 0));
    world.seconds(11, &[]);
    let reason = world.reason("t");
    assert!(reason.contains("no heartbeat since 22:13:2"), "{reason}");
    assert!(
        reason.contains("10 of its 20 requests are unknown"),
        "{reason}"
    );
}

#[test]
fn a_driver_that_a_start_does_not_wait_for_is_named() {
    let mut world = World::with(&["a", "b"]);
    world.seconds(4, &[("a", NodeState::Idle, None)]);
    world.run("t", &["a"]);
    let detail = world.seen().detail("t").unwrap();
    let why = &detail.excluded["b"];
    assert!(why.starts_with("suspect, no heartbeat since"), "{why}");
}

#[test]
fn a_state_that_only_others_have_excludes_nobody() {
    let mut world = World::with(&[]);
    let mut beat = heartbeat("f", Some(NodeState::Unknown), None);
    world.event(Event::Heartbeat(beat.clone()));
    world.create("t");
    assert!(matches!(world.trigger("t"), Some(Reply::Triggered { .. })));
    beat.node_id = "ours, of a later version".into();
    beat.incarnation = Some(1);
    world.event(Event::Heartbeat(beat));
    let row = &world.seen().nodes(world.now())[1];
    assert_eq!(row.activity, Some(NodeState::Unknown));
}

#[test]
fn what_a_driver_could_not_prepare_is_not_shown_for_ever() {
    let mut world = World::with(&["a"]);
    world.create("t");
    world.trigger("t");
    world.beat("a", NodeState::Failed, Some("t"));
    assert_eq!(world.phase("t"), Phase::Failed);
    world.beat("a", NodeState::Failed, Some("t"));
    let rows = world.seen().nodes(world.now());
    assert_eq!(rows[0].activity, Some(NodeState::Idle));
}

#[test]
fn five_thousand_drivers_run_one_test() {
    let ids: Vec<String> = (0..5000).map(|n| format!("driver-{n:04}")).collect();
    let drivers: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut world = World::with(&[]);
    drivers
        .iter()
        .for_each(|id| world.beat(id, NodeState::Idle, None));
    world.pulse();
    world.run("t", &drivers);
    for state in [NodeState::Armed, RUNNING, RUNNING, NodeState::Draining] {
        drivers
            .iter()
            .for_each(|id| world.beat(id, state, Some("t")));
        world.pulse();
    }
    assert_eq!(world.phase("t"), Phase::Draining);
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
    assert_eq!(world.seen().outbox_len, 0);
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
        let seen = world.seen();
        let result = seen.run("t")?.result();
        Some((result.state, seen.detail("t").is_some()))
    };
    let expected = Some(("done".to_owned(), true));
    assert_eq!(held(&mut world), expected, "it is nowhere else");
    world.event(Event::Store(Ok(())));
    assert_eq!(held(&mut world), None, "the store has it");
}
