//! The short commands.

use serde_json::{Value, json};

use crate::scripted::{Scripted, client, stderr, stdout};

fn script(what: &str, _: usize) -> (u16, Value) {
    match what {
        "GET /tests?limit=20" | "GET /tests?limit=5&search=a%20b" => (
            200,
            json!([{"test_id": "abc", "test_type": "AVALANCHE", "state": "done", "nodes": 2,
                    "created_unix_ms": 0, "planned": 20, "target": "http://h/"}]),
        ),
        "GET /healthz" => (
            200,
            json!({"status": "degraded", "broker": {"state": "down"}, "store": {"state": "ok"}}),
        ),
        "POST /tests/abc/notes" => (200, json!({"test_id": "abc"})),
        "POST /stop/abc" => (200, json!({"test_id": "abc", "state": "draining"})),
        "GET /tests/abc/export?format=hlog" => (200, json!("#[dlts]\n1,2,3\n")),
        "GET /compare?base=name%3Ashop&test=x" => (
            409,
            json!({"error": "not to be compared: x: it ended failed", "hint": "-"}),
        ),
        "GET /compare?base=abc&test=def" | "GET /compare?base=abc&test=def&tolerance=0.1" => {
            (200, comparison())
        }
        _ => (
            404,
            json!({"error": "there is no test \"nope\"", "hint": "GET /tests lists them"}),
        ),
    }
}

fn comparison() -> Value {
    let rate = json!({"base": 15.0, "test": 10.0, "change": -0.333, "verdict": "worse"});
    let errors = json!({"base": 0.0, "test": 0.0, "change": 0.0, "verdict": "same"});
    json!({"base": "abc", "test": "def", "tolerance": 0.05, "verdict": "worse",
           "reasons": ["requests_per_second: 15 to 10"], "quantiles": [],
           "requests_per_second": rate, "error_rate": errors})
}

#[test]
fn list_stop_export_and_compare_ask_and_print() {
    let orchestrator = Scripted::start(script);
    let list = orchestrator.client(&["list"]);
    assert!(
        stdout(&list).contains("abc"),
        "{}{}",
        stdout(&list),
        stderr(&list)
    );
    let found = orchestrator.client(&["list", "-n", "5", "--search", "a b", "--json"]);
    assert!(
        serde_json::from_str::<Value>(&stdout(&found))
            .unwrap()
            .is_array()
    );
    let health = orchestrator.client(&["health"]);
    assert_eq!(stdout(&health), "degraded: broker down, store ok\n");
    assert!(health.status.success(), "{}", stderr(&health));
    let stop = orchestrator.client(&["stop", "abc"]);
    assert_eq!(stdout(&stop), "abc: draining\n");
    for (more, body) in [
        (&[][..], json!({"text": "deployed 1.4.2"})),
        (
            &["--at", "2.5m"],
            json!({"text": "deployed 1.4.2", "at": 150.0}),
        ),
    ] {
        let note = orchestrator.client(&[&["note", "abc", "deployed 1.4.2"], more].concat());
        assert_eq!(stdout(&note), "abc: noted\n", "{}", stderr(&note));
        let asked = orchestrator.asked().pop().unwrap();
        assert_eq!(asked.body.parse::<Value>().unwrap(), body);
    }
    let compare = orchestrator.client(&["compare", "abc", "def"]);
    assert!(stdout(&compare).contains("-33.3 %"), "{}", stdout(&compare));
    assert!(compare.status.success(), "{}", stderr(&compare));
    let gate = [
        "compare",
        "abc",
        "def",
        "--tolerance",
        "0.1",
        "--fail-if-worse",
    ];
    assert_eq!(orchestrator.client(&gate).status.code(), Some(3));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.hlog");
    let export =
        orchestrator.client(&["export", "abc", "-f", "hlog", "-o", file.to_str().unwrap()]);
    assert!(export.status.success(), "{}", stderr(&export));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "#[dlts]\n1,2,3\n");
}

#[test]
fn an_unknown_test_is_told_with_the_hint() {
    let orchestrator = Scripted::start(script);
    for arguments in [
        &["watch", "nope"][..],
        &["stop", "nope"],
        &["export", "nope"],
    ] {
        let answer = orchestrator.client(arguments);
        assert_eq!(answer.status.code(), Some(1), "{arguments:?}");
        assert!(
            stderr(&answer).contains("GET /tests lists them"),
            "{}",
            stderr(&answer)
        );
    }
}

#[test]
fn the_token_goes_with_every_call() {
    let orchestrator = Scripted::start(script);
    assert!(
        orchestrator
            .client(&["list", "--token", "secret"])
            .status
            .success()
    );
    let with_environment = orchestrator
        .command(&["stop", "abc"])
        .env("DLTS_TOKEN", "s2")
        .output();
    assert!(with_environment.unwrap().status.success());
    let sent: Vec<_> = orchestrator
        .asked()
        .into_iter()
        .map(|asked| asked.authorization)
        .collect();
    assert_eq!(
        sent,
        [
            Some("Bearer secret".to_owned()),
            Some("Bearer s2".to_owned())
        ]
    );
}

#[test]
fn no_orchestrator_is_told_with_the_remedy() {
    let list = client(&["list", "--orchestrator", "127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(list.status.code(), Some(1));
    assert!(stderr(&list).contains("make up"), "{}", stderr(&list));
}

#[test]
fn completions_are_made_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let made = client(&["completions", shell]).output().unwrap();
        assert!(stdout(&made).contains("avalanche"), "{shell}");
    }
}

#[test]
fn help_has_examples_and_exit_codes() {
    for (arguments, words) in [
        (&["--help"][..], "3 a threshold is breached"),
        (
            &["run", "avalanche", "--help"],
            "client run avalanche --requests 1000000",
        ),
        (
            &["run", "tsunami", "--help"],
            "client run tsunami 0.5 --burst 10",
        ),
    ] {
        let help = client(arguments).output().unwrap();
        assert!(help.status.success());
        assert!(stdout(&help).contains(words), "{}", stdout(&help));
    }
    assert!(stdout(&client(&["--version"]).output().unwrap()).starts_with("client "));
    assert_eq!(
        client(&["--nonsense"]).output().unwrap().status.code(),
        Some(2)
    );
}

#[test]
fn a_comparison_is_reported_for_ci_whatever_comes_of_it() {
    let orchestrator = Scripted::start(script);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.xml");
    let junit = ["--junit", file.to_str().unwrap()];
    let xml = || std::fs::read_to_string(&file).unwrap();
    let worse = [&["compare", "abc", "def", "--fail-if-worse"][..], &junit].concat();
    assert_eq!(orchestrator.client(&worse).status.code(), Some(3));
    for words in [
        "failures=\"1\"",
        "ok/s is not worse by more than 5 %",
        "seen: 10 after 15: -33.3 %",
    ] {
        assert!(xml().contains(words), "{words}\n{}", xml());
    }
    let refused = [&["gate", "x", "--baseline", "shop"][..], &junit].concat();
    assert_eq!(orchestrator.client(&refused).status.code(), Some(4));
    assert!(
        xml().contains("errors=\"1\"") && xml().contains("it ended failed"),
        "{}",
        xml()
    );
    let markdown = ["compare", "abc", "def", "--markdown", "-"];
    let markdown = orchestrator.client(&markdown);
    assert!(
        stdout(&markdown).starts_with("## worse: def against abc\n"),
        "{}",
        stdout(&markdown)
    );
}
