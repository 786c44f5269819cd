//! Logs that are replayed: `driver import log --pace` writes a document and its file, `driver run`
//! plays them, and the server sees each request of the log once, when it came.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;

use crate::server::{OK, Server};

/// A server that keeps what it was asked, and when.
struct Stamping {
    server: Server,
    asked: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Stamping {
    fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&asked);
        let server = Server::start(move |peer| {
            while let Some(request) = peer.request() {
                let now = Instant::now();
                let line = String::from_utf8_lossy(&request);
                let line = line.lines().next().unwrap_or_default();
                let line = line.trim_end_matches(" HTTP/1.1").to_owned();
                let is_head = line.starts_with("HEAD");
                shared.lock().unwrap().push((now, line));
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

    fn asked(&self) -> Vec<(Instant, String)> {
        self.asked.lock().unwrap().clone()
    }
}

fn driver(args: &[&str], files: &[&Path]) -> Output {
    let mut driver = Command::new(env!("CARGO_BIN_EXE_driver"));
    driver.args(args).args(files).output().unwrap()
}

fn text(output: &Output) -> String {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    part(&output.stdout) + &part(&output.stderr)
}

/// A log of 600 requests in 3 s: one each 10 ms, and 100 at once in the middle of each second. Every
/// seventh line is 40 ms further back than it came; each says which it is.
fn log() -> Vec<(u64, String)> {
    let mut entries: Vec<(u64, String)> = (0..300).map(|n| (n * 10, String::new())).collect();
    entries.extend(
        (0..3).flat_map(|second| (0..100).map(move |_| (second * 1000 + 505, String::new()))),
    );
    entries.sort();
    for (nth, (_, request)) in entries.iter_mut().enumerate() {
        let method = if nth % 5 == 0 { "HEAD" } else { "GET" };
        *request = format!("{method} /page/{}?n={nth}&q=a%20b", nth % 3);
    }
    entries
}

fn lines(entries: &[(u64, String)]) -> String {
    let mut written: Vec<&(u64, String)> = entries.iter().collect();
    for at in (7..written.len() - 4).step_by(7) {
        written[at..at + 4].rotate_left(1);
    }
    let line = |(ms, request): &&(u64, String)| {
        let (second, part) = (ms / 1000, ms % 1000);
        format!(
            "{{\"time\": \"2026-03-01T12:00:{second:02}.{part:03}Z\", \"request\": \"{request} HTTP/1.1\"}}\n"
        )
    };
    written.iter().map(line).collect()
}

#[test]
fn a_log_is_replayed_each_request_once_when_it_came() {
    let (folder, target) = (tempfile::tempdir().unwrap(), Stamping::start());
    let entries = log();
    let input = folder.path().join("access.log");
    let document = folder.path().join("test.yaml");
    let unwanted = "{\"time\": \"2026-03-01T12:00:01Z\", \"request\": \"POST /buy HTTP/1.1\"}\n";
    fs::write(&input, lines(&entries) + unwanted + "\0\x01\n").unwrap();
    let url = target.server.url();
    let args = [
        "import", "log", "--pace", "log*2", "--target", &url, "--output",
    ];
    let imported = driver(&args, &[&document, &input]);
    let said = text(&imported);
    assert_eq!(imported.status.code(), Some(0), "{said}");
    for words in [
        "602 requests read, 2 left out, 600 in test.replay",
        "access.log:601: left out: a method that may change something",
        "access.log:602: left out: no line of an access log",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }

    let run = driver(&["run", "--json"], &[&document]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run));
    let result: Value = serde_json::from_slice(&run.stdout).unwrap();
    for name in ["planned", "sent", "ok"] {
        assert_eq!(result[name], 600, "{name}: {result}");
    }
    let asked = target.asked();
    let mut expected: Vec<&str> = entries.iter().map(|(_, request)| &**request).collect();
    let mut seen: Vec<&str> = asked.iter().map(|(_, line)| &**line).collect();
    expected.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, expected, "each request once");

    // All from the median arrival, since any one of them may be late on a busy machine, the first too.
    let at: BTreeMap<&str, Instant> = asked.iter().map(|(at, line)| (&**line, *at)).collect();
    let first = asked.iter().map(|(at, _)| *at).min().unwrap();
    let came_us = |request: &str| i64::try_from((at[request] - first).as_micros()).unwrap();
    let late_us =
        |(ms, request): &(u64, String)| came_us(request) - i64::try_from(ms * 500).unwrap();
    let mut late_us: Vec<i64> = entries.iter().map(late_us).collect();
    late_us.sort_unstable();
    let median_us = late_us[300];
    let off = late_us
        .iter()
        .filter(|late_us| (*late_us - median_us).abs() > 100_000);
    assert!(off.count() < 200, "{late_us:?}");
    // The bursts are what they were: evenly spread, the middle half of a hundred would take 125 ms.
    // One that the machine leaves alone is enough.
    let middle_us = [505, 1505, 2505].map(|burst_ms| {
        let of_burst = entries.iter().filter(|(ms, _)| *ms == burst_ms);
        let mut came_us: Vec<i64> = of_burst.map(|(_, request)| came_us(request)).collect();
        came_us.sort_unstable();
        came_us[75] - came_us[25]
    });
    assert!(middle_us.iter().any(|us| *us < 80_000), "{middle_us:?}");
}

#[test]
fn a_document_that_replays_is_tried_cut_and_edited() {
    let (folder, target) = (tempfile::tempdir().unwrap(), Stamping::start());
    let input = folder.path().join("access.log");
    let document = folder.path().join("test.yaml");
    let log = "h - - [01/Mar/2026:12:00:00 +0000] \"GET /a?token=t1 HTTP/1.1\" 200 1\n\
        h - - [01/Mar/2026:12:00:00 +0000] \"POST /buy HTTP/1.1\" 200 1\n\
        h - - [01/Mar/2026:12:00:01 +0000] \"GET /b HTTP/1.1\" 200 1\n\
        h - - [01/Mar/2026:13:00:00 +0000] \"GET /c HTTP/1.1\" 200 1\n";
    fs::write(&input, log).unwrap();
    let url = target.server.url();
    let args = [
        "import",
        "log",
        "--pace",
        "log*10",
        "--unsafe-methods",
        "--target",
        &url,
        "--output",
    ];
    let imported = driver(&args, &[&document, &input]);
    assert_eq!(imported.status.code(), Some(0), "{}", text(&imported));

    // A secret in a path is given when it is played.
    let refused = driver(&["run"], &[&document]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(
        text(&refused).contains("TOKEN is not known here"),
        "{}",
        text(&refused)
    );
    let secrets = folder.path().join("secrets.env");
    fs::write(&secrets, "TOKEN=x/y\n").unwrap();
    let secrets = secrets.to_str().unwrap();
    let tried = driver(
        &["try", "--flow", "POST", "--secret-file", secrets],
        &[&document],
    );
    assert_eq!(tried.status.code(), Some(0), "{}", text(&tried));

    // A body, and the first minute only.
    let edited = fs::read_to_string(&document).unwrap();
    let edited = edited
        .replace("- POST $replay", "- {POST: $replay, body: 'n=1'}")
        .replace("pace: log*10", "pace: log*10, for: 6s");
    fs::write(&document, edited).unwrap();
    let args = ["run", "--secret-file", secrets];
    let run = driver(&args, &[&document]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run));
    let promised = "at most 4 requests of a log, replayed in at most 6";
    assert!(text(&run).contains(promised), "{}", text(&run));
    let mut seen: Vec<String> = target.asked().into_iter().map(|(_, line)| line).collect();
    seen.sort();
    assert_eq!(
        seen,
        ["GET /a?token=x%2Fy", "GET /b", "POST /buy", "POST /buy"]
    );

    // What is not as it was written is refused before anything is sent.
    let file = folder.path().join("test.replay");
    let mut bytes = fs::read(&file).unwrap();
    bytes[80] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let refused = driver(&args, &[&document]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(
        text(&refused).contains("test.replay: it is damaged"),
        "{}",
        text(&refused)
    );
    fs::remove_file(&file).unwrap();
    let refused = driver(&args, &[&document]);
    assert!(
        text(&refused).contains("test.replay: No such file"),
        "{}",
        text(&refused)
    );
    assert_eq!(target.server.requests(), 4);
}

#[test]
fn what_a_replay_needs_is_said() {
    for (args, words) in [
        (&["--pace", "log*2"][..], "--output"),
        (&["--pace", "2x", "--output", "t.yaml"], "is no pace"),
        (
            &["--pace", "log", "--top", "5", "--output", "t.yaml"],
            "--top",
        ),
        // Its replay would have the same name.
        (&["--pace", "log", "--output", "t.replay"], "another ending"),
    ] {
        let mut all = vec!["import", "log", "-", "--target", "http://h"];
        all.extend(args);
        let refused = driver(&all, &[]);
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
        assert!(
            text(&refused).contains(words),
            "{args:?}: {}",
            text(&refused)
        );
    }
}
