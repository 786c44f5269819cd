//! Runs a program and measures all of it: wall time, user and system time, largest memory.
//!
//! The system accounts what ended children took to their parent, all together. So each measured
//! program gets a parent of its own: `bench exec`, which pins itself, starts it, waits, and reads
//! the account of its only child. The child inherits the pinning; its waiting parent costs nothing.

mod counters;

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{io, thread};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

pub use counters::{Counted, Counters};

/// What a program took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Wall time.
    pub seconds: f64,
    /// In user mode.
    pub user_seconds: f64,
    /// In the kernel.
    pub system_seconds: f64,
    /// Largest resident set; at least that of `bench exec` itself, about 4 MiB.
    pub rss_mib: f64,
    /// Exit code; `None` when a signal ended it, the deadline's among them.
    pub code: Option<i32>,
    /// What the processor counted of it, where it counts.
    #[serde(default)]
    pub counted: Option<Counted>,
}

impl Usage {
    /// User and system time.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        self.user_seconds + self.system_seconds
    }
}

/// A program that ran: what it took and what it said.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it took.
    pub usage: Usage,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Run {
    /// How it ended, and the last thing that it said about it.
    #[must_use]
    pub fn failure(&self) -> String {
        let last = self
            .stderr
            .lines()
            .chain(self.stdout.lines())
            .rfind(|line| !line.is_empty());
        let ended = self
            .usage
            .code
            .map_or("it was killed".to_owned(), |code| format!("exit {code}"));
        format!("{ended}, {}", last.unwrap_or("without a word"))
    }
}

/// Why a program could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error("cannot run {program}: {source}")]
    Start {
        /// Which program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// `bench exec` itself failed.
    #[error("cannot measure {program}: {message}")]
    Measure {
        /// Which program.
        program: String,
        /// What went wrong.
        message: String,
    },
}

/// Options of `bench exec`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Core to pin the program to
    #[arg(long)]
    pub core: Option<usize>,
    /// Where to write what it took
    #[arg(long, required_unless_present = "replace")]
    pub report: Option<PathBuf>,
    /// Become the program instead of measuring it: pinning alone
    #[arg(long, conflicts_with = "report")]
    pub replace: bool,
    /// Seconds after which it is killed
    #[arg(long, default_value_t = 60.0)]
    pub deadline_s: f64,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// Runs `command` on `core` through `bench exec` and collects what it took and said. Its files lie
/// in `scratch` meanwhile.
///
/// # Errors
/// When it cannot be started. A program that fails is a [`Run`] with its exit code.
pub fn run(
    command: &[String],
    core: usize,
    deadline: Duration,
    scratch: &Path,
) -> Result<Run, Error> {
    let program = command.first().cloned().unwrap_or_default();
    let failed = |source| Error::Start {
        program: program.clone(),
        source,
    };
    let [report, stdout, stderr] =
        ["report", "stdout", "stderr"].map(|name| scratch.join(format!("exec.{name}")));
    let status = Command::new(std::env::current_exe().map_err(failed)?)
        .args(["exec", "--core", &core.to_string(), "--report"])
        .arg(&report)
        .args(["--deadline-s", &deadline.as_secs_f64().to_string(), "--"])
        .args(command)
        .stdin(Stdio::null())
        .stdout(File::create(&stdout).map_err(failed)?)
        .stderr(File::create(&stderr).map_err(failed)?)
        .status()
        .map_err(failed)?;
    let stderr = fs::read_to_string(&stderr).unwrap_or_default();
    if !status.success() {
        return Err(Error::Measure {
            program,
            message: stderr.trim().to_owned(),
        });
    }
    let usage = fs::read(&report).map_err(failed)?;
    let usage = serde_json::from_slice(&usage).map_err(|error| Error::Measure {
        program: program.clone(),
        message: error.to_string(),
    })?;
    Ok(Run {
        usage,
        stdout: read_lossy(&stdout),
        stderr,
    })
}

/// A command that becomes this program through `bench exec`, and so ends when the thread ends that
/// starts it.
///
/// # Errors
/// When there is no `bench` beside us.
pub(crate) fn follower(program: &Path) -> Result<Command, Error> {
    let bench = crate::tools::locate("bench").ok_or_else(|| Error::Measure {
        program: program.display().to_string(),
        message: "bench is not there: cargo build --release --locked".to_owned(),
    })?;
    let mut command = Command::new(bench);
    command.args(["exec", "--replace", "--"]).arg(program);
    Ok(command)
}

/// What `bench exec` does.
///
/// # Errors
/// When the core cannot be had, or the program cannot be started or waited for.
pub fn exec(options: &Options) -> Result<(), Error> {
    let program = options.command[0].to_string_lossy().into_owned();
    let message = |message: String| Error::Measure {
        program: program.clone(),
        message,
    };
    // Kept over the exec: nothing that was started outlives a bench that was killed.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| message(format!("following the parent: {error}")))?;
    if let Some(core) = options.core {
        crate::cores::pin(&[core]).map_err(|error| message(error.to_string()))?;
    }
    let mut command = Command::new(&options.command[0]);
    command.args(&options.command[1..]);
    let start_error = |source| Error::Start {
        program: program.clone(),
        source,
    };
    let Some(report) = &options.report else {
        return Err(start_error(command.exec()));
    };
    // A machine that does not count is no reason not to measure: the scenario says so.
    let counters = Counters::start().ok();
    let begin = Instant::now();
    let mut child = command.spawn().map_err(start_error)?;
    let watchdog = Watchdog::start(child.id(), Duration::from_secs_f64(options.deadline_s));
    let status = child.wait().map_err(|error| message(error.to_string()))?;
    let seconds = begin.elapsed().as_secs_f64();
    watchdog.stop();
    let code = status.code().filter(|_| status.signal().is_none());
    let counted = counters.map(Counters::read).transpose();
    let counted = counted.map_err(|error| message(error.to_string()))?;
    let usage = usage(seconds, code, counted).map_err(|error| message(error.to_string()))?;
    let text = serde_json::to_string(&usage).expect("invariant: numbers");
    fs::write(report, text).map_err(|error| message(error.to_string()))
}

fn usage(seconds: f64, code: Option<i32>, counted: Option<Counted>) -> nix::Result<Usage> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let of_us = |us: i64| us as f64 / 1e6;
    Ok(Usage {
        seconds,
        user_seconds: of_us(usage.user_time().num_microseconds()),
        system_seconds: of_us(usage.system_time().num_microseconds()),
        rss_mib: usage.max_rss() as f64 / 1024.0,
        code,
        counted,
    })
}

/// Kills the program if it is still there at its deadline.
struct Watchdog {
    over: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Watchdog {
    fn start(child: u32, deadline: Duration) -> Self {
        let (over, ended) = mpsc::channel();
        let thread = thread::spawn(move || {
            let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
            if let (Err(mpsc::RecvTimeoutError::Timeout), Some(pid)) =
                (ended.recv_timeout(deadline), pid)
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Self { over, thread }
    }

    fn stop(self) {
        drop(self.over);
        let _ = self.thread.join();
    }
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
