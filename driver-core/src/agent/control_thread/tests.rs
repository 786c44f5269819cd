//! What the control thread makes of what reaches it. No broker is there, and none is needed.

use std::net::TcpListener;
use std::time::Instant;

use crossbeam_channel::bounded;
use proto::bus::{BusSettings, PartitionOptions, PropertyOptions, Publisher};
use proto::document::Params;
use proto::message::{NodeState, Trigger};
use proto::workload::TestType;

use super::super::test_thread::silent_target;
use super::*;
use crate::affinity;
use crate::load::Directions;

fn control(properties: &[(String, String)]) -> ControlThread {
    let settings = BusSettings::new("127.0.0.1:9", "me", properties).unwrap();
    let (sender, inbound) = bounded(64);
    let bus = Bus {
        publisher: Publisher::new(&settings).unwrap(),
        inbound,
        sender,
        listens: std::sync::Arc::default(),
    };
    let options = AgentOptions {
        kafka: None,
        properties: PropertyOptions::default(),
        partitions: PartitionOptions {
            metrics_partitions: 1,
        },
        orchestrator: None,
        node_id: None,
        cores: None,
        logs: std::env::temp_dir(),
        data: std::env::temp_dir(),
        data_bytes: 0,
        target: "http://127.0.0.1:9/".to_owned(),
        secret_file: None,
        allow_targets: Vec::new(),
        directions: Directions::default(),
    };
    let cpus = &affinity::allowed()[..1];
    let secrets = Secrets::default();
    ControlThread::new(&options, "me", cpus, secrets, &settings, bus)
}

fn config(test_id: &str, target: &TcpListener) -> Inbound {
    let port = target.local_addr().unwrap().port();
    let config = TestConfig {
        test_id: test_id.into(),
        test_type: TestType::Avalanche,
        test_message_delay: 0.0,
        message_count_per_driver: 10,
        document: None,
        params: Params {
            target: Some(format!("http://127.0.0.1:{port}/")),
            connections: Some(4),
            ..Params::default()
        },
    };
    Inbound::Config {
        config: Box::new(config),
        old: false,
    }
}

fn trigger(test_id: &str, trigger: TriggerKind, old: bool) -> Inbound {
    let trigger = Trigger {
        test_id: test_id.into(),
        trigger,
        start_at_unix_ns: None,
        participants: None,
        n: None,
        clock_offsets: std::collections::BTreeMap::new(),
        incarnations: std::collections::BTreeMap::new(),
    };
    Inbound::Trigger { trigger, old }
}

fn state(control: &ControlThread) -> Option<NodeState> {
    control.node.heartbeat(0).state
}

#[test]
fn the_address_is_the_one_that_the_broker_is_reached_from() {
    assert_eq!(address("127.0.0.1:9"), Some(Ipv4Addr::LOCALHOST.into()));
    assert_eq!(
        address("127.0.0.1:9, [::1]:9"),
        Some(Ipv4Addr::LOCALHOST.into())
    );
    assert_eq!(address("nowhere.invalid:9"), None);
}

#[test]
fn the_word_of_a_test_that_was_let_go_of_is_not_taken_for_its_successors() {
    let target = silent_target();
    let mut control = control(&[]);
    for test_id in ["a", "b", "a"] {
        control.take(config(test_id, &target.listener));
    }
    let first = |event| Inbound::Test { number: 1, event };
    control.take(first(TestEvent::Prepared));
    assert_eq!(state(&control), Some(NodeState::Preparing));
    let reason = "interrupted".to_owned();
    control.take(first(TestEvent::Failed { reason }));
    assert_eq!(state(&control), Some(NodeState::Preparing));
    let event = TestEvent::Prepared;
    control.take(Inbound::Test { number: 3, event });
    assert_eq!(state(&control), Some(NodeState::Ready));
    assert!(control.test.is_some());
}

#[test]
fn a_driver_that_only_prepares_ends_at_once() {
    let target = silent_target();
    let mut control = control(&[]);
    control.take(config("a", &target.listener));
    let begin = Instant::now();
    control.run(|| true).unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn an_old_start_is_followed_only_when_it_says_when() {
    let target = silent_target();
    let mut control = control(&[]);
    let Inbound::Config { config, .. } = config("a", &target.listener) else {
        unreachable!()
    };
    control.take(Inbound::Config { config, old: true });
    control.take(trigger("a", TriggerKind::Start, true));
    assert_eq!(state(&control), Some(NodeState::Idle));
    let mut dated = trigger("a", TriggerKind::Start, true);
    if let Inbound::Trigger { trigger, .. } = &mut dated {
        trigger.start_at_unix_ns = Some(clock::unix_ns() + 1_000_000_000);
    }
    control.take(dated);
    assert_eq!(state(&control), Some(NodeState::Preparing));
    control.take(trigger("a", TriggerKind::Stop, true));
    assert_eq!(state(&control), Some(NodeState::Idle));
}

#[test]
fn a_report_that_the_client_refuses_does_not_hold_up_the_next() {
    let small = ("message.max.bytes".to_owned(), "2000".to_owned());
    let mut control = control(&[small]);
    for reason in ["x".repeat(4_000), String::new()] {
        let report = Report {
            reason: Some(reason),
            ..Report::default()
        };
        control.report("a", report, LatencyFigures::default());
    }
    control.send();
    assert!(control.outbox.hand_over().is_none(), "the second was taken");
    control.outbox.retry();
    assert!(
        control.outbox.hand_over().is_some(),
        "the first was refused"
    );
}
