//! All tests in a line each, newest first: what `GET /tests` lists without asking the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::run::Phase;

/// One test in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestRow {
    /// Its place in the order of creation.
    #[serde(skip)]
    pub number: u64,
    /// The test.
    pub test_id: String,
    /// `AVALANCHE` or `TSUNAMI`.
    pub test_type: String,
    /// Its phase.
    pub state: Phase,
    /// When it was created, ms since 1970.
    pub created_unix_ms: u64,
    /// The common start, ms since 1970.
    pub started_unix_ms: Option<u64>,
    /// When it ended, ms since 1970.
    pub ended_unix_ms: Option<u64>,
    /// Requests planned over all participants, where that is known.
    pub planned: Option<u64>,
    /// Number of participants.
    pub nodes: usize,
    /// The web server under load.
    pub target: String,
    /// Why it ended as it did.
    pub reason: Option<String>,
    /// Whether it waits for the drivers to be free.
    pub queued: bool,
    /// Its place among those that wait, 1 for the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<usize>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_reason: Option<String>,
    /// Whether every report is in, so that nothing can change any more.
    #[serde(skip)]
    pub is_complete: bool,
}

/// All tests.
#[derive(Debug, Default)]
pub(super) struct List {
    by_number: BTreeMap<u64, Arc<TestRow>>,
    numbers: HashMap<String, u64>,
    last_number: u64,
}

impl List {
    pub(super) fn restore(rows: Vec<TestRow>) -> Self {
        let mut all = Self::default();
        rows.into_iter().for_each(|row| drop(all.set(row)));
        all
    }

    /// The place of the next test.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Adds or replaces a test; its line, with the place in the queue that it had.
    pub(super) fn set(&mut self, mut row: TestRow) -> TestRow {
        self.last_number = self.last_number.max(row.number);
        let before = self.numbers.insert(row.test_id.clone(), row.number);
        let before = before.and_then(|number| self.by_number.get(&number));
        if let Some(before) = before.filter(|_| row.queued) {
            row.queue_position = before.queue_position;
            row.queue_reason.clone_from(&before.queue_reason);
        }
        self.by_number.insert(row.number, Arc::new(row.clone()));
        row
    }

    /// Tells where a test stands in the queue, and what for.
    pub(super) fn set_queue(&mut self, test_id: &str, position: usize, reason: String) {
        let number = self.numbers.get(test_id);
        if let Some(row) = number.and_then(|number| self.by_number.get_mut(number)) {
            let row = Arc::make_mut(row);
            row.queue_position = Some(position);
            row.queue_reason = Some(reason);
        }
    }

    pub(super) fn get(&self, test_id: &str) -> Option<&Arc<TestRow>> {
        self.by_number.get(self.numbers.get(test_id)?)
    }

    pub(super) fn remove(&mut self, test_id: &str) {
        if let Some(number) = self.numbers.remove(test_id) {
            self.by_number.remove(&number);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Arc<TestRow>> {
        self.by_number.values().rev()
    }

    /// Oldest first.
    pub(super) fn oldest_first(&self) -> impl Iterator<Item = &Arc<TestRow>> {
        self.by_number.values()
    }
}
