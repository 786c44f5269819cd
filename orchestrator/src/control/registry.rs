//! Which drivers there are, and whether they live.
//!
//! Silence is counted in the orchestrator's own heartbeats as they come back through the broker.
//! The topic has one order, so "three of ours went by and none of its" means the same to whoever
//! reads it, now or after a restart. A broker that is away silences everybody alike, and so takes
//! nobody down.

use std::collections::BTreeMap;

use proto::measure::ClockOffset;
use proto::message::{Heartbeat, NodeState, Register};
use serde::{Deserialize, Serialize};

use super::clock_offset::Estimator;

/// Silence from which on a driver is suspect, ms.
pub const SUSPECT_MS: u64 = 3_000;
/// Silence from which on it is down, ms.
pub const DOWN_MS: u64 = 10_000;
/// Our heartbeats leave once a second, give or take this, ms.
const JITTER_MS: u64 = 500;
/// A longer gap between two of our own heartbeats is an outage of the broker or of ourselves, in
/// which nobody's silence means anything, ms.
const OUTAGE_MS: u64 = 3_000;
/// A driver that was down for this long is forgotten, ms.
pub const FORGET_MS: u64 = 3_600_000;
/// Most drivers that are known at a time; messages of more are counted and skipped.
pub const NODES_MAX: usize = 20_000;

const _: () = assert!(SUSPECT_MS < DOWN_MS && DOWN_MS < FORGET_MS && JITTER_MS < SUSPECT_MS);

/// Whether a driver lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// Its heartbeats come.
    Up,
    /// Silent for [`SUSPECT_MS`].
    Suspect,
    /// Silent for [`DOWN_MS`].
    Down,
}

impl Liveness {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
        }
    }
}

/// What a driver says of itself when it registers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// Where it is, `host:port`.
    pub node_ip: String,
    /// Its version.
    pub version: Option<String>,
    /// Cores that it loads from.
    pub cores: Option<u64>,
    /// Its machine.
    pub hostname: Option<String>,
}

/// One driver.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it said of itself.
    pub identity: Identity,
    /// Whether it lives.
    pub liveness: Liveness,
    /// When its last heartbeat was read, by our clock, ms since 1970; 0 before the first.
    pub last_heartbeat_ms: u64,
    /// What it does; `None` for drivers of other implementations, which do not say.
    pub activity: Option<NodeState>,
    /// The test that `activity` is about.
    pub test_id: Option<String>,
    /// Why it failed to prepare that test.
    pub reason: Option<String>,
    clock: Estimator,
    heard_at_ms: u64,
}

impl Node {
    /// Its clock against ours.
    #[must_use]
    pub fn clock(&self) -> Option<ClockOffset> {
        self.clock.best()
    }

    /// Whether it is of another implementation, which is always ready and sends no histograms.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.activity.is_none()
    }

    /// Whether a start waits for it: it is up, or has not had the time to be heard of since we
    /// were restarted.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        let is_unheard = self.activity == Some(NodeState::Unknown);
        self.liveness == Liveness::Up || self.liveness == Liveness::Suspect && is_unheard
    }

    /// Whether it is in this state for this test.
    #[must_use]
    pub fn is(&self, activity: NodeState, test_id: &str) -> bool {
        self.activity == Some(activity) && self.test_id.as_deref() == Some(test_id)
    }
}

/// A driver whose liveness changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The driver.
    pub node_id: String,
    /// What it was; `None` when it was not known.
    pub from: Option<Liveness>,
    /// What it is now.
    pub to: Liveness,
}

/// A driver as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The driver.
    pub node_id: String,
    /// What it said of itself.
    pub identity: Identity,
    /// Whether it lived.
    pub liveness: Liveness,
    /// When its last heartbeat was read, by our clock, ms since 1970.
    pub last_heartbeat_ms: u64,
}

/// All drivers.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    nodes: BTreeMap<String, Node>,
    /// Time that counts: the sum of the gaps between our own heartbeats, without outages.
    observed_ms: u64,
    last_own_ms: Option<u64>,
    refused: u64,
}

impl Registry {
    /// The drivers of a store. Those that were not down are suspect until they are heard of again,
    /// for which they have [`DOWN_MS`].
    #[must_use]
    pub fn restore(records: Vec<NodeRecord>) -> Self {
        let nodes = records.into_iter().map(|record| {
            let node = Node {
                identity: record.identity,
                liveness: record.liveness.max(Liveness::Suspect),
                last_heartbeat_ms: record.last_heartbeat_ms,
                ..new_node(0)
            };
            (record.node_id, node)
        });
        Self {
            nodes: nodes.collect(),
            ..Self::default()
        }
    }

    /// All drivers, by id.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<String, Node> {
        &self.nodes
    }

    /// One driver.
    #[must_use]
    pub fn get(&self, node_id: &str) -> Option<&Node> {
        self.nodes.get(node_id)
    }

    /// Whether a driver is known and not down.
    #[must_use]
    pub fn is_alive(&self, node_id: &str) -> bool {
        let node = self.get(node_id);
        node.is_some_and(|node| node.liveness != Liveness::Down)
    }

    /// The drivers that a start waits for.
    pub fn awaited(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.nodes.iter().filter(|(_, node)| node.is_awaited())
    }

    /// The time by which silence is counted, ms since this process started.
    #[must_use]
    pub fn observed_ms(&self) -> u64 {
        self.observed_ms
    }

    /// Messages of drivers beyond [`NODES_MAX`].
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The driver as it is stored.
    #[must_use]
    pub fn record(&self, node_id: &str) -> Option<NodeRecord> {
        let node = self.get(node_id)?;
        Some(NodeRecord {
            node_id: node_id.to_owned(),
            identity: node.identity.clone(),
            liveness: node.liveness,
            last_heartbeat_ms: node.last_heartbeat_ms,
        })
    }

    /// A driver says that it is there. That alone is no sign of life: registers are read again
    /// after a restart; its heartbeats are.
    pub fn register(&mut self, message: Register) -> Option<Change> {
        let change = self.admit(&message.node_id, Liveness::Up);
        if let Some(node) = self.nodes.get_mut(&message.node_id) {
            node.identity = Identity {
                node_ip: message.node_ip,
                version: message.version,
                cores: message.cores,
                hostname: message.hostname,
            };
        }
        change
    }

    /// A driver's heartbeat, read at this instant of our wall clock.
    pub fn heartbeat(&mut self, message: &Heartbeat, read_unix_ns: u64) -> Option<Change> {
        let admitted = self.admit(&message.node_id, Liveness::Up);
        let observed_ms = self.observed_ms;
        let node = self.nodes.get_mut(&message.node_id)?;
        node.heard_at_ms = observed_ms;
        node.last_heartbeat_ms = read_unix_ns / 1_000_000;
        node.activity = message.state;
        node.test_id.clone_from(&message.test_id);
        node.reason.clone_from(&message.reason);
        if let Some(echo) = &message.echo {
            node.clock.observe(echo, read_unix_ns);
        }
        let from = std::mem::replace(&mut node.liveness, Liveness::Up);
        let back = (from != Liveness::Up).then(|| Change {
            node_id: message.node_id.clone(),
            from: Some(from),
            to: Liveness::Up,
        });
        admitted.or(back)
    }

    /// Our own heartbeat came back, with the timestamp that we gave it: time goes on, and who was
    /// silent for too long of it is found.
    pub fn own_heartbeat(&mut self, timestamp_ms: u64) -> Vec<Change> {
        let last_ms = self.last_own_ms.unwrap_or(timestamp_ms);
        // A little back is a heartbeat that came twice; much is a clock that was set.
        if timestamp_ms >= last_ms || last_ms - timestamp_ms > OUTAGE_MS {
            self.last_own_ms = Some(timestamp_ms);
        }
        let gap_ms = timestamp_ms.saturating_sub(last_ms);
        if gap_ms <= OUTAGE_MS {
            self.observed_ms += gap_ms;
        }
        let observed_ms = self.observed_ms;
        let judge = |(node_id, node): (&String, &mut Node)| {
            let to = liveness(observed_ms.saturating_sub(node.heard_at_ms)).max(node.liveness);
            let from = std::mem::replace(&mut node.liveness, to);
            (from != to).then(|| Change {
                node_id: node_id.clone(),
                from: Some(from),
                to,
            })
        };
        self.nodes.iter_mut().filter_map(judge).collect()
    }

    /// Forgets the drivers that were down for [`FORGET_MS`], but those that are still needed.
    pub fn forget(&mut self, is_needed: impl Fn(&str) -> bool) -> Vec<String> {
        let observed_ms = self.observed_ms;
        let is_gone = |node_id: &str, node: &Node| {
            node.liveness == Liveness::Down
                && observed_ms.saturating_sub(node.heard_at_ms) >= FORGET_MS
                && !is_needed(node_id)
        };
        let gone = self
            .nodes
            .iter()
            .filter(|(node_id, node)| is_gone(node_id, node));
        let gone: Vec<String> = gone.map(|(node_id, _)| node_id.clone()).collect();
        gone.iter()
            .for_each(|node_id| drop(self.nodes.remove(node_id)));
        gone
    }

    fn admit(&mut self, node_id: &str, liveness: Liveness) -> Option<Change> {
        if self.nodes.contains_key(node_id) {
            return None;
        }
        if self.nodes.len() >= NODES_MAX || !proto::id::is_acceptable(node_id) {
            self.refused += 1;
            return None;
        }
        let node = Node {
            liveness,
            ..new_node(self.observed_ms)
        };
        self.nodes.insert(node_id.to_owned(), node);
        Some(Change {
            node_id: node_id.to_owned(),
            from: None,
            to: liveness,
        })
    }
}

fn new_node(heard_at_ms: u64) -> Node {
    Node {
        identity: Identity::default(),
        liveness: Liveness::Up,
        last_heartbeat_ms: 0,
        activity: Some(NodeState::Unknown),
        test_id: None,
        reason: None,
        clock: Estimator::default(),
        heard_at_ms,
    }
}

/// What a silence of this length means.
fn liveness(silent_ms: u64) -> Liveness {
    match silent_ms.saturating_add(JITTER_MS) {
        DOWN_MS.. => Liveness::Down,
        SUSPECT_MS.. => Liveness::Suspect,
        _ => Liveness::Up,
    }
}

#[cfg(test)]
mod tests;
