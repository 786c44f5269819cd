//! What people get of a search.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::judging::shown;
use super::{
    CAPACITY_RATES_MAX, Capacity, CapacityBounds, CapacityCourse, CapacityLimit, CapacityStep,
    Judged,
};
use crate::summary::words;

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityAnswer {
    /// The server that was loaded.
    pub target: String,
    /// What it had to keep.
    pub thresholds: Vec<String>,
    /// What a rate counts: `requests` or `sessions`.
    #[serde(default = "requests")]
    pub unit: String,
    /// Within what was searched.
    #[serde(default)]
    pub bounds: CapacityBounds,
    /// Between which rates the capacity lies.
    pub capacity: Capacity,
    /// Whether both are known and further apart than asked for: of a search that has ended, rates or
    /// time ran out before.
    #[serde(default)]
    pub wide: bool,
    /// What ended the search before the target did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<CapacityLimit>,
    /// Whether the target no longer kept the thresholds at `at_least` after it had been overloaded.
    pub collapsed: bool,
    /// Every rate that was offered, in that order.
    pub steps: Vec<CapacityStep>,
}

/// What an answer amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapacityEnding {
    /// Both ends are known, as near to each other as asked for.
    Found,
    /// Both ends are known, but further apart than asked for.
    Wide,
    /// The target keeps the thresholds at no rate, or no longer.
    Breached,
    /// An end is not known, for a reason that is not the target's.
    Unknown,
}

fn requests() -> String {
    "requests".to_owned()
}

impl CapacityAnswer {
    /// What is known so far, of sessions where a session is more than one request.
    #[must_use]
    pub fn of(course: &CapacityCourse, target: String, thresholds: Vec<String>) -> Self {
        Self {
            target,
            thresholds,
            unit: requests(),
            bounds: course.bounds(),
            capacity: course.found(),
            wide: course.is_wide(),
            limited_by: course.limited_by(),
            collapsed: course.has_collapsed(),
            steps: course.steps().to_vec(),
        }
    }

    /// What it amounts to.
    #[must_use]
    pub fn ending(&self) -> CapacityEnding {
        match self.capacity {
            Capacity { at_least: None, .. } if self.limited_by.is_none() => {
                CapacityEnding::Breached
            }
            Capacity { at_least: None, .. } | Capacity { below: None, .. } => {
                CapacityEnding::Unknown
            }
            _ if self.collapsed => CapacityEnding::Breached,
            _ if self.wide => CapacityEnding::Wide,
            _ => CapacityEnding::Found,
        }
    }

    /// The answer in a sentence, and what to do where it is none.
    #[must_use]
    pub fn in_words(&self) -> String {
        let (kept, unit) = (self.thresholds.join(", "), &self.unit);
        let more = match self.limited_by {
            Some(CapacityLimit::Connections) => {
                "all connections were busy while the target answered in time: use more connections"
            }
            Some(CapacityLimit::Generator) => {
                "what sends could not offer more: use more cores, or drivers on other hosts"
            }
            None if self.bounds.is_clamped => {
                "no run can have more poisson arrivals: take a shorter stage, or arrival: even"
            }
            None => "no higher rate was tried within the bounds of the search; begin higher",
        };
        let mut text = match (self.capacity.at_least, self.capacity.below) {
            (Some(low), Some(high)) => format!("capacity: {low} to {high} {unit}/s with {kept}"),
            (Some(low), None) => format!("capacity: at least {low} {unit}/s with {kept}; {more}"),
            (None, _) if self.limited_by.is_some() => format!("capacity: not found; {more}"),
            (None, Some(high)) => format!("capacity: less than {high} {unit}/s with {kept}"),
            (None, None) => "capacity: not found; nothing was offered to its end".to_owned(),
        };
        if let (Some(low), true) = (self.capacity.at_least, self.wide) {
            let asked = self.bounds.precision * 100.0;
            let _ = write!(
                text,
                "\nthe ends are further apart than the {asked} % asked for: a search offers \
                 {CAPACITY_RATES_MAX} rates within an hour; begin the next one at {low}"
            );
        }
        if self.collapsed {
            text.push_str(
                "\nafter the overload the target did not keep it any more: it does not recover by \
                 itself",
            );
        }
        text
    }
}

impl CapacityStep {
    /// The step in a line.
    #[must_use]
    pub fn in_words(&self) -> String {
        let word = match self.judged {
            Judged::Holds => "holds",
            Judged::Breached => "breached",
            Judged::Limited => "limited here",
        };
        let broken = self.thresholds.iter().filter(|threshold| !threshold.pass);
        let mut remarks: Vec<String> = broken
            .map(|one| words::threshold(&one.threshold, one.observed, one.pass))
            .collect();
        if self.again {
            remarks.insert(0, "once more, after the overload".to_owned());
        }
        if self.response.p50.is_none() {
            let codes = self.status_codes.iter();
            let codes = codes.map(|(code, count)| format!("{count} × status {code}"));
            remarks.push("nothing was ok".to_owned());
            remarks.extend(codes);
            remarks.extend(words::counts(self.errors.by_kind()));
        }
        let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.3}"));
        let [p50, p99] = shown(&self.response).map(ms);
        let line = format!(
            "{:>9}/s  {word:<12} p50 {p50} ms  p99 {p99} ms  {}",
            self.rate,
            remarks.join(", ")
        );
        line.trim_end().to_owned()
    }
}
