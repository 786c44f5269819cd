//! A running test server, and a raw connection to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Long enough for any machine; a test that waits so long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A server on a port of its own; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) started: Value,
    pub(crate) address: SocketAddr,
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testserver"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::with(&["--listen", "127.0.0.1:0"])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        let mut child = command(arguments).stderr(Stdio::inherit()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let started = read_line(&mut stdout);
        let address = started["listen"].as_str().unwrap().parse().unwrap();
        Self {
            child,
            stdout,
            started,
            address,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks over a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Reply {
        self.connect()
            .ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    pub(crate) fn count(&self) -> u64 {
        self.get("/metric").body.parse().unwrap()
    }

    pub(crate) fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Connection {
            stream: BufReader::new(stream),
        }
    }

    /// Sends a signal, waits for the end, and returns the last line.
    pub(crate) fn end(mut self, signal: &str) -> (ExitStatus, Value) {
        let kill = Command::new("kill")
            .args([signal, &self.pid().to_string()])
            .status();
        assert!(kill.unwrap().success());
        let line = read_line(&mut self.stdout);
        (self.child.wait().unwrap(), line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn send(&mut self, bytes: &str) {
        self.stream.get_mut().write_all(bytes.as_bytes()).unwrap();
    }

    pub(crate) fn ask(&mut self, request: &str) -> Reply {
        self.send(request);
        self.reply()
    }

    pub(crate) fn reply(&mut self) -> Reply {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(
                self.stream.read_line(&mut head).unwrap(),
                0,
                "closed after {head:?}"
            );
        }
        let field = |line: &str| line.strip_prefix("Content-Length: ").map(str::to_owned);
        let length = head.lines().find_map(field).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply {
            status,
            head,
            body: String::from_utf8(body).unwrap(),
        }
    }

    /// Reads until the server closes; says what came before.
    pub(crate) fn rest(mut self) -> String {
        let mut text = String::new();
        let _ = self.stream.read_to_string(&mut text);
        text
    }
}

fn read_line(stdout: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is no JSON line: {error}"))
}
