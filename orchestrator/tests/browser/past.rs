//! Tests that are over: history, comparison, downloads, permanent links.

use std::fs;

use serde_json::{Value, json};

use crate::stage::{SOON, Stage};
use crate::webdriver::Browser;

#[test]
fn two_runs_are_found_in_the_history_and_compared() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    let run = |delay: &str| {
        let target = stage.cluster.target_url(&format!("?delay={delay}"));
        stage
            .cluster
            .run_to_end("avalanche", &json!({"requests": 300, "target": target}))
    };
    let (base, test) = (run("2ms"), run("20ms"));
    stage.open("#/tests");
    let mark = |id: &str| format!("tr[data-test-id={id}] input");
    browser.wait("both", SOON, |browser| {
        [&base, &test]
            .iter()
            .all(|id| browser.attribute(&mark(id), "type").is_some())
    });
    browser.click(&mark(&base));
    browser.click(&mark(&test));
    browser.click(".search a.button");
    // The targets are not the same one, and it says so.
    browser.wait("differences", SOON, |browser| {
        browser.number("[data-row='Response p50']", "data-change") > 1.0
    });
    let verdict = "section.verdict";
    assert!(browser.text(verdict).contains("target: "));
    browser.click(&format!("{verdict} a.button"));
    browser.wait("lines", SOON, |browser| {
        browser.attribute(verdict, "data-verdict").as_deref() == Some("unknown")
    });
    assert!(
        browser
            .text(verdict)
            .contains("too small: 4 more of the base")
    );
    let line = browser.text("[data-line='Response p50']");
    assert!(line.contains('+'), "{line}");
    for style in [".line.c-grey", ".line.c-blue"] {
        let line = browser
            .attribute(&format!("svg.chart {style}"), "d")
            .unwrap();
        assert!(line.contains('L'), "{style}: {line}");
    }
    stage.open("#/tests");
    browser.wait("both", SOON, |browser| {
        browser.attribute(&mark(&base), "type").is_some()
    });
    browser.type_into("#search", &base);
    browser.wait("one", SOON, |browser| {
        browser.attribute(&mark(&test), "type").is_none()
    });
    assert!(browser.attribute(&mark(&base), "type").is_some());
    browser.click(&mark(&base));
    let count = |browser: &Browser| {
        browser.run(
            "return document.querySelectorAll('tbody tr').length",
            json!([]),
        )
    };
    browser.type_into("#search", "no such test");
    browser.wait("none", SOON, |browser| count(browser) == 0);
    browser.type_into("#search", &"\u{e003}".repeat(40)); // backspace
    browser.wait("both", SOON, |browser| count(browser) == 2);
    let marked = "return [...document.querySelectorAll('tbody input:checked')]
        .map((input) => input.closest('tr').dataset.testId)";
    assert_eq!(
        browser.run(marked, json!([])),
        json!([base]),
        "it stays marked"
    );
    stage.assert_no_console_errors();
}

#[test]
fn a_result_is_downloaded_and_the_report_stands_alone() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    let target = stage.cluster.target_url("?delay=20ms");
    let body = json!({"requests": 400, "connections": 4, "target": target});
    let id = stage.cluster.run_to_end("avalanche", &body);
    stage.open(&format!("#/test/{id}"));
    stage.wait_for_state("done");
    for name in ["export json", "export csv", "export hlog", "report"] {
        browser.click(&format!("[data-command='{name}']"));
    }
    let file = |extension: &str| browser.downloads().join(format!("{id}.{extension}"));
    for extension in ["json", "csv", "hlog", "html"] {
        browser.wait(extension, SOON, |_| {
            fs::metadata(file(extension)).is_ok_and(|file| file.len() > 0)
        });
    }
    let exported: Value = serde_json::from_str(&fs::read_to_string(file("json")).unwrap()).unwrap();
    assert_eq!(exported["ok"], 400);
    let report = fs::read_to_string(file("html")).unwrap();
    assert!(!report.contains("/assets/") && report.contains("<style>") && report.contains("<svg"));
    browser.open(&format!("file://{}", file("html").display()));
    assert_eq!(browser.attribute("#run", "data-ok").as_deref(), Some("400"));
    let inside = "return JSON.parse(document.getElementById('result').textContent).result.ok";
    assert_eq!(browser.run(inside, json!([])), 400);
    stage.assert_no_console_errors();
}

#[test]
fn a_link_to_a_test_that_does_not_exist_says_so() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    stage.open("#/test/NoSuchTest");
    stage.browser.wait("words", SOON, |browser| {
        browser.text("h1") == "No such test"
    });
    stage.assert_no_console_errors();
}

#[test]
fn a_run_of_nothing_but_errors_does_not_look_well_in_the_history() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    let run = |query: &str| {
        let target = stage.cluster.target_url(query);
        let body = json!({"requests": 200, "target": target, "threshold": "error_rate<50%"});
        stage.cluster.run_to_end("avalanche", &body)
    };
    let (bad, good) = (run("?status=503"), run(""));
    stage.open("#/tests");
    let row = |id: &str| format!("tr[data-test-id={id}]");
    browser.wait("the judgement", SOON, |browser| {
        browser.attribute(&row(&bad), "data-outcome").as_deref() == Some("1 of 1 breached")
    });
    let badge = |id: &str| browser.attribute(&format!("{} .badge", row(id)), "class");
    assert_eq!(badge(&bad).as_deref(), Some("badge"), "not green");
    assert_eq!(
        browser.text(&format!("{} .badge.fail", row(&bad))),
        "1 of 1 breached"
    );
    assert!(!browser.text(&row(&good)).contains("breached"));
    let order = || {
        let script = "return [...document.querySelectorAll('tbody tr')]
            .map((row) => row.dataset.testId)";
        browser.run(script, json!([]))
    };
    assert_eq!(order(), json!([good, bad]), "the newest first");
    browser.click("thead th:nth-child(9) button");
    browser.wait("most errors first", SOON, |_| order() == json!([bad, good]));
    assert_eq!(
        browser
            .attribute("thead th[aria-sort]", "aria-sort")
            .as_deref(),
        Some("descending")
    );
    stage.assert_no_console_errors();
}

#[test]
fn a_document_is_shown_by_step_and_flow() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    let document = json!({
        "name": "two pages",
        "target": stage.cluster.target_url(""),
        "flows": [{"name": "look", "steps": [
            {"name": "front", "GET": "/", "check": ["body contains \"Nowhere\""]},
            {"name": "missing", "GET": "/no-such-page"},
        ]}],
        "load": {"closed": 2, "sessions": 20},
    });
    let id = stage.cluster.run_to_end("tests", &document);
    stage.open(&format!("#/test/{id}"));
    browser.wait("the steps", SOON, |browser| {
        browser
            .attribute("tr[data-name=missing]", "data-sent")
            .as_deref()
            == Some("20")
    });
    let front = browser.text("tr[data-name=front]");
    assert!(
        front.contains("20 of 20 failed: body contains \"Nowhere\""),
        "{front}"
    );
    assert!(browser.text("tr[data-name=look]").contains("20"));
    assert!(browser.text("header.head").contains("two pages"));
    stage.assert_no_console_errors();
}

#[test]
fn what_was_noted_marks_the_charts_and_stands_in_the_report() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    let endless = json!({"rate": 100, "duration_s": 600, "requests": 60_000});
    let id = stage.cluster.run("avalanche", &endless);
    stage.open(&format!("#/test/{id}"));
    stage.wait_for_state("running");
    browser.type_into("#note-text", "deployed <1.4.2>");
    browser.click("form.chooser button");
    browser.wait("the note", SOON, |browser| {
        browser.text(".notes").contains("deployed <1.4.2>")
    });
    let marks = "return [...document.querySelectorAll('svg.chart .mark title')]
        .map((title) => title.textContent);";
    browser.wait("the marks", SOON, |browser| {
        browser.run(marks, json!([])) == Value::from(vec!["deployed <1.4.2>"; 4])
    });
    // Said of the chart as a whole, to whom does not see it.
    let label = "return document.querySelector('svg.chart').getAttribute('aria-label');";
    let label = browser.run(label, json!([])).to_string();
    assert!(label.contains("Marked: deployed <1.4.2> at 0:"), "{label}");
    let (status, _) = stage.cluster.post(&format!("stop/{id}"), &json!({}));
    assert_eq!(status, 200);
    stage.wait_for_state("aborted");
    let (status, told) = stage.cluster.post(
        &format!("tests/{id}/notes"),
        &json!({"text": "the beginning", "at": 0}),
    );
    assert_eq!(status, 200, "{told}");
    browser.wait("a note on what is over", SOON, |browser| {
        browser.text(".notes").starts_with("at 0:00: the beginning")
    });
    browser.run("scrollTo(0, 0)", json!([]));
    browser.click("[data-command=report]");
    let report = browser.downloads().join(format!("{id}.html"));
    browser.wait("the report", SOON, |_| report.exists());
    let report = fs::read_to_string(report).unwrap();
    assert!(report.contains("<li data-key=\"0\">at 0:00: the beginning</li>"));
    assert!(report.contains("deployed &lt;1.4.2&gt;") && !report.contains("note-text"));
    stage.assert_no_console_errors();
}
