//! What leaves the fold: messages on their way to the broker, runs on their way to the store.

use std::collections::BTreeMap;

use proto::bus::BusError;
use proto::log::Level;
use proto::message::{self, Order, TestConfig, Trigger, TriggerKind};
use proto::topic::Topic;
use serde_json::json;

use super::run::Step;
use super::{Action, Actions, Change, Control, Line, Now, OpenRun, Outgoing, log};

/// Characters of a body that are logged: thousands of lines may wait for a slow reader.
const BODY_LOGGED_MAX: usize = 1000;
/// Most bytes of a message's participants …
const CHUNK_BYTES_MAX: usize = 900_000;
/// … of which one takes so many besides its id: a clock offset, its uncertainty, an incarnation.
const PARTICIPANT_BYTES: usize = 140;
/// Time without a sign of the broker after which it counts as away, ns.
const BROKER_SILENT_NS: u64 = 4_000_000_000;

impl Control {
    /// Why the broker counts as away: not found yet, or our pulse does not come back.
    pub(super) fn broker_trouble(&self, now: Now) -> Option<String> {
        let refused = self.pulse.refused().map(ToString::to_string);
        let trouble = refused.or_else(|| self.broker.trouble.clone());
        if !self.broker.is_connected {
            return Some(trouble.unwrap_or_else(|| "not found yet".to_owned()));
        }
        let silent_ns = now.since_ns(self.pulse.silent_since_ns()?);
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

    /// Publishes the start of an armed run: one message on `trigger`, and what has no room in it on
    /// `control`.
    pub(super) fn send_start(&mut self, test_id: &str, actions: &mut Actions) {
        let Some(open) = self.runs.get(test_id) else {
            return;
        };
        let run = &open.run;
        let mut chunks = chunks(&run.participants).into_iter();
        let listed = chunks.next().unwrap_or_default();
        let trigger = Trigger {
            test_id: test_id.to_owned(),
            trigger: TriggerKind::Start,
            start_at_unix_ns: run.start_at_unix_ns,
            participants: Some(listed.to_vec()),
            n: Some(run.participants.len() as u64),
            clock_offsets: of_nodes(&run.clock_offsets, listed),
            incarnations: of_nodes(&run.incarnations, listed),
        };
        let mut first = listed.len() as u64;
        let mut orders = Vec::new();
        for chunk in chunks {
            orders.push(message::Control {
                node_id: self.settings.node_id.clone(),
                order: Order::Participants {
                    test_id: test_id.to_owned(),
                    first,
                    n: run.participants.len() as u64,
                    participants: chunk.to_vec(),
                    clock_offsets: of_nodes(&run.clock_offsets, chunk),
                    incarnations: of_nodes(&run.incarnations, chunk),
                },
            });
            first += chunk.len() as u64;
        }
        for order in orders {
            let payload = proto::codec::encode(&order);
            self.send(Topic::Control, test_id, payload, actions);
            actions.push(Action::Log(Line::Control(order)));
        }
        let payload = proto::codec::encode(&trigger);
        self.send(Topic::Trigger, test_id, payload, actions);
        actions.push(Action::Log(Line::Trigger(trigger)));
    }

    /// Tells our drivers to stop. Others take anything on `trigger` for a start, so that nothing
    /// can be said to them.
    pub(super) fn send_stop(&mut self, test_id: &str, actions: &mut Actions) {
        let message = message::Control {
            node_id: self.settings.node_id.clone(),
            order: Order::Stop {
                test_id: test_id.to_owned(),
            },
        };
        let payload = proto::codec::encode(&message);
        self.send(Topic::Control, test_id, payload, actions);
        actions.push(Action::Log(Line::Control(message)));
    }

    /// Tells our drivers every change of a test's rate so far.
    pub(super) fn send_rates(&mut self, test_id: &str, actions: &mut Actions) {
        let Some(open) = self.runs.get(test_id) else {
            return;
        };
        let message = message::Control {
            node_id: self.settings.node_id.clone(),
            order: Order::Rates {
                test_id: test_id.to_owned(),
                changes: open.run.rates.clone(),
            },
        };
        let payload = proto::codec::encode(&message);
        self.send(Topic::Control, test_id, payload, actions);
        actions.push(Action::Log(Line::Control(message)));
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
            Topic::Control => "order",
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

/// The participants in as many parts as it takes for each to fit into a message.
fn chunks(participants: &[String]) -> Vec<&[String]> {
    let mut chunks = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, id) in participants.iter().enumerate() {
        // Its name in the list and in both maps, perhaps escaped, and what is said there.
        let more = PARTICIPANT_BYTES + 3 * proto::codec::encode(id).len();
        if bytes + more > CHUNK_BYTES_MAX {
            chunks.push(&participants[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += more;
    }
    chunks.push(&participants[from..]);
    chunks
}

/// What is known of these nodes.
fn of_nodes<T: Clone>(known: &BTreeMap<String, T>, nodes: &[String]) -> BTreeMap<String, T> {
    let of_node = |id: &String| Some((id.clone(), known.get(id)?.clone()));
    nodes.iter().filter_map(of_node).collect()
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
