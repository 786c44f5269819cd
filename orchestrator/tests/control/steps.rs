//! What the steps of a document count by time, as played drivers tell it.

use proto::bus::EmbeddedBroker;
use proto::measure::{PartProgress, Progress, SessionCounts, StepCounts};
use proto::message::{Metrics, NodeState};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::player::{Player, interval, last};
use crate::process::{Orchestrator, wait_for};
use crate::runs::{NODES, await_state, start};

const DOCUMENT: &str = r#"{"target": "http://127.0.0.1:8000", "load": {"closed": 1, "for": "3s"},
    "steps": [{"name": "login", "GET": "/a"}, {"name": "look", "GET": "/b"}]}"#;

/// An interval at the end of which a driver has sent so many of each step.
fn told(node: &str, test_id: &str, second: u64, sent: [u64; 2]) -> Metrics {
    let mut message = interval(node, test_id, second, 300);
    let row = |(part, sent)| PartProgress {
        part,
        counts: [sent, sent, 0, 0, 0, 0],
    };
    message.report.as_mut().unwrap().progress = Some(Box::new(Progress {
        steps: (0..).zip(sent).map(row).collect(),
        flows: Vec::new(),
    }));
    message
}

fn ended(node: &str, test_id: &str, sent: [u64; 2]) -> Metrics {
    let mut message = last(node, test_id, 3);
    let step = |sent| StepCounts {
        sent,
        ok: sent,
        ..StepCounts::default()
    };
    message.report.as_mut().unwrap().sessions = Some(Box::new(SessionCounts {
        steps: sent.map(step).to_vec(),
        ..SessionCounts::default()
    }));
    message
}

/// The counts of each line.
fn counts(orchestrator: &Orchestrator, test_id: &str, of: &str) -> Value {
    let lines = orchestrator.get(&format!("/tests/{test_id}/lines?by=step&of={of}"));
    let lines = lines.json();
    let line = |line: &Value| {
        (
            line["name"].as_str().unwrap().to_owned(),
            line["counts"].clone(),
        )
    };
    lines["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(line)
        .collect()
}

#[test]
fn a_kill_changes_no_line_and_neither_does_the_store() {
    let broker = EmbeddedBroker::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let player = Player::new(broker.address());
    let mut orchestrator = Orchestrator::start(folder.path(), broker.address());
    orchestrator.await_broker();
    let created = orchestrator.call("POST", "/tests", &[], DOCUMENT).json();
    let test_id = created["TestId"].as_str().unwrap();
    start(&orchestrator, &player, &NODES, test_id);
    assert_eq!(counts(&orchestrator, test_id, "sent"), json!({}));
    for (second, sent) in (0..).zip([[5, 0], [9, 3], [9, 8]]) {
        for node in NODES {
            player.say(node, &told(node, test_id, second, sent));
            player.beat(node, NodeState::Running, Some(test_id));
        }
        player.flush();
        let seen = 2 * (sent[0] + sent[1]);
        wait_for("the report", || {
            let result = orchestrator.get(&format!("/metrics/{test_id}")).json();
            let sent = |at: usize| result["steps"][at]["sent"].as_u64().unwrap_or(0);
            (sent(0) + sent(1) == seen).then_some(())
        });
        // Some are in the store already, and some are read again.
        orchestrator.end(Signal::KILL);
        player.say(NODES[0], &told(NODES[0], test_id, second, sent));
        orchestrator = Orchestrator::start(folder.path(), broker.address());
    }
    let expected = json!({"login": [10, 8, 0], "look": [0, 6, 10]});
    NODES
        .iter()
        .for_each(|node| player.say(node, &ended(node, test_id, [9, 8])));
    player.flush();
    await_state(&orchestrator, test_id, "done");
    for of in ["sent", "ok"] {
        assert_eq!(counts(&orchestrator, test_id, of), expected, "{of}");
    }
    let errors = counts(&orchestrator, test_id, "errors");
    assert_eq!(errors, json!({"login": [0, 0, 0], "look": [0, 0, 0]}));
    orchestrator.end(Signal::KILL);
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    assert_eq!(counts(&orchestrator, test_id, "sent"), expected);
    for (of, status) in [("offered", 404), ("bytes", 400)] {
        let refused = orchestrator.get(&format!("/tests/{test_id}/lines?by=step&of={of}"));
        assert_eq!(refused.status, status, "{refused:?}");
    }
}
