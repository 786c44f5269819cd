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
/// How far the load of blocks may differ and still count as one load, as a share of their mean …
const LEVEL_SHARE: f64 = 0.1;
/// … and on top of it in standard deviations of a Poisson count, for arrivals at random.
const LEVEL_DEVIATIONS: f64 = 6.0;

/// What the median response time did over a run whose load did not change by intent; `None` where no
/// trend can be shown. The seconds are all of the run's.
pub(super) fn drift(rows: &[SeriesRow], closed_loop: bool) -> Option<Doubt<'static>> {
    let whole = rows.iter().filter(|row| !row.partial && !row.draining);
    let (loads, medians): (Vec<f64>, Vec<f64>) = whole
        .filter_map(|row| {
            let counts = &row.counts;
            let load = if closed_loop {
                counts.completed
            } else {
                counts.offered
            };
            Some((load as f64, row.p50?))
        })
        .unzip();
    let change = trend(&medians)?;
    let by_intent = if closed_loop {
        // A loop that slows down answers less; one that answers more was given more.
        change.last > change.first && quarters(&loads).is_rise()
    } else {
        !is_level(&loads)
    };
    (!by_intent).then_some(Doubt::Drift {
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

    fn is_rise(self) -> bool {
        self.last > self.first && self.matters()
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

/// Whether an open loop offered the same load all the time.
fn is_level(loads: &[f64]) -> bool {
    let means: Vec<f64> = blocks(loads)
        .map(|block| block.iter().sum::<f64>() / block.len().max(1) as f64)
        .collect();
    let mean = means.iter().sum::<f64>() / means.len().max(1) as f64;
    let block_s = (loads.len() / means.len().max(1)).max(1) as f64;
    let deviation = (mean / block_s).sqrt();
    let most = means.iter().copied().fold(f64::MIN, f64::max);
    let least = means.iter().copied().fold(f64::MAX, f64::min);
    most - least <= LEVEL_SHARE * mean + LEVEL_DEVIATIONS * deviation
}

fn median(values: &[f64]) -> f64 {
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
