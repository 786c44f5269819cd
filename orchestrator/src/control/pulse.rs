//! Our own heartbeat: time goes on as it comes back through the broker.

use proto::message::{ClockProbe, Heartbeat, Role};
use proto::topic::Topic;

use super::now::Now;
use super::outbox::{Outgoing, PULSE_TOKEN};

/// Time between our own heartbeats, ns.
const PULSE_NS: u64 = 1_000_000_000;
/// Heartbeats whose way to the broker is remembered.
const WAYS: usize = 30;

/// When it was sent, and when it came back. Instants are of the monotonic clock, ns.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// On a grid of [`PULSE_NS`], so that the gaps do not add up our own delays.
    pub(super) sent_mono_ns: Option<u64>,
    /// Whether the last one is still on its way to the broker: none is sent behind it, so that an
    /// outage leaves no row of old ones to be counted after it.
    is_in_flight: bool,
    probe_id: u64,
    /// When the last one came back.
    pub(super) returned_mono_ns: Option<u64>,
    /// How long the last ones were under way to the broker and back, ns, the newest last.
    ways_ns: Vec<u64>,
}

impl Pulse {
    /// The next one, with a probe of the drivers' clocks, once a second.
    pub(super) fn next(&mut self, node_id: &str, now: Now) -> Option<Heartbeat> {
        let elapsed_ns = self.sent_mono_ns.map_or(u64::MAX, |at| now.since_ns(at));
        if self.is_in_flight || elapsed_ns < PULSE_NS {
            return None;
        }
        let on_grid = self.sent_mono_ns.map(|at| at + PULSE_NS);
        let is_late = elapsed_ns >= 2 * PULSE_NS;
        self.sent_mono_ns = on_grid.filter(|_| !is_late).or(Some(now.mono_ns));
        self.is_in_flight = true;
        self.probe_id += 1;
        Some(Heartbeat {
            node_id: node_id.to_owned(),
            heartbeat: true,
            timestamp: Some((now.wall_ns / 1_000_000).to_string()),
            role: Role::Orchestrator,
            state: None,
            test_id: None,
            reason: None,
            probe: Some(ClockProbe {
                probe_id: self.probe_id,
                sent_unix_ns: now.wall_ns,
            }),
            echo: None,
            needs: Vec::new(),
        })
    }

    /// The broker has it, or will never have.
    pub(super) fn arrived(&mut self) {
        self.is_in_flight = false;
    }

    /// One came back.
    pub(super) fn returned(&mut self, probe: Option<ClockProbe>, now: Now) {
        self.returned_mono_ns = Some(now.mono_ns);
        let is_last = probe.is_some_and(|probe| probe.probe_id == self.probe_id);
        if let Some(sent_ns) = self.sent_mono_ns.filter(|_| is_last) {
            if self.ways_ns.len() == WAYS {
                self.ways_ns.remove(0);
            }
            self.ways_ns.push(now.since_ns(sent_ns));
        }
    }

    /// The longest way of the last ones, ns.
    pub(super) fn longest_way_ns(&self) -> u64 {
        self.ways_ns.iter().copied().max().unwrap_or(0)
    }
}

/// A heartbeat of ours as it goes to the broker.
pub(super) fn outgoing(message: &Heartbeat) -> Outgoing {
    Outgoing {
        token: PULSE_TOKEN,
        topic: Topic::Heartbeat,
        key: message.node_id.clone(),
        payload: proto::codec::encode(message),
    }
}
