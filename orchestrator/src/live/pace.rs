//! When the next result of a run is made.
//!
//! The drivers of a run report together, once a second. A result that is made of the first few of a
//! thousand reports is dear and soon out of date; so one waits until they have stopped coming. How
//! long it rests after that follows from what the last one took.

use std::time::{Duration, Instant};

/// Reports that come within this time of each other are of one burst: two turns of the control
/// thread, which shows what it took in once a turn.
const SETTLE: Duration = Duration::from_millis(40);
/// Nobody waits longer than this for the end of a burst, or for a result that is dear.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Making results may take a quarter of a core: each rests for three times as long as it took.
const REST: u32 = 3;

/// How long a result that took so long to make is good enough although the run has changed.
pub(super) fn pause(took: Duration) -> Duration {
    took.saturating_mul(REST).min(PAUSE_MAX)
}

/// What was seen of the changes since the last result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Burst {
    version: u64,
    began: Instant,
    last: Instant,
}

impl Burst {
    /// One that begins with this version.
    pub(super) fn new(version: u64, now: Instant) -> Self {
        Self {
            version,
            began: now,
            last: now,
        }
    }

    /// Takes note of the version that is there now, and that `made` is the one of the last result;
    /// says for how long the next one is still waited for.
    pub(super) fn wait(&mut self, made: u64, version: u64, now: Instant) -> Duration {
        if self.version <= made {
            *self = Self::new(version, now);
        } else if self.version != version {
            (self.version, self.last) = (version, now);
        }
        let left =
            |limit: Duration, since| limit.saturating_sub(now.saturating_duration_since(since));
        left(SETTLE, self.last).min(left(PAUSE_MAX, self.began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_result_is_made_when_reports_have_stopped_coming() {
        let start = Instant::now();
        let mut burst = Burst::new(1, start);
        for turn in 0..10 {
            let now = start + 20 * MS * turn;
            assert_eq!(burst.wait(1, 2 + u64::from(turn), now), SETTLE, "{turn}");
        }
        let end = start + 180 * MS;
        assert_eq!(burst.wait(1, 11, end + 30 * MS), 10 * MS);
        assert_eq!(burst.wait(1, 11, end + SETTLE), Duration::ZERO);
    }

    #[test]
    fn reports_that_never_stop_are_not_waited_for() {
        let start = Instant::now();
        let mut burst = Burst::new(1, start);
        let waits = (0..).map(|turn| burst.wait(1, 2 + u64::from(turn), start + 20 * MS * turn));
        let waited = waits.take_while(|wait| !wait.is_zero()).count();
        assert_eq!(waited, 50, "turns of 20 ms in a second");
    }

    #[test]
    fn what_came_before_a_result_does_not_count_for_the_next() {
        let start = Instant::now();
        let mut burst = Burst::new(7, start);
        let later = start + 3 * PAUSE_MAX;
        assert_eq!(burst.wait(7, 8, later), SETTLE);
        assert_eq!(burst.wait(8, 9, later + SETTLE), SETTLE);
    }

    #[test]
    fn a_dear_result_rests_for_longer_but_not_for_ever() {
        assert_eq!(pause(MS), 3 * MS);
        assert_eq!(pause(100 * MS), 300 * MS);
        assert_eq!(pause(Duration::MAX), PAUSE_MAX);
    }
}
