//! What steps and flows have come to while a run goes on.

use super::*;
use crate::document::{Document, Setting};
use crate::measure::{FlowCounts, Health, PartProgress, Progress, StepCounts};
use crate::summary::{CapacityLimit, CapacityStep, Judged, TestResult};

const TEXT: &str = "target: http://h/\nsteps: [{name: a, GET: /a}, {name: b, GET: /b}]\n\
    thresholds: [step(b).p99 < 1s]\n";

/// One node's interval which tells these counts of its second step.
fn told(node: &str, sequence: u64, sent: u64, ok: u64) -> Metrics {
    let mut message = interval(node, sequence, &[1000]);
    let report = message.report.as_mut().unwrap();
    report.progress = Some(Box::new(Progress {
        steps: vec![PartProgress {
            part: 1,
            counts: [sent, ok, 0, 0, 0, 0],
        }],
        flows: vec![PartProgress {
            part: 0,
            counts: [sent, 0, 0, 0],
        }],
    }));
    message
}

#[test]
fn steps_are_counted_while_the_run_goes_on_whatever_the_order_of_the_reports() {
    let document = Document::read(TEXT, Setting::default()).unwrap();
    let reports = [
        told("x", 0, 10, 9),
        told("x", 1, 20, 18),
        interval("x", 2, &[1000]),
        told("y", 0, 5, 5),
        told("y", 1, 6, 6),
    ];
    for order in [[0, 1, 2, 3, 4], [4, 1, 0, 2, 3], [2, 1, 4, 3, 0]] {
        let mut summary = Summary::default();
        for at in order.iter().chain(&order) {
            summary.absorb(&reports[*at]);
        }
        let live = Context {
            ended: false,
            document: Some(&document),
            ..context(&[])
        };
        let rows = summary.result(&live).sessions.unwrap();
        let counts: Vec<(u64, u64)> = rows.steps.iter().map(|row| (row.sent, row.ok)).collect();
        assert_eq!(counts, [(0, 0), (26, 24)]);
        // 24 good answers in the three seconds of the longer node.
        assert_eq!(rows.steps[1].requests_per_second, Some(8.0));
        assert_eq!(rows.steps[1].response.p99, None, "times come at the end");
        assert_eq!(rows.flows[0].started, 26);
        let is_judged = summary.result(&live).thresholds.len();
        assert_eq!(is_judged, 0, "a step is judged at the end");
    }
}

#[test]
fn the_last_report_has_the_word_and_a_lost_node_keeps_its_own() {
    let document = Document::read(TEXT, Setting::default()).unwrap();
    let mut ended = last("x", 1, &[1000]);
    let counts = |sent| StepCounts {
        sent,
        ok: sent,
        ..StepCounts::default()
    };
    ended.report.as_mut().unwrap().sessions = Some(Box::new(SessionCounts {
        steps: vec![counts(3), counts(12)],
        flows: vec![FlowCounts::default()],
        data: Vec::new(),
    }));
    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0]] {
        let reports = [told("x", 0, 11, 9), ended.clone(), told("lost", 0, 5, 4)];
        let mut summary = Summary::default();
        for at in order {
            summary.absorb(&reports[at]);
        }
        let context = Context {
            document: Some(&document),
            ..context(&[])
        };
        let rows = summary.result(&context).sessions.unwrap();
        let sent: Vec<u64> = rows.steps.iter().map(|row| row.sent).collect();
        assert_eq!(sent, [3, 17]);
    }
    assert!(Summary::default().sessions().is_none());
}

/// The result of a run whose second step took these times, on a node that was in such a state.
fn result_of_a_step(times: impl Iterator<Item = u64>, health: Health) -> TestResult {
    let document = Document::read(TEXT, Setting::default()).unwrap();
    let mut samples = histogram::new();
    times.for_each(|ns| samples.saturating_record(ns));
    let mut ended = last("x", 0, &[1000]);
    let report = ended.report.as_mut().unwrap();
    report.health = health;
    let of_step = StepCounts {
        sent: samples.len(),
        ok: samples.len(),
        response: Sparse::from(&samples),
        ..StepCounts::default()
    };
    report.sessions = Some(Box::new(SessionCounts {
        steps: vec![StepCounts::default(), of_step],
        flows: vec![FlowCounts::default()],
        data: Vec::new(),
    }));
    let mut summary = Summary::default();
    summary.absorb(&ended);
    summary.result(&Context {
        document: Some(&document),
        ..context(&["x".to_owned()])
    })
}

#[test]
fn the_quantile_of_a_step_that_could_lie_on_either_side_of_its_bound_leaves_a_doubt() {
    let step = |slow: u64, of: u64| {
        let times = (0..of).map(|n| if n < slow { 1_200_000_000 } else { 900_000_000 });
        let result = result_of_a_step(times, Health::default());
        assert_eq!(result.thresholds.len(), 1);
        let step = CapacityStep::of(10.0, &result, &[]);
        (step.judged, result.thresholds[0].clear, step.clear)
    };
    // The bound is 1 s at p99.
    assert_eq!(step(0, 5000), (Judged::Holds, Some(true), true));
    assert_eq!(step(500, 5000), (Judged::Breached, Some(true), true));
    assert_eq!(step(48, 5000), (Judged::Holds, Some(false), false));
    assert_eq!(step(55, 5000), (Judged::Breached, Some(false), false));
    // Of so few nobody can say, and more runs as short say no more.
    assert_eq!(step(0, 20), (Judged::Holds, None, true));
}

#[test]
fn what_breaks_while_a_generator_stands_still_is_not_the_targets() {
    let slow = || (0..5000).map(|_| 1_200_000_000);
    let judged = |health: Health| {
        let step = CapacityStep::of(10.0, &result_of_a_step(slow(), health), &[]);
        (step.judged, step.limited_by)
    };
    assert_eq!(judged(Health::default()), (Judged::Breached, None));
    let stood = |stall_max_ns| Health {
        stall_max_ns,
        ..Health::default()
    };
    assert_eq!(judged(stood(90_000_000)), (Judged::Breached, None));
    let limited = (Judged::Limited, Some(CapacityLimit::Generator));
    assert_eq!(judged(stood(300_000_000)), limited);
    // It holds all the same.
    let fast = result_of_a_step((0..5000).map(|_| 1_000_000), stood(300_000_000));
    assert_eq!(CapacityStep::of(10.0, &fast, &[]).judged, Judged::Holds);
}
