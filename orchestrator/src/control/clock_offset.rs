//! How far a driver's wall clock is from ours, measured by probes over the heartbeat topic.
//!
//! As NTP does it: we send at `t0`, the driver reads at `t1` and answers at `t2` in its clock, we
//! read at `t3`. The offset is `((t1 - t0) + (t2 - t3)) / 2`, and the true one lies within half of
//! the time that the messages were under way, however that time was spread over the two ways. The
//! broker's polling makes most probes slow; so the narrowest of the recent ones is believed.

use std::collections::VecDeque;

use proto::measure::ClockOffset;
use proto::message::ClockEcho;

/// Probes that are remembered, one a second: older ones say little about a drifting clock.
const WINDOW: usize = 30;
/// Probes under way for longer than this measure a queue, not a clock, ns.
const ROUND_TRIP_NS_MAX: i128 = 5_000_000_000;

/// The recent probes of one driver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Estimator {
    recent: VecDeque<ClockOffset>,
}

impl Estimator {
    /// Takes in an echo that we read at this instant of our wall clock.
    pub fn observe(&mut self, echo: &ClockEcho, read_unix_ns: u64) {
        let Some(offset) = measure(echo, read_unix_ns) else {
            return;
        };
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(offset);
    }

    /// The best recent measurement.
    #[must_use]
    pub fn best(&self) -> Option<ClockOffset> {
        let narrowest = self
            .recent
            .iter()
            .min_by_key(|offset| offset.uncertainty_ns);
        narrowest.copied()
    }
}

/// One probe; `None` when a clock was stepped while it was under way, or it waited in a queue.
fn measure(echo: &ClockEcho, read_unix_ns: u64) -> Option<ClockOffset> {
    let [t0, t1, t2, t3] = [
        echo.sent_unix_ns,
        echo.received_unix_ns,
        echo.echoed_unix_ns,
        read_unix_ns,
    ]
    .map(i128::from);
    let under_way = (t3 - t0) - (t2 - t1);
    if t3 < t0 || t2 < t1 || !(0..=ROUND_TRIP_NS_MAX).contains(&under_way) {
        return None;
    }
    Some(ClockOffset {
        offset_ns: i64::try_from((t1 - t0).midpoint(t2 - t3)).ok()?,
        uncertainty_ns: u64::try_from((under_way + 1) / 2).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: u64 = 1_700_000_000_000_000_000;

    fn echo(offset_ns: i64, there_ns: u64, held_ns: u64, back_ns: u64) -> (ClockEcho, u64) {
        let received = T0 + there_ns;
        let echo = ClockEcho {
            probe_id: 1,
            sent_unix_ns: T0,
            received_unix_ns: received.saturating_add_signed(offset_ns),
            echoed_unix_ns: (received + held_ns).saturating_add_signed(offset_ns),
        };
        (echo, received + held_ns + back_ns)
    }

    proptest! {
        #[test]
        fn the_true_offset_lies_within_the_uncertainty(
            offset in -3_600_000_000_000_i64..3_600_000_000_000,
            there in 0_u64..1_000_000_000, held in 0_u64..2_000_000_000, back in 0_u64..1_000_000_000,
        ) {
            let (echo, read) = echo(offset, there, held, back);
            let measured = measure(&echo, read).unwrap();
            prop_assert!(measured.offset_ns.abs_diff(offset) <= measured.uncertainty_ns);
            prop_assert!(measured.uncertainty_ns <= (there + back).div_ceil(2));
        }
    }

    #[test]
    fn the_narrowest_recent_probe_is_believed() {
        let mut estimator = Estimator::default();
        for (there, back) in [
            (9_000_000, 1_000_000),
            (300_000, 200_000),
            (5_000_000, 5_000_000),
        ] {
            let (echo, read) = echo(2_000_000, there, 500_000_000, back);
            estimator.observe(&echo, read);
        }
        let best = estimator.best().unwrap();
        assert_eq!(best.uncertainty_ns, 250_000);
        assert_eq!(best.offset_ns, 2_050_000);
        for _ in 0..WINDOW {
            let (echo, read) = echo(2_000_000, 4_000_000, 0, 4_000_000);
            estimator.observe(&echo, read);
        }
        assert_eq!(
            estimator.best().unwrap().uncertainty_ns,
            4_000_000,
            "old ones are forgotten"
        );
    }

    #[test]
    fn stepped_clocks_and_queued_echoes_measure_nothing() {
        let mut estimator = Estimator::default();
        let (good, read) = echo(0, 1_000, 1_000, 1_000);
        estimator.observe(&good, T0 - 1);
        estimator.observe(
            &ClockEcho {
                echoed_unix_ns: T0,
                ..good
            },
            read,
        );
        estimator.observe(&good, read + 60_000_000_000);
        estimator.observe(
            &ClockEcho {
                echoed_unix_ns: u64::MAX,
                received_unix_ns: 0,
                ..good
            },
            read,
        );
        assert_eq!(estimator.best(), None);
    }
}
