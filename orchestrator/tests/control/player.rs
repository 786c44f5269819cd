//! Drivers, as far as messages go: they say what they are told to.

use std::time::Duration;

use proto::bus::{BusSettings, Publisher};
use proto::histogram::{Latencies, SparseLatencies};
use proto::measure::{Counters, LatencyFigures, Outcome, Report, SecondRow};
use proto::message::{Heartbeat, Message, Metrics, NodeState, Register, Role, WIRE_VERSION};
use proto::topic::Topic;

/// Plays any number of drivers.
pub(crate) struct Player {
    publisher: Publisher,
}

impl Player {
    pub(crate) fn new(kafka: &str) -> Self {
        let settings = BusSettings::new(kafka, "player", &[]).unwrap();
        Self {
            publisher: Publisher::new(&settings).unwrap(),
        }
    }

    pub(crate) fn say<M: Message>(&self, node_id: &str, message: &M) {
        self.publisher.publish(node_id, message, 1).unwrap();
        self.publisher.poll(Duration::ZERO);
    }

    pub(crate) fn publish(&self, topic: Topic, bytes: &[u8]) {
        self.publisher
            .publish_bytes(topic, "player", bytes, 1)
            .unwrap();
    }

    pub(crate) fn register(&self, node_id: &str) {
        let message = Register {
            node_id: node_id.into(),
            node_ip: "127.0.0.1:1".into(),
            message_type: proto::message::REGISTER_TYPE.into(),
            version: Some("0".into()),
            cores: Some(2),
            hostname: Some("test".into()),
            incarnation: None,
        };
        self.say(node_id, &message);
    }

    pub(crate) fn beat(&self, node_id: &str, state: NodeState, test_id: Option<&str>) {
        let message = Heartbeat {
            node_id: node_id.into(),
            heartbeat: true,
            timestamp: None,
            role: Role::Driver,
            state: Some(state),
            test_id: test_id.map(str::to_owned),
            reason: None,
            probe: None,
            echo: None,
            incarnation: None,
            wire: Some(WIRE_VERSION),
            needs: Vec::new(),
        };
        self.say(node_id, &message);
    }

    pub(crate) fn flush(&self) {
        assert!(self.publisher.flush(Duration::from_secs(20)));
    }
}

/// A report of a hundred answers in one second.
pub(crate) fn interval(node_id: &str, test_id: &str, sequence: u64, planned: u64) -> Metrics {
    let mut latencies = Latencies::new();
    for n in 1..=100 {
        latencies.response.saturating_record(n * 10_000 + sequence);
        latencies.service.saturating_record(n * 9_000);
        latencies.release_lag.saturating_record(n * 100);
    }
    let row = SecondRow {
        second: sequence,
        offered: 100,
        sent: 100,
        completed: 100,
        ok: 100,
        in_flight: Some(2),
        bytes_sent: Some(4000),
        bytes_received: Some(12_000),
        ..SecondRow::default()
    };
    Metrics {
        node_id: node_id.into(),
        test_id: test_id.into(),
        report_id: Some(proto::id::new_report_id()),
        metrics: LatencyFigures::default(),
        report: Some(Report {
            sequence_first: sequence,
            sequence,
            interval_start_ns: sequence * 1_000_000_000,
            interval_end_ns: (sequence + 1) * 1_000_000_000,
            counters: counters(if sequence == 0 { planned } else { 0 }, 100),
            seconds: vec![row],
            first_send_ns: Some(1000),
            latencies: SparseLatencies::from(&latencies),
            ..Report::default()
        }),
    }
}

/// The last report after `intervals` of them.
pub(crate) fn last(node_id: &str, test_id: &str, intervals: u64) -> Metrics {
    let planned = intervals * 100;
    let mut whole = interval(node_id, test_id, 0, planned).report.unwrap();
    for sequence in 1..intervals {
        whole.append(
            &interval(node_id, test_id, sequence, planned)
                .report
                .unwrap(),
        );
    }
    let mut message = interval(node_id, test_id, intervals, planned);
    let report = message.report.as_mut().unwrap();
    report.last = true;
    report.seconds.clear();
    report.interval_start_ns = 0;
    report.interval_end_ns = intervals * 1_000_000_000;
    report.counters = counters(planned, planned);
    report.latencies = whole.latencies;
    report.outcome = Some(Outcome::Done);
    message
}

fn counters(planned: u64, sent: u64) -> Counters {
    Counters {
        planned,
        offered: sent,
        sent,
        completed: sent,
        ok: sent,
        bytes_sent: sent * 40,
        bytes_received: sent * 120,
        status_codes: [(200, sent)].into(),
        ..Counters::default()
    }
}

impl Player {
    /// The same bytes on every topic.
    pub(crate) fn say_bytes(&self, bytes: &[u8]) {
        for topic in Topic::ALL {
            self.publish(topic, bytes);
        }
        self.flush();
    }
}
