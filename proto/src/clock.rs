//! The two clocks of a node. Everything inside runs on the monotonic one; the wall clock serves
//! only to agree on the start of a test with other machines.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`: never steps, comparable between the threads and processes of
/// one machine, meaningless across machines.
#[must_use]
pub fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Nanoseconds since 1970 of `CLOCK_REALTIME`: comparable across machines as far as these are
/// synchronised, but may step.
#[must_use]
pub fn unix_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let fraction = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(fraction)
}

/// One reading of both clocks, taken together, by which instants of the wall clock are turned into
/// monotonic ones. Taken once when a test is armed, so that a later step of the wall clock moves
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The wall clock's reading.
    pub unix_ns: u64,
    /// The monotonic clock's reading at the same instant.
    pub monotonic_ns: u64,
}

impl Anchor {
    /// Reads both clocks. The pair with the narrowest gap of several tries is kept, so that being
    /// scheduled away between the two readings does not shift the anchor.
    #[must_use]
    pub fn now() -> Self {
        let read = || {
            let before = monotonic_ns();
            let unix_ns = unix_ns();
            let after = monotonic_ns();
            (
                after - before,
                Self {
                    unix_ns,
                    monotonic_ns: before + (after - before) / 2,
                },
            )
        };
        (0..5)
            .map(|_| read())
            .min_by_key(|(gap, _)| *gap)
            .map_or_else(|| read().1, |(_, a)| a)
    }

    /// The monotonic instant of a wall-clock instant; instants before the monotonic clock's zero
    /// become zero.
    #[must_use]
    pub fn to_monotonic(self, unix_ns: u64) -> u64 {
        shifted(self.monotonic_ns, unix_ns, self.unix_ns)
    }

    /// The wall-clock instant of a monotonic one.
    #[must_use]
    pub fn to_unix(self, monotonic_ns: u64) -> u64 {
        shifted(self.unix_ns, monotonic_ns, self.monotonic_ns)
    }
}

/// `base + (instant - origin)`, saturating at both ends.
fn shifted(base: u64, instant: u64, origin: u64) -> u64 {
    if instant >= origin {
        base.saturating_add(instant - origin)
    } else {
        base.saturating_sub(origin - instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_maps_both_ways() {
        let anchor = Anchor {
            unix_ns: 1_000_000,
            monotonic_ns: 5_000,
        };
        assert_eq!(anchor.to_monotonic(1_000_250), 5_250);
        assert_eq!(anchor.to_monotonic(999_000), 4_000);
        assert_eq!(anchor.to_monotonic(0), 0, "before the monotonic zero");
        assert_eq!(anchor.to_unix(5_250), 1_000_250);
    }

    #[test]
    fn the_monotonic_clock_never_goes_back() {
        let first = monotonic_ns();
        assert!(monotonic_ns() >= first);
    }
}
