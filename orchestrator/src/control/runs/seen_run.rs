//! A run as it stood at the end of a turn, for whoever looks at it: merging and computing are the
//! readers' own work.

use std::sync::Arc;

use proto::histogram::SparseLatencies;
use proto::summary::{
    HeatGrid, NodeCourses, NodeSummary, SeriesRow, StepCourses, Summary, TestResult,
};

use super::open_run::{Frame, OpenRun};
use crate::control::run::Run;

const SECOND_NS: u64 = 1_000_000_000;
/// Intervals may end a little before their second does, ns.
const SLACK_NS: u64 = 100_000_000;
/// A second is not waited for any longer when so much of the run came after it, ns.
const PATIENCE_NS: u64 = 3 * SECOND_NS;

/// A run that does not change any more.
#[derive(Debug)]
pub struct SeenRun {
    /// The run.
    pub run: Arc<Run>,
    /// Another one whenever anything of it changed, in rising order.
    pub version: u64,
    summary: Summary,
    frame: Arc<Frame>,
}

impl SeenRun {
    /// The run as it stands; `before`: as it stood when it was last looked at.
    pub(super) fn of(open: &OpenRun, before: Option<&Self>, version: u64) -> Self {
        let same = before.map(|before| &before.run);
        let run = same.filter(|same| ***same == open.run).cloned();
        Self {
            run: run.unwrap_or_else(|| Arc::new(open.run.clone())),
            version,
            summary: open.summary.clone(),
            frame: open.frame(),
        }
    }

    /// The result, without its series. Of a thousand drivers that takes hundreds of milliseconds.
    #[must_use]
    pub fn result(&self) -> TestResult {
        self.frame.result(&self.run, &self.summary)
    }

    /// Second by second from a second on.
    #[must_use]
    pub fn series(&self, from: u64) -> Vec<SeriesRow> {
        self.summary.series(from)
    }

    /// The samples by time and band, as far as the seconds are settled. It puts in those of the last
    /// seconds, which takes some milliseconds.
    #[must_use]
    pub fn heat(&self) -> HeatGrid {
        self.summary.heat(self.settled())
    }

    /// What each node counted by time.
    #[must_use]
    pub fn courses(&self) -> NodeCourses {
        self.summary.courses()
    }

    /// What each step counted by time.
    #[must_use]
    pub fn steps(&self) -> StepCourses {
        StepCourses {
            names: self.frame.step_names(),
            grid: self.summary.steps().clone(),
        }
    }

    /// The merged samples.
    #[must_use]
    pub fn latencies(&self) -> SparseLatencies {
        self.summary.merged().clone()
    }

    /// Whether a participant's last report is in, or is not awaited any more.
    #[must_use]
    pub fn has_finished(&self, node_id: &str) -> bool {
        let node = self.summary.node(node_id);
        self.run.lost.contains_key(node_id) || node.is_some_and(NodeSummary::has_ended)
    }

    /// The first second of which more is to come: those before it are reported by all that go on,
    /// or not waited for any longer.
    #[must_use]
    pub fn settled(&self) -> u64 {
        let end_ns = |id: &String| self.summary.node(id).map(|node| node.totals().end_ns);
        let goes_on = |id: &&String| !self.has_finished(id);
        let awaited = self.run.participants.iter().filter(goes_on);
        let all = awaited.map(|id| end_ns(id).unwrap_or(0)).min();
        let Some(all_ns) = all.filter(|_| !self.run.phase.has_ended()) else {
            return u64::MAX;
        };
        let newest_ns = self
            .summary
            .nodes()
            .values()
            .map(|node| node.totals().end_ns);
        let newest_ns = newest_ns.max().unwrap_or(0);
        let patient_ns = newest_ns.saturating_sub(PATIENCE_NS);
        (all_ns.max(patient_ns) + SLACK_NS) / SECOND_NS
    }
}
