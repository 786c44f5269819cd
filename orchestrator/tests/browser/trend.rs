//! The runs of a name over time, as the page draws them.

use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

const TREND: &str = "#trend";

/// A run to its end of the name `shop & co`, which belongs to a set.
fn run(stage: &Stage, set: Option<&str>) -> String {
    let mut document = json!({
        "name": "shop & co",
        "target": stage.cluster.target_url(""),
        "steps": [format!("GET {}", stage.cluster.target_url("?delay=2ms"))],
        "load": {"closed": 4, "sessions": 200},
    });
    if let Some(set) = set {
        document["tags"] = json!({"repeat": set});
    }
    stage.cluster.run_to_end("tests", &document)
}

#[test]
fn runs_of_a_name_are_drawn_as_sets_with_their_spread_and_a_test_leads_there() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let first = run(&stage, Some("first"));
    run(&stage, Some("first"));
    let alone = run(&stage, None);
    let browser = &stage.browser;
    stage.open(&format!("#/test/{alone}"));
    browser.wait("the name", SOON, |browser| {
        browser.text(".name") == "shop & co"
    });
    browser.click("[data-link=trend]");
    browser.wait("its sets", SOON, |browser| {
        browser.attribute(TREND, "data-sets").as_deref() == Some("2")
    });
    assert_eq!(browser.attribute(TREND, "data-runs").as_deref(), Some("3"));
    for style in [".line.c-blue", ".line.c-green", ".band"] {
        let css = format!("{TREND} svg.chart {style}");
        browser.wait(style, SOON, |browser| {
            browser
                .attribute(&css, "d")
                .is_some_and(|path| path.contains('L'))
        });
    }
    // The arrow keys walk along the sets, and what lies there is said.
    let key = "const svg = document.querySelector('#trend svg.chart');
        svg.focus();
        svg.dispatchEvent(new KeyboardEvent('keydown', { key: arguments[0] }));
        return document.querySelector('#trend .spoken').textContent;";
    let said = |name: &str| browser.run(key, json!([name])).to_string();
    let spoken = said("Home");
    assert!(
        spoken.contains("2 runs: p50 ") && spoken.contains(", least "),
        "{spoken}"
    );
    let spoken = said("End");
    assert!(spoken.contains("1 run: p50 "), "{spoken}");
    // The table has the runs, the newest first.
    let ids = "return [...document.querySelectorAll('#trend tbody tr')]
        .map((row) => row.dataset.testId);";
    let ids: Vec<Value> = browser.run(ids, json!([])).as_array().unwrap().clone();
    assert_eq!((&ids[0], &ids[2]), (&json!(alone), &json!(first)));
    // A name that nobody used is told in the orchestrator's words.
    stage.open("#/trend?name=nobody");
    browser.wait("the refusal", SOON, |browser| {
        browser.text(".problem").contains("no run of the name")
    });
}
