//! How a run ends: every participant has sent its last report, or is not awaited any more.

use proto::histogram::{LatenciesWire, SparseLatencies};
use proto::log::Level;
use proto::measure::Outcome;
use proto::message::NodeState;
use proto::summary::NodeSummary;
use serde_json::json;

use super::registry::Registry;
use super::run::Step;
use super::{Action, Actions, Change, Control, Now, OpenRun, StoredResult, log};

/// A driver of another implementation that reported nothing for this long has finished, ms.
const FOREIGN_DONE_MS: u64 = 5_000;
/// The same before its first report: it may be slow to start.
const FOREIGN_START_MS: u64 = 15_000;
/// A participant that says for this long that it does something else has forgotten the run, ms.
const ABSENT_MS: u64 = 15_000;
/// Time that participants have to drain and to report after a stop, beyond the request timeout, ms.
const STOP_MS: u64 = 60_000;

impl OpenRun {
    /// Whether a participant's last report is in, or is not awaited any more.
    pub(super) fn has_finished(&self, node_id: &str) -> bool {
        self.summary
            .node(node_id)
            .is_some_and(NodeSummary::has_ended)
            || self.run.lost.contains_key(node_id)
    }

    /// Whether that is so of all of them.
    pub(super) fn all_have_finished(&self) -> bool {
        let mut participants = self.run.participants.iter();
        participants.all(|node_id| self.has_finished(node_id))
    }

    /// Takes note of what a participant says that it does.
    pub(super) fn notice(
        &mut self,
        node_id: &str,
        state: NodeState,
        test_id: Option<&str>,
        observed_ms: u64,
    ) {
        if !self.run.participants.iter().any(|id| id == node_id) {
            return;
        }
        let is_here = test_id == Some(self.run.test_id.as_str()) && state != NodeState::Failed;
        if is_here {
            self.absent_since_ms.remove(node_id);
        } else {
            self.absent_since_ms
                .entry(node_id.to_owned())
                .or_insert(observed_ms);
        }
        if is_here && state == NodeState::Draining && !self.draining.iter().any(|id| id == node_id)
        {
            self.draining.push(node_id.to_owned());
        }
    }

    /// Why a participant that has not finished is not awaited any more.
    fn loss(&self, node_id: &str, registry: &Registry) -> Option<String> {
        let observed_ms = registry.observed_ms();
        let since = |at_ms: u64| observed_ms.saturating_sub(at_ms);
        if !registry.is_alive(node_id) {
            return Some("lost: no heartbeat for 10 s".to_owned());
        }
        if self
            .absent_since_ms
            .get(node_id)
            .is_some_and(|at_ms| since(*at_ms) >= ABSENT_MS)
        {
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

    /// Whether a participant of another implementation has finished: it only ever falls silent.
    fn is_foreign_done(&self, node_id: &str, registry: &Registry) -> bool {
        let is_foreign = registry
            .get(node_id)
            .is_some_and(super::registry::Node::is_foreign);
        let quiet_ms = |at_ms: u64| registry.observed_ms().saturating_sub(at_ms);
        if let Some(at_ms) = self.foreign_at_ms.get(node_id) {
            return quiet_ms(*at_ms) >= FOREIGN_DONE_MS;
        }
        is_foreign && quiet_ms(self.armed_at_ms.unwrap_or(0)) >= FOREIGN_START_MS
    }

    /// The step that ends the run, now that every participant has finished, and why.
    fn verdict(&self) -> (Step, Option<String>) {
        let nodes = || {
            self.run
                .participants
                .iter()
                .map(|id| (id, self.summary.node(id)))
        };
        let outcome = |wanted: Outcome| {
            nodes()
                .filter(|(_, node)| node.and_then(|n| n.outcome) == Some(wanted))
                .count()
        };
        let reported = nodes().filter(|(_, node)| node.is_some()).count();
        let (failed, aborted) = (
            outcome(Outcome::Failed) + outcome(Outcome::Missed),
            outcome(Outcome::Aborted),
        );
        let all = self.run.participants.len();
        let step = if self.run.stop_requested {
            Step::Abort
        } else if failed == all
            || reported == 0
            || failed + self.run.lost.len() >= all && failed > 0
        {
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
            reasons.push("stopped".to_owned());
        }
        let lost = self.run.lost.iter().map(|(id, why)| format!("{id}: {why}"));
        reasons.extend(lost);
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
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// The result as it is stored.
    fn stored_result(&mut self) -> StoredResult {
        let ended_ms = self.run.ended_ms().unwrap_or(0);
        let result = self.result(ended_ms);
        let merged = SparseLatencies::from(self.summary.merged());
        StoredResult {
            test_id: self.run.test_id.clone(),
            result: to_json(&*result),
            series: to_json(&self.summary.series(0)),
            latencies: LatenciesWire::from(&merged),
        }
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
        let observed_ms = self.registry.observed_ms();
        let Some(live) = self.open.get_mut(test_id) else {
            return;
        };
        if live.run.step(step, now.unix_ms).is_ok() {
            if step == Step::Arm {
                live.armed_at_ms = Some(observed_ms);
            }
            let fields = json!({"test_id": test_id, "state": live.run.phase.name()});
            log(actions, Level::Info, "test_state", fields);
        }
    }

    /// Ends a run whose participants have all finished.
    pub(super) fn settle(&mut self, test_id: &str, now: Now, actions: &mut Actions) {
        let Some(live) = self.open.get_mut(test_id).filter(|live| live.is_active()) else {
            return;
        };
        let mut is_over = true;
        let mut has_lost = false;
        for node_id in live.run.participants.clone() {
            if live.has_finished(&node_id) || live.is_foreign_done(&node_id, &self.registry) {
                continue;
            }
            match live.loss(&node_id, &self.registry) {
                Some(why) => {
                    let fields = json!({"test_id": test_id, "node_id": node_id, "reason": why});
                    log(actions, Level::Warn, "participant_lost", fields);
                    live.run.lost.insert(node_id, why);
                    has_lost = true;
                }
                None => is_over = false,
            }
        }
        if is_over {
            let (step, reason) = live.verdict();
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
        self.step_if_possible(test_id, step, now, actions);
        let Some(live) = self.open.get_mut(test_id) else {
            return;
        };
        if !live.run.phase.has_ended() {
            let fields = json!({"test_id": test_id, "phase": live.run.phase.name(),
                "step": format!("{step:?}")});
            log(actions, Level::Error, "illegal_step", fields);
            return;
        }
        live.run.queued = None;
        live.run.reason = reason;
        let fields = json!({"test_id": test_id, "state": live.run.phase.name(),
            "reason": live.run.reason});
        log(actions, Level::Info, "test_ended", fields);
        actions.push(Action::Persist(Change::Result(Box::new(
            live.stored_result(),
        ))));
        self.save_run(test_id, actions);
        if let Some(live) = self.open.remove(test_id) {
            self.ended.put(live);
        }
        self.retain(now, actions);
    }

    /// A late report changed the result of a run that had ended.
    pub(super) fn save_late_result(&mut self, test_id: &str, actions: &mut Actions) {
        let Some(live) = self.ended.get(test_id) else {
            return;
        };
        let result = Box::new(live.stored_result());
        let row = live.row();
        let run = Box::new(live.run.clone());
        self.rows.set(row.clone());
        actions.push(Action::Persist(Change::Result(result)));
        actions.push(Action::Persist(Change::Run(run, row)));
    }

    /// Deletes the tests that are kept no longer.
    pub(super) fn retain(&mut self, now: Now, actions: &mut Actions) {
        let surplus = match self.settings.retention_tests {
            0 => 0,
            most => self.rows.len().saturating_sub(most),
        };
        let oldest_ms = match self.settings.retention_ms {
            0 => 0,
            most => now.unix_ms.saturating_sub(most),
        };
        let is_old = |at: usize, ended_ms: u64| at < surplus || ended_ms < oldest_ms;
        let ended = self
            .rows
            .oldest_first()
            .filter(|row| row.state.has_ended())
            .enumerate();
        let old: Vec<String> = ended
            .take_while(|(at, row)| is_old(*at, row.ended_unix_ms.unwrap_or(0)))
            .map(|(_, row)| row.test_id.clone())
            .collect();
        for test_id in old {
            self.rows.remove(&test_id);
            self.ended.remove(&test_id);
            actions.push(Action::Persist(Change::ForgetTest(test_id)));
        }
    }
}
