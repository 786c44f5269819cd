//! The orchestrator's disk fills up in the middle of a run.

use crate::cluster::small_disk::SmallDisk;
use crate::cluster::{Cluster, SOON, wait_for};

/// Room for the store of a few runs, MiB.
const SIZE_MIB: usize = 4;

#[test]
fn a_full_disk_stops_nothing_and_is_got_over() {
    let mut cluster = Cluster::without_drivers();
    let Some(disk) = SmallDisk::mount(&cluster.path("data"), SIZE_MIB) else {
        return;
    };
    cluster.restart_orchestrator();
    let mut cluster = cluster.with(2);
    let store = |cluster: &Cluster| cluster.rest.get("/healthz").json["store"].clone();

    let test_id = cluster.run("/avalanche?rate=300&requests=1500");
    cluster.await_load(&test_id);
    disk.fill();
    let trouble = wait_for(SOON, "the store to fail", || {
        let store = store(&cluster);
        (store["state"] == "failing").then_some(store)
    });
    let reason = trouble["reason"].as_str().unwrap();
    assert!(reason.contains("full"), "{reason}");
    let refused = cluster.rest.post("/avalanche");
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.text.contains("make room"), "{}", refused.text);

    let result = cluster.await_end(&test_id);
    assert_eq!(result["state"], "done", "{}", result["verdict"]);
    assert_eq!(result["ok"], 3000);
    assert_eq!(cluster.seen(), 3000);
    for path in ["", "/export?format=hgrm", "/export?format=csv"] {
        let answer = cluster.rest.get(&format!("/tests/{test_id}{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    assert_eq!(store(&cluster)["state"], "failing");

    disk.make_room();
    wait_for(SOON, "the store to recover", || {
        (store(&cluster)["state"] == "ok").then_some(())
    });
    assert_eq!(cluster.metrics(&test_id), result);
    cluster.restart_orchestrator();
    assert_eq!(cluster.metrics(&test_id), result, "it is on the disk");
    cluster.await_broker();
    let next = cluster.run("/avalanche?requests=100&connections=4");
    assert_eq!(cluster.await_end(&next)["ok"], 200);
    // What is mounted in it would keep the folder.
    drop(disk);
    drop(cluster);
}
