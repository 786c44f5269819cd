//! The drivers that a start waits for, in numbers.

use std::collections::HashMap;

use proto::message::NodeState;

use super::{Liveness, Node};

/// How many of the drivers that a start waits for say what about a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// They prepare it.
    pub preparing: usize,
    /// They are ready for it.
    pub ready: usize,
    /// They could not prepare it.
    pub failed: usize,
}

impl Tally {
    fn of(&mut self, activity: NodeState) -> Option<&mut usize> {
        match activity {
            NodeState::Preparing => Some(&mut self.preparing),
            NodeState::Ready => Some(&mut self.ready),
            NodeState::Failed => Some(&mut self.failed),
            _ => None,
        }
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// The drivers that a start waits for, counted as they change, so that no message needs a look at
/// all of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Awaited {
    pub(super) all: usize,
    pub(super) foreign: usize,
    pub(super) by_test: HashMap<String, Tally>,
}

impl Awaited {
    fn count(&mut self, node: &Node, change: impl Fn(&mut usize)) {
        if !node.is_awaited() {
            return;
        }
        change(&mut self.all);
        let Some(activity) = node.activity else {
            return change(&mut self.foreign);
        };
        // What a silent one said holds no more: see `Node::is`.
        let said = node.test_id.as_ref();
        let Some(test_id) = said.filter(|_| node.liveness == Liveness::Up) else {
            return;
        };
        let tally = self.by_test.entry(test_id.clone()).or_default();
        if let Some(count) = tally.of(activity) {
            change(count);
        }
        if tally.is_empty() {
            self.by_test.remove(test_id);
        }
    }

    pub(super) fn add(&mut self, node: &Node) {
        self.count(node, |count| *count += 1);
    }

    pub(super) fn remove(&mut self, node: &Node) {
        self.count(node, |count| *count -= 1);
    }
}
