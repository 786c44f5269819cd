//! What the page costs: from a driver's report to the pixel, and a frame of a long run.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stage::{RUN, SOON, Stage};

/// How long news are listened to.
const TEN_S: Duration = Duration::from_secs(10);

/// Notes for every news the time between the end of the interval and the frame that shows it.
const WATCH: &str = r"
    const start = arguments[0];
    window.delays = [];
    const run = document.getElementById('run');
    new MutationObserver(() => {
        const end = start + Number(run.dataset.elapsedS) * 1000;
        requestAnimationFrame(() => window.delays.push(Date.now() - end));
    }).observe(run, { attributes: true, attributeFilter: ['data-elapsed-s'] });";

#[test]
fn a_report_is_on_the_screen_within_a_second() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let target = stage.cluster.target_url("?delay=10ms");
    let body = json!({"target": target, "connections": 4, "duration_s": 15});
    let (_, created) = stage.cluster.post("avalanche", &body);
    let id = created["TestId"].as_str().unwrap();
    stage.open(&format!("#/test/{id}"));
    let (status, triggered) = stage.cluster.post(&format!("trigger/{id}"), &json!({}));
    assert_eq!(status, 200, "{triggered}");
    let start_ms = triggered["start_at_unix_ns"].as_f64().unwrap() / 1e6;
    stage.browser.wait("the page", SOON, |browser| {
        browser.attribute(RUN, "data-state").is_some()
    });
    stage.browser.run(WATCH, json!([start_ms]));
    stage.wait_for_state("done");
    let delays = stage.browser.run("return window.delays", json!([]));
    let mut delays: Vec<f64> = delays
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    delays.sort_by(f64::total_cmp);
    assert!(delays.len() >= 10, "{delays:?}");
    let (p50, max) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    println!(
        "end of interval to frame: p50 {p50:.0} ms, max {max:.0} ms, {} news",
        delays.len()
    );
    assert!(p50 < 1000.0 && max < 2000.0, "{delays:?}");
    stage.assert_no_console_errors();
}

#[test]
fn long_runs_are_drawn_smoothly() {
    for (nodes, hours, steps) in [(8, 1, 0), (50, 8, 10)] {
        let Some(stage) = Stage::set(&["one"]) else {
            return;
        };
        stage.open_made_up(nodes, hours, steps);
        let measured = stage
            .browser
            .run_later("window.measure(10_000).then(arguments[0])");
        println!("{nodes} nodes, {hours} hours, {steps} steps, 10 s: {measured}");
        assert!(
            measured["frame_p99_ms"].as_f64().unwrap() < 100.0,
            "{measured}"
        );
        stage.assert_no_console_errors();
    }
}

/// Most bytes that come over the wire before the heading stands there; the rest comes after it.
const COLD_BYTES_MAX: f64 = 40e3;

/// What has come so far, and when the first words stood on the page, in ms after the navigation began.
const LOADED: &str = "const all = performance.getEntriesByType('resource') \
    .concat(performance.getEntriesByType('navigation')); \
    const paint = performance.getEntriesByName('first-contentful-paint')[0]; \
    return {requests: all.length, bytes: all.reduce((sum, one) => sum + one.transferSize, 0), \
        first_ms: window.headed ?? null, paint_ms: paint?.startTime ?? null}";

/// Notes when the first heading of the view stands on the page.
const HEADED: &str = "addEventListener('DOMContentLoaded', () => { \
    const look = () => { \
        if (document.querySelector('main h1')) window.headed = performance.now(); \
        else requestAnimationFrame(look); \
    }; \
    look(); \
});";

#[test]
fn a_cold_load_over_a_slow_line_shows_its_heading_soon() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    browser.devtools("Network.enable", &json!({}));
    browser.devtools("Network.setCacheDisabled", &json!({"cacheDisabled": true}));
    // 400 kbit/s either way, and 400 ms from a request to its answer.
    let line = json!({"offline": false, "latency": 400,
        "downloadThroughput": 50_000, "uploadThroughput": 50_000});
    browser.devtools("Network.emulateNetworkConditions", &line);
    browser.devtools(
        "Page.addScriptToEvaluateOnNewDocument",
        &json!({"source": HEADED}),
    );
    stage.open("#/");
    let loaded = || browser.run(LOADED, json!([]));
    browser.wait("the heading", SOON, |_| loaded()["first_ms"].is_number());
    let loaded = loaded();
    println!("cold load at 400 kbit/s and 400 ms: {loaded}");
    let bytes = loaded["bytes"].as_f64().unwrap();
    assert!(bytes > 1000.0 && bytes < COLD_BYTES_MAX, "{loaded}");
    assert!(loaded["first_ms"].as_f64().unwrap() < 2000.0, "{loaded}");
    stage.assert_no_console_errors();
}

#[test]
fn the_news_of_a_run_are_a_few_kilobytes_a_second() {
    let Some(stage) = Stage::set(&["one", "two"]) else {
        return;
    };
    let target = stage.cluster.target_url("?delay=10ms");
    let body = json!({"target": target, "connections": 4, "duration_s": 15});
    let id = stage.cluster.run("avalanche", &body);
    let heard = stage.cluster.hear(&format!("tests/{id}/stream"), TEN_S);
    let a_second = heard as f64 / TEN_S.as_secs_f64();
    println!("news of a run of 2 drivers: {a_second:.0} bytes a second");
    assert!(a_second > 100.0 && a_second < 10_000.0, "{a_second}");
}
