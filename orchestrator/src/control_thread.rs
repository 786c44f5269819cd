//! The one thread that owns the state.
//!
//! It takes what is there (batches of the topic reader, requests of clients, deliveries, the time), folds
//! it, writes the changes in one transaction, and then performs the other actions. So nobody is
//! told of anything that is not durable, and nothing is published that a restart would not know:
//! as long as the store can be written. While it cannot, changes wait in memory, running tests go
//! on, and what a restart would not know of is refused at its creation.
//!
//! Who only looks does so at the snapshot of the last turn and asks nobody: see [`crate::live`]. The
//! reply to a command leaves when its turn's snapshot is there.

mod housekeeping;
mod journal;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use proto::bus::Publisher;
use proto::clock;
use proto::log::Level;
use proto::topic::Topic;
use serde_json::json;
use thiserror::Error;

pub use housekeeping::Housekeeper;
use housekeeping::{Done, House};
pub use journal::Journal;

use crate::control::{
    Action, Asked, Batch, Command, Control, Event, Line, Loaded, Now, RawReading, Reply,
};
use crate::files::Files;
use crate::live::Live;
use crate::store::{Backlog, Store, StoreError};

/// Longest sleep of the control thread: deliveries and deadlines are noticed after it.
const TURN: Duration = Duration::from_millis(20);
/// Batches that wait for the control thread; the topic reader waits when there are more.
pub const BATCHES_MAX: usize = 16;
/// Requests that wait for the control thread; clients are told to come again when there are more.
const REQUESTS_MAX: usize = 1024;
/// Requests that are taken in one turn.
const REQUESTS_PER_TURN: usize = 256;
/// Offsets without changes are written this often.
const OFFSETS_EVERY: Duration = Duration::from_secs(1);
/// Between attempts to write to a store that cannot be written.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// Between two looks at the store's place and size.
const STORE_LOOK: Duration = Duration::from_secs(1);
/// Longest time that a client waits for the control thread: a trigger waits 5 s for the drivers.
const REPLY_TIMEOUT: Duration = Duration::from_secs(15);
/// Time that unsent messages have at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The control thread cannot take a request now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the orchestrator is busy or about to end")]
pub struct Busy;

type Request = (Command, Client);

/// Who waits for the reply to a command, and until when. After that it was told that we are busy,
/// and nothing of the command may happen any more.
struct Client {
    reply: Sender<Reply>,
    deadline: Instant,
}

impl Client {
    fn is_gone(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

/// What was dropped since the process started.
#[derive(Debug, Default)]
pub struct Drops {
    /// Reports that waited for a store that could not be written.
    pub reports: AtomicU64,
    /// Lines that waited for the reader of our standard output.
    pub lines: AtomicU64,
}

/// How the REST threads reach the control thread.
#[derive(Clone)]
pub struct Handle {
    requests: Sender<Request>,
    drops: Arc<Drops>,
}

impl Handle {
    /// What was dropped.
    #[must_use]
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Has a command done and waits for its reply.
    ///
    /// # Errors
    /// [`Busy`] when the control thread does not take it, or does not answer in time.
    pub fn command(&self, command: Command) -> Result<Reply, Busy> {
        let (reply, answer) = bounded(1);
        let deadline = Instant::now() + REPLY_TIMEOUT;
        self.requests
            .try_send((command, Client { reply, deadline }))
            .map_err(|_| Busy)?;
        answer.recv_deadline(deadline).map_err(|_| Busy)
    }
}

/// The owner of the state.
pub struct ControlThread {
    control: Control,
    store: Store,
    publisher: Publisher,
    journal: Journal,
    batches: Receiver<Batch>,
    requests: Receiver<Request>,
    stop: Arc<AtomicBool>,
    backlog: Backlog,
    clients: HashMap<u64, Client>,
    last_ticket: u64,
    wrote: Instant,
    drops: Arc<Drops>,
    live: Arc<Live>,
    published: Instant,
    /// When the store last failed, if it has not been written since.
    failed: Option<Instant>,
    house: House,
    looked: Instant,
    files: Arc<Files>,
    asked: Sender<Asked>,
    /// To the topic reader.
    raw: Sender<RawReading>,
    /// Up to where each partition of `metrics` was counted when that was last noted.
    counted: BTreeMap<i32, i64>,
}

/// What others read of topics, and what of it they are to read.
pub struct Reading {
    /// What was read.
    pub batches: Receiver<Batch>,
    /// What is to be read of `metrics` itself.
    pub raw: Sender<RawReading>,
}

impl ControlThread {
    /// The thread, the handle by which it is reached, what it lets others see, and the thread that
    /// keeps house for it. `data` are the files beside the store, and the way to who sends them.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be opened once more.
    pub fn new(
        mut control: Control,
        store: Store,
        publisher: Publisher,
        reading: Reading,
        stop: Arc<AtomicBool>,
        data: (Arc<Files>, Sender<Asked>),
    ) -> Result<(Self, Handle, Arc<Live>, Housekeeper), StoreError> {
        let (sender, requests) = bounded(REQUESTS_MAX);
        let (mut house, housekeeper) =
            housekeeping::house(store.keeper()?, Arc::clone(&data.0), Arc::clone(&stop));
        // What a former process did not get to.
        house.tidy();
        let live = Arc::new(Live::new(control.snapshot(now()), store.path()));
        let thread = Self {
            control,
            store,
            publisher,
            journal: Journal::start(),
            batches: reading.batches,
            requests,
            stop,
            backlog: Backlog::default(),
            clients: HashMap::new(),
            last_ticket: 0,
            wrote: Instant::now(),
            drops: Arc::default(),
            live: Arc::clone(&live),
            published: Instant::now(),
            failed: None,
            house,
            looked: Instant::now(),
            files: data.0,
            asked: data.1,
            raw: reading.raw,
            counted: BTreeMap::new(),
        };
        let drops = Arc::clone(&thread.drops);
        let requests = sender;
        Ok((thread, Handle { requests, drops }, live, housekeeper))
    }

    /// Works until stopped; then what is known is written and what is on its way is sent.
    pub fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let actions = self.take();
            self.finish(actions);
        }
        self.publisher.flush(FLUSH_TIMEOUT);
        let actions = self.deliveries();
        self.finish(actions);
        self.journal.end();
        self.house.end();
        self.store.close();
    }

    /// Waits for something to happen and folds all that did.
    fn take(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        let (batches, requests) = (self.batches.clone(), self.requests.clone());
        select! {
            recv(batches) -> batch => if let Ok(batch) = batch {
                self.fold(batch, &mut actions);
            },
            recv(requests) -> request => if let Ok(request) = request {
                self.admit(request, &mut actions);
            },
            default(TURN) => {}
        }
        for request in requests.try_iter().take(REQUESTS_PER_TURN) {
            self.admit(request, &mut actions);
        }
        actions.extend(self.deliveries());
        self.let_go(&mut actions);
        self.keep_house(&mut actions);
        actions.extend(self.control.apply(Event::Tick, now()));
        actions
    }

    fn admit(&mut self, (command, client): Request, actions: &mut Vec<Action>) {
        if client.is_gone() {
            return;
        }
        self.last_ticket += 1;
        self.clients.insert(self.last_ticket, client);
        let event = Event::Command(self.last_ticket, command);
        actions.extend(self.control.apply(event, now()));
    }

    /// What waits for drivers on behalf of clients that wait no longer is not to happen.
    fn let_go(&mut self, actions: &mut Vec<Action>) {
        let gone: Vec<u64> = self
            .clients
            .extract_if(|_, client| client.is_gone())
            .map(|(ticket, _)| ticket)
            .collect();
        for ticket in gone {
            actions.extend(self.control.apply(Event::ClientGone(ticket), now()));
        }
    }

    fn fold(&mut self, batch: Batch, actions: &mut Vec<Action>) {
        for (event, now) in batch.events {
            actions.extend(self.control.apply(event, now));
        }
        self.backlog.offsets.extend(batch.offsets);
        // Of `metrics` not what was read counts, but what was counted, which mergers read too.
        for (number, next) in self.control.counted() {
            let is_news = self.counted.insert(number, next) != Some(next);
            if is_news && next > 0 {
                self.backlog.offsets.insert((Topic::Metrics, number), next);
            }
        }
    }

    /// Hears of what the housekeeper did, and looks at the store once a second.
    fn keep_house(&mut self, actions: &mut Vec<Action>) {
        for done in self.house.done() {
            match done {
                Done::Compacted(test_id, Some(outcome)) => {
                    let event = Event::Compacted(test_id, outcome);
                    actions.extend(self.control.apply(event, now()));
                }
                Done::Tidied(Err(error)) => {
                    let fields = json!({"error": error.to_string()});
                    self.journal.event(Level::Warn, "tidying_failed", fields);
                }
                Done::Looked(files) => {
                    // Not what is about to shrink.
                    if self.house.is_idle()
                        && let Ok(bytes) = self.store.used_bytes()
                    {
                        let event = Event::StoreUsed(bytes, files);
                        actions.extend(self.control.apply(event, now()));
                    }
                }
                Done::Compacted(_, None) | Done::Tidied(Ok(())) => {}
            }
        }
        if self.looked.elapsed() < STORE_LOOK {
            return;
        }
        self.looked = Instant::now();
        if let Err(error) = self.store.check_place() {
            return self.store_failed(&error);
        }
        if self.house.is_idle() {
            self.house.look();
        }
    }

    fn deliveries(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for delivery in self.publisher.poll(Duration::ZERO) {
            let outcome = delivery.error.map_or(Ok(()), Err);
            let event = Event::Delivered(delivery.token, outcome);
            actions.extend(self.control.apply(event, now()));
        }
        actions
    }

    /// Makes the changes durable, then performs the rest.
    fn finish(&mut self, actions: Vec<Action>) {
        let mut rest = Vec::with_capacity(actions.len());
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Persist(change) => self.backlog.push(change),
                // What comes of it belongs into the transaction that has the offsets of its cause.
                Action::Load(test_id) => actions.extend(self.load(test_id)),
                other => rest.push(other),
            }
        }
        self.write();
        let has_reply = rest
            .iter()
            .any(|action| matches!(action, Action::Reply(..)));
        self.publish(has_reply);
        for action in rest {
            self.perform(action);
        }
        let Drops { reports, lines } = &*self.drops;
        reports.store(self.backlog.dropped(), Ordering::Relaxed);
        lines.store(self.journal.dropped(), Ordering::Relaxed);
    }

    /// Lets others see the state: what has left it is in the store by now. Under many messages turns
    /// are short, and not each of them is worth a snapshot; but who gets a reply sees what it is about.
    fn publish(&mut self, has_reply: bool) {
        if has_reply || self.published.elapsed() >= TURN {
            self.published = Instant::now();
            self.live.publish(self.control.snapshot(now()));
        }
    }

    /// Reads a run that has ended, for the late reports on it.
    fn load(&mut self, test_id: String) -> Vec<Action> {
        let outcome = self.store.run_and_reports(&test_id);
        let outcome = outcome
            .map(|found| found.map(Box::new))
            .map_err(|error| error.to_string());
        let loaded = Event::Loaded(Loaded { test_id, outcome });
        let mut actions = self.control.apply(loaded, now());
        actions.extend(self.control.apply(Event::Tick, now()));
        actions
    }

    fn write(&mut self) {
        let has_new_offsets =
            !self.backlog.offsets.is_empty() && self.wrote.elapsed() >= OFFSETS_EVERY;
        let is_waiting = self.failed.is_some_and(|at| at.elapsed() < STORE_RETRY);
        if is_waiting || (self.backlog.is_empty() && !has_new_offsets) {
            return;
        }
        let is_deleting = self.backlog.is_deleting();
        let placed = self.store.check_place();
        match placed.and_then(|()| self.store.write(&self.backlog)) {
            Ok(()) => {
                self.backlog.clear();
                if is_deleting {
                    self.house.tidy();
                }
                self.wrote = Instant::now();
                if self.failed.take().is_some() {
                    let fields = json!({"reports_dropped": self.backlog.dropped()});
                    self.journal.event(Level::Info, "store_recovered", fields);
                }
                self.control.apply(Event::Store(Ok(())), now());
            }
            Err(error) => self.store_failed(&error),
        }
    }

    fn store_failed(&mut self, error: &StoreError) {
        let reason = error.to_string();
        if self.failed.replace(Instant::now()).is_none() {
            let fields = json!({"error": reason, "waiting": self.backlog.len(),
                "detail": "running tests go on in memory; make room on the disk"});
            self.journal.event(Level::Error, "store_failed", fields);
        }
        self.control.apply(Event::Store(Err(reason)), now());
    }

    /// Has a run compacted, if all that belongs to it is written.
    fn compact(&mut self, test_id: String) {
        if self.failed.is_none() {
            return self.house.compact(test_id);
        }
        let outcome = Err("the store cannot be written".to_owned());
        for action in self
            .control
            .apply(Event::Compacted(test_id, outcome), now())
        {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Persist(change) => self.backlog.push(change),
            Action::Publish(message) => {
                let sent = self.publisher.publish_bytes(
                    message.topic,
                    &message.key,
                    &message.payload,
                    message.token,
                );
                if let Err(error) = sent {
                    let event = Event::Delivered(message.token, Err(error));
                    for action in self.control.apply(event, now()) {
                        self.perform(action);
                    }
                }
            }
            Action::Reply(ticket, reply) => {
                if let Some(client) = self.clients.remove(&ticket) {
                    // A client that went away does not matter.
                    let _ = client.reply.send(reply);
                }
            }
            Action::Compact(test_id) => self.compact(test_id),
            Action::Log(line) => self.journal.write(line),
            Action::Send(asked) => {
                // A driver that finds no room asks again in a second.
                let _ = self.asked.try_send(asked);
            }
            // Who reads ends before we do, and then needs nothing.
            Action::ReadRaw(reading) => drop(self.raw.send(reading)),
            Action::RemoveFile(sha256) => {
                if let Err(error) = self.files.remove(&sha256) {
                    let fields = json!({"sha256": sha256, "error": error.to_string()});
                    self.journal.event(Level::Warn, "file_not_removed", fields);
                }
            }
            // Done before the writing, see `load`.
            Action::Load(_) => {}
        }
    }
}

/// Our own time.
fn now() -> Now {
    Now::new(clock::unix_ns(), clock::monotonic_ns())
}

/// A line of our own.
impl Journal {
    fn event(&mut self, level: Level, name: &'static str, fields: serde_json::Value) {
        self.write(Line::Event(level, name, fields));
    }
}

#[cfg(test)]
mod tests;
