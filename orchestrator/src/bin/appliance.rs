//! The `appliance` binary: parse, do, exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use orchestrator::appliance::{self, cli::Cli};

fn main() -> ExitCode {
    appliance::run(&Cli::parse())
}
