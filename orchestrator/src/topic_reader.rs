//! The broker: found, read, and recognised when it is another one.
//!
//! One thread owns the subscriber. It decodes, which is most of the work that a report makes, and
//! hands whole batches to the control thread together with the offsets that they lead to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use proto::bus::{self, BusSettings, Cluster, Record, StartAt, Subscriber};
use proto::codec::{self, DecodeError};
use proto::topic::Topic;
use proto::{clock, message};

use crate::control::{Batch, Broker, Event, Now, Offsets};

/// Time that the broker has to answer a question.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// Between attempts to find it.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// Longest wait for a message; a stop is noticed after it.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Most messages of a batch.
const BATCH_MAX: usize = 256;
/// Longest time that a batch is gathered.
const BATCH_WAIT: Duration = Duration::from_millis(10);
/// Between looks at whether the broker is still there, and still the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between questions for the cluster's id while nothing seems wrong.
const ID_EVERY: Duration = Duration::from_secs(30);

/// What the reading thread needs.
pub struct TopicReader {
    /// How to reach the broker.
    pub settings: BusSettings,
    /// Where to read on.
    pub offsets: Offsets,
    /// The log that these offsets belong to.
    pub cluster_id: Option<String>,
    /// Where batches go.
    pub batches: Sender<Batch>,
    /// Set to end the thread.
    pub stop: Arc<AtomicBool>,
}

impl TopicReader {
    /// Finds the broker and reads it, until stopped or nobody takes the batches.
    pub fn run(mut self) {
        let Some(cluster) = self.find() else {
            return;
        };
        self.recognise(&cluster);
        loop {
            match Subscriber::new(&self.settings, &self.starts()) {
                Ok(subscriber) => {
                    self.report(true, None);
                    return self.read(&subscriber);
                }
                Err(error) => self.report(false, Some(error.to_string())),
            }
            if self.is_stopped() {
                return;
            }
            std::thread::sleep(RETRY_WAIT);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until the broker answers and has our topics.
    fn find(&mut self) -> Option<Cluster> {
        let mut told = None;
        while !self.is_stopped() {
            match bus::ensure_topics(&self.settings, ASK_TIMEOUT) {
                Ok(cluster) => return Some(cluster),
                Err(error) => {
                    let text = Some(error.to_string());
                    if text != told {
                        self.report(false, text.clone());
                        told = text;
                    }
                }
            }
            std::thread::sleep(RETRY_WAIT);
        }
        None
    }

    /// Forgets the offsets when they are those of another log; whether they are.
    fn recognise(&mut self, cluster: &Cluster) -> bool {
        let Some(id) = &cluster.id else {
            return false;
        };
        let is_other = self.cluster_id.as_ref().is_some_and(|known| known != id);
        self.cluster_id = Some(id.clone());
        if is_other {
            self.forget(&folded());
        }
        is_other
    }

    /// Reads these topics from their beginning, also after a restart before anything was read.
    fn forget(&mut self, topics: &[Topic]) {
        self.offsets.retain(|topic, _| !topics.contains(topic));
        let batch = Batch {
            offsets: topics.iter().map(|topic| (*topic, 0)).collect(),
            ..Batch::default()
        };
        let _ = self.batches.send(batch);
    }

    fn starts(&self) -> Vec<(Topic, StartAt)> {
        let start = |topic: Topic| {
            let known = self.offsets.get(&topic);
            (
                topic,
                known.map_or(StartAt::Beginning, |next| StartAt::Offset(*next)),
            )
        };
        folded().into_iter().map(start).collect()
    }

    /// Tells the state what is known of the broker.
    fn report(&self, is_connected: bool, trouble: Option<String>) {
        let broker = Broker {
            is_connected,
            cluster_id: self.cluster_id.clone(),
            trouble,
        };
        let batch = Batch {
            events: vec![(Event::Broker(broker), now())],
            ..Batch::default()
        };
        let _ = self.batches.send(batch);
    }

    fn read(&mut self, subscriber: &Subscriber) {
        let mut watch = Watch::new();
        while !self.is_stopped() {
            let (batch, is_lost) = gather(subscriber);
            self.offsets
                .extend(batch.offsets.iter().map(|(topic, next)| (*topic, *next)));
            let has_read = !batch.events.is_empty();
            if has_read && self.batches.send(batch).is_err() {
                return;
            }
            if is_lost {
                self.find_place(subscriber);
            }
            if let Some(trouble) = watch.look(subscriber) {
                self.report(true, trouble);
                self.check_cluster(subscriber);
            }
            if watch.is_time_for_id() {
                self.check_cluster(subscriber);
            }
        }
    }

    /// Another cluster behind the same address is read from its beginning, and so is a topic that
    /// somebody deleted, once it is made again.
    fn check_cluster(&mut self, subscriber: &Subscriber) {
        let Ok(cluster) = bus::inspect(&self.settings, ASK_TIMEOUT) else {
            return;
        };
        let mut gone = Topic::ALL.to_vec();
        gone.retain(|topic| !cluster.topics.contains(topic));
        if self.recognise(&cluster) || !gone.is_empty() {
            let remade = bus::ensure_topics(&self.settings, ASK_TIMEOUT);
            self.forget(&gone);
            self.report(true, remade.err().map(|error| error.to_string()));
            self.reassign(subscriber);
        }
    }

    /// The broker does not have an offset that was to be read: it is another one, or its log was
    /// cut. What is missing cannot be had; reading goes on with the oldest that there is.
    fn find_place(&mut self, subscriber: &Subscriber) {
        self.check_cluster(subscriber);
        let has = |topic: Topic, next: i64| match subscriber.bounds(topic, ASK_TIMEOUT) {
            Ok((low, high)) => (low..=high).contains(&next),
            // Nothing is known of it, so nothing is given up.
            Err(_) => true,
        };
        let lost: Vec<Topic> = self
            .offsets
            .iter()
            .filter(|(topic, next)| !has(**topic, **next))
            .map(|(topic, _)| *topic)
            .collect();
        self.forget(&lost);
        self.reassign(subscriber);
    }

    fn reassign(&self, subscriber: &Subscriber) {
        if let Err(error) = subscriber.assign(&self.starts()) {
            self.report(true, Some(error.to_string()));
        }
    }
}

/// The topics that are read.
fn folded() -> Vec<Topic> {
    let mut topics = Topic::ALL.to_vec();
    topics.retain(|topic| topic.is_folded());
    topics
}

/// What was seen of the broker's health.
struct Watch {
    looked: Instant,
    asked_id: Instant,
    trouble: Option<String>,
}

impl Watch {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            looked: now,
            asked_id: now,
            trouble: None,
        }
    }

    /// The trouble, if it changed since the last look: `Some(None)` when it is over.
    #[allow(clippy::option_option)]
    fn look(&mut self, subscriber: &Subscriber) -> Option<Option<String>> {
        if self.looked.elapsed() < LOOK_EVERY {
            return None;
        }
        self.looked = Instant::now();
        let health = subscriber.health();
        let reason = || {
            health
                .last_error()
                .unwrap_or_else(|| "all brokers are down".to_owned())
        };
        let trouble = health.is_down().then(reason);
        if trouble.is_some() == self.trouble.is_some() {
            return None;
        }
        self.trouble.clone_from(&trouble);
        Some(trouble)
    }

    fn is_time_for_id(&mut self) -> bool {
        let is_time = self.trouble.is_none() && self.asked_id.elapsed() >= ID_EVERY;
        if is_time {
            self.asked_id = Instant::now();
        }
        is_time
    }
}

/// Reads what there is; and whether the next offset is lost.
fn gather(subscriber: &Subscriber) -> (Batch, bool) {
    let mut batch = Batch::default();
    let began = Instant::now();
    let mut wait = POLL_WAIT;
    while batch.events.len() < BATCH_MAX {
        match subscriber.poll(wait) {
            Some(bus::Event::Record(record)) => take(record, &mut batch),
            Some(bus::Event::OffsetLost) => return (batch, true),
            // The client goes on trying; its health tells when it is serious.
            Some(bus::Event::Trouble(_)) | None => break,
        }
        if began.elapsed() >= BATCH_WAIT {
            break;
        }
        wait = Duration::ZERO;
    }
    (batch, false)
}

fn take(record: Record, batch: &mut Batch) {
    let now = now();
    batch.offsets.insert(record.topic, record.offset + 1);
    let (topic, offset) = (record.topic, record.offset);
    let event = decode(record).unwrap_or_else(|error| {
        let error = error.to_string();
        Some(Event::Malformed {
            topic,
            offset,
            error,
        })
    });
    batch.events.extend(event.map(|event| (event, now)));
}

/// What a message says; nothing for one of a topic that is not read.
fn decode(record: Record) -> Result<Option<Event>, DecodeError> {
    let mut bytes = record.payload;
    Ok(Some(match record.topic {
        Topic::Register => Event::Register(codec::decode(&mut bytes)?),
        Topic::Heartbeat => Event::Heartbeat(codec::decode(&mut bytes)?),
        Topic::TestConfig => Event::Config(Box::new(codec::decode(&mut bytes)?)),
        Topic::Trigger => Event::Trigger(codec::decode(&mut bytes)?),
        Topic::Metrics => {
            // The parser uses the bytes up; the store keeps them as they were.
            let payload = bytes.clone();
            let metrics: message::Metrics = codec::decode(&mut bytes)?;
            Event::Metrics(Box::new(metrics), payload)
        }
        Topic::Data => return Ok(None),
    }))
}

/// When a message is read: what its producer stamped it with is nobody's time but its own.
fn now() -> Now {
    Now::new(clock::unix_ns(), clock::monotonic_ns())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offsets_of_another_log_are_forgotten_by_the_store_too() {
        let (batches, received) = crossbeam_channel::unbounded();
        let mut reader = TopicReader {
            settings: BusSettings::new("127.0.0.1:1", "test", &[]).unwrap(),
            offsets: Offsets::from([(Topic::Metrics, 30)]),
            cluster_id: Some("one".into()),
            batches,
            stop: Arc::default(),
        };
        let cluster = |id: &str| Cluster {
            id: Some(id.to_owned()),
            topics: Topic::ALL.to_vec(),
        };
        assert!(!reader.recognise(&cluster("one")));
        assert!(received.is_empty());
        assert!(reader.recognise(&cluster("two")));
        let batch = received.recv().unwrap();
        let zero = folded().into_iter().map(|topic| (topic, 0));
        assert_eq!(batch.offsets, zero.collect());
        assert_eq!(reader.offsets, Offsets::new());
        reader.offsets.insert(Topic::Trigger, 7);
        reader.forget(&[Topic::Trigger]);
        assert_eq!(
            received.recv().unwrap().offsets,
            [(Topic::Trigger, 0)].into()
        );
    }
}
