//! Starts the server: limits, workers, address, coroutines.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use may_minihttp::HttpServiceFactory;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};

use crate::capacity::Capacity;
use crate::cli::{Options, WORKERS_MAX};
use crate::counters::Counters;
use crate::nodelay;
use crate::service::Factory;

/// Stack of a connection's coroutine in words: 128 KiB. The default of 32 KiB is close to what a
/// panic's message needs.
const STACK_WORDS: usize = 16 << 10;

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else listens there.
    #[error("{0} is in use; stop what listens there or choose another address with --listen")]
    InUse(SocketAddr),
    /// The address cannot be bound for another reason.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A core that does not exist or that this process must not use.
    #[error(
        "core {core} is not among the allowed ones, {allowed:?}; choose from them with --cores"
    )]
    Core {
        /// The core that was asked for.
        core: usize,
        /// The cores that the process may use.
        allowed: Vec<usize>,
    },
    /// The system refused to say or to set which cores to run on.
    #[error("cannot choose the cores: {0}; leave out --cores")]
    Affinity(rustix::io::Errno),
    /// No signal handler could be registered.
    #[error("cannot watch for signals: {0}")]
    Signals(io::Error),
}

/// A server that listens. It serves until the process ends.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    workers: usize,
    cores: Vec<usize>,
    nodelay: bool,
    open_files_max: Option<u64>,
    counters: Arc<Counters>,
}

impl Server {
    /// Starts to serve. To be called once a process, before any other use of coroutines.
    ///
    /// # Errors
    /// When a core is not allowed or the address cannot be had.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let cores = choose_cores(&options.cores)?;
        let workers = options
            .workers
            .map_or(cores.len().min(WORKERS_MAX.into()), usize::from);
        let open_files_max = raise_open_files();
        let address = free_address(options.listen)?;
        may::config()
            .set_workers(workers)
            .set_stack_size(STACK_WORDS);

        let counters = Arc::new(Counters::new(workers));
        let factory = Factory {
            counters: Arc::clone(&counters),
            capacity: Arc::new(Capacity::new()),
        };
        let _listener = factory
            .start(address)
            .map_err(|error| listen_error(address, error))?;
        let nodelay = nodelay::set_on_listener(address);
        Ok(Self {
            address,
            workers,
            cores,
            nodelay,
            open_files_max,
            counters,
        })
    }

    /// The address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The event that says where and how the server listens.
    #[must_use]
    pub fn start_line(&self) -> Value {
        json!({
            "event": "listening",
            "listen": self.address,
            "url": format!("http://{}/", self.address),
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "workers": self.workers,
            "cores": self.cores,
            "nodelay": self.nodelay,
            "open_files_max": self.open_files_max,
        })
    }

    /// The event that says why the server ended and what it had counted.
    #[must_use]
    pub fn stop_line(&self, signal: Option<i32>) -> Value {
        let totals = self.counters.totals();
        json!({
            "event": "stopped",
            "signal": signal.and_then(signal_hook::low_level::signal_name),
            "requests": totals.requests,
            "responses": totals.responses.iter().copied()
                .map(|(status, count)| (status.to_string(), json!(count)))
                .collect::<serde_json::Map<_, _>>(),
            "connections": totals.connections_opened,
        })
    }
}

/// The cores to run on. `may` pins its workers to the cores that the calling thread may use, and
/// counts them for its default, so narrowing our own mask is all it takes.
fn choose_cores(asked: &[usize]) -> Result<Vec<usize>, Error> {
    let mask = sched_getaffinity(None).map_err(Error::Affinity)?;
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|&core| mask.is_set(core))
        .collect();
    if asked.is_empty() {
        return Ok(allowed);
    }
    let mut chosen = CpuSet::new();
    for &core in asked {
        if !allowed.contains(&core) {
            return Err(Error::Core { core, allowed });
        }
        chosen.set(core);
    }
    sched_setaffinity(None, &chosen).map_err(Error::Affinity)?;
    Ok(allowed
        .into_iter()
        .filter(|&core| chosen.is_set(core))
        .collect())
}

/// Raises the limit of open files as far as it goes; says how far, `None` for without limit.
fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        limit.maximum
    } else {
        limit.current
    }
}

/// Makes sure that nobody listens there, and settles the port if any will do. `may` listens with
/// `SO_REUSEPORT`, which would let two servers share the port and halve each other's counts.
fn free_address(address: SocketAddr) -> Result<SocketAddr, Error> {
    TcpListener::bind(address)
        .and_then(|probe| probe.local_addr())
        .map_err(|error| listen_error(address, error))
}

fn listen_error(address: SocketAddr, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::AddrInUse => Error::InUse(address),
        _ => Error::Listen { address, source },
    }
}
