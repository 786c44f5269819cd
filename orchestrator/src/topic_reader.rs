//! The broker: found, read, and recognised when it is another one.
//!
//! One thread owns the subscriber. It has what it reads decoded, and hands whole batches to the
//! control thread together with the offsets that they lead to.

mod decoding;
mod raw;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use proto::bus::{self, BusError, BusSettings, Cluster, Partition, StartAt, Subscriber};
use proto::topic::Topic;
use proto::{clock, log};
use rayon::ThreadPool;
use serde_json::json;

use crate::control::{Batch, Broker, Event, Now, Offsets, RawReading};
use decoding::Read;
pub use raw::{RawReadings, Taken, Turn};
use watch::Watch;

/// Time that the broker has to answer a question.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// Between attempts to find it.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// Longest wait for a message; a stop is noticed after it.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Most messages of a batch …
const BATCH_MAX: usize = 256;
/// … and most bytes of them, but for its last message: decoded they take some twenty times as much,
/// and several batches wait.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Longest time for which messages are gathered before they are decoded.
const BATCH_WAIT: Duration = Duration::from_millis(10);
/// Time that the broker has to say whether there are mergers, or where partitions end: nothing is read
/// meanwhile.
const LOOK_TIMEOUT: Duration = Duration::from_millis(200);
/// What mergers write goes to the first partition of their topic.
const MERGED: Partition = (Topic::Merged, 0);

/// What the reading thread needs.
pub struct TopicReader {
    /// How to reach the broker.
    pub settings: BusSettings,
    /// Where to read on.
    pub offsets: Offsets,
    /// What there is to read; it is known when the broker was found.
    pub partitions: Vec<Partition>,
    /// The log that these offsets belong to.
    pub cluster_id: Option<String>,
    /// Who decodes.
    pub decoders: ThreadPool,
    /// Where batches go.
    pub batches: Sender<Batch>,
    /// What is to be read of `metrics` itself.
    pub asked: Receiver<RawReading>,
    /// Set to end the thread.
    pub stop: Arc<AtomicBool>,
    /// How far `metrics` is read.
    pub raw: RawReadings,
}

impl TopicReader {
    /// Finds the broker and reads it, until stopped or nobody takes the batches.
    pub fn run(mut self) {
        let Some(cluster) = self.find() else {
            return;
        };
        self.recognise(&cluster);
        self.tell_partitions();
        if let Some(reason) = cluster.lacks_partitions(&self.settings) {
            log::warn("few_partitions", json!({"reason": reason}));
        }
        self.settings = self.settings.for_cluster(&cluster);
        loop {
            let subscriber = Subscriber::new(&self.settings, &[]);
            let assigned = subscriber.and_then(|subscriber| {
                subscriber.assign_partitions(self.starts())?;
                Ok(subscriber)
            });
            match assigned {
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
        // What mergers write is read where it is; without them nothing is missing.
        let is_read =
            |topic: &Topic| *topic != Topic::Merged || cluster.topics.contains(&Topic::Merged);
        let all = Topic::ALL.into_iter().filter(|topic| topic.is_folded());
        let all = all.filter(is_read);
        self.partitions = all.flat_map(|topic| cluster.partitions_of(topic)).collect();
        let Some(id) = &cluster.id else {
            return false;
        };
        let is_other = self.cluster_id.as_ref().is_some_and(|known| known != id);
        self.cluster_id = Some(id.clone());
        if is_other {
            self.forget(&self.partitions.clone());
        }
        is_other
    }

    /// Reads these partitions from their beginning, also after a restart before anything was read.
    fn forget(&mut self, partitions: &[Partition]) {
        self.offsets.retain(|place, _| !partitions.contains(place));
        let mut batch = Batch {
            offsets: partitions.iter().map(|place| (*place, 0)).collect(),
            ..Batch::default()
        };
        let of_metrics = numbers_of_metrics(partitions);
        if !of_metrics.is_empty() {
            let event = Event::Forgotten {
                log: self.raw.forget(&of_metrics),
                partitions: of_metrics,
            };
            batch.events.push((event, now()));
        }
        let _ = self.batches.send(batch);
    }

    /// Tells the state which partitions of `metrics` there are.
    fn tell_partitions(&self) {
        self.tell(Event::Partitions(numbers_of_metrics(&self.partitions)));
    }

    /// Tells the state something that no message said.
    fn tell(&self, event: Event) {
        let batch = Batch {
            events: vec![(event, now())],
            ..Batch::default()
        };
        // Nobody takes it when we are about to be stopped.
        let _ = self.batches.send(batch);
    }

    /// Where each partition is read on that is read now.
    fn starts(&mut self) -> Vec<(Partition, StartAt)> {
        let mut starts = Vec::new();
        for place in &self.partitions {
            let known = self.offsets.get(place).copied();
            let start = match *place {
                (Topic::Metrics, partition) => match self.raw.start(partition, known) {
                    Turn::From(next) => start_at(next),
                    Turn::Stay | Turn::Leave => continue,
                },
                // What was merged before was also read.
                MERGED => known.map_or(StartAt::End, StartAt::Offset),
                _ => start_at(known),
            };
            starts.push((*place, start));
        }
        starts
    }

    /// Tells the state what is known of the broker.
    fn report(&self, is_connected: bool, trouble: Option<String>) {
        let broker = Broker {
            is_connected,
            cluster_id: self.cluster_id.clone(),
            trouble,
        };
        self.tell(Event::Broker(broker));
    }

    fn read(&mut self, subscriber: &Subscriber) {
        let mut watch = Watch::new();
        while !self.is_stopped() {
            self.obey(subscriber);
            let Gathered {
                read,
                offsets,
                is_lost,
                forbidden,
                ..
            } = self.gather(subscriber);
            self.offsets
                .extend(offsets.iter().map(|(place, next)| (*place, *next)));
            let events = decoding::events(&self.decoders, read);
            let has_read = !events.is_empty();
            if has_read && self.batches.send(Batch { events, offsets }).is_err() {
                return;
            }
            if let Some(error) = forbidden {
                self.report(true, Some(error.to_string()));
            }
            if is_lost {
                self.find_place(subscriber);
            }
            if let Some(trouble) = watch.look(subscriber) {
                self.report(true, trouble);
                self.check_cluster(subscriber);
            }
            if watch.is_time_for_id() || self.has_found_mergers(subscriber, &mut watch) {
                self.check_cluster(subscriber);
            }
        }
    }

    /// Whether there is what mergers write, and was not before. One who may not know lives without,
    /// and says so.
    fn has_found_mergers(&self, subscriber: &Subscriber, watch: &mut Watch) -> bool {
        if self.partitions.contains(&MERGED) || !watch.is_time_for_mergers() {
            return false;
        }
        let (is_there, hidden) = match subscriber.has(Topic::Merged, LOOK_TIMEOUT) {
            Ok(is_there) => (is_there, None),
            Err(error @ BusError::Unreadable { .. }) => (false, Some(error.to_string())),
            // The broker is asked again, and its health is looked after elsewhere.
            Err(_) => return false,
        };
        if hidden != watch.hidden {
            watch.hidden.clone_from(&hidden);
            self.tell(Event::MergersHidden(hidden));
        }
        is_there
    }

    /// Reads of `metrics` what the state asks for.
    fn obey(&mut self, subscriber: &Subscriber) {
        let mut alone = Vec::new();
        while let Ok(asked) = self.asked.try_recv() {
            let was_alone = self.raw.is_alone(asked.partition);
            let turn = self.raw.obey(asked);
            self.turn(subscriber, asked.partition, turn);
            if !was_alone && self.raw.is_alone(asked.partition) {
                alone.push(asked.partition);
            } else if self.raw.is_look(asked) {
                self.look_at(subscriber, asked);
            }
        }
        self.tell_ends(subscriber, &alone);
    }

    /// A partition that mergers read may be another log by now: whoever reads it would be told so by the
    /// broker, and we do not.
    fn look_at(&mut self, subscriber: &Subscriber, asked: RawReading) {
        let place = (Topic::Metrics, asked.partition);
        if let Ok((_, end)) = subscriber.bounds_of(place, LOOK_TIMEOUT)
            && end < asked.from
        {
            self.begin_again(subscriber, &[place]);
        }
    }

    /// Reads these partitions from their beginning: they are those of another log.
    fn begin_again(&mut self, subscriber: &Subscriber, lost: &[Partition]) {
        self.forget(lost);
        self.reassign(subscriber);
        self.tell_ends(subscriber, &numbers_of_metrics(lost));
    }

    /// Where partitions end that no merger reads any more: until then they may hold what is old. Where it
    /// is not known soon, the state allows some time.
    fn tell_ends(&self, subscriber: &Subscriber, partitions: &[i32]) {
        let until = Instant::now() + LOOK_TIMEOUT;
        for partition in partitions {
            let left = until.saturating_duration_since(Instant::now());
            let place = (Topic::Metrics, *partition);
            if !left.is_zero()
                && let Ok((_, end)) = subscriber.bounds_of(place, left)
            {
                let partition = *partition;
                self.tell(Event::PartitionEnds { partition, end });
            }
        }
    }

    fn turn(&mut self, subscriber: &Subscriber, partition: i32, turn: Turn) {
        let place = (Topic::Metrics, partition);
        let turned = match turn {
            Turn::Stay => Ok(()),
            Turn::From(next) => subscriber.read_from(place, start_at(next)),
            Turn::Leave => subscriber.leave(place),
        };
        // What is to be read is known here; the client is told all of it again.
        if let Err(error) = turned {
            self.report(true, Some(error.to_string()));
            self.reassign(subscriber);
        }
    }

    /// What becomes of what was read, and what it leads to.
    fn take(&mut self, subscriber: &Subscriber, read: Read, gathered: &mut Gathered) {
        let (place, first, next) = match &read {
            Read::Record(record) => (
                (record.topic, record.partition),
                record.offset,
                record.offset + 1,
            ),
            Read::Gap(gap) => (gap.place, gap.first, gap.next),
            Read::Passed(..) => return,
        };
        let (Topic::Metrics, partition) = place else {
            gathered.offsets.insert(place, next);
            return gathered.read.push((read, now()));
        };
        // The state says up to where it was counted.
        let (taken, turn) = self.raw.take(partition, first, next);
        match taken {
            Taken::Yes => gathered.read.push((read, now())),
            Taken::NoneBefore(offset) => {
                gathered.read.push((Read::Passed(partition, offset), now()));
            }
            Taken::No => {}
        }
        self.turn(subscriber, partition, turn);
    }

    /// Reads what there is.
    fn gather(&mut self, subscriber: &Subscriber) -> Gathered {
        let mut gathered = Gathered::default();
        let began = Instant::now();
        let mut wait = POLL_WAIT;
        while gathered.read.len() < BATCH_MAX && gathered.bytes < BATCH_BYTES_MAX {
            match subscriber.poll(wait) {
                Some(bus::Event::Record(record)) => {
                    gathered.bytes += record.payload.len();
                    self.take(subscriber, Read::Record(record), &mut gathered);
                }
                Some(bus::Event::OffsetLost) => {
                    gathered.is_lost = true;
                    break;
                }
                Some(bus::Event::Forbidden(error)) => {
                    gathered.forbidden = Some(error);
                    break;
                }
                Some(bus::Event::Unreadable(gap)) => {
                    self.take(subscriber, Read::Gap(gap), &mut gathered);
                }
                // The client goes on trying; its health tells when it is serious.
                Some(bus::Event::Trouble(_)) | None => break,
            }
            if began.elapsed() >= BATCH_WAIT {
                break;
            }
            wait = Duration::ZERO;
        }
        gathered
    }

    /// Another cluster behind the same address is read from its beginning, and so is a topic that
    /// somebody deleted, once it is made again.
    fn check_cluster(&mut self, subscriber: &Subscriber) {
        let Ok(cluster) = bus::inspect(&self.settings, ASK_TIMEOUT) else {
            return;
        };
        let before = self.partitions.clone();
        let is_other = self.recognise(&cluster);
        // Those that it had too, of which nothing is known any more.
        let known = self.partitions.iter().chain(&before);
        let known = known.chain(self.offsets.keys());
        let gone = known.filter(|(topic, _)| !cluster.topics.contains(topic));
        let gone: Vec<Partition> = gone.copied().collect();
        let is_one_missing = Topic::ALL
            .iter()
            .any(|topic| *topic != Topic::Merged && !cluster.topics.contains(topic));
        if is_other || is_one_missing || self.partitions != before {
            let remade = bus::ensure_topics(&self.settings, ASK_TIMEOUT);
            self.forget(&gone);
            self.tell_partitions();
            self.report(true, remade.err().map(|error| error.to_string()));
            self.reassign(subscriber);
        }
    }

    /// The broker does not have an offset that was to be read: it is another one, or its log was
    /// cut. What is missing cannot be had; reading goes on with the oldest that there is.
    fn find_place(&mut self, subscriber: &Subscriber) {
        self.check_cluster(subscriber);
        let has = |place: Partition, next: i64| match subscriber.bounds_of(place, ASK_TIMEOUT) {
            Ok((low, high)) => (low..=high).contains(&next),
            // Nothing is known of it, so nothing is given up.
            Err(_) => true,
        };
        let starts = self.starts().into_iter();
        let lost: Vec<Partition> = starts
            .filter(|(place, start)| match start {
                StartAt::Offset(next) => !has(*place, *next),
                StartAt::Beginning | StartAt::End | StartAt::Tail(_) => false,
            })
            .map(|(place, _)| place)
            .collect();
        self.begin_again(subscriber, &lost);
    }

    fn reassign(&mut self, subscriber: &Subscriber) {
        let starts = self.starts();
        if let Err(error) = subscriber.assign_partitions(starts) {
            self.report(true, Some(error.to_string()));
        }
    }
}

/// The partitions of `metrics` among others, by number.
fn numbers_of_metrics(partitions: &[Partition]) -> Vec<i32> {
    let of_metrics = |(topic, number): &Partition| (*topic == Topic::Metrics).then_some(*number);
    partitions.iter().filter_map(of_metrics).collect()
}

fn start_at(next: Option<i64>) -> StartAt {
    next.map_or(StartAt::Beginning, StartAt::Offset)
}

/// What was read in one go.
#[derive(Default)]
struct Gathered {
    read: Vec<(Read, Now)>,
    /// Of the messages that were read.
    bytes: usize,
    /// Where they lead to, but for `metrics`.
    offsets: Offsets,
    /// The broker does not have the next offset.
    is_lost: bool,
    /// A right is missing.
    forbidden: Option<BusError>,
}

/// When a message is read: what its producer stamped it with is nobody's time but its own.
fn now() -> Now {
    Now::new(clock::unix_ns(), clock::monotonic_ns())
}

#[cfg(test)]
mod tests;
