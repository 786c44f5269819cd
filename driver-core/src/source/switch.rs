//! A change of the rate, as a plan and the sessions take it on.

use proto::workload::Rate;

/// A change of the rate, as one node follows it. Instants are ns after the start of the measured load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// When the new grid begins, with index 0; where nodes are staggered, this node's place in its gap
    /// later than the others'.
    pub at_ns: u64,
    /// From when on this node follows it.
    pub join_ns: u64,
    /// The end of the stage in which it stands; `None` for a stage that has none.
    pub end_ns: Option<u64>,
    /// The rate.
    pub rate: Rate,
}
