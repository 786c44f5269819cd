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
    assert_eq!(world.triggers().len(), 1);
    assert_eq!(world.stops(), ["t"]);
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

#[test]
fn a_start_of_twenty_thousand_is_one_trigger_and_chunks_that_each_fit() {
    let ids: Vec<String> = (0..20_000)
        .map(|n| format!("driver-of-a-pod-with-a-long-name-in-a-namespace-{n:05}"))
        .collect();
    let drivers: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut world = World::with(&drivers);
    world.run("t", &drivers);
    let starts = world.triggers();
    assert_eq!(starts.len(), 1, "others take anything on it for a start");
    assert_eq!(starts[0].n, Some(20_000));
    let mut all = starts[0].participants.clone().unwrap();
    for message in &world.published {
        assert!(message.payload.len() < MESSAGE_LEN_MAX);
        if message.topic != Topic::Control || message.token == PULSE_TOKEN {
            continue;
        }
        let control: message::Control = proto::codec::decode(&mut message.payload.clone()).unwrap();
        if let Order::Participants {
            first,
            participants,
            ..
        } = control.order
        {
            assert_eq!(first, all.len() as u64);
            all.extend(participants);
        }
    }
    assert_eq!(all, ids);
    // A store that does not know them reads the same from the topics.
    let mut other = World::with(&drivers);
    other.event(Event::Config(Box::new(config("t"))));
    other.event(Event::Trigger(starts[0].clone()));
    let control = world
        .published
        .iter()
        .filter(|message| message.topic == Topic::Control && message.token != PULSE_TOKEN);
    for message in control {
        let control = proto::codec::decode(&mut message.payload.clone()).unwrap();
        other.event(Event::Control(control));
    }
    assert_eq!(other.seen().row("t").unwrap().nodes, 20_000);
}
