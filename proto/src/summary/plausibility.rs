//! Whether rate and response time go together: Little's law (Operations Research 9, 1961), by which
//! requests in flight = rate × time of each. In a closed loop every connection always has its
//! requests in flight, so that the mean response time says which rate it takes: what was counted and
//! what was timed come to the same number by different ways, or one of them is wrong.

use serde::{Deserialize, Serialize};

use super::validity::Doubt;

/// A rate that is off by more than this share is a remark.
const MARGIN: f64 = 0.1;
/// Shorter runs are mostly beginning and end, s.
const WINDOW_MIN_S: f64 = 1.0;
/// Fewer requests for each that is in flight likewise: the first and the last of each are cut.
const REQUESTS_PER_SLOT_MIN: f64 = 100.0;

/// What the response time of a closed loop allows, and what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LittlesLaw {
    /// Requests in flight at any time, over all nodes.
    pub in_flight: u64,
    /// Mean response time of all requests, errors too, ms.
    pub mean_ms: f64,
    /// Requests a second that so many in flight come to.
    pub allowed_per_second: f64,
    /// Requests a second that ended within the sending window.
    pub seen_per_second: f64,
    /// Whether the two are within a tenth of each other.
    pub holds: bool,
}

/// Requests of one kind that ended: how many, and how long they took in the mean.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Ended {
    pub(super) count: u64,
    /// ms; `None` without any.
    pub(super) mean_ms: Option<f64>,
}

impl LittlesLaw {
    /// Of `in_flight` requests at a time for `window_s`; `None` where that was too short to say.
    pub(super) fn of(in_flight: u64, window_s: f64, ended: &[Ended]) -> Option<Self> {
        let count: u64 = ended.iter().map(|kind| kind.count).sum();
        let spent_ms: f64 = ended
            .iter()
            .filter_map(|kind| Some(kind.mean_ms? * kind.count as f64))
            .sum();
        let is_enough = count as f64 >= REQUESTS_PER_SLOT_MIN * in_flight as f64;
        if in_flight == 0 || window_s < WINDOW_MIN_S || !is_enough || spent_ms <= 0.0 {
            return None;
        }
        let mean_ms = spent_ms / count as f64;
        let allowed_per_second = in_flight as f64 * 1000.0 / mean_ms;
        let seen_per_second = count as f64 / window_s;
        let off = (seen_per_second / allowed_per_second - 1.0).abs();
        Some(Self {
            in_flight,
            mean_ms,
            allowed_per_second,
            seen_per_second,
            holds: off <= MARGIN,
        })
    }

    /// The remark where it does not hold.
    pub(super) fn doubt(&self) -> Option<Doubt<'static>> {
        (!self.holds).then_some(Doubt::Implausible {
            allowed: self.allowed_per_second,
            seen: self.seen_per_second,
        })
    }

    /// `64 requests in flight at 1.046 ms allow 61185/s; 61100/s were seen`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self {
            in_flight,
            mean_ms,
            allowed_per_second,
            seen_per_second,
            ..
        } = self;
        format!(
            "{in_flight} in flight at {mean_ms:.3} ms allow {allowed_per_second:.0}/s; \
             {seen_per_second:.0}/s were seen"
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ended(count: u64, mean_ms: f64) -> Ended {
        Ended {
            count,
            mean_ms: Some(mean_ms),
        }
    }

    #[test]
    fn connections_by_their_mean_time_are_the_rate() {
        // 64 at 1 ms are 64000 a second: 640000 in 10 s.
        let law = LittlesLaw::of(64, 10.0, &[ended(610_000, 1.0)]).unwrap();
        assert!((law.allowed_per_second - 64_000.0).abs() < 1e-6);
        assert!(law.holds && law.doubt().is_none());
        assert_eq!(
            law.in_words(),
            "64 in flight at 1.000 ms allow 64000/s; 61000/s were seen"
        );
        // A fifth of the time is nowhere.
        let law = LittlesLaw::of(64, 10.0, &[ended(512_000, 1.0)]).unwrap();
        let said = law.doubt().unwrap().to_string();
        assert!(said.contains("64000") && said.contains("51200"), "{said}");
    }

    #[test]
    fn errors_take_their_part_of_the_time() {
        // 10 in flight for 10 s: 5 s of each in 1000 good ones of 50 ms, 5 s in 500 errors of 100 ms.
        let kinds = [ended(1000, 50.0), ended(500, 100.0), Ended::default()];
        let law = LittlesLaw::of(10, 10.0, &kinds).unwrap();
        assert!(
            law.holds && (law.seen_per_second - 150.0).abs() < 1e-9,
            "{law:?}"
        );
    }

    #[test]
    fn what_is_too_short_says_nothing() {
        assert_eq!(LittlesLaw::of(64, 0.5, &[ended(100_000, 0.1)]), None);
        assert_eq!(LittlesLaw::of(64, 10.0, &[ended(6_399, 1.0)]), None);
        assert_eq!(LittlesLaw::of(0, 10.0, &[ended(6_400, 1.0)]), None);
        assert_eq!(LittlesLaw::of(1, 10.0, &[Ended::default()]), None);
    }

    proptest! {
        #[test]
        fn a_loop_that_is_always_full_keeps_the_law(
            slots in 1_u64..1000,
            window_s in 1.0..1000.0_f64,
            mean_ms in 0.01..5.0_f64,
        ) {
            let count = (slots as f64 * window_s * 1000.0 / mean_ms).floor();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let count = count as u64;
            let law = LittlesLaw::of(slots, window_s, &[ended(count, mean_ms)]);
            prop_assert!(law.is_some_and(|law| law.holds), "{:?}", law);
        }
    }
}
