//! The shape of a result: fields are added to it, never changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rows::SessionRows;
use crate::digest::Sha256;
use crate::measure::{
    Addresses, BadAnswers, ClockOffset, Connections, Counters, Environment, ErrorCounters, Health,
    LatencyFigures, Outcome, Reasons, SecondRow, ServerReport, TlsReport,
};
use crate::summary::fold::Totals;
use crate::summary::series::SeriesRow;
use crate::summary::{
    Intervals, LinkUse, LittlesLaw, RateRow, Statistics, ThresholdResult, Verdict,
};
use crate::units;

/// Bytes on the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Bytes {
    /// Of requests.
    pub sent: u64,
    /// Of answers.
    pub received: u64,
}

/// Connections: how many came and went, and how evenly they were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ConnectionFigures {
    /// See [`Counters::connections_opened`].
    pub opened: u64,
    /// See [`Counters::connections_lost`].
    pub lost: u64,
    /// See [`Counters::unsolicited`].
    pub unsolicited: u64,
    /// Of one node, when it has ended.
    #[serde(flatten)]
    pub spread: Option<Connections>,
}

/// The counts as the API shows them.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Tally {
    /// See [`Counters::planned`].
    pub planned: u64,
    /// See [`Counters::offered`].
    pub offered: u64,
    /// See [`Counters::sent`].
    pub sent: u64,
    /// See [`Counters::returned`].
    pub returned: u64,
    /// See [`Counters::completed`].
    pub completed: u64,
    /// See [`Counters::ok`].
    pub ok: u64,
    /// See [`Counters::shed`].
    pub shed: u64,
    /// See [`Counters::refused`].
    pub refused: u64,
    /// See [`Counters::not_sent`].
    pub not_sent: u64,
    /// See [`Counters::unknown`].
    pub unknown: u64,
    /// See [`Counters::aborted`].
    pub aborted: u64,
    /// See [`Counters::warmup_sent`].
    pub warmup_sent: u64,
    /// By kind.
    pub errors: ErrorCounters,
    /// Connections.
    pub connections: ConnectionFigures,
    /// See [`Counters::connect_errors`].
    pub connect_errors: u64,
    /// Throughput: ok answers a second of the sending window; `None` before the first report.
    pub requests_per_second: Option<f64>,
    /// Sends a second of the sending window; `None` before the first report.
    pub sent_per_second: Option<f64>,
    /// Length of the run so far, s.
    pub elapsed_s: f64,
    /// How much of it came after the sending window, s; `None` as long as requests are sent.
    pub drain_s: Option<f64>,
    /// See [`Counters::clamped`].
    pub clamped: u64,
    /// Complete answers by status.
    pub status_codes: BTreeMap<u16, u64>,
    /// Bytes on the connections.
    pub bytes: Bytes,
}

/// The time that counts belong to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    /// Length of the run so far, ns.
    pub(super) end_ns: u64,
    /// The part of it in which requests were sent.
    pub(super) window_ns: u64,
    /// Whether that part is over.
    pub(super) is_sent: bool,
}

impl Span {
    pub(super) fn of(totals: &Totals) -> Self {
        Self {
            end_ns: totals.end_ns,
            window_ns: totals.window_ns(),
            is_sent: totals.sending_ns.is_some(),
        }
    }

    /// So many in the sending window are so many a second; `None` before the first report.
    pub(super) fn per_second(self, count: u64) -> Option<f64> {
        let window_s = units::ns_to_seconds(self.window_ns);
        (self.window_ns > 0).then(|| count as f64 / window_s)
    }

    /// The span of nodes that ran at the same time.
    pub(super) fn join(self, other: Self) -> Self {
        Self {
            end_ns: self.end_ns.max(other.end_ns),
            window_ns: self.window_ns.max(other.window_ns),
            is_sent: self.is_sent && other.is_sent,
        }
    }
}

impl Tally {
    pub(super) fn new(counters: &Counters, span: Span) -> Self {
        let per_second = |count: u64| span.per_second(count);
        let drain_ns = span.end_ns.saturating_sub(span.window_ns);
        Self {
            planned: counters.planned,
            offered: counters.offered,
            sent: counters.sent,
            returned: counters.returned,
            completed: counters.completed,
            ok: counters.ok,
            shed: counters.shed,
            refused: counters.refused,
            not_sent: counters.not_sent,
            unknown: counters.unknown,
            aborted: counters.aborted,
            warmup_sent: counters.warmup_sent,
            errors: counters.errors,
            connections: ConnectionFigures {
                opened: counters.connections_opened,
                lost: counters.connections_lost,
                unsolicited: counters.unsolicited,
                spread: None,
            },
            connect_errors: counters.connect_errors,
            requests_per_second: per_second(counters.ok),
            sent_per_second: per_second(counters.sent),
            elapsed_s: units::ns_to_seconds(span.end_ns),
            drain_s: span.is_sent.then(|| units::ns_to_seconds(drain_ns)),
            clamped: counters.clamped,
            status_codes: counters.status_codes.clone(),
            bytes: Bytes {
                sent: counters.bytes_sent,
                received: counters.bytes_received,
            },
        }
    }
}

/// A range of a node's reports that never came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingReports {
    /// The node.
    pub node_id: String,
    /// First missing sequence number.
    pub first: u64,
    /// Last missing sequence number.
    pub last: u64,
    /// Whether the node's last report made the totals whole all the same.
    pub healed: bool,
}

/// Counts of the result that are in no second of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InNoSecond {
    /// Intended starts.
    pub offered: u64,
    /// Actual starts.
    pub sent: u64,
    /// Complete answers of any status.
    pub completed: u64,
    /// Complete answers that are no error.
    pub ok: u64,
    /// Errors of every kind.
    pub errors: u64,
    /// Given up unsent, their deadline past.
    pub shed: u64,
    /// Given up unsent, the target away.
    pub refused: u64,
}

impl InNoSecond {
    /// Whether the seconds have everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<SecondRow> for InNoSecond {
    fn from(row: SecondRow) -> Self {
        Self {
            offered: row.offered,
            sent: row.sent,
            completed: row.completed,
            ok: row.ok,
            errors: row.errors,
            shed: row.shed,
            refused: row.refused,
        }
    }
}

/// How much of the test the numbers cover.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Coverage {
    /// Participants.
    pub nodes_expected: usize,
    /// Participants that reported anything.
    pub nodes_reporting: usize,
    /// Participants that sent their last report.
    pub nodes_finished: usize,
    /// Interval reports that never came.
    pub reports_missing: u64,
    /// Which.
    pub missing: Vec<MissingReports>,
    /// What the series does not have, as these reports held it and last reports count it: the sums
    /// over the seconds and this are the totals.
    pub in_no_second: InNoSecond,
    /// Answers of these reports whose times are in no histogram of the run: their node's last report
    /// has them in one sum with what came merged with samples of nodes that sent no last report.
    #[serde(skip_serializing_if = "is_zero")]
    pub times_missing: u64,
    /// Participants that have not sent their last report; at the end of a run, the lost ones, of whose
    /// plans the rest is [`Tally::unknown`].
    pub unfinished_nodes: Vec<String>,
    /// Nodes whose figures are shown but cannot be merged: they send no histograms.
    pub unmerged_nodes: Vec<String>,
    /// Share (0 to 1) of the planned requests that is accounted for; `None` when nothing is planned.
    pub planned_share: Option<f64>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The identities of the accounting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accounting {
    /// Whether they hold; always false while the run goes on.
    pub holds: bool,
    /// Which one does not, with its numbers; `None` while the run goes on.
    pub imbalance: Option<String>,
}

/// A point of the percentile curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Share (0 to 1) of the samples.
    pub quantile: f64,
    /// Response time that this share does not exceed, ms.
    pub response_ms: Option<f64>,
    /// Service time that this share does not exceed, ms.
    pub service_ms: Option<f64>,
}

/// One node's part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeResult {
    /// The node.
    pub node_id: String,
    /// How its part ended; `None` while it goes on or when it was lost.
    pub outcome: Option<Outcome>,
    /// Why, or another remark.
    pub reason: Option<String>,
    /// The counts.
    #[serde(flatten)]
    pub tally: Tally,
    /// Requests sent in its latest second.
    pub rate: Option<u64>,
    /// Response times.
    pub metrics: Statistics,
    /// Service times.
    pub service: Statistics,
    /// Release lags.
    pub release_lag: Statistics,
    /// Response times of errors.
    pub error_latency: Statistics,
    /// Times to connect.
    pub connect: Statistics,
    /// Handshakes of TLS.
    pub handshake: Statistics,
    /// Times to the first byte of an answer.
    pub first_byte: Statistics,
    /// Why requests and connections failed.
    pub reasons: Reasons,
    /// Where the connections went; known at the end.
    pub addresses: Addresses,
    /// The version of HTTP that it spoke, `1.1` or `2`; known at the end.
    pub http: Option<String>,
    /// TLS of its connections, where the target has it; known at the end.
    pub tls: Option<TlsReport>,
    /// The servers, where there are several: each with what `addresses`, `http` and `tls` say of one;
    /// known at the end.
    pub servers: Vec<ServerReport>,
    /// What it ran on; known at the end.
    pub environment: Option<Environment>,
    /// Actual first send minus the common start and, where nodes are staggered, minus this node's
    /// place within the gap, ms.
    pub first_send_ms: Option<f64>,
    /// Its clock against the orchestrator's.
    pub clock: Option<ClockOffset>,
    /// Its own condition.
    pub health: Health,
    /// The four numbers of a node of another implementation.
    pub foreign: Option<LatencyFigures>,
    /// Whether its numbers may be believed.
    pub verdict: Verdict,
}

/// The result of a test: live, or final.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestResult {
    /// The test.
    pub test_id: String,
    /// `AVALANCHE` or `TSUNAMI`.
    pub test_type: String,
    /// The run's state.
    pub state: String,
    /// Of a run on its own, the command line that made it, without secrets; of a test, that stands
    /// among its labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Likewise, what its document is known by: see [`crate::document::Document::sha256`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_sha256: Option<Sha256>,
    /// The condition of its document that ended it early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborted_by: Option<String>,
    /// The changes of its rate while it ran, by their instants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate_changes: Vec<RateRow>,
    /// The counts over all nodes.
    #[serde(flatten)]
    pub tally: Tally,
    /// How much of the test they cover.
    pub coverage: Coverage,
    /// Whether they add up.
    pub accounting: Accounting,
    /// Response times, from the merged histogram.
    pub metrics: Statistics,
    /// Service times, from the merged histogram.
    pub service: Statistics,
    /// Release lags, from the merged histogram.
    pub release_lag: Statistics,
    /// Response times of errors, from the merged histogram.
    pub error_latency: Statistics,
    /// Times to connect, from the merged histogram.
    pub connect: Statistics,
    /// Handshakes of TLS, from the merged histogram.
    pub handshake: Statistics,
    /// Times to the first byte of an answer, from the merged histogram.
    pub first_byte: Statistics,
    /// Why requests and connections failed, over all nodes.
    pub reasons: Reasons,
    /// The first answers that count as errors, over all nodes.
    #[serde(skip_serializing_if = "BadAnswers::is_empty")]
    pub bad_answers: BadAnswers,
    /// Where the connections went, over all nodes; known at the end.
    pub addresses: Addresses,
    /// Largest minus smallest first send over the nodes, ms; `None` with fewer than two.
    pub start_skew_ms: Option<f64>,
    /// Whether the numbers may be believed.
    pub verdict: Verdict,
    /// The conditions on the result.
    pub thresholds: Vec<ThresholdResult>,
    /// The percentile curve.
    pub curve: Vec<CurvePoint>,
    /// Between which values the quantiles lie.
    pub intervals: Intervals,
    /// Whether rate and response time of a closed loop go together; known at the end, where it was
    /// long enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub littles_law: Option<LittlesLaw>,
    /// What went over the links of the machines that sent, where their speed is known; at the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkUse>,
    /// Each node's part.
    pub nodes: Vec<NodeResult>,
    /// What became of the sessions, where the test is a document; known at the end.
    #[serde(flatten)]
    pub sessions: Option<SessionRows>,
    /// Second by second.
    pub series: Vec<SeriesRow>,
}

impl TestResult {
    /// Whether every threshold holds.
    #[must_use]
    pub fn thresholds_pass(&self) -> bool {
        self.thresholds.iter().all(|threshold| threshold.pass)
    }

    /// Whether every participant reported to the end and nothing is missing from the totals.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.coverage.unfinished_nodes.is_empty()
            && self.accounting.holds
            && self.coverage.missing.iter().all(|missing| missing.healed)
    }
}
