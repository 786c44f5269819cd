//! Who is up, suspect or down, by the heartbeats that come. Pure: time is an argument.
//!
//! Silence counts only while the broker is known to work. When it is away everybody is silent, and
//! that says nothing about the nodes.

use std::collections::BTreeMap;

use crate::control::registry::{DOWN_MS, Liveness, SUSPECT_MS};

/// A node that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The node.
    pub node_id: String,
    /// What it was; `None` when it was not known.
    pub from: Option<Liveness>,
    /// What it is.
    pub to: Liveness,
    /// How long it has been silent, ms.
    pub silent_ms: u64,
}

/// All nodes that were ever heard.
#[derive(Debug, Default)]
pub struct Monitor {
    nodes: BTreeMap<String, Node>,
    /// Until when silence has been counted.
    counted_ms: u64,
}

#[derive(Debug)]
struct Node {
    liveness: Liveness,
    silent_ms: u64,
}

impl Monitor {
    /// A node was heard.
    pub fn heard(&mut self, node_id: &str) -> Option<Transition> {
        let before = self
            .nodes
            .get(node_id)
            .map(|node| (node.liveness, node.silent_ms));
        let node = Node {
            liveness: Liveness::Up,
            silent_ms: 0,
        };
        self.nodes.insert(node_id.to_owned(), node);
        let (from, silent_ms) = before.unzip();
        (from != Some(Liveness::Up)).then(|| Transition {
            node_id: node_id.to_owned(),
            from,
            to: Liveness::Up,
            silent_ms: silent_ms.unwrap_or(0),
        })
    }

    /// Time went by, with a broker that works or one that does not.
    pub fn pass(&mut self, now_ms: u64, broker_works: bool) -> Vec<Transition> {
        let passed_ms = now_ms.saturating_sub(self.counted_ms);
        self.counted_ms = now_ms;
        if !broker_works {
            return Vec::new();
        }
        let mut transitions = Vec::new();
        for (node_id, node) in &mut self.nodes {
            node.silent_ms += passed_ms;
            let to = match node.silent_ms {
                DOWN_MS.. => Liveness::Down,
                SUSPECT_MS.. => Liveness::Suspect,
                _ => Liveness::Up,
            };
            if to != node.liveness {
                transitions.push(Transition {
                    node_id: node_id.clone(),
                    from: Some(node.liveness),
                    to,
                    silent_ms: node.silent_ms,
                });
                node.liveness = to;
            }
        }
        transitions
    }

    /// How long the node that was heard last has been silent, ms; `None` when there is no node.
    #[must_use]
    pub fn shortest_silence_ms(&self) -> Option<u64> {
        self.nodes.values().map(|node| node.silent_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `node from>to` of each transition.
    fn told(transitions: &[Transition]) -> Vec<String> {
        let name = |liveness: Option<Liveness>| liveness.map_or("new", Liveness::name);
        transitions
            .iter()
            .map(|t| format!("{} {}>{}", t.node_id, name(t.from), t.to.name()))
            .collect()
    }

    #[test]
    fn silence_makes_suspect_and_then_down_and_a_heartbeat_brings_back() {
        let mut monitor = Monitor::default();
        monitor.pass(1_000_000, true);
        assert_eq!(told(monitor.heard("a").as_slice()), ["a new>up"]);
        assert_eq!(monitor.heard("a"), None);
        assert!(monitor.pass(1_002_999, true).is_empty());
        assert_eq!(told(&monitor.pass(1_003_000, true)), ["a up>suspect"]);
        assert!(monitor.pass(1_009_999, true).is_empty());
        assert_eq!(told(&monitor.pass(1_010_000, true)), ["a suspect>down"]);
        assert!(monitor.pass(2_000_000, true).is_empty());
        assert_eq!(told(monitor.heard("a").as_slice()), ["a down>up"]);
    }

    #[test]
    fn a_broker_that_is_away_takes_no_node_down() {
        let mut monitor = Monitor::default();
        monitor.heard("a");
        assert!(monitor.pass(2_000, true).is_empty());
        assert!(monitor.pass(60_000, false).is_empty());
        assert!(
            monitor.pass(60_900, true).is_empty(),
            "2.9 s of silence so far"
        );
        assert_eq!(told(&monitor.pass(61_000, true)), ["a up>suspect"]);
    }

    #[test]
    fn nodes_are_counted_each_on_their_own() {
        let mut monitor = Monitor::default();
        monitor.heard("a");
        monitor.heard("b");
        monitor.pass(2_000, true);
        monitor.heard("b");
        assert_eq!(told(&monitor.pass(3_500, true)), ["a up>suspect"]);
        assert_eq!(monitor.shortest_silence_ms(), Some(1_500));
    }
}
