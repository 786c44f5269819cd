//! A running merger.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longest wait for anything, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Killed when dropped.
pub(crate) struct Merger {
    child: Child,
    events: Receiver<Value>,
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_merger"));
    command
        .args(arguments)
        .env_remove("BROKER_IP")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Merger {
    pub(crate) fn start(kafka: &str, id: &str) -> Self {
        let mut child = command(&["--kafka", kafka, "--merger-id", id])
            .spawn()
            .unwrap();
        let events = events(child.stdout.take().unwrap());
        Self { child, events }
    }

    /// The next line of its log with this event.
    pub(crate) fn event(&self, name: &str) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left);
            let event = event.unwrap_or_else(|_| panic!("no event {name}"));
            if event["event"] == name {
                return event;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn end(mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.child.wait().unwrap()
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its log, which somebody must take.
fn events(stdout: ChildStdout) -> Receiver<Value> {
    let (sender, events) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let event = serde_json::from_str(&line).unwrap();
            // Whoever listened may be gone.
            let _ = sender.send(event);
        }
    });
    events
}
