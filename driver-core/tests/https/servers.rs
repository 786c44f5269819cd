//! Servers that are not ours, each with a plain port or a file that counts what it was asked.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificates::Certificates;

/// How each answer ends.
pub(crate) const ANSWER: &str = "Hello World";
/// Bytes of what is at `/big`, besides [`ANSWER`] at its end.
pub(crate) const BIG_LEN: usize = 300_000;
/// Most time that a program may take to listen.
const START_MAX: Duration = Duration::from_secs(60);

/// Most time until a request that is answered is counted.
const COUNT_MAX: Duration = Duration::from_secs(10);

/// A running server; it ends with the test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    child: Child,
    count: Count,
}

enum Count {
    /// Lines of a log, one a request.
    Log(PathBuf),
    /// A plain port that answers the number.
    Port(SocketAddr),
    /// It does not count.
    Nothing,
}

impl Running {
    /// The server's own count of requests comes to this, and stays there. It may count one when it
    /// has answered it.
    pub(crate) fn assert_answered(&self, expected: usize) {
        let begin = Instant::now();
        while self.requests() < expected && begin.elapsed() < COUNT_MAX {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.requests(), expected);
    }

    fn requests(&self) -> usize {
        match &self.count {
            Count::Log(path) => fs::read_to_string(path).unwrap().lines().count(),
            Count::Port(address) => ask(*address),
            Count::Nothing => panic!("this server does not count"),
        }
    }

    /// Types a line into the server.
    pub(crate) fn type_in(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(line.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    pub(crate) fn said(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.child.stdout.take().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says that this test is skipped, past the capture of the test harness. With `DLTS_TESTS_NO_SKIP`
/// in the environment it is a failure instead.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program)
        .arg(if program == "go" { "version" } else { "-v" })
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_ok() {
        return true;
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let why = format!("{test} is skipped: there is no {program} here");
    assert!(std::env::var_os("DLTS_TESTS_NO_SKIP").is_none(), "{why}");
    let _ = writeln!(std::io::stderr(), "{why}");
    false
}

fn ask(address: SocketAddr) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().last().unwrap().trim().parse().unwrap()
}

/// A port that is free now. Programs that choose their own are not asked for one.
pub(crate) fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn wait_for(address: SocketAddr, child: &mut Child) {
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the server has ended: {status}");
        }
        assert!(begin.elapsed() < START_MAX, "nothing listens on {address}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// nginx with this line in its server.
pub(crate) fn nginx(certificates: &Certificates, more: &str) -> Running {
    let folder = certificates.folder();
    let big = "x".repeat(BIG_LEN) + ANSWER;
    fs::write(folder.join("big"), big).unwrap();
    let address = free();
    let at = folder.display();
    let configuration = format!(
        "daemon off; master_process off; worker_processes 1; pid {at}/nginx.pid;\n\
         error_log stderr crit;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           access_log off; keepalive_requests 1000000;\n\
           client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
           fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
           server {{ listen {address} ssl; default_type text/plain;\n\
             ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key;\n\
             {more}\n\
             access_log {at}/requests.log;\n\
             location = /big {{ alias {at}/big; }}\n\
             location / {{ return 200 '{ANSWER}'; }} }}\n\
         }}\n"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration).unwrap();
    let mut child = Command::new("nginx")
        .arg("-c")
        .arg(&file)
        .arg("-p")
        .arg(folder)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(address, &mut child);
    Running {
        address,
        child,
        count: Count::Log(folder.join("requests.log")),
    }
}

/// A program that writes the address of its TLS port and that of its count into a line.
fn telling(mut command: Command, certificates: &Certificates) -> Running {
    let mut child = command
        .arg(certificates.path("server.pem"))
        .arg(certificates.path("server.key"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    let addresses: Vec<SocketAddr> = line
        .split_whitespace()
        .map(|address| address.parse().unwrap())
        .collect();
    let [address, count] = addresses.as_slice() else {
        panic!("the server says {line:?}");
    };
    Running {
        address: *address,
        child,
        count: Count::Port(*count),
    }
}

/// Go's own HTTP and TLS.
pub(crate) fn go(certificates: &Certificates) -> Running {
    let program = certificates.path("server");
    let source = certificates.path("server.go");
    fs::write(&source, include_str!("server.go")).unwrap();
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(&source)
        .current_dir(certificates.folder())
        .status();
    assert!(built.unwrap().success());
    telling(Command::new(program), certificates)
}

/// node's HTTP on OpenSSL.
pub(crate) fn node(certificates: &Certificates) -> Running {
    let source = certificates.path("server.js");
    fs::write(&source, include_str!("server.js")).unwrap();
    let mut command = Command::new("node");
    command.arg(source);
    telling(command, certificates)
}

/// OpenSSL's test server, which sends what is typed into it and prints what it gets.
pub(crate) fn openssl(certificates: &Certificates, more: &[&str]) -> Running {
    let address = free();
    let mut child = Command::new("openssl")
        .args(["s_server", "-accept", &address.to_string(), "-cert"])
        .arg(certificates.path("server.pem"))
        .arg("-key")
        .arg(certificates.path("server.key"))
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(address, &mut child);
    Running {
        address,
        child,
        count: Count::Nothing,
    }
}
