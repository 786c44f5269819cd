//! Whether the numbers may be believed: was it the target that was measured, or the generator?

use std::fmt;

use serde::{Deserialize, Serialize};

use super::statistics::Statistics;
use crate::measure::{ClockOffset, Counters, Health, Outcome};

/// Idle share below which a core is saturated.
const IDLE_MIN: f64 = 0.05;
/// Share taken by the hypervisor from which on a core was not ours to measure with.
const STEAL_SUSPECT: f64 = 0.05;
/// Share taken by the hypervisor from which on nothing can be said.
const STEAL_INVALID: f64 = 0.25;
/// Release lag p99 from which on it matters, ms …
const LAG_P99_MS: f64 = 1.0;
/// … when it is also this share of the response time's p99.
const LAG_SHARE: f64 = 0.1;
/// An executor away for longer than this has stalled, ns.
const STALL_NS: u64 = 100_000_000;
/// Least share of the offered requests that must have been sent.
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

/// A judgement with its reasons, each a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// The worst of the reasons.
    pub verdict: Judgement,
    /// Why.
    pub reasons: Vec<String>,
}

impl Verdict {
    pub(super) fn note(&mut self, judgement: Judgement, reason: impl Into<String>) {
        self.verdict = self.verdict.max(judgement);
        self.reasons.push(reason.into());
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
    pub(super) counters: &'a Counters,
    pub(super) response: &'a Statistics,
    pub(super) release_lag: &'a Statistics,
    pub(super) health: &'a Health,
    pub(super) clock: Option<ClockOffset>,
    pub(super) outcome: Option<Outcome>,
    pub(super) reason: Option<&'a str>,
}

/// The verdict on one node.
pub(super) fn of_node(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    judge_outcome(evidence, &mut verdict);
    judge_machine(evidence, &mut verdict);
    judge_pace(evidence, &mut verdict);
    judge_accounting(evidence, &mut verdict);
    verdict
}

fn judge_outcome(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let why = evidence
        .reason
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    match evidence.outcome {
        Some(Outcome::Failed) => verdict.note(Judgement::Invalid, format!("the run failed{why}")),
        Some(Outcome::Missed) => {
            verdict.note(
                Judgement::Invalid,
                format!("the trigger came too late to start{why}"),
            );
        }
        _ => {}
    }
}

fn judge_machine(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let health = evidence.health;
    if let Some(idle) = health.cpu_idle_min.filter(|idle| *idle < IDLE_MIN) {
        let limit = "the generator was the limit, and the target may do more";
        let reason = format!(
            "a driver core was idle for only {:.1} % of a second: {limit}; add cores or drivers",
            idle * 100.0
        );
        verdict.note(Judgement::Suspect, reason);
    }
    if let Some(steal) = health.cpu_steal_max.filter(|steal| *steal > STEAL_SUSPECT) {
        let judgement = if steal > STEAL_INVALID {
            Judgement::Invalid
        } else {
            Judgement::Suspect
        };
        let share = steal * 100.0;
        let reason = format!(
            "the hypervisor took up to {share:.0} % of a driver core; use a machine of its own"
        );
        verdict.note(judgement, reason);
    }
    if health.stall_max_ns > STALL_NS {
        let ms = health.stall_max_ns / 1_000_000;
        let reason = format!("an executor stood still for {ms} ms; look for what shares its core");
        verdict.note(Judgement::Suspect, reason);
    }
    if health.descriptors_exhausted > 0 {
        let remedy = "raise the open-file limit (ulimit -n)";
        verdict.note(
            Judgement::Invalid,
            format!("file descriptors ran out; {remedy}"),
        );
    }
    if health.ports_exhausted > 0 {
        let remedy = "use fewer connections, or widen net.ipv4.ip_local_port_range";
        verdict.note(
            Judgement::Invalid,
            format!("ephemeral ports ran out; {remedy}"),
        );
    }
    if let Some(clock) = evidence
        .clock
        .filter(|c| c.uncertainty_ns > CLOCK_UNCERTAINTY_NS)
    {
        let ms = clock.uncertainty_ns / 1_000_000;
        let reason = format!("its clock is known only to ±{ms} ms: the common start is a guess");
        verdict.note(Judgement::Suspect, reason);
    }
}

fn judge_pace(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let Evidence {
        counters,
        release_lag,
        response,
        ..
    } = evidence;
    if let Some(lag) = release_lag.p99.filter(|lag| *lag > LAG_P99_MS) {
        let matters = response.p99.is_none_or(|p99| lag > p99 * LAG_SHARE);
        if matters {
            let reason = format!(
                "requests left late (release lag p99 {lag:.1} ms): all connections were busy or \
                 the core was; response times say so, but use more connections or drivers"
            );
            verdict.note(Judgement::Suspect, reason);
        }
    }
    if counters.shed_rate() > SHED_MAX {
        let share = counters.shed_rate() * 100.0;
        let reason =
            format!("{share:.1} % of the requests were shed at their deadline and measure nothing");
        verdict.note(Judgement::Suspect, reason);
    }
    let aborted = evidence.outcome == Some(Outcome::Aborted);
    if evidence.closed_loop || !evidence.ended || aborted || counters.offered == 0 {
        return;
    }
    let left = counters.sent.saturating_add(counters.shed);
    let achieved = left as f64 / counters.offered as f64;
    if achieved < ACHIEVED_MIN {
        let share = achieved * 100.0;
        let reason = format!("only {share:.1} % of the offered requests could be sent");
        verdict.note(Judgement::Invalid, reason);
    }
}

fn judge_accounting(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    if !evidence.ended {
        return;
    }
    if let Err(imbalance) = evidence.counters.check() {
        let reason = format!("the accounting does not add up: {imbalance}; please report it");
        verdict.note(Judgement::Invalid, reason);
    }
    if evidence.counters.ok == 0 && evidence.outcome == Some(Outcome::Done) {
        verdict.note(
            Judgement::Invalid,
            "no request succeeded; look at the errors by kind",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(health: Health, lag_p99: f64, counters: &Counters) -> Verdict {
        let statistics = |p99| Statistics {
            p99: Some(p99),
            ..Statistics::default()
        };
        of_node(&Evidence {
            closed_loop: false,
            ended: true,
            counters,
            response: &statistics(5.0),
            release_lag: &statistics(lag_p99),
            health: &health,
            clock: None,
            outcome: Some(Outcome::Done),
            reason: None,
        })
    }

    fn sent(offered: u64, sent: u64) -> Counters {
        let not_sent = offered - sent;
        Counters {
            planned: offered,
            offered,
            sent,
            not_sent,
            ok: sent,
            completed: sent,
            ..Counters::default()
        }
    }

    #[test]
    fn a_clean_run_is_valid_and_each_fault_is_named() {
        let calm = Health {
            cpu_idle_min: Some(0.4),
            ..Health::default()
        };
        assert_eq!(judged(calm, 0.1, &sent(1000, 1000)), Verdict::default());
        let cases = [
            (
                Health {
                    cpu_idle_min: Some(0.01),
                    ..calm
                },
                0.1,
                Judgement::Suspect,
                "idle",
            ),
            (
                Health {
                    cpu_steal_max: Some(0.1),
                    ..calm
                },
                0.1,
                Judgement::Suspect,
                "hypervisor",
            ),
            (
                Health {
                    cpu_steal_max: Some(0.5),
                    ..calm
                },
                0.1,
                Judgement::Invalid,
                "hypervisor",
            ),
            (
                Health {
                    stall_max_ns: 150_000_000,
                    ..calm
                },
                0.1,
                Judgement::Suspect,
                "150 ms",
            ),
            (
                Health {
                    ports_exhausted: 1,
                    ..calm
                },
                0.1,
                Judgement::Invalid,
                "ports",
            ),
            (
                Health {
                    descriptors_exhausted: 1,
                    ..calm
                },
                0.1,
                Judgement::Invalid,
                "ulimit",
            ),
            (calm, 2.0, Judgement::Suspect, "release lag"),
        ];
        for (health, lag, judgement, word) in cases {
            let verdict = judged(health, lag, &sent(1000, 1000));
            assert_eq!(verdict.verdict, judgement, "{verdict:?}");
            assert!(verdict.reasons[0].contains(word), "{verdict:?}");
        }
    }

    #[test]
    fn a_rate_that_was_not_reached_is_invalid() {
        let verdict = judged(Health::default(), 0.1, &sent(1000, 980));
        assert_eq!(verdict.verdict, Judgement::Invalid);
        assert!(verdict.reasons[0].contains("98.0 %"), "{verdict:?}");
    }

    #[test]
    fn an_accounting_that_does_not_add_up_is_invalid() {
        let counters = Counters {
            ok: 999,
            completed: 999,
            ..sent(1000, 1000)
        };
        assert_eq!(
            judged(Health::default(), 0.1, &counters).verdict,
            Judgement::Invalid
        );
    }
}
