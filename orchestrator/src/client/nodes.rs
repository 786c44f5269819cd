//! `client nodes`: the drivers' heartbeats from Kafka as they come, and who is up, suspect or down.

use std::time::{Duration, Instant};

use proto::bus::{self, BusSettings, Event, Record, StartAt, Subscriber};
use proto::codec;
use proto::message::{Heartbeat, NodeState, Register, Role};
use proto::topic::Topic;
use serde_json::{Value, json};

use super::api::Api;
use super::cli::NodesOptions;
use super::ending::{Ending, Problem};
use super::follow::Interrupts;
use super::monitor::{Monitor, Transition};
use super::print;
use crate::control::registry::Liveness;

/// Longest wait for the next message, after which time is looked at.
const POLL: Duration = Duration::from_millis(100);
/// When all nodes have been silent for this long the broker itself is asked, ms.
const ALL_SILENT_MS: u64 = 2_000;
/// A broker that works answers within this time.
const BROKER_ANSWER_MAX: Duration = Duration::from_secs(1);

/// Prints what comes, until Ctrl-C or the given time.
///
/// # Errors
/// [`Problem`] when the broker's address is unknown or no address.
pub fn watch(api: &Api, options: &NodesOptions, as_json: bool) -> Result<Ending, Problem> {
    let brokers = match &options.kafka {
        Some(brokers) => brokers.clone(),
        None => learned(api)?,
    };
    let settings = BusSettings::new(&brokers, "client", &options.properties.kafka_properties)?;
    let topics = [
        (Topic::Register, StartAt::End),
        (Topic::Heartbeat, StartAt::End),
    ];
    let cluster = bus::inspect(&settings, BROKER_ANSWER_MAX).ok();
    let fitted = cluster
        .as_ref()
        .map(|cluster| settings.for_cluster(cluster));
    let subscriber = Subscriber::new(fitted.as_ref().unwrap_or(&settings), &topics)?;
    if let Some(cluster) = cluster {
        let of_topic = |(topic, start): (Topic, StartAt)| {
            let all = cluster.partitions_of(topic);
            all.map(move |partition| (partition, start))
        };
        subscriber.assign_partitions(topics.into_iter().flat_map(of_topic))?;
    }
    if !as_json {
        eprintln!("heartbeats at {brokers}; Ctrl-C ends");
    }
    let watch = Watch {
        subscriber,
        monitor: Monitor::default(),
        begin: Instant::now(),
        as_json,
        quiet: options.quiet,
    };
    watch.run(options.duration.map(Duration::from_nanos))
}

/// The orchestrator knows its broker.
fn learned(api: &Api) -> Result<String, Problem> {
    let health = api.get("healthz")?;
    let bootstrap = health["broker"]["bootstrap"].as_str();
    bootstrap
        .map(str::to_owned)
        .ok_or_else(|| Problem::NoBroker(api.base().to_owned()))
}

struct Watch {
    subscriber: Subscriber,
    monitor: Monitor,
    begin: Instant,
    as_json: bool,
    quiet: bool,
}

impl Watch {
    fn run(mut self, limit: Option<Duration>) -> Result<Ending, Problem> {
        let interrupts = Interrupts::take()?;
        while interrupts.count() == 0 && limit.is_none_or(|limit| self.begin.elapsed() < limit) {
            match self.subscriber.poll(POLL) {
                Some(Event::Record(record)) => self.take(&record)?,
                Some(Event::Forbidden(error)) => return Err(error.into()),
                Some(Event::Trouble(_) | Event::Unreadable(_) | Event::OffsetLost) | None => {}
            }
            let works = self.broker_works();
            let now_ms = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
            for transition in self.monitor.pass(now_ms, works) {
                self.tell(&transition)?;
            }
        }
        Ok(Ending::Ok)
    }

    /// Whoever was heard lately came through it; when nobody was, it is asked.
    fn broker_works(&self) -> bool {
        let silent_ms = self.monitor.shortest_silence_ms();
        if silent_ms.is_none_or(|silent_ms| silent_ms < ALL_SILENT_MS) {
            return !self.subscriber.health().is_down();
        }
        self.subscriber
            .bounds(Topic::Heartbeat, BROKER_ANSWER_MAX)
            .is_ok()
    }

    fn take(&mut self, record: &Record) -> Result<(), Problem> {
        let mut payload = record.payload.clone();
        match record.topic {
            Topic::Register => {
                if let Ok(register) = codec::decode::<Register>(&mut payload) {
                    return self.say(
                        &format!(
                            "{:<24} registers from {}",
                            register.node_id, register.node_ip
                        ),
                        &json!({"event": "register", "node_id": register.node_id,
                                "node_IP": register.node_ip}),
                    );
                }
            }
            _ => {
                if let Ok(heartbeat) = codec::decode::<Heartbeat>(&mut payload) {
                    return self.heartbeat(&heartbeat);
                }
            }
        }
        self.say(
            &format!(
                "a message that does not decode, {} {}",
                record.topic, record.offset
            ),
            &json!({"event": "undecodable", "topic": record.topic.name(),
                    "offset": record.offset}),
        )
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat) -> Result<(), Problem> {
        if heartbeat.role != Role::Driver {
            return Ok(());
        }
        if let Some(transition) = self.monitor.heard(&heartbeat.node_id) {
            self.tell(&transition)?;
        }
        if self.quiet {
            return Ok(());
        }
        let state = heartbeat.state.map_or("", state_name);
        let test = heartbeat.test_id.as_deref().unwrap_or_default();
        let reason = heartbeat.reason.as_deref().unwrap_or_default();
        self.say(
            format!(
                "{:<24} heartbeat {state} {test} {reason}",
                heartbeat.node_id
            )
            .trim_end(),
            &json!({"event": "heartbeat", "node_id": heartbeat.node_id, "state": heartbeat.state,
                    "test_id": heartbeat.test_id, "timestamp": heartbeat.timestamp}),
        )
    }

    fn tell(&self, transition: &Transition) -> Result<(), Problem> {
        let silent_s = proto::units::ns_to_seconds(transition.silent_ms * 1_000_000);
        let from = transition.from.map(Liveness::name);
        let words = match (from, transition.to.name()) {
            (None, to) => format!("{:<24} is {to}", transition.node_id),
            (Some(from), to) => format!(
                "{:<24} is {to}, was {from}; silent for {silent_s:.1} s",
                transition.node_id
            ),
        };
        self.say(
            &words,
            &json!({"event": "transition", "node_id": transition.node_id, "from": from,
                    "to": transition.to.name(), "silent_s": silent_s}),
        )
    }

    fn say(&self, words: &str, fields: &Value) -> Result<(), Problem> {
        if self.as_json {
            print(&format!("{fields}\n"))
        } else {
            print(&format!(
                "{:>9.3} s  {words}\n",
                self.begin.elapsed().as_secs_f64()
            ))
        }
    }
}

/// The name on the wire.
fn state_name(state: NodeState) -> &'static str {
    match state {
        NodeState::Idle => "idle",
        NodeState::Preparing => "preparing",
        NodeState::Ready => "ready",
        NodeState::Armed => "armed",
        NodeState::Running => "running",
        NodeState::Draining => "draining",
        NodeState::Failed => "failed",
        NodeState::Unknown => "unknown",
    }
}
