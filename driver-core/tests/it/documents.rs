//! Documents as people run them: every example in bench/documents against a site that checks what it
//! gets, and one session spoken aloud.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::server::{OK, Server};
use crate::site::{SECRET, Site};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../bench/documents")
        .join(name)
}

/// `driver` with a document and the site's address.
fn driver(command: &str, file: &Path, url: &str) -> Command {
    let target = format!("TARGET={}", url.trim_end_matches('/'));
    let mut driver = Command::new(env!("CARGO_BIN_EXE_driver"));
    driver.arg(command).arg(file).args(["-e", &target]);
    driver.env("CLIENT_SECRET", SECRET).stdin(Stdio::null());
    driver
}

fn text(output: &Output) -> String {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    part(&output.stdout) + &part(&output.stderr)
}

/// Runs an example against a site of its own; its result.
fn run(name: &str) -> (Value, Site) {
    let (site, other) = (Site::start(), Site::start());
    let mut command = driver("run", &example(name), &site.server.url());
    let mut of_other = 0;
    if name == "two_servers.json" {
        let files = format!("STATIC={}", other.server.url().trim_end_matches('/'));
        command.args(["-e", &files]);
        of_other = 30;
    }
    let output = command.arg("--json").output().unwrap();
    let complaints = [site.complaints(), other.complaints()].concat();
    assert!(complaints.is_empty(), "{name}: {}", complaints.join("\n\n"));
    let code = output.status.code();
    assert_eq!(code, Some(0), "{name}: {}", text(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let warmed_up = result["warmup_sent"].as_u64().unwrap_or_default();
    let sent = result["sent"].as_u64().unwrap() + warmed_up;
    assert_eq!(other.server.requests(), of_other, "{name}");
    assert_eq!(sent, site.server.requests() + of_other, "{name}");
    assert_eq!(result["ok"], result["sent"], "{name}");
    assert_eq!(result["accounting"]["holds"], true, "{name}");
    (result, site)
}

/// Of a step of a result, one of its numbers.
fn step(result: &Value, name: &str, figure: &str) -> u64 {
    let steps = result["steps"].as_array().unwrap();
    let found = steps.iter().find(|step| step["name"] == name);
    found.unwrap_or_else(|| panic!("no step {name} in {result}"))[figure]
        .as_u64()
        .unwrap()
}

#[test]
fn sessions_do_what_their_documents_say() {
    for (name, last, times) in [
        ("burst.yaml", "GET /front", 400),
        ("graphql.yaml", "note", 100),
        ("log_replay.yaml", "GET $log.path", 200),
        ("login_cookie.yaml", "out", 20),
        ("polling.yaml", "fetch", 25),
        ("token_api.yaml", "read", 400),
        ("two_servers.json", "count", 30),
        ("upload.yaml", "get", 40),
    ] {
        let (result, _) = run(name);
        assert_eq!(step(&result, last, "ok"), times, "{name}");
    }
}

#[test]
fn a_mix_is_exact_over_the_whole_run() {
    let (_, site) = run("mix.yaml");
    let tens: Vec<u64> = (1..=10).rev().map(|weight| weight * 10).collect();
    assert_eq!(site.pages(), tens);
}

#[test]
fn a_shop_sells_to_everyone_once() {
    let (result, _) = run("shop.yaml");
    let sold = step(&result, "pay", "ok");
    assert!(sold > 10, "{result}");
    assert_eq!(step(&result, "login", "ok"), sold);
    let thresholds = result["thresholds"].as_array().unwrap();
    assert_eq!(thresholds.len(), 4);
}

#[test]
fn one_session_is_spoken_aloud_and_secrets_are_not() {
    let site = Site::start();
    let file = example("token_api.yaml");
    let output = driver("try", &file, &site.server.url()).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(site.complaints(), Vec::<String>::new());
    assert_eq!(site.server.requests(), 21);
    for line in [
        "* token (main)",
        "> POST /oauth/token HTTP/1.1",
        "client_secret=********",
        "< 200",
        "* token = \"T\"",
        "> Authorization: ********",
        "* check json $.orders[0].id exists: holds",
        "* the session is over: good",
    ] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    assert!(!said.contains("s%26c+ret"), "{said}");
}

#[test]
fn a_session_that_fails_says_where() {
    let server = Server::answering(OK);
    let output = driver("try", &example("polling.yaml"), &server.url()).output();
    let output = output.unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("* job: NOT FOUND"), "{said}");
    assert!(said.contains("* status 200: FAILED"), "{said}");
    assert!(said.contains("* the session is over: not good"), "{said}");
}

#[test]
fn each_round_of_a_repeated_step_is_shown_and_the_result_counts_them_as_one() {
    let server = Server::answering(OK);
    let document = "target: $TARGET\nload: {closed: 1, sessions: 2}\nsteps:\n\
        - {name: ask, GET: /ask, repeat: 4, check: [status == 200]}\n\
        - {name: wait, GET: /wait, repeat: 1000, until: status == 200, think: 1ms}\n";
    let (code, said) = run_text(document, &server, &["--json"]);
    assert_eq!(code, Some(0), "{said}");
    let result: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(result["steps"].as_array().unwrap().len(), 2, "{said}");
    let sent = |name| step(&result, name, "sent");
    assert_eq!((sent("ask"), sent("wait")), (8, 2), "{said}");
    assert_eq!(result["steps"][0]["checks"][0]["held"], 8, "{said}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.yaml");
    std::fs::write(&file, document).unwrap();
    let said = text(&driver("try", &file, &server.url()).output().unwrap());
    for (line, times) in [
        ("* ask (main)", 4),
        ("* check status == 200: holds", 4),
        ("* wait (main)", 1),
    ] {
        assert_eq!(said.matches(line).count(), times, "{line:?} in {said}");
    }
}

/// A document in a folder of its own, run against a server.
fn run_text(document: &str, server: &Server, args: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.yaml");
    std::fs::write(&file, document).unwrap();
    let mut command = driver("run", &file, &server.url());
    let output = command.args(args).output().unwrap();
    (output.status.code(), text(&output))
}

#[test]
fn a_condition_of_the_document_ends_the_run() {
    let server = Server::answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let document =
        "target: $TARGET\nload: {open: 50/s, for: 1m}\nabort: [error_rate > 20% for 2s]\n";
    let (code, said) = run_text(document, &server, &["--json"]);
    assert_eq!(code, Some(3), "{said}");
    let reason = r#""aborted_by":"error_rate > 20% for 2.00s""#;
    assert!(said.contains(reason), "{said}");
    assert!(said.contains(r#""state":"aborted""#), "{said}");
    assert!(server.requests() < 500, "{} requests", server.requests());
}

#[test]
fn each_step_has_its_own_timeout() {
    let server = Server::start(|peer| {
        while let Some(request) = peer.request() {
            // A connection without an answer is ended by the driver.
            if !request.starts_with(b"GET /silent") && !peer.send(OK) {
                return;
            }
        }
    });
    let document = "target: $TARGET\nload: {closed: 1, sessions: 1}\nsteps:\n\
        - {GET: /first, timeout: 20s}\n- {GET: /silent, timeout: 200ms}\n- GET /last\n";
    let begin = std::time::Instant::now();
    let (code, said) = run_text(document, &server, &["--json"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
    assert!(said.contains(r#""timeout":1"#), "{said}");
    assert_eq!(server.requests(), 3);
}

#[test]
fn nothing_of_a_document_or_beside_it_is_ignored() {
    let server = Server::answering(OK);
    let base = "target: $TARGET\nload: {closed: 1, sessions: 1}\n";
    for (line, args, word) in [
        ("repeat: 0", &[][..], "test.yaml:3:9: repeat: "),
        ("drivers: 2", &[], "test.yaml:3:10: drivers: at least 2"),
        (
            "defaults: {http: h2c}\nsteps: [GET /, GET https://127.0.0.1:1/]",
            &[],
            "test.yaml:4:16: steps[1]: http: h2c is",
        ),
        ("tls: {client: us}", &[], "test.yaml:3:7: tls.client: "),
        ("tls: {cert: us.pem}", &[], "test.yaml:3:13: tls.cert: "),
        (
            "abort: [step(x).p99 > 1s for 2s]",
            &[],
            "test.yaml:3:9: abort",
        ),
        ("", &["--insecure"], "--insecure is for a URL"),
        ("", &["--http", "2"], "--http is for a URL"),
    ] {
        let (code, said) = run_text(&format!("{base}{line}\n"), &server, args);
        assert_eq!(code, Some(2), "{line} {args:?}: {said}");
        assert!(said.contains(word), "{line} {args:?}: {said}");
    }
    assert_eq!(server.requests(), 0);
}

#[test]
fn the_first_bad_answers_are_kept_and_tell_no_secret() {
    let server = Server::start(|peer| {
        for n in 0.. {
            let Some(request) = peer.request() else {
                return;
            };
            let (status, body) = match n % 3 {
                _ if request.starts_with(b"GET /fixed") => {
                    ("503 No", "come back\u{1b}[2J with t0k3n")
                }
                0 => ("403 No", "s&c ret is not the password"),
                1 => ("200 OK", r#"{"state": "sick"}"#),
                _ => ("200 OK", r#"{"state": "well"}"#),
            };
            let fields = format!("Set-Cookie: sid=77\r\nContent-Length: {}", body.len());
            let answer = format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n{body}");
            if !peer.send(answer.as_bytes()) {
                return;
            }
        }
    });
    let document = "target: $TARGET\ndefaults: {connections: 1}\nload: {closed: 1, sessions: 9}\nsteps:\n\
        - {name: login, GET: /login, headers: {X-Key: $secret(CLIENT_SECRET)}, \
           check: [json $.state == well]}\n";
    let (code, said) = run_text(document, &server, &["--json"]);
    assert_eq!(code, Some(0), "{said}");
    let result: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    let of = |why: &str, body: &str| {
        let (status, line) = if why == "status 403" {
            (403, "403 No")
        } else {
            (200, "200 OK")
        };
        let fields = format!("Set-Cookie: ********\r\nContent-Length: {}", body.len());
        let masked = body.replace("s&c ret", "********");
        let text = format!("HTTP/1.1 {line}\r\n{fields}\r\n\r\n{masked}");
        serde_json::json!({"step": "login", "why": why, "status": status, "text": text, "is_cut": false})
    };
    let first = of("status 403", "s&c ret is not the password");
    let second = of("check json $.state == well", r#"{"state": "sick"}"#);
    assert_eq!(
        result["bad_answers"],
        serde_json::json!([first, second, first, second])
    );

    let url = format!("{}fixed", server.url());
    let mut command = Command::new(env!("CARGO_BIN_EXE_driver"));
    let output = command
        .args(["run", &url, "-n", "40", "-c", "1"])
        .args(["-H", "Authorization: Bearer t0k3n"])
        .output();
    let said = text(&output.unwrap());
    let shown = "the first bad answers:\n    status 503\n      HTTP/1.1 503 No\n      \
        Set-Cookie: ********\n      Content-Length: 24\n\n      come back\\u{1b}[2J with ********\n";
    assert!(said.contains(shown), "{said}");
    assert_eq!(said.matches("come back").count(), 2, "{said}");
}
