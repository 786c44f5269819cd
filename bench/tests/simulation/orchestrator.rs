//! The orchestrator: its real state between a disk and a reader of the topics in memory.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use orchestrator::control::run::Run;
use orchestrator::control::{
    Action, Broker, Command, Control, Event, Loaded, MergedRange, Now, RawReading, Reply, Settings,
    Snapshot,
};
use orchestrator::topic_reader::{RawReadings, Taken, Turn};
use proto::bus::BusError;
use proto::codec;
use proto::topic::Topic;
use proto::workload::RateChange;

use crate::bus::{Bus, Stored};
use crate::disk::Disk;
use crate::world::UNIX_NS;

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

    /// What people see of it.
    pub(crate) fn snapshot(&mut self, now_ns: u64) -> Option<Snapshot> {
        Some(self.state.as_mut()?.snapshot(at(now_ns)))
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

    /// A test.
    pub(crate) fn run(&self, test_id: &str) -> &Run {
        &self.disk.runs[test_id].0
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
            self.obey(asked, rng, bus, now_ns);
        }
        self.find_place(rng, bus, now_ns);
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

    /// Turns to what is asked for. Of what is read alone it says where it ends; of what is not read it
    /// looks whether it is another log.
    fn obey(&mut self, asked: RawReading, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        let RawReading {
            partition, from, ..
        } = asked;
        let was_alone = self.raw.is_alone(partition);
        let turn = self.raw.obey(asked);
        if let Turn::From(next) = turn {
            let next = usize::try_from(next.unwrap_or(0)).unwrap();
            self.places.insert(partition, next);
        }
        if bus.away {
            return;
        }
        if !was_alone && self.raw.is_alone(partition) {
            self.tell_end(partition, bus, now_ns);
        } else if self.raw.is_look(asked) && bus.end((Topic::Metrics, partition), now_ns) < from {
            self.forget(&[partition], rng, bus, now_ns);
            self.tell_end(partition, bus, now_ns);
        }
    }

    fn tell_end(&mut self, partition: i32, bus: &Bus, now_ns: u64) {
        let end = bus.end((Topic::Metrics, partition), now_ns);
        let reading = self.reading.entry(partition).or_default();
        reading.push_back(Event::PartitionEnds { partition, end });
    }

    /// What the broker says to be out of its range is read from its beginning.
    fn find_place(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        let is_lost = |(number, place): &(&i32, &usize)| {
            let end = bus.end((Topic::Metrics, **number), now_ns);
            self.raw.is_read(**number) && **place > usize::try_from(end).unwrap()
        };
        let lost = self.places.iter().filter(is_lost);
        let lost: Vec<i32> = lost.map(|(number, _)| *number).collect();
        if !lost.is_empty() && !bus.away {
            self.forget(&lost, rng, bus, now_ns);
            for partition in lost {
                self.tell_end(partition, bus, now_ns);
            }
        }
    }

    /// The reader finds that `metrics` is not what it was, whatever it reads of it.
    pub(crate) fn miss_metrics(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        let all: Vec<i32> = self.places.keys().copied().collect();
        self.forget(&all, rng, bus, now_ns);
    }

    fn forget(&mut self, partitions: &[i32], rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        for event in std::mem::take(&mut self.reading).into_values().flatten() {
            self.apply(event, rng, bus, now_ns);
        }
        self.places
            .extend(partitions.iter().map(|number| (*number, 0)));
        self.disk.logs += 1;
        self.disk
            .shadows
            .retain(|number, _| !partitions.contains(number));
        let event = Event::Forgotten {
            log: self.raw.forget(partitions),
            partitions: partitions.to_vec(),
        };
        self.apply(event, rng, bus, now_ns);
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

/// What the clocks show then.
pub(crate) fn at(now_ns: u64) -> Now {
    Now::new(UNIX_NS + now_ns, now_ns)
}
