//! All of it, started in the right order and stopped again.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::bounded;
use proto::bus::{BusError, BusSettings, Publisher};
use proto::log;
use proto::workload::Target;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use thiserror::Error;

use crate::access::Access;
use crate::api::{Api, Worker};
use crate::engine::{BATCHES_MAX, Engine};
use crate::front::{self, Front, Traffic};
use crate::link::Link;
use crate::options::Options;
use crate::state::{Settings, State};
use crate::store::{Loaded, Store, StoreError};

/// REST threads: as many as the front passes requests at a time.
const API_THREADS: usize = 32;
const DAY_MS: u64 = 86_400_000;

/// Why the orchestrator cannot start, or go on.
#[derive(Debug, Error)]
pub enum StartError {
    /// An option that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The port is taken, or the address is not ours.
    #[error("cannot listen on {address}: {error}; {remedy}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        error: std::io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker's address or a property is wrong.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The system has no socket, thread or signal left.
    #[error(
        "the system has no {what} for us: {error}; look at its limits (`ulimit -a`) and what else runs"
    )]
    System {
        /// Of what there is no more.
        what: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// A thread ended on its own: what it did is done by nobody any more.
    #[error(
        "the thread {0} has ended, see the log and standard error; start the orchestrator again, it goes on where it was"
    )]
    ThreadEnded(String),
}

impl StartError {
    /// 2 for usage, 1 for the rest.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Bus(BusError::Property { .. } | BusError::Address(_)) => 2,
            _ => 1,
        }
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`] when it cannot start.
pub fn run(options: &Options) -> Result<(), StartError> {
    // Before anything is announced, so that whoever sees it may end us at once.
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(no("signal handler"))?;
    let (address, access) = check(options)?;
    raise_open_file_limit();
    let settings = BusSettings::new(&options.kafka, "dlts-orchestrator", &options.kafka_property)?;
    let publisher = Publisher::new(&settings)?;
    let listener = listen(&options.listen, address)?;
    let address = listener.local_addr().map_err(no("socket"))?;
    let (store, loaded) = open_store(options)?;
    let threads = Threads::new(signals.handle());
    let service = Service::start(
        options, &settings, publisher, listener, store, loaded, access, &threads,
    )?;
    let fields = json!({
        "address": address.to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "kafka": options.kafka,
        "data": options.data.display().to_string(),
        "node_id": service.node_id,
    });
    log::info("listening", fields);
    let signal = signals.forever().next();
    if let Some(name) = threads.ended.get() {
        return Err(StartError::ThreadEnded(name.clone()));
    }
    log::info("stopping", json!({ "signal": signal }));
    threads.may_end.store(true, Ordering::Relaxed);
    service.stop();
    Ok(())
}

fn no(what: &'static str) -> impl Fn(std::io::Error) -> StartError {
    move |error| StartError::System { what, error }
}

/// Starts threads that must not end before we do; the first that does ends the process.
#[derive(Clone)]
struct Threads {
    main: signal_hook::iterator::Handle,
    may_end: Arc<AtomicBool>,
    ended: Arc<OnceLock<String>>,
}

impl Threads {
    fn new(main: signal_hook::iterator::Handle) -> Self {
        Self {
            main,
            may_end: Arc::default(),
            ended: Arc::default(),
        }
    }

    fn spawn(
        &self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<()>, StartError> {
        let watched = Watched {
            threads: self.clone(),
            name: name.to_owned(),
        };
        let work = move || {
            // Told also by a panic.
            let _watched = watched;
            work();
        };
        Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(no("thread"))
    }
}

/// Tells when a thread ends.
struct Watched {
    threads: Threads,
    name: String,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.threads.may_end.load(Ordering::Relaxed) {
            return;
        }
        log::error("thread_ended", json!({"thread": self.name}));
        let _ = self.threads.ended.set(self.name.clone());
        self.threads.main.close();
    }
}

/// Checks what the parser cannot.
fn check(options: &Options) -> Result<(SocketAddr, Access), StartError> {
    let usage = |text: String| StartError::Usage(text);
    let mut addresses = options.listen.to_socket_addrs().map_err(|error| {
        usage(format!(
            "--listen {}: {error}; write host:port",
            options.listen
        ))
    })?;
    let no_address = || usage(format!("--listen {}: no such address", options.listen));
    let address = addresses.next().ok_or_else(no_address)?;
    let is_wide = !address.ip().to_canonical().is_loopback();
    if is_wide && options.token.is_none() && !options.insecure {
        return Err(usage(format!(
            "--listen {}: beyond loopback anybody could start load; give --token, or --insecure \
             where the network is trusted",
            options.listen
        )));
    }
    if options
        .token
        .as_ref()
        .is_some_and(|token| token.is_empty() || !token.is_ascii())
    {
        return Err(usage(
            "--token: it is empty or not ASCII; give one such as `openssl rand -hex 16` makes"
                .into(),
        ));
    }
    let access = Access::new(address, options.token.clone(), options.allow_target.clone());
    let target =
        Target::parse(&options.target).map_err(|error| usage(format!("--target: {error}")))?;
    if !access.admits(&target) {
        return Err(usage(format!(
            "--target {target} is not on this machine; add --allow-target {}:{}",
            target.host, target.port
        )));
    }
    if options
        .node_id
        .as_ref()
        .is_some_and(|id| !proto::id::is_acceptable(id))
    {
        return Err(usage(
            "--node-id: 1 to 256 bytes without control characters".into(),
        ));
    }
    Ok((address, access))
}

fn listen(text: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|error| StartError::Listen {
        address: text.to_owned(),
        remedy: match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "stop what listens there, or choose another port with --listen"
            }
            std::io::ErrorKind::PermissionDenied => "choose a port from 1024 up with --listen",
            _ => "choose an address of this machine with --listen",
        },
        error,
    })
}

/// Opens the store; the first start chooses our id on the bus.
fn open_store(options: &Options) -> Result<(Store, Loaded), StartError> {
    let mut store = Store::open(&options.data)?;
    let mut loaded = store.load()?;
    let new_id = || proto::id::new_node_id().replace("driver", "orchestrator");
    let node_id = options
        .node_id
        .clone()
        .or_else(|| loaded.node_id.take())
        .unwrap_or_else(new_id);
    store.set_meta("node_id", &node_id)?;
    loaded.node_id = Some(node_id);
    Ok((store, loaded))
}

/// The threads.
struct Service {
    node_id: String,
    stop_front: Arc<AtomicBool>,
    front: JoinHandle<()>,
    rest: Rest,
    stop: Arc<AtomicBool>,
    link: JoinHandle<()>,
    engine: JoinHandle<()>,
}

impl Service {
    #[allow(
        clippy::too_many_arguments,
        reason = "each is made by one step of the start"
    )]
    fn start(
        options: &Options,
        settings: &BusSettings,
        publisher: Publisher,
        listener: TcpListener,
        store: Store,
        loaded: Loaded,
        access: Access,
        threads: &Threads,
    ) -> Result<Self, StartError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (batches, incoming) = bounded(BATCHES_MAX);
        let node_id = loaded.node_id.unwrap_or_default();
        let link = Link {
            settings: settings.clone(),
            offsets: loaded.offsets,
            cluster_id: loaded.restored.cluster_id.clone(),
            batches,
            stop: Arc::clone(&stop),
        };
        let settings_of_state = Settings {
            node_id: node_id.clone(),
            default_target: options.target.clone(),
            retention_tests: options.retention_tests,
            retention_ms: u64::from(options.retention_days) * DAY_MS,
        };
        let open = loaded.restored.open.iter();
        let open: Vec<String> = open.map(|run| run.test_id.clone()).collect();
        let mut state = State::restore(settings_of_state, loaded.restored);
        for test_id in open {
            store.each_report(&test_id, |report| state.absorb_stored(&report))?;
        }
        let (engine, handle) = Engine::new(state, store, publisher, incoming, Arc::clone(&stop));
        let traffic = Arc::new(Traffic::default());
        let (server, address) = backend()?;
        let front = Front::new(listener, &address, Arc::clone(&traffic)).map_err(no("socket"))?;
        let api = Api {
            handle,
            access: Arc::new(access),
            default_target: options.target.clone(),
            bootstrap: settings.brokers().to_owned(),
            traffic,
            store_path: options.data.clone(),
        };
        let rest = Rest::start(server, &api, threads)?;
        let stop_front = Arc::new(AtomicBool::new(false));
        let front_stops = Arc::clone(&stop_front);
        Ok(Self {
            node_id,
            link: threads.spawn("link", move || link.run())?,
            engine: threads.spawn("engine", move || engine.run())?,
            front: threads.spawn("front", move || front.run(&front_stops))?,
            rest,
            stop_front,
            stop,
        })
    }

    /// Stops taking requests, answers those that it has, then stops reading the topics, and writes
    /// what is known. The readers of the store close before its writer, who then leaves one file.
    fn stop(self) {
        self.stop_front.store(true, Ordering::Relaxed);
        let _ = self.front.join();
        self.rest.stop();
        self.stop.store(true, Ordering::Relaxed);
        for thread in [self.engine, self.link] {
            let _ = thread.join();
        }
    }
}

/// `tiny_http` and the threads that answer.
struct Rest {
    server: &'static tiny_http::Server,
    workers: Vec<JoinHandle<()>>,
}

impl Rest {
    fn start(
        server: &'static tiny_http::Server,
        api: &Api,
        threads: &Threads,
    ) -> Result<Self, StartError> {
        let start = |at: usize| {
            let worker = Worker::new(api.clone());
            threads.spawn(&format!("api-{at}"), move || worker.run(server))
        };
        let workers = (0..API_THREADS).map(start).collect::<Result<_, _>>()?;
        Ok(Self { server, workers })
    }

    fn stop(self) {
        for _ in &self.workers {
            self.server.unblock();
        }
        for worker in self.workers {
            let _ = worker.join();
        }
    }
}

/// `tiny_http` on a socket of its own, and the address by which the front finds it.
fn backend() -> Result<(&'static tiny_http::Server, UnixAddr), StartError> {
    let (socket, address) = front::backend().map_err(no("socket"))?;
    let server = tiny_http::Server::from_listener(socket, None)
        .map_err(|error| no("thread")(std::io::Error::other(error.to_string())))?;
    // It serves until the process ends; dropping it would look for a file of its socket's name.
    Ok((Box::leak(Box::new(server)), address))
}

/// Clients, readers and the broker take a descriptor each.
fn raise_open_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Without it the front accepts fewer clients at a time.
    let _ = setrlimit(Resource::Nofile, raised);
}

#[cfg(test)]
mod tests {
    use signal_hook::consts::SIGUSR1;

    use super::*;

    #[test]
    fn a_thread_that_ends_on_its_own_is_told_to_main_by_its_name() {
        let mut signals = Signals::new([SIGUSR1]).unwrap();
        let threads = Threads::new(signals.handle());
        let thread = threads.spawn("doomed", || panic!("as the test wants it"));
        assert!(thread.unwrap().join().is_err());
        assert_eq!(signals.forever().next(), None, "main is woken");
        assert_eq!(threads.ended.get().map(String::as_str), Some("doomed"));
        let threads = Threads::new(signals.handle());
        threads.may_end.store(true, Ordering::Relaxed);
        threads.spawn("done", || {}).unwrap().join().unwrap();
        assert_eq!(threads.ended.get(), None, "at the end threads may end");
    }
}
