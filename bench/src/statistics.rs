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
        Some(Self {
            median,
            min,
            max,
            spread,
        })
    }
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
        };
        assert_eq!(summary, expected);
    }

    #[test]
    fn one_value_has_no_spread_and_none_has_no_summary() {
        let of = |median, min, max, spread| {
            Some(Summary {
                median,
                min,
                max,
                spread,
            })
        };
        assert_eq!(Summary::of(&[7.0]), of(7.0, 7.0, 7.0, 0.0));
        assert_eq!(Summary::of(&[7.0, 9.0]), of(8.0, 7.0, 9.0, 0.125));
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[0.0, 0.0, 1.0]), of(0.0, 0.0, 1.0, 0.0));
    }
}
