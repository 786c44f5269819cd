//! One load on this node's cores: prepared, started, stopped and joined by the control side.
//!
//! Each core is a named thread, pinned to its CPU before its glommio executor is made (with
//! `Placement::Unbound`, so that glommio does not ask for CPUs that a container's mask hides).

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use glommio::{LocalExecutorBuilder, Placement};
use socket2::SockAddr;
use thiserror::Error;

use crate::affinity;
use crate::engine::{Engine, EngineError, Readiness, Shared};
use crate::plan::{Plan, Share};
use crate::recorder::CoreInterval;
use crate::ring::{Features, Setup, Wake};

mod limits;

pub use limits::raise_descriptor_limit;

/// Memory that each executor registers for its own file operations, of which there are none.
pub(crate) const EXECUTOR_MEMORY: usize = 64 * 1024;
/// Entries of each executor's own rings.
pub(crate) const EXECUTOR_RING: usize = 32;
/// How long the cores may take to try all their connections.
const PREPARE_MAX: Duration = Duration::from_secs(60);

/// Why a load cannot be started. Each says what to do about it.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// The target's name has no address.
    #[error("{host:?} cannot be resolved: {reason}; check the name, or give an address")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// More connections than file descriptors.
    #[error(
        "{wanted} connections need {needed} file descriptors, and the hard limit is {limit}: raise `ulimit -Hn`, or ask for fewer connections"
    )]
    Descriptors {
        /// Connections asked for.
        wanted: u32,
        /// Descriptors needed for them.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// More connections than local ports.
    #[error(
        "{wanted} connections to one address need as many local ports, and net.ipv4.ip_local_port_range has {ports}: widen it (sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"), or ask for fewer connections"
    )]
    Ports {
        /// Connections asked for.
        wanted: u32,
        /// Ports in the range.
        ports: u32,
    },
    /// Not one connection could be opened.
    #[error("no connection to {target}: {reason}")]
    NoConnection {
        /// Host and port.
        target: String,
        /// Why the last attempt failed.
        reason: String,
    },
    /// A core's ring.
    #[error("core {core}: {source}")]
    Engine {
        /// The core's number.
        core: usize,
        /// What is wrong with it.
        source: EngineError,
    },
    /// A core's executor.
    #[error(
        "core {core}: the executor cannot be made ({reason}); it needs io_uring (sysctl kernel.io_uring_disabled=0, and in a container a seccomp profile that allows it) and 512 KiB of locked memory (`ulimit -l`)"
    )]
    Executor {
        /// The core's number.
        core: usize,
        /// What glommio says.
        reason: String,
    },
    /// No thread, descriptor or core for the engine itself.
    #[error("the engine cannot be started: {0}")]
    System(String),
}

/// How a load ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadOutcome {
    /// Why it failed, if it did.
    pub failed: Option<String>,
    /// Whether it was told to stop.
    pub stopped: bool,
}

/// A load that is ready, running or over.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Connections that are open.
    open: usize,
    features: Option<Features>,
}

/// Where a load is, as the control side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The start has not come.
    Waiting,
    /// At least one core sends, warming up or measured.
    Sending,
    /// Every core waits for its last answers only, or has ended.
    Draining,
}

/// What a core says once: it is ready, or why not.
type FirstWord = (usize, Result<Readiness, PrepareError>);

impl Load {
    /// Spawns an executor on each of `cpus` (no more than there are connections), opens the
    /// connections and renders the request; returns when every connection has been tried. Each
    /// core's intervals go to `intervals` once a second from the start on, and a last one at the
    /// end.
    ///
    /// # Errors
    /// [`PrepareError`], which says what to do. Nothing is left running then.
    pub fn prepare(
        plan: &Plan,
        cpus: &[usize],
        intervals: &Sender<CoreInterval>,
    ) -> Result<Self, PrepareError> {
        Self::prepare_with(plan, cpus, intervals, Setup::Newest, drop)
    }

    /// [`Self::prepare`] with the ring of any kernel, that can be ended early: `hold` gets the handle
    /// for it as soon as there is something to stop. A preparation that is stopped fails.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn prepare_with(
        plan: &Plan,
        cpus: &[usize],
        intervals: &Sender<CoreInterval>,
        setup: Setup,
        hold: impl FnOnce(Stopper),
    ) -> Result<Self, PrepareError> {
        let address = limits::resolve(plan)?;
        let count = plan.cores(cpus.len());
        limits::check(plan, count)?;
        let requests = plan.workload().limit.requests.unwrap_or(0);
        let bells: Result<Vec<Wake>, _> = (0..count).map(|_| Wake::new()).collect();
        let bells = bells.map_err(|error| PrepareError::System(error.to_string()))?;
        let shared = Arc::new(Shared::new(bells, requests));
        let (say, words) = bounded(count);
        let mut load = Self {
            shared,
            threads: Vec::with_capacity(count),
            open: 0,
            features: None,
        };
        hold(load.stopper());
        for (core, cpu) in cpus.iter().copied().cycle().take(count).enumerate() {
            let seat = Seat {
                plan: plan.clone(),
                share: plan.share(core, count),
                cpu,
                address,
                setup,
                shared: Arc::clone(&load.shared),
                intervals: intervals.clone(),
            };
            if let Err(error) = load.spawn(seat, say.clone()) {
                return Err(load.give_up(error));
            }
        }
        drop(say);
        match load.hear(&words, plan) {
            Ok(()) => Ok(load),
            Err(error) => Err(load.give_up(error)),
        }
    }

    /// Sets the start instant, ns of the monotonic clock; in the past means at once, and late.
    pub fn start(&self, start_ns: u64) {
        self.start_staggered(start_ns, 0);
    }

    /// [`Self::start`] for a node that stands `stagger_ns` within the gap: every send of its
    /// schedule is intended that much later, and all is counted from the common start.
    pub fn start_staggered(&self, start_ns: u64, stagger_ns: u64) {
        self.shared.start(start_ns, stagger_ns);
    }

    /// Where the load is at an instant of the monotonic clock.
    #[must_use]
    pub fn phase(&self, now_ns: u64) -> Phase {
        if self.shared.sending() == 0 {
            Phase::Draining
        } else if self
            .shared
            .started()
            .is_some_and(|start_ns| now_ns >= start_ns)
        {
            Phase::Sending
        } else {
            Phase::Waiting
        }
    }

    /// Stops sending at once. Requests in flight are waited for up to 100 ms, then counted as
    /// aborted.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// A handle by which another thread can stop the load.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    /// Whether every core has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Connections that were open when the load was ready.
    #[must_use]
    pub fn connections_open(&self) -> usize {
        self.open
    }

    /// What the cores' rings use of this kernel.
    #[must_use]
    pub fn ring_features(&self) -> Option<Features> {
        self.features
    }

    /// CPUs in use.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.threads.len()
    }

    /// Waits until every core has ended. The intervals' receiver must be read meanwhile.
    #[must_use]
    pub fn join(self) -> LoadOutcome {
        for thread in self.threads {
            if thread.join().is_err() {
                self.shared
                    .fail("a core's thread panicked: a bug in the engine".to_owned());
            }
        }
        let failed = self.shared.failure();
        LoadOutcome {
            stopped: self.shared.stopped() && failed.is_none(),
            failed,
        }
    }

    fn spawn(&mut self, seat: Seat, say: Sender<FirstWord>) -> Result<(), PrepareError> {
        let name = format!("load-{}", seat.share.core);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || seat.sit(&say));
        self.threads
            .push(thread.map_err(|error| PrepareError::System(error.to_string()))?);
        Ok(())
    }

    /// Waits for every core's first word.
    fn hear(&mut self, words: &Receiver<FirstWord>, plan: &Plan) -> Result<(), PrepareError> {
        let mut reason = None;
        for _ in 0..self.threads.len() {
            let (_, word) = words.recv_timeout(PREPARE_MAX).map_err(|error| {
                PrepareError::System(match error {
                    RecvTimeoutError::Timeout => {
                        "a core did not try all its connections within 60 s".to_owned()
                    }
                    RecvTimeoutError::Disconnected => {
                        let failure = self.shared.failure();
                        failure.unwrap_or_else(|| "a core ended without a word".to_owned())
                    }
                })
            })?;
            let readiness = word?;
            self.open += readiness.open;
            self.features = Some(readiness.features);
            reason = reason.or(readiness.connect_error);
        }
        if self.open > 0 {
            return Ok(());
        }
        let target = &plan.workload().target;
        let reason = reason.unwrap_or_else(|| "every connection was closed at once".to_owned());
        let target = format!("{} port {}", target.host, target.port);
        Err(PrepareError::NoConnection { target, reason })
    }

    fn give_up(self, error: PrepareError) -> PrepareError {
        self.shared.stop();
        for thread in self.threads {
            let _ = thread.join();
        }
        error
    }
}

/// Stops a load from another thread.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// As [`Load::stop`].
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// Ends the load on all cores when the thread that holds it panics.
struct Alarm(Arc<Shared>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0
                .fail("a core's thread panicked: a bug in the engine".to_owned());
        }
    }
}

/// What one core's thread needs.
struct Seat {
    plan: Plan,
    share: Share,
    cpu: usize,
    address: SocketAddr,
    setup: Setup,
    shared: Arc<Shared>,
    intervals: Sender<CoreInterval>,
}

impl Seat {
    /// The life of a core's thread.
    fn sit(self, say: &Sender<FirstWord>) {
        let core = self.share.core;
        let shared = Arc::clone(&self.shared);
        let _alarm = Alarm(Arc::clone(&self.shared));
        let refused = match self.run(say) {
            Ok(Ok(())) => return,
            Ok(Err(source)) => PrepareError::Engine { core, source },
            Err(error) => error,
        };
        // Before the first word this ends the preparation; afterwards nobody hears it.
        shared.fail(refused.to_string());
        let _ = say.try_send((core, Err(refused)));
    }

    fn run(self, say: &Sender<FirstWord>) -> Result<Result<(), EngineError>, PrepareError> {
        let core = self.share.core;
        if !affinity::pin(self.cpu) {
            return Err(PrepareError::System(format!(
                "core {core} cannot be pinned to CPU {}",
                self.cpu
            )));
        }
        affinity::sharpen_timers();
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .name(&format!("load-{core}"))
            .io_memory(EXECUTOR_MEMORY)
            .ring_depth(EXECUTOR_RING)
            .make()
            .map_err(|error| PrepareError::Executor {
                core,
                reason: error.to_string(),
            })?;
        let ready = |readiness| {
            let _ = say.try_send((core, Ok(readiness)));
        };
        Ok(executor.run(async { self.engine()?.run(ready).await }))
    }

    fn engine(self) -> Result<Engine, EngineError> {
        let address = SockAddr::from(self.address);
        Engine::new(
            &self.plan,
            &self.share,
            address,
            self.setup,
            self.shared,
            self.intervals,
        )
    }
}
