//! What is due: how far a core has gone through its plan.
//!
//! A closed loop leases from the node's common count; an open loop moves two cursors through its
//! schedule, since what was offered may have to wait. What the peer returns unprocessed is due again
//! before anything else, with the instant at which it was first intended.

use std::collections::VecDeque;

use crate::plan::{OpenLoop, Switch, first_without};

/// Times that a request may be returned; after the last it is not sent again.
const RETURNS_MAX: u8 = 3;

/// A request that the peer returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Returned {
    pub intended_ns: u64,
    /// How many times.
    pub returned: u8,
}

/// Requests that are to be sent again, oldest first.
#[derive(Debug, Default)]
pub(super) struct ReturnedQueue(VecDeque<Returned>);

impl ReturnedQueue {
    /// Takes one in; `false` when it has been returned too often.
    pub(super) fn put(&mut self, request: Returned) -> bool {
        if request.returned >= RETURNS_MAX {
            return false;
        }
        let at = self
            .0
            .partition_point(|other| other.intended_ns <= request.intended_ns);
        self.0.insert(at, request);
        true
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The oldest.
    pub(super) fn take(&mut self) -> Option<Returned> {
        self.0.pop_front()
    }

    /// Takes out what was intended before `in_time_ns`; returns how much that was.
    pub(super) fn shed(&mut self, in_time_ns: u64) -> u64 {
        let late = self
            .0
            .partition_point(|request| request.intended_ns < in_time_ns);
        self.0.drain(..late).count() as u64
    }

    /// Takes everything out; returns how much that was.
    pub(super) fn clear(&mut self) -> u64 {
        self.0.drain(..).count() as u64
    }
}

/// A request of a session that the peer returned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Again<J> {
    pub intended_ns: u64,
    /// How many times.
    pub returned: u8,
    pub job: J,
}

impl<J> Again<J> {
    /// Whether it is sent once more.
    pub(super) fn is_worth_it(&self) -> bool {
        self.returned < RETURNS_MAX
    }
}

/// Closed or open loop, and how far it is.
pub(super) enum Loop {
    /// Sessions say themselves what is due; whether they start only when others end.
    Sessions {
        waits: bool,
    },
    /// What is left of the lease; without a count there is no end to it.
    Closed {
        leased: u64,
        counted: bool,
    },
    Open(Box<Open>),
}

/// An open loop: two cursors go through the plan, since what was offered may have to wait.
pub(super) struct Open {
    pub measured: OpenLoop,
    current: OpenLoop,
    /// Requests whose intended start has come.
    pub offered: u64,
    /// Requests that were sent or shed.
    pub released: u64,
    /// When request `offered` is intended; `u64::MAX` after the last.
    pub next_ns: u64,
    /// When the last of those offered was intended.
    pub last_ns: u64,
    /// Until when it waits for another rate, though nothing more is offered at this one; 0 once that
    /// instant has come.
    pub held_ns: u64,
}

impl Open {
    pub(super) fn new(measured: OpenLoop) -> Self {
        let current = measured.clone();
        Self {
            measured,
            current,
            offered: 0,
            released: 0,
            next_ns: 0,
            last_ns: 0,
            held_ns: 0,
        }
    }

    /// Begins with a part, which is measured after a warm-up of that length, if it was warmed up.
    pub(super) fn begin(&mut self, current: OpenLoop, origin_ns: u64, warmup_ns: u64) {
        (self.current, self.offered, self.released) = (current, 0, 0);
        (self.next_ns, self.last_ns) = (self.instant_ns(0, origin_ns), origin_ns);
        let held_ns = self.current.held_ns(warmup_ns);
        self.held_ns = held_ns.map_or(0, |held_ns| origin_ns.saturating_add(held_ns));
    }

    /// Changes the rate of the measured load, which goes on: what was offered stays as it was.
    pub(super) fn switch(&mut self, switch: &Switch, origin_ns: u64) {
        self.measured = self.measured.switched(switch);
        self.current = self.measured.clone();
        self.next_ns = self.instant_ns(self.offered, origin_ns);
    }

    pub(super) fn instant_ns(&self, nth: u64, origin_ns: u64) -> u64 {
        let intended_ns = self.current.intended_ns(nth);
        intended_ns.map_or(u64::MAX, |intended_ns| {
            origin_ns.saturating_add(intended_ns)
        })
    }

    /// Moves the first cursor up to now; returns how many requests that offered. It searches rather
    /// than walks, since a plan may ask for more in a turn than can be walked in it.
    pub(super) fn offer(&mut self, now_ns: u64, origin_ns: u64) -> u64 {
        if self.next_ns > now_ns {
            return 0;
        }
        let before = self.offered;
        self.offered = first_without(before, |nth| self.instant_ns(nth, origin_ns) <= now_ns);
        self.last_ns = self.instant_ns(self.offered - 1, origin_ns);
        self.next_ns = self.instant_ns(self.offered, origin_ns);
        self.offered - before
    }

    /// Takes what was intended before `in_time_ns` out of the backlog; returns how much that was.
    pub(super) fn shed(&mut self, in_time_ns: u64, origin_ns: u64) -> u64 {
        let is_late = |nth| nth < self.offered && self.instant_ns(nth, origin_ns) < in_time_ns;
        let before = self.released;
        self.released = first_without(before, is_late);
        self.released - before
    }

    /// Takes everything out of the backlog; returns how much that was.
    pub(super) fn clear(&mut self) -> u64 {
        let before = std::mem::replace(&mut self.released, self.offered);
        self.offered - before
    }

    /// Whether nothing more is going to be offered.
    pub(super) fn is_exhausted(&self) -> bool {
        self.next_ns == u64::MAX
    }

    pub(super) fn backlog(&self) -> u64 {
        self.offered - self.released
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::document::{Defaults, Params};
    use proto::workload::{TestType, Workload};

    use super::*;
    use crate::plan::Plan;

    fn open(gap_s: f64, burst: u64, requests: u64) -> Open {
        let params = Params {
            burst: Some(burst),
            requests: Some(requests),
            ..Params::default()
        };
        let defaults = Defaults::of_rest(TestType::Tsunami, "http://127.0.0.1:8000/");
        let workload = Workload::from_params(TestType::Tsunami, gap_s, &params, &defaults).unwrap();
        let share = Plan::new(workload).share(0, 1);
        let measured = share.open_loop.unwrap();
        let mut open = Open::new(measured.clone());
        open.begin(measured, 0, 0);
        open
    }

    #[test]
    fn a_plan_that_nobody_could_walk_through_is_offered_and_shed_at_once() {
        let mut open = open(1e-9, 1_000_000, 1_000_000_000_000);
        assert_eq!(open.offer(99_999, 0), 100_000_000_000);
        assert_eq!(open.shed(50_000, 0), 50_000_000_000);
        assert_eq!(open.shed(50_000, 0), 0);
        assert_eq!(open.offer(u64::MAX - 1, 0), 900_000_000_000);
        assert_eq!((open.next_ns, open.last_ns), (u64::MAX, 999_999));
        assert_eq!(open.shed(u64::MAX, 0), open.offered - 50_000_000_000);
        assert_eq!(open.backlog(), 0);
    }

    proptest! {
        #[test]
        fn what_is_offered_and_shed_is_what_walking_finds(
            burst in 1..50_u64,
            requests in 1..500_u64,
            mut instants in prop::collection::vec((0..60_000_000_u64, 0..60_000_000_u64), 1..10),
        ) {
            let mut open = open(0.001, burst, requests);
            let (intended, mut shed) = (open.measured.clone(), 0);
            let until = |ns: u64| {
                let is_due = |nth: &u64| intended.intended_ns(*nth).unwrap() <= ns;
                (0..requests).filter(is_due).count() as u64
            };
            instants.sort_unstable();
            for (now_ns, in_time_ns) in instants {
                open.offer(now_ns, 0);
                let offered = until(now_ns);
                prop_assert_eq!(open.offered, offered);
                prop_assert_eq!(open.next_ns, intended.intended_ns(offered).unwrap_or(u64::MAX));
                shed += open.shed(in_time_ns, 0);
                prop_assert_eq!(open.released, shed);
                let late = in_time_ns.checked_sub(1).map_or(0, until);
                prop_assert!(shed >= late.min(offered));
            }
        }
    }
}
