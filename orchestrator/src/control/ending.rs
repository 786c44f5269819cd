//! How a run ends: every participant has sent its last report, or is not awaited any more.

use proto::histogram::LatenciesWire;
use proto::log::Level;
use proto::measure::Outcome;
use proto::summary::{NodeSummary, TestResult};
use serde_json::json;

use super::registry::Registry;
use super::run::Step;
use super::{Action, Actions, Change, Control, Now, OpenRun, StoredResult, log, reasons};

/// A driver of another implementation that reported nothing for this long has finished, ms.
const FOREIGN_DONE_MS: u64 = 5_000;
/// The same before its first report: it may be slow to start.
const FOREIGN_START_MS: u64 = 15_000;
/// A participant that says for this long that it does something else has forgotten the run, ms.
const ABSENT_MS: u64 = 15_000;
/// Time that participants have to drain and to report after a stop, beyond the request timeout, ms.
const STOP_MS: u64 = 60_000;

impl OpenRun {
    /// Why a participant that has not finished is not awaited any more.
    fn loss(&self, node_id: &str, registry: &Registry) -> Option<String> {
        let observed_ms = registry.observed_ms();
        let since = |at_ms: u64| observed_ms.saturating_sub(at_ms);
        if !registry.is_alive(node_id) {
            return Some(format!(
                "lost: no heartbeat {}; {}",
                silent_since(node_id, registry),
                self.owed(node_id)
            ));
        }
        let absent_since = self.part(node_id).and_then(|part| part.absent_since_ms);
        if absent_since.is_some_and(|at_ms| since(at_ms) >= ABSENT_MS) {
            return Some("lost: it is alive, but does not know this run any more".to_owned());
        }
        if self
            .stop_at_ms
            .is_some_and(|at_ms| since(at_ms) >= STOP_MS + self.timeout_ms())
        {
            return Some("lost: it did not report its end after the stop".to_owned());
        }
        None
    }

    /// What a lost participant owes: its plan less what its reports account for.
    fn owed(&self, node_id: &str) -> String {
        let totals = self.summary.node(node_id).map(NodeSummary::totals);
        let accounted = totals.map_or(0, |totals| totals.counters.accounted());
        match self.planned_per_driver() {
            Some(planned) => {
                let unknown = planned.saturating_sub(accounted);
                format!("{unknown} of its {planned} requests are unknown")
            }
            None => format!("what it did beyond {accounted} requests is unknown"),
        }
    }

    /// Whether a participant of another implementation has finished: it only ever falls silent.
    fn is_foreign_done(&self, node_id: &str, registry: &Registry) -> bool {
        let is_foreign = registry
            .get(node_id)
            .is_some_and(super::registry::Node::is_foreign);
        let quiet_ms = |at_ms: u64| registry.observed_ms().saturating_sub(at_ms);
        if let Some(at_ms) = self.part(node_id).and_then(|part| part.foreign_at_ms) {
            return quiet_ms(at_ms) >= FOREIGN_DONE_MS;
        }
        is_foreign && quiet_ms(self.armed_at_ms.unwrap_or(0)) >= FOREIGN_START_MS
    }

    /// The step that ends the run, now that every participant has finished, and why.
    fn outcome(&self) -> (Step, Option<String>) {
        let nodes = || {
            self.run
                .participants
                .iter()
                .map(|id| (id, self.summary.node(id)))
        };
        let count = |wanted: Outcome| {
            nodes()
                .filter(|(_, node)| node.and_then(|n| n.outcome) == Some(wanted))
                .count()
        };
        let reported = nodes().filter(|(_, node)| node.is_some()).count();
        let (failed, aborted) = (
            count(Outcome::Failed) + count(Outcome::Missed),
            count(Outcome::Aborted),
        );
        let all = self.run.participants.len();
        let lost = self.run.lost.keys();
        let unheard = lost.filter(|id| !self.has_reported_its_end(id)).count();
        let step = if self.run.stop_requested {
            Step::Abort
        } else if failed == all || reported == 0 || failed + unheard >= all && failed > 0 {
            Step::Fail
        } else if failed + aborted > 0 || !self.run.lost.is_empty() {
            Step::Give
        } else {
            Step::Complete
        };
        (step, self.why(step))
    }

    fn why(&self, step: Step) -> Option<String> {
        let mut reasons: Vec<String> = Vec::new();
        if step == Step::Abort {
            reasons.push(match &self.run.aborted_by {
                Some(condition) => format!("aborted: {condition}"),
                None => "stopped".to_owned(),
            });
        }
        for (id, why) in &self.run.lost {
            let later = if self.has_reported_its_end(id) {
                "; its last report came later, and counts"
            } else {
                ""
            };
            reasons.push(format!("{id}: {why}{later}"));
        }
        for id in &self.run.participants {
            let Some(node) = self.summary.node(id) else {
                continue;
            };
            let what = match node.outcome {
                Some(Outcome::Failed) => "failed",
                Some(Outcome::Missed) => "missed the start",
                Some(Outcome::Aborted) if step != Step::Abort => "ended its part early",
                _ => continue,
            };
            let reason = node.reason.as_deref().map(|text| format!(": {text}"));
            reasons.push(format!("{id}: {what}{}", reason.unwrap_or_default()));
        }
        let excluded = self.run.excluded.iter();
        reasons.extend(excluded.map(|(id, why)| format!("{id}: took no part: {why}")));
        (!reasons.is_empty()).then(|| reasons::joined(reasons))
    }

    /// The result, and as it is stored.
    fn stored_result(&mut self) -> (StoredResult, TestResult) {
        let result = self.final_result();
        let stored = StoredResult {
            test_id: self.run.test_id.clone(),
            result: to_json(&result),
            series: to_json(&self.summary.series(0)),
            latencies: LatenciesWire::from(self.summary.merged()),
        };
        (stored, result)
    }
}

/// Since when a driver was not heard of.
fn silent_since(node_id: &str, registry: &Registry) -> String {
    let heard_ms = registry.get(node_id).map(|node| node.last_heartbeat_ms);
    match heard_ms.filter(|ms| *ms > 0) {
        Some(ms) => format!("since {}", reasons::time_of_day(ms)),
        None => "for 10 s".to_owned(),
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("invariant: results have string keys and finite numbers")
}

impl Control {
    /// Takes a step if it leads on from the run's phase. Others are no errors: reports, heartbeats
    /// and stops of a run come in any order.
    pub(super) fn step_if_possible(
        &mut self,
        test_id: &str,
        step: Step,
        now: Now,
        actions: &mut Actions,
    ) {
        if !self.runs.step(test_id, step, now.happened_ms) {
            return;
        }
        let observed_ms = self.registry.observed_ms();
        let Some(open) = self.runs.get_mut(test_id) else {
            return;
        };
        if step == Step::Arm {
            open.armed_at_ms = Some(observed_ms);
        }
        let fields = json!({"test_id": test_id, "state": open.run.phase.name()});
        log(actions, Level::Info, "test_state", fields);
    }

    /// Ends a run whose participants have all finished. While reports may lie unread in a partition
    /// whose merger is gone, nobody is held for lost, and who is already may have reported since.
    pub(super) fn settle(&mut self, test_id: &str, now: Now, actions: &mut Actions) {
        let is_stalled = self.mergers.are_stalled(self.registry.observed_ms());
        let Some(open) = self.runs.get_mut(test_id).filter(|open| open.is_active()) else {
            return;
        };
        let mut is_over = true;
        let mut lost = Vec::new();
        for node_id in &open.run.participants {
            if is_stalled && !open.has_reported_its_end(node_id) {
                is_over = false;
                break;
            }
            if open.has_finished(node_id) {
                continue;
            }
            if open.is_foreign_done(node_id, &self.registry) {
                continue;
            }
            match open.loss(node_id, &self.registry) {
                Some(why) => lost.push((node_id.clone(), why)),
                None => is_over = false,
            }
        }
        let has_lost = !lost.is_empty();
        for (node_id, why) in lost {
            let fields = json!({"test_id": test_id, "node_id": node_id, "reason": why});
            log(actions, Level::Warn, "participant_lost", fields);
            open.lose(&node_id, why);
        }
        if is_over {
            let (step, reason) = open.outcome();
            self.end(test_id, step, reason, now, actions);
        } else if has_lost {
            self.save_run(test_id, actions);
        }
    }

    /// Ends a run: its result is to be stored. It is let go of when that is done and no more reports
    /// can come.
    pub(super) fn end(
        &mut self,
        test_id: &str,
        step: Step,
        reason: Option<String>,
        now: Now,
        actions: &mut Actions,
    ) {
        self.leave_queue(test_id);
        self.step_if_possible(test_id, step, now, actions);
        let Some(open) = self.runs.get_mut(test_id) else {
            return;
        };
        if !open.run.phase.has_ended() {
            let fields = json!({"test_id": test_id, "phase": open.run.phase.name(),
                "step": format!("{step:?}")});
            log(actions, Level::Error, "illegal_step", fields);
            return;
        }
        open.run.reason = reason;
        // What it needed its secrets for is over.
        open.run.config = open.run.config.masked();
        let fields = json!({"test_id": test_id, "state": open.run.phase.name(),
            "reason": open.run.reason});
        log(actions, Level::Info, "test_ended", fields);
        let (stored, result) = open.stored_result();
        actions.push(Action::Persist(Change::Result(Box::new(stored))));
        self.save_run(test_id, actions);
        self.judge_run(test_id, &result, now, actions);
        if let Some(left) = self.runs.retire(test_id) {
            self.save_late_result(left, actions);
        }
        self.show_queue();
        self.retain(now, actions);
    }

    /// Late reports changed the results of runs that had ended: each is written once a turn, however
    /// many reports came.
    pub(super) fn save_late_results(&mut self, actions: &mut Actions) {
        for test_id in self.runs.take_changed() {
            if let Some(late) = self.runs.in_memory(&test_id) {
                let late = late.clone();
                self.save_late_result(late, actions);
            }
        }
    }

    /// A late report changed the result of a run that had ended.
    pub(super) fn save_late_result(&mut self, mut late: OpenRun, actions: &mut Actions) {
        let result = Box::new(late.stored_result().0);
        let row = Box::new(self.list.set(late.row()));
        actions.push(Action::Persist(Change::Result(result)));
        actions.push(Action::Persist(Change::Run(Box::new(late.run), row)));
    }
}
