//! A set of runs in lines: a row a run as it ends, and the spread below.

use std::fmt::Write;

use crate::summary::{Judgement, Repeat, Repeats, Spread, Standing};

/// What stands above the rows.
#[must_use]
pub fn repeats_head() -> String {
    format!(
        "{:>5} {:>12} {:>10} {:>10} {:>10}",
        "run", "ok/s", "errors", "p50 ms", "p99 ms"
    )
}

/// A run in a row, and below it what speaks against it.
#[must_use]
pub fn repeat(row: &Repeat) -> String {
    let of = &row.figures;
    let test_id = row.test_id.as_deref().unwrap_or_default();
    let counts = if row.counted { "" } else { ", not counted" };
    let mut out = format!(
        "{:>5} {:>12} {:>10} {:>10} {:>10}  {}{counts}  {test_id}",
        row.run,
        shown("requests_per_second", of.requests_per_second),
        shown("error_rate", of.error_rate),
        shown("p50_latency", of.p50_latency),
        shown("p99_latency", of.p99_latency),
        word(row),
    );
    out.truncate(out.trim_end().len());
    for reason in &row.reasons {
        let _ = write!(out, "\n        {reason}");
    }
    out
}

/// What a run amounts to; of a good one that is doubted, that it is.
fn word(row: &Repeat) -> String {
    match (row.standing, row.verdict) {
        (Standing::Good, Judgement::Suspect) => row.verdict.to_string(),
        (standing, _) => standing.name().to_owned(),
    }
}

/// The spread of the runs that count, and how many these are.
#[must_use]
pub fn spread(set: &Repeats) -> String {
    let counted = set.runs.iter().filter(|run| run.counted).count();
    let runs = super::plural(set.asked.into(), "run");
    let rest = set.rest_s;
    let mut out = format!("{counted} of {runs} counted, {rest} s of rest between them");
    if set.interrupted {
        out.push_str("; interrupted");
    }
    out.push('\n');
    if set.spread.is_empty() {
        return out;
    }
    let _ = writeln!(
        out,
        "\n{:<17} {:>12} {:>12} {:>12} {:>9}",
        "", "median", "min", "max", "spread"
    );
    for one in &set.spread {
        let spread = one.relative_spread.map_or_else(
            || "-".to_owned(),
            |relative| format!("{:.1} %", relative * 100.0),
        );
        let value = |value| shown(&one.quantity, Some(value));
        let _ = writeln!(
            out,
            "{:<17} {:>12} {:>12} {:>12} {spread:>9}",
            label(one),
            value(one.median),
            value(one.min),
            value(one.max)
        );
    }
    out
}

/// What a quantity is called where people read it: `response p99 ms`.
#[must_use]
pub fn label(one: &Spread) -> String {
    match one.quantity.as_str() {
        "requests_per_second" => "ok/s".to_owned(),
        "error_rate" => "errors".to_owned(),
        other => {
            let name = other.trim_end_matches("_latency");
            let (time, name) = match name.strip_prefix("service_") {
                Some(name) => ("service", name),
                None => ("response", name),
            };
            format!("{time} {} ms", name.replace('_', "."))
        }
    }
}

/// A quantity's value with the digits that its kind has.
#[must_use]
pub fn shown(quantity: &str, value: Option<f64>) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    match quantity {
        "requests_per_second" => format!("{value:.1}"),
        "error_rate" => format!("{:.3} %", value * 100.0),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::summary::Brief;

    #[test]
    fn rows_say_why_a_run_does_not_count_and_the_spread_is_a_table() {
        let mut set = Repeats::new(3, 1.5);
        let of = |rate: f64, state: &str| -> Brief {
            serde_json::from_value(json!({"test_id": "abc", "state": state, "sent": 10,
                "requests_per_second": rate, "accounting": {"holds": true},
                "metrics": {"p50_latency": 0.08, "p99_9_latency": 2.0}}))
            .unwrap()
        };
        assert_eq!(
            repeat(set.add(&of(100.0, "done"))),
            "    1        100.0    0.000 %      0.080          -  good  abc"
        );
        let mut doubted = set.runs[0].clone();
        doubted.verdict = Judgement::Suspect;
        assert!(repeat(&doubted).ends_with("-  suspect  abc"));
        set.add(&of(120.0, "done"));
        assert_eq!(
            repeat(set.add_failed(None, "no connection".to_owned())),
            "    3            -          -          -          -  failed, not counted\n        \
             no connection"
        );
        let text = spread(&set);
        for line in [
            "2 of 3 runs counted, 1.5 s of rest between them\n",
            "ok/s                     110.0        100.0        120.0    18.2 %\n",
            "errors                 0.000 %      0.000 %      0.000 %         -\n",
            "response p99.9 ms        2.000        2.000        2.000     0.0 %\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
