//! The `bench` binary: parse, run, exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use bench::cli::{self, Options, Outcome};
use clap::Parser;

fn main() -> ExitCode {
    match cli::run(&Options::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Doubtful) => ExitCode::from(4),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
