//! `client compare` and `client gate`: two sets of results held against each other, as the
//! orchestrator judges them.

use std::fmt::Write;

use proto::ci::{Findings, ReportArgs};
use proto::comparison::{Change, Comparison, Figure};

use super::api::{self, Api, ApiError};
use super::cli::Terms;
use super::ending::{Ending, Problem};
use super::print;
use crate::report::ms;

/// What is asked of a comparison.
#[derive(Debug)]
pub struct Question<'a> {
    /// The set that is compared with: ids with commas between, `name:NAME` or `tag:TAG=VALUE`.
    pub base: &'a str,
    /// The set that is judged.
    pub test: &'a str,
    /// How.
    pub terms: &'a Terms,
    /// Whether the exit code says what came of it.
    pub is_gate: bool,
    /// What is written of it for the pages of CI.
    pub report: &'a ReportArgs,
}

/// Prints the comparison. Of a gate it ends with [`Ending::ThresholdBreached`] when anything is
/// worse, and with [`Ending::Invalid`] when that cannot be told.
///
/// # Errors
/// [`Problem::Incomparable`] where the orchestrator refuses to compare them, else [`Problem::Api`].
pub fn compare(api: &Api, question: &Question<'_>, as_json: bool) -> Result<Ending, Problem> {
    question.report.check(as_json)?;
    let asked = api.get(&path(question)).map_err(|error| match error {
        ApiError::Refused { status: 409, .. } => Problem::Incomparable(error),
        other => Problem::Api(other),
    });
    let title = || format!("{} against {}", question.test, question.base);
    let raw = reported(question.report, title, asked)?;
    let comparison = serde_json::from_value::<Comparison>(raw.clone());
    let comparison = comparison.map_err(|error| ApiError::Foreign {
        url: api.base().to_owned(),
        reason: format!("its comparison is of another shape: {error}"),
    })?;
    let findings = Findings::of_comparison(&comparison);
    let findings = if question.is_gate {
        findings
    } else {
        findings.noted()
    };
    question.report.write(&findings)?;
    if as_json {
        print(&format!("{raw}\n"))?;
    } else if !question.report.take_stdout() {
        print(&table(&comparison))?;
    }
    Ok(match comparison.verdict {
        _ if !question.is_gate => Ending::Ok,
        verdict if verdict.has_worsened() => Ending::ThresholdBreached,
        Change::Unknown | Change::Unlike => Ending::Invalid,
        _ => Ending::Ok,
    })
}

/// An answer, or a problem that is reported for the pages of CI too, so that these are never those of
/// another run. What is wrong on the command line is for who wrote it.
pub(super) fn reported<T>(
    report: &ReportArgs,
    title: impl Fn() -> String,
    answer: Result<T, Problem>,
) -> Result<T, Problem> {
    if let Err(problem) = &answer
        && problem.ending() != Ending::Usage
        && !matches!(problem, Problem::Report(_))
    {
        let written = report.write(&Findings::of_error(&title(), &problem.to_string()));
        if let Err(error) = written {
            eprintln!("client: {error}");
        }
    }
    answer
}

fn path(question: &Question<'_>) -> String {
    let (base, test) = (api::segment(question.base), api::segment(question.test));
    let mut path = format!("compare?base={base}&test={test}");
    // Writing to a String cannot fail.
    if let Some(tolerance) = question.terms.tolerance {
        let _ = write!(path, "&tolerance={tolerance}");
    }
    if let Some(runs) = question.terms.runs {
        let _ = write!(path, "&runs={runs}");
    }
    if question.terms.anyway {
        path.push_str("&anyway=1");
    }
    path
}

fn table(comparison: &Comparison) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    for (name, runs, ids) in [
        ("base", &comparison.base_runs, &comparison.base),
        ("test", &comparison.test_runs, &comparison.test),
    ] {
        let _ = match runs.len() {
            0 | 1 => writeln!(out, "{name}  {ids}"),
            count => writeln!(out, "{name}  {count} runs: {}", runs.join(" ")),
        };
    }
    for difference in &comparison.differences {
        let _ = writeln!(out, "compared anyway: {difference}");
    }
    let _ = writeln!(
        out,
        "\n{:<19} {:>12} {:>12} {:>9}  95 % interval",
        "", "base", "test", "change"
    );
    for (name, line) in comparison.lines() {
        write_row(&mut out, &name, &line);
    }
    let verdict = comparison.verdict.in_words();
    let tolerance = comparison.tolerance_percent();
    let _ = writeln!(
        out,
        "\n{verdict} (a change of up to {tolerance} % counts as none)"
    );
    for reason in &comparison.reasons {
        let _ = writeln!(out, "  {reason}");
    }
    out
}

fn write_row(out: &mut String, name: &str, line: &Figure) {
    if line.base.is_none() && line.test.is_none() {
        return;
    }
    let percent = |share: f64| format!("{:+.1}", share * 100.0);
    let change = line
        .change
        .map_or_else(|| "-".to_owned(), |change| format!("{} %", percent(change)));
    let between = line
        .change_interval
        .map_or_else(String::new, |(low, high)| {
            format!("{} to {} %", percent(low), percent(high))
        });
    let (name, shown): (_, fn(Option<f64>) -> String) = match name {
        "ok/s" => (name.to_owned(), plain),
        "errors" => (name.to_owned(), share),
        time => (format!("{time} ms"), ms),
    };
    let verdict = match (&line.reason, line.verdict) {
        (Some(reason), Change::Unknown) => reason,
        (_, verdict) => verdict.in_words(),
    };
    let (base, test) = (shown(line.base), shown(line.test));
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{name:<19} {base:>12} {test:>12} {change:>9}  {between:<18} {verdict}"
    );
}

fn plain(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"))
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |share| format!("{:.3} %", share * 100.0))
}

#[cfg(test)]
mod tests {
    use proto::comparison::{self, Run};
    use proto::histogram::{Sparse, SparseLatencies};

    use super::*;

    fn set(scale_ns: u64, requests_per_second: f64, runs: u64) -> Vec<Run> {
        let run = |at: u64| {
            let mut histogram = proto::histogram::new();
            (1..=1000).for_each(|n| histogram.saturating_record(n * (scale_ns + at)));
            let latencies = SparseLatencies {
                response: Sparse::from(&histogram),
                ..SparseLatencies::default()
            };
            Run {
                requests_per_second: Some(requests_per_second + at as f64),
                tried: 1000,
                ..Run::new(&format!("r{at}"), &latencies)
            }
        };
        (0..runs).map(run).collect()
    }

    fn table_of(base: &[Run], test: &[Run]) -> String {
        table(&comparison::compare(
            base,
            test,
            &comparison::Terms::default(),
        ))
    }

    fn assert_lines(table: &str, lines: &[&str]) {
        for line in lines {
            assert!(table.contains(line), "{line}\n{table}");
        }
    }

    #[test]
    fn each_figure_is_shown_with_its_change_and_verdict() {
        let table = table_of(&set(2000, 1000.0, 5), &set(1000, 1500.0, 5));
        assert_lines(
            &table,
            &[
                "base  5 runs: r0 r1 r2 r3 r4\n",
                "ok/s                        1002         1502   +49.9 %  +49.6 to +50.2 %   better",
                "errors                   0.000 %      0.000 %    +0.0 %  +0.0 to +0.1 %     same",
                "response p99 ms            1.982        0.992   -49.9 %  ",
                "too few samples: 1 beyond p99.9 in a run of 1000; 10000 would tell",
                "a maximum is a matter of luck",
                "\nbetter (a change of up to 5 % counts as none)\n  ok/s is better: +49.9 % (",
            ],
        );
        assert!(!table.contains("service"), "nothing of what neither has");
    }

    #[test]
    fn single_runs_are_shown_and_not_judged() {
        let table = table_of(&set(2000, 1000.0, 1), &set(1000, 1500.0, 1));
        assert_lines(
            &table,
            &[
                "base  r0\ntest  r0\n",
                "+50.0 %                     too small: 4 more of the base and 4 more of the test",
                "\ncannot be told (a change",
            ],
        );
    }

    #[test]
    fn sets_are_named_by_ids_names_and_tags() {
        let terms = Terms {
            tolerance: Some(0.1),
            runs: Some(7),
            anyway: true,
        };
        let question = Question {
            base: "name:shop checkout",
            test: "tag:git=a1",
            terms: &terms,
            is_gate: false,
            report: &ReportArgs::default(),
        };
        assert_eq!(
            path(&question),
            "compare?base=name%3Ashop%20checkout&test=tag%3Agit%3Da1&tolerance=0.1&runs=7&anyway=1"
        );
        let question = Question {
            base: "a,b",
            test: "c",
            terms: &Terms::default(),
            is_gate: false,
            report: &ReportArgs::default(),
        };
        assert_eq!(path(&question), "compare?base=a%2Cb&test=c");
    }
}
