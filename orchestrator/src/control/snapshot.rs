//! What clients can see, as it stood at the end of a turn.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proto::message::{NodeState, TestConfig};
use proto::summary::RateRow;
use serde::Serialize;

use super::campaigns::{Campaign, CampaignKind, SeenCampaigns};
use super::list::Rows;
use super::registry::{Liveness, Node, Nodes};
use super::run::{Phase, Run, Transition};
use super::runs::{SeenRun, SeenRuns};
use super::{Broker, Control, MergerRow, Now, PartitionRow, Selection, TestRow};

/// What went by since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Reports that were counted.
    pub reports: u64,
    /// Of them, those that came merged.
    pub reports_merged: u64,
    /// Reports that had been counted before.
    pub duplicates: u64,
    /// Messages that do not decode, or whose content makes no sense.
    pub malformed: u64,
    /// Messages about unknown tests for which there was no room.
    pub orphans_dropped: u64,
    /// Messages about tests that were deleted.
    pub of_deleted: u64,
    /// Reports of other processes than those that took part.
    pub fenced: u64,
    /// Messages of drivers for which there was no room, or whose id cannot be one.
    pub nodes_refused: u64,
}

/// Ranges that mergers published, since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RangeCounts {
    /// Those that were counted as they came.
    pub counted: u64,
    /// Those that were dropped, since all of it had been counted.
    pub overlaps: u64,
    /// Those that the orchestrator read from the partition itself, since they held something that had
    /// been counted, or that it could not place yet.
    pub refused: u64,
}

/// A driver as `GET /nodes` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeRow {
    /// The driver.
    pub node_id: String,
    /// Where it is.
    #[serde(rename = "node_IP")]
    pub node_ip: String,
    /// Whether it lives, and understands us.
    pub state: &'static str,
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
    /// Why it could not prepare that test, or takes no part in any.
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
    /// The changes of its rate, by their instants.
    pub rate_changes: Vec<RateRow>,
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
            rate_changes: run.rates.iter().map(RateRow::from).collect(),
        }
    }
}

/// What everybody but the control thread looks at. It never changes, and shares with the state
/// what did not change since, so that taking one costs next to nothing.
#[derive(Debug, Clone)]
pub struct Snapshot {
    rows: Rows,
    runs: SeenRuns,
    campaigns: SeenCampaigns,
    nodes: Nodes,
    /// The tests that drivers are at work on.
    pub active: Vec<String>,
    /// What is known of the broker, with what is wrong with it.
    pub broker: Broker,
    /// Why the store does not take what it is given.
    pub store_trouble: Option<String>,
    /// What went by.
    pub counts: Counts,
    /// The mergers that were heard of.
    pub mergers: Vec<MergerRow>,
    /// Why what mergers write may not be read, if that is so.
    pub mergers_hidden: Option<String>,
    /// The partitions of `metrics`, once a merger was heard of.
    pub partitions: Vec<PartitionRow>,
    /// Merged ranges.
    pub ranges: RangeCounts,
    /// Messages whose delivery is not known.
    pub outbox_len: usize,
    /// Another one whenever a run in memory changed.
    pub version: u64,
}

impl Control {
    /// What clients can see of the state as it stands.
    pub fn snapshot(&mut self, now: Now) -> Snapshot {
        Snapshot {
            rows: self.list.rows().clone(),
            runs: self.runs.seen(),
            campaigns: self.campaigns.seen().clone(),
            nodes: self.registry.nodes().clone(),
            active: self.runs.active(),
            broker: Broker {
                trouble: self.broker_trouble(now),
                ..self.broker.clone()
            },
            store_trouble: self.store.as_ref().err().cloned(),
            counts: Counts {
                nodes_refused: self.registry.refused(),
                ..self.counts
            },
            mergers: self.mergers.rows(self.registry.observed_ms(), now),
            mergers_hidden: self.mergers.hidden.clone(),
            partitions: self.mergers.partitions(self.registry.observed_ms()),
            ranges: RangeCounts {
                counted: self.mergers.ranges,
                overlaps: self.mergers.overlaps(),
                refused: self.mergers.reread(),
            },
            outbox_len: self.outbox.len(),
            version: self.runs.version(),
        }
    }

    /// Up to where each partition of `metrics` was counted.
    pub fn counted(&self) -> impl Iterator<Item = (i32, i64)> {
        self.mergers.counted()
    }

    /// Bytes of the store that hold something.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Messages about tests whose config has not been read.
    #[must_use]
    pub fn orphans_len(&self) -> usize {
        self.orphans.len()
    }

    /// Our id on the bus.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.settings.node_id
    }
}

impl Snapshot {
    /// The tests that are wanted.
    #[must_use]
    pub fn tests(&self, wanted: &Selection) -> Vec<Arc<TestRow>> {
        self.rows.select(wanted)
    }

    /// What is not as it should be of the mergers that were heard of, in words.
    pub fn merging_troubles(&self, now: Now) -> impl Iterator<Item = String> {
        let merger = |row: &MergerRow| {
            let reason = row.reason.as_ref()?;
            Some(format!("merger {}: {reason}", row.merger_id))
        };
        let partition = move |row: &PartitionRow| {
            let number = row.partition;
            if let Some((one, other)) = &row.rivals {
                return Some(format!(
                    "partition {number} of metrics is read by two mergers, {one} and {other}, so that \
                     most of it is read again here: is one of another --group, or do two have one \
                     --merger-id?"
                ));
            }
            let since_ms = row.silent_since_unix_ms?;
            let seconds = (now.wall_ns / 1_000_000).saturating_sub(since_ms) / 1000;
            Some(row.idler.as_ref().map_or_else(
                || {
                    format!(
                        "partition {number} of metrics is read by no merger for {seconds} s; the \
                         orchestrator reads it itself until one does: start a merger, or look why \
                         none has it"
                    )
                },
                |idler| {
                    format!(
                        "merger {idler} has partition {number} of metrics and has read nothing of it \
                         for {seconds} s; the orchestrator reads it itself until it does: end that \
                         merger, so that another takes it over"
                    )
                },
            ))
        };
        let hidden = self.mergers_hidden.iter();
        let hidden =
            hidden.map(|reason| format!("mergers, if there are any, are of no use: {reason}"));
        let mergers = self.mergers.iter().filter_map(merger);
        hidden
            .chain(mergers)
            .chain(self.partitions.iter().filter_map(partition))
    }

    /// Each test's line.
    pub fn newest_first(&self) -> impl Iterator<Item = &Arc<TestRow>> {
        self.rows.newest_first()
    }

    /// One test's line.
    #[must_use]
    pub fn row(&self, test_id: &str) -> Option<&Arc<TestRow>> {
        self.rows.get(test_id)
    }

    /// A run, if it is in memory; those that are not are in the store.
    #[must_use]
    pub fn run(&self, test_id: &str) -> Option<&Arc<SeenRun>> {
        self.runs.get(test_id)
    }

    /// A campaign.
    #[must_use]
    pub fn campaign(&self, test_id: &str) -> Option<&Arc<Campaign>> {
        self.campaigns.get(test_id)
    }

    /// All campaigns of a kind, newest first.
    #[must_use]
    pub fn campaigns(&self, kind: CampaignKind) -> Vec<Arc<Campaign>> {
        let campaigns = self.campaigns.values();
        let mut campaigns: Vec<_> = campaigns
            .filter(|campaign| campaign.goal.kind() == kind)
            .cloned()
            .collect();
        campaigns.sort_unstable_by_key(|campaign| std::cmp::Reverse(campaign.number));
        campaigns
    }

    /// One test, if it is in memory.
    #[must_use]
    pub fn detail(&self, test_id: &str) -> Option<TestDetail> {
        let (run, row) = (self.run(test_id)?, self.row(test_id)?);
        Some(TestDetail::new(
            run.run.as_ref().clone(),
            row.as_ref().clone(),
        ))
    }

    /// All drivers.
    #[must_use]
    pub fn nodes(&self, now: Now) -> Vec<NodeRow> {
        let running = self.running();
        let row = |(node_id, node): (&String, &Node)| NodeRow {
            node_id: node_id.clone(),
            node_ip: node.identity.node_ip.clone(),
            state: node.state_name(),
            heartbeat_age_s: node.heartbeat_age_s(now),
            cores: node.identity.cores,
            hostname: node.identity.hostname.clone(),
            version: node.identity.version.clone(),
            activity: self.shown_activity(node),
            test_id: running.get(node_id.as_str()).map(|&id| id.to_owned()),
            reason: node.incompatibility().or_else(|| node.reason.clone()),
            clock_offset_ms: node.clock().map(|clock| clock.offset_ns as f64 / 1e6),
            clock_uncertainty_ms: node.clock().map(|clock| clock.uncertainty_ns as f64 / 1e6),
        };
        self.nodes.iter().map(row).collect()
    }

    /// Of each driver, whether it lives and understands us.
    pub fn node_states(&self) -> impl Iterator<Item = &'static str> {
        self.nodes.values().map(Node::state_name)
    }

    /// The test that each driver is at work on.
    fn running(&self) -> HashMap<&str, &str> {
        let mut running = HashMap::new();
        for seen in self.active.iter().filter_map(|id| self.run(id)) {
            let mut participants = seen.run.participants.iter();
            while let Some(id) = participants.find(|id| !seen.has_finished(id)) {
                running
                    .entry(id.as_str())
                    .or_insert(seen.run.test_id.as_str());
            }
        }
        running
    }

    /// What a driver does, as far as that is known: of one that is down nothing is; and one that
    /// could not prepare a test is idle again once that has ended.
    fn shown_activity(&self, node: &Node) -> Option<NodeState> {
        if node.liveness == Liveness::Down {
            return node.activity.map(|_| NodeState::Unknown);
        }
        let is_open = |seen: &Arc<SeenRun>| !seen.run.phase.has_ended();
        let of_open = |test_id: &String| self.run(test_id).is_some_and(is_open);
        let is_over = !node.test_id.as_ref().is_some_and(of_open);
        match node.activity {
            Some(NodeState::Failed) if is_over => Some(NodeState::Idle),
            activity => activity,
        }
    }

    /// Tests by phase.
    #[must_use]
    pub fn tests_by_phase(&self) -> BTreeMap<Phase, usize> {
        let mut counts: BTreeMap<Phase, usize> = Phase::ALL.iter().map(|p| (*p, 0)).collect();
        for row in self.rows.newest_first() {
            *counts.entry(row.state).or_default() += 1;
        }
        counts
    }
}
