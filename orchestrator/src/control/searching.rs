//! How a search for a capacity goes on: a run is created and queued, its end is judged, and what was
//! found is kept. A step of it is durable together with the run that it is about.

use proto::document::{Document, Setting};
use proto::log::Level;
use proto::summary::{
    CAPACITY_REST, CAPACITY_TIME_MAX, CapacityBounds, CapacityStep, TestResult, Wanted,
};
use serde_json::json;

use super::labels::Labels;
use super::run::Phase;
use super::searches::{OPEN_SEARCHES_MAX, Search, SearchRun, SearchState};
use super::{
    Action, Actions, Change, Control, LabelsPatch, Now, Refusal, Reply, SearchRefusal, log,
};

/// Runs that may fail one after another before the search does.
const FAILURES_MAX: u32 = 3;
/// Between a run that failed and the next, ns: what was away may be back.
const FAILURE_REST_NS: u64 = 3_000_000_000;
/// Why a search ends that has found nothing yet, or not all.
const HOUR_IS_OVER: &str = "its hour is over: this is what was known by then";
/// The tag of a search's runs.
const TAG: &str = "capacity";

impl Control {
    /// Begins a search; its first run is created at once.
    pub(super) fn seek(
        &mut self,
        test_id: &str,
        document: &Document,
        bounds: CapacityBounds,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        if self.registry.awaited_len() == 0 {
            return Err(self.no_driver());
        }
        if self.searches.open_len() >= OPEN_SEARCHES_MAX {
            return Err(Refusal::Search(SearchRefusal::TooMany));
        }
        let labels = Labels::of(document).map_err(Refusal::WrongLabel)?;
        let cannot = |error: String| Refusal::CannotPrepare(error);
        let searched = document
            .searched()
            .map_err(|invalid| cannot(invalid.to_string()))?;
        self.searches.insert(Search {
            test_id: test_id.to_owned(),
            number: self.searches.next_number(),
            name: labels.name,
            target: document.workload(None).target.shown(),
            thresholds: document
                .thresholds
                .iter()
                .map(ToString::to_string)
                .collect(),
            unit: document.arrives().to_owned(),
            bounds,
            length_ns: searched.length_ns(),
            state: SearchState::Running,
            reason: None,
            created_unix_ms: now.wall_ns / 1_000_000,
            ended_unix_ms: None,
            participants: Vec::new(),
            stop_requested: false,
            document: Some(document.to_json()),
            run: None,
            next_run: 1,
            failures: 0,
            runs: Vec::new(),
        });
        let wanted = self.searches.wanted(test_id);
        let offered = wanted.map_or(Ok(()), |wanted| self.offer(test_id, wanted, now, actions));
        if let Err(refusal) = offered {
            self.searches.remove(test_id);
            return Err(refusal);
        }
        let fields = json!({"test_id": test_id, "bounds": bounds});
        log(actions, Level::Info, "capacity_search", fields);
        let test_id = test_id.to_owned();
        Ok(Reply::Created { test_id })
    }

    /// Creates the run of a rate, which starts as soon as the drivers are free.
    fn offer(
        &mut self,
        test_id: &str,
        wanted: Wanted,
        now: Now,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        let search = self.searches.get(test_id);
        let search = search.ok_or_else(|| Refusal::UnknownTest(test_id.to_owned()))?;
        let json = search.document.as_deref().unwrap_or_default();
        let document = Document::read(json, Setting::default())
            .and_then(|document| document.at_rate(wanted.rate))
            .map_err(|invalid| Refusal::CannotPrepare(invalid.to_string()))?;
        let run_id = format!("{test_id}-{}", search.next_run);
        let name = search.name.clone().unwrap_or_else(|| TAG.to_owned());
        self.create(document.to_config(&run_id), false, now, actions)?;
        self.label_run(
            &run_id,
            &format!("{name} at {}/s", wanted.rate),
            test_id,
            actions,
        );
        self.change_search(test_id, actions, |search| {
            search.next_run += 1;
            search.run = Some(SearchRun {
                test_id: run_id.clone(),
                rate: wanted.rate,
                attempt: wanted.attempt,
                again: wanted.again,
            });
        });
        self.enqueue(&run_id, None, actions);
        Ok(())
    }

    /// The runs of a search are found by its id, and not by the name of its document: they are none of
    /// the runs that others are compared with.
    fn label_run(&mut self, run_id: &str, name: &str, test_id: &str, actions: &mut Actions) {
        let labels = Labels::default().patched(&LabelsPatch {
            // A name may be as long as a label, and has more behind it here.
            name: Some(Some(name.chars().take(200).collect())),
            tags: Some(Some([(TAG.to_owned(), Some(test_id.to_owned()))].into())),
            ..LabelsPatch::default()
        });
        let row = labels
            .ok()
            .and_then(|labels| self.list.set_labels(run_id, labels));
        if let Some(row) = row {
            actions.push(Action::Persist(Change::Row(Box::new(row))));
        }
    }

    /// Time passes: whoever has rested goes on.
    pub(super) fn search_on(&mut self, now: Now, actions: &mut Actions) {
        for test_id in self.searches.open() {
            self.search_step(&test_id, now, actions);
        }
    }

    fn search_step(&mut self, test_id: &str, now: Now, actions: &mut Actions) {
        let Some(search) = self.searches.get(test_id) else {
            return;
        };
        if let Some(run) = search.run.clone() {
            return self.look_after(test_id, &run.test_id, now, actions);
        }
        if search.stop_requested {
            return self.end_search(test_id, SearchState::Aborted, Some(stopped()), now, actions);
        }
        let Some(wanted) = self.searches.wanted(test_id) else {
            return self.end_search(test_id, SearchState::Done, None, now, actions);
        };
        if now.mono_ns < self.searches.rests_until_ns(test_id) {
            return;
        }
        if is_hour_over(search, search.length_ns, now) {
            let reason = Some(HOUR_IS_OVER.to_owned());
            return self.end_search(test_id, SearchState::Done, reason, now, actions);
        }
        match self.offer(test_id, wanted, now, actions) {
            Ok(()) => {}
            // What is away now comes back. To read a document again is not worth each turn.
            Err(Refusal::BrokerAway(_) | Refusal::StoreAway(_) | Refusal::TooMany) => {
                self.searches
                    .rest_until(test_id, now.mono_ns + FAILURE_REST_NS);
            }
            Err(refusal) => {
                let reason = format!("its next run cannot be made: {}", in_words(refusal));
                self.end_search(test_id, SearchState::Failed, Some(reason), now, actions);
            }
        }
    }

    /// A run that waits and that the queue has left behind, or that waits for too long, ends, and the
    /// search with it.
    fn look_after(&mut self, test_id: &str, run_id: &str, now: Now, actions: &mut Actions) {
        let Some(open) = self.runs.get(run_id) else {
            let reason = format!("its run {run_id} is not known any more");
            return self.end_search(test_id, SearchState::Failed, Some(reason), now, actions);
        };
        let arming = self.queue.arming();
        let is_arming = arming.is_some_and(|arming| arming.test_id == run_id);
        let search = self.searches.get(test_id);
        let is_late = search.is_some_and(|search| is_hour_over(search, 0, now));
        if !open.is_waiting() || is_arming || open.run.queued.is_some() && !is_late {
            return;
        }
        let why = if is_late {
            HOUR_IS_OVER.to_owned()
        } else {
            let why = open.run.reason.as_deref().unwrap_or("it was not started");
            format!("its run {run_id} could not start: {why}")
        };
        self.change_search(test_id, actions, |search| search.reason = Some(why));
        // It waits, so that nobody has to be told.
        let _ = self.stop(run_id, now, actions);
    }

    /// A run has ended: if a search waited for it, it is judged.
    pub(super) fn judge_run(
        &mut self,
        run_id: &str,
        result: &TestResult,
        now: Now,
        actions: &mut Actions,
    ) {
        let Some(search) = self.searches.of_run(run_id) else {
            return;
        };
        let (test_id, rate) = (
            search.test_id.clone(),
            search.run.as_ref().map_or(0.0, |run| run.rate),
        );
        let outcome = self.run_counts(search, run_id);
        let rest_ns = u64::try_from(CAPACITY_REST.as_nanos()).unwrap_or(u64::MAX);
        match outcome {
            Counts::Yes(participants, thresholds) => {
                let mut step = CapacityStep::of(rate, result, &thresholds);
                step.tests = vec![run_id.to_owned()];
                self.searches.rest_until(&test_id, now.mono_ns + rest_ns);
                let fields = json!({"test_id": run_id, "rate": rate, "judged": step.judged});
                self.change_search(&test_id, actions, |search| {
                    search.run = None;
                    search.failures = 0;
                    search.participants = participants;
                    search.runs.push(step);
                });
                log(actions, Level::Info, "capacity_run", fields);
            }
            Counts::Failed(_) if search.failures + 1 < FAILURES_MAX => {
                self.searches
                    .rest_until(&test_id, now.mono_ns + FAILURE_REST_NS);
                self.change_search(&test_id, actions, |search| {
                    search.run = None;
                    search.failures += 1;
                });
            }
            Counts::Failed(reason) => {
                self.end_search(&test_id, SearchState::Failed, Some(reason), now, actions);
            }
            Counts::No(state, reason) => {
                self.end_search(&test_id, state, Some(reason), now, actions);
            }
        }
    }

    /// Whether what a run came to says anything about the target.
    fn run_counts(&self, search: &Search, run_id: &str) -> Counts {
        let Some(open) = self.runs.get(run_id) else {
            return Counts::Failed(format!("its run {run_id} is not known any more"));
        };
        let run = &open.run;
        let why = run
            .reason
            .clone()
            .unwrap_or_else(|| "no reason given".to_owned());
        match run.phase {
            Phase::Done => {}
            // A condition of the document on what the target does.
            Phase::Aborted if run.aborted_by.is_some() => {}
            Phase::Aborted => {
                let unless_told = if search.stop_requested {
                    stopped()
                } else {
                    format!("its run {run_id} was stopped")
                };
                // An hour that is over ends a search that found something as one between two runs.
                let is_found = !search.runs.is_empty();
                let state = match search.reason.as_deref() {
                    Some(HOUR_IS_OVER) if is_found => SearchState::Done,
                    Some(_) => SearchState::Failed,
                    None => SearchState::Aborted,
                };
                return Counts::No(state, search.reason.clone().unwrap_or(unless_told));
            }
            Phase::Partial => {
                let reason = format!("the drivers changed in its run {run_id}: {why}");
                return Counts::No(SearchState::Failed, reason);
            }
            _ => return Counts::Failed(format!("its run {run_id} failed: {why}")),
        }
        let mut participants = run.participants.clone();
        participants.sort_unstable();
        if !search.participants.is_empty() && search.participants != participants {
            let of = |ids: &[String]| super::reasons::joined(ids.to_vec());
            let reason = format!(
                "the drivers changed: its run {run_id} was on {}, those before it on {}; search again",
                of(&participants),
                of(&search.participants)
            );
            return Counts::No(SearchState::Failed, reason);
        }
        Counts::Yes(participants, open.thresholds().to_vec())
    }

    /// Stops a search and the run that it waits for.
    pub(super) fn stop_search(
        &mut self,
        test_id: &str,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        let search = self.searches.get(test_id);
        let search = search.ok_or_else(|| Refusal::UnknownTest(test_id.to_owned()))?;
        if search.state.has_ended() {
            let (search_id, state) = (test_id.to_owned(), search.state.name());
            return Err(Refusal::Search(SearchRefusal::Over { search_id, state }));
        }
        let run_id = search.run.as_ref().map(|run| run.test_id.clone());
        if let Some(run_id) = &run_id
            && self
                .runs
                .get(run_id)
                .is_some_and(|open| open.is_active() && !open.run.stop_requested)
        {
            self.check_broker(now)?;
        }
        self.change_search(test_id, actions, |search| search.stop_requested = true);
        let mut cannot_be_stopped = Vec::new();
        match run_id.map(|run_id| self.stop(&run_id, now, actions)) {
            Some(Ok(Reply::Stopped {
                cannot_be_stopped: ids,
                ..
            })) => cannot_be_stopped = ids,
            Some(_) => {}
            None => self.end_search(test_id, SearchState::Aborted, Some(stopped()), now, actions),
        }
        let state = self.searches.get(test_id).map(|search| search.state);
        Ok(Reply::Stopped {
            test_id: test_id.to_owned(),
            state: state.map_or("aborted", SearchState::name),
            cannot_be_stopped,
        })
    }

    /// Forgets a search that has ended; its runs are tests of their own.
    pub(super) fn delete_search(
        &mut self,
        test_id: &str,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        let search = self.searches.get(test_id);
        let search =
            search.ok_or_else(|| Refusal::Search(SearchRefusal::Unknown(test_id.to_owned())))?;
        if !search.state.has_ended() {
            return Err(Refusal::Search(SearchRefusal::Open(test_id.to_owned())));
        }
        self.store.clone().map_err(Refusal::StoreAway)?;
        self.forget_search(test_id, actions);
        let test_id = test_id.to_owned();
        Ok(Reply::Deleted { test_id })
    }

    fn forget_search(&mut self, test_id: &str, actions: &mut Actions) {
        self.searches.remove(test_id);
        actions.push(Action::Persist(Change::ForgetSearch(test_id.to_owned())));
    }

    fn end_search(
        &mut self,
        test_id: &str,
        state: SearchState,
        reason: Option<String>,
        now: Now,
        actions: &mut Actions,
    ) {
        self.change_search(test_id, actions, |search| {
            search.state = state;
            search.reason = reason;
            search.run = None;
            search.ended_unix_ms = Some((now.wall_ns / 1_000_000).max(search.created_unix_ms));
            // What it needed its secrets for is over.
            search.document = None;
        });
        if let Some(search) = self.searches.get(test_id) {
            let capacity = search.answer().capacity;
            let fields = json!({"test_id": test_id, "state": state, "reason": search.reason,
                "capacity": capacity});
            log(actions, Level::Info, "capacity_ended", fields);
        }
        while let Some(oldest) = self.searches.surplus() {
            self.forget_search(&oldest, actions);
        }
    }

    fn change_search(
        &mut self,
        test_id: &str,
        actions: &mut Actions,
        change: impl FnOnce(&mut Search),
    ) {
        if let Some(search) = self.searches.change(test_id, change) {
            actions.push(Action::Persist(Change::Search(Box::new(search))));
        }
    }
}

/// Whether there is no time any more for what takes so long.
fn is_hour_over(search: &Search, length_ns: u64, now: Now) -> bool {
    let elapsed_ns = now
        .wall_ns
        .saturating_sub(search.created_unix_ms * 1_000_000);
    u128::from(elapsed_ns) + u128::from(length_ns) > CAPACITY_TIME_MAX.as_nanos()
}

/// What a run that has ended is to its search.
enum Counts {
    /// It is judged: who took part, and the thresholds of the whole run.
    Yes(Vec<String>, Vec<proto::workload::Threshold>),
    /// It says nothing, and may be tried again.
    Failed(String),
    /// It ends the search.
    No(SearchState, String),
}

fn in_words(refusal: Refusal) -> String {
    match refusal {
        Refusal::CannotPrepare(why) => why,
        Refusal::TooLong(len) => format!("it has {len} bytes as a message"),
        other => format!("{other:?}"),
    }
}

fn stopped() -> String {
    "stopped".to_owned()
}
