//! The result of a test at any moment, in the shape of `GET /metrics/{id}`.
//!
//! Fields are added to it, never changed.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::series::SeriesRow;
use super::threshold::Measured;
use super::verdict::{self, Evidence};
use super::{
    Counters, ErrorCounters, Judgement, NodeSummary, Statistics, Summary, Threshold,
    ThresholdResult, Verdict,
};
use crate::histogram::Latencies;
use crate::message::{ClockOffset, Connections, Health, LatencyFigures, Outcome};
use crate::units;

/// What the reports themselves do not say.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The test.
    pub test_id: &'a str,
    /// `AVALANCHE` or `TSUNAMI`.
    pub test_type: &'a str,
    /// The run's state, by its name in the API.
    pub state: &'a str,
    /// Whether requests wait for answers.
    pub closed_loop: bool,
    /// Whether the run is over, so that what is missing now will stay missing.
    pub ended: bool,
    /// Requests planned for each driver, where that is known before the run.
    pub planned_per_driver: Option<u64>,
    /// The participants, frozen when the run was armed.
    pub expected: &'a [String],
    /// The conditions on the result.
    pub thresholds: &'a [Threshold],
    /// The first second of the series that is wanted.
    pub series_from: u64,
}

/// Bytes on the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Bytes {
    /// Of requests.
    pub sent: u64,
    /// Of answers.
    pub received: u64,
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
    /// See [`Counters::completed`].
    pub completed: u64,
    /// See [`Counters::ok`].
    pub ok: u64,
    /// See [`Counters::shed`].
    pub shed: u64,
    /// See [`Counters::not_sent`].
    pub not_sent: u64,
    /// See [`Counters::aborted`].
    pub aborted: u64,
    /// See [`Counters::warmup_sent`].
    pub warmup_sent: u64,
    /// By kind.
    pub errors: ErrorCounters,
    /// See [`Counters::connect_errors`].
    pub connect_errors: u64,
    /// Throughput: ok answers a second of the run so far; `None` before the first report.
    pub requests_per_second: Option<f64>,
    /// Length of the run so far, s.
    pub elapsed_s: f64,
    /// See [`Counters::clamped`].
    pub clamped: u64,
    /// Complete answers by status.
    pub status_codes: BTreeMap<u16, u64>,
    /// Bytes on the connections.
    pub bytes: Bytes,
}

impl Tally {
    fn new(counters: &Counters, planned: u64, end_ns: u64) -> Self {
        let elapsed_s = units::ns_to_seconds(end_ns);
        Self {
            planned,
            offered: counters.offered,
            sent: counters.sent,
            completed: counters.completed,
            ok: counters.ok,
            shed: counters.shed,
            not_sent: counters.not_sent,
            aborted: counters.aborted,
            warmup_sent: counters.warmup_sent,
            errors: counters.errors,
            connect_errors: counters.connect_errors,
            requests_per_second: (end_ns > 0).then(|| counters.ok as f64 / elapsed_s),
            elapsed_s,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// Participants that have not sent their last report; at the end of a run, the lost ones.
    pub unfinished_nodes: Vec<String>,
    /// Nodes whose figures are shown but cannot be merged: they send no histograms.
    pub unmerged_nodes: Vec<String>,
    /// Share (0 to 1) of the planned requests that is accounted for; `None` when nothing is planned.
    pub planned_share: Option<f64>,
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
    /// Actual first send minus the common start, ms.
    pub first_send_ms: Option<f64>,
    /// Its clock against the orchestrator's.
    pub clock: Option<ClockOffset>,
    /// Its own condition.
    pub health: Health,
    /// Spread over the connections.
    pub connections: Option<Connections>,
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
    /// Largest minus smallest first send over the nodes, ms; `None` with fewer than two.
    pub start_skew_ms: Option<f64>,
    /// Whether the numbers may be believed.
    pub verdict: Verdict,
    /// The conditions on the result.
    pub thresholds: Vec<ThresholdResult>,
    /// The percentile curve.
    pub curve: Vec<CurvePoint>,
    /// Each node's part.
    pub nodes: Vec<NodeResult>,
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

impl Summary {
    /// The samples of all nodes in one set of histograms.
    #[must_use]
    pub fn merged(&self) -> Latencies {
        let mut all = Latencies::new();
        for node in self.nodes().values() {
            node.totals().latencies.add_to(&mut all);
        }
        all
    }

    /// The result as it stands.
    #[must_use]
    pub fn result(&self, context: &Context<'_>) -> TestResult {
        let merged = self.merged();
        let nodes: Vec<NodeResult> = self
            .nodes()
            .iter()
            .map(|(id, node)| node_result(id, node, context))
            .collect();
        let mut counters = Counters::default();
        self.nodes()
            .values()
            .for_each(|node| counters.add(&node.totals().counters));
        let end_ns = self
            .nodes()
            .values()
            .map(|node| node.totals().end_ns)
            .max()
            .unwrap_or(0);
        let tally = Tally::new(&counters, self.planned(context, &counters), end_ns);
        let figures = [&merged.response, &merged.service, &merged.release_lag].map(Statistics::of);
        let coverage = self.coverage(context, &tally);
        let accounting = accounting(&tally, &counters, context, &coverage);
        TestResult {
            test_id: context.test_id.to_owned(),
            test_type: context.test_type.to_owned(),
            state: context.state.to_owned(),
            verdict: run_verdict(context, &coverage, &accounting, &nodes),
            thresholds: thresholds(context, &counters, &tally, &figures),
            coverage,
            accounting,
            metrics: figures[0],
            service: figures[1],
            release_lag: figures[2],
            error_latency: Statistics::of(&merged.error),
            start_skew_ms: start_skew_ms(&nodes),
            curve: curve(&merged.response, &merged.service),
            tally,
            nodes,
            series: self.series(context.series_from),
        }
    }

    /// Planned requests: of every participant where that is known, else what was reported.
    fn planned(&self, context: &Context<'_>, counters: &Counters) -> u64 {
        match context.planned_per_driver {
            None => counters.planned,
            Some(each) => {
                let nodes = context
                    .expected
                    .iter()
                    .filter(|id| !self.is_foreign(id))
                    .count();
                each.saturating_mul(nodes as u64).max(counters.planned)
            }
        }
    }

    fn is_foreign(&self, node_id: &str) -> bool {
        self.node(node_id)
            .is_some_and(|node| node.foreign.is_some())
    }

    fn coverage(&self, context: &Context<'_>, tally: &Tally) -> Coverage {
        let missing: Vec<MissingReports> = self
            .nodes()
            .iter()
            .flat_map(|(id, node)| {
                node.gaps().into_iter().map(|(first, last)| MissingReports {
                    node_id: id.clone(),
                    first,
                    last,
                    healed: node.has_ended(),
                })
            })
            .collect();
        let ended = |id: &&String| self.node(id).is_some_and(NodeSummary::has_ended);
        let accounted = tally.sent + tally.shed + tally.not_sent;
        Coverage {
            nodes_expected: context.expected.len(),
            nodes_reporting: context
                .expected
                .iter()
                .filter(|id| self.node(id).is_some())
                .count(),
            nodes_finished: context.expected.iter().filter(ended).count(),
            reports_missing: missing.iter().map(|gap| gap.last - gap.first + 1).sum(),
            missing,
            unfinished_nodes: context
                .expected
                .iter()
                .filter(|id| !ended(id) && !self.is_foreign(id))
                .cloned()
                .collect(),
            unmerged_nodes: self
                .nodes()
                .iter()
                .filter(|(_, node)| node.foreign.is_some())
                .map(|(id, _)| id.clone())
                .collect(),
            planned_share: (tally.planned > 0).then(|| accounted as f64 / tally.planned as f64),
        }
    }
}

fn node_result(id: &str, node: &NodeSummary, context: &Context<'_>) -> NodeResult {
    let totals = node.totals();
    let latencies = &totals.latencies;
    let metrics = Statistics::of_sparse(&latencies.response);
    let release_lag = Statistics::of_sparse(&latencies.release_lag);
    let evidence = Evidence {
        closed_loop: context.closed_loop,
        ended: node.has_ended(),
        counters: &totals.counters,
        response: &metrics,
        release_lag: &release_lag,
        health: &totals.health,
        clock: node.clock,
        outcome: node.outcome,
        reason: node.reason.as_deref(),
    };
    let planned = context
        .planned_per_driver
        .unwrap_or(0)
        .max(totals.counters.planned);
    NodeResult {
        node_id: id.to_owned(),
        outcome: node.outcome,
        reason: node.reason.clone(),
        tally: Tally::new(&totals.counters, planned, totals.end_ns),
        rate: node.latest.map(|row| row.sent),
        metrics,
        service: Statistics::of_sparse(&latencies.service),
        release_lag,
        error_latency: Statistics::of_sparse(&latencies.error),
        first_send_ms: node.first_send_ns.map(|ns| ns as f64 / 1e6),
        clock: node.clock,
        health: totals.health,
        connections: node.connections,
        foreign: node.foreign,
        verdict: verdict::of_node(&evidence),
    }
}

fn accounting(
    tally: &Tally,
    counters: &Counters,
    context: &Context<'_>,
    coverage: &Coverage,
) -> Accounting {
    let counters = Counters {
        planned: tally.planned,
        ..counters.clone()
    };
    let check = counters.check();
    let whole = context.ended && coverage.unfinished_nodes.is_empty();
    Accounting {
        holds: whole && check.is_ok(),
        imbalance: check
            .err()
            .filter(|_| context.ended)
            .map(|imbalance| imbalance.to_string()),
    }
}

fn run_verdict(
    context: &Context<'_>,
    coverage: &Coverage,
    accounting: &Accounting,
    nodes: &[NodeResult],
) -> Verdict {
    let mut verdict = Verdict::default();
    for node in nodes {
        verdict.absorb(&format!("{}: ", node.node_id), &node.verdict);
    }
    for node in &coverage.unmerged_nodes {
        let reason = format!("{node}: sends no histograms; its samples are in no percentile");
        verdict.note(Judgement::Suspect, reason);
    }
    if !context.ended {
        return verdict;
    }
    for node in &coverage.unfinished_nodes {
        let reason = format!("{node}: lost before its last report; its later requests are unknown");
        verdict.note(Judgement::Suspect, reason);
    }
    let unhealed: Vec<&MissingReports> = coverage.missing.iter().filter(|m| !m.healed).collect();
    if !unhealed.is_empty() {
        let reports: u64 = unhealed.iter().map(|gap| gap.last - gap.first + 1).sum();
        verdict.note(Judgement::Invalid, format!("{reports} reports never came"));
    }
    if nodes.is_empty() {
        verdict.note(Judgement::Invalid, "no driver reported anything");
    } else if coverage.unfinished_nodes.is_empty() && !accounting.holds {
        let why = accounting.imbalance.as_deref().unwrap_or("unknown");
        verdict.note(
            Judgement::Invalid,
            format!("the accounting does not add up: {why}"),
        );
    }
    verdict
}

fn thresholds(
    context: &Context<'_>,
    counters: &Counters,
    tally: &Tally,
    [response, service, release_lag]: &[Statistics; 3],
) -> Vec<ThresholdResult> {
    let requests_per_second = tally.requests_per_second;
    let measured = Measured {
        counters,
        requests_per_second,
        response,
        service,
        release_lag,
    };
    context
        .thresholds
        .iter()
        .map(|threshold| threshold.evaluate(&measured))
        .collect()
}

fn start_skew_ms(nodes: &[NodeResult]) -> Option<f64> {
    let firsts: Vec<f64> = nodes.iter().filter_map(|node| node.first_send_ms).collect();
    let earliest = firsts.iter().copied().reduce(f64::min)?;
    let latest = firsts.iter().copied().reduce(f64::max)?;
    (firsts.len() > 1).then_some(latest - earliest)
}

/// Response and service time at the same quantiles, denser towards the tail: the gap between the
/// two is what coordinated omission would have hidden.
#[must_use]
pub fn curve(response: &Histogram<u64>, service: &Histogram<u64>) -> Vec<CurvePoint> {
    let at = |histogram: &Histogram<u64>, quantile| {
        (!histogram.is_empty()).then(|| units::ns_to_ms(histogram.value_at_quantile(quantile)))
    };
    quantiles()
        .map(|quantile| CurvePoint {
            quantile,
            response_ms: at(response, quantile),
            service_ms: at(service, quantile),
        })
        .collect()
}

/// 0 to 1 in steps that halve the rest: ten to each halving, down to 1 in 2^20.
fn quantiles() -> impl Iterator<Item = f64> {
    (0..200_u32)
        .map(|step| 1.0 - 0.5_f64.powf(f64::from(step) / 10.0))
        .chain([1.0])
}

#[cfg(test)]
mod tests;
