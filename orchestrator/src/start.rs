//! All of it, started in the right order and stopped again.

mod check;
mod limits;
pub mod options;
mod threads;

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{bounded, unbounded};
use proto::bus::{BusError, BusSettings, Publisher};
use proto::{clock, log};
use rustls::ServerConfig;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use thiserror::Error;

use crate::control::{Control, Now, Settings};
use crate::control_thread::{BATCHES_MAX, ControlThread, Reading};
use crate::data_sender::{ASKED_MAX, DataSender};
use crate::files::Files;
use crate::rest::access::Access;
use crate::rest::api::{Api, Worker};
use crate::rest::front::{self, Downloads, Front, Traffic};
use crate::store::{self, Backups, Loaded, Store, StoreError};
use crate::topic_reader::{RawReadings, TopicReader};
use options::Options;
use threads::{Threads, pool_behind};

/// REST threads: as many as the front passes requests at a time.
const API_THREADS: usize = 32;
/// Connections that wait to be accepted, as far as the system has room for them (`somaxconn`). Whoever finds
/// no room tries again after a second, which the 128 of the standard library made many do that came at once.
const WAITING_MAX: i32 = 4096;
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

/// Runs until SIGTERM or SIGINT; or restores a backup, and no more.
///
/// # Errors
/// [`StartError`] when it cannot start.
pub fn run(options: &Options) -> Result<(), StartError> {
    if let Some(backup) = &options.restore {
        let bytes = store::restore(backup, &options.data)?;
        let data = options.data.display().to_string();
        log::info("restored", json!({"data": data, "bytes": bytes}));
        return Ok(());
    }
    // Before anything is announced, so that whoever sees it may end us at once.
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(no("signal handler"))?;
    let (address, access) = check::check(options)?;
    let tls = check::tls(options)?;
    limits::raise_open_file_limit();
    let settings = options
        .broker
        .settings("dlts-orchestrator")?
        .with_metrics_partitions(options.partitions.metrics_partitions);
    let publisher = Publisher::new(&settings)?;
    let listener = listen(&options.listen, address)?;
    let address = listener.local_addr().map_err(no("socket"))?;
    let (store, loaded) = open_store(options)?;
    let threads = Threads::new(signals.handle());
    let service = Service::start(
        options, &settings, publisher, listener, tls, store, loaded, access, &threads,
    )?;
    let fields = json!({
        "address": address.to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "kafka": options.broker.kafka,
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

fn listen(text: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        rustix::net::listen(&listener, WAITING_MAX)?;
        Ok(listener)
    });
    listener.map_err(|error| StartError::Listen {
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

/// The folder of the files that tests name.
fn open_files(store: &Store, bytes_max: u64) -> Result<Arc<Files>, StartError> {
    let files = Files::open(store.path(), bytes_max);
    files.map(Arc::new).map_err(|error| {
        StartError::Usage(format!(
            "the folder of uploaded files beside {} cannot be made or read: {error}; make the folder \
             of --data writable",
            store.path().display()
        ))
    })
}

/// The threads.
struct Service {
    node_id: String,
    stop_front: Arc<AtomicBool>,
    front: JoinHandle<()>,
    rest: Rest,
    backups: Arc<Backups>,
    stop: Arc<AtomicBool>,
    topic_reader: JoinHandle<()>,
    control_thread: JoinHandle<()>,
    live: JoinHandle<()>,
    housekeeper: JoinHandle<()>,
    data_sender: JoinHandle<()>,
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
        tls: Option<Arc<ServerConfig>>,
        store: Store,
        loaded: Loaded,
        access: Access,
        threads: &Threads,
    ) -> Result<Self, StartError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (batches, incoming) = bounded(BATCHES_MAX);
        // Unbounded, since each of the two threads would wait for the other; it holds one request for each
        // partition and change of hands.
        let (raw, raw_asked) = unbounded();
        let reading = Reading {
            batches: incoming,
            raw,
        };
        let node_id = loaded.node_id.unwrap_or_default();
        let topic_reader = TopicReader {
            settings: settings.clone(),
            offsets: loaded.offsets,
            partitions: Vec::new(),
            cluster_id: loaded.restored.cluster_id.clone(),
            decoders: pool_behind("topic-decoder")?,
            batches,
            asked: raw_asked,
            stop: Arc::clone(&stop),
            raw: RawReadings::default(),
        };
        let settings_of_state = Settings {
            node_id: node_id.clone(),
            default_target: options.target.clone(),
            retention_tests: options.retention_tests,
            retention_ms: u64::from(options.retention_days) * DAY_MS,
            retention_bytes: options.retention_bytes,
        };
        let now = Now::new(clock::unix_ns(), clock::monotonic_ns());
        let control = Control::restore(settings_of_state, loaded.restored, now);
        let files = open_files(&store, options.retention_bytes)?;
        let (asked, asking) = bounded(ASKED_MAX);
        let data_sender = DataSender {
            files: Arc::clone(&files),
            publisher: Publisher::new(settings)?,
            asked: asking,
            stop: Arc::clone(&stop),
        };
        let data = (Arc::clone(&files), asked);
        let (control_thread, handle, live, housekeeper) =
            ControlThread::new(control, store, publisher, reading, Arc::clone(&stop), data)?;
        let traffic = Arc::new(Traffic::default());
        let (server, address) = backend()?;
        let queues = Arc::clone(live.queues());
        let (downloads, backups) = <(Arc<Downloads>, Arc<Backups>)>::default();
        let front = Front::new(
            listener,
            &address,
            Arc::clone(&traffic),
            tls,
            queues,
            Arc::clone(&downloads),
        )
        .map_err(no("socket"))?;
        let stop_live = Arc::clone(&stop);
        let made = Arc::clone(&live);
        let api = Api {
            handle,
            live,
            access: Arc::new(access),
            default_target: options.target.clone(),
            bootstrap: settings.brokers().to_owned(),
            traffic,
            downloads,
            backups: Arc::clone(&backups),
            store_path: options.data.clone(),
            files,
        };
        let rest = Rest::start(server, &api, threads)?;
        let stop_front = Arc::new(AtomicBool::new(false));
        let front_stops = Arc::clone(&stop_front);
        Ok(Self {
            node_id,
            topic_reader: threads.spawn_behind("topic-reader", move || topic_reader.run())?,
            control_thread: threads.spawn("control", move || control_thread.run())?,
            live: threads.spawn_behind("live", move || made.run(&stop_live))?,
            front: threads.spawn("front", move || front.run(&front_stops))?,
            data_sender: threads.spawn("data-sender", move || data_sender.run())?,
            housekeeper: threads.spawn_behind("housekeeper", move || housekeeper.run())?,
            rest,
            backups,
            stop_front,
            stop,
        })
    }

    /// Stops taking requests, answers those that it has, then stops reading the topics, and writes
    /// what is known. The readers of the store close before its writer, who then leaves one file.
    fn stop(self) {
        self.stop_front.store(true, Ordering::Relaxed);
        let _ = self.front.join();
        self.backups.stop();
        self.rest.stop();
        self.stop.store(true, Ordering::Relaxed);
        let others = [
            self.live,
            self.housekeeper,
            self.topic_reader,
            self.data_sender,
        ];
        for thread in [self.control_thread].into_iter().chain(others) {
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
