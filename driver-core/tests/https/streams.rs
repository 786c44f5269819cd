//! Requests and answers in numbers, counted by the servers.

use std::io::BufRead;

use crate::certificates::Certificates;
use crate::client::{Client, core, options, setup};
use crate::servers::{ANSWER, BIG_LEN, Running, go, has, nginx, node, openssl};
use driver_core::transport::{Handshakes, Transport};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const BIG_REQUEST: &[u8] = b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Several connections one after another, many requests on each, pipelined and not, large and
/// small; all answered, all counted, all but so many resumed.
fn load(server: &Running, certificates: &Certificates, version: &str, full: u64) {
    let mut tls = core(&setup(&options(certificates)));
    let mut sent = 0;
    for connection in 0..4 {
        let mut client = Client::connect(&mut tls, server.address);
        for request in 0..50 {
            client.send(REQUEST);
            client.until(ANSWER.as_bytes(), 1 + (request * 7) % 400);
            sent += 1;
        }
        client.send(BIG_REQUEST);
        let big = client.until(ANSWER.as_bytes(), 1000 + connection * 9973);
        assert!(big.len() > BIG_LEN);
        client.send(&REQUEST.repeat(10));
        let mut answers = 0;
        while answers < 10 {
            let text = client.until(ANSWER.as_bytes(), 100);
            answers += String::from_utf8_lossy(&text).matches(ANSWER).count();
        }
        sent += 11;
        client.close();
    }
    server.assert_answered(sent);
    let resumed = 4 - full;
    assert_eq!(tls.handshakes(0), Handshakes { full, resumed });
    assert_eq!(tls.facts().unwrap().version, version);
}

#[test]
fn nginx_answers_and_counts_every_request() {
    if !has("nginx") {
        return;
    }
    for (version, more) in [
        ("TLS 1.3", "ssl_protocols TLSv1.3;"),
        ("TLS 1.2", "ssl_protocols TLSv1.2;"),
        (
            "TLS 1.2",
            "ssl_protocols TLSv1.2; ssl_session_tickets off; ssl_session_cache shared:a:1m;",
        ),
    ] {
        let certificates = Certificates::new();
        load(&nginx(&certificates, more), &certificates, version, 1);
    }
}

#[test]
fn go_answers_and_counts_every_request() {
    if has("go") {
        let certificates = Certificates::new();
        load(&go(&certificates), &certificates, "TLS 1.3", 1);
    }
}

#[test]
fn node_answers_and_counts_every_request() {
    if has("node") {
        let certificates = Certificates::new();
        // It gives two tickets for a full handshake and none for one that is resumed.
        load(&node(&certificates), &certificates, "TLS 1.3", 2);
    }
}

#[test]
fn sessions_that_are_not_to_be_resumed_are_not() {
    if !has("nginx") {
        return;
    }
    let certificates = Certificates::new();
    let server = nginx(&certificates, "");
    let mut options = options(&certificates);
    options.resume = false;
    let mut tls = core(&setup(&options));
    for _ in 0..3 {
        let mut client = Client::connect(&mut tls, server.address);
        client.send(REQUEST);
        client.until(ANSWER.as_bytes(), 500);
    }
    let Handshakes { full, resumed } = tls.handshakes(0);
    assert_eq!((full, resumed), (3, 0));
}

#[test]
fn openssl_changes_its_key_and_asks_for_ours() {
    if !has("openssl") {
        return;
    }
    let certificates = Certificates::new();
    let mut server = openssl(&certificates, &[]);
    let mut tls = core(&setup(&options(&certificates)));
    let mut client = Client::connect(&mut tls, server.address);
    // Besides what it gets the server says much about the connection.
    let mut said = server.said().lines().map(Result::unwrap);
    client.send(b"before\n");
    assert!(said.any(|line| line == "before"));
    for round in 0..3 {
        server.type_in("K\n");
        // A command has to be read alone. The server looks at what is typed before it reads this.
        client.send(b"read\n");
        assert!(said.any(|line| line == "read"));
        let text = format!("answer {round}\n");
        server.type_in(&text);
        assert_eq!(client.until(b"\n", 5), text.as_bytes());
        client.send(text.as_bytes());
        assert!(said.any(|line| text.trim_end() == line));
    }
}

#[test]
fn the_end_of_a_connection_is_told() {
    if !has("nginx") {
        return;
    }
    let certificates = Certificates::new();
    let server = nginx(&certificates, "");
    let mut tls = core(&setup(&options(&certificates)));
    let mut client = Client::connect(&mut tls, server.address);
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    while client.receive(500).is_some() {}
    assert!(client.ended, "nginx ends its connections with close_notify");
}
