//! Connections: opening and losing them, and what their operations bring.

use proto::clock::monotonic_ns;
use socket2::{Protocol, Socket, Type};

use super::connection::{Connection, Flight, State};
use super::{Engine, Tape, WAKE};
use crate::protocol::http1::HeadMemo;
use crate::recording::{Instants, Loss};
use crate::ring::{Completion, Kind};

/// Attempts to connect that run at the same time while connections are first opened.
const OPENING_MAX: usize = 256;
/// A socket's buffer takes so many bytes whole, whatever the target reads. A send that stays below it
/// together with all that is unanswered has ended when the call that submitted it returns, and its
/// completion says nothing that the answer does not. Beyond it a part may have to wait, and no other
/// send may overtake that.
const SILENT_SEND_MAX: usize = 16 * 1024;
/// Timers that are looked at in a turn, so that many at once do not delay a send.
const TIMERS_A_TURN: usize = 64;

/// What the bytes of a receive mean for their connection.
enum Digest {
    GoesOn,
    /// The target ends the connection after this answer.
    Closes,
    /// What came is no answer to a request of ours.
    Broken,
}

impl Engine {
    /// Starts the first attempts; each that ends starts another until all have been tried.
    pub(super) fn open_connections(&mut self) {
        let now_ns = monotonic_ns();
        for _ in 0..OPENING_MAX {
            self.open_next(now_ns);
        }
    }

    fn open_next(&mut self, now_ns: u64) {
        while self.opening.0 < self.connections.len() {
            self.opening.0 += 1;
            if self.connect(self.opening.0 - 1, now_ns) {
                return;
            }
            self.opening.1 += 1;
        }
    }

    /// Begins an attempt; says whether one is under way.
    fn connect(&mut self, slot: usize, now_ns: u64) -> bool {
        self.connections[slot].count_attempt();
        let socket = match self.socket() {
            Ok(socket) => socket,
            Err(error) => {
                self.note_refusal(&error);
                self.retire(slot, now_ns);
                return false;
            }
        };
        let connection = &mut self.connections[slot];
        let until_ns = now_ns.saturating_add(self.limits.connect_timeout_ns);
        connection.begin(socket, until_ns);
        self.wheel.set(connection.slot, until_ns);
        self.ring
            .connect(connection.token(Kind::Connect), connection.fd());
        true
    }

    fn socket(&self) -> std::io::Result<Socket> {
        let socket = Socket::new(self.address.domain(), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        Ok(socket)
    }

    fn connect_failed(&mut self, slot: usize, error: &std::io::Error, now_ns: u64) {
        self.note_refusal(error);
        let first = self.connections[slot].generation == 0;
        self.retire(slot, now_ns);
        if first {
            self.opening.1 += 1;
            self.open_next(now_ns);
        }
    }

    fn note_refusal(&mut self, error: &std::io::Error) {
        self.tape.recorder.counts.connect_errors += 1;
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => self.tape.health.descriptors_exhausted += 1,
            Some(libc::EADDRNOTAVAIL) => self.tape.health.ports_exhausted += 1,
            _ => {}
        }
        self.connect_error = Some(error.to_string());
        self.refused = true;
    }

    /// Gives a slot's connection up and plans the next attempt.
    fn retire(&mut self, slot: usize, now_ns: u64) {
        let connection = &mut self.connections[slot];
        if connection.is_open() {
            self.shared.closed();
        }
        connection.end(true);
        let until_ns = now_ns.saturating_add(connection.back_off_ns());
        connection.state = State::Waiting { until_ns };
        let slot_id = connection.slot;
        self.wheel.set(slot_id, until_ns);
        self.dequeue(slot_id);
    }

    fn connected(&mut self, slot: usize, now_ns: u64) {
        let connection = &mut self.connections[slot];
        let first = connection.generation == 0;
        connection.state = State::Open;
        connection.free_since_ns = now_ns;
        self.refused = false;
        self.wheel.set(
            connection.slot,
            now_ns.saturating_add(self.limits.timeout_ns),
        );
        self.shared.opened();
        self.listen_to(slot);
        self.enqueue(self.connections[slot].slot);
        if first {
            self.opening.1 += 1;
            self.open_next(now_ns);
        }
    }

    /// Keeps a receive in flight on an open connection, so that an end is noticed when idle too.
    fn listen_to(&mut self, slot: usize) {
        let connection = &self.connections[slot];
        // A receive of the slot's earlier connection may still have the buffer; then this one
        // starts when that one has ended.
        if connection.is_open() && !self.ring.is_receiving(connection.slot) {
            self.ring
                .receive(connection.token(Kind::Receive), connection.fd());
        }
    }

    /// Queues a send for every connection that was assigned requests in this turn.
    pub(super) fn hand_over(&mut self) {
        for slot in self.touched.drain(..) {
            let connection = &mut self.connections[slot as usize];
            let length = std::mem::take(&mut connection.unsent) as usize * self.limits.request_len;
            let unanswered = connection.in_flight as usize * self.limits.request_len;
            let notify = unanswered > SILENT_SEND_MAX || !self.ring.features().skip_success;
            if notify {
                connection.sending = Some((0, length));
            }
            let token = connection.token(if notify { Kind::Send } else { Kind::SilentSend });
            self.ring.send(token, connection.fd(), 0, length, notify);
        }
    }

    /// Works off what completed.
    pub(super) fn reap(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        self.ring.reap(&mut batch);
        if !batch.is_empty() {
            let now_ns = monotonic_ns();
            self.keep_seconds(now_ns);
            for completion in &batch {
                self.complete(*completion, now_ns);
            }
        }
        batch.clear();
        self.batch = batch;
    }

    fn complete(&mut self, completion: Completion, now_ns: u64) {
        let Completion { token, result } = completion;
        let slot = token.slot as usize;
        let current = || self.connections[slot].generation == token.generation;
        match token.kind {
            Kind::Receive if current() => self.received(slot, result, now_ns),
            Kind::Receive => self.listen_to(slot),
            Kind::Send if current() => self.sent(slot, result, now_ns),
            Kind::SilentSend if current() => self.lose(slot, Loss::Write, now_ns),
            Kind::Connect if current() && result < 0 => {
                self.connect_failed(slot, &std::io::Error::from_raw_os_error(-result), now_ns);
            }
            Kind::Connect if current() => self.connected(slot, now_ns),
            Kind::Wake => self.ring.listen(WAKE, self.shared.bell(self.core)),
            Kind::Send | Kind::SilentSend | Kind::Connect => {}
        }
    }

    fn sent(&mut self, slot: usize, result: i32, now_ns: u64) {
        let connection = &mut self.connections[slot];
        let (Ok(length @ 1..), Some((from, to))) = (usize::try_from(result), connection.sending)
        else {
            return self.lose(slot, Loss::Write, now_ns);
        };
        let from = from + length;
        if from < to {
            connection.sending = Some((from, to));
            let token = connection.token(Kind::Send);
            return self
                .ring
                .send(token, connection.fd(), from, to - from, true);
        }
        connection.sending = None;
        let slot_id = connection.slot;
        self.enqueue(slot_id);
    }

    fn received(&mut self, slot: usize, result: i32, now_ns: u64) {
        match usize::try_from(result) {
            Ok(0) => self.ended(slot, now_ns),
            Ok(length) => self.brought(slot, length, now_ns),
            Err(_) if matches!(-result, libc::EINTR | libc::EAGAIN) => self.listen_to(slot),
            Err(_) => self.lose(slot, Loss::Read, now_ns),
        }
    }

    fn brought(&mut self, slot: usize, length: usize, now_ns: u64) {
        let connection = &mut self.connections[slot];
        let before = connection.in_flight;
        let bytes = self.ring.received(connection.slot, length);
        let digest = digest(connection, &mut self.memo, &mut self.tape, bytes, now_ns);
        let answered = before - connection.in_flight;
        self.flying -= u64::from(answered);
        match digest {
            Digest::GoesOn => {
                if answered > 0 {
                    connection.free_since_ns = now_ns;
                    let slot_id = connection.slot;
                    self.enqueue(slot_id);
                }
                self.listen_to(slot);
            }
            Digest::Closes => self.lose(slot, Loss::Read, now_ns),
            Digest::Broken => self.lose(slot, Loss::Malformed, now_ns),
        }
    }

    /// The target has ended the connection, which completes an answer without a length.
    fn ended(&mut self, slot: usize, now_ns: u64) {
        let connection = &mut self.connections[slot];
        if let Ok(Some(answer)) = connection.reader.end()
            && let Some(flight) = connection.answer()
        {
            self.flying -= 1;
            answered(&mut self.tape, flight, answer.status, now_ns);
        }
        self.lose(slot, Loss::Read, now_ns);
    }

    /// The connection is of no more use; what is in flight on it is lost.
    pub(super) fn lose(&mut self, slot: usize, loss: Loss, now_ns: u64) {
        let connection = &self.connections[slot];
        self.flying -= u64::from(connection.in_flight);
        let timeout_ns = self.limits.timeout_ns;
        let mut first = true;
        for flight in connection.flights().filter(|flight| flight.measured) {
            let instants = instants(flight, now_ns);
            let expired = flight.sent_ns.saturating_add(timeout_ns) <= now_ns;
            match loss {
                // Bytes that are no answer spoil one request; the rest just lose their connection.
                Loss::Malformed => {
                    let one = u32::from(std::mem::take(&mut first));
                    record_loss(&mut self.tape, Loss::Malformed, instants, one);
                    record_loss(&mut self.tape, Loss::Read, instants, flight.count - one);
                }
                Loss::Timeout if !expired => {
                    record_loss(&mut self.tape, Loss::Read, instants, flight.count);
                }
                _ => record_loss(&mut self.tape, loss, instants, flight.count),
            }
        }
        self.retire(slot, now_ns);
        if matches!(self.connections[slot].state, State::Waiting { until_ns } if until_ns <= now_ns)
            && !self.is_ending()
        {
            self.connect(slot, now_ns);
        }
    }

    /// Looks at the connections whose time has come.
    pub(super) fn fire_timers(&mut self, now_ns: u64) {
        for _ in 0..TIMERS_A_TURN {
            let Some(slot) = self.wheel.pop(now_ns) else {
                return;
            };
            self.look_at(slot as usize, now_ns);
        }
    }

    fn look_at(&mut self, slot: usize, now_ns: u64) {
        let connection = &self.connections[slot];
        let look_ns = match connection.state {
            State::New => return,
            State::Waiting { until_ns } if until_ns <= now_ns => {
                if !self.is_ending() {
                    self.connect(slot, now_ns);
                }
                return;
            }
            State::Connecting { until_ns } if until_ns <= now_ns => {
                let error = std::io::Error::from_raw_os_error(libc::ETIMEDOUT);
                return self.connect_failed(slot, &error, now_ns);
            }
            State::Waiting { until_ns } | State::Connecting { until_ns } => until_ns,
            State::Open => {
                let idle = now_ns;
                let since_ns = connection.oldest().map_or(idle, |flight| flight.sent_ns);
                since_ns.saturating_add(self.limits.timeout_ns)
            }
        };
        if connection.is_open() && look_ns <= now_ns {
            return self.lose(slot, Loss::Timeout, now_ns);
        }
        self.wheel.set(connection.slot, look_ns);
    }

    /// Ends all connections. Idle ones are reset, so that the ports of many are free for the next
    /// run; a reset of others could take requests from the target that it has not read yet.
    pub(super) fn close_connections(&mut self) {
        for connection in &mut self.connections {
            if connection.is_open() {
                self.shared.closed();
            }
            connection.end(connection.in_flight == 0);
        }
    }
}

/// Reads answers from `bytes` and records them.
fn digest(
    connection: &mut Connection,
    memo: &mut HeadMemo,
    tape: &mut Tape,
    mut bytes: &[u8],
    now_ns: u64,
) -> Digest {
    match connection.oldest() {
        None => return Digest::Broken,
        Some(flight) if flight.measured => {
            tape.recorder.counts.bytes_received += bytes.len() as u64;
        }
        Some(_) => {}
    }
    while !bytes.is_empty() {
        let Ok(step) = connection.reader.read(memo, bytes) else {
            return Digest::Broken;
        };
        bytes = &bytes[step.used..];
        let Some(answer) = step.answer else { break };
        let Some(flight) = connection.answer() else {
            return Digest::Broken;
        };
        answered(tape, flight, answer.status, now_ns);
        if !answer.keep_alive {
            return Digest::Closes;
        }
    }
    Digest::GoesOn
}

fn answered(tape: &mut Tape, flight: Flight, status: u16, now_ns: u64) {
    if flight.measured {
        tape.recorder.answered(status, instants(&flight, now_ns), 1);
    }
}

fn record_loss(tape: &mut Tape, loss: Loss, instants: Instants, count: u32) {
    if count > 0 {
        tape.recorder.lost(loss, instants, count);
    }
}

fn instants(flight: &Flight, end_ns: u64) -> Instants {
    Instants {
        intended_ns: flight.intended_ns,
        sent_ns: flight.sent_ns,
        end_ns,
    }
}
