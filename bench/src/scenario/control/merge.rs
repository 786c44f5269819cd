//! Reports through a broker into a fold, as fast as they go: the bus, the decoding and the merge
//! without the orchestrator's store. The embedded broker keeps 5 MiB a topic, so that only so many
//! messages may be under way.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use proto::bus::{BusSettings, Event, Publisher, StartAt, Subscriber};
use proto::histogram::SparseLatencies;
use proto::message::Metrics;
use proto::summary::{Absorbed, Summary};
use proto::topic::Topic;

use super::{PATIENCE, bus, message};
use crate::results::Sample;
use crate::rig::Error;

/// Bytes that may be under way, well below what the embedded broker keeps.
const UNDER_WAY_BYTES: usize = 2 << 20;

/// Publishes and merges so many messages.
pub(super) fn measure_once(
    settings: &BusSettings,
    nodes: u32,
    messages: u32,
    latencies: &SparseLatencies,
) -> Result<Sample, Error> {
    let subscriber = subscribe(settings)?;
    let publisher = Publisher::new(settings).map_err(bus)?;
    let payloads: Vec<Vec<u8>> = (0..messages)
        .map(|index| {
            proto::codec::encode(&message(index % nodes, u64::from(index / nodes), latencies))
        })
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
            Some(Event::Trouble(_) | Event::Unreadable(_) | Event::Forbidden(_)) => {}
            Some(Event::OffsetLost) | None => {
                return Err(Error::Nothing(format!(
                    "{seen} of {messages} messages arrived"
                )));
            }
        }
    }
    Ok(merging)
}
