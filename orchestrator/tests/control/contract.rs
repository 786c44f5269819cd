//! The shape of `GET /metrics/{id}`, frozen; `/openapi.json` against the answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proto::bus::EmbeddedBroker;
use proto::message::NodeState;
use serde_json::Value;

use crate::player::{Player, interval, last};
use crate::process::{Orchestrator, wait_for};
use crate::runs::{await_state, run};
use crate::schema::Contract;

/// Every path of a document with the type of what is there; lists by their first element.
fn shape(value: &Value, path: &str, found: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(list) => {
            list.iter()
                .take(1)
                .for_each(|first| shape(first, &format!("{path}[]"), found));
            "list"
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                shape(field, &format!("{path}.{name}"), found);
            }
            "object"
        }
    };
    found.insert(path.to_owned(), kind);
}

#[test]
fn the_shape_of_the_metrics_is_frozen() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start().unwrap();
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    orchestrator.await_broker();
    let player = Player::new(broker.address());
    let test_id = run(&orchestrator, &player, &["a", "b"]);
    for node in ["a", "b"] {
        (0..3).for_each(|at| player.say(node, &interval(node, &test_id, at, 300)));
        player.say(node, &last(node, &test_id, 3));
    }
    player.flush();
    let result = await_state(&orchestrator, &test_id, "done");
    let mut found = BTreeMap::new();
    shape(&result, "", &mut found);
    let lines: Vec<String> = found
        .iter()
        .map(|(path, kind)| format!("{path}: {kind}\n"))
        .collect();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/control/metrics.shape");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(golden, lines.concat()).unwrap();
    }
    let expected = std::fs::read_to_string(golden).unwrap();
    assert_eq!(
        lines.concat(),
        expected,
        "fields are added, never changed; UPDATE=1 writes it anew"
    );
    exports_and_comparison(&orchestrator, &test_id);
    documented(&orchestrator, &player, &test_id);
}

#[test]
fn after_a_gap_every_export_says_what_it_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start().unwrap();
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    orchestrator.await_broker();
    let player = Player::new(broker.address());
    let test_id = run(&orchestrator, &player, &["a"]);
    for at in [0, 1, 3] {
        player.say("a", &interval("a", &test_id, at, 400));
    }
    player.say("a", &last("a", &test_id, 4));
    player.flush();
    let result = await_state(&orchestrator, &test_id, "done");
    assert_eq!(result["ok"], 400);
    assert_eq!(result["coverage"]["in_no_second"]["ok"], 100, "{result}");
    let export = |format: &str| {
        let answer = orchestrator.get(&format!("/tests/{test_id}/export?format={format}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text
    };
    let table = export("csv");
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let head = rows.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|other| other == name).unwrap();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    let sum = |name: &str| -> u64 {
        let numbers = rows.iter().map(|row| row[column(name)].parse::<u64>());
        numbers.map(Result::unwrap).sum()
    };
    assert_eq!((sum("ok"), sum("sent"), sum("errors")), (400, 400, 0));
    assert_eq!(&rows[3][column("second")], "", "{table}");
    let gap = "report 2 of \"a\", of which only its last report tells";
    assert!(rows[3][column("note")].contains(gap), "{table}");

    let log = export("hlog");
    assert!(
        log.contains("response samples of 3 seconds: 300 of 400]"),
        "{log}"
    );
    assert!(log.contains("#[Missing: 100 samples"), "{log}");
    assert!(log.contains(gap), "{log}");
    let distribution = export("hgrm");
    assert!(
        distribution.contains("response samples: 400 of 400]"),
        "{distribution}"
    );
    assert!(distribution.contains(gap), "{distribution}");
    let text = orchestrator.get(&format!("/metrics/{test_id}?summary=1"));
    let words = "1 reports missing (sent 100 and ok 100 are in no second)";
    assert!(text.text.contains(words), "{}", text.text);
}

fn exports_and_comparison(orchestrator: &Orchestrator, test_id: &str) {
    let export = |format: &str| {
        let answer = orchestrator.get(&format!("/tests/{test_id}/export?format={format}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text
    };
    assert_eq!(export("csv").lines().count(), 4, "a head and three seconds");
    let log = export("hlog");
    assert_eq!(
        log.lines().filter(|line| line.contains("HIST")).count(),
        3,
        "{log}"
    );
    assert!(export("hgrm").contains("Total count    =          600"));
    assert_eq!(
        export("json"),
        orchestrator.get(&format!("/metrics/{test_id}")).text
    );
    let compared = orchestrator
        .get(&format!("/compare?base={test_id}&test={test_id}"))
        .json();
    assert_eq!(compared["verdict"], "unknown", "{compared}");
    let reason = compared["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("too small: 4 more"), "{compared}");
    let median = &compared["quantiles"][0];
    assert!(median["base_interval_ms"][0].is_f64(), "{compared}");
    heat_map(orchestrator, test_id);
    let lines = orchestrator.get(&format!("/tests/{test_id}/lines")).json();
    let a = &lines["lines"][0];
    assert_eq!((&a["node_id"], &a["total"]), (&"a".into(), &300.into()));
    assert_eq!(a["counts"], serde_json::json!([100, 100, 100]), "{lines}");
    let part = orchestrator
        .get(&format!("/metrics/{test_id}?series_from=1&points=1"))
        .json();
    assert_eq!(part["series"].as_array().unwrap().len(), 1);
    assert_eq!(
        part["series"][0]["sent"], 400,
        "two seconds of two drivers, joined"
    );
}

/// Three seconds of two drivers, a hundred samples each, from 10 µs to 1 ms.
fn heat_map(orchestrator: &Orchestrator, test_id: &str) {
    let map = |query: &str| {
        let answer = orchestrator.get(&format!("/tests/{test_id}/heatmap{query}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let whole = map("");
    assert_eq!(whole["samples"], 600, "{whole}");
    let columns = whole["columns"].as_array().unwrap();
    let of_column = |column: &Value| -> u64 {
        let counts = column.as_array().unwrap().iter().skip(2);
        counts.map(|count| count.as_u64().unwrap()).sum()
    };
    let told: Vec<u64> = columns.iter().map(of_column).collect();
    assert_eq!(told, [200; 3], "{whole}");
    let edges = whole["edges_ms"].as_array().unwrap();
    assert_eq!(
        (&edges[0], edges.last()),
        (&0.01.into(), Some(&1.25.into()))
    );
    let joined = map("?histogram=service&points=2");
    assert_eq!(
        (&joined["span_s"], &joined["samples"]),
        (&2.into(), &600.into())
    );
    assert_eq!(joined["columns"].as_array().map(Vec::len), Some(2));
}

/// Plays the first run of a campaign, so that there is something to say.
fn play_run(orchestrator: &Orchestrator, player: &Player, campaign: &str) {
    let run = format!("{campaign}-1");
    let state = |wanted: &str| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while orchestrator.get(&format!("/tests/{run}")).json()["state"] != wanted {
            assert!(Instant::now() < deadline, "{run} does not become {wanted}");
            for node in ["a", "b"] {
                player.beat(node, NodeState::Ready, Some(&run));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    state("running");
    for node in ["a", "b"] {
        player.say(node, &interval(node, &run, 0, 100));
        player.say(node, &last(node, &run, 1));
    }
    state("done");
}

/// A search and its first step.
fn search(
    orchestrator: &Orchestrator,
    player: &Player,
    holds: &mut impl FnMut(&str, &str, &str, &str) -> Value,
) {
    let searched = r#"{"target": "http://127.0.0.1:8000", "thresholds": ["p99 < 1s"],
        "load": {"open": "100/s", "for": "1s"}}"#;
    let search = holds("post", "/capacity", "/capacity?from=300&to=5000", searched);
    let search = search["TestId"].as_str().unwrap();
    let of_search = format!("/capacity/{search}");
    holds("get", "/capacity/{testId}", &of_search, "");
    holds("delete", "/capacity/{testId}", &of_search, "");
    play_run(orchestrator, player, search);
    holds("get", "/capacity/{testId}", &of_search, "");
    holds("post", "/stop/{testId}", &format!("/stop/{search}"), "");
    holds("get", "/capacity", "/capacity", "");
    holds("delete", "/capacity/{testId}", &of_search, "");
    holds("get", "/capacity/{testId}", &of_search, "");
    for (call, body) in [("/capacity", ""), ("/capacity?to=1", searched)] {
        holds("post", "/capacity", call, body);
    }
}

/// A set of runs and the first of them.
fn set(
    orchestrator: &Orchestrator,
    player: &Player,
    holds: &mut impl FnMut(&str, &str, &str, &str) -> Value,
) {
    let asked = r#"{"target": "http://127.0.0.1:8000", "repeat": 3, "rest": "1h",
        "load": {"open": "100/s", "for": "1s"}}"#;
    let refused = holds("post", "/tests", "/tests", asked);
    let error = refused["error"].as_str().unwrap();
    assert!(error.starts_with("repeat: 3 runs"), "{refused}");
    let set = holds("post", "/tests", "/tests?start=1", asked);
    assert_eq!(set["repeat"], 3, "{set}");
    let set = set["TestId"].as_str().unwrap();
    let (path, of_set) = ("/repeats/{testId}", format!("/repeats/{set}"));
    holds("get", path, &of_set, "");
    holds("delete", path, &of_set, "");
    play_run(orchestrator, player, set);
    let label = r#"{"name": "n2", "tags": {"a": "b"}, "note": "c", "command": ["client", "run"]}"#;
    let labelled = holds("patch", path, &of_set, label);
    assert_eq!(labelled["name"], "n2", "{labelled}");
    for bad in ["[]", r#"{"notes": []}"#, r#"{"nam": "x"}"#] {
        holds("patch", path, &of_set, bad);
    }
    let shown = holds("get", path, &of_set, "");
    assert_eq!(shown["runs"][0]["counted"], true, "{shown}");
    assert_eq!(shown["spread"][0]["runs"], 1, "{shown}");
    holds("post", "/stop/{testId}", &format!("/stop/{set}"), "");
    let listed = holds("get", "/repeats", "/repeats", "");
    assert_eq!(listed[0]["standing"], "interrupted", "{listed}");
    for path_of_test in ["/tests", "/capacity"] {
        let (path, call) = (
            format!("{path_of_test}/{{testId}}"),
            format!("{path_of_test}/{set}"),
        );
        holds("get", &path, &call, "");
    }
    holds("delete", path, &of_set, "");
    for method in ["get", "delete", "patch"] {
        holds(method, path, &of_set, "{}");
    }
}

/// Changes the rate of a test that two drivers play.
fn change_rate(
    orchestrator: &Orchestrator,
    player: &Player,
    holds: &mut impl FnMut(&str, &str, &str, &str) -> Value,
) {
    let created = orchestrator
        .post("/tsunami/1?rate=100&duration_s=60")
        .json();
    let test_id = created["TestId"].as_str().unwrap();
    wait_for("the drivers to be ready", || {
        for node in ["a", "b"] {
            player.beat(node, NodeState::Ready, Some(test_id));
        }
        player.flush();
        let answer = orchestrator.post(&format!("/trigger/{test_id}"));
        (answer.status == 200).then_some(())
    });
    let (path, call) = ("/tests/{testId}/rate", format!("/tests/{test_id}/rate"));
    let changed = holds("post", path, &call, r#"{"rate": "12000/m", "by": "me"}"#);
    assert_eq!(
        (&changed["rate"], &changed["number"]),
        (&200.0.into(), &1.into())
    );
    assert_eq!(changed["of"], "each driver");
    for (bad, why) in [
        (r#"{"rate": "1..5/s"}"#, "one rate at a time"),
        (r#"{"rate": 0}"#, "0.001/s to 10000000/s"),
        (r#"{"rate": [5]}"#, "write 50/s"),
        (r#"{"rat": 5}"#, "rate and by are known"),
        (r#"{"rate": 5, "by": ""}"#, "1 to 64 bytes"),
    ] {
        let refused = holds("post", path, &call, bad);
        assert!(
            refused["error"].as_str().unwrap().contains(why),
            "{refused}"
        );
    }
    let detail = holds("get", "/tests/{testId}", &format!("/tests/{test_id}"), "");
    assert_eq!(detail["rate_changes"][0]["by"], "me", "{detail}");
    let result = holds(
        "get",
        "/metrics/{testId}",
        &format!("/metrics/{test_id}"),
        "",
    );
    assert_eq!(result["rate_changes"][0]["rate"], 200.0, "{result}");
    holds("post", "/stop/{testId}", &format!("/stop/{test_id}"), "");
    for node in ["a", "b"] {
        player.say(node, &last(node, test_id, 1));
    }
    await_state(orchestrator, test_id, "aborted");
    for call in [&call, "/tests/nobody/rate"] {
        holds("post", path, &format!("{call}?rate=5"), "");
    }
}

/// Every answer is what the contract says, field by field: it is written by hand, and must not drift.
/// Notes on a test: two that say something, and what is refused.
const NOTES: [&str; 5] = [
    r#"{"text": "deployed 1.4.2"}"#,
    r#"{"text": "begun", "at": "0s"}"#,
    r#"{"text": ""}"#,
    r#"{"text": "x", "at": "never"}"#,
    r#"{"words": "x"}"#,
];

/// What charts are drawn of, and what is refused.
const CHARTS: [&str; 11] = [
    "heatmap",
    "heatmap?histogram=service&points=1",
    "heatmap?points=301",
    "heatmap?histogram=error",
    "lines",
    "lines?of=sent&points=1",
    "lines?points=0",
    "lines?of=bytes",
    "lines?by=step",
    "lines?by=step&of=offered",
    "lines?by=flow",
];

fn documented(orchestrator: &Orchestrator, player: &Player, test_id: &str) {
    let contract = Contract(orchestrator.get("/openapi.json").json());
    let mut wrong = Vec::new();
    let mut holds = |method: &str, path: &str, call: &str, body: &str| {
        let answer = orchestrator.call(&method.to_uppercase(), call, &[], body);
        wrong.extend(contract.wrong(method, path, answer.status, &answer.json()));
        answer.json()
    };
    let of_test = |rest: &str| format!("{rest}/{test_id}");
    holds("get", "/metrics/{testId}", &of_test("/metrics"), "");
    holds("get", "/tests/{testId}", &of_test("/tests"), "");
    let export = format!("/tests/{test_id}/export");
    holds("get", "/tests/{testId}/export", &export, "");
    for call in CHARTS {
        let path = format!("/tests/{{testId}}/{}", call.split('?').next().unwrap());
        holds("get", &path, &format!("/tests/{test_id}/{call}"), "");
    }
    let compare = format!("/compare?base={test_id}&test={test_id}");
    holds("get", "/compare", &compare, "");
    let label = r#"{"name": "n", "tags": {"a": "b"}, "note": "c", "command": ["client", "run"]}"#;
    holds("patch", "/tests/{testId}", &of_test("/tests"), label);
    let notes = format!("/tests/{test_id}/notes");
    for body in NOTES {
        holds("post", "/tests/{testId}/notes", &notes, body);
    }
    let noted = holds("get", "/tests/{testId}", &of_test("/tests"), "");
    assert_eq!(noted["notes"].as_array().map(Vec::len), Some(2), "{noted}");
    let trend = holds("get", "/trend", "/trend?name=n", "");
    assert_eq!(trend["runs"][0]["test_id"], test_id, "{trend}");
    for path in ["/tests", "/nodes", "/healthz"] {
        holds("get", path, path, "");
    }
    for query in ["summary=1", "role=merger", "role=driver"] {
        holds("get", "/nodes", &format!("/nodes?{query}"), "");
    }
    let nodes = |query: &str| of_test("/metrics") + query;
    let page = holds(
        "get",
        "/metrics/{testId}",
        &nodes("?nodes_offset=0&nodes_limit=1"),
        "",
    );
    assert_eq!(page["nodes"].as_array().map(Vec::len), Some(1));
    let none = holds("get", "/metrics/{testId}", &nodes("?nodes_limit=0"), "");
    assert_eq!(none["nodes"], Value::Array(Vec::new()));
    assert_eq!(none["ok"], page["ok"], "what is said of all stays");
    let document = r#"{"target": "http://127.0.0.1:8000", "load": [{"closed": 1, "for": "1s"}],
        "flows": [{"name": "f", "steps": ["GET /a", {"POST": "/b", "json": {"x": 1}}]}],
        "thresholds": ["p99 < 1s"], "abort": ["error_rate > 50% for 5s"]}"#;
    holds("post", "/tests/check", "/tests/check", document);
    let composed = holds("post", "/tests", "/tests", document);
    let composed = composed["TestId"].as_str().unwrap();
    holds(
        "get",
        "/metrics/{testId}",
        &format!("/metrics/{composed}"),
        "",
    );
    holds("get", "/tests/{testId}", &format!("/tests/{composed}"), "");
    holds("post", "/stop/{testId}", &format!("/stop/{composed}"), "");
    search(orchestrator, player, &mut holds);
    set(orchestrator, player, &mut holds);
    holds("post", "/tsunami/{seconds}", "/tsunami/0.5", "");
    let created = holds("post", "/avalanche", "/avalanche", "");
    let created = created["TestId"].as_str().unwrap();
    holds(
        "post",
        "/trigger/{testId}",
        &format!("/trigger/{created}?queue=1"),
        "",
    );
    holds("post", "/stop/{testId}", &format!("/stop/{created}"), "");
    holds(
        "delete",
        "/tests/{testId}",
        &format!("/tests/{created}"),
        "",
    );
    change_rate(orchestrator, player, &mut holds);
    // What is refused.
    for (method, path, call) in [
        ("get", "/metrics/{testId}", "/metrics/nobody"),
        ("get", "/tests/{testId}/heatmap", "/tests/nobody/heatmap"),
        ("get", "/tests/{testId}/lines", "/tests/nobody/lines"),
        ("get", "/tests", "/tests?limit=x"),
        ("get", "/trend", "/trend"),
        ("get", "/trend", "/trend?name=n&runs=0"),
        ("get", "/trend", "/trend?name=nobody"),
        ("post", "/avalanche", "/avalanche?requests=0"),
        ("post", "/trigger/{testId}", &of_test("/trigger")),
        ("post", "/tests", "/tests"),
    ] {
        holds(method, path, call, "");
    }
    let broken = r#"{"target": "x", "load": 5}"#;
    holds("post", "/tests/check", "/tests/check", broken);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
