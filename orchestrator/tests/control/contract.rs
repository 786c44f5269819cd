//! The shape of `GET /metrics/{id}`, frozen; `/openapi.json` against the answers.

use std::collections::BTreeMap;

use proto::bus::EmbeddedBroker;
use serde_json::Value;

use crate::player::{Player, interval, last};
use crate::process::Orchestrator;
use crate::runs::{await_state, run};

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
    documented(&orchestrator, &result);
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
    let part = orchestrator
        .get(&format!("/metrics/{test_id}?series_from=1&points=1"))
        .json();
    assert_eq!(part["series"].as_array().unwrap().len(), 1);
    assert_eq!(
        part["series"][0]["sent"], 400,
        "two seconds of two drivers, joined"
    );
}

/// Every field of the result stands in the contract.
fn documented(orchestrator: &Orchestrator, result: &Value) {
    let contract = orchestrator.get("/openapi.json").json();
    let schemas = &contract["components"]["schemas"];
    for (name, schema) in [
        ("Result", result),
        ("NodeResult", &result["nodes"][0]),
        ("Second", &result["series"][0]),
    ] {
        let known = schemas[name]["properties"].as_object().unwrap();
        let fields = schema.as_object().unwrap();
        for field in fields.keys() {
            assert!(
                known.contains_key(field),
                "{name}.{field} is not in the contract"
            );
        }
        let required = schemas[name]["required"].as_array().unwrap();
        assert_eq!(required.len(), fields.len(), "{name}");
    }
}
