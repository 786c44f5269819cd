//! Which drivers there are, and whether they live.
//!
//! Silence is counted in the orchestrator's own heartbeats as they come back through the broker.
//! The topic has one order, so "three of ours went by and none of its" means the same to whoever
//! reads it, now or after a restart. A broker that is away silences everybody alike, and so takes
//! nobody down.

use rpds::RedBlackTreeMapSync;

use proto::message::{Heartbeat, Register};

use super::Now;

mod node;
mod tally;

pub use node::{INCOMPATIBLE, Identity, Liveness, Node, NodeRecord, Speaker};
pub use tally::Tally;

use tally::Awaited;

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

/// The drivers, by id. A clone shares those that do not change after it, and costs next to nothing.
pub type Nodes = RedBlackTreeMapSync<String, Node>;

/// All drivers.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    nodes: Nodes,
    awaited: Awaited,
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
        let mut registry = Self::default();
        for record in records {
            let (node_id, node) = Node::restored(record);
            registry.awaited.add(&node);
            registry.nodes.insert_mut(node_id, node);
        }
        registry
    }

    /// All drivers, by id.
    #[must_use]
    pub fn nodes(&self) -> &Nodes {
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

    /// The drivers that a start does not wait for, though they are not down: they are silent, or
    /// do not understand us.
    pub fn left_out(&self) -> impl Iterator<Item = (&String, &Node)> {
        let is_left_out = |node: &Node| node.liveness != Liveness::Down && !node.is_awaited();
        self.nodes.iter().filter(move |(_, node)| is_left_out(node))
    }

    /// How many drivers a start waits for.
    #[must_use]
    pub fn awaited_len(&self) -> usize {
        self.awaited.all
    }

    /// How many of them are of other implementations, and so always ready.
    #[must_use]
    pub fn awaited_foreign(&self) -> usize {
        self.awaited.foreign
    }

    /// What they say about a test.
    #[must_use]
    pub fn tally(&self, test_id: &str) -> Tally {
        let tally = self.awaited.by_test.get(test_id);
        tally.copied().unwrap_or_default()
    }

    /// Whether every one of them is ready for a test.
    #[must_use]
    pub fn are_all_ready(&self, test_id: &str) -> bool {
        self.tally(test_id).ready + self.awaited.foreign == self.awaited.all
    }

    /// Our own clock was set: what was measured against it means nothing any more.
    pub fn forget_clocks(&mut self) {
        let ids: Vec<String> = self.nodes.keys().cloned().collect();
        for node_id in ids {
            self.change(&node_id, Node::forget_clock);
        }
    }

    /// Changes a driver, and what is counted of it.
    fn change<T>(&mut self, node_id: &str, change: impl FnOnce(&mut Node) -> T) -> Option<T> {
        let node = self.nodes.get_mut(node_id)?;
        self.awaited.remove(node);
        let changed = change(node);
        self.awaited.add(node);
        Some(changed)
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
            incarnation: node.incarnation,
        })
    }

    /// Whose heartbeat this is: see `Node::speaker`.
    pub fn speaker(&mut self, message: &Heartbeat, held: Option<u64>, is_free: bool) -> Speaker {
        let observed_ms = self.observed_ms;
        let speaker = self.change(&message.node_id, |node| {
            node.speaker(message.incarnation, held, is_free, observed_ms)
        });
        speaker.unwrap_or(Speaker::Itself)
    }

    /// A driver says that it is there. That alone is no sign of life: registers are read again
    /// after a restart; its heartbeats are.
    pub fn register(&mut self, message: Register) -> Option<Change> {
        let change = self.admit(&message.node_id, Liveness::Up);
        if let Some(node) = self.nodes.get_mut(&message.node_id) {
            let identity = Identity {
                node_ip: message.node_ip,
                version: message.version,
                cores: message.cores,
                hostname: message.hostname,
            };
            node.introduce(message.incarnation, identity);
        }
        change
    }

    /// A driver's heartbeat, read at this instant.
    pub fn heartbeat(&mut self, message: &Heartbeat, now: Now) -> Option<Change> {
        let admitted = self.admit(&message.node_id, Liveness::Up);
        let observed_ms = self.observed_ms;
        let from = self.change(&message.node_id, |node| {
            node.heard_at_ms = observed_ms;
            node.last_heartbeat_ms = now.wall_ns / 1_000_000;
            node.heard_mono_ns = Some(now.mono_ns);
            node.take(message);
            if let Some(echo) = &message.echo {
                node.clock.observe(echo, now.wall_ns);
            }
            std::mem::replace(&mut node.liveness, Liveness::Up)
        })?;
        let back = (from != Liveness::Up).then(|| Change {
            node_id: message.node_id.clone(),
            from: Some(from),
            to: Liveness::Up,
        });
        admitted.or(back)
    }

    /// Our own heartbeat came back, with the time that we gave it, ms since 1970: time goes on, and who was
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
        let silent_ms = |node: &Node| observed_ms.saturating_sub(node.heard_at_ms);
        let judge = |(node_id, node): (&String, &Node)| {
            let to = liveness(silent_ms(node)).max(node.liveness);
            (node.liveness != to).then(|| Change {
                node_id: node_id.clone(),
                from: Some(node.liveness),
                to,
            })
        };
        let changes: Vec<Change> = self.nodes.iter().filter_map(judge).collect();
        for Change { node_id, to, .. } in &changes {
            self.change(node_id, |node| node.liveness = *to);
        }
        let gone = |(node_id, node): (&String, &Node)| {
            node.is_rival_gone(observed_ms).then(|| node_id.clone())
        };
        let gone: Vec<String> = self.nodes.iter().filter_map(gone).collect();
        for node_id in gone {
            self.change(&node_id, Node::forget_rival);
        }
        changes
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
        for node_id in &gone {
            if let Some(node) = self.nodes.get(node_id) {
                self.awaited.remove(node);
                self.nodes.remove_mut(node_id);
            }
        }
        gone
    }

    fn admit(&mut self, node_id: &str, liveness: Liveness) -> Option<Change> {
        if self.nodes.contains_key(node_id) {
            return None;
        }
        if self.nodes.size() >= NODES_MAX || !proto::id::is_acceptable(node_id) {
            self.refused += 1;
            return None;
        }
        let node = Node::new(liveness, self.observed_ms);
        self.awaited.add(&node);
        self.nodes.insert_mut(node_id.to_owned(), node);
        Some(Change {
            node_id: node_id.to_owned(),
            from: None,
            to: liveness,
        })
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
