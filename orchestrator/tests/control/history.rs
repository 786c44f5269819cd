//! Many tests.

use std::time::{Duration, Instant};

use proto::bus::EmbeddedBroker;
use rustix::process::Signal;

use crate::process::Orchestrator;

#[test]
fn ten_thousand_tests_are_listed_within_100_ms() {
    let folder = tempfile::tempdir().unwrap();
    fill(&folder.path().join("data"), 10_000);
    let broker = EmbeddedBroker::start().unwrap();
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    let time = || {
        let begin = Instant::now();
        let answer = orchestrator.get("/tests");
        let elapsed = begin.elapsed();
        assert_eq!(answer.json().as_array().unwrap().len(), 10_000);
        elapsed
    };
    // The best of a few: other tests share the machine.
    let best = (0..10).map(|_| time()).min().unwrap();
    println!("10000 tests listed in {best:?}");
    // A build without optimisation says nothing about the limit, and must only not be absurd.
    let limit_ms = if cfg!(debug_assertions) { 2000 } else { 100 };
    assert!(best <= Duration::from_millis(limit_ms), "{best:?}");
    let some = orchestrator.get("/tests?limit=3&search=t99").json();
    assert_eq!(some[0]["test_id"], "t9999", "newest first: {some}");
    assert_eq!(some.as_array().unwrap().len(), 3);
    orchestrator.end(Signal::TERM);
}

/// A store with this many tests that have ended.
pub(crate) fn fill(folder: &std::path::Path, count: u64) {
    use orchestrator::control::run::{Run, Step};
    use orchestrator::control::{Change, TestRow};
    use orchestrator::store::{Backlog, Store};

    let mut store = Store::open(&folder.join("orchestrator.sqlite")).unwrap();
    let mut backlog = Backlog::default();
    for number in 1..=count {
        let json =
            format!(r#"{{"test_id":"t{number}","test_type":"AVALANCHE","test_message_delay":0}}"#);
        let mut run = Run::new(serde_json::from_str(&json).unwrap(), number, 1000);
        run.step(Step::Abort, 2000).unwrap();
        let row = TestRow {
            number,
            test_id: run.test_id.clone(),
            test_type: "AVALANCHE".into(),
            state: run.phase,
            created_unix_ms: 1000,
            started_unix_ms: None,
            ended_unix_ms: Some(2000),
            planned: None,
            nodes: 0,
            target: "http://127.0.0.1:8000/".into(),
            reason: Some("stopped before it was started".into()),
            queued: false,
            queue_position: None,
            queue_reason: None,
            is_complete: true,
            is_compact: false,
            labels: orchestrator::control::Labels::default(),
            files: Vec::new(),
            outcome: None,
        };
        backlog.push(Change::Run(Box::new(run), Box::new(row)));
        if backlog.len() == 60 || number == count {
            store.write(&backlog).unwrap();
            backlog.clear();
        }
    }
}
