//! A driver: its real state machine and outbox around an engine that only counts.

use std::collections::BTreeMap;
use std::time::Duration;

use driver_core::control::Outbox;
use driver_core::control::{Action, Event, Node, Unrun};
use driver_core::load::join_ns;
use fastrand::Rng;
use proto::codec;
use proto::document::Document;
use proto::histogram::{Latencies, SparseLatencies};
use proto::measure::{
    Counters, LateRate, LatencyFigures, Outcome, RatesFollowed, Report, SecondRow,
};
use proto::message::{Control, Metrics, Order, REGISTER_TYPE, Register, TestConfig, Trigger};
use proto::topic::Topic;
use proto::workload::{Part, RateChange, Workload};

use crate::bus::Bus;
use crate::world::{SECOND, UNIX_NS};

const HEARTBEAT: u64 = u64::MAX;
const REGISTER: u64 = u64::MAX - 1;
/// Requests that the engine sends in a second, all answered in it, where the test is no document.
pub(crate) const RATE: u64 = 100;
/// Sessions a second, of all drivers together, up to which the target of documents answers in time.
pub(crate) const CAPACITY: f64 = 700.0;

/// The load that the engine prepares or runs.
struct Load {
    config: TestConfig,
    document: Option<Document>,
    /// Of a document, the sessions that are this driver's.
    share: u64,
    ready_ns: u64,
    told_ready: bool,
    start_ns: Option<u64>,
    told_started: bool,
    stopped: bool,
    /// Changes of the rate: from which second on, and requests a second.
    rates: Vec<(u64, u64)>,
    followed: RatesFollowed,
    sequence: u64,
    total: Counters,
    latencies: SparseLatencies,
}

pub(crate) struct Driver {
    pub(crate) id: String,
    node: Node,
    outbox: Outbox,
    cursors: [(Topic, usize); 3],
    load: Option<Load>,
    next_beat_ns: u64,
    beat_wanted: bool,
    beat_in_flight: bool,
    registered: bool,
    register_in_flight: bool,
    pub(crate) alive: bool,
    pub(crate) frozen_until_ns: u64,
    /// What the target saw of it, by test.
    pub(crate) sent: Vec<(String, u64)>,
    /// How long its answers took, by test.
    pub(crate) times: BTreeMap<String, SparseLatencies>,
}

impl Driver {
    pub(crate) fn new(id: &str, bus: &Bus) -> Self {
        let topics = [Topic::TestConfig, Topic::Trigger, Topic::Control];
        let mut node = Node::new(id, 1);
        // Configs from before are known, not prepared.
        for stored in bus.read((Topic::TestConfig, 0), 0, u64::MAX) {
            if let Ok(config) = codec::decode(&mut stored.payload.clone()) {
                node.remember(config);
            }
        }
        Self {
            id: id.to_owned(),
            node,
            outbox: Outbox::default(),
            cursors: topics.map(|topic| (topic, bus.len(topic))),
            load: None,
            next_beat_ns: 0,
            beat_wanted: true,
            beat_in_flight: false,
            registered: false,
            register_in_flight: false,
            alive: true,
            frozen_until_ns: 0,
            sent: Vec::new(),
            times: BTreeMap::new(),
        }
    }

    /// What became of a message.
    pub(crate) fn delivered(&mut self, token: u64, arrived: bool) {
        match token {
            HEARTBEAT => self.beat_in_flight = false,
            REGISTER => (self.register_in_flight, self.registered) = (false, arrived),
            token => self.outbox.delivered(token, arrived),
        }
    }

    pub(crate) fn step(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        if !self.alive || now_ns < self.frozen_until_ns {
            return;
        }
        self.read(rng, bus, now_ns);
        self.work(rng, now_ns);
        self.apply(Event::Tick, rng, now_ns);
        self.send(rng, bus, now_ns);
    }

    fn read(&mut self, rng: &mut Rng, bus: &Bus, now_ns: u64) {
        for at in 0..self.cursors.len() {
            let (topic, from) = self.cursors[at];
            let news = bus.read((topic, 0), from, now_ns).to_vec();
            self.cursors[at].1 += news.len();
            for stored in news {
                if let Some(event) = event(topic, stored.payload, now_ns) {
                    self.apply(event, rng, now_ns);
                }
            }
        }
    }

    fn apply(&mut self, event: Event, rng: &mut Rng, now_ns: u64) {
        for action in self.node.apply(event, now_ns, UNIX_NS + now_ns) {
            match action {
                Action::Prepare(config) => {
                    assert!(self.load.is_none(), "one load at a time");
                    let ready_ns = now_ns + rng.u64(1_000_000..400_000_000);
                    self.load = Some(Load::new(*config, ready_ns));
                }
                Action::Release { test_id } => {
                    let load = self.load.take().expect("released what is held");
                    assert_eq!(load.config.test_id, test_id);
                }
                Action::Start(start) => {
                    let load = self.load.as_mut().expect("started what is prepared");
                    assert_eq!(load.config.test_id, start.test_id);
                    let at = start
                        .at_unix_ns
                        .map_or(now_ns, |at| at.saturating_sub(UNIX_NS));
                    load.start_ns = Some(at);
                    let part = Part::new(start.index.into(), start.count.into());
                    let document = load.document.as_ref();
                    let planned =
                        document.and_then(|document| document.scenario.load.planned(part?));
                    load.share = planned.unwrap_or(0);
                }
                Action::Stop { .. } => {
                    self.load.as_mut().expect("stopped what runs").stopped = true;
                }
                Action::ChangeRate { test_id, changes } => {
                    let load = self.load.as_mut().expect("changed what runs");
                    assert_eq!(load.config.test_id, test_id);
                    load.follow(&changes, now_ns);
                }
                Action::ReportUnrun {
                    test_id,
                    cause,
                    reason,
                } => {
                    self.unrun(&test_id, cause, reason);
                }
                Action::Heartbeat => self.beat_wanted = true,
            }
        }
    }

    /// The engine's part: gets ready, sends a second's requests at the end of each second.
    fn work(&mut self, rng: &mut Rng, now_ns: u64) {
        let Some(load) = &mut self.load else { return };
        let test_id = load.config.test_id.clone();
        if !load.told_ready && now_ns >= load.ready_ns {
            load.told_ready = true;
            self.apply(
                Event::Prepared {
                    test_id: test_id.clone(),
                },
                rng,
                now_ns,
            );
        }
        let Some(load) = &mut self.load else { return };
        let Some(start_ns) = load.start_ns.filter(|_| load.config.test_id == test_id) else {
            return;
        };
        if !load.told_started && now_ns >= start_ns {
            load.told_started = true;
            self.apply(
                Event::Started {
                    test_id: test_id.clone(),
                },
                rng,
                now_ns,
            );
        }
        self.advance(start_ns, rng, now_ns);
    }

    fn advance(&mut self, start_ns: u64, rng: &mut Rng, now_ns: u64) {
        let mut reports = Vec::new();
        let Some(load) = &mut self.load else { return };
        while !load.is_over() && now_ns >= start_ns + (load.sequence + 1) * SECOND {
            reports.push(load.second(rng));
        }
        let over = load.is_over();
        if over {
            reports.push(load.last());
        }
        let test_id = load.config.test_id.clone();
        let sent: u64 = reports
            .iter()
            .filter(|report| !report.last)
            .map(|r| r.counters.sent)
            .sum();
        self.sent.push((test_id.clone(), sent));
        let times = self.times.entry(test_id.clone()).or_default();
        for report in reports.iter().filter(|report| !report.last) {
            times.add(&report.latencies);
        }
        for report in reports {
            self.report(&test_id, report);
        }
        if over {
            self.load = None;
            self.apply(Event::Ended { test_id }, rng, now_ns);
        }
    }

    fn unrun(&mut self, test_id: &str, cause: Unrun, reason: String) {
        let config = self.node.config(test_id);
        let planned = config.map_or(0, |config| planned_of(config).unwrap_or(0));
        let counters = Counters {
            planned,
            not_sent: planned,
            ..Counters::default()
        };
        let outcome = match cause {
            Unrun::Missed => Outcome::Missed,
            Unrun::Failed => Outcome::Failed,
            Unrun::Aborted => Outcome::Aborted,
        };
        let report = Report {
            last: true,
            counters,
            outcome: Some(outcome),
            reason: Some(reason),
            ..Report::default()
        };
        self.report(test_id, report);
    }

    fn report(&mut self, test_id: &str, report: Report) {
        self.outbox.push(Metrics {
            node_id: self.id.clone(),
            test_id: test_id.to_owned(),
            report_id: None,
            metrics: LatencyFigures::default(),
            report: Some(report),
        });
    }

    fn send(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        if !self.registered && !self.register_in_flight {
            self.register_in_flight = true;
            let message = codec::encode(&register(&self.id));
            bus.send(rng, &self.id, REGISTER, (Topic::Register, message), now_ns);
        }
        if (self.beat_wanted || now_ns >= self.next_beat_ns) && !self.beat_in_flight {
            (self.beat_wanted, self.beat_in_flight) = (false, true);
            self.next_beat_ns = now_ns + SECOND;
            let message = codec::encode(&self.node.heartbeat(UNIX_NS + now_ns));
            bus.send(
                rng,
                &self.id,
                HEARTBEAT,
                (Topic::Heartbeat, message),
                now_ns,
            );
        }
        while let Some((token, message)) = self.outbox.hand_over() {
            bus.send(
                rng,
                &self.id,
                token,
                (Topic::Metrics, codec::encode(message)),
                now_ns,
            );
        }
    }
}

impl Load {
    fn new(config: TestConfig, ready_ns: u64) -> Self {
        let document = config.document.as_deref();
        Self {
            document: document.map(|json| Document::kept(json).unwrap()),
            share: 0,
            config,
            ready_ns,
            told_ready: false,
            start_ns: None,
            told_started: false,
            stopped: false,
            rates: Vec::new(),
            followed: RatesFollowed::default(),
            sequence: 0,
            total: Counters::default(),
            latencies: SparseLatencies::default(),
        }
    }

    fn is_over(&self) -> bool {
        let is_done = match self.seconds() {
            Some(seconds) => self.sequence >= seconds,
            None => self.total.sent >= self.planned(),
        };
        self.stopped || is_done
    }

    /// How long it takes, where that is asked for instead of a count.
    fn seconds(&self) -> Option<u64> {
        let duration_s = self.config.params.duration_s?;
        Some(Duration::from_secs_f64(duration_s).as_secs())
    }

    fn planned(&self) -> u64 {
        match self.document {
            Some(_) => self.share,
            None => planned_of(&self.config).unwrap_or(u64::MAX),
        }
    }

    /// Takes on the changes of the rate that are new.
    fn follow(&mut self, changes: &[RateChange], now_ns: u64) {
        let since_ns = now_ns.saturating_sub(self.start_ns.unwrap());
        for change in changes.iter().skip(self.rates.len()) {
            let join_ns = join_ns(change.at_ns, since_ns);
            if join_ns > change.at_ns {
                let (number, late_ns) = (self.followed.known, join_ns - change.at_ns);
                self.followed.late.push(LateRate { number, late_ns });
            }
            self.followed.known += 1;
            self.rates
                .push((join_ns / SECOND, change.rate.milli() / 1000));
        }
    }

    /// Requests of the next second, where the test is no document.
    fn rate(&self) -> u64 {
        let in_force = |(from, _): &&(u64, u64)| *from <= self.sequence;
        let changed = self.rates.iter().rev().find(in_force);
        changed.map_or(RATE, |(_, rate)| *rate)
    }

    /// What is sent in a second, and how long answers take, ns.
    fn pace(&self) -> (u64, std::ops::Range<u64>) {
        let searched = self
            .document
            .as_ref()
            .map(|document| document.searched().unwrap());
        match searched {
            None => (self.rate(), 1..9_000_000),
            Some(searched) => {
                let sent = self.share.div_ceil(searched.for_ns.div_ceil(SECOND));
                let is_late = searched.rate > CAPACITY;
                let times = if is_late {
                    100_000_000..200_000_000
                } else {
                    1..9_000_000
                };
                (sent, times)
            }
        }
    }

    /// What happens in the next second.
    fn second(&mut self, rng: &mut Rng) -> Report {
        let planned = self.planned();
        let (rate, times) = self.pace();
        let sent = rate.min(planned - self.total.sent);
        let mut latencies = Latencies::new();
        for _ in 0..sent {
            let ns = rng.u64(times.clone());
            latencies.response.saturating_record(ns);
            latencies.service.saturating_record(ns);
        }
        let first = match self.seconds() {
            // Nobody knows the plan before, so that it is what is offered.
            Some(_) => sent,
            None if self.sequence == 0 => planned,
            None => 0,
        };
        let counters = Counters {
            planned: first,
            offered: sent,
            sent,
            completed: sent,
            ok: sent,
            ..Counters::default()
        };
        let row = SecondRow {
            second: self.sequence,
            offered: sent,
            sent,
            completed: sent,
            ok: sent,
            ..SecondRow::default()
        };
        let report = Report {
            sequence_first: self.sequence,
            sequence: self.sequence,
            interval_start_ns: self.sequence * SECOND,
            interval_end_ns: (self.sequence + 1) * SECOND,
            counters,
            seconds: vec![row],
            latencies: SparseLatencies::from(&latencies),
            rates: Some(Box::new(self.followed.clone())),
            ..Report::default()
        };
        self.sequence += 1;
        self.total.add(&report.counters);
        self.latencies.add(&report.latencies);
        report
    }

    fn last(&mut self) -> Report {
        if self.seconds().is_none() {
            self.total.planned = self.planned();
        }
        self.total.not_sent = self.total.planned - self.total.sent;
        let outcome = if self.stopped {
            Outcome::Aborted
        } else {
            Outcome::Done
        };
        Report {
            last: true,
            sequence_first: self.sequence,
            sequence: self.sequence,
            interval_end_ns: self.sequence * SECOND,
            counters: self.total.clone(),
            latencies: self.latencies.clone(),
            outcome: Some(outcome),
            rates: Some(Box::new(self.followed.clone())),
            ..Report::default()
        }
    }
}

/// Requests that a config asks of each driver, where it says so.
fn planned_of(config: &TestConfig) -> Option<u64> {
    let workload = Workload::from_config(config, "http://127.0.0.1:8000/").unwrap();
    workload.planned_per_driver()
}

fn event(topic: Topic, mut payload: Vec<u8>, now_ns: u64) -> Option<Event> {
    match topic {
        Topic::TestConfig => Some(Event::Config(codec::decode(&mut payload).ok()?)),
        Topic::Trigger => {
            let trigger: Trigger = codec::decode(&mut payload).ok()?;
            Some(Event::Trigger(trigger))
        }
        Topic::Control => match codec::decode::<Control>(&mut payload).ok()?.order {
            Order::Pulse { probe } => Some(Event::Probe {
                probe,
                received_unix_ns: UNIX_NS + now_ns,
            }),
            Order::Stop { test_id } => Some(Event::Stop { test_id }),
            Order::Rates { test_id, changes } => Some(Event::Rates { test_id, changes }),
            // Few enough for a trigger.
            Order::Participants { .. } | Order::Fence { .. } | Order::Unknown => None,
        },
        Topic::Register | Topic::Metrics | Topic::Heartbeat | Topic::Data | Topic::Merged => None,
    }
}

fn register(id: &str) -> Register {
    Register {
        node_id: id.to_owned(),
        node_ip: "host:0".to_owned(),
        message_type: REGISTER_TYPE.to_owned(),
        version: None,
        cores: Some(1),
        hostname: None,
        incarnation: None,
    }
}
