//! Commands and their answers, as clients of all kinds give them.

use proto::bus::EmbeddedBroker;
use proto::message::NodeState;
use rustix::process::Signal;

use crate::player::Player;
use crate::process::{Orchestrator, wait_for};

#[test]
fn a_parameter_of_the_query_may_need_one_of_the_body() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start().unwrap();
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    orchestrator.await_broker();
    let create = |query: &str, body: &str| {
        let path = format!("/avalanche?{query}");
        orchestrator.call("POST", &path, &[], body)
    };
    let ramp = create("rate=100:2000", r#"{"duration_s": 30}"#);
    assert_eq!(ramp.status, 200, "{ramp:?}");
    let overridden = create("requests=0", r#"{"requests": 5}"#);
    assert_eq!(overridden.status, 400, "{overridden:?}");
    // The most that may be asked for, in characters that JSON spells in six bytes.
    let long = r"\u0001".repeat(160_000);
    let long = create("", &format!(r#"{{"method": "POST", "body": "{long}"}}"#));
    assert_eq!(long.status, 200, "{long:?}");
    let test_id = long.json()["TestId"].as_str().unwrap().to_owned();
    wait_for("its config to be read again", || {
        let metrics = orchestrator.get("/metrics").text;
        metrics.contains("dlts_outbox_messages 0").then_some(())
    });
    assert_eq!(orchestrator.post(&format!("/stop/{test_id}")).status, 200);
}

#[test]
fn who_waits_for_an_answer_gets_it_also_when_the_orchestrator_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start().unwrap();
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    orchestrator.await_broker();
    let player = Player::new(broker.address());
    player.beat("a", NodeState::Idle, None);
    player.flush();
    wait_for("the driver", || {
        let nodes = orchestrator.get("/nodes").json();
        (nodes[0]["state"] == "up").then_some(())
    });
    let trigger = format!("/trigger/{}", orchestrator.create("/avalanche"));
    let mut other = orchestrator.connect();
    let answer = std::thread::scope(|scope| {
        // It waits for the driver, which never becomes ready.
        let waiting = scope.spawn(|| orchestrator.post(&trigger));
        wait_for("the trigger to wait", || {
            (orchestrator.post(&trigger).status == 409).then_some(())
        });
        orchestrator.signal(Signal::TERM);
        waiting.join().unwrap()
    });
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.head.contains("Connection: close"), "{answer:?}");
    let heard = std::io::Read::read(&mut other, &mut [0]);
    assert!(matches!(heard, Ok(0) | Err(_)), "an idle client was let go");
    assert!(orchestrator.end(Signal::TERM).success());
}

#[test]
fn drivers_come_by_page_by_state_and_in_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start().unwrap();
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    orchestrator.await_broker();
    let player = Player::new(broker.address());
    for node in ["a1", "a2", "b1"] {
        player.beat(node, NodeState::Idle, None);
    }
    player.flush();
    let ids = |query: &str| -> Vec<String> {
        let rows = orchestrator.get(&format!("/nodes?{query}")).json();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["node_id"].as_str().unwrap().to_owned())
            .collect()
    };
    wait_for("the drivers", || (ids("state=up").len() == 3).then_some(()));
    assert_eq!(ids("offset=1&limit=1"), ["a2"]);
    assert_eq!(ids("search=a&limit=9"), ["a1", "a2"]);
    assert!(ids("state=down").is_empty() && ids("limit=0").is_empty());
    let summary = orchestrator.get("/nodes?summary=1").json();
    assert_eq!(summary["nodes"], 3);
    assert_eq!(summary["states"], serde_json::json!({"up": 3}));
    assert_eq!(summary["activities"], serde_json::json!({"idle": 3}));
    let refused = orchestrator.get("/nodes?state=dwon");
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.text.contains("suspect"), "{refused:?}");
    let refused = orchestrator.get("/nodes?role=broker");
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(
        refused.text.contains("neither driver nor merger"),
        "{refused:?}"
    );
    let refused = orchestrator.get("/nodes?limit=-1");
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.text.contains("limit"), "{refused:?}");
}
