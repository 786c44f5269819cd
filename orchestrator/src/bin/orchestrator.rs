//! The `orchestrator` binary.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use orchestrator::options::Options;
use orchestrator::service;

fn main() -> ExitCode {
    match service::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orchestrator: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
