//! A run together with what was reported on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::document::InvalidParam;
use proto::message::Metrics;
use proto::summary::{Absorbed, Context, NodeSummary, Summary, TestResult};
use proto::workload::Workload;

use super::TestRow;
use super::run::{Phase, Run};

/// Runs that ended and are held in memory: not stored yet, or without every last report.
const ENDED_MAX: usize = 16;

/// A live result is computed again after a ms for so many drivers: 500 ms for a thousand.
const DRIVERS_A_MS: u64 = 2;

/// A run and its reports.
#[derive(Debug, Clone)]
pub struct OpenRun {
    /// The run.
    pub run: Run,
    /// What was reported.
    pub summary: Summary,
    workload: Workload,
    /// When drivers of other implementations last reported, in the registry's observed time.
    pub(super) foreign_at_ms: BTreeMap<String, u64>,
    /// Since when participants say that they do something else, in observed time.
    pub(super) absent_since_ms: BTreeMap<String, u64>,
    /// Participants that say that they have sent everything.
    pub(super) draining: Vec<String>,
    /// When a stop was asked for, in observed time.
    pub(super) stop_at_ms: Option<u64>,
    /// When it was armed, in observed time.
    pub(super) armed_at_ms: Option<u64>,
    result: Option<Arc<TestResult>>,
    /// When `result` was computed, ms since 1970, and whether reports have come since.
    computed_ms: u64,
    is_stale: bool,
}

impl OpenRun {
    /// A run without reports.
    ///
    /// # Errors
    /// [`InvalidParam`] when its config does not describe a load.
    pub fn new(run: Run, default_target: &str) -> Result<Self, InvalidParam> {
        Ok(Self {
            workload: Workload::from_config(&run.config, default_target)?,
            summary: Summary::default(),
            foreign_at_ms: BTreeMap::new(),
            absent_since_ms: BTreeMap::new(),
            draining: Vec::new(),
            stop_at_ms: run.stop_requested.then_some(0),
            armed_at_ms: None,
            result: None,
            computed_ms: 0,
            is_stale: false,
            run,
        })
    }

    /// Counts a report.
    pub(super) fn absorb(&mut self, message: &Metrics, observed_ms: u64) -> Absorbed {
        let absorbed = self.summary.absorb(message);
        if absorbed != Absorbed::Duplicate {
            self.is_stale = true;
        }
        if absorbed == Absorbed::Foreign {
            self.foreign_at_ms
                .insert(message.node_id.clone(), observed_ms);
        }
        absorbed
    }

    /// The result as it stands, without its series. It is computed anew for reports that came
    /// since, but of a run that goes on not so often that a thousand drivers would keep a core busy.
    pub fn result(&mut self, now_ms: u64) -> Arc<TestResult> {
        let state = self.run.phase.name();
        let pause_ms = self.run.participants.len() as u64 / DRIVERS_A_MS;
        let is_fresh = !self.is_stale
            || self.run.phase.is_active() && now_ms < self.computed_ms.saturating_add(pause_ms);
        if let Some(result) = self.result.as_ref().filter(|result| result.state == state)
            && is_fresh
        {
            return Arc::clone(result);
        }
        (self.computed_ms, self.is_stale) = (now_ms, false);
        let context = Context {
            test_id: &self.run.test_id,
            test_type: self.workload.test_type.name(),
            state,
            closed_loop: self.workload.arrival.is_closed_loop(),
            ended: self.run.phase.has_ended(),
            plan: self.workload.planned_per_driver().into(),
            expected: &self.run.participants,
            thresholds: &self.workload.thresholds,
            series_from: u64::MAX,
        };
        let result = Arc::new(self.summary.result(&context));
        self.result = Some(Arc::clone(&result));
        result
    }

    /// Whether every report of every participant is in, so that nothing can change any more. A
    /// last report may overtake the intervals before it; these are still missing in the series.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let is_whole = |node: &NodeSummary| node.has_ended() && node.gaps().is_empty();
        let mut participants = self.run.participants.iter();
        participants.all(|id| self.summary.node(id).is_some_and(is_whole))
    }

    /// How long one request may take, ms.
    pub(super) fn timeout_ms(&self) -> u64 {
        self.workload.timeout_ns / 1_000_000
    }

    /// Requests planned over all participants.
    fn planned(&self) -> Option<u64> {
        let each = self.workload.planned_per_driver()?;
        let nodes = self.run.participants.len() as u64;
        (nodes > 0).then(|| each.saturating_mul(nodes))
    }

    /// The line in the list of tests.
    #[must_use]
    pub fn row(&self) -> TestRow {
        TestRow {
            number: self.run.number,
            test_id: self.run.test_id.clone(),
            test_type: self.workload.test_type.name().to_owned(),
            state: self.run.phase,
            created_unix_ms: self.run.created_ms(),
            started_unix_ms: self.run.started_ms(),
            ended_unix_ms: self.run.ended_ms(),
            planned: self.planned(),
            nodes: self.run.participants.len(),
            target: self.workload.target.to_string(),
            reason: self.run.reason.clone(),
            queued: self.run.queued.is_some(),
            is_complete: self.run.phase.has_ended() && self.is_complete(),
        }
    }

    /// Whether drivers are at work on it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.run.phase.is_active()
    }

    /// Whether it waits for its trigger.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.run.phase, Phase::Created | Phase::Configured)
    }
}

/// The ended runs that are held until they are stored, or for late reports; the one that was not
/// needed for longest goes.
#[derive(Debug, Default)]
pub(super) struct LateRuns {
    runs: Vec<OpenRun>,
}

impl LateRuns {
    pub(super) fn get(&mut self, test_id: &str) -> Option<&mut OpenRun> {
        let at = self
            .runs
            .iter()
            .position(|live| live.run.test_id == test_id)?;
        let live = self.runs.remove(at);
        self.runs.push(live);
        self.runs.last_mut()
    }

    pub(super) fn put(&mut self, live: OpenRun) {
        self.remove(&live.run.test_id.clone());
        if self.runs.len() == ENDED_MAX {
            self.runs.remove(0);
        }
        self.runs.push(live);
    }

    pub(super) fn remove(&mut self, test_id: &str) {
        self.runs.retain(|live| live.run.test_id != test_id);
    }

    /// What there is to know of these is stored.
    pub(super) fn let_go_of_complete(&mut self) {
        self.runs.retain(|live| !live.is_complete());
    }

    pub(super) fn holds(&self, test_id: &str) -> bool {
        self.runs.iter().any(|live| live.run.test_id == test_id)
    }
}
