//! A test that is a document, written in the page.

use serde_json::json;

use crate::stage::{SOON, Stage};
use crate::webdriver::Browser;

const WRONG: &str = "name: x\nflows: [{name: a, stps: [GET /]}]\nload: {closed: 0, for: 1s}\n";

fn open_editor(stage: &Stage) {
    stage.open("#/new");
    stage.browser.click("[data-value=DOCUMENT]");
}

fn value(browser: &Browser) -> String {
    let text = browser.run(
        "return document.getElementById('document').value",
        json!([]),
    );
    text.as_str().unwrap().to_owned()
}

fn write(browser: &Browser, text: &str) {
    let script = "const text = document.getElementById('document'); text.value = arguments[0];
        text.dispatchEvent(new Event('input', { bubbles: true }))";
    browser.run(script, json!([text]));
}

fn caret(browser: &Browser) -> serde_json::Value {
    let script = "const text = document.getElementById('document');
        return [document.activeElement.id, text.value.slice(text.selectionStart, text.selectionEnd)]";
    browser.run(script, json!([]))
}

#[test]
fn what_is_wrong_is_told_with_a_way_to_its_line() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    open_editor(&stage);
    write(browser, WRONG);
    browser.wait("the errors", SOON, |browser| {
        browser.text("#document-wrong").contains("load.closed")
    });
    let told = browser.text("#document-wrong");
    assert!(told.contains("line 2, column 19"), "{told}");
    assert!(told.contains("did you mean steps?"), "{told}");
    assert_eq!(
        browser.attribute("#document", "aria-invalid").as_deref(),
        Some("true")
    );
    // Who is asked by the page alone goes on writing; who asks is taken to the first.
    assert_ne!(caret(browser)[0], "document");
    browser.click("button[value=document-check]");
    browser.wait("the first place", SOON, |browser| {
        caret(browser) == json!(["document", "{name: a, stps: [GET /]}]"])
    });
    browser.click(".wrong [data-line='3']");
    assert_eq!(caret(browser)[1], "0, for: 1s}");
    assert!(browser.text("output").contains("line 3, column 16"));

    // A look at the history takes nothing away.
    browser.click("nav [data-view=tests]");
    browser.wait("the history", SOON, |browser| {
        browser.text("h1") == "History"
    });
    browser.run("history.back()", json!([]));
    browser.wait("the editor", SOON, |browser| {
        !browser.text("#new-document").is_empty()
    });
    assert_eq!(value(browser), WRONG);
    browser.run("location.reload()", json!([]));
    // The browser scrolls back to where it was, so that the head of the page may cover the choice.
    let choose = "const choice = document.querySelector('[data-value=DOCUMENT]');
        choice?.click(); return choice !== null";
    browser.wait("the page again", SOON, |browser| {
        browser.run(choose, json!([])) == json!(true)
    });
    assert_eq!(value(browser), WRONG);

    write(browser, "- 1\n");
    browser.click("button[value=document-start]");
    browser.wait("the refusal", SOON, |browser| {
        browser.text("#document-wrong").contains("line 1, column 1")
    });
    stage.assert_no_console_errors();
}

#[test]
fn an_example_is_shown_for_what_it_is_and_runs() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    open_editor(&stage);
    browser.click("#document-example");
    let example = value(browser);
    assert!(example.contains("flows:"), "{example}");
    assert!(browser.attribute("#document-example", "disabled").is_some());
    browser.wait("what it comes to", SOON, |browser| {
        browser.text("#document-right").contains("ping → echo")
    });
    let told = browser.text("#document-right");
    assert!(told.contains("200 sessions at http://127.0.0.1"), "{told}");
    assert!(told.contains("flow look, 75"), "{told}");

    let short = example.replace("for: 10s", "for: $LENGTH");
    write(browser, &short);
    browser.type_into("#document-values", "LENGTH");
    browser.wait("the refusal of a name alone", SOON, |browser| {
        let told = browser.text("#new-document .problem");
        told.contains("LENGTH, has no name with a value")
    });
    browser.type_into("#document-values", "=3s");
    browser.wait("the value", SOON, |browser| {
        browser.text("#document-right").contains("60 sessions")
    });
    assert!(
        browser
            .text("#new-document .command")
            .contains("var.LENGTH=3s")
    );
    browser.click("button[value=document-start]");
    // Steps are counted while the test runs.
    browser.wait("steps at work", SOON, |browser| {
        stage.state() == "running" && browser.number("[data-name=ping]", "data-sent") > 0.0
    });
    stage.wait_for_state("done");
    let sent = |browser: &Browser, step: &str| {
        let row = format!("[data-name={step}]");
        browser.attribute(&row, "data-sent").unwrap_or_default()
    };
    browser.wait("all of them", SOON, |browser| {
        sent(browser, "ping") == "15" && sent(browser, "echo") == "45"
    });
    browser.click("a[href^='#/new?from=']");
    browser.wait("the draft", SOON, |browser| {
        browser
            .attribute("#document-replace", "type")
            .is_some_and(|_| value(browser) == short)
    });
    browser.click("#document-replace");
    browser.wait("the same document", SOON, |browser| {
        value(browser).contains("\"two flows\"")
    });
    stage.assert_no_console_errors();
}

#[test]
fn a_file_is_opened_and_a_test_only_created() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    open_editor(&stage);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.json");
    let text = r#"{"name": "of a file", "steps": ["GET /"], "load": {"closed": 1, "sessions": 3}}"#;
    std::fs::write(&file, text).unwrap();
    browser.type_into("#document-file", file.to_str().unwrap());
    browser.wait("its text", SOON, |browser| value(browser) == text);
    browser.click("button[value=document-create]");
    browser.wait("a ready test", SOON, |browser| {
        browser
            .attribute("[data-command=trigger]", "hidden")
            .is_none()
            && stage.state() != ""
    });
    assert!(browser.text(".head").contains("of a file"));
    stage.assert_no_console_errors();
}
