//! How often the judge is wrong, over a thousand fixed seeds: runs of 20000 samples of a lognormal
//! distribution, 2 % spread between runs, sets of five.
//!
//! Of a run only the order statistics are drawn that its figures are made of, one after the other:
//! given the one of rank j, that of rank k is as far up the rest as the (k - j)-th of the samples
//! that remain, which is a beta distribution. It is the same as drawing 20000 and sorting them.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus as Random;
use rand_distr::{Beta, Distribution, Poisson, StandardNormal};
use statrs::distribution::{ContinuousCDF, Normal};

use super::*;
use crate::histogram::interval::ranks;

const SEEDS: u64 = 1000;
const SAMPLES: u64 = 20_000;
/// Standard deviation of the logarithm of a time, and of that of a run's scale.
const SIGMA: f64 = 0.5;
const SPREAD: f64 = 0.02;

/// What became slower: by which factor the time at a quantile grows.
type Shift = fn(f64) -> f64;

/// Rises from 0 at `from` to 1 at `to`, and falls the other way round.
fn slope(at: f64, from: f64, to: f64) -> f64 {
    ((at - from) / (to - from)).clamp(0.0, 1.0)
}

const NONE: Shift = |_| 1.0;
const ALL: Shift = |_| 1.1;
const MIDDLE: Shift = |at| 1.0 + 0.1 * slope(at, 0.85, 0.6);
const TAIL: Shift = |at| 1.0 + 0.1 * slope(at, 0.95, 0.985);

/// The ranks of a quantile: its own, and those of its interval.
fn ranks_of(quantile: f64) -> Vec<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the number of samples"
    )]
    let own = (quantile * SAMPLES as f64).ceil() as u64;
    let ends = (quantile < 1.0).then(|| ranks(SAMPLES, quantile).ok());
    let ends = ends.flatten().map(|(low, high)| [low, high]);
    [own]
        .into_iter()
        .chain(ends.into_iter().flatten())
        .collect()
}

/// Where the samples of those ranks lie between 0 and 1.
fn order_statistics(random: &mut Random) -> BTreeMap<u64, f64> {
    let mut drawn: BTreeMap<u64, f64> = QUANTILES
        .iter()
        .flat_map(|quantile| ranks_of(*quantile))
        .map(|rank| (rank, 0.0))
        .collect();
    let (mut below, mut at) = (0, 0.0);
    for (rank, place) in &mut drawn {
        let (up, rest) = ((rank - below) as f64, (SAMPLES - rank + 1) as f64);
        let share: f64 = Beta::new(up, rest).unwrap().sample(random);
        at += (1.0 - at) * share;
        (below, *place) = (*rank, at);
    }
    drawn
}

fn times(random: &mut Random, scale: f64, shift: Shift) -> Times {
    let normal = Normal::standard();
    let places = order_statistics(random);
    let ms = |rank: u64| {
        let at = places[&rank];
        scale * shift(at) * (SIGMA * normal.inverse_cdf(at)).exp()
    };
    let at = QUANTILES.map(|quantile| {
        let ranks = ranks_of(quantile);
        Some(Observation {
            value: ms(ranks[0]),
            interval: (ranks.len() == 3).then(|| (ms(ranks[1]), ms(ranks[2]))),
        })
    });
    Times {
        samples: SAMPLES,
        at,
    }
}

/// What a set's runs are drawn from.
#[derive(Clone, Copy)]
struct Source {
    shift: Shift,
    spread: f64,
}

fn run(random: &mut Random, Source { shift, spread }: Source) -> Run {
    let mut spread = || {
        let deviation: f64 = StandardNormal.sample(random);
        (spread * deviation).exp()
    };
    let (scale, rate) = (spread(), spread());
    let response = times(random, scale, shift);
    // What waits for no connection: the same samples, less a little.
    let less = |one: Observation| Observation {
        value: one.value * 0.97,
        interval: one.interval.map(|(low, high)| (low * 0.97, high * 0.97)),
    };
    let service = Times {
        samples: SAMPLES,
        at: response.at.map(|one| one.map(less)),
    };
    let failed: f64 = Poisson::new(20.0).unwrap().sample(random);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small whole number"
    )]
    let failed = failed as u64;
    Run {
        id: String::new(),
        response,
        service,
        requests_per_second: Some(1000.0 * rate),
        tried: SAMPLES,
        failed,
    }
}

/// How many seeds end in each verdict, five runs against five.
fn verdicts(base: Source, test: Source, terms: &Terms) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for seed in 0..SEEDS {
        let mut random = Random::seed_from_u64(seed);
        let mut set = |source| -> Vec<Run> { (0..5).map(|_| run(&mut random, source)).collect() };
        let (base, test) = (set(base), set(test));
        let verdict = compare(&base, &test, terms).verdict;
        *counts.entry(format!("{verdict:?}")).or_default() += 1;
    }
    counts
}

fn assert_most(base: Source, test: Source, terms: &Terms, expected: &str) {
    let counts = verdicts(base, test, terms);
    println!("tolerance {}: {counts:?}", terms.tolerance);
    let right = counts.get(expected).copied().unwrap_or(0);
    assert!(right >= SEEDS * 95 / 100, "{expected}: {counts:?}");
}

fn strict() -> Terms {
    Terms {
        tolerance: 0.0,
        ..Terms::default()
    }
}

const fn of(shift: Shift) -> Source {
    Source {
        shift,
        spread: SPREAD,
    }
}

#[test]
fn identical_sets_are_the_same() {
    for terms in [Terms::default(), strict()] {
        assert_most(of(NONE), of(NONE), &terms, "Same");
    }
}

#[test]
fn sets_that_differ_in_their_spread_alone_are_the_same() {
    let wide = Source {
        shift: NONE,
        spread: 4.0 * SPREAD,
    };
    assert_most(of(NONE), wide, &Terms::default(), "Same");
    assert_most(of(NONE), wide, &strict(), "Same");
}

#[test]
fn a_tenth_more_is_found_and_a_tenth_less_the_other_way_round() {
    for shift in [ALL, MIDDLE, TAIL] {
        assert_most(of(NONE), of(shift), &Terms::default(), "Worse");
        assert_most(of(shift), of(NONE), &Terms::default(), "Better");
    }
}
