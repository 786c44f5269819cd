//! The figures of one histogram.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::histogram::Sparse;

/// Latency figures in ms, computed from one (merged) histogram; `None` without samples.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// Smallest.
    #[serde(rename = "min_latency")]
    pub min: Option<f64>,
    /// Largest.
    #[serde(rename = "max_latency")]
    pub max: Option<f64>,
    /// Arithmetic mean.
    #[serde(rename = "mean_latency")]
    pub mean: Option<f64>,
    /// p50.
    #[serde(rename = "median_latency")]
    pub median: Option<f64>,
    /// Middle of the fullest bucket, the lowest on a tie.
    #[serde(rename = "mode_latency")]
    pub mode: Option<f64>,
    /// Standard deviation of the population.
    #[serde(rename = "stddev_latency")]
    pub stddev: Option<f64>,
    /// 50 % are at most this.
    #[serde(rename = "p50_latency")]
    pub p50: Option<f64>,
    /// 90 % are at most this.
    #[serde(rename = "p90_latency")]
    pub p90: Option<f64>,
    /// 95 % are at most this.
    #[serde(rename = "p95_latency")]
    pub p95: Option<f64>,
    /// 99 % are at most this.
    #[serde(rename = "p99_latency")]
    pub p99: Option<f64>,
    /// 99.9 % are at most this.
    #[serde(rename = "p99_9_latency")]
    pub p99_9: Option<f64>,
    /// 99.99 % are at most this.
    #[serde(rename = "p99_99_latency")]
    pub p99_99: Option<f64>,
}

impl Statistics {
    /// The figures of a histogram in ns.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self::of_sparse(&Sparse::from(histogram))
    }

    /// The figures of sparse samples in ns, without building the full histogram, since a live result
    /// shows them for each of a thousand nodes.
    #[must_use]
    pub fn of_sparse(samples: &Sparse) -> Self {
        let Some(moments) = samples.moments() else {
            return Self::default();
        };
        let ms = |ns: f64| Some(ns / 1e6);
        let mut values = samples
            .values_at_quantiles([0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0])
            .map(|value| value.map(|ns| ns as f64 / 1e6));
        let mut next = || values.next().flatten();
        let p50 = next();
        Self {
            min: ms(moments.lowest as f64),
            mean: ms(moments.mean),
            median: p50,
            mode: ms(moments.mode as f64),
            stddev: ms(moments.variance.sqrt()),
            p50,
            p90: next(),
            p95: next(),
            p99: next(),
            p99_9: next(),
            p99_99: next(),
            max: next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::histogram;

    #[test]
    fn the_figures_of_known_samples() {
        let mut samples = histogram::new();
        for ms in [1_u64, 2, 2, 3, 3, 92] {
            samples.saturating_record(ms * 1_000_000);
        }
        let figures = Statistics::of(&samples);
        let close = |figure: Option<f64>, ms: f64| {
            let figure = figure.unwrap();
            assert!((figure - ms).abs() <= ms * 0.001, "{figure} is not {ms}");
        };
        close(figures.min, 1.0);
        close(figures.max, 92.0);
        close(figures.mean, 103.0 / 6.0);
        close(figures.median, 2.0);
        close(figures.mode, 2.0);
        close(figures.p99, 92.0);
    }

    /// The figures as the histogram library has them.
    fn of_the_library(samples: &Histogram<u64>) -> Statistics {
        if samples.is_empty() {
            return Statistics::default();
        }
        let fullest = samples.iter_recorded().max_by(|one, other| {
            let by_count = one.count_at_value().cmp(&other.count_at_value());
            by_count.then(other.value_iterated_to().cmp(&one.value_iterated_to()))
        });
        let mode = samples.median_equivalent(fullest.unwrap().value_iterated_to());
        let ms = |ns: f64| Some(ns / 1e6);
        let quantile = |q: f64| ms(samples.value_at_quantile(q) as f64);
        Statistics {
            min: ms(samples.min() as f64),
            max: ms(samples.max() as f64),
            mean: ms(samples.mean()),
            median: quantile(0.5),
            mode: ms(mode as f64),
            stddev: ms(samples.stdev()),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            p99_99: quantile(0.9999),
        }
    }

    proptest! {
        #[test]
        fn the_figures_are_those_of_the_library(
            samples in prop::collection::vec(
                prop_oneof![1..5000_u64, 1..histogram::HIGHEST_NS], 0..200),
        ) {
            let mut full = histogram::new();
            samples.iter().for_each(|sample| full.saturating_record(*sample));
            let figures = |statistics: Statistics| serde_json::to_value(statistics).unwrap();
            let (ours, theirs) =
                (figures(Statistics::of(&full)), figures(of_the_library(&full)));
            for (name, expected) in theirs.as_object().unwrap() {
                match (ours[name].as_f64(), expected.as_f64()) {
                    (Some(one), Some(other)) => {
                        prop_assert!((one - other).abs() <= other * 1e-9, "{name}: {one} {other}");
                    }
                    (one, other) => prop_assert_eq!(one, other, "{}", name),
                }
            }
        }
    }

    #[test]
    fn without_samples_there_are_no_figures() {
        assert_eq!(Statistics::of(&histogram::new()), Statistics::default());
        let json = serde_json::to_value(Statistics::default()).unwrap();
        assert_eq!(json["p99_9_latency"], serde_json::Value::Null);
    }
}
