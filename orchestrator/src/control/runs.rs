//! The runs in memory: those that have not ended, those that late reports may still change, and
//! which driver takes part in which.
//!
//! What is asked with every message is answered from an index or a counter, never by a look at
//! all participants or all runs.

mod open_run;
mod parts;
mod seen_run;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

pub use open_run::OpenRun;
pub use seen_run::SeenRun;

use super::run::{Phase, Run, Step};

/// Runs that ended and are held in memory: not stored yet, or without every last report.
const LATE_MAX: usize = 16;

/// The runs in memory as they stood at the end of a turn, by test.
pub(super) type SeenRuns = RedBlackTreeMapSync<String, Arc<SeenRun>>;

/// All runs in memory.
#[derive(Debug, Default)]
pub(super) struct Runs {
    open: BTreeMap<String, OpenRun>,
    /// Of the configs of `open`.
    open_bytes: usize,
    /// Those of `open` that drivers are at work on.
    active: BTreeSet<String>,
    /// The active runs by participant.
    of_node: HashMap<String, BTreeSet<String>>,
    late: LateRuns,
    /// Those that may not be as they were last seen.
    touched: BTreeSet<String>,
    seen: SeenRuns,
    last_version: u64,
}

impl Runs {
    /// All as they stand. Only those that were touched since the last call are looked at.
    pub(super) fn seen(&mut self) -> SeenRuns {
        for test_id in std::mem::take(&mut self.touched) {
            let open = self.open.get(&test_id);
            let Some(run) = open.or_else(|| self.late.find(&test_id)) else {
                self.seen.remove_mut(&test_id);
                continue;
            };
            self.last_version += 1;
            let before = self.seen.get(&test_id).map(AsRef::as_ref);
            let seen = Arc::new(SeenRun::of(run, before, self.last_version));
            self.seen.insert_mut(test_id, seen);
        }
        self.seen.clone()
    }

    /// The number of changes of runs that were seen so far.
    pub(super) fn version(&self) -> u64 {
        self.last_version
    }

    fn touch(&mut self, test_id: &str) {
        if !self.touched.contains(test_id) {
            self.touched.insert(test_id.to_owned());
        }
    }

    /// Number of runs that have not ended.
    pub(super) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// The runs that have not ended.
    pub(super) fn open(&self) -> impl Iterator<Item = &OpenRun> {
        self.open.values()
    }

    /// About how many bytes their configs take.
    pub(super) fn open_bytes(&self) -> usize {
        self.open_bytes
    }

    /// Takes in a run that has not ended.
    pub(super) fn insert(&mut self, open: OpenRun) {
        let test_id = open.run.test_id.clone();
        self.touch(&test_id);
        self.open_bytes += open.config_bytes();
        if let Some(before) = self.open.insert(test_id.clone(), open) {
            self.open_bytes -= before.config_bytes();
        }
        self.index(&test_id);
    }

    /// A run that has not ended.
    pub(super) fn get(&self, test_id: &str) -> Option<&OpenRun> {
        self.open.get(test_id)
    }

    /// The same, to change what [`Self::step`] and [`Self::freeze`] do not.
    pub(super) fn get_mut(&mut self, test_id: &str) -> Option<&mut OpenRun> {
        if self.open.contains_key(test_id) {
            self.touch(test_id);
        }
        self.open.get_mut(test_id)
    }

    /// A run in memory, also one that has ended, to be looked at.
    pub(super) fn peek(&self, test_id: &str) -> Option<&OpenRun> {
        let open = self.open.get(test_id);
        open.or_else(|| self.late.find(test_id))
    }

    /// A run in memory, also one that has ended.
    pub(super) fn in_memory(&mut self, test_id: &str) -> Option<&mut OpenRun> {
        if self.open.contains_key(test_id) {
            return self.get_mut(test_id);
        }
        if self.late.find(test_id).is_some() {
            self.touch(test_id);
        }
        self.late.get(test_id)
    }

    /// The runs that drivers are at work on, by id.
    pub(super) fn active(&self) -> Vec<String> {
        self.active.iter().cloned().collect()
    }

    /// One of them.
    pub(super) fn first_active(&self) -> Option<&String> {
        self.active.first()
    }

    /// The active runs that a driver takes part in.
    pub(super) fn of_node(&self, node_id: &str) -> impl Iterator<Item = &OpenRun> {
        let ids = self.of_node.get(node_id).into_iter().flatten();
        ids.filter_map(|test_id| self.open.get(test_id))
    }

    /// The same, each in turn to be changed.
    pub(super) fn each_of_node(&mut self, node_id: &str, mut change: impl FnMut(&mut OpenRun)) {
        for test_id in self.of_node.get(node_id).into_iter().flatten() {
            if let Some(open) = self.open.get_mut(test_id) {
                change(open);
            }
        }
    }

    /// Freezes who takes part.
    pub(super) fn freeze(&mut self, test_id: &str, participants: Vec<String>) {
        if let Some(open) = self.get_mut(test_id) {
            open.freeze(participants);
        }
        self.index(test_id);
    }

    /// Takes a step if it leads on from the run's phase; whether it did. The times of a run never
    /// go back, whatever our clock does.
    pub(super) fn step(&mut self, test_id: &str, step: Step, happened_ms: u64) -> bool {
        let Some(open) = self.get_mut(test_id) else {
            return false;
        };
        let run = &mut open.run;
        let last_ms = run.transitions.last().map_or(0, |last| last.unix_ms);
        let ends = run.phase.after(step).is_ok_and(Phase::has_ended);
        let start_ms = run.started_ms().filter(|_| ends && run.phase.is_active());
        let at_ms = happened_ms.max(last_ms).max(start_ms.unwrap_or(0));
        let stepped = run.step(step, at_ms).is_ok();
        self.index(test_id);
        stepped
    }

    /// A run that has ended goes to those that only late reports may change. What has to leave
    /// them for it is returned, if its result is not stored as it stands.
    pub(super) fn retire(&mut self, test_id: &str) -> Option<OpenRun> {
        let open = self.open.remove(test_id)?;
        self.open_bytes -= open.config_bytes();
        self.forget_index(&open.run);
        self.put_late(open)
    }

    /// A run of the store, which reports still come for; see [`Self::retire`].
    pub(super) fn put_late(&mut self, late: OpenRun) -> Option<OpenRun> {
        self.touch(&late.run.test_id.clone());
        let (left, is_changed) = self.late.put(late)?;
        self.touch(&left.run.test_id.clone());
        is_changed.then_some(left)
    }

    /// Notes that the stored result of a run that has ended is not what it would be now.
    pub(super) fn mark_changed(&mut self, test_id: &str) {
        self.late.changed.insert(test_id.to_owned());
    }

    /// The runs that were marked since the last call.
    pub(super) fn take_changed(&mut self) -> Vec<String> {
        self.late.changed.drain().collect()
    }

    /// The test is deleted.
    pub(super) fn forget(&mut self, test_id: &str) {
        self.touch(test_id);
        self.late.remove(test_id);
    }

    /// Everything is stored: what no report can change any more is let go of.
    pub(super) fn let_go_of_complete(&mut self) {
        for test_id in self.late.let_go_of_complete() {
            self.touch(&test_id);
        }
    }

    /// Brings the indexes up to date with one run.
    fn index(&mut self, test_id: &str) {
        let Some(open) = self.open.get(test_id) else {
            return;
        };
        let was_active = self.active.contains(test_id);
        match (open.is_active(), was_active) {
            (true, false) => {
                self.active.insert(test_id.to_owned());
                for node_id in &open.run.participants {
                    let runs = self.of_node.entry(node_id.clone()).or_default();
                    runs.insert(test_id.to_owned());
                }
            }
            (false, true) => {
                let run = open.run.clone();
                self.forget_index(&run);
            }
            _ => {}
        }
    }

    fn forget_index(&mut self, run: &Run) {
        if !self.active.remove(&run.test_id) {
            return;
        }
        for node_id in &run.participants {
            if let Some(runs) = self.of_node.get_mut(node_id) {
                runs.remove(&run.test_id);
                if runs.is_empty() {
                    self.of_node.remove(node_id);
                }
            }
        }
    }
}

/// The ended runs that are held until they are stored, or for late reports; the one that was not
/// needed for longest goes.
#[derive(Debug, Default)]
struct LateRuns {
    runs: Vec<OpenRun>,
    /// Those whose stored result is not what it would be now.
    changed: HashSet<String>,
}

impl LateRuns {
    fn get(&mut self, test_id: &str) -> Option<&mut OpenRun> {
        let of_test = |late: &OpenRun| late.run.test_id == test_id;
        let at = self.runs.iter().position(of_test)?;
        let late = self.runs.remove(at);
        self.runs.push(late);
        self.runs.last_mut()
    }

    fn find(&self, test_id: &str) -> Option<&OpenRun> {
        self.runs.iter().find(|late| late.run.test_id == test_id)
    }

    /// What has to leave for it, and whether its result is not stored as it stands.
    fn put(&mut self, late: OpenRun) -> Option<(OpenRun, bool)> {
        self.remove(&late.run.test_id.clone());
        let oldest = (self.runs.len() == LATE_MAX).then(|| self.runs.remove(0));
        self.runs.push(late);
        let oldest = oldest?;
        let is_changed = self.changed.remove(&oldest.run.test_id);
        Some((oldest, is_changed))
    }

    fn remove(&mut self, test_id: &str) {
        self.runs.retain(|late| late.run.test_id != test_id);
        self.changed.remove(test_id);
    }

    fn let_go_of_complete(&mut self) -> Vec<String> {
        let changed = &self.changed;
        let is_over =
            |late: &mut OpenRun| !changed.contains(&late.run.test_id) && late.is_complete();
        let gone = self.runs.extract_if(.., is_over);
        gone.map(|late| late.run.test_id).collect()
    }
}
