//! Reports whose samples came merged with those of others, or are joined with them here.
//!
//! Counts stay each node's own. Of the samples that came merged there is only the sum over all nodes,
//! so that the samples of the run are one of two sums, and never a mixture that has any of them twice:
//! where every node of which some came merged has sent its last report, the nodes' totals; before
//! that, the merged samples, those that came on their own, and the last reports of the other nodes.

use super::{NodeSummary, StepFold, Summary};
use crate::histogram::SparseLatencies;
use crate::measure::Report;
use crate::message::MergedPart;

/// A report of a part, with its node.
fn reports(part: &MergedPart) -> impl Iterator<Item = (&str, Option<&Report>)> {
    let message = part.reports.iter().map(|report| &report.0);
    message.map(|message| (message.node_id.as_str(), message.report.as_ref()))
}

impl Summary {
    /// From now on the samples of a report are joined with those of all others at once, as if it had
    /// come merged: a sum for each node, of which there are two or three while somebody reads it, is
    /// half of the memory of a run of thousands. As where they come merged, a node has
    /// figures of its own once it has sent its last report.
    pub fn join_samples(&mut self) {
        self.joins = true;
    }

    /// Whether these parts of one test can be counted as they are: each of their reports is one of an
    /// interval, of a node that has not ended, and new. Where it is not so, their samples hold some
    /// that must not be counted, and nobody can take them out.
    #[must_use]
    pub fn takes<'a>(&self, parts: impl IntoIterator<Item = &'a MergedPart>) -> bool {
        let mut covered: Vec<(&str, u64, u64)> = Vec::new();
        for (node_id, report) in parts.into_iter().flat_map(reports) {
            let Some(report) = report.filter(|report| !report.last) else {
                return false;
            };
            let (first, last) = (report.sequence_first, report.sequence);
            if first > last
                || self
                    .node(node_id)
                    .is_some_and(|node| !node.awaits(first, last))
            {
                return false;
            }
            covered.push((node_id, first, last));
        }
        covered.sort_unstable();
        covered.windows(2).all(|pair| {
            let [(node, _, last), (next, first, _)] = [pair[0], pair[1]];
            node != next || last < first
        })
    }

    /// Counts a part that [`Self::takes`] says can be: the reports for their nodes, `latencies`, the
    /// samples of all of them, for the run. The order in which parts and reports come makes no
    /// difference, but that a part does not come after the last report of one of its nodes.
    pub fn absorb_part(&mut self, part: &MergedPart, latencies: &SparseLatencies) {
        for (node_id, report) in reports(part) {
            let Some(report) = report else {
                continue;
            };
            let node = self.of_node(node_id);
            node.is_merged = true;
            node.absorb(report, false);
            self.series.count(report);
        }
        self.steps.absorb_part(part);
        self.series.add_samples(part.second, latencies);
        self.parts.add(latencies);
        self.merged.take();
    }

    /// The samples of all nodes in one set of histograms.
    #[must_use]
    pub fn merged(&self) -> &SparseLatencies {
        self.merged.get_or_init(|| {
            let goes_on = self.is_merged_node_open();
            let samples = |node| NodeSummary::samples(node, goes_on);
            let parts = goes_on.then_some(&self.parts);
            let all: Vec<_> = self.nodes.values().map(samples).chain(parts).collect();
            SparseLatencies::sum(&all)
        })
    }

    /// Answers whose times are in no histogram of the run: those of intervals that never came, which
    /// only their node's last report has, where that cannot be taken since the samples of the other
    /// intervals are in one sum with those of nodes that have not sent theirs.
    #[must_use]
    pub fn times_missing(&self) -> u64 {
        if !self.is_merged_node_open() {
            return 0;
        }
        let missing = |node: &NodeSummary| {
            let last = node.last.as_ref().filter(|_| node.is_merged)?;
            let ok = |counters: &crate::measure::Counters| counters.ok;
            Some(ok(&last.counters).saturating_sub(ok(&node.intervals.counters)))
        };
        self.nodes.values().filter_map(missing).sum()
    }

    /// Whether a node of which samples came merged has not sent its last report: it has no figures of
    /// its own then.
    pub(in crate::summary) fn is_merged_node_open(&self) -> bool {
        let is_open = |node: &NodeSummary| node.is_merged && node.last.is_none();
        self.nodes.values().any(is_open)
    }
}

impl StepFold {
    /// Takes in what each report of a part tells.
    pub fn absorb_part(&mut self, part: &MergedPart) {
        for (node_id, report) in reports(part) {
            if let Some(report) = report {
                self.absorb(node_id, report);
            }
        }
    }
}

impl NodeSummary {
    /// Whether a report of these intervals is news, and can come merged.
    fn awaits(&self, first: u64, last: u64) -> bool {
        self.last.is_none() && !self.seen.has_any(first, last)
    }

    /// Whether a report's samples can be joined with those of others: those of an interval that was not
    /// counted. After its node's last report too, so that the order makes no difference: of a node of
    /// which samples are joined the last report is taken when all such nodes have sent theirs.
    pub(super) fn can_be_joined(&self, report: &Report) -> bool {
        !report.last && !self.seen.has_any(report.sequence_first, report.sequence)
    }

    /// Its part of the run's samples, with the merged ones counted apart or not.
    fn samples(&self, merged_apart: bool) -> &SparseLatencies {
        if merged_apart && self.is_merged {
            return &self.intervals.latencies;
        }
        &self.totals().latencies
    }
}
