//! The orchestrator: its real state around a store in memory that survives its death.

use std::collections::BTreeMap;

use fastrand::Rng;
use orchestrator::control::registry::NodeRecord;
use orchestrator::control::run::Run;
use orchestrator::control::{
    Action, Broker, Change, Command, Control, Event, Now, Outgoing, Reply, Restored, Settings,
    TestRow,
};
use proto::bus::BusError;
use proto::codec;
use proto::message::Metrics;
use proto::topic::Topic;
use serde_json::Value;

use crate::bus::{Bus, Stored};
use crate::world::UNIX_NS;

/// What is on the disk.
#[derive(Default)]
pub(crate) struct Disk {
    nodes: BTreeMap<String, NodeRecord>,
    runs: BTreeMap<String, (Run, TestRow)>,
    reports: BTreeMap<(String, String, i64), Vec<u8>>,
    outbox: BTreeMap<u64, Outgoing>,
    /// Results of the tests that ended, as JSON.
    pub(crate) results: BTreeMap<String, Value>,
    cursors: BTreeMap<Topic, usize>,
    cluster_id: Option<String>,
}

impl Disk {
    fn write(&mut self, change: Change) {
        match change {
            Change::Run(run, row) => {
                self.runs.insert(row.test_id.clone(), (*run, row));
            }
            Change::Node(node) => {
                self.nodes.insert(node.node_id.clone(), node);
            }
            Change::ForgetNode(node_id) => {
                self.nodes.remove(&node_id);
            }
            Change::Report(report) => {
                let key = (report.test_id, report.node_id, report.sequence);
                self.reports.insert(key, report.payload);
            }
            Change::Result(result) => {
                let value = serde_json::from_str(&result.result).unwrap();
                self.results.insert(result.test_id, value);
            }
            Change::Outbox(message) => {
                self.outbox.insert(message.token, message);
            }
            Change::OutboxDone(token) => {
                self.outbox.remove(&token);
            }
            Change::ForgetTest(test_id) => {
                self.runs.remove(&test_id);
            }
            Change::Cluster(cluster_id) => self.cluster_id = Some(cluster_id),
        }
    }

    fn reports_of(&self, test_id: &str) -> Vec<Metrics> {
        let of_test = self
            .reports
            .iter()
            .filter(|((test, ..), _)| test == test_id);
        of_test
            .map(|(_, payload)| codec::decode(&mut payload.clone()).unwrap())
            .collect()
    }

    fn restored(&self) -> Restored {
        let mut rows: Vec<TestRow> = self.runs.values().map(|(_, row)| row.clone()).collect();
        rows.sort_by_key(|row| row.number);
        let open: Vec<Run> = self
            .runs
            .values()
            .filter(|(run, _)| !run.phase.has_ended())
            .map(|(run, _)| run.clone())
            .collect();
        Restored {
            nodes: self.nodes.values().cloned().collect(),
            rows,
            open,
            outbox: self.outbox.values().cloned().collect(),
            cluster_id: self.cluster_id.clone(),
        }
    }
}

/// The process, and its disk.
pub(crate) struct Orchestrator {
    state: Option<Control>,
    pub(crate) disk: Disk,
    /// Back up at this instant, when it is down.
    pub(crate) up_at_ns: u64,
    tickets: u64,
    pub(crate) replies: Vec<(u64, Reply)>,
    /// A number for each life, so that deliveries of a former one are not mistaken.
    life: u64,
}

pub(crate) const ID: &str = "orchestrator";

impl Orchestrator {
    pub(crate) fn new() -> Self {
        let disk = Disk::default();
        Self {
            state: None,
            disk,
            up_at_ns: 0,
            tickets: 0,
            replies: Vec::new(),
            life: 0,
        }
    }

    /// Its name as a sender in this life.
    pub(crate) fn sender(&self) -> String {
        format!("{ID}-{}", self.life)
    }

    pub(crate) fn kill(&mut self, up_at_ns: u64) {
        self.state = None;
        self.up_at_ns = up_at_ns;
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state.is_some()
    }

    /// Whether it knows nothing that has not ended.
    pub(crate) fn has_no_open_run(&self) -> bool {
        self.disk
            .runs
            .values()
            .all(|(run, _)| run.phase.has_ended())
    }

    pub(crate) fn test_ids(&self) -> Vec<String> {
        self.disk.runs.keys().cloned().collect()
    }

    pub(crate) fn phase(&self, test_id: &str) -> &'static str {
        self.disk.runs[test_id].0.phase.name()
    }

    pub(crate) fn participants(&self, test_id: &str) -> &[String] {
        &self.disk.runs[test_id].0.participants
    }

    /// Why a test ended as it did.
    pub(crate) fn reason(&self, test_id: &str) -> Option<&str> {
        self.disk.runs[test_id].1.reason.as_deref()
    }

    /// A client asks for something; the number under which it is answered.
    pub(crate) fn command(
        &mut self,
        rng: &mut Rng,
        bus: &mut Bus,
        command: Command,
        now_ns: u64,
    ) -> Option<u64> {
        let state = self.state.as_mut()?;
        self.tickets += 1;
        let actions = state.apply(Event::Command(self.tickets, command), at(now_ns));
        self.perform(actions, rng, bus, now_ns);
        Some(self.tickets)
    }

    pub(crate) fn delivered(
        &mut self,
        rng: &mut Rng,
        bus: &mut Bus,
        (token, arrived): (u64, bool),
        now_ns: u64,
    ) {
        let Some(state) = &mut self.state else { return };
        let outcome = arrived.then_some(()).ok_or(BusError::QueueFull);
        let actions = state.apply(Event::Delivered(token, outcome), at(now_ns));
        self.perform(actions, rng, bus, now_ns);
    }

    pub(crate) fn step(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        if self.state.is_none() && now_ns >= self.up_at_ns {
            self.start(rng, bus, now_ns);
        }
        if self.state.is_none() {
            return;
        }
        // The topics in any order, each in its own.
        let mut topics = Topic::ALL;
        rng.shuffle(&mut topics);
        for topic in topics {
            let from = self.disk.cursors.get(&topic).copied().unwrap_or(0);
            let news = bus.read(topic, from, now_ns).to_vec();
            for stored in news {
                *self.disk.cursors.entry(topic).or_default() += 1;
                self.record(topic, stored, rng, bus, now_ns);
            }
        }
        let Some(state) = &mut self.state else { return };
        let actions = state.apply(Event::Tick, at(now_ns));
        self.perform(actions, rng, bus, now_ns);
    }

    fn start(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        self.life += 1;
        let settings = Settings {
            node_id: ID.to_owned(),
            default_target: "http://127.0.0.1:8000/".to_owned(),
            retention_tests: 0,
            retention_ms: 0,
        };
        let restored = self.disk.restored();
        let open = restored.open.iter();
        let reports: Vec<Metrics> = open
            .flat_map(|run| self.disk.reports_of(&run.test_id))
            .collect();
        let mut state = Control::restore(settings, restored);
        for report in &reports {
            state.absorb_stored(report);
        }
        let broker = Broker {
            is_connected: true,
            cluster_id: Some("cluster".to_owned()),
            trouble: None,
        };
        let actions = state.apply(Event::Broker(broker), at(now_ns));
        self.state = Some(state);
        self.perform(actions, rng, bus, now_ns);
    }

    fn record(&mut self, topic: Topic, stored: Stored, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        let now = Now {
            unix_ms: UNIX_NS / 1_000_000 + stored.made_ms,
            read_unix_ns: UNIX_NS + now_ns,
        };
        let mut bytes = stored.payload.clone();
        let event = match topic {
            Topic::Register => Event::Register(codec::decode(&mut bytes).unwrap()),
            Topic::TestConfig => Event::Config(Box::new(codec::decode(&mut bytes).unwrap())),
            Topic::Trigger => Event::Trigger(codec::decode(&mut bytes).unwrap()),
            Topic::Heartbeat => Event::Heartbeat(codec::decode(&mut bytes).unwrap()),
            Topic::Metrics => {
                let message: Metrics = codec::decode(&mut bytes).unwrap();
                self.fetch(&message.test_id);
                Event::Metrics(Box::new(message), stored.payload)
            }
        };
        let Some(state) = &mut self.state else { return };
        let actions = state.apply(event, now);
        self.perform(actions, rng, bus, now_ns);
    }

    fn fetch(&mut self, test_id: &str) {
        let Some(state) = &mut self.state else { return };
        if state.needs_reports(test_id) {
            let (run, _) = self.disk.runs[test_id].clone();
            state.restore_ended(run);
            for report in self.disk.reports_of(test_id) {
                state.absorb_stored(&report);
            }
        }
    }

    /// Durable first, then the rest.
    fn perform(&mut self, actions: Vec<Action>, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        let sender = self.sender();
        let mut rest = Vec::new();
        for action in actions {
            match action {
                Action::Persist(change) => self.disk.write(change),
                other => rest.push(other),
            }
        }
        if let Some(state) = &mut self.state {
            state.apply(Event::Store(Ok(())), at(now_ns));
        }
        for action in rest {
            match action {
                Action::Publish(message) => {
                    let content = (message.topic, message.payload);
                    bus.send(rng, &sender, message.token, content, now_ns);
                }
                Action::Reply(ticket, reply) => self.replies.push((ticket, reply)),
                Action::Persist(_) | Action::Log(_) => {}
            }
        }
    }
}

fn at(now_ns: u64) -> Now {
    Now {
        unix_ms: (UNIX_NS + now_ns) / 1_000_000,
        read_unix_ns: UNIX_NS + now_ns,
    }
}
