//! The `merger` binary.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use orchestrator::merger::{self, options::Cli, options::Command};

fn main() -> ExitCode {
    let _flush = proto::log::flush_at_end();
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(Command::Check(options)) => merger::check(options),
        None => merger::run(&cli.options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("merger: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
