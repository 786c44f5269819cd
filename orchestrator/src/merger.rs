//! A merger: reads its share of `metrics`, and writes to `merged` what the orchestrator would otherwise
//! have to read message by message.
//!
//! It keeps nothing. Where it stands is the offset that its group has committed; that is committed when
//! the range before it has arrived. Killed in between, whoever takes the partition over publishes the
//! range again, from the same offset on and perhaps to another one; the orchestrator counts what
//! follows on what it counted, and reads `metrics` itself where nothing does. So there is no instant
//! at which a merger may not end, sleep, or be two.
//!
//! One thread does all of it. Where that is not enough, `metrics` gets more partitions, and more mergers
//! share them.

pub mod options;
mod partitions;
mod told;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proto::bus::{
    self, BusError, BusSettings, Cluster, Delivery, Group, GroupEvent, Publisher, Start,
};
use proto::merging::{Merger, Read};
use proto::topic::Topic;
use proto::{clock, id, log};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use thiserror::Error;

use options::Options;
use told::Told;
// Public for the simulation of `bench`, whose mergers keep the same book.
pub use partitions::{Fate, LeftOut, Partitions};

/// Time that the broker has to answer a question.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// Between attempts to find it.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// Longest wait for a message; a stop is noticed after it …
const POLL_WAIT: Duration = Duration::from_millis(50);
/// … and while something is on its way, whose arrival nobody else tells.
const POLL_WAIT_IN_FLIGHT: Duration = Duration::from_millis(5);
/// Between looks at what is to be sent and what has arrived, while messages come one after the other.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Between questions where the partitions end.
const ENDS_EVERY: Duration = Duration::from_secs(1);
/// Time that the broker has to say so: what is read meanwhile waits.
const ENDS_TIMEOUT: Duration = Duration::from_secs(1);
/// The same for one that did not answer before.
const ENDS_TIMEOUT_UNREACHED: Duration = Duration::from_millis(300);
/// Between lines of the log on what was merged.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// After how long without a partition it is said why.
const IDLE_TOLD_AFTER: Duration = Duration::from_secs(10);
/// How long the end waits for what is on its way.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Why a merger cannot work.
#[derive(Debug, Error)]
pub enum MergerError {
    /// The broker's address or a property is wrong, or a right is missing.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// What a merger reads is not there.
    #[error(
        "the broker has no topic metrics, or does not show it to us; the orchestrator makes it, and an \
         admin gives the right: kafka-acls --add --allow-principal User:NAME --operation Describe \
         --operation Read --topic metrics"
    )]
    NoMetrics,
    /// The system has no signal handler left.
    #[error("the system has no signal handler for us: {0}")]
    Signals(#[from] io::Error),
}

impl MergerError {
    /// 2 for usage, 1 for the rest.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Bus(BusError::Property { .. } | BusError::Address(_)) => 2,
            _ => 1,
        }
    }
}

/// Checks whether the broker answers and has what a merger reads, and says so in a line of the log. The
/// rights that only reading and writing need show when it runs.
///
/// # Errors
/// What is missing.
pub fn check(options: &Options) -> Result<(), MergerError> {
    let settings = options.broker.settings("dlts-merger")?;
    let cluster = bus::inspect(&settings, ASK_TIMEOUT)?;
    if !cluster.topics.contains(&Topic::Metrics) {
        return Err(MergerError::NoMetrics);
    }
    let partitions = cluster.partitions_of(Topic::Metrics).count();
    let merged = if cluster.topics.contains(&Topic::Merged) {
        "there"
    } else {
        "the first merger makes it, where it may"
    };
    let fields = json!({"cluster": cluster.id, "metrics_partitions": partitions, "merged": merged});
    log::info("merger_check", fields);
    Ok(())
}

/// Merges until SIGTERM or SIGINT; then what was read is published, and the group is left.
///
/// # Errors
/// [`MergerError`] for what makes working impossible, a missing right among it; a broker that is away
/// is not such a thing.
pub fn run(options: &Options) -> Result<(), MergerError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let merger = Merger {
        id: options.merger_id.clone().unwrap_or_else(own_id),
        incarnation: id::new_incarnation(),
    };
    let settings = options.broker.settings(&merger.id)?;
    let publisher = Publisher::new(&settings)?;
    let fields = json!({
        "merger_id": merger.id,
        "group": options.group,
        "kafka": options.broker.kafka,
        "version": env!("CARGO_PKG_VERSION"),
    });
    log::info("merger_up", fields);
    let Some(cluster) = find(&settings, &stop) else {
        return Ok(());
    };
    let settings = settings.for_cluster(&cluster);
    let group = Group::join(&settings, &options.group)?;
    let process = Process {
        publisher,
        group,
        partitions: Partitions::new(merger),
        metrics_partitions: cluster.partitions_of(Topic::Metrics).count(),
        settings,
        paused: BTreeSet::new(),
        unreached: BTreeSet::new(),
        told: Told::new(),
        ask_ends_at: Instant::now(),
    };
    let ended = process.run(&stop);
    if let Err(error) = &ended {
        log::error("merger_failed", json!({"reason": error.to_string()}));
    }
    ended
}

fn own_id() -> String {
    let host = rustix::system::uname();
    id::new_merger_id(&host.nodename().to_string_lossy())
}

/// Waits until the broker answers, has `metrics`, and has or takes `merged`.
fn find(settings: &BusSettings, stop: &AtomicBool) -> Option<Cluster> {
    let mut told = None;
    while !stop.load(Ordering::Relaxed) {
        let reason = match bus::ensure_merged(settings, ASK_TIMEOUT) {
            Ok(cluster) if cluster.topics.contains(&Topic::Metrics) => {
                let fields = json!({"brokers": settings.brokers(), "cluster": cluster.id});
                log::info("broker_up", fields);
                return Some(cluster);
            }
            Ok(_) => "the broker has no topic metrics yet, which the orchestrator makes, or does not \
                      show it to this merger: kafka-acls --add --allow-principal User:NAME --operation \
                      Describe --operation Read --topic metrics"
                .to_owned(),
            Err(error @ BusError::Topics { .. }) => format!(
                "{error}; let this merger make it (kafka-acls --add --allow-principal User:NAME \
                 --operation Create --topic merged), or make it (kafka-topics --create --topic merged \
                 --partitions 1 --config retention.ms=14400000)"
            ),
            Err(error) => error.to_string(),
        };
        if told.as_ref() != Some(&reason) {
            log::warn("broker_away", json!({"reason": reason}));
            told = Some(reason);
        }
        std::thread::sleep(RETRY_WAIT);
    }
    None
}

struct Process {
    settings: BusSettings,
    publisher: Publisher,
    group: Group,
    partitions: Partitions,
    /// How many partitions `metrics` had when this began.
    metrics_partitions: usize,
    /// Partitions of which more was read than can be sent at the moment.
    paused: BTreeSet<i32>,
    /// Partitions of which the broker did not say lately where they end.
    unreached: BTreeSet<i32>,
    told: Told,
    ask_ends_at: Instant,
}

impl Process {
    fn run(mut self, stop: &AtomicBool) -> Result<(), MergerError> {
        let mut next_look = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let most = if self.partitions.is_idle() {
                POLL_WAIT
            } else {
                POLL_WAIT_IN_FLIGHT
            };
            let wait = self.partitions.wait(clock::monotonic_ns(), most);
            let event = self.group.poll(wait);
            let is_time = event.is_none() || Instant::now() >= next_look;
            if let Some(event) = event {
                self.take(event)?;
            }
            if is_time {
                self.look()?;
                next_look = Instant::now() + LOOK_EVERY;
            }
        }
        self.end()
    }

    fn take(&mut self, event: GroupEvent) -> Result<(), BusError> {
        match event {
            GroupEvent::Record(record) => {
                self.told.all_is_well();
                self.told.messages += 1;
                let read = Read::message(record.offset, record.payload);
                self.add(record.partition, read);
            }
            GroupEvent::Unreadable(gap) => {
                log::warn("unreadable", json!({"reason": gap.reason}));
                let read = Read::gap(gap.first, gap.next, &gap.reason);
                self.add(gap.place.1, read);
            }
            GroupEvent::Assigned(starts) => {
                self.told.has_been_dealt = true;
                self.partitions.assign(&starts, clock::monotonic_ns());
                self.start_afresh(&starts);
                self.tell_partitions(!starts.is_empty());
            }
            GroupEvent::Revoked(numbers) => {
                self.partitions.revoke(&numbers);
                self.paused.retain(|number| !numbers.contains(number));
                self.tell_partitions(!numbers.is_empty());
            }
            GroupEvent::Forbidden(error) => return Err(error),
            GroupEvent::Trouble(reason) => self.told.trouble(reason),
        }
        Ok(())
    }

    /// One that went while it was paused would come back paused: the client remembers it.
    fn start_afresh(&mut self, starts: &[Start]) {
        for Start {
            partition, offset, ..
        } in starts
        {
            let fields = json!({"partition": partition, "from": offset});
            log::info("partition_taken", fields);
            self.paused.remove(partition);
            if let Err(error) = self.group.resume(*partition) {
                self.told.trouble(error.to_string());
            }
        }
    }

    fn add(&mut self, number: i32, read: Read) {
        self.partitions.add(number, read, clock::monotonic_ns());
        if self.partitions.is_full(number)
            && self.paused.insert(number)
            && let Err(error) = self.group.pause(number)
        {
            self.told.trouble(error.to_string());
        }
    }

    /// Notes what has arrived, commits it, and sends what is due.
    fn look(&mut self) -> Result<(), BusError> {
        self.note_deliveries(Duration::ZERO)?;
        let arrived = self.partitions.take_arrived();
        self.told.ranges += arrived.len() as u64;
        self.group.commit(arrived);
        self.send(false);
        self.resume();
        self.ask_ends();
        self.tell();
        Ok(())
    }

    fn send(&mut self, is_end: bool) {
        let (publisher, told) = (&self.publisher, &mut self.told);
        let publish = |number: i32, token, payload: &[u8]| {
            let key = number.to_string();
            let handed = publisher.publish_bytes(Topic::Merged, &key, payload, token);
            match &handed {
                Ok(()) => told.bytes += payload.len() as u64,
                Err(error) => told.trouble(error.to_string()),
            }
            handed.is_ok()
        };
        let now_ns = clock::monotonic_ns();
        let left_out = self.partitions.send(now_ns, is_end, publish);
        left_out.into_iter().for_each(tell_left_out);
    }

    fn note_deliveries(&mut self, wait: Duration) -> Result<(), BusError> {
        let mut is_gone = false;
        for Delivery { token, error } in self.publisher.poll(wait) {
            let fate = match error {
                None => {
                    self.told.all_is_well();
                    Fate::Arrived
                }
                Some(BusError::TooLarge) => Fate::TooLong,
                Some(error) if error.is_for_good() => return Err(error),
                Some(error) => {
                    is_gone |= error.is_of_no_topic();
                    self.told.trouble(error.to_string());
                    Fate::Lost
                }
            };
            let now_ns = clock::monotonic_ns();
            let left_out = self.partitions.note_fate(token, fate, now_ns);
            left_out.into_iter().for_each(tell_left_out);
        }
        if is_gone {
            // Somebody deleted it. If it cannot be made, the next attempt to send tells.
            let _ = bus::ensure_merged(&self.settings, ASK_TIMEOUT);
        }
        Ok(())
    }

    fn resume(&mut self) {
        let can_go_on = |number: &i32| !self.partitions.is_full(*number);
        let resumed: Vec<i32> = self.paused.iter().copied().filter(can_go_on).collect();
        for number in resumed {
            match self.group.resume(number) {
                Ok(()) => drop(self.paused.remove(&number)),
                Err(error) => self.told.trouble(error.to_string()),
            }
        }
    }

    /// Asks where the partitions end, from time to time. Of one that we do not reach nothing is said
    /// for long, and the orchestrator reads it itself.
    fn ask_ends(&mut self) {
        if self.partitions.is_empty() || Instant::now() < self.ask_ends_at {
            return;
        }
        let numbers = self.partitions.numbers();
        self.unreached.retain(|number| numbers.contains(number));
        let is_reached = |number: &i32| !self.unreached.contains(number);
        let reached: Vec<i32> = numbers.into_iter().filter(is_reached).collect();
        self.note_ends(&reached, ENDS_TIMEOUT);
        // The others wait as long as this takes: one of them at a time.
        let again = fastrand::choice(self.unreached.iter().copied());
        if let Some(number) = again {
            self.note_ends(&[number], ENDS_TIMEOUT_UNREACHED);
        }
        self.ask_ends_at = Instant::now() + ENDS_EVERY;
    }

    /// Asks where these end.
    fn note_ends(&mut self, numbers: &[i32], timeout: Duration) {
        let (ends, error) = self.group.ends(numbers, timeout);
        self.partitions.note_ends(&ends, clock::monotonic_ns());
        for number in numbers {
            if ends.contains_key(number) {
                self.unreached.remove(number);
            } else {
                self.unreached.insert(*number);
            }
        }
        if let Some(error) = error {
            let unreached = &self.unreached;
            let reason = format!(
                "where partitions {unreached:?} of metrics end is not known, so that nothing is said \
                 of them: {error}"
            );
            self.told.trouble(reason);
        }
    }

    /// Each deal is told of a member also where it changes nothing for it.
    fn tell_partitions(&mut self, has_changed: bool) {
        if !has_changed {
            return;
        }
        let numbers = self.partitions.numbers();
        self.told.idle_since = numbers.is_empty().then(Instant::now);
        let merger = self.partitions.merger();
        let fields = json!({"merger_id": merger.id, "partitions": numbers});
        log::info("partitions", fields);
    }

    fn tell(&mut self) {
        let idle_since = self.told.idle_since;
        if idle_since.is_some_and(|since| since.elapsed() >= IDLE_TOLD_AFTER) {
            self.told.idle_since = None;
            log::info("merger_waits", json!({"reason": self.why_idle()}));
        }
        if self.told.merged_at.elapsed() >= TELL_EVERY {
            self.told.merged_at = Instant::now();
            let take = std::mem::take::<u64>;
            let told = &mut self.told;
            let (messages, ranges) = (take(&mut told.messages), take(&mut told.ranges));
            let bytes = take(&mut told.bytes);
            if messages > 0 {
                let fields = json!({
                    "messages": messages,
                    "ranges": ranges,
                    "bytes": bytes,
                    "partitions": self.partitions.numbers(),
                    "lag": self.partitions.lag(),
                });
                log::info("merged", fields);
            }
        }
    }

    fn why_idle(&self) -> String {
        if let Some(error) = self.group.health().last_error() {
            return format!("no partition was dealt to this merger: {error}");
        }
        if !self.told.has_been_dealt {
            return "the group has dealt no partitions yet: has the broker a coordinator for it \
                    (offsets.topic.replication.factor must not be more than there are brokers), or is \
                    a member of the group at work that does not answer?"
                .to_owned();
        }
        let there = match self.metrics_partitions {
            1 => "metrics has one partition, which another merger has".to_owned(),
            count => format!("metrics has {count} partitions, which other mergers have"),
        };
        format!(
            "{there}; this one takes over when one of them ends, and works at once where metrics has \
             more partitions: kafka-topics --alter --topic metrics --partitions COUNT"
        )
    }

    /// Publishes what was read, and leaves the group, so that others go on at once.
    fn end(mut self) -> Result<(), MergerError> {
        log::info("stopping", json!({"partitions": self.partitions.numbers()}));
        let end = Instant::now() + END_PATIENCE;
        self.send(true);
        while !self.partitions.is_idle() && Instant::now() < end {
            self.note_deliveries(POLL_WAIT_IN_FLIGHT)?;
            let arrived = self.partitions.take_arrived();
            self.group.commit_and_wait(arrived);
            self.send(true);
        }
        if !self.partitions.is_idle() {
            let reason = "the last ranges did not arrive; whoever takes over merges them again";
            log::warn("not_arrived", json!({"reason": reason}));
        }
        Ok(())
    }
}

fn tell_left_out(left_out: LeftOut) {
    let LeftOut {
        partition,
        from,
        to,
    } = left_out;
    let fields = json!({
        "partition": partition,
        "from": from,
        "to": to,
        "reason": "the message is longer than the broker takes; the orchestrator reads these itself",
        "remedy": "raise max.message.bytes of the topic merged, and message.max.bytes here by --kafka-property",
    });
    log::warn("left_out", fields);
}
