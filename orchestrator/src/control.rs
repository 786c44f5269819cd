//! The fold: messages and commands in, actions out. No I/O, no clock.
//!
//! Each event comes with its time: a message with its timestamp, everything else with the control thread's
//! wall clock. The state changes at once; what the change asks for is returned as [`Action`]s. The
//! engine makes [`Action::Persist`] durable before it performs any other. Where the store cannot be
//! written it performs the others all the same: running tests go on, new ones are refused.

mod arming;
pub mod clock_offset;
mod commands;
mod ending;
mod interface;
mod list;
mod messages;
mod outbox;
pub mod registry;
pub mod run;
mod runs;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use proto::bus::BusError;
use proto::log::Level;
use proto::message::{ClockProbe, Heartbeat, Metrics, Role};
use proto::topic::Topic;
use serde_json::{Value, json};

use arming::Arming;
pub use interface::{
    Action, Batch, Broker, Change, Command, Event, Line, Now, Offsets, Refusal, Reply, Restored,
    Settings, StoredReport, StoredResult,
};
use list::List;
pub use list::TestRow;
use outbox::Outbox;
pub use outbox::{MESSAGE_LEN_MAX, Outgoing, PULSE_TOKEN};
use registry::Registry;
use run::Step;
use runs::LateRuns;
pub use runs::OpenRun;
pub use snapshot::{Counts, NodeRow, TestDetail};

/// Time between our own heartbeats, ns.
const PULSE_NS: u64 = 1_000_000_000;
/// Runs that have not ended, at most: each holds its config.
pub const OPEN_RUNS_MAX: usize = 20_000;
/// Reports and triggers that are kept for a test whose config has not been read yet.
const ORPHANS_MAX: usize = 4096;

/// Everything that the orchestrator knows.
#[derive(Debug)]
pub struct Control {
    settings: Settings,
    registry: Registry,
    /// Runs that have not ended.
    open: BTreeMap<String, OpenRun>,
    /// Runs that ended without every last report: late ones still count.
    ended: LateRuns,
    rows: List,
    outbox: Outbox,
    arming: Option<Arming>,
    broker: Broker,
    store: Result<(), String>,
    pulse: Pulse,
    orphans: Vec<(Event, Now)>,
    counts: Counts,
}

/// Our own heartbeat.
#[derive(Debug, Default)]
struct Pulse {
    sent_unix_ns: u64,
    /// Whether the last one is still on its way to the broker: none is sent behind it, so that an
    /// outage leaves no row of old ones to be counted after it.
    in_flight: bool,
    probe_id: u64,
    /// Our clock when the last one came back.
    returned_unix_ns: Option<u64>,
}

type Actions = Vec<Action>;

impl Control {
    /// The state as it was stored.
    #[must_use]
    pub fn restore(settings: Settings, restored: Restored) -> Self {
        let mut state = Self {
            registry: Registry::restore(restored.nodes),
            rows: List::restore(restored.rows),
            outbox: Outbox::restore(restored.outbox),
            open: BTreeMap::new(),
            ended: LateRuns::default(),
            arming: None,
            broker: Broker {
                cluster_id: restored.cluster_id,
                ..Broker::default()
            },
            store: Ok(()),
            pulse: Pulse::default(),
            orphans: Vec::new(),
            counts: Counts::default(),
            settings,
        };
        for run in restored.open {
            if let Ok(live) = OpenRun::new(run, &state.settings.default_target) {
                state.open.insert(live.run.test_id.clone(), live);
            }
        }
        state
    }

    /// Counts a report of the store on a run of [`Restored::open`] or [`Self::restore_ended`].
    pub fn absorb_stored(&mut self, report: &Metrics) {
        if let Some(live) = self.in_memory(&report.test_id) {
            live.absorb(report, 0);
        }
    }

    /// Takes one event.
    pub fn apply(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        self.dispatch(event, now, &mut actions);
        actions
    }

    fn dispatch(&mut self, event: Event, now: Now, actions: &mut Actions) {
        match event {
            Event::Register(message) => self.registered(message, actions),
            Event::Heartbeat(message) => self.heartbeat(message, now, actions),
            Event::Metrics(message, payload) => self.reported(message, payload, now, actions),
            Event::Config(config) => self.config_read(*config, now, actions),
            Event::Trigger(trigger) => self.trigger_read(trigger, now, actions),
            Event::Malformed {
                topic,
                offset,
                error,
            } => {
                self.counts.malformed += 1;
                let fields = json!({"topic": topic.name(), "offset": offset, "error": error});
                log(actions, Level::Warn, "message_skipped", fields);
            }
            Event::Command(ticket, command) => self.command(ticket, command, now, actions),
            Event::ClientGone(ticket) => self.client_gone(ticket, actions),
            Event::Delivered(token, outcome) => self.delivered(token, outcome, now, actions),
            Event::Broker(broker) => self.broker_changed(broker, actions),
            Event::Store(outcome) => {
                if outcome.is_ok() {
                    self.ended.let_go_of_complete();
                }
                self.store = outcome;
            }
            Event::Tick => self.tick(now, actions),
        }
    }

    fn tick(&mut self, now: Now, actions: &mut Actions) {
        if self.broker.is_connected {
            self.pulse(now, actions);
            actions.extend(
                self.outbox
                    .due(now.read_unix_ns)
                    .into_iter()
                    .map(Action::Publish),
            );
        }
        self.arm_when_ready(now, actions);
        self.start_queued(now, actions);
    }

    /// Sends our heartbeat once a second, with a probe of the drivers' clocks.
    fn pulse(&mut self, now: Now, actions: &mut Actions) {
        let elapsed_ns = now.read_unix_ns.saturating_sub(self.pulse.sent_unix_ns);
        let stepped_back = now.read_unix_ns < self.pulse.sent_unix_ns;
        if self.pulse.in_flight || (elapsed_ns < PULSE_NS && !stepped_back) {
            return;
        }
        // On a grid, so that the gaps do not add up the control thread's own delays.
        let is_late = elapsed_ns >= 2 * PULSE_NS || stepped_back;
        self.pulse.sent_unix_ns = if is_late {
            now.read_unix_ns
        } else {
            self.pulse.sent_unix_ns + PULSE_NS
        };
        self.pulse.in_flight = true;
        self.pulse.probe_id += 1;
        let message = Heartbeat {
            node_id: self.settings.node_id.clone(),
            heartbeat: true,
            timestamp: Some((now.read_unix_ns / 1_000_000).to_string()),
            role: Role::Orchestrator,
            state: None,
            test_id: None,
            reason: None,
            probe: Some(ClockProbe {
                probe_id: self.pulse.probe_id,
                sent_unix_ns: now.read_unix_ns,
            }),
            echo: None,
        };
        actions.push(Action::Publish(Outgoing {
            token: PULSE_TOKEN,
            topic: Topic::Heartbeat,
            key: self.settings.node_id.clone(),
            payload: proto::codec::encode(&message),
        }));
        actions.push(Action::Log(Line::Heartbeat(message)));
    }

    fn delivered(
        &mut self,
        token: u64,
        outcome: Result<(), BusError>,
        now: Now,
        actions: &mut Actions,
    ) {
        if token == PULSE_TOKEN {
            self.pulse.in_flight = false;
            return;
        }
        match outcome {
            Ok(()) => {
                if self.outbox.remove(token).is_some() {
                    actions.push(Action::Persist(Change::OutboxDone(token)));
                }
            }
            Err(error) => {
                let fields = json!({"error": error.to_string()});
                log(actions, Level::Warn, "delivery_failed", fields);
                if error == BusError::TooLarge {
                    self.give_up_sending(token, &error, now, actions);
                } else {
                    self.outbox.failed(token);
                }
            }
        }
    }

    /// The broker never takes this message. Of a test it can only be the config: nobody can run it.
    fn give_up_sending(&mut self, token: u64, error: &BusError, now: Now, actions: &mut Actions) {
        let Some(message) = self.outbox.remove(token) else {
            return;
        };
        actions.push(Action::Persist(Change::OutboxDone(token)));
        if self.open.get(&message.key).is_some_and(OpenRun::is_waiting) {
            self.cancel_arming(&message.key, "failed", actions);
            let reason = format!("it cannot be told to the drivers: {error}");
            self.end(&message.key, Step::Fail, Some(reason), now, actions);
        }
    }

    fn broker_changed(&mut self, broker: Broker, actions: &mut Actions) {
        let other_log = broker.cluster_id.is_some() && broker.cluster_id != self.broker.cluster_id;
        if let (true, Some(cluster_id)) = (other_log, &broker.cluster_id) {
            actions.push(Action::Persist(Change::Cluster(cluster_id.clone())));
            if let Some(old) = &self.broker.cluster_id {
                let fields = json!({"cluster_id": cluster_id, "before": old,
                    "detail": "another log: read from its beginning; stored results stay"});
                log(actions, Level::Warn, "broker_replaced", fields);
                self.outbox.send_again();
            }
        }
        if broker.is_connected != self.broker.is_connected || broker.trouble != self.broker.trouble
        {
            let level = if broker.is_connected {
                Level::Info
            } else {
                Level::Warn
            };
            let fields = json!({"connected": broker.is_connected, "trouble": broker.trouble});
            log(actions, level, "broker", fields);
        }
        let cluster_id = broker.cluster_id.or_else(|| self.broker.cluster_id.take());
        self.broker = Broker {
            cluster_id,
            ..broker
        };
    }
}

/// Adds a line of the log.
fn log(actions: &mut Actions, level: Level, name: &'static str, fields: Value) {
    actions.push(Action::Log(Line::Event(level, name, fields)));
}
