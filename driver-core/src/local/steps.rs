//! The result of a document by step and flow, and its thresholds on them.

use std::fmt::Write;

use proto::document::{Bound, Condition, Document, Whose};
use proto::measure::{Counters, ErrorCounters};
use proto::summary::{Statistics, TestResult, ThresholdResult};
use serde::Serialize;

use crate::source::Tally;
use crate::source::tally::StepTally;

/// A result with its parts.
#[derive(Serialize)]
pub(super) struct WithSteps<'r> {
    #[serde(flatten)]
    pub(super) result: &'r TestResult,
    /// What ended it early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'r str>,
    pub(super) steps: Vec<StepRow>,
    pub(super) flows: Vec<FlowRow>,
}

/// The result of a step.
#[derive(Debug, Serialize)]
pub(super) struct StepRow {
    name: String,
    sent: u64,
    ok: u64,
    status: u64,
    failed: u64,
    lost: u64,
    without_value: u64,
    checks: Vec<CheckRow>,
    missing: u64,
    response: Statistics,
    service: Statistics,
}

#[derive(Debug, Serialize)]
struct CheckRow {
    check: String,
    held: u64,
    failed: u64,
}

/// The result of a flow.
#[derive(Debug, Serialize)]
pub(super) struct FlowRow {
    name: String,
    started: u64,
    completed: u64,
    failed: u64,
    cut: u64,
    session: Statistics,
}

/// The rows of a document's steps.
pub(super) fn steps(document: &Document, tally: &Tally) -> Vec<StepRow> {
    let steps = document.scenario.steps.iter().zip(&tally.steps);
    let row = |(step, counts): (&proto::workload::Step, &StepTally)| StepRow {
        name: step.name.clone(),
        sent: counts.taken,
        ok: counts.ok,
        status: counts.status,
        failed: counts.failed,
        lost: counts.lost,
        without_value: counts.without_value,
        checks: step
            .checks
            .iter()
            .zip(&counts.checks)
            .map(|(check, (held, failed))| CheckRow {
                check: check.text.clone(),
                held: *held,
                failed: *failed,
            })
            .collect(),
        missing: counts.missing.iter().sum(),
        response: counts.response.statistics(),
        service: counts.service.statistics(),
    };
    steps.map(row).collect()
}

/// The rows of a document's flows.
pub(super) fn flows(document: &Document, tally: &Tally) -> Vec<FlowRow> {
    let flows = document.scenario.flows.iter().zip(&tally.flows);
    flows
        .map(|(flow, counts)| FlowRow {
            name: flow.name.clone(),
            started: counts.started,
            completed: counts.completed,
            failed: counts.failed,
            cut: counts.cut,
            session: counts.session.statistics(),
        })
        .collect()
}

/// The thresholds of a document that are not about the whole run's requests.
pub(super) fn thresholds(document: &Document, tally: &Tally) -> Vec<ThresholdResult> {
    let of_parts = document.thresholds.iter();
    of_parts
        .filter_map(|condition| judged(condition, document, tally))
        .collect()
}

fn judged(condition: &Condition, document: &Document, tally: &Tally) -> Option<ThresholdResult> {
    let scenario = &document.scenario;
    match (&condition.bound, &condition.of) {
        (Bound::Requests(_), Whose::All) => None,
        (Bound::CheckRate(least), of) => {
            let is_meant = |step: &proto::workload::Step| match of {
                Whose::All => true,
                Whose::Step(name) => step.name == *name,
                Whose::Flow(name) => scenario.flows[step.flow].name == *name,
            };
            let steps = scenario.steps.iter().zip(&tally.steps);
            let checks = steps
                .filter(|(step, _)| is_meant(step))
                .flat_map(|(_, counts)| &counts.checks);
            let (held, all) = checks.fold((0, 0), |(held, all), (holds, fails)| {
                (held + holds, all + holds + fails)
            });
            let observed = (all > 0).then(|| held as f64 / all as f64);
            Some(ThresholdResult {
                threshold: condition.text.clone(),
                observed,
                pass: observed.is_some_and(|share| share >= *least),
            })
        }
        (Bound::Requests(threshold), Whose::Step(name)) => {
            let at = scenario.steps.iter().position(|step| step.name == *name)?;
            let counts = &tally.steps[at];
            let (response, service) = (counts.response.statistics(), counts.service.statistics());
            let written = (threshold, condition.text.as_str());
            let counters = counters_of(counts);
            let result = ThresholdResult::of_part(written, &counters, &response, &service);
            Some(result)
        }
        (Bound::Requests(threshold), Whose::Flow(name)) => {
            let at = scenario.flows.iter().position(|flow| flow.name == *name)?;
            let mut counters = Counters::default();
            let steps = scenario.steps.iter().zip(&tally.steps);
            for (_, counts) in steps.filter(|(step, _)| step.flow == at) {
                counters.add(&counters_of(counts));
            }
            // Of a flow, the time is that of its sessions.
            let session = tally.flows[at].session.statistics();
            let written = (threshold, condition.text.as_str());
            let result = ThresholdResult::of_part(written, &counters, &session, &session);
            Some(result)
        }
    }
}

fn counters_of(counts: &StepTally) -> Counters {
    Counters {
        planned: counts.taken,
        offered: counts.taken,
        sent: counts.taken,
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

/// The result by step and flow, as people read it.
pub(super) fn text(document: &Document, tally: &Tally) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_steps(&mut out, &steps(document, tally));
    let _ = write_flows(&mut out, &flows(document, tally));
    for (set, missed) in document.scenario.data.iter().zip(&tally.used_up) {
        if *missed > 0 {
            let name = &set.name;
            let _ = writeln!(
                out,
                "  the rows of {name} were used up: {missed} sessions did not start"
            );
        }
    }
    out
}

fn write_steps(out: &mut String, rows: &[StepRow]) -> std::fmt::Result {
    writeln!(
        out,
        "\n  {:<32}{:>9}{:>9}{:>8}{:>8}{:>7}{:>10}{:>10}",
        "step (response, ms)", "sent", "ok", "status", "failed", "lost", "p50", "p99"
    )?;
    for row in rows {
        let name: String = row.name.chars().take(31).collect();
        let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
        writeln!(
            out,
            "  {name:<32}{:>9}{:>9}{:>8}{:>8}{:>7}{:>10}{:>10}",
            row.sent,
            row.ok,
            row.status,
            row.failed,
            row.lost,
            ms(row.response.p50),
            ms(row.response.p99)
        )?;
        for check in row.checks.iter().filter(|check| check.failed > 0) {
            writeln!(
                out,
                "    {} of {} failed: {}",
                check.failed,
                check.held + check.failed,
                check.check
            )?;
        }
        if row.missing > 0 {
            writeln!(out, "    {} values were not found", row.missing)?;
        }
        if row.without_value > 0 {
            writeln!(
                out,
                "    {} not sent, since a value for them was never found",
                row.without_value
            )?;
        }
    }
    Ok(())
}

fn write_flows(out: &mut String, rows: &[FlowRow]) -> std::fmt::Result {
    writeln!(
        out,
        "\n  {:<32}{:>9}{:>11}{:>8}{:>8}{:>17}",
        "flow", "sessions", "completed", "failed", "cut", "p50 session, ms"
    )?;
    for row in rows {
        let name: String = row.name.chars().take(31).collect();
        let p50 = row
            .session
            .p50
            .map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
        writeln!(
            out,
            "  {name:<32}{:>9}{:>11}{:>8}{:>8}{p50:>17}",
            row.started, row.completed, row.failed, row.cut
        )?;
    }
    Ok(())
}
