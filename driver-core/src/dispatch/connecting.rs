//! Opening connections, greeting the peer, and giving connections up.

use std::fmt;
use std::io;

use proto::measure::ReasonKind;

use super::Dispatcher;
use super::connection::State;
use super::network::Network;
use crate::protocol::Protocol;
use crate::source::Source;
use crate::transport::Transport;

/// Attempts to connect that run at the same time while connections are first opened.
const OPENING_MAX: usize = 256;
/// A connection that lasted less than this without being used says that the target wants none, ns.
const USELESS_NS: u64 = 1_000_000_000;

/// What a core found when it opened its connections to a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Connections that are open.
    pub open: usize,
    /// Why the last attempt that failed did.
    pub connect_error: Option<String>,
}

/// How far the first attempts are: begun, and ended either way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Opening {
    begun: u32,
    ended: u32,
}

impl<P: Protocol, T: Transport, S: Source> Dispatcher<P, T, S> {
    /// Starts the first attempts; each that ends starts another until all have been tried.
    pub fn open_connections<N: Network>(&mut self, now_ns: u64, net: &mut N) {
        for _ in 0..OPENING_MAX {
            self.open_next(now_ns, net);
        }
    }

    fn open_next<N: Network>(&mut self, now_ns: u64, net: &mut N) {
        while self.opening.begun < self.slots() {
            self.opening.begun += 1;
            let slot = self.servers.nth_to_open(self.opening.begun - 1);
            if self.connect(slot, now_ns, net) {
                return;
            }
            self.opening.ended += 1;
        }
    }

    /// A slot's first attempt has ended.
    fn count_first(&mut self, slot: u32, now_ns: u64, net: &mut impl Network) {
        if !std::mem::replace(&mut self.tried[slot as usize], true) {
            self.opening.ended += 1;
            self.open_next(now_ns, net);
        }
    }

    /// Whether every connection has been tried.
    #[must_use]
    pub fn tried_all(&self) -> bool {
        self.opening.ended >= self.slots()
    }

    /// What came of the first attempts, by server.
    #[must_use]
    pub fn readiness(&self) -> Vec<Readiness> {
        let servers = self.servers.all().map(|server| Readiness {
            open: server.open as usize,
            connect_error: server.connect_error.clone(),
        });
        servers.collect()
    }

    /// Begins an attempt; says whether one is under way.
    pub(super) fn connect<N: Network>(&mut self, slot: u32, now_ns: u64, net: &mut N) -> bool {
        let until_ns = now_ns.saturating_add(self.limits.connect_timeout_ns);
        let connection = &mut self.connections[slot as usize];
        connection.begin(now_ns, until_ns);
        let endpoint = connection.endpoint;
        if let Err(error) = net.connect(slot, endpoint) {
            self.note_connect_error(slot, error.raw_os_error(), &error, now_ns);
            self.tried[slot as usize] = true;
            self.put_off(slot, now_ns);
            return false;
        }
        self.wheel.set(slot, until_ns);
        true
    }

    pub(super) fn connected<N: Network>(&mut self, slot: u32, now_ns: u64, net: &mut N) {
        let connection = &mut self.connections[slot as usize];
        let State::Connecting { until_ns } = connection.state else {
            return;
        };
        self.books
            .connected(now_ns.saturating_sub(connection.since_ns));
        connection.state = State::Greeting { until_ns };
        let endpoint = connection.endpoint;
        match self.transport.start(endpoint, now_ns, &mut connection.raw) {
            Ok(state) => connection.live.transport = Some(state),
            Err(broken) => {
                let reason = broken.to_string();
                return self.connect_failed(slot, None, &reason, now_ns, net);
            }
        }
        net.receive(slot);
        self.greet(slot, now_ns, net);
    }

    /// Goes on with a connection that is not of use yet, as far as it can.
    pub(super) fn greet<N: Network>(&mut self, slot: u32, now_ns: u64, net: &mut N) {
        let connection = &mut self.connections[slot as usize];
        let endpoint = connection.endpoint;
        let Some(transport) = &connection.live.transport else {
            return;
        };
        if connection.live.protocol.is_none() && self.transport.is_established(transport) {
            let state = self.protocol.open(endpoint, &mut connection.plain);
            connection.live.protocol = Some(state);
            if !self.transport.is_plain(transport) {
                self.books
                    .greeted(now_ns.saturating_sub(connection.since_ns));
            }
        }
        let has_bytes = !connection.raw.is_empty() || !connection.plain.is_empty();
        let protocol = connection.live.protocol.as_ref();
        let is_of_use = protocol.is_some_and(|state| self.protocol.room(state) > 0);
        if is_of_use {
            self.becomes_useful(slot, now_ns, net);
        }
        if has_bytes {
            self.touch(slot);
        }
    }

    fn becomes_useful<N: Network>(&mut self, slot: u32, now_ns: u64, net: &mut N) {
        let connection = &mut self.connections[slot as usize];
        connection.state = State::Open;
        self.wheel
            .set(slot, now_ns.saturating_add(self.limits.timeout_ns));
        let server = Self::server(connection);
        self.shared.opened(server);
        self.books.opened();
        let server = self.servers.at_mut(server);
        server.open += 1;
        self.books.away(server.away_ns(now_ns));
        server.away_since_ns = None;
        self.enqueue(slot);
        self.count_first(slot, now_ns, net);
    }

    /// An attempt has failed: refused, out of time, or broken while greeting.
    pub(super) fn connect_failed<N: Network>(
        &mut self,
        slot: u32,
        errno: Option<i32>,
        reason: &dyn fmt::Display,
        now_ns: u64,
        net: &mut N,
    ) {
        self.note_connect_error(slot, errno, reason, now_ns);
        net.close(slot, true);
        self.connections[slot as usize].end();
        self.put_off(slot, now_ns);
        self.count_first(slot, now_ns, net);
    }

    fn note_connect_error(
        &mut self,
        slot: u32,
        errno: Option<i32>,
        reason: &dyn fmt::Display,
        now_ns: u64,
    ) {
        self.books.connect_failed(errno);
        let is_one_of_several = self.servers.count() > 1;
        let server = Self::server(&self.connections[slot as usize]);
        let server = self.servers.at_mut(server);
        if is_one_of_several {
            let named = format_args!("{}: {reason}", server.name);
            self.books.note(ReasonKind::Connect, 1, named);
        } else {
            self.books
                .note(ReasonKind::Connect, 1, format_args!("{reason}"));
        }
        server.refuses(reason.to_string(), now_ns);
    }

    /// Plans the next attempt after a while.
    fn put_off(&mut self, slot: u32, now_ns: u64) {
        let connection = &mut self.connections[slot as usize];
        let until_ns = now_ns.saturating_add(connection.back_off_ns());
        connection.state = State::Waiting { until_ns };
        self.wheel.set(slot, until_ns);
        self.books.held_back();
    }

    /// Gives a slot's connection up, of which nothing is in flight any more, and opens another at
    /// once: who accepts connections gets its load. Only one that nobody could use, and that did
    /// not last, is waited for.
    pub(super) fn replace<N: Network>(&mut self, slot: u32, reset: bool, now_ns: u64, net: &mut N) {
        let connection = &mut self.connections[slot as usize];
        let was_greeting = matches!(connection.state, State::Greeting { .. });
        if was_greeting {
            let reason = "the target ended the connection before it was of use";
            return self.connect_failed(slot, None, &reason, now_ns, net);
        }
        let server = Self::server(connection);
        if connection.is_open() {
            self.servers.at_mut(server).open -= 1;
            self.shared.closed(server);
        }
        let lasted_ns = now_ns.saturating_sub(connection.since_ns);
        let useless = connection.end() && lasted_ns < USELESS_NS;
        let ready = &mut self.servers.at_mut(server).ready;
        ready.leave(&mut connection.ticket);
        net.close(slot, reset);
        self.wheel.unset(slot);
        if self.progress.is_ending() {
            return;
        }
        if useless {
            self.put_off(slot, now_ns);
        } else {
            self.connect(slot, now_ns, net);
        }
    }

    /// Ends all connections. Idle ones are reset, so that the ports of many are free for the next
    /// run; a reset of others could take requests from the target that it has not read yet.
    pub(super) fn close_connections<N: Network>(&mut self, net: &mut N) {
        for slot in 0..self.slots() {
            let connection = &mut self.connections[slot as usize];
            if connection.is_open() {
                let server = Self::server(connection);
                self.shared.closed(server);
                self.servers.at_mut(server).open -= 1;
            }
            let is_idle = connection.flights.count() == 0;
            connection.end();
            net.close(slot, is_idle);
        }
    }

    /// Looks at a connection whose time has come.
    pub(super) fn look_at<N: Network>(&mut self, slot: u32, now_ns: u64, net: &mut N) {
        let connection = &self.connections[slot as usize];
        match connection.state {
            State::New => {}
            State::Waiting { until_ns } if until_ns <= now_ns => {
                if !self.progress.is_ending() {
                    self.connect(slot, now_ns, net);
                }
            }
            State::Connecting { until_ns } | State::Greeting { until_ns } if until_ns <= now_ns => {
                let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
                self.connect_failed(slot, Some(libc::ETIMEDOUT), &error, now_ns, net);
            }
            State::Waiting { until_ns }
            | State::Connecting { until_ns }
            | State::Greeting { until_ns } => self.wheel.set(slot, until_ns),
            State::Open => self.look_for_timeout(slot, now_ns, net),
        }
    }
}
