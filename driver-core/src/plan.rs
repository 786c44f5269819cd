//! A node's share of a test, and each core's share of that.

use proto::workload::Workload;

use crate::schedule::{Schedule, Segment};

/// What one node does in a test.
#[derive(Debug, Clone)]
pub struct Plan {
    workload: Workload,
    /// `None` for a closed loop.
    schedule: Option<Schedule>,
}

impl Plan {
    /// The plan of participant `index` of `count`. Workloads say what each driver does, so nothing
    /// is divided between them; only staggered nodes differ, by their place within the gap.
    ///
    /// # Panics
    /// Unless `index < count`.
    #[must_use]
    pub fn new(workload: Workload, index: u32, count: u32) -> Self {
        assert!(index < count, "participant {index} of {count}");
        let schedule = Schedule::new(&workload.arrival).map(|schedule| {
            if workload.phase {
                schedule.staggered(index, count)
            } else {
                schedule
            }
        });
        Self { workload, schedule }
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

    /// Cores of `available` that get at least one connection each.
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
        let open_loop = self.schedule.clone().map(|schedule| {
            let mut count = self.workload.limit.requests.unwrap_or(u64::MAX);
            if let Some(duration_ns) = self.workload.limit.duration_ns {
                count = count.min(schedule.count_within(duration_ns));
            }
            OpenLoop {
                schedule,
                segment,
                count: segment.share(count),
            }
        });
        Share {
            core,
            connections: usize::try_from(connections).expect("invariant: at most 50000"),
            open_loop,
        }
    }
}

/// What one core does in a test.
#[derive(Debug, Clone)]
pub struct Share {
    /// The core's number within the node, from 0.
    pub core: usize,
    /// Its connections.
    pub connections: usize,
    /// Its part of the schedule; `None` in a closed loop, where cores lease from a common count.
    pub open_loop: Option<OpenLoop>,
}

/// One core's part of an open loop.
#[derive(Debug, Clone)]
pub struct OpenLoop {
    schedule: Schedule,
    segment: Segment,
    /// Requests of this part.
    count: u64,
}

impl OpenLoop {
    /// The part of the same shape that warms up, without an end of its own.
    #[must_use]
    pub fn warm_up(&self) -> Self {
        Self {
            schedule: self.schedule.warm_up(),
            segment: self.segment,
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

    /// Requests of this part; `u64::MAX` for no limit.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}
