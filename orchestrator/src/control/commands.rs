//! What clients ask for: create, trigger, stop.

use proto::log::Level;
use proto::message::{TestConfig, Trigger, TriggerKind};
use proto::topic::Topic;
use proto::workload::Workload;
use serde_json::json;

use super::arming::Arming;
use super::run::{Run, Step};
use super::{
    Action, Actions, Change, Command, Control, Line, MESSAGE_LEN_MAX, Now, OPEN_RUNS_MAX, OpenRun,
    Refusal, Reply, log,
};

/// Characters of a body that are logged: thousands of lines may wait for a slow reader.
const BODY_LOGGED_MAX: usize = 1000;
/// Time without a sign of the broker after which it counts as away, ns.
const BROKER_SILENT_NS: u64 = 4_000_000_000;

impl Control {
    pub(super) fn command(
        &mut self,
        ticket: u64,
        command: Command,
        now: Now,
        actions: &mut Actions,
    ) {
        let outcome = match command {
            Command::Create {
                test_id,
                workload,
                queue,
            } => self
                .create(&test_id, &workload, queue, now, actions)
                .map(Some),
            Command::Trigger { test_id, queue } => {
                self.trigger(ticket, &test_id, queue, now, actions)
            }
            Command::Stop { test_id } => self.stop(&test_id, now, actions).map(Some),
        };
        match outcome {
            Ok(Some(reply)) => actions.push(Action::Reply(ticket, reply)),
            // The reply comes when the drivers are ready.
            Ok(None) => {}
            Err(refusal) => actions.push(Action::Reply(ticket, Reply::Refused(refusal))),
        }
    }

    fn create(
        &mut self,
        test_id: &str,
        workload: &Workload,
        queue: bool,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        self.check_broker(now)?;
        self.store.clone().map_err(Refusal::StoreAway)?;
        if self.open.len() >= OPEN_RUNS_MAX {
            return Err(Refusal::TooMany);
        }
        let config = workload.to_config(test_id);
        let len = proto::codec::encode(&config).len();
        if len > MESSAGE_LEN_MAX {
            return Err(Refusal::TooLong(len));
        }
        let mut run = Run::new(config, self.rows.next_number(), now.unix_ms);
        run.queue_when_busy = queue;
        let live = OpenRun::new(run, &self.settings.default_target)
            .map_err(|error| Refusal::CannotPrepare(error.to_string()))?;
        self.open.insert(test_id.to_owned(), live);
        self.save_run(test_id, actions);
        self.send_config(test_id, actions);
        self.retain(now, actions);
        log(
            actions,
            Level::Info,
            "test_created",
            json!({"test_id": test_id}),
        );
        Ok(Reply::Created {
            test_id: test_id.to_owned(),
        })
    }

    /// `None`: the reply comes later.
    fn trigger(
        &mut self,
        ticket: u64,
        test_id: &str,
        queue: bool,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Option<Reply>, Refusal> {
        let live = self.waiting(test_id)?;
        let queue = queue || live.run.queue_when_busy;
        self.check_broker(now)?;
        if let Some(running) = self.busy_with() {
            if !queue || running == test_id {
                return Err(Refusal::Busy { running });
            }
            return Ok(Some(self.enqueue(test_id, running, actions)));
        }
        if self.registry.awaited().next().is_none() {
            return Err(Refusal::NoDriver);
        }
        self.begin_arming(Arming::new(test_id, Some(ticket), now), actions);
        self.arm_when_ready(now, actions);
        Ok(None)
    }

    /// The run, if it still waits for its trigger.
    fn waiting(&self, test_id: &str) -> Result<&OpenRun, Refusal> {
        if let Some(live) = self.open.get(test_id).filter(|live| live.is_waiting()) {
            return Ok(live);
        }
        let row = self.rows.get(test_id);
        let row = row.ok_or_else(|| Refusal::UnknownTest(test_id.to_owned()))?;
        Err(Refusal::WrongState {
            test_id: test_id.to_owned(),
            state: row.state.name(),
        })
    }

    /// The test that live drivers are busy with, or are about to be.
    pub(super) fn busy_with(&self) -> Option<String> {
        if let Some(arming) = &self.arming {
            return Some(arming.test_id.clone());
        }
        let mut active = self.open.values().filter(|live| live.is_active());
        active.next().map(|live| live.run.test_id.clone())
    }

    fn enqueue(&mut self, test_id: &str, running: String, actions: &mut Actions) -> Reply {
        let last = self.open.values().filter_map(|live| live.run.queued).max();
        if let Some(live) = self.open.get_mut(test_id) {
            live.run.queued.get_or_insert(last.unwrap_or(0) + 1);
        }
        self.save_run(test_id, actions);
        let mine = self.open.get(test_id).and_then(|live| live.run.queued);
        let before = |live: &&OpenRun| live.run.queued.is_some_and(|place| Some(place) < mine);
        Reply::Queued {
            test_id: test_id.to_owned(),
            state: self.phase_name(test_id),
            running,
            position: self.open.values().filter(before).count() + 1,
        }
    }

    /// Starts the first of the queue when the drivers are free.
    pub(super) fn start_queued(&mut self, now: Now, actions: &mut Actions) {
        let is_possible = self.busy_with().is_none() && self.registry.awaited().next().is_some();
        if !is_possible || self.check_broker(now).is_err() {
            return;
        }
        let queued = self.open.values().filter(|live| live.run.queued.is_some());
        let next = queued.min_by_key(|live| live.run.queued);
        let Some(test_id) = next.map(|live| live.run.test_id.clone()) else {
            return;
        };
        self.begin_arming(Arming::new(&test_id, None, now), actions);
    }

    fn stop(&mut self, test_id: &str, now: Now, actions: &mut Actions) -> Result<Reply, Refusal> {
        match self.open.get(test_id) {
            None => drop(self.waiting(test_id)?),
            // The drivers must be told; a test that waits, or was stopped already, is so without.
            Some(live) if live.is_active() && !live.run.stop_requested => self.check_broker(now)?,
            Some(_) => {}
        }
        let live = self.open.get_mut(test_id);
        let live = live.ok_or_else(|| Refusal::UnknownTest(test_id.to_owned()))?;
        let was_requested = std::mem::replace(&mut live.run.stop_requested, true);
        let observed_ms = self.registry.observed_ms();
        live.stop_at_ms.get_or_insert(observed_ms);
        live.run.queued = None;
        let is_active = live.is_active();
        if !was_requested {
            let stop = Trigger {
                test_id: test_id.to_owned(),
                trigger: TriggerKind::Stop,
                start_at_unix_ns: None,
                participants: None,
                clock_offsets: std::collections::BTreeMap::new(),
            };
            self.send_trigger(stop, actions);
            log(
                actions,
                Level::Info,
                "test_stop",
                json!({"test_id": test_id}),
            );
        }
        if is_active {
            self.step_if_possible(test_id, Step::Drain, now, actions);
            self.save_run(test_id, actions);
            self.settle(test_id, now, actions);
        } else {
            self.cancel_arming(test_id, "aborted", actions);
            self.end(
                test_id,
                Step::Abort,
                Some("stopped before it was started".into()),
                now,
                actions,
            );
        }
        Ok(Reply::Stopped {
            test_id: test_id.to_owned(),
            state: self.phase_name(test_id),
        })
    }

    /// Whether commands that need the broker can be taken.
    fn check_broker(&self, now: Now) -> Result<(), Refusal> {
        match self.broker_trouble(now) {
            None => Ok(()),
            Some(trouble) => Err(Refusal::BrokerAway(trouble)),
        }
    }

    /// Why the broker counts as away: not found yet, or our heartbeats do not come back.
    pub(super) fn broker_trouble(&self, now: Now) -> Option<String> {
        let trouble = self.broker.trouble.clone();
        if !self.broker.is_connected {
            return Some(trouble.unwrap_or_else(|| "not found yet".to_owned()));
        }
        let last = self
            .pulse
            .returned_unix_ns
            .unwrap_or(self.pulse.sent_unix_ns);
        let silent_ns = now.read_unix_ns.saturating_sub(last);
        let is_silent = self.pulse.sent_unix_ns > 0 && silent_ns > BROKER_SILENT_NS;
        is_silent.then(|| {
            let silent = format!("silent for {} s", silent_ns / 1_000_000_000);
            trouble.map_or(silent.clone(), |trouble| format!("{silent}: {trouble}"))
        })
    }

    /// Publishes the config of an open run.
    pub(super) fn send_config(&mut self, test_id: &str, actions: &mut Actions) {
        if let Some(live) = self.open.get(test_id) {
            let payload = proto::codec::encode(&live.run.config);
            log_config(&live.run.config, actions);
            self.send(Topic::TestConfig, test_id, payload, actions);
        }
    }

    /// Publishes a trigger.
    pub(super) fn send_trigger(&mut self, trigger: Trigger, actions: &mut Actions) {
        let payload = proto::codec::encode(&trigger);
        self.send(Topic::Trigger, &trigger.test_id, payload, actions);
        actions.push(Action::Log(Line::Trigger(trigger)));
    }

    /// Keeps a message until the broker has it.
    fn send(&mut self, topic: Topic, key: &str, payload: Vec<u8>, actions: &mut Actions) {
        let message = self.outbox.add(topic, key, payload);
        actions.push(Action::Persist(Change::Outbox(message.clone())));
        actions.push(Action::Publish(message));
    }

    /// Stores a run as it stands now, and its line in the list.
    pub(super) fn save_run(&mut self, test_id: &str, actions: &mut Actions) {
        if let Some(live) = self.open.get(test_id) {
            let row = live.row();
            self.rows.set(row.clone());
            let run = Box::new(live.run.clone());
            actions.push(Action::Persist(Change::Run(run, row)));
        }
    }

    pub(super) fn phase_name(&self, test_id: &str) -> &'static str {
        self.rows
            .get(test_id)
            .map_or("unknown", |row| row.state.name())
    }
}

/// Logs a config as it goes over the wire, but of a long body only how it begins.
pub(super) fn log_config(config: &TestConfig, actions: &mut Actions) {
    let mut config = config.clone();
    let bodies = [&mut config.params.body, &mut config.params.body_base64];
    for body in bodies.into_iter().flatten() {
        if let Some((end, _)) = body.char_indices().nth(BODY_LOGGED_MAX) {
            body.truncate(end);
            body.push('…');
        }
    }
    actions.push(Action::Log(Line::Config(Box::new(config))));
}
