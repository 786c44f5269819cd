//! That the drivers of a test are one Poisson process together: the arrivals of all of them, merged
//! as the target sees them, against the exponential of the whole rate by the test of Kolmogorov and
//! Smirnov, and by the index of dispersion of their counts. The same tests refuse shares that are
//! not parts of one draw.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::*;

const DRIVERS: u64 = 3;
const CORES: u64 = 2;
const RATE: u64 = 500;
const SECONDS: u64 = 40;
/// Windows in which arrivals are counted: 20 of them in each on average.
const WINDOW_NS: u64 = 40_000_000;
/// Below this no seed of a hundred should be by chance: one in ten thousand on each side.
const P_MIN: f64 = 1e-4;

/// What the target sees of a test whose driver `n` plays its part of the `n`th of these loads.
fn merged(loads: &[Load]) -> Vec<u64> {
    let mut instants: Vec<u64> = (0..DRIVERS)
        .zip(loads)
        .flat_map(|(driver, load)| {
            let part = Part::new(driver, DRIVERS).unwrap();
            let cores = (0..CORES).map(move |core| part.part(core, CORES));
            cores.flat_map(|part| load.arrivals(part).map(|arrival| arrival.at_ns))
        })
        .collect();
    instants.sort_unstable();
    instants
}

fn poisson(per_second: u64, seed: u64) -> Load {
    Load {
        seed,
        ..load(vec![open(per_second, per_second, SECONDS, true)])
    }
}

/// The chance of times between arrivals this far from the exponential, by the distribution of
/// Kolmogorov with the correction of Stephens (J. R. Statist. Soc. B 32, 1970).
fn p_of_gaps(instants: &[u64]) -> f64 {
    let mut gaps: Vec<f64> = instants
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64 / S as f64)
        .collect();
    gaps.sort_by(f64::total_cmp);
    let n = gaps.len() as f64;
    let distance = gaps.iter().enumerate().map(|(at, gap)| {
        let expected = 1.0 - (-gap * RATE as f64).exp();
        let (below, above) = (at as f64 / n, (at as f64 + 1.0) / n);
        (expected - below).max(above - expected)
    });
    let distance = distance.fold(0.0, f64::max);
    let scaled = (n.sqrt() + 0.12 + 0.11 / n.sqrt()) * distance;
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
        sign * (-2.0 * f64::from(k * k) * scaled * scaled).exp()
    };
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// The index of dispersion of the counts, and the chance of one this far from 1 on its side: times
/// the degrees of freedom it is chi-squared.
fn dispersion(instants: &[u64]) -> (f64, f64) {
    let windows = SECONDS * S / WINDOW_NS;
    let mut counts = vec![0_f64; usize::try_from(windows).unwrap()];
    for at in instants {
        counts[usize::try_from(at / WINDOW_NS).unwrap()] += 1.0;
    }
    let mean = counts.iter().sum::<f64>() / windows as f64;
    let squares: f64 = counts.iter().map(|count| (count - mean).powi(2)).sum();
    let freedom = (windows - 1) as f64;
    let below = ChiSquared::new(freedom).unwrap().cdf(squares / mean);
    (squares / mean / freedom, below.min(1.0 - below))
}

/// Whether both tests let these instants pass.
fn passes(instants: &[u64]) -> bool {
    p_of_gaps(instants) > P_MIN && dispersion(instants).1 > P_MIN
}

#[test]
fn the_drivers_are_one_poisson_process() {
    let (mut p_least, mut p_sum) = (1.0_f64, 0.0);
    let (mut index_least, mut index_most) = (f64::MAX, 0.0_f64);
    for seed in 0..100 {
        let of_all = [(); 3].map(|()| poisson(RATE, seed));
        let instants = merged(&of_all);
        let (p, (index, chance)) = (p_of_gaps(&instants), dispersion(&instants));
        assert!(passes(&instants), "seed {seed}: {p}, {index} ({chance})");
        (p_least, p_sum) = (p_least.min(p), p_sum + p);
        (index_least, index_most) = (index_least.min(index), index_most.max(index));
    }
    println!("p: least {p_least:.4}, mean {:.3}", p_sum / 100.0);
    println!("index of dispersion: {index_least:.3} to {index_most:.3}");
    // Where the hypothesis holds, p is uniform: its mean over 100 seeds is 0.5 ± 0.029.
    assert!((p_sum / 100.0 - 0.5).abs() < 0.12, "{p_sum}");
}

#[test]
fn a_driver_that_draws_a_rate_of_its_own_is_found() {
    for seed in 0..100 {
        let wrong = [RATE, RATE, RATE / 2].map(|rate| poisson(rate, seed));
        assert!(!passes(&merged(&wrong)), "seed {seed}");
    }
}

#[test]
fn drivers_that_draw_apart_are_found() {
    // Every third of a draw of one's own is more even than chance.
    for seed in 0..100 {
        let apart = [0, 1_000, 2_000].map(|more| poisson(RATE, seed + more));
        let instants = merged(&apart);
        assert!(
            !passes(&instants),
            "seed {seed}: {:?}",
            dispersion(&instants)
        );
    }
}

#[test]
fn even_arrivals_are_no_poisson_process() {
    let even = [(); 3].map(|()| load(vec![open(RATE, RATE, SECONDS, false)]));
    assert!(!passes(&merged(&even)));
}
