//! The fold itself: reports in, totals out.

mod parts;

use std::sync::OnceLock;

use rpds::RedBlackTreeMapSync;

use super::Statistics;
use super::heatmap::HeatGrid;
use super::lines::{NodeCourse, NodeCourses, StepFold, StepGrid};
use super::ranges::Ranges;
use super::series::{Series, SeriesRow};
use crate::histogram::SparseLatencies;
use crate::measure::{
    Addresses, BadAnswers, ClockOffset, Connections, Counters, Environment, Health, LatencyFigures,
    Outcome, RatesFollowed, Reasons, Report, SecondRow, ServerReport, SessionCounts, TlsReport,
};
use crate::message::Metrics;

/// What a message did to the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absorbed {
    /// It was counted.
    New,
    /// All or part of it had been counted before; nothing changed.
    Duplicate,
    /// It came from another implementation: its figures are shown, nothing is merged.
    Foreign,
}

/// Counts and samples of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// The counts.
    pub counters: Counters,
    /// The samples.
    pub latencies: SparseLatencies,
    /// The driver's own condition.
    pub health: Health,
    /// End of the latest interval, ns since the start of the run.
    pub end_ns: u64,
    /// Length of the sending window, ns; `None` as long as it goes on, and of nodes that do not say.
    pub sending_ns: Option<u64>,
    /// Why requests and connections failed.
    pub reasons: Reasons,
    /// The first answers that count as errors.
    pub bad_answers: BadAnswers,
    /// Where the connections went.
    pub addresses: Addresses,
    /// The version of HTTP that it spoke; known at the end.
    pub http: Option<String>,
    /// TLS of its connections; known at the end.
    pub tls: Option<TlsReport>,
    /// The servers, where there are several; known at the end.
    pub servers: Vec<ServerReport>,
    /// What it ran on; known at the end.
    pub environment: Option<Environment>,
}

impl Totals {
    /// Takes in all of a report but its samples.
    fn count(&mut self, report: &Report) {
        self.counters.add(&report.counters);
        self.health.absorb(&report.health);
        self.end_ns = self.end_ns.max(report.interval_end_ns);
        self.sending_ns = self.sending_ns.max(report.sending_ns);
        self.reasons.absorb(&report.reasons);
        self.bad_answers.absorb(&report.bad_answers);
        self.addresses.absorb(&report.addresses);
        self.http = report.http.clone().or_else(|| self.http.take());
        self.tls = report.tls.clone().or_else(|| self.tls.take());
        if !report.servers.is_empty() {
            self.servers.clone_from(&report.servers);
        }
        let environment = report.environment.clone();
        self.environment = environment.or_else(|| self.environment.take());
    }

    /// The time in which requests were sent so far, ns.
    #[must_use]
    pub fn window_ns(&self) -> u64 {
        self.sending_ns.unwrap_or(self.end_ns)
    }
}

/// The figures of a set of histograms.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Of response times.
    pub response: Statistics,
    /// Of service times.
    pub service: Statistics,
    /// Of release lags.
    pub release_lag: Statistics,
    /// Of the response times of errors.
    pub error: Statistics,
    /// Of the times to connect.
    pub connect: Statistics,
    /// Of the handshakes of TLS.
    pub handshake: Statistics,
    /// Of the times to the first byte of an answer.
    pub first_byte: Statistics,
}

impl From<&SparseLatencies> for Figures {
    fn from(latencies: &SparseLatencies) -> Self {
        let service = Statistics::of_sparse(&latencies.service);
        Self {
            response: Statistics::of_sparse(&latencies.response),
            service,
            release_lag: Statistics::of_sparse(&latencies.release_lag),
            error: Statistics::of_sparse(&latencies.error),
            connect: Statistics::of_sparse(&latencies.connect),
            handshake: Statistics::of_sparse(&latencies.handshake),
            first_byte: if latencies.are_in_one_piece() {
                service
            } else {
                Statistics::of_sparse(&latencies.first_byte)
            },
        }
    }
}

/// What one node reported on one test.
#[derive(Debug, Clone, Default)]
pub struct NodeSummary {
    seen: Ranges,
    /// Of what came before the last report; without the samples that came merged or were joined. Of a
    /// node whose samples are all its own it is let go of with the last report, which has all of it.
    intervals: Totals,
    last: Option<Totals>,
    /// Whether samples of it came merged with those of others, or were joined with them.
    is_merged: bool,
    /// Computed when they are first asked for after a report: a live result shows them all each
    /// time, and most nodes have not reported since the last one.
    figures: OnceLock<Figures>,
    /// Actual first send minus the common start, ns.
    pub first_send_ns: Option<i64>,
    /// The clock offset that the node was told.
    pub clock: Option<ClockOffset>,
    /// How it followed changes of the rate, as far as it said.
    pub rates: Option<Box<RatesFollowed>>,
    /// What became of its sessions: counts of steps and flows while it goes on, all at the end.
    pub sessions: Option<Box<SessionCounts>>,
    /// Spread over the connections.
    pub connections: Option<Connections>,
    /// How the node's part ended.
    pub outcome: Option<Outcome>,
    /// Why it failed, or another remark.
    pub reason: Option<String>,
    /// The latest figures of a node of another implementation.
    pub foreign: Option<LatencyFigures>,
    /// The latest second's counts, for a live rate.
    pub latest: Option<SecondRow>,
    /// The counts of all its seconds, joined where there are many.
    course: NodeCourse,
}

impl NodeSummary {
    /// The node's totals: those of its last report if it came, else the sum of its intervals.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        self.last.as_ref().unwrap_or(&self.intervals)
    }

    /// The latency figures of the totals; none where its samples came merged with those of others,
    /// until its last report.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        let compute = || match &self.last {
            None if self.is_merged => Figures::default(),
            _ => Figures::from(&self.totals().latencies),
        };
        self.figures.get_or_init(compute)
    }

    /// Whether the node has sent its last report.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.last.is_some()
    }

    /// Sequence numbers that never came, as inclusive ranges. The last report heals the totals,
    /// but the series of seconds keeps the gap.
    #[must_use]
    pub fn gaps(&self) -> Vec<(u64, u64)> {
        self.seen.gaps()
    }

    /// Takes in a report; `keeps_samples` when those of an interval are to be its node's own. Those of
    /// a last report are.
    fn absorb(&mut self, report: &Report, keeps_samples: bool) -> Absorbed {
        if !self.seen.insert(report.sequence_first, report.sequence) {
            return Absorbed::Duplicate;
        }
        self.figures = OnceLock::new();
        if report.last {
            let mut totals = Totals::default();
            totals.count(report);
            totals.latencies = report.latencies.clone();
            self.last = Some(totals);
            if !self.is_merged {
                // Of a thousand drivers they would be half of the memory.
                self.intervals = Totals::default();
            }
            self.outcome = report.outcome;
            self.connections = report.connections;
            self.sessions.clone_from(&report.sessions);
        } else if self.last.is_none() || self.is_merged {
            self.intervals.count(report);
            if keeps_samples {
                self.intervals.latencies.add(&report.latencies);
            }
            if let Some(progress) = report.progress.as_ref().filter(|_| self.last.is_none()) {
                self.sessions.get_or_insert_default().see(progress);
            }
        }
        report.seconds.iter().for_each(|row| self.course.add(row));
        self.first_send_ns = self.first_send_ns.or(report.first_send_ns);
        self.clock = report.clock.or(self.clock);
        if let Some(rates) = &report.rates
            && self
                .rates
                .as_ref()
                .is_none_or(|known| known.known < rates.known)
        {
            self.rates = Some(rates.clone());
        }
        self.reason = report.reason.clone().or_else(|| self.reason.take());
        let newest = report.seconds.iter().max_by_key(|row| row.second).copied();
        if newest.map(|row| row.second) > self.latest.map(|row| row.second) {
            self.latest = newest;
        }
        Absorbed::New
    }
}

/// The nodes of a test, by id.
pub type Nodes = RedBlackTreeMapSync<String, NodeSummary>;

/// Everything reported on one test. The order and the number of times in which messages are
/// absorbed make no difference, but that of one node's to the seconds in which its steps count. A
/// clone shares all that does not change after it, and costs next to nothing: readers of a live run
/// merge and compute on one of their own.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    nodes: Nodes,
    series: Series,
    steps: StepFold,
    /// The samples that came merged, of all nodes, and those that are joined.
    parts: SparseLatencies,
    /// Whether samples are joined with those of the other nodes as they come.
    joins: bool,
    /// Computed when it is first asked for after a report.
    merged: OnceLock<SparseLatencies>,
}

impl Summary {
    /// Takes in one message; its `test_id` is the caller's to check.
    pub fn absorb(&mut self, message: &Metrics) -> Absorbed {
        let joins = self.joins;
        let node = self.of_node(&message.node_id);
        let Some(report) = &message.report else {
            node.foreign = Some(message.metrics);
            return Absorbed::Foreign;
        };
        let is_joined = joins && node.can_be_joined(report);
        node.is_merged |= is_joined;
        let absorbed = node.absorb(report, !is_joined);
        if absorbed == Absorbed::New {
            if is_joined {
                self.parts.add(&report.latencies);
            }
            self.merged = OnceLock::new();
            self.steps.absorb(&message.node_id, report);
            if !report.last {
                self.series.add(report);
            }
        }
        absorbed
    }

    fn of_node(&mut self, node_id: &str) -> &mut NodeSummary {
        if !self.nodes.contains_key(node_id) {
            self.nodes
                .insert_mut(node_id.to_owned(), NodeSummary::default());
        }
        let node = self.nodes.get_mut(node_id);
        node.expect("invariant: it was put there")
    }

    /// What became of the sessions of all nodes that said so; `None` before one did.
    #[must_use]
    pub fn sessions(&self) -> Option<SessionCounts> {
        let said = self
            .nodes
            .values()
            .filter_map(|node| node.sessions.as_deref());
        said.fold(None, |all, more| {
            let mut all = all.unwrap_or_default();
            SessionCounts::add(&mut all, more);
            Some(all)
        })
    }

    /// The nodes that reported, by id.
    #[must_use]
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// One node.
    #[must_use]
    pub fn node(&self, node_id: &str) -> Option<&NodeSummary> {
        self.nodes.get(node_id)
    }

    /// The seconds of the run from `first` on, over all nodes. Once the sending has ended they say
    /// which of them it did not fill.
    #[must_use]
    pub fn series(&self, first: u64) -> Vec<SeriesRow> {
        let mut rows = self.series.rows(first);
        if let Some(sending_ns) = self.sending_ns() {
            rows.iter_mut().for_each(|row| row.mark(sending_ns));
        }
        rows
    }

    /// The samples of the seconds before one, by time and band.
    #[must_use]
    pub fn heat(&self, before: u64) -> HeatGrid {
        self.series.heat(before)
    }

    /// What each node counted by time.
    #[must_use]
    pub fn courses(&self) -> NodeCourses {
        NodeCourses::of(self.nodes.iter().map(|(id, node)| (id, &node.course)))
    }

    /// What each step counted by time, over all nodes.
    #[must_use]
    pub fn steps(&self) -> &StepGrid {
        self.steps.grid()
    }

    /// What of these totals no second of the series has: the requests of interval reports that never
    /// came, of which only their node's last report tells.
    #[must_use]
    pub(super) fn in_no_second(&self, totals: &Counters) -> SecondRow {
        SecondRow::of(totals).less(self.series.sum())
    }

    /// The time in which requests were sent, ns; `None` while a node goes on beyond what the others
    /// say.
    fn sending_ns(&self) -> Option<u64> {
        let totals = || self.nodes.values().map(NodeSummary::totals);
        let said = totals().filter_map(|node| node.sending_ns).max()?;
        let goes_on = |node: &Totals| node.sending_ns.is_none() && node.end_ns > said;
        (!totals().any(goes_on)).then_some(said)
    }
}

#[cfg(test)]
mod tests;
