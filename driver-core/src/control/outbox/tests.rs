//! Nothing is lost, whatever the broker does.

use proptest::prelude::*;
use proto::histogram::{HIGHEST_NS, Latencies, SparseLatencies};
use proto::measure::{Counters, LatencyFigures, Report, SecondRow};
use proto::summary::Summary;

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

/// librdkafka's default, which brokers have too.
const MESSAGE_LEN_MAX: usize = 1_000_000;

/// The most that a report of any length can be: every bucket of every histogram in use, with counts
/// that do not compress, and every number long.
fn full(sequence: u64, rng: &mut fastrand::Rng) -> Metrics {
    let mut message = report(sequence, false);
    let mut latencies = Latencies::new();
    let buckets = latencies.response.clone();
    let values = std::iter::successors(Some(1), |value| Some(buckets.next_non_equivalent(*value)));
    for value in values.take_while(|value| *value <= HIGHEST_NS) {
        for histogram in [
            &mut latencies.response,
            &mut latencies.service,
            &mut latencies.release_lag,
            &mut latencies.error,
        ] {
            histogram.saturating_record_n(value, rng.u64(1..1 << 20));
        }
    }
    let many = 1 << 40;
    let report = message.report.as_mut().unwrap();
    report.latencies = SparseLatencies::from(&latencies);
    report.counters.status_codes = (100..600).map(|code| (code, many)).collect();
    report.seconds[0] = SecondRow {
        second: sequence,
        offered: many,
        sent: many,
        completed: many,
        ok: many,
        errors: many,
        shed: many,
        refused: many,
        in_flight: Some(many),
        bytes_sent: Some(many),
        bytes_received: Some(many),
    };
    message
}

#[test]
fn a_report_of_days_still_fits_into_a_message() {
    const SECONDS: u64 = (ROWS_MAX * WAITING_MAX * 2) as u64;
    let mut outbox = Outbox::default();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut one = report(0, false);
    for sequence in 0..SECONDS {
        let report = one.report.as_mut().unwrap();
        (report.sequence_first, report.sequence) = (sequence, sequence);
        report.seconds[0].second = sequence;
        outbox.push(one.clone());
    }
    assert_eq!(outbox.len(), WAITING_MAX);
    let rows = outbox.entries.iter().map(Entry::rows).max().unwrap();
    assert!((ROWS_MAX / 2..=ROWS_MAX).contains(&rows), "{rows} rows");
    let seconds = |entry: &Entry| entry.message.report.as_ref().unwrap().seconds.clone();
    let ok = outbox.entries.iter().flat_map(seconds).map(|row| row.ok);
    assert_eq!(ok.sum::<u64>(), SECONDS, "every count kept a row");

    let mut message = full(0, &mut rng);
    let report = message.report.as_mut().unwrap();
    report.seconds = vec![report.seconds[0]; ROWS_MAX];
    let len = proto::codec::encode(&message).len();
    assert!(len < MESSAGE_LEN_MAX, "{len} bytes");
}

#[test]
fn what_the_client_refuses_holds_nothing_up_and_is_tried_again() {
    let mut outbox = Outbox::default();
    (0..20).for_each(|sequence| outbox.push(report(sequence, false)));
    let (refused, _) = outbox.hand_over().unwrap();
    assert!(outbox.refuse(refused));
    let mut summary = Summary::default();
    drain(&mut outbox, &mut summary);
    assert_eq!(
        (
            outbox.len(),
            summary.node("n").unwrap().totals().counters.ok
        ),
        (1, 19)
    );

    // It does not grow meanwhile.
    (20..500).for_each(|sequence| outbox.push(report(sequence, false)));
    outbox.retry();
    let (again, message) = outbox.hand_over().unwrap();
    assert_eq!(
        (again, message.report.as_ref().unwrap().sequence),
        (refused, 0)
    );
    assert!(!outbox.refuse(again), "no news");
    outbox.retry();
    drain(&mut outbox, &mut summary);
    assert!(outbox.is_empty() && summary.node("n").unwrap().gaps().is_empty());
}

#[test]
fn what_did_not_leave_may_still_be_merged() {
    let mut outbox = Outbox::default();
    outbox.push(report(0, false));
    let (token, _) = outbox.hand_over().unwrap();
    outbox.take_back(token);
    (1..500).for_each(|sequence| outbox.push(report(sequence, false)));
    let (_, message) = outbox.hand_over().unwrap();
    assert!(message.report.as_ref().unwrap().sequence > 0);
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
        fates in prop::collection::vec(0_u8..5, 0..400),
        count in 1_u64..300,
    ) {
        let mut outbox = Outbox::default();
        let mut summary = Summary::default();
        let mut fates = fates.into_iter();
        for sequence in 0..count {
            outbox.push(report(sequence, false));
            // 0: not taken; 1: lost; 2: arrived but reported lost; 3: arrived; 4: refused.
            while let Some(fate) = fates.next().filter(|_| sequence % 3 == 0) {
                let Some((token, message)) = outbox.hand_over() else { break };
                if fate == 2 || fate == 3 { summary.absorb(message); }
                match fate {
                    0 => outbox.take_back(token),
                    4 => {
                        outbox.refuse(token);
                    }
                    fate => outbox.delivered(token, fate == 3),
                }
            }
            if sequence % 7 == 0 { outbox.retry() }
        }
        outbox.push(report(count, true));
        outbox.retry();
        drain(&mut outbox, &mut summary);
        let node = summary.node("n").unwrap();
        prop_assert!(node.gaps().is_empty());
        prop_assert_eq!(summary.series(0).iter().map(|row| row.counts.ok).sum::<u64>(), count);
    }
}
