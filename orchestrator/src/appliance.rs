//! `appliance`: starts and stops the whole of dlts on one machine, which is what `make up`,
//! `make down`, `make status` and `make logs` call.
//!
//! | module | what it owns |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`up`] | start everything, wait until it works, or leave nothing behind |
//! | [`down`] | end exactly what was started |
//! | [`status`], [`logs`] | look at it |
//! | [`broker`], [`redpanda`] | which broker, and Docker's part in it |
//! | [`plan`], [`cores`] | what runs with which arguments on which cores (pure) |
//! | [`preflight`] | what can be known to fail before anything is started |
//! | [`launch`], [`log_pump`] | a process whose output is kept, within bounds, when `up` is gone |
//! | [`process`], [`running`] | which processes are ours |
//!
//! # Which processes are ours
//! A process is named by its id, the kernel's start time of that process, and the boot; all three
//! are kept in `run/appliance.json`. A recycled process id has another start time and is never
//! signalled. The file is written right after each start: whatever ends `up` in the middle, `down`
//! finds what it left, but for a process that was started in the very instant of a `kill -9`.
//!
//! # Where output goes
//! Standard output of each process goes through a pump, a small process of this same binary, into
//! `logs/<name>/stdout.jsonl`, and events of ours into `events.jsonl` as well. It outlives `up`, bounds
//! the files, and ends with its process.
//! Standard error goes straight into `logs/<name>/stderr.log`.

mod answer;
pub mod broker;
pub mod cli;
pub mod cores;
pub mod down;
pub mod failure;
pub mod folders;
pub mod launch;
pub mod log_pump;
pub mod logs;
pub mod plan;
pub mod preflight;
pub mod process;
pub mod redpanda;
pub mod running;
pub mod status;
pub mod up;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use cli::{Cli, Command};

use crate::client::api::Api;

/// Does what the command line says.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    let folders = folders::Folders::new(&cli.dir);
    let done = match &cli.command {
        Command::Up(options) => up::up(&folders, options),
        Command::Down => down::down(&folders),
        Command::Status(options) => status::status(&folders, options),
        Command::Logs(options) => logs::logs(&folders, options),
        Command::LogPump(options) => log_pump::pump(options),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("appliance: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The API of the orchestrator that we start: it inherits our `DLTS_TOKEN`, and asks for it.
fn api(url: &str) -> Api {
    Api::new(url, env::var("DLTS_TOKEN").ok().as_deref())
}

/// A line for people. A reader that went away (`make up | head -1`) must not end a start halfway.
fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}
