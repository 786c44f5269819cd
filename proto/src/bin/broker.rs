//! The `broker` binary: the embedded broker as a process of its own.
#![forbid(unsafe_code)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use proto::bus::{BusError, EmbeddedBroker, PartitionOptions};
use proto::log;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use thiserror::Error;

/// The embedded broker of dlts: speaks Kafka's protocol on a loopback port that it chooses.
///
/// For the first minute and for tests. It listens on 127.0.0.1 only, keeps at most 5 MiB a topic in
/// memory, and nothing beyond its end. For anything durable or on several hosts run Redpanda or
/// Apache Kafka.
#[derive(Debug, Parser)]
#[command(name = "broker", version, after_help = AFTER_HELP)]
struct Options {
    /// File to write the address to once the broker answers; removed at the end
    #[arg(long, value_name = "PATH", env = "BROKER_PORT_FILE")]
    port_file: Option<PathBuf>,

    #[command(flatten)]
    partitions: PartitionOptions,
}

const AFTER_HELP: &str = "\
Prints `ready 127.0.0.1:PORT` once it answers, then one JSON line with its cluster id.
Topics: register, test_config, trigger, metrics, heartbeat, and three of ours, control, data, merged.
Ends on SIGTERM or SIGINT. Exit codes: 0 ended by a signal, 1 cannot serve, 2 usage.

Example: broker --port-file run/broker.address";

#[derive(Debug, Error)]
enum Failure {
    #[error("cannot serve: {0}")]
    Broker(#[from] BusError),
    #[error("cannot take signals: {0}")]
    Signals(std::io::Error),
    #[error("cannot write the port file {path}: {error}; does its folder exist?")]
    PortFile { path: String, error: std::io::Error },
}

fn main() -> ExitCode {
    let _flush = log::flush_at_end();
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("broker: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    // Registered before the ready line, so that whoever reads it may end us at once.
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::Signals)?;
    let broker = EmbeddedBroker::with_metrics_partitions(options.partitions.metrics_partitions)?;
    if let Some(path) = &options.port_file {
        write_address(path, broker.address())?;
    }
    announce(&broker);
    let signal = signals.forever().next();
    if let Some(path) = &options.port_file {
        let _ = fs::remove_file(path);
    }
    log::info("broker_stopped", json!({ "signal": signal }));
    Ok(())
}

/// A reader that went away (`broker | head -1`) is no reason to stop serving.
fn announce(broker: &EmbeddedBroker) {
    let _ = writeln!(std::io::stdout().lock(), "ready {}", broker.address());
    let topics: Vec<&str> = broker.identity().topics.iter().map(|t| t.name()).collect();
    log::info(
        "broker_started",
        json!({
            "listen": broker.address(),
            "cluster_id": broker.identity().id,
            "topics": topics,
            "durable": false,
            "kept_bytes_per_topic": 5 << 20,
        }),
    );
}

/// Under another name first, so that nobody ever reads half an address.
fn write_address(path: &Path, address: &str) -> Result<(), Failure> {
    let half = path.with_extension("new");
    fs::write(&half, format!("{address}\n"))
        .and_then(|()| fs::rename(&half, path))
        .map_err(|error| Failure::PortFile {
            path: path.display().to_string(),
            error,
        })
}
