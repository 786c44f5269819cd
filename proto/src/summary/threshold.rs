//! Thresholds: what a result must satisfy for a pipeline to go on.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Statistics;
use crate::measure::Counters;
use crate::units;

/// A condition such as `p99<250ms`, `error_rate<0.1%` or `requests_per_second>=5000`.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// As it was written.
    text: String,
    metric: Metric,
    comparison: Comparison,
    /// In ms for latencies, a share for rates, a plain number for the rest.
    bound: f64,
}

/// A threshold held against a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThresholdResult {
    /// As it was written.
    pub threshold: String,
    /// What was measured, in ms, as a share, or a plain number; `None` without samples.
    pub observed: Option<f64>,
    /// Whether it holds. Without samples it does not.
    pub pass: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    Latency(Population, Figure),
    ErrorRate,
    ShedRate,
    RequestsPerSecond,
    Errors,
    Ok,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Population {
    Response,
    Service,
    ReleaseLag,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Figure {
    Min,
    Max,
    Mean,
    Median,
    Stddev,
    P90,
    P95,
    P99,
    P99_9,
    P99_99,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

/// What thresholds are held against.
pub(super) struct Measured<'a> {
    pub(super) counters: &'a Counters,
    pub(super) requests_per_second: Option<f64>,
    pub(super) response: &'a Statistics,
    pub(super) service: &'a Statistics,
    pub(super) release_lag: &'a Statistics,
}

impl Threshold {
    pub(super) fn evaluate(&self, measured: &Measured<'_>) -> ThresholdResult {
        let observed = self.metric.observed(measured);
        let pass = observed.is_some_and(|value| self.comparison.holds(value, self.bound));
        ThresholdResult {
            threshold: self.text.clone(),
            observed,
            pass,
        }
    }
}

impl Metric {
    fn observed(self, measured: &Measured<'_>) -> Option<f64> {
        let counters = measured.counters;
        match self {
            Self::Latency(population, figure) => {
                let statistics = match population {
                    Population::Response => measured.response,
                    Population::Service => measured.service,
                    Population::ReleaseLag => measured.release_lag,
                };
                figure.of(statistics)
            }
            Self::ErrorRate => (counters.sent > 0).then(|| counters.error_rate()),
            Self::ShedRate => (counters.offered > 0).then(|| counters.shed_rate()),
            Self::RequestsPerSecond => measured.requests_per_second,
            Self::Errors => Some(counters.errors.total() as f64),
            Self::Ok => Some(counters.ok as f64),
        }
    }
}

impl Figure {
    fn of(self, statistics: &Statistics) -> Option<f64> {
        match self {
            Self::Min => statistics.min,
            Self::Max => statistics.max,
            Self::Mean => statistics.mean,
            Self::Median => statistics.median,
            Self::Stddev => statistics.stddev,
            Self::P90 => statistics.p90,
            Self::P95 => statistics.p95,
            Self::P99 => statistics.p99,
            Self::P99_9 => statistics.p99_9,
            Self::P99_99 => statistics.p99_99,
        }
    }
}

impl Comparison {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Less => value < bound,
            Self::AtMost => value <= bound,
            Self::More => value > bound,
            Self::AtLeast => value >= bound,
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

const SHAPE: &str = "write metric<bound, such as p99<250ms, error_rate<0.1% or \
    requests_per_second>5000; metrics are min max mean median stddev p50 p90 p95 p99 p99.9 p99.99, \
    each also with service_ or release_lag_ before it, and error_rate shed_rate \
    requests_per_second errors ok";

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("{text:?} is no threshold; {SHAPE}");
        let at = text.find(['<', '>']).ok_or_else(refuse)?;
        let (name, rest) = text.split_at(at);
        let (comparison, bound) = [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::More),
        ]
        .into_iter()
        .find_map(|(sign, comparison)| Some((comparison, rest.strip_prefix(sign)?)))
        .ok_or_else(refuse)?;
        let metric = metric(name.trim()).ok_or_else(refuse)?;
        let bound = bound_of(metric, bound.trim()).ok_or_else(refuse)?;
        Ok(Self {
            text: text.trim().to_owned(),
            metric,
            comparison,
            bound,
        })
    }
}

fn metric(name: &str) -> Option<Metric> {
    let plain = match name {
        "error_rate" => Metric::ErrorRate,
        "shed_rate" => Metric::ShedRate,
        "requests_per_second" | "rps" => Metric::RequestsPerSecond,
        "errors" => Metric::Errors,
        "ok" => Metric::Ok,
        _ => return latency(name),
    };
    Some(plain)
}

fn latency(name: &str) -> Option<Metric> {
    let (population, name) = if let Some(rest) = name.strip_prefix("service_") {
        (Population::Service, rest)
    } else if let Some(rest) = name.strip_prefix("release_lag_") {
        (Population::ReleaseLag, rest)
    } else {
        (Population::Response, name)
    };
    let figure = match name.trim_end_matches("_latency").replace('.', "_").as_str() {
        "min" => Figure::Min,
        "max" => Figure::Max,
        "mean" => Figure::Mean,
        "median" | "p50" => Figure::Median,
        "stddev" => Figure::Stddev,
        "p90" => Figure::P90,
        "p95" => Figure::P95,
        "p99" => Figure::P99,
        "p99_9" => Figure::P99_9,
        "p99_99" => Figure::P99_99,
        _ => return None,
    };
    Some(Metric::Latency(population, figure))
}

/// The bound in the metric's unit: a duration with its unit, a share or a percentage, a number.
fn bound_of(metric: Metric, text: &str) -> Option<f64> {
    if matches!(metric, Metric::Latency(..)) {
        // A bare number would be a guess between seconds and milliseconds.
        let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
        return units::parse_duration_ns(text)
            .ok()
            .filter(|_| has_unit)
            .map(units::ns_to_ms);
    }
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) if matches!(metric, Metric::ErrorRate | Metric::ShedRate) => (number, 0.01),
        Some(_) => return None,
        None => (text, 1.0),
    };
    let value: f64 = number.trim().parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some(value * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_hold_or_do_not() {
        let counters = Counters {
            sent: 1000,
            ok: 998,
            offered: 1000,
            ..Counters::default()
        };
        let response = Statistics {
            p99: Some(12.0),
            p99_9: Some(80.0),
            ..Statistics::default()
        };
        let measured = Measured {
            counters: &counters,
            requests_per_second: Some(500.0),
            response: &response,
            service: &Statistics::default(),
            release_lag: &Statistics::default(),
        };
        for (text, pass) in [
            ("p99<250ms", true),
            ("p99 <= 12ms", true),
            ("p99<12ms", false),
            ("p99.9<0.1s", true),
            ("p99_9<50ms", false),
            ("service_p99<1s", false),
            ("error_rate<=0.1%", true),
            ("requests_per_second>=500", true),
            ("rps>500", false),
            ("ok>997", true),
        ] {
            let threshold: Threshold = text.parse().unwrap();
            let result = threshold.evaluate(&measured);
            assert_eq!(result.pass, pass, "{text}: {result:?}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_shape() {
        for text in [
            "",
            "p99",
            "p98<1ms",
            "p99<5",
            "p99<x",
            "error_rate<x%",
            "p99<5%",
            "p99=5ms",
        ] {
            let error = text.parse::<Threshold>().unwrap_err();
            assert!(error.contains("write metric<bound"), "{error}");
        }
    }
}
