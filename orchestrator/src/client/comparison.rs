//! `client compare`: two results held against each other, as the orchestrator judges them.

use std::fmt::Write;

use super::api::{self, Api, ApiError};
use super::ending::{Ending, Problem};
use super::print;
use crate::comparison::{Change, Comparison, Figure};
use crate::report::ms;

/// Prints the comparison; ends with [`Ending::ThresholdBreached`] when the test is worse and that
/// was to fail.
///
/// # Errors
/// [`Problem::Api`].
pub fn compare(
    api: &Api,
    (base, test): (&str, &str),
    tolerance: Option<f64>,
    fail_if_worse: bool,
    as_json: bool,
) -> Result<Ending, Problem> {
    let mut path = format!(
        "compare?base={}&test={}",
        api::segment(base),
        api::segment(test)
    );
    if let Some(tolerance) = tolerance {
        let _ = write!(path, "&tolerance={tolerance}");
    }
    let raw = api.get(&path)?;
    let comparison = serde_json::from_value::<Comparison>(raw.clone());
    let comparison = comparison.map_err(|error| ApiError::Foreign {
        url: api.base().to_owned(),
        reason: format!("its comparison is of another shape: {error}"),
    })?;
    if as_json {
        print(&format!("{raw}\n"))?;
    } else {
        print(&table(&comparison))?;
    }
    let is_breached = fail_if_worse && comparison.verdict == Change::Worse;
    Ok(if is_breached {
        Ending::ThresholdBreached
    } else {
        Ending::Ok
    })
}

fn table(comparison: &Comparison) -> String {
    let mut out = format!("base  {}\ntest  {}\n\n", comparison.base, comparison.test);
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{:<19} {:>12} {:>12} {:>9}",
        "", "base", "test", "change"
    );
    let rate = &comparison.requests_per_second;
    let plain = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.0}"));
    write_row(&mut out, "ok/s", rate, plain);
    let percent = |value: Option<f64>| {
        value.map_or_else(|| "-".to_owned(), |share| format!("{:.3} %", share * 100.0))
    };
    let errors = &comparison.error_rate;
    write_row(&mut out, "errors", errors, percent);
    for row in &comparison.quantiles {
        let name = row.name();
        let figure = Figure {
            base: row.base_ms,
            test: row.test_ms,
            change: row.change,
            verdict: row.verdict,
        };
        write_row(&mut out, &format!("response {name} ms"), &figure, ms);
    }
    let verdict = word(comparison.verdict);
    let tolerance = comparison.tolerance * 100.0;
    let _ = writeln!(out, "\n{verdict} (tolerance {tolerance} %)");
    for reason in &comparison.reasons {
        let _ = writeln!(out, "  {reason}");
    }
    out
}

fn write_row(out: &mut String, name: &str, figure: &Figure, shown: fn(Option<f64>) -> String) {
    let change = figure.change.map_or_else(
        || "-".to_owned(),
        |change| format!("{:+.1} %", change * 100.0),
    );
    let (base, test) = (shown(figure.base), shown(figure.test));
    let verdict = word(figure.verdict);
    let _ = writeln!(
        out,
        "{name:<19} {base:>12} {test:>12} {change:>9}  {verdict}"
    );
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Better => "better",
        Change::Same => "same",
        Change::Worse => "worse",
        Change::Unknown => "too few samples",
    }
}

#[cfg(test)]
mod tests {
    use proto::histogram::{Sparse, SparseLatencies};

    use super::*;
    use crate::comparison::{Side, TOLERANCE, compare};

    fn side(test_id: &str, scale_ns: u64, requests_per_second: f64) -> Side<'_> {
        let mut histogram = proto::histogram::new();
        (1..=1000).for_each(|n| histogram.saturating_record(n * scale_ns));
        Side {
            test_id,
            latencies: SparseLatencies {
                response: Sparse::from(&histogram),
                ..SparseLatencies::default()
            },
            requests_per_second: Some(requests_per_second),
            error_rate: Some(0.0),
        }
    }

    #[test]
    fn each_figure_is_shown_with_its_change_and_verdict() {
        let comparison = compare(
            &side("a", 2000, 1000.0),
            &side("b", 1000, 1500.0),
            TOLERANCE,
        );
        let table = table(&comparison);
        for line in [
            "ok/s                        1000         1500   +50.0 %  better",
            "errors                   0.000 %      0.000 %    +0.0 %  same",
            "response p99 ms            1.980        0.990   -50.0 %  better",
            "response p99.999 ms        2.001        1.000   -50.0 %  too few samples",
            "response max ms            2.001        1.000   -50.0 %  too few samples",
            "better (tolerance 5 %)",
        ] {
            assert!(table.contains(line), "{line}\n{table}");
        }
    }
}
