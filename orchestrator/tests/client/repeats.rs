//! `client run --repeat`: tests of one set after each other, and what is said of all.

use serde_json::{Value, json};

use crate::scripted::{Scripted, stderr, stdout};

const IDS: [&str; 3] = ["a0", "a1", "a2"];

/// Three runs of 100, 110 and 130 ok/s, of which `state` says how the second one ended.
fn script(what: &str, before: usize, state: &str) -> (u16, Value) {
    if what == "POST /avalanche" {
        return (200, json!({"TestId": IDS[before]}));
    }
    if let Some((_, id)) = what.split_once("/trigger/") {
        return (200, json!({"state": "armed", "participants": [id]}));
    }
    if what.contains("/stream?") {
        return (404, json!({"error": "there is no stream", "hint": "ask"}));
    }
    if what.starts_with("PATCH /tests/") {
        return (200, json!({}));
    }
    let (_, id) = what.split_once("GET /metrics/").expect(what);
    let place = IDS.iter().position(|one| id.starts_with(one)).expect(what);
    let state = if place == 1 { state } else { "done" };
    let rate = [100.0, 110.0, 130.0][place];
    let result = json!({
        "test_id": IDS[place], "state": state, "sent": 20, "ok": 20, "requests_per_second": rate,
        "metrics": {"p50_latency": 1.0}, "accounting": {"holds": true},
        "verdict": {"verdict": "valid", "reasons": []}, "series": [],
    });
    (200, result)
}

fn good(what: &str, before: usize) -> (u16, Value) {
    script(what, before, "done")
}

fn partial(what: &str, before: usize) -> (u16, Value) {
    script(what, before, "partial")
}

/// Three runs of one test.
const REPEAT: [&str; 6] = ["run", "avalanche", "--repeat", "3", "--rest", "1ms"];

#[test]
fn the_runs_of_a_set_are_tests_with_one_tag_and_their_spread_is_the_answer() {
    let orchestrator = Scripted::start(good);
    let run = orchestrator.client(&[&REPEAT[..], &["--name", "shop"]].concat());
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    for line in [
        "    1        100.0    0.000 %      1.000          -  good  a0\n",
        "3 of 3 runs counted, 0.001 s of rest between them\n",
        "ok/s                     110.0        100.0        130.0    27.3 %\n",
        "client compare BASE tag:repeat=a0\n",
    ] {
        assert!(stdout(&run).contains(line), "{line}\n{}", stdout(&run));
    }
    let mut labels: Vec<(String, Value)> = Vec::new();
    for asked in orchestrator.asked() {
        if let Some(test) = asked.what.strip_prefix("PATCH /tests/") {
            let mut of: Value = serde_json::from_str(&asked.body).unwrap();
            let command = of.as_object_mut().unwrap().remove("command").unwrap();
            assert_eq!(command[1], "run");
            labels.push((test.to_owned(), of));
        }
    }
    let set = json!({"name": "shop", "tags": {"repeat": "a0"}});
    let of = |id: &str, labels: &Value| (id.to_owned(), labels.clone());
    // The first one's tag is its own id, which is known only when it is there.
    let first = [of("a0", &json!({"name": "shop"})), of("a0", &set)];
    assert_eq!(
        labels,
        [&first[..], &[of("a1", &set), of("a2", &set)]].concat()
    );
}

#[test]
fn a_run_that_does_not_count_is_named_and_the_worst_decides() {
    let orchestrator = Scripted::start(partial);
    let run = orchestrator.client(&[&REPEAT[..], &["--json"]].concat());
    assert_eq!(run.status.code(), Some(4), "{}", stderr(&run));
    let answer: Value = serde_json::from_str(&stdout(&run)).unwrap();
    assert_eq!(answer["runs"][1]["standing"], "incomplete");
    assert_eq!(answer["runs"][1]["reasons"][0], "it ended partial");
    assert_eq!(answer["results"].as_array().unwrap().len(), 3);
    let rate = &answer["spread"][0];
    assert_eq!((&rate["runs"], &rate["median"]), (&2.into(), &115.0.into()));
}

#[test]
fn a_test_that_cannot_be_labelled_is_not_left_behind() {
    fn refuses(what: &str, before: usize) -> (u16, Value) {
        match what {
            "PATCH /tests/a0" => (400, json!({"error": "33 tags, of at most 32", "hint": "-"})),
            "POST /stop/a0" | "DELETE /tests/a0" => (200, json!({})),
            other => good(other, before),
        }
    }
    let orchestrator = Scripted::start(refuses);
    let run = orchestrator.client(&["run", "avalanche", "--repeat", "3"]);
    assert_eq!(run.status.code(), Some(2), "{}", stdout(&run));
    assert!(stderr(&run).contains("33 tags"), "{}", stderr(&run));
    let asked = orchestrator.asked();
    assert!(
        asked.iter().any(|asked| asked.what == "DELETE /tests/a0"),
        "{asked:?}"
    );
    assert!(!asked.iter().any(|asked| asked.what.contains("trigger")));
}
