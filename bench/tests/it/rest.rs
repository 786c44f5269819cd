//! The rest of the API over real runs: exports, comparison, exposition, queueing.

use std::time::Instant;

use serde_json::Value;

use crate::cluster::{Cluster, RUN, Signal, result};

#[test]
fn a_finished_run_is_exported_in_every_format() {
    let mut cluster = Cluster::start(1);
    let test_id = cluster.run("/avalanche?rate=200&requests=400");
    cluster.await_end(&test_id);
    let export = |format: &str| {
        let answer = cluster
            .rest
            .get(&format!("/tests/{test_id}/export?format={format}"));
        assert_eq!(answer.status, 200, "{format}: {}", answer.text);
        answer.text
    };
    let json: Value = serde_json::from_str(&export("json")).unwrap();
    assert_eq!(json["ok"], 400, "{json}");
    assert!(
        json["nodes"][0]["environment"]["kernel"].is_string(),
        "{json}"
    );
    let csv = export("csv");
    let sent_at = csv
        .lines()
        .next()
        .unwrap()
        .split(',')
        .position(|name| name == "sent")
        .unwrap();
    let sent: u64 = csv
        .lines()
        .skip(1)
        .map(|line| {
            line.split(',')
                .nth(sent_at)
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    assert_eq!(sent, 400, "{csv}");
    let table = cluster.rest.get(&format!("/metrics/{test_id}?summary=1"));
    assert_eq!(
        (table.status, &table.json),
        (200, &Value::Null),
        "it is text"
    );
    for words in [
        "driver-1",
        "total",
        "planned 400 = sent 400",
        "Linux ",
        "verdict: ",
    ] {
        assert!(table.text.contains(words), "{words}: {}", table.text);
    }
    assert!(export("hlog").starts_with("#[Histogram log format version"));
    assert!(export("hgrm").contains("Percentile"));
    let bad = cluster
        .rest
        .get(&format!("/tests/{test_id}/export?format=xml"));
    assert_eq!(bad.status, 400, "{}", bad.text);
    // All that has read the store has closed it.
    cluster.orchestrator.signal(Signal::TERM);
    assert_eq!(cluster.orchestrator.await_end(), Some(0));
    for suffix in ["-wal", "-shm"] {
        let path = cluster.path(&format!("data/o.sqlite{suffix}"));
        assert!(!path.exists(), "{} is left behind", path.display());
    }
}

#[test]
fn sets_of_runs_are_compared_and_what_is_not_alike_is_refused() {
    let cluster = Cluster::start(1);
    let target = &cluster.rest.target;
    let fast = cluster.run("/avalanche?rate=200&requests=200");
    cluster.await_end(&fast);
    let url = format!("http://{target}/?delay=20ms")
        .replace('?', "%3F")
        .replace('=', "%3D");
    let slow = cluster.run(&format!("/avalanche?rate=200&requests=200&target={url}"));
    cluster.await_end(&slow);
    let compare = |query: &str| cluster.rest.get(&format!("/compare?{query}"));
    let refused = compare(&format!("base={fast}&test={slow}"));
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains("target: "), "{}", refused.text);
    let anyway = compare(&format!("base={fast}&test={slow}&anyway=1"));
    assert_eq!(anyway.status, 200, "{}", anyway.text);
    assert_eq!(anyway.json["verdict"], "unknown", "{}", anyway.text);
    assert!(anyway.json["quantiles"][0]["change"].as_f64().unwrap() > 1.0);
    let difference = anyway.json["differences"][0].as_str().unwrap();
    assert!(difference.starts_with("target: "), "{difference}");
    // A set by its name: those that are like the test and no others, and never the test itself.
    let named = |id: &str| {
        let answer = cluster
            .rest
            .patch(&format!("/tests/{id}"), r#"{"name": "shop"}"#);
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    [&fast, &slow].into_iter().for_each(|id| named(id));
    let none = compare(&format!("base=name:shop&test={slow}"));
    assert_eq!(none.status, 404, "{}", none.text);
    let again = cluster.run("/avalanche?rate=200&requests=200");
    cluster.await_end(&again);
    named(&again);
    let like = compare(&format!("base=name:shop&test={again}"));
    assert_eq!(
        like.json["base_runs"],
        serde_json::json!([fast]),
        "{}",
        like.text
    );
    let both = compare(&format!("base={fast},{again}&test=name:shop"));
    assert_eq!(both.json["base_runs"].as_array().unwrap().len(), 2);
    assert_eq!(both.json["test_runs"].as_array().unwrap().len(), 2);
    let untagged = compare(&format!("base=tag:git=abc&test={again}"));
    assert_eq!(untagged.status, 404, "{}", untagged.text);
    let missing = cluster
        .rest
        .get(&format!("/compare?base={fast}&test=unknown"));
    assert_eq!(missing.status, 404, "{}", missing.text);
}

#[test]
fn the_exposition_and_the_contract_are_served() {
    let cluster = Cluster::start(1);
    let test_id = cluster.run("/avalanche?requests=50&connections=2");
    cluster.await_end(&test_id);
    let exposition = cluster.rest.get("/metrics");
    assert_eq!(exposition.status, 200);
    assert!(exposition.text.contains("# TYPE "), "{}", exposition.text);
    let contract = cluster.rest.get("/openapi.json").json;
    for path in [
        "/avalanche",
        "/tsunami/{seconds}",
        "/trigger/{testId}",
        "/metrics/{testId}",
    ] {
        let paths = contract["paths"].as_object().unwrap();
        let there = paths
            .keys()
            .any(|key| key.to_lowercase().replace("test_id", "testid") == path.to_lowercase());
        assert!(there, "{path} is not in {:?}", paths.keys());
    }
    assert!(cluster.rest.get("/").text.contains("<html"));
}

#[test]
fn a_second_run_waits_its_turn() {
    let cluster = Cluster::start(1);
    // Long enough to be under way still, however slow the machine is; it is stopped.
    let first = cluster.run("/avalanche?rate=100&duration_s=300");
    let second = cluster.create("/avalanche?requests=50&connections=2");
    let refused = cluster.rest.post(&format!("/trigger/{second}"));
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(
        refused.text.contains(&first),
        "it names the running one: {}",
        refused.text
    );
    let queued = cluster.rest.post(&format!("/trigger/{second}?queue=1"));
    assert_eq!(queued.status, 200, "{}", queued.text);
    assert_eq!(cluster.metrics(&second)["sent"], 0, "it waits");
    let stopped = cluster.rest.post(&format!("/stop/{first}"));
    assert_eq!(stopped.status, 200, "{}", stopped.text);
    assert_eq!(cluster.await_end(&second)["ok"], 50);
    assert_eq!(cluster.metrics(&first)["state"], "aborted");
}

#[test]
fn a_result_is_there_at_every_moment_of_a_run() {
    let cluster = Cluster::start(2);
    for _ in 0..5 {
        let test_id = cluster.create("/avalanche?requests=2000&connections=8");
        let path = format!("/metrics/{test_id}");
        assert_eq!(cluster.rest.get(&path).status, 200);
        assert_eq!(
            cluster.rest.post(&format!("/trigger/{test_id}")).status,
            200
        );
        let (mut sent, begin) = (0, Instant::now());
        // Without a pause: it is asked at as many moments as there can be.
        let last = loop {
            assert!(begin.elapsed() < RUN, "{test_id} does not end");
            let answer = cluster.rest.get(&path);
            assert_eq!(answer.status, 200, "after {sent} requests: {}", answer.text);
            let now = answer.json["sent"].as_u64().unwrap();
            assert!(
                now >= sent,
                "{sent} requests were shown before: {}",
                answer.text
            );
            sent = now;
            if let Some(last) = result::if_ended(answer.json) {
                break last;
            }
        };
        assert_eq!(last["state"], "done", "{}", last["verdict"]);
        assert_eq!(sent, 4000);
    }
}
