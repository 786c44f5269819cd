//! Nothing is lost, whatever the broker does.

use proptest::prelude::*;
use proto::histogram::{Latencies, SparseLatencies};
use proto::message::{LatencyFigures, Report};
use proto::summary::{Counters, SecondRow, Summary};

use super::*;

fn report(sequence: u64, last: bool) -> Metrics {
    let mut latencies = Latencies::new();
    latencies.response.saturating_record(sequence + 1);
    Metrics {
        node_id: "n".into(),
        test_id: "t".into(),
        report_id: Some(sequence.to_string()),
        metrics: LatencyFigures::default(),
        report: Some(Report {
            sequence_first: sequence,
            sequence,
            last,
            interval_start_ns: sequence,
            interval_end_ns: sequence + 1,
            counters: Counters {
                ok: 1,
                ..Counters::default()
            },
            seconds: vec![SecondRow {
                second: sequence,
                ok: 1,
                ..SecondRow::default()
            }],
            latencies: SparseLatencies::from(&latencies),
            ..Report::default()
        }),
    }
}

/// Hands everything over that can be, as a broker that acknowledges at once.
fn drain(outbox: &mut Outbox, summary: &mut Summary) {
    while let Some((token, message)) = outbox.hand_over() {
        summary.absorb(message);
        outbox.delivered(token, true);
    }
}

#[test]
fn a_long_outage_costs_resolution_but_no_sample() {
    let mut outbox = Outbox::default();
    (0..5000).for_each(|sequence| outbox.push(report(sequence, false)));
    assert_eq!(outbox.len(), WAITING_MAX);
    assert_eq!(outbox.merged(), 5000 - WAITING_MAX as u64);
    let mut summary = Summary::default();
    drain(&mut outbox, &mut summary);
    assert!(outbox.is_empty());
    let node = summary.node("n").unwrap();
    assert_eq!(node.totals().counters.ok, 5000);
    assert!(node.gaps().is_empty());
    assert_eq!(summary.series(0).len(), 5000, "every second kept its row");
}

#[test]
fn what_was_handed_over_is_never_merged() {
    let mut outbox = Outbox::default();
    outbox.push(report(0, false));
    let (token, _) = outbox.hand_over().unwrap();
    outbox.delivered(token, false);
    (1..500).for_each(|sequence| outbox.push(report(sequence, false)));
    let (again, message) = outbox.hand_over().unwrap();
    assert_eq!(again, token);
    assert_eq!(
        message.report.as_ref().unwrap().sequence,
        0,
        "as it was the first time"
    );
}

#[test]
fn only_so_many_are_on_their_way() {
    let mut outbox = Outbox::default();
    (0..20).for_each(|sequence| outbox.push(report(sequence, false)));
    let handed = std::iter::from_fn(|| outbox.hand_over().map(|(token, _)| token)).count();
    assert_eq!(handed, HANDED_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_report_arrives_once_whatever_fails(
        fates in prop::collection::vec(0_u8..4, 0..400),
        count in 1_u64..300,
    ) {
        let mut outbox = Outbox::default();
        let mut summary = Summary::default();
        let mut fates = fates.into_iter();
        for sequence in 0..count {
            outbox.push(report(sequence, false));
            // 0: not taken; 1: lost; 2: arrived but reported lost; 3: arrived.
            while let Some(fate) = fates.next().filter(|_| sequence % 3 == 0) {
                let Some((token, message)) = outbox.hand_over() else { break };
                if fate >= 2 { summary.absorb(message); }
                if fate == 0 { outbox.take_back(token) } else { outbox.delivered(token, fate == 3) }
            }
        }
        outbox.push(report(count, true));
        drain(&mut outbox, &mut summary);
        let node = summary.node("n").unwrap();
        prop_assert!(node.gaps().is_empty());
        prop_assert_eq!(summary.series(0).iter().map(|row| row.counts.ok).sum::<u64>(), count);
    }
}
