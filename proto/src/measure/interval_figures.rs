//! What the samples of an interval come to, where the samples themselves are merged with others.

use serde::{Deserialize, Serialize};

use crate::histogram::{Sparse, SparseLatencies};

/// Figures of the response and service times of one node's interval, ns; `None` without samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IntervalFigures {
    /// Response time, p50.
    #[serde(rename = "r50", skip_serializing_if = "Option::is_none")]
    pub p50_ns: Option<u64>,
    /// Response time, p99.
    #[serde(rename = "r99", skip_serializing_if = "Option::is_none")]
    pub p99_ns: Option<u64>,
    /// Response time, largest.
    #[serde(rename = "rm", skip_serializing_if = "Option::is_none")]
    pub max_ns: Option<u64>,
    /// Service time, p50.
    #[serde(rename = "s50", skip_serializing_if = "Option::is_none")]
    pub service_p50_ns: Option<u64>,
    /// Service time, p99.
    #[serde(rename = "s99", skip_serializing_if = "Option::is_none")]
    pub service_p99_ns: Option<u64>,
    /// Service time, largest.
    #[serde(rename = "sm", skip_serializing_if = "Option::is_none")]
    pub service_max_ns: Option<u64>,
}

impl From<&SparseLatencies> for IntervalFigures {
    fn from(latencies: &SparseLatencies) -> Self {
        let [p50_ns, p99_ns, max_ns] = of(&latencies.response);
        let [service_p50_ns, service_p99_ns, service_max_ns] = of(&latencies.service);
        Self {
            p50_ns,
            p99_ns,
            max_ns,
            service_p50_ns,
            service_p99_ns,
            service_max_ns,
        }
    }
}

fn of(samples: &Sparse) -> [Option<u64>; 3] {
    [0.5, 0.99, 1.0].map(|quantile| samples.value_at_quantile(quantile))
}
