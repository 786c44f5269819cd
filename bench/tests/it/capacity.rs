//! `driver run --find-capacity` against targets whose capacity is known.

use std::process::Command;

use serde_json::Value;

use crate::cluster::process::binary;
use crate::cluster::{Cluster, core, int};

/// What is found at a path of the test server, and the exit code.
fn find(cluster: &Cluster, path: &str, more: &[&str]) -> (Option<i32>, Value) {
    let url = format!("http://{}{path}", cluster.rest.target);
    let output = Command::new(binary("driver"))
        .args([
            "run",
            &url,
            "--find-capacity",
            "--json",
            "--cores",
            &core(0),
        ])
        .args(["--duration", "600ms", "--warmup", "200ms"])
        .args(more)
        .output()
        .unwrap();
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code(), answer)
}

#[test]
fn the_capacity_of_a_queue_is_found_from_below_and_that_of_a_bucket_from_above() {
    let cluster = Cluster::without_drivers();
    // One server that needs 2 ms for each: 500 a second.
    let threshold = ["--threshold", "p90<40ms", "--rate", "100", "-c", "200"];
    let (code, answer) = find(&cluster, "/?queue=2ms", &threshold);
    assert_eq!(code, Some(0), "{answer}");
    let ends = |answer: &Value| {
        let capacity = &answer["capacity"];
        let end = |name: &str| capacity[name].as_f64().unwrap();
        (end("at_least"), end("below"))
    };
    let (low, high) = ends(&answer);
    // Of runs as short as these a rate a little too high leaves no long queue.
    assert!(
        low < 500.0 * 1.12 && high > 500.0 * 0.88,
        "{low} to {high}: {answer}"
    );
    assert!(high <= low * 1.051, "{low} to {high}");
    // The last one offers the answer again.
    let rates = answer["steps"].as_array().unwrap().len() - 1;
    assert!(rates <= 12, "{rates} rates: {answer}");
    assert_eq!(answer["collapsed"], false, "{answer}");

    let threshold = [
        "--threshold",
        "error_rate<20%",
        "--rate",
        "9000",
        "-c",
        "64",
    ];
    let (code, answer) = find(&cluster, "/?bucket=1000:20", &threshold);
    assert_eq!(code, Some(0), "{answer}");
    // A fifth more than its rate, and what the bucket held at the start.
    let (low, high) = ends(&answer);
    assert!(low < 1350.0 && high > 1200.0, "{low} to {high}: {answer}");
}

#[test]
fn the_sessions_of_a_document_are_searched_as_its_own_load_begins() {
    let cluster = Cluster::without_drivers();
    let file = cluster.folder.path().join("shop.yaml");
    // Two steps of 2 ms each at one server: 250 sessions a second.
    let text = format!(
        "target: http://{}/\nsteps: [GET /?queue=2ms, {{think: 1ms}}, GET /?queue=2ms]\n\
         defaults: {{connections: 200}}\nload: [{{open: 900/s, for: 200ms, warmup: true}}, \
         {{open: 900/s, for: 600ms}}]\nthresholds: [p90 < 40ms]\n",
        cluster.rest.target
    );
    std::fs::write(&file, text).unwrap();
    let run = |more: &[&str]| {
        let search = ["run", file.to_str().unwrap(), "--find-capacity"];
        let mut driver = Command::new(binary("driver"));
        driver.args(search).args(["--cores", &core(0)]).args(more);
        driver.output().unwrap()
    };
    let output = run(&["--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{answer}");
    assert_eq!(answer["unit"], "sessions");
    assert_eq!(answer["steps"][0]["rate"], 900.0, "{answer}");
    let capacity = &answer["capacity"];
    let [low, high] = ["at_least", "below"].map(|end| capacity[end].as_f64().unwrap());
    assert!(
        low < 250.0 * 1.15 && high > 250.0 * 0.85,
        "{low} to {high}: {answer}"
    );
    // What is the document's to say is not the command line's, and what it lacks is told.
    let refused = run(&["--threshold", "p99<1s"]);
    assert_eq!(refused.status.code(), Some(2));
    std::fs::write(
        &file,
        "target: http://127.0.0.1:1/\nload: {closed: 1, for: 1s}\n",
    )
    .unwrap();
    let refused = run(&[]);
    let words = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{words}");
    assert!(
        words.contains("thresholds: [p99 < 50ms]") && words.contains("{open: 100/s, for: 5s}"),
        "{words}"
    );
}

#[test]
fn a_target_that_does_not_recover_and_connections_that_are_too_few_are_told() {
    let cluster = Cluster::without_drivers();
    // 1000 a second, and a tenth of that from when 400 wait. A machine that stalls does not do it.
    let load = ["--rate", "100", "-c", "1000", "--timeout", "2s"];
    let threshold = [&load[..], &["--threshold", "p90<300ms"]].concat();
    let (code, answer) = find(&cluster, "/?queue=1ms&collapse=400:10:60s", &threshold);
    assert_eq!(answer["collapsed"], true, "{answer}");
    assert_eq!(code, Some(3), "{answer}");

    // 4 connections at 100 ms an answer are 40 a second, whatever the target could do.
    let threshold = ["--threshold", "p90<400ms", "--rate", "20", "-c", "4"];
    let (code, answer) = find(&cluster, "/?delay=100ms", &threshold);
    assert_eq!(code, Some(4), "{answer}");
    assert_eq!(answer["limited_by"], "connections", "{answer}");
    assert_eq!(answer["capacity"]["below"], Value::Null, "{answer}");
    assert!(int(&answer["steps"][0]["runs"]) >= 1);
    let low = answer["capacity"]["at_least"].as_f64().unwrap();
    // What is a little too much has not waited long when so short a run ends.
    assert!((20.0..80.0).contains(&low), "{answer}");
}
