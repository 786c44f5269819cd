//! One process, its output, and its end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use super::SOON;

/// A started binary of the workspace. Killed when it goes out of scope.
pub(crate) struct Process {
    child: Child,
    name: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// Asks again and again until there is an answer; fails the test when there is none in time.
pub(crate) fn wait_for<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A binary of the workspace: it lies beside the tests, one folder up.
pub(crate) fn binary(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().parent().unwrap().join(name);
    assert!(
        path.exists(),
        "{} is not built; run `make test`",
        path.display()
    );
    path
}

impl Process {
    /// Starts a binary in `folder`, its output going to files named after `name`.
    pub(crate) fn start(folder: &Path, program: &str, name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary(program));
        command.args(arguments);
        Self::spawn(folder, name, &mut command)
    }

    /// As [`Self::start`], by a command that becomes the binary.
    pub(crate) fn spawn(folder: &Path, name: &str, command: &mut Command) -> Self {
        let stdout = folder.join(format!("{name}.out"));
        let stderr = folder.join(format!("{name}.err"));
        let child = command
            .current_dir(folder)
            .env_remove("BROKER_IP")
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            name: name.to_owned(),
            stdout,
            stderr,
        }
    }

    /// Everything written to standard output so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Everything written to standard error so far.
    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// The JSON lines of standard output so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.output()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Waits for a line of standard output that says something.
    pub(crate) fn line<T>(&self, read: impl Fn(&str) -> Option<T>) -> T {
        let name = &self.name;
        let start = Instant::now();
        loop {
            if let Some(found) = self.output().lines().find_map(&read) {
                return found;
            }
            let late = start.elapsed() > SOON;
            assert!(
                !late,
                "{name} did not say it: {}{}",
                self.output(),
                self.errors()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The address on which it says that it listens.
    pub(crate) fn address(&self) -> String {
        self.line(|line| {
            let event: Value = serde_json::from_str(line).ok()?;
            let address = event
                .get("address")
                .or_else(|| event.get("listen"))?
                .as_str()?;
            Some(
                address
                    .trim_start_matches("http://")
                    .trim_end_matches('/')
                    .to_owned(),
            )
        })
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Ends it as `kill -9` does, if it has not ended.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; returns its exit code, if it was not killed.
    pub(crate) fn await_end(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < SOON, "{} does not end", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process takes no other signal than this.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let tail: Vec<String> = self.output().lines().rev().take(8).map(short).collect();
            eprintln!("--- {}: {}\n{}", self.name, self.errors(), tail.join("\n"));
        }
    }
}

fn short(line: &str) -> String {
    line.chars().take(300).collect()
}
