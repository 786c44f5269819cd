//! The course of a search: how often a rate is run until it is judged, and the look back at the answer
//! after the overload, since some targets do not come back from one.
//!
//! The answer of a search is offered once more at its end. If a rate breaks its bounds there that was
//! in doubt when it held, it was too much, and the search goes on below it.
//!
//! A rate that holds is judged by one run, unless the interval of a quantile reaches over its bound: by
//! its own samples it could be either. Whatever is in doubt so, and every breach, is run again, and
//! two of three decide: a machine that stalls once is not the target's limit. A run in which something
//! of ours was in the way does not count among the three, and is run again too; when it was so twice,
//! that decides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    CAPACITY_RATES_MAX, Capacity, CapacityBounds, CapacityLimit, CapacitySearch, Judged, Next,
};
use crate::measure::ErrorCounters;
use crate::summary::{Statistics, ThresholdResult, Verdict};

/// A rate that was offered, with the figures of the run that decided; or one run of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityStep {
    /// Requests or sessions a second.
    pub rate: f64,
    /// How it went.
    pub judged: Judged,
    /// Whether it was the answer, offered once more after the overload.
    #[serde(default)]
    pub again: bool,
    /// Runs that it took to judge it.
    pub runs: usize,
    /// The tests that these are; none on one machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<String>,
    /// Whether there was no doubt: all runs that count said the same, and their samples leave none on
    /// which side of their bounds the quantiles lie.
    #[serde(default)]
    pub clear: bool,
    /// What of ours was in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<CapacityLimit>,
    /// Answers below 400 a second.
    pub ok_per_second: Option<f64>,
    /// Answers by status.
    pub status_codes: BTreeMap<u16, u64>,
    /// Errors by kind.
    pub errors: ErrorCounters,
    /// Response time.
    pub response: Statistics,
    /// Service time.
    pub service: Statistics,
    /// From the intended to the actual send.
    pub release_lag: Statistics,
    /// Each threshold, and what was measured.
    pub thresholds: Vec<ThresholdResult>,
    /// How far the run may be believed.
    pub verdict: Verdict,
}

/// The run that is to come next.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Requests or sessions a second.
    pub rate: f64,
    /// The how manyeth run of it, from 1.
    pub attempt: usize,
    /// Whether it is the answer, offered once more after the overload.
    pub again: bool,
}

/// A search with the runs that it took so far.
#[derive(Debug, Clone)]
pub struct CapacityCourse {
    search: CapacitySearch,
    /// The runs of the rate that is not judged yet.
    trial: Vec<CapacityStep>,
    steps: Vec<CapacityStep>,
    collapsed: Option<bool>,
}

impl CapacityCourse {
    /// A search that begins.
    #[must_use]
    pub fn new(bounds: CapacityBounds) -> Self {
        Self {
            search: CapacitySearch::new(bounds, CAPACITY_RATES_MAX),
            trial: Vec::new(),
            steps: Vec::new(),
            collapsed: None,
        }
    }

    /// The run that comes next; `None` when the search is over.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        let (rate, again) = match (self.search.next(), self.collapsed) {
            (Next::Offer(rate), _) => (rate, false),
            (
                Next::Found(Capacity {
                    at_least: Some(rate),
                    below: Some(_),
                }),
                None,
            ) if self.steps.len() <= CAPACITY_RATES_MAX => (rate, true),
            (Next::Found(_), _) => return None,
        };
        let attempt = self.trial.len() + 1;
        Some(Wanted {
            rate,
            attempt,
            again,
        })
    }

    /// Takes the run that was wanted; the step, once that decides on its rate.
    pub fn record(&mut self, run: CapacityStep) -> Option<&CapacityStep> {
        let wanted = self.wanted()?;
        self.trial.push(CapacityStep {
            // Not as it came back from a text.
            rate: wanted.rate,
            again: wanted.again,
            ..run
        });
        let mut decided = decided(&self.trial)?.clone();
        // What took two of three was in doubt, whatever the last of them says.
        let mut counted = self
            .trial
            .iter()
            .filter(|run| run.judged != Judged::Limited);
        decided.clear &= counted.all(|run| run.clear && run.judged == decided.judged);
        decided.runs = self.trial.len();
        decided.tests = self.trial.drain(..).flat_map(|run| run.tests).collect();
        if wanted.again {
            self.look_back(wanted.rate, decided.judged);
        } else {
            self.search.record(wanted.rate, decided.judged);
        }
        self.steps.push(decided);
        self.steps.last()
    }

    /// The answer was offered once more. A target that breaks there what it had kept without doubt has
    /// not recovered; of a rate that was in doubt before, this says that it was too much.
    fn look_back(&mut self, rate: f64, judged: Judged) {
        let held = self.steps.iter();
        let held = held.filter(|step| step.judged == Judged::Holds && !step.again);
        let mut held: Vec<_> = held.filter(|step| step.rate <= rate).collect();
        held.sort_unstable_by(|one, other| one.rate.total_cmp(&other.rate));
        let is_clear = held.pop().is_some_and(|answer| answer.clear);
        if judged != Judged::Breached || is_clear {
            self.collapsed = Some(judged == Judged::Breached);
            return;
        }
        let lower = held.last().map(|step| step.rate);
        self.search.withdraw(rate, lower);
    }

    /// The rates that were judged, in the order in which they were offered.
    #[must_use]
    pub fn steps(&self) -> &[CapacityStep] {
        &self.steps
    }

    /// What is known so far.
    #[must_use]
    pub fn found(&self) -> Capacity {
        self.search.found()
    }

    /// Within what it stays.
    #[must_use]
    pub fn bounds(&self) -> CapacityBounds {
        self.search.bounds
    }

    /// Whether both ends are known and further apart than asked for.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.search.is_wide()
    }

    /// Whether the target no longer kept the thresholds at the answer after it had been overloaded.
    #[must_use]
    pub fn has_collapsed(&self) -> bool {
        self.collapsed.unwrap_or(false)
    }

    /// What ended the search before the target did.
    #[must_use]
    pub fn limited_by(&self) -> Option<CapacityLimit> {
        let mut limited = self.steps.iter().rev();
        let is_open = self.found().below.is_none();
        limited.find_map(|step| step.limited_by.filter(|_| is_open))
    }
}

/// The run that decides on a rate, if one does.
fn decided(trial: &[CapacityStep]) -> Option<&CapacityStep> {
    let last = trial.last()?;
    let alike = |judged: Judged| trial.iter().filter(|run| run.judged == judged).count();
    let counted = trial.len() - alike(Judged::Limited);
    let is_sure = last.judged == Judged::Holds && last.clear && counted == 1;
    (is_sure || alike(last.judged) >= 2).then_some(last)
}
