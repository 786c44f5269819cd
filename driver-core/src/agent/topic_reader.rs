//! The driver's end of the bus: what comes in as [`Inbound`], what goes out through the producer.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use proto::bus::{
    self, BusError, BusSettings, Cluster, Event, Gap, Partition, Publisher, Record, StartAt,
    Subscriber,
};
use proto::codec::{self, DecodeError};
use proto::topic::Topic;
use proto::{clock, log};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::AgentError;
use super::inbox::{INBOX_MAX, Inbound};

/// Messages of the past that a driver reads where it reads any.
const PAST_READ: i64 = 64;
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
    pub(super) fn open(settings: &BusSettings, stop: &Arc<AtomicBool>) -> Result<Self, AgentError> {
        let publisher = Publisher::new(settings)?;
        let (sender, inbound) = bounded(INBOX_MAX);
        let reader = TopicReader::new(settings, sender.clone(), stop)?;
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

/// The cluster with at least the reference's topics: an orchestrator of others has no more, and ours
/// makes what is missing itself.
fn find_topics(settings: &BusSettings) -> Result<Cluster, BusError> {
    let found = bus::inspect(settings, TOPICS_TIMEOUT)?;
    let mut needed = Topic::ALL.into_iter().filter(|topic| !topic.is_ours());
    if needed.all(|topic| found.topics.contains(&topic)) {
        return Ok(found);
    }
    bus::ensure_topics(settings, TOPICS_TIMEOUT)
}

/// Makes the topics where they are missing, as soon as there is a broker.
fn make_topics(settings: &BusSettings, stop: &AtomicBool) {
    let mut told = false;
    while !stop.load(Ordering::Relaxed) {
        match find_topics(settings) {
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
const TOPICS: [Topic; 3] = [Topic::TestConfig, Topic::Trigger, Topic::Control];
/// Between looks at whether an orchestrator of ours has made its topic.
const CONTROL_RETRY: Duration = Duration::from_secs(5);

struct TopicReader {
    subscriber: Subscriber,
    settings: BusSettings,
    places: BTreeMap<Partition, Place>,
    /// What there is to read.
    partitions: Vec<Partition>,
    sender: Sender<Inbound>,
    listens: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    /// The client repeats its trouble each second; once is enough until a message comes again.
    in_trouble: bool,
    /// Messages that did not decode.
    skipped: u64,
    /// Whether it was said that we may not read our orchestrator's topic.
    is_forbidden: bool,
    /// Whether that topic is read.
    hears_control: bool,
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
        sender: Sender<Inbound>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, AgentError> {
        Ok(Self {
            subscriber: Subscriber::new(settings, &[])?,
            settings: settings.clone(),
            places: BTreeMap::new(),
            partitions: TOPICS.map(|topic| (topic, 0)).to_vec(),
            sender,
            listens: Arc::default(),
            stop: Arc::clone(stop),
            in_trouble: false,
            skipped: 0,
            is_forbidden: false,
            hears_control: false,
        })
    }

    fn read(mut self) {
        self.know_cluster();
        self.find_places();
        let mut looked = Instant::now();
        while !self.is_stopped() {
            if !self.hears_control && looked.elapsed() >= CONTROL_RETRY {
                looked = Instant::now();
                self.find_control();
            }
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
                    self.look_again();
                    self.find_places();
                    None
                }
                Some(Event::Unreadable(gap)) => {
                    self.step_over(&gap);
                    None
                }
                Some(Event::Forbidden(error)) => {
                    missing_right(&error);
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

    /// A real broker is asked less often than the embedded one: see
    /// [`BusSettings::for_cluster`].
    fn know_cluster(&mut self) {
        while !self.is_stopped() {
            match bus::inspect(&self.settings, TOPICS_TIMEOUT) {
                Ok(cluster) if cluster.is_embedded() => return,
                Ok(cluster) => {
                    self.partitions = partitions(&cluster);
                    let settings = self.settings.for_cluster(&cluster);
                    match Subscriber::new(&settings, &[]) {
                        Ok(subscriber) => self.subscriber = subscriber,
                        Err(error) => self.trouble(&error.to_string()),
                    }
                    return;
                }
                Err(error) => self.trouble(&error.to_string()),
            }
            thread::sleep(POLL);
        }
    }

    /// Topics may have been made anew, with other partitions than before.
    fn look_again(&mut self) {
        if let Ok(cluster) = bus::inspect(&self.settings, TOPICS_TIMEOUT) {
            self.partitions = partitions(&cluster);
        }
    }

    /// Reads our orchestrator's topic too, if it is there by now.
    fn find_control(&mut self) {
        match self.subscriber.has(Topic::Control, BOUNDS_TIMEOUT) {
            Ok(true) => {
                self.look_again();
                self.find_places();
            }
            Ok(false) => {}
            Err(error) => self.tell_of_missing_right(&error),
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
        self.hears_control = false;
        for partition in self.partitions.clone() {
            let (topic, _) = partition;
            let bounds = match topic {
                // An orchestrator of others does not have it, and that is no error.
                Topic::Control => self.subscriber.bounds_of(partition, BOUNDS_TIMEOUT).ok(),
                _ => self.bounds(partition),
            };
            let Some((low, high)) = bounds else {
                if self.is_stopped() {
                    return;
                }
                let has = self.subscriber.has(topic, BOUNDS_TIMEOUT);
                if let Err(error) = has {
                    self.tell_of_missing_right(&error);
                }
                continue;
            };
            self.hears_control |= topic == Topic::Control;
            let known = self.places.get(&partition).copied();
            let left = known.filter(|place| (low..=high).contains(&place.next));
            let past = match topic {
                Topic::TestConfig => PAST_READ,
                // At first nothing is going on that an old trigger could stop.
                Topic::Trigger if known.is_some() => PAST_READ,
                // Made after this driver came: nothing on it was said before.
                Topic::Control if self.listens.load(Ordering::Relaxed) => PAST_READ,
                _ => 0,
            };
            let place = left.unwrap_or(Place {
                next: low.max(high - past),
                old_end: high,
            });
            self.places.insert(partition, place);
            starts.push((partition, StartAt::Offset(place.next)));
        }
        match self.subscriber.assign_partitions(starts) {
            Ok(()) => self.listens.store(true, Ordering::Relaxed),
            Err(error) => log::error("bus_trouble", json!({"reason": error.to_string()})),
        }
    }

    /// Our orchestrator's topic may be there, and we not let to know of it.
    fn tell_of_missing_right(&mut self, error: &BusError) {
        let is_one = matches!(error, BusError::Unreadable { .. });
        if is_one && !std::mem::replace(&mut self.is_forbidden, true) {
            missing_right(error);
        }
    }

    /// The offsets that the broker has of a partition; asks until it says so, or there is no such
    /// partition any more, or the driver ends.
    fn bounds(&mut self, partition: Partition) -> Option<(i64, i64)> {
        while !self.is_stopped() {
            match self.subscriber.bounds_of(partition, BOUNDS_TIMEOUT) {
                Ok(bounds) => return Some(bounds),
                Err(error) => self.trouble(&error.to_string()),
            }
            self.look_again();
            if !self.partitions.contains(&partition) {
                return None;
            }
            thread::sleep(POLL);
        }
        None
    }

    fn decode(&mut self, record: Record) -> Option<Inbound> {
        let (topic, offset) = (record.topic, record.offset);
        let place = self.places.get_mut(&(topic, record.partition))?;
        place.next = offset + 1;
        let old = offset < place.old_end;
        let inbound = match topic {
            Topic::TestConfig => read(record).map(|config| Inbound::Config { config, old }),
            Topic::Trigger => read(record).map(|trigger| Inbound::Trigger { trigger, old }),
            Topic::Control => {
                let received_unix_ns = clock::unix_ns();
                read(record).map(|control| Inbound::Control {
                    control,
                    received_unix_ns,
                })
            }
            Topic::Register | Topic::Metrics | Topic::Heartbeat | Topic::Data | Topic::Merged => {
                return None;
            }
        };
        match inbound {
            Ok(inbound) => Some(inbound),
            Err(error) => {
                self.skip(topic, offset, 1, &error.to_string());
                None
            }
        }
    }

    /// Counts records that cannot be read, and goes on behind them.
    fn step_over(&mut self, gap: &Gap) {
        if let Some(place) = self.places.get_mut(&gap.place) {
            place.next = gap.next;
        }
        self.skip(gap.place.0, gap.first, gap.count(), &gap.reason);
    }

    fn skip(&mut self, topic: Topic, offset: i64, count: u64, reason: &str) {
        self.skipped += count;
        let fields = json!({"topic": topic.name(), "offset": offset, "count": count,
            "reason": reason, "skipped": self.skipped});
        log::warn("message_skipped", fields);
    }
}

/// All partitions of what a driver reads.
fn partitions(cluster: &Cluster) -> Vec<Partition> {
    let all = TOPICS.into_iter();
    all.flat_map(|topic| cluster.partitions_of(topic)).collect()
}

fn missing_right(error: &BusError) {
    log::error("right_missing", json!({"reason": error.to_string()}));
}

fn read<T: DeserializeOwned>(mut record: Record) -> Result<T, DecodeError> {
    codec::decode(&mut record.payload)
}

#[cfg(test)]
mod tests;
