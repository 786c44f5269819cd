//! A document whose servers differ in scheme and in HTTP, with their own counts as the truth.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::Value;

use crate::certificates::Certificates;
use crate::servers::{free, has, nginx};

/// A server in the clear that counts the requests without a body which name it as their host.
fn clear() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&count);
    // It ends with the process, as its connections do with theirs.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, counts) = (stream.unwrap(), Arc::clone(&counts));
            thread::spawn(move || {
                let mut answers = stream.try_clone().unwrap();
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let is_host = line.eq_ignore_ascii_case(&format!("host: {address}"));
                    counts.fetch_add(u64::from(is_host), Ordering::SeqCst);
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    if line.is_empty() && answers.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, count)
}

#[test]
fn each_server_is_spoken_to_in_its_own_way() {
    if !has("nginx") {
        return;
    }
    let (first, second) = (Certificates::new(), Certificates::new());
    let one = nginx(&first, "ssl_protocols TLSv1.3;");
    let at_two = free();
    let two = nginx(&second, &format!("listen {at_two} ssl http2;"));
    let (three, counted) = clear();
    let (port_one, port_two) = (one.address.port(), at_two.port());
    let both = fs::read_to_string(first.path("ca.pem")).unwrap()
        + &fs::read_to_string(second.path("ca.pem")).unwrap();
    let file = first.path("test.yaml");
    fs::write(first.path("both.pem"), both).unwrap();
    let text = format!(
        "target: https://localhost:{port_one}/\n\
         tls: {{ca: both.pem}}\n\
         defaults: {{connections: 2, pipeline: 3}}\n\
         steps:\n\
         - {{name: one, GET: /, check: [body contains Hello]}}\n\
         - {{name: two, GET: 'https://localhost:{port_two}/', check: [body contains Hello]}}\n\
         - {{name: three, GET: 'http://{three}/', headers: {{TE: x}}}}\n\
         - {{name: long, GET: 'https://localhost:{port_two}/big'}}\n\
         load: {{closed: 9, sessions: 100}}\n"
    );
    fs::write(&file, text).unwrap();
    let resolve = |port: u16| format!("localhost:{port}:127.0.0.1");
    let mut command = Command::new(env!("CARGO_BIN_EXE_driver"));
    command
        .arg("run")
        .arg(&file)
        .arg("--json")
        .stdin(Stdio::null());
    command.args([
        "--resolve",
        &resolve(port_one),
        "--resolve",
        &resolve(port_two),
    ]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&result["planned"], &result["ok"]),
        (&400.into(), &400.into())
    );
    one.assert_answered(100);
    two.assert_answered(200);
    assert_eq!(counted.load(Ordering::SeqCst), 100);
    let servers = result["nodes"][0]["servers"].as_array().unwrap();
    let spoken: Vec<(&str, u64)> = servers
        .iter()
        .map(|server| {
            let handshakes = server["tls"]["handshakes"].as_u64();
            (server["http"].as_str().unwrap(), handshakes.unwrap_or(0))
        })
        .collect();
    assert_eq!(spoken, [("1.1", 2), ("2", 2), ("1.1", 0)], "{servers:?}");
    assert_eq!(servers[2]["tls"], Value::Null);
    assert_eq!(result["nodes"][0]["http"], Value::Null);
}
