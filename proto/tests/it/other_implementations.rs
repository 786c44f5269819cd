//! Messages in the shapes that other implementations of the same reference write: students'
//! Python and Go programs mostly, with ids that are numbers, delays that are text, and fields of
//! their own.

use proto::codec::{self, DecodeError};
use proto::measure::{ClockOffset, LatencyFigures, Outcome, ReasonKind};
use proto::message::{
    ClockEcho, ClockProbe, DEFAULT_COUNT, Heartbeat, Message, Metrics, REGISTER_TYPE, Register,
    Role, TestConfig, Trigger, TriggerKind,
};
use proto::workload::TestType;

fn read<M: Message>(text: &str) -> M {
    codec::decode(&mut text.as_bytes().to_vec())
        .unwrap_or_else(|error| panic!("{text} was refused: {error}"))
}

fn refused<M: Message>(text: &str) -> DecodeError {
    match codec::decode::<M>(&mut text.as_bytes().to_vec()) {
        Ok(_) => panic!("{text} was taken"),
        Err(error) => error,
    }
}

#[test]
fn registers_come_with_either_spelling_and_without_a_type() {
    for (text, node_id, node_ip) in [
        (
            r#"{"node_id": "driver1", "node_IP": "10.0.0.3:5001", "message_type": "DRIVER_NODE_REGISTER"}"#,
            "driver1",
            "10.0.0.3:5001",
        ),
        (
            r#"{"node_id": "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "node_ip": "127.0.0.1", "message_type": "DRIVER_NODE_REGISTER"}"#,
            "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
            "127.0.0.1",
        ),
        (r#"{"node_id": 3, "node_IP": "IPAddr"}"#, "3", "IPAddr"),
        (r#"{"node_id": "Charizard"}"#, "Charizard", ""),
        (
            r#"{"message_type": "DRIVER_NODE_REGISTER", "node_id": "n", "port": 5000, "x": {"y": [1]}}"#,
            "n",
            "",
        ),
    ] {
        let message: Register = read(text);
        assert_eq!(
            (message.node_id.as_str(), message.node_ip.as_str()),
            (node_id, node_ip)
        );
        assert_eq!(message.message_type, REGISTER_TYPE, "{text}");
        assert_eq!(message.cores, None);
    }
}

#[test]
fn configs_come_with_numbers_as_text_and_without_a_count() {
    for (text, test_type, delay_s, count) in [
        (
            r#"{"test_id": "t", "test_type": "AVALANCHE", "test_message_delay": "0", "message_count_per_driver": "10"}"#,
            TestType::Avalanche,
            0.0,
            10,
        ),
        (
            r#"{"test_id": 42, "test_type": "TSUNAMI", "test_message_delay": 1.5, "message_count_per_driver": 100, "target_server_ip": "http://127.0.0.1:8080/ping"}"#,
            TestType::Tsunami,
            1.5,
            100,
        ),
        (
            r#"{"test_id": "t", "test_type": "Tsunami", "test_message_delay": "0.25"}"#,
            TestType::Tsunami,
            0.25,
            DEFAULT_COUNT,
        ),
        (
            r#"{"test_id": "t", "test_type": "avalanche", "message_count_per_driver": 7.0}"#,
            TestType::Avalanche,
            0.0,
            7,
        ),
    ] {
        let message: TestConfig = read(text);
        assert_eq!(message.test_type, test_type, "{text}");
        assert!(
            (message.test_message_delay - delay_s).abs() < 1e-12,
            "{text}"
        );
        assert_eq!(message.message_count_per_driver, count, "{text}");
        assert_eq!(message.params, proto::document::Params::default(), "{text}");
    }
    assert_eq!(
        read::<TestConfig>(r#"{"test_id": 42, "test_type": "TSUNAMI"}"#).test_id,
        "42"
    );
}

#[test]
fn triggers_come_as_words_and_as_booleans() {
    for text in [
        r#"{"test_id": "t", "trigger": "YES"}"#,
        r#"{"test_id": "t", "trigger": "yes"}"#,
        r#"{"test_id": "t", "trigger": true}"#,
        r#"{"trigger": "True", "test_id": "t", "timestamp": 1}"#,
    ] {
        let message: Trigger = read(text);
        assert_eq!(message.trigger, TriggerKind::Start, "{text}");
        assert_eq!(
            (message.start_at_unix_ns, message.participants),
            (None, None)
        );
    }
    let stop: Trigger = read(r#"{"test_id": 9, "trigger": "stop"}"#);
    assert_eq!(
        (stop.trigger, stop.test_id.as_str()),
        (TriggerKind::Stop, "9")
    );
    let error = refused::<Trigger>(r#"{"test_id": "t", "trigger": "MAYBE"}"#);
    assert!(error.to_string().contains("MAYBE"), "{error}");
}

#[test]
fn metrics_come_without_a_report_id_and_with_figures_as_text() {
    for (text, mean, max, report_id) in [
        (
            r#"{"node_id": "n", "test_id": "t", "report_id": "r", "metrics": {"mean_latency": 2.5, "median_latency": 2, "min_latency": 1, "max_latency": 9.75}}"#,
            Some(2.5),
            Some(9.75),
            Some("r"),
        ),
        (
            r#"{"node_id": "n", "test_id": "t", "metrics": {"mean_latency": "2.5", "median_latency": "2.0", "min_latency": "1", "max_latency": "9.75", "latency": 3}}"#,
            Some(2.5),
            Some(9.75),
            None,
        ),
        (
            r#"{"node_id": 1, "test_id": 2, "report_id": 3, "metrics": {"mean_latency": 4}}"#,
            Some(4.0),
            None,
            Some("3"),
        ),
        (
            r#"{"node_id": "n", "test_id": "t", "metrics": {"Mean": 4, "Requests": 10}}"#,
            None,
            None,
            None,
        ),
        (
            r#"{"node_id": "n", "test_id": "t", "metrics": {"mean_latency": -1, "max_latency": "NaN"}}"#,
            None,
            None,
            None,
        ),
        (
            r#"{"node_id": "n", "test_id": "t", "metrics": {"mean_latency": [1], "max_latency": "n/a"}}"#,
            None,
            None,
            None,
        ),
        (
            r#"{"node_id": "n", "test_id": "t", "metrics": {"mean_latency": 3, "max_latency": {"ms": 1}}}"#,
            Some(3.0),
            None,
            None,
        ),
    ] {
        let message: Metrics = read(text);
        assert_eq!(message.metrics.mean_latency, mean, "{text}");
        assert_eq!(message.metrics.max_latency, max, "{text}");
        assert_eq!(message.report_id.as_deref(), report_id, "{text}");
        assert!(
            message.report.is_none(),
            "figures alone cannot be merged: {text}"
        );
    }
}

#[test]
fn heartbeats_come_as_words_and_booleans_with_any_timestamp_or_none() {
    for (text, timestamp) in [
        (
            r#"{"node_id": "n", "heartbeat": "YES", "timestamp": "1700000000.25"}"#,
            Some("1700000000.25"),
        ),
        (
            r#"{"node_id": "n", "heartbeat": true, "timestamp": 1700000000.25}"#,
            Some("1700000000.25"),
        ),
        (
            r#"{"node_id": "n", "heartbeat": "YES", "timestamp": 1700000000}"#,
            Some("1700000000"),
        ),
        (
            r#"{"node_id": "n", "heartbeat": "yes", "timestamp": "2023-11-14T22:13:20.25Z"}"#,
            Some("2023-11-14T22:13:20.25Z"),
        ),
        (r#"{"node_id": "n", "heartbeat": "YES"}"#, None),
        (
            r#"{"node_id": "n", "heartbeat": "true", "timestamp": null, "status": "alive"}"#,
            None,
        ),
    ] {
        let message: Heartbeat = read(text);
        assert!(message.heartbeat, "{text}");
        assert_eq!(message.timestamp.as_deref(), timestamp, "{text}");
        assert_eq!(
            (message.role, message.state),
            (Role::Driver, None),
            "{text}"
        );
    }
}

#[test]
fn what_later_versions_may_say_does_not_stop_us() {
    let text = r#"{"node_id": "n", "heartbeat": "YES", "role": "observer", "state": "meditating"}"#;
    let message: Heartbeat = read(text);
    assert_eq!(message.role, Role::Other);
    assert_eq!(message.state, Some(proto::message::NodeState::Unknown));
}

#[test]
fn end_markers_and_other_noise_are_refused_in_words() {
    for noise in [
        "EOF",
        "EOFBREAK",
        "EOT",
        "",
        "null",
        "[]",
        "{}",
        "\u{feff}{}",
        "{\"node_id\":",
    ] {
        refused::<Register>(noise);
        refused::<TestConfig>(noise);
        refused::<Trigger>(noise);
        refused::<Metrics>(noise);
        let error = refused::<Heartbeat>(noise);
        assert!(
            error.to_string().contains("not a message of this topic"),
            "{error}"
        );
    }
    refused::<Heartbeat>(r#"{"node_id": "n", "heartbeat": "perhaps"}"#);
    refused::<Metrics>(r#"{"node_id": "n", "test_id": "t"}"#);
    refused::<TestConfig>(r#"{"test_id": "t", "test_type": "FLOOD"}"#);
    refused::<TestConfig>(
        r#"{"test_id": "t", "test_type": "AVALANCHE", "message_count_per_driver": -1}"#,
    );
}

#[test]
fn numbers_come_as_text_everywhere() {
    let trigger: Trigger = read(
        r#"{"test_id": "t", "trigger": "YES", "start_at_unix_ns": "1700000000000000001",
            "clock_offsets": {"n": {"offset_ns": "-5", "uncertainty_ns": "7"}}}"#,
    );
    assert_eq!(trigger.start_at_unix_ns, Some(1_700_000_000_000_000_001));
    let clock = ClockOffset {
        offset_ns: -5,
        uncertainty_ns: 7,
    };
    assert_eq!(trigger.clock_offsets["n"], clock);

    let metrics: Metrics = read(
        r#"{"node_id": "n", "test_id": "t", "metrics": {}, "sequence_first": "2", "sequence": "3",
            "interval_start_ns": "4", "interval_end_ns": "5", "first_send_ns": "-6",
            "counters": {"sent": "7", "errors": {"read": "8"}, "status_codes": {"200": "9"}},
            "seconds": [{"second": "10", "ok": "11"}],
            "health": {"cpu_idle_min": "0.5", "stall_max_ns": "12"},
            "connections": {"count": "13"}}"#,
    );
    let report = metrics.report.unwrap();
    assert_eq!((report.sequence_first, report.sequence), (2, 3));
    assert_eq!((report.interval_start_ns, report.interval_end_ns), (4, 5));
    assert_eq!(report.first_send_ns, Some(-6));
    assert_eq!((report.counters.sent, report.counters.errors.read), (7, 8));
    assert_eq!(report.counters.status_codes[&200], 9);
    assert_eq!((report.seconds[0].second, report.seconds[0].ok), (10, 11));
    assert_eq!(report.health.cpu_idle_min, Some(0.5));
    assert_eq!(report.health.stall_max_ns, 12);
    assert_eq!(report.connections.unwrap().count, 13);

    let heartbeat: Heartbeat = read(
        r#"{"node_id": "n", "heartbeat": "YES", "probe": {"probe_id": "1", "sent_unix_ns": "2"},
            "echo": {"probe_id": "1", "sent_unix_ns": "2", "received_unix_ns": "3",
                     "echoed_unix_ns": "4"}}"#,
    );
    let probe = ClockProbe {
        probe_id: 1,
        sent_unix_ns: 2,
    };
    let echo = ClockEcho {
        probe_id: 1,
        sent_unix_ns: 2,
        received_unix_ns: 3,
        echoed_unix_ns: 4,
    };
    assert_eq!((heartbeat.probe, heartbeat.echo), (Some(probe), Some(echo)));
    refused::<Trigger>(r#"{"test_id": "t", "trigger": "YES", "start_at_unix_ns": "soon"}"#);
}

#[test]
fn null_is_what_an_absent_field_is() {
    let register: Register =
        read(r#"{"node_id": "n", "node_IP": null, "message_type": null, "cores": null}"#);
    assert_eq!(register, read(r#"{"node_id": "n"}"#));
    let heartbeat: Heartbeat =
        read(r#"{"node_id": "n", "heartbeat": "YES", "role": null, "state": null}"#);
    assert_eq!(heartbeat, read(r#"{"node_id": "n", "heartbeat": "YES"}"#));
    let config: TestConfig = read(
        r#"{"test_id": "t", "test_type": "TSUNAMI", "test_message_delay": null,
            "message_count_per_driver": null}"#,
    );
    assert_eq!(config, read(r#"{"test_id": "t", "test_type": "TSUNAMI"}"#));
    let metrics: Metrics = read(
        r#"{"node_id": "n", "test_id": "t", "metrics": {"mean_latency": null,
            "median_latency": null, "min_latency": null, "max_latency": null,
            "mode_latency": null}, "sequence": null, "counters": {"sent": null}}"#,
    );
    let nothing: LatencyFigures = serde_json::from_str("{}").unwrap();
    assert_eq!(metrics.metrics, nothing);
    assert!(metrics.report.is_none());
    let config: TestConfig = read(
        r#"{"test_id": "t", "test_type": "TSUNAMI", "headers": null, "stages": null,
            "threshold": null, "rate": null, "phase": null, "body": null}"#,
    );
    assert_eq!(config, read(r#"{"test_id": "t", "test_type": "TSUNAMI"}"#));
    let trigger: Trigger =
        read(r#"{"test_id": "t", "trigger": "YES", "participants": null, "clock_offsets": null}"#);
    assert_eq!(trigger, read(r#"{"test_id": "t", "trigger": "YES"}"#));
    let report: Metrics = read(
        r#"{"node_id": "n", "test_id": "t", "metrics": {}, "sequence": 1, "last": null,
            "counters": {"errors": null, "status_codes": null}, "seconds": null, "health": null,
            "reasons": null, "addresses": null, "response_ns": null, "first_byte_ns": null}"#,
    );
    let bare = r#"{"node_id": "n", "test_id": "t", "metrics": {}, "sequence": 1, "counters": {}}"#;
    assert_eq!(report, read(bare));
}

#[test]
fn the_last_report_of_a_later_version_is_read() {
    let later: Metrics = read(
        r#"{"node_id": "n", "test_id": "t", "metrics": {}, "sequence": 1, "last": true,
            "counters": {"sent": 5, "teleported": 2}, "outcome": "eclipsed", "mood": {"good": 1},
            "reasons": [{"kind": "quantum", "text": "decohered", "count": 2}]}"#,
    );
    let report = later.report.unwrap();
    assert_eq!((report.last, report.counters.sent), (true, 5));
    assert_eq!(report.outcome, Some(Outcome::Other));
    assert_eq!(
        report.reasons.iter().next().unwrap().kind,
        ReasonKind::Other
    );
}
