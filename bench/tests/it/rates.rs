//! The rate of a test that runs, changed: what the target itself counts is the truth.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::cluster::{Cluster, SOON, Signal, assert_whole, int, wait_for};

/// Requests that the target was sent by an instant of the wall clock, which has not come.
fn seen_by(cluster: &Cluster, unix_ns: u64) -> u64 {
    let until = UNIX_EPOCH + Duration::from_nanos(unix_ns);
    let left = until.duration_since(SystemTime::now());
    thread::sleep(left.expect("the instant lies ahead"));
    cluster.seen()
}

/// Waits until both drivers send.
fn await_both(cluster: &Cluster, test_id: &str) {
    wait_for(SOON, "both to report", || {
        (cluster.metrics(test_id)["coverage"]["nodes_reporting"] == 2).then_some(())
    });
}

/// Whole seconds.
fn seconds(value: &Value) -> u64 {
    Duration::from_secs_f64(value.as_f64().unwrap()).as_secs()
}

/// What was offered in each second, as the result has it.
fn offered(result: &Value) -> Vec<u64> {
    let rows = result["series"].as_array().unwrap();
    rows.iter().map(|row| int(&row["offered"])).collect()
}

/// So many requests a second before a change at second `at`, and so many after it.
fn expected(before: u64, at: u64, after: u64, seconds: u64) -> Vec<u64> {
    let of = |second: u64| if second < at { before } else { after };
    (0..seconds).map(of).collect()
}

#[test]
fn the_target_gets_another_rate_from_one_second_on_though_the_orchestrator_is_killed() {
    let mut cluster = Cluster::start(2);
    let document = "steps: [GET /]\nload: {open: 100/s, for: 12s}\n";
    let answer = cluster.rest.post_json("/tests?start=1", document);
    let test_id = answer.json["TestId"].as_str().unwrap().to_owned();
    await_both(&cluster, &test_id);
    let path = format!("/tests/{test_id}/rate");
    let answer = cluster
        .rest
        .post_json(&path, r#"{"rate": "400/s", "by": "me"}"#);
    assert_eq!(answer.status, 200, "{}", answer.text);
    cluster.restart_orchestrator();
    let (at_s, at_ns) = (
        answer.json["at_s"].as_f64().unwrap(),
        int(&answer.json["at_unix_ns"]),
    );
    assert_eq!(answer.json["of"], "all drivers together");
    let at = seconds(&answer.json["at_s"]);
    let second = 1_000_000_000;
    let seen: Vec<u64> = (0..4)
        .map(|nth| seen_by(&cluster, at_ns - second + nth * second))
        .collect();
    let a_second: Vec<u64> = seen.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (count, asked) in a_second.iter().zip([100, 400, 400]) {
        assert!(count.abs_diff(asked) <= asked / 5, "{a_second:?}");
    }
    let result = cluster.await_end(&test_id);
    let by_second = expected(100, at, 400, 12);
    let mut offered = offered(&result);
    // The last answers may come in a second of their own.
    let after = offered.split_off(12);
    assert!(after.iter().all(|count| *count == 0), "{result}");
    assert_eq!(offered, by_second, "{result}");
    let planned: u64 = by_second.iter().sum();
    assert_whole(&result, planned, cluster.seen());
    let nodes = result["nodes"].as_array().unwrap();
    let halves = nodes.iter().map(|node| int(&node["sent"]) * 2);
    assert!(halves.into_iter().all(|twice| twice == planned), "{result}");
    let changes = &result["rate_changes"];
    let row = serde_json::json!([{"at_s": at_s, "rate": 400.0, "by": "me"}]);
    assert_eq!(*changes, row, "{result}");
    let detail = cluster.rest.get(&format!("/tests/{test_id}")).json;
    assert_eq!(detail["rate_changes"], row, "{detail}");
    let over = cluster.rest.post_json(&path, r#"{"rate": 5}"#);
    assert_eq!(over.status, 409, "{}", over.text);
}

#[test]
fn a_rate_of_each_driver_changes_from_the_command_line_and_a_count_stays() {
    let cluster = Cluster::start(2);
    let test_id = cluster.run("/tsunami/1?rate=50&requests=700");
    await_both(&cluster, &test_id);
    let client = |rate: &str| {
        let output = cluster.client(&["rate", &test_id, rate]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = client("200/s");
    assert!(said.contains("200/s of each driver from second "), "{said}");
    let said = client("100");
    assert!(said.contains("100/s of each driver"), "{said}");
    let result = cluster.await_end(&test_id);
    assert_whole(&result, 1400, cluster.seen());
    let changes = result["rate_changes"].as_array().unwrap();
    let [first, second] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(first["by"], "client");
    let second_of = |change: &Value| usize::try_from(seconds(&change["at_s"])).unwrap();
    let (from, to) = (second_of(first), second_of(second));
    assert_eq!(to, from + 1);
    let offered = offered(&result);
    assert_eq!(offered[from - 1..=to], [100, 400, 200], "{offered:?}");
    let refused = cluster
        .rest
        .post_json(&format!("/tests/{test_id}/rate"), r#"{"rate": 0}"#);
    assert_eq!(refused.status, 400);
    assert!(
        refused.text.contains("0.001/s to 10000000/s"),
        "{}",
        refused.text
    );
}

#[test]
fn a_driver_that_reads_a_change_late_says_how_late_and_nothing_is_unaccounted_for() {
    let cluster = Cluster::start(2);
    let document = "steps: [GET /]\nload: {open: 40/s, for: 12s}\n";
    let answer = cluster.rest.post_json("/tests?start=1", document);
    let test_id = answer.json["TestId"].as_str().unwrap().to_owned();
    await_both(&cluster, &test_id);
    cluster.drivers[1].signal(Signal::STOP);
    let path = format!("/tests/{test_id}/rate");
    let answer = cluster.rest.post_json(&path, r#"{"rate": 80}"#);
    assert_eq!(answer.status, 200, "{}", answer.text);
    seen_by(&cluster, int(&answer.json["at_unix_ns"]) + 200_000_000);
    cluster.drivers[1].signal(Signal::CONT);
    let result = cluster.await_end(&test_id);
    let change = &result["rate_changes"][0];
    assert_eq!(change["late"][0]["node_id"], "driver-2", "{change}");
    assert_eq!(change["late"][0]["late_s"], 1.0, "{change}");
    let (at, late) = (seconds(&answer.json["at_s"]), 1);
    let each = |join: u64| 20 * join + 40 * (12 - join);
    assert_whole(&result, each(at) + each(at + late), cluster.seen());
    let reasons = result["verdict"]["reasons"].to_string();
    assert!(
        reasons.contains("driver-2: it read the change of the rate"),
        "{reasons}"
    );
}
