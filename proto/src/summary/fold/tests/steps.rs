//! What steps count by time is what their nodes told, once, however it came.

use super::parts::part;
use super::*;
use crate::measure::{PartProgress, Progress, StepCounts};
use crate::summary::{StepCourses, StepLinesOf};

const STEPS: usize = 3;
const SECONDS: usize = 8;
const WHICH: [StepLinesOf; 3] = [StepLinesOf::Sent, StepLinesOf::Ok, StepLinesOf::Errors];

/// Sent, ok and lost of each step.
type Counts = [[u64; 3]; STEPS];

/// What a node counted in each of its seconds, which of their reports are lost, and whether it ends.
#[derive(Debug, Clone)]
struct Did {
    seconds: Vec<Counts>,
    lost: Vec<bool>,
    ends: bool,
}

fn did() -> impl Strategy<Value = Did> {
    let seconds = prop::collection::vec(
        prop::array::uniform3(prop::array::uniform3(0..4_u64)),
        0..SECONDS,
    );
    let lost = prop::collection::vec(prop::bool::weighted(0.1), SECONDS);
    (seconds, lost, prop::bool::weighted(0.8)).prop_map(|(seconds, lost, ends)| Did {
        seconds,
        lost,
        ends,
    })
}

fn plus(one: &Counts, other: &Counts) -> Counts {
    std::array::from_fn(|step| std::array::from_fn(|at| one[step][at] + other[step][at]))
}

/// A node's reports, as its driver makes them: of an interval only what changed in it.
fn messages(node: &str, did: &Did) -> Vec<Metrics> {
    let mut all = Counts::default();
    let mut messages = Vec::new();
    for (sequence, counts) in (0..).zip(&did.seconds) {
        all = plus(&all, counts);
        let is_told = |(step, _): &(usize, _)| counts[*step] != [0; 3];
        let row = |(step, [sent, ok, lost]): (usize, [u64; 3])| PartProgress {
            part: u32::try_from(step).unwrap(),
            counts: [sent, ok, 0, 0, lost, 0],
        };
        let steps = all.into_iter().enumerate().filter(is_told).map(row);
        let mut message = interval(node, sequence, &[1000]);
        message.report.as_mut().unwrap().progress = Some(Box::new(Progress {
            steps: steps.collect(),
            flows: Vec::new(),
        }));
        messages.push(message);
    }
    if did.ends {
        let sequence = messages.len() as u64;
        let mut message = last(node, sequence, &vec![1000; messages.len()]);
        let report = message.report.as_mut().unwrap();
        report.interval_end_ns = sequence * 1_000_000_000;
        let steps = all.iter().map(|[sent, ok, lost]| StepCounts {
            sent: *sent,
            ok: *ok,
            lost: *lost,
            ..StepCounts::default()
        });
        report.sessions = Some(Box::new(SessionCounts {
            steps: steps.collect(),
            ..SessionCounts::default()
        }));
        messages.push(message);
    }
    messages
}

/// The messages that came, in the order of their seconds.
fn arrived(nodes: &[Did]) -> Vec<Metrics> {
    let mut all = Vec::new();
    for (number, did) in nodes.iter().enumerate() {
        let messages = messages(&format!("n{number}"), did);
        let came = messages.into_iter().zip(did.lost.iter().chain(&[false]));
        let is_lost =
            |(message, lost): &(Metrics, &bool)| **lost && !message.report.as_ref().unwrap().last;
        all.extend(came.filter(|it| !is_lost(it)).map(|(message, _)| message));
    }
    all.sort_by_key(|message| message.report.as_ref().unwrap().sequence);
    all
}

fn lines(summary: &Summary) -> [Vec<Vec<u64>>; 3] {
    let courses = StepCourses {
        names: vec![String::new(); STEPS],
        grid: summary.steps().clone(),
    };
    WHICH.map(|which| {
        let lines = courses.lines(which, 300).lines;
        lines.into_iter().map(|line| line.counts).collect()
    })
}

/// What the lines come to, and what the run did, of each step.
fn totals(summary: &Summary) -> [Vec<Vec<u64>>; 2] {
    let lines = lines(summary);
    let of_line = |step: usize| {
        let sum = |lines: &Vec<Vec<u64>>| lines.get(step).map_or(0, |line| line.iter().sum());
        lines.iter().map(sum).collect()
    };
    let sessions = summary.sessions().unwrap_or_default();
    let of_run = |step: usize| {
        let counts = sessions.steps.get(step).cloned().unwrap_or_default();
        vec![counts.sent, counts.ok, counts.bad()]
    };
    [
        (0..STEPS).map(of_line).collect(),
        (0..STEPS).map(of_run).collect(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn each_second_has_its_counts_where_no_report_is_lost(
        nodes in prop::collection::vec(did(), 1..4),
        again in prop::collection::vec(0..3_usize, 40),
    ) {
        let nodes: Vec<Did> = nodes.into_iter().map(|did| Did { lost: vec![false; SECONDS], ..did }).collect();
        let mut summary = Summary::default();
        let came = arrived(&nodes);
        for (at, message) in came.iter().enumerate() {
            // Some come again, at once or later.
            summary.absorb(message);
            for earlier in came[..=at].iter().rev().take(again[at]) {
                summary.absorb(earlier);
            }
        }
        let [of_lines, of_run] = totals(&summary);
        prop_assert_eq!(of_lines, of_run);
        for (at, of_count) in lines(&summary).iter().enumerate() {
            for (step, line) in of_count.iter().enumerate() {
                for (second, count) in line.iter().enumerate() {
                    let counted = nodes.iter().filter_map(|did| did.seconds.get(second));
                    prop_assert_eq!(*count, counted.map(|counts| counts[step][at]).sum::<u64>());
                }
            }
        }
    }

    #[test]
    fn no_order_and_no_loss_changes_the_sum(
        nodes in prop::collection::vec(did(), 1..4),
        order in prop::collection::vec(any::<u16>(), 40),
    ) {
        let mut came: Vec<(u16, Metrics)> = order.into_iter().zip(arrived(&nodes)).collect();
        came.sort_by_key(|(place, _)| *place);
        let mut summary = Summary::default();
        for (_, message) in came.iter().chain(&came) {
            summary.absorb(message);
        }
        let [of_lines, of_run] = totals(&summary);
        prop_assert_eq!(of_lines, of_run);
    }

    #[test]
    fn merged_and_raw_are_the_same(
        nodes in prop::collection::vec(did(), 1..4),
        cuts in prop::collection::vec(any::<bool>(), 40),
    ) {
        let (mut raw, mut merged) = (Summary::default(), Summary::default());
        for (message, is_merged) in arrived(&nodes).iter().zip(cuts) {
            raw.absorb(message);
            let report = message.report.as_ref().unwrap();
            if is_merged && !report.last {
                let (part, latencies) = part(report.second(), &[message]);
                prop_assert!(merged.takes([&part]));
                merged.absorb_part(&part, &latencies);
            } else {
                merged.absorb(message);
            }
        }
        prop_assert_eq!(raw.steps(), merged.steps());
    }
}
