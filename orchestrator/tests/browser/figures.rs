//! What the page costs: from a driver's report to the pixel, and a frame of a long run.

use serde_json::{Value, json};

use crate::stage::{RUN, SOON, Stage};

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
fn an_hour_of_eight_nodes_is_drawn_smoothly() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    stage.open_an_hour();
    let measured = stage
        .browser
        .run_later("window.measure(10_000).then(arguments[0])");
    println!("8 nodes, 1 hour, 10 s: {measured}");
    assert!(
        measured["frame_p99_ms"].as_f64().unwrap() < 100.0,
        "{measured}"
    );
    stage.assert_no_console_errors();
}
