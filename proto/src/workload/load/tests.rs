//! That the parts of a load are the whole, and that its instants are those of the plan.

use proptest::prelude::*;

use super::*;

mod poisson;

pub(super) const S: u64 = 1_000_000_000;

pub(super) fn rate(per_second: u64) -> Rate {
    Rate::from_milli(per_second * 1000).unwrap()
}

pub(super) fn open(from: u64, to: u64, seconds: u64, is_poisson: bool) -> LoadStage {
    LoadStage {
        arrivals: StageArrivals::Open {
            from: rate(from),
            to: rate(to),
            is_poisson,
        },
        for_ns: Some(seconds * S),
        sessions: None,
        is_warmup: false,
    }
}

pub(super) fn load(stages: Vec<LoadStage>) -> Load {
    Load {
        stages,
        sessions_max: None,
        seed: 7,
    }
}

fn instants(load: &Load) -> Vec<u64> {
    load.arrivals(Part::WHOLE)
        .map(|arrival| arrival.at_ns)
        .collect()
}

#[test]
fn a_constant_rate_is_even() {
    let load = load(vec![open(4, 4, 2, false)]);
    let quarters: Vec<u64> = (0..8).map(|nth| nth * S / 4).collect();
    assert_eq!(instants(&load), quarters);
    assert_eq!(load.planned(Part::WHOLE), Some(8));
}

#[test]
fn a_ramp_has_the_area_under_it() {
    // From 10/s to 30/s in 10 s: 200 sessions, the 50th (an area of 50) after 4.14 s:
    // 10 t + t² = 50 has t = √75 − 5 = 3.660254 s.
    let load = load(vec![open(10, 30, 10, false)]);
    let instants = instants(&load);
    assert_eq!(instants.len(), 200);
    assert_eq!(instants[50] / 1000, 3_660_254);
}

#[test]
fn bursts_come_on_their_grid_and_stages_follow_each_other() {
    let bursts = LoadStage {
        arrivals: StageArrivals::Bursts {
            size: 3,
            every_ns: 2 * S,
        },
        for_ns: Some(5 * S),
        sessions: None,
        is_warmup: false,
    };
    let warmup = LoadStage {
        is_warmup: true,
        ..open(1, 1, 2, false)
    };
    let load = load(vec![warmup, bursts]);
    let expected = [0, 1, 2, 2, 2, 4, 4, 4, 6, 6, 6].map(|second| second * S);
    assert_eq!(instants(&load), expected);
    assert_eq!(load.planned(Part::WHOLE), Some(9));
    assert_eq!(load.duration_ns(), Some(7 * S));
}

#[test]
fn closed_stages_plan_what_they_count() {
    let mut stage = LoadStage {
        arrivals: StageArrivals::Closed { sessions: 5 },
        for_ns: None,
        sessions: Some(11),
        is_warmup: false,
    };
    let parts: Vec<Part> = (0..3).filter_map(|index| Part::new(index, 3)).collect();
    let planned: Vec<_> = parts
        .iter()
        .map(|p| load(vec![stage]).planned(*p))
        .collect();
    assert_eq!(planned, [Some(4), Some(4), Some(3)]);
    stage.sessions = None;
    assert_eq!(load(vec![stage]).planned(Part::WHOLE), None);
}

#[test]
fn poisson_arrivals_have_their_mean_and_their_spread() {
    let load = load(vec![open(1000, 1000, 60, true)]);
    let instants = instants(&load);
    // 60000 expected, standard deviation 245.
    assert!(
        (59_000..61_000).contains(&instants.len()),
        "{}",
        instants.len()
    );
    let gaps: Vec<f64> = instants
        .windows(2)
        .map(|w| (w[1] - w[0]) as f64 / 1e6)
        .collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
    assert!((variance.sqrt() - 1.0).abs() < 0.03, "{variance}");
    let long = gaps.iter().filter(|gap| **gap > 3.0).count() as f64 / gaps.len() as f64;
    assert!(
        (long - 0.0498).abs() < 0.005,
        "e^-3 of the gaps are longer than 3 means: {long}"
    );
}

#[test]
fn the_first_arrivals_of_a_seed_stay_what_they_are() {
    // Drivers of other versions have to agree with this one.
    let load = load(vec![open(10, 20, 10, true)]);
    let first: Vec<u64> = load
        .arrivals(Part::WHOLE)
        .take(4)
        .map(|a| a.at_ns)
        .collect();
    assert_eq!(first, [157_059_643, 265_134_217, 393_541_413, 466_152_448]);
}

proptest! {
    #[test]
    fn parties_together_are_the_whole(
        from in 1_u64..200, to in 1_u64..200, n in 1_u64..6, poisson: bool, most in prop::option::of(1_u64..300),
    ) {
        let stage = LoadStage { sessions: most, ..open(from, to, 3, poisson) };
        let load = load(vec![stage, open(to, from, 2, poisson)]);
        let whole: Vec<SessionArrival> = load.arrivals(Part::WHOLE).collect();
        let mut parts: Vec<SessionArrival> = (0..n)
            .filter_map(|index| Part::new(index, n))
            .flat_map(|part| load.arrivals(part).collect::<Vec<_>>())
            .collect();
        parts.sort_by_key(|arrival| arrival.number);
        prop_assert_eq!(&parts, &whole);
        prop_assert!(whole.is_sorted_by_key(|arrival| arrival.at_ns));
        let planned: u64 = (0..n)
            .filter_map(|index| load.planned(Part::new(index, n)?))
            .sum();
        prop_assert_eq!(planned, whole.len() as u64);
    }

    #[test]
    fn a_ramp_keeps_its_count(from in 1_u64..5000, to in 1_u64..5000, seconds in 1_u64..20) {
        let load = load(vec![open(from, to, seconds, false)]);
        let area = ((from + to) * seconds).div_ceil(2);
        prop_assert_eq!(instants(&load).len() as u64, area);
    }
}
