//! What people type, what the orchestrator answers, and what others put into its answers.

use serde_json::json;

use crate::stage::{SOON, Stage};
use crate::webdriver::Browser;

/// A node may be called so; it must show as text.
const EVIL: &str = "<img src=x onerror=document.title='owned'>";

#[test]
fn a_refused_value_shows_the_servers_words_at_its_field() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    let (status, told) = stage
        .cluster
        .post("avalanche", &json!({"connections": 70_000}));
    assert_eq!(status, 400);
    stage.open("#/new");
    browser.type_into("#field-connections", "70000");
    browser.click("button[value=start]");
    browser.wait("words", SOON, |browser| {
        !browser.text("#error-connections").is_empty()
    });
    let words = told["error"].as_str().unwrap();
    assert!(
        browser.text("#error-connections").starts_with(words),
        "{words}"
    );
    let focused = browser.run("return document.activeElement.id", json!([]));
    assert_eq!(focused, "field-connections");
    assert!(
        browser
            .text(".command")
            .contains(r#"{"connections":70000}"#)
    );
    stage.assert_no_console_errors();
}

#[test]
fn all_that_is_wrong_is_told_at_once_each_at_its_field() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    let wrong = json!({"connections": 0, "duration_s": "soon", "pipeline": 0, "nonsense": 1,
        "requests": 5, "rate": "5:50"});
    let (status, told) = stage.cluster.post("avalanche", &wrong);
    assert_eq!(status, 400);
    let errors = told["errors"].as_array().unwrap().iter();
    let mut at: Vec<&str> = errors.map(|one| one["at"].as_str().unwrap()).collect();
    at.sort_unstable();
    // A ramp lacks its duration only since that was wrong.
    assert!(
        at.contains(&"nonsense") && at.contains(&"duration_s"),
        "{told}"
    );
    assert!(!at.contains(&"rate"), "{told}");
    stage.open("#/new");
    let fields = ["connections", "duration_s", "pipeline", "timeout_ms"];
    for field in fields {
        browser.type_into(&format!("#field-{field}"), "-1");
    }
    browser.click("button[value=create]");
    for field in fields {
        browser.wait(field, SOON, |browser| {
            browser.text(&format!("#error-{field}")).starts_with(field)
        });
    }
    let focused = browser.run("return document.activeElement.id", json!([]));
    assert_eq!(focused, "field-connections");
    stage.assert_no_console_errors();
}

#[test]
fn the_form_stays_as_it_was_left_and_takes_times_with_their_units() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    stage.open("#/new");
    let field = |name: &str| {
        let value = "return document.getElementById(arguments[0]).value";
        browser.run(value, json!([format!("field-{name}")]))
    };
    let is_shown = |name: &str| {
        let hidden = "return document.querySelector(arguments[0]).hidden";
        browser.run(hidden, json!([format!("[data-field={name}]")])) == false
    };
    browser.click("[data-value=TSUNAMI]");
    assert!(is_shown("burst") && is_shown("phase"));
    browser.type_into("#field-rate", "50");
    // A rate has no loads, and so no gap between them.
    assert!(!is_shown("burst") && !is_shown("seconds") && is_shown("phase"));
    browser.type_into("#field-duration_s", "400ms");
    browser.type_into("#field-timeout_ms", "20s");
    browser.click("[data-view=tests]");
    browser.wait("the history", SOON, |browser| {
        browser.text("h1") == "History"
    });
    browser.run("history.back()", json!([]));
    browser.wait("the form", SOON, |browser| browser.text("h1") == "New test");
    for (name, text) in [
        ("rate", "50"),
        ("duration_s", "400ms"),
        ("timeout_ms", "20s"),
    ] {
        assert_eq!(field(name), text);
    }
    browser.click("button[value=create]");
    browser.wait("the test", SOON, |browser| {
        browser.attribute("#run", "data-test-id").is_some()
    });
    let id = browser.attribute("#run", "data-test-id").unwrap();
    let config = &stage.cluster.get(&format!("tests/{id}")).unwrap()["config"];
    assert_eq!(
        (&config["duration_s"], &config["timeout_ms"]),
        (&json!(0.4), &json!(20_000.0))
    );
    // What became a test is not what the next one begins with.
    stage.browser.run("location.hash = '#/new'", json!([]));
    browser.wait("an empty form", SOON, |browser| {
        browser.text("h1") == "New test"
    });
    assert_eq!(field("rate"), "");
    browser.click("[data-value=AVALANCHE]");
    assert!(!is_shown("phase") && !is_shown("burst"));
    stage.assert_no_console_errors();
}

#[test]
fn a_field_in_error_is_not_under_the_bar() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    browser.emulate(1280, 500, "light");
    stage.open("#/new");
    browser.type_into("#field-connections", "70000");
    // In the window, but under the bar.
    let under = "const field = document.querySelector('#field-connections');
        field.blur();
        scrollTo(0, scrollY + field.getBoundingClientRect().top - 5);
        const create = document.querySelector('button[value=create]');
        create.form.requestSubmit(create);";
    browser.run(under, json!([]));
    browser.wait("words", SOON, |browser| {
        !browser.text("#error-connections").is_empty()
    });
    let gap = "const top = (css) => document.querySelector(css).getBoundingClientRect();
        return top('#field-connections').top - top('.bar').bottom;";
    let gap = browser.run(gap, json!([])).as_f64().unwrap();
    assert!((0.0..500.0).contains(&gap), "{gap}");
}

#[test]
fn markup_in_ids_and_headers_is_shown_as_text() {
    let Some(stage) = Stage::set(&[EVIL]) else {
        return;
    };
    let browser = &stage.browser;
    let header = json!({"X-Evil": "<script>document.title='owned'</script>"});
    let body = json!({"requests": 100, "headers": header, "threshold": ["p99<10s"]});
    let id = stage.cluster.run_to_end("avalanche", &body);
    stage.open(&format!("#/test/{id}"));
    stage.wait_for_state("done");
    assert!(
        browser.text(".nodes tbody").contains(EVIL),
        "{}",
        browser.text(".nodes tbody")
    );
    browser.click("details:has(dl) > summary");
    assert!(
        browser
            .text("[data-param=headers]")
            .contains("<script>document.title")
    );
    for fragment in ["#/nodes", "#/", "#/tests", "#/new?from=%3Cscript%3E"] {
        stage.open(fragment);
        browser.wait("a heading", SOON, |browser| !browser.text("h1").is_empty());
    }
    let elements = "return document.querySelectorAll('main img, main script').length";
    assert_eq!(browser.run(elements, json!([])), 0);
    let title = browser.run("return document.title", json!([]));
    assert_ne!(title, "owned");
    stage.assert_no_console_errors();
}

#[test]
fn a_test_can_be_created_without_starting_it_and_run_again() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    stage.open("#/new");
    browser.click("[data-value=TSUNAMI]");
    browser.type_into("#field-seconds", "0.2");
    browser.type_into("#field-burst", "10");
    browser.type_into("#field-requests", "50");
    browser.type_into("#field-threshold", "error_rate<1%");
    browser.click("button[value=create]");
    browser.wait("a ready test", SOON, |browser| {
        browser.text("h1").len() == 20
    });
    browser.wait("the trigger", SOON, |browser| {
        browser
            .attribute("[data-command=trigger]", "hidden")
            .is_none()
            && stage.state() != ""
    });
    browser.click("[data-command=trigger]");
    stage.wait_for_state("done");
    assert_eq!(browser.attribute("#run", "data-ok").as_deref(), Some("50"));
    assert!(
        browser
            .text("[data-threshold][data-pass=true]")
            .contains("holds")
    );
    browser.click("a[href^='#/new?from=']");
    let value = |field: &str| {
        browser.run(
            "return document.getElementById(arguments[0])?.value ?? ''",
            json!([field]),
        )
    };
    browser.wait("its values", SOON, |_| value("field-burst") == "10");
    assert_eq!(value("field-seconds"), "0.2");
    assert_eq!(value("field-requests"), "50");
    stage.assert_no_console_errors();
}

#[test]
fn a_token_is_asked_for_once() {
    let Some(stage) = Stage::set_with(&["one"], Some("correct-horse")) else {
        return;
    };
    let browser = &stage.browser;
    stage.open("#/nodes");
    let row = |browser: &Browser| browser.attribute("tr[data-node-id=one]", "data-state");
    // Who asked before there was a token gets the answer, not the refusal.
    let base = "document.querySelector('script[type=module]').src";
    let ask = format!(
        "import(new URL('./api.js', {base})).then((m) => m.get('/tests')).then(
            (tests) => {{ window.told = tests; }}, (error) => {{ window.told = error.message; }})"
    );
    browser.run(&ask, json!([]));
    let is_asked = |browser: &Browser| browser.attribute("#token-dialog", "open").is_some();
    browser.wait("the question", SOON, is_asked);
    assert_eq!(row(browser), None);
    browser.click("#token-dialog button[value=left]");
    browser.wait("the refusal", SOON, |browser| {
        browser.run("return typeof window.told", json!([])) == json!("string")
    });
    assert!(!is_asked(browser), "polls do not open it again");
    stage.open("#/tests");
    browser.run("location.reload()", json!([]));
    browser.wait("the question again", SOON, is_asked);
    stage.open("#/nodes");
    browser.run(&ask, json!([]));
    browser.type_into("#token", "correct-horse");
    browser.click("#token-dialog button[value=given]");
    browser.wait("the node", SOON, |browser| row(browser).is_some());
    browser.wait("the answer", SOON, |browser| {
        browser.run("return window.told", json!([])) == json!([])
    });
    stage.open("#/tests");
    browser.wait("the list", SOON, |browser| {
        browser.text("main").contains("No test matches")
    });
    assert!(!is_asked(browser));
    stage.assert_no_console_errors();
}
