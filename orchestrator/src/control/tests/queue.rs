//! Triggers that wait: for ready drivers, and for each other.

use super::*;

#[test]
fn a_queued_test_starts_when_the_drivers_are_free() {
    let mut world = World::with(&["a"]);
    world.run("one", &["a"]);
    world.create("two");
    let reply = world.command(Command::Trigger {
        test_id: "two".into(),
        queue: true,
    });
    assert!(
        matches!(reply, Some(Reply::Queued { position: 1, .. })),
        "{reply:?}"
    );
    whole("a", "one")
        .into_iter()
        .for_each(|message| world.report(message));
    world.pulse();
    world.beat("a", NodeState::Ready, Some("two"));
    assert_eq!(world.phase("two"), Phase::Armed);
    let row = world.state.list.get("two").unwrap();
    assert!(!row.queued, "it is not in the queue any more");
}

#[test]
fn a_queued_test_waits_as_long_as_the_drivers_are_not_ready_for_it() {
    let mut world = World::with(&["a"]);
    world.run("one", &["a"]);
    world.create("two");
    world.command(Command::Trigger {
        test_id: "two".into(),
        queue: true,
    });
    whole("a", "one")
        .into_iter()
        .for_each(|message| world.report(message));
    world.seconds(12, &[("a", NodeState::Preparing, Some("two"))]);
    assert_eq!(world.phase("two"), Phase::Created);
    assert!(world.state.list.get("two").unwrap().queued);
    world.beat("a", NodeState::Ready, Some("two"));
    assert_eq!(world.phase("two"), Phase::Armed);
}

#[test]
fn a_queued_test_that_never_gets_ready_is_skipped_and_blocks_nobody() {
    let mut world = World::with(&["a"]);
    world.run("one", &["a"]);
    for id in ["two", "three"] {
        world.create(id);
        world.command(Command::Trigger {
            test_id: id.into(),
            queue: true,
        });
    }
    let place = |world: &World, id: &str| {
        let row = world.state.list.get(id).unwrap();
        (
            row.queue_position,
            row.queue_reason.clone().unwrap_or_default(),
        )
    };
    assert_eq!(place(&world, "two"), (Some(1), "waits for test one".into()));
    assert_eq!(
        place(&world, "three"),
        (Some(2), "1 test is before it".into())
    );
    whole("a", "one")
        .into_iter()
        .for_each(|message| world.report(message));
    let stuck = [("a", NodeState::Preparing, Some("other"))];
    world.seconds(6, &stuck);
    let (_, why) = place(&world, "two");
    assert!(why.contains("a: Preparing for other"), "{why}");
    world.create("four");
    assert_eq!(world.trigger("four"), None, "nobody is in its way");
    let refusal = Refusal::GettingReady {
        test_id: "four".into(),
    };
    world.create("five");
    assert_eq!(world.trigger("five"), Some(Reply::Refused(refusal)));
    world.seconds(40, &stuck);
    let row = world.state.list.get("two").unwrap();
    assert!(!row.queued && row.state == Phase::Created, "{row:?}");
    let reason = row.reason.clone().unwrap();
    assert!(reason.starts_with("skipped in the queue"), "{reason}");
    assert_eq!(place(&world, "three").0, Some(1));
    world.beat("a", NodeState::Ready, Some("three"));
    world.event(Event::Tick);
    assert_eq!(world.phase("three"), Phase::Armed);
    assert_eq!(world.reason("three"), "");
}

#[test]
fn a_trigger_whose_client_was_told_to_come_again_starts_nothing() {
    let mut world = World::with(&["a"]);
    world.create("t");
    assert_eq!(world.trigger("t"), None);
    world.event(Event::ClientGone(2));
    world.beat("a", NodeState::Ready, Some("t"));
    assert_eq!(world.phase("t"), Phase::Configured);
    assert!(matches!(world.trigger("t"), Some(Reply::Triggered { .. })));
}

#[test]
fn a_trigger_waits_its_time_whatever_the_clock_is_set_to() {
    let mut world = World::with(&["a"]);
    world.create("t");
    assert_eq!(world.trigger("t"), None);
    world.now_ms -= 3_600_000;
    world.seconds(6, &[("a", NodeState::Preparing, Some("t"))]);
    let reply = world.reply(2);
    assert!(
        matches!(reply, Some(Reply::Refused(Refusal::NotReady(_)))),
        "{reply:?}"
    );
}
