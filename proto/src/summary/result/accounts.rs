//! The counts of each node beside what it was to send: the plan of a lost node stays, and what its
//! reports do not account for is unknown.

use std::collections::BTreeMap;

use super::Context;
use crate::measure::Counters;
use crate::summary::{NodeSummary, Summary};

/// The counts of a run, with its plan.
#[derive(Debug, Default)]
pub(super) struct Accounts<'a> {
    /// Of each participant, and of whoever else reported.
    pub(super) nodes: BTreeMap<&'a str, Counters>,
    /// Of all of them.
    pub(super) total: Counters,
}

impl<'a> Accounts<'a> {
    pub(super) fn new(summary: &'a Summary, context: &Context<'a>) -> Self {
        let mut accounts = Self::default();
        for (place, id) in context.expected.iter().enumerate() {
            let node = summary.node(id);
            accounts.open(id, node, context.plan.of(place), context.ended);
        }
        for (id, node) in summary.nodes() {
            if !accounts.nodes.contains_key(id.as_str()) {
                accounts.open(id, Some(node), None, false);
            }
        }
        accounts
    }

    fn open(&mut self, id: &'a str, node: Option<&NodeSummary>, plan: Option<u64>, over: bool) {
        let is_foreign = node.is_some_and(|node| node.foreign.is_some());
        let has_ended = node.is_some_and(NodeSummary::has_ended);
        let mut counters =
            node.map_or_else(Counters::default, |node| node.totals().counters.clone());
        if !is_foreign {
            counters.planned = counters.planned.max(plan.unwrap_or(0));
            if over && !has_ended {
                counters.unknown = counters.planned.saturating_sub(counters.accounted());
            }
        }
        self.total.add(&counters);
        self.nodes.insert(id, counters);
    }

    /// What is unknown of a node's plan.
    pub(super) fn unknown(&self, id: &str) -> u64 {
        self.nodes.get(id).map_or(0, |counters| counters.unknown)
    }
}
