//! Two results held against each other, quantile by quantile: the shape of `GET /compare`, and how
//! it comes about. Pure; the API answers it and the client prints it.

use proto::histogram::{Sparse, SparseLatencies};
use proto::units;
use serde::{Deserialize, Serialize};

/// Change that is taken for noise unless the caller says otherwise.
pub const TOLERANCE: f64 = 0.05;
/// The quantiles that are compared.
const QUANTILES: [f64; 9] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999, 1.0];
/// A quantile says something when at least this many samples of both runs lie beyond it.
const BEYOND_MIN: f64 = 10.0;

/// What became of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// By more than the tolerance.
    Better,
    /// Within the tolerance.
    Same,
    /// By more than the tolerance.
    Worse,
    /// Too few samples to tell.
    Unknown,
}

/// One quantile of the response time in both tests.
#[derive(Debug, Serialize, Deserialize)]
pub struct QuantileRow {
    /// 0.5 is the median, 1 the maximum.
    pub quantile: f64,
    /// In the base, ms; null without samples.
    pub base_ms: Option<f64>,
    /// In the test, ms; null without samples.
    pub test_ms: Option<f64>,
    /// (test - base) / base.
    pub change: Option<f64>,
    /// Unknown when too few samples lie beyond the quantile.
    pub verdict: Change,
}

impl QuantileRow {
    /// `p99.9`; of the last one `max`.
    #[must_use]
    pub fn name(&self) -> String {
        if self.quantile >= 1.0 {
            return "max".to_owned();
        }
        // Rounded, since 0.99999 times 100 is no 99.999 in binary.
        format!("p{}", (self.quantile * 1e7).round() / 1e5)
    }
}

/// One number of both tests.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figure {
    /// In the base.
    pub base: Option<f64>,
    /// In the test.
    pub test: Option<f64>,
    /// (test - base) / base; of a share of errors the difference.
    pub change: Option<f64>,
    /// What to think of it.
    pub verdict: Change,
}

/// The answer of `GET /compare`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// Id of the test that is compared with.
    pub base: String,
    /// Id of the test.
    pub test: String,
    /// Change up to which figures count as the same; a share of the base.
    pub tolerance: f64,
    /// Worse when any figure is, else better when any is.
    pub verdict: Change,
    /// The figures that changed, in words.
    pub reasons: Vec<String>,
    /// Response times.
    pub quantiles: Vec<QuantileRow>,
    /// Answers without an error, a second.
    pub requests_per_second: Figure,
    /// Share of errors in what was sent, 0 to 1.
    pub error_rate: Figure,
}

/// What is compared of one test.
#[derive(Debug)]
pub struct Side<'a> {
    /// Id of the test.
    pub test_id: &'a str,
    /// Its whole histograms.
    pub latencies: SparseLatencies,
    /// Answers without an error, a second.
    pub requests_per_second: Option<f64>,
    /// Share of errors, 0 to 1.
    pub error_rate: Option<f64>,
}

/// Holds `other` against `one`, the base.
#[must_use]
pub fn compare(one: &Side, other: &Side, tolerance: f64) -> Comparison {
    let quantiles: Vec<QuantileRow> = QUANTILES
        .iter()
        .map(|q| {
            quantile_row(
                *q,
                &one.latencies.response,
                &other.latencies.response,
                tolerance,
            )
        })
        .collect();
    let requests_per_second = figure(
        one.requests_per_second,
        other.requests_per_second,
        |change| -change,
        tolerance,
    );
    // Shares of errors are compared by their difference: most are 0.
    let error_rate = error_figure(one.error_rate, other.error_rate, tolerance);
    let mut reasons = Vec::new();
    let mut all: Vec<Change> = quantiles.iter().map(|row| row.verdict).collect();
    for row in quantiles.iter().filter(|row| matters(row.verdict)) {
        let percent = row.change.unwrap_or(0.0) * 100.0;
        reasons.push(format!("response time {}: {percent:+.1} %", row.name()));
    }
    for (name, figure) in [
        ("requests_per_second", &requests_per_second),
        ("error_rate", &error_rate),
    ] {
        all.push(figure.verdict);
        if matters(figure.verdict) {
            let text = |value: Option<f64>| value.map_or_else(|| "-".into(), |v| format!("{v:.4}"));
            reasons.push(format!(
                "{name}: {} to {}",
                text(figure.base),
                text(figure.test)
            ));
        }
    }
    Comparison {
        base: one.test_id.to_owned(),
        test: other.test_id.to_owned(),
        tolerance,
        verdict: overall(&all),
        reasons,
        quantiles,
        requests_per_second,
        error_rate,
    }
}

fn matters(change: Change) -> bool {
    matches!(change, Change::Better | Change::Worse)
}

/// Worse when anything is, better when something is and nothing is worse.
fn overall(all: &[Change]) -> Change {
    let has = |wanted| all.contains(&wanted);
    if has(Change::Worse) {
        Change::Worse
    } else if has(Change::Better) {
        Change::Better
    } else if has(Change::Same) {
        Change::Same
    } else {
        Change::Unknown
    }
}

fn quantile_row(quantile: f64, base: &Sparse, test: &Sparse, tolerance: f64) -> QuantileRow {
    let at = |samples: &Sparse| samples.value_at_quantile(quantile).map(units::ns_to_ms);
    let says = |samples: &Sparse| samples.len() as f64 * (1.0 - quantile) >= BEYOND_MIN;
    let row = figure(at(base), at(test), |change| change, tolerance);
    let is_judged = says(base) && says(test);
    QuantileRow {
        quantile,
        base_ms: row.base,
        test_ms: row.test,
        change: row.change,
        verdict: if is_judged {
            row.verdict
        } else {
            Change::Unknown
        },
    }
}

/// `cost` turns a change into how much worse it is.
fn figure(base: Option<f64>, test: Option<f64>, cost: fn(f64) -> f64, tolerance: f64) -> Figure {
    let both = base.zip(test).filter(|(base, _)| *base > 0.0);
    let change = both.map(|(base, test)| (test - base) / base);
    Figure {
        base,
        test,
        change,
        verdict: change.map_or(Change::Unknown, |change| judge(cost(change), tolerance)),
    }
}

fn error_figure(base: Option<f64>, test: Option<f64>, tolerance: f64) -> Figure {
    let difference = base.zip(test).map(|(base, test)| test - base);
    Figure {
        base,
        test,
        change: difference,
        verdict: difference.map_or(Change::Unknown, |more| judge(more, tolerance / 10.0)),
    }
}

fn judge(cost: f64, tolerance: f64) -> Change {
    if cost > tolerance {
        Change::Worse
    } else if cost < -tolerance {
        Change::Better
    } else {
        Change::Same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(scale: u64, count: u64, requests_per_second: f64, error_rate: f64) -> Side<'static> {
        let mut histogram = proto::histogram::new();
        (1..=count).for_each(|n| histogram.saturating_record(n * scale));
        let latencies = SparseLatencies {
            response: Sparse::from(&histogram),
            ..SparseLatencies::default()
        };
        Side {
            test_id: "id",
            latencies,
            requests_per_second: Some(requests_per_second),
            error_rate: Some(error_rate),
        }
    }

    fn verdict(one: &Side, other: &Side) -> Change {
        compare(one, other, 0.05).verdict
    }

    #[test]
    fn a_change_beyond_the_tolerance_is_named() {
        let base = side(1000, 10_000, 500.0, 0.0);
        assert_eq!(verdict(&base, &base), Change::Same);
        assert_eq!(
            verdict(&base, &side(1040, 10_000, 490.0, 0.0)),
            Change::Same
        );
        assert_eq!(
            verdict(&base, &side(1100, 10_000, 500.0, 0.0)),
            Change::Worse
        );
        assert_eq!(
            verdict(&base, &side(900, 10_000, 500.0, 0.0)),
            Change::Better
        );
        assert_eq!(
            verdict(&base, &side(900, 10_000, 400.0, 0.0)),
            Change::Worse
        );
        assert_eq!(
            verdict(&base, &side(1000, 10_000, 500.0, 0.02)),
            Change::Worse
        );
        let worse = compare(&base, &side(1100, 10_000, 500.0, 0.0), 0.05);
        assert!(
            worse.reasons[0].starts_with("response time p50: +"),
            "{:?}",
            worse.reasons
        );
    }

    #[test]
    fn too_few_samples_say_nothing() {
        let (few, others) = (side(1000, 12, 500.0, 0.0), side(3000, 12, 500.0, 0.0));
        let compared = compare(&few, &others, 0.05);
        assert!(
            compared
                .quantiles
                .iter()
                .all(|row| row.verdict == Change::Unknown)
        );
        let none = Side {
            test_id: "none",
            latencies: SparseLatencies::default(),
            requests_per_second: None,
            error_rate: None,
        };
        assert_eq!(verdict(&none, &none), Change::Unknown);
    }
}
