//! What axe-core finds on every view: the rules of WCAG 2.2 at levels A and AA, and its own best
//! practices, in both themes and on a phone. `make outsiders` installs it below the target folder;
//! without it the test says so in a line and is skipped.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cluster::binary;
use crate::stage::{SOON, Stage};

/// Of each finding the rule, how bad it is, and the elements.
const FINDINGS: &str = r#"
    const done = arguments[arguments.length - 1];
    axe.run(document, { resultTypes: ["violations"] }).then(
        ({ violations, passes }) => done({
            passes: passes.length,
            found: violations.map(({ id, impact, help, nodes }) => ({
                id, impact, help,
                nodes: nodes.slice(0, 3).map((node) => `${node.html}: ${node.failureSummary}`),
            })),
        }),
        (error) => done({ passes: 0, found: [String(error)] }));"#;

/// The source of axe-core, where it was installed.
fn axe() -> Option<String> {
    let target = binary("broker").parent()?.parent()?.to_owned();
    let lib = target.join("outsiders/lib");
    let mut pythons = std::fs::read_dir(&lib).into_iter().flatten().flatten();
    let script = |python: PathBuf| python.join("site-packages/axe_playwright_python/axe.min.js");
    let source = pythons.find_map(|python| std::fs::read_to_string(script(python.path())).ok());
    if source.is_none() {
        // Not println!, which libtest keeps to itself.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no axe-core below {}; run `make outsiders`",
            lib.display()
        );
    }
    source
}

/// What a test's page folds away is to be looked at too.
fn open_everything(stage: &Stage) {
    let open = "document.querySelectorAll('details').forEach((it) => { it.open = true; })";
    stage.browser.run(open, json!([]));
    stage.browser.wait("the heat map", SOON, |browser| {
        browser
            .attribute("details.heat-map", "data-samples")
            .is_some()
    });
}

#[test]
fn axe_finds_nothing_on_any_view() {
    let Some(axe) = axe() else {
        return;
    };
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    let ended = stage
        .cluster
        .run_to_end("avalanche", &json!({"requests": 200}));
    let breached = json!({"requests": 200, "threshold": ["p99<1us"]});
    let breached = stage.cluster.run_to_end("avalanche", &breached);
    let named = json!({
        "name": "shop",
        "target": stage.cluster.target_url(""),
        "load": {"closed": 2, "sessions": 100},
    });
    stage.cluster.run_to_end("tests", &named);
    let endless = json!({"rate": 20, "duration_s": 600, "requests": 12_000});
    let running = stage.cluster.run("avalanche", &endless);
    let views = [
        "#/".to_owned(),
        "#/new".to_owned(),
        "#/tests".to_owned(),
        "#/nodes".to_owned(),
        "#/compare".to_owned(),
        "#/trend".to_owned(),
        "#/trend?name=shop".to_owned(),
        "#/nowhere".to_owned(),
        format!("#/test/{ended}"),
        format!("#/test/{breached}"),
        format!("#/test/{running}"),
        format!("#/compare/{ended}/{breached}"),
    ];
    let mut wrong = Vec::new();
    for (width, theme) in [
        (1280, "light"),
        (1280, "dark"),
        (390, "light"),
        (390, "dark"),
    ] {
        stage.browser.emulate(width, 844, theme);
        for view in &views {
            stage.open(view);
            stage
                .browser
                .wait("the view", SOON, |browser| browser.text("main").len() > 20);
            if view.starts_with("#/test/") {
                open_everything(&stage);
            }
            stage.browser.run(&axe, json!([]));
            let told = stage.browser.run_later(FINDINGS);
            assert!(told["passes"].as_u64() > Some(5), "it looked: {told}");
            let found = told["found"].as_array().unwrap();
            wrong.extend(
                found
                    .iter()
                    .map(|it: &Value| format!("{view} {theme} {width}: {it:#}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    stage.open(&format!("#/test/{running}"));
    stage.wait_for_state("running");
    stage.assert_no_console_errors();
}
