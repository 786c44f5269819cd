//! The result of a document by step, flow and data set, and its thresholds on them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::shape::Span;
use crate::document::{Bound, Condition, Document, Whose};
use crate::histogram::Sparse;
use crate::measure::{Counters, ErrorCounters, FlowCounts, SessionCounts, StepCounts};
use crate::summary::{Statistics, ThresholdResult};
use crate::workload::{Step, Threshold};

/// What became of the sessions of a document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionRows {
    /// By step, in the order of the document.
    pub steps: Vec<StepRow>,
    /// By flow.
    pub flows: Vec<FlowRow>,
    /// By data set.
    pub data: Vec<DataRow>,
}

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// Its name.
    pub name: String,
    /// The flow that it belongs to.
    pub flow: String,
    /// See [`StepCounts::sent`].
    pub sent: u64,
    /// See [`StepCounts::ok`].
    pub ok: u64,
    /// See [`StepCounts::status`].
    pub status: u64,
    /// See [`StepCounts::failed`].
    pub failed: u64,
    /// See [`StepCounts::lost`].
    pub lost: u64,
    /// See [`StepCounts::without_value`].
    pub without_value: u64,
    /// Good answers a second of the sending window.
    #[serde(default)]
    pub requests_per_second: Option<f64>,
    /// By check.
    pub checks: Vec<CheckRow>,
    /// Extractions that found nothing.
    pub missing: u64,
    /// Response times of good answers.
    pub response: Statistics,
    /// Their service times.
    pub service: Statistics,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRow {
    /// As it was written.
    pub check: String,
    /// Answers for which it held.
    pub held: u64,
    /// Those for which it did not.
    pub failed: u64,
}

/// The result of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowRow {
    /// Its name.
    pub name: String,
    /// See [`FlowCounts::started`].
    pub started: u64,
    /// See [`FlowCounts::completed`].
    pub completed: u64,
    /// See [`FlowCounts::failed`].
    pub failed: u64,
    /// See [`FlowCounts::cut`].
    pub cut: u64,
    /// How long whole sessions took.
    pub session: Statistics,
}

/// What became of the rows of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRow {
    /// Its name.
    pub name: String,
    /// Sessions that did not start because no row was left.
    pub used_up: u64,
    /// Rows of nodes that ended which no session was given.
    pub left: u64,
}

impl SessionRows {
    /// While a run goes on, a step or flow of which nothing was heard yet has had nothing.
    pub(super) fn new(document: &Document, sessions: &SessionCounts, span: Span) -> Self {
        let scenario = &document.scenario;
        let steps = each(&scenario.steps, &sessions.steps);
        let flows = each(&scenario.flows, &sessions.flows);
        let data = scenario.data.iter().zip(&sessions.data);
        Self {
            steps: steps
                .map(|(step, counts)| {
                    let flow = &scenario.flows[step.flow].name;
                    step_row(step, flow, &counts, span)
                })
                .collect(),
            flows: flows
                .map(|(flow, counts)| flow_row(&flow.name, &counts))
                .collect(),
            data: data
                .map(|(set, counts)| DataRow {
                    name: set.name.clone(),
                    used_up: counts.used_up,
                    left: counts.left,
                })
                .collect(),
        }
    }
}

/// Each part with its counts, or none.
fn each<'a, P, C: Clone + Default>(
    parts: &'a [P],
    counts: &'a [C],
) -> impl Iterator<Item = (&'a P, Cow<'a, C>)> {
    let known = counts.iter().map(Cow::Borrowed);
    let unknown = std::iter::repeat_with(|| Cow::Owned(C::default()));
    parts.iter().zip(known.chain(unknown))
}

fn step_row(step: &Step, flow: &str, counts: &StepCounts, span: Span) -> StepRow {
    let checks = step.checks.iter().zip(&counts.checks);
    StepRow {
        name: step.name.clone(),
        flow: flow.to_owned(),
        sent: counts.sent,
        ok: counts.ok,
        status: counts.status,
        failed: counts.failed,
        lost: counts.lost,
        without_value: counts.without_value,
        requests_per_second: span.per_second(counts.ok),
        checks: checks
            .map(|(check, (held, failed))| CheckRow {
                check: check.text.clone(),
                held: *held,
                failed: *failed,
            })
            .collect(),
        missing: counts
            .missing
            .iter()
            .fold(0, |sum, more| sum.saturating_add(*more)),
        response: Statistics::of_sparse(&counts.response),
        service: Statistics::of_sparse(&counts.service),
    }
}

fn flow_row(name: &str, counts: &FlowCounts) -> FlowRow {
    FlowRow {
        name: name.to_owned(),
        started: counts.started,
        completed: counts.completed,
        failed: counts.failed,
        cut: counts.cut,
        session: Statistics::of_sparse(&counts.session),
    }
}

/// The thresholds of a document that are not about the whole run's requests.
pub(super) fn thresholds(document: &Document, sessions: &SessionCounts) -> Vec<ThresholdResult> {
    let of_parts = document.thresholds.iter();
    of_parts
        .filter_map(|condition| judged(condition, document, sessions))
        .collect()
}

fn judged(
    condition: &Condition,
    document: &Document,
    sessions: &SessionCounts,
) -> Option<ThresholdResult> {
    let scenario = &document.scenario;
    let steps = || scenario.steps.iter().zip(&sessions.steps);
    match (&condition.bound, &condition.of) {
        (Bound::Requests(_), Whose::All) => None,
        (Bound::CheckRate(least), of) => {
            let is_meant = |step: &Step| match of {
                Whose::All => true,
                Whose::Step(name) => step.name == *name,
                Whose::Flow(name) => scenario.flows[step.flow].name == *name,
            };
            let meant = steps().filter(|(step, _)| is_meant(step));
            let (held, all) = meant.fold((0, 0), |(held, all), (_, counts)| {
                let (more_held, more) = counts.checks();
                (held + more_held, all + more)
            });
            let observed = (all > 0).then(|| held as f64 / all as f64);
            Some(ThresholdResult {
                threshold: condition.text.clone(),
                observed,
                pass: observed.is_some_and(|share| share >= *least),
                clear: None,
            })
        }
        (Bound::Requests(threshold), Whose::Step(name)) => {
            let counts = steps().find(|(step, _)| step.name == *name);
            let counts = counts.map(|(_, counts)| counts.clone()).unwrap_or_default();
            let samples = [&counts.response, &counts.service];
            Some(of_part(
                threshold,
                condition,
                &counters_of(&counts),
                samples,
            ))
        }
        (Bound::Requests(threshold), Whose::Flow(name)) => {
            let at = scenario.flows.iter().position(|flow| flow.name == *name)?;
            let mut counters = Counters::default();
            for (_, counts) in steps().filter(|(step, _)| step.flow == at) {
                counters.add(&counters_of(counts));
            }
            // Of a flow, the time is that of its sessions.
            let session = sessions.flows.get(at).map(|flow| flow.session.clone());
            let session = session.unwrap_or_default();
            Some(of_part(threshold, condition, &counters, [&session; 2]))
        }
    }
}

fn of_part(
    threshold: &Threshold,
    condition: &Condition,
    counters: &Counters,
    [response, service]: [&Sparse; 2],
) -> ThresholdResult {
    let statistics = [response, service].map(Statistics::of_sparse);
    let text = (threshold, condition.text.as_str());
    ThresholdResult::of_part(text, counters, &statistics[0], &statistics[1])
        .with_samples(threshold, response, service)
}

fn counters_of(counts: &StepCounts) -> Counters {
    Counters {
        planned: counts.sent,
        offered: counts.sent,
        sent: counts.sent,
        ok: counts.ok,
        errors: ErrorCounters {
            status: counts.status,
            check: counts.failed,
            read: counts.lost,
            ..ErrorCounters::default()
        },
        ..Counters::default()
    }
}
