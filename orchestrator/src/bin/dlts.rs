//! The `dlts` binary: one command in front of all programs.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use orchestrator::front;

fn main() -> ExitCode {
    front::run(&front::command().get_matches())
}
