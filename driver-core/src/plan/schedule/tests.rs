//! Schedules: monotone, exact in rate, and whole when cut into segments.

use proptest::prelude::*;
use proto::workload::{Arrival, Rate, Stage};

use super::*;

const S: u64 = 1_000_000_000;

fn rate(milli: u64) -> Rate {
    Rate::from_milli(milli).unwrap()
}

fn constant_rate(milli: u64) -> Schedule {
    Schedule::new(&Arrival::Rate(rate(milli))).unwrap()
}

fn stages(parts: &[(u64, u64, u64)]) -> Schedule {
    let stages = parts
        .iter()
        .map(|&(from, to, duration_ns)| Stage {
            from: rate(from),
            to: rate(to),
            duration_ns,
        })
        .collect();
    Schedule::new(&Arrival::Stages(stages)).unwrap()
}

#[test]
fn the_nth_send_of_100_k_a_second_is_at_n_times_10_us() {
    let schedule = constant_rate(100_000_000);
    for n in [0, 1, 2, 99_999, 1_000_000_007, 360_000_000_000] {
        assert_eq!(schedule.intended_ns(n), Some(n * 10_000), "send {n}");
    }
}

#[test]
fn fractions_of_a_rate_are_exact() {
    // Three requests a second: every third is on the second, for ever.
    let thirds = constant_rate(3_000);
    assert_eq!(thirds.intended_ns(1), Some(333_333_334));
    assert_eq!(thirds.intended_ns(3_000_000_000), Some(1_000_000_000 * S));
    // 0.001 a second is one in 1000 s; 1.5 a second is 2 in 3 … of a second each.
    assert_eq!(constant_rate(1).intended_ns(2), Some(2_000 * S));
    assert_eq!(constant_rate(1_500).intended_ns(3), Some(2 * S));
}

#[test]
fn bursts_share_their_instant() {
    let schedule = Schedule::new(&Arrival::Bursts {
        gap_ns: 2 * S,
        burst: 100,
    })
    .unwrap();
    let table = [(0, 0), (99, 0), (100, 2 * S), (499, 8 * S)];
    for (index, instant) in table {
        assert_eq!(
            schedule.intended_ns(index),
            Some(instant),
            "request {index}"
        );
    }
    assert_eq!(schedule.count_within(8 * S), 400);
    assert_eq!(schedule.count_within(8 * S + 1), 500);
}

#[test]
fn a_ramp_is_the_inverse_of_its_area() {
    // 0 (almost) to 1000/s over 10 s: t seconds have asked for 50·t² requests.
    let schedule = stages(&[(1, 1_000_000, 10 * S)]);
    let at = |index| schedule.intended_ns(index).unwrap() as f64 / S as f64;
    assert!((at(50) - 1.0).abs() < 1e-4, "{}", at(50));
    assert!((at(1250) - 5.0).abs() < 1e-4, "{}", at(1250));
    assert_eq!(schedule.count_within(u64::MAX), 5001); // the 0.001 adds a little to 5000
    assert_eq!(schedule.intended_ns(5001), None);
}

#[test]
fn stages_carry_fractions_over() {
    // 1.5 requests in the first second, then 1/s: the third request is half a second in.
    let schedule = stages(&[(1_500, 1_500, S), (1_000, 1_000, 2 * S)]);
    let instants: Vec<_> = (0..5).map_while(|i| schedule.intended_ns(i)).collect();
    assert_eq!(instants, [0, 666_666_667, 1_500_000_000, 2_500_000_000]);
}

#[test]
fn constant_stages_are_the_constant_rate() {
    let (one, other) = (stages(&[(7_770, 7_770, 1000 * S)]), constant_rate(7_770));
    for index in 0..7_770 {
        assert_eq!(
            one.intended_ns(index),
            other.intended_ns(index),
            "request {index}"
        );
    }
}

#[test]
fn a_week_at_the_fastest_rate_is_still_exact() {
    let week = 7 * 86_400 * S;
    let schedule = stages(&[(Rate::MILLI_MAX, Rate::MILLI_MAX, week)]);
    assert_eq!(schedule.count_within(u64::MAX), week / 100);
    assert_eq!(schedule.intended_ns(week / 100 - 1), Some(week - 100));
    let ramp = stages(&[(1, Rate::MILLI_MAX, week)]);
    assert!(ramp.count_within(u64::MAX).abs_diff(week / 200) < 1_000_000);
}

#[test]
fn a_plan_of_more_requests_than_can_be_counted_is_counted() {
    let schedule = Schedule::new(&Arrival::Bursts {
        gap_ns: 1,
        burst: 1_000_000,
    });
    assert_eq!(schedule.unwrap().count_within(604_800 * S), u64::MAX);
}

#[test]
fn staggered_nodes_divide_the_gap() {
    let schedule = Schedule::new(&Arrival::Bursts {
        gap_ns: S,
        burst: 10,
    })
    .unwrap();
    let at = |index| schedule.clone().delayed(schedule.stagger_ns(index, 4));
    let first = |index| at(index).intended_ns(0);
    assert_eq!(
        [first(0), first(1), first(3)],
        [Some(0), Some(S / 4), Some(3 * S / 4)]
    );
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let stage = (1..=Rate::MILLI_MAX, 1..=Rate::MILLI_MAX, 1..=100 * S);
    prop_oneof![
        (1..=Rate::MILLI_MAX).prop_map(constant_rate),
        prop::collection::vec(stage, 1..5).prop_map(|parts| stages(&parts)),
        prop::collection::vec((1..1_000_000_u64, 1..1_000_000_u64, 1..100 * S), 1..5)
            .prop_map(|parts| stages(&parts)),
    ]
}

proptest! {
    #[test]
    fn rates_are_strictly_monotone(schedule in any_schedule(), index in 0..2_000_000_000_u64) {
        if let (Some(one), Some(next)) = (schedule.intended_ns(index), schedule.intended_ns(index + 1)) {
            prop_assert!(one < next, "{one} then {next}");
        }
    }

    #[test]
    fn segments_are_the_whole_plan(total in 0..5_000_u64, cores in 1..40_usize) {
        let mut seen: Vec<u64> = (0..cores)
            .flat_map(|core| {
                let segment = Segment::of(core, cores);
                (0..segment.share(total)).map(move |nth| segment.index(nth))
            })
            .collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..total).collect::<Vec<_>>());
    }

    #[test]
    fn the_count_within_a_duration_is_that_of_its_instants(
        schedule in any_schedule(), duration in 1..50 * S,
    ) {
        let count = schedule.count_within(duration);
        if count > 0 {
            prop_assert!(schedule.intended_ns(count - 1).unwrap() < duration);
        }
        prop_assert!(schedule.intended_ns(count).is_none_or(|instant| instant >= duration));
    }

    #[test]
    fn a_constant_rate_never_drifts(milli in 1..=Rate::MILLI_MAX, index in 0..1_000_000_000_u64) {
        let instant = u128::from(constant_rate(milli).intended_ns(index).unwrap());
        let (exact, milli) = (u128::from(index) * 1_000_000_000_000, u128::from(milli));
        prop_assert!(instant * milli >= exact && instant * milli < exact + milli);
    }
}

fn switch(at_ns: u64, join_ns: u64, end_ns: Option<u64>, per_second: u64) -> Switch {
    Switch {
        at_ns,
        join_ns,
        end_ns,
        rate: rate(per_second * 1000),
    }
}

fn instants(schedule: &Schedule, within_ns: u64) -> Vec<u64> {
    let count = schedule.count_within(within_ns);
    (0..count)
        .map(|index| schedule.intended_ns(index).unwrap())
        .collect()
}

#[test]
fn a_changed_rate_has_a_grid_of_its_own_and_ends_with_its_stage() {
    let changed = stages(&[(2_000, 2_000, 4 * S), (1_000, 1_000, 2 * S)]);
    let changed = changed.switched(&switch(2 * S, 2 * S, Some(4 * S), 4));
    let old = (0..4).map(|n| n * S / 2);
    let new = (0..8).map(|n| 2 * S + n * S / 4);
    let later = [4 * S, 5 * S];
    let expected: Vec<u64> = old.chain(new).chain(later).collect();
    assert_eq!(instants(&changed, u64::MAX), expected);
    assert_eq!(changed.intended_ns(14), None);
    // A node that reads it late goes on as before, and then follows the same grid.
    let late = stages(&[(2_000, 2_000, 4 * S)]);
    let late = late.switched(&switch(2 * S, 3 * S, Some(4 * S), 4));
    let old = (0..6).map(|n| n * S / 2);
    let new = (0..4).map(|n| 3 * S + n * S / 4);
    assert_eq!(
        instants(&late, u64::MAX),
        old.chain(new).collect::<Vec<_>>()
    );
    // One without an end goes on.
    let endless = constant_rate(1_000).switched(&switch(3 * S, 3 * S, None, 10));
    assert_eq!(endless.intended_ns(3 + 1_000), Some(103 * S));
    assert_eq!(endless.warm_up(), constant_rate(1_000));
}

proptest! {
    /// Whatever is changed how often: before the first change the plan is as it was, then every part has
    /// its own rate, instants rise, and the cores' parts are the whole.
    #[test]
    fn changed_schedules_are_exact_and_whole(
        base in 1..400_u64,
        changes in prop::collection::btree_map(1..9_u64, 1..400_u64, 0..4),
        cores in 1..5_usize,
    ) {
        let plan = constant_rate(base * 1000);
        let mut changed = plan.clone();
        for (at, per_second) in &changes {
            changed = changed.switched(&switch(at * S, at * S, Some(10 * S), *per_second));
        }
        let whole = instants(&changed, 10 * S);
        prop_assert!(whole.is_sorted());
        let mut rates = vec![(0, base)];
        rates.extend(changes);
        for (nth, (at, per_second)) in rates.iter().enumerate() {
            let end = rates.get(nth + 1).map_or(10, |(next, _)| *next);
            let expected: Vec<u64> = (0..(end - at) * per_second)
                .map(|n| at * S + (n * S).div_ceil(*per_second))
                .collect();
            let inside = whole.iter().copied().filter(|ns| (at * S..end * S).contains(ns));
            prop_assert_eq!(inside.collect::<Vec<_>>(), expected);
        }
        let mut together: Vec<u64> = (0..cores)
            .flat_map(|core| {
                let segment = Segment::of(core, cores);
                let mine = (0..segment.share(whole.len() as u64)).map(move |nth| segment.index(nth));
                mine.map(|index| changed.intended_ns(index).unwrap()).collect::<Vec<_>>()
            })
            .collect();
        together.sort_unstable();
        prop_assert_eq!(together, whole);
    }
}
