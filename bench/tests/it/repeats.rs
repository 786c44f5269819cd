//! Sets of runs of one document on two drivers: what the target saw of them is the truth.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::process::Process;
use crate::cluster::{Cluster, SOON, Signal, int, wait_for};

/// Longest wait for a set of a few runs of a second.
const SET: Duration = Duration::from_secs(120);

/// Requests of a run, of both drivers together.
const PLANNED: u64 = 400;

/// Runs of about a second, on 8 connections of both drivers together: a closed loop, which sends all
/// that is planned however busy the machine is.
fn document(times: u32, rest: &str) -> String {
    format!(
        "name: same\nrepeat: {times}\nrest: {rest}\nsteps: ['GET /?delay=20ms']\n\
         defaults: {{connections: 4}}\nload: {{closed: 8, sessions: {PLANNED}}}\n\
         thresholds: [p99 < 5s]\n"
    )
}

fn begin(cluster: &Cluster, document: &str) -> String {
    let answer = cluster.rest.post_json("/tests?start=1", document);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.json["repeat"].is_u64(), "{}", answer.text);
    answer.json["TestId"].as_str().unwrap().to_owned()
}

fn set(cluster: &Cluster, id: &str) -> Value {
    cluster.rest.get(&format!("/repeats/{id}")).json
}

fn await_end(cluster: &Cluster, id: &str) -> Value {
    wait_for(SET, "the set to end", || {
        let set = set(cluster, id);
        (set["state"].is_string() && set["state"] != "running").then_some(set)
    })
}

fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name]
        .as_array()
        .unwrap_or_else(|| panic!("{name} of {value}"))
}

/// Connections that the target has taken so far.
fn connections(cluster: &Cluster) -> u64 {
    let told = cluster.rest.target_text("/metrics");
    let mut lines = told.lines();
    let total = lines.find_map(|line| line.strip_prefix("testserver_connections_total "));
    total.unwrap().trim().parse().unwrap()
}

#[test]
fn a_document_with_repeat_is_so_many_tests_on_fresh_connections_with_a_rest_between() {
    let cluster = Cluster::start(2);
    let before = connections(&cluster);
    let id = begin(&cluster, &document(3, "1500ms"));
    // It grows while it goes on.
    let some = wait_for(SET, "the first run's row", || {
        let set = set(&cluster, &id);
        (!list(&set, "runs").is_empty()).then_some(set)
    });
    assert_eq!(some["state"], "running", "{some}");
    assert_eq!(some["spread"][0]["runs"], 1, "{some}");
    let set = await_end(&cluster, &id);
    assert_eq!(
        (&set["state"], &set["standing"]),
        (&"done".into(), &"good".into()),
        "{set}"
    );
    assert_eq!(cluster.seen(), 3 * PLANNED, "{set}");
    assert!(connections(&cluster) - before >= 24, "eight for each run");
    let mut ended_ms = None;
    for (place, run) in list(&set, "runs").iter().enumerate() {
        let test_id = format!("{id}-{}", place + 1);
        assert_eq!(run["test_id"], test_id.as_str(), "{set}");
        assert_eq!(run["counted"], true, "{set}");
        let result = cluster.metrics(&test_id);
        assert_eq!(
            (&result["ok"], &result["planned"]),
            (&PLANNED.into(), &PLANNED.into())
        );
        assert_eq!(run["p99_latency"], result["metrics"]["p99_latency"]);
        let test = cluster.rest.get(&format!("/tests/{test_id}")).json;
        assert_eq!(test["name"], "same", "{test}");
        assert_eq!(test["tags"]["repeat"], id.as_str(), "{test}");
        if let Some(ended_ms) = ended_ms {
            assert!(int(&test["started_unix_ms"]) >= ended_ms + 1500, "{test}");
        }
        ended_ms = Some(int(&test["ended_unix_ms"]));
    }
    let spread = list(&set, "spread");
    assert!(spread.iter().all(|one| one["runs"] == 3), "{set}");
    // Lists find the runs, a comparison takes them as a set, and the set is listed.
    let found = cluster.rest.get(&format!("/tests?search=repeat={id}"));
    assert_eq!(found.json.as_array().unwrap().len(), 3, "{}", found.text);
    let compared = cluster
        .rest
        .get(&format!("/compare?base={id}-1&test=tag:repeat%3D{id}"));
    assert_eq!(compared.status, 200, "{}", compared.text);
    assert_eq!(
        list(&compared.json, "test_runs").len(),
        3,
        "{}",
        compared.text
    );
    let listed = cluster.rest.get("/repeats").json;
    assert_eq!(listed[0]["test_id"], id.as_str(), "{listed}");
    assert_eq!(listed[0]["runs_done"], 3, "{listed}");
    // It is no test, and is forgotten without its runs.
    assert_eq!(cluster.rest.get(&format!("/tests/{id}")).status, 404);
    let path = format!("/repeats/{id}");
    assert_eq!(cluster.rest.call("DELETE", &path).status, 200);
    assert_eq!(cluster.rest.get(&path).status, 404);
    assert_eq!(cluster.metrics(&format!("{id}-1"))["ok"], PLANNED);
    // What is asked for has to begin.
    let refused = cluster.rest.post_json("/tests", &document(3, "1s"));
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("start=1"), "{}", refused.text);
}

#[test]
fn an_orchestrator_killed_in_mid_set_goes_on_with_it() {
    let mut cluster = Cluster::start(2);
    let id = begin(&cluster, &document(4, "300ms"));
    for runs in [0, 1, 2] {
        wait_for(SET, "the next runs", || {
            let set = set(&cluster, &id);
            (set["runs"].as_array()?.len() >= runs).then_some(())
        });
        // At no instant of its choice: in a run, between two, while one gets ready.
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..2_000_000)));
        let before = set(&cluster, &id);
        cluster.restart_orchestrator();
        cluster.await_broker();
        let after = set(&cluster, &id);
        let kept = list(&before, "runs");
        assert_eq!(
            &list(&after, "runs")[..kept.len()],
            &kept[..],
            "nothing is lost"
        );
    }
    let set = await_end(&cluster, &id);
    assert_eq!(set["state"], "done", "{set}");
    let runs = list(&set, "runs");
    let expected: Vec<String> = (1..=4).map(|run| format!("{id}-{run}")).collect();
    let ids: Vec<&str> = runs
        .iter()
        .filter_map(|run| run["test_id"].as_str())
        .collect();
    assert_eq!(ids, expected, "no run is made twice: {set}");
    assert_eq!(cluster.seen(), 4 * PLANNED, "{set}");
}

#[test]
fn a_stopped_set_stops_its_run() {
    let cluster = Cluster::start(2);
    let id = begin(
        &cluster,
        "repeat: 3\nsteps: [GET /]\nload: {open: 50/s, for: 60s}\n",
    );
    let run = format!("{id}-1");
    cluster.await_load(&run);
    let path = format!("/repeats/{id}");
    let refused = cluster.rest.call("DELETE", &path);
    assert_eq!(refused.status, 409, "{}", refused.text);
    let busy = cluster.rest.post_json("/tests?start=1", &document(2, "1s"));
    assert_eq!(busy.status, 409, "{}", busy.text);
    assert_eq!(busy.json["running_test_id"], run.as_str(), "{}", busy.text);
    let stopped = cluster.rest.post(&format!("/stop/{id}"));
    assert_eq!(stopped.status, 200, "{}", stopped.text);
    let set = wait_for(SOON, "the set to end", || {
        let set = set(&cluster, &id);
        (set["state"] == "aborted").then_some(set)
    });
    assert_eq!(set["reason"], "stopped", "{set}");
    assert_eq!(set["standing"], "interrupted", "{set}");
    assert_eq!(set["runs"][0]["standing"], "interrupted", "{set}");
    let result = cluster.await_end(&run);
    assert_eq!(result["state"], "aborted");
    assert_eq!(int(&result["sent"]), cluster.seen(), "{result}");
    assert_eq!(cluster.rest.post(&format!("/stop/{id}")).status, 409);
    let tests = cluster.rest.get("/tests").json;
    assert_eq!(tests.as_array().unwrap().len(), 1, "no other was made");
}

#[test]
fn ctrl_c_stops_the_set_and_its_run() {
    let cluster = Cluster::start(2);
    let file = cluster.path("long.yaml");
    let text = "repeat: 3\nsteps: [GET /]\nload: {open: 50/s, for: 60s}\n";
    fs::write(&file, text).unwrap();
    let arguments = [
        "--orchestrator",
        &cluster.rest.orchestrator,
        "run",
        file.to_str().unwrap(),
    ];
    let mut client = Process::start(&cluster.path(""), "client", "client", &arguments);
    let id = wait_for(SOON, "the set", || {
        let sets = cluster.rest.get("/repeats").json;
        sets[0]["test_id"].as_str().map(str::to_owned)
    });
    cluster.await_load(&format!("{id}-1"));
    let arguments = ["--orchestrator", &cluster.rest.orchestrator, "watch", &id];
    let mut watch = Process::start(&cluster.path(""), "client", "watch", &arguments);
    wait_for(SOON, "its run to be shown", || {
        let told = watch.errors() + &watch.output();
        told.contains(&format!("test {id}-1: ")).then_some(())
    });
    watch.signal(Signal::INT);
    assert_eq!(watch.await_end(), Some(130), "{}", watch.errors());
    let left = set(&cluster, &id);
    assert_eq!(left["state"], "running", "who only watched stops nothing");
    client.signal(Signal::INT);
    assert_eq!(client.await_end(), Some(130), "{}", client.errors());
    let set = set(&cluster, &id);
    assert_eq!(set["state"], "aborted", "{set}");
    assert_eq!(list(&set, "runs").len(), 1, "{set}");
    assert!(client.output().contains("0 of 3 runs counted"), "{set}");
}

#[test]
fn the_client_follows_a_set_with_a_row_a_run_and_exits_by_the_worst() {
    let cluster = Cluster::start(2);
    let file = cluster.path("same.yaml");
    let name = file.to_str().unwrap();
    fs::write(&file, document(2, "100ms")).unwrap();
    let output = cluster.client(&["run", name]);
    let told = String::from_utf8(output.stderr).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}{told}");
    let id = told.split_whitespace().nth(1).unwrap();
    let id = id.trim_end_matches(':');
    for run in ["-1", "-2"] {
        let row = format!("  {id}{run}");
        assert!(text.lines().any(|line| line.ends_with(&row)), "{text}");
    }
    assert!(
        text.contains("2 of 2 runs counted, 0.1 s of rest"),
        "{text}"
    );
    assert!(text.contains(&format!("tag:repeat={id}\n")), "{text}");
    assert_eq!(cluster.seen(), 2 * PLANNED, "{text}");
    let watched = cluster.client(&["watch", id]);
    assert_eq!(String::from_utf8(watched.stdout).unwrap(), text);
    assert_eq!(watched.status.code(), Some(0), "as for who began it");
    let test = cluster.rest.get(&format!("/tests/{id}-2")).json;
    assert_eq!(test["command"][3], "run", "{test}");
    // What the command line says goes before the document; a threshold that no run keeps decides.
    fs::write(&file, document(5, "1s").replace("p99 < 5s", "p99 < 1us")).unwrap();
    let arguments = [
        "run", name, "--repeat", "3", "--rest", "0", "--name", "tight", "--json",
    ];
    let output = cluster.client(&arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{told}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&answer["asked"], &answer["rest_s"]),
        (&3.into(), &0.0.into())
    );
    assert_eq!(list(&answer, "results").len(), 3, "{answer}");
    for run in list(&answer, "runs") {
        assert_eq!(run["standing"], "breached", "{answer}");
        let test_id = run["test_id"].as_str().unwrap();
        let test = cluster.rest.get(&format!("/tests/{test_id}")).json;
        assert_eq!(test["name"], "tight", "{test}");
    }
    assert_eq!(cluster.seen(), 5 * PLANNED, "and three more");
}
