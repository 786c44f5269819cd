//! Whether the numbers may be believed: was it the target that was measured, or the generator?

use std::fmt;

use serde::{Deserialize, Serialize};

mod doubt;

pub(super) use doubt::{Doubt, few_samples};

use super::statistics::Statistics;
use crate::measure::{ClockOffset, Counters, Health, Outcome};

/// Idle share below which a core has no time left.
const IDLE_MIN: f64 = 0.05;
/// Share of a core that the driver's own work takes when the driver is saturated.
const BUSY_MAX: f64 = 0.95;
/// Share from which on it is the driver that left a core no time: the rest is the kernel's work for
/// it, which is not counted as its own.
const BUSY_MOSTLY: f64 = 0.5;
/// Share taken by the hypervisor from which on a core was not ours to measure with.
const STEAL_SUSPECT: f64 = 0.05;
/// Release lag p99 from which on it matters, ms …
const LAG_P99_MS: f64 = 1.0;
/// … when it is also this share of the response time's p99.
const LAG_SHARE: f64 = 0.1;
/// An executor away for longer than this has stalled, ns.
pub(super) const STALL_NS: u64 = 100_000_000;
/// Stopped by its cgroup for longer than this, a driver measured its own limit, ns.
const THROTTLED_NS: u64 = 1_000_000;
/// Least share of the offered requests that must have been sent, or found the target away.
const ACHIEVED_MIN: f64 = 0.99;
/// Share of shed requests from which on the result is about the rest only.
const SHED_MAX: f64 = 0.01;
/// Clock uncertainty from which on the common start is a guess, ns.
const CLOCK_UNCERTAINTY_NS: u64 = 100_000_000;

/// How far a result may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// Nothing speaks against it.
    #[default]
    Valid,
    /// The reasons say what to look at.
    Suspect,
    /// It says nothing about the target.
    Invalid,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "valid",
            Self::Suspect => "suspect",
            Self::Invalid => "invalid",
        })
    }
}

/// A judgement with its reasons, each a sentence that says what to do. A valid one may have remarks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// The worst of the reasons.
    pub verdict: Judgement,
    /// Why.
    pub reasons: Vec<String>,
}

impl Verdict {
    pub(super) fn note(&mut self, doubt: &Doubt<'_>) {
        self.add(doubt.judgement(), doubt.to_string());
    }

    pub(super) fn add(&mut self, judgement: Judgement, reason: String) {
        self.verdict = self.verdict.max(judgement);
        self.reasons.push(reason);
    }

    /// Adds another verdict's reasons, each after `prefix`.
    pub(super) fn absorb(&mut self, prefix: &str, other: &Self) {
        self.verdict = self.verdict.max(other.verdict);
        self.reasons.extend(
            other
                .reasons
                .iter()
                .map(|reason| format!("{prefix}{reason}")),
        );
    }
}

/// What one node's verdict is computed from.
pub(super) struct Evidence<'a> {
    pub(super) closed_loop: bool,
    /// Whether the node has sent its last report.
    pub(super) ended: bool,
    pub(super) elapsed_ns: u64,
    pub(super) counters: &'a Counters,
    pub(super) response: &'a Statistics,
    pub(super) release_lag: &'a Statistics,
    pub(super) health: &'a Health,
    pub(super) clock: Option<ClockOffset>,
    pub(super) outcome: Option<Outcome>,
    pub(super) reason: Option<&'a str>,
    /// Whether the target's certificate was not looked at.
    pub(super) unchecked: bool,
}

/// The verdict on one node.
pub(super) fn of_node(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let doubts = [
        of_outcome(evidence),
        of_core(evidence),
        of_machine(evidence),
        of_pace(evidence),
        of_target(evidence),
        of_accounting(evidence),
    ];
    for doubt in doubts.iter().flatten() {
        verdict.note(doubt);
    }
    verdict
}

fn of_outcome<'a>(evidence: &Evidence<'a>) -> Vec<Doubt<'a>> {
    let why = evidence.reason;
    let doubt = match evidence.outcome {
        Some(Outcome::Failed) => Doubt::Failed { why },
        Some(Outcome::Missed) => Doubt::Missed { why },
        Some(Outcome::TargetLost) => Doubt::TargetLost { why },
        Some(Outcome::Other) => Doubt::UnknownOutcome,
        Some(Outcome::Done | Outcome::Aborted) | None => return Vec::new(),
    };
    vec![doubt]
}

/// Whose limit it was that a core had no time left: the driver's own time says it where it is known.
fn of_core<'a>(evidence: &Evidence<'a>) -> Vec<Doubt<'a>> {
    let Health {
        cpu_idle_min,
        cpu_busy_max,
        ..
    } = *evidence.health;
    let scarce = cpu_idle_min.filter(|idle| *idle < IDLE_MIN);
    let closed_loop = evidence.closed_loop;
    let doubt = match (cpu_busy_max, scarce) {
        (Some(busy), _) if busy > BUSY_MAX => Doubt::Saturated { busy, closed_loop },
        (Some(busy), Some(_)) if busy >= BUSY_MOSTLY => Doubt::Saturated { busy, closed_loop },
        (Some(busy), Some(idle)) => Doubt::SharedCore { idle, busy },
        (None, Some(idle)) => Doubt::NoIdleTime { idle },
        (_, None) => return Vec::new(),
    };
    vec![doubt]
}

fn of_machine<'a>(evidence: &Evidence<'a>) -> Vec<Doubt<'a>> {
    let health = evidence.health;
    let mut doubts = Vec::new();
    if let Some(share) = health.cpu_steal_max.filter(|steal| *steal > STEAL_SUSPECT) {
        doubts.push(Doubt::Stolen { share });
    }
    if health.throttled_ns > THROTTLED_NS {
        doubts.push(Doubt::Throttled {
            throttled_ns: health.throttled_ns,
            elapsed_ns: evidence.elapsed_ns,
        });
    }
    if health.stall_max_ns > STALL_NS {
        let stall_ns = health.stall_max_ns;
        doubts.push(Doubt::Stalled { stall_ns });
    }
    if health.descriptors_exhausted > 0 {
        doubts.push(Doubt::NoDescriptors);
    }
    if health.ports_exhausted > 0 {
        doubts.push(Doubt::NoPorts);
    }
    let uncertainty_ns = evidence.clock.map_or(0, |clock| clock.uncertainty_ns);
    if uncertainty_ns > CLOCK_UNCERTAINTY_NS {
        doubts.push(Doubt::VagueClock { uncertainty_ns });
    }
    doubts
}

/// Whether requests left so late that it matters, by the times of a node or of all nodes together.
pub(super) fn late_release<'a>(
    response: &Statistics,
    release_lag: &Statistics,
) -> Option<Doubt<'a>> {
    let matters = |lag: &f64| {
        let is_share = |p99: f64| *lag > p99 * LAG_SHARE;
        *lag > LAG_P99_MS && response.p99.is_none_or(is_share)
    };
    let lag_ms = release_lag.p99.filter(matters)?;
    Some(Doubt::LateRelease { lag_ms })
}

fn of_pace<'a>(evidence: &Evidence<'a>) -> Vec<Doubt<'a>> {
    let counters = evidence.counters;
    let mut doubts = Vec::new();
    doubts.extend(late_release(evidence.response, evidence.release_lag));
    if counters.shed_rate() > SHED_MAX {
        let share = counters.shed_rate();
        doubts.push(Doubt::Shed { share });
    }
    if evidence.health.held_back > 0 {
        doubts.push(Doubt::HeldBack {
            count: evidence.health.held_back,
            offered: counters.offered,
        });
    }
    let aborted = evidence.outcome == Some(Outcome::Aborted);
    if evidence.closed_loop || !evidence.ended || aborted || counters.offered == 0 {
        return doubts;
    }
    let left = counters.attempted().saturating_add(counters.shed);
    let share = left as f64 / counters.offered as f64;
    if share < ACHIEVED_MIN {
        doubts.push(Doubt::NotAchieved { share });
    }
    doubts
}

/// What the target did, which a reader should know of although it was measured well.
fn of_target<'a>(evidence: &Evidence<'a>) -> Vec<Doubt<'a>> {
    let Counters {
        refused,
        sent,
        unsolicited,
        errors,
        ..
    } = *evidence.counters;
    [
        (refused, Doubt::Refused { count: refused }),
        (
            errors.stale,
            Doubt::Stale {
                count: errors.stale,
                sent,
            },
        ),
        (
            errors.unanswered,
            Doubt::Unanswered {
                count: errors.unanswered,
                sent,
            },
        ),
        (unsolicited, Doubt::Unsolicited { count: unsolicited }),
        (u64::from(evidence.unchecked), Doubt::Unchecked),
    ]
    .into_iter()
    .filter_map(|(count, doubt)| (count > 0).then_some(doubt))
    .collect()
}

fn of_accounting<'a>(evidence: &Evidence<'a>) -> Vec<Doubt<'a>> {
    let mut doubts = Vec::new();
    if !evidence.ended {
        return doubts;
    }
    if let Err(imbalance) = evidence.counters.check() {
        doubts.push(Doubt::NodeImbalance { imbalance });
    }
    if evidence.counters.ok == 0 && evidence.outcome == Some(Outcome::Done) {
        doubts.push(Doubt::NothingOk);
    }
    doubts
}

#[cfg(test)]
mod tests;
