//! Whether the numbers may be believed, and what follows from them. Pure.
//!
//! A cell group (same connections, same pipeline) gets a verdict of its own. Noise refuses it; a
//! target that was the limit refuses what it says about requests a second, but not about requests
//! for a second of the generator's CPU.

use crate::results::Cell;

/// The greatest uncertainty of a median that is quoted, as a share of it. What is quoted are ratios
/// of neighbours in time, so that a machine that drifts as a whole does no harm.
pub const UNCERTAINTY_MAX: f64 = 0.05;
/// The greatest share of time that a hypervisor may take.
pub const STEAL_MAX: f64 = 0.01;
/// The greatest share of the two cores that others may take.
pub const FOREIGN_MAX: f64 = 0.05;
/// A target busier than this was the limit.
pub const TARGET_BUSY_MAX: f64 = 0.95;
/// The fewest repetitions that a verdict rests on.
pub const REPETITIONS_MIN: usize = 5;

const OURS: &str = "dlts";
const PER_CPU: &str = "requests_per_cpu_second";
const PER_SECOND: &str = "requests_per_second";

/// Verdicts and doubts of the canonical comparison.
#[must_use]
pub fn throughput(cells: &[Cell], parameters: &[&str]) -> (Vec<String>, Vec<String>) {
    let (mut verdict, mut all_doubts) = (Vec::new(), Vec::new());
    for ours in cells.iter().filter(|cell| cell.subject == OURS) {
        let group: Vec<&Cell> = cells
            .iter()
            .filter(|cell| cell.parameters == ours.parameters)
            .collect();
        let at = place(ours, parameters);
        let compared = group
            .iter()
            .filter(|cell| ["dlts", "wrk"].contains(&cell.subject.as_str()));
        let noise: Vec<String> = compared
            .flat_map(|cell| noise(cell, &to_wrk(PER_CPU), &at))
            .collect();
        verdict.push(sentence(
            ours,
            PER_CPU,
            "requests per CPU-second",
            &at,
            !noise.is_empty(),
        ));
        let bound: Vec<String> = group
            .iter()
            .filter_map(|cell| target_bound(cell, &at))
            .collect();
        let refused = !noise.is_empty() || !bound.is_empty();
        verdict.push(sentence(
            ours,
            PER_SECOND,
            "requests per second",
            &at,
            refused,
        ));
        all_doubts.extend(noise.into_iter().chain(bound));
    }
    if verdict.is_empty() {
        verdict.push("NO VERDICT: dlts was not measured".to_owned());
    }
    (verdict, all_doubts)
}

/// Why a cell's metric must not be believed.
#[must_use]
pub fn noise(cell: &Cell, metric: &str, at: &str) -> Vec<String> {
    let limits = [
        ("steal_share", STEAL_MAX, "the hypervisor took"),
        ("foreign_share", FOREIGN_MAX, "other processes took"),
    ];
    let mut doubts = Vec::new();
    let subject = &cell.subject;
    if cell.samples.len() < REPETITIONS_MIN {
        let count = cell.samples.len();
        doubts.push(format!(
            "{subject} {at}: {count} repetitions, {REPETITIONS_MIN} are needed"
        ));
    }
    if cell.metric("failed").is_some_and(|failed| failed.max > 0.0) {
        doubts.push(format!("{subject} {at}: it ended with an error"));
    }
    let uncertain = cell
        .metric(metric)
        .filter(|summary| summary.uncertainty() > UNCERTAINTY_MAX);
    if let Some(summary) = uncertain {
        let (percent, limit) = (summary.uncertainty() * 100.0, UNCERTAINTY_MAX * 100.0);
        let (low, high) = (summary.low, summary.high);
        doubts.push(format!(
            "{subject} {at}: {metric} is uncertain by {percent:.1} % ({low:.3} to {high:.3}), limit \
             {limit} %; more --repetitions narrow it"
        ));
    }
    for (share, limit, what) in limits {
        if let Some(median) = cell.median(share).filter(|&median| median > limit) {
            let (median, limit) = (median * 100.0, limit * 100.0);
            doubts.push(format!(
                "{subject} {at}: {what} {median:.1} % of the cores, limit {limit} %"
            ));
        }
    }
    doubts
}

fn target_bound(cell: &Cell, at: &str) -> Option<String> {
    let busy = cell
        .median("target_busy_share")
        .filter(|&busy| busy > TARGET_BUSY_MAX)?;
    let (subject, busy) = (&cell.subject, busy * 100.0);
    Some(format!(
        "{subject} {at}: the target was the limit ({busy:.0} % busy), not the generator"
    ))
}

fn sentence(ours: &Cell, metric: &str, words: &str, at: &str, refused: bool) -> String {
    let Some(ratio) = ours.metric(&to_wrk(metric)) else {
        return format!("NO VERDICT on {words} {at}: wrk was not measured");
    };
    if refused {
        return format!("NO VERDICT on {words} {at}: see the doubts");
    }
    let (median, low, high) = (ratio.median, ratio.low, ratio.high);
    format!("dlts makes {median:.2} ({low:.2} to {high:.2}) times the {words} of wrk {at}")
}

/// The name of a metric's ratio to wrk, of runs that were neighbours in time.
fn to_wrk(metric: &str) -> String {
    format!("{metric}_vs_wrk")
}

/// `at 64 connections, pipeline 16`
fn place(cell: &Cell, parameters: &[&str]) -> String {
    let connections = cell.parameters.get("connections").copied().unwrap_or(0.0);
    let pipeline = cell.parameters.get("pipeline").copied().unwrap_or(1.0);
    debug_assert!(parameters.contains(&"connections"));
    let plural = if connections > 1.0 { "s" } else { "" };
    match pipeline {
        1.0 => format!("at {connections} connection{plural}"),
        _ => format!("at {connections} connection{plural}, pipeline {pipeline}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Sample;

    fn cell(subject: &str, per_cpu: &[f64], busy: f64, steal: f64) -> Cell {
        let mut cell = Cell::new(subject, &[("connections", 64.0), ("pipeline", 1.0)]);
        for &value in per_cpu {
            cell.samples.push(Sample::from([
                (PER_CPU.to_owned(), value),
                (PER_SECOND.to_owned(), value),
                (format!("{PER_CPU}_vs_wrk"), value / 100.0),
                (format!("{PER_SECOND}_vs_wrk"), value / 100.0),
                ("target_busy_share".to_owned(), busy),
                ("steal_share".to_owned(), steal),
            ]));
        }
        cell.summarise();
        cell
    }

    fn judged(ours: &[f64], busy: f64, steal: f64) -> (Vec<String>, Vec<String>) {
        let cells = [
            cell("dlts", ours, busy, steal),
            cell("wrk", &[100.0; 5], busy, 0.0),
        ];
        throughput(&cells, &["connections"])
    }

    #[test]
    fn quiet_and_generator_bound_gives_both_verdicts() {
        let (verdict, doubts) = judged(&[130.0; 5], 0.5, 0.0);
        assert_eq!(doubts, [""; 0]);
        let expected = "dlts makes 1.30 (1.30 to 1.30) times the requests per CPU-second of wrk at 64 connections";
        assert_eq!(verdict[0], expected);
        assert!(verdict[1].starts_with("dlts makes 1.30"));
    }

    #[test]
    fn a_busy_target_refuses_the_rate_only() {
        let (verdict, doubts) = judged(&[130.0; 5], 0.99, 0.0);
        assert!(verdict[0].starts_with("dlts makes"));
        assert!(verdict[1].starts_with("NO VERDICT on requests per second"));
        assert!(
            doubts[0].contains("the target was the limit (99 % busy)"),
            "{doubts:?}"
        );
    }

    #[test]
    fn noise_refuses_everything_and_says_why() {
        for (values, steal, reason) in [
            (vec![100.0, 100.0, 130.0, 160.0, 160.0], 0.0, "uncertain"),
            (vec![130.0; 5], 0.02, "the hypervisor took 2.0 %"),
            (vec![130.0; 4], 0.0, "4 repetitions, 5 are needed"),
        ] {
            let (verdict, doubts) = judged(&values, 0.5, steal);
            assert!(
                verdict.iter().all(|line| line.starts_with("NO VERDICT")),
                "{verdict:?}"
            );
            assert!(
                doubts.iter().any(|doubt| doubt.contains(reason)),
                "{doubts:?}"
            );
        }
    }

    #[test]
    fn without_ours_there_is_no_verdict() {
        let (verdict, _) = throughput(&[cell("wrk", &[1.0; 5], 0.5, 0.0)], &["connections"]);
        assert_eq!(verdict, ["NO VERDICT: dlts was not measured"]);
    }
}
