//! What is counted of sessions, by step, flow, check and data set; warm-up is not.

use hdrhistogram::Histogram;
use proto::histogram;
use proto::summary::Statistics;
use proto::workload::Scenario;

/// The counts of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// By step.
    pub steps: Vec<StepTally>,
    /// By flow.
    pub flows: Vec<FlowTally>,
    /// Sessions that did not start because no row was left, by data set.
    pub used_up: Vec<u64>,
}

/// The counts of a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepTally {
    /// Requests that were taken to be sent.
    pub taken: u64,
    /// Answers that were what was hoped for.
    pub ok: u64,
    /// Answers whose status is an error.
    pub status: u64,
    /// Answers with a good status that failed a check or an extraction.
    pub failed: u64,
    /// Requests without an answer.
    pub lost: u64,
    /// Requests that could not be made, since a value for them was never found, or cannot stand
    /// where it has to.
    pub without_value: u64,
    /// Checks that held and that did not, each in its order in the step.
    pub checks: Vec<(u64, u64)>,
    /// Extractions that found nothing, each in its order in the step.
    pub missing: Vec<u64>,
    /// Of good answers: from the intended start to the end, ns.
    pub response: Times,
    /// Of good answers: from the actual start to the end, ns.
    pub service: Times,
}

/// A histogram of times that takes no memory before there is one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Times(Option<Box<Histogram<u64>>>);

impl Times {
    /// Records a time in ns; one out of range counts as the nearest that is in it.
    pub fn record(&mut self, ns: u64) {
        let histogram = self.0.get_or_insert_with(|| Box::new(histogram::new()));
        histogram.saturating_record(ns.max(1));
    }

    /// The statistics of what was recorded.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0
            .as_deref()
            .map_or_else(Statistics::default, Statistics::of)
    }

    fn add(&mut self, more: &Self) {
        if let Some(more) = &more.0 {
            let histogram = self.0.get_or_insert_with(|| Box::new(histogram::new()));
            histogram
                .add(&**more)
                .expect("invariant: all have the same bounds");
        }
    }
}

/// The counts of a flow's sessions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlowTally {
    /// Those that started.
    pub started: u64,
    /// Those that came to the end of their steps.
    pub completed: u64,
    /// Those that a failed step ended.
    pub failed: u64,
    /// Those that the end of the load cut off.
    pub cut: u64,
    /// How long those that came to their end took from their intended start, ns.
    pub session: Times,
}

impl Tally {
    /// Nothing, in the shape of a scenario.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let step = |step: &proto::workload::Step| StepTally {
            checks: vec![(0, 0); step.checks.len()],
            missing: vec![0; step.extracts.len()],
            ..StepTally::default()
        };
        Self {
            steps: scenario.steps.iter().map(step).collect(),
            flows: vec![FlowTally::default(); scenario.flows.len()],
            used_up: vec![0; scenario.data.len()],
        }
    }

    /// Adds the counts of another core of the same scenario.
    pub fn add(&mut self, other: &Self) {
        for (step, more) in self.steps.iter_mut().zip(&other.steps) {
            step.add(more);
        }
        for (flow, more) in self.flows.iter_mut().zip(&other.flows) {
            flow.started += more.started;
            flow.completed += more.completed;
            flow.failed += more.failed;
            flow.cut += more.cut;
            flow.session.add(&more.session);
        }
        for (used_up, more) in self.used_up.iter_mut().zip(&other.used_up) {
            *used_up += more;
        }
    }

    /// Checks that held, and all.
    #[must_use]
    pub fn checks(&self) -> (u64, u64) {
        let all = self.steps.iter().flat_map(|step| &step.checks);
        all.fold((0, 0), |(held, total), (holds, fails)| {
            (held + holds, total + holds + fails)
        })
    }
}

impl StepTally {
    fn add(&mut self, more: &Self) {
        self.taken += more.taken;
        self.ok += more.ok;
        self.status += more.status;
        self.failed += more.failed;
        self.lost += more.lost;
        self.without_value += more.without_value;
        self.response.add(&more.response);
        self.service.add(&more.service);
        for (check, more) in self.checks.iter_mut().zip(&more.checks) {
            check.0 += more.0;
            check.1 += more.1;
        }
        for (missing, more) in self.missing.iter_mut().zip(&more.missing) {
            *missing += more;
        }
    }
}
