//! Mergers on a real consumer group: they are killed again and again in mid-run, and nothing is lost
//! or counted twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proto::bus::{self, BusSettings, Event, Partition, Record, StartAt, Subscriber};
use proto::codec;
use proto::message::{Merged, Metrics};
use proto::topic::Topic;

use crate::broker::Kafka;
use crate::cluster::{Cluster, Process, RUN, SOON, assert_whole};

const PARTITIONS: u16 = 6;
const MERGERS: usize = 3;
const KILLS: usize = 20;
/// Longest time between two kills: a few of them find the group in the midst of dealing anew.
const KILL_EVERY_MAX: Duration = Duration::from_millis(2500);

fn settings(kafka: &Kafka) -> BusSettings {
    let settings = BusSettings::new(&kafka.address(), "test", &[]).unwrap();
    settings.with_metrics_partitions(PARTITIONS)
}

/// One more merger, with an id of its own.
fn merger(cluster: &Cluster, number: usize) -> Process {
    let id = format!("merger-{number}");
    let arguments = ["--kafka", &cluster.bootstrap, "--merger-id", &id];
    Process::start(cluster.folder.path(), "merger", &id, &arguments)
}

/// Everything that a topic has.
fn read_all(settings: &BusSettings, topic: Topic, partitions: u16) -> Vec<Record> {
    let subscriber = Subscriber::new(settings, &[]).unwrap();
    let places: Vec<Partition> = (0..partitions.into())
        .map(|number| (topic, number))
        .collect();
    let ends = places.iter().map(|place| {
        let (_, end) = subscriber.bounds_of(*place, SOON).unwrap();
        (place.1, end)
    });
    let mut left: BTreeMap<i32, i64> = ends.filter(|(_, end)| *end > 0).collect();
    let starts = places.iter().map(|place| (*place, StartAt::Beginning));
    subscriber.assign_partitions(starts).unwrap();
    let deadline = Instant::now() + RUN;
    let mut records = Vec::new();
    while !left.is_empty() {
        assert!(Instant::now() < deadline, "{topic}: {left:?} are left");
        if let Some(Event::Record(record)) = subscriber.poll(Duration::from_millis(100)) {
            if left.get(&record.partition) == Some(&(record.offset + 1)) {
                left.remove(&record.partition);
            }
            records.push(record);
        }
    }
    records
}

/// What each of some reports says was answered; by who sent it, and which it is.
type Answered = BTreeMap<(String, u64), u64>;

fn note(answered: &mut Answered, metrics: &Metrics) {
    let report = metrics.report.as_ref().unwrap();
    let of = (metrics.node_id.clone(), report.sequence);
    let twice = answered.insert(of, report.counters.ok);
    assert_eq!(twice, None, "{} twice", metrics.node_id);
}

/// The interval reports as somebody counts them who follows the ranges, and reads what no range
/// follows on from the partition; and how many of them came merged.
fn counted(settings: &BusSettings) -> (Answered, usize) {
    let raw = read_all(settings, Topic::Metrics, PARTITIONS);
    let (mut answered, mut merged_count) = (Answered::new(), 0);
    let mut next: BTreeMap<i32, i64> = (0..PARTITIONS.into()).map(|it| (it, 0)).collect();
    let count_raw = |answered: &mut Answered, number: i32, from: i64, to: i64| {
        let is_there =
            |record: &&Record| record.partition == number && (from..to).contains(&record.offset);
        for record in raw.iter().filter(is_there) {
            let metrics: Metrics = codec::decode(&mut record.payload.clone()).unwrap();
            if metrics.report.as_ref().is_some_and(|report| !report.last) {
                note(answered, &metrics);
            }
        }
    };
    for mut record in read_all(settings, Topic::Merged, 1) {
        let merged: Merged = codec::decode(&mut record.payload).unwrap();
        let at = next.get_mut(&merged.partition).unwrap();
        if merged.to <= *at {
            continue;
        }
        if merged.from == *at {
            for report in merged.parts.iter().flat_map(|part| &part.reports) {
                note(&mut answered, &report.0);
                merged_count += 1;
            }
        } else {
            count_raw(&mut answered, merged.partition, *at, merged.to);
        }
        *at = merged.to;
    }
    for (number, from) in next {
        count_raw(&mut answered, number, from, i64::MAX);
    }
    (answered, merged_count)
}

#[test]
fn mergers_killed_twenty_times_in_mid_run_lose_nothing_and_count_nothing_twice() {
    let kafka = Kafka::start();
    // Before the orchestrator makes it with one partition.
    bus::ensure_topics(&settings(&kafka), SOON).unwrap();
    let cluster = Cluster::around(Some(kafka.address())).with(2);
    let mut mergers: Vec<Process> = (0..MERGERS).map(|at| merger(&cluster, at)).collect();
    for merger in &mergers {
        merger.line(|line| line.contains("\"event\":\"partitions\"").then_some(()));
    }
    let test_id = cluster.run("/avalanche?rate=100&requests=4500");
    cluster.await_load(&test_id);
    for kill in 0..KILLS {
        let most = u64::try_from(KILL_EVERY_MAX.as_micros()).unwrap();
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..most)));
        // Dropping it kills it.
        drop(mergers.swap_remove(fastrand::usize(..mergers.len())));
        mergers.push(merger(&cluster, MERGERS + kill));
    }
    let result = cluster.await_end(&test_id);
    assert_whole(&result, 9000, cluster.seen());

    let (answered, merged_count) = counted(&settings(&kafka));
    assert_eq!(answered.values().sum::<u64>(), 9000, "by the ranges alone");
    println!("{merged_count} of {} reports fitted merged", answered.len());
    let least = answered.len() / 10;
    assert!(merged_count >= least, "mergers merged {merged_count} only");
    let exposition = cluster.rest.get("/metrics").text;
    let mut lines = exposition.lines();
    let merged = lines.find_map(|line| line.strip_prefix("dlts_reports_merged_total "));
    let merged: usize = merged.unwrap().parse().unwrap();
    assert!(
        merged >= least,
        "the orchestrator read all but {merged} itself"
    );
    let next = cluster.run("/avalanche?requests=100&connections=4");
    assert_eq!(cluster.await_end(&next)["ok"], 200, "and the next run");
}
