//! What the numbers of a run can be held against.
//!
//! Whether rate and response time go together: Little's law (Operations Research 9, 1961), by which
//! requests in flight = rate × time of each. In a closed loop every connection always has its
//! requests in flight, so that the mean response time says which rate it takes: what was counted and
//! what was timed come to the same number by different ways, or one of them is wrong.
//!
//! And how full the link was by which a machine sent: a rate that it ends at is the network's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::validity::Doubt;
use crate::measure::Environment;

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

/// Share of what a link can carry from which on it was full: heads of packets, which nobody counts
/// here, take at least a twentieth.
const FULL_MIN: f64 = 0.9;

/// What went over the network interface of one machine, against what it can carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkUse {
    /// The machine; empty where it has no name.
    pub hostname: String,
    /// Its interface.
    pub interface: String,
    /// What that can carry in each direction, Mbit/s.
    pub mbit_per_s: f64,
    /// Requests, in the mean over the time of sending, Mbit/s.
    pub sent_mbit_per_s: f64,
    /// Answers likewise, Mbit/s.
    pub received_mbit_per_s: f64,
    /// Whether a direction was near what the link can carry.
    pub is_full: bool,
}

impl LinkUse {
    /// The links that the nodes of a run used, each once: drivers on one machine share it. A node is
    /// its environment with the bytes a second that it sent and received.
    pub(super) fn of<'a>(nodes: impl Iterator<Item = (&'a Environment, [f64; 2])>) -> Vec<Self> {
        let mut links: BTreeMap<(&str, &str), Self> = BTreeMap::new();
        for (environment, bytes_per_s) in nodes {
            let Some((interface, speed)) = link(environment) else {
                continue;
            };
            let hostname = environment.hostname.as_deref().unwrap_or_default();
            let link = links.entry((hostname, interface)).or_insert_with(|| Self {
                hostname: hostname.to_owned(),
                interface: interface.to_owned(),
                mbit_per_s: speed as f64,
                sent_mbit_per_s: 0.0,
                received_mbit_per_s: 0.0,
                is_full: false,
            });
            let [sent, received] = bytes_per_s.map(|bytes| bytes * 8.0 / 1e6);
            link.sent_mbit_per_s += sent;
            link.received_mbit_per_s += received;
            link.is_full = link.share() >= FULL_MIN;
        }
        links.into_values().collect()
    }

    /// The fuller direction's share of what the link can carry.
    fn share(&self) -> f64 {
        self.sent_mbit_per_s.max(self.received_mbit_per_s) / self.mbit_per_s
    }

    /// The fullest of them.
    #[must_use]
    pub fn fullest(links: &[Self]) -> Option<&Self> {
        links
            .iter()
            .max_by(|one, other| one.share().total_cmp(&other.share()))
    }

    /// The reason against the run where it was full.
    pub(super) fn doubt(&self) -> Option<Doubt<'_>> {
        self.is_full.then_some(Doubt::LinkFull { link: self })
    }

    /// `eth0 can carry 1000 Mbit/s; 12.3 Mbit/s sent and 480.0 Mbit/s received were seen`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self {
            interface,
            mbit_per_s,
            sent_mbit_per_s,
            received_mbit_per_s,
            ..
        } = self;
        let of = if self.hostname.is_empty() {
            String::new()
        } else {
            format!(" of {}", self.hostname)
        };
        format!(
            "{interface}{of} can carry {mbit_per_s} Mbit/s; {sent_mbit_per_s:.1} Mbit/s sent and \
             {received_mbit_per_s:.1} Mbit/s received were seen"
        )
    }
}

fn link(of: &Environment) -> Option<(&str, u64)> {
    let speed = of.link_mbit_per_s.filter(|speed| *speed > 0)?;
    Some((of.interface.as_deref()?, speed))
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

    fn machine(hostname: &str, link_mbit_per_s: Option<u64>) -> Environment {
        Environment {
            hostname: Some(hostname.to_owned()),
            interface: Some("eth0".to_owned()),
            link_mbit_per_s,
            ..Environment::default()
        }
    }

    #[test]
    fn a_link_is_full_where_the_drivers_of_a_machine_fill_a_direction_of_it() {
        let [a, b, c] = ["a", "b", "c"].map(|name| machine(name, Some(1000)));
        // 1000 Mbit/s are 125 MB/s.
        let nodes = [
            (&a, [1e6, 60e6]),
            (&b, [100e6, 100e6]),
            (&a, [1e6, 55e6]),
            (&c, [113e6, 1e6]),
        ];
        let links = LinkUse::of(nodes.into_iter());
        let full: Vec<(&str, bool)> = links
            .iter()
            .map(|link| (link.hostname.as_str(), link.is_full))
            .collect();
        assert_eq!(full, [("a", true), ("b", false), ("c", true)]);
        let fullest = LinkUse::fullest(&links).unwrap();
        assert_eq!(
            fullest.in_words(),
            "eth0 of a can carry 1000 Mbit/s; 16.0 Mbit/s sent and 920.0 Mbit/s received were seen"
        );
        let said = fullest.doubt().unwrap().to_string();
        assert!(
            said.starts_with("the network was the limit: eth0 of a"),
            "{said}"
        );
        assert_eq!(links[1].doubt(), None);
    }

    #[test]
    fn a_link_whose_speed_is_not_known_says_nothing() {
        let unknown = [
            machine("a", None),
            machine("a", Some(0)),
            Environment::default(),
        ];
        let nodes = unknown.iter().map(|environment| (environment, [1e9, 1e9]));
        assert_eq!(LinkUse::of(nodes), []);
        assert_eq!(LinkUse::fullest(&[]), None);
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
