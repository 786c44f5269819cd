//! Changes that are not written yet, in bounded memory.

use std::collections::VecDeque;

use crate::control::{Change, Offsets};

/// Most bytes of reports that wait for a store that cannot be written.
const BYTES_MAX: usize = 256 << 20;

/// What the next transaction is to write.
#[derive(Debug, Default)]
pub struct Backlog {
    changes: VecDeque<Change>,
    /// The offsets up to which these changes have read.
    pub offsets: Offsets,
    report_bytes: usize,
    dropped: u64,
}

impl Backlog {
    /// Adds a change, in the place of an older one of the same thing.
    pub fn push(&mut self, change: Change) {
        if self.changes.len() > 64 {
            self.replace_older(&change);
        }
        self.report_bytes += reported(&change).map_or(0, |(bytes, _)| bytes);
        self.changes.push_back(change);
        while self.report_bytes > BYTES_MAX {
            self.drop_oldest_report();
        }
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether a test is deleted by it.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        let is_deletion = |change: &Change| matches!(change, Change::ForgetTest { .. });
        self.changes.iter().any(is_deletion)
    }

    /// The changes, oldest first.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter()
    }

    /// They are written.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.offsets.clear();
        self.report_bytes = 0;
    }

    /// Reports that were dropped because the store could not be written for too long. They are in
    /// the result all the same, unless the process ends before it can write that.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Number of changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    fn replace_older(&mut self, change: &Change) {
        match change {
            Change::Run(run, _) => self.changes.retain(
                |old| !matches!(old, Change::Run(other, _) if other.test_id == run.test_id),
            ),
            Change::Campaign(campaign) => self.changes.retain(
                |old| !matches!(old, Change::Campaign(other) if other.test_id == campaign.test_id),
            ),
            Change::Node(node) => self
                .changes
                .retain(|old| !matches!(old, Change::Node(other) if other.node_id == node.node_id)),
            Change::Result(result) => self.changes.retain(
                |old| !matches!(old, Change::Result(other) if other.test_id == result.test_id),
            ),
            Change::Clock(_) => self.changes.retain(|old| !matches!(old, Change::Clock(_))),
            Change::OutboxDone(token) => self
                .changes
                .retain(|old| !matches!(old, Change::Outbox(message) if message.token == *token)),
            _ => {}
        }
    }

    fn drop_oldest_report(&mut self) {
        let mut changes = self.changes.iter();
        let at = changes.position(|change| reported(change).is_some());
        let oldest = at.and_then(|at| self.changes.remove(at));
        if let Some((bytes, reports)) = oldest.as_ref().and_then(reported) {
            self.report_bytes -= bytes;
            self.dropped += reports;
        }
    }
}

/// The length of reports in a change, and how many they are.
fn reported(change: &Change) -> Option<(usize, u64)> {
    match change {
        Change::Report(report) => Some((report.payload.len(), 1)),
        Change::Part(part) => Some((part.payload.len(), part.reports)),
        _ => None,
    }
}
