//! One load on this node's cores: prepared, started, stopped and joined by the control side.
//! The same for a driver in a cluster and for a run on its own.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use glommio::LocalExecutor;
use proto::workload::Target;
use socket2::SockAddr;

use crate::core_loop::{Bells, Common, Route};
use crate::dispatch::{Readiness, Shared};
use crate::plan::{Plan, Switch};
use crate::recording::CoreInterval;
use crate::ring::{Features, Setup};

mod core_thread;
mod credentials;
mod directions;
mod error;
mod executors;
mod first_handshake;
mod follow;
mod limits;
mod link;
mod probe;
mod rates;
mod replay;
mod requests;
mod route;
mod secrets;
mod server;
mod speech;
mod stack;

use core_thread::{CoreThread, FirstWord};
pub use credentials::{CredentialError, compile, offer};
pub use directions::{Directions, Resolve};
pub use error::PrepareError;
pub use executors::Executors;
pub use first_handshake::{FirstHandshakeError, first_handshake};
pub use follow::{FollowOptions, Follower, LOOK_EVERY, follow};
pub use limits::raise_descriptor_limit;
pub use probe::probe_machine;
pub use rates::{Rates, join_ns};
pub use requests::templates;
pub use route::Addresses;
pub use secrets::{Secrets, forms_of, hidden};
pub use server::Server;
use speech::Speech;
pub use speech::SpeechError;
use stack::Stack;

/// How long the cores may take to try all their connections.
const PREPARE_MAX: Duration = Duration::from_secs(60);

/// What of a machine loads use, one after another.
#[derive(Debug)]
pub struct Machine {
    /// The cores.
    pub executors: Executors,
    /// How targets are reached from here.
    pub directions: Directions,
}

impl Machine {
    /// A core on each of these CPUs, and no directions.
    #[must_use]
    pub fn new(cpus: &[usize]) -> Self {
        Self {
            executors: Executors::new(cpus),
            directions: Directions::default(),
        }
    }
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
    stopper: Stopper,
    cores: usize,
    /// Nothing comes of it, but its end when every core has ended.
    ended: Receiver<()>,
    servers: Vec<Server>,
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

impl Load {
    /// Takes the machine's cores (no more than there are connections), opens the connections and
    /// renders the request; returns when every connection has been tried. Each core's intervals go to
    /// `intervals` once a second from the start on, and a last one at the end.
    ///
    /// # Errors
    /// [`PrepareError`], which says what to do. Nothing is left running then.
    pub fn prepare(
        plan: &Plan,
        machine: &Machine,
        intervals: &Sender<CoreInterval>,
    ) -> Result<Self, PrepareError> {
        Self::prepare_with(plan, machine, intervals, Setup::Newest, drop)
    }

    /// [`Self::prepare`] with the ring of any kernel, that can be ended early: `hold` gets the handle
    /// for it as soon as there is something to stop. A preparation that is stopped fails.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn prepare_with(
        plan: &Plan,
        machine: &Machine,
        intervals: &Sender<CoreInterval>,
        setup: Setup,
        hold: impl FnOnce(Stopper),
    ) -> Result<Self, PrepareError> {
        let Machine {
            executors,
            directions,
        } = machine;
        let (route, addresses) = route::find(plan.targets(), directions)?;
        let count = plan.cores(executors.count());
        limits::check(plan, count, &route)?;
        let speeches = speeches(plan, &route)?;
        let stack = Stack::new(plan, &speeches, count)?;
        let found = plan.targets().iter().zip(addresses).zip(&speeches);
        let servers = found.map(|((target, addresses), speech)| {
            Server::new(target, addresses, speech, plan.workload())
        });
        let requests = plan.workload().limit.requests.unwrap_or(0);
        let bells = Bells::new(count).map_err(|error| PrepareError::System(error.to_string()))?;
        let common = Common {
            plan: plan.clone(),
            route,
            setup,
            shared: Arc::new(Shared::new(count, requests).with_servers(plan.targets().len())),
            bells: Arc::new(bells),
            intervals: intervals.clone(),
        };
        let (say, words) = bounded(count);
        let (end, ended) = bounded(0);
        let mut load = Self {
            stopper: Stopper {
                shared: Arc::clone(&common.shared),
                bells: Arc::clone(&common.bells),
            },
            cores: count,
            ended,
            servers: servers.collect(),
            open: 0,
            features: None,
        };
        hold(load.stopper());
        let feeds = replay::feeds(plan.cast(), count, load.stopper());
        let feeds = feeds.map_err(|error| PrepareError::System(error.to_string()))?;
        let mut begun = Ok(());
        for (core, feed) in feeds.into_iter().enumerate() {
            let core_thread = CoreThread {
                common: common.clone(),
                stack: stack.clone(),
                share: plan.share(core, count),
                feed,
            };
            let say = say.clone();
            let work = move |executor: &LocalExecutor| core_thread.run(executor, &say);
            begun = begun.and_then(|()| executors.run(core, work, end.clone()));
        }
        drop(end);
        // Only the cores send intervals from here on, so that their end is that of the channel.
        drop(common);
        drop(say);
        match begun.and_then(|()| load.hear(&words, plan)) {
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
        self.stopper.shared.start(start_ns, stagger_ns);
        self.stopper.bells.ring();
    }

    /// The start instant, ns of the monotonic clock, once it is set.
    #[must_use]
    pub fn started_ns(&self) -> Option<u64> {
        self.stopper.shared.started()
    }

    /// Changes the rate; changes come in the order of their instants.
    pub fn switch(&self, switch: Switch) {
        self.stopper.shared.switch(switch);
        self.stopper.bells.ring();
    }

    /// Where the load is at an instant of the monotonic clock.
    #[must_use]
    pub fn phase(&self, now_ns: u64) -> Phase {
        if self.stopper.shared.sending() == 0 {
            Phase::Draining
        } else if self
            .stopper
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
        self.stopper.stop();
    }

    /// A handle by which another thread can stop the load.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Whether every core has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended.try_recv() == Err(TryRecvError::Disconnected)
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
        self.cores
    }

    /// The servers under load, in the order of their numbers.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Waits until every core has ended. The intervals' receiver must be read meanwhile.
    #[must_use]
    pub fn join(self) -> LoadOutcome {
        self.wait();
        let failed = self.stopper.shared.failure();
        LoadOutcome {
            stopped: self.stopper.shared.stopped() && failed.is_none(),
            failed,
        }
    }

    /// Waits for every core's first word.
    fn hear(&mut self, words: &Receiver<FirstWord>, plan: &Plan) -> Result<(), PrepareError> {
        let mut found = vec![Readiness::default(); self.servers.len()];
        for _ in 0..self.cores {
            let (_, word) = words.recv_timeout(PREPARE_MAX).map_err(|error| {
                PrepareError::System(match error {
                    RecvTimeoutError::Timeout => {
                        "a core did not try all its connections within 60 s".to_owned()
                    }
                    RecvTimeoutError::Disconnected => {
                        let failure = self.stopper.shared.failure();
                        failure.unwrap_or_else(|| "a core ended without a word".to_owned())
                    }
                })
            })?;
            let (readiness, features) = word?;
            self.features = Some(features);
            for (found, more) in found.iter_mut().zip(readiness) {
                self.open += more.open;
                found.open += more.open;
                found.connect_error = found.connect_error.take().or(more.connect_error);
            }
        }
        if !plan.workload().preflight {
            return Ok(());
        }
        let mut found = plan.targets().iter().zip(found);
        match found.find(|(_, found)| found.open == 0) {
            None => Ok(()),
            Some((target, found)) => Err(no_connection(target, found)),
        }
    }

    fn give_up(self, error: PrepareError) -> PrepareError {
        self.stopper.stop();
        self.wait();
        error
    }

    /// Until every core has ended.
    fn wait(&self) {
        while self.ended.recv().is_ok() {}
    }
}

/// How each target of a plan is spoken to.
fn speeches(plan: &Plan, route: &Route) -> Result<Vec<Speech>, PrepareError> {
    let ways = plan.targets().iter().zip(&route.servers);
    let speech = |(target, endpoints): (&Target, &Vec<SockAddr>)| {
        server::speech_of(target, plan.workload(), endpoints)
    };
    ways.map(speech).collect()
}

/// Not one connection to a target could be opened.
fn no_connection(target: &Target, found: Readiness) -> PrepareError {
    let closed = || "every connection was closed at once".to_owned();
    PrepareError::NoConnection {
        target: format!("{} port {}", target.host, target.port),
        reason: found.connect_error.unwrap_or_else(closed),
    }
}

/// Stops a load from another thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    shared: Arc<Shared>,
    bells: Arc<Bells>,
}

impl Stopper {
    /// As [`Load::stop`].
    pub fn stop(&self) {
        self.shared.stop();
        self.bells.ring();
    }

    /// Ends the load as failed, for this reason.
    fn fail(&self, reason: String) {
        self.shared.fail(reason);
        self.bells.ring();
    }
}
