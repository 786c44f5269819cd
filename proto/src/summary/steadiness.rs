//! Whether a run was steady: a trend within it is tested, not assumed. What drifts is the target's
//! truth and says nothing against the generator, so that it is a remark.
//!
//! The test is that of Mann (Econometrica 13, 1945) and Kendall (Rank Correlation Methods, 4th ed.
//! 1975, section 4), with his correction for ties, at 1 % on both sides. It takes its values to be
//! independent, which seconds that follow each other are not: it is applied to the medians of
//! blocks of seconds instead.

use super::series::SeriesRow;
use super::validity::Doubt;

/// Fewer seconds with samples say nothing about a trend.
const SECONDS_MIN: usize = 20;
/// From so many seconds on, the blocks are [`BLOCKS_MANY`].
const SECONDS_MANY: usize = 60;
/// Blocks of a short run; Kendall's normal approximation is good from ten values on.
const BLOCKS_FEW: usize = 10;
/// Blocks of a longer run, of three seconds at least.
const BLOCKS_MANY: usize = 20;
/// The standard normal's quantile for 1 % on both sides.
const Z_MIN: f64 = 2.576;
/// The last quarter must differ by this share of the first: in a long run the smallest drift is
/// beyond doubt, and nobody's concern.
const CHANGE_MIN: f64 = 0.1;

/// What the median response time did over a run of one load all the time, which the plan says and no
/// count of answers can; `None` where no trend can be shown. The seconds are all of the run's.
pub(super) fn drift(rows: &[SeriesRow]) -> Option<Doubt<'static>> {
    let whole = rows.iter().filter(|row| !row.partial && !row.draining);
    let medians: Vec<f64> = whole.filter_map(|row| row.p50).collect();
    trend(&medians).map(|change| Doubt::Drift {
        first_ms: change.first,
        last_ms: change.last,
    })
}

/// The medians of the first and the last quarter of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Change {
    first: f64,
    last: f64,
}

impl Change {
    /// Whether the two differ by enough to matter.
    fn matters(self) -> bool {
        (self.last - self.first).abs() >= CHANGE_MIN * self.first
    }
}

/// From where to where a series went, when it went there beyond doubt, and far enough to matter.
fn trend(values: &[f64]) -> Option<Change> {
    if values.len() < SECONDS_MIN {
        return None;
    }
    let medians: Vec<f64> = blocks(values).map(median).collect();
    let change = quarters(values);
    (mann_kendall(&medians).abs() > Z_MIN && change.matters()).then_some(change)
}

fn quarters(values: &[f64]) -> Change {
    let quarter = values.len() / 4;
    Change {
        first: median(&values[..quarter]),
        last: median(&values[values.len() - quarter..]),
    }
}

/// The series in blocks whose lengths differ by one at most.
fn blocks(values: &[f64]) -> impl Iterator<Item = &[f64]> {
    let many = values.len() >= SECONDS_MANY;
    let count = if many { BLOCKS_MANY } else { BLOCKS_FEW };
    let at = move |block: usize| block * values.len() / count;
    (0..count).map(move |block| &values[at(block)..at(block + 1)])
}

/// The middle value, or the middle of the two; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Kendall's S over its standard deviation, with his correction for continuity: standard normal
/// where there is no trend, positive where the values rise. 0 where all are equal.
fn mann_kendall(values: &[f64]) -> f64 {
    let pairs = values.iter().enumerate().flat_map(|(at, earlier)| {
        let later = &values[at + 1..];
        later
            .iter()
            .map(move |later| match later.total_cmp(earlier) {
                std::cmp::Ordering::Less => -1.0,
                std::cmp::Ordering::Equal => 0.0,
                std::cmp::Ordering::Greater => 1.0,
            })
    });
    let s: f64 = pairs.sum();
    let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let ties = sorted.chunk_by(|one, other| one.total_cmp(other).is_eq());
    let ties: f64 = ties.map(|equal| term(equal.len() as f64)).sum();
    let variance = (term(values.len() as f64) - ties) / 18.0;
    if variance <= 0.0 || s == 0.0 {
        return 0.0;
    }
    (s - s.signum()) / variance.sqrt()
}

#[cfg(test)]
mod tests;
