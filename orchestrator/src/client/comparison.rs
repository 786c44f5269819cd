//! `client compare`: two results side by side.

use std::fmt::Write;

use proto::summary::Statistics;
use serde_json::{Value, json};

use super::api::{self, Api, ApiError};
use super::ending::{Ending, Problem};
use super::print;
use super::summary::ms;
use super::view::View;

/// A figure that is compared.
struct Row {
    name: String,
    base: Option<f64>,
    test: Option<f64>,
}

/// Prints each figure of both tests, and the change.
///
/// # Errors
/// [`Problem::Api`].
pub fn compare(api: &Api, base: &str, test: &str, as_json: bool) -> Result<Ending, Problem> {
    let (base, test) = (result(api, base)?, result(api, test)?);
    let rows = rows(&base, &test);
    if as_json {
        print(&format!("{}\n", to_json(&base, &test, &rows)))?;
    } else {
        print(&table(&base, &test, &rows))?;
    }
    Ok(Ending::Ok)
}

fn result(api: &Api, test_id: &str) -> Result<View, Problem> {
    let raw = api.get(&format!("metrics/{}?points=1", api::segment(test_id)))?;
    let view = serde_json::from_value(raw).map_err(|error| ApiError::Foreign {
        url: api.base().to_owned(),
        reason: format!("its result is of another shape: {error}"),
    });
    Ok(view?)
}

fn rows(base: &View, test: &View) -> Vec<Row> {
    let row = |name: &str, base, test| Row {
        name: name.to_owned(),
        base,
        test,
    };
    let counted = |count: u64| Some(count as f64);
    let mut rows = vec![
        row(
            "ok/s",
            base.tally.requests_per_second,
            test.tally.requests_per_second,
        ),
        row("sent", counted(base.tally.sent), counted(test.tally.sent)),
        row(
            "errors",
            counted(base.tally.errors.total()),
            counted(test.tally.errors.total()),
        ),
    ];
    for (kind, base, test) in [
        ("response", &base.metrics, &test.metrics),
        ("service", &base.service, &test.service),
        ("release lag", &base.release_lag, &test.release_lag),
    ] {
        let pairs = figures(base).into_iter().zip(figures(test));
        rows.extend(pairs.map(|((name, a), (_, b))| row(&format!("{kind} {name} ms"), a, b)));
    }
    rows
}

fn figures(s: &Statistics) -> [(&'static str, Option<f64>); 8] {
    [
        ("min", s.min),
        ("mean", s.mean),
        ("p50", s.p50),
        ("p90", s.p90),
        ("p99", s.p99),
        ("p99.9", s.p99_9),
        ("p99.99", s.p99_99),
        ("max", s.max),
    ]
}

impl Row {
    /// By how much it changed, in percent of the base.
    fn change_percent(&self) -> Option<f64> {
        let (base, test) = (self.base?, self.test?);
        (base != 0.0).then(|| (test - base) / base * 100.0)
    }
}

fn table(base: &View, test: &View, rows: &[Row]) -> String {
    let mut out = format!("base  {}\ntest  {}\n\n", line(base), line(test));
    let _ = writeln!(
        out,
        "{:<24} {:>12} {:>12} {:>9}",
        "", "base", "test", "change"
    );
    for row in rows {
        let change = row.change_percent();
        let change = change.map_or_else(|| "-".to_owned(), |percent| format!("{percent:+.1} %"));
        let shown = if row.name.ends_with(" ms") { ms } else { plain };
        let (base, test) = (shown(row.base), shown(row.test));
        let _ = writeln!(out, "{:<24} {base:>12} {test:>12} {change:>9}", row.name);
    }
    for (name, view) in [("base", base), ("test", test)] {
        for reason in &view.verdict.reasons {
            let _ = writeln!(out, "{name} is {}: {reason}", view.verdict.verdict);
        }
    }
    out
}

/// A count or a rate.
fn plain(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"))
}

fn line(view: &View) -> String {
    let kind = view.test_type.to_lowercase();
    format!(
        "{} {kind} {} ({})",
        view.test_id, view.state, view.verdict.verdict
    )
}

fn to_json(base: &View, test: &View, rows: &[Row]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({"figure": row.name, "base": row.base, "test": row.test,
                   "change_percent": row.change_percent()})
        })
        .collect();
    json!({"base": base.test_id, "test": test.test_id, "figures": rows})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(id: &str, rate: f64, p99: f64) -> View {
        let value = json!({"test_id": id, "test_type": "AVALANCHE", "state": "done",
            "requests_per_second": rate, "metrics": {"p99_latency": p99}});
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn changes_are_shown_in_percent_of_the_base() {
        let (base, test) = (view("a", 1000.0, 2.0), view("b", 1500.0, 1.0));
        let rows = rows(&base, &test);
        let table = table(&base, &test, &rows);
        assert!(
            table.contains("ok/s                             1000         1500   +50.0 %"),
            "{table}"
        );
        assert!(
            table.contains("response p99 ms                 2.000        1.000   -50.0 %"),
            "{table}"
        );
        assert!(
            table.contains("service p99 ms                      -            -         -"),
            "{table}"
        );
        let json = to_json(&base, &test, &rows);
        assert_eq!(json["figures"][0]["change_percent"], 50.0);
    }
}
