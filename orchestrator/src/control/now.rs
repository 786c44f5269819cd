//! The three clocks, each for one meaning.
//!
//! The wall clock is what people and retention read. The monotonic clock serves caches and
//! deadlines: a step of the wall clock moves none of them. Message time is the timestamp of our own
//! pulses as they are read back: producers' timestamps are data, shown and never compared, since
//! a driver's clock may be hours away from ours.

/// Our pulses leave once a second: message time goes on for that long without one, ms.
const PULSE_MS: u64 = 1_000;
/// A pulse that is older than the last by more than this was sent after our clock was set back, ms.
const SET_BACK_MS: u64 = 3_000;
/// The wall clock drifts against the monotonic one, but not by so much between two looks, ns.
const STEP_NS: u128 = 50_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// When an event is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// When it happened, ms since 1970: the wall clock, but for messages message time, which the
    /// fold itself fills in.
    pub happened_ms: u64,
    /// Our wall clock, ns since 1970.
    pub wall_ns: u64,
    /// Our monotonic clock, ns since some instant of this process's life.
    pub mono_ns: u64,
}

impl Now {
    /// Both clocks, read together.
    #[must_use]
    pub const fn new(wall_ns: u64, mono_ns: u64) -> Self {
        Self {
            happened_ms: wall_ns / NS_PER_MS,
            wall_ns,
            mono_ns,
        }
    }

    /// Time since an instant of the monotonic clock, ns.
    #[must_use]
    pub const fn since_ns(&self, mono_ns: u64) -> u64 {
        self.mono_ns.saturating_sub(mono_ns)
    }
}

/// Message time, and whether our wall clock was set.
#[derive(Debug, Default)]
pub(super) struct MessageClock {
    pulse_ms: Option<u64>,
    /// When that pulse was read, by the monotonic clock, ns; `None` in a former life.
    read_mono_ns: Option<u64>,
    /// Wall clock minus monotonic clock at the last look, ns.
    difference_ns: Option<i128>,
}

impl MessageClock {
    /// As it stood when the store was last written.
    pub(super) fn restore(pulse_ms: Option<u64>) -> Self {
        Self {
            pulse_ms,
            ..Self::default()
        }
    }

    /// A pulse of ours was read back; whether time went on.
    pub(super) fn pulse(&mut self, sent_ms: u64, now: Now) -> bool {
        let last_ms = self.pulse_ms.unwrap_or(0);
        let is_new = sent_ms > last_ms || last_ms - sent_ms > SET_BACK_MS;
        if is_new {
            self.pulse_ms = Some(sent_ms);
            self.read_mono_ns = Some(now.mono_ns);
        }
        is_new
    }

    /// When a message that is read now happened: at the last pulse before it, and the time since
    /// that was read, of at most one pulse.
    pub(super) fn of_message(&self, now: Now) -> Now {
        let since_ms = |read_ns: u64| (now.since_ns(read_ns) / NS_PER_MS).min(PULSE_MS);
        let pulse = |pulse_ms: u64| pulse_ms + self.read_mono_ns.map_or(0, since_ms);
        Now {
            happened_ms: self.pulse_ms.map_or(now.happened_ms, pulse),
            ..now
        }
    }

    /// Whether our wall clock was set since the last look.
    pub(super) fn was_set(&mut self, now: Now) -> bool {
        let difference_ns = i128::from(now.wall_ns) - i128::from(now.mono_ns);
        let before = self.difference_ns.replace(difference_ns);
        before.is_some_and(|before| before.abs_diff(difference_ns) > STEP_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn messages_happen_at_the_last_pulse_and_little_later() {
        let mut clock = MessageClock::default();
        let now = Now::new(500 * SECOND_NS, 7 * SECOND_NS);
        assert_eq!(clock.of_message(now), now, "before the first pulse");
        assert!(clock.pulse(400_000, now));
        assert!(!clock.pulse(399_000, now), "it came twice");
        let after = |ns: u64| Now::new(now.wall_ns + ns, now.mono_ns + ns);
        let happened_ms = |clock: &MessageClock, ns| clock.of_message(after(ns)).happened_ms;
        assert_eq!(happened_ms(&clock, SECOND_NS / 2), 400_500);
        assert_eq!(happened_ms(&clock, 60 * SECOND_NS), 401_000);
        assert!(clock.pulse(1_000, now), "our clock was set back");
        let restored = MessageClock::restore(Some(400_000));
        assert_eq!(happened_ms(&restored, 60 * SECOND_NS), 400_000);
    }

    #[test]
    fn a_step_of_the_wall_clock_is_seen_and_drift_is_none() {
        let mut clock = MessageClock::default();
        let at = |wall_s: u64, mono_ns| Now::new(wall_s * SECOND_NS, mono_ns);
        assert!(!clock.was_set(at(5000, 0)));
        assert!(!clock.was_set(at(5001, SECOND_NS + 1_000_000)));
        assert!(clock.was_set(at(1402, 2 * SECOND_NS)));
        assert!(!clock.was_set(at(1403, 3 * SECOND_NS)));
    }
}
