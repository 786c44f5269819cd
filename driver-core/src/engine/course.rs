//! Where a core is in its load: its phase, and how far it has gone through its plan.

use super::Limits;
use crate::plan::first_without;
use crate::plan::{OpenLoop, Plan, Share};
use crate::recording::Recorder;

/// Where a core is in the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connections are being opened, or open; the start is not known yet.
    Ready,
    /// The load starts at that instant.
    Armed { start_ns: u64 },
    /// Sending, unmeasured, until that instant.
    WarmUp { until_ns: u64 },
    /// Sending.
    Running,
    /// Nothing more is sent; what is in flight is waited for, at most until that instant.
    Draining { until_ns: u64 },
    /// Nothing is in flight any more.
    Over,
}

/// The load of one core.
pub(super) struct Load {
    pub phase: Phase,
    pub kind: Kind,
    /// Start of the phase that sends.
    pub origin_ns: u64,
    /// When to look next whether there is a connection; `u64::MAX` before the start.
    pub check_ns: u64,
    /// Since when no core has had a connection.
    pub lost_since_ns: Option<u64>,
    /// Requests of this core that were planned from the start.
    pub planned: u64,
    /// Whether it was told to stop.
    pub stopping: bool,
}

/// Closed or open loop, and how far it is.
pub(super) enum Kind {
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
    last_ns: u64,
}

impl Open {
    fn new(measured: OpenLoop) -> Self {
        let current = measured.clone();
        Self {
            measured,
            current,
            offered: 0,
            released: 0,
            next_ns: 0,
            last_ns: 0,
        }
    }

    pub(super) fn begin(&mut self, current: OpenLoop, origin_ns: u64) {
        (self.current, self.offered, self.released) = (current, 0, 0);
        (self.next_ns, self.last_ns) = (self.instant_ns(0, origin_ns), origin_ns);
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

    pub(super) fn backlog(&self) -> u64 {
        self.offered - self.released
    }
}

impl Load {
    /// The load of `share`; what is planned goes into the first interval's counts.
    pub(super) fn new(plan: &Plan, share: &Share, recorder: &mut Recorder) -> Self {
        let (kind, mut planned) = if let Some(open_loop) = &share.open_loop {
            (
                Kind::Open(Box::new(Open::new(open_loop.clone()))),
                open_loop.count(),
            )
        } else {
            let requests = plan.workload().limit.requests;
            // The common count is one core's to plan, whoever sends it.
            let common = if share.core == 0 {
                requests.unwrap_or(0)
            } else {
                0
            };
            (
                Kind::Closed {
                    leased: 0,
                    counted: requests.is_some(),
                },
                common,
            )
        };
        if plan.planned().is_none() {
            planned = 0;
        }
        recorder.counts.planned = planned;
        let (phase, origin_ns) = (Phase::Ready, 0);
        Self {
            phase,
            kind,
            origin_ns,
            check_ns: u64::MAX,
            lost_since_ns: None,
            planned,
            stopping: false,
        }
    }

    pub(super) fn measured(&self) -> bool {
        self.phase == Phase::Running
    }

    /// When something besides a send is to be done.
    pub(super) fn next_chore_ns(&self, limits: &Limits) -> u64 {
        let end_ns = match self.phase {
            Phase::Draining { until_ns } => until_ns,
            Phase::Running => self.end_ns(limits),
            _ => u64::MAX,
        };
        end_ns.min(self.next_shed_ns(limits))
    }

    /// When a load that sends has to stop, whatever is left.
    pub(super) fn end_ns(&self, limits: &Limits) -> u64 {
        match &self.kind {
            Kind::Closed { .. } => limits
                .duration_ns
                .map_or(u64::MAX, |ns| self.origin_ns.saturating_add(ns)),
            // The backlog after the last intended start gets as much time as an answer would.
            Kind::Open(open) if open.next_ns == u64::MAX => {
                open.last_ns.saturating_add(limits.timeout_ns)
            }
            Kind::Open(_) => u64::MAX,
        }
    }

    /// When the request that has waited longest is past its deadline.
    fn next_shed_ns(&self, limits: &Limits) -> u64 {
        match (&self.kind, limits.deadline_ns) {
            (Kind::Open(open), Some(deadline_ns)) if open.backlog() > 0 => open
                .instant_ns(open.released, self.origin_ns)
                .saturating_add(deadline_ns)
                .saturating_add(1),
            _ => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::document::{Defaults, Params};
    use proto::workload::{TestType, Workload};

    use super::*;

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
        open.begin(measured, 0);
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
