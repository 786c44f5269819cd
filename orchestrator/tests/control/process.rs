//! A running orchestrator, and plain calls to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longest wait for anything, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// Killed when dropped.
pub(crate) struct Orchestrator {
    child: Child,
    pub(crate) address: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) fn command(folder: &Path, kafka: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
    command
        .args(["--kafka", kafka, "--data"])
        .arg(folder.join("data/orchestrator.sqlite"))
        .args(more)
        .env_remove("BROKER_IP")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

impl Orchestrator {
    pub(crate) fn start(folder: &Path, kafka: &str) -> Self {
        Self::with(folder, kafka, &["--listen", "127.0.0.1:0"])
    }

    pub(crate) fn with(folder: &Path, kafka: &str, more: &[&str]) -> Self {
        let mut child = command(folder, kafka, more).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("it says where it listens").unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == "listening" {
                break event["address"].as_str().unwrap().to_owned();
            }
        };
        // Nobody reads the rest, but somebody must take it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn end(mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.child.wait().unwrap()
    }

    /// Resident memory, KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str) -> Answer {
        self.call("POST", path, &[], "")
    }

    pub(crate) fn call(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let own = format!("Host: {}", self.address);
        let mut lines = vec!["Connection: close"];
        if !headers.iter().any(|line| line.starts_with("Host:")) {
            lines.push(&own);
        }
        lines.extend(headers);
        let head = format!("{method} {path} HTTP/1.1\r\n{}\r\n", lines.join("\r\n"));
        let text = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        self.raw(text.as_bytes())
    }

    /// Sends bytes and reads until the end.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // It may refuse before it has read everything.
        let _ = stream.write_all(bytes);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        answer(&all)
    }

    /// Waits until the broker is found.
    pub(crate) fn await_broker(&self) {
        wait_for("the broker to be up", || {
            (self.get("/healthz").json()["broker"]["state"] == "up").then_some(())
        });
    }

    pub(crate) fn create(&self, path: &str) -> String {
        let answer = self.post(path);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["TestId"].as_str().unwrap().to_owned()
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes an answer apart; status 0 when there is none.
pub(crate) fn answer(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Answer {
        status: status.unwrap_or(0),
        head: head.to_owned(),
        text: body.to_owned(),
    }
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(start.elapsed() < SOON, "waited {SOON:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
