//! `driver run` as people and scripts use it: what it prints, and its exit codes.

use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::server::{OK, Server};

fn driver(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driver"));
    command.arg("run").args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (i32, Output) {
    let output = driver(args).output().unwrap();
    (output.status.code().unwrap(), output)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn json_has_the_shape_of_the_api_and_nothing_else_is_printed() {
    let server = Server::answering(OK);
    let (code, output) = run(&[&server.url(), "-n", "500", "-c", "4", "--json"]);
    assert_eq!(code, 0);
    let result = json(&output);
    assert_eq!(
        (&result["ok"], &result["planned"]),
        (&500.into(), &500.into())
    );
    assert_eq!(
        (&result["state"], &result["test_type"]),
        (&"done".into(), &"AVALANCHE".into())
    );
    assert_eq!(result["accounting"]["holds"], true);
    assert_eq!(result["coverage"]["nodes_finished"], 1);
    for field in ["metrics", "service", "release_lag"] {
        assert!(result[field]["p99_latency"].is_number(), "{field}");
    }
    let seconds = result["series"].as_array().unwrap();
    assert_eq!(
        seconds
            .iter()
            .filter_map(|row| row["ok"].as_u64())
            .sum::<u64>(),
        500
    );
}

#[test]
fn people_get_a_summary() {
    let server = Server::answering(OK);
    let (code, output) = run(&[&server.url(), "-n", "100", "-c", "2"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(code, 0, "{text}");
    for word in [
        "closed loop",
        "io_uring",
        "planned 100",
        "ok 100",
        "response",
        "verdict",
    ] {
        assert!(text.contains(word), "{word:?} is missing in {text}");
    }
}

#[test]
fn a_breached_threshold_is_exit_code_3() {
    let server = Server::start(|peer| {
        let bad = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
        while peer.request().is_some() && peer.send(OK) {
            if peer.request().is_none() || !peer.send(bad) {
                return;
            }
        }
    });
    let url = server.url();
    let (code, output) = run(&[
        &url,
        "-n",
        "50",
        "-c",
        "1",
        "--threshold",
        "error_rate<1%",
        "--json",
    ]);
    assert_eq!(code, 3);
    assert_eq!(json(&output)["thresholds"][0]["pass"], false);
    let (code, _) = run(&[
        &url,
        "-n",
        "50",
        "-c",
        "1",
        "--threshold",
        "error_rate<=100%",
    ]);
    assert_eq!(code, 0);
}

#[test]
fn usage_is_exit_code_2_and_a_missing_target_1() {
    for (args, expected, word) in [
        (vec!["https://127.0.0.1/"], 2, "https"),
        (vec!["http://127.0.0.1:1/", "-c", "0"], 2, "1 to 50000"),
        (vec!["http://127.0.0.1:1/", "--threshold", "p99"], 2, "p99"),
        (
            vec!["http://127.0.0.1:1/"],
            1,
            "no connection to 127.0.0.1 port 1",
        ),
    ] {
        let (code, output) = run(&args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(code, expected, "{args:?}: {text}");
        assert!(text.contains(word), "{args:?}: {text}");
    }
}

#[test]
fn an_interrupted_run_drains_reports_and_says_so() {
    let server = Server::answering(OK);
    let url = server.url();
    let child = driver(&[&url, "-c", "4", "-n", "1000000000", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while server.requests() < 100 {
        thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let result = json(&output);
    assert_eq!(
        (&result["state"], &result["accounting"]["holds"]),
        (&"interrupted".into(), &true.into())
    );
    assert!(result["ok"].as_u64().unwrap() >= 100);
    assert_eq!(result["sent"].as_u64(), Some(server.requests()));
}

#[test]
fn logs_are_written_where_they_are_wanted() {
    let server = Server::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let (code, _) = run(&[
        &server.url(),
        "-n",
        "100",
        "-c",
        "2",
        "--cores",
        "0",
        "--logs",
        place,
    ]);
    assert_eq!(code, 0);
    let lines = std::fs::read_to_string(directory.path().join("core-0.jsonl")).unwrap();
    let ok: u64 = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["ok"]
                .as_u64()
                .unwrap()
        })
        .sum();
    assert_eq!(ok, 100);
    assert!(
        directory
            .path()
            .join("core-0.hlog")
            .metadata()
            .unwrap()
            .len()
            > 500
    );
}
