//! The searches for a capacity: those that go on, and what the others came to. A search is a test
//! whose steps are ordinary runs; what each of these came to is stored with it, and which comes next
//! is computed from that alone, so that a process that is killed goes on as if nothing had happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::summary::{CapacityAnswer, CapacityBounds, CapacityCourse, CapacityStep, Wanted};
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

/// Searches that go on at once, at most: they take turns on the drivers.
pub(super) const OPEN_SEARCHES_MAX: usize = 16;
/// Ended searches that are kept, the newest.
const ENDED_SEARCHES_MAX: usize = 200;

/// How far a search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchState {
    /// It offers one rate after another.
    Running,
    /// It came to its end; what it found is the answer.
    Done,
    /// It was stopped; what it had found stands.
    Aborted,
    /// It could not go on; what it had found stands.
    Failed,
}

impl SearchState {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Aborted => "aborted",
            Self::Failed => "failed",
        }
    }

    /// Whether it is over.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Running)
    }
}

/// The run that a search waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchRun {
    /// The test.
    pub test_id: String,
    /// Its rate, a second.
    pub rate: f64,
    /// The how manyeth run of that rate, from 1.
    pub attempt: usize,
    /// Whether it is the answer, offered once more after the overload.
    pub again: bool,
}

/// One search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Its id; its runs have that with a number behind.
    pub test_id: String,
    /// Its place in the order of creation.
    pub number: u64,
    /// What its document is called.
    pub name: Option<String>,
    /// The server that is loaded.
    pub target: String,
    /// What it has to keep.
    pub thresholds: Vec<String>,
    /// What a rate counts: `requests` or `sessions`.
    pub unit: String,
    /// Within what it stays.
    pub bounds: CapacityBounds,
    /// How long a run is without its drain, ns.
    pub length_ns: u64,
    /// How far it is.
    pub state: SearchState,
    /// Why it ended, or what it waits for.
    pub reason: Option<String>,
    /// When it was created, ms since 1970.
    pub created_unix_ms: u64,
    /// When it ended, ms since 1970.
    pub ended_unix_ms: Option<u64>,
    /// Who takes part in every run.
    pub participants: Vec<String>,
    /// Whether a stop was asked for.
    pub stop_requested: bool,
    /// The document as JSON, with its secrets; gone when the search has ended.
    pub document: Option<String>,
    /// The run that it waits for.
    pub run: Option<SearchRun>,
    /// The number of the next run, from 1.
    pub next_run: u64,
    /// Runs that failed since the last that did not.
    pub failures: u32,
    /// What the runs that count came to, in that order.
    pub runs: Vec<CapacityStep>,
}

impl Search {
    /// The search with its runs so far.
    #[must_use]
    pub fn course(&self) -> CapacityCourse {
        let mut course = CapacityCourse::new(self.bounds);
        for run in &self.runs {
            course.record(run.clone());
        }
        course
    }

    /// What is known so far.
    #[must_use]
    pub fn answer(&self) -> CapacityAnswer {
        let (target, thresholds) = (self.target.clone(), self.thresholds.clone());
        CapacityAnswer {
            unit: self.unit.clone(),
            ..CapacityAnswer::of(&self.course(), target, thresholds)
        }
    }
}

/// All of them, by id, as they stand. A clone shares what does not change after it.
pub(super) type SeenSearches = RedBlackTreeMapSync<String, Arc<Search>>;

/// A search that goes on, beyond what is stored of it.
#[derive(Debug)]
struct Open {
    /// Made of its runs whenever it changes.
    course: CapacityCourse,
    /// Not before this instant of the monotonic clock, ns, comes the next run.
    rest_until_ns: u64,
}

/// All searches.
#[derive(Debug, Default)]
pub(super) struct Searches {
    seen: SeenSearches,
    open: BTreeMap<String, Open>,
    /// The ended ones by number.
    ended: BTreeSet<(u64, String)>,
    last_number: u64,
}

impl Searches {
    /// As they were stored.
    pub(super) fn restore(stored: Vec<Search>) -> Self {
        let mut searches = Self::default();
        stored
            .into_iter()
            .for_each(|search| searches.insert(search));
        searches
    }

    /// The place of the next one.
    pub(super) fn next_number(&self) -> u64 {
        self.last_number + 1
    }

    /// Takes in one that is new here.
    pub(super) fn insert(&mut self, search: Search) {
        self.last_number = self.last_number.max(search.number);
        if search.state.has_ended() {
            self.ended.insert((search.number, search.test_id.clone()));
        } else {
            let open = Open {
                course: search.course(),
                rest_until_ns: 0,
            };
            self.open.insert(search.test_id.clone(), open);
        }
        self.seen
            .insert_mut(search.test_id.clone(), Arc::new(search));
    }

    /// All as they stand.
    pub(super) fn seen(&self) -> &SeenSearches {
        &self.seen
    }

    pub(super) fn get(&self, test_id: &str) -> Option<&Search> {
        self.seen.get(test_id).map(AsRef::as_ref)
    }

    /// Those that go on.
    pub(super) fn open(&self) -> Vec<String> {
        self.open.keys().cloned().collect()
    }

    pub(super) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// Changes one; as it is to be stored.
    pub(super) fn change(
        &mut self,
        test_id: &str,
        change: impl FnOnce(&mut Search),
    ) -> Option<Search> {
        let search = Arc::make_mut(self.seen.get_mut(test_id)?);
        change(search);
        if let Some(open) = self.open.get_mut(test_id) {
            open.course = search.course();
        }
        if search.state.has_ended() && self.open.remove(test_id).is_some() {
            self.ended.insert((search.number, search.test_id.clone()));
        }
        Some(search.clone())
    }

    /// The search that waits for this run.
    pub(super) fn of_run(&self, run_id: &str) -> Option<&Search> {
        let (test_id, _) = run_id.rsplit_once('-')?;
        let search = self
            .get(test_id)
            .filter(|_| self.open.contains_key(test_id))?;
        let waits_for = |run: &SearchRun| run.test_id == run_id;
        search.run.as_ref().is_some_and(waits_for).then_some(search)
    }

    /// The run that comes next in one that goes on.
    pub(super) fn wanted(&self, test_id: &str) -> Option<Wanted> {
        self.open.get(test_id)?.course.wanted()
    }

    /// No run comes before this instant of the monotonic clock.
    pub(super) fn rest_until(&mut self, test_id: &str, mono_ns: u64) {
        if let Some(open) = self.open.get_mut(test_id) {
            open.rest_until_ns = mono_ns;
        }
    }

    /// Until when none comes.
    pub(super) fn rests_until_ns(&self, test_id: &str) -> u64 {
        self.open.get(test_id).map_or(0, |open| open.rest_until_ns)
    }

    pub(super) fn remove(&mut self, test_id: &str) {
        if let Some(search) = self.seen.get(test_id) {
            self.ended.remove(&(search.number, test_id.to_owned()));
        }
        self.open.remove(test_id);
        self.seen.remove_mut(test_id);
    }

    /// The oldest of the ended ones that is one too many.
    pub(super) fn surplus(&self) -> Option<String> {
        let is_surplus = self.ended.len() > ENDED_SEARCHES_MAX;
        let (_, test_id) = self.ended.first().filter(|_| is_surplus)?;
        Some(test_id.clone())
    }
}
