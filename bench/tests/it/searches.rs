//! Searches for a capacity on two drivers, against targets whose capacity is known, from another rate
//! each time: `make soak` repeats them.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, SOON, int, wait_for};

/// Longest wait for a search: a dozen runs of a second and some, one after the other.
const SEARCH: Duration = Duration::from_secs(180);
/// Most rates that a search takes within a factor of ten of the capacity.
const RATES_MAX: usize = 12;

/// A document of one request, which begins at a rate.
fn document(path: &str, rate: f64, threshold: &str) -> String {
    format!(
        "name: known\nsteps: [\"GET {path}\"]\ndefaults: {{connections: 200}}\n\
         load: [{{open: {rate}/s, for: 300ms, warmup: true}}, {{open: {rate}/s, for: 1s}}]\n\
         thresholds: [{threshold}]\n"
    )
}

fn seek(cluster: &Cluster, path: &str, document: &str) -> String {
    let answer = cluster.rest.post_json(path, document);
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json["TestId"].as_str().unwrap().to_owned()
}

fn search(cluster: &Cluster, id: &str) -> Value {
    cluster.rest.get(&format!("/capacity/{id}")).json
}

fn await_end(cluster: &Cluster, id: &str) -> Value {
    wait_for(SEARCH, "the search to end", || {
        let search = search(cluster, id);
        (search["state"].is_string() && search["state"] != "running").then_some(search)
    })
}

fn ends(search: &Value) -> (f64, f64) {
    let end = |name: &str| search["capacity"][name].as_f64().unwrap();
    (end("at_least"), end("below"))
}

/// Searches again, at most twice, where the answer is too low or has no upper end and a driver stood
/// still in a step that broke a threshold: what it owed left it at once then, which is more than the
/// rate, and says nothing about the target.
fn undisturbed(
    cluster: &Cluster,
    truth: f64,
    mut seek: impl FnMut() -> String,
) -> (Value, Instant) {
    let is_disturbed = |step: &Value| {
        let reasons = step["verdict"]["reasons"].to_string();
        step["judged"] != "holds" && reasons.contains("stood still")
    };
    for _ in 0..2 {
        let began = Instant::now();
        let search = await_end(cluster, &seek());
        let mut steps = search["steps"].as_array().unwrap().iter();
        let is_found = !search["capacity"]["below"].is_null() && ends(&search).0 > truth * 0.95;
        if is_found || !steps.any(is_disturbed) {
            return (search, began);
        }
        eprintln!("a driver stood still: searching again");
    }
    let began = Instant::now();
    (await_end(cluster, &seek()), began)
}

/// Whether a search found the truth within 5 %, in few steps, and told so in the runs' own results.
fn assert_found(cluster: &Cluster, search: &Value, truth: f64, began: Instant) {
    assert_eq!(search["state"], "done", "{search}");
    let (low, high) = ends(search);
    let steps = search["steps"].as_array().unwrap();
    let (rates, runs) = (steps.len() - 1, steps.iter().map(|step| int(&step["runs"])));
    let runs: u64 = runs.sum();
    eprintln!(
        "capacity of {truth}/s: {low} to {high} in {rates} rates, {runs} runs, {:.0} s",
        began.elapsed().as_secs_f64()
    );
    assert!(
        low > truth * 0.95 && low < truth * 1.05,
        "{low} to {high}: {search}"
    );
    assert!(
        high > truth && high <= low * 1.051,
        "{low} to {high}: {search}"
    );
    assert!(rates <= RATES_MAX, "{rates} rates: {search}");
    assert_eq!(search["collapsed"], false, "{search}");
    for step in steps {
        let last = step["tests"].as_array().unwrap().last().unwrap();
        let result = cluster.metrics(last.as_str().unwrap());
        assert_eq!(
            result["metrics"]["p90_latency"],
            step["response"]["p90_latency"]
        );
        assert_eq!(result["nodes"].as_array().unwrap().len(), 2, "{result}");
    }
}

#[test]
fn a_queue_is_found_from_below_by_two_drivers() {
    let cluster = Cluster::start(2);
    // One server that needs 2 ms for each: 500 a second, of both drivers together.
    let from = f64::from(fastrand::u32(150..400));
    let text = document("/?queue=2ms", from, "p90 < 40ms");
    let (search, began) = undisturbed(&cluster, 500.0, || seek(&cluster, "/capacity", &text));
    let id = search["test_id"].as_str().unwrap();
    assert_found(&cluster, &search, 500.0, began);
    assert_eq!(search["steps"][0]["rate"], from, "{search}");
    let rows = cluster.rest.get(&format!("/tests?search=capacity={id}"));
    let runs = rows.json.as_array().unwrap().len();
    assert!(runs > 5, "its {runs} runs are found by it");
}

#[test]
fn a_bucket_is_found_from_above_and_the_client_prints_each_step() {
    let cluster = Cluster::start(2);
    let file = cluster.path("bucket.yaml");
    let name = file.to_str().unwrap();
    let from = fastrand::u32(2000..4000).to_string();
    let text = document("/?bucket=1000:20", 50.0, "error_rate < 1%");
    fs::write(&file, text).unwrap();
    let mut text = String::new();
    let (search, began) = undisturbed(&cluster, 1000.0, || {
        let output = cluster.client(&["capacity", name, "--from", &from]);
        let told = String::from_utf8(output.stderr).unwrap();
        text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}{told}");
        let id = told.split_whitespace().nth(1).unwrap();
        id.trim_end_matches(':').to_owned()
    });
    assert_found(&cluster, &search, 1000.0, began);
    let lines: Vec<&str> = text.lines().collect();
    let steps = search["steps"].as_array().unwrap().len();
    assert_eq!(lines.len(), steps + 1, "{text}");
    let first = lines[0].trim_start();
    assert!(first.starts_with(&format!("{from}/s  breached")), "{text}");
    let last = lines[lines.len() - 1];
    assert!(last.starts_with("capacity: "), "{last}");
    assert!(last.ends_with("with error_rate < 1%"), "{last}");
    let watched = cluster.client(&["watch", search["test_id"].as_str().unwrap()]);
    assert_eq!(String::from_utf8(watched.stdout).unwrap(), text);
    // What cannot be searched is told with its place and the remedy, before anything is sent.
    fs::write(&file, "steps: [GET /]\nload: {closed: 5, for: 1s}\n").unwrap();
    let output = cluster.client(&["capacity", name]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("bucket.yaml:2:7: load: ") && told.contains("{open: 100/s, for: 5s}"),
        "{told}"
    );
    let refused = cluster
        .rest
        .post_json("/capacity?to=x", &document("/", 5.0, "p99 < 1s"));
    assert_eq!(refused.status, 400, "{}", refused.text);
}

#[test]
fn an_orchestrator_killed_in_mid_search_goes_on_with_it() {
    let mut cluster = Cluster::start(2);
    let text = document("/?queue=2ms", 200.0, "p90 < 40ms");
    let id = seek(&cluster, "/capacity?precision=30%25", &text);
    for steps in [0, 1, 3] {
        wait_for(SEARCH, "the next steps", || {
            let search = search(&cluster, &id);
            (search["steps"].as_array()?.len() >= steps).then_some(())
        });
        // At no instant of its choice: in a run, between two, while one gets ready.
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..3_000_000)));
        let before = search(&cluster, &id);
        cluster.restart_orchestrator();
        cluster.await_broker();
        let after = search(&cluster, &id);
        let kept = before["steps"].as_array().unwrap();
        let steps = after["steps"].as_array().unwrap();
        assert_eq!(&steps[..kept.len()], &kept[..], "nothing is lost");
    }
    let search = await_end(&cluster, &id);
    assert_eq!(search["state"], "done", "{search}");
    let (low, high) = ends(&search);
    assert!(
        low < 525.0 && high > 475.0 && high <= low * 1.31,
        "{low} to {high}: {search}"
    );
    let steps = search["steps"].as_array().unwrap();
    let runs = steps
        .iter()
        .flat_map(|step| step["tests"].as_array().unwrap());
    let mut runs: Vec<&str> = runs.map(|run| run.as_str().unwrap()).collect();
    let all = runs.len();
    runs.sort_unstable();
    runs.dedup();
    assert_eq!(runs.len(), all, "no run counts twice: {search}");
    assert_eq!(
        cluster
            .rest
            .call("DELETE", &format!("/capacity/{id}"))
            .status,
        200
    );
    assert_eq!(cluster.rest.get(&format!("/capacity/{id}")).status, 404);
}

#[test]
fn a_stopped_search_stops_its_run() {
    let cluster = Cluster::start(2);
    let text = "steps: [GET /?delay=5ms]\nload: {open: 50/s, for: 60s}\nthresholds: [p99 < 5s]\n";
    let id = seek(&cluster, "/capacity", text);
    let run = format!("{id}-1");
    cluster.await_load(&run);
    let refused = cluster.rest.call("DELETE", &format!("/capacity/{id}"));
    assert_eq!(refused.status, 409, "{}", refused.text);
    let stopped = cluster.rest.post(&format!("/stop/{id}"));
    assert_eq!(stopped.status, 200, "{}", stopped.text);
    let search = wait_for(SOON, "the search to end", || {
        let search = search(&cluster, &id);
        (search["state"] == "aborted").then_some(search)
    });
    assert_eq!(search["reason"], "stopped", "{search}");
    assert_eq!(cluster.await_end(&run)["state"], "aborted");
    assert_eq!(cluster.rest.post(&format!("/stop/{id}")).status, 409);
    let open = cluster.rest.get("/healthz").json["active_tests"].clone();
    assert_eq!(open.as_array().map(Vec::len), Some(0), "nothing runs on");
    let listed = cluster.rest.get("/capacity").json;
    assert_eq!(listed[0]["test_id"], id.as_str(), "{listed}");
}
