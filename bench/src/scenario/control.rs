//! `bench control`: what the control path carries.
//!
//! Two measurements. `merge`: reports with full histograms over the bus into a fold, as fast as they
//! go; a driver sends one a second, so this many drivers could be served by one core of merging.
//! `orchestrator`: a real orchestrator under a crowd of simulated drivers, each with a heartbeat and
//! a report a second; whether every report is merged, how fresh `/metrics/{id}` is meanwhile, and
//! what CPU time and memory that takes. Real drivers report together, and so does the crowd at a
//! broker that holds it (`--kafka`); at the embedded one, which keeps 5 MiB a topic, it spreads its
//! reports over the second. Its reports are encoded before the start, so that it is not the limit.
//!
//! `--mergers 0,3` measures the second without mergers, and with three of them, which share as many
//! partitions of `metrics`: what they take, and what is left for the orchestrator.
//!
//! `--real 20,50` measures something else: so many real drivers, idle, and the CPU time of broker,
//! orchestrator and drivers; none of them first. The simulated ones read nothing, the real ones do.
//!
//! From both, what a fleet of n drivers needs: `cores` of the orchestrator grow by the merge's µs a
//! message and second for each running driver, and the broker's by its share for each idle one.

mod crowd;
mod merge;
mod real;

use std::time::Duration;

use proto::bus::{BusSettings, EmbeddedBroker};
use proto::histogram::{Latencies, SparseLatencies};
use proto::measure::{Counters, LatencyFigures, Report, SecondRow};
use proto::message::Metrics;

use crate::output::View;
use crate::results::{Cell, Document, Settings};
use crate::rig::{Error, Rig};
use crate::scenario::cluster::Size;
use crate::table::Column;
use crate::throughput;

const NS_PER_S: u64 = 1_000_000_000;
/// Longest wait for the broker or the reader.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much to publish.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Simulated nodes
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "8,100,1000",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub nodes: Vec<u32>,

    /// Mergers between the crowd and the orchestrator; each number is measured, such as 0,3. A
    /// broker of --kafka needs as many partitions of metrics
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0",
          value_parser = clap::value_parser!(u32).range(0..=100))]
    pub mergers: Vec<u32>,

    /// Real idle drivers to start instead, such as 20,50
    #[arg(long, value_name = "LIST", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub real: Vec<u32>,

    /// Samples in each histogram of a report: what a node answers a second. With fewer of them it has
    /// fewer buckets
    #[arg(long, value_name = "N", default_value_t = 100_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub samples: u32,

    /// Process of the broker of --kafka, to measure its CPU time with --real
    #[arg(long, value_name = "PID", requires = "kafka")]
    pub broker_pid: Option<u32>,

    /// Spread reports over the second also with --kafka; drivers send them together
    #[arg(long)]
    pub spread: bool,

    /// Seconds of the run that the crowd simulates, or for which real drivers are watched
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds: u32,

    /// Messages of all nodes together, in each repetition of the merge
    #[arg(long, value_name = "N", default_value_t = 2_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub messages: u32,

    /// Repetitions of the merge
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repetitions: u32,

    /// Broker to use instead of an embedded one, which keeps only 5 MiB a topic
    #[arg(long, value_name = "HOST:PORT")]
    pub kafka: Option<String>,

    /// Folder of the results files
    #[arg(long, value_name = "DIR", default_value = "bench/results")]
    pub results: std::path::PathBuf,
}

impl Options {
    /// Whether the crowd's reports are sent all at the same instant.
    fn reports_together(&self) -> bool {
        self.kafka.is_some() && !self.spread
    }
}

/// How it is shown.
pub const VIEW: View = View {
    title: "Metrics messages decoded and merged",
    parameters: &["nodes"],
    columns: &[
        Column::spread("messages/s", "messages_per_second", 1.0, 0),
        Column::plain("bytes a message", "message_bytes", 1.0, 0),
        Column::plain("merge µs a message", "merge_us", 1.0, 1),
        Column::plain("shown after ms p50", "shown_after_p50_ms", 1.0, 0),
        Column::plain("max", "shown_after_max_ms", 1.0, 0),
        Column::plain("REST ms p50", "rest_p50_ms", 1.0, 1),
        Column::plain("p99", "rest_p99_ms", 1.0, 1),
        Column::plain("cores", "cores", 1.0, 2),
        Column::plain("mergers' cores", "merger_cores", 1.0, 2),
        Column::plain("merged %", "merged_share", 100.0, 1),
        Column::plain("RSS MiB", "rss_mib", 1.0, 0),
        Column::plain("broker cores", "broker_cores", 1.0, 3),
        Column::plain("% of a core a driver", "broker_share_per_driver", 100.0, 3),
        Column::plain("driver's own %", "driver_share", 100.0, 2),
        Column::plain("lost", "lost", 1.0, 0),
    ],
    plots: &[],
};

/// Measures for each number of nodes.
///
/// # Errors
/// When a process cannot be started, or a run does not end.
pub fn run(options: &Options) -> Result<Document, Error> {
    let rig = Rig::new(None)?;
    let latencies = samples(options.samples.into());
    let mut cells = Vec::new();
    if !options.real.is_empty() {
        cells = real::cells(options, &rig)?;
    }
    let simulated = options.nodes.iter().filter(|_| options.real.is_empty());
    for &nodes in simulated {
        cells.push(merge_cell(options, nodes, &latencies)?);
        for &mergers in &options.mergers {
            let size = Size {
                mergers,
                ..Size::default()
            };
            let subject = match mergers {
                0 => "orchestrator".to_owned(),
                1 => "with a merger".to_owned(),
                count => format!("with {count} mergers"),
            };
            let mut cell = Cell::new(&subject, &[("nodes", f64::from(nodes))]);
            let folder = rig.scratch().join(format!("control-{nodes}-{mergers}"));
            let crowd = (nodes, size);
            cell.samples
                .push(crowd::measure(options, &folder, crowd, &latencies)?);
            cell.summarise();
            cells.push(cell);
        }
    }
    let mut document = throughput::document("control", &rig, Settings::default(), cells);
    for (name, value) in [
        ("messages", u64::from(options.messages)),
        ("repetitions", options.repetitions.into()),
        ("seconds", options.seconds.into()),
        ("bursts", options.reports_together().into()),
        ("samples a histogram", options.samples.into()),
    ] {
        document.settings.insert(name.to_owned(), value.into());
    }
    Ok(document)
}

fn merge_cell(options: &Options, nodes: u32, latencies: &SparseLatencies) -> Result<Cell, Error> {
    let broker = EmbeddedBroker::start().map_err(bus)?;
    let settings = BusSettings::new(broker.address(), "bench", &[]).map_err(bus)?;
    let mut cell = Cell::new("merge", &[("nodes", f64::from(nodes))]);
    for _ in 0..options.repetitions {
        let sample = merge::measure_once(&settings, nodes, options.messages, latencies)?;
        cell.samples.push(sample);
    }
    cell.summarise();
    Ok(cell)
}

/// Samples as a busy second gives them: a body and a long tail.
fn samples(count: u64) -> SparseLatencies {
    let mut latencies = Latencies::new();
    for index in 0..count {
        // Low-discrepancy fractions: the same samples each time, without a random generator.
        let fraction = (index as f64 * 0.618_033_988_749_895).fract();
        let service_ns = 20_000 + whole(fraction.powi(6) * 5e6);
        latencies.service.saturating_record(service_ns);
        latencies
            .response
            .saturating_record(service_ns + whole(fraction * 2e4));
        latencies
            .release_lag
            .saturating_record(200 + whole(fraction * 5e3));
    }
    // As of answers that fit into a segment: their first byte comes with the last.
    latencies.first_byte.made().clone_from(&latencies.service);
    SparseLatencies::from(&latencies)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 0 to 1e7"
)]
fn whole(ns: f64) -> u64 {
    ns as u64
}

/// The report of a node on a second that had these samples.
fn message(node: u32, second: u64, latencies: &SparseLatencies) -> Metrics {
    let count = latencies.service.len();
    let row = SecondRow {
        second,
        offered: count,
        sent: count,
        completed: count,
        ok: count,
        ..SecondRow::default()
    };
    Metrics {
        node_id: node_id(node),
        test_id: "XVlBzgbaiCMRAjWwhTHc".to_owned(),
        report_id: Some(format!("report-{node}-{second}")),
        metrics: LatencyFigures::default(),
        report: Some(Report {
            sequence_first: second,
            sequence: second,
            interval_start_ns: second * NS_PER_S,
            interval_end_ns: (second + 1) * NS_PER_S,
            counters: counters(count),
            seconds: vec![row],
            first_send_ns: Some(0),
            latencies: latencies.clone(),
            ..Report::default()
        }),
    }
}

/// What a node counts that has so many answers.
fn counters(count: u64) -> Counters {
    Counters {
        planned: count,
        offered: count,
        sent: count,
        completed: count,
        ok: count,
        ..Counters::default()
    }
}

fn node_id(node: u32) -> String {
    format!("simulated-{node}")
}

fn bus(error: impl std::fmt::Display) -> Error {
    Error::Nothing(format!("the bus failed: {error}"))
}
