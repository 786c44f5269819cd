//! What leaves the fold: messages on their way to the broker, runs on their way to the store.

use std::collections::BTreeMap;

use proto::bus::BusError;
use proto::log::Level;
use proto::message::{TestConfig, Trigger, TriggerKind};
use proto::topic::Topic;
use serde_json::json;

use super::run::Step;
use super::{Action, Actions, Change, Control, Line, Now, OpenRun, Outgoing, log};

/// Characters of a body that are logged: thousands of lines may wait for a slow reader.
const BODY_LOGGED_MAX: usize = 1000;
/// Time without a sign of the broker after which it counts as away, ns.
const BROKER_SILENT_NS: u64 = 4_000_000_000;

impl Control {
    /// Why the broker counts as away: not found yet, or our heartbeats do not come back.
    pub(super) fn broker_trouble(&self, now: Now) -> Option<String> {
        let trouble = self.broker.trouble.clone();
        if !self.broker.is_connected {
            return Some(trouble.unwrap_or_else(|| "not found yet".to_owned()));
        }
        let last = self.pulse.returned_mono_ns.or(self.pulse.sent_mono_ns)?;
        let silent_ns = now.since_ns(last);
        (silent_ns > BROKER_SILENT_NS).then(|| {
            let silent = format!("silent for {} s", silent_ns / 1_000_000_000);
            trouble.map_or(silent.clone(), |trouble| format!("{silent}: {trouble}"))
        })
    }

    /// Publishes the config of an open run.
    pub(super) fn send_config(&mut self, test_id: &str, actions: &mut Actions) {
        if let Some(open) = self.runs.get(test_id) {
            let payload = proto::codec::encode(&open.run.config);
            log_config(&open.run.config, actions);
            self.send(Topic::TestConfig, test_id, payload, actions);
        }
    }

    /// Publishes a trigger.
    pub(super) fn send_trigger(&mut self, trigger: Trigger, actions: &mut Actions) {
        let payload = proto::codec::encode(&trigger);
        self.send(Topic::Trigger, &trigger.test_id, payload, actions);
        actions.push(Action::Log(Line::Trigger(trigger)));
    }

    /// Tells the drivers to stop.
    pub(super) fn send_stop(&mut self, test_id: &str, actions: &mut Actions) {
        let stop = Trigger {
            test_id: test_id.to_owned(),
            trigger: TriggerKind::Stop,
            start_at_unix_ns: None,
            participants: None,
            clock_offsets: BTreeMap::new(),
        };
        self.send_trigger(stop, actions);
    }

    /// Keeps a message until the broker has it.
    fn send(&mut self, topic: Topic, key: &str, payload: Vec<u8>, actions: &mut Actions) {
        let message = self.outbox.add(topic, key, payload);
        actions.push(Action::Persist(Change::Outbox(message.clone())));
        actions.push(Action::Publish(message));
    }

    /// The broker has a message of the outbox, or refuses it.
    pub(super) fn delivered(
        &mut self,
        token: u64,
        outcome: Result<(), BusError>,
        now: Now,
        actions: &mut Actions,
    ) {
        let Err(error) = outcome else {
            if let Some(message) = self.outbox.remove(token) {
                actions.push(Action::Persist(Change::OutboxDone(token)));
                self.told(&message);
            }
            return;
        };
        let fields = json!({"error": error.to_string()});
        log(actions, Level::Warn, "delivery_failed", fields);
        if error.is_for_good() {
            self.give_up_sending(token, &error, now, actions);
        } else {
            self.outbox.failed(token, now);
        }
    }

    /// The broker has a message: if it is a start, the run is known to be told.
    fn told(&mut self, message: &Outgoing) {
        if message.topic == Topic::Trigger
            && let Some(open) = self.runs.get_mut(&message.key)
        {
            open.is_told = true;
        }
    }

    /// The broker never takes this message: the run that it belongs to ends with that reason.
    fn give_up_sending(&mut self, token: u64, error: &BusError, now: Now, actions: &mut Actions) {
        let Some(message) = self.outbox.remove(token) else {
            return;
        };
        actions.push(Action::Persist(Change::OutboxDone(token)));
        let what = match message.topic {
            Topic::TestConfig => "config",
            _ => "trigger",
        };
        let reason = format!("its {what} cannot be told to the drivers: {error}");
        self.fail_undelivered(&message.key, reason, now, actions);
    }

    /// A config or trigger that the broker does not have when the start instant comes is not
    /// waited for: drivers that got it later would start each for itself.
    pub(super) fn fail_what_is_not_delivered(&mut self, now: Now, actions: &mut Actions) {
        let is_due = |open: &OpenRun| {
            !open.is_told && open.start_mono_ns.is_some_and(|at| now.mono_ns >= at)
        };
        for test_id in self.runs.active() {
            if !self.runs.get(&test_id).is_some_and(is_due) {
                continue;
            }
            let topics = [Topic::TestConfig, Topic::Trigger];
            let mut held = topics.into_iter();
            let Some(topic) = held.find(|topic| self.outbox.holds(*topic, &test_id)) else {
                continue;
            };
            let why = self
                .broker_trouble(now)
                .unwrap_or_else(|| "no answer yet".to_owned());
            let reason = format!(
                "the broker had not taken its message on {topic} when it was to start: {why}"
            );
            self.fail_undelivered(&test_id, reason, now, actions);
        }
    }

    /// Ends a run whose drivers cannot be told of it; those that were are told to stop.
    fn fail_undelivered(&mut self, test_id: &str, reason: String, now: Now, actions: &mut Actions) {
        let Some(open) = self.runs.get(test_id) else {
            return;
        };
        let is_active = open.is_active();
        for token in self.outbox.remove_of(test_id) {
            actions.push(Action::Persist(Change::OutboxDone(token)));
        }
        if is_active {
            self.send_stop(test_id, actions);
        }
        self.cancel_arming(test_id, "failed", actions);
        self.end(test_id, Step::Fail, Some(reason), now, actions);
    }

    /// Stores a run as it stands now, and its line in the list.
    pub(super) fn save_run(&mut self, test_id: &str, actions: &mut Actions) {
        if let Some(open) = self.runs.get(test_id) {
            let row = open.row();
            let run = Box::new(open.run.clone());
            let row = Box::new(self.list.set(row));
            actions.push(Action::Persist(Change::Run(run, row)));
        }
    }

    pub(super) fn phase_name(&self, test_id: &str) -> &'static str {
        let row = self.list.get(test_id);
        row.map_or("unknown", |row| row.state.name())
    }
}

/// Logs a config as it goes over the wire, but without its secrets, and of a long body only how it
/// begins.
pub(super) fn log_config(config: &TestConfig, actions: &mut Actions) {
    let mut config = config.masked();
    let bodies = [&mut config.params.body, &mut config.params.body_base64];
    for body in bodies.into_iter().flatten() {
        if let Some((end, _)) = body.char_indices().nth(BODY_LOGGED_MAX) {
            body.truncate(end);
            body.push('…');
        }
    }
    actions.push(Action::Log(Line::Config(Box::new(config))));
}
