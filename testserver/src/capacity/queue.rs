//! One server, first come, first served, in virtual time. Pure: nanoseconds are arguments.

use std::collections::VecDeque;
use std::time::Duration;

/// How a queue breaks under overload, and when it recovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collapse {
    /// It breaks when more than so many requests are there, those that wait and the one that is
    /// served.
    pub above: u32,
    /// How many times as long each request takes from then on.
    pub factor: u32,
    /// How long the queue has to be empty until it is as before.
    pub calm: Duration,
}

/// The queue: when its server is free, and who is there until when.
#[derive(Debug, Default)]
pub struct Queue {
    free_ns: u64,
    /// When each of those that are there will leave, in that order.
    ends_ns: VecDeque<u64>,
    is_slow: bool,
    len_max: u64,
    collapses: u64,
    refusals: u64,
}

impl Queue {
    /// A request comes and takes so long to serve. Gives the instant at which that is over, `None`
    /// (and nothing changes) when it would have to wait longer than `wait_max_ns` for its turn.
    ///
    /// Those that are there already leave when they were told, also when the queue collapses.
    pub fn join(
        &mut self,
        now_ns: u64,
        service_ns: u64,
        collapse: Option<Collapse>,
        wait_max_ns: u64,
    ) -> Option<u64> {
        let before = self.len(now_ns);
        let begin_ns = self.free_ns.max(now_ns);
        if begin_ns - now_ns > wait_max_ns {
            self.refusals += 1;
            return None;
        }
        let factor = collapse.map_or(1, |collapse| self.factor(now_ns, before + 1, collapse));
        let end_ns = begin_ns.saturating_add(service_ns.saturating_mul(factor));
        self.free_ns = end_ns;
        self.ends_ns.push_back(end_ns);
        self.len_max = self.len_max.max(before + 1);
        Some(end_ns)
    }

    /// How many are there.
    pub fn len(&mut self, now_ns: u64) -> u64 {
        while self.ends_ns.front().is_some_and(|&end_ns| end_ns <= now_ns) {
            self.ends_ns.pop_front();
        }
        self.ends_ns.len() as u64
    }

    /// The most that were there at any time.
    #[must_use]
    pub fn len_max(&self) -> u64 {
        self.len_max
    }

    /// How often it collapsed.
    #[must_use]
    pub fn collapses(&self) -> u64 {
        self.collapses
    }

    /// Requests that would have had to wait too long.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refusals
    }

    /// How many times as long a request takes that makes the queue so long.
    fn factor(&mut self, now_ns: u64, len: u64, collapse: Collapse) -> u64 {
        let calm_ns = u64::try_from(collapse.calm.as_nanos()).unwrap_or(u64::MAX);
        let was_empty_ns = now_ns.saturating_sub(self.free_ns);
        if self.is_slow && len == 1 && was_empty_ns >= calm_ns {
            self.is_slow = false;
        }
        if !self.is_slow && len > u64::from(collapse.above) {
            self.is_slow = true;
            self.collapses += 1;
        }
        if self.is_slow {
            collapse.factor.into()
        } else {
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;
    const NO_LIMIT: u64 = u64::MAX;

    #[test]
    fn who_comes_while_one_is_served_waits_for_its_end() {
        let mut queue = Queue::default();
        assert_eq!(queue.join(5 * MS, MS, None, NO_LIMIT), Some(6 * MS));
        assert_eq!(queue.join(5 * MS, MS, None, NO_LIMIT), Some(7 * MS));
        assert_eq!(queue.join(6 * MS, MS, None, NO_LIMIT), Some(8 * MS));
        assert_eq!((queue.len(6 * MS), queue.len_max()), (2, 2));
        assert_eq!(queue.join(20 * MS, MS, None, NO_LIMIT), Some(21 * MS));
        assert_eq!(queue.len(21 * MS), 0);
    }

    #[test]
    fn who_would_wait_too_long_is_turned_away_and_takes_no_time() {
        let mut queue = Queue::default();
        assert_eq!(queue.join(0, 10 * MS, None, 5 * MS), Some(10 * MS));
        assert_eq!(queue.join(0, 10 * MS, None, 5 * MS), None);
        assert_eq!(queue.refusals(), 1);
        assert_eq!(queue.join(5 * MS, 10 * MS, None, 5 * MS), Some(20 * MS));
    }

    #[test]
    fn a_collapsed_queue_is_slow_until_it_was_empty_for_a_while() {
        let collapse = Some(Collapse {
            above: 2,
            factor: 5,
            calm: Duration::from_millis(100),
        });
        let mut queue = Queue::default();
        let mut join = |now_ms: u64| queue.join(now_ms * MS, MS, collapse, NO_LIMIT).unwrap() / MS;
        assert_eq!([join(0), join(0)], [1, 2], "two are within the limit");
        assert_eq!(join(0), 7, "the third breaks it: 5 ms after the second");
        assert_eq!(join(50), 55, "empty since 7 ms, not for long enough");
        assert_eq!(join(154), 159, "empty for 99 ms");
        assert_eq!(join(259), 260, "empty for 100 ms: as before");
        assert_eq!(queue.collapses(), 1);
    }

    proptest! {
        /// Whatever comes when: nobody overtakes, nobody is served in no time, and the server never
        /// rests while somebody waits.
        #[test]
        fn the_order_is_kept_and_the_server_is_never_idle_while_one_waits(
            arrivals in prop::collection::vec((0u64..5, 1u64..4), 1..200)
        ) {
            let mut queue = Queue::default();
            let (mut now_ns, mut last_ns) = (0, 0);
            for (gap_ns, service_ns) in arrivals {
                now_ns += gap_ns;
                let end_ns = queue.join(now_ns, service_ns, None, NO_LIMIT).unwrap();
                prop_assert_eq!(end_ns, last_ns.max(now_ns) + service_ns);
                last_ns = end_ns;
            }
            prop_assert_eq!(queue.len(last_ns), 0);
        }
    }
}
