//! What tools of other ecosystems make of what we serve: HdrHistogram's Python implementation reads
//! the interval log, Prometheus' own parser the exposition, schemathesis calls the API by its
//! contract. `make outsiders` installs them below the target folder; without them the tests are
//! skipped, and say so.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::cluster::skip::skip;
use crate::cluster::{Cluster, SOON, process::binary, wait_for};

/// Requests of the runs that are read.
const REQUESTS: u64 = 600;
/// How far two implementations may differ in a quantile: both keep 3 significant digits.
const PRECISION: f64 = 0.002;

/// A program of the virtual environment, if there is one.
fn outsider(program: &str) -> Option<PathBuf> {
    let target = binary("broker").parent()?.parent()?.to_owned();
    let path = target.join("outsiders/bin").join(program);
    if !path.exists() {
        skip(&format!(
            "there is no {}; run `make outsiders`",
            path.display()
        ));
        return None;
    }
    Some(path)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/outsiders")
        .join(name)
}

fn succeeded(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out
}

/// A cluster that has had one run; its id and its result.
fn after_a_run() -> (Cluster, String, Value) {
    let cluster = Cluster::start(1);
    let test_id = cluster.run(&format!("/avalanche?rate=300&requests={REQUESTS}"));
    let result = cluster.await_end(&test_id);
    assert_eq!(result["ok"], REQUESTS, "{result}");
    (cluster, test_id, result)
}

#[test]
fn another_implementation_reads_the_interval_log() {
    let Some(python) = outsider("python") else {
        return;
    };
    let (cluster, test_id, result) = after_a_run();
    let path = format!("/tests/{test_id}/export?format=hlog");
    let file = cluster.path("run.hlog");
    std::fs::write(&file, cluster.rest.get(&path).text).unwrap();
    let mut command = Command::new(python);
    command.arg(script("read_interval_log.py")).arg(&file);
    let read: Value = serde_json::from_str(&succeeded(&command.output().unwrap())).unwrap();
    assert_eq!(read["count"], REQUESTS, "{read}");
    assert!(read["intervals"].as_u64().unwrap() >= 2, "{read}");
    for (theirs, ours) in [
        ("p50_ns", "p50_latency"),
        ("p99_ns", "p99_latency"),
        ("max_ns", "max_latency"),
    ] {
        let theirs_ms = read[theirs].as_f64().unwrap() / 1e6;
        let ours_ms = result["metrics"][ours].as_f64().unwrap();
        let difference = (theirs_ms - ours_ms).abs() / ours_ms;
        assert!(difference < PRECISION, "{ours}: {ours_ms} ms, {read}");
    }
}

#[test]
fn the_exposition_is_parsed_by_prometheus_own_parser() {
    let Some(python) = outsider("python") else {
        return;
    };
    // Only tests that drivers are at work on are shown.
    let cluster = Cluster::start(1);
    let test_id = cluster.run("/avalanche?rate=200&duration_s=60");
    let shown = cluster.await_load(&test_id)["ok"].as_f64().unwrap();
    let mut command = Command::new(python);
    command.arg(script("read_exposition.py"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut parser = command.spawn().unwrap();
    let exposition = cluster.rest.get("/metrics").text;
    let mut input = parser.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, exposition.as_bytes()).unwrap();
    drop(input);
    let samples: Value =
        serde_json::from_str(&succeeded(&parser.wait_with_output().unwrap())).unwrap();
    let samples = samples.as_array().unwrap();
    let ok = samples.iter().find(|sample| {
        sample["name"] == "dlts_test_ok_total" && sample["labels"]["test_id"] == test_id
    });
    assert!(
        ok.unwrap()["value"].as_f64().unwrap() >= shown,
        "{shown} had been shown before:\n{exposition}"
    );
    for sample in samples {
        assert_ne!(sample["type"], "unknown", "{sample}");
        assert_ne!(sample["help"], "", "{sample}");
    }
}

#[test]
fn the_api_keeps_its_contract() {
    let Some(schemathesis) = outsider("schemathesis") else {
        return;
    };
    let (mut cluster, _, _) = after_a_run();
    // What is generated may ask for any load; there is no driver any more that would do it.
    cluster.drivers.clear();
    wait_for(SOON, "the driver to be down", || {
        let is_none_in = |state| cluster.nodes_in(state).is_empty();
        (is_none_in("up") && is_none_in("suspect")).then_some(())
    });
    let contract = format!("http://{}/openapi.json", cluster.rest.orchestrator);
    let output = Command::new(schemathesis)
        .current_dir(cluster.folder.path())
        .env("SCHEMATHESIS_HOOKS", "contract_hooks")
        .env("PYTHONPATH", script("").as_os_str())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["run", &contract, "--checks", "all", "--seed", "1"])
        .args(["--max-examples", "40", "--request-timeout", "20"])
        // What a document is, its parser says and no schema yet: most of what is drawn is none.
        .args(["--exclude-name", "POST /tests"])
        .args(["--exclude-name", "POST /tests/check"])
        .args(["--exclude-name", "POST /capacity"])
        // The stream of a test that nobody starts does not end.
        .args(["--exclude-name", "GET /tests/{testId}/stream"])
        .args(["--no-color", "--generation-database", "none"])
        .output()
        .unwrap();
    let told = succeeded(&output);
    println!("{told}");
    assert_eq!(cluster.rest.get("/healthz").status, 200);
}
