//! The search for the highest offered rate at which a target keeps its thresholds: which rate to
//! offer next, and what the answers so far come to. Pure: whoever offers the rates tells it how each
//! went.

use serde::Serialize;

/// By what a rate that holds is multiplied while none was too much.
const GROWTH: f64 = 4.0;
/// The highest rate that a load can have, a second.
const RATE_MAX: f64 = 10_000_000.0;
/// The lowest rate that is offered, a second.
const RATE_MIN: f64 = 1.0;

/// How an offered rate went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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

/// Between which rates the capacity lies, requests a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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
    from: f64,
    precision: f64,
    rates_left: usize,
    low: Option<f64>,
    high: Option<(f64, Judged)>,
}

impl CapacitySearch {
    /// Begins at the rate `from` (1 to 10 million a second) and goes on until the ends are within
    /// `precision` of each other (0.05: 5 %), or `rates_max` rates were offered.
    #[must_use]
    pub fn new(from: f64, precision: f64, rates_max: usize) -> Self {
        Self {
            from: rounded(from.clamp(RATE_MIN, RATE_MAX)),
            precision,
            rates_left: rates_max,
            low: None,
            high: None,
        }
    }

    /// What to do next: first in large steps up or down, then by halves of the ratio.
    #[must_use]
    pub fn next(&self) -> Next {
        let rate = match (self.low, self.high) {
            (None, None) => self.from,
            (Some(low), None) => rounded((low * GROWTH).min(RATE_MAX)),
            (None, Some((high, _))) => rounded((high / GROWTH).max(RATE_MIN)),
            (Some(low), Some((high, _))) => rounded((low * high).sqrt()),
        };
        let is_new = Some(rate) != self.low && Some(rate) != self.high.map(|(high, _)| high);
        if self.rates_left == 0 || self.is_narrow() || !is_new {
            return Next::Found(self.found());
        }
        Next::Offer(rate)
    }

    /// Takes how a rate went that was offered.
    pub fn record(&mut self, rate: f64, judged: Judged) {
        self.rates_left = self.rates_left.saturating_sub(1);
        match judged {
            Judged::Holds => self.low = Some(rate),
            Judged::Breached | Judged::Limited => self.high = Some((rate, judged)),
        }
    }

    fn is_narrow(&self) -> bool {
        let (Some(low), Some((high, _))) = (self.low, self.high) else {
            return false;
        };
        high <= low * (1.0 + self.precision)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a target that keeps its thresholds up to `capacity`, with a generator that can
    /// offer up to `most`.
    fn search(from: f64, capacity: f64, most: f64) -> (Capacity, usize) {
        let mut search = CapacitySearch::new(from, 0.05, 20);
        let mut rates = 0;
        loop {
            match search.next() {
                Next::Found(capacity) => return (capacity, rates),
                Next::Offer(rate) => {
                    rates += 1;
                    let judged = if rate > most {
                        Judged::Limited
                    } else if rate > capacity {
                        Judged::Breached
                    } else {
                        Judged::Holds
                    };
                    search.record(rate, judged);
                }
            }
        }
    }

    #[test]
    fn a_capacity_is_found_within_5_percent_in_12_rates_from_above_and_below() {
        for capacity in [3.0, 47.3, 100.0, 1000.0, 2345.0, 31_000.0, 99_000.0] {
            for from in [capacity / 100.0, 100.0, capacity, capacity * 50.0] {
                let (found, rates) = search(from, capacity, f64::MAX);
                let (low, high) = (found.at_least.unwrap(), found.below.unwrap());
                assert!(low <= capacity && capacity < high, "{low} to {high}");
                assert!(high <= low * 1.05 + 0.11, "{low} to {high}");
                assert!(rates <= 12, "{rates} rates for {capacity} from {from}");
            }
        }
    }

    #[test]
    fn a_generator_that_is_the_limit_gives_a_lower_end_only() {
        let (found, _) = search(100.0, 50_000.0, 7000.0);
        assert_eq!(found.below, None);
        let low = found.at_least.unwrap();
        assert!((6650.0..=7000.0).contains(&low), "{low}");
    }

    #[test]
    fn a_target_that_never_holds_and_one_that_always_does_end_the_search() {
        let (found, rates) = search(100.0, 0.0, f64::MAX);
        assert_eq!((found.at_least, found.below), (None, Some(1.0)));
        assert!(rates <= 6, "{rates}");
        let (found, _) = search(100.0, f64::MAX, f64::MAX);
        assert_eq!((found.at_least, found.below), (Some(RATE_MAX), None));
        let never = CapacitySearch::new(5.0, 0.05, 0).next();
        assert!(matches!(
            never,
            Next::Found(Capacity {
                at_least: None,
                below: None
            })
        ));
    }

    #[test]
    fn rates_are_as_people_write_them() {
        for (rate, text) in [
            (1.234, "1.2"),
            (141.421, "141.4"),
            (5656.85, "5657"),
            (123_456.0, "123500"),
        ] {
            assert_eq!(rounded(rate).to_string(), text);
        }
    }
}
