//! One connection of a core: its socket, where it is in its answers, and what is in flight on it.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};

use socket2::Socket;

use crate::protocol::http1::Reader;
use crate::ring::{Kind, Token};

/// First delay before another attempt to connect, ns; doubles up to [`BACK_OFF_MAX_NS`].
const BACK_OFF_MIN_NS: u64 = 10_000_000;
/// Longest delay before another attempt to connect, ns.
const BACK_OFF_MAX_NS: u64 = 1_000_000_000;

/// Requests that were sent together on one connection, with the same instants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flight {
    pub intended_ns: u64,
    pub sent_ns: u64,
    pub count: u32,
    /// False in the warm-up, of which nothing is recorded.
    pub measured: bool,
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Never tried.
    New,
    /// Waiting to try (again) at that instant.
    Waiting { until_ns: u64 },
    /// The attempt fails at that instant.
    Connecting { until_ns: u64 },
    /// Open.
    Open,
}

/// A slot for one connection after another.
#[derive(Debug)]
pub(super) struct Connection {
    pub slot: u32,
    pub generation: u32,
    pub state: State,
    socket: Option<Socket>,
    pub reader: Reader,
    flights: VecDeque<Flight>,
    /// Requests in `flights`.
    pub in_flight: u32,
    /// Requests that the current turn assigned and has not handed to the kernel yet.
    pub unsent: u32,
    /// Where the send in progress is to go on, and where it ends; only of sends that notify.
    pub sending: Option<(usize, usize)>,
    /// Whether the slot is in the queue of those that can take a request.
    pub queued: bool,
    /// When a request could last have been taken: the intended start in a closed loop.
    pub free_since_ns: u64,
    /// Answers of all connections of this slot.
    pub answers: u64,
    /// Answers of the current connection.
    served: u64,
    /// Attempts since the last connection that served anything.
    attempts: u32,
}

impl Connection {
    pub(super) fn new(slot: u32, pipeline: u32) -> Self {
        Self {
            slot,
            generation: 0,
            state: State::New,
            socket: None,
            reader: Reader::default(),
            flights: VecDeque::with_capacity(pipeline as usize),
            in_flight: 0,
            unsent: 0,
            sending: None,
            queued: false,
            free_since_ns: 0,
            answers: 0,
            served: 0,
            attempts: 0,
        }
    }

    pub(super) fn token(&self, kind: Kind) -> Token {
        Token {
            kind,
            slot: self.slot,
            generation: self.generation,
        }
    }

    /// The descriptor of the current socket, or -1, which every operation refuses.
    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether another request can be assigned now.
    pub(super) fn can_take(&self, pipeline: u32) -> bool {
        self.is_open() && self.in_flight < pipeline && self.sending.is_none()
    }

    /// Another attempt, whatever comes of it.
    pub(super) fn count_attempt(&mut self) {
        self.served = 0;
        self.attempts = self.attempts.saturating_add(1);
    }

    /// Begins an attempt with a new socket.
    pub(super) fn begin(&mut self, socket: Socket, until_ns: u64) {
        self.socket = Some(socket);
        self.reader.reset();
        self.state = State::Connecting { until_ns };
    }

    /// Gives the socket up, together with what is in flight on it; operations of it that complete
    /// later are told by their generation. A reset instead of an orderly end keeps our side free of
    /// `TIME_WAIT`, of which long runs against closing servers would run out.
    pub(super) fn end(&mut self, reset: bool) {
        if let Some(socket) = self.socket.take() {
            if reset {
                let _ = socket.set_linger(Some(std::time::Duration::ZERO));
            }
            // Ends the receive in flight, which holds the socket beyond its descriptor.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        self.generation = self.generation.wrapping_add(1) & crate::ring::GENERATION_MASK;
        self.flights.clear();
        (self.in_flight, self.unsent, self.sending) = (0, 0, None);
        self.state = State::New;
    }

    /// How long to wait before the next attempt: not at all after a connection that was of use,
    /// ever longer otherwise, with jitter so that connections do not return in lockstep.
    pub(super) fn back_off_ns(&self) -> u64 {
        if self.served > 0 || self.attempts == 0 {
            return 0;
        }
        let doubled = BACK_OFF_MIN_NS << self.attempts.min(7);
        let delay = doubled.min(BACK_OFF_MAX_NS);
        delay / 2 + fastrand::u64(0..=delay / 2)
    }

    /// Adds requests that are to be sent now. Those of the same instants as the last join it.
    pub(super) fn assign(&mut self, flight: Flight) {
        self.in_flight += flight.count;
        self.unsent += flight.count;
        match self.flights.back_mut() {
            Some(last)
                if last.intended_ns == flight.intended_ns
                    && last.sent_ns == flight.sent_ns
                    && last.measured == flight.measured =>
            {
                last.count += flight.count;
            }
            _ => self.flights.push_back(flight),
        }
    }

    /// The oldest request in flight.
    pub(super) fn oldest(&self) -> Option<&Flight> {
        self.flights.front()
    }

    /// Takes the oldest request out, which has been answered.
    pub(super) fn answer(&mut self) -> Option<Flight> {
        let front = self.flights.front_mut()?;
        let flight = *front;
        front.count -= 1;
        if front.count == 0 {
            self.flights.pop_front();
        }
        self.in_flight -= 1;
        self.answers += u64::from(flight.measured);
        self.served += 1;
        self.attempts = 0;
        Some(flight)
    }

    /// All that is in flight, oldest first.
    pub(super) fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.flights.iter()
    }
}
