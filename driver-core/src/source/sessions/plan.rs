//! What is known of a step before the load.

use proto::workload::{Fill, Hole, Step};

use crate::protocol::{Fields, Watches};

/// It.
#[derive(Debug)]
pub(super) struct StepPlan {
    /// The server that it goes to.
    pub(super) server: usize,
    /// Holes whose value may be missing, or not fit: rows were checked when they were read.
    pub(super) doubtful: Vec<Hole>,
    pub(super) has_sequence: bool,
    pub(super) watches: Watches,
}

impl StepPlan {
    /// Of a step whose session keeps `cookies` or not.
    pub(super) fn of(step: &Step, cookies: bool) -> Self {
        let holes = &step.request.holes;
        let is_doubtful = |hole: &&Hole| matches!(hole.fill, Fill::Slot(_));
        let fields = match cookies {
            _ if step.reads_fields() => Fields::All,
            true => Fields::Cookies,
            false => Fields::None,
        };
        Self {
            server: step.request.target,
            doubtful: holes.iter().filter(is_doubtful).copied().collect(),
            has_sequence: holes.iter().any(|hole| hole.fill == Fill::Seq),
            watches: Watches {
                fields,
                body: step.reads_body(),
            },
        }
    }
}
