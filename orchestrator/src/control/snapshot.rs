//! What clients can see. Nothing here changes what a result depends on.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::histogram::SparseLatencies;
use proto::message::{NodeState, TestConfig};
use proto::summary::{SeriesRow, TestResult};
use serde::Serialize;

use super::registry::{Liveness, Node};
use super::run::{Phase, Run, Transition};
use super::{Broker, Control, Now, Selection, TestRow};

/// What went by since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Reports that were counted.
    pub reports: u64,
    /// Reports that had been counted before.
    pub duplicates: u64,
    /// Messages that do not decode, or whose content makes no sense.
    pub malformed: u64,
    /// Messages about unknown tests for which there was no room.
    pub orphans_dropped: u64,
    /// Messages about tests that were deleted.
    pub of_deleted: u64,
    /// Messages of drivers for which there was no room, or whose id cannot be one.
    pub nodes_refused: u64,
}

/// A driver as `GET /nodes` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeRow {
    /// The driver.
    pub node_id: String,
    /// Where it is.
    #[serde(rename = "node_IP")]
    pub node_ip: String,
    /// Whether it lives.
    pub state: Liveness,
    /// Since its last heartbeat, s.
    pub heartbeat_age_s: Option<f64>,
    /// Cores that it loads from.
    pub cores: Option<u64>,
    /// Its machine.
    pub hostname: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What it does; null for drivers of other implementations.
    pub activity: Option<NodeState>,
    /// The test that it is busy with.
    pub test_id: Option<String>,
    /// Why it could not prepare that test.
    pub reason: Option<String>,
    /// Its clock minus ours, ms.
    pub clock_offset_ms: Option<f64>,
    /// The true offset lies within ± this, ms.
    pub clock_uncertainty_ms: Option<f64>,
}

/// A test as `GET /tests/{id}` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestDetail {
    /// Its line in the list.
    #[serde(flatten)]
    pub row: TestRow,
    /// What is asked, without secrets.
    pub config: TestConfig,
    /// Who takes part.
    pub participants: Vec<String>,
    /// Drivers that could not take part, and why.
    pub excluded: BTreeMap<String, String>,
    /// Participants that were lost, and why.
    pub lost: BTreeMap<String, String>,
    /// Each phase that it came into.
    pub transitions: Vec<Transition>,
    /// The common start, ns since 1970.
    pub start_at_unix_ns: Option<u64>,
}

impl TestDetail {
    /// The detail of a run.
    #[must_use]
    pub fn new(run: Run, row: TestRow) -> Self {
        Self {
            row,
            config: run.config.masked(),
            participants: run.participants,
            excluded: run.excluded,
            lost: run.lost,
            transitions: run.transitions,
            start_at_unix_ns: run.start_at_unix_ns,
        }
    }
}

impl Control {
    /// The tests that are wanted.
    #[must_use]
    pub fn tests(&self, wanted: &Selection) -> Vec<Arc<TestRow>> {
        self.list.select(wanted)
    }

    /// One test's line.
    #[must_use]
    pub fn row(&self, test_id: &str) -> Option<Arc<TestRow>> {
        self.list.get(test_id).cloned()
    }

    /// One test, if it is in memory; those that are not are in the store.
    pub fn detail(&mut self, test_id: &str) -> Option<TestDetail> {
        let run = self.runs.in_memory(test_id)?;
        let row = self.list.get(test_id)?;
        Some(TestDetail::new(run.run.clone(), row.as_ref().clone()))
    }

    /// The result of a test, if it is in memory, and its series from a second on.
    pub fn result(
        &mut self,
        test_id: &str,
        series_from: u64,
        now: Now,
    ) -> Option<(Arc<TestResult>, Vec<SeriesRow>)> {
        let run = self.runs.in_memory(test_id)?;
        Some((run.result(now), run.summary.series(series_from)))
    }

    /// The merged samples of a test, if it is in memory.
    pub fn latencies(&mut self, test_id: &str) -> Option<SparseLatencies> {
        let run = self.runs.in_memory(test_id)?;
        Some(SparseLatencies::from(run.summary.merged()))
    }

    /// All drivers.
    #[must_use]
    pub fn nodes(&self, now: Now) -> Vec<NodeRow> {
        let row = |(node_id, node): (&String, &Node)| {
            let mut runs = self.runs.of_node(node_id);
            let running = runs.find(|open| !open.has_finished(node_id));
            NodeRow {
                node_id: node_id.clone(),
                node_ip: node.identity.node_ip.clone(),
                state: node.liveness,
                heartbeat_age_s: node.heartbeat_age_s(now),
                cores: node.identity.cores,
                hostname: node.identity.hostname.clone(),
                version: node.identity.version.clone(),
                activity: self.shown_activity(node),
                test_id: running.map(|open| open.run.test_id.clone()),
                reason: node.reason.clone(),
                clock_offset_ms: node.clock().map(|clock| clock.offset_ns as f64 / 1e6),
                clock_uncertainty_ms: node.clock().map(|clock| clock.uncertainty_ns as f64 / 1e6),
            }
        };
        self.registry.nodes().iter().map(row).collect()
    }

    /// What a driver does, as far as that is known: of one that is down nothing is; and one that
    /// could not prepare a test is idle again once that has ended.
    fn shown_activity(&self, node: &Node) -> Option<NodeState> {
        if node.liveness == Liveness::Down {
            return node.activity.map(|_| NodeState::Unknown);
        }
        let of_open = |test_id: &String| self.runs.get(test_id).is_some();
        let is_over = !node.test_id.as_ref().is_some_and(of_open);
        match node.activity {
            Some(NodeState::Failed) if is_over => Some(NodeState::Idle),
            activity => activity,
        }
    }

    /// What is known of the broker, with what is wrong with it now.
    #[must_use]
    pub fn broker(&self, now: Now) -> Broker {
        Broker {
            trouble: self.broker_trouble(now),
            ..self.broker.clone()
        }
    }

    /// Bytes of the store that hold something.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Why the store does not take what it is given.
    #[must_use]
    pub fn store_trouble(&self) -> Option<&str> {
        self.store.as_ref().err().map(String::as_str)
    }

    /// What went by.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            nodes_refused: self.registry.refused(),
            ..self.counts
        }
    }

    /// Messages whose delivery is not known.
    #[must_use]
    pub fn outbox_len(&self) -> usize {
        self.outbox.len()
    }

    /// Messages about tests whose config has not been read.
    #[must_use]
    pub fn orphans_len(&self) -> usize {
        self.orphans.len()
    }

    /// Tests by phase.
    #[must_use]
    pub fn tests_by_phase(&self) -> BTreeMap<Phase, usize> {
        let mut counts: BTreeMap<Phase, usize> = Phase::ALL.iter().map(|p| (*p, 0)).collect();
        for row in self.list.newest_first() {
            *counts.entry(row.state).or_default() += 1;
        }
        counts
    }

    /// The tests that drivers are at work on.
    #[must_use]
    pub fn active(&self) -> Vec<String> {
        self.runs.active()
    }

    /// Our id on the bus.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.settings.node_id
    }
}
