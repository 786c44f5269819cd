//! The result of a test at any moment, in the shape of `GET /metrics/{id}`.

mod accounts;
mod context;
mod rows;
mod shape;

pub use context::{Context, Plan};
pub use rows::{CheckRow, DataRow, FlowRow, SessionRows, StepRow};
pub use shape::{
    Accounting, Bytes, ConnectionFigures, Coverage, CurvePoint, InNoSecond, MissingReports,
    NodeResult, Tally, TestResult,
};

use accounts::Accounts;
use shape::Span;

use super::fold::Totals;
use super::plausibility::{Ended, LinkUse, LittlesLaw};
use super::steadiness;
use super::thresholds::Measured;
use super::validity::{self, Doubt, Evidence};
use super::{Figures, Intervals, NodeSummary, Statistics, Summary, ThresholdResult, Verdict};
use crate::histogram::Sparse;
use crate::measure::{Addresses, BadAnswers, Counters, Outcome, Reasons, SessionCounts};
use crate::units;

/// What is known of a document's sessions where no node said anything.
static NO_SESSIONS: SessionCounts = SessionCounts {
    steps: Vec::new(),
    flows: Vec::new(),
    data: Vec::new(),
};

impl Summary {
    /// The result as it stands.
    #[must_use]
    pub fn result(&self, context: &Context<'_>) -> TestResult {
        let merged = self.merged();
        let accounts = Accounts::new(self, context);
        let nodes: Vec<NodeResult> = self
            .nodes()
            .iter()
            .map(|(id, node)| node_result(id, node, &accounts.nodes[id.as_str()], context))
            .collect();
        let span = self.span(context);
        let tally = Tally::new(&accounts.total, span);
        let figures = Figures::from(merged);
        let coverage = self.coverage(context, &accounts.total);
        let accounting = accounting(&accounts.total, context, &coverage);
        let littles_law = self.littles_law(context, &tally, &coverage);
        let links = self.links();
        let (reasons, bad_answers, addresses) = self.what_else_was_seen();
        let mut thresholds = self.thresholds(context, &accounts.total, &tally, &figures);
        let counts = self.sessions();
        let sessions = context.document.and_then(|document| {
            if context.ended {
                let counts = counts.as_ref().unwrap_or(&NO_SESSIONS);
                thresholds.extend(rows::thresholds(document, counts));
            }
            Some(SessionRows::new(document, counts.as_ref()?, span))
        });
        TestResult {
            test_id: context.test_id.to_owned(),
            test_type: context.test_type.to_owned(),
            state: context.state.to_owned(),
            command: Vec::new(),
            document_sha256: None,
            aborted_by: context.aborted_by.map(str::to_owned),
            rate_changes: self.rate_rows(context),
            verdict: {
                let mut verdict =
                    self.verdict(context, &coverage, &accounting, &accounts, &figures, &nodes);
                let full = links.iter().filter_map(LinkUse::doubt);
                let doubt = littles_law.as_ref().and_then(LittlesLaw::doubt);
                full.chain(doubt).for_each(|doubt| verdict.note(&doubt));
                verdict
            },
            littles_law,
            links,
            thresholds,
            coverage,
            accounting,
            metrics: figures.response,
            service: figures.service,
            release_lag: figures.release_lag,
            error_latency: figures.error,
            connect: figures.connect,
            handshake: figures.handshake,
            first_byte: figures.first_byte,
            reasons,
            bad_answers,
            addresses,
            start_skew_ms: start_skew_ms(&nodes),
            curve: curve(&merged.response, &merged.service),
            intervals: Intervals::of(&merged.response, &merged.service),
            tally,
            nodes,
            sessions,
            series: self.series(context.series_from),
        }
    }

    /// Whether rate and response time go together, where every participant had its connections to the
    /// end, and a target to send to.
    fn littles_law(
        &self,
        context: &Context<'_>,
        tally: &Tally,
        coverage: &Coverage,
    ) -> Option<LittlesLaw> {
        let each = context.in_flight.filter(|_| context.ended)?;
        let is_whole = coverage.unfinished_nodes.is_empty() && coverage.unmerged_nodes.is_empty();
        let mut totals = self.nodes().values().map(NodeSummary::totals);
        let was_away = totals.any(|totals| totals.health.away_ns > 0);
        if !is_whole || was_away || tally.refused > 0 {
            return None;
        }
        let nodes = context.expected.len() as u64;
        let window_s = tally.elapsed_s - tally.drain_s.unwrap_or(0.0);
        let merged = self.merged();
        let ended = [&merged.response, &merged.error].map(|histogram| Ended {
            count: histogram.len(),
            mean_ms: Statistics::of_sparse(histogram).mean,
        });
        LittlesLaw::of(each.saturating_mul(nodes), window_s, &ended)
    }

    /// What the nodes that have ended put on their links.
    fn links(&self) -> Vec<LinkUse> {
        LinkUse::of(self.nodes().values().filter_map(|node| {
            let totals = node.totals();
            let span = Span::of(totals);
            let Counters {
                bytes_sent,
                bytes_received,
                ..
            } = totals.counters;
            let bytes_per_s = [
                span.per_second(bytes_sent)?,
                span.per_second(bytes_received)?,
            ];
            Some((totals.environment.as_ref()?, bytes_per_s))
        }))
    }

    /// The time of all nodes together, which ran at once.
    fn span(&self, context: &Context<'_>) -> Span {
        let spans = || self.nodes().values().map(|node| Span::of(node.totals()));
        let joined = spans().reduce(Span::join).unwrap_or_default();
        Span {
            // A lost node does not say when it stopped.
            is_sent: joined.is_sent || context.ended && spans().any(|span| span.is_sent),
            ..joined
        }
    }

    fn what_else_was_seen(&self) -> (Reasons, BadAnswers, Addresses) {
        let (mut reasons, mut addresses) = (Reasons::default(), Addresses::default());
        let mut bad_answers = BadAnswers::default();
        for node in self.nodes().values() {
            reasons.absorb(&node.totals().reasons);
            bad_answers.absorb(&node.totals().bad_answers);
            addresses.absorb(&node.totals().addresses);
        }
        (reasons, bad_answers, addresses)
    }

    fn is_foreign(&self, node_id: &str) -> bool {
        self.node(node_id)
            .is_some_and(|node| node.foreign.is_some())
    }

    fn coverage(&self, context: &Context<'_>, counters: &Counters) -> Coverage {
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
        let planned = counters.planned;
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
            in_no_second: self.in_no_second(counters).into(),
            times_missing: self.times_missing(),
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
            planned_share: (planned > 0).then(|| counters.accounted() as f64 / planned as f64),
        }
    }

    fn verdict(
        &self,
        context: &Context<'_>,
        coverage: &Coverage,
        accounting: &Accounting,
        accounts: &Accounts<'_>,
        figures: &Figures,
        nodes: &[NodeResult],
    ) -> Verdict {
        let mut verdict = Verdict::default();
        for node in nodes {
            verdict.absorb(&format!("{}: ", node.node_id), &node.verdict);
        }
        if self.is_merged_node_open()
            && let Some(doubt) = validity::late_release(&figures.response, &figures.release_lag)
        {
            verdict.note(&doubt);
        }
        let of_node = |node: &String, doubt: Doubt<'_>| format!("{node}: {doubt}");
        for node in &coverage.unmerged_nodes {
            let doubt = Doubt::NoHistograms;
            verdict.add(doubt.judgement(), of_node(node, doubt));
        }
        if !context.ended {
            return verdict;
        }
        for node in &coverage.unfinished_nodes {
            let unknown = accounts.unknown(node);
            let doubt = Doubt::Lost { unknown };
            verdict.add(doubt.judgement(), of_node(node, doubt));
        }
        let missing = count(coverage.missing.iter().filter(|gap| !gap.healed));
        if missing > 0 {
            verdict.note(&Doubt::ReportsMissing { missing });
        }
        if coverage.times_missing > 0 {
            let answers = coverage.times_missing;
            verdict.note(&Doubt::TimesMissing { answers });
        }
        if nodes.is_empty() {
            verdict.note(&Doubt::NothingReported);
        } else if coverage.unfinished_nodes.is_empty() && !accounting.holds {
            let imbalance = accounting.imbalance.as_deref().unwrap_or("unknown");
            verdict.note(&Doubt::Imbalance { imbalance });
        }
        if let Some(doubt) = validity::few_samples(self.merged().response.len()) {
            verdict.note(&doubt);
        }
        let drift = context
            .level_load
            .then(|| steadiness::drift(&self.series(0)));
        if let Some(drift) = drift.flatten() {
            verdict.note(&drift);
        }
        verdict
    }

    fn thresholds(
        &self,
        context: &Context<'_>,
        counters: &Counters,
        tally: &Tally,
        figures: &Figures,
    ) -> Vec<ThresholdResult> {
        let lost_target = |node: &NodeSummary| node.outcome == Some(Outcome::TargetLost);
        let measured = Measured {
            counters,
            requests_per_second: tally.requests_per_second,
            target_lost: self.nodes().values().any(lost_target),
            response: &figures.response,
            service: &figures.service,
            release_lag: &figures.release_lag,
        };
        context
            .thresholds
            .iter()
            .map(|threshold| {
                let merged = self.merged();
                measured.against(threshold).with_samples(
                    threshold,
                    &merged.response,
                    &merged.service,
                )
            })
            .collect()
    }
}

fn node_result(
    id: &str,
    node: &NodeSummary,
    counters: &Counters,
    context: &Context<'_>,
) -> NodeResult {
    let totals = node.totals();
    let figures = node.figures();
    let evidence = Evidence {
        closed_loop: context.closed_loop,
        ended: node.has_ended(),
        elapsed_ns: totals.end_ns,
        counters: &totals.counters,
        response: &figures.response,
        release_lag: &figures.release_lag,
        health: &totals.health,
        clock: node.clock,
        outcome: node.outcome,
        reason: node.reason.as_deref(),
        unchecked: is_unchecked(totals),
    };
    let mut verdict = validity::of_node(&evidence);
    for (number, change) in context.rates.iter().enumerate() {
        let at_s = units::ns_to_seconds(change.at_ns);
        let late_ns = node.rate_late_ns(number);
        if late_ns > 0 {
            verdict.note(&Doubt::LateRate { at_s, late_ns });
        } else if node.ignored_rate(number, context) {
            verdict.note(&Doubt::RateIgnored { at_s });
        }
    }
    let mut tally = Tally::new(counters, Span::of(totals));
    tally.connections.spread = node.connections;
    NodeResult {
        node_id: id.to_owned(),
        outcome: node.outcome,
        reason: node.reason.clone(),
        tally,
        rate: node.latest.map(|row| row.sent),
        metrics: figures.response,
        service: figures.service,
        release_lag: figures.release_lag,
        error_latency: figures.error,
        connect: figures.connect,
        handshake: figures.handshake,
        first_byte: figures.first_byte,
        reasons: totals.reasons.clone(),
        addresses: totals.addresses.clone(),
        http: totals.http.clone(),
        tls: totals.tls.clone(),
        servers: totals.servers.clone(),
        environment: totals.environment.clone(),
        first_send_ms: node.first_send_ns.map(|ns| ns as f64 / 1e6),
        clock: node.clock,
        health: totals.health,
        foreign: node.foreign,
        verdict,
    }
}

/// Reports in ranges that never came.
/// Whether the certificate of a server was not checked.
fn is_unchecked(totals: &Totals) -> bool {
    let servers = totals.servers.iter().map(|server| &server.tls);
    let mut tls = servers.chain([&totals.tls]).flatten();
    tls.any(|tls| tls.insecure)
}

fn count<'a>(missing: impl IntoIterator<Item = &'a MissingReports>) -> u64 {
    let reports = |gap: &MissingReports| (gap.last - gap.first).saturating_add(1);
    missing
        .into_iter()
        .map(reports)
        .fold(0, u64::saturating_add)
}

fn accounting(counters: &Counters, context: &Context<'_>, coverage: &Coverage) -> Accounting {
    let check = counters.check();
    let whole = context.ended && coverage.unfinished_nodes.is_empty() && counters.unknown == 0;
    Accounting {
        holds: whole && check.is_ok(),
        imbalance: check
            .err()
            .filter(|_| context.ended)
            .map(|imbalance| imbalance.to_string()),
    }
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
pub fn curve(response: &Sparse, service: &Sparse) -> Vec<CurvePoint> {
    // One pass over the buckets instead of one for each point.
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
