//! Giving what is due to connections, and handing it over.

use super::Dispatcher;
use super::connection::{Connection, Flight};
use super::due::Loop;
use super::network::Network;
use super::phase::Phase;
use crate::protocol::Protocol;
use crate::source::Source;
use crate::transport::Transport;

/// Sends that are handed over in one call, with one actual start. The kernel takes about 2 µs for
/// each, so the last one leaves some 0.1 ms after that instant. Half as many cost 1 % of the
/// throughput.
pub(super) const SENDS_A_CALL: usize = 64;
/// A socket's buffer takes so many bytes whole, whatever the target reads. A send that stays below it
/// together with all that is unanswered has ended when the call that submitted it returns, and its
/// completion says nothing that the answer does not. Beyond it a part may have to wait, and no other
/// send may overtake that.
const SILENT_SEND_MAX: usize = 16 * 1024;

impl<P: Protocol, T: Transport, S: Source> Dispatcher<P, T, S> {
    /// Whether requests are slices of one payload that all connections share.
    const IS_SHARED: bool = T::IS_PLAIN && P::IN_ORDER && S::IS_FIXED;

    /// The instant that must be met exactly: the start, or the next intended send. While every
    /// connection is taken there is none: the next send then waits for an answer.
    #[must_use]
    pub fn next_send_ns(&self) -> u64 {
        let next_ns = match &self.progress.due {
            Loop::Open(open) if self.can_release_open() => open.next_ns,
            Loop::Sessions { .. } => self.source.due_ns(),
            _ => u64::MAX,
        };
        match self.progress.phase {
            Phase::Armed { start_ns } => start_ns,
            Phase::WarmUp { until_ns } => until_ns.min(next_ns),
            Phase::Running => next_ns,
            Phase::Ready | Phase::Draining { .. } | Phase::Over => u64::MAX,
        }
    }

    /// Whether what falls due in an open loop is sent or refused at once.
    #[inline]
    fn can_release_open(&self) -> bool {
        let server = self.servers.at(0);
        !server.ready.is_empty() || server.is_away()
    }

    /// The server of a connection; of requests that are all the same there is one.
    #[inline]
    pub(super) fn server(connection: &Connection<P::State, T::State, S::Job>) -> u32 {
        if S::IS_FIXED { 0 } else { connection.server }
    }

    /// Gives what is due to free connections, as much as one call may carry, and hands it over. Says
    /// whether that was not all.
    pub fn release<N: Network>(&mut self, now_ns: u64, net: &mut N) -> bool {
        if self.progress.sends() {
            match &self.progress.due {
                Loop::Closed { .. } => self.release_closed(now_ns),
                Loop::Open(_) => self.release_open(now_ns),
                Loop::Sessions { .. } => self.release_sessions(now_ns),
            }
        }
        let is_full = self.touched.len() >= SENDS_A_CALL;
        self.hand_over(now_ns, net);
        // Looked at in the same turn: nothing may be in flight any more that would end a sleep.
        self.drain(now_ns, net);
        is_full
    }

    /// Every free connection gets its next requests.
    fn release_closed(&mut self, now_ns: u64) {
        if self.progress.measured() && now_ns >= self.progress.end_ns(&self.limits, true) {
            return self.begin_draining(now_ns, u64::MAX);
        }
        while self.touched.len() < SENDS_A_CALL {
            let Some(slot) = self.next_ready(0) else {
                return;
            };
            if let Some(again) = self.returned.take() {
                self.take_ready(slot);
                self.assign(slot, again.intended_ns, now_ns, 1, again.returned);
                continue;
            }
            let connection = &self.connections[slot as usize];
            let room = self.room(slot).min(self.limits.copies - connection.unsent);
            let intended_ns = connection.free_since_ns.max(self.progress.origin_ns);
            let count = self.lease(room);
            if count == 0 {
                // What is in flight may still be returned, and sent then.
                if P::IN_ORDER || self.books.flying() == 0 {
                    self.begin_draining(self.books.last_send_ns(), u64::MAX);
                }
                return;
            }
            self.take_ready(slot);
            self.assign(slot, intended_ns, now_ns, count, 0);
        }
    }

    /// How many more requests a connection can take.
    #[inline]
    fn room(&self, slot: u32) -> u32 {
        let connection = &self.connections[slot as usize];
        let depth = self
            .limits
            .pipeline
            .saturating_sub(connection.flights.count());
        let left = self
            .limits
            .requests_per_connection
            .saturating_sub(connection.assigned);
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let state = connection.live.protocol.as_ref();
        depth
            .min(left)
            .min(state.map_or(0, |state| self.protocol.room(state)))
    }

    /// Whether another request can be assigned now.
    #[inline]
    fn can_take(&self, slot: u32) -> bool {
        let connection = &self.connections[slot as usize];
        connection.is_open()
            && !connection.sending
            && connection.send_failed.is_none()
            && connection.unsent < self.limits.copies
            && self.room(slot) > 0
    }

    /// Up to `room` requests of the common count.
    fn lease(&mut self, room: u32) -> u32 {
        let measured = self.progress.measured();
        let Loop::Closed { leased, counted } = &mut self.progress.due else {
            return 0;
        };
        if !measured {
            return room;
        }
        if !*counted {
            self.books.plan(u64::from(room));
            self.books.take_on(u64::from(room));
            self.books.offer(u64::from(room));
            return room;
        }
        if *leased == 0 {
            *leased = self.shared.lease();
            self.books.take_on(*leased);
        }
        let count = u64::from(room).min(*leased);
        *leased -= count;
        self.books.offer(count);
        if !self.limits.planned {
            self.books.plan(count);
        }
        u32::try_from(count).expect("invariant: at most room")
    }

    /// Everything due is offered; what the target cannot take is refused, what finds a connection is
    /// sent, what is past its deadline shed.
    fn release_open(&mut self, now_ns: u64) {
        self.offer(now_ns);
        if self.servers.at(0).is_away() {
            self.refuse();
        }
        self.shed(now_ns);
        while self.touched.len() < SENDS_A_CALL {
            let has_returned = !self.returned.is_empty();
            if !has_returned && !self.has_backlog() {
                break;
            }
            let Some(slot) = self.next_ready(0) else {
                break;
            };
            self.take_ready(slot);
            let (intended_ns, returned) = self.take_due();
            self.assign(slot, intended_ns, now_ns, 1, returned);
        }
        self.end_open(now_ns);
    }

    /// Takes out the request that is due next: one that was returned, or the backlog's first.
    fn take_due(&mut self) -> (u64, u8) {
        if let Some(again) = self.returned.take() {
            return (again.intended_ns, again.returned);
        }
        let Loop::Open(open) = &mut self.progress.due else {
            return (0, 0);
        };
        let intended_ns = open.instant_ns(open.released, self.progress.origin_ns);
        open.released += 1;
        (intended_ns, 0)
    }

    /// Offers what is intended up to an instant.
    pub(super) fn offer(&mut self, until_ns: u64) {
        if !self.progress.sends() {
            return;
        }
        let (measured, origin_ns) = (self.progress.measured(), self.progress.origin_ns);
        let open = match &mut self.progress.due {
            Loop::Open(open) => open,
            Loop::Sessions { .. } => return self.admit(until_ns),
            Loop::Closed { .. } => return,
        };
        let offered = open.offer(until_ns, origin_ns);
        if measured && offered > 0 {
            self.books.offer(offered);
            if !self.limits.planned {
                self.books.plan(offered);
                self.books.take_on(offered);
            }
        }
    }

    /// Refuses everything that is due, as the target would.
    fn refuse(&mut self) {
        let measured = self.progress.measured();
        let Loop::Open(open) = &mut self.progress.due else {
            return;
        };
        let refused = open.clear();
        if measured {
            self.books.refuse(refused + self.returned.clear());
        }
    }

    /// Sheds what was intended longer ago than the deadline allows.
    fn shed(&mut self, now_ns: u64) {
        let measured = self.progress.measured();
        let (Loop::Open(open), Some(deadline_ns)) =
            (&mut self.progress.due, self.limits.deadline_ns)
        else {
            return;
        };
        let in_time_ns = now_ns.saturating_sub(deadline_ns);
        let shed = open.shed(in_time_ns, self.progress.origin_ns);
        if measured {
            self.books.shed(shed + self.returned.shed(in_time_ns));
        }
    }

    fn has_backlog(&self) -> bool {
        matches!(&self.progress.due, Loop::Open(open) if open.backlog() > 0)
    }

    fn end_open(&mut self, now_ns: u64) {
        let Loop::Open(open) = &mut self.progress.due else {
            return;
        };
        if now_ns >= open.held_ns {
            open.held_ns = 0;
        }
        let is_done = open.is_exhausted()
            && open.held_ns == 0
            && open.backlog() == 0
            && self.returned.is_empty()
            && (P::IN_ORDER || self.books.flying() == 0);
        let is_late = now_ns
            >= self
                .progress
                .end_ns(&self.limits, self.servers.at(0).open > 0);
        if self.progress.measured() && (is_done || is_late) {
            self.begin_draining(now_ns, u64::MAX);
        }
    }

    /// The connection to a server whose turn it is. One that cannot take a request leaves the queue;
    /// what makes it able to puts it back.
    #[inline]
    pub(super) fn next_ready(&mut self, server: u32) -> Option<u32> {
        loop {
            let connections = &self.connections;
            let ready = &mut self.servers.at_mut(server).ready;
            let slot = ready.peek(|slot| connections[slot as usize].ticket)?;
            if self.can_take(slot) {
                return Some(slot);
            }
            self.take_ready(slot);
        }
    }

    pub(super) fn take_ready(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        let server = Self::server(connection);
        let ready = &mut self.servers.at_mut(server).ready;
        ready.take(&mut connection.ticket);
    }

    /// Puts a connection that can take a request into the queue.
    #[inline]
    pub(super) fn enqueue(&mut self, slot: u32) {
        if self.connections[slot as usize].ticket == 0 && self.can_take(slot) {
            let connection = &mut self.connections[slot as usize];
            let server = Self::server(connection);
            let ready = &mut self.servers.at_mut(server).ready;
            ready.put(slot, &mut connection.ticket);
        }
    }

    fn assign(&mut self, slot: u32, intended_ns: u64, now_ns: u64, count: u32, returned: u8) {
        let flight = Flight {
            intended_ns,
            sent_ns: now_ns,
            count,
            returned,
            measured: self.progress.measured(),
        };
        let connection = &mut self.connections[slot as usize];
        self.books.send(&flight);
        if Self::IS_SHARED {
            let bytes = u64::from(count) * self.limits.request_len as u64;
            self.books.write(bytes, flight.measured);
            connection.assign(flight);
        } else {
            self.write(slot, flight);
        }
        self.touch(slot);
        self.enqueue(slot);
    }

    /// Renders requests into the connection's own bytes.
    fn write(&mut self, slot: u32, flight: Flight) {
        let connection = &mut self.connections[slot as usize];
        let one = Flight { count: 1, ..flight };
        for _ in 0..flight.count {
            let state = connection.live.protocol.as_mut();
            let state = state.expect("invariant: only an open connection can take requests");
            let key = self
                .protocol
                .write(state, 0, &mut |_, _| {}, &mut connection.plain);
            if P::IN_ORDER {
                connection.assign(one);
            } else {
                connection.assign_keyed(key, one);
            }
        }
    }

    /// Notes that a connection has something to hand over.
    #[inline]
    pub(super) fn touch(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        if !std::mem::replace(&mut connection.touched, true) {
            self.touched.push(slot);
        }
    }

    /// Hands over what connections were given in this turn.
    fn hand_over<N: Network>(&mut self, now_ns: u64, net: &mut N) {
        let mut touched = std::mem::take(&mut self.touched);
        for slot in touched.drain(..) {
            let connection = &mut self.connections[slot as usize];
            connection.touched = false;
            connection.sent_ns = now_ns;
            if Self::IS_SHARED {
                self.hand_over_shared(slot, net);
            } else if !connection.sending {
                self.hand_over_one(slot, net);
            }
        }
        self.touched = touched;
    }

    #[inline]
    fn hand_over_shared<N: Network>(&mut self, slot: u32, net: &mut N) {
        let connection = &mut self.connections[slot as usize];
        let unsent = std::mem::take(&mut connection.unsent) as usize;
        if unsent == 0 {
            return;
        }
        let unanswered = connection.flights.count() as usize * self.limits.request_len;
        let notify = unanswered > SILENT_SEND_MAX || net.notifies_always();
        connection.sending = notify;
        net.send_shared(slot, unsent * self.limits.request_len, notify);
    }

    /// Hands over the bytes of one connection: those of the transport itself, then the plain ones,
    /// sealed.
    pub(super) fn hand_over_one<N: Network>(&mut self, slot: u32, net: &mut N) {
        let connection = &mut self.connections[slot as usize];
        connection.unsent = 0;
        if connection.send_failed.is_some() {
            return;
        }
        self.bytes.clear();
        self.bytes.append(&mut connection.raw);
        let plain = &mut connection.plain;
        if let Some(transport) = connection.live.transport.as_mut()
            && !plain.is_empty()
            && self.transport.is_established(transport)
        {
            // A failure shows when the peer ends the connection, which it cannot but do.
            if self
                .transport
                .seal(transport, plain, &mut self.bytes)
                .is_err()
            {
                connection.send_failed = Some(libc::EPROTO);
            }
            plain.clear();
        }
        if self.bytes.is_empty() {
            return;
        }
        let unanswered = connection.flights.count() as usize * self.limits.request_len;
        let notify = unanswered.max(self.bytes.len()) > SILENT_SEND_MAX || net.notifies_always();
        connection.sending = notify;
        self.books
            .write(self.bytes.len() as u64, self.progress.measured());
        net.send(slot, &self.bytes, notify);
    }

    /// The network took a send whole.
    pub(super) fn taken(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        connection.sending = false;
        if !connection.plain.is_empty() || !connection.raw.is_empty() {
            self.touch(slot);
        }
        self.enqueue(slot);
    }
}
