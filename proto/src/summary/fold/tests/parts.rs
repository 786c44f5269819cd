//! Whatever came merged and whatever did not, the result is that of one histogram.

use super::*;
use crate::histogram::{LatenciesWire, SparseLatencies};
use crate::measure::IntervalFigures;
use crate::message::{MergedPart, MergedReport};

/// What a merger makes of interval reports of one second.
pub(super) fn part(second: u64, messages: &[&Metrics]) -> (MergedPart, SparseLatencies) {
    let mut latencies = SparseLatencies::default();
    let mut reports = Vec::new();
    for message in messages {
        let mut bare = (*message).clone();
        let report = bare.report.as_mut().unwrap();
        let figures = IntervalFigures::from(&report.latencies);
        latencies.add(&std::mem::take(&mut report.latencies));
        reports.push(MergedReport(bare, figures));
    }
    let part = MergedPart {
        test_id: "t".into(),
        second,
        reports,
        latencies: LatenciesWire::from(&latencies),
    };
    (part, latencies)
}

fn absorb(summary: &mut Summary, second: u64, messages: &[&Metrics]) -> bool {
    let (part, latencies) = part(second, messages);
    let takes = summary.takes([&part]);
    if takes {
        summary.absorb_part(&part, &latencies);
    }
    takes
}

const NODES: usize = 3;

/// What a node did: its seconds, which of their reports are lost, and whether it ends.
#[derive(Debug, Clone)]
struct Did {
    seconds: Vec<Vec<u64>>,
    lost: Vec<bool>,
    ends: bool,
}

fn did() -> impl Strategy<Value = Did> {
    let second = prop::collection::vec(1..histogram::HIGHEST_NS, 0..6);
    let lost = prop::collection::vec(prop::bool::weighted(0.1), 8);
    let seconds = prop::collection::vec(second, 0..8);
    (seconds, lost, prop::bool::weighted(0.8)).prop_map(|(seconds, lost, ends)| Did {
        seconds,
        lost,
        ends,
    })
}

fn response(all: impl Iterator<Item = u64>) -> Sparse {
    let mut whole = histogram::new();
    all.for_each(|ns| whole.saturating_record(ns));
    Sparse::from(&whole)
}

fn empty(joins: bool) -> Summary {
    let mut summary = Summary::default();
    if joins {
        summary.join_samples();
    }
    summary
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn raw_and_merged_in_any_mixture_equal_one_recording(
        nodes in prop::collection::vec(did(), NODES),
        cuts in prop::collection::vec(0..4_u8, 64),
        again in prop::collection::vec(prop::bool::weighted(0.2), 64),
        late in prop::collection::vec(prop::bool::weighted(0.1), 64),
        look in any::<bool>(),
        joins in any::<bool>(),
    ) {
        let (mut cuts, mut again) = (cuts.into_iter().cycle(), again.into_iter().cycle());
        let (mut late, mut came_late) = (late.into_iter().cycle(), Vec::new());
        let mut summary = empty(joins);
        // Raw reports and parts, as a store replays them: parts first.
        let (mut parts, mut messages, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
        for second in 0..9_u64 {
            let at = usize::try_from(second).unwrap();
            // Of a second each report is lost, comes raw, in one part, or in another.
            let mut groups: [Vec<Metrics>; 2] = Default::default();
            for (number, did) in nodes.iter().enumerate() {
                let name = format!("n{number}");
                if at == did.seconds.len() && did.ends {
                    let all: Vec<u64> = did.seconds.concat();
                    lasts.push(last(&name, second, &all));
                    summary.absorb(lasts.last().unwrap());
                }
                let Some(samples) = did.seconds.get(at).filter(|_| !did.lost[at]) else {
                    continue;
                };
                let message = interval(&name, second, samples);
                if late.next().unwrap() {
                    came_late.push(message);
                    continue;
                }
                match cuts.next().unwrap() {
                    0 => groups[0].push(message),
                    1 => groups[1].push(message),
                    _ => {
                        summary.absorb(&message);
                        messages.push(message);
                    }
                }
            }
            for group in groups.iter().filter(|group| !group.is_empty()) {
                let group: Vec<&Metrics> = group.iter().collect();
                prop_assert!(absorb(&mut summary, second, &group));
                prop_assert!(!absorb(&mut summary, second, &group), "it was counted");
                parts.push(part(second, &group));
                if again.next().unwrap() {
                    prop_assert_eq!(summary.absorb(group[0]), Absorbed::Duplicate);
                }
            }
            if look {
                let _ = summary.merged();
            }
        }
        for message in came_late {
            summary.absorb(&message);
            messages.push(message);
        }
        messages.append(&mut lasts);
        let mut replayed = empty(joins);
        for (part, latencies) in &parts {
            prop_assert!(replayed.takes([part]));
            replayed.absorb_part(part, latencies);
        }
        messages.iter().for_each(|message| { replayed.absorb(message); });
        prop_assert_eq!(summary.merged(), replayed.merged());
        prop_assert_eq!(summary.times_missing(), replayed.times_missing());
        let names: Vec<String> = (0..NODES).map(|number| format!("n{number}")).collect();
        let context = context(&names);
        prop_assert_eq!(summary.result(&context), replayed.result(&context));

        // What is known of each node: all of it at its end, else what came.
        let known = |did: &Did, healed: bool| -> Vec<u64> {
            let came = did.seconds.iter().zip(&did.lost).filter(|(_, lost)| healed || !**lost);
            came.flat_map(|(samples, _)| samples.clone()).collect()
        };
        let healed = nodes.iter().flat_map(|did| known(did, did.ends));
        let missing = summary.times_missing();
        prop_assert_eq!(summary.merged().response.len() + missing, healed.clone().count() as u64);
        if missing == 0 {
            prop_assert_eq!(&summary.merged().response, &response(healed));
        }
        let came = nodes.iter().flat_map(|did| known(did, false)).count() as u64;
        let in_series: u64 = summary.series(0).iter().map(|row| row.counts.ok).sum();
        prop_assert_eq!(in_series, came);
        prop_assert_eq!(summary.heat(u64::MAX).map(crate::summary::HeatOf::Response, 9).samples, came);
    }
}

#[test]
fn what_cannot_be_counted_as_it_is_is_not_taken() {
    let mut summary = Summary::default();
    let [a0, a1, b0] = [
        interval("a", 0, &[1]),
        interval("a", 1, &[2]),
        interval("b", 0, &[3]),
    ];
    assert!(summary.takes([&part(0, &[&a0, &b0]).0]));
    assert!(!summary.takes([&part(0, &[&a0, &a0]).0]), "twice in itself");
    let twice = [part(0, &[&a0]).0, part(0, &[&b0, &a0]).0];
    assert!(!summary.takes(&twice), "twice in two");
    summary.absorb(&a0);
    assert!(!summary.takes([&part(0, &[&b0, &a0]).0]), "counted before");
    summary.absorb(&last("a", 2, &[1, 2]));
    assert!(!summary.takes([&part(1, &[&a1]).0]), "its node has ended");
    assert!(
        !summary.takes([&part(2, &[&last("b", 1, &[3])]).0]),
        "a last report"
    );
    assert!(summary.takes([&part(0, &[&b0]).0]));
}

#[test]
fn a_node_whose_samples_came_merged_has_figures_at_its_end() {
    let mut summary = Summary::default();
    let (a, b) = (
        interval("a", 0, &[1_000_000]),
        interval("b", 0, &[3_000_000]),
    );
    assert!(absorb(&mut summary, 0, &[&a, &b]));
    let figures = |summary: &Summary, id| summary.node(id).unwrap().figures().response.max;
    assert_eq!(figures(&summary, "a"), None);
    assert_eq!(summary.node("a").unwrap().totals().counters.ok, 1);
    assert_eq!(summary.merged().response.len(), 2);
    summary.absorb(&last("a", 1, &[1_000_000]));
    assert!(figures(&summary, "a").is_some());
    assert_eq!(summary.merged().response.len(), 2, "neither twice nor lost");
    summary.absorb(&last("b", 1, &[3_000_000]));
    assert_eq!(summary.merged().response.len(), 2);
}

#[test]
fn times_that_only_a_last_report_has_are_named_where_they_cannot_be_taken() {
    let names = ["a".to_owned(), "b".to_owned()];
    let mut summary = Summary::default();
    let (a, b) = (interval("a", 0, &[1]), interval("b", 0, &[3]));
    assert!(absorb(&mut summary, 0, &[&a, &b]));
    // Its second interval never came, and the other node never says its last.
    summary.absorb(&last("a", 2, &[1, 2, 2]));
    let result = summary.result(&context(&names));
    assert_eq!(
        (
            result.coverage.times_missing,
            summary.merged().response.len()
        ),
        (2, 2)
    );
    let reasons = result.verdict.reasons.join("; ");
    assert!(
        reasons.contains("the times of 2 answers are in no percentile"),
        "{reasons}"
    );
    summary.absorb(&last("b", 1, &[3]));
    let result = summary.result(&context(&names));
    assert_eq!(
        (
            result.coverage.times_missing,
            summary.merged().response.len()
        ),
        (0, 4)
    );
}

#[test]
fn samples_that_are_joined_are_the_runs_and_in_the_end_their_nodes_too() {
    let mut summary = empty(true);
    for (node, samples) in [("a", [1_000_000]), ("b", [3_000_000])] {
        summary.absorb(&interval(node, 0, &samples));
        assert!(
            summary
                .node(node)
                .unwrap()
                .totals()
                .latencies
                .response
                .is_empty()
        );
    }
    assert_eq!(summary.merged().response.len(), 2);
    assert_eq!(
        summary.absorb(&interval("b", 0, &[3_000_000])),
        Absorbed::Duplicate
    );
    summary.absorb(&last("a", 1, &[1_000_000]));
    summary.absorb(&last("c", 2, &[5_000_000, 5_000_000]));
    assert_eq!(summary.merged().response.len(), 4);
    // Its interval comes late: from now on its samples are joined too, and one is in no interval.
    summary.absorb(&interval("c", 0, &[5_000_000]));
    assert_eq!(summary.merged().response.len() + summary.times_missing(), 4);
    assert_eq!(summary.times_missing(), 1);
    summary.absorb(&last("b", 1, &[3_000_000]));
    assert_eq!(summary.merged().response.len(), 4);
    let of_b = summary.node("b").unwrap().figures().response.max;
    assert!(of_b.is_some_and(|ms| (ms - 3.0).abs() < 0.01), "{of_b:?}");
}

#[test]
fn what_left_late_is_in_the_verdict_also_where_no_node_has_times_of_its_own() {
    let mut summary = empty(true);
    let mut message = interval("a", 0, &[1_000_000]);
    let mut latencies = Latencies::new();
    latencies.response.saturating_record(1_000_000);
    latencies.release_lag.saturating_record(900_000_000);
    message.report.as_mut().unwrap().latencies = SparseLatencies::from(&latencies);
    summary.absorb(&message);
    let names = ["a".to_owned()];
    let result = summary.result(&context(&names));
    let reasons = &result.verdict.reasons;
    assert!(
        reasons.iter().any(|reason| reason.contains("900")),
        "{reasons:?}"
    );
}
