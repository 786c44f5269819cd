//! A run together with what was reported on it.

use std::sync::Arc;

use proto::digest::Sha256;
use proto::document::{Document, InvalidParam};
use proto::histogram::SparseLatencies;
use proto::message::{MergedPart, MergedReport, Metrics, NodeState};
use proto::summary::{Absorbed, Context, NodeSummary, Summary, TestResult};
use proto::workload::{Rate, Threshold, Unchangeable, Workload};

use super::super::labels::Labels;
use super::super::list::{Outcome, TestRow};
use super::super::run::{Phase, Run};
use super::parts::{Part, Parts};
use super::watch::Watch;

/// What a result needs to know of a run beyond what was reported.
#[derive(Debug)]
pub(super) struct Frame {
    workload: Workload,
    document: Option<Document>,
}

impl Frame {
    /// The result as it stands, without its series.
    pub(super) fn result(&self, run: &Run, summary: &Summary) -> TestResult {
        summary.result(&Context {
            test_id: &run.test_id,
            test_type: self.workload.test_type.name(),
            state: run.phase.name(),
            closed_loop: self.workload.arrival.is_closed_loop(),
            in_flight: self
                .workload
                .in_flight()
                .filter(|_| self.document.is_none()),
            level_load: self.document.is_none()
                && self.workload.arrival.is_level()
                && run.rates.is_empty(),
            ended: run.phase.has_ended(),
            plan: self.workload.planned_per_driver().into(),
            expected: &run.participants,
            document: self.document.as_ref(),
            warmup_ns: self.workload.warmup_ns,
            rates: &run.rates,
            aborted_by: run.aborted_by.as_deref(),
            thresholds: &self.workload.thresholds,
            series_from: u64::MAX,
        })
    }

    /// The names of the steps of its document; none of a test that is none.
    pub(super) fn step_names(&self) -> Vec<String> {
        let document = self.document.iter();
        let steps = document.flat_map(|document| &document.scenario.steps);
        steps.map(|step| step.name.clone()).collect()
    }
}

/// A run that reports still count for, and these reports.
#[derive(Debug, Clone)]
pub struct OpenRun {
    /// The run.
    pub run: Run,
    /// What was reported.
    pub summary: Summary,
    frame: Arc<Frame>,
    watch: Option<Watch>,
    /// The condition that ends it, from when it is met until the drivers are told.
    met: Option<String>,
    config_bytes: usize,
    parts: Parts,
    /// When a stop was asked for, in observed time, ms.
    pub(in crate::control) stop_at_ms: Option<u64>,
    /// When it was armed, in observed time, ms.
    pub(in crate::control) armed_at_ms: Option<u64>,
    /// The start instant by our monotonic clock, ns.
    pub(in crate::control) start_mono_ns: Option<u64>,
    /// Whether its trigger is known to have reached the broker: it was read back, or a driver
    /// follows it.
    pub(in crate::control) is_told: bool,
    /// Of a run that has ended.
    outcome: Option<Outcome>,
}

impl OpenRun {
    /// A run with what was reported on it so far.
    ///
    /// # Errors
    /// [`InvalidParam`] when its config does not describe a load.
    pub fn new(run: Run, summary: Summary, default_target: &str) -> Result<Self, InvalidParam> {
        let frame = Frame {
            workload: Workload::from_config(&run.config, default_target)?,
            document: document(&run),
        };
        let mut open = Self {
            watch: frame.document.as_ref().and_then(Watch::new),
            frame: Arc::new(frame),
            met: None,
            config_bytes: config_bytes(&run),
            parts: Parts::default(),
            stop_at_ms: run.stop_requested.then_some(0),
            armed_at_ms: None,
            start_mono_ns: None,
            is_told: false,
            outcome: None,
            summary,
            run,
        };
        open.index_parts();
        Ok(open)
    }

    /// Freezes who takes part.
    pub(super) fn freeze(&mut self, participants: Vec<String>) {
        self.run.participants = participants;
        self.index_parts();
    }

    fn index_parts(&mut self) {
        self.parts = Parts::new(&self.run.participants);
        if self.run.has_many() {
            self.summary.join_samples();
        }
        for node_id in &self.run.participants {
            if self.has_reported_its_end(node_id) || self.run.lost.contains_key(node_id) {
                self.parts.finish(node_id);
            }
        }
    }

    /// Counts a report.
    pub(in crate::control) fn absorb(&mut self, message: &Metrics, observed_ms: u64) -> Absorbed {
        let absorbed = self.summary.absorb(message);
        if absorbed != Absorbed::Duplicate {
            self.is_told = true;
        }
        if absorbed == Absorbed::Foreign
            && let Some(part) = self.parts.get_mut(&message.node_id)
        {
            part.foreign_at_ms = Some(observed_ms);
        }
        if message.report.as_ref().is_some_and(|report| report.last) {
            self.parts.finish(&message.node_id);
        }
        let awaited = self.parts.awaited();
        if let (Absorbed::New, Some(report), Some(watch)) =
            (absorbed, &message.report, &mut self.watch)
        {
            self.met = watch.take(report, awaited).or_else(|| self.met.take());
        }
        absorbed
    }

    /// Whether these parts can be counted as they are.
    pub(in crate::control) fn takes(&self, parts: &[&MergedPart]) -> bool {
        let is_ours = |report: &MergedReport| !self.is_of_another_process(&report.0);
        let mut reports = parts.iter().flat_map(|part| &part.reports);
        reports.all(is_ours)
            && self.summary.takes(parts.iter().copied())
            && (self.watch.is_none() || parts.iter().all(|part| Watch::takes(part)))
    }

    /// Counts the reports of a part that [`Self::takes`] says can be.
    pub(in crate::control) fn absorb_part(
        &mut self,
        part: &MergedPart,
        latencies: &SparseLatencies,
    ) {
        self.summary.absorb_part(part, latencies);
        self.is_told = true;
        let awaited = self.parts.awaited();
        if let Some(watch) = &mut self.watch {
            let met = watch.take_part(part, latencies, awaited);
            self.met = met.or_else(|| self.met.take());
        }
    }

    /// The condition that ends the run from now on.
    pub(in crate::control) fn take_met(&mut self) -> Option<String> {
        let may_end = self.is_active() && !self.run.stop_requested;
        self.met.take().filter(|_| may_end)
    }

    /// Whether a report is of another process than the one that takes part under its id.
    pub(in crate::control) fn is_of_another_process(&self, message: &Metrics) -> bool {
        let theirs = message
            .report
            .as_ref()
            .and_then(|report| report.incarnation);
        let ours = self.run.incarnations.get(&message.node_id);
        theirs.is_some_and(|theirs| ours.is_some_and(|ours| *ours != theirs))
    }

    /// Takes note of what a participant says that it does.
    pub(in crate::control) fn notice(
        &mut self,
        node_id: &str,
        state: NodeState,
        test_id: Option<&str>,
        observed_ms: u64,
    ) {
        let is_here = test_id == Some(self.run.test_id.as_str()) && state != NodeState::Failed;
        if let Some(part) = self.parts.get_mut(node_id) {
            let since_ms = part.absent_since_ms.unwrap_or(observed_ms);
            part.absent_since_ms = (!is_here).then_some(since_ms);
        }
        if is_here && state == NodeState::Draining {
            self.parts.drain(node_id);
        }
        let follows = [NodeState::Armed, NodeState::Running, NodeState::Draining].contains(&state);
        self.is_told |= is_here && follows;
    }

    /// A participant is not awaited any more, and why.
    pub(in crate::control) fn lose(&mut self, node_id: &str, why: String) {
        self.run.lost.insert(node_id.to_owned(), why);
        self.parts.finish(node_id);
    }

    pub(in crate::control) fn part(&self, node_id: &str) -> Option<&Part> {
        self.parts.get(node_id)
    }

    /// Whether a participant's last report is in.
    pub(in crate::control) fn has_reported_its_end(&self, node_id: &str) -> bool {
        let node = self.summary.node(node_id);
        node.is_some_and(NodeSummary::has_ended)
    }

    /// Whether a participant's last report is in, or is not awaited any more.
    pub(in crate::control) fn has_finished(&self, node_id: &str) -> bool {
        self.parts.has_finished(node_id)
    }

    /// Whether that is so of all of them.
    pub(in crate::control) fn have_all_finished(&self) -> bool {
        self.parts.have_all_finished()
    }

    /// Whether all that have not finished have sent everything.
    pub(in crate::control) fn do_all_drain(&self) -> bool {
        self.parts.do_all_drain()
    }

    /// The result of a run that has ended, without its series.
    pub(in crate::control) fn final_result(&mut self) -> TestResult {
        let result = self.frame.result(&self.run, &self.summary);
        self.outcome = Some(Outcome::from(&result));
        result
    }

    pub(super) fn frame(&self) -> Arc<Frame> {
        Arc::clone(&self.frame)
    }

    /// Whether every report of every participant is in, so that nothing can change any more. A
    /// last report may overtake the intervals before it; these are still missing in the series.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let is_whole = |node: &NodeSummary| node.has_ended() && node.gaps().is_empty();
        let mut participants = self.run.participants.iter();
        participants.all(|id| self.summary.node(id).is_some_and(is_whole))
    }

    /// About how many bytes its config takes.
    pub(in crate::control) fn config_bytes(&self) -> usize {
        self.config_bytes
    }

    /// What the result of the whole run has to satisfy.
    pub(in crate::control) fn thresholds(&self) -> &[Threshold] {
        &self.frame.workload.thresholds
    }

    /// How long one request may take, ms.
    pub(in crate::control) fn timeout_ms(&self) -> u64 {
        self.frame.workload.timeout_ns / 1_000_000
    }

    /// Requests that one participant is to send, where that is known.
    pub(in crate::control) fn planned_per_driver(&self) -> Option<u64> {
        self.frame.workload.planned_per_driver()
    }

    /// Requests planned over all participants.
    fn planned(&self) -> Option<u64> {
        let each = self.frame.workload.planned_per_driver()?;
        let nodes = self.run.participants.len() as u64;
        (nodes > 0).then(|| each.saturating_mul(nodes))
    }

    /// Whether its rate can be changed at an instant, ns after the common start; to this rate, where
    /// that matters.
    ///
    /// # Errors
    /// Why not.
    pub(in crate::control) fn changeable(
        &self,
        at_ns: u64,
        rate: Rate,
    ) -> Result<(), Unchangeable> {
        match &self.frame.document {
            Some(document) => document.scenario.load.changed(at_ns, rate).map(drop),
            None => self.frame.workload.changeable(at_ns).map(drop),
        }
    }

    /// Whom a rate of it counts for.
    pub(in crate::control) fn rate_unit(&self) -> &'static str {
        match self.frame.document {
            Some(_) => "all drivers together",
            None => "each driver",
        }
    }

    /// The line in the list of tests.
    #[must_use]
    pub fn row(&self) -> TestRow {
        TestRow {
            number: self.run.number,
            test_id: self.run.test_id.clone(),
            test_type: self.frame.workload.test_type.name().to_owned(),
            state: self.run.phase,
            created_unix_ms: self.run.created_ms(),
            started_unix_ms: self.run.started_ms(),
            ended_unix_ms: self.run.ended_ms(),
            planned: self.planned(),
            nodes: self.run.participants.len(),
            target: self.frame.workload.target.shown(),
            reason: self.run.reason.clone(),
            queued: self.run.queued.is_some(),
            queue_position: None,
            queue_reason: None,
            labels: Labels::default(),
            files: self.files(),
            outcome: self.outcome.clone(),
            is_complete: self.run.phase.has_ended() && self.is_complete(),
            is_compact: false,
        }
    }

    /// The files that drivers get for it, by their content.
    pub(in crate::control) fn files(&self) -> Vec<Sha256> {
        let document = self.frame.document.as_ref();
        let files = document.into_iter().flat_map(Document::references);
        files.map(|(_, reference)| reference.sha256).collect()
    }

    /// Drivers without which it does not start.
    pub(in crate::control) fn drivers_min(&self) -> usize {
        let least = self
            .frame
            .document
            .as_ref()
            .and_then(|document| document.drivers_min);
        least.map_or(1, |least| least as usize)
    }

    /// Whether drivers of every kind can take part: documents are ours alone.
    pub(in crate::control) fn is_for_all(&self) -> bool {
        self.run.config.document.is_none()
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

/// The document that a run is, if it is one.
fn document(run: &Run) -> Option<Document> {
    let json = run.config.document.as_deref()?;
    // It was right when the test was made; one of a store from elsewhere has no steps to show.
    Document::kept(json).ok()
}

/// About how many bytes a run's config takes: what people can make long of it.
fn config_bytes(run: &Run) -> usize {
    let params = &run.config.params;
    let texts = [&params.body, &params.body_base64];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    let headers = params.headers.iter().flatten();
    let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    let document = run.config.document.as_ref().map_or(0, String::len);
    run.test_id.len() + texts + headers + document
}
