//! A result as the client reads it from `GET /metrics/{id}`: the part that it shows. Fields that a
//! later orchestrator leaves out or adds do not stop it.

use proto::measure::{BadAnswers, Environment, ErrorCounters, Reasons, ServerReport, TlsReport};
use proto::summary::{
    InNoSecond, Intervals, LinkUse, LittlesLaw, MissingReports, RateRow, SessionRows, Statistics,
    Verdict,
};
use serde::Deserialize;

/// The result of a test.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct View {
    /// The test.
    pub test_id: String,
    /// `AVALANCHE` or `TSUNAMI`.
    pub test_type: String,
    /// The run's state.
    pub state: String,
    /// The condition of its document that ended it early.
    pub aborted_by: Option<String>,
    /// The changes of its rate while it ran.
    pub rate_changes: Vec<RateRow>,
    /// The counts.
    #[serde(flatten)]
    pub tally: Tally,
    /// How much of the test they cover.
    pub coverage: Coverage,
    /// Whether they add up.
    pub accounting: Accounting,
    /// Response times, ms.
    pub metrics: Statistics,
    /// Service times, ms.
    pub service: Statistics,
    /// Release lags, ms.
    pub release_lag: Statistics,
    /// Largest minus smallest first send over the nodes, ms.
    pub start_skew_ms: Option<f64>,
    /// Between which values the quantiles lie.
    pub intervals: Intervals,
    /// Whether rate and response time go together.
    pub littles_law: Option<LittlesLaw>,
    /// What went over the links of the machines that sent.
    pub links: Vec<LinkUse>,
    /// Whether the numbers may be believed.
    pub verdict: Verdict,
    /// The conditions on the result.
    pub thresholds: Vec<Threshold>,
    /// Each node's part.
    pub nodes: Vec<NodeView>,
    /// Why requests and connections failed.
    pub reasons: Reasons,
    /// The first answers that count as errors.
    pub bad_answers: BadAnswers,
    /// What became of the sessions of a document.
    #[serde(flatten)]
    pub sessions: Option<SessionRows>,
}

/// The counts of a test or a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// To be sent.
    pub planned: u64,
    /// First byte handed to the kernel.
    pub sent: u64,
    /// Answers below 400.
    pub ok: u64,
    /// Sent, and known not to have been processed.
    pub returned: u64,
    /// Given up unsent past their deadline.
    pub shed: u64,
    /// Due while the target took no connection.
    pub refused: u64,
    /// Never sent.
    pub not_sent: u64,
    /// What lost nodes still owed.
    pub unknown: u64,
    /// In flight when the load was stopped.
    pub aborted: u64,
    /// Sent before anything counted.
    pub warmup_sent: u64,
    /// By kind.
    pub errors: ErrorCounters,
    /// Failed attempts to connect.
    pub connect_errors: u64,
    /// Connections.
    pub connections: Connections,
    /// ok a second.
    pub requests_per_second: Option<f64>,
    /// Length of the run so far, s.
    pub elapsed_s: f64,
    /// How much of it came after the last send, s.
    pub drain_s: Option<f64>,
}

/// Connections that came and went.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Connections {
    /// Opened in all.
    pub opened: u64,
    /// Lost: closed by the target, or broken.
    pub lost: u64,
    /// Times that bytes came which nobody had asked for.
    pub unsolicited: u64,
    /// Held at a time; of a node.
    pub count: Option<u64>,
}

/// How much of the test the numbers cover.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Coverage {
    /// Participants.
    pub nodes_expected: usize,
    /// Participants that reported anything.
    pub nodes_reporting: usize,
    /// Interval reports that never came.
    pub reports_missing: u64,
    /// Which.
    pub missing: Vec<MissingReports>,
    /// What no second of the series has.
    pub in_no_second: InNoSecond,
    /// Participants that did not report their end.
    pub unfinished_nodes: Vec<String>,
    /// Nodes whose figures cannot be merged.
    pub unmerged_nodes: Vec<String>,
}

/// The identities of the accounting.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Accounting {
    /// Whether they hold.
    pub holds: bool,
    /// Which one does not.
    pub imbalance: Option<String>,
}

/// A condition on the result.
#[derive(Debug, Clone, Deserialize)]
pub struct Threshold {
    /// As it was written.
    #[serde(rename = "threshold")]
    pub text: String,
    /// What was measured.
    pub observed: Option<f64>,
    /// Whether it holds.
    pub pass: bool,
}

/// One node's part.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeView {
    /// The node.
    pub node_id: String,
    /// How its part ended.
    pub outcome: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The counts.
    #[serde(flatten)]
    pub tally: Tally,
    /// Response times, ms.
    pub metrics: Statistics,
    /// Release lags, ms.
    pub release_lag: Statistics,
    /// The version of HTTP that it spoke.
    pub http: Option<String>,
    /// TLS of its connections.
    pub tls: Option<TlsReport>,
    /// The servers, where there are several.
    pub servers: Vec<ServerReport>,
    /// What it ran on.
    pub environment: Option<Environment>,
}

impl View {
    /// Whether the run is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(
            self.state.as_str(),
            "done" | "partial" | "aborted" | "failed"
        )
    }
}

impl Tally {
    /// Requests whose fate is decided.
    #[must_use]
    pub fn settled(&self) -> u64 {
        let sent = self.sent.saturating_sub(self.returned);
        [self.shed, self.refused, self.not_sent, self.unknown]
            .into_iter()
            .fold(sent, u64::saturating_add)
    }
}
