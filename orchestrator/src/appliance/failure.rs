//! What can go wrong, each with its remedy: one line that a newcomer can act on.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why the appliance could not do as told.
#[derive(Debug, Error)]
pub enum Failure {
    /// A file or folder.
    #[error("cannot {action} {path}: {error}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Two `up` or `down` at a time.
    #[error("another `make up` or `make down` is at work in this folder; wait until it is done")]
    Busy,
    /// The record of what runs is not one of ours.
    #[error("{path} cannot be read ({reason}); end what still runs by hand, then remove the file")]
    Running {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else listens where we want to.
    #[error(
        "port {port} for the {what} is in use{by}; end that program or choose another port: {variable}={other} make up"
    )]
    PortInUse {
        /// The port.
        port: u16,
        /// What was going to listen there.
        what: &'static str,
        /// By whom, if it could be found out.
        by: String,
        /// The environment variable that chooses the port.
        variable: &'static str,
        /// A port that was free a moment ago.
        other: u16,
    },
    /// Both servers on one port.
    #[error(
        "the test server and the orchestrator cannot both listen on port {0}; set TESTSERVER_PORT or ORCHESTRATOR_PORT"
    )]
    SamePort(u16),
    /// A binary of ours is not there.
    #[error("{0} is missing; build it with `make build` (cargo build --release --locked)")]
    BinaryMissing(PathBuf),
    /// The kernel would not let glommio lock the memory of its rings.
    #[error(
        "the limit of locked memory is {allowed_kib} KiB, and the drivers need {needed_kib}; raise it: `ulimit -l 8192`, LimitMEMLOCK=8M in a systemd unit, or --ulimit memlock=8388608 with docker run"
    )]
    Memlock {
        /// The hard limit.
        allowed_kib: u64,
        /// What is needed.
        needed_kib: u64,
    },
    /// The driver says that it cannot work on this machine.
    #[error("drivers cannot run here: {0}")]
    DriverCheck(String),
    /// A tool is not installed.
    #[error(
        "{tool} is not installed; install it, or use the embedded broker: BROKER=embedded make up"
    )]
    ToolMissing {
        /// The tool.
        tool: &'static str,
    },
    /// Docker is installed, but nothing answers it.
    #[error(
        "no Docker engine answers: {reason}; start it, or use the embedded broker: BROKER=embedded make up"
    )]
    NoDockerEngine {
        /// What docker said.
        reason: String,
    },
    /// Docker could not start Redpanda; its own words went before.
    #[error(
        "docker compose could not start Redpanda (its words are above); to do without it: BROKER=embedded make up"
    )]
    Compose,
    /// Docker could not stop Redpanda; its own words went before.
    #[error(
        "docker compose could not stop Redpanda (its words are above); all else is ended; once Docker works: docker compose -f redpanda-compose.yml down"
    )]
    ComposeStop,
    /// Maven or Java is missing, or the download failed; its own words went before.
    #[error(
        "Apache Kafka could not be fetched (the reason is above); to do without it: BROKER=embedded make up"
    )]
    KafkaFetch,
    /// A process could not be started.
    #[error("cannot start {name}: {error}")]
    Start {
        /// Its name.
        name: String,
        /// What the system said.
        error: io::Error,
    },
    /// A process ended while the others were being waited for.
    #[error("{name} ended at once{words}\n  its logs are in {logs}")]
    Ended {
        /// Its name.
        name: String,
        /// The last that it said on standard error.
        words: String,
        /// Where the rest is.
        logs: PathBuf,
    },
    /// Not everything worked in time.
    #[error("{waited_for} within {seconds} s{words}\n  the logs are in {logs}")]
    Timeout {
        /// What did not happen.
        waited_for: String,
        /// How long it was waited for.
        seconds: u64,
        /// What the silent process said on standard error.
        words: String,
        /// Where the rest is.
        logs: PathBuf,
    },
    /// SIGINT or SIGTERM while starting.
    #[error("interrupted; everything that was started is ended again")]
    Interrupted,
    /// It was up, but no longer all of it.
    #[error(
        "dlts is up only in part: {0}; `make logs` shows what happened, `make down` and `make up` start afresh"
    )]
    Degraded(String),
    /// Processes that even SIGKILL does not end.
    #[error(
        "these processes do not end: {0}; they hang in the kernel, look at `ps -o pid,stat,wchan`"
    )]
    Unkillable(String),
    /// Unknown process names.
    #[error("there is no log of {name:?}; there are: {known}")]
    NoSuchLog {
        /// The name.
        name: String,
        /// Those that exist.
        known: String,
    },
}

impl Failure {
    pub(super) fn file(action: &'static str, path: &Path, error: io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            error,
        }
    }
}
