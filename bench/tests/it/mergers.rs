//! Mergers between the drivers and the orchestrator: they change no number, whatever becomes of them.

use serde_json::Value;

use crate::cluster::{Cluster, Process, SOON, assert_whole, wait_for};

/// A merger that has the partition, or waits for it.
fn merger(cluster: &Cluster, id: &str) -> Process {
    let arguments = ["--kafka", &cluster.bootstrap, "--merger-id", id];
    Process::start(cluster.folder.path(), "merger", id, &arguments)
}

/// Waits until the orchestrator sees a merger with a partition.
fn await_merging(cluster: &Cluster, id: &str) {
    wait_for(SOON, &format!("{id} to merge"), || {
        let mergers = cluster.rest.get("/nodes?role=merger").json;
        let mut rows = mergers.as_array()?.iter();
        let row = rows.find(|row| row["merger_id"] == id)?;
        let has_some = row["partitions"] != Value::Array(Vec::new());
        (row["state"] == "up" && has_some).then_some(())
    });
}

/// A counter of the orchestrator's exposition.
fn counter(cluster: &Cluster, name: &str) -> u64 {
    let text = cluster.rest.get("/metrics").text;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, value) = lines.find(|(found, _)| *found == name).unwrap();
    value.parse().unwrap()
}

#[test]
fn a_merger_killed_in_mid_run_and_one_that_takes_over_change_nothing() {
    let mut cluster = Cluster::start(2);
    let mut first = merger(&cluster, "first");
    await_merging(&cluster, "first");
    let second = merger(&cluster, "second");
    let test_id = cluster.run("/avalanche?rate=200&requests=5000");
    cluster.await_any_instant(&test_id);
    first.kill();
    cluster.restart_orchestrator();
    await_merging(&cluster, "second");
    assert_whole(&cluster.await_end(&test_id), 10_000, cluster.seen());
    let merged = counter(&cluster, "dlts_reports_merged_total");
    assert!(merged > 0, "nothing came merged");
    drop(second);
}

#[test]
fn what_nobody_merges_any_more_is_said_and_read_all_the_same() {
    let cluster = Cluster::start(1);
    let mut only = merger(&cluster, "only");
    await_merging(&cluster, "only");
    let test_id = cluster.run("/avalanche?rate=200&requests=5000");
    cluster.await_any_instant(&test_id);
    only.kill();
    wait_for(SOON, "the orchestrator to say it", || {
        let mergers = &cluster.rest.get("/healthz").json["mergers"];
        let reasons = mergers["reasons"].to_string();
        let is_said = reasons.contains("partition 0 of metrics is read by no merger");
        (mergers["state"] == "degraded" && is_said).then_some(())
    });
    assert_whole(&cluster.await_end(&test_id), 5000, cluster.seen());
}
