//! What CI pages show of an answer: its findings as `JUnit` XML and as Markdown, written to files.
//!
//! A finding is a threshold, a check, a condition that ends a run early, whether a result says
//! anything at all, or a line of a comparison. What fails here fails the command too: a check that
//! did not hold for all answers of a run that is good nevertheless, by its thresholds, is noted and
//! no failure.

use crate::comparison::{Change, Comparison, Figure};
use crate::summary::{Brief, Judgement, Repeats, Standing, words};

mod asked;
mod junit;
mod markdown;
mod output;

pub use asked::Asked;
pub use output::{OutputError, ReportArgs};

/// What a command found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    /// What was judged.
    pub title: String,
    /// What it amounts to, in a word or two.
    pub verdict: String,
    /// What is to be known beside, a line each.
    pub notes: Vec<String>,
    /// Figures.
    pub tables: Vec<Table>,
    /// The findings, by run.
    pub groups: Vec<Group>,
}

/// Figures in rows; the first cell of each names it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// What stands above the columns.
    pub head: Vec<String>,
    /// As many cells each.
    pub rows: Vec<Vec<String>>,
}

/// The findings of a run, or of a comparison.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Group {
    /// What they are about.
    pub name: String,
    /// How long it took, s.
    pub time_s: f64,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// One thing that was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Of which kind.
    pub kind: Kind,
    /// What was asked for.
    pub asked: String,
    /// What was seen; empty where there is nothing to say.
    pub seen: String,
    /// Where it was asked for, or whose it is; empty where that is plain.
    pub place: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whether the result says anything.
    Validity,
    /// A condition on the result.
    Threshold,
    /// A condition that ends a run early.
    Abort,
    /// A check of answers.
    Check,
    /// A figure of two sets of runs.
    Comparison,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Validity => "validity",
            Self::Threshold => "threshold",
            Self::Abort => "abort",
            Self::Check => "check",
            Self::Comparison => "comparison",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be.
    Pass,
    /// It is not, and the command fails by it.
    Fail,
    /// It cannot be told.
    Error,
    /// It is to be noted, and fails nothing.
    Noted,
}

impl Findings {
    /// Those of a run.
    #[must_use]
    pub fn of_run(title: &str, run: &Brief, asked: &Asked) -> Self {
        let standing = run.standing();
        Self {
            title: title.to_owned(),
            verdict: standing.name().to_owned(),
            notes: vec![in_brief(run)],
            tables: vec![times(run)],
            groups: vec![of_run("run", run, asked)],
        }
    }

    /// Those of runs after each other; `runs` are those that have a result.
    #[must_use]
    pub fn of_set(title: &str, set: &Repeats, runs: &[Brief], asked: &Asked) -> Self {
        let group = |row: &crate::summary::Repeat| {
            let name = format!("run {}", row.run);
            let is_it = |run: &&Brief| Some(&run.test_id) == row.test_id.as_ref();
            match runs.iter().find(is_it) {
                Some(run) => of_run(&name, run, asked),
                None => Group {
                    name,
                    time_s: 0.0,
                    findings: vec![Finding::error(&row.reasons.join("; "))],
                },
            }
        };
        let counted = set.runs.iter().filter(|run| run.counted).count();
        let findings = Self {
            title: title.to_owned(),
            verdict: set.standing().name().to_owned(),
            notes: vec![format!("{counted} of {} runs counted", set.asked)],
            tables: vec![spread(set)],
            groups: set.runs.iter().map(group).collect(),
        };
        let last = set.runs.last().map(|run| run.standing);
        if set.interrupted && last != Some(Standing::Interrupted) {
            // Between two runs: none of them tells of it.
            let (made, asked) = (set.runs.len(), set.asked);
            let reason = format!("interrupted after {made} of {asked} runs");
            return findings.with_error("set", &reason);
        }
        findings
    }

    /// Those of two sets of runs.
    #[must_use]
    pub fn of_comparison(of: &Comparison) -> Self {
        let tolerance = of.tolerance_percent();
        let lines = of.lines();
        let shown = |(_, line): &&(String, Figure)| line.base.is_some() || line.test.is_some();
        let findings = lines.iter().filter(shown);
        let findings = findings.map(|(name, line)| comparison(name, line, tolerance));
        let can_be_told = match of.verdict {
            Change::Unknown | Change::Unlike => Finding::error(&of.reasons.join("; ")),
            _ => Finding::valid("the runs can be compared", String::new()),
        };
        let compared_anyway = of.differences.iter();
        let compared_anyway = compared_anyway.map(|words| format!("compared anyway: {words}"));
        Self {
            title: format!("{} against {}", of.test, of.base),
            verdict: of.verdict.in_words().to_owned(),
            notes: compared_anyway.chain(of.reasons.iter().cloned()).collect(),
            tables: Vec::new(),
            groups: vec![Group {
                name: "comparison".to_owned(),
                time_s: 0.0,
                findings: std::iter::once(can_be_told).chain(findings).collect(),
            }],
        }
    }

    /// What was found, and what is wrong with it beside: with the logs, or the set.
    #[must_use]
    pub fn with_error(mut self, of: &str, reason: &str) -> Self {
        self.groups.push(Group {
            name: of.to_owned(),
            time_s: 0.0,
            findings: vec![Finding::error(reason)],
        });
        self
    }

    /// What was found, for a command that fails by none of it.
    #[must_use]
    pub fn noted(mut self) -> Self {
        let findings = self.groups.iter_mut().flat_map(|group| &mut group.findings);
        for finding in findings.filter(|finding| finding.outcome != Outcome::Pass) {
            finding.outcome = Outcome::Noted;
        }
        self
    }

    /// That of a command which has no answer, and why.
    #[must_use]
    pub fn of_error(title: &str, reason: &str) -> Self {
        Self {
            title: title.to_owned(),
            verdict: "no result".to_owned(),
            notes: Vec::new(),
            tables: Vec::new(),
            groups: vec![Group {
                name: "run".to_owned(),
                time_s: 0.0,
                findings: vec![Finding::error(reason)],
            }],
        }
    }
}

/// What is asked of every result.
const IS_WHOLE: &str = "the result is whole and valid";

impl Finding {
    fn valid(asked: &str, seen: String) -> Self {
        Self {
            kind: Kind::Validity,
            asked: asked.to_owned(),
            seen,
            place: String::new(),
            outcome: Outcome::Pass,
        }
    }

    fn error(reason: &str) -> Self {
        Self {
            outcome: Outcome::Error,
            ..Self::valid(IS_WHOLE, reason.to_owned())
        }
    }
}

fn of_run(name: &str, run: &Brief, asked: &Asked) -> Group {
    let mut findings = vec![validity(run)];
    findings.extend(run.thresholds.iter().map(|threshold| Finding {
        kind: Kind::Threshold,
        asked: threshold.threshold.clone(),
        seen: words::observed(threshold.observed),
        place: asked.place_of(&threshold.threshold),
        outcome: failed_unless(threshold.pass),
    }));
    findings.extend(aborts(run, asked));
    findings.extend(checks(run));
    Group {
        name: name.to_owned(),
        time_s: run.elapsed_s,
        findings,
    }
}

const fn failed_unless(pass: bool) -> Outcome {
    if pass { Outcome::Pass } else { Outcome::Fail }
}

fn validity(run: &Brief) -> Finding {
    let standing = run.standing();
    let reasons = run.verdict.reasons.join("; ");
    match standing {
        Standing::Good | Standing::Breached | Standing::Aborted => {
            let is_doubted = run.verdict.verdict != Judgement::Valid;
            let word = is_doubted.then(|| format!("{}: {reasons}", run.verdict.verdict));
            Finding::valid(IS_WHOLE, word.unwrap_or(reasons))
        }
        _ if reasons.is_empty() => Finding::error(&format!("the run ended {}", run.state)),
        _ => Finding::error(&format!("{}: {reasons}", standing.name())),
    }
}

fn aborts<'a>(run: &'a Brief, asked: &'a Asked) -> impl Iterator<Item = Finding> + 'a {
    let by = run.aborted_by.as_deref();
    let unlisted = by.filter(|by| !asked.aborts.iter().any(|text| text == by));
    let texts = asked.aborts.iter().map(String::as_str).chain(unlisted);
    texts.map(move |text| {
        let is_it = by == Some(text);
        let seen = is_it.then(|| format!("it ended the run after {:.1} s", run.elapsed_s));
        Finding {
            kind: Kind::Abort,
            asked: format!("not {text}"),
            seen: seen.unwrap_or_default(),
            place: asked.place_of(text),
            outcome: failed_unless(!is_it),
        }
    })
}

fn checks(run: &Brief) -> impl Iterator<Item = Finding> + '_ {
    let is_good = run.standing() == Standing::Good;
    run.steps.iter().flat_map(move |step| {
        step.checks.iter().map(move |check| Finding {
            kind: Kind::Check,
            asked: check.check.clone(),
            seen: format!("{} answers held, {} did not", check.held, check.failed),
            place: format!("step {:?} of flow {:?}", step.name, step.flow),
            outcome: match check.failed {
                0 => Outcome::Pass,
                _ if is_good => Outcome::Noted,
                _ => Outcome::Fail,
            },
        })
    })
}

fn comparison(name: &str, line: &Figure, tolerance: f64) -> Finding {
    let percent = |share: f64| format!("{:+.1}", share * 100.0);
    let (unit_of_value, scale, unit) = match name {
        "ok/s" => ("", 1.0, "%"),
        "errors" => (" %", 100.0, "points"),
        _ => (" ms", 1.0, "%"),
    };
    let value = |value: Option<f64>| {
        let unit = value.map_or("", |_| unit_of_value);
        let shown = words::observed(value.map(|value| value * scale));
        format!("{shown}{unit}")
    };
    let mut seen = format!("{} after {}", value(line.test), value(line.base));
    if let Some(change) = line.change {
        seen = format!("{seen}: {} {unit}", percent(change));
    }
    if let Some((low, high)) = line.change_interval {
        seen = format!("{seen} ({} to {} {unit})", percent(low), percent(high));
    }
    if let Some(reason) = &line.reason {
        seen = format!("{seen}; {reason}");
    }
    Finding {
        kind: Kind::Comparison,
        asked: format!("{name} is not worse by more than {tolerance} %"),
        seen,
        place: String::new(),
        outcome: match line.verdict {
            Change::Better | Change::Same => Outcome::Pass,
            Change::Worse | Change::Mixed => Outcome::Fail,
            Change::Unlike | Change::Unknown => Outcome::Noted,
        },
    }
}

/// `1000.0 ok/s in 10.0 s: 10000 sent, 0.000 % failed; verdict valid`.
fn in_brief(run: &Brief) -> String {
    let figure = |quantity, value| words::shown(quantity, value);
    format!(
        "{} ok/s in {:.1} s: {} sent, {} failed; verdict {}",
        figure("requests_per_second", run.requests_per_second),
        run.elapsed_s,
        run.sent,
        figure("error_rate", run.error_rate()),
        run.verdict.verdict
    )
}

fn texts<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn times(run: &Brief) -> Table {
    let row = |name: &str, of: &crate::summary::Statistics| {
        let ms = [of.min, of.mean, of.p50, of.p90, of.p99, of.p99_9, of.max];
        let cells = ms.map(|ms| words::shown("ms", ms));
        [name.to_owned()].into_iter().chain(cells).collect()
    };
    Table {
        head: texts(["ms", "min", "mean", "p50", "p90", "p99", "p99.9", "max"]),
        rows: vec![row("response", &run.metrics), row("service", &run.service)],
    }
}

fn spread(set: &Repeats) -> Table {
    let row = |one: &crate::summary::Spread| {
        let value = |value| words::shown(&one.quantity, Some(value));
        let spread = one.relative_spread;
        let spread =
            spread.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
        let [median, min, max] = [one.median, one.min, one.max].map(value);
        vec![words::label(one), median, min, max, spread]
    };
    Table {
        head: texts(["", "median", "min", "max", "spread"]),
        rows: set.spread.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests;
