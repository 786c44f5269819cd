//! What a driver measured.

use serde::{Deserialize, Serialize};

use super::{
    Addresses, BadAnswers, ClockOffset, Counters, Environment, Progress, RatesFollowed, Reasons,
    SecondRow, ServerReport, SessionCounts, TlsReport,
};
use crate::histogram::SparseLatencies;
use crate::lenient::{self, Number};
use crate::units::NS_PER_S;

/// The reference's latency figures in ms, cumulative for the node and the test. For people and other
/// implementations: nothing of ours is ever computed from them. A figure of others that is absent,
/// `null`, negative or no number is `None`; ours are 0 without samples, as the reference has them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatencyFigures {
    /// Arithmetic mean.
    #[serde(default, deserialize_with = "lenient::measured")]
    pub mean_latency: Option<f64>,
    /// p50.
    #[serde(default, deserialize_with = "lenient::measured")]
    pub median_latency: Option<f64>,
    /// Smallest.
    #[serde(default, deserialize_with = "lenient::measured")]
    pub min_latency: Option<f64>,
    /// Largest.
    #[serde(default, deserialize_with = "lenient::measured")]
    pub max_latency: Option<f64>,
    /// Most frequent; absent in other implementations.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::measured"
    )]
    pub mode_latency: Option<f64>,
}

impl Default for LatencyFigures {
    /// Those of a node of ours without samples.
    fn default() -> Self {
        Self {
            mean_latency: Some(0.0),
            median_latency: Some(0.0),
            min_latency: Some(0.0),
            max_latency: Some(0.0),
            mode_latency: None,
        }
    }
}

/// How a node's part of a test ended; in its last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything planned was sent or shed, and answered or given up.
    Done,
    /// Stopped by a STOP trigger.
    Aborted,
    /// Could not go on; [`Report::reason`] says why.
    Failed,
    /// The trigger came more than 10 s late.
    Missed,
    /// A closed loop whose target was away for too long: the rest was not sent.
    #[serde(rename = "target_lost")]
    TargetLost,
    /// An outcome of a later version.
    #[serde(other)]
    Other,
}

/// What the driver observed of itself in the interval (cumulative in the last report: worst or
/// summed over the run). The verdict is computed from it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Lowest idle share (0 to 1) of the cores that it loads from, whoever used the rest; absent when
    /// it is unknown. Spinning until the next intended send counts as idle.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Number, _>"
    )]
    pub cpu_idle_min: Option<f64>,
    /// Highest share (0 to 1) of its time that a core's own thread was at work, without the spinning;
    /// absent when it is unknown. It decides whether the generator was the limit.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Number, _>"
    )]
    pub cpu_busy_max: Option<f64>,
    /// Highest share (0 to 1) of time that the hypervisor took from one of these cores.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Number, _>"
    )]
    pub cpu_steal_max: Option<f64>,
    /// Longest time that an executor did not come back to its ring while it had work, ns.
    #[serde(deserialize_with = "lenient::count")]
    pub stall_max_ns: u64,
    /// Times that a socket could not be had for lack of file descriptors.
    #[serde(deserialize_with = "lenient::count")]
    pub descriptors_exhausted: u64,
    /// Times that a connection could not be made for lack of ephemeral ports.
    #[serde(deserialize_with = "lenient::count")]
    pub ports_exhausted: u64,
    /// Log lines and intervals that were dropped because a queue was full.
    #[serde(deserialize_with = "lenient::count")]
    pub dropped: u64,
    /// Time for which a limit on the CPU of the driver's cgroup stopped it (`cpu.stat`), ns.
    #[serde(deserialize_with = "lenient::count")]
    pub throttled_ns: u64,
    /// Time for which a core's target was away, ns, summed over the cores.
    #[serde(deserialize_with = "lenient::count")]
    pub away_ns: u64,
    /// Times that the engine's own back-off delayed a request or a connection.
    #[serde(deserialize_with = "lenient::count")]
    pub held_back: u64,
}

impl Health {
    /// Adds another interval or core: worst of the shares and stalls, sum of the counts.
    pub fn absorb(&mut self, other: &Self) {
        self.cpu_idle_min = merge(self.cpu_idle_min, other.cpu_idle_min, f64::min);
        self.cpu_busy_max = merge(self.cpu_busy_max, other.cpu_busy_max, f64::max);
        self.cpu_steal_max = merge(self.cpu_steal_max, other.cpu_steal_max, f64::max);
        self.stall_max_ns = self.stall_max_ns.max(other.stall_max_ns);
        for (mine, theirs) in [
            (&mut self.descriptors_exhausted, other.descriptors_exhausted),
            (&mut self.ports_exhausted, other.ports_exhausted),
            (&mut self.dropped, other.dropped),
            (&mut self.throttled_ns, other.throttled_ns),
            (&mut self.away_ns, other.away_ns),
            (&mut self.held_back, other.held_back),
        ] {
            *mine = mine.saturating_add(theirs);
        }
    }
}

fn merge(one: Option<f64>, other: Option<f64>, worse: fn(f64, f64) -> f64) -> Option<f64> {
    match (one, other) {
        (Some(a), Some(b)) => Some(worse(a, b)),
        (a, b) => a.or(b),
    }
}

/// How evenly the answers were spread over the connections; in the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Connections {
    /// Connections of the node.
    #[serde(deserialize_with = "lenient::count")]
    pub count: u64,
    /// Fewest answers on one connection.
    #[serde(deserialize_with = "lenient::count")]
    pub answers_min: u64,
    /// Median of the answers a connection.
    #[serde(deserialize_with = "lenient::count")]
    pub answers_median: u64,
    /// Most answers on one connection.
    #[serde(deserialize_with = "lenient::count")]
    pub answers_max: u64,
    /// Connections that never got an answer.
    #[serde(deserialize_with = "lenient::count")]
    pub never_served: u64,
}

/// Our part of a metrics message: what can be merged exactly.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// First interval that this report covers, counted from 0.
    pub sequence_first: u64,
    /// Which process of the node's id measured it.
    pub incarnation: Option<u64>,
    /// Last interval that it covers. Larger than `sequence_first` when reports that could not be
    /// sent in time were merged.
    pub sequence: u64,
    /// The node's last report: counters, histograms and health are those of the whole run, which
    /// heals any gap; `seconds` is empty. The last interval comes in a report of its own before it.
    pub last: bool,
    /// Start of the interval, ns since the start of the run (0 in the last report).
    pub interval_start_ns: u64,
    /// End of the interval, ns since the start of the run.
    pub interval_end_ns: u64,
    /// Length of the node's sending window, ns since the start of the run, where the last of its
    /// cores stopped sending; what comes after it is the drain. In the interval in which it ended,
    /// and in the last report.
    pub sending_ns: Option<u64>,
    /// What happened in the interval.
    pub counters: Counters,
    /// The counts of each second in the interval; exact also when reports were merged. Only after
    /// days without a broker do several seconds share a row.
    pub seconds: Vec<SecondRow>,
    /// Actual first send minus the common start, ns, in this node's clock after correction; where
    /// nodes are staggered, minus this node's place within the gap as well.
    pub first_send_ns: Option<i64>,
    /// The clock offset that the node was told, if any.
    pub clock: Option<ClockOffset>,
    /// The driver's own condition.
    pub health: Health,
    /// Spread over the connections; in the last report.
    pub connections: Option<Connections>,
    /// How it ended; in the last report.
    pub outcome: Option<Outcome>,
    /// Why it failed or what else people should know.
    pub reason: Option<String>,
    /// Why requests and connections failed.
    pub reasons: Reasons,
    /// The first answers that count as errors.
    pub bad_answers: BadAnswers,
    /// Addresses of the target that connections went to; in the last report.
    pub addresses: Addresses,
    /// The version of HTTP that it spoke, `1.1` or `2`; in the last report, of one server.
    pub http: Option<String>,
    /// TLS of its connections, where the target has it; in the last report, of one server.
    pub tls: Option<TlsReport>,
    /// The servers, where there are several; in the last report.
    pub servers: Vec<ServerReport>,
    /// What the node ran on; in the last report.
    pub environment: Option<Environment>,
    /// How it followed changes of the rate, all of them so far.
    pub rates: Option<Box<RatesFollowed>>,
    /// What became of the sessions of a document; in the last report.
    pub sessions: Option<Box<SessionCounts>>,
    /// How far the steps and flows of a document have come; before the last report.
    pub progress: Option<Box<Progress>>,
    /// The samples; sparse, since reports wait in queues and a thousand nodes send them.
    pub latencies: SparseLatencies,
}

impl Report {
    /// The second of the run that the samples are counted in: the last one that the report covers.
    #[must_use]
    pub fn second(&self) -> u64 {
        let last = self.seconds.iter().map(|row| row.second).max();
        last.unwrap_or(self.interval_start_ns / NS_PER_S)
    }

    /// Appends the report of the interval that follows. Nothing is lost by it: counts add,
    /// histograms add, every second keeps its row. Only reports that nobody else may have read yet
    /// may be merged, since a reader counts a range of sequence numbers once or not at all.
    ///
    /// # Panics
    /// Unless `next` follows directly, and neither is a last report, which is of another kind.
    pub fn append(&mut self, next: &Self) {
        assert_eq!(
            self.sequence + 1,
            next.sequence_first,
            "only neighbours are merged"
        );
        assert!(!self.last && !next.last, "a last report is cumulative");
        self.sequence = next.sequence;
        self.interval_end_ns = next.interval_end_ns;
        self.counters.add(&next.counters);
        self.seconds.extend(&next.seconds);
        self.sending_ns = next.sending_ns.or(self.sending_ns);
        self.first_send_ns = self.first_send_ns.or(next.first_send_ns);
        self.clock = next.clock.or(self.clock);
        self.health.absorb(&next.health);
        self.reason = next.reason.clone().or_else(|| self.reason.take());
        self.reasons.absorb(&next.reasons);
        self.bad_answers.absorb(&next.bad_answers);
        self.addresses.absorb(&next.addresses);
        self.http = next.http.clone().or_else(|| self.http.take());
        self.tls = next.tls.clone().or_else(|| self.tls.take());
        if !next.servers.is_empty() {
            self.servers.clone_from(&next.servers);
        }
        self.environment = next.environment.clone().or_else(|| self.environment.take());
        self.rates = next.rates.clone().or_else(|| self.rates.take());
        self.sessions = next.sessions.clone().or_else(|| self.sessions.take());
        match (&mut self.progress, &next.progress) {
            (Some(mine), Some(more)) => mine.absorb(more),
            (mine @ None, Some(more)) => *mine = Some(more.clone()),
            (_, None) => {}
        }
        self.latencies.add(&next.latencies);
    }
}
