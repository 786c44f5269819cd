//! `client run` and `client watch`: what is asked, what is shown, how it ends.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::scripted::{Scripted, stderr, stdout};

/// What the client asks for while a test goes on, and for the whole of its result.
const RESULT: &str = "GET /metrics/abc?points=1&nodes_limit=1000000";
const WHOLE_RESULT: &str = "GET /metrics/abc?nodes_limit=1000000";

fn result(state: &str, p99_passes: bool) -> Value {
    json!({
        "test_id": "abc", "test_type": "AVALANCHE", "state": state, "planned": 20, "sent": 20,
        "ok": 20, "elapsed_s": 2.0, "requests_per_second": 10.0,
        "metrics": {"p50_latency": 1.0, "p99_latency": 2.0}, "accounting": {"holds": true},
        "coverage": {"nodes_expected": 2, "nodes_reporting": 2},
        "thresholds": [{"threshold": "p99<1ms", "observed": 2.0, "pass": p99_passes}],
        "verdict": {"verdict": "valid", "reasons": []},
        "nodes": [{"node_id": "driver-1", "sent": 10, "ok": 10}],
        "series": [],
    })
}

fn good(what: &str, before: usize) -> (u16, Value) {
    match what {
        "POST /avalanche" | "POST /tsunami/0.5" => (200, json!({"TestId": "abc"})),
        "PATCH /tests/abc" => (200, json!({})),
        "POST /trigger/abc" => (
            200,
            json!({"state": "armed", "participants": ["driver-1", "b"]}),
        ),
        RESULT if before == 0 => (200, result("running", true)),
        RESULT | WHOLE_RESULT => (200, result("done", true)),
        // Where there is no stream, it is asked now and then.
        other if other.starts_with("GET /tests/abc/stream?") => (
            404,
            json!({"error": "there is no stream", "hint": "ask again"}),
        ),
        other => panic!("{other}"),
    }
}

#[test]
fn a_run_creates_triggers_follows_and_prints_the_table() {
    let orchestrator = Scripted::start(good);
    let run = orchestrator.client(&["run", "tsunami", "0.5", "--burst", "10", "-n", "20"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    // The scripted result is that of an avalanche, whatever was asked for.
    for words in ["avalanche", "driver-1", "total", "verdict: valid"] {
        assert!(stdout(&run).contains(words), "{}", stdout(&run));
    }
    // Off the terminal the progress is plain lines.
    for words in ["/#/test/abc", "triggered on 2 drivers", "sent 20 of 20"] {
        assert!(stderr(&run).contains(words), "{}", stderr(&run));
    }
    assert!(
        !stderr(&run).contains('\u{1b}'),
        "no escape sequences in a pipe"
    );
    let asked = orchestrator.asked();
    assert_eq!(asked[0].what, "POST /tsunami/0.5");
    let body: Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(body, json!({"burst": 10, "requests": 20}));
    assert_eq!(asked[1].what, "PATCH /tests/abc");
    let labels: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!(labels["command"][2], "tsunami", "{labels}");
}

#[test]
fn with_json_the_result_is_all_that_is_printed() {
    let orchestrator = Scripted::start(good);
    let run = orchestrator.client(&["run", "avalanche", "--json"]);
    assert!(run.status.success());
    assert_eq!(stderr(&run), "");
    let printed: Value = serde_json::from_str(&stdout(&run)).unwrap();
    assert_eq!(printed, result("done", true));
}

#[test]
fn a_breached_threshold_ends_with_3_and_a_partial_result_with_4() {
    fn breached(what: &str, before: usize) -> (u16, Value) {
        if what.starts_with("GET") {
            (200, result("done", false))
        } else {
            good(what, before)
        }
    }
    fn partial(what: &str, before: usize) -> (u16, Value) {
        if what.starts_with("GET") {
            (200, result("partial", false))
        } else {
            good(what, before)
        }
    }
    for (script, code) in [(breached as fn(&str, usize) -> _, 3), (partial, 4)] {
        let run = Scripted::start(script).client(&["run", "avalanche"]);
        assert_eq!(
            run.status.code(),
            Some(code),
            "{}{}",
            stdout(&run),
            stderr(&run)
        );
        assert!(
            stdout(&run).contains("threshold p99<1ms: FAIL (2)"),
            "{}",
            stdout(&run)
        );
    }
}

#[test]
fn a_refusal_is_told_in_the_orchestrators_words() {
    fn refuses(_: &str, _: usize) -> (u16, Value) {
        (
            400,
            json!({"error": "connections: 0 is not 1 to 50000", "hint": "see /openapi.json"}),
        )
    }
    let run = Scripted::start(refuses).client(&["run", "avalanche", "--connections", "0"]);
    assert_eq!(run.status.code(), Some(2));
    let words = "client: connections: 0 is not 1 to 50000 (see /openapi.json)";
    assert!(stderr(&run).contains(words), "{}", stderr(&run));
}

#[test]
fn ctrl_c_stops_the_test_and_prints_what_it_has() {
    fn endless(what: &str, before: usize) -> (u16, Value) {
        match what {
            "POST /stop/abc" => (200, json!({"test_id": "abc", "state": "draining"})),
            RESULT if before < 3 => (200, result("running", true)),
            RESULT => (200, result("aborted", true)),
            other => good(other, before),
        }
    }
    let orchestrator = Scripted::start(endless);
    let run = orchestrator.command(&["run", "avalanche"]).spawn().unwrap();
    orchestrator.wait_for(RESULT);
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    let run = run.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(130), "{}", stderr(&run));
    assert!(stdout(&run).contains("aborted"), "{}", stdout(&run));
    orchestrator.wait_for("POST /stop/abc");
}

#[test]
fn a_stop_that_is_refused_is_told_and_asked_for_again() {
    fn away_at_first(what: &str, before: usize) -> (u16, Value) {
        match what {
            "POST /stop/abc" if before < 2 => (
                503,
                json!({"error": "the broker does not answer", "hint": "is it running?"}),
            ),
            "POST /stop/abc" => (200, json!({"test_id": "abc", "state": "draining"})),
            RESULT if before < 6 => (200, result("running", true)),
            RESULT => (200, result("aborted", true)),
            other => good(other, before),
        }
    }
    let orchestrator = Scripted::start(away_at_first);
    let run = orchestrator.command(&["run", "avalanche"]).spawn().unwrap();
    orchestrator.wait_for(RESULT);
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    let run = run.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(130), "{}", stderr(&run));
    let told = stderr(&run)
        .matches("cannot be stopped: the broker")
        .count();
    assert_eq!(told, 1, "{}", stderr(&run));
    let asked = orchestrator.asked();
    let stops = asked.iter().filter(|asked| asked.what == "POST /stop/abc");
    assert_eq!(stops.count(), 3, "{asked:?}");
}

#[test]
fn a_watch_leaves_the_test_running() {
    fn endless(_: &str, _: usize) -> (u16, Value) {
        (200, result("running", true))
    }
    let orchestrator = Scripted::start(endless);
    let watch = orchestrator
        .command(&["watch", "abc"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    orchestrator.wait_for(RESULT);
    kill_process(Pid::from_child(&watch), Signal::INT).unwrap();
    let watch = watch.wait_with_output().unwrap();
    assert_eq!(watch.status.code(), Some(130));
    assert!(
        stderr(&watch).contains("client watch abc"),
        "{}",
        stderr(&watch)
    );
    assert!(
        orchestrator
            .asked()
            .iter()
            .all(|asked| asked.what.starts_with("GET"))
    );
}

#[test]
fn a_watch_survives_an_orchestrator_that_is_busy_for_a_moment() {
    fn busy(_: &str, before: usize) -> (u16, Value) {
        match before {
            0 => (200, result("running", true)),
            1 => (
                503,
                json!({"error": "the orchestrator is busy", "hint": "try again"}),
            ),
            _ => (200, result("done", true)),
        }
    }
    let watch = Scripted::start(busy).client(&["watch", "abc", "--json"]);
    assert!(watch.status.success(), "{}", stderr(&watch));
    assert_eq!(stdout(&watch).lines().count(), 2, "a line an answer");
}
