//! `bench scale`: one to eight drivers through the broker and the orchestrator.
//!
//! A whole cluster on this machine: sum of the drivers' rates, start skew, and how long it takes
//! from the end of a second until `/metrics/{id}` shows it. The drivers share the machine's cores
//! with each other and the target, so that beyond the number of cores the sum shows what sharing
//! costs, not what more machines would bring.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::{Cluster, Size};
use crate::output::View;
use crate::results::{Cell, Document, Sample, Settings};
use crate::rig::{Error, Rig};
use crate::table::Column;
use crate::throughput;

/// How many drivers, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Numbers of drivers
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2,4,8",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub drivers: Vec<u32>,

    /// Connections of each driver
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub connections: u32,

    /// Seconds of each run
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=600))]
    pub seconds: u32,

    /// Repetitions
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repetitions: u32,

    /// Folder of the results files
    #[arg(long, value_name = "DIR", default_value = "bench/results")]
    pub results: std::path::PathBuf,
}

/// How it is shown.
pub const VIEW: View = View {
    title: "Drivers under one orchestrator, on one machine",
    parameters: &["drivers"],
    columns: &[
        Column::spread("k req/s", "requests_per_second", 1e-3, 1),
        Column::plain("start skew ms", "start_skew_ms", 1.0, 3),
        Column::plain("second shown after ms", "report_delay_ms", 1.0, 0),
        Column::plain("lost", "lost", 1.0, 0),
    ],
    plots: &[],
};

/// Runs every number of drivers.
///
/// # Errors
/// When a binary is missing, or a run does not end.
pub fn run(options: &Options) -> Result<Document, Error> {
    let rig = Rig::new(None)?;
    let mut cells = Vec::new();
    for &drivers in &options.drivers {
        let folder = rig.scratch().join(format!("scale-{drivers}"));
        let size = Size {
            drivers,
            ..Size::default()
        };
        let cluster = Cluster::start(&folder, None, size, &rig.host.cores)?;
        let mut cell = Cell::new("dlts", &[("drivers", f64::from(drivers))]);
        for repetition in 0..options.repetitions {
            let sample = measure_once(&cluster, options)?;
            let rate = sample.get("requests_per_second").copied().unwrap_or(0.0) / 1e3;
            eprintln!("{drivers} drivers #{}  {rate:.1} k req/s", repetition + 1);
            cell.samples.push(sample);
        }
        cell.summarise();
        cells.push(cell);
    }
    let mut document = throughput::document("scale", &rig, Settings::default(), cells);
    for (name, value) in [
        ("seconds", options.seconds),
        ("connections", options.connections),
        ("repetitions", options.repetitions),
    ] {
        document.settings.insert(name.to_owned(), value.into());
    }
    Ok(document)
}

fn measure_once(cluster: &Cluster, options: &Options) -> Result<Sample, Error> {
    let (connections, seconds) = (options.connections, options.seconds);
    let before = cluster.target_count()?;
    let create = format!("/avalanche?connections={connections}&duration_s={seconds}");
    let created = cluster.post(&create)?;
    let test_id = created["TestId"].as_str().unwrap_or_default().to_owned();
    let armed = cluster.post(&format!("/trigger/{test_id}"))?;
    let start_ns = armed["start_at_unix_ns"].as_u64().unwrap_or(0);
    let (result, delays) = watch(cluster, &test_id, start_ns, seconds)?;
    let counted = cluster.target_count()? - before;
    let sent = result["sent"].as_f64().unwrap_or(0.0);
    let mut sample = Sample::from([
        ("requests".to_owned(), counted as f64),
        ("lost".to_owned(), (sent - counted as f64).abs()),
    ]);
    for name in ["requests_per_second", "start_skew_ms"] {
        if let Some(value) = result[name].as_f64() {
            sample.insert(name.to_owned(), value);
        }
    }
    if let Some(delay) = crate::statistics::Summary::of(&delays) {
        sample.insert("report_delay_ms".to_owned(), delay.median);
    }
    Ok(sample)
}

/// Asks until the run is over; notes how long after its end each second was first shown.
fn watch(
    cluster: &Cluster,
    test_id: &str,
    start_ns: u64,
    seconds: u32,
) -> Result<(Value, Vec<f64>), Error> {
    let path = format!("/metrics/{test_id}");
    let deadline = Instant::now() + Duration::from_secs(u64::from(seconds) + 60);
    let (mut delays, mut shown) = (Vec::new(), 0);
    loop {
        let result = cluster.get(&path)?;
        let now_ns = proto::clock::unix_ns();
        let rows = result["series"].as_array().map_or(0, Vec::len) as u64;
        for second in shown..rows.min(seconds.into()) {
            let end_ns = start_ns + (second + 1) * 1_000_000_000;
            delays.push((now_ns as f64 - end_ns as f64) / 1e6);
        }
        shown = shown.max(rows);
        let state = result["state"].as_str().unwrap_or_default();
        if ["done", "partial", "aborted", "failed"].contains(&state) {
            return Ok((result, delays));
        }
        if Instant::now() > deadline {
            return Err(Error::Nothing(format!("test {test_id} is still {state}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
