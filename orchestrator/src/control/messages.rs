//! What is read from the topics.

use proto::log::Level;
use proto::message::{
    self, Heartbeat, Metrics, NodeState, Order, REGISTER_TYPE, Register, Role, TestConfig, Trigger,
    TriggerKind,
};
use proto::summary::{Absorbed, Summary};
use proto::topic::Topic;
use serde_json::json;

use super::outgoing::log_config;
use super::registry::{self, Speaker};
use super::run::{Phase, Run, Step};
use super::{
    Action, Actions, Asked, Change, Control, Event, Line, Loaded, Now, OPEN_BYTES_MAX,
    OPEN_RUNS_MAX, OpenRun, Outgoing, StoredReport, log,
};

/// The token of fences, which are not kept: where they are still needed, the next heartbeat asks
/// for them again.
const FENCE_TOKEN: u64 = u64::MAX;
/// A start instant that somebody else's trigger names is not believed to be further away, ns.
const ADOPTED_LEAD_NS_MAX: u64 = 10_000_000_000;

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
                return self.heartbeat_returned(&message, now, actions);
            }
            Role::Orchestrator | Role::Other => return,
        }
        if !message.heartbeat {
            // It says that it does not live: no sign of life.
            return actions.push(Action::Log(Line::Heartbeat(message)));
        }
        let node_id = message.node_id.clone();
        let incarnation = |open: &OpenRun| open.run.incarnations.get(&node_id).copied();
        let held = self.runs.of_node(&node_id).find_map(incarnation);
        let is_free = self.runs.of_node(&node_id).next().is_none();
        let was = self.registry.get(&node_id).map(|node| node.incarnation);
        match self.registry.speaker(&message, held, is_free) {
            Speaker::Itself => {}
            Speaker::ItselfBefore(rival) => self.fence(&node_id, rival, actions),
            Speaker::Rival => return actions.push(Action::Log(Line::Heartbeat(message))),
        }
        let lacked = self.registry.get(&node_id);
        let lacked = lacked.is_some_and(|node| !node.needs.is_empty());
        if lacked || !message.needs.is_empty() {
            actions.push(Action::Send(Asked {
                node_id: node_id.clone(),
                needs: message.needs.clone(),
            }));
        }
        let change = self.registry.heartbeat(&message, now);
        let is = self.registry.get(&node_id).map(|node| node.incarnation);
        if change.is_some() || was != is {
            self.save_node(&node_id, actions);
        }
        log_change(change, actions);
        self.notice_activity(&message, now, actions);
        actions.push(Action::Log(Line::Heartbeat(message)));
        self.arm_when_ready(now, actions);
    }

    /// Tells a process that another one has its id, and is heard.
    fn fence(&mut self, node_id: &str, incarnation: u64, actions: &mut Actions) {
        let node = self.registry.get(node_id);
        let address = node.map_or_else(String::new, |node| node.identity.node_ip.clone());
        let fields = json!({"node_id": node_id, "incarnation": incarnation, "first": address});
        log(actions, Level::Warn, "driver_fenced", fields);
        let message = message::Control {
            node_id: self.settings.node_id.clone(),
            order: Order::Fence {
                of_node_id: node_id.to_owned(),
                incarnation,
                address,
            },
        };
        let outgoing = Outgoing {
            token: FENCE_TOKEN,
            topic: Topic::Control,
            key: node_id.to_owned(),
            payload: proto::codec::encode(&message),
        };
        actions.push(Action::Publish(outgoing));
        actions.push(Action::Log(Line::Control(message)));
    }

    fn save_node(&mut self, node_id: &str, actions: &mut Actions) {
        if let Some(record) = self.registry.record(node_id) {
            actions.push(Action::Persist(Change::Node(record)));
        }
    }

    /// Our own heartbeat came back: who was silent for too long is found.
    fn heartbeat_returned(&mut self, message: &Heartbeat, now: Now, actions: &mut Actions) {
        self.pulse.heard(now);
        // What we wrote ourselves, not what the broker stamped.
        let written = message.timestamp.as_ref().and_then(|ms| ms.parse().ok());
        let sent_ms = written.unwrap_or(now.wall_ns / 1_000_000);
        for change in self.registry.own_heartbeat(sent_ms) {
            self.save_node(&change.node_id.clone(), actions);
            log_change(Some(change), actions);
        }
        self.notice_silent_mergers(now, actions);
        for test_id in self.runs.active() {
            self.settle(&test_id, now, actions);
        }
        let runs = &self.runs;
        let is_needed = |id: &str| runs.of_node(id).next().is_some();
        for node_id in self.registry.forget(is_needed) {
            actions.push(Action::Persist(Change::ForgetNode(node_id)));
        }
    }

    /// What an orchestrator told its drivers comes back: our pulse is our clock, a stop may be of a
    /// log that our store does not know.
    pub(super) fn control_read(
        &mut self,
        message: message::Control,
        now: Now,
        actions: &mut Actions,
    ) {
        if let Some(test_id) = message.order.test_id()
            && self.awaits_config(test_id)
        {
            return self.keep_orphan(Event::Control(message), now);
        }
        match &message.order {
            Order::Pulse { probe } if message.node_id == self.settings.node_id => {
                let sent_ms = probe.sent_unix_ns / 1_000_000;
                self.pulse.returned(*probe, now);
                if self.clock.pulse(sent_ms, now) {
                    actions.push(Action::Persist(Change::Clock(sent_ms)));
                }
            }
            Order::Stop { test_id } => {
                let test_id = test_id.clone();
                self.adopt_stop(&test_id, Line::Control(message), now, actions);
            }
            Order::Rates { test_id, changes } => {
                self.adopt_rates(test_id, changes, actions);
            }
            Order::Participants {
                test_id,
                first,
                participants,
                ..
            } => {
                let first = usize::try_from(*first).unwrap_or(usize::MAX);
                self.adopt_participants(test_id, first, participants, actions);
            }
            Order::Pulse { .. } | Order::Fence { .. } | Order::Unknown => {}
        }
    }

    /// What a driver says that it does moves the runs on.
    fn notice_activity(&mut self, message: &Heartbeat, now: Now, actions: &mut Actions) {
        let Some(state) = message.state else {
            return;
        };
        let observed_ms = self.registry.observed_ms();
        let said_of = message.test_id.as_deref();
        self.runs.each_of_node(&message.node_id, |open| {
            open.notice(&message.node_id, state, said_of, observed_ms);
        });
        let Some(test_id) = said_of else {
            return;
        };
        match state {
            NodeState::Ready => self.configure_if_all_ready(test_id, now, actions),
            NodeState::Running => self.start(test_id, &message.node_id, now, actions),
            NodeState::Draining => self.drain_if_all_drain(test_id, now, actions),
            _ => {}
        }
    }

    fn configure_if_all_ready(&mut self, test_id: &str, now: Now, actions: &mut Actions) {
        let is_created = |open: &OpenRun| open.run.phase == Phase::Created;
        if !self.runs.get(test_id).is_some_and(is_created) {
            return;
        }
        if self.registry.are_all_ready(test_id) {
            self.step_if_possible(test_id, Step::Configure, now, actions);
            self.save_run(test_id, actions);
        }
    }

    fn drain_if_all_drain(&mut self, test_id: &str, now: Now, actions: &mut Actions) {
        let all_drain = |open: &OpenRun| open.run.phase == Phase::Running && open.do_all_drain();
        if self.runs.get(test_id).is_some_and(all_drain) {
            self.step_if_possible(test_id, Step::Drain, now, actions);
            self.save_run(test_id, actions);
        }
    }

    /// A participant is at work: the run is on, whatever our own clock says.
    pub(super) fn start(&mut self, test_id: &str, node_id: &str, now: Now, actions: &mut Actions) {
        let is_armed =
            |open: &OpenRun| open.run.phase == Phase::Armed && open.part(node_id).is_some();
        if self.runs.get(test_id).is_some_and(is_armed) {
            self.step_if_possible(test_id, Step::Start, now, actions);
            self.save_run(test_id, actions);
        }
    }

    /// The start instants that have come.
    pub(super) fn start_what_is_due(&mut self, now: Now, actions: &mut Actions) {
        let is_due = |open: &OpenRun| {
            let has_come = open.start_mono_ns.is_some_and(|at| now.mono_ns >= at);
            open.run.phase == Phase::Armed && open.is_told && has_come
        };
        for test_id in self.runs.active() {
            if self.runs.get(&test_id).is_some_and(is_due) {
                self.step_if_possible(&test_id, Step::Start, now, actions);
                self.save_run(&test_id, actions);
            }
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
        let is_open = self.runs.get(&test_id).is_some();
        let Some(run) = self.runs.in_memory(&test_id) else {
            return self.report_of_unknown(message, payload, now, actions);
        };
        if run.is_of_another_process(&message) {
            self.counts.fenced += 1;
            let fields = json!({"node_id": message.node_id, "test_id": test_id,
                "error": "another process with this driver's id reported it; it is not counted"});
            return log(actions, Level::Warn, "message_skipped", fields);
        }
        let absorbed = run.absorb(&message, observed_ms);
        let have_all_finished = run.have_all_finished();
        if absorbed == Absorbed::Duplicate {
            self.counts.duplicates += 1;
            return;
        }
        self.counts.reports += 1;
        actions.push(Action::Persist(Change::Report(stored(&message, payload))));
        let node_id = message.node_id.clone();
        // A slow reader of the log keeps thousands of lines waiting.
        let line = Box::new(message.without_histograms());
        actions.push(Action::Log(Line::Metrics(line)));
        if !is_open {
            return self.runs.mark_changed(&test_id);
        }
        self.start(&test_id, &node_id, now, actions);
        self.abort_if_met(&test_id, now, actions);
        // Who is not awaited any more for other reasons, the next heartbeat of ours finds out.
        if have_all_finished {
            self.settle(&test_id, now, actions);
        }
    }

    /// A report on a test that ended completely is a duplicate; one on a test that ended without it
    /// waits until that is loaded; one whose config has not been read yet, which another topic
    /// brings, waits for that.
    fn report_of_unknown(
        &mut self,
        message: Box<Metrics>,
        payload: Vec<u8>,
        now: Now,
        actions: &mut Actions,
    ) {
        let test_id = message.test_id.clone();
        let event = Event::Metrics(message, payload);
        let Some(row) = self.list.get(&test_id) else {
            if self.awaits_config(&test_id) {
                self.keep_orphan(event, now);
            } else {
                self.counts.of_deleted += 1;
            }
            return;
        };
        if row.is_complete || !row.state.has_ended() {
            self.counts.duplicates += 1;
            return;
        }
        let waiting = self.loading.entry(test_id.clone()).or_default();
        if waiting.is_empty() {
            actions.push(Action::Load(test_id));
        }
        waiting.push((event, now));
    }

    /// A run that has ended is there again, with its reports: late ones are counted with them.
    pub(super) fn loaded(&mut self, loaded: Loaded, actions: &mut Actions) {
        let Loaded { test_id, outcome } = loaded;
        let waiting = self.loading.remove(&test_id).unwrap_or_default();
        let restored = outcome.and_then(|found| {
            let Some(found) = found else {
                return Err("the store does not have it".to_owned());
            };
            let (run, summary) = *found;
            OpenRun::new(run, summary, &self.settings.default_target)
                .map_err(|error| error.to_string())
        });
        match restored {
            Ok(late) => {
                if let Some(left) = self.runs.put_late(late) {
                    self.save_late_result(left, actions);
                }
                for (event, then) in waiting {
                    self.dispatch(event, then, actions);
                }
            }
            Err(error) => {
                let fields = json!({"test_id": test_id, "error": error,
                    "reports_dropped": waiting.len()});
                log(actions, Level::Error, "store_read_failed", fields);
            }
        }
    }

    /// A config comes back, or was published by somebody else, or is read from a log that our
    /// store does not know.
    pub(super) fn config_read(&mut self, config: TestConfig, now: Now, actions: &mut Actions) {
        let test_id = config.test_id.clone();
        let is_known = self.list.get(&test_id).is_some();
        if is_known || !proto::id::is_acceptable(&test_id) || self.is_of_deleted(&test_id) {
            return;
        }
        if self.runs.open_len() >= OPEN_RUNS_MAX || self.runs.open_bytes() >= OPEN_BYTES_MAX {
            self.counts.orphans_dropped += 1;
            return;
        }
        let run = Run::new(config, self.list.next_number(), now.happened_ms);
        match OpenRun::new(run, Summary::default(), &self.settings.default_target) {
            Ok(open) => {
                log_config(&open.run.config, actions);
                self.runs.insert(open);
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

    /// Whether a test is one whose config another topic may still bring.
    fn awaits_config(&self, test_id: &str) -> bool {
        self.list.get(test_id).is_none() && !self.tombstones.holds(test_id)
    }

    fn keep_orphan(&mut self, event: Event, now: Now) {
        self.counts.orphans_dropped += self.orphans.keep(event, now);
    }

    fn adopt_orphans(&mut self, test_id: &str, actions: &mut Actions) {
        for (event, now) in self.orphans.take(test_id) {
            self.dispatch(event, now, actions);
        }
    }

    /// A trigger comes back, or is read from a log that our store does not know.
    pub(super) fn trigger_read(&mut self, trigger: Trigger, now: Now, actions: &mut Actions) {
        let Some(open) = self.runs.get_mut(&trigger.test_id) else {
            if self.awaits_config(&trigger.test_id) {
                self.keep_orphan(Event::Trigger(trigger), now);
            } else if self.list.get(&trigger.test_id).is_none() {
                self.counts.of_deleted += 1;
            }
            return;
        };
        match trigger.trigger {
            TriggerKind::Start => {
                open.is_told = true;
                self.adopt_start(trigger, now, actions);
            }
            TriggerKind::Stop => {
                let test_id = trigger.test_id.clone();
                self.adopt_stop(&test_id, Line::Trigger(trigger), now, actions);
            }
        }
    }

    fn adopt_start(&mut self, trigger: Trigger, now: Now, actions: &mut Actions) {
        let test_id = trigger.test_id.clone();
        let all = || self.registry.awaited().map(|(id, _)| id.clone()).collect();
        let participants: Vec<String> = trigger.participants.clone().unwrap_or_else(all);
        let Some(open) = self.runs.get_mut(&test_id).filter(|open| open.is_waiting()) else {
            return;
        };
        let at_once_ns = now.happened_ms.saturating_mul(1_000_000);
        let start_ns = trigger.start_at_unix_ns.unwrap_or(at_once_ns);
        let until_ns = start_ns
            .saturating_sub(now.wall_ns)
            .min(ADOPTED_LEAD_NS_MAX);
        open.start_mono_ns = Some(now.mono_ns + until_ns);
        open.run.start_at_unix_ns = Some(start_ns);
        open.run.clock_offsets = trigger.clock_offsets.clone();
        open.run.incarnations = trigger.incarnations.clone();
        self.leave_queue(&test_id);
        self.runs.freeze(&test_id, participants);
        actions.push(Action::Log(Line::Trigger(trigger)));
        self.cancel_arming(&test_id, "armed", actions);
        self.step_if_possible(&test_id, Step::Arm, now, actions);
        self.save_run(&test_id, actions);
        self.settle(&test_id, now, actions);
    }

    /// More participants of a start that was adopted; those of our own are known.
    fn adopt_participants(
        &mut self,
        test_id: &str,
        first: usize,
        more: &[String],
        actions: &mut Actions,
    ) {
        let open = self.runs.get(test_id).filter(|open| open.is_active());
        let Some(open) = open.filter(|open| open.run.participants.len() == first) else {
            return;
        };
        let mut participants = open.run.participants.clone();
        participants.extend_from_slice(more);
        self.runs.freeze(test_id, participants);
        self.save_run(test_id, actions);
    }

    fn adopt_stop(&mut self, test_id: &str, line: Line, now: Now, actions: &mut Actions) {
        let observed_ms = self.registry.observed_ms();
        let Some(open) = self.runs.get_mut(test_id) else {
            return;
        };
        open.stop_at_ms.get_or_insert(observed_ms);
        if std::mem::replace(&mut open.run.stop_requested, true) {
            return;
        }
        let is_active = open.is_active();
        actions.push(Action::Log(line));
        if is_active {
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
