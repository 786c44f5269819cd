//! `driver run --repeat`: runs of one test, each of its own, and what is said of all.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::server::{OK, Server};

fn driver(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driver"));
    command.arg("run").args(args).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn spread<'a>(answer: &'a Value, quantity: &str) -> &'a Value {
    let mut rows = answer["spread"].as_array().unwrap().iter();
    rows.find(|row| row["quantity"] == quantity).unwrap()
}

#[test]
fn each_run_has_fresh_connections_and_a_result_of_its_own() {
    let server = Server::answering(OK);
    let url = server.url();
    let logs = tempfile::tempdir().unwrap();
    let folder = logs.path().to_str().unwrap();
    let args = [
        &url, "-n", "50", "-c", "4", "--repeat", "3", "--rest", "10ms", "--json", "--logs", folder,
    ];
    let output = driver(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let answer = json(&output);
    assert_eq!((server.requests(), server.connections()), (150, 12));
    let (runs, results) = (&answer["runs"], answer["results"].as_array().unwrap());
    assert_eq!(results.len(), 3);
    for (place, result) in results.iter().enumerate() {
        assert_eq!(
            (&result["ok"], &result["state"]),
            (&50.into(), &"done".into())
        );
        assert_eq!(runs[place]["test_id"], result["test_id"]);
        assert_eq!(runs[place]["counted"], true);
        let p99 = &result["metrics"]["p99_latency"];
        assert_eq!(&runs[place]["p99_latency"], p99);
        let log = logs.path().join(format!("run-{}/core-0.hlog", place + 1));
        assert!(fs::metadata(log).unwrap().len() > 0);
    }
    let rate = spread(&answer, "requests_per_second");
    let mut rates: Vec<f64> = results
        .iter()
        .map(|result| result["requests_per_second"].as_f64().unwrap())
        .collect();
    rates.sort_by(f64::total_cmp);
    assert_eq!(rate["runs"], 3);
    assert_eq!(rate["median"], rates[1]);
    assert_eq!(
        (&rate["min"], &rate["max"]),
        (&rates[0].into(), &rates[2].into())
    );
}

#[test]
fn a_document_says_how_often_and_each_run_has_all_of_its_rows() {
    let server = Server::answering(OK);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.yaml");
    let text = format!(
        "target: {}\nrepeat: 2\nrest: 20ms\ndata: {{u: {{inline: [a, b, c], pick: unique}}}}\n\
         steps: [GET /?u=$u]\nload: {{closed: 1, sessions: 3}}\n",
        server.url()
    );
    fs::write(&file, text).unwrap();
    let args = [file.to_str().unwrap(), "--json"];
    let answer = json(&driver(&args).output().unwrap());
    assert_eq!(
        (&answer["asked"], &answer["rest_s"]),
        (&2.into(), &0.02.into())
    );
    assert_eq!(server.requests(), 6);
    for result in answer["results"].as_array().unwrap() {
        assert_eq!(
            (&result["ok"], &result["data"][0]["left"]),
            (&3.into(), &0.into())
        );
    }
    // The command line knows better.
    let args = [file.to_str().unwrap(), "--rest", "10ms", "--json"];
    let answer = json(&driver(&args).output().unwrap());
    assert_eq!(
        (&answer["asked"], &answer["rest_s"]),
        (&2.into(), &0.01.into())
    );
    let args = [file.to_str().unwrap(), "--repeat", "1", "--json"];
    let one = json(&driver(&args).output().unwrap());
    assert_eq!((&one["ok"], &one["asked"]), (&3.into(), &Value::Null));
}

#[test]
fn ctrl_c_ends_the_set_with_what_is_there() {
    let server = Server::answering(OK);
    let url = server.url();
    // The second run is in its middle when it is interrupted.
    let args = [&url, "--rate", "100", "-d", "1s", "-c", "1"];
    let more = ["--repeat", "5", "--rest", "10ms", "--json"];
    let child = driver(&args).args(more).spawn().unwrap();
    while server.requests() < 120 {
        thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let answer = json(&output);
    let runs = answer["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &answer["interrupted"]), (2, &true.into()));
    assert_eq!(runs[1]["standing"], "interrupted");
    assert_eq!(
        (&runs[0]["counted"], &runs[1]["counted"]),
        (&true.into(), &false.into())
    );
    assert_eq!(spread(&answer, "requests_per_second")["runs"], 1);
}

#[test]
fn people_get_a_row_a_run_and_a_breached_threshold_is_exit_code_3() {
    let server = Server::answering(OK);
    let url = server.url();
    let args = [&url, "-n", "20", "-c", "1", "--threshold", "p50<1ns"];
    let more = ["--repeat", "2", "--rest", "10ms"];
    let output = driver(&args).args(more).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    for line in [
        "    1 ",
        "    2 ",
        "breached",
        "threshold p50<1ns: FAIL",
        "\n2 of 2 runs counted, 0.01 s of rest between them\n",
        "\nok/s ",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    let banners = text.matches("io_uring").count();
    assert_eq!(banners, 1, "{text}");
}

#[test]
fn runs_that_do_not_come_about_are_named_and_not_counted() {
    let server = Server::answering(OK);
    let url = server.url();
    let args = [&url, "-n", "20", "-c", "1", "--repeat", "3"];
    let more = ["--rest", "500ms", "--json"];
    let child = driver(&args).args(more).spawn().unwrap();
    while server.requests() < 20 {
        thread::sleep(Duration::from_millis(5));
    }
    // From here on nobody takes connections.
    drop(server);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let answer = json(&output);
    let runs = answer["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &runs[0]["counted"]), (3, &true.into()));
    for run in &runs[1..] {
        assert_eq!(
            (&run["standing"], &run["counted"]),
            (&"failed".into(), &false.into())
        );
        assert!(
            run["reasons"][0]
                .as_str()
                .unwrap()
                .contains("no connection"),
            "{run}"
        );
    }
    assert_eq!(answer["results"].as_array().unwrap().len(), 1);
    assert_eq!(spread(&answer, "requests_per_second")["runs"], 1);
}

#[test]
fn what_cannot_be_repeated_is_a_usage_error() {
    for (args, word) in [
        (&["--repeat", "0"][..], "1..=100"),
        (&["--repeat", "101"], "1..=100"),
        (&["--rest", "2s"], "--repeat"),
        (&["--repeat", "2", "--find-capacity"], "--find-capacity"),
    ] {
        let output = driver(&["http://127.0.0.1:1/"])
            .args(args)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains(word), "{args:?}: {text}");
    }
    // Before the first run nothing is known to be right.
    let output = driver(&["http://127.0.0.1:1/", "--repeat", "3"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
}
