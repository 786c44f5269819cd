//! Our own pulse: time goes on as it comes back through the broker. It goes to our drivers, with a
//! probe of their clocks, on `control`; and as a heartbeat beside those of the drivers, so that
//! their silence is counted only while that topic is read.

use proto::bus::BusError;
use proto::message::{ClockProbe, Control, Heartbeat, Message, Order, Role};

use super::now::Now;
use super::outbox::{Outgoing, PULSE_TOKEN};

/// Time between our own pulses, ns.
const PULSE_NS: u64 = 1_000_000_000;
/// Pulses whose way to the broker is remembered.
const WAYS: usize = 30;

/// When it was sent, and when it came back. Instants are of the monotonic clock, ns.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// On a grid of [`PULSE_NS`], so that the gaps do not add up our own delays.
    sent_mono_ns: Option<u64>,
    /// Messages of the last one that are still on their way to the broker: none is sent behind
    /// them, so that an outage leaves no row of old ones to be counted after it.
    in_flight: u32,
    /// Which one the broker did not take for good, and why.
    refused: Option<(u64, BusError)>,
    probe_id: u64,
    /// When the first one was sent.
    first_mono_ns: Option<u64>,
    /// When the last one came back.
    returned_mono_ns: Option<u64>,
    /// When the last heartbeat came back.
    heard_mono_ns: Option<u64>,
    /// How long the last ones were under way to the broker and back, ns, the newest last.
    ways_ns: Vec<u64>,
}

impl Pulse {
    /// The next one, with a probe of the drivers' clocks, and the heartbeat with it, once a second.
    pub(super) fn next(&mut self, node_id: &str, now: Now) -> Option<(Control, Heartbeat)> {
        let elapsed_ns = self.sent_mono_ns.map_or(u64::MAX, |at| now.since_ns(at));
        if self.in_flight > 0 || elapsed_ns < PULSE_NS {
            return None;
        }
        let on_grid = self.sent_mono_ns.map(|at| at + PULSE_NS);
        let is_late = elapsed_ns >= 2 * PULSE_NS;
        self.sent_mono_ns = on_grid.filter(|_| !is_late).or(Some(now.mono_ns));
        self.first_mono_ns.get_or_insert(now.mono_ns);
        self.in_flight = 2;
        self.probe_id += 1;
        let probe = ClockProbe {
            probe_id: self.probe_id,
            sent_unix_ns: now.wall_ns,
        };
        let control = Control {
            node_id: node_id.to_owned(),
            order: Order::Pulse { probe },
        };
        let heartbeat = Heartbeat {
            node_id: node_id.to_owned(),
            heartbeat: true,
            timestamp: Some((now.wall_ns / 1_000_000).to_string()),
            role: Role::Orchestrator,
            state: None,
            test_id: None,
            reason: None,
            probe: None,
            echo: None,
            incarnation: None,
            wire: None,
            needs: Vec::new(),
        };
        Some((control, heartbeat))
    }

    /// The broker has one of its messages, or will never have it.
    pub(super) fn arrived(&mut self, refused: Option<BusError>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let is_of_before = |(probe_id, _): &(u64, BusError)| *probe_id != self.probe_id;
        match refused {
            Some(error) => self.refused = Some((self.probe_id, error)),
            None if self.in_flight == 0 && self.refused.as_ref().is_some_and(is_of_before) => {
                self.refused = None;
            }
            None => {}
        }
    }

    /// Why the broker does not take the last one, ever.
    pub(super) fn refused(&self) -> Option<&BusError> {
        self.refused.as_ref().map(|(_, error)| error)
    }

    /// Its heartbeat came back.
    pub(super) fn heard(&mut self, now: Now) {
        self.heard_mono_ns = Some(now.mono_ns);
    }

    /// Since when one of the two has not come back; `None` before the first.
    pub(super) fn silent_since_ns(&self) -> Option<u64> {
        let first = self.first_mono_ns?;
        let both = [self.returned_mono_ns, self.heard_mono_ns];
        both.map(|at| at.unwrap_or(first)).into_iter().min()
    }

    /// One came back.
    pub(super) fn returned(&mut self, probe: ClockProbe, now: Now) {
        self.returned_mono_ns = Some(now.mono_ns);
        let is_last = probe.probe_id == self.probe_id;
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

/// A message of it as it goes to the broker: it is not kept.
pub(super) fn outgoing<M: Message>(node_id: &str, message: &M) -> Outgoing {
    Outgoing {
        token: PULSE_TOKEN,
        topic: M::TOPIC,
        key: node_id.to_owned(),
        payload: proto::codec::encode(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_refused_is_said_until_a_later_pulse_arrives_whole() {
        for refused_first in [true, false] {
            let mut pulse = Pulse::default();
            let at = |s: u64| Now::new(1, s * PULSE_NS);
            let arrive = |pulse: &mut Pulse, is_refused: bool| {
                pulse.arrived(is_refused.then_some(BusError::TooLarge));
            };
            assert!(pulse.next("o", at(1)).is_some());
            arrive(&mut pulse, refused_first);
            arrive(&mut pulse, !refused_first);
            assert!(pulse.refused().is_some(), "{refused_first}");
            assert!(pulse.next("o", at(2)).is_some());
            arrive(&mut pulse, false);
            assert!(pulse.refused().is_some(), "one of two");
            arrive(&mut pulse, false);
            assert!(pulse.refused().is_none());
        }
    }

    #[test]
    fn it_is_silent_until_both_topics_give_it_back() {
        let mut pulse = Pulse::default();
        let at = |s: u64| Now::new(1, s * PULSE_NS);
        assert_eq!(pulse.silent_since_ns(), None);
        let (control, _) = pulse.next("o", at(1)).unwrap();
        let Order::Pulse { probe } = control.order else {
            unreachable!("a pulse is one")
        };
        pulse.returned(probe, at(3));
        assert_eq!(pulse.silent_since_ns(), Some(PULSE_NS));
        pulse.heard(at(2));
        assert_eq!(pulse.silent_since_ns(), Some(2 * PULSE_NS));
    }
}
