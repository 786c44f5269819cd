//! The rates of a run by node, in place of those of all together.

use serde_json::json;

use crate::stage::{SOON, Stage};

const BY: &str = "span.by";
const RATES: &str = "svg.chart[aria-label^='Requests']";
const LEGEND: &str = "return [...document.querySelectorAll('div.grid .card')]
    .find((card) => card.querySelector('.by')).querySelector('.legend').textContent";

#[test]
fn the_rates_are_shown_by_node_and_together_again() {
    let Some(stage) = Stage::set(&["one", "two"]) else {
        return;
    };
    let browser = &stage.browser;
    let target = stage.cluster.target_url("?delay=10ms");
    let body = json!({"connections": 2, "duration_s": 3, "target": target});
    let id = stage.cluster.run_to_end("avalanche", &body);
    stage.open(&format!("#/test/{id}"));
    stage.wait_for_state("done");
    let legend = || browser.run(LEGEND, json!([])).as_str().unwrap().to_owned();
    assert_eq!(legend(), "offeredsentcompletederrors");
    browser.click("span.by [data-value=node]");
    browser.wait("the nodes", SOON, |browser| {
        browser.attribute(BY, "data-of").as_deref() == Some("ok") && legend() == "onetwo"
    });
    browser.wait("their lines", SOON, |browser| {
        let drawn = "return [...document.querySelectorAll(arguments[0])].map((path) => path.getAttribute('d'))";
        let drawn = browser.run(drawn, json!([format!("{RATES} path.line")]));
        let drawn = drawn.as_array().unwrap();
        drawn.len() == 2 && drawn.iter().all(|path| path.as_str().is_some_and(|d| d.contains('L')))
    });
    browser.type_into(RATES, "\u{e011}"); // home
    let spoken = "return document.querySelector('.spoken').textContent";
    let spoken = browser.run(spoken, json!([]));
    let spoken = spoken.as_str().unwrap();
    assert!(
        spoken.starts_with("at 0:00: one ") && spoken.contains(", two "),
        "{spoken}"
    );
    browser.click("span.by [data-value=errors]");
    browser.wait("errors", SOON, |browser| {
        browser.attribute(BY, "data-of").as_deref() == Some("errors")
    });
    browser.click("span.by [data-value=all]");
    browser.wait("all together", SOON, |_| {
        legend() == "offeredsentcompletederrors"
    });
    browser.wait("the line of what was offered", SOON, |browser| {
        let offered = browser.attribute(&format!("{RATES} path.line.c-blue"), "d");
        offered.is_some_and(|d| d.starts_with('M'))
    });
    stage.assert_no_console_errors();
}

#[test]
fn the_rates_of_a_document_of_several_steps_are_shown_by_step() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    let target = stage.cluster.target_url("?delay=10ms");
    let document = |steps: &[&str]| {
        let step = |name: &&str| json!({"name": name, "GET": target});
        let steps: Vec<_> = steps.iter().map(step).collect();
        json!({"target": target, "steps": steps, "load": {"closed": 2, "for": "3s"}})
    };
    let id = stage
        .cluster
        .run_to_end("tests", &document(&["front", "cart"]));
    let lines = |of: &str| {
        stage
            .cluster
            .get(&format!("tests/{id}/lines?by=step&of={of}"))
    };
    let result = stage.cluster.get(&format!("metrics/{id}")).unwrap();
    for of in ["sent", "ok"] {
        let told = lines(of).unwrap();
        for at in 0..2 {
            let (line, step) = (&told["lines"][at], &result["steps"][at]);
            let total = (&line["name"], &line["total"]);
            assert_eq!(total, (&step["name"], &step[of]), "{told}");
        }
    }
    stage.open(&format!("#/test/{id}"));
    stage.wait_for_state("done");
    let by_step = "span.by [data-value=step]";
    browser.wait("the choice", SOON, |browser| {
        browser.attribute(by_step, "hidden").is_none()
    });
    // As a keyboard does it.
    browser.type_into(by_step, "\u{e007}"); // enter
    let legend = || browser.run(LEGEND, json!([])).as_str().unwrap().to_owned();
    browser.wait("the steps", SOON, |browser| {
        browser.attribute(BY, "data-by").as_deref() == Some("step") && legend() == "frontcart"
    });
    assert_eq!(
        browser.attribute(by_step, "aria-pressed").as_deref(),
        Some("true")
    );
    browser.type_into(RATES, "\u{e011}"); // home
    let spoken = "return document.querySelector('.spoken').textContent";
    let spoken = browser.run(spoken, json!([]));
    let spoken = spoken.as_str().unwrap();
    assert!(
        spoken.starts_with("at 0:00: front ") && spoken.contains(", cart "),
        "{spoken}"
    );
    browser.click("span.by [data-value=node]");
    browser.wait("the node", SOON, |_| legend() == "one");
    let id = stage.cluster.run_to_end("tests", &document(&["alone"]));
    stage.open(&format!("#/test/{id}"));
    stage.wait_for_state("done");
    assert!(browser.attribute(by_step, "hidden").is_some());
    stage.assert_no_console_errors();
}

#[test]
fn what_is_in_flight_and_the_bytes_of_each_second_are_drawn() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let browser = &stage.browser;
    // Three connections of which each always has a request in flight.
    let target = stage.cluster.target_url("?delay=50ms");
    let body = json!({"connections": 3, "duration_s": 4, "target": target});
    let id = stage.cluster.run_to_end("avalanche", &body);
    let result = stage.cluster.get(&format!("metrics/{id}")).unwrap();
    let seconds = result["series"].as_array().unwrap();
    let sum = |name: &str| -> u64 { seconds.iter().filter_map(|row| row[name].as_u64()).sum() };
    assert_eq!(sum("bytes_sent"), result["bytes"]["sent"], "{result}");
    assert_eq!(
        sum("bytes_received"),
        result["bytes"]["received"],
        "{result}"
    );
    for second in &seconds[..3] {
        assert_eq!(second["in_flight"], 3, "{result}");
    }
    stage.open(&format!("#/test/{id}"));
    stage.wait_for_state("done");
    for (title, words) in [
        ("In flight", "at 0:00: in flight 3"),
        ("Bytes", "at 0:00: sent "),
    ] {
        let chart = format!("svg.chart[aria-label^='{title}']");
        browser.type_into(&chart, "\u{e011}"); // home
        let spoken = "return document.querySelector(arguments[0]).closest('.card').querySelector('.spoken').textContent";
        let spoken = browser.run(spoken, json!([chart]));
        assert!(spoken.as_str().unwrap().starts_with(words), "{spoken}");
    }
    stage.assert_no_console_errors();
}
