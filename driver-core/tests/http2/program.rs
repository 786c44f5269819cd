//! Servers as child processes, which end with the test.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// No server takes longer to start; a compiler before it may have to compile its library.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a program is; the test is skipped when it is nowhere.
pub(crate) fn find(name: &str, remedy: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = ["/usr/sbin".into(), "/usr/local/go/bin".into()];
    let found = std::env::split_paths(&path)
        .chain(others)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    if found.is_none() {
        skip(&format!("there is no {name} here; {remedy}"));
    }
    found
}

/// Says that this test is skipped, past the capture of the test harness. With `DLTS_TESTS_NO_SKIP`
/// in the environment it is a failure instead.
pub(crate) fn skip(why: &str) {
    let thread = std::thread::current();
    let said = format!("{} is skipped: {why}", thread.name().unwrap_or("a test"));
    assert!(std::env::var_os("DLTS_TESTS_NO_SKIP").is_none(), "{said}");
    let _ = writeln!(std::io::stderr(), "{said}");
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A running server, and a folder of its own.
pub(crate) struct Program {
    child: Child,
    pub(crate) port: u16,
    folder: tempfile::TempDir,
    pipes: Option<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Program {
    /// Starts a server that is told its port by `arguments(port, folder)`, and waits until it listens.
    pub(crate) fn on_port(
        program: &Path,
        arguments: impl FnOnce(u16, &Path) -> Vec<String>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let arguments = arguments(port, folder.path());
        let stdout = std::fs::File::create(folder.path().join("stdout")).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(stdout)
            .spawn()
            .unwrap();
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begin.elapsed() < PATIENCE,
                "{} does not listen",
                program.display()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            child,
            port,
            folder,
            pipes: None,
        }
    }

    /// Starts a server that says its port (`ready PORT`), and what it counted when it is asked.
    pub(crate) fn counting(program: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let port = line
            .trim()
            .strip_prefix("ready ")
            .and_then(|port| port.parse().ok());
        Self {
            child,
            port: port.unwrap_or_else(|| panic!("{} says {line:?}", program.display())),
            folder: tempfile::tempdir().unwrap(),
            pipes: Some((stdin, stdout)),
        }
    }

    /// How many requests it has seen, and how many bytes of bodies.
    pub(crate) fn counts(&mut self) -> (u64, u64) {
        let (stdin, stdout) = self.pipes.as_mut().unwrap();
        writeln!(stdin).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let (requests, bytes) = line.trim().split_once(' ').unwrap();
        (requests.parse().unwrap(), bytes.parse().unwrap())
    }

    /// Lines that match in a file of its folder, once there are `expected` of them, or the patience
    /// of the test is over: servers write their logs when it suits them.
    pub(crate) fn lines(&self, file: &str, expected: u64, matches: impl Fn(&str) -> bool) -> u64 {
        let begin = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
            let count = text.lines().filter(|line| matches(line)).count() as u64;
            if count >= expected || begin.elapsed() > Duration::from_secs(5) {
                return count;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself, which is no failure of the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
