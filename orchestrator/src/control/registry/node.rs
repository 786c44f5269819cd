//! One driver: what it says of itself and does, whether it lives, and which process of its id it is.

use proto::measure::ClockOffset;
use proto::message::{Heartbeat, Need, NodeState, WIRE_VERSION};
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::DOWN_MS;
use super::SUSPECT_MS;
use crate::control::Now;
use crate::control::clock_offset::Estimator;

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

/// Another process that has a driver's id.
#[derive(Debug, Clone, Copy)]
struct Rival {
    incarnation: u64,
    /// When it was last heard of, in time that counts, ms.
    heard_at_ms: u64,
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
    rival: Option<Rival>,
    /// What the process of another incarnation said of itself, for when it takes the place.
    heir: Option<(u64, Identity)>,
    /// The files that it lacks for it.
    pub needs: Vec<Need>,
    pub(super) clock: Estimator,
    /// When it was last heard of, in time that counts, ms.
    pub(super) heard_at_ms: u64,
}

impl Node {
    /// One of a store, and its id. Unless it was down it is suspect until it is heard of again.
    pub(super) fn restored(record: NodeRecord) -> (String, Self) {
        let node = Self {
            identity: record.identity,
            last_heartbeat_ms: record.last_heartbeat_ms,
            incarnation: record.incarnation,
            ..Self::new(record.liveness.max(Liveness::Suspect), 0)
        };
        (record.node_id, node)
    }

    /// One that was not heard of before.
    pub(super) fn new(liveness: Liveness, heard_at_ms: u64) -> Self {
        Self {
            identity: Identity::default(),
            liveness,
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

    /// Whose heartbeat that of an incarnation is. Another process takes a driver's place when that was
    /// silent for [`SUSPECT_MS`] and is `free` of any run; the process that takes part in one is
    /// `held` to.
    pub(super) fn speaker(
        &mut self,
        incarnation: Option<u64>,
        held: Option<u64>,
        is_free: bool,
        observed_ms: u64,
    ) -> Speaker {
        let known = held.or(self.incarnation);
        if known.is_none() || incarnation.is_none() || known == incarnation {
            self.incarnation = incarnation.or(known);
            let rival = self.rival.take();
            return rival.map_or(Speaker::Itself, |rival| {
                Speaker::ItselfBefore(rival.incarnation)
            });
        }
        let is_silent = observed_ms.saturating_sub(self.heard_at_ms) >= SUSPECT_MS;
        if !is_silent || !is_free {
            self.rival = incarnation.map(|incarnation| Rival {
                incarnation,
                heard_at_ms: observed_ms,
            });
            return Speaker::Rival;
        }
        (self.incarnation, self.rival) = (incarnation, None);
        // Another process may be on another machine, with a clock of its own.
        self.forget_clock();
        let heir = self.heir.take();
        if let Some((_, identity)) = heir.filter(|(heir, _)| Some(*heir) == incarnation) {
            self.identity = identity;
        }
        Speaker::Itself
    }

    /// A process of this id says who it is: this one, or one that may take its place.
    pub(super) fn introduce(&mut self, incarnation: Option<u64>, identity: Identity) {
        match incarnation {
            Some(other) if self.incarnation.is_some_and(|known| known != other) => {
                self.heir = Some((other, identity));
            }
            _ => self.identity = identity,
        }
    }

    /// Takes what a heartbeat of its says that it does.
    pub(super) fn take(&mut self, message: &Heartbeat) {
        self.activity = message.state.filter(|state| {
            // Others may have states of their own: that makes them none of ours.
            *state != NodeState::Unknown || message.incarnation.is_some()
        });
        self.incarnation = message.incarnation.or(self.incarnation);
        let wire = message.wire.unwrap_or(1);
        let is_ours = self.activity.is_some();
        self.other_wire = (is_ours && wire != WIRE_VERSION).then_some(wire);
        self.test_id.clone_from(&message.test_id);
        self.reason.clone_from(&message.reason);
        self.needs.clone_from(&message.needs);
    }

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

    /// Whether the process that waits for its place fell silent itself.
    pub(super) fn is_rival_gone(&self, observed_ms: u64) -> bool {
        let is_silent = |rival: Rival| observed_ms.saturating_sub(rival.heard_at_ms) >= SUSPECT_MS;
        self.rival.is_some_and(is_silent)
    }

    pub(super) fn forget_rival(&mut self) {
        self.rival = None;
    }

    /// What was measured of its clock is worth nothing any more.
    pub(super) fn forget_clock(&mut self) {
        self.clock = Estimator::default();
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
    /// were restarted, or is about to be followed by another process of its id; and it understands us.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        let is_unheard = self.activity == Some(NodeState::Unknown);
        let may_live = match self.liveness {
            Liveness::Up => true,
            Liveness::Suspect => is_unheard || self.is_followed(),
            Liveness::Down => self.is_followed(),
        };
        may_live && self.other_wire.is_none()
    }

    /// Whether it is silent, and another process of its id is about to take its place.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.liveness != Liveness::Up && self.rival.is_some()
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

    /// Whether it is in this state for this test: what a silent one said before holds no more.
    #[must_use]
    pub fn is(&self, activity: NodeState, test_id: &str) -> bool {
        let is_about_it = || self.test_id.as_deref() == Some(test_id);
        self.liveness == Liveness::Up && self.activity == Some(activity) && is_about_it()
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
