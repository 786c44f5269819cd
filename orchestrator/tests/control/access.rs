//! Who may ask: tokens, pages of other sites, listeners, targets, and clear refusals to start.

use rustix::process::Signal;

use crate::process::{Orchestrator, command};

const NOBODY: &str = "127.0.0.1:9";
const LOCAL: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// The exit code and the words of one that does not start.
fn refusal(more: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path(), NOBODY, more).output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn pages_of_other_sites_start_no_load() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(folder.path(), NOBODY);
    for header in [
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Host: evil.example",
    ] {
        let answer = orchestrator.call("POST", "/avalanche", &[header], "");
        assert_eq!(answer.status, 403, "{header}: {answer:?}");
        let answer = orchestrator.call("PUT", "/data/a", &[header], "a");
        assert_eq!(answer.status, 403, "{header}: {answer:?}");
    }
    let own = format!("Origin: http://{}", orchestrator.address);
    let answer = orchestrator.call("POST", "/avalanche", &[&own], "");
    assert_eq!(
        answer.status, 503,
        "past the checks, it wants a broker: {answer:?}"
    );
}

#[test]
fn with_a_token_only_the_page_and_the_health_are_public() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--listen", "127.0.0.1:0", "--token", "secret"];
    let orchestrator = Orchestrator::with(folder.path(), NOBODY, &more);
    for (path, status) in [
        ("/", 200),
        ("/healthz", 200),
        ("/tests", 401),
        ("/nodes", 401),
    ] {
        assert_eq!(orchestrator.get(path).status, status, "{path}");
    }
    let wrong = orchestrator.call("GET", "/tests", &["Authorization: Bearer secrets"], "");
    assert_eq!(wrong.status, 401);
    let wrong = orchestrator.call("PUT", "/data/a", &[], "a");
    assert_eq!(wrong.status, 401);
    // Refused by its head, whatever is still to come.
    let host = &orchestrator.address;
    let head = format!("PUT /data/a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n\r\nx");
    assert_eq!(orchestrator.raw(head.as_bytes()).status, 401);
    let authorized = ["Authorization: Bearer secret"];
    let list = orchestrator.call("GET", "/data", &authorized, "");
    assert_eq!(list.json()["bytes"], 0, "{list:?}");
    let right = orchestrator.call("PUT", "/data/a", &authorized, "a");
    assert_eq!((right.status, &right.json()["name"]), (200, &"a".into()));
    let right = orchestrator.call("GET", "/tests", &["Authorization: Bearer secret"], "");
    assert_eq!(right.status, 200, "{right:?}");
}

#[test]
fn what_is_not_safe_does_not_start() {
    for (more, word) in [
        (&["--listen", "0.0.0.0:0"][..], "--token"),
        (&["--listen", "nowhere"], "host:port"),
        (
            &["--target", "http://10.0.0.1/"],
            "--allow-target 10.0.0.1:80",
        ),
        (&["--target", "ftp://127.0.0.1/"], "https"),
        (&["--kafka-property", "group.id=x"], "group.id"),
    ] {
        let (code, words) = refusal(more);
        assert_eq!(code, Some(2), "{more:?}: {words}");
        assert!(words.contains(word), "{more:?}: {words}");
    }
}

#[test]
fn a_store_in_use_and_a_port_in_use_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let running = Orchestrator::start(folder.path(), NOBODY);
    let second = command(folder.path(), NOBODY, &LOCAL).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(words.contains("in use by another orchestrator"), "{words}");
    let (code, words) = refusal(&["--listen", &running.address]);
    assert_eq!(code, Some(1));
    assert!(
        words.contains(&running.address) && words.contains("--listen"),
        "{words}"
    );
    assert_eq!(words.trim_end().lines().count(), 1, "{words}");
}

#[test]
fn a_signal_ends_it_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let orchestrator = Orchestrator::start(folder.path(), NOBODY);
        assert_eq!(orchestrator.end(signal).code(), Some(0), "{signal:?}");
    }
}

#[test]
fn every_server_of_a_document_has_to_be_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--listen", "127.0.0.1:0", "--allow-target", "10.0.0.1:81"];
    let orchestrator = Orchestrator::with(folder.path(), NOBODY, &more);
    let check = |port: u16| {
        let steps = format!("[GET /, GET http://10.0.0.1:{port}/x]");
        let document = format!("target: http://127.0.0.1:1/\nsteps: {steps}\n");
        orchestrator.call("POST", "/tests/check", &[], &document)
    };
    let answer = check(81);
    assert_eq!(answer.status, 200, "{answer:?}");
    let targets = &answer.json()["targets"];
    assert_eq!(targets[1], "http://10.0.0.1:81/", "{targets}");
    let answer = check(82);
    assert_eq!(answer.status, 400, "{answer:?}");
    let problem = &answer.json()["errors"][0];
    assert_eq!(problem["at"], "2:16 steps[1]", "{problem}");
    let words = problem["error"].as_str().unwrap();
    assert!(words.contains("--allow-target 10.0.0.1:82"), "{words}");
}
