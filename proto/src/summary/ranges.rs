//! Which sequence numbers have been seen.

/// A set of sequence numbers as disjoint, rising, inclusive ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ranges {
    ranges: Vec<(u64, u64)>,
}

impl Ranges {
    /// Adds `first..=last`; false, and nothing changed, when any of it was there already. Nodes
    /// merge only what they never sent, so a range that overlaps was counted before.
    pub(crate) fn insert(&mut self, first: u64, last: u64) -> bool {
        let at = self.place_of(first);
        if self.is_taken(at, last) {
            return false;
        }
        self.ranges.insert(at, (first, last));
        self.join(at);
        true
    }

    /// Whether any of `first..=last` is there.
    pub(crate) fn has_any(&self, first: u64, last: u64) -> bool {
        self.is_taken(self.place_of(first), last)
    }

    /// Where a range that begins at `first` is, or goes.
    fn place_of(&self, first: u64) -> usize {
        self.ranges.partition_point(|(_, end)| *end < first)
    }

    fn is_taken(&self, at: usize, last: u64) -> bool {
        self.ranges.get(at).is_some_and(|(start, _)| *start <= last)
    }

    /// Joins the range at `at` with its neighbours where they touch.
    fn join(&mut self, at: usize) {
        for left in [at, at.wrapping_sub(1)] {
            let (Some(one), Some(next)) =
                (self.ranges.get(left), self.ranges.get(left.wrapping_add(1)))
            else {
                continue;
            };
            if one.1.checked_add(1) == Some(next.0) {
                self.ranges[left] = (one.0, next.1);
                self.ranges.remove(left + 1);
            }
        }
    }

    /// The ranges between 0 and the largest number seen that are missing.
    pub(crate) fn gaps(&self) -> Vec<(u64, u64)> {
        let mut next = 0;
        let mut gaps = Vec::new();
        for (first, last) in &self.ranges {
            if *first > next {
                gaps.push((next, first - 1));
            }
            next = last.saturating_add(1);
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(inserts in prop::collection::vec((0_u64..60, 0_u64..4), 0..60)) {
            let mut ranges = Ranges::default();
            let mut set = BTreeSet::new();
            for (first, len) in inserts {
                let numbers = first..=first + len;
                let is_new = numbers.clone().all(|n| !set.contains(&n));
                prop_assert_eq!(ranges.has_any(first, first + len), !is_new);
                prop_assert_eq!(ranges.insert(first, first + len), is_new);
                if is_new {
                    set.extend(numbers);
                }
                let missing: Vec<u64> =
                    (0..set.last().map_or(0, |last| *last)).filter(|n| !set.contains(n)).collect();
                let gaps: Vec<u64> = ranges.gaps().into_iter().flat_map(|(a, b)| a..=b).collect();
                prop_assert_eq!(gaps, missing);
            }
        }
    }
}
