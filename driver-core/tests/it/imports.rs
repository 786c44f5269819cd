//! What people have already, as documents that run: each file of `imports/` is imported by the driver,
//! tried or run as it is, and the server sees the requests that the file has.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::server::{OK, Server};

/// A server that keeps what it was asked.
struct Notebook {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Notebook {
    fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&asked);
        let server = Server::start(move |peer| {
            while let Some(request) = peer.request() {
                let request = String::from_utf8_lossy(&request).into_owned();
                let is_head = request.starts_with("HEAD");
                shared.lock().unwrap().push(request);
                let answer: &[u8] = if is_head {
                    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
                } else {
                    OK
                };
                if !peer.send(answer) {
                    return;
                }
            }
        });
        Self { server, asked }
    }

    /// The request lines so far, without their version.
    fn lines(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let line = |request: &String| request.lines().next().unwrap().to_owned();
        let lines = asked.iter().map(line);
        lines.map(|line| line.replace(" HTTP/1.1", "")).collect()
    }

    /// The first request whose line begins so.
    fn request(&self, begin: &str) -> String {
        let asked = self.asked.lock().unwrap();
        let found = asked.iter().find(|request| request.starts_with(begin));
        found
            .unwrap_or_else(|| panic!("no {begin} in {asked:?}"))
            .clone()
    }
}

/// An import in a folder of its own.
struct Work {
    folder: tempfile::TempDir,
    notebook: Notebook,
    /// What was said on standard error.
    said: String,
}

fn driver() -> Command {
    let mut driver = Command::new(env!("CARGO_BIN_EXE_driver"));
    driver.stdin(Stdio::null()).env_remove("TOKEN");
    driver
}

fn text(output: &Output) -> String {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    part(&output.stdout) + &part(&output.stderr)
}

fn input(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/imports");
    folder.join(name)
}

impl Work {
    /// Imports a file, for a server of its own.
    fn import(kind: &str, name: &str, args: &[&str]) -> Self {
        let (folder, notebook) = (tempfile::tempdir().unwrap(), Notebook::start());
        let mut command = driver();
        command.args(["import", kind]).arg(input(name)).args(args);
        command.args(["--target", &notebook.server.url()]);
        command.arg("--output").arg(folder.path().join("test.yaml"));
        command
            .arg("--secrets")
            .arg(folder.path().join("secrets.env"));
        let output = command.output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(output.stdout.is_empty(), "{said}");
        Self {
            folder,
            notebook,
            said,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn document(&self) -> String {
        std::fs::read_to_string(self.file("test.yaml")).unwrap()
    }

    fn is_said(&self, words: &[&str]) {
        for words in words {
            assert!(
                self.said.contains(words),
                "{words:?} is not in {}",
                self.said
            );
        }
    }

    /// Tries the session as it stands; the lines of its requests.
    fn try_it(&self) -> Vec<String> {
        let mut command = driver();
        command
            .arg("try")
            .arg(self.file("test.yaml"))
            .env("TOKEN", "T1");
        command.arg("--secret-file").arg(self.file("secrets.env"));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        self.notebook.lines()
    }

    /// Runs the document with another load; how often the server was asked for what, sorted.
    fn run_with(&self, load: &str) -> Vec<(usize, String)> {
        let document = self.document();
        let line = document
            .lines()
            .find(|line| line.starts_with("load:"))
            .unwrap();
        std::fs::write(self.file("run.yaml"), document.replace(line, load)).unwrap();
        let mut command = driver();
        command.arg("run").arg(self.file("run.yaml")).arg("--json");
        command.arg("--secret-file").arg(self.file("secrets.env"));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["ok"].as_u64(), Some(self.notebook.server.requests()));
        let mut lines = self.notebook.lines();
        lines.sort();
        let groups = lines.chunk_by(|a, b| a == b);
        groups
            .map(|group| (group.len(), group[0].clone()))
            .collect()
    }
}

/// Lines of requests, with how often each came.
fn times(lines: &[(usize, &str)]) -> Vec<(usize, String)> {
    lines
        .iter()
        .map(|(times, line)| (*times, (*line).to_owned()))
        .collect()
}

#[test]
fn what_a_browser_copies_runs() {
    let work = Work::import("curl", "browser.sh", &[]);
    let lines = work.try_it();
    assert_eq!(
        lines,
        ["PATCH /api/v2/cart/items?locale=de-DE", "GET /api/v2/cart"]
    );
    let patch = work.notebook.request("PATCH");
    for part in [
        "authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl\r\n",
        "Cookie: _ga=GA1.1.123; session=s%3Aabc.def\r\n",
        "sec-ch-ua: \"Chromium\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\n",
        "\r\n\r\n{\"note\":\"Grüße!\",\"qty\":2,\"it\":\"it's\"}",
    ] {
        assert!(patch.contains(part), "{part:?} is not in {patch}");
    }
    let document = work.document();
    assert!(
        !document.contains("eyJ") && !document.contains("abc.def"),
        "{document}"
    );
    work.is_said(&[
        "browser.sh:17: left out: another server",
        "secret COOKIE: header Cookie, line 1",
        "3 requests read, 1 left out, 2 in the document",
    ]);
}

#[test]
fn what_a_manual_shows_runs() {
    let work = Work::import("curl", "docs.sh", &[]);
    let lines = work.try_it();
    let expected = [
        "GET /v1/token",
        "GET /v1/orders?limit=20&api_key=k-123",
        "POST /v1/orders",
        "GET /v1/orders/1/invoice",
        "HEAD /v1/health",
    ];
    assert_eq!(lines, expected);
    let post = work.notebook.request("POST");
    assert!(post.contains("Authorization: Bearer T1\r\n"), "{post}");
    assert!(
        post.ends_with("{\"sku\": \"A1\", \"price\": \"$5\"}"),
        "{post}"
    );
    let basic = "Authorization: Basic ZGVtbzpzZWNyZXQtMQ==\r\n";
    assert!(work.notebook.request("GET /v1/token").contains(basic));
    assert!(work.document().contains("    timeout: 5s\n"));
    work.is_said(&[
        "docs.sh:3: left out: no command line of curl",
        "docs.sh:8: redirects are not followed",
        "docs.sh:14: left out: -F with a file",
        "secret TOKEN: the variable of the command line",
    ]);
}

#[test]
fn what_postman_writes_runs() {
    let work = Work::import("curl", "postman.sh", &[]);
    assert_eq!(
        work.try_it(),
        ["POST /oauth/token", "POST /users?sort=name&dir=asc"]
    );
    let body = "grant_type=password&username=max%40example.com&password=p%26w%20d";
    assert!(work.notebook.request("POST /oauth").ends_with(body));
    work.is_said(&["postman.sh:8: left out: [1-9] and {a,b} in a URL"]);
}

#[test]
fn what_firefox_saves_runs() {
    let work = Work::import("har", "firefox.har", &["--no-think"]);
    let lines = work.try_it();
    assert_eq!(
        lines,
        [
            "GET /login?next=%2Fhome",
            "GET /static/site.css",
            "POST /login"
        ]
    );
    let post = work.notebook.request("POST");
    assert!(
        post.ends_with("\r\n\r\nuser=max&password=hunter2"),
        "{post}"
    );
    assert!(post.contains("Cookie: sid=4f2c\r\n"), "{post}");
    assert!(!work.document().contains("hunter2"));
    work.is_said(&[
        "left out: another server",
        "a header field that the driver writes itself: Connection",
    ]);
    let thinking = Work::import("har", "firefox.har", &["--no-assets"]);
    let document = thinking.document();
    assert!(
        document.contains("  - think: 4400ms\n  - POST: /login\n"),
        "{document}"
    );
    assert!(!document.contains("site.css"), "{document}");
}

#[test]
fn what_chrome_saves_runs_with_its_binary_body() {
    let work = Work::import("har", "chrome.har", &[]);
    let lines = work.try_it();
    assert_eq!(
        lines,
        [
            "GET /",
            "GET /assets/app.3f9.js",
            "POST /graphql",
            "PUT /avatar"
        ]
    );
    let document = work.document();
    assert!(
        document.contains("    file: chrome_har.body-1.bin\n"),
        "{document}"
    );
    let body = std::fs::read(work.file("chrome_har.body-1.bin")).unwrap();
    assert!(body.starts_with(b"\x89PNG"));
    assert!(work.notebook.request("POST").contains("query Me($id: ID!)"));
    work.is_said(&["left out: no URL to load: \"wss://app.example.com/live\""]);
    // Without a folder there is no place for a body that is no text.
    let output = driver()
        .args(["import", "har"])
        .arg(input("chrome.har"))
        .output()
        .unwrap();
    let said = text(&output);
    assert!(
        said.contains("chrome.har:6: left out: its body is no text"),
        "{said}"
    );
}

#[test]
fn targets_of_vegeta_run_by_weight() {
    let work = Work::import("vegeta", "targets.txt", &[]);
    std::fs::write(work.file("thing.json"), "{\"thing\": 1}").unwrap();
    let expected = times(&[
        (20, "GET /path/to/dragon?item=ball"),
        (10, "HEAD /health"),
        (10, "POST /things"),
    ]);
    assert_eq!(work.run_with("load: {closed: 4, sessions: 40}"), expected);
    assert!(work.notebook.request("POST").ends_with("{\"thing\": 1}"));
    assert!(
        work.notebook
            .request("GET")
            .contains("Authorization: Basic dXNlcjpwdw==\r\n")
    );
    work.is_said(&[
        "targets.txt:15: left out: another server",
        "no header field: it has no colon",
    ]);
}

#[test]
fn targets_of_vegeta_in_json_run() {
    let work = Work::import("vegeta", "targets.jsonl", &[]);
    let expected = times(&[(20, "GET /a?n=1"), (10, "POST /things")]);
    assert_eq!(work.run_with("load: {closed: 4, sessions: 30}"), expected);
    let post = work.notebook.request("POST");
    assert!(
        post.contains("Accept: text/plain\r\nAccept: */*\r\n"),
        "{post}"
    );
    assert!(post.ends_with("{\"name\": \"Kakarot\"}"), "{post}");
    work.is_said(&[
        "targets.jsonl:4: left out: no target in JSON",
        "targets.jsonl:5: left out",
    ]);
}

#[test]
fn a_list_of_urls_runs_by_weight() {
    let work = Work::import("urls", "urls.txt", &[]);
    let secrets = work.file("secrets.env");
    std::fs::write(&secrets, "SESSIONID=s 1\n").unwrap();
    let expected = times(&[
        (10, "GET /"),
        (30, "GET /products?page=1"),
        (10, "GET /search?q=caf%C3%A9&sessionid=1"),
        (10, "GET /search?q=stra%C3%9Fe"),
    ]);
    assert_eq!(work.run_with("load: {closed: 4, sessions: 60}"), expected);
    work.is_said(&[
        "urls.txt:9: left out: another server",
        "urls.txt:10: left out: no URL",
        "urls.txt:11: left out: no URL",
        "9 requests read, 3 left out, 4 in the document",
    ]);
}

#[test]
fn a_combined_log_runs_by_weight() {
    let work = Work::import("log", "combined.log", &[]);
    std::fs::write(work.file("secrets.env"), "TOKEN=a/b\n").unwrap();
    let expected = times(&[
        (20, "GET /"),
        (20, "GET /reset?token=a%2Fb"),
        (10, "GET /search?q=a%22b"),
        (10, "GET /static/app.css"),
        (10, "HEAD /"),
    ]);
    assert_eq!(work.run_with("load: {closed: 4, sessions: 70}"), expected);
    let document = work.document();
    assert!(
        document.contains("load: {open: 0.023/s, for: 1m}\n"),
        "{document}"
    );
    assert!(
        document.contains("2 of 7 were answered with 4xx or 5xx"),
        "{document}"
    );
    work.is_said(&[
        "combined.log:3: left out: a method that may change something",
        "combined.log:6: left out: a line without a request",
        "combined.log:8: another time zone, reckoned to the same: +0000 after +0100",
        "combined.log:10: the clock went back: 307 s",
    ]);
}

#[test]
fn a_common_log_runs_with_the_most_frequent_only() {
    let work = Work::import("log", "common.log", &["--top", "2"]);
    let expected = times(&[(10, "GET /apache_pb.gif"), (20, "GET /index.html")]);
    assert_eq!(work.run_with("load: {closed: 4, sessions: 30}"), expected);
    work.is_said(&[
        "common.log:5: left out: a request without a path",
        "common.log:6: left out: no line of an access log",
        "left out: 1 × rarer than those that the document has",
    ]);
}

#[test]
fn a_log_in_json_runs() {
    let work = Work::import("log", "caddy.jsonl", &["--unsafe-methods"]);
    let expected = times(&[
        (10, "DELETE /api/items/3"),
        (10, "GET /"),
        (20, "GET /api/items?limit=5"),
        (10, "GET /nginx"),
    ]);
    assert_eq!(work.run_with("load: {closed: 4, sessions: 50}"), expected);
    work.is_said(&[
        "caddy.jsonl:6: left out: JSON without a path",
        "caddy.jsonl:7: left out: no JSON",
    ]);
}

#[test]
fn what_cannot_be_imported_is_an_error_in_words() {
    for (args, code, words) in [
        (&["import", "log", "-"][..], 2, "--target"),
        (&["import", "log", "-", "--target", "x"], 2, "--target: "),
        (
            &[
                "import", "log", "-", "--target", "http://h", "--top", "1001",
            ],
            2,
            "--top 1001: 1 to 1000",
        ),
        (
            &["import", "urls", "-"],
            1,
            "no request to load with was found",
        ),
        (
            &["import", "curl", "/nowhere/x"],
            1,
            "/nowhere/x: No such file",
        ),
        (&["import", "nothing"], 2, "unrecognized"),
    ] {
        let output = driver().args(args).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

#[test]
fn values_of_secrets_go_to_a_new_file_of_ones_own() {
    use std::os::unix::fs::PermissionsExt;
    let work = Work::import("curl", "browser.sh", &[]);
    let path = work.file("secrets.env");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut command = driver();
    command.args(["import", "curl"]).arg(input("browser.sh"));
    let output = command.arg("--secrets").arg(&path).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("File exists"), "{said}");
}
