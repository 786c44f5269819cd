//! Processes that die, freeze and come back in the middle of a run.

use std::time::{Duration, Instant};

use crate::cluster::skip::skip;
use crate::cluster::{Cluster, RUN, SOON, Signal, assert_whole, int, wait_for};

#[test]
fn an_orchestrator_killed_in_mid_run_changes_nothing() {
    let mut cluster = Cluster::start(2);
    let test_id = cluster.run("/avalanche?rate=300&requests=4500");
    for _ in 0..3 {
        cluster.await_any_instant(&test_id);
        cluster.restart_orchestrator();
        assert_eq!(cluster.metrics(&test_id)["state"], "running");
    }
    let result = cluster.await_end(&test_id);
    assert_whole(&result, 9000, cluster.seen());
    let again = {
        cluster.restart_orchestrator();
        cluster.metrics(&test_id)
    };
    assert_eq!(
        result, again,
        "a finished result is the same after a restart"
    );
    cluster.await_up(2);
}

#[test]
fn an_orchestrator_away_while_the_run_ends_reads_it_afterwards() {
    let mut cluster = Cluster::start(2);
    let test_id = cluster.run("/avalanche?rate=500&requests=2000");
    cluster.await_any_instant(&test_id);
    cluster.orchestrator.signal(Signal::KILL);
    cluster.orchestrator.await_end();
    wait_for(SOON, "the drivers to finish without it", || {
        (cluster.seen() == 4000).then_some(())
    });
    cluster.restart_orchestrator();
    assert_whole(&cluster.await_end(&test_id), 4000, cluster.seen());
}

#[test]
fn a_driver_killed_in_mid_run_leaves_a_partial_result() {
    let mut cluster = Cluster::start(2);
    let test_id = cluster.run("/avalanche?rate=200&requests=3000");
    wait_for(SOON, "both to report", || {
        (cluster.metrics(&test_id)["coverage"]["nodes_reporting"] == 2).then_some(())
    });
    cluster.await_any_instant(&test_id);
    cluster.drivers[1].signal(Signal::KILL);
    cluster.drivers[1].await_end();
    wait_for(SOON, "the node to be down", || {
        cluster
            .nodes_in("down")
            .contains(&"driver-2".to_owned())
            .then_some(())
    });
    let result = cluster.await_end(&test_id);
    assert_eq!(result["state"], "partial", "{}", result["verdict"]);
    assert_eq!(result["coverage"]["unfinished_nodes"][0], "driver-2");
    let ok = int(&result["ok"]);
    assert!(ok > 3000, "what the lost node had reported stays: {ok}");
    assert!(
        ok <= cluster.seen(),
        "and nothing that did not happen is counted"
    );
    cluster.add_driver("driver-3");
    cluster.await_up(2);
    let next = cluster.run("/avalanche?requests=100&connections=4");
    assert_eq!(
        int(&cluster.await_end(&next)["ok"]),
        200,
        "the next run has the new driver"
    );
}

#[test]
fn a_driver_that_freezes_is_suspect_and_counts_once_when_it_is_back() {
    let cluster = Cluster::start(2);
    let test_id = cluster.run("/avalanche?rate=200&requests=2400");
    cluster.await_any_instant(&test_id);
    let stopped = Instant::now();
    cluster.drivers[0].signal(Signal::STOP);
    wait_for(SOON, "the node to be suspect", || {
        cluster
            .nodes_in("suspect")
            .contains(&"driver-1".to_owned())
            .then_some(())
    });
    let frozen_ms = stopped.elapsed().as_secs_f64() * 1e3;
    cluster.drivers[0].signal(Signal::CONT);
    cluster.await_up(2);
    let result = cluster.await_end(&test_id);
    assert_whole(&result, 4800, cluster.seen());
    let lag = result["release_lag"]["max_latency"].as_f64().unwrap();
    assert!(
        lag > frozen_ms * 0.9,
        "the freeze of {frozen_ms} ms shows in the release lag: {lag} ms"
    );
    // More than 1 % of the requests were to be sent in the first half of the freeze.
    let p99 = result["metrics"]["p99_latency"].as_f64().unwrap();
    assert!(p99 > frozen_ms * 0.5, "and in the response time: {p99} ms");
}

#[test]
fn a_broker_away_in_mid_run_loses_nothing() {
    let cluster = Cluster::start(2);
    let Some(broker) = &cluster.broker else {
        skip("the broker of BROKER is not ours to stop");
        return;
    };
    let test_id = cluster.run("/avalanche?rate=200&requests=8000");
    cluster.await_any_instant(&test_id);
    let before = cluster.seen();
    broker.signal(Signal::STOP);
    wait_for(RUN, "the load to go on for 30 s", || {
        (cluster.seen() > before + 30 * 400).then_some(())
    });
    assert!(
        cluster.nodes_in("down").is_empty(),
        "a broker outage takes no node down"
    );
    broker.signal(Signal::CONT);
    assert_whole(&cluster.await_end(&test_id), 16_000, cluster.seen());
}

#[test]
fn a_stop_ends_the_load_at_once_and_adds_up() {
    let cluster = Cluster::start(2);
    let test_id = cluster.run("/tsunami/2?requests=1000&burst=10");
    cluster.await_any_instant(&test_id);
    let asked = Instant::now();
    assert_eq!(cluster.rest.post(&format!("/stop/{test_id}")).status, 200);
    let result = cluster.await_end(&test_id);
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(result["state"], "aborted", "{result}");
    assert_eq!(int(&result["sent"]), cluster.seen());
    assert_eq!(
        int(&result["planned"]),
        int(&result["sent"]) + int(&result["not_sent"])
    );
    let next = cluster.run("/avalanche?requests=100&connections=4");
    assert_eq!(int(&cluster.await_end(&next)["ok"]), 200);
}

#[test]
fn a_target_killed_and_restarted_costs_what_was_in_flight() {
    let mut cluster = Cluster::start(1);
    let test_id = cluster.run("/avalanche?rate=500&requests=3000&connections=16");
    cluster.await_any_instant(&test_id);
    let address = cluster.rest.target.clone();
    cluster.target.signal(Signal::KILL);
    cluster.target.await_end();
    cluster.target = crate::cluster::Process::start(
        cluster.folder.path(),
        "testserver",
        "target-2",
        &["--listen", &address],
    );
    let result = cluster.await_end(&test_id);
    assert_eq!(result["state"], "done", "{}", result["verdict"]);
    let lost = int(&result["errors"]["read"]) + int(&result["errors"]["write"]);
    // A dying process may still take connections into its backlog: those are in flight as well.
    assert!(lost <= 2 * 16, "at most what was in flight: {lost}");
    // What fell due while nobody took a connection was refused, as a user would have been.
    let other = int(&result["errors"]["stale"]) + int(&result["refused"]);
    assert_eq!(int(&result["ok"]) + lost + other, 3000, "{result}");
}

#[test]
fn a_run_whose_nodes_all_vanish_ends() {
    let mut cluster = Cluster::start(1);
    let test_id = cluster.run("/avalanche?rate=100&requests=100000");
    cluster.await_any_instant(&test_id);
    cluster.drivers[0].signal(Signal::KILL);
    cluster.drivers[0].await_end();
    let result = cluster.await_end(&test_id);
    assert_eq!(result["state"], "partial", "{}", result["verdict"]);
}

#[test]
fn a_second_driver_with_the_id_of_one_that_lives_ends_and_nobody_sends_twice() {
    let cluster = Cluster::start(2);
    let test_id = cluster.run("/avalanche?rate=100&requests=400");
    cluster.await_any_instant(&test_id);
    let mut twin = cluster.start_driver("twin", "driver-1");
    assert_eq!(twin.await_end(), Some(1), "{}", twin.errors());
    let words = twin.errors();
    assert!(
        words.contains("another driver with the id driver-1 is up at "),
        "{words}"
    );
    assert!(words.contains("--node-id"), "a remedy: {words}");
    assert_whole(&cluster.await_end(&test_id), 800, cluster.seen());
    let next = cluster.run("/avalanche?requests=100&connections=4");
    assert_whole(&cluster.await_end(&next), 200, cluster.seen() - 800);
}

#[test]
fn a_driver_that_died_is_followed_by_another_process_with_its_id() {
    let mut cluster = Cluster::start(1);
    cluster.drivers[0].kill();
    cluster.drivers.clear();
    let heir = cluster.start_driver("heir", "driver-1");
    cluster.drivers.push(heir);
    wait_for(SOON, "a run of the new process", || {
        let test_id = cluster.create("/avalanche?requests=100&connections=4");
        let started = cluster.rest.post(&format!("/trigger/{test_id}"));
        (started.status == 200).then(|| cluster.await_end(&test_id))
    });
    assert_eq!(cluster.seen(), 100, "it was told once");
}
