//! What comes back: answers, ends and failures, and what they mean for the requests in flight.

use std::io;

use proto::measure::ReasonKind;

use super::Dispatcher;
use super::connection::{Live, State};
use super::hearing::Answers;
use super::losses::{Cause, Losses};
use super::network::{Network, Piece};
use crate::protocol::{After, Protocol};
use crate::recording::Loss;
use crate::source::Source;
use crate::transport::Transport;

/// A body of which at least so many bytes are still to come is thrown away unseen.
const DISCARD_MIN: u64 = 8 * 1024;
/// Bytes that nobody asked for are quoted up to this length.
const QUOTED_MAX: usize = 40;

/// Where a connection leads, the states of its protocol and transport, and what is to be sent on it: before the
/// transport, and after.
struct Line<'a, P, T> {
    endpoint: usize,
    live: &'a mut Live<P, T>,
    plain: &'a mut Vec<u8>,
    raw: &'a mut Vec<u8>,
}

/// What is to be done after bytes were read.
enum Then {
    GoesOn,
    Closes,
    Malformed(String),
    Broken(String),
    Unsolicited,
}

impl<P: Protocol, T: Transport, S: Source> Dispatcher<P, T, S> {
    #[inline]
    pub(super) fn received<N: Network>(
        &mut self,
        slot: u32,
        piece: Piece,
        now_ns: u64,
        net: &mut N,
    ) {
        let connection = &mut self.connections[slot as usize];
        if connection.live.transport.is_none() {
            return;
        }
        let bytes = net.bytes(slot, piece);
        self.count_bytes(slot, bytes.len() as u64);
        let (then, answered) = self.hear(slot, now_ns, |protocol, transport, line, answers| {
            if !T::IS_PLAIN {
                return open_and_read((protocol, transport), line, bytes, answers);
            }
            let state = line.live.protocol.as_mut();
            let state = state.expect("invariant: a plain connection is established at once");
            read(protocol, state, bytes, line.plain, answers)
        });
        self.after(slot, then, answered, now_ns, net);
    }

    /// Lets what came on a connection speak to the books: what it says, and whether it answered
    /// requests.
    #[inline]
    fn hear<R>(
        &mut self,
        slot: u32,
        now_ns: u64,
        say: impl FnOnce(&mut P, &mut T, Line<'_, P::State, T::State>, &mut Answers<'_, S>) -> R,
    ) -> (R, bool) {
        let connection = &mut self.connections[slot as usize];
        let again = &mut self.servers.at_mut(Self::server(connection)).again;
        let mut answers = Answers::new(
            (&mut connection.flights, &mut connection.jobs),
            (&mut self.source, again),
            &mut self.books,
            &mut self.returned,
            P::IN_ORDER,
            now_ns,
        );
        let line = Line {
            endpoint: connection.endpoint,
            live: &mut connection.live,
            plain: &mut connection.plain,
            raw: &mut connection.raw,
        };
        let said = say(&mut self.protocol, &mut self.transport, line, &mut answers);
        answers.flush();
        let (answered, measured) = (answers.count, answers.measured);
        if answered > 0 {
            connection.count_answers(answered, measured, now_ns);
        }
        (said, answered > 0)
    }

    /// Counts bytes that came, where they are of a request that is measured.
    #[inline]
    fn count_bytes(&mut self, slot: u32, bytes: u64) {
        let oldest = self.connections[slot as usize].flights.oldest();
        if oldest.is_some_and(|(_, flight)| flight.measured) {
            self.books.receive(bytes);
        }
    }

    #[inline]
    fn after<N: Network>(
        &mut self,
        slot: u32,
        then: Then,
        answered: bool,
        now_ns: u64,
        net: &mut N,
    ) {
        let connection = &mut self.connections[slot as usize];
        if !connection.plain.is_empty() || !connection.raw.is_empty() {
            self.touch(slot);
        }
        match then {
            Then::GoesOn => {
                if answered && self.is_used_up(slot) {
                    return self.retire(slot, now_ns, net);
                }
                self.receive(slot, net);
                if !self.connections[slot as usize].is_open() {
                    self.greet(slot, now_ns, net);
                } else if answered || !P::IN_ORDER {
                    self.enqueue(slot);
                }
            }
            Then::Closes | Then::Unsolicited => {
                self.lose_for(slot, Loss::Read, &Cause::Closes, now_ns, net);
            }
            Then::Malformed(words) => {
                self.say_goodbye(slot, net);
                self.lose_for(slot, Loss::Malformed, &Cause::Words(&words), now_ns, net);
            }
            Then::Broken(words) => {
                self.say_goodbye(slot, net);
                self.lose_for(slot, Loss::Read, &Cause::Words(&words), now_ns, net);
            }
        }
    }

    /// Receives what comes next, but for a long body that nobody looks at.
    #[inline]
    fn receive<N: Network>(&mut self, slot: u32, net: &mut N) {
        let Live {
            protocol,
            transport,
        } = &self.connections[slot as usize].live;
        let is_plain = |state| self.transport.is_plain(state);
        let is_plain = T::IS_PLAIN || transport.as_ref().is_some_and(is_plain);
        let length = match protocol {
            Some(state) if is_plain => self.protocol.skippable(state),
            _ => 0,
        };
        if length >= DISCARD_MIN {
            net.discard(slot, length);
        } else {
            net.receive(slot);
        }
    }

    /// Bytes of a body came and were thrown away.
    pub(super) fn discarded<N: Network>(
        &mut self,
        slot: u32,
        length: u64,
        now_ns: u64,
        net: &mut N,
    ) {
        let connection = &mut self.connections[slot as usize];
        if connection.live.protocol.is_none() {
            return;
        }
        self.count_bytes(slot, length);
        let (then, answered) = self.hear(slot, now_ns, |protocol, _, line, answers| {
            let state = line.live.protocol.as_mut();
            let after = state.map(|state| protocol.skipped(state, length, answers));
            match after {
                None | Some(After::GoesOn) => Then::GoesOn,
                Some(After::Closes | After::Unsolicited(_)) => Then::Closes,
            }
        });
        self.after(slot, then, answered, now_ns, net);
    }

    /// Whether the connection has had as many requests as it is to have, and all are answered.
    fn is_used_up(&self, slot: u32) -> bool {
        let connection = &self.connections[slot as usize];
        connection.assigned >= self.limits.requests_per_connection
            && connection.flights.count() == 0
    }

    /// Ends a connection that has done what it was to do.
    fn retire<N: Network>(&mut self, slot: u32, now_ns: u64, net: &mut N) {
        self.replace(slot, true, now_ns, net);
    }

    /// Sends what the peer has to be told before the connection ends, if it can be sent at once.
    fn say_goodbye<N: Network>(&mut self, slot: u32, net: &mut N) {
        if !self.connections[slot as usize].sending {
            self.hand_over_one(slot, net);
        }
    }

    /// The target has ended the connection, which completes an answer without a length.
    pub(super) fn ended<N: Network>(&mut self, slot: u32, now_ns: u64, net: &mut N) {
        let (end, _) = self.hear(slot, now_ns, |protocol, transport, line, answers| {
            let is_announced = line.live.transport.as_ref().map(|state| {
                let end = transport.end(state);
                end.map_err(|broken| broken.to_string())
            });
            // What only the end would complete is whole only if the end was meant.
            match (is_announced, line.live.protocol.as_mut()) {
                (Some(Err(broken)), _) => Err(broken),
                (_, Some(state)) => {
                    let end = protocol.end(state, answers);
                    end.map_err(|malformed| malformed.to_string())
                }
                _ => Ok(()),
            }
        });
        match end {
            Ok(()) => self.lose_for(slot, Loss::Read, &Cause::Ended, now_ns, net),
            Err(words) => {
                self.lose_for(slot, Loss::Read, &Cause::Words(&words), now_ns, net);
            }
        }
    }

    /// A send has failed. What has come may still be the answer, so the end of that is awaited.
    pub(super) fn send_failed<N: Network>(
        &mut self,
        slot: u32,
        errno: i32,
        now_ns: u64,
        net: &mut N,
    ) {
        let connection = &mut self.connections[slot as usize];
        match connection.state {
            State::Open => {
                connection.send_failed.get_or_insert(errno);
                connection.sending = false;
                let server = Self::server(connection);
                let ready = &mut self.servers.at_mut(server).ready;
                ready.leave(&mut connection.ticket);
                // Nothing is awaited on it: it is of no more use.
                if connection.flights.count() == 0 {
                    self.lose_for(slot, Loss::Write, &Cause::Errno(errno), now_ns, net);
                }
            }
            State::Greeting { .. } => {
                let error = io::Error::from_raw_os_error(errno);
                self.connect_failed(slot, Some(errno), &error, now_ns, net);
            }
            State::New | State::Waiting { .. } | State::Connecting { .. } => {}
        }
    }

    /// The connection is of no more use; what is in flight on it is lost.
    pub(super) fn lose<N: Network>(&mut self, slot: u32, loss: Loss, now_ns: u64, net: &mut N) {
        let words = match loss {
            Loss::Timeout => "no complete answer within the timeout",
            _ => "the load ended",
        };
        self.lose_for(slot, loss, &Cause::Words(&words), now_ns, net);
    }

    pub(super) fn lose_for<N: Network>(
        &mut self,
        slot: u32,
        loss: Loss,
        cause: &Cause<'_>,
        now_ns: u64,
        net: &mut N,
    ) {
        let connection = &mut self.connections[slot as usize];
        match connection.state {
            State::Open => {}
            State::Greeting { .. } | State::Connecting { .. } if loss != Loss::Aborted => {
                return self.connect_failed(slot, None, cause, now_ns, net);
            }
            _ => return,
        }
        let losses = Losses::of(connection, loss, cause, &self.limits, now_ns);
        let mut is_first = true;
        for flight in connection.flights.drain() {
            losses.record(
                &flight,
                std::mem::take(&mut is_first),
                &mut self.books,
                now_ns,
            );
        }
        for (_, job) in connection.jobs.drain(..) {
            self.source.lost(job, now_ns);
        }
        connection.free_since_ns = now_ns;
        let by_us = matches!(loss, Loss::Timeout | Loss::Aborted);
        if !by_us {
            self.books.lost_connection();
        }
        self.replace(slot, true, now_ns, net);
    }
}

#[inline]
fn read<P: Protocol, S: Source>(
    protocol: &mut P,
    state: &mut P::State,
    bytes: &[u8],
    out: &mut Vec<u8>,
    answers: &mut Answers<'_, S>,
) -> Then {
    match protocol.read(state, bytes, out, answers) {
        Ok(After::GoesOn) => Then::GoesOn,
        Ok(After::Closes) => Then::Closes,
        Ok(After::Unsolicited(at)) => {
            answers.books.unsolicited();
            let quoted = &bytes[at..bytes.len().min(at + QUOTED_MAX)];
            answers.books.note(
                ReasonKind::Unsolicited,
                1,
                format_args!("bytes that nobody asked for: \"{}\"", quoted.escape_ascii()),
            );
            Then::Unsolicited
        }
        Err(malformed) => Then::Malformed(malformed.to_string()),
    }
}

fn open_and_read<P: Protocol, T: Transport, S: Source>(
    (protocol, transport): (&mut P, &mut T),
    line: Line<'_, P::State, T::State>,
    bytes: &mut [u8],
    answers: &mut Answers<'_, S>,
) -> Then {
    let Line {
        endpoint,
        live,
        plain,
        raw,
    } = line;
    let Some(sealed) = live.transport.as_mut() else {
        return Then::GoesOn;
    };
    let mut then = Then::GoesOn;
    let progress = transport.open(sealed, bytes, raw, &mut |bytes: &[u8]| {
        // Plain bytes come only once the connection is established.
        let state = live
            .protocol
            .get_or_insert_with(|| protocol.open(endpoint, plain));
        then = read(protocol, state, bytes, plain, answers);
        matches!(then, Then::GoesOn)
    });
    match (then, progress) {
        (Then::GoesOn, Err(broken)) => Then::Broken(broken.to_string()),
        (Then::GoesOn, Ok(progress)) if progress.ended => Then::Closes,
        (then, _) => then,
    }
}
