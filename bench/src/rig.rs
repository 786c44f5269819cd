//! What every scenario needs: a pair of cores, a scratch folder, a started target, and a way to
//! run a generator between two readings of the machine.

mod certificate;
mod foreign;
mod nghttpd;
mod nginx;
mod node;
mod server;

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

pub use server::{Kind, Server};
pub(crate) use server::{get, post};

use crate::machine::{CpuTimes, Host};
use crate::measure::{self, Run};

/// Time that a generator gets beyond what it was told to run, to start and to end.
const GRACE: Duration = Duration::from_secs(20);

/// The measuring rig of one scenario.
#[derive(Debug)]
pub struct Rig {
    /// The machine and which of its cores are used.
    pub host: Host,
    scratch: TempDir,
}

/// A generator's run, with what happened on the machine meanwhile.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The generator's own account.
    pub run: Run,
    /// CPU seconds of the server.
    pub server_cpu_seconds: f64,
    /// Share of the two cores' time that the hypervisor took.
    pub steal_share: f64,
    /// Share of the two cores' time that went to neither the generator nor the server.
    pub foreign_share: f64,
}

/// Why a scenario cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that has to be started is not there.
    #[error("{program} is missing; make it with: {remedy}")]
    Missing {
        /// Which one.
        program: String,
        /// The command that makes or installs it.
        remedy: String,
    },
    /// A server did not start or did not say where it listens.
    #[error("{program} did not start: {message}")]
    Start {
        /// Which one.
        program: String,
        /// What it said.
        message: String,
    },
    /// A server did not answer.
    #[error("no answer from {url}: {message}")]
    Answer {
        /// What was asked.
        url: String,
        /// What went wrong.
        message: String,
    },
    /// The cores that were asked for cannot be had.
    #[error(transparent)]
    Cores(#[from] crate::cores::Error),
    /// A generator could not be run.
    #[error(transparent)]
    Measure(#[from] measure::Error),
    /// A results file could not be written or read.
    #[error(transparent)]
    Results(#[from] crate::results::Error),
    /// A plot could not be drawn.
    #[error(transparent)]
    Plot(#[from] crate::plot::Error),
    /// Files could not be made.
    #[error("cannot use the folder for temporary files: {0}; set TMPDIR")]
    Scratch(std::io::Error),
    /// Nothing to measure is left.
    #[error("{0}")]
    Nothing(String),
}

impl Rig {
    /// A rig on these two cores (generator, target), or on the first two allowed ones.
    ///
    /// # Errors
    /// When the cores cannot be had or no scratch folder can be made.
    pub fn new(cores: Option<(usize, usize)>) -> Result<Self, Error> {
        let scratch = tempfile::Builder::new().prefix("dlts-bench-").tempdir();
        Ok(Self {
            host: Host::look(cores)?,
            scratch: scratch.map_err(Error::Scratch)?,
        })
    }

    /// The scratch folder; it is removed with the rig.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Starts a server on the target's core.
    ///
    /// # Errors
    /// When it is missing or does not start.
    pub fn start(&self, kind: Kind) -> Result<Server, Error> {
        Server::start(kind, self.host.target_core, self.scratch())
    }

    /// Runs a generator on the generator's core against a server that has been started.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn observe(
        &self,
        command: &[String],
        seconds: u32,
        server: &Server,
    ) -> Result<Observed, Error> {
        let cores = [self.host.generator_core, self.host.target_core];
        let deadline = Duration::from_secs(seconds.into()) + GRACE;
        let (times, server_cpu) = (CpuTimes::now(&cores), server.cpu_seconds());
        let run = measure::run(command, self.host.generator_core, deadline, self.scratch())?;
        let spent = CpuTimes::now(&cores).since(times);
        let server_cpu_seconds = server.cpu_seconds() - server_cpu;
        let foreign = spent.busy - run.usage.cpu_seconds() - server_cpu_seconds;
        let share = |part: f64| {
            if spent.total > 0.0 {
                (part / spent.total).max(0.0)
            } else {
                0.0
            }
        };
        Ok(Observed {
            steal_share: share(spent.steal),
            foreign_share: share(foreign),
            server_cpu_seconds,
            run,
        })
    }
}

/// Raises the limit of open files as far as allowed: a thousand connections need it, and children
/// inherit it.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Not allowed is no reason to stop: the tools say what they could not open.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
}
