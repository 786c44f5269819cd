//! A Kafka that dies, loses a topic, or forgets, in the middle of a run.

use std::time::Duration;

use proto::bus::{BusSettings, Event, StartAt, Subscriber};
use proto::topic::Topic;
use serde_json::Value;

use crate::broker::Kafka;
use crate::cluster::small_disk::SmallDisk;
use crate::cluster::{Cluster, SOON, Signal, assert_whole, int, wait_for};

/// Room for a broker's log and what it writes at its start, MiB.
const DISK_MIB: usize = 64;

#[test]
fn a_broker_killed_and_restarted_in_mid_run_loses_nothing() {
    let mut kafka = Kafka::start();
    let cluster = Cluster::around(Some(kafka.address())).with(2);
    let test_id = cluster.run("/avalanche?rate=100&requests=3000");
    cluster.await_load(&test_id);
    let before = cluster.seen();
    kafka.broker.kill();
    wait_for(SOON, "the load to go on without a broker", || {
        (cluster.seen() > before + 500).then_some(())
    });
    kafka.restart();
    assert_eq!(cluster.nodes_in("down"), Vec::<String>::new());
    assert_whole(&cluster.await_end(&test_id), 6000, cluster.seen());
    let next = cluster.run("/avalanche?requests=100&connections=4");
    assert_eq!(
        int(&cluster.await_end(&next)["ok"]),
        200,
        "and the next run"
    );
}

#[test]
fn a_full_disk_of_the_broker_loses_nothing_once_there_is_room() {
    let mut mounted = None;
    let mut kafka = Kafka::with(|folder| {
        let data = folder.join("broker");
        std::fs::create_dir(&data).unwrap();
        mounted = SmallDisk::mount(&data, DISK_MIB);
        Vec::new()
    });
    // From here on it is unmounted before the folder is removed that it is in.
    let Some(disk) = mounted else {
        return;
    };
    kafka.broker.await_answer().unwrap();
    let cluster = Cluster::around(Some(kafka.address())).with(2);
    let test_id = cluster.run("/avalanche?rate=100&requests=3000");
    cluster.await_load(&test_id);
    let before = cluster.seen();
    disk.fill();
    wait_for(SOON, "the broker to give up", || {
        let health = cluster.rest.get("/healthz");
        (health.json["broker"]["state"] != "up").then_some(())
    });
    wait_for(SOON, "the load to go on without a broker", || {
        (cluster.seen() > before + 500).then_some(())
    });
    kafka.broker.kill();
    disk.make_room();
    kafka.restart();
    assert_whole(&cluster.await_end(&test_id), 6000, cluster.seen());
    let next = cluster.run("/avalanche?requests=100&connections=4");
    assert_eq!(
        int(&cluster.await_end(&next)["ok"]),
        200,
        "and the next run"
    );
}

#[test]
fn a_deleted_topic_is_made_again_and_nothing_wrong_is_reported() {
    let kafka = Kafka::start();
    let cluster = Cluster::around(Some(kafka.address())).with(1);
    let test_id = cluster.run("/avalanche?rate=100&requests=2000");
    cluster.await_load(&test_id);
    let name = Topic::Metrics.name();
    kafka.tool(
        "org.apache.kafka.tools.TopicCommand",
        &["--delete", "--topic", name],
    );
    let result = cluster.await_end(&test_id);
    assert_eq!(cluster.seen(), 2000);
    if result["state"] == "done" {
        assert_whole(&result, 2000, 2000);
    } else {
        assert_eq!(result["state"], "partial", "{result}");
        assert!(int(&result["ok"]) <= 2000, "nothing is counted twice");
        let coverage = &result["coverage"];
        assert!(coverage.to_string().contains("driver-1"), "{coverage}");
    }
    let next = cluster.run("/avalanche?requests=100&connections=4");
    assert_eq!(
        int(&cluster.await_end(&next)["ok"]),
        100,
        "and the next run"
    );
}

/// Waits until the broker has the last report of a test of one driver.
fn await_last_report(kafka: &Kafka, test_id: &str) {
    let settings = BusSettings::new(&kafka.address(), "test", &[]).unwrap();
    let topics = [(Topic::Metrics, StartAt::Beginning)];
    let subscriber = Subscriber::new(&settings, &topics).unwrap();
    wait_for(SOON, "the last report to be delivered", || {
        let Event::Record(record) = subscriber.poll(Duration::from_millis(100))? else {
            return None;
        };
        let report: Value = serde_json::from_slice(&record.payload).unwrap();
        (report["last"] == true && report["test_id"] == test_id).then_some(())
    });
}

/// Cuts the log of the metrics: what is before its end is gone, as retention does it.
fn forget_metrics(kafka: &Kafka) {
    let name = Topic::Metrics.name();
    let what = format!(
        "{{\"partitions\": [{{\"topic\": \"{name}\", \"partition\": 0, \"offset\": -1}}], \
         \"version\": 1}}"
    );
    let file = kafka.folder.path().join("forget.json");
    std::fs::write(&file, what).unwrap();
    kafka.tool(
        "org.apache.kafka.tools.DeleteRecordsCommand",
        &["--offset-json-file", file.to_str().unwrap()],
    );
}

#[test]
fn history_cut_in_mid_run_under_a_restarted_orchestrator_is_healed_by_the_last_report() {
    let kafka = Kafka::start();
    let mut cluster = Cluster::around(Some(kafka.address())).with(1);
    let test_id = cluster.run("/avalanche?rate=100&requests=3000");
    cluster.await_load(&test_id);
    let before = cluster.seen();
    cluster.orchestrator.signal(Signal::KILL);
    cluster.orchestrator.await_end();
    // So that there are reports which nobody has read.
    wait_for(SOON, "more load", || {
        (cluster.seen() > before + 300).then_some(())
    });
    forget_metrics(&kafka);
    cluster.restart_orchestrator();
    let result = cluster.await_end(&test_id);
    assert_eq!(result["state"], "done", "{}", result["coverage"]);
    assert_eq!(int(&result["ok"]), 3000, "{}", result["coverage"]);
    assert_eq!(cluster.seen(), 3000);
    assert_eq!(result["accounting"]["holds"], true);
}

#[test]
fn history_cut_before_a_restarted_orchestrator_read_the_end_is_said() {
    let kafka = Kafka::start();
    let mut cluster = Cluster::around(Some(kafka.address())).with(1);
    let test_id = cluster.run("/avalanche?rate=100&requests=600");
    cluster.await_load(&test_id);
    cluster.orchestrator.signal(Signal::KILL);
    cluster.orchestrator.await_end();
    wait_for(SOON, "the run to end without it", || {
        (cluster.seen() == 600).then_some(())
    });
    await_last_report(&kafka, &test_id);
    forget_metrics(&kafka);
    cluster.restart_orchestrator();
    let result = cluster.await_end(&test_id);
    assert_eq!(result["state"], "partial", "{result}");
    assert!(int(&result["ok"]) <= 600, "nothing is invented");
    let coverage = result["coverage"].to_string();
    assert!(coverage.contains("driver-1"), "it says whose: {coverage}");
}
