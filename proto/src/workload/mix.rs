//! Which flow a session is: by weight, exactly over each whole cycle of sessions.

use super::share::mixed;

/// Most entries of a cycle: the sum of the weights, their common factors cancelled.
pub const CYCLE_MAX: u64 = 100_000;

/// Flows by weight. Of each `cycle` sessions in a row every flow has exactly its weight, and within
/// a cycle they are spread evenly (smooth weighted round-robin). Where in the cycle a block of
/// sessions begins differs from block to block without a pattern, so that the parties that take
/// every n-th session each get all flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    cycle: Vec<u32>,
}

impl Mix {
    /// The mix of flows with these weights. A weight of 0 is never chosen.
    ///
    /// # Errors
    /// In words, when all weights are 0 or their cycle is longer than [`CYCLE_MAX`].
    pub fn new(weights: &[u64]) -> Result<Self, String> {
        let divisor = weights.iter().copied().fold(0, greatest_common_divisor);
        if divisor == 0 {
            return Err("the weights are all 0; give one flow a weight of at least 1".to_owned());
        }
        let weights: Vec<u64> = weights.iter().map(|weight| weight / divisor).collect();
        let total = weights.iter().fold(0_u64, |sum, w| sum.saturating_add(*w));
        if total > CYCLE_MAX {
            return Err(format!(
                "the weights add up to {total}; at most {CYCLE_MAX}, without their common factor"
            ));
        }
        Ok(Self {
            cycle: smooth(&weights, total),
        })
    }

    /// Weights that flows can have, each at least 1, in the proportion of how often each came; and
    /// whether they had to be rounded for it. `times` are at most [`CYCLE_MAX`], and none is 0.
    #[must_use]
    pub fn weights_of(times: &[u64]) -> (Vec<u64>, bool) {
        let divisor = times
            .iter()
            .copied()
            .fold(0, greatest_common_divisor)
            .max(1);
        let exact: Vec<u64> = times.iter().map(|times| times / divisor).collect();
        let total: u128 = exact.iter().map(|weight| u128::from(*weight)).sum();
        if total <= u128::from(CYCLE_MAX) {
            return (exact, false);
        }
        // What rounding up adds has to fit as well.
        let room = u128::from(CYCLE_MAX).saturating_sub(exact.len() as u128);
        let scaled = |weight: &u64| {
            let scaled = u128::from(*weight) * room / total;
            u64::try_from(scaled).unwrap_or(CYCLE_MAX).max(1)
        };
        (exact.iter().map(scaled).collect(), true)
    }

    /// The flow of the session of this number in the whole run.
    #[must_use]
    pub fn flow(&self, session: u64) -> usize {
        let len = self.cycle.len() as u64;
        if len == 1 {
            return self.cycle[0] as usize;
        }
        let (block, at) = (session / len, session % len);
        let at = (at + mixed(block) % len) % len;
        self.cycle[usize::try_from(at).expect("invariant: within the cycle")] as usize
    }

    /// Sessions of a cycle.
    #[must_use]
    pub fn cycle(&self) -> u64 {
        self.cycle.len() as u64
    }
}

/// One cycle of smooth weighted round-robin: each turn all gain their weight, the one that has most
/// is taken and pays the total.
fn smooth(weights: &[u64], total: u64) -> Vec<u32> {
    let gains: Vec<i64> = weights.iter().map(|w| w.cast_signed()).collect();
    let mut credit = vec![0_i64; weights.len()];
    let turn = |_| {
        for (credit, gain) in credit.iter_mut().zip(&gains) {
            *credit += gain;
        }
        let richest = (0..credit.len())
            .rev()
            .max_by_key(|at| credit[*at])
            .expect("invariant: a flow has a weight");
        credit[richest] -= total.cast_signed();
        u32::try_from(richest).expect("invariant: few flows")
    };
    (0..total).map(turn).collect()
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workload::Part;

    #[test]
    fn weights_of_nothing_are_refused() {
        assert!(Mix::new(&[]).is_err());
        assert!(Mix::new(&[0, 0]).is_err());
        assert!(Mix::new(&[1, 100_001]).unwrap_err().contains("100002"));
        assert_eq!(Mix::new(&[7_000_000, 3_000_000]).unwrap().cycle(), 10);
    }

    #[test]
    fn flows_are_spread_within_a_cycle() {
        let mix = Mix::new(&[5, 1, 1]).unwrap();
        assert_eq!(mix.cycle, [0, 0, 1, 0, 2, 0, 0]);
    }

    proptest! {
        #[test]
        fn every_cycle_has_each_flow_exactly_by_its_weight(
            weights in prop::collection::vec(0_u64..20, 1..8), block in 0_u64..1_000_000,
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let mix = Mix::new(&weights).unwrap();
            let mut times = vec![0_u64; weights.len()];
            for at in 0..mix.cycle() {
                times[mix.flow(block * mix.cycle() + at)] += 1;
            }
            let scale = weights.iter().sum::<u64>() / mix.cycle();
            let expected: Vec<u64> = weights.iter().map(|weight| weight / scale).collect();
            prop_assert_eq!(times, expected);
        }

        #[test]
        fn weights_are_found_for_any_numbers(
            times in prop::collection::vec(1_u64..u64::MAX, 1..1000)
        ) {
            let (weights, _) = Mix::weights_of(&times);
            prop_assert!(weights.iter().all(|weight| *weight > 0));
            prop_assert!(weights.iter().sum::<u64>() <= CYCLE_MAX);
        }

        #[test]
        fn small_numbers_keep_their_proportion(times in prop::collection::vec(1_u64..100, 1..900)) {
            let (weights, is_rounded) = Mix::weights_of(&times);
            prop_assert!(!is_rounded);
            let same = |(weight, of): (&u64, &u64)| weight * times[0] == of * weights[0];
            prop_assert!(weights.iter().zip(&times).all(same));
        }

        #[test]
        fn every_driver_gets_all_flows(drivers in 1_u64..9, other in 1_u64..5) {
            let mix = Mix::new(&[1, other]).unwrap();
            for index in 0..drivers {
                let part = Part::new(index, drivers).unwrap();
                let first = (0..4000).filter(|nth| mix.flow(part.nth(*nth)) == 0).count();
                let share = first as f64 / 4000.0;
                let expected = 1.0 / (1 + other) as f64;
                prop_assert!((share - expected).abs() < 0.05, "{} of {}: {}", index, drivers, share);
            }
        }
    }
}
