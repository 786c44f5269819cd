//! Tests that are documents, over a cluster: the whole exactly divided, with the target's own count
//! as the truth.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::process::binary;
use crate::cluster::result::if_ended;
use crate::cluster::{Cluster, Process, Rest, assert_whole, int, wait_for};

/// A shop whose 50 accounts log in once each, over all drivers.
const SHOP: &str = "\
name: shop
tags: {team: blue}
data: {users: {inline: [ROWS], pick: unique}}
flows:
  - {name: browse, weight: 3, steps: [GET /, GET /ping]}
  - {name: buy, weight: 1, steps: [{name: login, GET: /ping?user=$users, check: [status == 200]}]}
load: {closed: 6, sessions: 101}
thresholds: [p99 < 20s, error_rate < 1%, step(login).p99 < 20s, check_rate >= 99%]
";

fn shop() -> String {
    let rows: Vec<String> = (0..50).map(|row| format!("u{row}")).collect();
    SHOP.replace("ROWS", &rows.join(", "))
}

#[test]
fn two_drivers_share_a_document_exactly() {
    let cluster = Cluster::start(2);
    let answer = cluster.rest.post_json("/tests?start=1", &shop());
    assert_eq!(answer.status, 200, "{}", answer.text);
    let test_id = answer.json["TestId"].as_str().unwrap();
    let result = cluster.await_end(test_id);
    // Of 101 sessions by 3 to 1, 76 or 75 browse, whoever has the odd one.
    let sent = int(&result["sent"]);
    assert!((75 * 2 + 26..=76 * 2 + 25).contains(&sent), "{result}");
    assert_whole(&result, sent, cluster.seen());
    let nodes = result["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2);
    assert!(
        nodes.iter().all(|node| int(&node["sent"]) > sent / 3),
        "{result}"
    );
    let sum = |rows: &Value, name: &str| -> u64 {
        let rows = rows.as_array().unwrap();
        rows.iter().map(|row| int(&row[name])).sum()
    };
    let (steps, flows, users) = (&result["steps"], &result["flows"], &result["data"][0]);
    assert_eq!(
        (sum(steps, "sent"), sum(steps, "ok")),
        (sent, sent),
        "{steps}"
    );
    assert_eq!(sum(flows, "completed"), 101, "{flows}");
    let login = &steps[2];
    assert_eq!(login["name"], "login", "{steps}");
    assert_eq!(login["checks"][0]["held"], login["sent"], "{steps}");
    assert_eq!(int(&users["left"]), 50 - int(&login["sent"]), "{users}");
    let thresholds = result["thresholds"].as_array().unwrap();
    assert_eq!(thresholds.len(), 4, "{thresholds:?}");
    assert!(
        thresholds.iter().all(|one| one["pass"] == true),
        "{thresholds:?}"
    );
    let test = cluster.rest.get(&format!("/tests/{test_id}")).json;
    assert_eq!(test["name"], "shop", "{test}");
    assert_eq!(test["tags"]["team"], "blue", "{test}");

    // Fewer at once than drivers: all of them are played all the same.
    let few = "steps: [GET /]\nload: {closed: 1, sessions: 3}\n";
    let answer = cluster.rest.post_json("/tests?start=1", few);
    let result = cluster.await_end(answer.json["TestId"].as_str().unwrap());
    assert_eq!(result["ok"], 3, "{result}");
}

#[test]
fn steps_and_flows_are_shown_while_the_run_goes_on() {
    let cluster = Cluster::start(2);
    let document = "steps: [{name: hit, GET: /, check: [status == 200]}, \
        {name: missed, GET: '/?status=404', repeat: 2}]\n\
        load: {open: 40/s, for: 5s}\nthresholds: [step(hit).error_rate < 1%]\n";
    let answer = cluster.rest.post_json("/tests?start=1", document);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let test_id = answer.json["TestId"].as_str().unwrap();
    let counts = |result: &Value| -> Vec<u64> {
        let (hit, missed) = (&result["steps"][0], &result["steps"][1]);
        let flow = &result["flows"][0];
        [
            &hit["ok"],
            &missed["sent"],
            &missed["status"],
            &flow["completed"],
        ]
        .map(int)
        .to_vec()
    };
    let mut seen: Vec<Vec<u64>> = Vec::new();
    wait_for(Duration::from_secs(60), "its end", || {
        let result = cluster.metrics(test_id);
        if result["state"] == "running" && result["steps"].is_array() {
            assert_eq!(result["steps"][0]["name"], "hit", "{result}");
            // A driver that has ended has told its times, while the other goes on.
            let p99 = &result["steps"][0]["response"]["p99_latency"];
            assert!(p99.is_null() || !seen.is_empty(), "{result}");
            assert_eq!(result["thresholds"].as_array().unwrap().len(), 0);
            let now = counts(&result);
            if seen.last() != Some(&now) {
                seen.push(now);
            }
        }
        if_ended(result)
    });
    let result = cluster.metrics(test_id);
    let last = counts(&result);
    assert_eq!(last, [200, 400, 400, 200], "{result}");
    assert!(
        result["steps"][0]["response"]["p99_latency"].is_f64(),
        "{result}"
    );
    assert!(seen.len() >= 3, "{seen:?}");
    seen.push(last);
    let grows = |two: &[Vec<u64>]| two[0].iter().zip(&two[1]).all(|(one, next)| one <= next);
    assert!(seen.windows(2).all(grows), "{seen:?}");
    assert!(seen[0].iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn a_document_that_is_wrong_is_told_where() {
    let cluster = Cluster::start(1);
    let refused = cluster
        .rest
        .post_json("/tests", "target: http://127.0.0.1/\nload: {opn: 5/s}\n");
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("2:8"), "{}", refused.text);
    assert!(
        refused.text.contains("did you mean open?"),
        "{}",
        refused.text
    );

    let few = "drivers: {min: 2}\nload: {closed: 1, sessions: 3}\n";
    let answer = cluster.rest.post_json("/tests", few);
    let test_id = answer.json["TestId"].as_str().unwrap().to_owned();
    let refused = cluster.rest.post(&format!("/trigger/{test_id}"));
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains('2'), "{}", refused.text);

    let secret = "steps: [{GET: /, headers: {Authorization: 'Bearer $secret(NOBODY_HAS)'}}]\n";
    let answer = cluster.rest.post_json("/tests", secret);
    let test_id = answer.json["TestId"].as_str().unwrap().to_owned();
    let refused = cluster.rest.post(&format!("/trigger/{test_id}"));
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains("NOBODY_HAS"), "{}", refused.text);
    assert_eq!(cluster.seen(), 0);
}

#[test]
fn the_client_takes_files_along() {
    let cluster = Cluster::start(2);
    let rows: Vec<String> = (0..40).map(|row| format!("u{row},secret{row}")).collect();
    let rows = format!("name,password\n{}\n", rows.join("\n"));
    fs::write(cluster.path("users.csv"), rows).unwrap();
    let document = cluster.path("login.yaml");
    let text = "data: {users: {file: users.csv, pick: unique}}\n\
        steps: [{name: login, POST: /, form: {user: $users.name, password: $users.password}}]\n\
        load: {closed: 4, sessions: $SESSIONS}\nthresholds: [error_rate < 1%]\n";
    fs::write(&document, text).unwrap();
    let output = cluster.client(&["run", document.to_str().unwrap(), "-e", "SESSIONS=40"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{shown}{words}");
    assert_eq!(cluster.seen(), 40, "{shown}{words}");
    let tests = cluster.rest.get("/tests").text;
    assert!(!tests.contains("secret7"), "{tests}");
}

#[test]
fn a_condition_of_the_document_ends_the_run_of_all_drivers() {
    let cluster = Cluster::start(2);
    let document = cluster.path("broken.yaml");
    let text = "steps: [GET /no-such-page]\nload: {open: 50/s, for: 60s}\n\
        abort: [error_rate > 50% for 2s]\n";
    fs::write(&document, text).unwrap();
    let output = cluster.client(&["--json", "run", document.to_str().unwrap()]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{words}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["state"], "aborted", "{result}");
    assert_eq!(
        result["aborted_by"], "error_rate > 50% for 2.00s",
        "{result}"
    );
    assert_eq!(int(&result["sent"]), cluster.seen(), "{result}");
    // It is over long before the minute that was planned.
    assert!(int(&result["sent"]) < 1500, "{result}");
    // Two of each driver are known, of which two are kept.
    let bad = result["bad_answers"].as_array().unwrap();
    assert_eq!(bad.len(), 2, "{bad:?}");
    let (step, why) = (&bad[0]["step"], &bad[0]["why"]);
    assert_eq!(
        (step.as_str(), why.as_str()),
        (Some("GET /no-such-page"), Some("status 404"))
    );
    let text = bad[0]["text"].as_str().unwrap();
    assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
}

#[test]
fn two_drivers_share_a_document_over_two_servers() {
    let cluster = Cluster::start(2);
    let listen = ["--listen", "127.0.0.1:0"];
    let other = Process::start(cluster.folder.path(), "testserver", "other", &listen);
    let rest = Rest::new(&cluster.rest.orchestrator, &other.address());
    let document = format!(
        "defaults: {{connections: 3}}\nload: {{closed: 6, sessions: 101}}\nsteps:\n\
         - {{name: here, GET: /}}\n\
         - {{name: there, GET: 'http://{}/ping', repeat: 2}}\n\
         - {{name: back, GET: /ping}}\n",
        rest.target
    );
    let answer = rest.post_json("/tests?start=1", &document);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let result = cluster.await_end(answer.json["TestId"].as_str().unwrap());
    let there: u64 = rest.target_text("/metric").trim().parse().unwrap();
    assert_eq!((cluster.seen(), there), (202, 202), "{result}");
    assert_whole(&result, 404, cluster.seen() + there);
    assert_eq!(int(&result["planned"]), 404, "{result}");
    let steps = result["steps"].as_array().unwrap();
    let ok: Vec<u64> = steps.iter().map(|step| int(&step["ok"])).collect();
    assert_eq!(ok, [101, 202, 101], "{result}");
    for node in result["nodes"].as_array().unwrap() {
        let servers = node["servers"].as_array().unwrap();
        assert_eq!(servers.len(), 2, "{node}");
        assert_eq!(servers[1]["addresses"][0], rest.target.as_str(), "{node}");
        assert_eq!(node["connections"]["opened"], 6, "{node}");
    }

    let elsewhere = "steps: [GET /, GET http://192.0.2.1/x]\nload: {closed: 1, sessions: 1}\n";
    let answer = rest.post_json("/tests", elsewhere);
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.text.contains("steps[1]"), "{}", answer.text);
    assert!(
        answer.text.contains("--allow-target 192.0.2.1"),
        "{}",
        answer.text
    );
}

/// Imports a log of so many requests, 2 ms apart, of which every fourth is a HEAD, as a document that
/// replays it.
fn recorded(cluster: &Cluster, name: &str, requests: u64) -> PathBuf {
    let line = |n: u64| {
        let (method, second) = (if n.is_multiple_of(4) { "HEAD" } else { "GET" }, n / 500);
        let (minute, second, part) = (second / 60, second % 60, n % 500 * 2);
        // A number that no compression can take away.
        let salt = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!(
            "{{\"time\": \"2026-03-01T12:{minute:02}:{second:02}.{part:03}Z\", \
             \"request\": \"{method} /ping?n={salt:x} HTTP/1.1\"}}\n"
        )
    };
    let log = cluster.path(&format!("{name}.log"));
    fs::write(&log, (0..requests).map(line).collect::<String>()).unwrap();
    let document = cluster.path(&format!("{name}.yaml"));
    let output = Command::new(binary("driver"))
        .args(["import", "log", "--pace", "log*2", "--target"])
        .arg(format!("http://{}/", cluster.rest.target))
        .arg("--output")
        .args([&document, &log])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{words}");
    document
}

#[test]
fn two_drivers_replay_a_log_each_request_once() {
    let cluster = Cluster::start(2);
    let client = |document: &Path| cluster.client(&["--json", "run", document.to_str().unwrap()]);
    let output = client(&recorded(&cluster, "log", 2001));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{words}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_whole(&result, 2001, cluster.seen());
    assert_eq!(result["planned"], 2001, "{result}");
    let (steps, nodes) = (&result["steps"], result["nodes"].as_array().unwrap());
    assert_eq!(
        (&steps[0]["sent"], &steps[1]["sent"]),
        (&501.into(), &1500.into()),
        "{steps}"
    );
    let mut sent: Vec<u64> = nodes.iter().map(|node| int(&node["sent"])).collect();
    sent.sort_unstable();
    assert_eq!(sent, [1000, 1001], "{nodes:?}");
    // Two seconds at twice the speed of four.
    let rate = result["sent_per_second"].as_f64().unwrap();
    assert!((600.0..1100.0).contains(&rate), "{result}");

    // One that is too long for a message goes beside its document.
    let output = client(&recorded(&cluster, "day", 60_000));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert!(words.contains("day.replay: "), "{words}");
    assert_eq!(cluster.seen(), 62_001);
}
