//! Old results against new ones, with the noise of both.

use crate::results::{Cell, Document};
use crate::statistics::Summary;
use crate::table::{Style, lay_out};
use crate::verdict::REPETITIONS_MIN;

/// Metrics that say how good something is, and whether more is better. Others are circumstances.
const COMPARED: &[(&str, bool)] = &[
    ("requests_per_cpu_second", true),
    ("requests_per_second", true),
    ("requests_per_server_cpu_second", true),
    ("messages_per_second", true),
    ("rss_mib", false),
    ("gap_error_p50_ns", false),
    ("gap_error_p99_ns", false),
    ("lateness_p50_ns", false),
    ("generator_cpu_share", false),
    ("start_skew_ms", false),
    ("report_delay_ms", false),
    ("instructions", false),
];
/// What is compared instead of an absolute figure where both files have it: a ratio to wrk does not
/// change with the machine.
const RELATIVE: &[(&str, &str)] = &[
    ("requests_per_cpu_second", "requests_per_cpu_second_vs_wrk"),
    ("requests_per_second", "requests_per_second_vs_wrk"),
];
/// Metrics that come out the same each time, so that one repetition tells.
const EXACT: &[&str] = &["instructions"];
/// Whom the ratios are to: its own figures are those of the machine.
const REFERENCE: &str = "wrk";

/// One metric of one cell, before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Who and under which circumstances.
    pub cell: String,
    /// Which metric.
    pub metric: &'static str,
    /// Median before.
    pub base: f64,
    /// Median after.
    pub new: f64,
    /// The difference divided by the old median.
    pub change: f64,
    /// The greater uncertainty of both medians, as a share.
    pub noise: f64,
    /// What follows.
    pub judgement: Judgement,
}

/// Whether a change is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The intervals of the medians do not meet: a change in the good direction.
    Better,
    /// The same in the bad direction.
    Worse,
    /// The intervals of the medians meet.
    Same,
    /// Nobody can tell from so few repetitions, or the figure is that of the machine.
    Unknown,
}

/// Every compared metric of every cell that both documents have.
#[must_use]
pub fn changes(base: &Document, new: &Document) -> Vec<Change> {
    let pairs = new
        .cells
        .iter()
        .filter_map(|cell| Some((partner(base, cell)?, cell)));
    pairs
        .flat_map(|(old, new)| {
            COMPARED
                .iter()
                .filter_map(|&metric| change(old, new, metric))
        })
        .collect()
}

fn partner<'base>(base: &'base Document, cell: &Cell) -> Option<&'base Cell> {
    base.cells
        .iter()
        .find(|old| old.subject == cell.subject && old.parameters == cell.parameters)
}

fn change(
    old: &Cell,
    new: &Cell,
    (metric, more_is_better): (&'static str, bool),
) -> Option<Change> {
    let metric = RELATIVE
        .iter()
        .filter(|(absolute, _)| *absolute == metric)
        .map(|&(_, ratio)| ratio)
        .find(|ratio| [old, new].iter().all(|cell| cell.metric(ratio).is_some()))
        .unwrap_or(metric);
    let (before, after) = (old.metric(metric)?, new.metric(metric)?);
    if before.median == 0.0 {
        return None;
    }
    let change = (after.median - before.median) / before.median;
    let judgement = if is_judged([old, new], metric) {
        judge(before, after, more_is_better)
    } else {
        Judgement::Unknown
    };
    let parameters = new
        .parameters
        .iter()
        .map(|(name, value)| format!(" {name}={value}"));
    let cell = new.subject.clone() + &parameters.collect::<String>();
    Some(Change {
        cell,
        metric,
        base: before.median,
        new: after.median,
        change,
        noise: before.uncertainty().max(after.uncertainty()),
        judgement,
    })
}

fn is_judged(cells: [&Cell; 2], metric: &str) -> bool {
    let of_machine = cells[0].subject == REFERENCE;
    let repeated = |cell: &Cell| {
        let samples = cell.samples.iter();
        let count = samples.filter(|sample| sample.contains_key(metric)).count();
        count >= REPETITIONS_MIN || EXACT.contains(&metric)
    };
    !of_machine && cells.into_iter().all(repeated)
}

fn judge(before: &Summary, after: &Summary, more_is_better: bool) -> Judgement {
    let (more, less) = (after.low > before.high, after.high < before.low);
    match (more || less, more == more_is_better) {
        (false, _) => Judgement::Same,
        (true, true) => Judgement::Better,
        (true, false) => Judgement::Worse,
    }
}

/// The table of changes.
#[must_use]
pub fn table(changes: &[Change], style: Style) -> String {
    let head = ["metric", "cell", "base", "new", "change", "noise", ""]
        .map(str::to_owned)
        .to_vec();
    let rows = changes.iter().map(|change| {
        let word = match change.judgement {
            Judgement::Better => "better",
            Judgement::Worse => "WORSE",
            Judgement::Same => "",
            Judgement::Unknown => "not judged",
        };
        vec![
            change.metric.to_owned(),
            change.cell.clone(),
            figure(change.base),
            figure(change.new),
            format!("{:+.1}%", change.change * 100.0),
            format!("±{:.1}%", change.noise * 100.0),
            word.to_owned(),
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    lay_out(&rows, 1, style)
}

/// Ratios need more digits than rates.
fn figure(value: f64) -> String {
    let digits = if value.abs() < 100.0 { 3 } else { 1 };
    format!("{value:.digits$}")
}

/// What makes two documents hard to compare.
#[must_use]
pub fn caveats(base: &Document, new: &Document) -> Vec<String> {
    let mut caveats = Vec::new();
    if base.scenario != new.scenario {
        caveats.push(format!(
            "different scenarios: {} and {}",
            base.scenario, new.scenario
        ));
    }
    if base.host != new.host {
        caveats.push(format!(
            "different hosts: {} / {}",
            base.host.line(),
            new.host.line()
        ));
    }
    if base.settings != new.settings {
        caveats.push("different settings".to_owned());
    }
    for (name, document) in [("base", base), ("new", new)] {
        if !document.doubts.is_empty() {
            caveats.push(format!(
                "{name} has {} doubts of its own",
                document.doubts.len()
            ));
        }
    }
    caveats
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{cell, document};

    fn judged(metric: &str, old: &[f64], new: &[f64]) -> Judgement {
        let base = document(vec![cell("dlts", metric, old)]);
        let new = document(vec![cell("dlts", metric, new), cell("wrk", metric, &[1.0])]);
        let changes = changes(&base, &new);
        assert_eq!(changes.len(), 1);
        changes[0].judgement
    }

    #[test]
    fn a_change_counts_when_the_intervals_do_not_meet() {
        let metric = "requests_per_cpu_second";
        assert_eq!(judged(metric, &[100.0; 5], &[110.0; 5]), Judgement::Better);
        assert_eq!(judged(metric, &[100.0; 5], &[90.0; 5]), Judgement::Worse);
        let noisy = [80.0, 85.0, 100.0, 115.0, 120.0];
        assert_eq!(judged(metric, &noisy, &[110.0; 5]), Judgement::Same);
    }

    #[test]
    fn few_repetitions_tell_nothing_unless_the_metric_is_exact() {
        for (metric, expected) in [
            ("rss_mib", Judgement::Unknown),
            ("instructions", Judgement::Worse),
        ] {
            assert_eq!(judged(metric, &[100.0], &[101.0]), expected, "{metric}");
        }
        assert_eq!(
            judged("rss_mib", &[100.0; 5], &[200.0; 4]),
            Judgement::Unknown
        );
    }

    #[test]
    fn ratios_are_compared_where_there_are_any_and_the_reference_is_not_judged() {
        let of = |subject: &str, rate: f64, ratio: Option<f64>| {
            let metric = "requests_per_second";
            let mut cell = cell(subject, metric, &[rate; 5]);
            for sample in &mut cell.samples {
                sample.extend(ratio.map(|ratio| ("requests_per_second_vs_wrk".to_owned(), ratio)));
            }
            cell.summarise();
            cell
        };
        let base = document(vec![of("dlts", 200.0, Some(2.0)), of("wrk", 100.0, None)]);
        let new = document(vec![of("dlts", 100.0, Some(2.0)), of("wrk", 50.0, None)]);
        let changes = changes(&base, &new);
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert_eq!(changes[0].metric, "requests_per_second_vs_wrk");
        assert_eq!(changes[0].judgement, Judgement::Same);
        assert_eq!(changes[1].judgement, Judgement::Unknown);
        let table = table(&changes, Style::Text);
        assert!(
            table.contains("not judged") && table.contains("2.000"),
            "{table}"
        );
    }

    #[test]
    fn less_memory_is_better() {
        assert_eq!(judged("rss_mib", &[10.0; 5], &[9.0; 5]), Judgement::Better);
    }

    #[test]
    fn other_hosts_scenarios_and_settings_are_named() {
        let base = document(vec![]);
        let mut new = document(vec![]);
        assert_eq!(caveats(&base, &new), [""; 0]);
        new.scenario = "pacing".into();
        new.host.kernel = "7.0".into();
        new.doubts.push("noise".into());
        assert_eq!(caveats(&base, &new).len(), 3);
    }
}
