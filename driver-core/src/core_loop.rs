//! The loop of one core: it owns the ring, reads the clock, and goes round a loop that never blocks
//! but in the ring. What is due and what an answer means is the [dispatcher](crate::dispatch)'s.
//!
//! A turn: work off what has completed, look at timers and the second's end, hand one part of what is
//! due to the kernel, and rest there until the next intended send, a completion or the bell. What has
//! come is looked at before anything is called late, and between the parts of a burst, so that the
//! service time of a burst of 1000 begins where that of one request does.
//!
//! glommio hosts the loop as the one task of a pinned executor: it keeps placement, naming and the
//! life of the thread. Its own sockets cost a third of the throughput (see [`crate::ring`]).

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use crossbeam_channel::Sender;
use proto::clock::monotonic_ns;
use proto::units::NS_PER_S;
use rustix::time::{ClockId, clock_gettime};
use socket2::SockAddr;
use thiserror::Error;

use crate::dispatch::{Dispatcher, Event, Limits, Readiness, Shared};
use crate::plan::{Plan, Share};
use crate::protocol::Protocol;
use crate::recording::CoreInterval;
use crate::ring::{Completion, Features, Ring, RingError, Setup};
use crate::source::{Same, Source};
use crate::transport::Transport;

mod bells;
mod pacing;
mod sockets;

pub use bells::Bells;
use pacing::Pace;
use sockets::Sockets;

/// Completions that are worked off before sends have their turn.
const BATCH_MAX: usize = 256;

/// Why a core cannot go on.
#[derive(Debug, Error)]
pub enum CoreError {
    /// No ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The ring failed in the middle.
    #[error("io_uring failed in the middle of the load: {0}")]
    Enter(io::Error),
}

/// Whether the loop wants another turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// At once: an intended send is near, or others had theirs a moment ago.
    Spinning,
    /// It can give way to others first.
    Relaxed,
}

/// Where connections go to and come from.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// Addresses of each server; its connection `n` goes to number `n` modulo their count.
    pub servers: Vec<Vec<SockAddr>>,
    /// Own addresses that connections go out from in turn; none for the system's choice.
    pub sources: Vec<IpAddr>,
}

/// What all cores of a load have in common.
#[derive(Debug, Clone)]
pub struct Common {
    /// The plan of the node.
    pub plan: Plan,
    /// Where connections go to and come from.
    pub route: Route,
    /// How much of the kernel is used.
    pub setup: Setup,
    /// What steers the cores.
    pub shared: Arc<Shared>,
    /// What wakes them.
    pub bells: Arc<Bells>,
    /// Where intervals go.
    pub intervals: Sender<CoreInterval>,
}

/// Requests as a core sends them.
#[derive(Debug, Clone)]
pub struct Payload {
    /// As many requests as one send carries, one after another, where all connections share them;
    /// else nothing.
    bytes: Arc<[u8]>,
    request_len: usize,
    copies: u32,
}

impl Payload {
    /// Connections send slices of `copies` times this request.
    #[must_use]
    pub fn shared(request: &[u8], copies: usize) -> Self {
        Self {
            bytes: request.repeat(copies).into(),
            request_len: request.len(),
            copies: u32::try_from(copies).unwrap_or(u32::MAX),
        }
    }

    /// Each connection sends bytes of its own, of about `request_len` a request.
    #[must_use]
    pub fn own(request_len: usize) -> Self {
        Self {
            bytes: Arc::from([]),
            request_len,
            copies: u32::MAX,
        }
    }
}

/// The loop of one core.
pub struct CoreLoop<P: Protocol, T: Transport, S: Source = Same> {
    dispatcher: Dispatcher<P, T, S>,
    sockets: Sockets,
    batch: Vec<Completion>,
    pace: Pace,
    core: usize,
    shared: Arc<Shared>,
    bells: Arc<Bells>,
    /// Whether the other cores know that the load is to end.
    has_told: bool,
}

impl<P: Protocol, T: Transport> CoreLoop<P, T> {
    /// The loop for one core's share; connections are opened by the first turns.
    ///
    /// # Errors
    /// [`CoreError::Ring`], which names the remedy.
    pub fn new(
        common: Common,
        share: &Share,
        payload: Payload,
        (protocol, transport): (P, T),
    ) -> Result<Self, CoreError> {
        Self::with_source(common, share, payload, (protocol, transport, Same))
    }
}

impl<P: Protocol, T: Transport, S: Source> CoreLoop<P, T, S> {
    /// The same with requests that come from a source.
    ///
    /// # Errors
    /// As [`CoreLoop::new`].
    pub fn with_source(
        common: Common,
        share: &Share,
        payload: Payload,
        stack: (P, T, S),
    ) -> Result<Self, CoreError> {
        let count = share.slots();
        let addresses: Vec<usize> = common.route.servers.iter().map(Vec::len).collect();
        let endpoints = common.route.servers.concat();
        let (request_len, copies) = (payload.request_len, payload.copies);
        let limits = Limits::new(&common.plan, request_len, copies, &addresses);
        let ring = Ring::new(common.setup, count, payload.bytes, &endpoints)?;
        let mut sockets = Sockets::new(ring, count, endpoints, common.route.sources);
        sockets.listen(common.bells.of(share.core));
        let now_ns = monotonic_ns();
        let shared = Arc::clone(&common.shared);
        let dispatcher = Dispatcher::with_source(
            (&common.plan, share),
            limits,
            stack,
            common.shared,
            common.intervals,
            now_ns,
        );
        Ok(Self {
            dispatcher,
            sockets,
            batch: Vec::with_capacity(BATCH_MAX),
            pace: Pace::new(now_ns),
            core: share.core,
            shared,
            bells: common.bells,
            has_told: false,
        })
    }

    /// Opens the connections, then runs the load that the control side starts, to its end. `ready`
    /// is called once, when every connection has been tried.
    ///
    /// # Errors
    /// [`CoreError::Enter`], when the ring fails.
    pub async fn run(
        mut self,
        ready: impl FnOnce(Vec<Readiness>, Features),
    ) -> Result<(), CoreError> {
        let outcome = self.go_round(ready).await;
        let now_ns = monotonic_ns();
        if let Err(error) = &outcome {
            self.dispatcher
                .abandon(error.to_string(), now_ns, &mut self.sockets);
        }
        self.tell_others();
        self.dispatcher
            .finish(now_ns, thread_cpu_ns(), &mut self.sockets);
        outcome
    }

    async fn go_round(
        &mut self,
        ready: impl FnOnce(Vec<Readiness>, Features),
    ) -> Result<(), CoreError> {
        let mut ready = Some(ready);
        self.dispatcher
            .open_connections(monotonic_ns(), &mut self.sockets);
        loop {
            let now_ns = self.work();
            if self.dispatcher.tried_all()
                && let Some(ready) = ready.take()
            {
                ready(self.dispatcher.readiness(), self.sockets.ring.features());
            }
            if self.dispatcher.is_over() {
                return Ok(());
            }
            let turn = match now_ns {
                Some(now_ns) => self.rest(now_ns),
                None => self.sockets.ring.submit().map(|()| Turn::Spinning),
            };
            if turn.map_err(CoreError::Enter)? == Turn::Relaxed {
                glommio::yield_if_needed().await;
            }
        }
    }

    /// The first half of a turn: everything but the rest. The instant of its sends; `None` when more
    /// is due than one call may carry, so that there is no time to rest.
    fn work(&mut self) -> Option<u64> {
        let mut now_ns = monotonic_ns();
        self.pace.look(now_ns, self.dispatcher.health());
        if self.reap(now_ns) {
            now_ns = monotonic_ns();
        }
        self.dispatcher.obey(now_ns, thread_cpu_ns);
        self.tell_others();
        if now_ns >= self.dispatcher.next_upkeep_ns() {
            self.dispatcher
                .upkeep(now_ns, thread_cpu_ns, &mut self.sockets);
            now_ns = monotonic_ns();
            self.dispatcher.keep_seconds(now_ns, thread_cpu_ns);
        }
        // What is sent at once has one actual start. The kernel sends one after the other, so many
        // go in parts, lest the last ones' wait for their turn be taken for the target's.
        let is_all = !self.dispatcher.release(now_ns, &mut self.sockets);
        is_all.then_some(now_ns)
    }

    /// Works off what completed; says whether there was something.
    fn reap(&mut self, now_ns: u64) -> bool {
        self.sockets.let_go();
        let mut batch = std::mem::take(&mut self.batch);
        self.sockets.ring.reap(&mut batch);
        let found = !batch.is_empty();
        if found {
            self.dispatcher.keep_seconds(now_ns, thread_cpu_ns);
            let bell = self.bells.of(self.core);
            for completion in batch.drain(..) {
                if let Some((slot, event)) = self.sockets.read(completion, bell) {
                    self.dispatcher.take(slot, event, now_ns, &mut self.sockets);
                    if let Event::Received(piece) = event {
                        self.sockets.give_back(piece);
                    }
                }
            }
        }
        self.batch = batch;
        found
    }

    /// A load that ends on one core ends on all: those that sleep are woken.
    fn tell_others(&mut self) {
        if !self.has_told && self.shared.stopped() {
            self.has_told = true;
            self.bells.ring();
        }
    }
}

/// CPU time of this thread, ns.
fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * NS_PER_S + part(time.tv_nsec)
}
