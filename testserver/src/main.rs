//! The `testserver` binary: parse, start, wait for a signal, say goodbye.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use testserver::cli::Options;
use testserver::probe::probe;
use testserver::server::{self, Server};

fn main() -> ExitCode {
    let options = Options::parse();
    let done = if options.probe {
        probe(options.listen).map_err(|error| format!("{}: {error}", options.listen))
    } else {
        run(&options).map_err(|error| error.to_string())
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testserver: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), server::Error> {
    // Registered before the start line, so that whoever reads it may end us at once.
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(server::Error::Signals)?;
    let server = Server::start(options)?;
    print_line(&server.start_line());
    let signal = signals.forever().next();
    print_line(&server.stop_line(signal));
    Ok(())
}

/// A reader that went away (`testserver | head -1`) is no reason to stop serving.
fn print_line(line: &serde_json::Value) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
