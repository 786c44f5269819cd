//! What is counted of the sessions of a document, by step, flow and data set; warm-up is not.

use serde::{Deserialize, Serialize};

use super::progress::{Progress, raise};
use crate::histogram::Sparse;
use crate::lenient;

/// Most steps, flows or data sets that are believed; a document has fewer.
const PARTS_MAX: usize = 10_000;

/// The counts of a node's sessions: all of them in its last report, and before it those of steps and
/// flows that its [`Progress`] tells, without histograms.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionCounts {
    /// By step, in the order of the document.
    pub steps: Vec<StepCounts>,
    /// By flow.
    pub flows: Vec<FlowCounts>,
    /// By data set.
    pub data: Vec<DataCounts>,
}

/// The counts of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepCounts {
    /// Requests that were taken to be sent.
    #[serde(deserialize_with = "lenient::count")]
    pub sent: u64,
    /// Answers that were what was hoped for.
    #[serde(deserialize_with = "lenient::count")]
    pub ok: u64,
    /// Answers whose status is an error.
    #[serde(deserialize_with = "lenient::count")]
    pub status: u64,
    /// Answers with a good status that failed a check or an extraction.
    #[serde(deserialize_with = "lenient::count")]
    pub failed: u64,
    /// Requests without an answer.
    #[serde(deserialize_with = "lenient::count")]
    pub lost: u64,
    /// Requests that could not be made, since a value for them was never found, or cannot stand
    /// where it has to.
    #[serde(deserialize_with = "lenient::count")]
    pub without_value: u64,
    /// Checks that held and that did not, each in its order in the step.
    pub checks: Vec<(u64, u64)>,
    /// Extractions that found nothing, each in its order in the step.
    pub missing: Vec<u64>,
    /// Of good answers: from the intended start to the end, ns.
    #[serde(skip_serializing_if = "Sparse::is_empty")]
    pub response: Sparse,
    /// Of good answers: from the actual start to the end, ns.
    #[serde(skip_serializing_if = "Sparse::is_empty")]
    pub service: Sparse,
}

/// The counts of a flow's sessions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowCounts {
    /// Those that started.
    #[serde(deserialize_with = "lenient::count")]
    pub started: u64,
    /// Those that came to the end of their steps.
    #[serde(deserialize_with = "lenient::count")]
    pub completed: u64,
    /// Those that a failed step ended.
    #[serde(deserialize_with = "lenient::count")]
    pub failed: u64,
    /// Those that the end of the load cut off.
    #[serde(deserialize_with = "lenient::count")]
    pub cut: u64,
    /// How long those that came to their end took from their intended start, ns.
    #[serde(skip_serializing_if = "Sparse::is_empty")]
    pub session: Sparse,
}

/// The counts of a data set's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataCounts {
    /// Sessions that did not start because no row was left.
    #[serde(deserialize_with = "lenient::count")]
    pub used_up: u64,
    /// Rows of this node that no session was given; 0 where rows are given more than once.
    #[serde(deserialize_with = "lenient::count")]
    pub left: u64,
}

impl SessionCounts {
    /// Adds the counts of another node that ran the same document.
    pub fn add(&mut self, other: &Self) {
        add_each(&mut self.steps, &other.steps, StepCounts::add);
        add_each(&mut self.flows, &other.flows, FlowCounts::add);
        add_each(&mut self.data, &other.data, |mine, more| {
            add(&mut mine.used_up, more.used_up);
            add(&mut mine.left, more.left);
        });
    }

    /// Takes in how far a node has come. Counts only grow, whatever the order of its reports.
    pub fn see(&mut self, progress: &Progress) {
        for row in &progress.steps {
            if let Some(step) = part(&mut self.steps, row.part) {
                let mut counts = step.told();
                raise(&mut counts, &row.counts);
                let [sent, ok, status, failed, lost, without_value] = counts;
                (step.sent, step.ok, step.status) = (sent, ok, status);
                (step.failed, step.lost, step.without_value) = (failed, lost, without_value);
            }
        }
        for row in &progress.flows {
            if let Some(flow) = part(&mut self.flows, row.part) {
                let mut counts = flow.told();
                raise(&mut counts, &row.counts);
                [flow.started, flow.completed, flow.failed, flow.cut] = counts;
            }
        }
    }

    /// The same in at most `len_max` bytes of JSON where that can be: without the histograms of
    /// service times, then without any. The counts stay.
    #[must_use]
    pub fn fitted(mut self, len_max: usize) -> Self {
        let is_fitting = |counts: &Self| {
            let json = serde_json::to_vec(counts).map(|json| json.len());
            json.is_ok_and(|len| len <= len_max)
        };
        if is_fitting(&self) {
            return self;
        }
        for step in &mut self.steps {
            step.service = Sparse::default();
        }
        if is_fitting(&self) {
            return self;
        }
        for step in &mut self.steps {
            step.response = Sparse::default();
        }
        for flow in &mut self.flows {
            flow.session = Sparse::default();
        }
        self
    }
}

/// The part of this number, made where it is the first that is heard of it; `None` for a number that
/// no document has.
fn part<T: Clone + Default>(parts: &mut Vec<T>, number: u32) -> Option<&mut T> {
    let at = usize::try_from(number).ok().filter(|at| *at < PARTS_MAX)?;
    if parts.len() <= at {
        parts.resize_with(at + 1, T::default);
    }
    parts.get_mut(at)
}

impl StepCounts {
    /// Answers that were bad, and those that never came.
    #[must_use]
    pub fn bad(&self) -> u64 {
        let parts = [self.status, self.failed, self.lost];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// The counts in the order of [`Progress::steps`].
    fn told(&self) -> [u64; 6] {
        [
            self.sent,
            self.ok,
            self.status,
            self.failed,
            self.lost,
            self.without_value,
        ]
    }

    fn add(&mut self, more: &Self) {
        for (mine, theirs) in [
            (&mut self.sent, more.sent),
            (&mut self.ok, more.ok),
            (&mut self.status, more.status),
            (&mut self.failed, more.failed),
            (&mut self.lost, more.lost),
            (&mut self.without_value, more.without_value),
        ] {
            add(mine, theirs);
        }
        add_each(&mut self.checks, &more.checks, |mine, more| {
            add(&mut mine.0, more.0);
            add(&mut mine.1, more.1);
        });
        add_each(&mut self.missing, &more.missing, |mine, more| {
            add(mine, *more);
        });
        self.response.add(&more.response);
        self.service.add(&more.service);
    }

    /// Checks that held, and all.
    #[must_use]
    pub fn checks(&self) -> (u64, u64) {
        self.checks.iter().fold((0, 0), |(held, all), check| {
            (
                held.saturating_add(check.0),
                all.saturating_add(check.0).saturating_add(check.1),
            )
        })
    }
}

impl FlowCounts {
    /// The counts in the order of [`Progress::flows`].
    fn told(&self) -> [u64; 4] {
        [self.started, self.completed, self.failed, self.cut]
    }

    fn add(&mut self, more: &Self) {
        for (mine, theirs) in [
            (&mut self.started, more.started),
            (&mut self.completed, more.completed),
            (&mut self.failed, more.failed),
            (&mut self.cut, more.cut),
        ] {
            add(mine, theirs);
        }
        self.session.add(&more.session);
    }
}

fn add(mine: &mut u64, more: u64) {
    *mine = mine.saturating_add(more);
}

/// Adds what stands at the same places; a list that is longer makes the other so.
fn add_each<T: Clone + Default>(mine: &mut Vec<T>, more: &[T], add: impl Fn(&mut T, &T)) {
    let more = &more[..more.len().min(PARTS_MAX)];
    if mine.len() < more.len() {
        mine.resize_with(more.len(), T::default);
    }
    for (mine, more) in mine.iter_mut().zip(more) {
        add(mine, more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram;

    fn times(ns: &[u64]) -> Sparse {
        let mut histogram = histogram::new();
        for ns in ns {
            histogram.record(*ns).unwrap();
        }
        Sparse::from(&histogram)
    }

    fn counts() -> SessionCounts {
        SessionCounts {
            steps: vec![StepCounts {
                sent: 5,
                ok: 2,
                checks: vec![(2, 1)],
                missing: vec![0, 3],
                response: times(&[1000, 2_000_000]),
                service: times(&[900, 1_000_000]),
                ..StepCounts::default()
            }],
            flows: vec![FlowCounts {
                started: 5,
                session: times(&[7_000_000]),
                ..FlowCounts::default()
            }],
            data: vec![DataCounts {
                used_up: 1,
                left: 0,
            }],
        }
    }

    #[test]
    fn counts_and_times_add_whatever_the_shapes() {
        let (mut one, two) = (SessionCounts::default(), counts());
        one.add(&two);
        assert_eq!(one, two);
        one.add(&two);
        assert_eq!((one.steps[0].sent, one.steps[0].response.len()), (10, 4));
        assert_eq!(one.steps[0].checks(), (4, 6));
        assert_eq!(one.data[0].used_up, 2);
        one.add(&SessionCounts::default());
        assert_eq!(one.flows[0].session.len(), 2);
    }

    #[test]
    fn they_are_read_as_they_were_written_and_fit_where_they_have_to() {
        let whole = serde_json::to_string(&counts()).unwrap();
        assert_eq!(
            serde_json::from_str::<SessionCounts>(&whole).unwrap(),
            counts()
        );
        assert_eq!(counts().fitted(whole.len()), counts());
        let fewer = counts().fitted(whole.len() - 1);
        assert!(fewer.steps[0].service.is_empty() && !fewer.steps[0].response.is_empty());
        let least = counts().fitted(0);
        assert!(least.steps[0].response.is_empty() && least.flows[0].session.is_empty());
        assert_eq!((least.steps[0].sent, least.flows[0].started), (5, 5));
    }
}
