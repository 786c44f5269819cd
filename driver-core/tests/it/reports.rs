//! `driver run --junit --markdown`: files for CI, whatever comes of the run; and where a result says
//! that it came from.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::server::{OK, Server};

fn driver(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driver"));
    command.arg("run").args(args).current_dir(folder);
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_breached_threshold_is_in_both_files_and_says_where_it_stands() {
    let server = Server::answering(OK);
    let folder = tempfile::tempdir().unwrap();
    let document = format!(
        "name: shop\ntarget: {}\nsteps: [{{name: look, GET: /, check: [status == 200]}}]\n\
         load: {{closed: 1, sessions: 20}}\nthresholds: [p50 < 1ns, error_rate < 1%]\n",
        server.url()
    );
    fs::write(folder.path().join("shop.yaml"), document).unwrap();
    let args = ["shop.yaml", "--junit", "a.xml", "--markdown", "a.md"];
    let output = driver(folder.path(), &args);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("verdict: "), "the answer is as ever");
    let xml = fs::read_to_string(folder.path().join("a.xml")).unwrap();
    for words in [
        "<testsuites name=\"dlts: shop\" tests=\"4\" skipped=\"0\" failures=\"1\" errors=\"0\"",
        "asked: p50 &lt; 1ns\nseen: ",
        "at: shop.yaml:5:14",
        "name=\"status == 200 (step ",
    ] {
        assert!(xml.contains(words), "{words}\n{xml}");
    }
    let markdown = fs::read_to_string(folder.path().join("a.md")).unwrap();
    assert!(markdown.starts_with("## breached: shop\n"), "{markdown}");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        3,
        "and nothing beside"
    );
}

#[test]
fn a_run_that_does_not_come_about_is_reported_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.xml"), "of an earlier run").unwrap();
    let args = ["http://127.0.0.1:1/?token=hush", "--junit", "a.xml"];
    let output = driver(folder.path(), &args);
    assert_eq!(output.status.code(), Some(1));
    let xml = fs::read_to_string(folder.path().join("a.xml")).unwrap();
    assert!(
        xml.contains("errors=\"1\"") && xml.contains("no connection"),
        "{xml}"
    );
    assert!(
        xml.contains("token=********") && !xml.contains("hush"),
        "{xml}"
    );
    let wrong = driver(
        folder.path(),
        &["http://127.0.0.1:1/", "--junit", "none/a.xml"],
    );
    assert_eq!(wrong.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        errors.contains("--junit none/a.xml"),
        "before anything is sent: {errors}"
    );
}

#[test]
fn standard_output_may_have_the_markdown_alone() {
    let server = Server::answering(OK);
    let folder = tempfile::tempdir().unwrap();
    let url = server.url();
    let args = [&url, "-n", "20", "-c", "1", "--markdown", "-"];
    let output = driver(folder.path(), &args);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text(&output).starts_with("## good: http://"),
        "{}",
        text(&output)
    );
    let both = driver(folder.path(), &[&url, "--markdown", "-", "--json"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn a_result_says_which_command_and_which_document_it_came_from() {
    let server = Server::answering(OK);
    let folder = tempfile::tempdir().unwrap();
    let document = format!(
        "target: {}\ndata: {{u: {{file: u.csv}}}}\n\
         steps: [{{GET: /?u=$u, headers: {{Authorization: Bearer $TOKEN}}}}]\n\
         load: {{closed: 1, sessions: 2}}\n",
        server.url()
    );
    fs::write(folder.path().join("a.yaml"), document).unwrap();
    let run = |rows: &str, token: &str| -> Value {
        fs::write(folder.path().join("u.csv"), rows).unwrap();
        let token = format!("TOKEN={token}");
        let output = driver(folder.path(), &["a.yaml", "--json", "-e", &token]);
        let said = text(&output);
        assert!(!said.contains("hush"), "{said}");
        serde_json::from_str(&said).unwrap()
    };
    let first = run("u\n1\n2\n", "hush1");
    let command = first["command"].as_array().unwrap();
    assert_eq!(
        command[1..5],
        ["run", "a.yaml", "--json", "-e"],
        "{command:?}"
    );
    assert_eq!(command[5], "TOKEN=********");
    let digest = |result: &Value| result["document_sha256"].as_str().unwrap().to_owned();
    assert_eq!(digest(&first).len(), 64);
    assert_eq!(
        digest(&run("u\n1\n2\n", "hush2")),
        digest(&first),
        "of a secret it tells nothing"
    );
    assert_ne!(digest(&run("u\n1\n3\n", "hush1")), digest(&first));
}

#[test]
fn the_rate_of_a_closed_loop_goes_with_its_response_time() {
    let server = Server::answering(OK);
    let folder = tempfile::tempdir().unwrap();
    let args = [&server.url(), "-c", "4", "-d", "1500ms", "--json"];
    let result: Value = serde_json::from_str(&text(&driver(folder.path(), &args))).unwrap();
    let law = &result["littles_law"];
    assert_eq!(law["in_flight"], 4, "{law}");
    assert_eq!(law["holds"], true, "{law}");
    let open = [
        &server.url(),
        "-c",
        "4",
        "--rate",
        "100",
        "-d",
        "1s",
        "--json",
    ];
    let result: Value = serde_json::from_str(&text(&driver(folder.path(), &open))).unwrap();
    assert_eq!(result["littles_law"], Value::Null);
}
