//! The fold, event by event: what a client and the drivers see of it.

mod campaigns;
mod capacity;
mod delivery;
mod faults;
mod files;
mod lifecycle;
mod mergers;
mod messages;
mod orders;
mod processes;
mod queue;
mod rates;
mod repeats;
mod retention;
mod secrets;
mod seen;

use std::collections::BTreeMap;

use proto::bus::BusError;
use proto::document::{Defaults, Params};
use proto::histogram::{Latencies, SparseLatencies};
use proto::measure::{Counters, LatencyFigures, Outcome, Report, SecondRow};
use proto::message::{
    self, ClockProbe, Heartbeat, Metrics, NodeState, Order, Role, TestConfig, Trigger, TriggerKind,
};
use proto::topic::Topic;
use proto::workload::{TestType, Workload};

use messages::{config, heartbeat, interval, last, start, whole};

use super::registry::NodeRecord;
use super::run::{Phase, Run};
use super::*;

const UNIX_MS: u64 = 1_700_000_000_000;

/// A state, its time, and what it published and answered.
pub(super) struct World {
    pub(super) state: Control,
    /// The wall clock, ms since 1970.
    pub(super) now_ms: u64,
    /// The monotonic clock, ms.
    mono_ms: u64,
    tickets: u64,
    pub(super) published: Vec<Outgoing>,
    pub(super) replies: Vec<(u64, Reply)>,
    pub(super) results: Vec<StoredResult>,
    /// What a restart would find: what was persisted.
    pub(super) runs: BTreeMap<String, (Run, TestRow)>,
    pub(super) reports: Vec<Metrics>,
    nodes: BTreeMap<String, NodeRecord>,
    outbox: BTreeMap<u64, Outgoing>,
    pub(super) campaigns: BTreeMap<String, Campaign>,
    pub(super) tombstones: BTreeMap<String, u64>,
    pub(super) compacting: Vec<String>,
    cluster_id: Option<String>,
    clock_ms: Option<u64>,
    pub(super) lines: Vec<Line>,
    /// What drivers asked for.
    pub(super) asked: Vec<Asked>,
    /// Files that were removed.
    pub(super) removed: Vec<proto::digest::Sha256>,
    /// What was asked of the reader.
    pub(super) raw: Vec<RawReading>,
    pub(super) parts: Vec<StoredPart>,
}

fn settings() -> Settings {
    Settings {
        node_id: "orchestrator".into(),
        default_target: "http://127.0.0.1:8000/".into(),
        retention_tests: 0,
        retention_ms: 0,
        retention_bytes: 0,
    }
}

impl World {
    /// With a broker that is up and these drivers.
    pub(super) fn with(drivers: &[&str]) -> Self {
        let mut world = Self::of(Control::restore(
            settings(),
            Restored::default(),
            Now::default(),
        ));
        world.connect("one");
        for driver in drivers {
            world.beat(driver, NodeState::Idle, None);
        }
        world.pulse();
        world
    }

    fn of(state: Control) -> Self {
        Self {
            state,
            now_ms: UNIX_MS,
            mono_ms: 1_000_000,
            tickets: 0,
            published: Vec::new(),
            replies: Vec::new(),
            results: Vec::new(),
            runs: BTreeMap::new(),
            reports: Vec::new(),
            nodes: BTreeMap::new(),
            outbox: BTreeMap::new(),
            campaigns: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            compacting: Vec::new(),
            cluster_id: None,
            clock_ms: None,
            lines: Vec::new(),
            asked: Vec::new(),
            removed: Vec::new(),
            raw: Vec::new(),
            parts: Vec::new(),
        }
    }

    pub(super) fn connect(&mut self, cluster: &str) {
        self.event(Event::Broker(Broker {
            is_connected: true,
            cluster_id: Some(cluster.to_owned()),
            trouble: None,
        }));
    }

    /// Kills the process: only what was persisted is left.
    pub(super) fn restart(&mut self) {
        let open = self.runs.values().filter(|(run, _)| !run.phase.has_ended());
        let open = open
            .map(|(run, _)| (run.clone(), self.summary(&run.test_id)))
            .collect();
        let restored = Restored {
            nodes: self.nodes.values().cloned().collect(),
            rows: self.runs.values().map(|(_, row)| row.clone()).collect(),
            open,
            outbox: self.outbox.values().cloned().collect(),
            campaigns: self.campaigns.values().cloned().collect(),
            tombstones: self.tombstones.clone().into_iter().collect(),
            counted: self.state.counted().collect(),
            cluster_id: self.cluster_id.clone(),
            clock_ms: self.clock_ms,
        };
        self.state = Control::restore(settings(), restored, self.now());
        self.connect("one");
    }

    /// What was persisted of the reports on a test.
    fn summary(&self, test_id: &str) -> Summary {
        let mut summary = Summary::default();
        for part in self.parts.iter().filter(|part| part.test_id == test_id) {
            let RangePart {
                part, latencies, ..
            } = RangePart::decode(part.payload.clone()).unwrap();
            summary.absorb_part(&part, &latencies);
        }
        let of_test = self
            .reports
            .iter()
            .filter(|report| report.test_id == test_id);
        of_test.for_each(|report| {
            summary.absorb(report);
        });
        summary
    }

    /// Time goes by, and nothing happens.
    pub(super) fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.mono_ms += ms;
    }

    pub(super) fn now(&self) -> Now {
        Now::new(self.now_ms * 1_000_000, self.mono_ms * 1_000_000)
    }

    pub(super) fn event(&mut self, event: Event) {
        for action in self.state.apply(event, self.now()) {
            match action {
                Action::Publish(message) => self.published.push(message),
                Action::Compact(test_id) => self.compacting.push(test_id),
                Action::Reply(ticket, reply) => self.replies.push((ticket, reply)),
                Action::Persist(change) => self.persist(change),
                Action::Log(line) => self.lines.push(line),
                Action::Send(asked) => self.asked.push(asked),
                Action::ReadRaw(asked) => self.raw.push(asked),
                Action::RemoveFile(sha256) => self.removed.push(sha256),
                Action::Load(test_id) => self.load(test_id),
            }
        }
    }

    /// What clients can see.
    pub(super) fn seen(&mut self) -> Snapshot {
        let now = self.now();
        self.state.snapshot(now)
    }

    fn load(&mut self, test_id: String) {
        let run = self.runs.get(&test_id).map(|(run, _)| run.clone());
        let found = run.map(|run| (run, self.summary(&test_id)));
        let outcome = Ok(found.map(Box::new));
        self.event(Event::Loaded(Loaded { test_id, outcome }));
    }

    fn persist(&mut self, change: Change) {
        match change {
            Change::Result(result) => self.results.push(*result),
            Change::Run(run, row) => {
                self.runs.insert(run.test_id.clone(), (*run, *row));
            }
            Change::Campaign(campaign) => {
                self.campaigns.insert(campaign.test_id.clone(), *campaign);
            }
            Change::ForgetCampaign(test_id) => drop(self.campaigns.remove(&test_id)),
            Change::Report(report) => {
                let mut payload = report.payload;
                self.reports
                    .push(proto::codec::decode(&mut payload).unwrap());
            }
            Change::Part(part) => self.parts.push(part),
            Change::Node(node) => {
                self.nodes.insert(node.node_id.clone(), node);
            }
            Change::ForgetNode(node_id) => drop(self.nodes.remove(&node_id)),
            Change::Outbox(message) => {
                self.outbox.insert(message.token, message);
            }
            Change::OutboxDone(token) => drop(self.outbox.remove(&token)),
            Change::ForgetTest {
                test_id,
                until_unix_ms,
            } => {
                self.runs.remove(&test_id);
                self.tombstones.insert(test_id, until_unix_ms);
            }
            Change::Row(row) => {
                if let Some((_, stored)) = self.runs.get_mut(&row.test_id) {
                    *stored = *row;
                }
            }
            Change::ForgetTombstone(test_id) => drop(self.tombstones.remove(&test_id)),
            Change::Complete(test_id) => {
                if let Some((_, row)) = self.runs.get_mut(&test_id) {
                    row.is_complete = true;
                }
            }
            Change::Cluster(cluster_id) => self.cluster_id = Some(cluster_id),
            Change::Clock(ms) => self.clock_ms = Some(ms),
        }
    }

    /// A second goes by, and our heartbeat comes back.
    pub(super) fn pulse(&mut self) {
        self.pass(1000);
        self.event(Event::Tick);
        self.event(Event::Delivered(PULSE_TOKEN, Ok(())));
        self.event(Event::Delivered(PULSE_TOKEN, Ok(())));
        self.event(Event::Control(message::Control {
            node_id: "orchestrator".into(),
            order: Order::Pulse {
                probe: ClockProbe {
                    probe_id: 0,
                    sent_unix_ns: self.now_ms * 1_000_000,
                },
            },
        }));
        let mut own = heartbeat("orchestrator", None, None);
        own.role = Role::Orchestrator;
        own.timestamp = Some(self.now_ms.to_string());
        self.event(Event::Heartbeat(own));
    }

    pub(super) fn beat(&mut self, driver: &str, state: NodeState, test_id: Option<&str>) {
        self.event(Event::Heartbeat(heartbeat(driver, Some(state), test_id)));
    }

    /// Seconds in which these drivers say the same each time.
    pub(super) fn seconds(&mut self, count: u64, drivers: &[(&str, NodeState, Option<&str>)]) {
        for _ in 0..count {
            for (driver, state, test_id) in drivers {
                self.beat(driver, *state, *test_id);
            }
            self.pulse();
        }
    }

    pub(super) fn command(&mut self, command: Command) -> Option<Reply> {
        self.tickets += 1;
        self.event(Event::Command(self.tickets, command));
        self.reply(self.tickets)
    }

    pub(super) fn reply(&self, ticket: u64) -> Option<Reply> {
        let found = self.replies.iter().find(|(other, _)| *other == ticket);
        found.map(|(_, reply)| reply.clone())
    }

    pub(super) fn create(&mut self, test_id: &str) {
        let reply = self.command(Command::Create {
            test_id: test_id.to_owned(),
            workload: Box::new(workload()),
            queue: false,
        });
        assert_eq!(
            reply,
            Some(Reply::Created {
                test_id: test_id.into()
            })
        );
    }

    pub(super) fn trigger(&mut self, test_id: &str) -> Option<Reply> {
        self.command(Command::Trigger {
            test_id: test_id.into(),
            queue: false,
        })
    }

    pub(super) fn stop(&mut self, test_id: &str) -> Option<Reply> {
        self.command(Command::Stop {
            test_id: test_id.into(),
        })
    }

    /// Creates, prepares and triggers a test on these drivers.
    pub(super) fn run(&mut self, test_id: &str, drivers: &[&str]) {
        self.create(test_id);
        for driver in drivers {
            self.beat(driver, NodeState::Ready, Some(test_id));
        }
        let reply = self.trigger(test_id);
        assert!(matches!(reply, Some(Reply::Triggered { .. })), "{reply:?}");
        self.deliver();
    }

    /// The broker has everything that was published.
    pub(super) fn deliver(&mut self) {
        let tokens: Vec<u64> = self.outbox.keys().copied().collect();
        for token in tokens {
            self.event(Event::Delivered(token, Ok(())));
        }
    }

    /// A turn in which one report comes.
    pub(super) fn report(&mut self, message: Metrics) {
        let payload = proto::codec::encode(&message);
        self.event(Event::Metrics(Box::new(message), payload));
        self.event(Event::Tick);
    }

    /// A driver reports this many seconds of nothing but answers with a bad status.
    pub(super) fn fail(&mut self, test_id: &str, driver: &str, seconds: u64) {
        for second in 0..seconds {
            let mut message = interval(driver, test_id, second);
            if let Some(report) = &mut message.report {
                report.counters.ok = 0;
                report.counters.errors.status = 10;
            }
            self.report(message);
        }
    }

    pub(super) fn phase(&self, test_id: &str) -> Phase {
        self.state.list.get(test_id).unwrap().state
    }

    pub(super) fn reason(&self, test_id: &str) -> String {
        self.state
            .list
            .get(test_id)
            .unwrap()
            .reason
            .clone()
            .unwrap_or_default()
    }

    /// The triggers that were published, oldest first.
    pub(super) fn triggers(&self) -> Vec<Trigger> {
        let of = self
            .published
            .iter()
            .filter(|message| message.topic == Topic::Trigger);
        of.map(|message| proto::codec::decode(&mut message.payload.clone()).unwrap())
            .collect()
    }

    /// The tests that our drivers were told to stop.
    pub(super) fn stops(&self) -> Vec<String> {
        let of = self.published.iter();
        of.filter(|message| message.topic == Topic::Control && message.token != PULSE_TOKEN)
            .filter_map(|message| {
                let mut payload = message.payload.clone();
                let control: message::Control = proto::codec::decode(&mut payload).unwrap();
                match control.order {
                    Order::Stop { test_id } => Some(test_id),
                    _ => None,
                }
            })
            .collect()
    }

    /// The last stored result, as JSON.
    pub(super) fn result(&self) -> serde_json::Value {
        serde_json::from_str(&self.results.last().unwrap().result).unwrap()
    }
}

fn workload() -> Workload {
    let defaults = Defaults::of_rest(TestType::Avalanche, "http://127.0.0.1:8000/");
    let params = Params {
        requests: Some(20),
        ..Params::default()
    };
    Workload::from_params(TestType::Avalanche, 0.0, &params, &defaults).unwrap()
}
