//! A search for a capacity under the eyes of the page.

use std::time::Duration;

use serde_json::json;

use crate::stage::{SOON, Stage};

const SEARCH: &str = "#search";
/// A dozen runs of a second, one after the other.
const LONG: Duration = Duration::from_secs(150);

#[test]
fn a_curve_grows_with_each_step_and_a_table_says_the_same() {
    let Some(stage) = Stage::set(&["one", "two"]) else {
        return;
    };
    let browser = &stage.browser;
    let document = json!({
        "name": "known",
        "steps": [format!("GET {}", stage.cluster.target_url("?queue=2ms"))],
        "target": stage.cluster.target_url(""),
        "defaults": {"connections": 200},
        "load": [
            {"open": "200/s", "for": "300ms", "warmup": true},
            {"open": "200/s", "for": "1s"},
        ],
        "thresholds": ["p90 < 40ms"],
    });
    let (status, begun) = stage.cluster.post("capacity?precision=50%25", &document);
    assert_eq!(status, 200, "{begun}");
    let id = begun["TestId"].as_str().unwrap();
    stage.open("#/capacity");
    let link = format!("a[href='#/capacity/{id}']");
    browser.wait("the list", SOON, |browser| browser.text(&link) == "known");
    browser.click(&link);
    let mut grown = Vec::new();
    browser.wait("the end", LONG, |browser| {
        let Some(steps) = browser.attribute(SEARCH, "data-steps") else {
            return false;
        };
        if grown.last() != Some(&steps) {
            grown.push(steps);
        }
        browser.attribute(SEARCH, "data-state").as_deref() == Some("done")
    });
    assert!(grown.len() >= 4, "step by step: {grown:?}");
    let search = stage.cluster.get(&format!("capacity/{id}")).unwrap();
    let capacity = &search["capacity"];
    for (attribute, end) in [("data-at-least", "at_least"), ("data-below", "below")] {
        let shown = browser.number(SEARCH, attribute);
        assert_eq!(json!(shown), capacity[end], "{search}");
    }
    let steps = search["steps"].as_array().unwrap();
    let marks = |style: &str| {
        let path = browser.attribute(&format!("{SEARCH} svg .line.{style}"), "d");
        path.unwrap_or_default().matches('M').count()
    };
    let judged = |wanted: &str| {
        let of = |step: &&serde_json::Value| step["again"] != true && step["judged"] == wanted;
        steps.iter().filter(of).count()
    };
    browser.wait("the marks", SOON, |_| marks("c-green") == judged("holds"));
    assert_eq!(marks("c-red"), judged("breached"), "{search}");
    let visible = browser.attribute(&format!("{SEARCH} svg .span"), "visibility");
    assert_eq!(
        visible.as_deref(),
        Some("visible"),
        "the interval of the answer"
    );
    // The chart is not all there is: a table has the same in words, and links to the runs.
    for step in steps.iter().filter(|step| step["again"] != true) {
        let rate = step["rate"].as_f64().unwrap();
        let row = format!("{SEARCH} tr[data-rate='{rate}']");
        let shown = browser.attribute(&row, "data-judged");
        assert_eq!(shown.as_deref(), step["judged"].as_str(), "{row}");
    }
    assert!(
        browser
            .text(".answer")
            .contains("requests/s with p90 < 40ms")
    );
    let run = format!("{SEARCH} td a[href='#/test/{id}-1']");
    assert_eq!(browser.text(&run), "1");
    stage.assert_no_console_errors();
}

#[test]
fn stop_ends_a_search_and_an_unknown_one_is_told() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let document = json!({
        "target": stage.cluster.target_url("?delay=5ms"),
        "load": {"open": "50/s", "for": "60s"},
        "thresholds": ["p99 < 5s"],
    });
    let (_, begun) = stage.cluster.post("capacity", &document);
    let id = begun["TestId"].as_str().unwrap();
    stage.open(&format!("#/capacity/{id}"));
    let browser = &stage.browser;
    let state = || browser.attribute(SEARCH, "data-state").unwrap_or_default();
    browser.wait("the search", SOON, |_| state() == "running");
    assert!(browser.text(".note").contains("Offers 50.0 requests/s"));
    browser.click("[data-command=stop]");
    browser.wait("its end", SOON, |_| state() == "aborted");
    stage.open("#/capacity/nobody");
    browser.wait("the refusal", SOON, |browser| {
        browser.text(".problem").contains("there is no search")
    });
}
