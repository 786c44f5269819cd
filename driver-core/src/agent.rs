//! The driver process: the control state machine, wired to the bus and to the engine.
//!
//! Three kinds of threads, and messages between them through one bounded queue:
//!
//! - the `control_thread` (the caller of [`run`]) owns the node, the outbox and the producer;
//! - the `topic_reader` polls the consumer and passes messages on;
//! - a `test_thread` a test gets the files that it names (`fetch`; the `cache` keeps them), prepares
//!   the load, starts it, and turns what its cores measured into reports.
//!
//! The two others reach the first through the queue of the `inbox`.
//!
//! The Kafka clients are made first, before anything is pinned: their threads inherit the mask.

mod bootstrap;
mod cache;
mod control_thread;
mod fetch;
mod inbox;
mod staged;
mod test_thread;
mod topic_reader;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use proto::bus::{BusError, PartitionOptions, PropertyOptions};
use proto::log;
use proto::units::parse_size;
use proto::workload::AllowedTarget;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use thiserror::Error;

use crate::affinity;
use crate::load::{Directions, PrepareError, Secrets, probe_machine, raise_descriptor_limit};

/// Where the driver finds the broker and its cores.
#[derive(Debug, Clone, Args)]
pub struct AgentOptions {
    /// Broker address, host:port, several separated by commas; learned from the orchestrator when
    /// only that is given
    #[arg(long, env = "BROKER_IP", value_name = "HOST:PORT")]
    pub kafka: Option<String>,
    /// How the broker is reached
    #[command(flatten)]
    pub properties: PropertyOptions,
    /// How its topics are made
    #[command(flatten)]
    pub partitions: PartitionOptions,
    /// Orchestrator address, host:port; asked for the broker when --kafka is not given
    #[arg(long, env = "DLTS_ORCHESTRATOR", value_name = "HOST:PORT")]
    pub orchestrator: Option<String>,
    /// Unique id of this driver; generated when not given
    #[arg(long, env = "DLTS_NODE_ID", value_name = "ID", value_parser = node_id)]
    pub node_id: Option<String>,
    /// CPUs to load from, such as 0,2 or 1-3; all that the process may use when not given
    #[arg(long, env = "DLTS_CORES", value_name = "LIST")]
    pub cores: Option<String>,
    /// Folder of the per-core metric logs
    #[arg(long, env = "DLTS_LOGS", value_name = "DIR", default_value = "logs")]
    pub logs: PathBuf,
    /// Folder of the files that tests name, kept for the next run
    #[arg(
        long,
        env = "DLTS_DRIVER_DATA",
        value_name = "DIR",
        default_value = "data/driver"
    )]
    pub data: PathBuf,
    /// Room that these files may take: 500MB, 4GB, or bytes; those that were used longest ago go
    /// first
    #[arg(
        long,
        env = "DLTS_DRIVER_DATA_BYTES",
        value_name = "SIZE",
        default_value = "4GB",
        value_parser = parse_size
    )]
    pub data_bytes: u64,
    /// Target of tests that name none
    #[arg(
        long,
        env = "DLTS_TARGET",
        value_name = "URL",
        default_value = "http://127.0.0.1:8000/"
    )]
    pub target: String,
    /// File of NAME=value lines: what tests name as $secret(NAME), beside what the environment
    /// has with the prefix `DLTS_SECRET_`
    #[arg(long = "secret-file", env = "DLTS_SECRET_FILE", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Target beyond loopback that this driver may load: host, *.suffix, address or network (CIDR),
    /// each with :port or without; may be repeated
    #[arg(
        long = "allow-target",
        env = "DLTS_ALLOW_TARGET",
        value_name = "HOST[:PORT]",
        value_delimiter = ','
    )]
    pub allow_targets: Vec<AllowedTarget>,
    /// How targets are reached from here
    #[command(flatten)]
    pub directions: Directions,
}

/// Why the driver cannot work.
#[derive(Debug, Error)]
pub enum AgentError {
    /// Neither a broker nor an orchestrator was named.
    #[error(
        "no broker: give --kafka host:port, or --orchestrator host:port to learn it from there"
    )]
    NoBroker,
    /// The list of cores is no list, or names one that this process may not use.
    #[error("--cores {0}")]
    Cores(#[from] affinity::InvalidCores),
    /// The file of secrets.
    #[error("{0}")]
    Secrets(String),
    /// The settings of the bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Another process has our id.
    #[error(
        "another driver with the id {node_id} is up at {address}; give each --node-id of its own, \
         or none"
    )]
    Fenced {
        /// The id.
        node_id: String,
        /// Where the other one is.
        address: String,
    },
    /// This machine cannot run the engine.
    #[error(transparent)]
    Machine(#[from] PrepareError),
    /// A thread or signal handler could not be set up.
    #[error("the driver cannot be set up: {0}")]
    System(#[from] std::io::Error),
}

fn node_id(text: &str) -> Result<String, String> {
    if proto::id::is_acceptable(text) && !text.contains(['/', '\\']) && !text.starts_with('.') {
        return Ok(text.to_owned());
    }
    Err("an id names a folder of logs: 1 to 256 printable characters without slashes".to_owned())
}

/// Whether the driver could work with these options: the cores, the ring, the executors. Prints one
/// line of what it would use.
///
/// # Errors
/// [`AgentError`], which names the remedy.
pub fn check(options: &AgentOptions) -> Result<(), AgentError> {
    let cpus = affinity::choose(options.cores.as_deref())?;
    let features = probe_machine(&cpus)?;
    let ring = features.map_or_else(String::new, |features| features.to_string());
    log::info("driver_check", json!({"cpus": cpus, "ring": ring}));
    Ok(())
}

/// Runs the driver until SIGTERM or SIGINT. A run in progress is then stopped and reported first.
///
/// # Errors
/// [`AgentError`] for what makes working impossible; a broker that is away is not such a thing.
pub fn run(options: &AgentOptions) -> Result<(), AgentError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let cpus = affinity::choose(options.cores.as_deref())?;
    let secrets = Secrets::load(options.secret_file.as_deref()).map_err(AgentError::Secrets)?;
    // The limit in force is checked against the plan when there is one.
    let _ = raise_descriptor_limit();
    let features = probe_machine(&cpus)?;
    let node_id = options
        .node_id
        .clone()
        .unwrap_or_else(proto::id::new_node_id);
    let Some(settings) = bootstrap::settings(options, &node_id, &stop)? else {
        return Ok(());
    };
    let bus = topic_reader::Bus::open(&settings, &stop)?;
    let ring = features.map_or_else(String::new, |features| features.to_string());
    let version = env!("CARGO_PKG_VERSION");
    log::info(
        "driver_up",
        json!({"node_id": node_id, "cpus": cpus, "ring": ring, "version": version}),
    );
    control_thread::ControlThread::new(options, &node_id, &cpus, secrets, &settings, bus)
        .run(|| stop.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_is_safe_as_a_folder() {
        assert!(node_id("driver-1").is_ok());
        for bad in ["", "..", "a/b", "a\\b", "a\nb"] {
            assert!(node_id(bad).is_err(), "{bad:?}");
        }
    }
}
