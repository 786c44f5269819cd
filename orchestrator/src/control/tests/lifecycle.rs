//! Runs that go as they should, and commands that cannot be done.

use super::*;

#[test]
fn a_run_goes_from_creation_to_its_result() {
    let mut world = World::with(&["a", "b"]);
    world.create("t");
    assert_eq!(world.phase("t"), Phase::Created);
    world.beat("a", NodeState::Ready, Some("t"));
    assert_eq!(world.phase("t"), Phase::Created, "b is not ready yet");
    world.beat("b", NodeState::Ready, Some("t"));
    assert_eq!(world.phase("t"), Phase::Configured);
    let Some(Reply::Triggered {
        start_at_unix_ns,
        participants,
        ..
    }) = world.trigger("t")
    else {
        panic!("not armed: {:?}", world.replies);
    };
    assert_eq!(participants, ["a", "b"]);
    assert_eq!(start_at_unix_ns, (world.now_ms + 300) * 1_000_000);
    let trigger = world.triggers().pop().unwrap();
    assert_eq!(trigger.start_at_unix_ns, Some(start_at_unix_ns));
    assert_eq!(trigger.participants, Some(participants));
    world.deliver();
    world.pulse();
    assert_eq!(world.phase("t"), Phase::Running);
    for node in ["a", "b"] {
        whole(node, "t")
            .into_iter()
            .for_each(|message| world.report(message));
    }
    assert_eq!(world.phase("t"), Phase::Done);
    let result = world.result();
    assert_eq!(
        (&result["ok"], &result["planned"]),
        (&40.into(), &40.into())
    );
    assert_eq!(result["accounting"]["holds"], true);
    assert_eq!(world.reason("t"), "");
}

#[test]
fn a_trigger_right_after_the_creation_waits_for_the_drivers() {
    let mut world = World::with(&["a", "b"]);
    world.create("t");
    assert_eq!(world.trigger("t"), None, "nobody is ready");
    world.beat("a", NodeState::Ready, Some("t"));
    assert!(world.triggers().is_empty(), "b is awaited");
    world.beat("b", NodeState::Ready, Some("t"));
    assert!(matches!(
        world.replies.last(),
        Some((_, Reply::Triggered { .. }))
    ));
}

#[test]
fn after_five_seconds_those_that_are_ready_start() {
    let mut world = World::with(&["a", "b"]);
    world.create("t");
    world.trigger("t");
    let states = [
        ("a", NodeState::Ready, Some("t")),
        ("b", NodeState::Preparing, Some("t")),
    ];
    world.seconds(5, &states);
    let trigger = world.triggers().pop().unwrap();
    assert_eq!(trigger.participants.unwrap(), ["a"]);
    let detail = world.seen().detail("t").unwrap();
    assert!(
        detail.excluded["b"].contains("not ready in time"),
        "{:?}",
        detail.excluded
    );
}

#[test]
fn drivers_that_prepared_another_test_get_the_config_again() {
    let mut world = World::with(&["a"]);
    world.create("one");
    world.create("two");
    world.event(Event::Delivered(1, Ok(())));
    world.event(Event::Delivered(2, Ok(())));
    world.beat("a", NodeState::Ready, Some("two"));
    world.trigger("one");
    let configs = world
        .published
        .iter()
        .filter(|m| m.topic == Topic::TestConfig && m.key == "one");
    assert_eq!(configs.count(), 2);
}

#[test]
fn nobody_who_can_prepare_it_fails_the_run_at_once_with_the_reason() {
    let mut world = World::with(&["a", "b"]);
    world.create("t");
    world.trigger("t");
    world.beat("a", NodeState::Failed, Some("t"));
    world.beat("b", NodeState::Failed, Some("t"));
    let Some((_, Reply::Refused(Refusal::CannotPrepare(reason)))) = world.replies.last() else {
        panic!("{:?}", world.replies);
    };
    assert!(reason.contains("a: connection refused"), "{reason}");
    assert_eq!(world.phase("t"), Phase::Failed);
    assert_eq!(&world.reason("t"), reason);
}

#[test]
fn a_driver_that_cannot_prepare_it_is_excluded_and_named() {
    let mut world = World::with(&["a", "b"]);
    world.create("t");
    world.trigger("t");
    world.beat("a", NodeState::Failed, Some("t"));
    world.beat("b", NodeState::Ready, Some("t"));
    assert_eq!(world.triggers().pop().unwrap().participants.unwrap(), ["b"]);
    whole("b", "t")
        .into_iter()
        .for_each(|message| world.report(message));
    assert_eq!(world.phase("t"), Phase::Done);
    assert_eq!(world.reason("t"), "a: took no part: connection refused");
}

#[test]
fn what_cannot_be_done_is_refused_in_words() {
    let refused = |reply| match reply {
        Some(Reply::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let mut world = World::with(&[]);
    assert_eq!(
        refused(world.trigger("x")),
        Refusal::UnknownTest("x".into())
    );
    assert_eq!(refused(world.stop("x")), Refusal::UnknownTest("x".into()));
    world.create("t");
    assert_eq!(refused(world.trigger("t")), Refusal::NoDriver);
    world.beat("a", NodeState::Ready, Some("t"));
    world.trigger("t");
    let armed = Refusal::WrongState {
        test_id: "t".into(),
        state: "armed",
    };
    assert_eq!(refused(world.trigger("t")), armed);
    world.create("u");
    assert_eq!(
        refused(world.trigger("u")),
        Refusal::Busy {
            running: "t".into()
        }
    );
    let mut alone = World::of(Control::restore(
        settings(),
        Restored::default(),
        Now::default(),
    ));
    let create = Command::Create {
        test_id: "t".into(),
        workload: Box::new(workload()),
        queue: false,
    };
    assert!(matches!(
        refused(alone.command(create)),
        Refusal::BrokerAway(_)
    ));
}

#[test]
fn a_stop_drains_a_run_and_ends_it_as_aborted() {
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.pulse();
    let stopped = world.stop("t");
    assert_eq!(
        stopped,
        Some(Reply::Stopped {
            test_id: "t".into(),
            state: "draining",
            cannot_be_stopped: Vec::new(),
        })
    );
    world.stop("t");
    assert_eq!(world.stops(), ["t"], "a second stop publishes nothing");
    assert_eq!(world.triggers().len(), 1, "one message a test");
    world.report(last("a", "t", Outcome::Aborted));
    assert_eq!(world.phase("t"), Phase::Aborted);
}

#[test]
fn a_stop_before_the_start_ends_a_test_at_once_and_answers_its_trigger() {
    let mut world = World::with(&["a"]);
    world.create("t");
    world.trigger("t");
    let stopped = world.stop("t");
    assert_eq!(
        stopped,
        Some(Reply::Stopped {
            test_id: "t".into(),
            state: "aborted",
            cannot_be_stopped: Vec::new(),
        })
    );
    assert!(matches!(
        world.replies[1],
        (_, Reply::Refused(Refusal::WrongState { .. }))
    ));
}

#[test]
fn every_message_of_the_reference_is_logged_once_as_it_is_sent_or_received() {
    let mut world = World::with(&["a"]);
    world.lines.clear();
    world.run("t", &["a"]);
    world.pulse();
    world.stop("t");
    // Ours come back from the topics.
    world.event(Event::Config(Box::new(config("t"))));
    world.event(Event::Trigger(start("t", &["a"])));
    world.report(last("a", "t", Outcome::Aborted));
    world.event(Event::Config(Box::new(config("of another orchestrator"))));
    let name = |line: &Line| match line {
        Line::Register(_) => Some("register".to_owned()),
        Line::Config(config) => Some(format!("config {}", config.test_id)),
        Line::Trigger(trigger) => Some(format!("{:?} {}", trigger.trigger, trigger.test_id)),
        Line::Control(message) => Some(format!("control {:?}", message.order)),
        Line::Heartbeat(message) => Some(format!("heartbeat {}", message.node_id)),
        Line::Metrics(message) => Some(format!("metrics {}", message.node_id)),
        Line::Event(..) => None,
    };
    let names: Vec<String> = world.lines.iter().filter_map(name).collect();
    let expected = [
        "config t",
        "heartbeat a",
        "Start t",
        "heartbeat orchestrator",
        r#"control Stop { test_id: "t" }"#,
        "metrics a",
        "config of another orchestrator",
    ];
    assert_eq!(names, expected);
    let mut long = config("u");
    long.params.body = Some("ü".repeat(5000));
    world.event(Event::Config(Box::new(long)));
    let body = world.lines.iter().rev().find_map(|line| match line {
        Line::Config(config) => config.params.body.clone(),
        _ => None,
    });
    assert_eq!(body.unwrap().chars().count(), 1001);
}

#[test]
fn what_is_no_registration_and_no_sign_of_life_is_none() {
    let mut world = World::with(&[]);
    let mut register = proto::message::Register {
        node_id: "a".into(),
        node_ip: "127.0.0.1:1".into(),
        message_type: "DRIVER_NODE_GOODBYE".into(),
        version: None,
        cores: None,
        hostname: None,
        incarnation: None,
    };
    world.event(Event::Register(register.clone()));
    let mut beat = heartbeat("a", Some(NodeState::Idle), None);
    beat.heartbeat = false;
    world.event(Event::Heartbeat(beat));
    assert!(world.seen().nodes(world.now()).is_empty());
    assert_eq!(world.seen().counts.malformed, 1);
    register.message_type = proto::message::REGISTER_TYPE.into();
    world.event(Event::Register(register));
    assert_eq!(world.seen().nodes(world.now()).len(), 1);
}

#[test]
fn a_driver_of_another_implementation_finishes_by_falling_silent() {
    let mut world = World::with(&[]);
    let foreign = |world: &mut World| world.event(Event::Heartbeat(heartbeat("f", None, None)));
    foreign(&mut world);
    world.create("t");
    assert!(
        matches!(world.trigger("t"), Some(Reply::Triggered { .. })),
        "it is always ready"
    );
    let mut message = interval("f", "t", 0);
    message.report = None;
    world.report(message);
    for _ in 0..4 {
        foreign(&mut world);
        world.pulse();
    }
    assert_eq!(world.phase("t"), Phase::Running);
    let stopped = world.stop("t");
    let Some(Reply::Stopped {
        cannot_be_stopped, ..
    }) = stopped
    else {
        panic!("{stopped:?}");
    };
    assert_eq!(cannot_be_stopped, ["f"], "it takes anything for a start");
    assert_eq!(world.triggers().len(), 1);
    foreign(&mut world);
    world.pulse();
    assert_eq!(world.phase("t"), Phase::Aborted);
    assert_eq!(world.result()["coverage"]["unmerged_nodes"][0], "f");
}

#[test]
fn tests_are_found_by_what_is_shown_of_them() {
    let mut world = World::with(&["a"]);
    for id in ["three", "four"] {
        world.create(id);
        world.stop(id);
    }
    let found = |world: &World, search: &str, offset, limit| {
        let wanted = Selection {
            search: search.to_owned(),
            offset,
            limit,
            ..Selection::default()
        };
        let rows = world.state.list.rows().select(&wanted);
        rows.iter()
            .map(|row| row.test_id.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&world, "FOU", 0, None), ["four"]);
    assert_eq!(found(&world, "aborted", 0, None), ["four", "three"]);
    assert_eq!(found(&world, "", 0, Some(1)), ["four"]);
    assert_eq!(found(&world, "", 1, None), ["three"]);
    let patch = serde_json::from_str(r#"{"name":"checkout","tags":{"env":"staging"}}"#).unwrap();
    let reply = world.command(Command::Label {
        test_id: "three".into(),
        patch,
    });
    assert!(matches!(reply, Some(Reply::Labeled(_))), "{reply:?}");
    assert_eq!(found(&world, "env=stag", 0, None), ["three"]);
    world.restart();
    assert_eq!(found(&world, "Checkout", 0, None), ["three"]);
}

#[test]
fn notes_mark_instants_of_a_test_and_survive_a_kill() {
    let mut world = World::with(&["a"]);
    let note = |text: &str, after_start_ns: Option<u64>| Command::Note {
        test_id: "t".into(),
        text: text.into(),
        after_start_ns,
    };
    let unknown = world.command(note("x", None));
    let refused = Some(Reply::Refused(Refusal::UnknownTest("t".into())));
    assert_eq!(unknown, refused);
    world.create("t");
    let early = world.command(note("x", Some(1)));
    let refused = Some(Reply::Refused(Refusal::NotStarted("t".into())));
    assert_eq!(early, refused);
    world.beat("a", NodeState::Ready, Some("t"));
    world.trigger("t");
    world.deliver();
    world.pulse();
    assert_eq!(world.phase("t"), Phase::Running);
    let now_ms = world.now_ms;
    world.command(note("deployed 1.4.2", None));
    world.restart();
    let started_ms = world.state.list.get("t").unwrap().started_unix_ms.unwrap();
    whole("a", "t")
        .into_iter()
        .for_each(|message| world.report(message));
    assert_eq!(world.phase("t"), Phase::Done);
    world.command(note("begun", Some(0)));
    world.restart();
    let row = world.state.list.get("t").unwrap();
    let notes: Vec<(u64, &str)> = row
        .labels
        .notes
        .iter()
        .map(|note| (note.at_unix_ms, note.text.as_str()))
        .collect();
    let mut expected = vec![(now_ms, "deployed 1.4.2"), (started_ms, "begun")];
    expected.sort_unstable();
    assert_eq!(notes, expected);
}
