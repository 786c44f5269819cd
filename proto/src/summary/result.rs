//! The result of a test at any moment, in the shape of `GET /metrics/{id}`.

use hdrhistogram::Histogram;

mod shape;

pub use shape::{
    Accounting, Bytes, Context, Coverage, CurvePoint, MissingReports, NodeResult, Tally, TestResult,
};

use super::threshold::Measured;
use super::verdict::{self, Evidence};
use super::{Judgement, NodeSummary, Statistics, Summary, ThresholdResult, Verdict};
use crate::histogram::Sparse;
use crate::measure::Counters;
use crate::units;

impl Summary {
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
        let accounted = tally
            .sent
            .saturating_add(tally.shed)
            .saturating_add(tally.not_sent);
        Coverage {
            nodes_expected: context.expected.len(),
            nodes_reporting: context
                .expected
                .iter()
                .filter(|id| self.node(id).is_some())
                .count(),
            nodes_finished: context.expected.iter().filter(ended).count(),
            reports_missing: count(&missing),
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
    let figures = node.figures();
    let evidence = Evidence {
        closed_loop: context.closed_loop,
        ended: node.has_ended(),
        counters: &totals.counters,
        response: &figures.response,
        release_lag: &figures.release_lag,
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
        metrics: figures.response,
        service: figures.service,
        release_lag: figures.release_lag,
        error_latency: figures.error,
        first_send_ms: node.first_send_ns.map(|ns| ns as f64 / 1e6),
        clock: node.clock,
        health: totals.health,
        connections: node.connections,
        foreign: node.foreign,
        verdict: verdict::of_node(&evidence),
    }
}

/// Reports in ranges that never came.
fn count<'a>(missing: impl IntoIterator<Item = &'a MissingReports>) -> u64 {
    let reports = |gap: &MissingReports| (gap.last - gap.first).saturating_add(1);
    missing
        .into_iter()
        .map(reports)
        .fold(0, u64::saturating_add)
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
    let unhealed = coverage.missing.iter().filter(|gap| !gap.healed);
    let reports = count(unhealed);
    if reports > 0 {
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
    // One pass over the buckets instead of one for each point.
    let (response, service) = (Sparse::from(response), Sparse::from(service));
    let of_response = response.values_at_quantiles(quantiles());
    let of_service = service.values_at_quantiles(quantiles());
    quantiles()
        .zip(of_response.zip(of_service))
        .map(|(quantile, (response_ns, service_ns))| CurvePoint {
            quantile,
            response_ms: response_ns.map(units::ns_to_ms),
            service_ms: service_ns.map(units::ns_to_ms),
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
