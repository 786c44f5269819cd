//! How often the test speaks without cause, and how rarely it is silent with one.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus as Random;
use rand_distr::{Distribution, StandardNormal};

use super::*;
use crate::measure::SecondRow;

const RUNS: u64 = 1_000;

fn normal(random: &mut Random) -> f64 {
    StandardNormal.sample(random)
}

/// Medians around 2 ms, each like the one before by `memory`, that rise by `rise` over the run.
fn series(seed: u64, seconds: usize, memory: f64, rise: f64) -> Vec<f64> {
    let mut random = Random::seed_from_u64(seed);
    let mut noise = normal(&mut random);
    (0..seconds)
        .map(|at| {
            noise = memory * noise + (1.0 - memory * memory).sqrt() * normal(&mut random);
            let level = 1.0 + rise * at as f64 / seconds as f64;
            2.0 * level * (0.1 * noise).exp()
        })
        .collect()
}

/// The share of runs in which the test alone, whatever the size of the change, speaks.
fn share_of(seconds: usize, memory: f64, rise: f64) -> f64 {
    let speaks = |seed: &u64| {
        let values = series(*seed, seconds, memory, rise);
        let medians: Vec<f64> = blocks(&values).map(median).collect();
        mann_kendall(&medians).abs() > Z_MIN
    };
    (0..RUNS).filter(speaks).count() as f64 / RUNS as f64
}

fn rows(medians: &[f64]) -> Vec<SeriesRow> {
    let row = |(at, p50): (usize, &f64)| SeriesRow {
        counts: SecondRow {
            second: at as u64,
            ..SecondRow::default()
        },
        p50: Some(*p50),
        ..SeriesRow::default()
    };
    medians.iter().enumerate().map(row).collect()
}

#[test]
fn it_rarely_speaks_of_a_steady_run() {
    // 1 % is meant; of 1000 runs, 2 % is more than three standard deviations above it.
    for seconds in [20, 30, 60, 300] {
        let share = share_of(seconds, 0.0, 0.0);
        println!("{seconds} s, independent seconds: {share}");
        assert!(share <= 0.02, "{seconds} s: {share}");
    }
    // Seconds that resemble those before them: the blocks take out most of it.
    for (seconds, most) in [(30, 0.03), (60, 0.03), (300, 0.02)] {
        let share = share_of(seconds, 0.5, 0.0);
        println!("{seconds} s, correlation 0.5: {share}");
        assert!(share <= most, "{seconds} s: {share}");
    }
    // What is said in the end must matter, too.
    let spoken = (0..RUNS).filter(|seed| trend(&series(*seed, 60, 0.5, 0.0)).is_some());
    let share = spoken.count() as f64 / RUNS as f64;
    println!("60 s, correlation 0.5, said: {share}");
    assert!(share <= 0.02, "{share}");
}

#[test]
fn it_finds_what_drifts() {
    for (seconds, rise) in [(20, 1.0), (60, 0.4), (300, 0.25)] {
        let found = (0..RUNS).filter(|seed| trend(&series(*seed, seconds, 0.0, rise)).is_some());
        let share = found.count() as f64 / RUNS as f64;
        println!("{seconds} s, rise of {rise}: {share}");
        assert!(share >= 0.95, "{seconds} s, {rise}: {share}");
    }
}

#[test]
fn the_statistic_is_that_of_the_book() {
    // Ten values in order: S = 45, variance 10 · 9 · 25 / 18 = 125.
    let ordered: Vec<f64> = (0..10).map(f64::from).collect();
    assert!((mann_kendall(&ordered) - 44.0 / 125_f64.sqrt()).abs() < 1e-12);
    // Two fives of ties: S = 25, variance 125 - 2 · 5 · 4 · 15 / 18 = 91.67.
    let steps = [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0];
    assert!((mann_kendall(&steps) - 24.0 / (1_650_f64 / 18.0).sqrt()).abs() < 1e-12);
    assert_eq!(mann_kendall(&[3.0; 10]).to_bits(), 0.0_f64.to_bits());
    let falling: Vec<f64> = ordered.iter().rev().copied().collect();
    assert!((mann_kendall(&falling) + mann_kendall(&ordered)).abs() < 1e-12);
}

#[test]
fn the_remark_says_from_what_to_what() {
    assert!(matches!(
        drift(&rows(&series(7, 60, 0.0, 1.0))),
        Some(Doubt::Drift { first_ms, last_ms }) if last_ms > first_ms
    ));
}

#[test]
fn seconds_that_the_load_did_not_fill_say_nothing() {
    let mut level = rows(&series(7, 60, 0.0, 1.0));
    assert!(drift(&level).is_some());
    level
        .iter_mut()
        .skip(19)
        .for_each(|row| row.draining = true);
    assert_eq!(drift(&level), None);
    assert_eq!(drift(&[]), None);
}
