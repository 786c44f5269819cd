//! The driver's end of the bus: what comes in as [`Inbound`], what goes out through the producer.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use proto::bus::{self, BusSettings, Event, Publisher, Record, StartAt, Subscriber};
use proto::codec::{self, DecodeError};
use proto::message::{Heartbeat, Role};
use proto::topic::Topic;
use proto::{clock, log};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::AgentError;
use super::inbox::{INBOX_MAX, Inbound};

/// Messages of the past that a driver reads where it reads any.
const PAST_READ: i64 = 64;
/// Other drivers whose heartbeats are known by their keys; more are decoded.
const DRIVERS_MAX: usize = 100_000;
const POLL: Duration = Duration::from_millis(100);
const BOUNDS_TIMEOUT: Duration = Duration::from_secs(2);
const TOPICS_TIMEOUT: Duration = Duration::from_secs(5);
const TOPICS_RETRY: Duration = Duration::from_secs(1);

/// The clients, and the queue to the control thread.
pub(super) struct Bus {
    pub(super) publisher: Publisher,
    pub(super) inbound: Receiver<Inbound>,
    pub(super) sender: Sender<Inbound>,
    /// Whether what is published from now on is heard here. Before, nobody is told of this node.
    pub(super) listens: Arc<AtomicBool>,
}

impl Bus {
    /// Makes the clients and starts the reader.
    pub(super) fn open(
        settings: &BusSettings,
        node_id: &str,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, AgentError> {
        let publisher = Publisher::new(settings)?;
        let (sender, inbound) = bounded(INBOX_MAX);
        let reader = TopicReader::new(settings, node_id, sender.clone(), stop)?;
        let listens = Arc::clone(&reader.listens);
        spawn("topic-reader", move || reader.read())?;
        let (settings, stop) = (settings.clone(), Arc::clone(stop));
        spawn("topics", move || make_topics(&settings, &stop))?;
        Ok(Self {
            publisher,
            inbound,
            sender,
            listens,
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

/// The topics that a driver reads.
const TOPICS: [Topic; 3] = [Topic::TestConfig, Topic::Trigger, Topic::Heartbeat];

struct TopicReader {
    subscriber: Subscriber,
    node_id: String,
    places: BTreeMap<Topic, Place>,
    sender: Sender<Inbound>,
    listens: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    /// The client repeats its trouble each second; once is enough until a message comes again.
    in_trouble: bool,
    /// Messages that did not decode.
    skipped: u64,
    /// Keys under which other drivers' heartbeats come.
    drivers: HashSet<Vec<u8>>,
}

/// Where a topic is read. Offsets tell old from new, since no two machines' clocks need agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The offset to be read next.
    next: i64,
    /// The end of what was there when this driver began to listen.
    old_end: i64,
}

impl TopicReader {
    fn new(
        settings: &BusSettings,
        node_id: &str,
        sender: Sender<Inbound>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, AgentError> {
        Ok(Self {
            subscriber: Subscriber::new(settings, &[])?,
            node_id: node_id.to_owned(),
            places: BTreeMap::new(),
            sender,
            listens: Arc::default(),
            stop: Arc::clone(stop),
            in_trouble: false,
            skipped: 0,
            drivers: HashSet::new(),
        })
    }

    fn read(mut self) {
        self.find_places();
        while !self.is_stopped() {
            let inbound = match self.subscriber.poll(POLL) {
                Some(Event::Record(record)) => {
                    if std::mem::take(&mut self.in_trouble) {
                        log::info("bus_back", json!({}));
                    }
                    self.decode(record)
                }
                Some(Event::OffsetLost) => {
                    let remedy = "none needed; reading goes on with what there is";
                    log::warn("broker_lost_its_log", json!({"remedy": remedy}));
                    self.find_places();
                    None
                }
                Some(Event::Trouble(reason)) => {
                    self.trouble(&reason);
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

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn trouble(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.in_trouble, true) {
            log::warn("bus_trouble", json!({"reason": reason}));
        }
    }

    /// Begins to read each topic: where it was left, or, where the broker does not have that, near
    /// the end of what it has.
    fn find_places(&mut self) {
        let mut starts = Vec::new();
        for topic in TOPICS {
            let Some((low, high)) = self.bounds(topic) else {
                return;
            };
            let known = self.places.get(&topic).copied();
            let left = known.filter(|place| (low..=high).contains(&place.next));
            let past = match topic {
                Topic::TestConfig => PAST_READ,
                // At first nothing is going on that an old trigger could stop.
                Topic::Trigger if known.is_some() => PAST_READ,
                _ => 0,
            };
            let place = left.unwrap_or(Place {
                next: low.max(high - past),
                old_end: high,
            });
            self.places.insert(topic, place);
            starts.push((topic, StartAt::Offset(place.next)));
        }
        match self.subscriber.assign(&starts) {
            Ok(()) => self.listens.store(true, Ordering::Relaxed),
            Err(error) => log::error("bus_trouble", json!({"reason": error.to_string()})),
        }
    }

    /// The offsets that the broker has of a topic; asks until it says so, or the driver ends.
    fn bounds(&mut self, topic: Topic) -> Option<(i64, i64)> {
        while !self.is_stopped() {
            match self.subscriber.bounds(topic, BOUNDS_TIMEOUT) {
                Ok(bounds) => return Some(bounds),
                Err(error) => self.trouble(&error.to_string()),
            }
            thread::sleep(POLL);
        }
        None
    }

    fn decode(&mut self, record: Record) -> Option<Inbound> {
        let (topic, offset) = (record.topic, record.offset);
        let place = self.places.get_mut(&topic)?;
        place.next = offset + 1;
        let old = offset < place.old_end;
        if topic == Topic::Heartbeat && self.drivers.contains(&record.key) {
            return None;
        }
        let inbound = match topic {
            Topic::TestConfig => read(record).map(|config| Inbound::Config { config, old }),
            Topic::Trigger => read(record).map(|trigger| Inbound::Trigger { trigger, old }),
            Topic::Heartbeat => {
                let received_unix_ns = clock::unix_ns();
                let key = record.key.clone();
                read(record).map(|heartbeat| {
                    self.learn(key, &heartbeat);
                    Inbound::Heartbeat {
                        heartbeat,
                        received_unix_ns,
                    }
                })
            }
            Topic::Register | Topic::Metrics | Topic::Data => return None,
        };
        match inbound {
            Ok(Inbound::Heartbeat { heartbeat, .. }) if !self.concerns(&heartbeat) => None,
            Ok(inbound) => Some(inbound),
            Err(error) => {
                self.skipped += 1;
                let (skipped, reason) = (self.skipped, error.to_string());
                log::warn(
                    "message_skipped",
                    json!({"topic": topic.name(), "offset": offset, "reason": reason, "skipped": skipped}),
                );
                None
            }
        }
    }

    /// Thousands of drivers beat once a second, and none concerns another: under which keys they do
    /// is learned, so that their messages need not be decoded.
    fn learn(&mut self, key: Vec<u8>, heartbeat: &Heartbeat) {
        let is_named = key == heartbeat.node_id.as_bytes();
        if heartbeat.role == Role::Driver && is_named && self.drivers.len() < DRIVERS_MAX {
            self.drivers.insert(key);
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

#[cfg(test)]
mod tests {
    use proto::bus::EmbeddedBroker;
    use proto::document::Params;
    use proto::message::{Message, TestConfig, Trigger, TriggerKind};
    use proto::workload::TestType;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    struct Rig {
        broker: EmbeddedBroker,
        publisher: Publisher,
    }

    impl Rig {
        fn start() -> Self {
            let broker = EmbeddedBroker::start().unwrap();
            let publisher = Publisher::new(&settings(broker.address())).unwrap();
            Self { broker, publisher }
        }

        fn publish<M: Message>(&self, message: &M) {
            self.publisher.publish("o", message, 0).unwrap();
            assert!(self.publisher.flush(DEADLINE));
        }

        fn reader(&self) -> (TopicReader, Receiver<Inbound>) {
            let (sender, inbound) = bounded(INBOX_MAX);
            let stop = Arc::new(AtomicBool::new(false));
            let settings = settings(self.broker.address());
            (
                TopicReader::new(&settings, "me", sender, &stop).unwrap(),
                inbound,
            )
        }
    }

    fn settings(address: &str) -> BusSettings {
        BusSettings::new(address, "test", &[]).unwrap()
    }

    fn config(test_id: &str) -> TestConfig {
        TestConfig {
            test_id: test_id.into(),
            test_type: TestType::Avalanche,
            test_message_delay: 0.0,
            message_count_per_driver: 1,
            document: None,
            params: Params::default(),
        }
    }

    fn start(test_id: &str) -> Trigger {
        Trigger {
            test_id: test_id.into(),
            trigger: TriggerKind::Start,
            start_at_unix_ns: None,
            participants: None,
            clock_offsets: BTreeMap::new(),
        }
    }

    /// What comes next: its topic, its test, and whether it is old.
    fn next(inbound: &Receiver<Inbound>) -> (Topic, String, bool) {
        match inbound.recv_timeout(DEADLINE).unwrap() {
            Inbound::Config { config, old } => (Topic::TestConfig, config.test_id, old),
            Inbound::Trigger { trigger, old } => (Topic::Trigger, trigger.test_id, old),
            _ => panic!("neither a config nor a trigger"),
        }
    }

    fn read_in_background(reader: TopicReader) {
        spawn("reader", move || reader.read()).unwrap();
    }

    #[test]
    fn what_was_there_before_the_driver_is_old() {
        let bus = Rig::start();
        bus.publish(&config("before"));
        bus.publish(&start("before"));
        let (reader, inbound) = bus.reader();
        read_in_background(reader);
        assert_eq!(next(&inbound), (Topic::TestConfig, "before".into(), true));
        bus.publish(&config("after"));
        assert_eq!(next(&inbound), (Topic::TestConfig, "after".into(), false));
        bus.publish(&start("after"));
        assert_eq!(next(&inbound), (Topic::Trigger, "after".into(), false));
    }

    #[test]
    fn a_clock_that_is_ahead_makes_nothing_old() {
        let bus = Rig::start();
        let (mut reader, _inbound) = bus.reader();
        assert!(!reader.listens.load(Ordering::Relaxed));
        reader.find_places();
        assert!(reader.listens.load(Ordering::Relaxed));
        let record = Record {
            topic: Topic::TestConfig,
            offset: 0,
            timestamp_ms: Some(1),
            key: Vec::new(),
            payload: codec::encode(&config("a")),
        };
        let inbound = reader.decode(record);
        assert!(matches!(inbound, Some(Inbound::Config { old: false, .. })));
    }

    #[test]
    fn after_a_lost_log_only_its_topic_is_read_again_and_as_old() {
        let bus = Rig::start();
        bus.publish(&config("a"));
        bus.publish(&start("a"));
        let (mut reader, inbound) = bus.reader();
        // The configs were read to their end; the triggers were those of another broker.
        let place = |next| Place { next, old_end: 0 };
        reader.places = [(Topic::TestConfig, place(1)), (Topic::Trigger, place(77))].into();
        reader.find_places();
        assert_eq!(reader.places[&Topic::TestConfig], place(1));
        read_in_background(reader);
        assert_eq!(next(&inbound), (Topic::Trigger, "a".into(), true));
        bus.publish(&config("b"));
        assert_eq!(next(&inbound), (Topic::TestConfig, "b".into(), false));
    }

    #[test]
    fn what_does_not_decode_is_counted() {
        let bus = Rig::start();
        let (mut reader, _inbound) = bus.reader();
        reader.find_places();
        for offset in 0..3 {
            let record = Record {
                topic: Topic::Trigger,
                offset,
                timestamp_ms: None,
                key: Vec::new(),
                payload: b"EOF".to_vec(),
            };
            assert!(reader.decode(record).is_none());
        }
        assert_eq!(reader.skipped, 3);
    }

    #[test]
    fn heartbeats_of_other_drivers_are_decoded_once() {
        let bus = Rig::start();
        let (mut reader, _inbound) = bus.reader();
        reader.find_places();
        let mut decode = |key: &str, payload: Vec<u8>| {
            let record = Record {
                topic: Topic::Heartbeat,
                offset: 0,
                timestamp_ms: None,
                key: key.as_bytes().to_vec(),
                payload,
            };
            let inbound = reader.decode(record);
            (inbound.is_some(), reader.skipped)
        };
        let beat = |node_id: &str, role: &str| {
            let text = r#"{"node_id":"ID","heartbeat":"YES","role":"ROLE"}"#;
            text.replace("ID", node_id)
                .replace("ROLE", role)
                .into_bytes()
        };
        assert_eq!(decode("d", beat("d", "driver")), (false, 0));
        // Not looked at any more, or it would be counted.
        assert_eq!(decode("d", b"no JSON".to_vec()), (false, 0));
        assert_eq!(decode("o", beat("o", "orchestrator")), (true, 0));
        assert_eq!(decode("o", beat("o", "orchestrator")), (true, 0));
        // Senders that do not name themselves by their keys are always decoded.
        assert_eq!(decode("", beat("e", "driver")), (false, 0));
        assert_eq!(decode("", beat("o", "orchestrator")), (true, 0));
    }
}
