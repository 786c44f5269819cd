//! An orchestrator that answers as the test tells it, and remembers what it was asked.

use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tiny_http::{Header, Response, Server};

/// Long enough for any machine; a test that waits so long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What was asked: method and path, the body, the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) what: String,
    pub(crate) body: String,
    pub(crate) authorization: Option<String>,
}

/// Status and body for a method and path. The number counts the calls of that path before.
type Script = fn(&str, usize) -> (u16, Value);

pub(crate) struct Scripted {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    pub(crate) fn start(script: Script) -> Self {
        let server = Server::http("127.0.0.1:0").unwrap();
        let address = server.server_addr().to_string();
        let (asked, stop) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let (log, ended) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if let Ok(Some(request)) = server.recv_timeout(Duration::from_millis(20)) {
                    answer(request, script, &log);
                }
            }
        });
        Self {
            address,
            asked,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = client(arguments);
        command.env("ORCHESTRATOR", &self.address);
        command
    }

    pub(crate) fn client(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until this was asked.
    pub(crate) fn wait_for(&self, what: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.asked().iter().any(|asked| asked.what == what) {
            assert!(
                Instant::now() < deadline,
                "{what} was never asked: {:?}",
                self.asked()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut request: tiny_http::Request, script: Script, log: &Mutex<Vec<Asked>>) {
    let mut body = String::new();
    request.as_reader().read_to_string(&mut body).unwrap();
    let what = format!("{} {}", request.method(), request.url());
    let authorization = request
        .headers()
        .iter()
        .find(|header| header.field.equiv("Authorization"))
        .map(|header| header.value.to_string());
    let before = log
        .lock()
        .unwrap()
        .iter()
        .filter(|asked| asked.what == what)
        .count();
    let (status, value) = script(&what, before);
    log.lock().unwrap().push(Asked {
        what,
        body,
        authorization,
    });
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    let json = Header::from_bytes("Content-Type", "application/json").unwrap();
    let _ = request.respond(
        Response::from_string(text)
            .with_status_code(status)
            .with_header(json),
    );
}

pub(crate) fn client(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    command
        .args(arguments)
        .env_remove("BROKER_IP")
        .env_remove("DLTS_TOKEN");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
