//! That a load whose rate is changed is still one whole, whoever walks it.

use proptest::prelude::*;

use super::super::super::share::share;
use super::super::tests::{S, load, open, rate};
use super::*;

/// A change at a second, and the one from which the party follows it.
type Told = (u64, u64, u64);

fn walk(load: &Load, part: Part, changes: &[Told]) -> Vec<SessionArrival> {
    let mut course = Course::new(load, part);
    for (at, join, per_second) in changes {
        course
            .change(load, at * S, join * S, rate(*per_second))
            .unwrap();
    }
    std::iter::from_fn(|| course.next(load)).collect()
}

fn parts(n: u64) -> impl Iterator<Item = Part> {
    (0..n).filter_map(move |index| Part::new(index, n))
}

fn within(arrivals: &[SessionArrival], from: u64, to: u64) -> usize {
    let seconds = from * S..to * S;
    let inside = |arrival: &&SessionArrival| seconds.contains(&arrival.at_ns);
    arrivals.iter().filter(inside).count()
}

#[test]
fn the_new_grid_begins_at_its_instant_with_number_0_and_the_stage_ends_where_it_did() {
    let load = load(vec![open(10, 10, 4, false), open(3, 3, 2, false)]);
    let arrivals = walk(&load, Part::WHOLE, &[(2, 2, 5)]);
    let instants: Vec<u64> = arrivals.iter().map(|arrival| arrival.at_ns).collect();
    let old = (0..20).map(|n| n * S / 10);
    let new = (0..10).map(|n| 2 * S + n * S / 5);
    let later = (0..6).map(|n| 4 * S + (n * S).div_ceil(3));
    assert_eq!(instants, old.chain(new).chain(later).collect::<Vec<_>>());
    let at = |n: usize| (arrivals[n].number, arrivals[n].stage);
    assert_eq!((at(19), at(20), at(30)), ((19, 0), (0, 0), (10, 1)));
}

#[test]
fn who_is_told_late_goes_on_as_before_and_then_joins_the_common_grid() {
    let load = load(vec![open(100, 100, 10, false)]);
    let late: Vec<_> = walk(&load, Part::new(1, 2).unwrap(), &[(3, 5, 40)]);
    assert_eq!(within(&late, 0, 5), 250, "half of 100 a second");
    assert_eq!(within(&late, 5, 10), 100, "half of 40 a second");
    let in_time = walk(&load, Part::new(0, 2).unwrap(), &[(3, 3, 40)]);
    let whole = walk(&load, Part::WHOLE, &[(3, 3, 40)]);
    let mut both: Vec<u64> = late.iter().chain(&in_time).map(|a| a.at_ns).collect();
    both.retain(|at_ns| *at_ns >= 5 * S);
    both.sort_unstable();
    let expected = whole.iter().map(|a| a.at_ns).filter(|at| *at >= 5 * S);
    assert_eq!(both, expected.collect::<Vec<_>>());
}

#[test]
fn what_was_said_before_a_change_is_void_only_behind_it() {
    let load = load(vec![open(1, 1, 10, false)]);
    let mut course = Course::new(&load, Part::WHOLE);
    assert_eq!(course.next(&load).unwrap().at_ns, 0);
    let said = course.next(&load).unwrap();
    assert_eq!(said.at_ns, S);
    course.change(&load, S, S, rate(4)).unwrap();
    let instants: Vec<u64> = std::iter::from_fn(|| course.next(&load))
        .take(3)
        .map(|arrival| arrival.at_ns)
        .collect();
    assert_eq!(instants, [S, S + S / 4, S + S / 2]);
}

#[test]
fn only_open_stages_without_a_count_change() {
    let closed = LoadStage {
        arrivals: StageArrivals::Closed { sessions: 3 },
        ..open(1, 1, 2, false)
    };
    let bursts = LoadStage {
        arrivals: StageArrivals::Bursts {
            size: 3,
            every_ns: S,
        },
        ..closed
    };
    let counted = LoadStage {
        sessions: Some(9),
        for_ns: None,
        ..open(1, 1, 2, false)
    };
    let load = load(vec![closed, bursts, open(1, 1, 2, true), counted]);
    let refused = |second: u64, per_second| load.changed(second * S, rate(per_second)).unwrap_err();
    assert_eq!(refused(1, 5), Unchangeable::Closed);
    assert_eq!(refused(2, 5), Unchangeable::Bursts);
    assert_eq!(refused(9, 5), Unchangeable::Counted(9));
    let most = POISSON_MAX;
    let drawn = Unchangeable::TooManyDrawn {
        drawn: 60_000_000,
        most,
    };
    let long = open(1, 1, 6, true);
    let many = self::load(vec![long]).changed(0, rate(10_000_000));
    assert_eq!(many.unwrap_err(), drawn);
    assert_eq!(load.changed(4 * S, rate(5)).unwrap().1, 2);
}

fn changes(seconds: u64) -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::btree_map(0..seconds, 1_u64..300, 0..4)
        .prop_map(|changes| changes.into_iter().collect())
}

proptest! {
    /// Whatever the load, the changes and the number of drivers: their grids are the whole, in order,
    /// each arrival once, and the counts are those of the old part and the new ones.
    #[test]
    fn parties_together_are_the_whole(
        from in 1_u64..200,
        to in 1_u64..200,
        n in 1_u64..6,
        poisson: bool,
        changes in changes(5),
    ) {
        let load = load(vec![open(from, to, 3, poisson), open(to, from, 2, poisson)]);
        let told: Vec<Told> = changes.iter().map(|(at, rate)| (*at, *at, *rate)).collect();
        let whole = walk(&load, Part::WHOLE, &told);
        let mut together: Vec<SessionArrival> =
            parts(n).flat_map(|part| walk(&load, part, &told)).collect();
        // Numbers begin anew with each grid.
        together.sort_by_key(|arrival| (arrival.at_ns, arrival.number));
        let mut sorted = whole.clone();
        sorted.sort_by_key(|arrival| (arrival.at_ns, arrival.number));
        prop_assert_eq!(&together, &sorted);
        prop_assert!(whole.is_sorted_by_key(|arrival| arrival.at_ns));
        // Before the first change it is the load as it was asked for.
        let first = changes.first().map_or(u64::MAX, |(at, _)| at * S);
        let old: Vec<_> = load.arrivals(Part::WHOLE).take_while(|a| a.at_ns < first).collect();
        prop_assert!(whole.starts_with(&old));
        // And from a change on exactly its rate, to the next one or the end of the stage.
        for (at, per_second) in &changes {
            let stage_end = if *at < 3 { 3 } else { 5 };
            let later = changes.iter().map(|(other, _)| *other).filter(|other| other > at);
            let end = later.min().unwrap_or(u64::MAX).min(stage_end);
            if !poisson {
                let planned = (end - at) * per_second;
                prop_assert_eq!(within(&whole, *at, end) as u64, planned);
                for (index, part) in parts(n).enumerate() {
                    let mine = within(&walk(&load, part, &told), *at, end) as u64;
                    prop_assert_eq!(mine, share(planned, index as u64, n));
                }
            }
        }
    }

    /// A party that is told late is one with the others again from then on.
    #[test]
    fn lateness_costs_only_its_own_time(
        n in 2_u64..5,
        poisson: bool,
        late in 1_u64..3,
        per_second in 1_u64..200,
    ) {
        let load = load(vec![open(50, 80, 8, poisson), open(20, 20, 2, poisson)]);
        let told = |part: Part| match part.index {
            0 => vec![(3, 3 + late, per_second)],
            _ => vec![(3, 3, per_second)],
        };
        let mut together: Vec<u64> = parts(n)
            .flat_map(|part| walk(&load, part, &told(part)))
            .map(|arrival| arrival.at_ns)
            .filter(|at_ns| *at_ns >= (3 + late) * S)
            .collect();
        together.sort_unstable();
        let whole = walk(&load, Part::WHOLE, &[(3, 3, per_second)]);
        let expected = whole.iter().map(|a| a.at_ns).filter(|at| *at >= (3 + late) * S);
        prop_assert_eq!(together, expected.collect::<Vec<_>>());
    }
}
