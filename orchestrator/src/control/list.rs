//! All tests in a line each, newest first: what `GET /tests` lists without asking the store.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use proto::digest::Sha256;
use proto::summary::{Judgement, TestResult};
use serde::{Deserialize, Serialize};

use super::labels::Labels;
use super::run::Phase;

/// One test in a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// What people wrote on it.
    #[serde(flatten)]
    pub labels: Labels,
    /// The uploaded files that it names, by their content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Sha256>,
    /// What came of it, once it has ended.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// Whether every report is in, so that nothing can change any more.
    #[serde(skip)]
    pub is_complete: bool,
    /// Whether it is kept in little room.
    #[serde(skip)]
    pub is_compact: bool,
}

/// What came of a test, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Answers below 400 a second.
    pub ok_per_second: Option<f64>,
    /// Response time, p50, ms.
    pub p50_ms: Option<f64>,
    /// Response time, p99, ms.
    pub p99_ms: Option<f64>,
    /// Share of what was tried that failed, 0 to 1; null when nothing was tried.
    pub error_rate: Option<f64>,
    /// How far it may be believed.
    pub verdict: Judgement,
    /// Thresholds that were given.
    pub thresholds: usize,
    /// Those of them that do not hold.
    pub breached: usize,
}

impl From<&TestResult> for Outcome {
    fn from(result: &TestResult) -> Self {
        let tally = &result.tally;
        let failed = tally.errors.total().saturating_add(tally.refused);
        let reached = tally.sent.saturating_sub(tally.returned);
        let tried = reached.saturating_add(tally.refused);
        let breached = result.thresholds.iter().filter(|threshold| !threshold.pass);
        Self {
            ok_per_second: tally.requests_per_second,
            p50_ms: result.metrics.median,
            p99_ms: result.metrics.p99,
            error_rate: (tried > 0).then(|| failed as f64 / tried as f64),
            verdict: result.verdict.verdict,
            thresholds: result.thresholds.len(),
            breached: breached.count(),
        }
    }
}

/// Which tests are wanted, and in which order.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only those whose id, type, state, target, name, note or tags (`tag=value`) contain this.
    pub search: String,
    /// What they are sorted by; newest first without.
    pub sort: Option<SortBy>,
    /// Whether the other way round: oldest or largest first.
    pub is_reversed: bool,
    /// So many are left out at the beginning.
    pub offset: usize,
    /// At most so many; all without.
    pub limit: Option<usize>,
}

/// What tests can be sorted by. Those without the figure come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// The creation.
    Created,
    /// Answers below 400 a second.
    Rate,
    /// Response time, p50.
    P50,
    /// Response time, p99.
    P99,
    /// Share of errors.
    ErrorRate,
}

impl SortBy {
    /// The names in the API.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("created", Self::Created),
        ("ok_per_second", Self::Rate),
        ("p50_ms", Self::P50),
        ("p99_ms", Self::P99),
        ("error_rate", Self::ErrorRate),
    ];

    fn figure(self, row: &TestRow) -> Option<f64> {
        let outcome = row.outcome.as_ref();
        match self {
            Self::Created => Some(row.number as f64),
            Self::Rate => outcome?.ok_per_second,
            Self::P50 => outcome?.p50_ms,
            Self::P99 => outcome?.p99_ms,
            Self::ErrorRate => outcome?.error_rate,
        }
    }
}

impl TestRow {
    /// Whether what is shown of it contains a text, given in lower case.
    fn contains(&self, text: &str) -> bool {
        let texts = [
            &self.test_id,
            &self.test_type,
            &self.target,
            self.state.name(),
        ];
        let in_texts = texts
            .iter()
            .any(|shown| shown.to_lowercase().contains(text));
        in_texts || self.labels.contain(text)
    }
}

/// The lines. A clone shares those that do not change after it, and costs next to nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    by_number: RedBlackTreeMapSync<u64, Arc<TestRow>>,
    numbers: HashTrieMapSync<String, u64>,
}

impl Rows {
    pub(super) fn get(&self, test_id: &str) -> Option<&Arc<TestRow>> {
        self.by_number.get(self.numbers.get(test_id)?)
    }

    /// Newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Arc<TestRow>> {
        self.by_number.values().rev()
    }

    /// Those that are wanted.
    pub(super) fn select(&self, wanted: &Selection) -> Vec<Arc<TestRow>> {
        let search = wanted.search.to_lowercase();
        let matches = |row: &&Arc<TestRow>| search.is_empty() || row.contains(&search);
        let found = self.by_number.values().rev().filter(matches);
        let limit = wanted.limit.unwrap_or(usize::MAX);
        let Some(sort) = wanted.sort else {
            return found.skip(wanted.offset).take(limit).cloned().collect();
        };
        let mut found: Vec<&Arc<TestRow>> = found.collect();
        found.sort_by(|one, other| {
            let order = |one: f64, other: f64| {
                let order = one.total_cmp(&other);
                if wanted.is_reversed {
                    order.reverse()
                } else {
                    order
                }
            };
            match (sort.figure(one), sort.figure(other)) {
                (Some(one), Some(other)) => order(one, other),
                (one, other) => other.is_some().cmp(&one.is_some()),
            }
        });
        let found = found.into_iter().skip(wanted.offset).take(limit);
        found.cloned().collect()
    }
}

/// All tests.
#[derive(Debug, Default)]
pub(super) struct List {
    rows: Rows,
    last_number: u64,
    ended: BTreeSet<u64>,
    not_compact: BTreeSet<u64>,
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
        let before = self.rows.get(&row.test_id);
        if let Some(before) = before {
            row.labels = before.labels.clone();
        }
        if let Some(before) = before.filter(|_| row.queued) {
            row.queue_position = before.queue_position;
            row.queue_reason.clone_from(&before.queue_reason);
        }
        if row.state.has_ended() {
            self.ended.insert(row.number);
            if row.is_compact {
                self.not_compact.remove(&row.number);
            } else {
                self.not_compact.insert(row.number);
            }
        }
        self.rows
            .numbers
            .insert_mut(row.test_id.clone(), row.number);
        self.rows
            .by_number
            .insert_mut(row.number, Arc::new(row.clone()));
        row
    }

    /// Writes on a test; its line.
    pub(super) fn set_labels(&mut self, test_id: &str, labels: Labels) -> Option<TestRow> {
        self.change(test_id, |row| row.labels = labels);
        self.get(test_id).map(|row| row.as_ref().clone())
    }

    /// No report on a test that ended counts any more.
    pub(super) fn set_complete(&mut self, test_id: &str) {
        self.change(test_id, |row| row.is_complete = true);
    }

    /// A test that ended is kept in little room.
    pub(super) fn set_compact(&mut self, test_id: &str) {
        self.change(test_id, |row| row.is_compact = true);
        if let Some(number) = self.rows.numbers.get(test_id) {
            self.not_compact.remove(number);
        }
    }

    fn change(&mut self, test_id: &str, change: impl FnOnce(&mut TestRow)) {
        let Rows { by_number, numbers } = &mut self.rows;
        let number = numbers.get(test_id);
        if let Some(row) = number.and_then(|number| by_number.get_mut(number)) {
            change(Arc::make_mut(row));
        }
    }

    /// Tells where a test stands in the queue, and what for.
    pub(super) fn set_queue(&mut self, test_id: &str, position: usize, reason: String) {
        self.change(test_id, |row| {
            row.queue_position = Some(position);
            row.queue_reason = Some(reason);
        });
    }

    pub(super) fn get(&self, test_id: &str) -> Option<&Arc<TestRow>> {
        self.rows.get(test_id)
    }

    /// The lines as they stand.
    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(super) fn remove(&mut self, test_id: &str) {
        if let Some(number) = self.rows.numbers.get(test_id).copied() {
            self.rows.numbers.remove_mut(test_id);
            self.rows.by_number.remove_mut(&number);
            self.ended.remove(&number);
            self.not_compact.remove(&number);
        }
    }

    /// The uploaded files that tests name, by their content.
    pub(super) fn files(&self) -> HashSet<Sha256> {
        let rows = self.rows().newest_first();
        rows.flat_map(|row| row.files.clone()).collect()
    }

    /// Number of tests that have ended.
    pub(super) fn ended_len(&self) -> usize {
        self.ended.len()
    }

    /// Those, oldest first.
    pub(super) fn ended_oldest_first(&self) -> impl Iterator<Item = &TestRow> {
        let row = |number| self.rows.by_number.get(number).map(AsRef::as_ref);
        self.ended.iter().filter_map(row)
    }

    /// Those of them that still take all their room, oldest first.
    pub(super) fn not_compact(&self) -> impl Iterator<Item = &TestRow> {
        let row = |number| self.rows.by_number.get(number).map(AsRef::as_ref);
        self.not_compact.iter().filter_map(row)
    }
}
