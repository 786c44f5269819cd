//! What goes into the fold and what comes out of it.

mod refusal;
mod stored;

pub use refusal::{CampaignRefusal, Refusal};
pub use stored::{Change, Restored, StoredPart, StoredReport, StoredResult};

use std::collections::BTreeMap;

use proto::bus::{BusError, Partition};
use proto::digest::Sha256;
use proto::document::Document;
use proto::log::Level;
use proto::message::{self, Heartbeat, Metrics, Need, Register, TestConfig, Trigger};
use proto::summary::{CapacityBounds, Summary};
use proto::topic::Topic;
use proto::workload::{Rate, RateChange, Workload};
use serde_json::Value;

use super::run::Run;
use super::{Campaign, CampaignKind, LabelsPatch, MergedRange, Now, Outgoing, RawReading, TestRow};

/// What does not change while the process lives.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our id on the bus.
    pub node_id: String,
    /// Target of a config that names none.
    pub default_target: String,
    /// Tests that are kept; the oldest that ended go first. 0 for all.
    pub retention_tests: usize,
    /// Tests that ended longer ago than this are deleted, ms. 0 for never.
    pub retention_ms: u64,
    /// The oldest tests that ended are deleted while the store holds more bytes. 0 for no limit.
    pub retention_bytes: u64,
}

/// The next offset to read of each partition.
pub type Offsets = BTreeMap<Partition, i64>;

/// Messages in the order of their topics, and where their reading leads to.
#[derive(Debug, Default)]
pub struct Batch {
    /// What was read.
    pub events: Vec<(Event, Now)>,
    /// The next offset of each partition after these events; 0 where what was read before is gone.
    pub offsets: Offsets,
}

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// A driver says that it is there.
    Register(Register),
    /// Somebody says that it lives.
    Heartbeat(Heartbeat),
    /// A driver reports; with the message as it was read.
    Metrics(Box<Metrics>, Vec<u8>),
    /// What was read of a partition of `metrics`: an event like the one before, or nothing, and where
    /// reading went on to.
    OfMetrics {
        /// Which.
        partition: i32,
        /// The offset after it; those before it were read.
        next: i64,
        /// What was read, if anything was.
        event: Option<Box<Event>>,
    },
    /// What a merger read of a partition of `metrics`.
    Merged(Box<MergedRange>),
    /// The partitions of `metrics` that there are.
    Partitions(Vec<i32>),
    /// A partition of `metrics` ends there by now, as the broker says.
    PartitionEnds {
        /// Which.
        partition: i32,
        /// The offset of the next message to come.
        end: i64,
    },
    /// Why what mergers write may not be read, or that it may.
    MergersHidden(Option<String>),
    /// What is known of partitions of `metrics` is of a log that is gone: they are read from their
    /// beginning.
    Forgotten {
        /// The number of the log that is read from now on; they rise. See [`RawReading::log`].
        log: u64,
        /// Which.
        partitions: Vec<i32>,
    },
    /// A test was published.
    Config(Box<TestConfig>),
    /// A test was started or stopped.
    Trigger(Trigger),
    /// An orchestrator spoke to its drivers.
    Control(message::Control),
    /// A message that does not decode, or records that cannot be read.
    Malformed {
        /// How many they are, this one and those behind it.
        count: u64,
        /// Where it stands.
        topic: Topic,
        /// Its place there.
        offset: i64,
        /// What is wrong with it.
        error: String,
    },
    /// A client asks for something, under a number by which it is answered.
    Command(u64, Command),
    /// The client of a command has stopped waiting for the reply.
    ClientGone(u64),
    /// The broker has a message of ours, or refuses it.
    Delivered(u64, Result<(), BusError>),
    /// What [`Action::Load`] asked for.
    Loaded(Loaded),
    /// What is known of the broker.
    Broker(Broker),
    /// So many bytes of the store hold something, and nothing waits to be deleted; and the files
    /// beside it, those that were used longest ago first.
    StoreUsed(u64, Vec<KeptFile>),
    /// A run is kept in little room, or why it is not.
    Compacted(String, Result<(), String>),
    /// Whether the store takes what it is given; the reason if not.
    Store(Result<(), String>),
    /// Time passes: the end of a turn.
    Tick,
}

impl Event {
    /// Whether it was read from a topic.
    #[must_use]
    pub const fn is_message(&self) -> bool {
        matches!(
            self,
            Self::Register(_)
                | Self::Heartbeat(_)
                | Self::Metrics(..)
                | Self::OfMetrics { .. }
                | Self::Merged(_)
                | Self::Config(_)
                | Self::Trigger(_)
                | Self::Control(_)
                | Self::Malformed { .. }
        )
    }
}

/// A run that has ended, as the store has it.
#[derive(Debug)]
pub struct Loaded {
    /// The test.
    pub test_id: String,
    /// The run and all that was reported on it; `None` when the store does not have it; or why it
    /// cannot be read.
    pub outcome: Result<Option<Box<(Run, Summary)>>, String>,
}

/// What a client can ask for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Create and publish a test.
    Create {
        /// Its new id.
        test_id: String,
        /// What it is, validated.
        workload: Box<Workload>,
        /// Whether its trigger waits for busy drivers.
        queue: bool,
    },
    /// Create and publish a test that is a document.
    Compose {
        /// Its new id.
        test_id: String,
        /// What it is.
        document: Box<Document>,
        /// Whether its trigger waits for busy drivers.
        queue: bool,
    },
    /// Search the capacity of a target by a document, whose rate is varied.
    Seek {
        /// The search's new id.
        test_id: String,
        /// What its runs are, but for their rate.
        document: Box<Document>,
        /// Within what it stays.
        bounds: CapacityBounds,
    },
    /// Make the runs of a document that asks for several, one after the other.
    Repeat {
        /// The set's new id.
        test_id: String,
        /// What its runs are, how many, and how long the rest is between them.
        document: Box<Document>,
        /// Whether it waits for busy drivers.
        queue: bool,
    },
    /// Write on all runs of a set.
    LabelSet {
        /// Which.
        test_id: String,
        /// What changes.
        patch: LabelsPatch,
    },
    /// Delete a campaign that has ended.
    DeleteCampaign {
        /// Which.
        test_id: String,
        /// Of which kind it has to be.
        kind: CampaignKind,
    },
    /// Start a test.
    Trigger {
        /// Which.
        test_id: String,
        /// Whether to wait for busy drivers.
        queue: bool,
    },
    /// Delete a test that has ended.
    Delete {
        /// Which.
        test_id: String,
    },
    /// Write on a test.
    Label {
        /// Which.
        test_id: String,
        /// What changes.
        patch: LabelsPatch,
    },
    /// Write on a test what happened at an instant.
    Note {
        /// Which.
        test_id: String,
        /// What.
        text: String,
        /// When, after the start of the run, ns; now where nothing is said.
        after_start_ns: Option<u64>,
    },
    /// Change the rate of a test that runs.
    ChangeRate {
        /// Which.
        test_id: String,
        /// The rate from some seconds ahead on.
        rate: Rate,
        /// Who orders it, as they say.
        by: Option<String>,
    },
    /// Stop a test.
    Stop {
        /// Which.
        test_id: String,
    },
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The test exists and is on its way to the drivers.
    Created {
        /// Its id.
        test_id: String,
    },
    /// The test is armed.
    Triggered {
        /// Which.
        test_id: String,
        /// Its phase.
        state: &'static str,
        /// The common start.
        start_at_unix_ns: u64,
        /// Who takes part.
        participants: Vec<String>,
    },
    /// The test starts when the drivers are free.
    Queued {
        /// Which.
        test_id: String,
        /// Its phase.
        state: &'static str,
        /// The test that keeps the drivers busy; `None` when others only wait before it.
        running: Option<String>,
        /// Its place in the queue, from 1.
        position: usize,
    },
    /// The test is being stopped, or is over by it.
    Stopped {
        /// Which.
        test_id: String,
        /// Its phase.
        state: &'static str,
        /// Participants of other implementations: they know no stop, and go on to their end.
        cannot_be_stopped: Vec<String>,
    },
    /// The test's rate changes.
    RateChanged {
        /// Which.
        test_id: String,
        /// The change.
        change: RateChange,
        /// Which of the test's changes it is, from 1.
        number: usize,
        /// The common start, ns since 1970.
        start_at_unix_ns: u64,
        /// Whom the rate counts for, in words.
        of: &'static str,
        /// Participants that do not follow it: of other implementations or versions.
        cannot_follow: Vec<String>,
    },
    /// The test is gone.
    Deleted {
        /// Which.
        test_id: String,
    },
    /// The test's line as it is now.
    Labeled(Box<TestRow>),
    /// The set as it is now.
    SetLabeled(Box<Campaign>),
    /// It cannot be done.
    Refused(Refusal),
}

/// What is known of the broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Broker {
    /// Whether its topics were found.
    pub is_connected: bool,
    /// The cluster.
    pub cluster_id: Option<String>,
    /// What is wrong.
    pub trouble: Option<String>,
}

/// What the control thread is to do.
#[derive(Debug)]
pub enum Action {
    /// Make durable, with all others of the batch, before anything else is done.
    Persist(Change),
    /// Keep this run, on which no report counts any more, in little room.
    Compact(String),
    /// Hand to the broker.
    Publish(Outgoing),
    /// Read a run that has ended, with its reports, and give it back as [`Event::Loaded`].
    Load(String),
    /// Answer a command.
    Reply(u64, Reply),
    /// Write a line.
    Log(Line),
    /// Send files to a driver that lacks them.
    Send(Asked),
    /// Read a partition of `metrics` itself, so far.
    ReadRaw(RawReading),
    /// Remove a file that no test names.
    RemoveFile(Sha256),
}

/// A driver's question for files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The driver.
    pub node_id: String,
    /// All that it lacks; nothing any more when it is empty.
    pub needs: Vec<Need>,
}

/// A file that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptFile {
    /// Its content.
    pub sha256: Sha256,
    /// Its length.
    pub bytes: u64,
    /// When it was last uploaded, or named by a new test, ms since 1970.
    pub used_unix_ms: u64,
}

/// A line of the log.
#[derive(Debug)]
pub enum Line {
    /// A driver registered.
    Register(Register),
    /// A test was published.
    Config(Box<TestConfig>),
    /// It was started or stopped.
    Trigger(Trigger),
    /// Drivers were told something else.
    Control(message::Control),
    /// A heartbeat.
    Heartbeat(Heartbeat),
    /// A report.
    Metrics(Box<Metrics>),
    /// An event of our own.
    Event(Level, &'static str, Value),
}
