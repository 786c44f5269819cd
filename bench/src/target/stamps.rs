//! What the arrivals' stamps say: gaps, and lateness against a grid.
//!
//! Pure: time is an argument, integer nanoseconds of one monotonic clock.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::grid::{Anchor, Grid};

/// The most arrivals whose offset from the grid is kept, 32 MB of them. Later ones are counted,
/// their gaps too, but say nothing about lateness.
const OFFSETS_MAX: usize = 4 << 20;

/// The arrivals since the last reset.
#[derive(Debug)]
pub(super) struct Stamps {
    grid: Option<Grid>,
    anchor: Anchor,
    requests: u64,
    first_ns: u64,
    last_ns: u64,
    gaps: Histogram<u64>,
    /// Arrival minus intended arrival if the first one was in time, in nanoseconds.
    offsets: Vec<i64>,
    offsets_dropped: u64,
}

impl Stamps {
    pub(super) fn new(grid: Option<Grid>, anchor: Anchor) -> Self {
        Self {
            grid,
            anchor,
            requests: 0,
            first_ns: 0,
            last_ns: 0,
            gaps: proto::histogram::new(),
            offsets: Vec::with_capacity(if grid.is_some() { OFFSETS_MAX } else { 0 }),
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
        if let Some(grid) = self.grid {
            self.keep_offset(now_ns, grid);
        }
        self.last_ns = now_ns;
        self.requests += 1;
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
            "grid_ns": self.grid.map(Grid::gap_ns),
            "gap": figures(&self.gaps),
            "gap_error": self.grid.map(|_| figures(&self.gap_errors())),
            "lateness": self.grid.map(|_| figures(&self.lateness())),
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
        let least = match self.anchor {
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
        "histogram_ns": proto::histogram::encode(histogram),
    })
}

#[cfg(test)]
mod tests {
    use super::super::grid;
    use super::*;

    fn stamped(grid: &str, anchor: Anchor, arrivals: &[u64]) -> Value {
        let mut stamps = Stamps::new(Some(grid::parse_gap_ns(grid).unwrap()), anchor);
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
        let mut stamps = Stamps::new(None, Anchor::Min);
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
    fn nothing_stamped_is_a_report_too() {
        assert_eq!(Stamps::new(None, Anchor::Min).report()["requests"], 0);
    }
}
