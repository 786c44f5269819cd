//! The search against targets whose capacity is known.

use proptest::prelude::*;

use super::Judged::{Breached, Holds, Limited};
use super::*;

fn bounds(from: f64) -> CapacityBounds {
    CapacityBounds {
        from,
        ..CapacityBounds::default()
    }
}

/// Searches a target that keeps its thresholds up to `capacity`, with a generator that can
/// offer up to `most`.
fn search(from: f64, capacity: f64, most: f64) -> (Capacity, usize) {
    let mut search = CapacitySearch::new(bounds(from), 20);
    let mut rates = 0;
    loop {
        match search.next() {
            Next::Found(capacity) => return (capacity, rates),
            Next::Offer(rate) => {
                rates += 1;
                let judged = if rate > most {
                    Judged::Limited
                } else if rate > capacity {
                    Judged::Breached
                } else {
                    Judged::Holds
                };
                search.record(rate, judged);
            }
        }
    }
}

#[test]
fn a_capacity_is_found_within_5_percent_in_12_rates_from_above_and_below() {
    for capacity in [3.0, 47.3, 100.0, 1000.0, 2345.0, 31_000.0, 99_000.0] {
        for from in [capacity / 100.0, 100.0, capacity, capacity * 50.0] {
            let (found, rates) = search(from, capacity, f64::MAX);
            let (low, high) = (found.at_least.unwrap(), found.below.unwrap());
            assert!(low <= capacity && capacity < high, "{low} to {high}");
            assert!(high <= low * 1.05 + 0.11, "{low} to {high}");
            assert!(rates <= 12, "{rates} rates for {capacity} from {from}");
        }
    }
}

#[test]
fn a_generator_that_is_the_limit_gives_a_lower_end_only() {
    let (found, _) = search(100.0, 50_000.0, 7000.0);
    assert_eq!(found.below, None);
    let low = found.at_least.unwrap();
    assert!((6650.0..=7000.0).contains(&low), "{low}");
}

#[test]
fn a_target_that_never_holds_and_one_that_always_does_end_the_search() {
    let (found, rates) = search(100.0, 0.0, f64::MAX);
    assert_eq!((found.at_least, found.below), (None, Some(1.0)));
    assert!(rates <= 6, "{rates}");
    let (found, _) = search(100.0, f64::MAX, f64::MAX);
    assert_eq!((found.at_least, found.below), (Some(RATE_MAX), None));
    let never = CapacitySearch::new(bounds(5.0), 0).next();
    assert!(matches!(
        never,
        Next::Found(Capacity {
            at_least: None,
            below: None
        })
    ));
}

#[test]
fn rates_are_as_people_write_them() {
    for (rate, text) in [
        (1.234, "1.2"),
        (141.421, "141.4"),
        (5656.85, "5657"),
        (123_456.0, "123500"),
    ] {
        assert_eq!(rounded(rate).to_string(), text);
    }
}

fn run(judged: Judged, clear: bool) -> CapacityStep {
    CapacityStep {
        rate: 0.0,
        judged,
        again: false,
        runs: 1,
        tests: vec!["t".to_owned()],
        clear,
        limited_by: None,
        ok_per_second: None,
        status_codes: [(200, 5)].into(),
        errors: crate::measure::ErrorCounters::default(),
        response: crate::summary::Statistics::default(),
        service: crate::summary::Statistics::default(),
        release_lag: crate::summary::Statistics::default(),
        thresholds: Vec::new(),
        verdict: crate::summary::Verdict::default(),
    }
}

/// Follows a course to its end; `judge` says how the so manyeth run at a rate goes.
fn follow(
    bounds: CapacityBounds,
    mut judge: impl FnMut(Wanted) -> (Judged, bool),
) -> (CapacityCourse, usize) {
    let mut course = CapacityCourse::new(bounds);
    let mut runs = 0;
    while let Some(wanted) = course.wanted() {
        let (judged, clear) = judge(wanted);
        course.record(run(judged, clear));
        runs += 1;
    }
    (course, runs)
}

#[test]
fn a_hold_is_believed_at_once_and_a_breach_or_a_doubt_by_two_of_three() {
    let decide = |runs: &[(Judged, bool)]| {
        let mut course = CapacityCourse::new(bounds(100.0));
        let mut left = runs.iter();
        for (judged, clear) in left.by_ref() {
            if let Some(step) = course.record(run(*judged, *clear)) {
                return (step.judged, step.runs, step.tests.len(), left.count());
            }
        }
        panic!("{runs:?} decide nothing");
    };
    assert_eq!(decide(&[(Holds, true)]), (Holds, 1, 1, 0));
    assert_eq!(decide(&[(Holds, false), (Holds, false)]), (Holds, 2, 2, 0));
    let breached = [(Holds, false), (Breached, true), (Breached, true)];
    assert_eq!(decide(&breached), (Breached, 3, 3, 0));
    assert_eq!(
        decide(&[(Breached, true), (Breached, true)]),
        (Breached, 2, 2, 0)
    );
    let stalled = [(Breached, true), (Holds, true), (Holds, true)];
    assert_eq!(decide(&stalled), (Holds, 3, 3, 0));
    // What was limited here does not count, but when it is so again.
    let limited = [
        (Breached, true),
        (Holds, true),
        (Limited, true),
        (Breached, true),
    ];
    assert_eq!(decide(&limited), (Breached, 4, 4, 0));
    assert_eq!(decide(&[(Limited, true), (Holds, true)]), (Holds, 2, 2, 0));
    let late = [(Limited, true), (Breached, true), (Limited, true)];
    assert_eq!(decide(&late), (Limited, 3, 3, 0));
}

#[test]
fn the_answer_is_offered_once_more_after_the_overload() {
    let mut is_broken = false;
    let (course, _) = follow(bounds(100.0), |wanted| {
        is_broken |= wanted.rate > 1500.0;
        let holds = wanted.rate <= 700.0 && !(wanted.again && is_broken);
        (
            if holds {
                Judged::Holds
            } else {
                Judged::Breached
            },
            true,
        )
    });
    let last = course.steps().last().unwrap();
    assert!(last.again && last.judged == Judged::Breached);
    assert_eq!(Some(last.rate), course.found().at_least);
    let answer = CapacityAnswer::of(&course, "http://h/".into(), vec!["p99<5ms".into()]);
    assert!(answer.collapsed && answer.ending() == CapacityEnding::Breached);
    assert!(answer.in_words().ends_with("recover by itself"));
    // Nobody was overloaded here.
    let (course, _) = follow(bounds(100.0), |_| (Judged::Holds, true));
    assert!(course.steps().iter().all(|step| !step.again));
}

#[test]
fn an_answer_in_doubt_that_breaks_is_too_much_and_no_collapse() {
    // Two of three runs at the edge hold by chance, and those at the end do not.
    let (course, _) = follow(bounds(100.0), |wanted| {
        let is_edge = (690.0..=710.0).contains(&wanted.rate);
        let holds = wanted.rate < 690.0 || is_edge && !wanted.again;
        (if holds { Holds } else { Breached }, !is_edge)
    });
    let answer = CapacityAnswer::of(&course, "http://h/".into(), vec!["p99<5ms".into()]);
    assert_eq!(answer.ending(), CapacityEnding::Found, "{answer:#?}");
    let (low, high) = (answer.capacity.at_least.unwrap(), answer.capacity.below);
    assert!(low < 690.0 && low > 600.0, "{low}");
    assert!((690.0..=710.0).contains(&high.unwrap()), "{high:?}");
    let again: Vec<f64> = course
        .steps()
        .iter()
        .filter(|step| step.again)
        .map(|step| step.rate)
        .collect();
    assert_eq!(again, [high.unwrap(), low]);
    // So does one that took three runs, whatever the last of them said.
    let (course, _) = follow(bounds(100.0), |wanted| {
        let is_edge = (690.0..=710.0).contains(&wanted.rate);
        let holds = wanted.rate < 690.0 || is_edge && !wanted.again && wanted.attempt > 1;
        (if holds { Holds } else { Breached }, true)
    });
    assert!(!course.has_collapsed() && course.found().at_least.unwrap() < 690.0);
    // Where nothing held before it, the search goes on downwards.
    let (course, _) = follow(bounds(100.0), |wanted| match wanted.rate {
        rate if rate < 95.0 => (Holds, true),
        rate if rate <= 100.0 && !wanted.again => (Holds, false),
        _ => (Breached, true),
    });
    let found = course.found();
    assert!(
        (85.0..95.0).contains(&found.at_least.unwrap()) && !course.has_collapsed(),
        "{found:?}"
    );
}

#[test]
fn an_answer_says_what_it_amounts_to() {
    let answer = |judge: &dyn Fn(f64) -> Judged, limit: Option<CapacityLimit>| {
        let mut course = CapacityCourse::new(bounds(100.0));
        while let Some(wanted) = course.wanted() {
            let judged = judge(wanted.rate);
            let limited_by = limit.filter(|_| judged == Judged::Limited);
            course.record(CapacityStep {
                limited_by,
                ..run(judged, true)
            });
        }
        CapacityAnswer::of(&course, "http://h/".into(), vec!["p99<5ms".into()])
    };
    for (most, over, limit, ending, word) in [
        (
            700.0,
            Breached,
            None,
            CapacityEnding::Found,
            "requests/s with p99<5ms",
        ),
        (
            700.0,
            Limited,
            Some(CapacityLimit::Connections),
            CapacityEnding::Unknown,
            "use more connections",
        ),
        (
            0.0,
            Limited,
            Some(CapacityLimit::Generator),
            CapacityEnding::Unknown,
            "not found; what sends",
        ),
        (
            0.0,
            Breached,
            None,
            CapacityEnding::Breached,
            "less than 1 requests/s",
        ),
        (
            f64::MAX,
            Breached,
            None,
            CapacityEnding::Unknown,
            "at least 10000000",
        ),
    ] {
        let judge = |rate: f64| if rate <= most { Holds } else { over };
        let answer = answer(&judge, limit);
        assert_eq!(answer.ending(), ending, "{}", answer.in_words());
        assert!(answer.in_words().contains(word), "{}", answer.in_words());
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(
            serde_json::from_str::<CapacityAnswer>(&json).unwrap(),
            answer
        );
    }
}

#[test]
fn ends_that_are_further_apart_than_asked_are_no_answer_that_closed() {
    let judge = |wanted: Wanted| {
        let judged = if wanted.rate <= 700.0 {
            Holds
        } else {
            Breached
        };
        (judged, true)
    };
    // Time runs out before the look back.
    let mut course = CapacityCourse::new(bounds(100.0));
    while course.found().below.is_none() {
        let (judged, clear) = judge(course.wanted().unwrap());
        course.record(run(judged, clear));
    }
    let of = |course: &CapacityCourse| {
        CapacityAnswer::of(course, "http://h/".into(), vec!["p99<5ms".into()])
    };
    let answer = of(&course);
    assert_eq!((answer.wide, answer.ending()), (true, CapacityEnding::Wide));
    let words = answer.in_words();
    assert!(
        words.contains("further apart than the 5 % asked for"),
        "{words}"
    );
    assert!(words.ends_with("begin the next one at 400"), "{words}");
    let (course, _) = follow(bounds(100.0), judge);
    let answer = of(&course);
    assert_eq!(
        (answer.wide, answer.ending()),
        (false, CapacityEnding::Found)
    );
    // Between 1.0 and 1.1 there is no rate to offer: nearer they cannot come.
    let (course, _) = follow(bounds(1.0), |wanted| {
        (if wanted.rate <= 1.0 { Holds } else { Breached }, true)
    });
    assert_eq!(of(&course).ending(), CapacityEnding::Found);
    // Rates run out where a search begins too far away.
    let mut search = CapacitySearch::new(bounds(1.0), 8);
    while let Next::Offer(rate) = search.next() {
        search.record(
            rate,
            judge(Wanted {
                rate,
                attempt: 1,
                again: false,
            })
            .0,
        );
    }
    assert!(search.is_wide() && search.found().at_least.is_some());
}

#[test]
fn a_highest_rate_that_a_run_can_have_ends_a_search_in_words() {
    let clamped = bounds(100.0).up_to(Some(1234.5));
    assert_eq!((clamped.from, clamped.to), (100.0, 1234.5));
    assert_eq!(bounds(100.0).up_to(None), bounds(100.0));
    let narrow = CapacityBounds {
        to: 500.0,
        ..bounds(100.0)
    };
    assert_eq!(narrow.up_to(Some(1234.5)), narrow, "as asked");
    assert_eq!(bounds(9999.0).up_to(Some(1234.5)).check(), Ok(()));
    let (course, _) = follow(clamped, |wanted| {
        (
            if wanted.rate > 1234.5 {
                Breached
            } else {
                Holds
            },
            true,
        )
    });
    let answer = CapacityAnswer::of(&course, "http://h/".into(), vec!["p99<5ms".into()]);
    assert_eq!(answer.ending(), CapacityEnding::Unknown);
    let words = answer.in_words();
    assert!(
        words.starts_with("capacity: at least 1234.5 requests/s"),
        "{words}"
    );
    assert!(
        words.contains("poisson arrivals: take a shorter stage"),
        "{words}"
    );
}

#[test]
fn bounds_are_checked_in_words() {
    for (from, to, precision, word) in [
        (0.0, 10.0, 0.05, "from: 0 is not within"),
        (5.0, 1e9, 0.05, "to: 1000000000 is not"),
        (50.0, 10.0, 0.05, "below the first rate"),
        (5.0, 10.0, 0.0, "0.05 for 5 %"),
        (f64::NAN, 10.0, 0.05, "from: NaN"),
    ] {
        let bounds = CapacityBounds {
            from,
            to,
            precision,
            is_clamped: false,
        };
        let refused = bounds.check().unwrap_err();
        assert!(refused.contains(word), "{refused}");
    }
    assert_eq!(CapacityBounds::default().check(), Ok(()));
}

proptest! {
    #[test]
    fn any_capacity_is_enclosed(capacity in 1.1..9e6_f64, from in 1.0..1e7_f64) {
        let (found, rates) = search(from, capacity, f64::MAX);
        let (low, high) = (found.at_least.unwrap(), found.below.unwrap());
        prop_assert!(low <= capacity && capacity < high, "{low} to {high}");
        prop_assert!(high <= low * 1.05 + 0.11, "{low} to {high}");
        // At most 12 from where people begin: a factor of 4^12 takes as many more.
        prop_assert!(rates <= 20, "{rates}");
    }

    #[test]
    fn no_rate_is_out_of_bounds_and_every_search_ends(
        from in 1.0..1e7_f64,
        above in 1.0..1e4_f64,
        seed in any::<u64>(),
    ) {
        let to = (from * above).min(RATE_MAX);
        let bounds = CapacityBounds { from, to, ..CapacityBounds::default() };
        prop_assert_eq!(bounds.check(), Ok(()));
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rates = Vec::new();
        let (course, runs) = follow(bounds, |wanted| {
            rates.push(wanted.rate);
            let judged = [Judged::Holds, Judged::Breached, Judged::Limited];
            (judged[random.usize(..3)], random.bool())
        });
        prop_assert!(rates.iter().all(|rate| (1.0..=to).contains(rate)), "{rates:?}");
        prop_assert!(course.steps().len() <= CAPACITY_RATES_MAX + 1, "{}", course.steps().len());
        prop_assert!(runs <= 4 * (CAPACITY_RATES_MAX + 1), "{runs}");
        let Capacity { at_least, below } = course.found();
        if let (Some(low), Some(high)) = (at_least, below) {
            prop_assert!(low < high, "{low} to {high}");
        }
    }

    #[test]
    fn one_stall_at_each_rate_changes_nothing(capacity in 2.0..1e6_f64, seed in any::<u64>()) {
        let judge = |rate: f64| if rate <= capacity { Judged::Holds } else { Judged::Breached };
        let (calm, _) = follow(bounds(100.0), |wanted| (judge(wanted.rate), true));
        let mut random = fastrand::Rng::with_seed(seed);
        let mut stalled = 0;
        let (noisy, _) = follow(bounds(100.0), |wanted| {
            if wanted.attempt == 1 {
                stalled = random.usize(1..5);
            }
            let judged = if wanted.attempt == stalled { Judged::Breached } else { judge(wanted.rate) };
            (judged, true)
        });
        prop_assert_eq!(noisy.found(), calm.found());
    }

    #[test]
    fn a_course_that_is_told_again_wants_the_same(seed in any::<u64>(), from in 1.0..1e5_f64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut course = CapacityCourse::new(bounds(from));
        let mut runs: Vec<String> = Vec::new();
        while let Some(wanted) = course.wanted() {
            let judged = [Judged::Holds, Judged::Breached][random.usize(..2)];
            let went = CapacityStep { rate: wanted.rate, ..run(judged, random.bool()) };
            runs.push(serde_json::to_string(&went).unwrap());
            course.record(went);
            let mut again = CapacityCourse::new(bounds(from));
            for json in &runs {
                again.record(serde_json::from_str(json).unwrap());
            }
            prop_assert_eq!(again.wanted(), course.wanted());
            prop_assert_eq!(again.steps(), course.steps());
        }
    }
}
