//! The buckets of a histogram of our shape: which values are in which, and one of them with its
//! count in eight bytes.
//!
//! A thousand drivers report some twenty million of them a second. What is done with one is a few
//! instructions; what it costs is where it lies, so that half the room is half the time.

use super::HIGHEST_NS;

/// 3 significant digits need 2048 sub-buckets.
const SUB_BUCKETS: u64 = 2048;
/// All octaves but the first use the upper half of their sub-buckets.
const HALF: u64 = SUB_BUCKETS / 2;
/// Buckets in a histogram of our shape.
pub(super) const BUCKETS: usize = 33_792;
const _: () = assert!(
    BUCKETS as u64 == (HIGHEST_NS.ilog2() as u64 - HALF.ilog2() as u64 + 2) * HALF,
    "the highest value is in the last octave"
);
/// Bits of a count.
const COUNT_BITS: u32 = 48;

/// A bucket that is not empty: its index in the upper 16 bits, its count in the others, so that
/// buckets are ordered as their values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bucket(u64);

impl Bucket {
    /// Most samples that are counted in one; more are clamped to it. Ten million a second for most
    /// of a year.
    pub(super) const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

    /// The bucket at an index below [`BUCKETS`], with these samples.
    pub(super) fn new(index: u64, count: u64) -> Self {
        Self(index << COUNT_BITS | count.min(Self::COUNT_MAX))
    }

    /// Its place among all buckets.
    pub(super) fn index(self) -> u64 {
        self.0 >> COUNT_BITS
    }

    /// Its place in an array of all buckets.
    pub(super) fn place(self) -> usize {
        usize::try_from(self.index()).expect("invariant: 16 bits")
    }

    /// Its samples.
    pub(super) fn count(self) -> u64 {
        self.0 & Self::COUNT_MAX
    }

    /// Counts these samples too.
    pub(super) fn add(&mut self, samples: u64) {
        *self = Self::new(self.index(), self.count().saturating_add(samples));
    }

    /// How often the width of its octave is that of the first: 2 to the power of this, in ns, is
    /// the width of the bucket.
    pub(super) fn octave(self) -> u32 {
        octave(self.index())
    }

    /// Its place in its octave, of 2048.
    pub(super) fn sub_bucket(self) -> u64 {
        self.index() - u64::from(self.octave()) * HALF
    }

    /// Its smallest value, ns.
    pub(super) fn lowest(self) -> u64 {
        self.sub_bucket() << self.octave()
    }

    /// Its largest value, ns.
    pub(super) fn highest(self) -> u64 {
        self.lowest() + ((1 << self.octave()) - 1)
    }

    /// The value in the middle of it, which stands for its samples where they are averaged, ns.
    pub(super) fn middle(self) -> u64 {
        self.lowest() + (1 << self.octave()) / 2
    }
}

fn octave(index: u64) -> u32 {
    u32::try_from((index / HALF).saturating_sub(1)).expect("invariant: at most 2^6")
}

/// The index of the bucket that has a value, in ns.
pub(super) fn index_of(value: u64) -> u64 {
    let octave = (value | (SUB_BUCKETS - 1)).ilog2() - (SUB_BUCKETS - 1).ilog2();
    u64::from(octave) * HALF + (value >> octave)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::new;

    #[test]
    fn buckets_are_those_of_the_library() {
        let library = new();
        assert_eq!(library.distinct_values(), BUCKETS);
        for index in 0..BUCKETS as u64 {
            let bucket = Bucket::new(index, 7);
            assert_eq!(
                (bucket.index(), bucket.place() as u64, bucket.count()),
                (index, index, 7)
            );
            let lowest = bucket.lowest();
            assert_eq!(index_of(lowest), index);
            assert_eq!(index_of(bucket.highest()), index);
            assert_eq!(library.lowest_equivalent(lowest), lowest);
            assert_eq!(library.highest_equivalent(lowest), bucket.highest());
            assert_eq!(library.median_equivalent(lowest), bucket.middle());
        }
    }

    #[test]
    fn a_count_ends_at_its_bound_and_leaves_the_index_alone() {
        let mut bucket = Bucket::new(33_000, Bucket::COUNT_MAX - 1);
        bucket.add(1);
        assert_eq!(bucket.count(), Bucket::COUNT_MAX);
        bucket.add(u64::MAX);
        assert_eq!(
            (bucket.index(), bucket.count()),
            (33_000, Bucket::COUNT_MAX)
        );
    }
}
