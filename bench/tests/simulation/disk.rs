//! The store in memory: what survives the orchestrator's death.

use std::collections::BTreeMap;

use orchestrator::control::registry::NodeRecord;
use orchestrator::control::run::Run;
use orchestrator::control::{Campaign, Change, Outgoing, RangePart, Restored, StoredPart, TestRow};
use proto::bus::Partition;
use proto::codec;
use proto::histogram::SparseLatencies;
use proto::message::Metrics;
use proto::summary::Summary;
use proto::topic::Topic;
use serde_json::Value;

/// What is on the disk.
#[derive(Default)]
pub(crate) struct Disk {
    nodes: BTreeMap<String, NodeRecord>,
    pub(crate) runs: BTreeMap<String, (Run, TestRow)>,
    /// Reports that came on their own, by test, node and number: -1 for those of others.
    pub(crate) reports: BTreeMap<(String, String, i64), Vec<u8>>,
    outbox: BTreeMap<u64, Outgoing>,
    /// The campaigns, as they were last written.
    pub(crate) campaigns: BTreeMap<String, Campaign>,
    /// Results of the tests that ended, as JSON.
    pub(crate) results: BTreeMap<String, Value>,
    /// What was counted that came merged.
    parts: BTreeMap<(u64, String, i32, i64, u64), Vec<u8>>,
    /// How many logs of `metrics` were read: the offsets of two may be the same.
    pub(crate) logs: u64,
    /// Reports that were counted that came merged.
    pub(crate) merged: u64,
    /// The merged samples of the tests that ended.
    pub(crate) samples: BTreeMap<String, SparseLatencies>,
    pub(crate) cursors: BTreeMap<Partition, usize>,
    /// Of partitions that are other logs than before, and were not found to be, how much the one before
    /// held.
    pub(crate) shadows: BTreeMap<i32, usize>,
    cluster_id: Option<String>,
    clock_ms: Option<u64>,
}

impl Disk {
    pub(crate) fn write(&mut self, change: Change) {
        match change {
            Change::Run(run, row) => {
                self.runs.insert(row.test_id.clone(), (*run, *row));
            }
            Change::Node(node) => {
                self.nodes.insert(node.node_id.clone(), node);
            }
            Change::ForgetNode(node_id) => {
                self.nodes.remove(&node_id);
            }
            Change::Campaign(campaign) => {
                self.campaigns.insert(campaign.test_id.clone(), *campaign);
            }
            Change::ForgetCampaign(test_id) => drop(self.campaigns.remove(&test_id)),
            Change::Report(report) => {
                let key = (report.test_id, report.node_id, report.sequence);
                self.reports.insert(key, report.payload);
            }
            Change::Part(part) => {
                self.merged += part.reports;
                let StoredPart {
                    test_id,
                    partition,
                    from,
                    second,
                    ..
                } = part;
                let key = (self.logs, test_id, partition, from, second);
                assert!(
                    self.parts.insert(key, part.payload).is_none(),
                    "counted twice"
                );
            }
            Change::Result(result) => {
                let samples = SparseLatencies::try_from(&result.latencies).unwrap();
                self.samples.insert(result.test_id.clone(), samples);
                let value = serde_json::from_str(&result.result).unwrap();
                self.results.insert(result.test_id, value);
            }
            Change::Outbox(message) => {
                self.outbox.insert(message.token, message);
            }
            Change::OutboxDone(token) => {
                self.outbox.remove(&token);
            }
            Change::ForgetTest { test_id, .. } => {
                self.runs.remove(&test_id);
            }
            Change::Row(_) | Change::ForgetTombstone(_) => {}
            Change::Complete(test_id) => {
                if let Some((_, row)) = self.runs.get_mut(&test_id) {
                    row.is_complete = true;
                }
            }
            Change::Cluster(cluster_id) => self.cluster_id = Some(cluster_id),
            Change::Clock(ms) => self.clock_ms = Some(ms),
        }
    }

    pub(crate) fn with_reports(&self, run: &Run) -> (Run, Summary) {
        let mut summary = Summary::default();
        for ((_, test_id, ..), payload) in &self.parts {
            if *test_id == run.test_id {
                let RangePart {
                    part, latencies, ..
                } = RangePart::decode(payload.clone()).unwrap();
                assert!(summary.takes([&part]), "counted as it came");
                summary.absorb_part(&part, &latencies);
            }
        }
        for ((test_id, ..), payload) in &self.reports {
            if *test_id == run.test_id {
                let report: Metrics = codec::decode(&mut payload.clone()).unwrap();
                summary.absorb(&report);
            }
        }
        (run.clone(), summary)
    }

    /// Up to where each partition of `metrics` was counted.
    fn counted(&self) -> impl Iterator<Item = (i32, i64)> {
        let of_metrics = self
            .cursors
            .iter()
            .filter(|((topic, _), _)| *topic == Topic::Metrics);
        of_metrics.map(|((_, number), next)| (*number, i64::try_from(*next).unwrap()))
    }

    pub(crate) fn restored(&self) -> Restored {
        let mut rows: Vec<TestRow> = self.runs.values().map(|(_, row)| row.clone()).collect();
        rows.sort_by_key(|row| row.number);
        let open = self
            .runs
            .values()
            .filter(|(run, _)| !run.phase.has_ended())
            .map(|(run, _)| self.with_reports(run))
            .collect();
        Restored {
            nodes: self.nodes.values().cloned().collect(),
            rows,
            open,
            outbox: self.outbox.values().cloned().collect(),
            campaigns: self.campaigns.values().cloned().collect(),
            counted: self.counted().collect(),
            tombstones: Vec::new(),
            cluster_id: self.cluster_id.clone(),
            clock_ms: self.clock_ms,
        }
    }
}
