//! Whether the numbers may be believed, and what follows from them. Pure.
//!
//! A cell group (the same parameters) gets a verdict of its own, on dlts and the reference, which is
//! wrk wherever that can make the load. Noise in either of the two refuses it, unless so many
//! repetitions agree so well that it cannot matter: what is quoted are ratios of neighbours in time,
//! and what others take of the machine widens their interval if it does not hit both alike. An
//! uncertain ratio refuses what is said about that ratio, and a target that was the limit what is
//! said about requests a second, but not about requests for a second of the generator's CPU. The
//! cells of other tools get their doubts all the same.

use std::fmt::Write;

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
/// The greatest share by which a tool may miss the rate that it was told.
pub const RATE_ERROR_MAX: f64 = 0.01;
/// The fewest repetitions that a verdict rests on.
pub const REPETITIONS_MIN: usize = 5;
/// The fewest repetitions that outweigh a noisy machine …
pub const NOISY_REPETITIONS_MIN: usize = 10;
/// … and the greatest uncertainty of a median that does.
pub const NOISY_UNCERTAINTY_MAX: f64 = 0.025;

const OURS: &str = "dlts";
const PER_CPU: &str = "requests_per_cpu_second";
const PER_SECOND: &str = "requests_per_second";

/// Why a figure of a cell must not be believed.
struct Doubt<'cell> {
    subject: &'cell str,
    /// The figure that it is about; all of them otherwise.
    metric: Option<&'static str>,
    /// Whether repetitions that agree outweigh it.
    is_noise: bool,
    text: String,
}

impl Doubt<'_> {
    /// Whether it refuses what is said about `metric` of dlts and the reference.
    fn refuses(&self, metric: &str, reference: &str, agree: bool) -> bool {
        let is_about = self.metric.is_none_or(|about| about == metric);
        let compared = [OURS, reference].contains(&self.subject);
        compared && is_about && !(self.is_noise && agree)
    }
}

/// Whether so many repetitions agree so well that a noisy machine does not matter.
fn agree(ours: &Cell, metric: &str, reference: &str) -> bool {
    let ratio = ours.metric(&ratio_to(reference, metric));
    ours.samples.len() >= NOISY_REPETITIONS_MIN
        && ratio.is_some_and(|ratio| ratio.uncertainty() <= NOISY_UNCERTAINTY_MAX)
}

/// Whether more repetitions would change nothing about the verdict by CPU-second of the one group
/// that these cells are. Without dlts or without the reference there is none to be had.
#[must_use]
pub fn is_settled(cells: &[Cell], reference: &str) -> bool {
    let Some(ours) = cells.iter().find(|cell| cell.subject == OURS) else {
        return cells
            .iter()
            .all(|cell| cell.samples.len() >= REPETITIONS_MIN);
    };
    let at = place(ours);
    let agree = agree(ours, PER_CPU, reference);
    let mut doubts = cells.iter().flat_map(|cell| doubts(cell, reference, &at));
    !doubts.any(|doubt| doubt.refuses(PER_CPU, reference, agree))
}

/// Verdicts and doubts of the canonical comparison. Every cell is looked at; the verdicts depend on
/// those of dlts and the reference only.
#[must_use]
pub fn throughput(cells: &[Cell], reference: &str) -> (Vec<String>, Vec<String>) {
    let (mut verdict, mut all_doubts) = (Vec::new(), Vec::new());
    for group in groups(cells) {
        let at = place(group[0]);
        let doubts: Vec<Doubt> = group
            .iter()
            .flat_map(|cell| doubts(cell, reference, &at))
            .collect();
        if let Some(ours) = group.iter().find(|cell| cell.subject == OURS) {
            for (metric, words) in [
                (PER_CPU, "requests per CPU-second"),
                (PER_SECOND, "requests per second"),
            ] {
                let agree = agree(ours, metric, reference);
                let refuses = |doubt: &&Doubt| doubt.refuses(metric, reference, agree);
                let noisy = doubts.iter().any(|doubt| doubt.is_noise);
                let has_ratio = ours.metric(&ratio_to(reference, metric)).is_some();
                verdict.push(match doubts.iter().find(refuses) {
                    Some(_) if has_ratio => format!("NO VERDICT on {words} {at}: see the doubts"),
                    _ => sentence(ours, (metric, words), reference, &at, noisy),
                });
            }
        }
        all_doubts.extend(doubts.into_iter().map(|doubt| doubt.text));
    }
    if verdict.is_empty() {
        verdict.push("NO VERDICT: dlts was not measured".to_owned());
    }
    (verdict, all_doubts)
}

/// The cells that were measured under the same circumstances, in the order of their first.
fn groups(cells: &[Cell]) -> Vec<Vec<&Cell>> {
    let mut groups: Vec<Vec<&Cell>> = Vec::new();
    for cell in cells {
        let alike = |group: &&mut Vec<&Cell>| group[0].parameters == cell.parameters;
        match groups.iter_mut().find(alike) {
            Some(group) => group.push(cell),
            None => groups.push(vec![cell]),
        }
    }
    groups
}

fn doubts<'cell>(cell: &'cell Cell, reference: &str, at: &str) -> Vec<Doubt<'cell>> {
    let subject = cell.subject.as_str();
    let doubt = |metric, is_noise, text| Doubt {
        subject,
        metric,
        is_noise,
        text,
    };
    let failures = failures(cell, at);
    let failures = failures.into_iter().map(|text| doubt(None, false, text));
    let taken = taken(cell, at).into_iter();
    let taken = taken.map(|text| doubt(None, true, text));
    let uncertain = [PER_CPU, PER_SECOND].into_iter().filter_map(|metric| {
        let text = uncertain(cell, &ratio_to(reference, metric), at)?;
        Some(doubt(Some(metric), false, text))
    });
    let bound = target_bound(cell, at).map(|text| doubt(Some(PER_SECOND), false, text));
    failures
        .chain(taken)
        .chain(uncertain)
        .chain(bound)
        .collect()
}

/// Why nothing of a cell must be believed: too few repetitions, failures, a machine at other work.
#[must_use]
pub fn noise(cell: &Cell, at: &str) -> Vec<String> {
    let failures = failures(cell, at).into_iter();
    failures.chain(taken(cell, at)).collect()
}

fn failures(cell: &Cell, at: &str) -> Vec<String> {
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
    doubts
}

/// What others took of the machine, beyond the limits.
fn taken(cell: &Cell, at: &str) -> Vec<String> {
    let limits = [
        ("steal_share", STEAL_MAX, "the hypervisor took"),
        ("foreign_share", FOREIGN_MAX, "other processes took"),
    ];
    let (mut doubts, subject) = (Vec::new(), &cell.subject);
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

/// Why one metric of a cell must not be believed: its median may be elsewhere.
#[must_use]
pub fn uncertain(cell: &Cell, metric: &str, at: &str) -> Option<String> {
    let summary = cell
        .metric(metric)
        .filter(|summary| summary.uncertainty() > UNCERTAINTY_MAX)?;
    let (percent, limit) = (summary.uncertainty() * 100.0, UNCERTAINTY_MAX * 100.0);
    let (subject, low, high) = (&cell.subject, summary.low, summary.high);
    Some(format!(
        "{subject} {at}: {metric} is uncertain by {percent:.1} % ({low:.3} to {high:.3}), limit \
         {limit} %; more --repetitions narrow it"
    ))
}

/// Why the pacing of a cell is that of another load than the one that was asked for.
#[must_use]
pub fn off_rate(cell: &Cell, at: &str) -> Option<String> {
    let error = cell
        .median("rate_error_share")
        .filter(|&error| error > RATE_ERROR_MAX)?;
    let (subject, percent, limit) = (&cell.subject, error * 100.0, RATE_ERROR_MAX * 100.0);
    Some(format!(
        "{subject} {at}: it did not keep the rate, by {percent:.1} %, limit {limit} %; its gaps \
         and its lateness are those of another load"
    ))
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

fn sentence(
    ours: &Cell,
    (metric, words): (&str, &str),
    reference: &str,
    at: &str,
    noisy: bool,
) -> String {
    let Some(ratio) = ours.metric(&ratio_to(reference, metric)) else {
        return format!("NO VERDICT on {words} {at}: {reference} was not measured");
    };
    let (median, low, high) = (ratio.median, ratio.low, ratio.high);
    let said = format!(
        "dlts makes {median:.2} ({low:.2} to {high:.2}) times the {words} of {reference} {at}"
    );
    if noisy {
        let count = ours.samples.len();
        return format!("{said}; on a noisy machine, but {count} repetitions agree");
    }
    said
}

/// The name of a metric's ratio to the reference, of runs that were neighbours in time.
fn ratio_to(reference: &str, metric: &str) -> String {
    format!("{metric}_vs_{reference}")
}

/// `at 64 connections, pipeline 16, body bytes 16384`
fn place(cell: &Cell) -> String {
    let connections = cell.parameters.get("connections").copied().unwrap_or(0.0);
    let plural = if connections > 1.0 { "s" } else { "" };
    let mut place = format!("at {connections} connection{plural}");
    let said =
        |name: &str, value: f64| name == "connections" || (name == "pipeline" && value < 2.0);
    let others = cell.parameters.iter();
    for (name, value) in others.filter(|&(name, &value)| !said(name, value)) {
        let _ = write!(place, ", {} {value}", name.replace('_', " "));
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Sample;

    /// A cell whose ratios are a hundredth of `rates`; those by CPU are the median's throughout.
    fn cell(subject: &str, rates: &[f64], busy: f64, steal: f64) -> Cell {
        let mut cell = Cell::new(subject, &[("connections", 64.0), ("pipeline", 1.0)]);
        for &rate in rates {
            cell.samples.push(Sample::from([
                (PER_CPU.to_owned(), rates[rates.len() / 2]),
                (PER_SECOND.to_owned(), rate),
                (ratio_to("wrk", PER_CPU), rates[rates.len() / 2] / 100.0),
                (ratio_to("wrk", PER_SECOND), rate / 100.0),
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
        throughput(&cells, "wrk")
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
    fn many_repetitions_that_agree_outweigh_a_noisy_machine() {
        let (verdict, doubts) = judged(&[130.0; 9], 0.5, 0.02);
        assert!(verdict[0].starts_with("NO VERDICT"), "{verdict:?}");
        let (steady, still) = (judged(&[130.0; 10], 0.5, 0.02), doubts);
        assert!(steady.0[0].starts_with("dlts makes 1.30"), "{steady:?}");
        assert!(steady.0[0].ends_with("on a noisy machine, but 10 repetitions agree"));
        assert_eq!(steady.1, still, "the doubts are said all the same");
        let mut apart = [130.0; 10];
        apart[..4].copy_from_slice(&[110.0; 4]);
        apart[6..].copy_from_slice(&[150.0; 4]);
        assert!(judged(&apart, 0.5, 0.02).0[1].starts_with("NO VERDICT"));
    }

    #[test]
    fn it_is_settled_when_more_repetitions_would_change_nothing() {
        let settled = |count: usize, steal: f64| {
            let cells = [
                cell("dlts", &vec![130.0; count], 0.5, steal),
                cell("wrk", &vec![100.0; count], 0.5, 0.0),
            ];
            is_settled(&cells, "wrk")
        };
        assert!(!settled(4, 0.0) && settled(5, 0.0));
        assert!(!settled(9, 0.02) && settled(10, 0.02));
        assert!(is_settled(&[cell("oha", &[1.0; 5], 0.5, 0.5)], "wrk"));
    }

    #[test]
    fn a_load_is_named_by_all_that_tells_it_apart() {
        let parameters = [
            ("connections", 64.0),
            ("pipeline", 16.0),
            ("body_bytes", 16384.0),
        ];
        let named = place(&Cell::new("dlts", &parameters));
        assert_eq!(named, "at 64 connections, body bytes 16384, pipeline 16");
        assert_eq!(
            place(&Cell::new("dlts", &[("connections", 1.0)])),
            "at 1 connection"
        );
    }

    #[test]
    fn an_uncertain_ratio_refuses_what_is_said_about_it() {
        let (verdict, doubts) = judged(&[100.0, 100.0, 130.0, 160.0, 160.0], 0.5, 0.0);
        assert!(verdict[0].starts_with("dlts makes 1.30"), "{verdict:?}");
        assert!(verdict[1].starts_with("NO VERDICT on requests per second"));
        assert!(doubts[0].contains("requests_per_second_vs_wrk is uncertain"));
    }

    #[test]
    fn others_have_doubts_too_but_the_verdict_does_not_depend_on_them() {
        let cells = [
            cell("dlts", &[130.0; 5], 0.5, 0.0),
            cell("wrk", &[100.0; 5], 0.5, 0.0),
            cell("oha", &[50.0; 5], 0.99, 0.02),
        ];
        let (verdict, doubts) = throughput(&cells, "wrk");
        assert!(verdict.iter().all(|line| line.starts_with("dlts makes")));
        assert_eq!(doubts.len(), 2, "{doubts:?}");
        assert!(doubts.iter().all(|doubt| doubt.starts_with("oha at 64")));
    }

    #[test]
    fn a_rate_that_was_not_kept_is_said() {
        let of = |error| crate::results::tests::cell("oha", "rate_error_share", &[error; 5]);
        assert_eq!(off_rate(&of(0.009), "at 100/s"), None);
        let doubt = off_rate(&of(0.03), "at 100/s").unwrap();
        assert!(doubt.starts_with("oha at 100/s: it did not keep the rate, by 3.0 %"));
    }

    #[test]
    fn without_ours_there_is_no_verdict() {
        let (verdict, _) = throughput(&[cell("wrk", &[1.0; 5], 0.5, 0.0)], "wrk");
        assert_eq!(verdict, ["NO VERDICT: dlts was not measured"]);
    }
}
