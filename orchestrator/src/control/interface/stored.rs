//! What the store is given, and gives back when the process starts.

use std::collections::BTreeMap;

use proto::histogram::LatenciesWire;
use proto::summary::Summary;

use crate::control::registry::NodeRecord;
use crate::control::run::Run;
use crate::control::{Campaign, Outgoing, TestRow};

/// A change of what is stored.
#[derive(Debug, Clone)]
pub enum Change {
    /// A run was created or moved on.
    Run(Box<Run>, Box<TestRow>),
    /// A campaign began or went on.
    Campaign(Box<Campaign>),
    /// A campaign is deleted.
    ForgetCampaign(String),
    /// Only a test's line in the list changed.
    Row(Box<TestRow>),
    /// A driver came or changed.
    Node(NodeRecord),
    /// A driver is forgotten.
    ForgetNode(String),
    /// A report was counted.
    Report(StoredReport),
    /// Reports were counted that came merged.
    Part(StoredPart),
    /// A run ended, or a late report changed its result.
    Result(Box<StoredResult>),
    /// A message waits for its delivery.
    Outbox(Outgoing),
    /// A message was delivered.
    OutboxDone(u64),
    /// A test is deleted with all that belongs to it.
    ForgetTest {
        /// Which.
        test_id: String,
        /// Until when what is still read about it is dropped, ms since 1970.
        until_unix_ms: u64,
    },
    /// What is read about a deleted test is news again.
    ForgetTombstone(String),
    /// No report on a test that ended counts any more.
    Complete(String),
    /// The log that is read from now on.
    Cluster(String),
    /// The time of our last pulse that was read back, ms since 1970: message time.
    Clock(u64),
}

/// A report as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReport {
    /// The test.
    pub test_id: String,
    /// The driver.
    pub node_id: String,
    /// Its place among the driver's reports; -1 for those of other implementations, of which only
    /// the newest counts.
    pub sequence: i64,
    /// The message.
    pub payload: Vec<u8>,
}

/// Merged reports of one second of one test as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// The test.
    pub test_id: String,
    /// The partition of `metrics` that they were read from.
    pub partition: i32,
    /// The first offset of the range that they are of.
    pub from: i64,
    /// The second.
    pub second: u64,
    /// How many they are.
    pub reports: u64,
    /// The [`MergedPart`](proto::message::MergedPart).
    pub payload: Vec<u8>,
}

/// A result as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredResult {
    /// The test.
    pub test_id: String,
    /// The result as JSON, without its series.
    pub result: String,
    /// The series as JSON.
    pub series: String,
    /// The merged histograms.
    pub latencies: LatenciesWire,
}

/// What a store holds when the process starts.
#[derive(Debug, Default)]
pub struct Restored {
    /// The drivers.
    pub nodes: Vec<NodeRecord>,
    /// Every test, in the order of creation.
    pub rows: Vec<TestRow>,
    /// The runs that have not ended, with what was reported on them.
    pub open: Vec<(Run, Summary)>,
    /// The campaigns.
    pub campaigns: Vec<Campaign>,
    /// Messages whose delivery is not known.
    pub outbox: Vec<Outgoing>,
    /// Up to where each partition of `metrics` was counted.
    pub counted: BTreeMap<i32, i64>,
    /// Deleted tests, and until when what is read about each is dropped, ms since 1970.
    pub tombstones: Vec<(String, u64)>,
    /// The log that was read.
    pub cluster_id: Option<String>,
    /// Message time: see [`Change::Clock`].
    pub clock_ms: Option<u64>,
}
