//! Sizes, themes, keyboard and labels; and the pictures of the README.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::stage::{RUN, SOON, Stage};
use crate::webdriver::Browser;

/// Interactive elements that a screen reader could not name.
const NAMELESS: &str = r#"
    const named = (element) => element.getAttribute("aria-label") || element.innerText?.trim() ||
        element.labels?.length > 0;
    return [...document.querySelectorAll("a, button, input, textarea, [tabindex='0']")]
        .filter((element) => element.checkVisibility() && !named(element))
        .map((element) => element.outerHTML)"#;
/// At the end of a view, that of its editor of documents.
const DOCUMENT: &str = " document";
/// What reaches beyond a width, unless it is within something that can be scrolled.
const WIDER: &str = r#"
    const within = (element) => element && (element.matches(".scroll") || within(element.parentElement));
    const is_wider = (element) => element.getBoundingClientRect().right > arguments[0] + 1;
    return [...document.querySelectorAll("body *")]
        .filter((element) => element.checkVisibility() && is_wider(element) && !within(element))
        .map((element) => `${element.tagName} ${element.className} ${element.innerText?.slice(0, 40)}`)"#;

#[test]
fn every_view_fits_a_phone_and_names_its_controls() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let id = stage
        .cluster
        .run_to_end("avalanche", &json!({"requests": 200}));
    let views = [
        "#/",
        "#/new",
        &format!("#/new{DOCUMENT}"),
        "#/tests",
        "#/nodes",
        "#/compare",
        &format!("#/test/{id}"),
        &format!("#/compare/{id}/{id}"),
    ];
    for (width, theme) in [(1280, "light"), (390, "dark")] {
        stage.browser.emulate(width, 844, theme);
        for view in views {
            stage.open("#/nodes");
            stage.open(view.trim_end_matches(DOCUMENT));
            if view.ends_with(DOCUMENT) {
                stage.browser.click("[data-value=DOCUMENT]");
                stage
                    .browser
                    .click("#document-example:not(:disabled), [data-value=DOCUMENT]");
            }
            stage
                .browser
                .wait("the view", SOON, |browser| browser.text("main").len() > 20);
            assert_eq!(stage.browser.run(NAMELESS, json!([])), json!([]), "{view}");
            // A chart is drawn anew when it knows its width.
            let what = format!("{view} to fit into {width} px");
            stage.browser.wait(&what, SOON, |browser| {
                browser.run(WIDER, json!([width])) == json!([])
            });
        }
    }
    stage.assert_no_console_errors();
}

#[test]
fn an_address_that_is_none_says_so_and_leads_back() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    stage.open("#/test%20s/12");
    let browser = &stage.browser;
    browser.wait("the view", SOON, |browser| {
        browser.text("h1") == "There is nothing here"
    });
    assert!(browser.text("main").contains("#/test%20s/12"));
    browser.click("main a");
    browser.wait("the overview", SOON, |browser| {
        browser.text("h1") == "Overview"
    });
    stage.assert_no_console_errors();
}

#[test]
fn the_first_link_leads_past_the_header_and_the_view_stays() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    stage.open("#/nodes");
    let browser = &stage.browser;
    browser.wait("the view", SOON, |browser| browser.text("h1") == "Nodes");
    browser.type_into(".skip", "\u{e007}"); // enter
    let there = "return [location.hash, document.activeElement.id]";
    assert_eq!(browser.run(there, json!([])), json!(["#/nodes", "content"]));
    assert_eq!(browser.text("h1"), "Nodes");
    stage.assert_no_console_errors();
}

#[test]
fn the_dot_is_green_only_while_the_broker_answers() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    stage.open("#/nodes");
    let link = |state: &str| format!("#link[data-link=up][data-broker={state}]");
    let is_up = |browser: &Browser| browser.attribute(&link("up"), "id").is_some();
    stage.browser.wait("the broker to be seen", SOON, is_up);
    let color = "const link = document.getElementById('link'); link.dataset.broker = arguments[0];
        return getComputedStyle(link, '::before').color";
    let of = |state: &str| stage.browser.run(color, json!([state]));
    assert_ne!(of("down"), of("up"));
    stage.assert_no_console_errors();
}

#[test]
fn a_chart_is_read_with_the_keyboard() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let id = stage
        .cluster
        .run_to_end("avalanche", &json!({"requests": 2000}));
    stage.open(&format!("#/test/{id}"));
    stage.wait_for_state("done");
    stage
        .browser
        .type_into("svg.chart[aria-label^='Percentiles']", "\u{e012}"); // left arrow
    let spoken = "return [...document.querySelectorAll('.spoken[aria-live]')]
        .map((element) => element.textContent).join('')";
    stage.browser.wait("words", SOON, |browser| {
        browser
            .run(spoken, json!([]))
            .as_str()
            .unwrap()
            .contains("of requests within: response")
    });
    stage.assert_no_console_errors();
}

#[test]
fn the_theme_follows_the_system_until_it_is_chosen() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let dark = "return getComputedStyle(document.body).backgroundColor";
    let mut seen = Vec::new();
    for theme in ["light", "dark"] {
        stage.browser.emulate(1280, 900, theme);
        stage.open("#/");
        seen.push(stage.browser.run(dark, json!([])));
    }
    assert_ne!(seen[0], seen[1]);
    stage.browser.click("#theme");
    assert_eq!(
        stage.browser.run(dark, json!([])),
        seen[0],
        "the first choice is light"
    );
    stage.browser.run("location.reload()", json!([]));
    assert_eq!(
        stage.browser.run(dark, json!([])),
        seen[0],
        "the choice is kept"
    );
    stage.assert_no_console_errors();
}

#[test]
fn screenshots_of_the_main_states() {
    if std::env::var_os("SCREENSHOTS").is_none() {
        println!("skipped: set SCREENSHOTS=1 to take the pictures of the README anew");
        return;
    }
    let Some(stage) = Stage::set(&["driver-1", "driver-2"]) else {
        return;
    };
    let browser = &stage.browser;
    let slow = stage.cluster.target_url("?delay=2ms:90,8ms:9,40ms:1");
    let body =
        |connections: u32| json!({"duration_s": 12, "connections": connections, "target": slow});
    let base = stage.cluster.run_to_end("avalanche", &body(8));
    let tsunami = json!({"target": slow, "burst": 20, "requests": 3000, "connections": 16,
        "threshold": ["p99<250ms", "error_rate<0.1%"]});
    let live = stage.cluster.run("tsunami/0.1", &tsunami);
    browser.emulate(1280, 1240, "light");
    stage.open(&format!("#/test/{live}"));
    browser.wait("half a run", SOON, |browser| {
        browser.number(RUN, "data-elapsed-s") >= 9.0
    });
    save(&stage, "live");
    browser.emulate(390, 844, "dark");
    stage.browser.wait("a frame", SOON, |browser| {
        browser.number(RUN, "data-elapsed-s") >= 11.0
    });
    save(&stage, "phone");
    browser.emulate(1280, 1240, "dark");
    stage.wait_for_state("done");
    save(&stage, "done-dark");
    browser.emulate(1280, 900, "light");
    stage.open(&format!("#/compare?base={base}&test={live}&anyway=1"));
    browser.wait("differences", SOON, |browser| {
        browser.text("#comparison").contains("p99.9")
    });
    save(&stage, "compare");
    stage.open("#/new");
    save(&stage, "new");
    stage.assert_no_console_errors();
}

/// Writes `src/dashboard/screenshots/<name>.png`.
fn save(stage: &Stage, name: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.png"));
    let encoded = stage.browser.screenshot();
    let mut decoder = Command::new("base64")
        .arg("--decode")
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(&path).unwrap())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut decoder.stdin.take().unwrap(), encoded.as_bytes()).unwrap();
    assert!(decoder.wait().unwrap().success());
    println!("{}", path.display());
}
