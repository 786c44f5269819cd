//! What is counted of sessions, by step, flow, check and data set; warm-up is not.

use proto::histogram::{OnDemand, Sparse};
use proto::measure::{DataCounts, FlowCounts, SessionCounts, StepCounts};
use proto::workload::Scenario;

use super::Table;

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
    pub response: OnDemand,
    /// Of good answers: from the actual start to the end, ns.
    pub service: OnDemand,
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
    pub session: OnDemand,
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

    /// What a report says of it; `tables` are those of the scenario.
    #[must_use]
    pub fn counts(&self, tables: &[Table]) -> SessionCounts {
        let data = self.used_up.iter().zip(tables);
        SessionCounts {
            steps: self.steps.iter().map(StepTally::counts).collect(),
            flows: self.flows.iter().map(FlowTally::counts).collect(),
            data: data
                .map(|(used_up, table)| DataCounts {
                    used_up: *used_up,
                    left: table.left(),
                })
                .collect(),
        }
    }
}

impl FlowTally {
    /// The counts in the order of [`proto::measure::Progress::flows`].
    pub(super) fn told(&self) -> [u64; 4] {
        [self.started, self.completed, self.failed, self.cut]
    }

    /// Records how long a whole session took, ns.
    pub fn record(&mut self, session_ns: u64) {
        record(&mut self.session, session_ns);
    }

    fn counts(&self) -> FlowCounts {
        FlowCounts {
            started: self.started,
            completed: self.completed,
            failed: self.failed,
            cut: self.cut,
            session: Sparse::from(&self.session),
        }
    }
}

/// A time out of range counts as the nearest that is in it.
fn record(times: &mut OnDemand, ns: u64) {
    times.made().saturating_record(ns.max(1));
}

impl StepTally {
    /// The counts in the order of [`proto::measure::Progress::steps`].
    pub(super) fn told(&self) -> [u64; 6] {
        [
            self.taken,
            self.ok,
            self.status,
            self.failed,
            self.lost,
            self.without_value,
        ]
    }

    /// Records the times of a good answer, ns.
    pub fn record(&mut self, response_ns: u64, service_ns: u64) {
        record(&mut self.response, response_ns);
        record(&mut self.service, service_ns);
    }

    fn counts(&self) -> StepCounts {
        StepCounts {
            sent: self.taken,
            ok: self.ok,
            status: self.status,
            failed: self.failed,
            lost: self.lost,
            without_value: self.without_value,
            checks: self.checks.clone(),
            missing: self.missing.clone(),
            response: Sparse::from(&self.response),
            service: Sparse::from(&self.service),
        }
    }

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
