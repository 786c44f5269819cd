//! `bench control`: how many metrics messages a second the control path carries and merges.
//!
//! Simulated nodes publish reports with full histograms over the bus, through an embedded broker,
//! and a reader decodes and folds them as the orchestrator does, without its store. A real node
//! sends one message a second, so this many nodes could be served by one core of merging.
//! The embedded broker keeps 5 MiB a topic, so that only so many messages may be under way.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use proto::bus::{BusSettings, EmbeddedBroker, Event, Publisher, StartAt, Subscriber};
use proto::histogram::{Latencies, SparseLatencies};
use proto::message::{LatencyFigures, Metrics, Report};
use proto::summary::{Absorbed, Counters, Summary};
use proto::topic::Topic;

use crate::output::View;
use crate::results::{Cell, Document, Sample, Settings};
use crate::rig::{Error, Rig};
use crate::table::Column;
use crate::throughput;

/// Bytes that may be under way, well below what the embedded broker keeps.
const UNDER_WAY_BYTES: usize = 2 << 20;
/// Samples in each histogram of a report.
const SAMPLES: u64 = 100_000;
/// Longest wait for the broker or the reader.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much to publish.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Simulated nodes
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "8,64,512",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub nodes: Vec<u32>,

    /// Messages of all nodes together, in each repetition
    #[arg(long, value_name = "N", default_value_t = 2_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub messages: u32,

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
    title: "Metrics messages decoded and merged",
    parameters: &["nodes"],
    columns: &[
        Column::spread("messages/s", "messages_per_second", 1.0, 0),
        Column::plain("MiB/s", "mib_per_second", 1.0, 1),
        Column::plain("bytes a message", "message_bytes", 1.0, 0),
        Column::plain("merge µs a message", "merge_us", 1.0, 1),
    ],
    plots: &[],
};

/// Publishes and merges for each number of nodes.
///
/// # Errors
/// When the broker cannot be started, or a message got lost.
pub fn run(options: &Options) -> Result<Document, Error> {
    let rig = Rig::new(None)?;
    let broker = EmbeddedBroker::start().map_err(bus)?;
    let settings = BusSettings::new(broker.address(), "bench", &[]).map_err(bus)?;
    let latencies = samples();
    let mut cells = Vec::new();
    for &nodes in &options.nodes {
        let mut cell = Cell::new("bus and fold", &[("nodes", f64::from(nodes))]);
        for _ in 0..options.repetitions {
            cell.samples.push(measure_once(
                &settings,
                nodes,
                options.messages,
                &latencies,
            )?);
        }
        cell.summarise();
        cells.push(cell);
    }
    let mut document = throughput::document("control", &rig, Settings::default(), cells);
    document
        .settings
        .insert("messages".to_owned(), options.messages.into());
    document
        .settings
        .insert("repetitions".to_owned(), options.repetitions.into());
    document
        .settings
        .insert("samples a histogram".to_owned(), SAMPLES.into());
    Ok(document)
}

/// Samples as a busy second gives them: a body and a long tail.
fn samples() -> SparseLatencies {
    let mut latencies = Latencies::new();
    for index in 0..SAMPLES {
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

fn measure_once(
    settings: &BusSettings,
    nodes: u32,
    messages: u32,
    latencies: &SparseLatencies,
) -> Result<Sample, Error> {
    let subscriber = subscribe(settings)?;
    let publisher = Publisher::new(settings).map_err(bus)?;
    let payloads: Vec<Vec<u8>> = (0..messages)
        .map(|index| proto::codec::encode(&message(index, nodes, latencies)))
        .collect();
    let bytes: usize = payloads.iter().map(Vec::len).sum();
    let window = (UNDER_WAY_BYTES * payloads.len() / bytes).max(1);
    let (done, merged) = mpsc::sync_channel(window);
    let begin = Instant::now();
    let merging = thread::scope(|scope| {
        let reader = scope.spawn(move || merge(&subscriber, messages, &done));
        publish(&publisher, &payloads, window, &merged)?;
        reader
            .join()
            .map_err(|_| Error::Nothing("the reader panicked".to_owned()))?
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    let count = f64::from(messages);
    Ok([
        ("messages_per_second", count / seconds),
        (
            "mib_per_second",
            bytes as f64 / seconds / f64::from(1 << 20),
        ),
        ("message_bytes", bytes as f64 / count),
        ("merge_us", merging.as_secs_f64() * 1e6 / count),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into())
}

/// A reader that starts where the topic ends now.
fn subscribe(settings: &BusSettings) -> Result<Subscriber, Error> {
    let subscriber = Subscriber::new(settings, &[]).map_err(bus)?;
    let (_, end) = subscriber.bounds(Topic::Metrics, PATIENCE).map_err(bus)?;
    subscriber
        .assign(&[(Topic::Metrics, StartAt::Offset(end))])
        .map_err(bus)?;
    Ok(subscriber)
}

/// Publishes everything, never more than `window` messages ahead of the reader.
fn publish(
    publisher: &Publisher,
    payloads: &[Vec<u8>],
    window: usize,
    merged: &mpsc::Receiver<()>,
) -> Result<(), Error> {
    for (index, payload) in payloads.iter().enumerate() {
        if index >= window {
            let lost = || Error::Nothing(format!("no message was merged for {PATIENCE:?}"));
            merged.recv_timeout(PATIENCE).map_err(|_| lost())?;
        }
        publisher
            .publish_bytes(Topic::Metrics, "bench", payload, 0)
            .map_err(bus)?;
        publisher.poll(Duration::ZERO);
    }
    publisher.flush(PATIENCE);
    Ok(())
}

/// Decodes and folds so many messages; says how much time that took without the waiting.
fn merge(
    subscriber: &Subscriber,
    messages: u32,
    done: &mpsc::SyncSender<()>,
) -> Result<Duration, Error> {
    let (mut summary, mut merging) = (Summary::default(), Duration::ZERO);
    let mut seen = 0;
    while seen < messages {
        match subscriber.poll(PATIENCE) {
            Some(Event::Record(mut record)) => {
                let begin = Instant::now();
                let message: Metrics = proto::codec::decode(&mut record.payload)
                    .map_err(|error| Error::Nothing(error.to_string()))?;
                let absorbed = summary.absorb(&message);
                merging += begin.elapsed();
                assert_eq!(
                    absorbed,
                    Absorbed::New,
                    "invariant: every report is another"
                );
                seen += 1;
                // The publisher may have stopped listening: it has published everything.
                let _ = done.try_send(());
            }
            Some(Event::Trouble(_)) => {}
            Some(Event::OffsetLost) | None => {
                return Err(Error::Nothing(format!(
                    "{seen} of {messages} messages arrived"
                )));
            }
        }
    }
    Ok(merging)
}

fn message(index: u32, nodes: u32, latencies: &SparseLatencies) -> Metrics {
    let sequence = u64::from(index / nodes);
    Metrics {
        node_id: format!("node-{}", index % nodes),
        test_id: "XVlBzgbaiCMRAjWwhTHc".to_owned(),
        report_id: Some(format!("report-{index}")),
        metrics: LatencyFigures::default(),
        report: Some(Report {
            sequence_first: sequence,
            sequence,
            last: false,
            interval_start_ns: sequence * 1_000_000_000,
            interval_end_ns: (sequence + 1) * 1_000_000_000,
            counters: Counters {
                sent: SAMPLES,
                completed: SAMPLES,
                ok: SAMPLES,
                ..Counters::default()
            },
            seconds: Vec::new(),
            first_send_ns: Some(0),
            clock: None,
            health: proto::message::Health::default(),
            connections: None,
            outcome: None,
            reason: None,
            latencies: latencies.clone(),
        }),
    }
}

fn bus(error: impl std::fmt::Display) -> Error {
    Error::Nothing(format!("the bus failed: {error}"))
}
