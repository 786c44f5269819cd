//! Between which values a quantile lies: how far the sample's may be from the target's own.
//!
//! Whatever the distribution, a sample lies at or below its q-quantile with probability q, so that
//! the number of those that do is binomial, and two order statistics enclose the quantile with a
//! known probability (David & Nagaraja, Order Statistics, 7.1). It takes the samples as independent:
//! those of one run are not quite, and what differs between runs is not in it at all.

use super::Sparse;

/// What lies outside of an interval, on each side: 5 % in all.
const TAIL: f64 = 0.025;
/// The standard normal quantile of `1 - TAIL`.
pub const Z: f64 = 1.959_963_984_540_054;
/// Standard deviation of the binomial from which on it is taken for normal, in ranks. Up to there
/// its terms are summed, some twenty of these.
const DEVIATION_EXACT_MAX: f64 = 500.0;
/// Terms below this share of the greatest add nothing.
const TERM_MIN: f64 = 1e-18;

/// A quantile with the interval that it lies in with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Lower end, ns.
    pub low: u64,
    /// Upper end, ns.
    pub high: u64,
}

/// Why a quantile has no interval.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "{beyond} of {samples} samples beyond {}; its interval needs {needed} samples or more",
    quantile_name(*.quantile)
)]
pub struct TooFewSamples {
    /// Which, 0 to 1.
    pub quantile: f64,
    /// Samples that there are.
    pub samples: u64,
    /// Those beyond the quantile, on its shorter side.
    pub beyond: u64,
    /// Samples that are needed.
    pub needed: u64,
}

/// `p99.9` for 0.999, and `max` for 1.
#[must_use]
pub fn quantile_name(quantile: f64) -> String {
    if quantile >= 1.0 {
        return "max".to_owned();
    }
    // Rounded, since 0.99999 times 100 is no 99.999 in binary.
    format!("p{}", (quantile * 1e7).round() / 1e5)
}

/// The ranks, from 1, of the samples that enclose the quantile (between 0 and 1, both excluded) of
/// the distribution that `samples` samples are from, with 95 % confidence.
///
/// # Errors
/// [`TooFewSamples`] where even the extreme ones do not.
pub fn ranks(samples: u64, quantile: f64) -> Result<(u64, u64), TooFewSamples> {
    let needed = samples_needed(quantile);
    if samples < needed {
        return Err(TooFewSamples {
            quantile,
            samples,
            beyond: floor(samples as f64 * quantile.min(1.0 - quantile) + 1e-9),
            needed,
        });
    }
    let mean = samples as f64 * quantile;
    let deviation = (mean * (1.0 - quantile)).sqrt();
    let (low, high) = if deviation > DEVIATION_EXACT_MAX {
        let reach = Z * deviation;
        (floor(mean - reach), floor(mean + reach) + 2)
    } else {
        exact_ranks(samples, quantile)
    };
    Ok((low.max(1), high.min(samples)))
}

/// The fewest samples of which the extreme ones enclose the quantile.
#[must_use]
pub fn samples_needed(quantile: f64) -> u64 {
    let inner = quantile.max(1.0 - quantile);
    floor((TAIL.ln() / inner.ln()).ceil())
}

/// Sums the binomial from both ends: the terms in proportion to the greatest, which no number of
/// samples makes too small to be told from 0.
fn exact_ranks(samples: u64, quantile: f64) -> (u64, u64) {
    let odds = quantile / (1.0 - quantile);
    let mode = floor((samples + 1) as f64 * quantile).min(samples);
    let up = |at: u64| (samples - at) as f64 / (at + 1) as f64 * odds;
    let (mut first, mut term) = (mode, 1.0);
    let mut terms = vec![term];
    while first > 0 && term > TERM_MIN {
        first -= 1;
        term /= up(first);
        terms.push(term);
    }
    terms.reverse();
    let (mut last, mut term) = (mode, 1.0);
    while last < samples && term > TERM_MIN {
        term *= up(last);
        last += 1;
        terms.push(term);
    }
    let tail = terms.iter().sum::<f64>() * TAIL;
    // P(fewer than `low` at or below) and P(at least `high`) are both at most the tail.
    let within = |terms: &mut dyn Iterator<Item = &f64>| {
        let mut sum = 0.0;
        let fits = terms.take_while(|term| {
            sum += **term;
            sum <= tail
        });
        fits.count() as u64
    };
    let below = within(&mut terms.iter());
    let above = within(&mut terms.iter().rev());
    (first + below, last + 1 - above)
}

/// Of what is no negative number, and no larger one than a count can be.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast to an integer saturates"
)]
fn floor(value: f64) -> u64 {
    value.floor() as u64
}

impl Sparse {
    /// The interval of a quantile (between 0 and 1, both excluded), from the lowest value of its
    /// lower bucket to the highest of its upper one.
    ///
    /// # Errors
    /// [`TooFewSamples`].
    pub fn interval(&self, quantile: f64) -> Result<Interval, TooFewSamples> {
        let (low_rank, high_rank) = ranks(self.len(), quantile)?;
        let mut seen = 0_u64;
        let (mut low, mut high) = (0, 0);
        for bucket in self.as_slice() {
            if seen < low_rank {
                low = bucket.lowest();
            }
            if seen < high_rank {
                high = bucket.highest();
            }
            seen = seen.saturating_add(bucket.count());
        }
        Ok(Interval { low, high })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram;

    #[test]
    fn the_ranks_are_those_of_published_tables() {
        // Of the median: the sign test's. The others: the binomial summed in exact fractions.
        for (samples, quantile, expected) in [
            (6, 0.5, (1, 6)),
            (10, 0.5, (2, 9)),
            (25, 0.5, (8, 18)),
            (100, 0.5, (40, 61)),
            (1000, 0.5, (469, 532)),
            (400, 0.9, (348, 372)),
            (1000, 0.99, (983, 997)),
            (500, 0.99, (490, 500)),
        ] {
            assert_eq!(
                ranks(samples, quantile),
                Ok(expected),
                "{samples} {quantile}"
            );
        }
    }

    #[test]
    fn the_normal_takes_over_where_it_differs_by_a_few_ranks_of_thousands() {
        for (samples, quantile) in [(1_000_000, 0.5), (2_000_000, 0.9), (24_000_000, 0.99)] {
            let deviation = (samples as f64 * quantile * (1.0 - quantile)).sqrt();
            let normal = ranks(samples, quantile).unwrap();
            let exact = exact_ranks(samples, quantile);
            assert!(deviation < 1000.0);
            for (one, other) in [(normal.0, exact.0), (normal.1, exact.1)] {
                assert!(one.abs_diff(other) <= 3, "{normal:?} {exact:?}");
            }
        }
    }

    #[test]
    fn too_few_samples_have_no_interval_and_say_how_many_it_takes() {
        let error = ranks(20_000, 0.9999).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 of 20000 samples beyond p99.99; its interval needs 36887 samples or more"
        );
        assert!(ranks(36_886, 0.9999).is_err());
        assert_eq!(ranks(36_887, 0.9999).unwrap().1, 36_887);
        assert!(ranks(5, 0.5).is_err() && ranks(6, 0.5).is_ok());
        assert!(ranks(0, 0.5).is_err());
    }

    #[test]
    fn an_interval_holds_the_quantile_as_often_as_it_says() {
        let mut random = fastrand::Rng::with_seed(20);
        for (quantile, samples) in [(0.5, 300), (0.9, 400), (0.99, 2000)] {
            let mut held = 0;
            for _ in 0..1000 {
                let mut drawn = histogram::new();
                for _ in 0..samples {
                    // Exponential, mean 1 ms.
                    let ns = -(1.0 - random.f64()).ln() * 1e6;
                    drawn.saturating_record(floor(ns).max(1));
                }
                let interval = Sparse::from(&drawn).interval(quantile).unwrap();
                let truth = floor(-(1.0 - quantile).ln() * 1e6);
                held += u32::from((interval.low..=interval.high).contains(&truth));
            }
            // 950 are promised, and the ranks are whole, so that it is some more.
            assert!((940..=985).contains(&held), "{quantile}: {held}");
        }
    }
}
