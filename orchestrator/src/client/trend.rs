//! `client trend`: the runs of one name over time, as the orchestrator has them.

use std::fmt::Write;

use proto::comparison::{Trend, TrendRun, TrendStep};
use proto::{clock, units};

use super::api::{self, Api};
use super::cli::TrendOptions;
use super::ending::{Ending, Problem};
use super::{follow, print};

/// Prints the runs of a name, the oldest first, and the judge's word below each set that has one.
///
/// # Errors
/// [`Problem::Api`] with the orchestrator's own words.
pub fn trend(api: &Api, options: &TrendOptions, as_json: bool) -> Result<Ending, Problem> {
    let mut path = format!("trend?name={}", api::segment(&options.name));
    if let Some(runs) = options.runs {
        let _ = write!(path, "&runs={runs}");
    }
    let raw = api.get(&path)?;
    if as_json {
        print(&format!("{raw}\n"))?;
    } else {
        let trend: Trend = follow::read(api, &raw)?;
        print(&table(&trend, clock::unix_ns() / units::NS_PER_MS))?;
    }
    Ok(Ending::Ok)
}

fn table(trend: &Trend, now_ms: u64) -> String {
    let mut out = format!(
        "{:>8} {:>9} {:>10} {:>10} {:>9}  {:<10} {}\n",
        "AGE", "OK/S", "P50 MS", "P99 MS", "ERRORS", "RESULT", "TEST"
    );
    for (at, run) in trend.runs.iter().enumerate() {
        out.push_str(&row(run, now_ms));
        let is_last = trend.runs[at + 1..]
            .iter()
            .all(|later| later.set != run.set);
        let step = trend
            .steps
            .iter()
            .find(|step| is_last && step.set == run.set);
        if let Some(step) = step {
            write_step(&mut out, step);
        }
    }
    out
}

fn row(run: &TrendRun, now_ms: u64) -> String {
    let figure = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let errors = run.error_rate;
    let errors = errors.map_or_else(|| "-".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
    let result = match (&run.verdict, run.breached) {
        _ if run.state != "done" => run.state.as_str(),
        (None, _) => "-",
        (Some(verdict), 0) => verdict,
        (Some(_), _) => "FAIL",
    };
    let age = super::listing::age(now_ms.saturating_sub(run.created_unix_ms) / 1000);
    format!(
        "{age:>8} {:>9} {:>10} {:>10} {errors:>9}  {result:<10} {}\n",
        figure(run.ok_per_second, 1),
        figure(run.p50_ms, 3),
        figure(run.p99_ms, 3),
        run.test_id
    )
}

fn write_step(out: &mut String, step: &TrendStep) {
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "  set {} after {}: {}",
        step.set,
        step.before,
        step.verdict.in_words()
    );
    for reason in &step.reasons {
        let _ = writeln!(out, "    {reason}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_judges_word_stands_below_the_last_run_of_its_set() {
        let run = |id: &str, set: &str, rate: f64| {
            json!({"test_id": id, "set": set, "created_unix_ms": 0, "state": "done",
                   "counted": true, "ok_per_second": rate, "p50_ms": 1.0, "p99_ms": null,
                   "error_rate": 0.01, "verdict": "valid", "breached": 0})
        };
        let trend: Trend = serde_json::from_value(json!({
            "name": "n",
            "runs": [run("a", "a", 100.0), run("b", "a", 110.0), run("c", "c", 50.0),
                     run("d", "c", 51.0)],
            "steps": [{"set": "c", "before": "a", "verdict": "worse",
                       "reasons": ["ok/s is worse: -50.0 %"]}],
        }))
        .unwrap();
        let table = table(&trend, 90_000);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 7, "{table}");
        assert!(
            lines[1].ends_with("100.0      1.000          -    1.00 %  valid      a"),
            "{table}"
        );
        assert!(lines[4].ends_with(" d"), "{table}");
        assert_eq!(lines[5], "  set c after a: worse");
        assert_eq!(lines[6], "    ok/s is worse: -50.0 %");
    }
}
