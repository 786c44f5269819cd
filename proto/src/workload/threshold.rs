//! Thresholds: what a result must satisfy for a pipeline to go on.

use std::fmt;
use std::str::FromStr;

use crate::units;

/// A condition such as `p99<250ms`, `error_rate<0.1%` or `requests_per_second>=5000`.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// As it was written.
    text: String,
    pub(crate) metric: Metric,
    pub(crate) comparison: Comparison,
    /// In ms for latencies, a share for rates, a plain number for the rest.
    pub(crate) bound: f64,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Metric {
    Latency(Population, Figure),
    ErrorRate,
    ShedRate,
    RequestsPerSecond,
    Errors,
    Ok,
}

/// Of which times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Population {
    Response,
    Service,
    ReleaseLag,
}

/// Which figure of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Figure {
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

/// How it is held against the bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
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
