//! The life of one run.
//!
//! ```text
//! created ─► configured ─► armed ─► running ─► draining ─► done | partial | aborted | failed
//!    │            │          │         │           ▲
//!    └────────────┴──► aborted | failed└───────────┘   (and from every active phase to every end)
//! ```
//!
//! There is no step back, and every phase has a step to an end.

use std::collections::BTreeMap;

use proto::measure::ClockOffset;
use proto::message::TestConfig;
use proto::summary::Summary;
use proto::workload::RateChange;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most participants of which each has a sum of its samples while the run goes on. Of three sets of
/// buckets each, in two or three versions, those of 3000 took half of 1.6 GB.
const APART_MAX: usize = 1_000;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Published.
    Created,
    /// Every live driver is ready for it.
    Configured,
    /// The participants are frozen and the start instant is published.
    Armed,
    /// The load is on.
    Running,
    /// Everything is sent, or the load was stopped; the last answers and reports are awaited.
    Draining,
    /// Every participant did its part.
    Done,
    /// A participant was lost or failed; what the others did stands.
    Partial,
    /// It was stopped.
    Aborted,
    /// Nobody could do it.
    Failed,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Configured,
        Self::Armed,
        Self::Running,
        Self::Draining,
        Self::Done,
        Self::Partial,
        Self::Aborted,
        Self::Failed,
    ];

    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Armed => "armed",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Aborted => "aborted",
            Self::Failed => "failed",
        }
    }

    /// Whether it is over.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(
            self,
            Self::Done | Self::Partial | Self::Aborted | Self::Failed
        )
    }

    /// Whether drivers are at work on it.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Armed | Self::Running | Self::Draining)
    }

    /// The phase after this step.
    ///
    /// # Errors
    /// [`IllegalStep`] when the step does not lead on from here.
    pub const fn after(self, step: Step) -> Result<Self, IllegalStep> {
        let to = match step {
            Step::Configure if matches!(self, Self::Created) => Self::Configured,
            Step::Arm if matches!(self, Self::Created | Self::Configured) => Self::Armed,
            Step::Start if matches!(self, Self::Armed) => Self::Running,
            Step::Drain if matches!(self, Self::Armed | Self::Running) => Self::Draining,
            Step::Abort if !self.has_ended() => Self::Aborted,
            Step::Fail if !self.has_ended() => Self::Failed,
            Step::Complete if self.is_active() => Self::Done,
            Step::Give if self.is_active() => Self::Partial,
            _ => return Err(IllegalStep { from: self, step }),
        };
        Ok(to)
    }
}

/// What moves a run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Every live driver is ready.
    Configure,
    /// The trigger is published.
    Arm,
    /// The start instant has come.
    Start,
    /// Everything is sent, or a stop is published.
    Drain,
    /// Ended by a stop.
    Abort,
    /// Ended without a result.
    Fail,
    /// Ended with every participant's last report.
    Complete,
    /// Ended with what the remaining participants gave.
    Give,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 8] = [
        Self::Configure,
        Self::Arm,
        Self::Start,
        Self::Drain,
        Self::Abort,
        Self::Fail,
        Self::Complete,
        Self::Give,
    ];
}

/// A step that does not lead on from a phase: a bug, logged and not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a run that is {} cannot take the step {step:?}", from.name())]
pub struct IllegalStep {
    /// The phase.
    pub from: Phase,
    /// The step.
    pub step: Step,
}

/// When a run came into a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The phase.
    pub state: Phase,
    /// When, ms since 1970.
    pub unix_ms: u64,
}

/// One run: what is asked, and how far it got. What was measured is not here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The test.
    pub test_id: String,
    /// Its place in the order of creation.
    pub number: u64,
    /// What is asked.
    pub config: TestConfig,
    /// How far it got.
    pub phase: Phase,
    /// Each phase that it came into.
    pub transitions: Vec<Transition>,
    /// The common start, ns since 1970 in our clock.
    pub start_at_unix_ns: Option<u64>,
    /// Who takes part, frozen when it was armed.
    pub participants: Vec<String>,
    /// The participants' clocks at that time.
    pub clock_offsets: BTreeMap<String, ClockOffset>,
    /// Which process of each participant's id takes part, where that is known.
    #[serde(default)]
    pub incarnations: BTreeMap<String, u64>,
    /// Drivers that could not take part, and why.
    pub excluded: BTreeMap<String, String>,
    /// Participants whose last report is not awaited any more, and why.
    pub lost: BTreeMap<String, String>,
    /// Whether a stop was asked for.
    pub stop_requested: bool,
    /// The condition of its document that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aborted_by: Option<String>,
    /// The changes of its rate, by their instants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateChange>,
    /// Its place in the queue of those that start when the drivers are free.
    pub queued: Option<u64>,
    /// Whether a trigger queues it when the drivers are busy.
    pub queue_when_busy: bool,
    /// Why it ended as it did.
    pub reason: Option<String>,
}

impl Run {
    /// A run that was just created.
    #[must_use]
    pub fn new(config: TestConfig, number: u64, unix_ms: u64) -> Self {
        Self {
            test_id: config.test_id.clone(),
            number,
            config,
            phase: Phase::Created,
            transitions: vec![Transition {
                state: Phase::Created,
                unix_ms,
            }],
            start_at_unix_ns: None,
            participants: Vec::new(),
            clock_offsets: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            excluded: BTreeMap::new(),
            lost: BTreeMap::new(),
            stop_requested: false,
            aborted_by: None,
            rates: Vec::new(),
            queued: None,
            queue_when_busy: false,
            reason: None,
        }
    }

    /// What is reported on it, before anything was: a run of many joins the samples of all.
    #[must_use]
    pub fn empty_summary(&self) -> Summary {
        let mut summary = Summary::default();
        if self.has_many() {
            summary.join_samples();
        }
        summary
    }

    /// Whether it has so many participants that no sum of samples is kept for each of them while it
    /// goes on.
    #[must_use]
    pub fn has_many(&self) -> bool {
        self.participants.len() > APART_MAX
    }

    /// Takes a step.
    ///
    /// # Errors
    /// [`IllegalStep`]; nothing changed.
    pub fn step(&mut self, step: Step, unix_ms: u64) -> Result<(), IllegalStep> {
        self.phase = self.phase.after(step)?;
        self.transitions.push(Transition {
            state: self.phase,
            unix_ms,
        });
        Ok(())
    }

    /// When it came into a phase for the first time, ms since 1970.
    #[must_use]
    pub fn entered(&self, is: impl Fn(Phase) -> bool) -> Option<u64> {
        let first = self
            .transitions
            .iter()
            .find(|transition| is(transition.state));
        first.map(|transition| transition.unix_ms)
    }

    /// When it was created, ms since 1970.
    #[must_use]
    pub fn created_ms(&self) -> u64 {
        self.entered(|phase| phase == Phase::Created).unwrap_or(0)
    }

    /// The common start, ms since 1970.
    #[must_use]
    pub fn started_ms(&self) -> Option<u64> {
        self.start_at_unix_ns.map(|ns| ns / 1_000_000)
    }

    /// When it ended, ms since 1970.
    #[must_use]
    pub fn ended_ms(&self) -> Option<u64> {
        self.entered(Phase::has_ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_but_the_ends_leads_to_an_end_and_none_leads_back() {
        for phase in Phase::ALL {
            let next: Vec<Phase> = Step::ALL
                .iter()
                .filter_map(|step| phase.after(*step).ok())
                .collect();
            assert_eq!(next.is_empty(), phase.has_ended(), "{phase:?}");
            assert!(
                next.iter().all(|to| *to > phase),
                "{phase:?} leads back to one of {next:?}"
            );
            let ends = next.iter().any(|to| to.has_ended());
            assert_eq!(ends, !phase.has_ended(), "{phase:?} can end");
        }
    }

    #[test]
    fn an_illegal_step_says_so_and_changes_nothing() {
        let json = r#"{"test_id":"t","test_type":"AVALANCHE","test_message_delay":0}"#;
        let mut run = Run::new(serde_json::from_str(json).unwrap(), 1, 5);
        let before = run.clone();
        let error = run.step(Step::Complete, 6).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a run that is created cannot take the step Complete"
        );
        assert_eq!(run, before);
        run.step(Step::Arm, 7).unwrap();
        run.step(Step::Abort, 9).unwrap();
        assert_eq!((run.created_ms(), run.ended_ms()), (5, Some(9)));
    }
}
