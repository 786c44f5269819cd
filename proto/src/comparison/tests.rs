//! Comparisons of whole sets: what is refused, told and decided.

use super::*;
use crate::histogram;

/// A run whose times are 1 to `samples` times `scale_ns`.
fn run(scale_ns: u64, samples: u64) -> Run {
    let mut histogram = histogram::new();
    (1..=samples).for_each(|n| histogram.saturating_record(n * scale_ns));
    let times = Sparse::from(&histogram);
    let latencies = SparseLatencies {
        response: times.clone(),
        service: times,
        ..SparseLatencies::default()
    };
    Run {
        requests_per_second: Some(500.0),
        tried: samples,
        ..Run::new("id", &latencies)
    }
}

fn set(scale_ns: u64, runs: u64) -> Vec<Run> {
    (0..runs)
        .map(|at| run(scale_ns + at * scale_ns / 200, 20_000))
        .collect()
}

fn compared(base: &[Run], test: &[Run]) -> Comparison {
    compare(base, test, &Terms::default())
}

#[test]
fn a_change_of_sets_is_told_line_by_line_and_the_other_way_round() {
    let (base, test) = (set(1000, 5), set(1200, 5));
    let worse = compared(&base, &test);
    assert_eq!(worse.verdict, Change::Worse);
    assert_eq!(compared(&test, &base).verdict, Change::Better);
    assert_eq!(compared(&base, &base).verdict, Change::Same);
    for row in worse.quantiles.iter().chain(&worse.service) {
        let expected = if row.quantile > 0.999 {
            Change::Unknown
        } else {
            Change::Worse
        };
        assert_eq!(row.verdict, expected, "{row:?}");
    }
    assert_eq!(worse.requests_per_second.verdict, Change::Same);
    assert!(
        worse.reasons[0].starts_with("response p50 is worse: +20.0 % (+1"),
        "{:?}",
        worse.reasons
    );
}

#[test]
fn what_is_better_here_and_worse_there_is_mixed_in_both_directions() {
    let (base, mut test) = (set(1000, 5), set(1200, 5));
    for run in &mut test {
        run.requests_per_second = Some(700.0);
    }
    assert_eq!(compared(&base, &test).verdict, Change::Mixed);
    assert_eq!(compared(&test, &base).verdict, Change::Mixed);
    assert!(Change::Mixed.has_worsened() && !Change::Better.has_worsened());
}

#[test]
fn one_run_a_side_shows_its_figures_with_their_intervals_and_is_not_judged() {
    let compared = compared(&set(1000, 1), &set(2000, 1));
    assert_eq!(compared.verdict, Change::Unknown);
    assert_eq!(
        compared.reasons,
        ["too small: 4 more of the base and 4 more of the test of 5 runs a set would tell"]
    );
    let median = &compared.quantiles[0];
    let (low, high) = median.base_interval_ms.unwrap();
    assert!(low < 10.0 && 10.0 < high && high - low < 0.5, "{median:?}");
    assert!((median.change.unwrap() - 1.0).abs() < 0.01, "{median:?}");
}

#[test]
fn too_few_samples_say_so_and_a_maximum_decides_nothing() {
    let few = |scale| -> Vec<Run> { (0..5).map(|_| run(scale, 500)).collect() };
    let compared = compared(&few(1000), &few(5000));
    let of = |at: usize| &compared.quantiles[at];
    assert_eq!(of(0).verdict, Change::Worse);
    assert_eq!(
        of(2).reason.as_deref(),
        Some("too few samples: 5 beyond p99 in a run of 500; 1000 would tell")
    );
    assert_eq!(of(5).name(), "max");
    assert_eq!(of(5).verdict, Change::Unknown);
}

#[test]
fn a_run_without_samples_makes_no_quantile_of_the_others_certain() {
    let few = |scale: u64| -> Vec<Run> {
        let runs = (0..5).map(|_| run(scale, 100));
        runs.chain([run(scale, 0)]).collect()
    };
    let compared = compared(&few(1000), &few(5000));
    let of = |at: usize| &compared.quantiles[at];
    assert_eq!(of(0).verdict, Change::Worse, "{:?}", of(0));
    assert_eq!(of(4).verdict, Change::Unknown);
    assert_eq!(
        of(4).reason.as_deref(),
        Some("too few samples: 0 beyond p99.99 in a run of 100; 100000 would tell")
    );
}

#[test]
fn a_run_without_any_good_answer_is_said_and_no_rate_judged() {
    let (base, mut test) = (set(1000, 5), set(1000, 5));
    test[3].id = "dead".to_owned();
    test[3].requests_per_second = Some(0.0);
    let words = "a run without any good answer: dead";
    for compared in [compared(&base, &test), compared(&test, &base)] {
        let rate = &compared.requests_per_second;
        assert_eq!(rate.verdict, Change::Unknown);
        assert_eq!(rate.reason.as_deref(), Some(words));
        assert_eq!(compared.reasons, [format!("ok/s: {words}")]);
    }
    // Where the sets are too small, that stands beside it.
    let small = compared(&base, &test[3..]);
    assert_eq!(small.reasons.len(), 2, "{:?}", small.reasons);
}

#[test]
fn of_other_loads_the_answers_a_second_are_unlike() {
    let terms = Terms {
        loads_differ: true,
        differences: vec!["rate: 100 and 200".to_owned()],
        ..Terms::default()
    };
    let compared = compare(&set(1000, 5), &set(1000, 5), &terms);
    assert_eq!(compared.requests_per_second.verdict, Change::Unlike);
    assert_eq!(compared.verdict, Change::Same);
    assert_eq!(compared.differences, ["rate: 100 and 200"]);
}

#[test]
fn nothing_against_nothing_is_unknown() {
    let none = vec![Run::default(); 5];
    assert_eq!(compared(&none, &none).verdict, Change::Unknown);
}

#[test]
fn the_answer_is_read_as_it_was_written_and_without_what_was_added() {
    let compared = compared(&set(1000, 5), &set(1200, 5));
    let mut json = serde_json::to_value(&compared).unwrap();
    let read: Comparison = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(read.verdict, compared.verdict);
    assert_eq!(read.lines().len(), 14);
    for added in ["base_runs", "test_runs", "differences", "service"] {
        json.as_object_mut().unwrap().remove(added);
    }
    let read: Comparison = serde_json::from_value(json).unwrap();
    assert_eq!(read.quantiles, compared.quantiles);
}
