//! How far a node's wall clock is from the orchestrator's.

use serde::{Deserialize, Serialize};

use crate::lenient::{self, Signed, Whole};

/// A node's wall clock against the orchestrator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// The node's clock minus the orchestrator's, ns.
    #[serde(deserialize_with = "lenient::one::<_, Signed, _>")]
    pub offset_ns: i64,
    /// The true offset lies within ± this of `offset_ns`.
    #[serde(deserialize_with = "lenient::one::<_, Whole, _>")]
    pub uncertainty_ns: u64,
}

impl ClockOffset {
    /// The correction to apply: the offset where it is known to be real, otherwise none. An
    /// offset within its uncertainty may as well be zero.
    #[must_use]
    pub fn applied_ns(self) -> i64 {
        if self.offset_ns.unsigned_abs() > self.uncertainty_ns {
            self.offset_ns
        } else {
            0
        }
    }
}
