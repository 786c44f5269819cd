//! Order, repetition and grouping make no difference; gaps are named.

use proptest::prelude::*;

use super::*;
use crate::histogram::{self, Latencies, Sparse};
use crate::measure::ReasonKind;
use crate::summary::{Context, Judgement, Plan};

mod parts;
mod sessions;
mod steps;

/// One node's interval with these response times, all sent and answered in it.
fn interval(node: &str, sequence: u64, samples: &[u64]) -> Metrics {
    let n = samples.len() as u64;
    let mut latencies = Latencies::new();
    samples
        .iter()
        .for_each(|sample| latencies.response.saturating_record(*sample));
    let row = SecondRow {
        second: sequence,
        sent: n,
        ok: n,
        completed: n,
        offered: n,
        ..SecondRow::default()
    };
    let counters = Counters {
        planned: n,
        offered: n,
        sent: n,
        ok: n,
        completed: n,
        ..Counters::default()
    };
    Metrics {
        node_id: node.into(),
        test_id: "t".into(),
        report_id: Some(format!("{node}-{sequence}")),
        metrics: LatencyFigures::default(),
        report: Some(Report {
            sequence_first: sequence,
            sequence,
            interval_start_ns: sequence * 1_000_000_000,
            interval_end_ns: (sequence + 1) * 1_000_000_000,
            counters,
            seconds: vec![row],
            first_send_ns: Some(0),
            latencies: SparseLatencies::from(&latencies),
            ..Report::default()
        }),
    }
}

fn last(node: &str, sequence: u64, samples: &[u64]) -> Metrics {
    let mut message = interval(node, sequence, samples);
    let report = message.report.as_mut().unwrap();
    report.last = true;
    report.seconds.clear();
    report.outcome = Some(Outcome::Done);
    message
}

fn context(expected: &[String]) -> Context<'_> {
    Context {
        test_id: "t",
        test_type: "AVALANCHE",
        state: "done",
        closed_loop: true,
        in_flight: None,
        level_load: true,
        ended: true,
        plan: Plan::Unknown,
        expected,
        document: None,
        warmup_ns: 0,
        rates: &[],
        aborted_by: None,
        thresholds: &[],
        series_from: 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merged_reports_equal_one_recording(
        groups in prop::collection::vec(
            (0_usize..4, prop::collection::vec(1..histogram::HIGHEST_NS, 0..50)), 1..20),
        order in any::<prop::sample::Index>(),
        repeats in 1_usize..3,
    ) {
        let mut sequences = [0_u64; 4];
        let mut whole = histogram::new();
        let mut messages: Vec<Metrics> = groups.iter().map(|(node, samples)| {
            samples.iter().for_each(|sample| whole.saturating_record(*sample));
            let message = interval(&format!("n{node}"), sequences[*node], samples);
            sequences[*node] += 1;
            message
        }).collect();
        let by = order.index(messages.len());
        messages.rotate_left(by);
        let mut summary = Summary::default();
        for _ in 0..repeats {
            for (at, message) in messages.iter().enumerate() {
                summary.absorb(message);
                // Looked at in between, or not.
                if at >= by {
                    let _ = summary.merged();
                }
            }
        }
        prop_assert_eq!(&summary.merged().response, &Sparse::from(&whole));
        let result = summary.result(&context(&[]));
        prop_assert_eq!(result.tally.ok, whole.len());
        prop_assert_eq!(result.series.iter().map(|row| row.counts.ok).sum::<u64>(), whole.len());
        prop_assert_eq!(result.coverage.reports_missing, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reports_merged_by_the_driver_change_no_total(
        intervals in prop::collection::vec(
            prop::collection::vec(1..histogram::HIGHEST_NS, 0..20), 2..8),
        merged in 1_usize..7,
    ) {
        let messages: Vec<Metrics> =
            (0..).zip(&intervals).map(|(at, samples)| interval("n", at, samples)).collect();
        let merged = merged.min(messages.len() - 1);
        let mut head = messages[0].clone();
        for next in &messages[1..=merged] {
            head.report.as_mut().unwrap().append(next.report.as_ref().unwrap());
        }
        let (mut one, mut other) = (Summary::default(), Summary::default());
        messages.iter().for_each(|message| { one.absorb(message); });
        other.absorb(&head);
        messages[merged + 1..].iter().for_each(|message| { other.absorb(message); });
        let expected = ["n".to_owned()];
        let (one, other) = (one.result(&context(&expected)), other.result(&context(&expected)));
        let counts = |result: &crate::summary::TestResult| -> Vec<SecondRow> {
            result.series.iter().map(|row| row.counts).collect()
        };
        prop_assert_eq!(counts(&one), counts(&other));
        prop_assert_eq!(one.metrics, other.metrics);
        prop_assert_eq!(one.tally, other.tally);
        prop_assert_eq!(one.coverage, other.coverage);
    }
}

#[test]
fn a_gap_is_named_and_the_last_report_heals_the_totals() {
    let mut summary = Summary::default();
    summary.absorb(&interval("n", 0, &[5]));
    summary.absorb(&interval("n", 3, &[7]));
    let expected = ["n".to_owned()];
    let result = summary.result(&context(&expected));
    assert_eq!(result.coverage.reports_missing, 2);
    assert_eq!(
        (
            result.coverage.missing[0].first,
            result.coverage.missing[0].last
        ),
        (1, 2)
    );
    assert_eq!(result.tally.ok, 2);
    assert!(!result.is_complete());
    assert!(
        result
            .verdict
            .reasons
            .iter()
            .any(|r| r.contains("2 reports")),
        "{:?}",
        result.verdict
    );

    summary.absorb(&last("n", 4, &[5, 5, 6, 7]));
    let result = summary.result(&context(&expected));
    assert_eq!(result.tally.ok, 4);
    assert!(result.coverage.missing[0].healed);
    assert!(result.is_complete());
    let seconds: u64 = summary.series(0).iter().map(|row| row.counts.ok).sum();
    let in_no_second = result.coverage.in_no_second;
    assert_eq!(
        (seconds, in_no_second.ok, in_no_second.errors),
        (2, 2, 0),
        "the seconds and what is in none are the totals"
    );
    assert_eq!(
        summary.absorb(&interval("n", 1, &[5])),
        Absorbed::New,
        "a late one fills the gap"
    );
    assert_eq!(
        summary.result(&context(&expected)).tally.ok,
        4,
        "without counting twice"
    );
    let coverage = summary.result(&context(&expected)).coverage;
    assert_eq!(coverage.in_no_second.ok, 1);
    assert_eq!(
        summary.result(&context(&expected)).coverage.reports_missing,
        1
    );
}

#[test]
fn a_lost_node_is_named_and_what_it_reported_stays() {
    let mut summary = Summary::default();
    summary.absorb(&interval("lost", 0, &[5, 6]));
    summary.absorb(&last("whole", 0, &[5]));
    let expected = ["lost".to_owned(), "whole".to_owned(), "silent".to_owned()];
    let result = summary.result(&Context {
        plan: Plan::Each(2),
        ..context(&expected)
    });
    assert_eq!(result.coverage.nodes_expected, 3);
    assert_eq!(result.coverage.nodes_reporting, 2);
    assert_eq!(result.coverage.unfinished_nodes, ["lost", "silent"]);
    assert_eq!(result.tally.planned, 6);
    assert_eq!(result.tally.ok, 3);
    assert_eq!(result.tally.unknown, 2, "all of the silent one's plan");
    assert!(!result.accounting.holds);
    let told = |word: &str| result.verdict.reasons.iter().any(|r| r.contains(word));
    assert!(told(
        "silent: lost before its last report; 2 requests of its plan"
    ));
    assert_eq!(result.coverage.planned_share, Some(0.5));
    assert!(!result.is_complete());
}

#[test]
fn the_plan_of_a_lost_node_does_not_shrink_to_what_it_reported() {
    let mut summary = Summary::default();
    let mut first = interval("lost", 0, &[5, 6]);
    // A schedule is planned as a whole, in the first interval.
    first.report.as_mut().unwrap().counters.planned = 4500;
    summary.absorb(&first);
    summary.absorb(&last("whole", 0, &[5]));
    let expected = ["lost".to_owned(), "whole".to_owned()];
    for (plan, unknown) in [
        (Plan::Unknown, 4498),
        (Plan::Shares(&[5000, 1]), 4998),
        (Plan::Shares(&[]), 4498),
    ] {
        let over = summary.result(&Context {
            plan,
            ..context(&expected)
        });
        assert_eq!(over.tally.unknown, unknown, "{plan:?}");
        assert_eq!(over.nodes[0].tally.unknown, unknown);
        assert_eq!(over.tally.planned, unknown + 3);
        let running = summary.result(&Context {
            plan,
            ended: false,
            ..context(&expected)
        });
        assert_eq!(running.tally.unknown, 0, "it may still come");
    }
}

#[test]
fn the_drain_is_apart_from_the_time_in_which_requests_were_sent() {
    let mut summary = Summary::default();
    let answers = vec![5_000; 100];
    summary.absorb(&interval("n", 0, &answers));
    let expected = ["n".to_owned()];
    let live = summary.result(&context(&expected)).tally;
    assert_eq!(
        (live.requests_per_second, live.drain_s),
        (Some(100.0), None)
    );
    let mut end = last("n", 3, &answers);
    let report = end.report.as_mut().unwrap();
    (report.sending_ns, report.interval_end_ns) = (Some(500_000_000), 31_000_000_000);
    summary.absorb(&end);
    let result = summary.result(&context(&expected));
    assert_eq!(result.tally.requests_per_second, Some(200.0));
    assert_eq!(result.tally.sent_per_second, Some(200.0));
    assert_eq!(result.tally.drain_s, Some(30.5));
    assert!(result.series[0].partial);
    // Another node that goes on beyond it.
    summary.absorb(&interval("m", 0, &answers));
    assert!(!summary.series(0)[0].partial);
}

#[test]
fn reasons_and_addresses_are_those_of_all_nodes() {
    let mut summary = Summary::default();
    for node in ["a", "b"] {
        let mut message = last(node, 0, &[5]);
        let report = message.report.as_mut().unwrap();
        report.reasons.note(ReasonKind::Read, "reset", 2);
        report.reasons.note(ReasonKind::Read, node, 1);
        report.addresses = [format!("{node}:80"), "c:80".to_owned()]
            .into_iter()
            .collect();
        summary.absorb(&message);
    }
    let result = summary.result(&context(&["a".to_owned(), "b".to_owned()]));
    let told: Vec<(&str, u64)> = result
        .reasons
        .iter()
        .map(|reason| (reason.text.as_str(), reason.count))
        .collect();
    assert_eq!(told, [("reset", 4), ("a", 1), ("b", 1)]);
    let addresses: Vec<&str> = result.addresses.iter().collect();
    assert_eq!(addresses, ["a:80", "b:80", "c:80"]);
}

#[test]
fn tls_is_shown_for_each_node_and_an_unchecked_certificate_is_in_the_verdict() {
    let mut summary = Summary::default();
    for (node, insecure) in [("a", true), ("b", false)] {
        let mut message = last(node, 0, &[5]);
        message.report.as_mut().unwrap().tls = Some(TlsReport {
            version: "TLS 1.3".to_owned(),
            handshakes: 3,
            insecure,
            ..TlsReport::default()
        });
        summary.absorb(&message);
    }
    let result = summary.result(&context(&["a".to_owned(), "b".to_owned()]));
    assert_eq!(result.nodes[0].tls.as_ref().unwrap().handshakes, 3);
    let said = |reasons: &[String]| reasons.iter().any(|reason| reason.contains("tls.insecure"));
    assert!(said(&result.nodes[0].verdict.reasons));
    assert!(!said(&result.nodes[1].verdict.reasons));
    assert!(said(&result.verdict.reasons));
    assert_eq!(result.nodes[0].verdict.verdict, Judgement::Valid);
}

#[test]
fn a_foreign_node_is_shown_but_not_merged() {
    let figures = LatencyFigures {
        mean_latency: Some(3.0),
        ..LatencyFigures::default()
    };
    let message = Metrics {
        node_id: "other".into(),
        test_id: "t".into(),
        report_id: None,
        metrics: figures,
        report: None,
    };
    let mut summary = Summary::default();
    assert_eq!(summary.absorb(&message), Absorbed::Foreign);
    let expected = ["other".to_owned()];
    let result = summary.result(&Context {
        plan: Plan::Each(500),
        ..context(&expected)
    });
    assert_eq!(result.coverage.unmerged_nodes, ["other"]);
    assert!(result.coverage.unfinished_nodes.is_empty());
    assert_eq!(result.nodes[0].foreign, Some(figures));
    assert_eq!(result.metrics.mean, None);
}

#[test]
fn the_last_report_stands_for_all_others_whenever_they_come() {
    let first = interval("a", 0, &[1_000_000, 1_000_000]);
    let late = interval("a", 1, &[9_000_000]);
    let end = last("a", 2, &[1_000_000, 1_000_000, 9_000_000]);
    let mut summary = Summary::default();
    for message in [&first, &end, &late] {
        assert_eq!(summary.absorb(message), Absorbed::New);
    }
    let mut in_order = Summary::default();
    for message in [&first, &late, &end] {
        in_order.absorb(message);
    }
    assert_eq!(
        summary.node("a").unwrap().totals(),
        in_order.node("a").unwrap().totals()
    );
    assert_eq!(summary.series(0).len(), 2, "each second keeps its row");
    assert_eq!(summary.series(0), in_order.series(0));
}

#[test]
fn the_figures_follow_the_reports() {
    let mut summary = Summary::default();
    for (message, max_ms) in [
        (interval("a", 0, &[1_000_000]), 1.0),
        (interval("a", 1, &[9_000_000]), 9.0),
        (last("a", 2, &[5_000_000]), 5.0),
    ] {
        summary.absorb(&message);
        let of_node = summary.node("a").unwrap().figures().response.max.unwrap();
        let of_all = Statistics::of_sparse(&summary.merged().response)
            .max
            .unwrap();
        for max in [of_node, of_all] {
            let error = (max - max_ms).abs();
            assert!(error < max_ms * 0.001, "{max} is not {max_ms}");
        }
    }
}
