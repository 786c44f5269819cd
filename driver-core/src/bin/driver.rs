//! The driver process: takes part in a cluster, or with `driver run URL` loads from this machine
//! alone.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use driver_core::agent::{self, AgentError, AgentOptions};
use driver_core::local::{self, ImportArgs, RunArgs, TryArgs};

/// Distributed HTTP load tester: the driver.
#[derive(Debug, Parser)]
#[command(name = "driver", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    agent: AgentOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<RunArgs>),
    Try(Box<TryArgs>),
    Import(Box<ImportArgs>),
    /// Print the JSON Schema of documents, for editors
    Schema,
    /// Check whether a driver can work here: cores, io_uring, locked memory
    Check(Box<AgentOptions>),
}

fn main() -> ExitCode {
    let _flush = proto::log::flush_at_end();
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Run(args)) => local::run(&args),
        Some(Command::Try(args)) => local::rehearse(&args),
        Some(Command::Import(args)) => local::import(&args),
        Some(Command::Schema) => local::schema(),
        Some(Command::Check(options)) => exit(agent::check(&options)),
        None => exit(agent::run(&cli.agent)),
    }
}

fn exit(outcome: Result<(), AgentError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
