//! Flows: what the sessions of a scenario do, step after step, as a program without a nest.

use super::expectation::{Check, Extract, StatusSet, Subject};
use super::template::RequestTemplate;

/// Most loops within each other.
pub const LOOPS_MAX: usize = 4;

/// The steps of one kind of session.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// Its name, unique in the scenario.
    pub name: String,
    /// How often it is chosen, against the other flows' weights.
    pub weight: u64,
    /// What a session of it does, from the first to the last.
    pub ops: Vec<Op>,
}

/// One thing that a session does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// Sends the request of this step, by its number in [`super::Scenario::steps`], and waits for
    /// the answer.
    Send(usize),
    /// Waits.
    Think(Think),
    /// A loop begins.
    Begin {
        /// How deep it is within others, from 0, below [`LOOPS_MAX`].
        depth: usize,
        /// Its rounds, at least 1.
        times: u32,
    },
    /// A loop's round ends: back to operation `to` unless it was the last round, or the condition of
    /// the loop's last request held.
    Again {
        /// As in [`Op::Begin`].
        depth: usize,
        /// The first operation within the loop.
        to: usize,
        /// Whether a condition that held ends it ([`Step::until`]).
        has_until: bool,
    },
}

/// How long a user thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Think {
    /// So many ns each time.
    Fixed(u64),
    /// Any time from the first to the second, ns.
    Range(u64, u64),
    /// Exponentially distributed with this mean, ns.
    Exponential(u64),
}

/// A request of a flow, and what its answer has to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name, unique in the scenario.
    pub name: String,
    /// The flow that it belongs to, by number.
    pub flow: usize,
    /// What is sent.
    pub request: RequestTemplate,
    /// Statuses that are no error.
    pub ok: StatusSet,
    /// What is kept of the answer.
    pub extracts: Vec<Extract>,
    /// What the answer has to satisfy.
    pub checks: Vec<Check>,
    /// The condition that ends the innermost loop around it.
    pub until: Option<Check>,
    /// From the actual send to the end of the answer, ns.
    pub timeout_ns: u64,
    /// What becomes of the session when the answer is an error, fails a check or an extraction.
    pub on_fail: OnFail,
}

/// What becomes of a session after a step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFail {
    /// It goes on with the next step.
    #[default]
    Continue,
    /// It ends.
    Stop,
}

impl Step {
    /// Whether the header fields of its answers are looked at, besides for cookies.
    #[must_use]
    pub fn reads_fields(&self) -> bool {
        self.subjects().any(Subject::is_of_fields)
    }

    /// Whether the bodies of its answers are looked at.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        self.subjects().any(Subject::is_of_body)
    }

    fn subjects(&self) -> impl Iterator<Item = &Subject> {
        let extracts = self.extracts.iter().map(|extract| &extract.from);
        let checks = self.checks.iter().chain(&self.until);
        extracts.chain(checks.map(|check| &check.subject))
    }
}
