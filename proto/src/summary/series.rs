//! A run second by second, over all nodes, in bounded memory.

use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use super::heatmap::HeatGrid;
use crate::histogram::{Sparse, SparseLatencies};
use crate::measure::{Report, SecondRow};

/// Seconds that keep their samples, counted back from the newest. Reports that come later than
/// this (the drivers queue 120) still add their counts to older seconds, but no samples.
const OPEN_SECONDS: usize = 180;
/// Seconds that are kept at all; a run of seven days has 604 800.
const SECONDS_MAX: usize = 700_000;

const SECOND_NS: u64 = 1_000_000_000;
/// A second that was filled so far is whole: the last request of a schedule is due before its end.
const WHOLE_SECOND_NS: u64 = SECOND_NS / 100 * 95;

/// The figures of one second, in ms; `None` without samples.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SeriesRow {
    /// The counts.
    #[serde(flatten)]
    pub counts: SecondRow,
    /// Response time, p50.
    pub p50: Option<f64>,
    /// Response time, p99.
    pub p99: Option<f64>,
    /// Response time, p99.9.
    pub p99_9: Option<f64>,
    /// Response time, largest.
    pub max: Option<f64>,
    /// Service time, p50.
    pub service_p50: Option<f64>,
    /// Service time, p99.
    pub service_p99: Option<f64>,
    /// The sending ended within this second, so that its counts are not those of a whole one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The sending was over before this second: it has the last answers only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
}

impl SeriesRow {
    /// Says what part of the second the sending filled, which ended so many ns after the start.
    pub(crate) fn mark(&mut self, sending_ns: u64) {
        let start_ns = self.counts.second.saturating_mul(SECOND_NS);
        let filled_ns = sending_ns.saturating_sub(start_ns);
        self.draining = filled_ns == 0;
        self.partial = filled_ns > 0 && filled_ns < WHOLE_SECOND_NS;
    }
}

#[derive(Debug, Clone, Default)]
struct Second {
    counts: SecondRow,
    samples: Samples,
}

#[derive(Debug, Clone)]
enum Samples {
    Open { response: Sparse, service: Sparse },
    Closed(SeriesRow),
}

impl Default for Samples {
    fn default() -> Self {
        Self::Open {
            response: Sparse::default(),
            service: Sparse::default(),
        }
    }
}

/// The fold of all nodes' reports by second. A clone costs the same however long the run is: it
/// shares all seconds that do not change after it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    seconds: RedBlackTreeMapSync<u64, Second>,
    /// The counts of all seconds that are kept.
    sum: SecondRow,
    /// The samples of the seconds that do not keep them any more.
    closed: HeatGrid,
}

impl Series {
    /// Adds one interval report. Its counts go to their seconds; its samples to the last of them,
    /// which is the only one unless reports were merged.
    pub(crate) fn add(&mut self, report: &Report) {
        self.count(report);
        let last = report.seconds.iter().map(|row| row.second).max();
        if let Some(second) = last {
            self.add_samples(second, &report.latencies);
        }
    }

    /// Adds the counts of an interval report, whose samples come with those of others.
    pub(crate) fn count(&mut self, report: &Report) {
        for row in &report.seconds {
            let second = self.second(row.second);
            second.counts.second = row.second;
            second.counts.add(row);
            self.sum.add(row);
        }
    }

    /// Adds samples to a second, if it has any counts.
    pub(crate) fn add_samples(&mut self, second: u64, latencies: &SparseLatencies) {
        let Some(second) = self.seconds.get_mut(&second) else {
            return;
        };
        if let Samples::Open { response, service } = &mut second.samples {
            response.add(&latencies.response);
            service.add(&latencies.service);
        }
        self.close_old();
    }

    fn second(&mut self, at: u64) -> &mut Second {
        if !self.seconds.contains_key(&at) {
            self.seconds.insert_mut(at, Second::default());
        }
        let second = self.seconds.get_mut(&at);
        second.expect("invariant: it was put there")
    }

    fn close_old(&mut self) {
        let old = self.seconds.iter().rev().skip(OPEN_SECONDS);
        let open = old.take_while(|(_, second)| matches!(second.samples, Samples::Open { .. }));
        let surplus: Vec<u64> = open.map(|(at, _)| *at).collect();
        for at in surplus {
            let second = self.second(at);
            let row = second.row();
            let samples = std::mem::replace(&mut second.samples, Samples::Closed(row));
            if let Samples::Open { response, service } = samples {
                self.closed.add(at, &response, &service);
            }
        }
        while self.seconds.size() > SECONDS_MAX
            && let Some((at, counts)) = self.seconds.first().map(|(at, row)| (*at, row.counts))
        {
            self.seconds.remove_mut(&at);
            self.sum = self.sum.less(&counts);
        }
    }

    /// What all seconds count together.
    pub(crate) fn sum(&self) -> &SecondRow {
        &self.sum
    }

    /// The samples of all seconds before one, by time and band: those of the open seconds are put in
    /// for whoever asks.
    pub(crate) fn heat(&self, before: u64) -> HeatGrid {
        let mut grid = self.closed.clone();
        for (at, second) in self.seconds.range(..before).rev().take(OPEN_SECONDS) {
            if let Samples::Open { response, service } = &second.samples {
                grid.add(*at, response, service);
            }
        }
        grid
    }

    /// All seconds from `first` on, in order.
    pub(crate) fn rows(&self, first: u64) -> Vec<SeriesRow> {
        self.seconds
            .range(first..)
            .map(|(_, second)| second.row())
            .collect()
    }
}

impl Second {
    fn row(&self) -> SeriesRow {
        match &self.samples {
            Samples::Closed(row) => SeriesRow {
                counts: self.counts,
                ..*row
            },
            Samples::Open { response, service } => {
                let response_ms = |q| ms(response.value_at_quantile(q));
                let service_ms = |q| ms(service.value_at_quantile(q));
                SeriesRow {
                    counts: self.counts,
                    p50: response_ms(0.5),
                    p99: response_ms(0.99),
                    p99_9: response_ms(0.999),
                    max: response_ms(1.0),
                    service_p50: service_ms(0.5),
                    service_p99: service_ms(0.99),
                    ..SeriesRow::default()
                }
            }
        }
    }
}

fn ms(ns: Option<u64>) -> Option<f64> {
    ns.map(crate::units::ns_to_ms)
}

/// At most `points` rows for a picture: neighbours are joined, their counts added, and of their
/// figures the worst is kept, so that a peak never disappears. The counts of a joined row are those
/// of its whole span, which ends where the next row's second begins.
#[must_use]
pub fn downsample(rows: &[SeriesRow], points: usize) -> Vec<SeriesRow> {
    let span = rows.len().div_ceil(points.max(1)).max(1);
    rows.chunks(span)
        .filter_map(|chunk| chunk.iter().copied().reduce(join))
        .collect()
}

fn join(mut one: SeriesRow, other: SeriesRow) -> SeriesRow {
    let in_flight = one.counts.in_flight.max(other.counts.in_flight);
    one.counts.add(&other.counts);
    one.counts.in_flight = in_flight;
    one.partial |= other.partial || one.draining != other.draining;
    one.draining &= other.draining;
    for (mine, theirs) in [
        (&mut one.p50, other.p50),
        (&mut one.p99, other.p99),
        (&mut one.p99_9, other.p99_9),
        (&mut one.max, other.max),
        (&mut one.service_p50, other.service_p50),
        (&mut one.service_p99, other.service_p99),
    ] {
        *mine = match (*mine, theirs) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
    }
    one
}

#[cfg(test)]
mod tests {
    use super::super::heatmap::HeatOf;
    use super::*;
    use crate::histogram::Latencies;

    fn row(second: u64, sent: u64, p99: Option<f64>) -> SeriesRow {
        let counts = SecondRow {
            second,
            sent,
            ..SecondRow::default()
        };
        SeriesRow {
            counts,
            p99,
            ..SeriesRow::default()
        }
    }

    /// One request in this second, with this response time.
    fn report(second: u64, response_ns: u64) -> Report {
        let mut latencies = Latencies::new();
        latencies.response.saturating_record(response_ns);
        Report {
            sequence_first: second,
            sequence: second,
            interval_start_ns: second * 1_000_000_000,
            interval_end_ns: (second + 1) * 1_000_000_000,
            seconds: vec![row(second, 1, None).counts],
            latencies: SparseLatencies::from(&latencies),
            ..Report::default()
        }
    }

    #[test]
    fn a_day_keeps_its_figures_and_the_samples_of_its_last_seconds_only() {
        const DAY: u64 = 86_400;
        let mut series = Series::default();
        let template = report(0, 2_000_000);
        for second in 0..DAY {
            let mut report = template.clone();
            report.seconds[0].second = second;
            series.add(&report);
        }
        let is_open = |second: &&Second| matches!(second.samples, Samples::Open { .. });
        let open = series.seconds.values().filter(is_open).count();
        assert_eq!(open, OPEN_SECONDS);
        let heat = series.heat(u64::MAX).map(HeatOf::Response, 300);
        assert_eq!(heat.samples, DAY, "bands keep what seconds do not");
        let heat = series.heat(DAY - 5).map(HeatOf::Response, 300);
        assert_eq!(heat.samples, DAY - 5);
        // Too late for samples, in time for samples.
        for second in [10, DAY - 10] {
            series.add(&report(second, 9_000_000));
        }
        let rows = series.rows(0);
        assert_eq!(rows.len() as u64, DAY);
        let sent: u64 = rows.iter().map(|row| row.counts.sent).sum();
        assert_eq!(sent, DAY + 2);
        let max_ms = |second: u64| {
            let row = &rows[usize::try_from(second).unwrap()];
            format!("{:.0}", row.max.unwrap())
        };
        assert_eq!([0, 10, DAY - 10].map(max_ms), ["2", "2", "9"]);
    }

    #[test]
    fn seconds_that_the_sending_did_not_fill_are_marked() {
        let marked = |sending_ns| {
            let mut rows: Vec<SeriesRow> = (0..4).map(|s| row(s, 10, None)).collect();
            rows.iter_mut().for_each(|row| row.mark(sending_ns));
            rows
        };
        let marks = |sending_ns| {
            let rows = marked(sending_ns).into_iter();
            rows.map(|row| (row.partial, row.draining))
                .collect::<Vec<_>>()
        };
        let (whole, partial, draining) = ((false, false), (true, false), (false, true));
        assert_eq!(marks(2_400_000_000), [whole, whole, partial, draining]);
        assert_eq!(marks(2_000_000_000), [whole, whole, draining, draining]);
        assert_eq!(marks(1_990_000_000), [whole, whole, draining, draining]);
        assert_eq!(marks(9_000_000_000), [whole; 4]);
        let joined = downsample(&marked(1_000_000_000), 2);
        assert!(joined[0].partial && !joined[0].draining && joined[1].draining);
        let json = serde_json::to_value(joined[1]).unwrap();
        assert_eq!(json.get("partial"), None, "said only where it is so");
    }

    #[test]
    fn what_is_in_flight_adds_over_nodes_and_not_over_time() {
        let mut series = Series::default();
        for (second, in_flight) in [
            (0, Some(3)),
            (0, Some(4)),
            (1, None),
            (1, Some(5)),
            (2, None),
        ] {
            let mut report = report(second, 1_000);
            report.seconds[0].in_flight = in_flight;
            report.seconds[0].bytes_sent = in_flight.map(|count| 10 * count);
            series.add(&report);
        }
        let rows = series.rows(0);
        let told = |rows: &[SeriesRow]| -> Vec<_> {
            let counts = rows.iter().map(|row| row.counts);
            counts.map(|row| (row.in_flight, row.bytes_sent)).collect()
        };
        let each = [(Some(7), Some(70)), (Some(5), Some(50)), (None, None)];
        assert_eq!(told(&rows), each);
        assert_eq!(told(&downsample(&rows, 1)), [(Some(7), Some(120))]);
    }

    #[test]
    fn a_downsampled_series_keeps_every_count_and_every_peak() {
        let rows: Vec<SeriesRow> = (0..1000)
            .map(|s| row(s, 10, if s == 617 { Some(900.0) } else { Some(1.0) }))
            .collect();
        let few = downsample(&rows, 60);
        assert!(few.len() <= 60, "{}", few.len());
        assert_eq!(few.iter().map(|row| row.counts.sent).sum::<u64>(), 10_000);
        assert!(few.iter().any(|row| row.p99 == Some(900.0)));
        assert_eq!(downsample(&rows[..5], 60), rows[..5]);
        assert!(downsample(&[], 60).is_empty());
    }
}
