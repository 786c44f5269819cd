//! The `client` binary: parse, do, exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use orchestrator::client::{self, cli::Cli};

fn main() -> ExitCode {
    client::run(&Cli::parse())
}
