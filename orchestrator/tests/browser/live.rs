//! A run under the eyes of the page.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::stage::{RUN, SOON, Stage};

/// How long a loaded machine may take for what is soon on others.
const PATIENCE: Duration = Duration::from_secs(30);

/// An avalanche that lasts: each of 4 connections waits 10 ms for its answer.
fn calm(stage: &Stage, seconds: u32) -> serde_json::Value {
    let target = stage.cluster.target_url("?delay=10ms");
    json!({"target": target, "connections": 4, "duration_s": seconds})
}

#[test]
fn an_avalanche_started_in_the_page_moves_each_second_and_agrees_with_the_api() {
    let Some(stage) = Stage::set(&["one", "two"]) else {
        return;
    };
    let browser = &stage.browser;
    stage.open("#/new");
    browser.type_into("#field-connections", "4");
    browser.type_into("#field-duration_s", "6");
    browser.type_into("#field-target", &stage.cluster.target_url("?delay=10ms"));
    browser.click("button[value=start]");
    stage.wait_for_state("running");
    let mut seen = Vec::new();
    browser.wait("the end", SOON, |browser| {
        let sent = browser.number(RUN, "data-sent");
        if seen.last() != Some(&sent) {
            seen.push(sent);
        }
        stage.state() == "done"
    });
    assert!(
        seen.len() >= 5,
        "news of fewer than 5 of 6 seconds: {seen:?}"
    );
    assert!(seen.is_sorted(), "{seen:?}");
    let id = browser.attribute(RUN, "data-test-id").unwrap();
    let result = stage.cluster.get(&format!("metrics/{id}")).unwrap();
    for (attribute, field) in [
        ("data-ok", "ok"),
        ("data-sent", "sent"),
        ("data-planned", "planned"),
    ] {
        assert_eq!(
            browser.attribute(RUN, attribute).unwrap(),
            result[field].to_string(),
            "{field}"
        );
    }
    let p99 = result["metrics"]["p99_latency"].as_f64().unwrap();
    assert!((browser.number(RUN, "data-p99-ms") - p99).abs() < 1e-9);
    for node in result["nodes"].as_array().unwrap() {
        let row = format!("tr[data-node-id={}]", node["node_id"]);
        assert_eq!(
            browser.attribute(&row, "data-ok").unwrap(),
            node["ok"].to_string(),
            "{row}"
        );
    }
    assert_eq!(
        browser
            .number("[data-progress]", "data-progress")
            .to_string(),
        "1"
    );
    assert!(browser.text("[data-status='200']").contains("100.00"));
    stage.assert_no_console_errors();
}

#[test]
fn a_rate_is_changed_in_the_page_and_its_charts_show_when() {
    let Some(stage) = Stage::set(&["one", "two"]) else {
        return;
    };
    let browser = &stage.browser;
    let load = json!({"rate": 20, "duration_s": 60});
    let id = stage.cluster.run("avalanche", &load);
    stage.open(&format!("#/test/{id}"));
    stage.wait_for_state("running");
    browser.type_into("form.rate input", "90/s");
    browser.click("form.rate button");
    browser.wait("the change", SOON, |browser| {
        browser
            .text("header.head .note")
            .contains("at 90/s (page).")
    });
    browser.wait("its line in the charts", PATIENCE, |browser| {
        let lines = "return document.querySelectorAll('svg.chart .change').length";
        browser.run(lines, json!([])) == 4
    });
    let detail = stage.cluster.get(&format!("tests/{id}")).unwrap();
    assert_eq!(detail["rate_changes"][0]["rate"], 90.0, "{detail}");
    browser.type_into("form.rate input", "0");
    browser.click("form.rate button");
    browser.wait("the refusal", SOON, |browser| {
        browser
            .text("header.head .problem")
            .contains("as good as a pause")
    });
    browser.click("[data-command=stop]");
    stage.wait_for_state("aborted");
    assert!(!browser.text("header.head").contains("Change rate"));
}

#[test]
fn stop_ends_a_run_and_the_page_says_so() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let id = stage.cluster.run("avalanche", &calm(&stage, 60));
    stage.open(&format!("#/test/{id}"));
    stage.browser.wait("news", SOON, |browser| {
        browser.number(RUN, "data-sent") > 0.0
    });
    stage.browser.click("[data-command=stop]");
    stage.wait_for_state("aborted");
    let result = stage.cluster.get(&format!("metrics/{id}")).unwrap();
    assert_eq!(
        stage.browser.attribute(RUN, "data-aborted").unwrap(),
        result["aborted"].to_string()
    );
    let hidden = stage.browser.run(
        "return document.querySelector('[data-command=stop]').hidden",
        json!([]),
    );
    assert_eq!(hidden, true, "what has ended cannot be stopped");
    stage.assert_no_console_errors();
}

#[test]
fn a_reload_in_mid_run_shows_the_whole_run() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let id = stage.cluster.run("avalanche", &calm(&stage, 60));
    stage.open(&format!("#/test/{id}"));
    let sent = |stage: &Stage| stage.browser.number(RUN, "data-sent");
    stage.browser.wait("3 seconds", SOON, |browser| {
        browser.number(RUN, "data-elapsed-s") >= 3.0
    });
    let before = sent(&stage);
    stage.browser.run("location.reload()", json!([]));
    stage.browser.wait("news", SOON, |_| sent(&stage) > before);
    let line = stage
        .browser
        .attribute("svg.chart .line.c-blue", "d")
        .unwrap();
    assert!(
        line.matches('L').count() >= 2,
        "the line begins at the start of the run: {line}"
    );
    stage.assert_no_console_errors();
}

#[test]
fn a_lost_node_is_seen_and_the_run_ends_partial() {
    let Some(mut stage) = Stage::set(&["one", "two"]) else {
        return;
    };
    let id = stage.cluster.run("avalanche", &calm(&stage, 15));
    stage.open(&format!("#/test/{id}"));
    let row = "tr[data-node-id=two]";
    stage.browser.wait("both nodes", SOON, |browser| {
        browser.number(row, "data-sent") > 0.0
    });
    // Read at one moment: the next state may come between two questions.
    let script = "const row = document.querySelector(arguments[0]); \
        return [row.dataset.state, row.dataset.rate ?? null, \
            document.querySelector('[data-tile=throughput]').textContent]";
    stage.cluster.kill_driver("two");
    let mut states: Vec<String> = Vec::new();
    stage
        .browser
        .wait("the driver to be down", PATIENCE, |browser| {
            let shown = browser.run(script, json!([row]));
            let state = shown[0].as_str().unwrap();
            if state == "silent" {
                assert!(shown[1].is_null(), "a rate of who is silent: {shown}");
                let tile = shown[2].as_str().unwrap();
                assert!(tile.contains("by 1 of 2 drivers"), "{shown}");
            }
            if states.last().is_none_or(|last| last != state) {
                states.push(state.to_owned());
            }
            state == "down"
        });
    let at = |state: &str| states.iter().position(|seen| seen == state);
    // On a loaded machine who lives may be silent for a moment too: the order is what counts.
    let order = [at("silent"), at("suspect"), at("down")];
    assert!(
        order.iter().all(Option::is_some) && order.is_sorted(),
        "{states:?}"
    );
    stage.wait_for_state("partial");
    assert!(
        stage.browser.number(row, "data-sent") > 0.0,
        "what it had reported stays"
    );
    assert!(
        stage.browser.text(".verdict").contains("two: lost"),
        "{}",
        stage.browser.text(".verdict")
    );
    stage.assert_no_console_errors();
}

#[test]
fn a_page_that_is_looked_at_asks_less_than_once_a_second() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let id = stage.cluster.run("avalanche", &calm(&stage, 60));
    stage.open(&format!("#/test/{id}"));
    let elapsed_s = |stage: &Stage| stage.browser.number(RUN, "data-elapsed-s");
    stage
        .browser
        .wait("news", SOON, |_| elapsed_s(&stage) >= 1.0);
    stage
        .browser
        .run("performance.clearResourceTimings()", json!([]));
    let (begin, first_s) = (Instant::now(), elapsed_s(&stage));
    let mut seen = Vec::new();
    stage.browser.wait("10 seconds", PATIENCE, |_| {
        let now_s = elapsed_s(&stage);
        if seen.last() != Some(&now_s) {
            seen.push(now_s);
        }
        now_s >= first_s + 10.0
    });
    let script = "return performance.getEntriesByType('resource').length";
    let requests = stage.browser.run(script, json!([])).as_f64().unwrap();
    let a_second = requests / begin.elapsed().as_secs_f64();
    assert!(a_second <= 1.0, "{a_second} requests a second");
    // A loaded machine may tell several seconds at once; polling without a stream could not.
    assert!(seen.len() >= 4, "news of too few of 10 seconds: {seen:?}");
    stage.assert_no_console_errors();
}

#[test]
fn the_page_recovers_from_a_restart_of_the_orchestrator_by_itself() {
    let Some(mut stage) = Stage::set(&["one"]) else {
        return;
    };
    let id = stage.cluster.run("avalanche", &calm(&stage, 60));
    stage.open(&format!("#/test/{id}"));
    stage.browser.wait("news", SOON, |browser| {
        browser.number(RUN, "data-sent") > 0.0
    });
    stage.cluster.kill_orchestrator();
    let outage = |stage: &Stage| stage.browser.text("#outage");
    stage.browser.wait("the outage", SOON, |_| {
        outage(&stage).contains("has not answered")
    });
    let before = stage.browser.number(RUN, "data-sent");
    assert!(before > 0.0, "what was known stays");
    stage.cluster.start_orchestrator();
    stage.browser.wait("news", SOON, |browser| {
        browser.number(RUN, "data-sent") > before
    });
    assert_eq!(outage(&stage), "");
    stage.assert_no_console_errors();
}
