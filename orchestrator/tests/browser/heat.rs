//! The heat map of a test: loaded when it is opened, read with the keyboard, told as a table.

use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

const MAP: &str = "details.heat-map";
const SUMMARY: &str = "details.heat-map > summary";
const CHART: &str = "details.heat-map svg.chart";
/// How often it was loaded, and the bytes of all that came.
const LOADED: &str = r"
    const loads = performance.getEntriesByType('resource').filter(({ name }) => name.includes('/heatmap'));
    return [loads.length, loads.reduce((sum, load) => sum + load.transferSize, 0)];";

fn loaded(stage: &Stage) -> (u64, u64) {
    let told = stage.browser.run(LOADED, json!([]));
    (told[0].as_u64().unwrap(), told[1].as_u64().unwrap())
}

fn wait_for_samples(stage: &Stage, samples: f64) {
    stage.browser.wait("the samples", SOON, |browser| {
        browser.attribute(MAP, "data-samples").is_some()
            && browser.number(MAP, "data-samples") >= samples
    });
}

#[test]
fn every_sample_of_a_run_is_in_its_heat_map_and_in_the_table_below() {
    let Some(stage) = Stage::set(&["one", "two"]) else {
        return;
    };
    let browser = &stage.browser;
    let target = stage.cluster.target_url("?delay=20ms");
    let body = json!({"requests": 200, "connections": 2, "target": target});
    let id = stage.cluster.run_to_end("avalanche", &body);
    stage.open(&format!("#/test/{id}"));
    stage.wait_for_state("done");
    assert_eq!(loaded(&stage), (0, 0), "nobody looked at it");
    browser.click(SUMMARY);
    wait_for_samples(&stage, 400.0);
    assert!(browser.number(MAP, "data-columns") >= 2.0);
    let shades = "return [...document.querySelectorAll('.heat path')]
        .map((path) => path.getAttribute('d').split('Z').length - 1)";
    browser.wait("its cells", SOON, |browser| {
        let cells = browser.run(shades, json!([]));
        let cells = cells.as_array().unwrap().iter().map(Value::as_u64);
        cells.map(Option::unwrap).sum::<u64>() >= 2
    });
    let legend = browser.text("details.heat-map .legend");
    assert!(legend.starts_with("1+"), "{legend}");

    browser.type_into(CHART, "\u{e011}"); // home
    let spoken = "return document.querySelector('details.heat-map .spoken').textContent";
    let spoken = browser.run(spoken, json!([]));
    let spoken = spoken.as_str().unwrap();
    assert!(spoken.starts_with("at 0:00: samples "), "{spoken}");
    assert!(
        spoken.contains("\u{202f}ms to 25\u{202f}ms ") && spoken.contains('%'),
        "{spoken}"
    );

    browser.click("details.heat-map > details > summary");
    let sum = "return [...document.querySelectorAll('details.heat-map tbody tr')]
        .reduce((sum, row) => sum + Number(row.children[1].textContent), 0)";
    assert_eq!(browser.run(sum, json!([])), 400);
    browser.click("details.heat-map [data-value=service]");
    browser.wait("service times", SOON, |browser| {
        browser.attribute(MAP, "data-histogram").as_deref() == Some("service")
    });
    assert_eq!(
        browser.attribute(MAP, "data-samples").as_deref(),
        Some("400")
    );
    stage.assert_no_console_errors();
}

#[test]
fn a_heat_map_follows_a_run_for_no_more_than_its_share() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let endless = json!({"rate": 100, "duration_s": 600});
    let id = stage.cluster.run("avalanche", &endless);
    stage.open(&format!("#/test/{id}"));
    stage.wait_for_state("running");
    stage.browser.click(SUMMARY);
    wait_for_samples(&stage, 100.0);
    let since = "return performance.now() - performance.getEntriesByType('resource')
        .find(({ name }) => name.includes('/heatmap')).startTime";
    wait_for_samples(&stage, 600.0);
    let (loads, bytes) = loaded(&stage);
    let ms = stage.browser.run(since, json!([])).as_f64().unwrap();
    assert!(loads >= 3, "it follows: {loads}");
    assert!(loads as f64 <= 2.0 + ms / 1000.0, "{loads} in {ms} ms");
    assert!(
        bytes as f64 <= 10_000.0 + 10.0 * ms,
        "{bytes} bytes in {ms} ms"
    );
    stage.browser.click(SUMMARY);
    let (closed, _) = loaded(&stage);
    let elapsed = stage.browser.number("#run", "data-elapsed-s");
    stage.browser.wait("three more seconds", SOON, |browser| {
        browser.number("#run", "data-elapsed-s") >= elapsed + 3.0
    });
    assert!(loaded(&stage).0 <= closed + 1, "closed, it costs nothing");
    stage.cluster.post(&format!("stop/{id}"), &json!({}));
    stage.assert_no_console_errors();
}
