//! A folder that looks like `target/release`, with an appliance that can be run in it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use proto::bus::EmbeddedBroker;
use serde_json::Value;
use tempfile::TempDir;
use tiny_http::{Header, Request, Response, Server};

/// Long enough for any machine; a test that waits so long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const SLEEPS: &str = "exec sleep 1000";
/// `bench kafka run` has the file for its address elsewhere in its arguments than `broker`.
const BROKER: &str = r#"
[ "$1 $2" = "kafka fetch" ] && exit 0
for argument in "$@"; do file="$argument"; done
echo ADDRESS > "$file.half"; mv "$file.half" "$file"; exec sleep 1000"#;
const DRIVER: &str = r#"[ "$1" = check ] && exit 0; echo '{"event":"started"}'; exec sleep 1000"#;

/// Everything that `appliance` needs; ended and removed when dropped.
pub(crate) struct Machine {
    folder: TempDir,
    /// Answers where the stand-in of the broker says that it listens.
    pub(crate) broker: EmbeddedBroker,
    pub(crate) testserver_port: u16,
    pub(crate) orchestrator_port: u16,
    servers: Vec<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// What the stand-ins of the servers say.
#[derive(Clone, Copy)]
pub(crate) struct Answers {
    pub(crate) health: &'static str,
    pub(crate) nodes: &'static str,
    /// Who asks for the nodes must have it.
    pub(crate) token: Option<&'static str>,
}

impl Answers {
    pub(crate) fn with(nodes: &'static str) -> Self {
        Self {
            health: r#"{"broker":{"state":"up"}}"#,
            nodes,
            token: None,
        }
    }
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        let binary = folder.path().join("bin/appliance");
        fs::copy(env!("CARGO_BIN_EXE_appliance"), binary).unwrap();
        let machine = Self {
            folder,
            broker: EmbeddedBroker::start().unwrap(),
            testserver_port: free_port(),
            orchestrator_port: free_port(),
            servers: Vec::new(),
        };
        let broker = BROKER.replace("ADDRESS", machine.broker.address());
        for (name, script) in [
            ("broker", broker.as_str()),
            ("bench", &broker),
            ("testserver", SLEEPS),
            ("orchestrator", SLEEPS),
            ("merger", SLEEPS),
            ("driver", DRIVER),
        ] {
            machine.script(name, script);
        }
        machine
    }

    /// Replaces a stand-in. Written under another name first: a script that is being written
    /// cannot be run.
    pub(crate) fn script(&self, name: &str, script: &str) {
        let half = self.path("bin/half");
        fs::write(&half, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&half, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(half, self.path("bin").join(name)).unwrap();
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/appliance"));
        command
            .args(arguments)
            .env("DLTS_DIR", self.folder.path())
            .env("BROKER", "embedded")
            .env("TESTSERVER_PORT", self.testserver_port.to_string())
            .env("ORCHESTRATOR_PORT", self.orchestrator_port.to_string())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Answers as the test server and the orchestrator would, once their stand-ins run: before
    /// that the ports must be free.
    pub(crate) fn serve(&mut self, nodes: &'static str) {
        self.serve_with(Answers::with(nodes));
    }

    pub(crate) fn serve_with(&mut self, answers: Answers) {
        for (name, port) in [
            ("testserver", self.testserver_port),
            ("orchestrator", self.orchestrator_port),
        ] {
            let stop = Arc::new(AtomicBool::new(false));
            let (record, ended) = (self.path("run/appliance.json"), Arc::clone(&stop));
            let thread = thread::spawn(move || serve(&record, name, port, &answers, &ended));
            self.servers.push((stop, thread));
        }
    }

    /// The record of what runs.
    pub(crate) fn record(&self) -> Value {
        let text = fs::read_to_string(self.path("run/appliance.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Ids of all processes of the record, pumps too.
    pub(crate) fn pids(&self) -> Vec<u64> {
        let record = self.record();
        let entries = record["entries"].as_array().unwrap().iter();
        entries
            .flat_map(|entry| [&entry["process"]["pid"], &entry["pump"]["pid"]])
            .map(|pid| pid.as_u64().unwrap())
            .collect()
    }

    /// Processes that run in this machine's folder, or a binary of it.
    pub(crate) fn left_running(&self) -> Vec<String> {
        let folder = self.folder.path().canonicalize().unwrap();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|process| {
            let line = fs::read(process.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            // A stand-in that became `sleep` is known by its folder, a pump by its arguments.
            let runs_here =
                fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder);
            (runs_here || line.contains(folder.to_str()?)).then_some(line)
        });
        // A zombie has neither.
        lines.filter(|line| !line.is_empty()).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for (stop, thread) in self.servers.drain(..) {
            stop.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
        let _ = self.command(&["down"]).output();
    }
}

fn serve(record: &Path, name: &str, port: u16, answers: &Answers, stop: &AtomicBool) {
    let Answers {
        health,
        nodes,
        token,
    } = *answers;
    let started = || fs::read_to_string(record).is_ok_and(|text| text.contains(name));
    while !started() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let server = Server::http(("127.0.0.1", port)).unwrap();
    while !stop.load(Ordering::Relaxed) {
        if let Ok(Some(request)) = server.recv_timeout(Duration::from_millis(20)) {
            let (status, body) = match request.url() {
                "/nodes" if !token.is_none_or(|token| has(&request, token)) => {
                    (401, r#"{"error":"a token is needed"}"#)
                }
                "/nodes" => (200, nodes),
                "/healthz" => (200, health),
                _ => (200, "{}"),
            };
            let _ = request.respond(Response::from_string(body).with_status_code(status));
        }
    }
}

fn has(request: &Request, token: &str) -> bool {
    let is_it = |header: &Header| {
        header.field.equiv("Authorization") && header.value == format!("Bearer {token}")
    };
    request.headers().iter().any(is_it)
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
