//! A set of runs under the eyes of the page.

use std::time::Duration;

use serde_json::json;

use crate::stage::{SOON, Stage};

const SET: &str = "#set";
/// Some runs of a second, one after the other.
const LONG: Duration = Duration::from_secs(90);

#[test]
fn a_set_is_reached_from_its_runs_and_grows_a_row_a_run() {
    let Some(stage) = Stage::set(&["one", "two"]) else {
        return;
    };
    let browser = &stage.browser;
    let document = json!({
        "name": "same",
        "repeat": 2,
        "rest": "500ms",
        "target": stage.cluster.target_url("?delay=20ms"),
        "load": {"closed": 8, "sessions": 400},
    });
    let (status, begun) = stage.cluster.post("tests?start=1", &document);
    assert_eq!(status, 200, "{begun}");
    let id = begun["TestId"].as_str().unwrap();
    stage.open("#/tests");
    let link = format!("a[href='#/repeats/{id}']");
    let tag = format!("repeat={id}");
    browser.wait("a run in the list", SOON, |browser| {
        browser.text(&link) == tag
    });
    browser.click(&link);
    browser.wait("the end", LONG, |browser| {
        browser.attribute(SET, "data-state").as_deref() == Some("done")
    });
    let set = stage.cluster.get(&format!("repeats/{id}")).unwrap();
    for run in set["runs"].as_array().unwrap() {
        let row = format!("{SET} tr[data-run='{}']", run["run"]);
        let counted = browser.attribute(&row, "data-counted");
        assert_eq!(counted, Some(run["counted"].to_string()), "{set}");
    }
    for one in set["spread"].as_array().unwrap() {
        let quantity = one["quantity"].as_str().unwrap();
        let row = format!("{SET} tr[data-quantity='{quantity}']");
        assert!(browser.attribute(&row, "data-quantity").is_some(), "{row}");
    }
    let run = format!("{SET} td a[href='#/test/{id}-1']");
    browser.click(&run);
    let back = format!("[data-link='set'][href='#/repeats/{id}']");
    browser.wait("the way back", SOON, |browser| {
        browser.text(&back) == "Its set"
    });
    stage.open("#/repeats");
    browser.wait("the list of sets", SOON, |browser| {
        browser.text(&link) == "same"
    });
    stage.assert_no_console_errors();
}
