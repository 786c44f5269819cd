//! The README, as a newcomer pastes it into a shell.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cluster::process::binary;
use crate::cluster::skip::skip;
use crate::cluster::{Cluster, int};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The first block of a language after a heading.
pub(crate) fn block(heading: &str, language: &str) -> String {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once(&format!("\n{heading}\n")).unwrap();
    let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// The commands of a block: what follows the prompt, up to a comment.
fn commands(block: &str) -> Vec<String> {
    let lines = block.lines().filter_map(|line| line.strip_prefix("$ "));
    lines
        .map(|line| line.split("  #").next().unwrap_or(line).trim().to_owned())
        .collect()
}

#[test]
fn the_document_of_the_readme_is_the_example() {
    let example = fs::read_to_string(root().join("bench/documents/visits.yaml")).unwrap();
    let (comment, document) = example.split_once('\n').unwrap();
    assert!(comment.starts_with('#'), "{comment}");
    assert_eq!(block("## A test as a document", "yaml"), document);
}

#[test]
fn the_first_minute_of_the_readme_can_be_pasted() {
    if Command::new("curl").arg("--version").output().is_err() {
        skip("there is no curl");
        return;
    }
    let cluster = Cluster::start(2);
    // `make` starts and ends what this test has started on ports of its own.
    let pasted: Vec<String> = commands(&block("## A cluster", "console"))
        .iter()
        .filter(|command| !command.starts_with("make "))
        .map(|command| {
            command
                .replace("target/release/client", binary("client").to_str().unwrap())
                .replace("127.0.0.1:8000", &cluster.rest.target)
                .replace("127.0.0.1:8001", &cluster.rest.orchestrator)
        })
        .collect();
    assert!(pasted.len() >= 9, "{pasted:?}");
    let script = format!("{}\necho; echo \"id=$id\"\n", pasted.join("\n"));
    let output = Command::new("sh")
        .args(["-eu", "-c", &script])
        .env("ORCHESTRATOR", &cluster.rest.orchestrator)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{said}\n{errors}");

    assert!(said.starts_with("Hello World"), "{said}");
    assert!(said.contains("coverage: 2 of 2 nodes"), "{said}");
    let (_, tsunami) = said.trim_end().rsplit_once("id=").unwrap();
    let tests = cluster.rest.get("/tests").json;
    assert_eq!(tests[0]["test_id"], tsunami, "newest first");
    let avalanche = cluster.metrics(tests[1]["test_id"].as_str().unwrap());
    assert_eq!(
        avalanche["state"], "done",
        "`client watch` ends with the test"
    );
    assert_eq!(int(&avalanche["ok"]), 200_000);
    assert_eq!(int(&cluster.await_end(tsunami)["ok"]), 1000);
}
