//! A node's report on a test, as it goes over the wire.

use serde::{Deserialize, Serialize};

use crate::histogram::{LatenciesWire, SparseLatencies};
use crate::lenient::{self, Signed, Text, Whole};
use crate::measure::{
    Addresses, ClockOffset, Connections, Counters, Health, LatencyFigures, Outcome, Reasons,
    Report, SecondRow,
};

/// `metrics`: a node's report on a test, one a second while it runs and one at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Metrics {
    /// The driver.
    pub node_id: String,
    /// The test.
    pub test_id: String,
    /// Unique id of the report; absent in some implementations.
    pub report_id: Option<String>,
    /// The reference's figures.
    pub metrics: LatencyFigures,
    /// Our part; `None` for other implementations, whose figures are shown but not merged.
    pub report: Option<Report>,
}

impl Metrics {
    /// The message without its histograms, as it is logged.
    #[must_use]
    pub fn without_histograms(mut self) -> Self {
        if let Some(report) = &mut self.report {
            report.latencies = SparseLatencies::default();
        }
        self
    }
}

/// The wire form: flat, every addition optional.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Wire {
    #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
    node_id: String,
    #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
    test_id: String,
    #[serde(default, deserialize_with = "lenient::option::<_, Text, _>")]
    report_id: Option<String>,
    metrics: LatencyFigures,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    sequence_first: Option<u64>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    sequence: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    last: bool,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    interval_start_ns: Option<u64>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    interval_end_ns: Option<u64>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    sending_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counters: Option<Counters>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    seconds: Vec<SecondRow>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Signed, _>"
    )]
    first_send_ns: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock: Option<ClockOffset>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connections: Option<Connections>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Reasons::is_empty")]
    reasons: Reasons,
    #[serde(default, skip_serializing_if = "Addresses::is_empty")]
    addresses: Addresses,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    latencies: Option<LatenciesWire>,
}

impl From<Metrics> for Wire {
    fn from(message: Metrics) -> Self {
        let bare = Self {
            node_id: message.node_id,
            test_id: message.test_id,
            report_id: message.report_id,
            metrics: message.metrics,
            sequence_first: None,
            sequence: None,
            last: false,
            interval_start_ns: None,
            interval_end_ns: None,
            sending_ns: None,
            counters: None,
            seconds: Vec::new(),
            first_send_ns: None,
            clock: None,
            health: None,
            connections: None,
            outcome: None,
            reason: None,
            reasons: Reasons::default(),
            addresses: Addresses::default(),
            latencies: None,
        };
        let Some(report) = message.report else {
            return bare;
        };
        Self {
            sequence_first: Some(report.sequence_first),
            sequence: Some(report.sequence),
            last: report.last,
            interval_start_ns: Some(report.interval_start_ns),
            interval_end_ns: Some(report.interval_end_ns),
            sending_ns: report.sending_ns,
            counters: Some(report.counters),
            seconds: report.seconds,
            first_send_ns: report.first_send_ns,
            clock: report.clock,
            health: Some(report.health),
            connections: report.connections,
            outcome: report.outcome,
            reason: report.reason,
            reasons: report.reasons,
            addresses: report.addresses,
            latencies: Some(LatenciesWire::from(&report.latencies)),
            ..bare
        }
    }
}

impl TryFrom<Wire> for Metrics {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        let report = match (wire.sequence, wire.counters) {
            (None, _) => None,
            (Some(_), None) => return Err("a report with a sequence but without counters".into()),
            (Some(sequence), Some(counters)) => {
                let sequence_first = wire.sequence_first.unwrap_or(sequence);
                if sequence_first > sequence {
                    return Err(format!(
                        "sequence_first {sequence_first} > sequence {sequence}"
                    ));
                }
                let latencies = wire.latencies.unwrap_or_default();
                Some(Report {
                    sequence_first,
                    sequence,
                    last: wire.last,
                    interval_start_ns: wire.interval_start_ns.unwrap_or(0),
                    interval_end_ns: wire.interval_end_ns.unwrap_or(0),
                    sending_ns: wire.sending_ns,
                    counters,
                    seconds: wire.seconds,
                    first_send_ns: wire.first_send_ns,
                    clock: wire.clock,
                    health: wire.health.unwrap_or_default(),
                    connections: wire.connections,
                    outcome: wire.outcome,
                    reason: wire.reason,
                    reasons: wire.reasons,
                    addresses: wire.addresses,
                    latencies: SparseLatencies::try_from(&latencies).map_err(|e| e.to_string())?,
                })
            }
        };
        Ok(Self {
            node_id: wire.node_id,
            test_id: wire.test_id,
            report_id: wire.report_id,
            metrics: wire.metrics,
            report,
        })
    }
}
