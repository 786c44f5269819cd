//! The workflows of the README's section on CI, as a runner executes them: the lines of their
//! scripts, with our programs on the path.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::cluster::process::binary;
use crate::deployment::{plain, strings};
use crate::readme::block;

/// The first block of YAML after a heading of the README.
fn workflow(heading: &str) -> Value {
    let text = block(heading, "yaml");
    let documents = Yaml::load_from_str(&text).unwrap();
    assert_eq!(documents.len(), 1);
    plain(&documents[0])
}

/// The step of that name.
fn step<'a>(workflow: &'a Value, name: &str) -> &'a Value {
    let mut steps = workflow["jobs"]["load"]["steps"].as_array().unwrap().iter();
    steps
        .find(|step| step["name"] == name)
        .unwrap_or_else(|| panic!("no step {name:?}"))
}

/// One line of a script, as the runner's shell takes it; our programs are the first on the path.
fn shell(folder: &Path, line: &str, variables: &[(&str, &str)]) -> Output {
    let programs = binary("dlts").parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    Command::new("bash")
        .args(["-e", "-c", line])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env_remove("ORCHESTRATOR")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn assert_code(output: &Output, code: i32, line: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{line}\n{said}\n{errors}");
}

/// The numbers of cases, failures and errors of a `JUnit` file.
fn counts(file: &Path) -> [u64; 3] {
    let xml =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(
        xml.starts_with("<?xml") && xml.trim_end().ends_with("</testsuites>"),
        "{xml}"
    );
    let (_, root) = xml.split_once("<testsuites ").unwrap();
    let (root, _) = root.split_once('>').unwrap();
    ["tests", "failures", "errors"].map(|name| {
        let (_, value) = root.split_once(&format!("{name}=\"")).unwrap();
        value.split_once('"').unwrap().0.parse().unwrap()
    })
}

#[test]
fn the_workflow_for_github_loads_and_shows_what_was_judged() {
    let cluster = Cluster::without_drivers();
    let folder = tempfile::tempdir().unwrap();
    let tree = workflow("### GitHub Actions");
    let run = |name: &str| step(&tree, name)["run"].as_str().unwrap().to_owned();
    assert!(run("Start the service").starts_with("testserver --listen 127.0.0.1:8080"));
    let load = run("Load it").replace("127.0.0.1:8080", &cluster.rest.target);
    assert!(
        load.contains("--duration 30s") && load.contains("p99<250ms"),
        "{load}"
    );
    let load = load.replace("--duration 30s", "--duration 500ms --rest 50ms");
    let summary = folder.path().join("summary.md");
    let variables = [("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())];
    for name in ["Show it", "Keep it"] {
        assert_eq!(step(&tree, name)["if"], "always()", "{name}");
    }
    assert_eq!(step(&tree, "Keep it")["with"]["path"], "load.xml");
    // A limit that no server keeps, and one that any does.
    for (limit, code) in [("p99<1ns", 3), ("p99<30s", 0)] {
        let line = load.replace("p99<250ms", limit);
        assert_code(&shell(folder.path(), &line, &variables), code, &line);
        let show = run("Show it");
        assert_code(&shell(folder.path(), &show, &variables), 0, &show);
        let [tests, failures, errors] = counts(&folder.path().join("load.xml"));
        // Of each of five runs: the verdict and two thresholds, of which one may be breached.
        assert_eq!((tests, errors), (15, 0), "{line}");
        assert_eq!(failures, if code == 0 { 0 } else { 5 }, "{line}");
    }
    let shown = fs::read_to_string(summary).unwrap();
    let (first, second) = (shown.find("## breached: "), shown.find("## good: "));
    assert!(first.is_some() && first < second, "{shown}");
    assert!(
        shown.contains("| **FAIL** | threshold | p99&lt;1ns |"),
        "{shown}"
    );
}

#[test]
fn the_workflow_for_gitlab_holds_each_commit_against_the_last_good_ones() {
    let cluster = Cluster::start(2);
    let folder = tempfile::tempdir().unwrap();
    let tree = workflow("### GitLab CI");
    let job = &tree["load"];
    let script = strings(&job["script"]);
    let document = format!(
        "name: shop checkout\ntags: {{commit: $COMMIT}}\ntarget: http://{}\nsteps: [GET /]\n\
         load: {{open: 200/s, for: 1s}}\nthresholds: [p99 < 30s]\n",
        cluster.rest.target
    );
    fs::write(folder.path().join("shop.yaml"), document).unwrap();
    let commit = |name: &str| -> Vec<Output> {
        let variables = [
            ("ORCHESTRATOR", cluster.rest.orchestrator.as_str()),
            ("CI_COMMIT_SHA", name),
        ];
        let run = |line: &&str| shell(folder.path(), line, &variables);
        script.iter().map(run).collect()
    };
    let codes = |outputs: &[Output]| -> Vec<Option<i32>> {
        outputs.iter().map(|output| output.status.code()).collect()
    };
    // The first commit has nothing to be held against.
    let first = commit("a1");
    assert_code(&first[0], 0, script[0]);
    assert_code(&first[1], 1, script[1]);
    assert_eq!(counts(&folder.path().join("load.xml"))[1..], [0, 0]);
    assert_eq!(counts(&folder.path().join("gate.xml")), [1, 0, 1]);
    let second = commit("b2");
    assert_code(&second[0], 0, script[0]);
    let [_, failures, errors] = counts(&folder.path().join("gate.xml"));
    // On a busy machine anything may come of it; the exit code says the same as the file.
    let code = match (failures, errors) {
        (0, 0) => 0,
        (0, _) => 4,
        _ => 3,
    };
    assert_eq!(
        codes(&second),
        [Some(0), Some(code)],
        "{failures} failures, {errors} errors"
    );
    let artifacts = &job["artifacts"];
    assert_eq!(artifacts["when"], "always");
    let reports = strings(&artifacts["reports"]["junit"]);
    assert_eq!(reports, ["load.xml", "gate.xml"]);

    // The same runs over time: two sets of five, the second with the judge's word.
    let variables = [("ORCHESTRATOR", cluster.rest.orchestrator.as_str())];
    let trend = shell(
        folder.path(),
        "dlts cluster trend 'shop checkout' --json",
        &variables,
    );
    assert_code(&trend, 0, "trend");
    let trend: Value = serde_json::from_slice(&trend.stdout).unwrap();
    let runs = trend["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 10, "{trend}");
    let is_older =
        |pair: &[Value]| pair[0]["created_unix_ms"].as_u64() <= pair[1]["created_unix_ms"].as_u64();
    assert!(runs.windows(2).all(is_older), "{trend}");
    let steps = trend["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 1, "{trend}");
    assert_eq!(
        (&steps[0]["before"], &steps[0]["set"]),
        (&runs[0]["set"], &runs[9]["set"])
    );
    let test = cluster
        .rest
        .get(&format!("/tests/{}", runs[9]["test_id"].as_str().unwrap()))
        .json;
    assert_eq!(test["tags"]["commit"], "b2");
    assert_eq!(test["command"][1], "run", "{test}");
    assert_eq!(
        test["document_sha256"].as_str().map(str::len),
        Some(64),
        "{test}"
    );
}
