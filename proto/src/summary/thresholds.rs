//! Thresholds held against a result.

use serde::{Deserialize, Serialize};

use super::Statistics;
use crate::histogram::Sparse;
use crate::measure::Counters;
use crate::units;
use crate::workload::Threshold;
use crate::workload::threshold::{Comparison, Figure, Metric, Population};

/// A threshold held against a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdResult {
    /// As it was written.
    pub threshold: String,
    /// What was measured, in ms, as a share, or a plain number; `None` without samples.
    pub observed: Option<f64>,
    /// Whether it holds. Without samples it does not.
    pub pass: bool,
    /// Of a bounded quantile: whether the interval in which it lies by its own samples is on one side
    /// of the bound. `None` of everything else, and with too few samples for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear: Option<bool>,
}

/// What thresholds are held against.
pub(super) struct Measured<'a> {
    pub(super) counters: &'a Counters,
    pub(super) requests_per_second: Option<f64>,
    /// Whether a closed loop ended because its target was away.
    pub(super) target_lost: bool,
    pub(super) response: &'a Statistics,
    pub(super) service: &'a Statistics,
    pub(super) release_lag: &'a Statistics,
}

impl ThresholdResult {
    /// The same with what the samples say of it, from which its figure comes.
    #[must_use]
    pub(super) fn with_samples(
        self,
        threshold: &Threshold,
        response: &Sparse,
        service: &Sparse,
    ) -> Self {
        let clear = || {
            let Metric::Latency(population, figure) = threshold.metric else {
                return None;
            };
            let samples = match population {
                Population::Response => response,
                Population::Service => service,
                Population::ReleaseLag => return None,
            };
            let interval = samples.interval(figure.quantile()?).ok()?;
            let holds = |ns| {
                threshold
                    .comparison
                    .holds(units::ns_to_ms(ns), threshold.bound)
            };
            Some(holds(interval.low) == holds(interval.high))
        };
        Self {
            clear: clear(),
            ..self
        }
    }

    /// A threshold held against a part of a run: a step, or a flow. `text` is the whole condition as
    /// it was written.
    #[must_use]
    pub fn of_part(
        (threshold, text): (&Threshold, &str),
        counters: &Counters,
        response: &Statistics,
        service: &Statistics,
    ) -> Self {
        let measured = Measured {
            counters,
            requests_per_second: None,
            target_lost: false,
            response,
            service,
            release_lag: &Statistics::default(),
        };
        Self {
            threshold: text.to_owned(),
            ..measured.against(threshold)
        }
    }

    /// A threshold held against an interval of `seconds` of a whole run, `latencies` being those of
    /// its response, service and release lag.
    #[must_use]
    pub fn of_interval(
        threshold: &Threshold,
        counters: &Counters,
        latencies: [&Statistics; 3],
        seconds: f64,
    ) -> Self {
        let [response, service, release_lag] = latencies;
        let measured = Measured {
            counters,
            requests_per_second: (seconds > 0.0).then(|| counters.ok as f64 / seconds),
            target_lost: false,
            response,
            service,
            release_lag,
        };
        measured.against(threshold)
    }
}

impl Measured<'_> {
    /// Whether a threshold holds.
    pub(super) fn against(&self, threshold: &Threshold) -> ThresholdResult {
        let observed = self.observed(threshold.metric);
        let holds = |value| threshold.comparison.holds(value, threshold.bound);
        // What a lost target would have answered is not in the rate of errors.
        let is_cut_short = self.target_lost && threshold.metric == Metric::ErrorRate;
        ThresholdResult {
            threshold: threshold.to_string(),
            observed,
            pass: observed.is_some_and(holds) && !is_cut_short,
            clear: None,
        }
    }

    fn observed(&self, metric: Metric) -> Option<f64> {
        let counters = self.counters;
        match metric {
            Metric::Latency(population, figure) => {
                let statistics = match population {
                    Population::Response => self.response,
                    Population::Service => self.service,
                    Population::ReleaseLag => self.release_lag,
                };
                figure.of(statistics)
            }
            Metric::ErrorRate => (counters.attempted() > 0).then(|| counters.error_rate()),
            Metric::ShedRate => (counters.offered > 0).then(|| counters.shed_rate()),
            Metric::RequestsPerSecond => self.requests_per_second,
            Metric::Errors => Some(counters.errors.total() as f64),
            Metric::Ok => Some(counters.ok as f64),
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

    /// Which quantile it is, if it is one.
    pub(super) const fn quantile(self) -> Option<f64> {
        match self {
            Self::Median => Some(0.5),
            Self::P90 => Some(0.9),
            Self::P95 => Some(0.95),
            Self::P99 => Some(0.99),
            Self::P99_9 => Some(0.999),
            Self::P99_99 => Some(0.9999),
            Self::Min | Self::Max | Self::Mean | Self::Stddev => None,
        }
    }
}

impl Comparison {
    pub(super) fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Less => value < bound,
            Self::AtMost => value <= bound,
            Self::More => value > bound,
            Self::AtLeast => value >= bound,
        }
    }
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
            target_lost: false,
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
            let result = measured.against(&threshold);
            assert_eq!(result.pass, pass, "{text}: {result:?}");
        }
    }

    #[test]
    fn a_target_that_was_away_breaches_the_rate_of_errors() {
        let none = Statistics::default();
        let holds = |counters: &Counters, target_lost| {
            let measured = Measured {
                counters,
                requests_per_second: None,
                target_lost,
                response: &none,
                service: &none,
                release_lag: &none,
            };
            measured.against(&"error_rate<1%".parse().unwrap()).pass
        };
        let answered = Counters {
            sent: 150,
            ok: 150,
            ..Counters::default()
        };
        let half = Counters {
            refused: 150,
            ..answered.clone()
        };
        assert!(holds(&answered, false), "all is well");
        assert!(!holds(&half, false), "half was refused");
        assert!(!holds(&answered, true), "the rest was never sent");
        assert!(!holds(&Counters::default(), false), "nothing was attempted");
    }
}
