//! What the upkeep of the store has to remember: deleted tests, and the run that is compacted.

use std::collections::{HashMap, HashSet, VecDeque};

use super::now::Now;

/// Time between two looks at what is to be done, ns.
const LOOK_EVERY_NS: u64 = 1_000_000_000;
/// Deleted tests that are remembered; the oldest are forgotten first.
const TOMBSTONES_MAX: usize = 100_000;

/// The upkeep's own state.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    looked_mono_ns: Option<u64>,
    compacting: Option<String>,
    /// Runs that could not be compacted; the next process tries them again.
    unfit: HashSet<String>,
}

impl Upkeep {
    /// Whether it is time to look; if so, it looks now.
    pub(super) fn is_time(&mut self, now: Now) -> bool {
        let is_time = |at: u64| now.since_ns(at) >= LOOK_EVERY_NS;
        if !self.looked_mono_ns.is_none_or(is_time) {
            return false;
        }
        self.looked_mono_ns = Some(now.mono_ns);
        true
    }

    /// Whether another run can be compacted now.
    pub(super) fn is_free(&self) -> bool {
        self.compacting.is_none()
    }

    /// Whether compacting a run may be tried.
    pub(super) fn is_fit(&self, test_id: &str) -> bool {
        !self.unfit.contains(test_id)
    }

    pub(super) fn begin(&mut self, test_id: &str) {
        self.compacting = Some(test_id.to_owned());
    }

    pub(super) fn end(&mut self, test_id: &str, has_failed: bool) {
        self.compacting = None;
        if has_failed {
            self.unfit.insert(test_id.to_owned());
        }
    }

    /// The test is deleted.
    pub(super) fn forget(&mut self, test_id: &str) {
        self.unfit.remove(test_id);
    }
}

/// Tests that were deleted, so that what is still read about them does not bring them back.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    until_ms: HashMap<String, u64>,
    oldest_first: VecDeque<String>,
}

impl Tombstones {
    /// As they were stored: ids, and until when each counts.
    pub(super) fn restore(mut stored: Vec<(String, u64)>) -> Self {
        stored.sort_by_key(|(_, until_ms)| *until_ms);
        Self {
            oldest_first: stored.iter().map(|(test_id, _)| test_id.clone()).collect(),
            until_ms: stored.into_iter().collect(),
        }
    }

    pub(super) fn add(&mut self, test_id: &str, until_ms: u64) {
        if self.until_ms.insert(test_id.to_owned(), until_ms).is_none() {
            self.oldest_first.push_back(test_id.to_owned());
        }
    }

    pub(super) fn holds(&self, test_id: &str) -> bool {
        self.until_ms.contains_key(test_id)
    }

    /// Lets go of one that is over, or one too many.
    pub(super) fn expire_one(&mut self, now_ms: u64) -> Option<String> {
        let until_ms = self.until_ms.get(self.oldest_first.front()?)?;
        if *until_ms > now_ms && self.until_ms.len() <= TOMBSTONES_MAX {
            return None;
        }
        let test_id = self.oldest_first.pop_front()?;
        self.until_ms.remove(&test_id);
        Some(test_id)
    }
}
