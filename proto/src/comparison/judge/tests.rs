//! How often the judge is wrong, on sets of runs that are alike and that differ.

use super::*;

fn line(kind: Kind, base: &[f64], test: &[f64]) -> Line {
    let of = |values: &[f64]| values.iter().copied().map(Observation::of).collect();
    Line {
        kind,
        base: of(base),
        test: of(test),
        unjudged: None,
    }
}

fn verdict(kind: Kind, base: &[f64], test: &[f64]) -> Change {
    judge(&[line(kind, base, test)], 0.05)[0].verdict
}

const TEN: [f64; 5] = [9.8, 9.9, 10.0, 10.1, 10.2];
const ELEVEN: [f64; 5] = [10.8, 10.9, 11.0, 11.1, 11.2];

#[test]
fn welch_gives_what_the_published_example_has() {
    // Example 3 of the article on Welch's t-test in Wikipedia, which R's t.test() confirms: unequal
    // sizes and variances, t = -2.22, 24.5 degrees of freedom, p = 0.036.
    let base = [19.8, 20.4, 19.6, 17.8, 18.5, 18.9, 18.3, 18.9, 19.5, 22.0];
    let test = [
        28.2, 26.6, 20.1, 23.3, 25.2, 22.1, 17.7, 27.6, 20.6, 13.7, 23.2, 17.5, 20.6, 18.0, 23.9,
        21.6, 24.3, 20.4, 24.0, 13.2,
    ];
    let mut line = line(Kind::Time, &base, &test);
    for one in line.base.iter_mut().chain(&mut line.test) {
        // Back from the logarithms that times are tested by.
        one.value = (one.value / 100.0).exp();
    }
    let test = Difference::of(&line).unwrap();
    assert!((test.mean / test.error - 2.22).abs() < 0.01);
    assert!((test.freedom - 24.5).abs() < 0.05, "{}", test.freedom);
    assert!((test.p_value() - 0.036).abs() < 0.001, "{}", test.p_value());
}

#[test]
fn holm_multiplies_the_least_by_their_number_and_never_falls() {
    let adjusted = holm(&[Some(0.01), Some(0.04), None, Some(0.03), Some(0.005)]);
    let expected = [Some(0.03), Some(0.06), None, Some(0.06), Some(0.02)];
    for (one, other) in adjusted.iter().zip(expected) {
        match (one, other) {
            (Some(one), Some(other)) => assert!((one - other).abs() < 1e-12, "{adjusted:?}"),
            (one, other) => assert_eq!(*one, other),
        }
    }
}

#[test]
fn a_change_is_better_or_worse_as_its_kind_has_it() {
    assert_eq!(verdict(Kind::Time, &TEN, &ELEVEN), Change::Worse);
    assert_eq!(verdict(Kind::Rate, &TEN, &ELEVEN), Change::Better);
    assert_eq!(verdict(Kind::Time, &TEN, &TEN), Change::Same);
    let (none, some) = ([0.0; 5], [0.01, 0.011, 0.009, 0.01, 0.01]);
    assert_eq!(verdict(Kind::Share, &none, &some), Change::Worse);
    assert_eq!(verdict(Kind::Share, &some, &none), Change::Better);
    assert_eq!(verdict(Kind::Share, &none, &none), Change::Same);
}

#[test]
fn the_other_way_round_it_is_the_other_way_round() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut draw = |kind: Kind| -> Vec<f64> {
        let (shift, count) = (random.f64(), random.usize(1..8));
        let most = if kind == Kind::Share { 0.5 } else { 20.0 };
        (0..count)
            .map(|_| most * (0.9 * shift + 0.1 * random.f64()))
            .collect()
    };
    let mut told = 0;
    for kind in [Kind::Time, Kind::Rate, Kind::Share] {
        for _ in 0..500 {
            let (base, test) = (draw(kind), draw(kind));
            let there = verdict(kind, &base, &test);
            let back = verdict(kind, &test, &base);
            let expected = match back {
                Change::Better => Change::Worse,
                Change::Worse => Change::Better,
                other => other,
            };
            assert_eq!(there, expected, "{kind:?} {base:?} {test:?}");
            told += u32::from(matches!(there, Change::Better | Change::Worse));
        }
    }
    assert!(told > 300, "{told}");
}

#[test]
fn few_runs_tell_large_changes_and_never_that_there_is_none() {
    assert_eq!(verdict(Kind::Time, &TEN[..1], &[99.0]), Change::Unknown);
    assert_eq!(verdict(Kind::Time, &TEN, &[99.0]), Change::Unknown);
    assert_eq!(verdict(Kind::Time, &TEN[..3], &ELEVEN[..3]), Change::Worse);
    assert_eq!(verdict(Kind::Time, &TEN[..4], &TEN), Change::Unknown);
    let judged = judge(&[line(Kind::Time, &TEN[..1], &TEN[..3])], 0.05);
    assert_eq!(
        judged[0].reason.as_deref(),
        Some("too small: 4 more of the base and 2 more of the test of 5 runs a set would tell")
    );
}

#[test]
fn what_stands_on_one_side_only_is_unlike() {
    assert_eq!(verdict(Kind::Time, &TEN, &[]), Change::Unlike);
    assert_eq!(verdict(Kind::Time, &[], &TEN), Change::Unlike);
    assert_eq!(verdict(Kind::Time, &[], &[]), Change::Unknown);
}

#[test]
fn a_change_within_the_tolerance_is_none_however_certain() {
    let slightly: Vec<f64> = TEN.map(|value| value * 1.04).to_vec();
    assert_eq!(verdict(Kind::Time, &[10.0; 5], &slightly), Change::Same);
    let certain = judge(&[line(Kind::Time, &[10.0; 5], &[10.4; 5])], 0.05);
    assert!(certain[0].p_value.unwrap() < 0.001);
    assert_eq!(certain[0].verdict, Change::Same);
    let strict = judge(&[line(Kind::Time, &[10.0; 5], &[10.4; 5])], 0.0);
    assert_eq!(strict[0].verdict, Change::Worse);
}

#[test]
fn figures_that_agree_to_the_last_digit_are_not_exact_for_that() {
    // 0.01 % is below what a histogram or a clock resolves.
    let judged = judge(&[line(Kind::Time, &[10.0; 5], &[10.001; 5])], 0.0);
    assert_eq!(judged[0].verdict, Change::Same);
    // Their own samples allow for 20 %: that they lie close together is luck.
    let loose = |value: f64| Observation {
        value,
        interval: Some((value * 0.8, value * 1.2)),
    };
    let line = Line {
        kind: Kind::Time,
        base: vec![loose(10.0); 5],
        test: vec![loose(11.0); 5],
        unjudged: None,
    };
    assert_eq!(judge(&[line], 0.05)[0].verdict, Change::Same);
}

#[test]
fn a_single_run_shows_the_interval_of_its_samples_and_several_that_of_their_spread() {
    let one = Observation {
        value: 10.0,
        interval: Some((9.0, 12.0)),
    };
    let line = Line {
        base: vec![one],
        ..line(Kind::Time, &[], &TEN)
    };
    let judged = &judge(&[line], 0.05)[0];
    assert_eq!(judged.base_interval, Some((9.0, 12.0)));
    let (low, high) = judged.test_interval.unwrap();
    // 10 ± 2.776 * 0.158 / sqrt(5).
    assert!(
        (low - 9.80).abs() < 0.01 && (high - 10.20).abs() < 0.01,
        "{low} {high}"
    );
    assert_eq!(judged.change_interval, None);
}

#[test]
fn no_failure_in_a_hundred_may_still_be_three() {
    let share = Observation::share(0, 100).unwrap();
    let (low, high) = share.interval.unwrap();
    assert!(low < 1e-12 && (high - 0.037).abs() < 0.001, "{low} {high}");
    assert_eq!(Observation::share(0, 0), None);
}
