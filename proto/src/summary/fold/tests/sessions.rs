//! What steps and flows have come to while a run goes on.

use super::*;
use crate::document::{Document, Setting};
use crate::measure::{FlowCounts, PartProgress, Progress, StepCounts};

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
