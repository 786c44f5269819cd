//! The `orchestrator` binary.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use orchestrator::start::{self, options::Options};

fn main() -> ExitCode {
    let _flush = proto::log::flush_at_end();
    match start::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orchestrator: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
