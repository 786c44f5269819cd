//! A driver of another implementation: it says that it lives, does what a trigger says, reports four
//! numbers at a time, and has no last report.

use std::collections::VecDeque;

use fastrand::Rng;
use proto::codec;
use proto::measure::LatencyFigures;
use proto::message::{Heartbeat, Metrics, REGISTER_TYPE, Register, Role, Trigger, TriggerKind};
use proto::topic::Topic;

use crate::bus::Bus;
use crate::world::SECOND;

const OTHER: u64 = u64::MAX;
/// Most reports on a test, one a second.
const REPORTS_MAX: u64 = 20;

/// A test that it is at work on.
struct Work {
    test_id: String,
    next_ns: u64,
    /// Reports until now, and in all.
    done: u64,
    all: u64,
}

pub(crate) struct Foreign {
    pub(crate) id: String,
    /// What was read of `trigger`.
    read: usize,
    next_beat_ns: u64,
    is_registered: bool,
    works: Vec<Work>,
    /// Reports, of which the first is on its way when `is_sent`.
    reports: VecDeque<Vec<u8>>,
    is_sent: bool,
    token: u64,
}

impl Foreign {
    pub(crate) fn new(id: &str, bus: &Bus) -> Self {
        Self {
            id: id.to_owned(),
            read: bus.len(Topic::Trigger),
            next_beat_ns: 0,
            is_registered: false,
            works: Vec::new(),
            reports: VecDeque::new(),
            is_sent: false,
            token: 0,
        }
    }

    /// What became of a message: reports come one after the other, whatever it takes.
    pub(crate) fn delivered(&mut self, token: u64, arrived: bool) {
        if token == self.token && self.is_sent {
            self.is_sent = false;
            if arrived {
                self.reports.pop_front();
            }
        }
    }

    pub(crate) fn step(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        let news = bus.read((Topic::Trigger, 0), self.read, now_ns).to_vec();
        self.read += news.len();
        for stored in news {
            let trigger: Trigger = codec::decode(&mut stored.payload.clone()).unwrap();
            self.take(&trigger, rng, now_ns);
        }
        for work in &mut self.works {
            if now_ns >= work.next_ns && work.done < work.all {
                work.next_ns += SECOND;
                work.done += 1;
                let report = report(&self.id, &work.test_id, work.done);
                self.reports.push_back(codec::encode(&report));
            }
        }
        self.send(rng, bus, now_ns);
    }

    fn take(&mut self, trigger: &Trigger, rng: &mut Rng, now_ns: u64) {
        let is_known = self
            .works
            .iter()
            .any(|work| work.test_id == trigger.test_id);
        let mut participants = trigger.participants.iter().flatten();
        if trigger.trigger == TriggerKind::Start
            && !is_known
            && participants.any(|id| *id == self.id)
        {
            self.works.push(Work {
                test_id: trigger.test_id.clone(),
                next_ns: now_ns + SECOND,
                done: 0,
                all: rng.u64(1..REPORTS_MAX),
            });
        }
    }

    fn send(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        if !self.is_registered || now_ns >= self.next_beat_ns {
            self.is_registered = true;
            self.next_beat_ns = now_ns + SECOND;
            let register = codec::encode(&register(&self.id));
            bus.send(rng, &self.id, OTHER, (Topic::Register, register), now_ns);
            let beat = codec::encode(&heartbeat(&self.id));
            bus.send(rng, &self.id, OTHER, (Topic::Heartbeat, beat), now_ns);
        }
        if let Some(report) = self.reports.front().filter(|_| !self.is_sent) {
            self.is_sent = true;
            self.token += 1;
            let content = (Topic::Metrics, report.clone());
            bus.send(rng, &self.id, self.token, content, now_ns);
        }
    }
}

/// The number of a report of another implementation on a test, if this is one.
pub(crate) fn number_of(payload: &[u8], node_id: &str, test_id: &str) -> Option<f64> {
    let message: Metrics = codec::decode(&mut payload.to_vec()).unwrap();
    let is_its = message.node_id == node_id && message.test_id == test_id;
    message.metrics.mean_latency.filter(|_| is_its)
}

fn report(node_id: &str, test_id: &str, number: u64) -> Metrics {
    let figure = Some(number as f64);
    Metrics {
        node_id: node_id.to_owned(),
        test_id: test_id.to_owned(),
        report_id: None,
        metrics: LatencyFigures {
            mean_latency: figure,
            median_latency: figure,
            min_latency: figure,
            max_latency: figure,
            mode_latency: None,
        },
        report: None,
    }
}

fn register(id: &str) -> Register {
    Register {
        node_id: id.to_owned(),
        node_ip: "host:0".to_owned(),
        message_type: REGISTER_TYPE.to_owned(),
        version: None,
        cores: None,
        hostname: None,
        incarnation: None,
    }
}

fn heartbeat(id: &str) -> Heartbeat {
    Heartbeat {
        node_id: id.to_owned(),
        heartbeat: true,
        timestamp: None,
        role: Role::Driver,
        state: None,
        test_id: None,
        reason: None,
        probe: None,
        echo: None,
        incarnation: None,
        wire: None,
        needs: Vec::new(),
    }
}
