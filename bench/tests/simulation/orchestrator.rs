//! The orchestrator: its real state around a store in memory that survives its death.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use orchestrator::control::registry::NodeRecord;
use orchestrator::control::run::Run;
use orchestrator::control::{
    Action, Broker, Campaign, Change, Command, Control, Event, Loaded, MergedRange, Now, Outgoing,
    RangePart, RawReading, Reply, Restored, Settings, TestRow,
};
use orchestrator::topic_reader::{RawReadings, Taken, Turn};
use proto::bus::{BusError, Partition};
use proto::codec;
use proto::histogram::SparseLatencies;
use proto::message::Metrics;
use proto::summary::Summary;
use proto::topic::Topic;
use proto::workload::RateChange;
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
    /// The campaigns, as they were last written.
    pub(crate) campaigns: BTreeMap<String, Campaign>,
    /// Results of the tests that ended, as JSON.
    pub(crate) results: BTreeMap<String, Value>,
    /// What was counted that came merged.
    parts: BTreeMap<(String, i32, i64, u64), Vec<u8>>,
    /// Reports that were counted that came merged.
    pub(crate) merged: u64,
    /// The merged samples of the tests that ended.
    pub(crate) samples: BTreeMap<String, SparseLatencies>,
    cursors: BTreeMap<Partition, usize>,
    cluster_id: Option<String>,
    clock_ms: Option<u64>,
}

impl Disk {
    fn write(&mut self, change: Change) {
        match change {
            Change::Run(run, row) => {
                self.runs.insert(row.test_id.clone(), (*run, *row));
            }
            Change::Node(node) => {
                self.nodes.insert(node.node_id.clone(), node);
            }
            Change::ForgetNode(node_id) => {
                self.nodes.remove(&node_id);
            }
            Change::Campaign(campaign) => {
                self.campaigns.insert(campaign.test_id.clone(), *campaign);
            }
            Change::ForgetCampaign(test_id) => drop(self.campaigns.remove(&test_id)),
            Change::Report(report) => {
                let key = (report.test_id, report.node_id, report.sequence);
                self.reports.insert(key, report.payload);
            }
            Change::Part(part) => {
                self.merged += part.reports;
                let key = (part.test_id, part.partition, part.from, part.second);
                assert!(
                    self.parts.insert(key, part.payload).is_none(),
                    "counted twice"
                );
            }
            Change::Result(result) => {
                let samples = SparseLatencies::try_from(&result.latencies).unwrap();
                self.samples.insert(result.test_id.clone(), samples);
                let value = serde_json::from_str(&result.result).unwrap();
                self.results.insert(result.test_id, value);
            }
            Change::Outbox(message) => {
                self.outbox.insert(message.token, message);
            }
            Change::OutboxDone(token) => {
                self.outbox.remove(&token);
            }
            Change::ForgetTest { test_id, .. } => {
                self.runs.remove(&test_id);
            }
            Change::Row(_) | Change::ForgetTombstone(_) => {}
            Change::Complete(test_id) => {
                if let Some((_, row)) = self.runs.get_mut(&test_id) {
                    row.is_complete = true;
                }
            }
            Change::Cluster(cluster_id) => self.cluster_id = Some(cluster_id),
            Change::Clock(ms) => self.clock_ms = Some(ms),
        }
    }

    fn with_reports(&self, run: &Run) -> (Run, Summary) {
        let mut summary = Summary::default();
        for ((test_id, ..), payload) in &self.parts {
            if *test_id == run.test_id {
                let RangePart {
                    part, latencies, ..
                } = RangePart::decode(payload.clone()).unwrap();
                assert!(summary.takes([&part]), "counted as it came");
                summary.absorb_part(&part, &latencies);
            }
        }
        for ((test_id, ..), payload) in &self.reports {
            if *test_id == run.test_id {
                let report: Metrics = codec::decode(&mut payload.clone()).unwrap();
                summary.absorb(&report);
            }
        }
        (run.clone(), summary)
    }

    /// Up to where each partition of `metrics` was counted.
    fn counted(&self) -> impl Iterator<Item = (i32, i64)> {
        let of_metrics = self
            .cursors
            .iter()
            .filter(|((topic, _), _)| *topic == Topic::Metrics);
        of_metrics.map(|((_, number), next)| (*number, i64::try_from(*next).unwrap()))
    }

    fn restored(&self) -> Restored {
        let mut rows: Vec<TestRow> = self.runs.values().map(|(_, row)| row.clone()).collect();
        rows.sort_by_key(|row| row.number);
        let open = self
            .runs
            .values()
            .filter(|(run, _)| !run.phase.has_ended())
            .map(|(run, _)| self.with_reports(run))
            .collect();
        Restored {
            nodes: self.nodes.values().cloned().collect(),
            rows,
            open,
            outbox: self.outbox.values().cloned().collect(),
            campaigns: self.campaigns.values().cloned().collect(),
            counted: self.counted().collect(),
            tombstones: Vec::new(),
            cluster_id: self.cluster_id.clone(),
            clock_ms: self.clock_ms,
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
    /// The topic reader's part: what of `metrics` is read itself, what is asked of it, and what is on
    /// its way from it.
    raw: RawReadings,
    asked: Vec<RawReading>,
    reading: BTreeMap<i32, VecDeque<Event>>,
    /// Where it is in each partition.
    places: BTreeMap<i32, usize>,
    /// Messages of `metrics` that were read themselves.
    pub(crate) read_raw: u64,
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
            raw: RawReadings::default(),
            asked: Vec::new(),
            reading: BTreeMap::new(),
            places: BTreeMap::new(),
            read_raw: 0,
        }
    }

    /// Its name as a sender in this life.
    pub(crate) fn sender(&self) -> String {
        format!("{ID}-{}", self.life)
    }

    pub(crate) fn kill(&mut self, up_at_ns: u64) {
        self.reading.clear();
        self.asked.clear();
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

    /// Whether no campaign goes on.
    pub(crate) fn has_no_open_campaign(&self) -> bool {
        let mut campaigns = self.disk.campaigns.values();
        campaigns.all(|campaign| campaign.state.has_ended())
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

    /// The changes of a test's rate.
    pub(crate) fn rates(&self, test_id: &str) -> &[RateChange] {
        &self.disk.runs[test_id].0.rates
    }

    /// How long a test is asked to take, s.
    pub(crate) fn seconds(&self, test_id: &str) -> Option<u64> {
        let duration_s = self.disk.runs[test_id].0.config.params.duration_s?;
        Some(Duration::from_secs_f64(duration_s).as_secs())
    }

    /// When a test was created, ms since 1970.
    pub(crate) fn created_ms(&self, test_id: &str) -> u64 {
        self.disk.runs[test_id].1.created_unix_ms
    }

    /// When a test ended, ms since 1970.
    pub(crate) fn ended_ms(&self, test_id: &str) -> u64 {
        self.disk.runs[test_id].1.ended_unix_ms.unwrap()
    }

    /// Why a test ended as it did.
    pub(crate) fn reason(&self, test_id: &str) -> Option<&str> {
        self.disk.runs[test_id].1.reason.as_deref()
    }

    /// Whether a test ended because the broker had not taken its start in time: who did not hear
    /// of it reports nothing.
    pub(crate) fn was_not_told(&self, test_id: &str) -> bool {
        let reason = self.reason(test_id);
        reason.is_some_and(|reason| reason.contains("had not taken its message"))
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
            if topic == Topic::Metrics {
                self.read_metrics(rng, bus, now_ns);
                continue;
            }
            let place = (topic, 0);
            let from = self.disk.cursors.get(&place).copied().unwrap_or(0);
            let news = bus.read(place, from, now_ns).to_vec();
            for stored in news {
                *self.disk.cursors.entry(place).or_default() += 1;
                self.record(topic, &stored, rng, bus, now_ns);
            }
        }
        let Some(state) = &mut self.state else { return };
        let actions = state.apply(Event::Tick, at(now_ns));
        self.perform(actions, rng, bus, now_ns);
    }

    fn start(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        self.life += 1;
        self.raw = RawReadings::default();
        self.places.clear();
        let partitions: Vec<i32> = (0..bus.partitions).collect();
        for number in &partitions {
            let counted = self.disk.cursors.get(&(Topic::Metrics, *number)).copied();
            let next = counted.map(|next| i64::try_from(next).unwrap());
            assert_eq!(self.raw.start(*number, next), Turn::From(next));
            self.places.insert(*number, counted.unwrap_or(0));
        }
        let settings = Settings {
            node_id: ID.to_owned(),
            default_target: "http://127.0.0.1:8000/".to_owned(),
            retention_tests: 0,
            retention_ms: 0,
            retention_bytes: 0,
        };
        let restored = self.disk.restored();
        let mut state = Control::restore(settings, restored, at(now_ns));
        let broker = Broker {
            is_connected: true,
            cluster_id: Some("cluster".to_owned()),
            trouble: None,
        };
        let mut actions = state.apply(Event::Partitions(partitions), at(now_ns));
        actions.extend(state.apply(Event::Broker(broker), at(now_ns)));
        self.state = Some(state);
        self.perform(actions, rng, bus, now_ns);
    }

    /// Counts what was read of `metrics` in the step before, and reads what is to be read now.
    fn read_metrics(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        for event in std::mem::take(&mut self.reading).into_values().flatten() {
            self.apply(event, rng, bus, now_ns);
        }
        for asked in std::mem::take(&mut self.asked) {
            if let Turn::From(next) = self.raw.obey(asked) {
                let next = usize::try_from(next.unwrap_or(0)).unwrap();
                self.places.insert(asked.partition, next);
            }
        }
        for (number, place) in &mut self.places {
            let reading = self.reading.entry(*number).or_default();
            if !self.raw.is_read(*number) {
                continue;
            }
            let news = bus.read((Topic::Metrics, *number), *place, now_ns);
            // A fetch is of some messages, and may bring more than are wanted.
            for stored in news.iter().take(40) {
                let offset = i64::try_from(*place).unwrap();
                *place += 1;
                let (taken, _) = self.raw.take(*number, offset, offset + 1);
                if taken != Taken::Yes {
                    continue;
                }
                self.read_raw += 1;
                let message = codec::decode(&mut stored.payload.clone()).unwrap();
                let event = Event::Metrics(Box::new(message), stored.payload.clone());
                reading.push_back(Event::OfMetrics {
                    partition: *number,
                    next: offset + 1,
                    event: Some(Box::new(event)),
                });
            }
        }
    }

    fn apply(&mut self, event: Event, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        let Some(state) = &mut self.state else { return };
        let actions = state.apply(event, at(now_ns));
        for (number, next) in state.counted() {
            let place = (Topic::Metrics, number);
            self.disk
                .cursors
                .insert(place, usize::try_from(next).unwrap());
        }
        self.perform(actions, rng, bus, now_ns);
    }

    fn record(&mut self, topic: Topic, stored: &Stored, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        let mut bytes = stored.payload.clone();
        let event = match topic {
            Topic::Register => Event::Register(codec::decode(&mut bytes).unwrap()),
            Topic::TestConfig => Event::Config(Box::new(codec::decode(&mut bytes).unwrap())),
            Topic::Trigger => Event::Trigger(codec::decode(&mut bytes).unwrap()),
            Topic::Heartbeat => Event::Heartbeat(codec::decode(&mut bytes).unwrap()),
            Topic::Control => Event::Control(codec::decode(&mut bytes).unwrap()),
            Topic::Merged => {
                let range = MergedRange::decode(&bytes).unwrap();
                Event::Merged(Box::new(range))
            }
            // No test here names a file, and `metrics` has a reader of its own.
            Topic::Data | Topic::Metrics => return,
        };
        self.apply(event, rng, bus, now_ns);
    }

    fn load(&mut self, test_id: String, now_ns: u64) -> Vec<Action> {
        let Some(state) = &mut self.state else {
            return Vec::new();
        };
        let run = self.disk.runs.get(&test_id);
        let found = run.map(|(run, _)| self.disk.with_reports(run));
        let outcome = Ok(found.map(Box::new));
        state.apply(Event::Loaded(Loaded { test_id, outcome }), at(now_ns))
    }

    /// Durable first, then the rest.
    fn perform(&mut self, actions: Vec<Action>, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        let sender = self.sender();
        let mut rest = Vec::new();
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Persist(change) => self.disk.write(change),
                Action::Load(test_id) => actions.extend(self.load(test_id, now_ns)),
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
                Action::ReadRaw(asked) => self.asked.push(asked),
                Action::Reply(ticket, reply) => self.replies.push((ticket, reply)),
                // Nothing that is seen changes by it.
                Action::Compact(_)
                | Action::Persist(_)
                | Action::Load(_)
                | Action::Log(_)
                | Action::Send(_)
                | Action::RemoveFile(_) => {}
            }
        }
    }
}

fn at(now_ns: u64) -> Now {
    Now::new(UNIX_NS + now_ns, now_ns)
}
