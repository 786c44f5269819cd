//! What a result needs beside the reports: what was asked, of whom, and how far the run is.

use crate::document::Document;
use crate::workload::{RateChange, Threshold};

/// What the reports themselves do not say.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The test.
    pub test_id: &'a str,
    /// `AVALANCHE` or `TSUNAMI`.
    pub test_type: &'a str,
    /// The run's state, by its name in the API.
    pub state: &'a str,
    /// Whether requests wait for answers.
    pub closed_loop: bool,
    /// Requests that each participant has in flight at any time, where its load says so: a closed loop
    /// of connections.
    pub in_flight: Option<u64>,
    /// Whether the plan has one load from its beginning to its end: only then a drift is the
    /// target's.
    pub level_load: bool,
    /// Whether the run is over, so that what is missing now will stay missing.
    pub ended: bool,
    /// What each participant is to send, where that is known before the run.
    pub plan: Plan<'a>,
    /// The participants, frozen when the run was armed.
    pub expected: &'a [String],
    /// The document that it is, where it is one: names of its steps and flows, and conditions on them.
    pub document: Option<&'a Document>,
    /// Before what is measured, from the common start on, ns.
    pub warmup_ns: u64,
    /// The changes of its rate, by their instants.
    pub rates: &'a [RateChange],
    /// The condition of the document that ended it early.
    pub aborted_by: Option<&'a str>,
    /// The conditions on the result.
    pub thresholds: &'a [Threshold],
    /// The first second of the series that is wanted.
    pub series_from: u64,
}

/// What each participant is to send.
#[derive(Debug, Clone, Copy, Default)]
pub enum Plan<'a> {
    /// Nobody knows before the run: what the nodes report is the plan.
    #[default]
    Unknown,
    /// So many requests each.
    Each(u64),
    /// The share of each, in the order of [`Context::expected`].
    Shares(&'a [u64]),
}

impl Plan<'_> {
    /// The plan of the participant at this place; `None` where it is not known.
    #[must_use]
    pub fn of(&self, place: usize) -> Option<u64> {
        match self {
            Self::Unknown => None,
            Self::Each(requests) => Some(*requests),
            Self::Shares(shares) => shares.get(place).copied(),
        }
    }
}

impl From<Option<u64>> for Plan<'_> {
    fn from(each: Option<u64>) -> Self {
        each.map_or(Self::Unknown, Self::Each)
    }
}
