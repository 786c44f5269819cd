//! Delay, loss and partitions: a result is exact, or says what is missing.

use std::time::{Duration, Instant};

use crate::cluster::result::assert_complete;
use crate::cluster::{SOON, assert_whole, int, wait_for};
use crate::whole::Whole;

const NEAR: Duration = Duration::ZERO;
const FAR: Duration = Duration::from_millis(50);
/// A node that is silent for longer than 10 s is down.
const CUT: Duration = Duration::from_secs(20);

/// Waits for an instant, not for a condition: the length of an outage is what is tested.
fn wait_until(instant: Instant) {
    std::thread::sleep(instant.saturating_duration_since(Instant::now()));
}

#[test]
fn three_hosts_one_far_away_and_one_losing_packets_give_an_exact_result() {
    let Some(whole) = Whole::start(&[FAR, NEAR, NEAR]) else {
        return;
    };
    // A clock is known once a probe came back; a run that starts before does without.
    let nodes = wait_for(SOON, "all clocks to be measured", || {
        let nodes = whole.rest.get("/nodes").json;
        let all = nodes.as_array()?.iter();
        let measured = all.filter(|node| node["clock_offset_ms"].is_number());
        (measured.count() == 3).then_some(nodes)
    });
    for node in nodes.as_array().unwrap() {
        let name = &node["node_id"];
        let offset_ms = node["clock_offset_ms"].as_f64().unwrap();
        let uncertainty_ms = node["clock_uncertainty_ms"].as_f64().unwrap();
        println!("{name}: clock {offset_ms:.2} ± {uncertainty_ms:.2} ms");
        assert!(
            offset_ms.abs() <= uncertainty_ms,
            "one clock for all: {node}"
        );
        let is_far = name == "driver-1";
        assert!(
            !is_far || uncertainty_ms > 45.0,
            "a far clock is less sure: {node}"
        );
    }
    let test_id = whole.run("/avalanche?rate=100&requests=1000");
    // Not before: a node whose word that it is ready comes too late is left out.
    whole.await_load(&test_id);
    whole.drivers[1].0.lose(0.02);
    let result = whole.await_end(&test_id);
    assert_whole(&result, 3000, whole.seen());
    for node in result["nodes"].as_array().unwrap() {
        assert!(
            node["clock"]["uncertainty_ns"].is_number(),
            "the result shows it: {node}"
        );
    }
    println!("start skew {} ms", result["start_skew_ms"]);
    assert!(result["start_skew_ms"].as_f64().is_some());
}

#[test]
fn a_driver_cut_off_from_the_broker_for_20_s_goes_on_and_its_result_is_exact() {
    let Some(whole) = Whole::start(&[NEAR, NEAR]) else {
        return;
    };
    let test_id = whole.run("/avalanche?rate=50&requests=1800");
    whole.await_load(&test_id);
    whole.drivers[1].0.cut_from(whole.broker_host);
    let healed = Instant::now() + CUT;
    wait_for(SOON, "the driver to be down", || {
        (whole.nodes_in("down") == ["driver-2"]).then_some(())
    });
    wait_until(healed);
    whole.drivers[1].0.heal();
    wait_for(SOON * 2, "the driver to be back", || {
        (whole.nodes_in("up").len() == 2).then_some(())
    });
    let result = wait_for(SOON * 3, "its reports", || {
        let result = whole.metrics(&test_id);
        let finished = result["coverage"]["nodes_finished"] == 2;
        (finished && result["state"] != "running" && result["state"] != "draining")
            .then_some(result)
    });
    // It was taken for lost, which the state keeps saying; but its late reports count.
    assert_eq!(result["state"], "partial", "{}", result["coverage"]);
    assert_complete(&result, 3600, whole.seen());
}

#[test]
fn a_driver_cut_off_from_everybody_for_20_s_never_counts_what_did_not_happen() {
    let Some(whole) = Whole::start(&[NEAR, NEAR]) else {
        return;
    };
    let test_id = whole.run("/avalanche?rate=50&requests=1500&timeout_ms=5000");
    whole.await_load(&test_id);
    whole.drivers[1].0.cut();
    let healed = Instant::now() + CUT;
    wait_for(SOON, "the driver to be down", || {
        (whole.nodes_in("down") == ["driver-2"]).then_some(())
    });
    wait_until(healed);
    whole.drivers[1].0.heal();
    let result = whole.await_end(&test_id);
    println!(
        "{}: {} {}",
        result["state"], result["coverage"], result["errors"]
    );
    let seen = whole.seen();
    assert!(int(&result["ok"]) <= seen, "{} of {seen}", result["ok"]);
    assert_eq!(result["state"], "partial", "{}", result["coverage"]);
    let finished = int(&result["coverage"]["nodes_finished"]);
    let unfinished = &result["coverage"]["unfinished_nodes"];
    if finished == 2 {
        assert_eq!(result["accounting"]["holds"], true, "{result}");
    } else {
        assert_eq!(unfinished[0], "driver-2", "{result}");
    }
    let nodes = result["nodes"].as_array().unwrap();
    let near = nodes
        .iter()
        .find(|node| node["node_id"] == "driver-1")
        .unwrap();
    assert_eq!(near["ok"], 1500, "the other driver did not notice: {near}");
}

#[test]
fn a_broker_cut_off_from_everybody_takes_no_node_down_and_loses_nothing() {
    let Some(whole) = Whole::start(&[NEAR, NEAR]) else {
        return;
    };
    let test_id = whole.run("/avalanche?rate=50&requests=1500");
    whole.await_load(&test_id);
    let hosts = || {
        whole
            .drivers
            .iter()
            .map(|(host, _)| host)
            .chain([&whole.control])
    };
    hosts().for_each(|host| host.cut_from(whole.broker_host));
    let healed = Instant::now() + CUT;
    // The orchestrator is asked from the broker's side of the cut, so that it cannot be asked now.
    wait_until(healed);
    hosts().for_each(crate::network::Host::heal);
    let result = whole.await_end(&test_id);
    assert_whole(&result, 3000, whole.seen());
    assert_eq!(whole.nodes_in("down"), Vec::<String>::new());
}
