//! What happens to a node, and what it wants done.

use proto::measure::ClockOffset;
use proto::message::{ClockProbe, Need, TestConfig, Trigger};
use proto::workload::RateChange;

/// What happens to a node.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // a handful exist at a time
pub enum Event {
    /// A test was published.
    Config(TestConfig),
    /// A test is to start or to stop.
    Trigger(Trigger),
    /// This node takes part in a test whose trigger does not list it, having no room for all.
    Placed {
        /// The test.
        test_id: String,
        /// As whom.
        place: Place,
    },
    /// A test is to stop.
    Stop {
        /// The test.
        test_id: String,
    },
    /// The rate of a test changes.
    Rates {
        /// The test.
        test_id: String,
        /// All changes so far, by their instants.
        changes: Vec<RateChange>,
    },
    /// The orchestrator's pulse with a probe, and this node's wall clock when it was read.
    Probe {
        /// The question.
        probe: ClockProbe,
        /// When it was read, ns since 1970.
        received_unix_ns: u64,
    },
    /// These files are lacking to prepare the load of this test, with what is there of each.
    Lacks {
        /// The test.
        test_id: String,
        /// The files; none any more when all have come.
        needs: Vec<Need>,
    },
    /// The load of this test is prepared.
    Prepared {
        /// The test.
        test_id: String,
    },
    /// The load of this test cannot be prepared.
    PrepareFailed {
        /// The test.
        test_id: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The start instant has come and the load is under way.
    Started {
        /// The test.
        test_id: String,
    },
    /// Everything of this test was sent.
    Draining {
        /// The test.
        test_id: String,
    },
    /// The load of this test is over and its last report is in the outbox.
    Ended {
        /// The test.
        test_id: String,
    },
    /// Time passes.
    Tick,
    /// The driver is told to end.
    Leave,
}

/// What a node is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Open connections and render buffers for this test.
    Prepare(Box<TestConfig>),
    /// Let go of what was prepared, without a report.
    Release {
        /// The test.
        test_id: String,
    },
    /// Start the prepared load.
    Start(Start),
    /// Stop the load: it drains and reports.
    Stop {
        /// The test.
        test_id: String,
    },
    /// Change the rate of the load that was started.
    ChangeRate {
        /// The test.
        test_id: String,
        /// All changes so far, by their instants.
        changes: Vec<RateChange>,
    },
    /// Report that the test was not run, and why.
    ReportUnrun {
        /// The test.
        test_id: String,
        /// Whether the trigger was too late, rather than the preparation impossible or stopped.
        cause: Unrun,
        /// For people.
        reason: String,
    },
    /// Send a heartbeat now: the state changed.
    Heartbeat,
}

/// Why a participant ran nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrun {
    /// The trigger came, or the load was prepared, more than [`LATE_NS_MAX`](super::LATE_NS_MAX) after the start instant.
    Missed,
    /// The load could not be prepared.
    Failed,
    /// Stopped before it was prepared.
    Aborted,
}

/// A node's place among those that take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its index, from 0.
    pub index: u32,
    /// Number of all.
    pub count: u32,
    /// Its clock offset as the orchestrator measured it.
    pub clock: Option<ClockOffset>,
    /// Which process of its id takes part.
    pub incarnation: Option<u64>,
}

impl Place {
    /// Of a node for which nobody keeps a list.
    pub const ALONE: Self = Self {
        index: 0,
        count: 1,
        clock: None,
        incarnation: None,
    };
}

/// When and as whom to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The test.
    pub test_id: String,
    /// The common start in this node's wall clock, ns since 1970; `None` for at once.
    pub at_unix_ns: Option<u64>,
    /// This node's place among the participants, from 0.
    pub index: u32,
    /// Number of participants.
    pub count: u32,
    /// This node's clock offset as the orchestrator measured it.
    pub clock: Option<ClockOffset>,
}
