//! Hostile clients: ordinary ones are still answered, and memory stays bounded.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::process::{Answer, Orchestrator, answer};

/// Nobody listens there: the API needs no broker.
const NOBODY: &str = "127.0.0.1:9";

fn start(folder: &tempfile::TempDir) -> Orchestrator {
    Orchestrator::start(folder.path(), NOBODY)
}

/// What an ordinary client gets meanwhile.
fn assert_serves(orchestrator: &Orchestrator) {
    let begin = Instant::now();
    assert_eq!(orchestrator.get("/healthz").status, 200);
    let elapsed = begin.elapsed();
    assert!(
        elapsed < Duration::from_secs(1),
        "answered after {elapsed:?}"
    );
}

fn assert_refused(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    let json = answer.json();
    assert!(
        json["error"].is_string() && json["hint"].is_string(),
        "{answer:?}"
    );
}

#[test]
fn a_thousand_idle_clients_and_as_many_slow_ones_keep_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = start(&folder);
    let before = orchestrator.memory_kib();
    let idle: Vec<TcpStream> = (0..1000).map(|_| orchestrator.connect()).collect();
    assert_serves(&orchestrator);
    let mut slow: Vec<TcpStream> = (0..900).map(|_| orchestrator.connect()).collect();
    for byte in b"GET / HT" {
        slow.iter_mut()
            .for_each(|client| drop(client.write_all(&[*byte])));
        assert_serves(&orchestrator);
    }
    let grown = orchestrator.memory_kib().saturating_sub(before);
    assert!(
        grown < 200 << 10,
        "{grown} KiB for clients that ask nothing"
    );
    drop((idle, slow));
    assert_serves(&orchestrator);
}

#[test]
fn more_clients_than_there_is_room_for_push_out_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = start(&folder);
    let mut clients: Vec<TcpStream> = Vec::new();
    for _ in 0..2300 {
        clients.push(orchestrator.connect());
    }
    assert_serves(&orchestrator);
    let mut byte = [0];
    assert!(
        matches!(clients[0].read(&mut byte), Ok(0) | Err(_)),
        "the oldest was closed"
    );
}

#[test]
fn half_sent_requests_are_told_that_their_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = start(&folder);
    let half_head = b"GET /tests HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: ".as_slice();
    let half_body = b"POST /avalanche HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\n{";
    let mut clients = [half_head, half_body.as_slice()].map(|bytes| {
        let mut client = orchestrator.connect();
        client.write_all(bytes).unwrap();
        client
    });
    assert_serves(&orchestrator);
    for client in &mut clients {
        let mut all = Vec::new();
        let _ = client.read_to_end(&mut all);
        assert_refused(&answer(&all), 408);
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = start(&folder);
    let long = "x".repeat(20 << 10);
    let head = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {long}\r\n\r\n");
    assert_refused(&orchestrator.raw(head.as_bytes()), 431);
    assert_refused(
        &orchestrator.raw(format!("GET /{long} HTTP/1.1\r\n").as_bytes()),
        431,
    );
    let body = "x".repeat(10 << 20);
    assert_refused(&orchestrator.call("POST", "/avalanche", &[], &body), 413);
    let lying =
        "POST /avalanche HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n";
    assert_refused(&orchestrator.raw(lying.as_bytes()), 413);
    assert_serves(&orchestrator);
}

#[test]
fn garbage_is_refused_and_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = start(&folder);
    for (bytes, status) in [
        (
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
            400,
        ),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: 127.0.0.1\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            411,
        ),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: x\r\n\r\n", 400),
    ] {
        assert_refused(&orchestrator.raw(bytes), status);
    }
    // The first is answered, the garbage behind it refused, and nothing after that is read.
    let pipelined = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n\0\0garbage\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    let text = orchestrator.raw(pipelined).text;
    assert_eq!(text.matches("HTTP/1.1 4").count(), 1, "{text}");
    assert!(text.contains("HTTP/1.1 400"), "{text}");
    assert_serves(&orchestrator);
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = start(&folder);
    let requests = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n\
        POST /avalanche?requests=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}\
        HEAD /tests HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    let all = orchestrator.raw(requests);
    let text = format!("{}\r\n\r\n{}", all.head, all.text);
    let statuses: Vec<&str> = text
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|part| &part[..3])
        .collect();
    assert_eq!(statuses, ["200", "400", "200"], "{text}");
    assert!(text.ends_with("\r\n\r\n"), "HEAD has no body: {text}");
}

#[test]
fn tricks_with_paths_lead_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = start(&folder);
    for (path, status) in [
        ("/../../etc/passwd", 404),
        ("/assets/../../../etc/passwd", 404),
        ("/assets/%2e%2e/%2e%2e/etc/passwd", 404),
        ("//etc/passwd", 404),
        ("/tests/%00", 404),
        ("/tests/%zz", 400),
        ("/tests/%ff", 400),
        ("/tests/a%2fb", 404),
        ("/metrics/'%20OR%201=1--", 404),
        ("/tests/x/export?format=%2e%2e", 400),
    ] {
        assert_refused(&orchestrator.get(path), status);
    }
}

#[test]
fn a_request_template_cannot_smuggle_another_request() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = start(&folder);
    for body in [
        r#"{"headers": {"X": "a\r\nY: b"}}"#,
        r#"{"headers": {"X\r\nY": "b"}}"#,
        r#"{"headers": {"Transfer-Encoding": "chunked"}}"#,
        r#"{"headers": {"Content-Length": "0"}}"#,
        r#"{"method": "GET / HTTP/1.1\r\nX:"}"#,
        r#"{"target": "http://127.0.0.1/ HTTP/1.1\r\nX: y"}"#,
        r#"{"target": "http://127.0.0.1@10.0.0.1/"}"#,
    ] {
        assert_refused(&orchestrator.call("POST", "/avalanche", &[], body), 400);
    }
}
