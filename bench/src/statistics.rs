//! Median and spread of a few repetitions. Pure.

use serde::{Deserialize, Serialize};

/// What the repetitions of one measurement say together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The middle value.
    pub median: f64,
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The distance of the quartiles divided by the median; 0 for a median of 0.
    pub spread: f64,
    /// Below this the true median lies with a probability of at most 5 %, if the repetitions are
    /// independent. The least value when there are too few to say.
    #[serde(default)]
    pub low: f64,
    /// The same above.
    #[serde(default)]
    pub high: f64,
}

impl Summary {
    /// Summarises values in any order; `None` without any.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let median = quantile(&sorted, 0.5);
        let distance = quantile(&sorted, 0.75) - quantile(&sorted, 0.25);
        let spread = if median == 0.0 {
            0.0
        } else {
            (distance / median).abs()
        };
        let beyond = values_beyond(sorted.len());
        Some(Self {
            median,
            min,
            max,
            spread,
            low: sorted[beyond],
            high: sorted[sorted.len() - 1 - beyond],
        })
    }

    /// How far the true median may lie from this one, as a share of it.
    #[must_use]
    pub fn uncertainty(&self) -> f64 {
        if self.median == 0.0 {
            return 0.0;
        }
        ((self.high - self.low) / 2.0 / self.median).abs()
    }
}

/// How many of the least (and of the greatest) values lie outside the interval that has the median
/// with 90 % confidence, whatever the distribution: each value is above the median as often as
/// below, so the number below is binomial (David & Nagaraja, Order Statistics, 7.1).
fn values_beyond(count: usize) -> usize {
    let all = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let (mut ways, mut tail, mut beyond) = (1.0, all, 0);
    // `tail` is the probability that at most `beyond` values lie below the median.
    while beyond + 1 < count.div_ceil(2) {
        ways *= (count - beyond) as f64 / (beyond + 1) as f64;
        tail += ways * all;
        if tail > 0.05 {
            break;
        }
        beyond += 1;
    }
    beyond
}

/// A quantile (0 to 1) of values in any order; `None` without any.
#[must_use]
pub fn quantile_of(values: &[f64], at: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (!sorted.is_empty()).then(|| quantile(&sorted, at))
}

/// Interpolates between the two values that the quantile falls between.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the position lies between 0 and the last index"
)]
fn quantile(sorted: &[f64], quantile: f64) -> f64 {
    let position = quantile * (sorted.len() - 1) as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + (above - below) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_values_have_their_second_and_fourth_as_quartiles() {
        let summary = Summary::of(&[50.0, 10.0, 30.0, 20.0, 40.0]).unwrap();
        let expected = Summary {
            median: 30.0,
            min: 10.0,
            max: 50.0,
            spread: 20.0 / 30.0,
            low: 10.0,
            high: 50.0,
        };
        assert_eq!(summary, expected);
    }

    #[test]
    fn the_interval_of_the_median_narrows_with_repetitions() {
        // Tables of the sign test: n, and the rank from which the 90 % interval runs.
        for (count, beyond) in [
            (1, 0),
            (5, 0),
            (7, 0),
            (8, 1),
            (10, 1),
            (11, 2),
            (15, 3),
            (25, 7),
        ] {
            assert_eq!(values_beyond(count), beyond, "{count} values");
        }
        let values: Vec<f64> = (1..=15).map(f64::from).collect();
        let summary = Summary::of(&values).unwrap();
        assert_eq!((summary.low, summary.high), (4.0, 12.0));
        assert!((summary.uncertainty() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn one_value_has_no_spread_and_none_has_no_summary() {
        let of = |median, min, max, spread| {
            Some(Summary {
                median,
                min,
                max,
                spread,
                low: min,
                high: max,
            })
        };
        assert_eq!(Summary::of(&[7.0]), of(7.0, 7.0, 7.0, 0.0));
        assert_eq!(Summary::of(&[7.0, 9.0]), of(8.0, 7.0, 9.0, 0.125));
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[0.0, 0.0, 1.0]), of(0.0, 0.0, 1.0, 0.0));
    }
}
