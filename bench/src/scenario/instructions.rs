//! `bench instructions`: how many instructions the hot paths take, counted by callgrind.
//!
//! Time depends on the neighbours, instruction counts do not: a regression shows on any machine.
//! Each path runs twice with different numbers of repetitions; the difference of the counts divided
//! by the difference of the repetitions is the count of one.
//!
//! `dispatch-64` and `dispatch-64x16` are the whole dispatcher of a core, with 64 connections and 1 or
//! 16 requests in flight on each, on a network in memory: all that a core does for a request in user
//! space but the ring and the clock. The driver itself does not run under callgrind: valgrind lets one
//! thread run at a time and keeps the others out while one waits in `io_uring_enter`, so that nobody
//! wakes it. Where the processor counts, `bench --tools dlts` has the instructions of the whole
//! process.

use std::process::Command;

use crate::output::View;
use crate::results::{Cell, Document, Sample, Settings};
use crate::rig::{Error, Rig};
use crate::table::Column;
use crate::throughput;

/// The paths that `hotpath` knows.
const PATHS: &[&str] = &[
    "parse",
    "parse-new-head",
    "parse-unique",
    "http2",
    "http2-table",
    "record",
    "dispatch-64",
    "dispatch-64x16",
    "sessions-page",
    "sessions-mix",
    "sessions-rows",
];
/// Both are multiples of what 64 connections of 16 have in flight, so that all turns are full.
const FEW: u64 = 4 * 1024;
const MANY: u64 = 44 * 1024;

/// How it is shown.
pub const VIEW: View = View {
    title: "Instructions of the hot paths",
    parameters: &[],
    columns: &[Column::plain("instructions", "instructions", 1.0, 1)],
    plots: &[],
};

/// Where to write.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Folder of the results files
    #[arg(long, value_name = "DIR", default_value = "bench/results")]
    pub results: std::path::PathBuf,
}

/// Counts every path.
///
/// # Errors
/// When valgrind or the example is missing, or callgrind does not count.
pub fn run() -> Result<Document, Error> {
    let rig = Rig::new(None)?;
    let mut cells = Vec::new();
    for path in PATHS {
        let (few, many) = (count(path, FEW)?, count(path, MANY)?);
        let one = (many - few) / (MANY - FEW) as f64;
        let mut cell = Cell::new(path, &[]);
        cell.samples
            .push(Sample::from([("instructions".to_owned(), one)]));
        cell.summarise();
        cells.push(cell);
    }
    Ok(throughput::document(
        "instructions",
        &rig,
        Settings::default(),
        cells,
    ))
}

fn count(path: &str, times: u64) -> Result<f64, Error> {
    let missing = |program: &str, remedy: &str| Error::Missing {
        program: program.to_owned(),
        remedy: remedy.to_owned(),
    };
    let valgrind = crate::tools::locate("valgrind")
        .ok_or_else(|| missing("valgrind", "apt-get install -y valgrind"))?;
    let hotpath = crate::tools::locate("examples/hotpath").ok_or_else(|| {
        missing(
            "examples/hotpath",
            "cargo build --release --locked -p bench --example hotpath",
        )
    })?;
    let failed = |message: String| Error::Start {
        program: "valgrind".to_owned(),
        message,
    };
    let output = Command::new(valgrind)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(hotpath)
        .args([path, &times.to_string()])
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    collected(&stderr).ok_or_else(|| failed(stderr.into_owned()))
}

/// `==123== Collected : 4567`
fn collected(stderr: &str) -> Option<f64> {
    let line = stderr.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_what_callgrind_says() {
        assert_eq!(
            collected("==1== \n==1== Collected : 4567\n==1== x"),
            Some(4567.0)
        );
        assert_eq!(collected("==1== out of memory"), None);
    }
}
