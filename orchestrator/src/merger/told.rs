//! What a merger has told of itself in its log, and what it will tell next.

use std::collections::BTreeSet;
use std::time::Instant;

use proto::log;
use serde_json::json;

/// Most troubles that are told before the broker is heard again.
const TROUBLES_MAX: usize = 16;

/// What was told, and when.
pub(super) struct Told {
    /// Troubles since the broker was last heard.
    troubles: BTreeSet<String>,
    pub(super) merged_at: Instant,
    pub(super) messages: u64,
    pub(super) ranges: u64,
    pub(super) bytes: u64,
    /// Since when there is no partition, unless it was told.
    pub(super) idle_since: Option<Instant>,
    /// Whether the group has dealt at all.
    pub(super) has_been_dealt: bool,
}

impl Told {
    pub(super) fn new() -> Self {
        Self {
            troubles: BTreeSet::new(),
            merged_at: Instant::now(),
            messages: 0,
            ranges: 0,
            bytes: 0,
            idle_since: Some(Instant::now()),
            has_been_dealt: false,
        }
    }

    /// The client repeats its troubles; once is enough until the broker is heard again.
    pub(super) fn trouble(&mut self, reason: String) {
        if self.troubles.len() < TROUBLES_MAX && !self.troubles.contains(&reason) {
            log::warn("bus_trouble", json!({"reason": reason}));
            self.troubles.insert(reason);
        }
    }

    /// The broker was heard.
    pub(super) fn all_is_well(&mut self) {
        if !self.troubles.is_empty() {
            self.troubles.clear();
            log::info("bus_up", json!({}));
        }
    }
}
