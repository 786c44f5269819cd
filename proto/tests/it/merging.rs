//! A range says what its messages say, however the partition is cut into ranges.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proto::codec;
use proto::histogram::{Latencies, SparseLatencies};
use proto::measure::{IntervalFigures, LatencyFigures, Report, SecondRow};
use proto::merging::{LEN_MAX, LEN_WANTED, Merger, Range, Read};
use proto::message::{Merged, MergedReport, Metrics, Skipped, WIRE_VERSION};

use crate::arbitrary;
use crate::examples;

fn merger() -> Merger {
    Merger {
        id: "merger-1".into(),
        incarnation: 7,
    }
}

/// A report of one second with these response times, µs.
fn report(node: u64, test: u64, second: u64, samples_us: &[u64]) -> Metrics {
    let mut latencies = Latencies::new();
    for us in samples_us {
        latencies.response.saturating_record(us * 1000);
        latencies.service.saturating_record(us * 900);
        latencies
            .first_byte
            .made()
            .saturating_record(us * (800 + node % 2 * 100));
    }
    let row = SecondRow {
        second,
        ok: samples_us.len() as u64,
        ..SecondRow::default()
    };
    Metrics {
        node_id: format!("driver-{node}"),
        test_id: format!("test-{test}"),
        report_id: None,
        metrics: LatencyFigures::default(),
        report: Some(Report {
            sequence: second,
            sequence_first: second,
            seconds: vec![row],
            latencies: SparseLatencies::from(&latencies),
            ..Report::default()
        }),
    }
}

/// What partitions hold: mostly interval reports, and everything else that comes.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let interval = (0..6_u64, 0..2_u64, 0..4_u64, vec(1..90_000_000_u64, 0..12)).prop_map(
        |(node, test, second, samples)| codec::encode(&report(node, test, second, &samples)),
    );
    prop_oneof![
        8 => interval,
        2 => arbitrary::metrics().prop_map(|metrics| codec::encode(&metrics)),
        1 => vec(any::<u8>(), 0..40),
        1 => Just(b"{}".to_vec()),
        1 => Just(codec::encode(&examples::last_metrics())),
        1 => Just(
            br#"{"node_id":"x","test_id":"t","metrics":{"mean_latency":"1"}}"#.to_vec()
        ),
    ]
}

/// What messages say, or a list of ranges: it must be the same.
#[derive(Debug, Default, PartialEq)]
struct Content {
    /// By test and second.
    samples: BTreeMap<(String, u64), SparseLatencies>,
    /// By test and second, in their order.
    reports: BTreeMap<(String, u64), Vec<MergedReport>>,
    untouched: Vec<(i64, String)>,
    skipped: Vec<(i64, String)>,
}

impl Content {
    fn of_log(log: &[Vec<u8>]) -> Self {
        let mut content = Self::default();
        for (offset, payload) in (0..).zip(log) {
            content.add(offset, payload);
        }
        content
    }

    fn add(&mut self, offset: i64, payload: &[u8]) {
        let metrics: Metrics = match codec::decode(&mut payload.to_vec()) {
            Ok(metrics) => metrics,
            Err(error) => {
                let error = error.to_string().chars().take(200).collect();
                return self.skipped.push((offset, error));
            }
        };
        match &metrics.report {
            Some(report) if !report.last => {
                let place = (metrics.test_id.clone(), report.second());
                let sum = self.samples.entry(place.clone()).or_default();
                sum.add(&report.latencies);
                let figures = IntervalFigures::from(&report.latencies);
                let mut without = metrics.clone();
                without.report.as_mut().unwrap().latencies = SparseLatencies::default();
                let reports = self.reports.entry(place).or_default();
                reports.push(MergedReport(without, figures));
            }
            _ => {
                let text = String::from_utf8(payload.to_vec()).unwrap();
                self.untouched.push((offset, text));
            }
        }
    }

    fn of_ranges(ranges: impl IntoIterator<Item = Merged>) -> Self {
        let mut content = Self::default();
        for range in ranges {
            for part in range.parts {
                let place = (part.test_id, part.second);
                let sum = content.samples.entry(place.clone()).or_default();
                sum.add(&SparseLatencies::try_from(&part.latencies).unwrap());
                let reports = content.reports.entry(place).or_default();
                reports.extend(part.reports);
            }
            let untouched = range.untouched.into_iter();
            content
                .untouched
                .extend(untouched.map(|one| (one.offset, one.payload)));
            for Skipped {
                offset,
                count,
                error,
            } in range.skipped
            {
                let each = (offset..).take(usize::try_from(count).unwrap());
                content.skipped.extend(each.map(|at| (at, error.clone())));
            }
        }
        content
    }
}

/// The log as the ranges that begin at these places, each as it comes over the wire.
fn ranges(log: &[Vec<u8>], cuts: &[usize], len_max: usize) -> Vec<Merged> {
    let mut begins: Vec<usize> = cuts.iter().map(|cut| cut % (log.len() + 1)).collect();
    begins.extend([0, log.len()]);
    begins.sort_unstable();
    let mut ranges = Vec::new();
    for pair in begins.windows(2) {
        let mut range = Range::starting_at(i64::try_from(pair[0]).unwrap());
        for (at, payload) in log.iter().enumerate().take(pair[1]).skip(pair[0]) {
            let offset = i64::try_from(at).unwrap();
            range.add(Read::message(offset, payload.clone()));
        }
        let pieces = range.encoded(&merger(), 3, 1000, len_max);
        ranges.extend(pieces.into_iter().map(|piece| {
            let mut payload = piece.payload.unwrap();
            assert!(payload.len() <= len_max, "{} bytes", payload.len());
            let merged: Merged = codec::decode(&mut payload).unwrap();
            assert_eq!((merged.from, merged.to), (piece.from, piece.to));
            merged
        }));
    }
    ranges
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn however_a_partition_is_cut_its_ranges_say_what_it_says(
        log in vec(payload(), 0..40),
        cuts in vec(any::<usize>(), 0..6),
        order in any::<u64>(),
    ) {
        let expected = Content::of_log(&log);
        let mut ranges = ranges(&log, &cuts, LEN_MAX);
        let mut next = 0;
        for range in &ranges {
            prop_assert_eq!(range.from, next, "without a gap");
            next = range.to;
            prop_assert_eq!((range.wire, range.partition, range.end), (WIRE_VERSION, 3, 1000));
        }
        prop_assert_eq!(next, i64::try_from(log.len()).unwrap());
        prop_assert_eq!(Content::of_ranges(ranges.clone()), expected);
        // Who counts the parts may take them in any order: sums have none.
        let mut rng = fastrand::Rng::with_seed(order);
        for range in &mut ranges {
            rng.shuffle(&mut range.parts);
        }
        prop_assert_eq!(Content::of_ranges(ranges).samples, Content::of_log(&log).samples);
    }

    #[test]
    fn what_is_too_long_for_one_message_is_several_that_say_the_same(
        log in vec(payload(), 1..40),
        len_max in 4_000..60_000_usize,
    ) {
        let longest = log.iter().map(|one| {
            let mut range = Range::starting_at(0);
            range.add(Read::message(0, one.clone()));
            range.encoded(&merger(), 3, 1000, LEN_MAX)[0].payload.as_ref().unwrap().len()
        });
        // Names of offsets are longer further on.
        let len_max = len_max.max(longest.max().unwrap_or(0) + 100);
        let ranges = ranges(&log, &[], len_max);
        prop_assert_eq!(Content::of_ranges(ranges), Content::of_log(&log));
    }

    #[test]
    fn the_expected_length_is_hardly_below_the_real_one(log in vec(payload(), 0..40)) {
        let mut range = Range::starting_at(0);
        for (offset, payload) in (0..).zip(log) {
            range.add(Read::message(offset, payload));
        }
        let real = codec::encode(&range.merged(&merger(), 0, 0)).len();
        prop_assert!(real <= range.expected_len(), "{} > {}", real, range.expected_len());
    }
}

#[test]
fn a_message_without_room_around_it_is_left_out_and_all_else_is_there() {
    let long = format!(
        r#"{{"node_id":"x","test_id":"t","metrics":{{}},"note":"{}"}}"#,
        "y".repeat(5000)
    );
    let mut range = Range::starting_at(10);
    for (offset, payload) in (10..).zip(["{}", "{}", &long, "{}"]) {
        range.add(Read::message(offset, payload.as_bytes().to_vec()));
    }
    let pieces = range.encoded(&merger(), 0, 0, 2000);
    let places = pieces
        .iter()
        .map(|piece| (piece.from, piece.to, piece.payload.is_some()));
    let places: Vec<_> = places.collect();
    assert_eq!(
        places,
        [(10, 12, true), (12, 13, false), (13, 14, true)],
        "what is missing is read where it is"
    );
}

#[test]
fn what_nobody_can_read_is_counted_with_its_reason() {
    let mut range = Range::starting_at(5);
    range.add(Read::gap(7, 10, "a codec that is not known"));
    range.add(Read::gap(10, 12, "a codec that is not known"));
    range.add(Read::gap(12, 13, "damaged"));
    let merged = range.merged(&merger(), 0, 0);
    let skipped = |offset, count, error: &str| Skipped {
        offset,
        count,
        error: error.into(),
    };
    let expected = [
        skipped(7, 5, "a codec that is not known"),
        skipped(12, 1, "damaged"),
    ];
    assert_eq!(merged.skipped, expected);
    assert_eq!((merged.from, merged.to, merged.end), (5, 13, 13));
}

#[test]
fn an_empty_range_says_where_the_partition_stands() {
    let range = Range::starting_at(17);
    assert!(range.is_empty());
    let merged = range.merged(&merger(), 2, 20);
    assert_eq!((merged.from, merged.to, merged.end), (17, 17, 20));
    assert!(range.expected_len() < LEN_WANTED);
    let pieces = range.encoded(&merger(), 2, 20, LEN_MAX);
    assert_eq!(pieces.len(), 1);
    let text = String::from_utf8(pieces[0].payload.clone().unwrap()).unwrap();
    assert!(!text.contains("parts") && text.len() < 200, "{text}");
}

#[test]
fn reports_of_a_thousand_drivers_take_a_fraction_of_their_room() {
    let mut rng = fastrand::Rng::with_seed(3);
    let (mut range, mut raw_len) = (Range::starting_at(0), 0);
    for node in 0..200 {
        let samples: Vec<u64> = (0..2000).map(|_| rng.u64(100..30_000)).collect();
        let payload = codec::encode(&report(node, 0, 7, &samples));
        raw_len += payload.len();
        range.add(Read::message(node.cast_signed(), payload));
    }
    let len = codec::encode(&range.merged(&merger(), 0, 0)).len();
    assert!(len * 4 < raw_len, "{len} of {raw_len} bytes");
}
