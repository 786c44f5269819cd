//! What is read from the topics.

use proto::log::Level;
use proto::message::{
    Heartbeat, Metrics, NodeState, REGISTER_TYPE, Register, Role, TestConfig, Trigger, TriggerKind,
};
use proto::summary::Absorbed;
use proto::topic::Topic;
use serde_json::json;

use super::commands::log_config;
use super::registry;
use super::run::{Phase, Run, Step};
use super::{
    Action, Actions, Change, Control, Event, Line, Now, OPEN_RUNS_MAX, ORPHANS_MAX, OpenRun,
    StoredReport, log,
};

impl Control {
    pub(super) fn registered(&mut self, message: Register, actions: &mut Actions) {
        actions.push(Action::Log(Line::Register(message.clone())));
        if message.message_type != REGISTER_TYPE {
            self.counts.malformed += 1;
            let fields = json!({"topic": Topic::Register.name(), "node_id": message.node_id,
                "error": format!("message_type is not {REGISTER_TYPE}")});
            return log(actions, Level::Warn, "message_skipped", fields);
        }
        let node_id = message.node_id.clone();
        let change = self.registry.register(message);
        self.save_node(&node_id, actions);
        log_change(change, actions);
    }

    pub(super) fn heartbeat(&mut self, message: Heartbeat, now: Now, actions: &mut Actions) {
        match message.role {
            Role::Driver => {}
            Role::Orchestrator if message.node_id == self.settings.node_id => {
                return self.pulse_returned(now, actions);
            }
            Role::Orchestrator | Role::Other => return,
        }
        if !message.heartbeat {
            // It says that it does not live: no sign of life.
            return actions.push(Action::Log(Line::Heartbeat(message)));
        }
        let node_id = message.node_id.clone();
        let was_known = self.registry.get(&node_id).is_some();
        let change = self.registry.heartbeat(&message, now.read_unix_ns);
        if change.is_some() || !was_known {
            self.save_node(&node_id, actions);
        }
        log_change(change, actions);
        self.notice_activity(&message, now, actions);
        actions.push(Action::Log(Line::Heartbeat(message)));
        self.arm_when_ready(now, actions);
    }

    fn save_node(&mut self, node_id: &str, actions: &mut Actions) {
        if let Some(record) = self.registry.record(node_id) {
            actions.push(Action::Persist(Change::Node(record)));
        }
    }

    /// Time goes on: who was silent for too long is found, and the runs are looked after.
    fn pulse_returned(&mut self, now: Now, actions: &mut Actions) {
        self.pulse.returned_unix_ns = Some(now.read_unix_ns);
        for change in self.registry.own_heartbeat(now.unix_ms) {
            self.save_node(&change.node_id.clone(), actions);
            log_change(Some(change), actions);
        }
        let active: Vec<String> = self.active_ids();
        for test_id in &active {
            self.start_if_due(test_id, now, actions);
            self.settle(test_id, now, actions);
        }
        let open = &self.open;
        let is_needed = |id: &str| {
            let mut runs = open.values().filter(|live| live.is_active());
            runs.any(|live| live.run.participants.iter().any(|other| other == id))
        };
        for node_id in self.registry.forget(is_needed) {
            actions.push(Action::Persist(Change::ForgetNode(node_id)));
        }
    }

    pub(super) fn active_ids(&self) -> Vec<String> {
        let active = self.open.iter().filter(|(_, live)| live.is_active());
        active.map(|(id, _)| id.clone()).collect()
    }

    fn start_if_due(&mut self, test_id: &str, now: Now, actions: &mut Actions) {
        let is_due = |live: &OpenRun| {
            let start_ms = live.run.started_ms().unwrap_or(0);
            live.run.phase == Phase::Armed && now.unix_ms >= start_ms
        };
        if self.open.get(test_id).is_some_and(is_due) {
            self.step_if_possible(test_id, Step::Start, now, actions);
            self.save_run(test_id, actions);
        }
    }

    /// What a driver says that it does moves the runs on.
    fn notice_activity(&mut self, message: &Heartbeat, now: Now, actions: &mut Actions) {
        let Some(state) = message.state else {
            return;
        };
        let observed_ms = self.registry.observed_ms();
        for live in self.open.values_mut().filter(|live| live.is_active()) {
            live.notice(
                &message.node_id,
                state,
                message.test_id.as_deref(),
                observed_ms,
            );
        }
        let Some(test_id) = message.test_id.as_deref() else {
            return;
        };
        match state {
            NodeState::Ready => self.configure_if_all_ready(test_id, now, actions),
            NodeState::Running => self.start_if_due(test_id, now, actions),
            NodeState::Draining => self.drain_if_all_drain(test_id, now, actions),
            _ => {}
        }
    }

    fn configure_if_all_ready(&mut self, test_id: &str, now: Now, actions: &mut Actions) {
        let is_created = |live: &OpenRun| live.run.phase == Phase::Created;
        if !self.open.get(test_id).is_some_and(is_created) {
            return;
        }
        let is_ready =
            |node: &registry::Node| node.is_foreign() || node.is(NodeState::Ready, test_id);
        if self.registry.awaited().all(|(_, node)| is_ready(node)) {
            self.step_if_possible(test_id, Step::Configure, now, actions);
            self.save_run(test_id, actions);
        }
    }

    fn drain_if_all_drain(&mut self, test_id: &str, now: Now, actions: &mut Actions) {
        let all_drain = |live: &OpenRun| {
            let mut working = live
                .run
                .participants
                .iter()
                .filter(|id| !live.has_finished(id));
            live.run.phase == Phase::Running && working.all(|id| live.draining.contains(id))
        };
        if self.open.get(test_id).is_some_and(all_drain) {
            self.step_if_possible(test_id, Step::Drain, now, actions);
            self.save_run(test_id, actions);
        }
    }

    pub(super) fn reported(
        &mut self,
        message: Box<Metrics>,
        payload: Vec<u8>,
        now: Now,
        actions: &mut Actions,
    ) {
        let observed_ms = self.registry.observed_ms();
        let test_id = message.test_id.clone();
        let is_open = self.open.contains_key(&test_id);
        let live = match self.open.get_mut(&test_id) {
            Some(live) => live,
            None => match self.ended.get(&test_id) {
                Some(live) => live,
                None => return self.report_of_unknown(message, payload, now),
            },
        };
        let absorbed = live.absorb(&message, observed_ms);
        let all_finished = live.all_have_finished();
        if absorbed == Absorbed::Duplicate {
            self.counts.duplicates += 1;
            return;
        }
        self.counts.reports += 1;
        actions.push(Action::Persist(Change::Report(stored(&message, payload))));
        // A slow reader of the log keeps thousands of lines waiting.
        let line = Box::new(message.without_histograms());
        actions.push(Action::Log(Line::Metrics(line)));
        if is_open {
            self.start_if_due(&test_id, now, actions);
            // Who is not awaited any more for other reasons, the next heartbeat of ours finds out.
            if all_finished {
                self.settle(&test_id, now, actions);
            }
        } else {
            self.save_late_result(&test_id, actions);
        }
    }

    /// A report on a test that ended completely is a duplicate; on one whose config has not been
    /// read yet, which another topic brings, it waits.
    fn report_of_unknown(&mut self, message: Box<Metrics>, payload: Vec<u8>, now: Now) {
        if self.rows.get(&message.test_id).is_some() {
            self.counts.duplicates += 1;
        } else {
            self.keep_orphan(Event::Metrics(message, payload), now);
        }
    }

    fn keep_orphan(&mut self, event: Event, now: Now) {
        if self.orphans.len() >= ORPHANS_MAX {
            self.counts.orphans_dropped += 1;
            return;
        }
        self.orphans.push((event, now));
    }

    /// Whether a report needs the stored ones of its test to be read first.
    #[must_use]
    pub fn needs_reports(&self, test_id: &str) -> bool {
        let row = self.rows.get(test_id);
        row.is_some_and(|row| row.state.has_ended() && !row.is_complete)
            && !self.ended.holds(test_id)
    }

    /// Gives back a run that ended; the reports that were stored on it go to
    /// [`Self::absorb_stored`].
    pub fn restore_ended(&mut self, run: Run) {
        if let Ok(live) = OpenRun::new(run, &self.settings.default_target) {
            self.ended.put(live);
        }
    }

    /// Takes back [`Self::restore_ended`], since its reports cannot be read.
    pub fn forget_ended(&mut self, test_id: &str) {
        self.ended.remove(test_id);
    }

    /// A config comes back, or was published by somebody else, or is read from a log that our
    /// store does not know.
    pub(super) fn config_read(&mut self, config: TestConfig, now: Now, actions: &mut Actions) {
        let test_id = config.test_id.clone();
        if self.rows.get(&test_id).is_some() || !proto::id::is_acceptable(&test_id) {
            return;
        }
        if self.open.len() >= OPEN_RUNS_MAX {
            self.counts.orphans_dropped += 1;
            return;
        }
        let run = Run::new(config, self.rows.next_number(), now.unix_ms);
        match OpenRun::new(run, &self.settings.default_target) {
            Ok(live) => {
                log_config(&live.run.config, actions);
                self.open.insert(test_id.clone(), live);
                self.save_run(&test_id, actions);
                log(
                    actions,
                    Level::Info,
                    "test_read",
                    json!({"test_id": test_id}),
                );
                self.adopt_orphans(&test_id, actions);
            }
            Err(error) => {
                self.counts.malformed += 1;
                let fields = json!({"test_id": test_id, "error": error.to_string()});
                log(actions, Level::Warn, "config_skipped", fields);
            }
        }
    }

    fn adopt_orphans(&mut self, test_id: &str, actions: &mut Actions) {
        let is_of = |(event, _): &(Event, Now)| match event {
            Event::Metrics(message, _) => message.test_id == test_id,
            Event::Trigger(trigger) => trigger.test_id == test_id,
            _ => false,
        };
        let (mut mine, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.orphans)
            .into_iter()
            .partition(is_of);
        self.orphans = others;
        // The trigger says who takes part, and so when the run is over.
        mine.sort_by_key(|(event, _)| !matches!(event, Event::Trigger(_)));
        for (event, now) in mine {
            self.dispatch(event, now, actions);
        }
    }

    /// A trigger comes back, or is read from a log that our store does not know.
    pub(super) fn trigger_read(&mut self, trigger: Trigger, now: Now, actions: &mut Actions) {
        let test_id = trigger.test_id.clone();
        if !self.open.contains_key(&test_id) {
            if self.rows.get(&test_id).is_none() {
                self.keep_orphan(Event::Trigger(trigger), now);
            }
            return;
        }
        match trigger.trigger {
            TriggerKind::Start => self.adopt_start(trigger, now, actions),
            TriggerKind::Stop => self.adopt_stop(trigger, now, actions),
        }
    }

    fn adopt_start(&mut self, trigger: Trigger, now: Now, actions: &mut Actions) {
        let test_id = trigger.test_id.clone();
        let all = || self.registry.awaited().map(|(id, _)| id.clone()).collect();
        let participants: Vec<String> = trigger.participants.clone().unwrap_or_else(all);
        let Some(live) = self.open.get_mut(&test_id).filter(|live| live.is_waiting()) else {
            return;
        };
        live.run.start_at_unix_ns = Some(
            trigger
                .start_at_unix_ns
                .unwrap_or(now.unix_ms.saturating_mul(1_000_000)),
        );
        live.run.participants = participants;
        live.run.clock_offsets = trigger.clock_offsets.clone();
        actions.push(Action::Log(Line::Trigger(trigger)));
        self.cancel_arming(&test_id, "armed", actions);
        self.step_if_possible(&test_id, Step::Arm, now, actions);
        self.save_run(&test_id, actions);
        self.settle(&test_id, now, actions);
    }

    fn adopt_stop(&mut self, trigger: Trigger, now: Now, actions: &mut Actions) {
        let test_id = &trigger.test_id.clone();
        let observed_ms = self.registry.observed_ms();
        let Some(live) = self.open.get_mut(test_id) else {
            return;
        };
        live.stop_at_ms.get_or_insert(observed_ms);
        if std::mem::replace(&mut live.run.stop_requested, true) {
            return;
        }
        actions.push(Action::Log(Line::Trigger(trigger)));
        if live.is_active() {
            self.step_if_possible(test_id, Step::Drain, now, actions);
            self.save_run(test_id, actions);
        } else {
            self.cancel_arming(test_id, "aborted", actions);
            let reason = "stopped before it was started".to_owned();
            self.end(test_id, Step::Abort, Some(reason), now, actions);
        }
    }
}

fn stored(message: &Metrics, payload: Vec<u8>) -> StoredReport {
    let sequence = message.report.as_ref().map(|report| report.sequence);
    StoredReport {
        test_id: message.test_id.clone(),
        node_id: message.node_id.clone(),
        sequence: sequence.map_or(-1, |sequence| i64::try_from(sequence).unwrap_or(i64::MAX)),
        payload,
    }
}

fn log_change(change: Option<registry::Change>, actions: &mut Actions) {
    let Some(change) = change else {
        return;
    };
    let level = match change.to {
        registry::Liveness::Up => Level::Info,
        _ => Level::Warn,
    };
    let from = change.from.map(registry::Liveness::name);
    let fields = json!({"node_id": change.node_id, "from": from, "to": change.to.name()});
    log(actions, level, "node", fields);
}
