//! How one run at a rate went: whether its thresholds held, whose fault it was where they did not, and
//! whether its samples leave a doubt.

use serde::{Deserialize, Serialize};

use super::{CapacityStep, Judged};
use crate::measure::{Counters, Health};
use crate::summary::validity::STALL_NS;
use crate::summary::{Judgement, Statistics, TestResult, ThresholdResult};
use crate::workload::Threshold;

/// From this share of its time on, a core is too busy for its lateness to be the target's.
const BUSY_MIN: f64 = 0.9;
/// Share taken by the hypervisor from which on a core was not the generator's to send with.
const STOLEN_MIN: f64 = 0.25;

/// What of ours ended a search before the target did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CapacityLimit {
    /// The machines that send.
    Generator,
    /// All connections were busy while the target answered in time.
    Connections,
}

impl CapacityStep {
    /// How a run at `rate` went. `thresholds` are those of the whole run, in the order of the result.
    #[must_use]
    pub fn of(rate: f64, result: &TestResult, thresholds: &[Threshold]) -> Self {
        let (judged, limited_by) = judged(result, thresholds);
        Self {
            rate,
            judged,
            again: false,
            runs: 1,
            tests: Vec::new(),
            // Where there are too few samples for an interval, nobody can say, and a repetition would
            // not help.
            clear: result.thresholds.iter().all(|one| one.clear != Some(false)),
            limited_by,
            ok_per_second: result.tally.requests_per_second,
            status_codes: result.tally.status_codes.clone(),
            errors: result.tally.errors,
            response: result.metrics,
            service: result.service,
            release_lag: result.release_lag,
            thresholds: result.thresholds.clone(),
            verdict: result.verdict.clone(),
        }
    }
}

fn judged(result: &TestResult, thresholds: &[Threshold]) -> (Judged, Option<CapacityLimit>) {
    // What ended the run early was a condition of its document on what the target does.
    if result.thresholds_pass() && result.aborted_by.is_none() {
        return match result.verdict.verdict {
            // Numbers that nobody may believe hold nothing.
            Judgement::Invalid => (Judged::Limited, Some(CapacityLimit::Generator)),
            _ => (Judged::Holds, None),
        };
    }
    let is_full = result.links.iter().any(|link| link.is_full);
    if is_full || result.nodes.iter().any(|node| is_spent(&node.health)) {
        return (Judged::Limited, Some(CapacityLimit::Generator));
    }
    if is_waiting_for_connections(result, thresholds) {
        return (Judged::Limited, Some(CapacityLimit::Connections));
    }
    (Judged::Breached, None)
}

/// Whether a generator had no more to give, or stood still: what it owed then left it at once, and
/// what came meanwhile was seen late.
fn is_spent(health: &Health) -> bool {
    let is_over = |share: Option<f64>, most: f64| share.is_some_and(|share| share >= most);
    is_over(health.cpu_busy_max, BUSY_MIN)
        || is_over(health.cpu_steal_max, STOLEN_MIN)
        || health.stall_max_ns > STALL_NS
        || health.throttled_ns > 0
        || health.ports_exhausted > 0
        || health.descriptors_exhausted > 0
}

/// Where the target answers in time what it is sent, requests waited for a connection of ours.
fn is_waiting_for_connections(result: &TestResult, thresholds: &[Threshold]) -> bool {
    let broken = |judged: &ThresholdResult| !judged.pass;
    let of_parts = result.thresholds.iter().skip(thresholds.len());
    if result.aborted_by.is_some() || of_parts.into_iter().any(broken) {
        return false;
    }
    let mut all = thresholds.iter().zip(&result.thresholds);
    all.all(|(threshold, judged)| {
        let text = threshold.to_string();
        let (service, counters) = (&result.service, Counters::default());
        let in_service =
            || ThresholdResult::of_part((threshold, &text), &counters, service, service);
        judged.pass || in_service().pass
    })
}

/// The response time at a quantile that is shown of every step.
#[must_use]
pub(super) fn shown(statistics: &Statistics) -> [Option<f64>; 2] {
    [statistics.p50, statistics.p99]
}
