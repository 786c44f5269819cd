//! The search for the highest offered rate at which a target keeps its thresholds: which rate to
//! offer next, and what the answers so far come to. Pure: whoever offers the rates, a driver on its
//! own or the orchestrator of a cluster, tells it how each went.
//!
//! [`CapacitySearch`] is the search among rates that are judged, [`CapacityCourse`] what it takes to
//! judge each of them, and [`CapacityAnswer`] what people get.

mod answer;
mod course;
mod judging;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use answer::{CapacityAnswer, CapacityEnding};
pub use course::{CapacityCourse, CapacityStep, Wanted};
pub use judging::CapacityLimit;

use crate::document::{SEARCHED_NS_MAX, SEARCHED_WARMUP_NS};

/// Rates that one search offers, at most.
pub const CAPACITY_RATES_MAX: usize = 20;
/// How long all of a search may take.
pub const CAPACITY_TIME_MAX: Duration = Duration::from_nanos(SEARCHED_NS_MAX);
/// Between two runs of a search, so that the target's queues are empty again.
pub const CAPACITY_REST: Duration = Duration::from_secs(1);
/// Length of a run of a search where nothing else is said.
pub const CAPACITY_RUN: Duration = Duration::from_secs(5);
/// The same of its warm-up.
pub const CAPACITY_WARMUP: Duration = Duration::from_nanos(SEARCHED_WARMUP_NS);

/// By what a rate that holds is multiplied while none was too much.
const GROWTH: f64 = 4.0;
/// The highest rate that a load can have, a second.
const RATE_MAX: f64 = 10_000_000.0;
/// The lowest rate that is offered, a second.
const RATE_MIN: f64 = 1.0;
/// The finest and the coarsest precision: below the first, steps would be within what is rounded.
const PRECISION_MIN: f64 = 0.005;
const PRECISION_MAX: f64 = 1.0;

/// Within what a search stays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CapacityBounds {
    /// The first rate, a second.
    pub from: f64,
    /// The highest rate that is offered, a second.
    pub to: f64,
    /// How near the ends of the answer come, a share of the lower one: 0.05 for 5 %.
    pub precision: f64,
    /// Whether `to` is lower than asked, since a run can have no more arrivals.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_clamped: bool,
}

impl Default for CapacityBounds {
    fn default() -> Self {
        Self {
            from: 100.0,
            to: RATE_MAX,
            precision: 0.05,
            is_clamped: false,
        }
    }
}

impl CapacityBounds {
    /// The same without the rates that no run can have, if there are any.
    #[must_use]
    pub fn up_to(self, rate_max: Option<f64>) -> Self {
        match rate_max.filter(|most| *most < self.to) {
            Some(most) => Self {
                from: self.from.min(most),
                to: most,
                is_clamped: true,
                ..self
            },
            None => self,
        }
    }

    /// Whether they can be searched in.
    ///
    /// # Errors
    /// In words, which is wrong, its range and an example.
    pub fn check(&self) -> Result<(), String> {
        let range = RATE_MIN..=RATE_MAX;
        for (name, rate) in [("from", self.from), ("to", self.to)] {
            if !range.contains(&rate) {
                return Err(format!(
                    "{name}: {rate} is not within {RATE_MIN} to {RATE_MAX}, a second; give one that is, such as 500"
                ));
            }
        }
        if self.from > self.to {
            let (from, to) = (self.from, self.to);
            return Err(format!(
                "to: {to} is below the first rate, {from}; give a higher one, or a lower from"
            ));
        }
        if !(PRECISION_MIN..=PRECISION_MAX).contains(&self.precision) {
            return Err(format!(
                "precision: {} is not within {PRECISION_MIN} to {PRECISION_MAX}; write 0.05 for 5 %",
                self.precision
            ));
        }
        Ok(())
    }
}

/// How an offered rate went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judged {
    /// Every threshold held.
    Holds,
    /// One did not, and the target is to blame.
    Breached,
    /// One did not, and it was the generator that could not.
    Limited,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// Offer this rate, requests a second.
    Offer(f64),
    /// Nothing: this is the answer.
    Found(Capacity),
}

/// Between which rates the capacity lies, a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// The highest rate at which all thresholds held; `None` where they never did.
    pub at_least: Option<f64>,
    /// The lowest at which the target broke one; `None` where the generator or the search ended
    /// before that, so that nothing is known but the lower end.
    pub below: Option<f64>,
}

/// A search that goes on.
#[derive(Debug, Clone)]
pub struct CapacitySearch {
    bounds: CapacityBounds,
    rates_left: usize,
    low: Option<f64>,
    high: Option<(f64, Judged)>,
}

impl CapacitySearch {
    /// Goes on until the ends are within the precision of each other, or `rates_max` rates were
    /// offered.
    #[must_use]
    pub fn new(bounds: CapacityBounds, rates_max: usize) -> Self {
        let to = bounds.to.clamp(RATE_MIN, RATE_MAX);
        Self {
            bounds: CapacityBounds {
                from: rounded(bounds.from.clamp(RATE_MIN, to)).min(to),
                to,
                ..bounds
            },
            rates_left: rates_max,
            low: None,
            high: None,
        }
    }

    /// What to do next: first in large steps up or down, then by halves of the ratio.
    #[must_use]
    pub fn next(&self) -> Next {
        match self.wanted().filter(|_| self.rates_left > 0) {
            Some(rate) => Next::Offer(rate),
            None => Next::Found(self.found()),
        }
    }

    /// The rate that would tell more, unless the ends are near enough or nothing lies between them.
    fn wanted(&self) -> Option<f64> {
        let rate = match (self.low, self.high) {
            (None, None) => self.bounds.from,
            (Some(low), None) => rounded(low * GROWTH).min(self.bounds.to),
            (None, Some((high, _))) => rounded((high / GROWTH).max(RATE_MIN)),
            (Some(low), Some((high, _))) => rounded((low * high).sqrt()),
        };
        let is_new = Some(rate) != self.low && Some(rate) != self.high.map(|(high, _)| high);
        (is_new && !self.is_narrow()).then_some(rate)
    }

    /// Whether both ends are known and further apart than asked for.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        let Capacity { at_least, below } = self.found();
        at_least.is_some() && below.is_some() && self.wanted().is_some()
    }

    /// Takes how a rate went that was offered.
    pub fn record(&mut self, rate: f64, judged: Judged) {
        self.rates_left = self.rates_left.saturating_sub(1);
        match judged {
            Judged::Holds => self.low = Some(rate),
            Judged::Breached | Judged::Limited => self.high = Some((rate, judged)),
        }
    }

    /// The highest rate that held was in doubt and does not hold after all; the one that did before
    /// it takes its place.
    fn withdraw(&mut self, rate: f64, before: Option<f64>) {
        self.rates_left = self.rates_left.saturating_sub(1);
        self.low = before;
        self.high = Some((rate, Judged::Breached));
    }

    fn is_narrow(&self) -> bool {
        let (Some(low), Some((high, _))) = (self.low, self.high) else {
            return false;
        };
        high <= low * (1.0 + self.bounds.precision)
    }

    /// What is known so far.
    #[must_use]
    pub fn found(&self) -> Capacity {
        let breached = self.high.filter(|(_, judged)| *judged == Judged::Breached);
        Capacity {
            at_least: self.low,
            below: breached.map(|(high, _)| high),
        }
    }
}

/// Four significant digits, as people read a rate; below 1000 a tenth of a request.
fn rounded(rate: f64) -> f64 {
    let mut unit = 0.1;
    while rate / unit >= 10_000.0 {
        unit *= 10.0;
    }
    // A tenth is no binary fraction: divide by its reciprocal.
    if unit < 1.0 {
        (rate * 10.0).round() / 10.0
    } else {
        (rate / unit).round() * unit
    }
}
