//! A real Apache Kafka on this machine, for the tests and for `BROKER=kafka make up`.
//!
//! | module | what it owns |
//! |---|---|
//! | [`distribution`] | the pinned jars: fetched once by Maven, run by Java |
//! | [`node`] | one node: its ports, its properties, its folder |
//! | [`session`] | a node for as long as a command runs |
//!
//! `bench kafka run` becomes the broker: it prepares the folder and then replaces itself by Java, so
//! that its process id is the broker's, and whoever started it may signal it as any other process.

pub mod distribution;
pub mod node;
pub mod session;

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use rustix::process::{Signal, set_parent_process_death_signal};
use thiserror::Error;

use distribution::Distribution;
use node::{Node, Settings};

/// Why there is no Kafka.
#[derive(Debug, Error)]
pub enum Error {
    /// Java is missing or too old.
    #[error(
        "Apache Kafka needs Java 17 or later: {0}; install it, such as openjdk-17-jre-headless"
    )]
    Java(String),
    /// Maven is missing.
    #[error("Apache Kafka is fetched by Maven, which is not there: {0}; install it, or see BROKER")]
    Maven(String),
    /// Maven could not fetch the jars.
    #[error("Maven could not fetch Apache Kafka: {0}")]
    Fetch(String),
    /// The folder of the node could not be prepared.
    #[error("Kafka's folder could not be formatted: {0}")]
    Format(String),
    /// The broker ended, or does not answer.
    #[error("Apache Kafka did not start: {0}")]
    Start(String),
    /// The command that it was started for ended with an error.
    #[error("{command} ended with {status}")]
    Command {
        /// The program.
        command: String,
        /// How it ended.
        status: String,
    },
    /// A file or a port.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
}

impl Error {
    /// Names what was tried when the system refused.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::System { what, error }
    }
}

/// What `bench kafka` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Folder of the fetched Kafka, a subfolder a version
    #[arg(long, value_name = "DIR", default_value = "target/kafka")]
    folder: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch it, and nothing else
    Fetch,
    /// Become a broker, until SIGTERM; started again with the same --data it has the same address
    Run(RunOptions),
    /// Run a command with BROKER set to a fresh broker, which ends with it
    With {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct RunOptions {
    /// Folder of its log and its properties
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// File to write the address to, before the broker answers there
    #[arg(long, value_name = "PATH")]
    port_file: Option<PathBuf>,
    #[command(flatten)]
    node: Settings,
    /// End when the process that started this one ends
    #[arg(long)]
    die_with_parent: bool,
}

/// Does what was asked for.
///
/// # Errors
/// [`Error`](enum@Error), which names the remedy.
pub fn run(options: &Options) -> Result<(), Error> {
    let distribution = Distribution::fetch(&options.folder)?;
    match &options.command {
        Command::Fetch => Ok(()),
        Command::Run(options) => become_broker(&distribution, options),
        Command::With { command } => session::with(&options.folder, command),
    }
}

/// Returns only when it fails.
fn become_broker(distribution: &Distribution, options: &RunOptions) -> Result<(), Error> {
    if options.die_with_parent {
        // Kept over the exec, so that Java does not outlive a test that was killed.
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| Error::system("following the parent")(error.into()))?;
    }
    let node = Node::prepare(distribution, &options.data, &options.node)?;
    if let Some(path) = &options.port_file {
        std::fs::write(path, format!("{}\n", node.address))
            .map_err(Error::system(format!("writing {}", path.display())))?;
    }
    // A reader that went away is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "address {}", node.address);
    let error = node.command(distribution).exec();
    Err(Error::Java(error.to_string()))
}
