//! Which drivers there are, and whether they live.
//!
//! Silence is counted in the orchestrator's own heartbeats as they come back through the broker.
//! The topic has one order, so "three of ours went by and none of its" means the same to whoever
//! reads it, now or after a restart. A broker that is away silences everybody alike, and so takes
//! nobody down.

use std::collections::HashMap;

use rpds::RedBlackTreeMapSync;

use proto::measure::ClockOffset;
use proto::message::{Heartbeat, Need, NodeState, Register, WIRE_VERSION};
use serde::{Deserialize, Serialize};

use super::Now;
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

/// The state of a driver that lives and speaks another version of the wire.
pub const INCOMPATIBLE: &str = "incompatible";

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
    /// When its last heartbeat was read, by our wall clock, ms since 1970; 0 before the first.
    pub last_heartbeat_ms: u64,
    /// The same by the monotonic clock, ns; `None` when it was not heard of since we started.
    pub heard_mono_ns: Option<u64>,
    /// What it does; `None` for drivers of other implementations, which do not say.
    pub activity: Option<NodeState>,
    /// The test that `activity` is about.
    pub test_id: Option<String>,
    /// Why it failed to prepare that test.
    pub reason: Option<String>,
    /// Which process of this id it is; `None` where that is not known.
    pub incarnation: Option<u64>,
    /// The version of the wire that it speaks, where that is another than ours.
    pub other_wire: Option<u64>,
    /// Another process that says it has this id.
    rival: Option<u64>,
    /// What the process of another incarnation said of itself, for when it takes the place.
    heir: Option<(u64, Identity)>,
    /// The files that it lacks for it.
    pub needs: Vec<Need>,
    clock: Estimator,
    heard_at_ms: u64,
}

impl Node {
    /// Time since its last heartbeat, s. Where it was not heard of since we started, by the wall
    /// clock.
    #[must_use]
    pub fn heartbeat_age_s(&self, now: Now) -> Option<f64> {
        let by_wall_ms = (now.wall_ns / 1_000_000).saturating_sub(self.last_heartbeat_ms);
        match self.heard_mono_ns {
            Some(heard_ns) => Some(now.since_ns(heard_ns) as f64 / 1e9),
            None if self.last_heartbeat_ms > 0 => Some(by_wall_ms as f64 / 1e3),
            None => None,
        }
    }

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
    /// were restarted; and it understands us.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        let is_unheard = self.activity == Some(NodeState::Unknown);
        let may_live =
            self.liveness == Liveness::Up || self.liveness == Liveness::Suspect && is_unheard;
        may_live && self.other_wire.is_none()
    }

    /// The name of its state in the API: whether it lives, or that it takes no part although it
    /// does.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        match (self.liveness, self.other_wire) {
            (Liveness::Up | Liveness::Suspect, Some(_)) => INCOMPATIBLE,
            (liveness, _) => liveness.name(),
        }
    }

    /// Why it takes no part although it lives, if that is so, and what to do about it.
    #[must_use]
    pub fn incompatibility(&self) -> Option<String> {
        self.other_wire.map(|theirs| {
            format!(
                "incompatible: it speaks version {theirs} of the wire, and this orchestrator \
                 {WIRE_VERSION}; start the driver of this orchestrator's release"
            )
        })
    }

    /// Whether it is in this state for this test.
    #[must_use]
    pub fn is(&self, activity: NodeState, test_id: &str) -> bool {
        self.activity == Some(activity) && self.test_id.as_deref() == Some(test_id)
    }
}

/// Whose heartbeat it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Speaker {
    /// The driver's own.
    Itself,
    /// Another process's with its id, which is waited for the first to fall silent.
    Rival,
    /// The driver's own, and the process of this incarnation spoke under its id: it is to end.
    ItselfBefore(u64),
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
    /// Which process of this id it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
}

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
struct Awaited {
    all: usize,
    foreign: usize,
    by_test: HashMap<String, Tally>,
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
        let Some(test_id) = &node.test_id else {
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

    fn add(&mut self, node: &Node) {
        self.count(node, |count| *count += 1);
    }

    fn remove(&mut self, node: &Node) {
        self.count(node, |count| *count -= 1);
    }
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
            let node = Node {
                identity: record.identity,
                liveness: record.liveness.max(Liveness::Suspect),
                last_heartbeat_ms: record.last_heartbeat_ms,
                incarnation: record.incarnation,
                ..new_node(0)
            };
            registry.awaited.add(&node);
            registry.nodes.insert_mut(record.node_id, node);
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
            self.change(&node_id, |node| node.clock = Estimator::default());
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

    /// Whose heartbeat this is. Another process takes a driver's place when that was silent for
    /// [`SUSPECT_MS`] and is `free` of any run; the process that takes part in one is `held` to.
    pub fn speaker(&mut self, message: &Heartbeat, held: Option<u64>, is_free: bool) -> Speaker {
        let observed_ms = self.observed_ms;
        let Some(node) = self.nodes.get_mut(&message.node_id) else {
            return Speaker::Itself;
        };
        let known = held.or(node.incarnation);
        if known.is_none() || message.incarnation.is_none() || known == message.incarnation {
            node.incarnation = message.incarnation.or(known);
            return node
                .rival
                .take()
                .map_or(Speaker::Itself, Speaker::ItselfBefore);
        }
        let is_silent = observed_ms.saturating_sub(node.heard_at_ms) >= SUSPECT_MS;
        if is_silent && is_free {
            (node.incarnation, node.rival) = (message.incarnation, None);
            // Another process may be on another machine, with a clock of its own.
            node.clock = Estimator::default();
            if let Some((heir, identity)) = node.heir.take()
                && Some(heir) == message.incarnation
            {
                node.identity = identity;
            }
            return Speaker::Itself;
        }
        node.rival = message.incarnation;
        Speaker::Rival
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
            match message.incarnation {
                Some(other) if node.incarnation.is_some_and(|known| known != other) => {
                    node.heir = Some((other, identity));
                }
                _ => node.identity = identity,
            }
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
            node.activity = message.state.filter(|state| {
                // Others may have states of their own: that makes them none of ours.
                *state != NodeState::Unknown || message.incarnation.is_some()
            });
            node.incarnation = message.incarnation.or(node.incarnation);
            let wire = message.wire.unwrap_or(1);
            let is_ours = node.activity.is_some();
            node.other_wire = (is_ours && wire != WIRE_VERSION).then_some(wire);
            node.test_id.clone_from(&message.test_id);
            node.reason.clone_from(&message.reason);
            node.needs.clone_from(&message.needs);
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
        let node = Node {
            liveness,
            ..new_node(self.observed_ms)
        };
        self.awaited.add(&node);
        self.nodes.insert_mut(node_id.to_owned(), node);
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
        heard_mono_ns: None,
        activity: Some(NodeState::Unknown),
        test_id: None,
        reason: None,
        incarnation: None,
        other_wire: None,
        rival: None,
        heir: None,
        needs: Vec::new(),
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
