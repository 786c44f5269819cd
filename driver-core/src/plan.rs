//! A node's share of a test, and each core's share of that.

use std::slice;

use proto::workload::{Limit, Target, Workload, last_change_ns};

use crate::source::Cast;

mod schedule;

pub(crate) use schedule::first_without;
pub use schedule::{Schedule, Segment};

pub use crate::source::Switch;

/// What one node does in a test.
#[derive(Debug, Clone)]
pub struct Plan {
    workload: Workload,
    /// `None` for a closed loop.
    schedule: Option<Schedule>,
    /// The sessions, where the requests are not all the same.
    cast: Option<Cast>,
}

impl Plan {
    /// The plan of every participant. Workloads say what each driver does, so nothing is divided
    /// between them; only staggered nodes differ, by their place within the gap, which they learn
    /// when they are started.
    #[must_use]
    pub fn new(workload: Workload) -> Self {
        let schedule = Schedule::new(&workload.arrival);
        Self {
            workload,
            schedule,
            cast: None,
        }
    }

    /// The plan of sessions; the workload says what is not theirs: connections, timeouts, how long.
    #[must_use]
    pub fn of_sessions(workload: Workload, cast: Cast) -> Self {
        Self {
            cast: Some(cast),
            ..Self::new(workload)
        }
    }

    /// The sessions, where the requests are not all the same.
    #[must_use]
    pub fn cast(&self) -> Option<&Cast> {
        self.cast.as_ref()
    }

    /// The servers under load; the steps of sessions name them by number.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        match &self.cast {
            Some(cast) => &cast.scenario.targets,
            None => slice::from_ref(&self.workload.target),
        }
    }

    /// What the test asks of this node.
    #[must_use]
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// Requests that are planned from the start; `None` when a duration decides, whose plan is what
    /// it offered.
    #[must_use]
    pub fn planned(&self) -> Option<u64> {
        self.workload.planned_per_driver()
    }

    /// Cores of `available` that get at least one connection to each server.
    #[must_use]
    pub fn cores(&self, available: usize) -> usize {
        available.clamp(1, self.workload.connections.max(1) as usize)
    }

    /// The share of core `core` of `cores`.
    ///
    /// # Panics
    /// Unless `core < cores`.
    #[must_use]
    pub fn share(&self, core: usize, cores: usize) -> Share {
        let segment = Segment::of(core, cores);
        let connections = segment.share(u64::from(self.workload.connections));
        let schedule = self.schedule.clone();
        let open_loop =
            schedule.map(|schedule| OpenLoop::new(schedule, segment, self.workload.limit));
        Share {
            core,
            connections: usize::try_from(connections).expect("invariant: at most 50000"),
            servers: self.targets().len(),
            open_loop,
        }
    }
}

/// What one core does in a test.
#[derive(Debug, Clone)]
pub struct Share {
    /// The core's number within the node, from 0.
    pub core: usize,
    /// Its connections to each server.
    pub connections: usize,
    /// Servers.
    pub servers: usize,
    /// Its part of the schedule; `None` in a closed loop, where cores lease from a common count.
    pub open_loop: Option<OpenLoop>,
}

impl Share {
    /// Its connections to all servers.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.connections * self.servers
    }
}

/// One core's part of an open loop.
#[derive(Debug, Clone)]
pub struct OpenLoop {
    schedule: Schedule,
    segment: Segment,
    limit: Limit,
    /// Requests of this part.
    count: u64,
}

impl OpenLoop {
    fn new(schedule: Schedule, segment: Segment, limit: Limit) -> Self {
        let mut count = limit.requests.unwrap_or(u64::MAX);
        if let Some(duration_ns) = limit.duration_ns {
            count = count.min(schedule.count_within(duration_ns));
        }
        Self {
            schedule,
            segment,
            limit,
            count: segment.share(count),
        }
    }

    /// The same part with every instant so much later, within the same limits.
    #[must_use]
    pub fn delayed(&self, offset_ns: u64) -> Self {
        let schedule = self.schedule.clone().delayed(offset_ns);
        Self::new(schedule, self.segment, self.limit)
    }

    /// The same part with its rate changed on the way, within the same limits.
    #[must_use]
    pub fn switched(&self, switch: &Switch) -> Self {
        Self::new(self.schedule.switched(switch), self.segment, self.limit)
    }

    /// The part of the same shape that warms up, without an end of its own.
    #[must_use]
    pub fn warm_up(&self) -> Self {
        Self {
            schedule: self.schedule.warm_up(),
            segment: self.segment,
            limit: self.limit,
            count: u64::MAX,
        }
    }

    /// When the `nth` request of this part is intended, ns after the start; `None` after the last.
    #[must_use]
    pub fn intended_ns(&self, nth: u64) -> Option<u64> {
        if nth >= self.count {
            return None;
        }
        self.schedule.intended_ns(self.segment.index(nth))
    }

    /// How long the plan is, ns, with the gap after its last request; `None` where that is not known.
    #[must_use]
    pub fn window_ns(&self) -> Option<u64> {
        if let Some(duration_ns) = self.limit.duration_ns {
            return Some(duration_ns);
        }
        self.schedule.intended_ns(self.segment.index(self.count))
    }

    /// Until when another rate could bring more of it, though nothing is left at this one, ns after a
    /// warm-up of that length; `None` where its end is not that of its time.
    #[must_use]
    pub fn held_ns(&self, warmup_ns: u64) -> Option<u64> {
        let end_ns = self.limit.duration_ns?.saturating_add(warmup_ns);
        let most = self.limit.requests.unwrap_or(u64::MAX);
        let is_timed = self.schedule.has_rate() && self.count < self.segment.share(most);
        is_timed.then(|| last_change_ns(end_ns).saturating_sub(warmup_ns))
    }

    /// Requests of this part; `u64::MAX` for no limit.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use proto::document::{Defaults, Params};
    use proto::workload::TestType;

    use super::*;

    fn workload(params: &Params) -> Workload {
        let defaults = Defaults::of_rest(TestType::Tsunami, "http://127.0.0.1:8000/");
        Workload::from_params(TestType::Tsunami, 0.5, params, &defaults).unwrap()
    }

    #[test]
    fn the_cores_shares_are_the_whole_plan() {
        let params = Params {
            requests: Some(1_007),
            connections: Some(10),
            ..Params::default()
        };
        let plan = Plan::new(workload(&params));
        for cores in 1..=10 {
            let shares: Vec<Share> = (0..cores).map(|core| plan.share(core, cores)).collect();
            assert_eq!(
                shares.iter().map(|share| share.connections).sum::<usize>(),
                10
            );
            let parts = || shares.iter().filter_map(|share| share.open_loop.as_ref());
            assert_eq!(parts().map(OpenLoop::count).sum::<u64>(), 1_007);
            let mut instants: Vec<u64> = parts()
                .flat_map(|part| (0..part.count()).filter_map(|nth| part.intended_ns(nth)))
                .collect();
            instants.sort_unstable();
            let whole = plan.share(0, 1).open_loop.unwrap();
            assert!(
                instants
                    .into_iter()
                    .eq((0..1_007).filter_map(|nth| whole.intended_ns(nth)))
            );
        }
    }

    #[test]
    fn the_shorter_limit_counts() {
        let params = Params {
            requests: Some(1_000),
            duration_s: Some(1.0),
            ..Params::default()
        };
        let plan = Plan::new(workload(&params));
        assert_eq!(plan.share(0, 1).open_loop.unwrap().count(), 200);
        assert_eq!(plan.planned(), None);
    }

    #[test]
    fn staggered_nodes_start_within_the_first_gap() {
        let params = Params {
            phase: Some(true),
            ..Params::default()
        };
        let plan = Plan::new(workload(&params));
        let stagger_ns = |index| plan.schedule.as_ref().unwrap().stagger_ns(index, 4);
        let part = plan.share(0, 1).open_loop.unwrap();
        let first = |index| part.delayed(stagger_ns(index)).intended_ns(0);
        assert_eq!(
            [first(0), first(1), first(3)],
            [Some(0), Some(125_000_000), Some(375_000_000)]
        );
    }

    #[test]
    fn a_staggered_node_keeps_the_common_end() {
        let params = Params {
            duration_s: Some(1.25),
            burst: Some(1),
            ..Params::default()
        };
        let part = Plan::new(workload(&params)).share(0, 1).open_loop.unwrap();
        let last = |part: &OpenLoop| part.intended_ns(part.count() - 1);
        assert_eq!((part.count(), last(&part)), (3, Some(1_000_000_000)));
        let late = part.delayed(300_000_000);
        assert_eq!((late.count(), last(&late)), (2, Some(800_000_000)));
    }
}
