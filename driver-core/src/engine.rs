//! The engine of one core: it owns the core's connections and its ring, and goes round a loop that
//! never blocks but in the ring.
//!
//! A turn: obey the control side, change the recorder at a second's end, look at timers, assign
//! what is due to free connections, hand everything to the kernel in one call and wait there for
//! the next intended send, a completion or the bell, then work off what completed.
//!
//! | part | does |
//! |---|---|
//! | `release` | decides what is to be sent now: closed loop, open loop, warm-up, the end |
//! | `course` | the phase of the load, and how far it has gone through its plan |
//! | `network` | connects, sends, receives; what connections do to requests in flight |
//! | `pace` | how long to sleep and when to spin |
//! | `tape` | the recorder and its hand-over each second |
//! | `wheel` | timeouts and back-off |
//! | `shared` | what all cores of a node share |

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crossbeam_channel::Sender;
use proto::clock::monotonic_ns;
use proto::units::NS_PER_S;
use socket2::SockAddr;
use thiserror::Error;

use crate::plan::{Plan, Share};
use crate::protocol::http1::{Asked, HeadMemo, render};
use crate::recording::{CoreInterval, Loss};
use crate::ring::{Completion, Features, Kind, Ring, RingError, Setup, Token};

mod connection;
mod course;
mod network;
mod pace;
mod release;
mod shared;
mod tape;
mod wheel;

use connection::Connection;
use course::Load;
pub use shared::Shared;
use tape::Tape;
use wheel::Wheel;

/// Bytes of pipelined requests that are rendered one after another, unless one is longer.
const PAYLOAD_LEN_MAX: usize = 1 << 20;
/// Receive buffers of all connections together, in bytes, as long as each gets the minimum.
const BUFFERS_LEN: usize = 4 << 20;
/// Smallest and largest receive buffer of a connection, in bytes.
const BUFFER_LEN: std::ops::RangeInclusive<usize> = 4096..=65_536;
/// Completions that are worked off at once.
const BATCH_MAX: usize = 1024;
/// Longest attempt to connect, ns.
const CONNECT_TIMEOUT_NS: u64 = 10_000_000_000;

/// Why a core cannot go on.
#[derive(Debug, Error)]
pub enum EngineError {
    /// No ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The ring failed in the middle.
    #[error("io_uring failed in the middle of the load: {0}")]
    Enter(io::Error),
}

/// What a core found when it opened its connections.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// Connections that are open.
    pub open: usize,
    /// Why the last attempt that failed did.
    pub connect_error: Option<String>,
    /// What the ring uses.
    pub features: Features,
}

/// Whether the engine wants another turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// At once: an intended send is near.
    Spinning,
    /// It can give way to others first.
    Relaxed,
    /// The load is over.
    Over,
}

/// What a core needs to know of the workload, in plain numbers.
#[derive(Debug, Clone, Copy)]
struct Limits {
    pipeline: u32,
    timeout_ns: u64,
    connect_timeout_ns: u64,
    deadline_ns: Option<u64>,
    warmup_ns: u64,
    duration_ns: Option<u64>,
    /// Whether the plan is known from the start.
    planned: bool,
    request_len: usize,
    /// Requests that one send can carry.
    copies: u32,
}

/// The engine of one core.
pub struct Engine {
    limits: Limits,
    target: String,
    shared: Arc<Shared>,
    core: usize,
    ring: Ring,
    batch: Vec<Completion>,
    connections: Vec<Connection>,
    /// Connections that can take a request, the longest free first.
    ready: VecDeque<u32>,
    /// Connections with requests that were assigned in this turn.
    touched: Vec<u32>,
    /// Requests in flight on all connections.
    flying: u64,
    /// Connections of which the first attempt has begun, and of which it has ended.
    opening: (usize, usize),
    connect_error: Option<String>,
    /// Whether the last attempt to connect failed.
    refused: bool,
    wheel: Wheel,
    memo: HeadMemo,
    tape: Tape,
    load: Load,
    address: SockAddr,
    pace: pace::Pace,
}

impl Engine {
    /// An engine for one core's share; connections are opened by the first turns.
    ///
    /// # Errors
    /// [`EngineError::Ring`], which names the remedy.
    pub fn new(
        plan: &Plan,
        share: &Share,
        address: SockAddr,
        setup: Setup,
        shared: Arc<Shared>,
        intervals: Sender<CoreInterval>,
    ) -> Result<Self, EngineError> {
        let workload = plan.workload();
        let request = render(&workload.request, &workload.target);
        let limits = Limits::new(plan, request.len());
        let payload: Arc<[u8]> = request.repeat(limits.copies as usize).into();
        let count = share.connections;
        let buffer_len = (BUFFERS_LEN / count.max(1)).clamp(*BUFFER_LEN.start(), *BUFFER_LEN.end());
        let mut ring = Ring::new(setup, count, buffer_len, payload, address.clone())?;
        let slots = 0..u32::try_from(count).expect("invariant: at most 50000 connections");
        ring.listen(WAKE, shared.bell(share.core));
        let now_ns = monotonic_ns();
        let mut tape = Tape::new(share.core, intervals);
        let load = Load::new(plan, share, &mut tape.recorder);
        Ok(Self {
            limits,
            target: workload.target.authority.clone(),
            core: share.core,
            ring,
            batch: Vec::with_capacity(BATCH_MAX),
            connections: slots
                .map(|slot| Connection::new(slot, limits.pipeline))
                .collect(),
            ready: VecDeque::with_capacity(count),
            touched: Vec::with_capacity(count),
            flying: 0,
            opening: (0, 0),
            connect_error: None,
            refused: false,
            wheel: Wheel::new(count, now_ns),
            memo: HeadMemo::new(Asked::by(&workload.request)),
            tape,
            load,
            address,
            shared,
            pace: pace::Pace::new(now_ns),
        })
    }

    /// Opens the connections, then runs the load that the control side starts, to its end. `ready`
    /// is called once, when every connection has been tried.
    ///
    /// # Errors
    /// [`EngineError::Enter`], when the ring fails.
    pub async fn run(mut self, ready: impl FnOnce(Readiness)) -> Result<(), EngineError> {
        let outcome = self.go_round(ready).await;
        if let Err(error) = &outcome {
            self.abandon(error);
        }
        self.finish();
        outcome
    }

    async fn go_round(&mut self, ready: impl FnOnce(Readiness)) -> Result<(), EngineError> {
        let mut ready = Some(ready);
        self.open_connections();
        loop {
            if self.tried_all()
                && let Some(ready) = ready.take()
            {
                ready(self.readiness());
            }
            match self.turn().map_err(EngineError::Enter)? {
                Turn::Over => return Ok(()),
                Turn::Relaxed => glommio::yield_if_needed().await,
                Turn::Spinning => {}
            }
        }
    }

    /// One turn of the loop.
    ///
    /// # Errors
    /// Of the ring.
    pub fn turn(&mut self) -> io::Result<Turn> {
        let mut now_ns = monotonic_ns();
        self.pace.look(now_ns, &mut self.tape.health);
        self.obey(now_ns);
        if self.do_chores(now_ns) {
            now_ns = monotonic_ns();
        }
        // What is sent at once has one actual start. The kernel sends one after the other, so many
        // go in parts, lest the last ones' wait for their turn be taken for the target's.
        while self.release(now_ns) {
            self.hand_over();
            self.ring.submit()?;
            now_ns = monotonic_ns();
        }
        self.hand_over();
        if self.is_over() {
            return Ok(Turn::Over);
        }
        let turn = self.rest(now_ns)?;
        self.reap();
        Ok(turn)
    }

    /// What is to be done at its time besides sending; says whether there was something, which took
    /// time.
    fn do_chores(&mut self, now_ns: u64) -> bool {
        if now_ns < self.next_upkeep_ns() {
            return false;
        }
        self.keep_seconds(now_ns);
        self.check_target(now_ns);
        self.fire_timers(now_ns);
        true
    }

    /// At a second's end: what was intended in it is offered in it, then its recorder goes. Several
    /// seconds have ended when the core was held up.
    fn keep_seconds(&mut self, now_ns: u64) {
        while now_ns >= self.tape.boundary_ns {
            let end_ns = self.tape.boundary_ns;
            self.offer(end_ns - 1);
            let is_last = now_ns - end_ns < NS_PER_S;
            self.tape.turn_over(if is_last { now_ns } else { end_ns });
        }
    }

    fn tried_all(&self) -> bool {
        self.opening.1 >= self.connections.len()
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            open: self
                .connections
                .iter()
                .filter(|connection| connection.is_open())
                .count(),
            connect_error: self.connect_error.clone(),
            features: self.ring.features(),
        }
    }

    /// The core cannot go on: the load ends as failed, and what is in flight is accounted for.
    fn abandon(&mut self, error: &EngineError) {
        self.shared.fail(error.to_string());
        let now_ns = monotonic_ns();
        self.begin_draining(now_ns);
        for slot in 0..self.connections.len() {
            self.lose(slot, Loss::Aborted, now_ns);
        }
    }

    /// Closes the accounts of this core and hands over its last interval.
    fn finish(&mut self) {
        let now_ns = monotonic_ns();
        self.close_connections();
        self.settle_accounts();
        let answers = self
            .connections
            .iter()
            .map(|connection| connection.answers)
            .collect();
        self.tape.finish(now_ns, answers);
    }
}

/// The token of the bell; it has no slot.
const WAKE: Token = Token {
    kind: Kind::Wake,
    slot: 0,
    generation: 0,
};

impl Limits {
    fn new(plan: &Plan, request_len: usize) -> Self {
        let workload = plan.workload();
        let fitting = (PAYLOAD_LEN_MAX / request_len).clamp(1, workload.pipeline.max(1) as usize);
        Self {
            pipeline: workload.pipeline.max(1),
            timeout_ns: workload.timeout_ns,
            connect_timeout_ns: workload.timeout_ns.min(CONNECT_TIMEOUT_NS),
            deadline_ns: workload.deadline_ns,
            warmup_ns: workload.warmup_ns,
            duration_ns: workload.limit.duration_ns,
            planned: plan.planned().is_some(),
            request_len,
            copies: u32::try_from(fitting).expect("invariant: at most the pipeline"),
        }
    }
}
