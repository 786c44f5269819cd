//! A histogram as its non-empty buckets, for keeping many: a thousand nodes with four histograms
//! each would take a gigabyte as arrays, and a few dozen megabytes like this.

use std::sync::Arc;

use hdrhistogram::Histogram;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{decode_sparse, encode_sparse, new};

/// The non-empty buckets of a histogram of our shape, in rising order of value. A clone shares them:
/// whoever reads a live run keeps what it saw without a copy, and adding writes new ones anyway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sparse {
    /// (lowest equivalent value of the bucket, its count).
    buckets: Arc<Vec<(u64, u64)>>,
}

impl Sparse {
    /// Of non-empty buckets in rising order: lowest equivalent value and count.
    pub(super) fn of_buckets(buckets: Vec<(u64, u64)>) -> Self {
        Self {
            buckets: Arc::new(buckets),
        }
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The non-empty buckets in rising order: smallest and largest value, and the count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let bucket = |&(lowest, count): &(u64, u64)| (lowest, highest_equivalent(lowest), count);
        self.buckets.iter().map(bucket)
    }

    /// Adds another histogram's samples.
    pub fn add(&mut self, other: &Self) {
        if self.is_empty() {
            self.buckets = Arc::clone(&other.buckets);
            return;
        }
        let mine = Arc::make_mut(&mut self.buckets);
        let missing = add_common(mine, &other.buckets);
        insert(mine, &missing);
    }

    /// The value in ns that the share `quantile` (0 to 1) of the samples does not exceed, as
    /// `Histogram::value_at_quantile` gives it; `None` without samples.
    #[must_use]
    pub fn value_at_quantile(&self, quantile: f64) -> Option<u64> {
        self.values_at_quantiles([quantile]).next().flatten()
    }

    /// The same for many quantiles in rising order, in one pass over the buckets: a live result
    /// shows several of each of a thousand nodes.
    pub fn values_at_quantiles(
        &self,
        quantiles: impl IntoIterator<Item = f64>,
    ) -> impl Iterator<Item = Option<u64>> {
        let total = self.len() as f64;
        let mut rest = self.buckets.iter();
        let (mut at, mut seen) = (None, 0_u64);
        quantiles.into_iter().map(move |quantile| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within 0..=len
            let rank = ((quantile * total).ceil() as u64).max(1);
            while seen < rank
                && let Some((value, count)) = rest.next()
            {
                seen = seen.saturating_add(*count);
                at = Some(*value);
            }
            at.map(highest_equivalent)
        })
    }

    /// Adds these samples to a full histogram.
    pub fn add_to(&self, histogram: &mut Histogram<u64>) {
        for (value, count) in self.buckets.iter() {
            histogram.saturating_record_n(*value, *count);
        }
    }

    /// The same samples as a full histogram.
    #[must_use]
    pub fn to_histogram(&self) -> Histogram<u64> {
        let mut histogram = new();
        self.add_to(&mut histogram);
        histogram
    }
}

/// Adds the counts of the buckets that both have, which are most of them, and gives the others.
fn add_common(mine: &mut [(u64, u64)], theirs: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let (mut missing, mut at) = (Vec::new(), 0);
    for &(lowest, count) in theirs {
        while mine.get(at).is_some_and(|(value, _)| *value < lowest) {
            at += 1;
        }
        match mine.get_mut(at) {
            Some((value, sum)) if *value == lowest => *sum = sum.saturating_add(count),
            _ => missing.push((lowest, count)),
        }
    }
    missing
}

/// Puts buckets that are not there yet into their places, the last one first, without a copy.
fn insert(mine: &mut Vec<(u64, u64)>, missing: &[(u64, u64)]) {
    let (mut from, mut to) = (mine.len(), mine.len() + missing.len());
    mine.reserve_exact(missing.len());
    mine.resize(to, (0, 0));
    for &bucket in missing.iter().rev() {
        while from > 0 && mine[from - 1].0 > bucket.0 {
            (from, to) = (from - 1, to - 1);
            mine[to] = mine[from];
        }
        to -= 1;
        mine[to] = bucket;
    }
}

/// On the wire: V2-deflate in base64.
impl Serialize for Sparse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        encode_sparse(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sparse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode_sparse(&text).map_err(D::Error::custom)
    }
}

impl From<&Histogram<u64>> for Sparse {
    fn from(histogram: &Histogram<u64>) -> Self {
        let bucket = |at: hdrhistogram::iterators::IterationValue<u64>| {
            (
                histogram.lowest_equivalent(at.value_iterated_to()),
                at.count_at_value(),
            )
        };
        Self::of_buckets(histogram.iter_recorded().map(bucket).collect())
    }
}

/// The largest value in the bucket that begins at `lowest`, for histograms of our shape: buckets
/// are 1 ns wide up to 2048, then double in width with each power of two.
fn highest_equivalent(lowest: u64) -> u64 {
    let width = 1
        << (lowest | SUB_BUCKET_MASK)
            .ilog2()
            .saturating_sub(SUB_BUCKET_MASK.ilog2());
    lowest + (width - 1)
}

/// 3 significant digits need 2048 sub-buckets.
pub(super) const SUB_BUCKET_MASK: u64 = 2047;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::histogram::HIGHEST_NS;

    fn full(samples: &[u64]) -> Histogram<u64> {
        let mut histogram = new();
        samples
            .iter()
            .for_each(|sample| histogram.saturating_record(*sample));
        histogram
    }

    proptest! {
        #[test]
        fn merging_parts_equals_recording_all(
            one in prop::collection::vec(1..HIGHEST_NS, 0..200),
            other in prop::collection::vec(1..HIGHEST_NS, 0..200),
        ) {
            let mut sparse = Sparse::from(&full(&one));
            sparse.add(&Sparse::from(&full(&other)));
            let all: Vec<u64> = one.iter().chain(&other).copied().collect();
            prop_assert_eq!(&sparse, &Sparse::from(&full(&all)));
            // Not `==` on histograms: min and max there are exact values, not buckets.
            prop_assert_eq!(&Sparse::from(&sparse.to_histogram()), &sparse);
            prop_assert_eq!(sparse.len(), all.len() as u64);
        }

        #[test]
        fn quantiles_are_those_of_the_full_histogram(
            samples in prop::collection::vec(prop_oneof![1..5000_u64, 1..HIGHEST_NS], 1..200),
            quantile in 0.0..=1.0_f64,
        ) {
            let histogram = full(&samples);
            let expected = histogram.highest_equivalent(histogram.value_at_quantile(quantile));
            prop_assert_eq!(Sparse::from(&histogram).value_at_quantile(quantile), Some(expected));
        }
    }
}
