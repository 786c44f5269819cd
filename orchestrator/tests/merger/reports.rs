//! Drivers that report, and what all of them together measured.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proto::bus::{BusSettings, EmbeddedBroker, Publisher};
use proto::histogram::{Latencies, SparseLatencies};
use proto::measure::{LatencyFigures, Report, SecondRow};
use proto::message::Metrics;

use crate::process::SOON;

/// Samples by second of the one test.
pub(crate) type Seconds = BTreeMap<u64, SparseLatencies>;

/// Enough for each partition to have some.
const NODES: u64 = 40;

pub(crate) fn settings(broker: &EmbeddedBroker) -> BusSettings {
    BusSettings::new(broker.address(), "test", &[]).unwrap()
}

pub(crate) struct Drivers {
    publisher: Publisher,
    rng: fastrand::Rng,
    second: u64,
    sent: u64,
    arrived: u64,
    /// What one histogram a second holds of all that was reported.
    pub(crate) expected: Seconds,
}

impl Drivers {
    pub(crate) fn of(broker: &EmbeddedBroker, seed: u64) -> Self {
        Self {
            publisher: Publisher::new(&settings(broker)).unwrap(),
            rng: fastrand::Rng::with_seed(seed),
            second: 0,
            sent: 0,
            arrived: 0,
            expected: Seconds::new(),
        }
    }

    /// Every driver reports its next second.
    pub(crate) fn report(&mut self) {
        let second = self.second;
        self.second += 1;
        for node in 0..NODES {
            let report = self.measure(second);
            let expected = self.expected.entry(second).or_default();
            expected.add(&report.latencies);
            let node_id = format!("driver-{node}");
            let message = Metrics {
                node_id: node_id.clone(),
                test_id: "test".into(),
                report_id: Some(proto::id::new_report_id()),
                metrics: LatencyFigures::default(),
                report: Some(report),
            };
            self.sent += 1;
            let sent = self.publisher.publish(&node_id, &message, self.sent);
            sent.unwrap();
        }
        self.arrived += self.publisher.poll(Duration::ZERO).len() as u64;
    }

    fn measure(&mut self, second: u64) -> Report {
        let mut latencies = Latencies::new();
        for _ in 0..self.rng.u64(1..20) {
            let ns = self.rng.u64(1_000..900_000_000);
            latencies.response.record(ns).unwrap();
            latencies.service.record(ns / 2).unwrap();
        }
        Report {
            sequence_first: second,
            sequence: second,
            seconds: vec![SecondRow {
                second,
                ..SecondRow::default()
            }],
            latencies: SparseLatencies::from(&latencies),
            ..Report::default()
        }
    }

    /// Waits until the broker has all that was reported.
    pub(crate) fn flush(&mut self) {
        let deadline = Instant::now() + SOON;
        while self.arrived < self.sent {
            assert!(Instant::now() < deadline, "the broker has not all reports");
            self.arrived += self.publisher.poll(Duration::from_millis(20)).len() as u64;
        }
    }
}
