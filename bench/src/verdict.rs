//! Whether the numbers may be believed, and what follows from them. Pure.
//!
//! A cell group (same connections, same pipeline) gets a verdict of its own, on dlts and wrk. Noise
//! in either of the two refuses it; an uncertain ratio refuses what is said about that ratio, and a
//! target that was the limit what is said about requests a second, but not about requests for a
//! second of the generator's CPU. The cells of other tools get their doubts all the same.

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

const COMPARED: [&str; 2] = ["dlts", "wrk"];
const PER_CPU: &str = "requests_per_cpu_second";
const PER_SECOND: &str = "requests_per_second";

/// Why a figure of a cell must not be believed.
struct Doubt<'cell> {
    subject: &'cell str,
    /// The figure that it is about; all of them otherwise.
    metric: Option<&'static str>,
    text: String,
}

impl Doubt<'_> {
    /// Whether it refuses what is said about `metric` of dlts and wrk.
    fn refuses(&self, metric: &str) -> bool {
        COMPARED.contains(&self.subject) && self.metric.is_none_or(|about| about == metric)
    }
}

/// Verdicts and doubts of the canonical comparison. Every cell is looked at; the verdicts depend on
/// those of dlts and wrk only.
#[must_use]
pub fn throughput(cells: &[Cell]) -> (Vec<String>, Vec<String>) {
    let (mut verdict, mut all_doubts) = (Vec::new(), Vec::new());
    for group in groups(cells) {
        let at = place(group[0]);
        let doubts: Vec<Doubt> = group.iter().flat_map(|cell| doubts(cell, &at)).collect();
        if let Some(ours) = group.iter().find(|cell| cell.subject == COMPARED[0]) {
            for (metric, words) in [
                (PER_CPU, "requests per CPU-second"),
                (PER_SECOND, "requests per second"),
            ] {
                let refused = doubts.iter().any(|doubt| doubt.refuses(metric));
                verdict.push(sentence(ours, metric, words, &at, refused));
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

fn doubts<'cell>(cell: &'cell Cell, at: &str) -> Vec<Doubt<'cell>> {
    let subject = cell.subject.as_str();
    let doubt = |metric, text| Doubt {
        subject,
        metric,
        text,
    };
    let noise = noise(cell, at).into_iter().map(|text| doubt(None, text));
    let uncertain = [PER_CPU, PER_SECOND].into_iter().filter_map(|metric| {
        let text = uncertain(cell, &to_wrk(metric), at)?;
        Some(doubt(Some(metric), text))
    });
    let bound = target_bound(cell, at).map(|text| doubt(Some(PER_SECOND), text));
    noise.chain(uncertain).chain(bound).collect()
}

/// Why nothing of a cell must be believed: too few repetitions, failures, a machine at other work.
#[must_use]
pub fn noise(cell: &Cell, at: &str) -> Vec<String> {
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
fn place(cell: &Cell) -> String {
    let connections = cell.parameters.get("connections").copied().unwrap_or(0.0);
    let pipeline = cell.parameters.get("pipeline").copied().unwrap_or(1.0);
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

    /// A cell whose ratios are a hundredth of `rates`; those by CPU are the median's throughout.
    fn cell(subject: &str, rates: &[f64], busy: f64, steal: f64) -> Cell {
        let mut cell = Cell::new(subject, &[("connections", 64.0), ("pipeline", 1.0)]);
        for &rate in rates {
            cell.samples.push(Sample::from([
                (PER_CPU.to_owned(), rates[rates.len() / 2]),
                (PER_SECOND.to_owned(), rate),
                (to_wrk(PER_CPU), rates[rates.len() / 2] / 100.0),
                (to_wrk(PER_SECOND), rate / 100.0),
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
        throughput(&cells)
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
        let (verdict, doubts) = throughput(&cells);
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
        let (verdict, _) = throughput(&[cell("wrk", &[1.0; 5], 0.5, 0.0)]);
        assert_eq!(verdict, ["NO VERDICT: dlts was not measured"]);
    }
}
