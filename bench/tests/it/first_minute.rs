//! The first minute of a newcomer, word by word, and what the numbers must add up to.

use serde_json::Value;

use crate::cluster::{Cluster, int};

/// The identities of the accounting, and the truth as the target saw it.
fn assert_adds_up(result: &Value, server_saw: u64) {
    let [planned, sent, completed, ok, shed, not_sent, aborted] = [
        "planned",
        "sent",
        "completed",
        "ok",
        "shed",
        "not_sent",
        "aborted",
    ]
    .map(|name| int(&result[name]));
    let errors = &result["errors"];
    let kinds = ["write", "read", "timeout", "status", "malformed"];
    let failed: u64 = kinds.iter().map(|kind| int(&errors[kind])).sum();
    assert_eq!(planned, sent + shed + not_sent, "{result}");
    assert_eq!(sent, ok + failed + aborted, "{result}");
    assert_eq!(completed, ok + int(&errors["status"]), "{result}");
    assert_eq!(server_saw, sent, "the target's own count is the truth");
    let series = result["series"].as_array().unwrap();
    for (column, total) in [("sent", sent), ("completed", completed)] {
        let sum: u64 = series.iter().map(|row| int(&row[column])).sum();
        assert_eq!(sum, total, "the seconds of {column} add up to the total");
    }
    let nodes = result["nodes"].as_array().unwrap();
    let of_nodes: u64 = nodes.iter().map(|node| int(&node["sent"])).sum();
    assert_eq!(of_nodes, sent, "the nodes add up to the test");
}

#[test]
fn the_first_minute() {
    let cluster = Cluster::start(2);
    assert_eq!(cluster.rest.target_text("/"), "Hello World");
    assert_eq!(cluster.rest.target_text("/metric").trim(), "1");
    assert_eq!(cluster.rest.target_text("/ping"), r#"{"message":"pong"}"#);

    let before = cluster.seen();

    let test_id = cluster.create("/avalanche");
    assert_eq!(test_id.len(), 20);
    assert!(
        test_id.bytes().all(|byte| byte.is_ascii_alphabetic()),
        "{test_id}"
    );
    let armed = cluster.rest.post(&format!("/trigger/{test_id}"));
    assert_eq!(armed.status, 200, "{}", armed.text);
    assert_eq!(armed.json["test_id"], test_id.as_str());
    assert_eq!(armed.json["participants"].as_array().unwrap().len(), 2);
    assert!(armed.json["start_at_unix_ns"].is_u64());
    let result = cluster.await_end(&test_id);
    assert_eq!(result["state"], "done", "{}", result["verdict"]);
    assert_eq!(int(&result["ok"]), 200_000);
    assert_adds_up(&result, cluster.seen() - before);
    assert_eq!(result["status_codes"]["200"], 200_000);
    for figure in [
        "min", "max", "mean", "median", "mode", "stddev", "p50", "p90", "p95", "p99",
    ] {
        let value = &result["metrics"][format!("{figure}_latency")];
        assert!(
            value.as_f64().is_some_and(|ms| ms > 0.0),
            "{figure} is {value}"
        );
    }
    assert_eq!(result["coverage"]["nodes_reporting"], 2);
    assert_eq!(result["coverage"]["reports_missing"], 0);
    assert_eq!(result["accounting"]["holds"], true);

    let before = cluster.seen();
    let tsunami = cluster.run("/tsunami/2");
    let result = cluster.await_end(&tsunami);
    assert_eq!(result["state"], "done", "{}", result["verdict"]);
    assert_eq!(int(&result["ok"]), 1000);
    assert_adds_up(&result, cluster.seen() - before);
    let elapsed = result["elapsed_s"].as_f64().unwrap();
    // A loaded machine may take longer for the last of them.
    assert!(
        (8.0..20.0).contains(&elapsed),
        "five loads, two seconds apart: {elapsed}"
    );

    let tests = cluster.rest.get("/tests").json;
    let rows = tests
        .as_array()
        .or_else(|| tests["tests"].as_array())
        .unwrap()
        .clone();
    let ids: Vec<&str> = rows
        .iter()
        .map(|row| row["test_id"].as_str().unwrap())
        .collect();
    // A broker that is not this cluster's own may know older ones.
    assert_eq!(
        ids[..2],
        [tsunami.as_str(), test_id.as_str()],
        "newest first"
    );
    assert_eq!(cluster.nodes_in("up"), ["driver-1", "driver-2"]);
}

#[test]
fn one_driver_takes_all_parameters() {
    let cluster = Cluster::start(1);
    let body = r#"{"requests": 3000, "connections": 8, "method": "POST", "body": "hello",
        "headers": {"X-Test": "1"}, "pipeline": 4, "threshold": ["p99<10s", "error_rate<0.1%"]}"#;
    let answer = cluster.rest.post_json("/avalanche", body);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let test_id = answer.json["TestId"].as_str().unwrap().to_owned();
    assert_eq!(
        cluster.rest.post(&format!("/trigger/{test_id}")).status,
        200
    );
    let result = cluster.await_end(&test_id);
    assert_eq!(int(&result["ok"]), 3000, "{result}");
    assert_adds_up(&result, cluster.seen());
    let thresholds = result["thresholds"].as_array().unwrap();
    assert_eq!(thresholds.len(), 2);
    assert!(
        thresholds.iter().all(|threshold| threshold["pass"] == true),
        "{thresholds:?}"
    );
}

#[test]
fn a_rate_is_held_and_a_duration_ends_it() {
    let cluster = Cluster::start(1);
    let test_id = cluster.run("/avalanche?rate=500&duration_s=3&warmup_s=1");
    let result = cluster.await_end(&test_id);
    assert_eq!(int(&result["sent"]), 1500, "{result}");
    assert_eq!(int(&result["warmup_sent"]), 500);
    assert_eq!(
        int(&result["planned"]),
        1500,
        "a duration run plans what it offers"
    );
    assert_adds_up(&result, cluster.seen() - 500);
}

#[test]
fn eight_drivers_send_eight_shares() {
    let cluster = Cluster::start(8);
    let test_id = cluster.run("/avalanche?requests=5000&connections=8");
    let result = cluster.await_end(&test_id);
    assert_eq!(int(&result["ok"]), 40_000);
    assert_eq!(result["nodes"].as_array().unwrap().len(), 8);
    assert!(result["start_skew_ms"].as_f64().is_some());
    assert_adds_up(&result, cluster.seen());
    let loads = cluster.run("/tsunami/0.2?requests=20&burst=4");
    let before = cluster.seen();
    let result = cluster.await_end(&loads);
    assert_eq!(int(&result["ok"]), 160);
    assert_adds_up(&result, cluster.seen() - before + (before - 40_000));
}

#[test]
fn the_logs_are_there_for_every_core_and_second() {
    let cluster = Cluster::start(1);
    let test_id = cluster.run("/avalanche?rate=200&duration_s=2.5");
    cluster.await_end(&test_id);
    let lines = std::fs::read_to_string(cluster.path("logs/driver-1/core-0.jsonl")).unwrap();
    let rows: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(rows.len() >= 3, "{lines}");
    let sent: u64 = rows.iter().map(|row| int(&row["sent"])).sum();
    assert_eq!(sent, 500);
    let histograms = std::fs::read_to_string(cluster.path("logs/driver-1/core-0.hlog")).unwrap();
    assert!(histograms.starts_with("#[Histogram log format version 1.3]"));

    for process in [&cluster.orchestrator, &cluster.drivers[0]] {
        let of_test = |event: &&Value| event["test_id"] == test_id.as_str();
        let metrics = process.events();
        let metrics: Vec<&Value> = metrics
            .iter()
            .filter(of_test)
            .filter(|event| event.get("metrics").is_some())
            .collect();
        assert!(
            metrics.len() >= 3,
            "a metrics message each second: {}",
            metrics.len()
        );
        assert!(
            metrics
                .iter()
                .all(|event| event.get("response_ns").is_none()),
            "no histograms"
        );
    }
    let orchestrator = cluster.orchestrator.events();
    assert!(
        orchestrator
            .iter()
            .any(|e| e["message_type"] == "DRIVER_NODE_REGISTER")
    );
    assert!(
        orchestrator
            .iter()
            .any(|e| e["heartbeat"] == "YES" && e["node_id"] == "driver-1")
    );
}
