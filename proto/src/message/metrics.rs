//! A node's report on a test, as it goes over the wire.

use serde::{Deserialize, Serialize, Serializer};

use crate::histogram::{LatenciesWire, SparseLatencies};
use crate::lenient::{self, Signed, Text, Truth, Whole};
use crate::measure::{
    Addresses, BadAnswers, ClockOffset, Connections, Counters, Environment, Health, LatencyFigures,
    Outcome, Progress, RatesFollowed, Reasons, Report, SecondRow, ServerReport, SessionCounts,
    TlsReport,
};

/// `metrics`: a node's report on a test, one a second while it runs and one at its end.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Wire")]
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
    /// The message as it is logged, without its histograms and without a copy.
    #[must_use]
    pub fn logged(&self) -> Logged<'_> {
        Logged(self)
    }

    /// The message without its histograms, to be logged later.
    #[must_use]
    pub fn without_histograms(mut self) -> Self {
        if let Some(report) = &mut self.report {
            report.latencies = SparseLatencies::default();
            report.sessions = None;
            report.progress = None;
        }
        self
    }
}

/// The wire form as it is read: flat, every addition optional.
#[derive(Debug, Clone, Deserialize)]
struct Wire {
    #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
    node_id: String,
    #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
    test_id: String,
    #[serde(default, deserialize_with = "lenient::option::<_, Text, _>")]
    report_id: Option<String>,
    metrics: LatencyFigures,
    #[serde(default, deserialize_with = "lenient::option::<_, Whole, _>")]
    sequence_first: Option<u64>,
    #[serde(default, deserialize_with = "lenient::option::<_, Whole, _>")]
    sequence: Option<u64>,
    #[serde(default, deserialize_with = "lenient::or_default::<_, Truth, _>")]
    last: bool,
    #[serde(default, deserialize_with = "lenient::option::<_, Whole, _>")]
    interval_start_ns: Option<u64>,
    #[serde(default, deserialize_with = "lenient::option::<_, Whole, _>")]
    interval_end_ns: Option<u64>,
    #[serde(default, deserialize_with = "lenient::option::<_, Whole, _>")]
    sending_ns: Option<u64>,
    #[serde(default, deserialize_with = "lenient::option::<_, Whole, _>")]
    incarnation: Option<u64>,
    #[serde(default)]
    counters: Option<Counters>,
    #[serde(default, deserialize_with = "lenient::null_is_default")]
    seconds: Vec<SecondRow>,
    #[serde(default, deserialize_with = "lenient::option::<_, Signed, _>")]
    first_send_ns: Option<i64>,
    #[serde(default)]
    clock: Option<ClockOffset>,
    #[serde(default)]
    health: Option<Health>,
    #[serde(default)]
    connections: Option<Connections>,
    #[serde(default)]
    outcome: Option<Outcome>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    reasons: Reasons,
    #[serde(default)]
    bad_answers: BadAnswers,
    #[serde(default)]
    addresses: Addresses,
    #[serde(default)]
    http: Option<Text>,
    #[serde(default)]
    tls: Option<TlsReport>,
    #[serde(default, deserialize_with = "lenient::null_is_default")]
    servers: Vec<ServerReport>,
    #[serde(default)]
    environment: Option<Environment>,
    #[serde(default)]
    rates: Option<Box<RatesFollowed>>,
    #[serde(default)]
    sessions: Option<Box<SessionCounts>>,
    #[serde(default)]
    progress: Option<Box<Progress>>,
    #[serde(flatten)]
    latencies: LatenciesWire,
}

/// The same form as [`Wire`], borrowed: a report is not copied to be written.
#[derive(Serialize)]
struct Written<'a> {
    node_id: &'a str,
    test_id: &'a str,
    report_id: Option<&'a str>,
    metrics: &'a LatencyFigures,
    #[serde(flatten)]
    report: Option<WrittenReport<'a>>,
    #[serde(flatten)]
    latencies: Option<LatenciesWire>,
}

#[derive(Serialize)]
struct WrittenReport<'a> {
    sequence_first: u64,
    sequence: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    last: bool,
    interval_start_ns: u64,
    interval_end_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sending_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incarnation: Option<u64>,
    counters: &'a Counters,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    seconds: &'a [SecondRow],
    #[serde(skip_serializing_if = "Option::is_none")]
    first_send_ns: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<ClockOffset>,
    health: &'a Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<Connections>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Reasons::is_empty")]
    reasons: &'a Reasons,
    #[serde(skip_serializing_if = "BadAnswers::is_empty")]
    bad_answers: &'a BadAnswers,
    #[serde(skip_serializing_if = "Addresses::is_empty")]
    addresses: &'a Addresses,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'a TlsReport>,
    #[serde(skip_serializing_if = "<[ServerReport]>::is_empty")]
    servers: &'a [ServerReport],
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a Environment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<&'a RatesFollowed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<&'a SessionCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<&'a Progress>,
}

impl<'a> From<&'a Metrics> for Written<'a> {
    /// Without the histograms.
    fn from(message: &'a Metrics) -> Self {
        Self {
            node_id: &message.node_id,
            test_id: &message.test_id,
            report_id: message.report_id.as_deref(),
            metrics: &message.metrics,
            report: message.report.as_ref().map(WrittenReport::from),
            latencies: None,
        }
    }
}

impl<'a> From<&'a Report> for WrittenReport<'a> {
    fn from(report: &'a Report) -> Self {
        Self {
            sequence_first: report.sequence_first,
            sequence: report.sequence,
            last: report.last,
            interval_start_ns: report.interval_start_ns,
            interval_end_ns: report.interval_end_ns,
            sending_ns: report.sending_ns,
            incarnation: report.incarnation,
            counters: &report.counters,
            seconds: &report.seconds,
            first_send_ns: report.first_send_ns,
            clock: report.clock,
            health: &report.health,
            connections: report.connections,
            outcome: report.outcome,
            reason: report.reason.as_deref(),
            reasons: &report.reasons,
            bad_answers: &report.bad_answers,
            addresses: &report.addresses,
            http: report.http.as_deref(),
            tls: report.tls.as_ref(),
            servers: &report.servers,
            environment: report.environment.as_ref(),
            rates: report.rates.as_deref(),
            // They hold histograms, or a row a step, as a line of the log does not.
            sessions: None,
            progress: None,
        }
    }
}

impl<'a> WrittenReport<'a> {
    /// With what a line of the log does not hold.
    fn whole(report: &'a Report) -> Self {
        Self {
            sessions: report.sessions.as_deref(),
            progress: report.progress.as_deref(),
            ..Self::from(report)
        }
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = self.report.as_ref();
        Written {
            report: report.map(WrittenReport::whole),
            latencies: report.map(|report| LatenciesWire::from(&report.latencies)),
            ..Written::from(self)
        }
        .serialize(serializer)
    }
}

/// A report as it is logged: what its message says, without its histograms.
#[derive(Debug, Clone, Copy)]
pub struct Logged<'a>(&'a Metrics);

impl Serialize for Logged<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written::from(self.0).serialize(serializer)
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
                Some(Report {
                    sequence_first,
                    sequence,
                    last: wire.last,
                    interval_start_ns: wire.interval_start_ns.unwrap_or(0),
                    interval_end_ns: wire.interval_end_ns.unwrap_or(0),
                    sending_ns: wire.sending_ns,
                    incarnation: wire.incarnation,
                    counters,
                    seconds: wire.seconds,
                    first_send_ns: wire.first_send_ns,
                    clock: wire.clock,
                    health: wire.health.unwrap_or_default(),
                    connections: wire.connections,
                    outcome: wire.outcome,
                    reason: wire.reason,
                    reasons: wire.reasons,
                    bad_answers: wire.bad_answers,
                    addresses: wire.addresses,
                    http: wire.http.map(|http| http.0),
                    tls: wire.tls,
                    servers: wire.servers,
                    environment: wire.environment,
                    rates: wire.rates,
                    sessions: wire.sessions,
                    progress: wire.progress,
                    latencies: SparseLatencies::try_from(&wire.latencies)
                        .map_err(|e| e.to_string())?,
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
