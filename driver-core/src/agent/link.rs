//! The driver's end of the bus: what comes in as [`Inbound`], what goes out through the producer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use proto::bus::{self, BusSettings, Event, Publisher, Record, StartAt, Subscriber};
use proto::codec::{self, DecodeError};
use proto::message::{Heartbeat, Role, TestConfig, Trigger};
use proto::topic::Topic;
use proto::{clock, log};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::AgentError;
use super::session::SessionEvent;

/// Messages that wait for the control thread.
const QUEUE: usize = 1024;
/// Configs of the past that a driver reads when it comes up.
const CONFIGS_READ: i64 = 64;
const POLL: Duration = Duration::from_millis(100);
const TOPICS_TIMEOUT: Duration = Duration::from_secs(5);
const TOPICS_RETRY: Duration = Duration::from_secs(1);

/// What reaches the control thread.
pub(super) enum Inbound {
    /// A test. `old` when it was published before this driver came up.
    Config {
        config: Box<TestConfig>,
        old: bool,
    },
    Trigger(Trigger),
    Heartbeat {
        heartbeat: Heartbeat,
        received_unix_ns: u64,
    },
    Session(SessionEvent),
}

/// The clients, and the queue to the control thread.
pub(super) struct Link {
    pub(super) publisher: Publisher,
    pub(super) inbound: Receiver<Inbound>,
    pub(super) sender: Sender<Inbound>,
}

impl Link {
    /// Makes the clients and starts the reader.
    pub(super) fn open(
        settings: &BusSettings,
        node_id: &str,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, AgentError> {
        let publisher = Publisher::new(settings)?;
        let subscriber = Subscriber::new(
            settings,
            &[
                (Topic::TestConfig, StartAt::Tail(CONFIGS_READ)),
                (Topic::Trigger, StartAt::End),
                (Topic::Heartbeat, StartAt::End),
            ],
        )?;
        let (sender, inbound) = bounded(QUEUE);
        let reader = Reader {
            subscriber,
            node_id: node_id.to_owned(),
            up_since_ms: i64::try_from(clock::unix_ns() / 1_000_000).unwrap_or(i64::MAX),
            sender: sender.clone(),
            stop: Arc::clone(stop),
            in_trouble: false,
        };
        spawn("bus-reader", move || reader.read())?;
        let (settings, stop) = (settings.clone(), Arc::clone(stop));
        spawn("topics", move || make_topics(&settings, &stop))?;
        Ok(Self {
            publisher,
            inbound,
            sender,
        })
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
}

/// Makes the topics where they are missing, as soon as there is a broker.
fn make_topics(settings: &BusSettings, stop: &AtomicBool) {
    let mut told = false;
    while !stop.load(Ordering::Relaxed) {
        match bus::ensure_topics(settings, TOPICS_TIMEOUT) {
            Ok(cluster) => {
                log::info(
                    "broker_up",
                    json!({"brokers": settings.brokers(), "cluster": cluster.id}),
                );
                return;
            }
            Err(error) if !told => {
                log::warn("broker_away", json!({"reason": error.to_string()}));
                told = true;
            }
            Err(_) => {}
        }
        thread::sleep(TOPICS_RETRY);
    }
}

struct Reader {
    subscriber: Subscriber,
    node_id: String,
    up_since_ms: i64,
    sender: Sender<Inbound>,
    stop: Arc<AtomicBool>,
    /// The client repeats its trouble each second; once is enough until a message comes again.
    in_trouble: bool,
}

impl Reader {
    fn read(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let inbound = match self.subscriber.poll(POLL) {
                Some(Event::Record(record)) => {
                    if std::mem::take(&mut self.in_trouble) {
                        log::info("bus_back", json!({}));
                    }
                    self.decode(record)
                }
                Some(Event::OffsetLost) => {
                    self.start_anew();
                    None
                }
                Some(Event::Trouble(reason)) => {
                    if !std::mem::replace(&mut self.in_trouble, true) {
                        log::warn("bus_trouble", json!({"reason": reason}));
                    }
                    None
                }
                None => None,
            };
            if let Some(inbound) = inbound
                && self.sender.send(inbound).is_err()
            {
                return;
            }
        }
    }

    /// The broker lost its log: whatever it has now is new.
    fn start_anew(&self) {
        log::warn(
            "broker_lost_its_log",
            json!({"remedy": "none needed; reading starts anew"}),
        );
        let topics = [Topic::TestConfig, Topic::Trigger, Topic::Heartbeat];
        let anew = topics.map(|topic| (topic, StartAt::Beginning));
        if let Err(error) = self.subscriber.assign(&anew) {
            log::error("bus_trouble", json!({"reason": error.to_string()}));
        }
    }

    fn decode(&self, record: Record) -> Option<Inbound> {
        let (topic, offset) = (record.topic, record.offset);
        let old = record.timestamp_ms.is_some_and(|ms| ms < self.up_since_ms);
        let inbound = match topic {
            Topic::TestConfig => read(record).map(|config| Inbound::Config { config, old }),
            Topic::Trigger => read(record).map(Inbound::Trigger),
            Topic::Heartbeat => {
                let received_unix_ns = clock::unix_ns();
                read(record).map(|heartbeat| Inbound::Heartbeat {
                    heartbeat,
                    received_unix_ns,
                })
            }
            Topic::Register | Topic::Metrics => return None,
        };
        match inbound {
            Ok(Inbound::Heartbeat { heartbeat, .. }) if !self.concerns(&heartbeat) => None,
            Ok(inbound) => Some(inbound),
            Err(error) => {
                let fields =
                    json!({"topic": topic.name(), "offset": offset, "reason": error.to_string()});
                log::warn("message_skipped", fields);
                None
            }
        }
    }

    /// Of the heartbeats only the orchestrator's matter to a driver.
    fn concerns(&self, heartbeat: &Heartbeat) -> bool {
        heartbeat.role == Role::Orchestrator && heartbeat.node_id != self.node_id
    }
}

fn read<T: DeserializeOwned>(mut record: Record) -> Result<T, DecodeError> {
    codec::decode(&mut record.payload)
}
