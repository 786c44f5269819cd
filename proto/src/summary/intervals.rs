//! Between which values the quantiles of a result lie, or why that cannot be said.

use serde::{Deserialize, Serialize};

use crate::histogram::Sparse;
use crate::histogram::interval::quantile_name;
use crate::units;

/// The quantiles of a result that have a figure of their own.
const QUANTILES: [f64; 6] = [0.5, 0.9, 0.95, 0.99, 0.999, 0.9999];

/// The interval of one quantile at 95 %, by order statistics of the run's own samples.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct QuantileInterval {
    /// 0.5 is the median.
    pub quantile: f64,
    /// Lower end, ms; null with too few samples.
    pub low_ms: Option<f64>,
    /// Upper end, ms.
    pub high_ms: Option<f64>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Those of a result; empty without samples.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Intervals {
    /// Of the response time.
    pub response: Vec<QuantileInterval>,
    /// Of the service time.
    pub service: Vec<QuantileInterval>,
}

impl Intervals {
    /// Of merged samples.
    #[must_use]
    pub fn of(response: &Sparse, service: &Sparse) -> Self {
        Self {
            response: rows(response),
            service: rows(service),
        }
    }
}

fn rows(samples: &Sparse) -> Vec<QuantileInterval> {
    if samples.is_empty() {
        return Vec::new();
    }
    QUANTILES
        .map(|quantile| match samples.interval(quantile) {
            Ok(interval) => QuantileInterval {
                quantile,
                low_ms: Some(units::ns_to_ms(interval.low)),
                high_ms: Some(units::ns_to_ms(interval.high)),
                reason: None,
            },
            Err(too_few) => QuantileInterval {
                quantile,
                reason: Some(too_few.to_string()),
                ..QuantileInterval::default()
            },
        })
        .to_vec()
}

impl QuantileInterval {
    /// `p99 0.381 to 0.423`; `None` where there is none.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        let (low, high) = (self.low_ms?, self.high_ms?);
        Some(format!(
            "{} {low:.3} to {high:.3}",
            quantile_name(self.quantile)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram;

    #[test]
    fn a_quantile_has_an_interval_or_the_reason_why_not() {
        let mut samples = histogram::new();
        (1..=1000).for_each(|n| samples.saturating_record(n * 1_000_000));
        let intervals = Intervals::of(&Sparse::from(&samples), &Sparse::default());
        assert!(intervals.service.is_empty(), "nothing of no samples");
        let median = &intervals.response[0];
        // Ranks 469 and 532.
        let (low, high) = (median.low_ms.unwrap(), median.high_ms.unwrap());
        assert!(
            (low - 469.0).abs() < 0.5 && (high - 532.0).abs() < 0.5,
            "{median:?}"
        );
        let far = &intervals.response[5];
        assert_eq!((far.low_ms, far.in_words()), (None, None));
        let reason = far.reason.as_deref().unwrap();
        assert_eq!(
            reason,
            "0 of 1000 samples beyond p99.99; its interval needs 36887 samples or more"
        );
    }
}
