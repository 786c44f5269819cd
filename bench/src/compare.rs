//! Old results against new ones: the judge of [`proto::comparison`] over the repetitions of every
//! metric.

use proto::comparison::{self, Change as Word, Kind, Line, Observation};

use crate::results::{Cell, Document};
use crate::table::{Style, lay_out};

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
/// Change that counts as none: the rig's own noise is in its repetitions.
const TOLERANCE: f64 = 0.0;
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
    /// How far the change may be from the true one, as a share; `None` where nobody can tell.
    pub noise: Option<f64>,
    /// What follows.
    pub judgement: Judgement,
}

/// Whether a change is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// A change in the good direction.
    Better,
    /// The same in the bad direction.
    Worse,
    /// None beyond the noise of the repetitions.
    Same,
    /// Nobody can tell from so few repetitions, or the figure is that of the machine.
    Unknown,
}

impl From<Word> for Judgement {
    fn from(word: Word) -> Self {
        match word {
            Word::Better => Self::Better,
            Word::Worse => Self::Worse,
            Word::Same => Self::Same,
            Word::Mixed | Word::Unlike | Word::Unknown => Self::Unknown,
        }
    }
}

/// Every compared metric of every cell that both documents have, judged together.
#[must_use]
pub fn changes(base: &Document, new: &Document) -> Vec<Change> {
    let pairs = new
        .cells
        .iter()
        .filter_map(|cell| Some((partner(base, cell)?, cell)));
    let pairs: Vec<Pair<'_>> = pairs
        .flat_map(|(old, new)| {
            COMPARED
                .iter()
                .filter_map(|&metric| Pair::of(old, new, metric))
        })
        .collect();
    let lines: Vec<Line> = pairs.iter().map(Pair::line).collect();
    let judged = comparison::judge(&lines, TOLERANCE);
    pairs
        .iter()
        .zip(judged)
        .map(|(pair, judged)| pair.change(&judged))
        .collect()
}

fn partner<'base>(base: &'base Document, cell: &Cell) -> Option<&'base Cell> {
    base.cells
        .iter()
        .find(|old| old.subject == cell.subject && old.parameters == cell.parameters)
}

/// A metric that two cells have.
struct Pair<'a> {
    cells: [&'a Cell; 2],
    metric: &'static str,
    more_is_better: bool,
    medians: [f64; 2],
}

impl<'a> Pair<'a> {
    fn of(
        old: &'a Cell,
        new: &'a Cell,
        (metric, more_is_better): (&'static str, bool),
    ) -> Option<Self> {
        let cells = [old, new];
        let metric = RELATIVE
            .iter()
            .filter(|(absolute, _)| *absolute == metric)
            .map(|&(_, ratio)| ratio)
            .find(|ratio| cells.iter().all(|cell| cell.metric(ratio).is_some()))
            .unwrap_or(metric);
        let medians = [old.metric(metric)?.median, new.metric(metric)?.median];
        (medians[0] != 0.0).then_some(Self {
            cells,
            metric,
            more_is_better,
            medians,
        })
    }

    fn line(&self) -> Line {
        let [base, test] = self.cells.map(|cell| {
            let samples = cell.samples.iter();
            let values = samples.filter_map(|sample| sample.get(self.metric).copied());
            values.map(Observation::of).collect()
        });
        let of_machine = self.cells[0].subject == REFERENCE;
        let reason = "it is the figure of the machine".to_owned();
        Line {
            kind: if self.more_is_better {
                Kind::Rate
            } else {
                Kind::Time
            },
            base,
            test,
            unjudged: of_machine.then_some((Word::Unknown, reason)),
        }
    }

    fn change(&self, judged: &comparison::Judged) -> Change {
        let parameters = self.cells[1]
            .parameters
            .iter()
            .map(|(name, value)| format!(" {name}={value}"));
        let [base, new] = self.medians;
        let reach = |(low, high): (f64, f64)| (high - low) / 2.0;
        Change {
            cell: self.cells[1].subject.clone() + &parameters.collect::<String>(),
            metric: self.metric,
            base,
            new,
            change: (new - base) / base,
            noise: judged.change_interval.map(reach),
            judgement: self.exactly().unwrap_or(judged.verdict.into()),
        }
    }

    /// What follows from a metric that has no noise.
    fn exactly(&self) -> Option<Judgement> {
        let [base, new] = self.medians;
        EXACT.contains(&self.metric).then(|| {
            if base.total_cmp(&new).is_eq() {
                Judgement::Same
            } else if (new > base) == self.more_is_better {
                Judgement::Better
            } else {
                Judgement::Worse
            }
        })
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
            change
                .noise
                .map_or_else(|| "-".to_owned(), |noise| format!("±{:.1}%", noise * 100.0)),
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
    fn a_change_counts_when_it_is_more_than_the_noise_of_the_repetitions() {
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
        let (few, others) = ([96.0, 100.0, 104.0], [97.0, 101.0, 105.0]);
        assert_eq!(judged("rss_mib", &few, &others), Judgement::Unknown);
        let doubled = few.map(|value| value * 2.0);
        assert_eq!(judged("rss_mib", &few, &doubled), Judgement::Worse);
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
