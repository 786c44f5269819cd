//! How n parties divide one whole exactly, each knowing nothing but its own number.

/// The place of one party among several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 0.
    pub index: u64,
    /// How many there are, at least 1.
    pub of: u64,
}

impl Part {
    /// The only one.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Party `index` of `of`; `None` unless `index < of`.
    #[must_use]
    pub const fn new(index: u64, of: u64) -> Option<Self> {
        if index < of {
            Some(Self { index, of })
        } else {
            None
        }
    }

    /// Part `index` of `of` of this part: a core of a driver. All parts of all drivers are disjoint
    /// and together the whole.
    ///
    /// # Panics
    /// Unless `index < of`.
    #[must_use]
    pub fn part(self, index: u64, of: u64) -> Self {
        assert!(index < of, "part {index} of {of}");
        Self {
            index: self.index + self.of * index,
            of: self.of * of,
        }
    }

    /// Its place among the first `most` parties: they alone do what cannot be done by more at once.
    /// `None` for those after them.
    #[must_use]
    pub const fn among(self, most: u64) -> Option<Self> {
        let of = if most < self.of { most } else { self.of };
        Self::new(self.index, of)
    }

    /// The number in the whole of what this party does as its `nth`, counted from 0.
    #[must_use]
    pub fn nth(self, nth: u64) -> u64 {
        self.index.saturating_add(self.of.saturating_mul(nth))
    }

    /// How many of `total` are this party's.
    #[must_use]
    pub fn share(self, total: u64) -> u64 {
        share(total, self.index, self.of)
    }
}

/// How many of the numbers 0 to `total` − 1 are those of party `index` of `n`: `index`, `index` + n,
/// `index` + 2n … The shares of all parties are the total, and differ by at most 1.
///
/// # Panics
/// When `n` is 0.
#[must_use]
pub const fn share(total: u64, index: u64, n: u64) -> u64 {
    total.saturating_sub(index).div_ceil(n)
}

/// The next number of a sequence that looks random and is the same everywhere (`SplitMix64`, Steele,
/// Lea and Flood 2014).
pub fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed(*state)
}

/// A number from another, without a pattern between them: the finaliser of `SplitMix64`.
#[must_use]
pub const fn mixed(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_few_do_at_once_is_the_whole_too(
            total in 0_u64..10_000,
            most in 1_u64..50,
            n in 1_u64..50,
        ) {
            let parties = (0..n).filter_map(|index| Part::new(index, n)?.among(most));
            let parties: Vec<Part> = parties.collect();
            prop_assert_eq!(parties.len() as u64, most.min(n));
            let shares = parties.iter().map(|part| part.share(total));
            prop_assert_eq!(shares.sum::<u64>(), total);
            let at_once = parties.iter().map(|part| part.share(most));
            prop_assert_eq!(at_once.sum::<u64>(), most);
        }

        #[test]
        fn shares_are_the_whole_and_even(total in 0_u64..1_000_000, n in 1_u64..200) {
            let shares: Vec<u64> = (0..n).map(|index| share(total, index, n)).collect();
            prop_assert_eq!(shares.iter().sum::<u64>(), total);
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }

        #[test]
        fn cores_of_drivers_have_disjoint_parts(drivers in 1_u64..7, cores in 1_u64..5) {
            let mut seen = vec![0; 1000];
            for driver in 0..drivers {
                // Drivers may differ in their cores.
                let cores = cores + driver % 2;
                for core in 0..cores {
                    let part = Part::new(driver, drivers).unwrap().part(core, cores);
                    for nth in 0..part.share(1000) {
                        seen[usize::try_from(part.nth(nth)).unwrap()] += 1;
                    }
                }
            }
            prop_assert!(seen.iter().all(|times| *times == 1), "{:?}", seen);
        }
    }
}
