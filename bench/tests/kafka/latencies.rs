//! How long the control plane takes, on an embedded broker and on Kafka: printed for the record,
//! and bounded so generously that only a defect is found.

use std::time::{Duration, Instant};

use crate::broker::Kafka;
use crate::cluster::{Cluster, SOON, wait_for};

const RUNS: usize = 5;

/// Milliseconds from the call to the trigger until the target saw a request, and from then until the
/// API tells of it.
fn measure(cluster: &Cluster) -> (Vec<u128>, Vec<u128>) {
    let mut figures = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let test_id = cluster.create("/avalanche?rate=500&requests=1500");
        let before = cluster.seen();
        let asked = Instant::now();
        let trigger = format!("/trigger/{test_id}");
        assert_eq!(cluster.rest.post(&trigger).status, 200);
        wait_for(SOON, "the first request", || {
            (cluster.seen() > before).then_some(())
        });
        let first = asked.elapsed();
        cluster.await_load(&test_id);
        let told = asked.elapsed();
        figures.0.push(first.as_millis());
        figures.1.push(told.saturating_sub(first).as_millis());
        cluster.await_end(&test_id);
    }
    figures.0.sort_unstable();
    figures.1.sort_unstable();
    figures
}

fn assert_prompt(broker: &str, (first, told): (Vec<u128>, Vec<u128>)) {
    println!("{broker}: trigger to first send {first:?} ms, first send to API {told:?} ms");
    assert!(first[RUNS / 2] < Duration::from_secs(5).as_millis());
    assert!(told[RUNS / 2] < Duration::from_secs(5).as_millis());
}

#[test]
fn a_trigger_and_a_report_take_no_longer_on_kafka_than_a_user_would_wait() {
    {
        let folder = tempfile::tempdir().unwrap();
        let embedded = crate::cluster::start_broker(folder.path());
        let address = embedded.line(|line| line.strip_prefix("ready ").map(str::to_owned));
        assert_prompt("embedded", measure(&Cluster::around(Some(address)).with(2)));
    }
    let kafka = Kafka::start();
    assert_prompt(
        "kafka",
        measure(&Cluster::around(Some(kafka.address())).with(2)),
    );
}
