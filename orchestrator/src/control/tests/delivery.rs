//! What the broker does not take, or not in time.

use super::*;

#[test]
fn a_broker_whose_heartbeats_do_not_come_back_is_away() {
    let mut world = World::with(&["a"]);
    world.create("t");
    world.pass(10_000);
    world.event(Event::Tick);
    let Some(Reply::Refused(Refusal::BrokerAway(reason))) = world.trigger("t") else {
        panic!("{:?}", world.replies);
    };
    assert!(reason.contains("silent for 10 s"), "{reason}");
}

#[test]
fn a_stop_that_cannot_reach_the_drivers_is_refused() {
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.create("waiting");
    world.pulse();
    world.pass(10_000);
    world.event(Event::Tick);
    let reply = world.stop("t");
    assert!(
        matches!(reply, Some(Reply::Refused(Refusal::BrokerAway(_)))),
        "{reply:?}"
    );
    world.pulse();
    assert_eq!(world.phase("t"), Phase::Running, "nothing was done");
    assert_eq!(world.triggers().len(), 1);
    world.pass(10_000);
    world.event(Event::Tick);
    let reply = world.stop("waiting");
    assert!(matches!(reply, Some(Reply::Stopped { .. })), "{reply:?}");
}

#[test]
fn a_test_that_no_broker_takes_is_refused_or_fails_and_is_not_tried_for_ever() {
    let mut world = World::with(&["a"]);
    let mut long = workload();
    long.request.body = vec![b'a'; MESSAGE_LEN_MAX];
    let create = |test_id: &str, workload: &Workload| Command::Create {
        test_id: test_id.into(),
        workload: Box::new(workload.clone()),
        queue: false,
    };
    let reply = world.command(create("t", &long));
    assert!(
        matches!(reply, Some(Reply::Refused(Refusal::TooLong(_)))),
        "{reply:?}"
    );
    world.create("u");
    let token = world.published.last().unwrap().token;
    world.event(Event::Delivered(token, Err(BusError::TooLarge)));
    assert_eq!(world.phase("u"), Phase::Failed);
    assert!(
        world.reason("u").contains("TooLarge"),
        "{}",
        world.reason("u")
    );
    assert_eq!(world.seen().outbox_len, 0);
}

#[test]
fn a_start_that_the_broker_refuses_for_good_ends_the_run_with_that_reason() {
    let mut world = World::with(&["a"]);
    world.create("t");
    world.beat("a", NodeState::Ready, Some("t"));
    world.trigger("t");
    let token = world.published.last().unwrap().token;
    let topic = "trigger".to_owned();
    world.event(Event::Delivered(token, Err(BusError::Forbidden { topic })));
    assert_eq!(world.phase("t"), Phase::Failed);
    let reason = world.reason("t");
    assert!(
        reason.contains("--operation Write --topic trigger"),
        "{reason}"
    );
    assert!(!world.seen().active.contains(&"t".to_owned()));
}

#[test]
fn a_start_that_the_broker_has_not_taken_when_it_comes_ends_the_run_and_stops_the_drivers() {
    let mut world = World::with(&["a"]);
    world.create("t");
    world.deliver();
    world.beat("a", NodeState::Ready, Some("t"));
    world.trigger("t");
    world.pass(200);
    world.event(Event::Tick);
    assert_eq!(world.phase("t"), Phase::Armed);
    world.pass(2_000);
    world.event(Event::Tick);
    assert_eq!(world.phase("t"), Phase::Failed);
    let reason = world.reason("t");
    assert!(
        reason.contains("had not taken its message on trigger"),
        "{reason}"
    );
    let kinds: Vec<TriggerKind> = world.triggers().iter().map(|t| t.trigger).collect();
    assert_eq!(kinds, [TriggerKind::Start, TriggerKind::Stop]);
    // A driver that follows shows that it was taken, whatever the broker says.
    let mut world = World::with(&["a"]);
    world.create("t");
    world.deliver();
    world.beat("a", NodeState::Ready, Some("t"));
    world.trigger("t");
    world.beat("a", NodeState::Armed, Some("t"));
    world.pulse();
    assert_eq!(world.phase("t"), Phase::Running);
}
