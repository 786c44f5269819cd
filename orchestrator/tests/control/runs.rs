//! Runs with played drivers: exact merge, deaths of the orchestrator, of the disk, of the log.

use proto::bus::EmbeddedBroker;
use proto::message::NodeState;
use rustix::process::Signal;
use serde_json::Value;

use crate::player::{Player, interval, last};
use crate::process::{Orchestrator, wait_for};

pub(crate) const NODES: [&str; 2] = ["a", "b"];

/// Creates a test and has the drivers run it.
pub(crate) fn run(orchestrator: &Orchestrator, player: &Player, nodes: &[&str]) -> String {
    let test_id = orchestrator.create("/avalanche?requests=300");
    start(orchestrator, player, nodes, &test_id);
    test_id
}

/// Has the drivers become ready for a test and triggers it.
pub(crate) fn start(orchestrator: &Orchestrator, player: &Player, nodes: &[&str], test_id: &str) {
    for node in nodes {
        player.register(node);
    }
    let answer = wait_for("the drivers to be seen", || {
        // Again and again, as drivers do: one that is heard of once is soon held for lost.
        for node in nodes {
            player.beat(node, NodeState::Ready, Some(test_id));
        }
        player.flush();
        let answer = orchestrator.post(&format!("/trigger/{test_id}"));
        (answer.status == 200).then_some(answer)
    });
    let participants = answer.json()["participants"].as_array().unwrap().len();
    assert_eq!(participants, nodes.len(), "{answer:?}");
}

pub(crate) fn await_state(orchestrator: &Orchestrator, test_id: &str, state: &str) -> Value {
    wait_for(state, || {
        let result = orchestrator.get(&format!("/metrics/{test_id}")).json();
        (result["state"] == state).then_some(result)
    })
}

pub(crate) fn report_all(player: &Player, test_id: &str, nodes: &[&str]) {
    for node in nodes {
        (0..3).for_each(|at| player.say(node, &interval(node, test_id, at, 300)));
        player.say(node, &last(node, test_id, 3));
    }
    player.flush();
}

#[test]
fn a_kill_at_random_instants_changes_no_result() {
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |n| n.parse().unwrap());
    let mut rng = fastrand::Rng::with_seed(seed);
    println!("the seed is {seed}: run again with SEED={seed}");
    let broker = EmbeddedBroker::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let player = Player::new(broker.address());
    let mut orchestrator = Orchestrator::start(folder.path(), broker.address());
    orchestrator.await_broker();
    let undisturbed = run(&orchestrator, &player, &NODES);
    report_all(&player, &undisturbed, &NODES);
    let expected = await_state(&orchestrator, &undisturbed, "done");
    assert_eq!(expected["ok"], 600);
    let test_id = run(&orchestrator, &player, &NODES);
    for at in 0..3 {
        for node in NODES {
            player.say(node, &interval(node, &test_id, at, 300));
            player.beat(node, NodeState::Running, Some(&test_id));
        }
        std::thread::sleep(std::time::Duration::from_millis(rng.u64(0..40)));
        orchestrator.end(Signal::KILL);
        player.say(NODES[0], &interval(NODES[0], &test_id, at, 300));
        orchestrator = Orchestrator::start(folder.path(), broker.address());
    }
    NODES
        .iter()
        .for_each(|node| player.say(node, &last(node, &test_id, 3)));
    player.flush();
    let result = await_state(&orchestrator, &test_id, "done");
    for field in [
        "ok",
        "metrics",
        "service",
        "coverage",
        "accounting",
        "series",
        "curve",
    ] {
        assert_eq!(result[field], expected[field], "{field}");
    }
    orchestrator.end(Signal::KILL);
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    assert_eq!(
        orchestrator.get(&format!("/metrics/{test_id}")).json(),
        result
    );
}

#[test]
fn another_broker_at_the_next_start_is_recognised_and_results_stay() {
    let folder = tempfile::tempdir().unwrap();
    let first = EmbeddedBroker::start().unwrap();
    let orchestrator = Orchestrator::start(folder.path(), first.address());
    orchestrator.await_broker();
    let player = Player::new(first.address());
    let old = run(&orchestrator, &player, &NODES);
    report_all(&player, &old, &NODES);
    let result = await_state(&orchestrator, &old, "done");
    orchestrator.end(Signal::TERM);
    drop((player, first));
    let second = EmbeddedBroker::start().unwrap();
    let orchestrator = Orchestrator::start(folder.path(), second.address());
    orchestrator.await_broker();
    assert_eq!(orchestrator.get(&format!("/metrics/{old}")).json(), result);
    let player = Player::new(second.address());
    let new = run(&orchestrator, &player, &NODES);
    report_all(&player, &new, &NODES);
    assert_eq!(await_state(&orchestrator, &new, "done")["ok"], 600);
}

#[test]
fn messages_that_make_no_sense_are_counted_and_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start().unwrap();
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    orchestrator.await_broker();
    let player = Player::new(broker.address());
    player.say_bytes(b"{\"node_id\": 5");
    let test_id = run(&orchestrator, &player, &NODES);
    report_all(&player, &test_id, &NODES);
    await_state(&orchestrator, &test_id, "done");
    let exposition = orchestrator.get("/metrics").text;
    assert!(
        exposition.contains("dlts_messages_malformed_total 6"),
        "{exposition}"
    );
    assert!(exposition.contains("dlts_reports_total 8"), "{exposition}");
    for drops in [
        "nodes_refused",
        "store_reports_dropped",
        "log_lines_dropped",
    ] {
        let line = format!("dlts_{drops}_total 0");
        assert!(exposition.contains(&line), "{line}: {exposition}");
    }
}
