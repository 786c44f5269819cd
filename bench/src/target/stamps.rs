//! What the arrivals' stamps say: gaps, and lateness against a grid.
//!
//! Pure: time is an argument, integer nanoseconds of one monotonic clock.

use hdrhistogram::Histogram;
use proto::histogram::{Sparse, encode_sparse};
use serde_json::{Value, json};

pub(super) use super::grid::Keep;
use super::grid::{Anchor, Grid, STAMPS_MAX};

/// The most arrivals whose offset from the grid is kept. Later ones are counted, their gaps too, but
/// say nothing about lateness.
const OFFSETS_MAX: usize = STAMPS_MAX;
/// Arrivals after a pause longer than this begin another burst, ns.
const BURST_PAUSE_NS: u64 = 5_000_000;

/// The arrivals since the last reset.
#[derive(Debug)]
pub(super) struct Stamps {
    keep: Keep,
    requests: u64,
    first_ns: u64,
    last_ns: u64,
    /// The instants of the first arrivals, as many as were to be kept, from the first one on.
    kept: Vec<u64>,
    burst: Burst,
    gaps: Histogram<u64>,
    /// Arrival minus intended arrival if the first one was in time, in nanoseconds.
    offsets: Vec<i64>,
    offsets_dropped: u64,
}

impl Stamps {
    pub(super) fn new(keep: Keep) -> Self {
        let offsets = if keep.grid.is_some() { OFFSETS_MAX } else { 0 };
        Self {
            keep,
            requests: 0,
            first_ns: 0,
            last_ns: 0,
            kept: Vec::with_capacity(keep.stamps),
            burst: Burst::default(),
            gaps: proto::histogram::new(),
            offsets: Vec::with_capacity(offsets),
            offsets_dropped: 0,
        }
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// From the first arrival to the last, in nanoseconds.
    pub(super) fn window_ns(&self) -> u64 {
        self.last_ns - self.first_ns
    }

    #[inline]
    pub(super) fn arrive(&mut self, now_ns: u64) {
        if self.requests == 0 {
            self.first_ns = now_ns;
        } else {
            self.gaps
                .saturating_record(now_ns.saturating_sub(self.last_ns));
        }
        if let Some(grid) = self.keep.grid {
            self.keep_offset(now_ns, grid);
        }
        if self.kept.len() < self.keep.stamps {
            self.kept.push(now_ns - self.first_ns);
        }
        if self.requests == 0 || now_ns.saturating_sub(self.last_ns) > BURST_PAUSE_NS {
            self.burst.begin(now_ns);
        }
        self.burst.len += 1;
        self.last_ns = now_ns;
        self.requests += 1;
    }

    /// All that came so far has been answered, as far as the sockets took it.
    #[inline]
    pub(super) fn answered(&mut self, now_ns: u64) {
        if self.burst.answered != self.requests {
            self.burst.answered = self.requests;
            self.burst.end_ns = now_ns;
        }
    }

    /// The instants that were kept, in nanoseconds from the first arrival, one a line.
    pub(super) fn listed(&self) -> String {
        let lines = self.kept.iter().map(u64::to_string);
        lines.collect::<Vec<_>>().join("\n")
    }

    fn keep_offset(&mut self, now_ns: u64, grid: Grid) {
        if self.offsets.len() == OFFSETS_MAX {
            self.offsets_dropped += 1;
            return;
        }
        let elapsed_ns = (now_ns - self.first_ns).cast_signed();
        self.offsets
            .push(elapsed_ns - grid.intended_ns(self.requests));
    }

    pub(super) fn report(&self) -> Value {
        json!({
            "requests": self.requests,
            "seconds": self.window_ns() as f64 / 1e9,
            "grid_ns": self.keep.grid.map(Grid::gap_ns),
            "gap": figures(&self.gaps),
            "gap_error": self.keep.grid.map(|_| figures(&self.gap_errors())),
            "lateness": self.keep.grid.map(|_| figures(&self.lateness())),
            "burst": self.burst.report(),
            "offsets_dropped": self.offsets_dropped,
        })
    }

    /// The distance of a gap from the grid is the change of the offset.
    fn gap_errors(&self) -> Histogram<u64> {
        let mut errors = proto::histogram::new();
        for pair in self.offsets.windows(2) {
            errors.saturating_record(pair[0].abs_diff(pair[1]));
        }
        errors
    }

    fn lateness(&self) -> Histogram<u64> {
        let least = match self.keep.anchor {
            Anchor::Min => self.offsets.iter().min().copied().unwrap_or(0),
            Anchor::First => 0,
        };
        let mut lateness = proto::histogram::new();
        for offset in &self.offsets {
            lateness.saturating_record(u64::try_from(offset - least).unwrap_or(0));
        }
        lateness
    }
}

/// Arrivals without a pause, and how long it took to answer them all.
#[derive(Debug, Default)]
struct Burst {
    /// Of the one that is under way.
    len: u64,
    begin_ns: u64,
    end_ns: u64,
    /// Requests, of all bursts, that had been answered at `end_ns`.
    answered: u64,
    /// Those that are over: from the first arrival to the last answer, and their length.
    spans_ns: Vec<u64>,
    lens: Vec<u64>,
}

impl Burst {
    /// The most bursts that are kept.
    const KEPT_MAX: usize = 1 << 16;

    fn begin(&mut self, now_ns: u64) {
        if self.len > 0 && self.lens.len() < Self::KEPT_MAX {
            self.spans_ns
                .push(self.end_ns.saturating_sub(self.begin_ns));
            self.lens.push(self.len);
        }
        self.len = 0;
        self.begin_ns = now_ns;
    }

    /// The middle one of all, the one under way among them.
    fn report(&self) -> Value {
        let mut spans_ns = self.spans_ns.clone();
        let mut lens = self.lens.clone();
        if self.len > 0 {
            spans_ns.push(self.end_ns.saturating_sub(self.begin_ns));
            lens.push(self.len);
        }
        let count = lens.len();
        let middle = |values: &mut Vec<u64>| {
            values.sort_unstable();
            values.get(count / 2).copied()
        };
        json!({
            "count": count,
            "len_p50": middle(&mut lens),
            "span_p50_ns": middle(&mut spans_ns),
        })
    }
}

fn figures(histogram: &Histogram<u64>) -> Value {
    json!({
        "count": histogram.len(),
        "min_ns": histogram.min(),
        "mean_ns": histogram.mean(),
        "p50_ns": histogram.value_at_quantile(0.5),
        "p90_ns": histogram.value_at_quantile(0.9),
        "p99_ns": histogram.value_at_quantile(0.99),
        "p99_9_ns": histogram.value_at_quantile(0.999),
        "max_ns": histogram.max(),
        "histogram_ns": encode_sparse(&Sparse::from(histogram)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::grid;
    use super::*;

    fn stamped(grid: &str, anchor: Anchor, arrivals: &[u64]) -> Value {
        let mut stamps = Stamps::new(Keep {
            grid: Some(grid::parse_gap_ns(grid).unwrap()),
            anchor,
            stamps: 0,
        });
        for &now_ns in arrivals {
            stamps.arrive(now_ns);
        }
        stamps.report()
    }

    #[test]
    fn a_regular_sender_has_no_error_and_no_lateness() {
        let arrivals: Vec<u64> = (0..1000).map(|k| 5_000 + k * 1000).collect();
        let report = stamped("1000", Anchor::Min, &arrivals);
        assert_eq!(report["requests"], 1000);
        assert_eq!(report["gap"]["p50_ns"], 1000);
        assert_eq!(report["gap_error"]["max_ns"], 0);
        assert_eq!(report["lateness"]["max_ns"], 0);
    }

    #[test]
    fn lateness_is_counted_from_the_earliest_grid_or_from_the_first_arrival() {
        // Offsets from the first: 0, -50, +20.
        let arrivals = [1000, 1950, 3020];
        let min = stamped("1000", Anchor::Min, &arrivals);
        assert_eq!(min["lateness"]["p50_ns"], 50);
        assert_eq!(min["lateness"]["max_ns"], 70);
        let first = stamped("1000", Anchor::First, &arrivals);
        assert_eq!(first["lateness"]["p50_ns"], 0);
        assert_eq!(first["lateness"]["max_ns"], 20);
        assert_eq!(min["gap_error"]["max_ns"], 70);
    }

    #[test]
    fn without_a_grid_there_are_gaps_only() {
        let mut stamps = Stamps::new(Keep::default());
        for now_ns in [10, 30, 30] {
            stamps.arrive(now_ns);
        }
        let report = stamps.report();
        assert_eq!(report["gap"]["count"], 2);
        assert_eq!(report["gap"]["max_ns"], 20);
        assert_eq!(report["lateness"], Value::Null);
        let text = report["gap"]["histogram_ns"].as_str().unwrap();
        assert_eq!(proto::histogram::decode(text).unwrap().len(), 2);
    }

    #[test]
    fn the_first_instants_are_listed_as_far_as_they_were_to_be_kept() {
        let mut stamps = Stamps::new(Keep {
            stamps: 2,
            ..Keep::default()
        });
        for now_ns in [100, 130, 170] {
            stamps.arrive(now_ns);
        }
        assert_eq!(stamps.listed(), "0\n30");
    }

    #[test]
    fn bursts_are_told_apart_by_a_pause_and_last_until_their_last_answer() {
        let mut stamps = Stamps::new(Keep::default());
        for begin_ns in [0, 50 * BURST_PAUSE_NS, 99 * BURST_PAUSE_NS] {
            (0..3).for_each(|_| stamps.arrive(begin_ns));
            stamps.answered(begin_ns + 300);
            stamps.arrive(begin_ns + 400);
            stamps.answered(begin_ns + 700);
            // A turn without arrivals changes nothing.
            stamps.answered(begin_ns + 5000);
        }
        let burst = &stamps.report()["burst"];
        assert_eq!(burst["count"], 3);
        assert_eq!(burst["len_p50"], 4);
        assert_eq!(burst["span_p50_ns"], 700);
    }

    #[test]
    fn nothing_stamped_is_a_report_too() {
        assert_eq!(Stamps::new(Keep::default()).report()["requests"], 0);
    }
}
