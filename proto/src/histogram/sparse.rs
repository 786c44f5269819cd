//! A histogram as its non-empty buckets, for keeping many: a thousand nodes with four histograms
//! each would take a gigabyte as arrays, and a few dozen megabytes like this.

use std::sync::Arc;

use hdrhistogram::Histogram;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bucket::{BUCKETS, Bucket, index_of};
use super::{decode_sparse, encode_sparse, new};

/// The non-empty buckets of a histogram of our shape, in rising order of value. A clone shares them:
/// whoever reads a live run keeps what it saw without a copy, and adding writes new ones anyway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sparse {
    buckets: Arc<Vec<Bucket>>,
}

impl Sparse {
    /// Of non-empty buckets in rising order.
    pub(super) fn of_buckets(buckets: Vec<Bucket>) -> Self {
        Self {
            buckets: Arc::new(buckets),
        }
    }

    /// The samples of all of these together.
    ///
    /// One after the other would be merged into an ever longer list; here each bucket is an
    /// addition in an array that stays in the cache of a core.
    #[must_use]
    pub fn sum<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = all.filter(|samples| !samples.is_empty());
        let Some(first) = all.next() else {
            return Self::default();
        };
        let Some(second) = all.next() else {
            return first.clone();
        };
        let mut counts = vec![0_u64; BUCKETS];
        for bucket in [first, second]
            .into_iter()
            .chain(all)
            .flat_map(|samples| samples.buckets.iter())
        {
            let count = &mut counts[bucket.place()];
            *count = count.saturating_add(bucket.count());
        }
        let buckets = (0..).zip(counts).filter(|(_, count)| *count > 0);
        Self::of_buckets(
            buckets
                .map(|(index, count)| Bucket::new(index, count))
                .collect(),
        )
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, bucket| sum.saturating_add(bucket.count()))
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Whether both are known to be equal without a look at their samples.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.buckets, &other.buckets) || self.is_empty() && other.is_empty()
    }

    /// The non-empty buckets in rising order.
    pub(super) fn as_slice(&self) -> &[Bucket] {
        &self.buckets
    }

    /// The non-empty buckets in rising order: smallest and largest value, and the count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let bucket = |bucket: &Bucket| (bucket.lowest(), bucket.highest(), bucket.count());
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

    /// The same for many quantiles in rising order, in one pass over the buckets.
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
                && let Some(bucket) = rest.next()
            {
                seen = seen.saturating_add(bucket.count());
                at = Some(bucket);
            }
            at.map(|bucket| bucket.highest())
        })
    }

    /// The same samples as a full histogram.
    #[must_use]
    pub fn to_histogram(&self) -> Histogram<u64> {
        let mut histogram = new();
        for bucket in self.buckets.iter() {
            histogram.saturating_record_n(bucket.lowest(), bucket.count());
        }
        histogram
    }
}

/// Adds the counts of the buckets that both have, which are most of them, and gives the others.
fn add_common(mine: &mut [Bucket], theirs: &[Bucket]) -> Vec<Bucket> {
    let (mut missing, mut at) = (Vec::new(), 0);
    for &bucket in theirs {
        while mine.get(at).is_some_and(|it| it.index() < bucket.index()) {
            at += 1;
        }
        match mine.get_mut(at) {
            Some(it) if it.index() == bucket.index() => it.add(bucket.count()),
            _ => missing.push(bucket),
        }
    }
    missing
}

/// Puts buckets that are not there yet into their places, the last one first, without a copy.
fn insert(mine: &mut Vec<Bucket>, missing: &[Bucket]) {
    let (mut from, mut to) = (mine.len(), mine.len() + missing.len());
    mine.reserve_exact(missing.len());
    mine.resize(to, Bucket::default());
    for &bucket in missing.iter().rev() {
        while from > 0 && mine[from - 1].index() > bucket.index() {
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
    /// Of a histogram of any shape. One of other bounds can have buckets beyond our last, whatever
    /// its header says of its highest value; they count as the last.
    fn from(histogram: &Histogram<u64>) -> Self {
        let mut buckets: Vec<Bucket> = Vec::new();
        for at in histogram.iter_recorded() {
            let lowest = histogram.lowest_equivalent(at.value_iterated_to());
            let index = index_of(lowest).min(BUCKETS as u64 - 1);
            match buckets.last_mut().filter(|last| last.index() == index) {
                Some(same) => same.add(at.count_at_value()),
                None => buckets.push(Bucket::new(index, at.count_at_value())),
            }
        }
        Self::of_buckets(buckets)
    }
}

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

    #[test]
    fn a_histogram_whose_buckets_reach_beyond_ours_is_one_of_ours() {
        // Its lowest value makes each of its buckets so wide that the last ends near 2^51.
        let mut wide = Histogram::<u64>::new_with_bounds(1 << 40, HIGHEST_NS, 3).unwrap();
        wide.auto(true);
        for value in [1 << 41, 1 << 45, (1 << 51) - 1] {
            wide.record_n(value, 3).unwrap();
        }
        let sparse = Sparse::from(&wide);
        assert_eq!(sparse.len(), 9);
        assert_eq!(sparse.buckets().count(), 2, "two of them beyond our last");
        assert_eq!(Sparse::sum([&sparse, &sparse].into_iter()).len(), 18);
        assert_eq!(decode_sparse(&encode_sparse(&sparse)), Ok(sparse));
    }

    #[test]
    fn samples_of_a_coarser_histogram_stay_where_they_were() {
        let mut coarse = Histogram::<u64>::new_with_bounds(1, HIGHEST_NS, 2).unwrap();
        coarse.saturating_record(1_000_000);
        let (lowest, ..) = Sparse::from(&coarse).buckets().next().unwrap();
        let its_lowest = coarse.lowest_equivalent(1_000_000);
        assert!(lowest <= its_lowest && its_lowest - lowest < 1_000);
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
        fn the_sum_of_many_is_what_they_are_one_after_the_other(
            many in prop::collection::vec(prop::collection::vec(1..HIGHEST_NS, 0..50), 0..5),
        ) {
            let many: Vec<Sparse> = many.iter().map(|one| Sparse::from(&full(one))).collect();
            let mut added = Sparse::default();
            many.iter().for_each(|one| added.add(one));
            prop_assert_eq!(Sparse::sum(many.iter()), added);
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
