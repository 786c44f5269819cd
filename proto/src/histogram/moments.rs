//! Mean, spread and mode of a histogram in one pass over its buckets.
//!
//! Within an octave the middles of the buckets lie on a grid, so that their sums are those of small
//! whole numbers: exact, and a few instructions a bucket. Octaves are then put together as groups
//! are in an analysis of variance: the spread within them and that between their means.

use super::Sparse;
use super::bucket::Bucket;

/// What the buckets of a histogram say of all its samples, each counting as the middle of its
/// bucket; in ns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    /// The smallest value of the lowest bucket.
    pub(crate) lowest: u64,
    /// Arithmetic mean.
    pub(crate) mean: f64,
    /// Variance of the population, in square ns.
    pub(crate) variance: f64,
    /// Middle of the fullest bucket, the lowest on a tie.
    pub(crate) mode: u64,
}

/// The sums of one octave.
struct Group {
    samples: f64,
    /// In ns.
    mean: f64,
    /// Sum of the squared distances to the mean, in square ns.
    squares: f64,
}

impl Group {
    /// Of the buckets of one octave, which has at least one.
    fn of(buckets: &[Bucket]) -> Self {
        let (mut samples, mut first, mut second) = (0_u128, 0_u128, 0_u128);
        for bucket in buckets {
            let (at, count) = (bucket.sub_bucket(), bucket.count());
            // A count has 48 bits and a place 11: a product of two fits.
            let weighted = count * at;
            samples += u128::from(count);
            first += u128::from(weighted);
            second += u128::from(weighted) * u128::from(at);
        }
        // About the whole place below the mean, where nothing is rounded yet.
        let whole = first / samples;
        let rest = first - whole * samples;
        let about_whole = second + whole * whole * samples - 2 * whole * first;
        let (samples, rest) = (samples as f64, rest as f64);
        let any = buckets[0];
        let width = (any.highest() - any.lowest() + 1) as f64;
        let to_middle = (any.middle() - any.lowest()) as f64;
        Self {
            samples,
            mean: (whole as f64 + rest / samples) * width + to_middle,
            squares: (about_whole as f64 - rest * rest / samples) * width * width,
        }
    }
}

impl Sparse {
    /// Of all samples; `None` where there is none.
    pub(crate) fn moments(&self) -> Option<Moments> {
        let buckets = self.as_slice();
        let lowest = buckets.first()?.lowest();
        let octaves = buckets.chunk_by(|one, other| one.octave() == other.octave());
        let groups: Vec<Group> = octaves.map(Group::of).collect();
        let samples: f64 = groups.iter().map(|group| group.samples).sum();
        let sum: f64 = groups.iter().map(|group| group.mean * group.samples).sum();
        let mean = sum / samples;
        let squares = |group: &Group| group.squares + group.samples * (group.mean - mean).powi(2);
        let variance = groups.iter().map(squares).sum::<f64>() / samples;
        let fullest = buckets.iter().fold(Bucket::default(), |best, bucket| {
            if bucket.count() > best.count() {
                *bucket
            } else {
                best
            }
        });
        Some(Moments {
            lowest,
            mean,
            variance,
            mode: fullest.middle(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::histogram::{HIGHEST_NS, new};

    fn of(samples: &[(u64, u64)]) -> Sparse {
        let mut histogram = new();
        for (value, count) in samples {
            histogram.saturating_record_n(*value, *count);
        }
        Sparse::from(&histogram)
    }

    #[test]
    fn without_samples_there_are_none() {
        assert_eq!(Sparse::default().moments(), None);
    }

    #[test]
    fn samples_of_one_bucket_have_no_spread() {
        for value in [1, 2047, 2048, 1_000_000, HIGHEST_NS] {
            let moments = of(&[(value, 1 << 40)]).moments().unwrap();
            assert!(
                moments.variance.abs() < f64::EPSILON,
                "{value}: {moments:?}"
            );
        }
    }

    #[test]
    fn one_far_sample_of_very_many_hides_nothing() {
        // 1 sample at 1 ns and n at 2^40: the variance is d^2 n / (n + 1)^2.
        let (far, n) = (1_u64 << 40, 1_u64 << 39);
        let moments = of(&[(1, 1), (far, n)]).moments().unwrap();
        let distance = (far + (1 << 29)) as f64 - 1.0;
        let expected = distance.powi(2) * n as f64 / (n as f64 + 1.0).powi(2);
        assert!(
            (moments.variance / expected - 1.0).abs() < 1e-9,
            "{moments:?}"
        );
    }

    proptest! {
        #[test]
        fn they_are_those_of_a_sum_over_all_buckets(
            samples in prop::collection::vec(
                (prop_oneof![1..5000_u64, 1..HIGHEST_NS], 1..1_u64 << 30), 1..200),
        ) {
            let sparse = of(&samples);
            let moments = sparse.moments().unwrap();
            let all: Vec<(f64, f64)> = sparse.as_slice().iter()
                .map(|bucket| (bucket.middle() as f64, bucket.count() as f64)).collect();
            let n: f64 = all.iter().map(|(_, n)| n).sum();
            let mean = all.iter().map(|(at, n)| at * n).sum::<f64>() / n;
            let squares = all.iter().map(|(at, n)| (at - mean).powi(2) * n).sum::<f64>();
            prop_assert!((moments.mean - mean).abs() <= 1e-9 * mean);
            let variance = squares / n;
            prop_assert!((moments.variance - variance).abs() <= 1e-9 * variance + 1e-9);
        }
    }
}
