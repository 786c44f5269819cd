//! What a campaign is for: which run comes next, how it is made of the document, and what the runs
//! amount to. Pure: what it knows is what is stored.

use std::time::Duration;

use proto::comparison::SET_TAG;
use proto::summary::{
    Brief, CAPACITY_REST, CAPACITY_TIME_MAX, CapacityAnswer, CapacityBounds, CapacityCourse,
    CapacityStep, Repeats, TestResult,
};
use proto::workload::Threshold;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::RunPlan;
use crate::control::{Labels, LabelsPatch};

/// The kinds of campaigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CampaignKind {
    /// A search for a capacity.
    Capacity,
    /// A set of runs that are alike.
    Repeat,
}

impl CampaignKind {
    /// The first segment of its address in the API.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Repeat => "repeats",
        }
    }

    /// What people call one.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Capacity => "search for a capacity",
            Self::Repeat => "set of runs",
        }
    }

    /// Why nobody else changes the rate of its runs: it …
    #[must_use]
    pub const fn sets_rate(self) -> &'static str {
        match self {
            Self::Capacity => "sets it",
            Self::Repeat => "keeps it for all of them",
        }
    }

    /// The call that begins one.
    #[must_use]
    pub const fn begun_by(self) -> &'static str {
        match self {
            Self::Capacity => "POST /capacity",
            Self::Repeat => "POST /tests?start=1",
        }
    }

    /// The tag of its runs.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Repeat => SET_TAG,
        }
    }
}

/// What a campaign is for, with what its runs came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// The highest rate at which the thresholds of the document hold.
    Capacity(CapacityGoal),
    /// How far the figures of equal runs are spread.
    Repeat(Repeats),
}

/// A search for a capacity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityGoal {
    /// What it has to keep.
    pub thresholds: Vec<String>,
    /// What a rate counts: `requests` or `sessions`.
    pub unit: String,
    /// Within what it stays.
    pub bounds: CapacityBounds,
    /// How long a run is without its drain, ns.
    pub length_ns: u64,
    /// What the runs that count came to, in that order.
    pub runs: Vec<CapacityStep>,
}

impl CapacityGoal {
    /// The search with its runs so far.
    #[must_use]
    pub fn course(&self) -> CapacityCourse {
        let mut course = CapacityCourse::new(self.bounds);
        for run in &self.runs {
            course.record(run.clone());
        }
        course
    }

    /// What is known so far of a target.
    #[must_use]
    pub fn answer(&self, target: &str) -> CapacityAnswer {
        let thresholds = self.thresholds.clone();
        CapacityAnswer {
            unit: self.unit.clone(),
            ..CapacityAnswer::of(&self.course(), target.to_owned(), thresholds)
        }
    }
}

/// An event of the log, and its fields.
type Said = (&'static str, Value);

/// The time that a campaign has.
pub(in crate::control) struct TimeBound {
    /// From its creation to its end.
    pub(in crate::control) max: Duration,
    /// How long a run of it is without its drain, ns.
    pub(in crate::control) run_ns: u64,
}

/// A run of a campaign that has ended.
pub(in crate::control) struct EndedRun<'a> {
    pub(in crate::control) test_id: &'a str,
    pub(in crate::control) result: &'a TestResult,
    /// The thresholds of the whole run.
    pub(in crate::control) thresholds: &'a [Threshold],
}

impl Goal {
    /// Which kind of campaign has it.
    #[must_use]
    pub const fn kind(&self) -> CampaignKind {
        match self {
            Self::Capacity(_) => CampaignKind::Capacity,
            Self::Repeat(_) => CampaignKind::Repeat,
        }
    }

    /// The run that comes next; `None` when there is nothing more to run.
    pub(in crate::control) fn next(&self) -> Option<RunPlan> {
        match self {
            Self::Capacity(search) => search.course().wanted().map(RunPlan::Rate),
            Self::Repeat(set) => {
                let is_over = set.is_complete() || set.interrupted;
                (!is_over).then_some(RunPlan::Alike {})
            }
        }
    }

    /// From the end of a run to the creation of the next one, ns.
    pub(in crate::control) fn rest_ns(&self) -> u64 {
        let of = |rest: Duration| u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
        match self {
            Self::Capacity(_) => of(CAPACITY_REST),
            Self::Repeat(set) => set.rest_ns(),
        }
    }

    /// The time that it has, if it is bounded.
    pub(in crate::control) fn time_bound(&self) -> Option<TimeBound> {
        match self {
            Self::Capacity(search) => Some(TimeBound {
                max: CAPACITY_TIME_MAX,
                run_ns: search.length_ns,
            }),
            // As long as the runs that were asked for.
            Self::Repeat(_) => None,
        }
    }

    /// Whether there is anything that it knows.
    pub(in crate::control) fn is_found(&self) -> bool {
        match self {
            Self::Capacity(search) => !search.runs.is_empty(),
            Self::Repeat(set) => !set.runs.is_empty(),
        }
    }

    /// Whether one that failed may be followed by another: of a set not the first, before which nothing
    /// is known to be right.
    pub(in crate::control) fn may_fail(&self) -> bool {
        match self {
            Self::Capacity(_) => true,
            Self::Repeat(_) => self.is_found(),
        }
    }

    /// What is written on a run of the campaign with this id and these labels.
    ///
    /// # Errors
    /// In words, what is too long or too many.
    pub(in crate::control) fn labels_of(
        &self,
        labels: &Labels,
        test_id: &str,
        plan: RunPlan,
    ) -> Result<Labels, String> {
        let tag = self.kind().tag();
        let tags = Some(Some([(tag.to_owned(), Some(test_id.to_owned()))].into()));
        let RunPlan::Rate(wanted) = plan else {
            return labels.patched(&LabelsPatch {
                tags,
                ..LabelsPatch::default()
            });
        };
        // It is none of the runs that others are compared with: it has a name of its own.
        let name = labels.name.as_deref().unwrap_or(tag);
        let name = format!("{name} at {}/s", wanted.rate);
        Labels::default().patched(&LabelsPatch {
            // A name may be as long as a label, and has more behind it here.
            name: Some(Some(name.chars().take(200).collect())),
            tags,
            ..LabelsPatch::default()
        })
    }

    /// Takes a run that counts, which was planned so; what the log says of it.
    pub(in crate::control) fn count(&mut self, run: &EndedRun<'_>, plan: RunPlan) -> Said {
        match (self, plan) {
            (Self::Capacity(search), RunPlan::Rate(wanted)) => {
                let mut step = CapacityStep::of(wanted.rate, run.result, run.thresholds);
                step.tests = vec![run.test_id.to_owned()];
                let fields = json!({"rate": wanted.rate, "judged": step.judged});
                search.runs.push(step);
                ("capacity_run", fields)
            }
            (Self::Repeat(set), _) => {
                let row = set.add(&Brief::from(run.result));
                let fields = json!({"run": row.run, "standing": row.standing});
                ("repeat_run", fields)
            }
            // Its runs are planned by itself.
            (Self::Capacity(_), RunPlan::Alike {}) => ("capacity_run", json!({})),
        }
    }

    /// Takes a run that somebody stopped.
    pub(in crate::control) fn interrupted(&mut self, result: &TestResult) {
        if let Self::Repeat(set) = self {
            let mut brief = Brief::from(result);
            "interrupted".clone_into(&mut brief.state);
            set.add(&brief);
        }
    }

    /// Takes a run that is none of the others'.
    pub(in crate::control) fn apart(&mut self, result: &TestResult, reason: &str) {
        if let Self::Repeat(set) = self {
            set.add_apart(&Brief::from(result), reason.to_owned());
        }
    }

    /// Takes a run that failed, or that did not come about.
    pub(in crate::control) fn failed(&mut self, test_id: Option<&str>, reason: &str) {
        if let Self::Repeat(set) = self {
            set.add_failed(test_id.map(str::to_owned), reason.to_owned());
        }
    }

    /// It was stopped.
    pub(in crate::control) fn stop(&mut self) {
        if let Self::Repeat(set) = self {
            set.interrupted = true;
        }
    }

    /// What the log says of how it ended.
    pub(in crate::control) fn ending(&self) -> Said {
        match self {
            Self::Capacity(search) => {
                let capacity = search.course().found();
                ("capacity_ended", json!({"capacity": capacity}))
            }
            Self::Repeat(set) => {
                let counted = set.runs.iter().filter(|run| run.counted).count();
                let fields = json!({"runs": set.runs.len(), "counted": counted,
                    "standing": set.standing()});
                ("repeat_ended", fields)
            }
        }
    }
}
