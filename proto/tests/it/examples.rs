//! One message of each kind with every field set: what the golden files hold.

use std::collections::BTreeMap;

use proto::codec;
use proto::document::Params;
use proto::histogram::Latencies;
use proto::measure::{
    Addresses, BadAnswer, BadAnswers, ClockOffset, Connections, Counters, Environment,
    ErrorCounters, Health, LatencyFigures, Outcome, PartProgress, Progress, ReasonKind, Reasons,
    Report, SecondRow,
};
use proto::merging::{Merger, Range, Read};
use proto::message::{
    ClockEcho, ClockProbe, Heartbeat, Merged, Metrics, NodeState, REGISTER_TYPE, Register, Role,
    TestConfig, Trigger, TriggerKind,
};
use proto::workload::TestType;

const TEST_ID: &str = "XVlBzgbaiCMRAjWwhTHc";
const NODE_ID: &str = "driver-tcuAxhxK";

pub(crate) fn register() -> Register {
    Register {
        node_id: NODE_ID.into(),
        node_ip: "192.0.2.7:40123".into(),
        message_type: REGISTER_TYPE.into(),
        version: Some("0.1.0".into()),
        cores: Some(2),
        hostname: Some("load-1".into()),
        incarnation: None,
    }
}

pub(crate) fn avalanche() -> TestConfig {
    TestConfig {
        test_id: TEST_ID.into(),
        test_type: TestType::Avalanche,
        test_message_delay: 0.0,
        message_count_per_driver: 100_000,
        document: None,
        params: Params {
            target: Some("http://127.0.0.1:8000/".into()),
            connections: Some(64),
            method: Some("GET".into()),
            timeout_ms: Some(30_000.0),
            pipeline: Some(1),
            ..Params::default()
        },
    }
}

pub(crate) fn tsunami() -> TestConfig {
    TestConfig {
        test_id: TEST_ID.into(),
        test_type: TestType::Tsunami,
        test_message_delay: 2.0,
        message_count_per_driver: 500,
        document: None,
        params: Params {
            target: Some("http://192.0.2.80:8080/order?id=1".into()),
            connections: Some(100),
            burst: Some(100),
            stages: Some(vec!["100:2000@30s".parse().unwrap()]),
            rate: Some("0.5".parse().unwrap()),
            method: Some("POST".into()),
            headers: Some(vec![("Content-Type".into(), "text/plain".into())]),
            body: Some("grüße".into()),
            timeout_ms: Some(1500.5),
            deadline_ms: Some(250.0),
            duration_s: Some(60.0),
            warmup_s: Some(0.5),
            pipeline: Some(2),
            phase: Some(true),
            threshold: Some(vec!["p99<250ms".into(), "error_rate<0.1%".into()]),
            ..Params::default()
        },
    }
}

pub(crate) fn trigger() -> Trigger {
    Trigger {
        test_id: TEST_ID.into(),
        trigger: TriggerKind::Start,
        start_at_unix_ns: Some(1_700_000_000_250_000_000),
        participants: Some(vec![NODE_ID.into(), "driver-2".into()]),
        n: None,
        clock_offsets: BTreeMap::from([(
            NODE_ID.into(),
            ClockOffset {
                offset_ns: -1_250_000,
                uncertainty_ns: 80_000,
            },
        )]),
        incarnations: BTreeMap::new(),
    }
}

pub(crate) fn stop() -> Trigger {
    Trigger {
        test_id: TEST_ID.into(),
        trigger: TriggerKind::Stop,
        start_at_unix_ns: None,
        participants: None,
        n: None,
        clock_offsets: BTreeMap::new(),
        incarnations: BTreeMap::new(),
    }
}

fn figures() -> LatencyFigures {
    LatencyFigures {
        mean_latency: Some(1.25),
        median_latency: Some(1.0),
        min_latency: Some(0.5),
        max_latency: Some(12.75),
        mode_latency: Some(1.0),
    }
}

fn latencies() -> Latencies {
    let mut latencies = Latencies::new();
    for ns in [500_000, 1_000_000, 1_000_000, 12_750_000] {
        latencies.response.record(ns).unwrap();
        latencies.service.record(ns / 2).unwrap();
    }
    for ns in [1_500, 2_300, 2_300, 90_000, 4_000] {
        latencies.release_lag.record(ns).unwrap();
    }
    latencies.error.record(30_000_000_000).unwrap();
    latencies.connect.made().record(210_000).unwrap();
    latencies
}

fn bad_answers() -> BadAnswers {
    let text = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9\r\n\r\ntoo much\n";
    let mut answers = BadAnswers::default();
    answers.note(BadAnswer::new(None, "status 503".to_owned(), 503, text));
    answers
}

fn reasons() -> Reasons {
    let mut reasons = Reasons::default();
    reasons.note(ReasonKind::Timeout, "no answer within 30 s", 1);
    reasons.note(ReasonKind::Connect, "Connection refused (os error 111)", 2);
    reasons
}

fn report() -> Report {
    Report {
        rates: None,
        sequence_first: 2,
        sequence: 3,
        last: false,
        interval_start_ns: 2_000_000_000,
        interval_end_ns: 4_000_000_000,
        sending_ns: None,
        incarnation: None,
        counters: Counters {
            planned: 0,
            offered: 8,
            sent: 6,
            returned: 1,
            completed: 4,
            ok: 4,
            shed: 1,
            refused: 2,
            connect_errors: 2,
            connections_opened: 3,
            connections_lost: 1,
            errors: ErrorCounters {
                timeout: 1,
                ..ErrorCounters::default()
            },
            bytes_sent: 300,
            bytes_received: 640,
            status_codes: BTreeMap::from([(200, 3), (302, 1)]),
            ..Counters::default()
        },
        seconds: vec![
            SecondRow {
                second: 2,
                offered: 3,
                sent: 3,
                completed: 3,
                ok: 3,
                ..SecondRow::default()
            },
            SecondRow {
                second: 3,
                offered: 3,
                sent: 2,
                completed: 1,
                ok: 1,
                errors: 1,
                shed: 1,
                refused: 2,
                in_flight: Some(1),
                bytes_sent: Some(120),
                bytes_received: Some(210),
            },
        ],
        first_send_ns: Some(-1_200),
        clock: Some(ClockOffset {
            offset_ns: -1_250_000,
            uncertainty_ns: 80_000,
        }),
        health: Health {
            cpu_idle_min: Some(0.25),
            cpu_busy_max: Some(0.5),
            cpu_steal_max: Some(0.0),
            stall_max_ns: 40_000,
            ..Health::default()
        },
        connections: None,
        outcome: None,
        reason: None,
        reasons: reasons(),
        bad_answers: bad_answers(),
        addresses: Addresses::default(),
        http: None,
        tls: None,
        servers: Vec::new(),
        environment: None,
        sessions: None,
        progress: Some(Box::new(Progress {
            steps: vec![PartProgress {
                part: 1,
                counts: [120, 117, 2, 1, 0, 0],
            }],
            flows: vec![PartProgress {
                part: 0,
                counts: [60, 58, 0, 2],
            }],
        })),
        latencies: (&latencies()).into(),
    }
}

fn environment() -> Environment {
    Environment {
        hostname: Some("load-1".into()),
        kernel: Some("6.1.0-18-amd64".into()),
        cpus: Some(4),
        governor: Some("performance".into()),
        cpu_quota: Some(2.5),
        interface: Some("eth0".into()),
        link_mbit_per_s: Some(10_000),
        ..Environment::default()
    }
}

pub(crate) fn metrics() -> Metrics {
    Metrics {
        node_id: NODE_ID.into(),
        test_id: TEST_ID.into(),
        report_id: Some("qTkQoWmPzLcVbNxA".into()),
        metrics: figures(),
        report: Some(report()),
    }
}

pub(crate) fn last_metrics() -> Metrics {
    let last = Report {
        sequence_first: 4,
        sequence: 4,
        last: true,
        progress: None,
        interval_start_ns: 0,
        seconds: Vec::new(),
        connections: Some(Connections {
            count: 64,
            answers_min: 0,
            answers_median: 1,
            answers_max: 2,
            never_served: 60,
        }),
        sending_ns: Some(3_500_000_000),
        addresses: ["127.0.0.1:8000".to_owned()].into_iter().collect(),
        http: None,
        tls: None,
        servers: Vec::new(),
        environment: Some(environment()),
        outcome: Some(Outcome::Failed),
        reason: Some("30 s without any connection".into()),
        ..report()
    };
    Metrics {
        report: Some(last),
        ..metrics()
    }
}

/// A range with a part, a last report, and what cannot be read.
pub(crate) fn merged() -> Merged {
    let mut range = Range::starting_at(41);
    let messages = [metrics(), metrics(), last_metrics()];
    for (offset, message) in (41..).zip(messages) {
        range.add(Read::message(offset, codec::encode(&message)));
    }
    range.add(Read::gap(44, 46, "BadCompression"));
    let merger = Merger {
        id: "merger-1".into(),
        incarnation: 17,
    };
    range.merged(&merger, 2, 50)
}

pub(crate) fn driver_heartbeat() -> Heartbeat {
    Heartbeat {
        node_id: NODE_ID.into(),
        heartbeat: true,
        timestamp: Some("1700000000123".into()),
        role: Role::Driver,
        state: Some(NodeState::Failed),
        test_id: Some(TEST_ID.into()),
        reason: Some("connection refused".into()),
        probe: None,
        echo: Some(ClockEcho {
            probe_id: 17,
            sent_unix_ns: 1_700_000_000_000_000_000,
            received_unix_ns: 1_700_000_000_000_800_000,
            echoed_unix_ns: 1_700_000_000_120_000_000,
        }),
        incarnation: None,
        wire: None,
        needs: Vec::new(),
    }
}

pub(crate) fn orchestrator_heartbeat() -> Heartbeat {
    Heartbeat {
        node_id: "orchestrator".into(),
        heartbeat: true,
        timestamp: Some("1700000000000".into()),
        role: Role::Orchestrator,
        state: None,
        test_id: None,
        reason: None,
        probe: Some(ClockProbe {
            probe_id: 17,
            sent_unix_ns: 1_700_000_000_000_000_000,
        }),
        echo: None,
        incarnation: None,
        wire: None,
        needs: Vec::new(),
    }
}
