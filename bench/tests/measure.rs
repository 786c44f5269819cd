//! `bench exec` and `bench compare` as processes: what is measured is what happened.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Runs a shell script through `bench exec` and returns what it took.
fn taken(folder: &Path, deadline_s: &str, script: &str) -> Value {
    let report = folder.join("report");
    let path = report.to_str().unwrap();
    let output = bench(&[
        "exec",
        "--report",
        path,
        "--deadline-s",
        deadline_s,
        "--",
        "sh",
        "-c",
        script,
    ]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap()
}

fn number(usage: &Value, name: &str) -> f64 {
    usage[name].as_f64().unwrap()
}

#[test]
fn time_that_children_of_the_program_take_is_counted_too() {
    let folder = tempfile::tempdir().unwrap();
    let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    let usage = taken(folder.path(), "60", &format!("sh -c '{spin}'"));
    let cpu = number(&usage, "user_seconds") + number(&usage, "system_seconds");
    assert!(
        cpu > 0.01,
        "a loop of 200000 turns takes longer than {cpu} s"
    );
    assert!(number(&usage, "seconds") >= cpu * 0.5);
    assert!(number(&usage, "rss_mib") > 0.5);
    assert_eq!(usage["code"], 0);
}

#[test]
fn waiting_costs_nothing_and_the_exit_code_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let usage = taken(folder.path(), "60", "sleep 0.2; exit 7");
    assert_eq!(usage["code"], 7);
    assert!(number(&usage, "seconds") >= 0.2);
    assert!(number(&usage, "user_seconds") < 0.1);
}

#[test]
fn a_program_that_does_not_end_is_killed_at_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let usage = taken(folder.path(), "0.2", "exec sleep 600");
    assert_eq!(usage["code"], Value::Null);
    assert!(number(&usage, "seconds") < 60.0);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let path = report.to_str().unwrap();
    let output = bench(&["exec", "--report", path, "--", "no-such-program"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot run no-such-program"));
}

fn document(folder: &Path, name: &str, rate: f64) -> String {
    let samples = [0.99, 0.995, 1.0, 1.005, 1.01].map(|noise| {
        let requests_per_cpu_second = rate * noise;
        json!({ "requests_per_cpu_second": requests_per_cpu_second })
    });
    let document = json!({
        "schema": 1, "scenario": "throughput", "date": "2026-11-22T13:00:00Z",
        "commit": name, "modified": false,
        "host": {
            "processor": "x", "cores": [0, 1], "kernel": "6", "memory_mib": 1,
            "virtual_machine": false, "generator_core": 0, "target_core": 1,
        },
        "settings": {},
        "cells": [{
            "subject": "dlts", "parameters": { "connections": 64.0 }, "samples": samples,
        }],
    });
    let path = folder.join(name);
    std::fs::write(&path, document.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_change_for_the_worse_is_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let base = document(folder.path(), "base.json", 100.0);
    for (rate, code, word) in [(90.0, 4, "WORSE"), (100.5, 0, "dlts"), (110.0, 0, "better")] {
        let new = document(folder.path(), "new.json", rate);
        let output = bench(&["compare", &base, &new]);
        assert_eq!(output.status.code(), Some(code), "{rate}");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains(word),
            "{rate}"
        );
    }
    let output = bench(&["compare", &base, "/no/such/file.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/file.json"));
}
