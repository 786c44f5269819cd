//! The dispatcher of one core: which requests are due, which connection takes each, what their
//! answers mean, and the books. Pure: bytes and instants go in, sends come out; it reads no clock,
//! owns no socket, and runs in the simulation as it runs on the ring.
//!
//! | part | does |
//! |---|---|
//! | `phase` | where the load is, and what moves it on |
//! | `due` | how far the core has gone through its plan |
//! | `servers` | the servers under load: which of them are there |
//! | `ready` | the connections to one that can take a request |
//! | `release` | gives what is due to connections, and hands it over |
//! | `sessions` | gives them what sessions have made ready |
//! | `connection`, `connecting` | one connection; opening, greeting and replacing them |
//! | `answers` | what comes back |
//! | `hearing` | what it means, written into the books |
//! | `books` | the accounts, in one hand |
//! | `timers` | timeouts and back-off |
//! | `network` | what it needs of the network, and what that tells it |
//! | `shared` | what all cores of a node share |

use std::sync::Arc;

use crossbeam_channel::Sender;
use proto::units::NS_PER_S;
use proto::workload::Reuse;

use crate::plan::{Plan, Share};
use crate::protocol::Protocol;
use crate::recording::{CoreHealth, CoreInterval, Loss};
use crate::source::{Same, Source};
use crate::transport::Transport;

mod answers;
mod books;
mod connecting;
mod connection;
mod due;
mod hearing;
mod losses;
mod network;
mod phase;
mod ready;
mod release;
mod servers;
mod sessions;
mod shared;
mod timers;

use books::Books;
use connecting::Opening;
pub use connecting::Readiness;
use connection::Connection;
use due::{Loop, Open, ReturnedQueue};
pub use network::{Event, Network, Piece};
use phase::Progress;
use servers::Servers;
pub use shared::Shared;
use timers::Wheel;

/// Longest attempt to connect, with all greetings, ns.
const CONNECT_TIMEOUT_NS: u64 = 10_000_000_000;
/// Timers that are looked at in a turn, so that many at once do not delay a send.
const TIMERS_A_TURN: usize = 64;

/// What a core needs to know of the workload, in plain numbers.
#[derive(Debug, Clone)]
pub struct Limits {
    pipeline: u32,
    timeout_ns: u64,
    connect_timeout_ns: u64,
    deadline_ns: Option<u64>,
    warmup_ns: u64,
    duration_ns: Option<u64>,
    /// Whether the plan is known from the start.
    planned: bool,
    /// Whether a target without any connection at the start ends the load.
    preflight: bool,
    requests_per_connection: u64,
    /// Bytes of a request, before the transport's share.
    request_len: usize,
    /// Requests that one send can carry.
    copies: u32,
    /// Addresses of each target.
    endpoints: Vec<usize>,
    reuse: Reuse,
}

/// The dispatcher of one core.
pub struct Dispatcher<P: Protocol, T: Transport, S: Source = Same> {
    limits: Limits,
    shared: Arc<Shared>,
    protocol: P,
    transport: T,
    source: S,
    connections: Vec<Connection<P::State, T::State, S::Job>>,
    /// Slots whose first attempt has ended.
    tried: Vec<bool>,
    opening: Opening,
    servers: Servers<S::Job>,
    /// Connections with something to hand over.
    touched: Vec<u32>,
    /// Requests to be sent again.
    returned: ReturnedQueue,
    wheel: Wheel,
    books: Books,
    progress: Progress,
    /// What is handed over, where it is not the shared payload.
    bytes: Vec<u8>,
}

impl<P: Protocol, T: Transport> Dispatcher<P, T> {
    /// A dispatcher for one core's share of a plan whose requests are all the same.
    #[must_use]
    pub fn new(
        plan: &Plan,
        share: &Share,
        limits: Limits,
        (protocol, transport): (P, T),
        shared: Arc<Shared>,
        intervals: Sender<CoreInterval>,
        now_ns: u64,
    ) -> Self {
        Self::with_source(
            (plan, share),
            limits,
            (protocol, transport, Same),
            shared,
            intervals,
            now_ns,
        )
    }
}

impl<P: Protocol, T: Transport, S: Source> Dispatcher<P, T, S> {
    /// The same whose requests come from a source.
    #[must_use]
    pub fn with_source(
        (plan, share): (&Plan, &Share),
        limits: Limits,
        (protocol, transport, source): (P, T, S),
        shared: Arc<Shared>,
        intervals: Sender<CoreInterval>,
        now_ns: u64,
    ) -> Self {
        let count = share.slots();
        let endpoints = &limits.endpoints;
        let servers = Servers::new(plan.targets(), endpoints, share.connections, limits.reuse);
        let mut books = Books::new(share.core, intervals);
        let due = if S::IS_FIXED {
            loop_of(plan, share, &mut books)
        } else {
            Loop::Sessions {
                waits: source.waits(),
            }
        };
        Self {
            shared,
            protocol,
            transport,
            source,
            connections: (0..count)
                .map(|slot| {
                    let slot = u32::try_from(slot).expect("invariant: at most 50000");
                    Connection::new(servers.place_of(slot), limits.pipeline)
                })
                .collect(),
            limits,
            servers,
            tried: vec![false; count],
            opening: Opening::default(),
            touched: Vec::with_capacity(count),
            returned: ReturnedQueue::default(),
            wheel: Wheel::new(count, now_ns),
            books,
            progress: Progress::new(due),
            bytes: Vec::new(),
        }
    }

    fn slots(&self) -> u32 {
        u32::try_from(self.connections.len()).expect("invariant: at most 50000 connections")
    }

    /// Something has happened on a slot.
    #[inline]
    pub fn take<N: Network>(&mut self, slot: u32, event: Event, now_ns: u64, net: &mut N) {
        match event {
            Event::Received(piece) => self.received(slot, piece, now_ns, net),
            Event::Discarded(length) => self.discarded(slot, length, now_ns, net),
            Event::Sent => self.taken(slot),
            Event::Connected => self.connected(slot, now_ns, net),
            Event::Ended => self.ended(slot, now_ns, net),
            Event::ConnectFailed(errno) => {
                let error = std::io::Error::from_raw_os_error(errno);
                self.connect_failed(slot, Some(errno), &error, now_ns, net);
            }
            Event::SendFailed(errno) => self.send_failed(slot, errno, now_ns, net),
            Event::ReceiveFailed(errno) => {
                let cause = losses::Cause::Errno(errno);
                self.lose_for(slot, Loss::Read, &cause, now_ns, net);
            }
        }
    }

    /// When to call [`Self::upkeep`], whatever the load does: at a second's end, for timers and for
    /// the target.
    #[must_use]
    #[inline]
    pub fn next_upkeep_ns(&self) -> u64 {
        self.books
            .boundary_ns()
            .min(self.wheel.next_ns())
            .min(self.progress.check_ns)
    }

    /// What is to be done at its time besides sending. `cpu_ns` is the CPU time of the core so far.
    pub fn upkeep<N: Network>(&mut self, now_ns: u64, cpu_ns: impl Fn() -> u64, net: &mut N) {
        self.keep_seconds(now_ns, cpu_ns);
        self.check_target(now_ns);
        for _ in 0..TIMERS_A_TURN {
            let Some(slot) = self.wheel.pop(now_ns) else {
                return;
            };
            self.look_at(slot, now_ns, net);
        }
    }

    /// At a second's end: what was intended in it is offered in it, then its recorder goes. Several
    /// seconds have ended when the core was held up.
    pub fn keep_seconds(&mut self, now_ns: u64, cpu_ns: impl Fn() -> u64) {
        while now_ns >= self.books.boundary_ns() {
            let end_ns = self.books.boundary_ns();
            self.offer(end_ns - 1);
            self.count_away(now_ns);
            let is_last = now_ns - end_ns < NS_PER_S;
            let until_ns = if is_last { now_ns } else { end_ns };
            // Before the interval that tells of it.
            self.source.post();
            self.books.handover().turn_over(until_ns, cpu_ns());
        }
    }

    /// Counts the time for which each server has been away up to now.
    fn count_away(&mut self, now_ns: u64) {
        for server in self.servers.all_mut() {
            self.books.away(server.away_ns(now_ns));
        }
    }

    /// The condition of the core in this interval.
    pub fn health(&mut self) -> &mut CoreHealth {
        self.books.health()
    }

    /// The core cannot go on: the load ends as failed, and what is in flight is accounted for.
    pub fn abandon<N: Network>(&mut self, reason: String, now_ns: u64, net: &mut N) {
        self.shared.fail(reason);
        self.begin_draining(now_ns, now_ns);
        for slot in 0..self.slots() {
            self.lose(slot, Loss::Aborted, now_ns, net);
        }
    }

    /// Closes all connections and the books of this core, and hands over its last interval.
    pub fn finish<N: Network>(&mut self, now_ns: u64, cpu_ns: u64, net: &mut N) {
        self.count_away(now_ns);
        self.end_returned(now_ns);
        self.source.finish();
        self.close_connections(net);
        self.settle_accounts();
        if self.progress.has_counted_down() {
            self.books.handover().sending_includes_last_answers(now_ns);
        }
        let answers = self.connections.iter().map(|connection| connection.answers);
        let answers = answers.collect();
        let servers = 0..self.servers.count() as usize;
        let handshakes = servers.map(|server| self.transport.handshakes(server));
        let handshakes = handshakes.collect();
        self.books
            .handover()
            .finish(now_ns, cpu_ns, answers, handshakes);
    }
}

/// The loop of a core's share; what is planned from the start goes into the books.
fn loop_of(plan: &Plan, share: &Share, books: &mut Books) -> Loop {
    let is_planned = plan.planned().is_some();
    if let Some(open_loop) = &share.open_loop {
        if is_planned {
            books.plan(open_loop.count());
            books.take_on(open_loop.count());
        }
        return Loop::Open(Box::new(Open::new(open_loop.clone())));
    }
    let requests = plan.workload().limit.requests;
    // The common count is one core's to plan, whoever sends it.
    if is_planned && share.core == 0 {
        books.plan(requests.unwrap_or(0));
    }
    Loop::Closed {
        leased: 0,
        counted: requests.is_some(),
    }
}

impl Limits {
    /// Those of a plan whose requests have `request_len` bytes, of which `copies` fit one send, to
    /// so many addresses of each target.
    #[must_use]
    pub fn new(plan: &Plan, request_len: usize, copies: u32, endpoints: &[usize]) -> Self {
        let workload = plan.workload();
        Self {
            pipeline: workload.pipeline.max(1),
            timeout_ns: workload.timeout_ns,
            connect_timeout_ns: workload.timeout_ns.min(CONNECT_TIMEOUT_NS),
            deadline_ns: workload.deadline_ns,
            warmup_ns: workload.warmup_ns,
            duration_ns: workload.limit.duration_ns,
            planned: plan.planned().is_some(),
            preflight: workload.preflight,
            requests_per_connection: workload.requests_per_connection.map_or(u64::MAX, u64::from),
            request_len,
            copies,
            endpoints: endpoints.to_vec(),
            reuse: workload.reuse,
        }
    }
}
