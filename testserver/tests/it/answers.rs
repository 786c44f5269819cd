//! What the server answers, and that it counts all of it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::Running;

const PLAIN: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_first_minute() {
    let server = Running::start();
    assert_eq!(server.count(), 0);
    assert_eq!(server.get("/").body, "Hello World");
    assert_eq!(server.get("/metric").body, "1");
    assert_eq!(server.get("/ping").body, r#"{"message":"pong"}"#);
    assert_eq!(server.get("/metric").body, "2");
}

#[test]
fn an_ordinary_client_understands_the_answer() {
    let server = Running::start();
    let url = format!("http://{}/", server.address);
    let mut answer = ureq::get(&url).call().unwrap();
    assert_eq!(answer.body_mut().read_to_string().unwrap(), "Hello World");
    assert_eq!(answer.headers()["content-type"], "text/plain");
}

#[test]
fn every_request_is_counted_once_also_from_many_connections_and_pipelined() {
    let server = Running::start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut connection = server.connect();
                for _ in 0..100 {
                    connection.send(&PLAIN.repeat(16));
                    (0..16).for_each(|_| assert_eq!(connection.reply().body, "Hello World"));
                }
            });
        }
    });
    assert_eq!(server.count(), 8 * 100 * 16);
}

#[test]
fn unknown_paths_are_refused_in_json_and_counted() {
    let server = Running::start();
    let reply = server.get("/nowhere\"?x=1");
    assert_eq!(reply.status, 404);
    assert_eq!(json(&reply.body)["error"], "no such path: /nowhere\"");
    assert_eq!(server.count(), 1);
}

#[test]
fn status_and_size_are_as_told() {
    let server = Running::start();
    let reply = server.get("/?status=503&size=1k");
    assert_eq!((reply.status, reply.body.len()), (503, 1024));
    assert!(
        reply
            .head
            .starts_with("HTTP/1.1 503 Service Unavailable\r\n")
    );
    assert_eq!(server.get("/?size=0").body, "");
    assert_eq!(server.get("/?size=3m").body.len(), 3 << 20);
    assert_eq!(server.get("/?status=204").body, "");
}

#[test]
fn a_delay_is_kept_and_holds_up_no_other_connection() {
    const DELAY: Duration = Duration::from_secs(5);
    let server = Running::with(&["--listen", "127.0.0.1:0", "--workers", "1"]);
    let begin = Instant::now();
    let mut slow = server.connect();
    slow.send("GET /?delay=5s HTTP/1.1\r\n\r\n");
    assert_eq!(server.get("/").status, 200);
    let quick = begin.elapsed();
    assert!(quick < DELAY, "the other connection waited {quick:?}");
    assert_eq!(slow.reply().status, 200);
    assert!(begin.elapsed() >= DELAY);
}

#[test]
fn a_distribution_draws_every_value() {
    let server = Running::start();
    let mut connection = server.connect();
    let request = "GET /?status=200:3,503:1 HTTP/1.1\r\n\r\n";
    let answers: Vec<u16> = (0..400).map(|_| connection.ask(request).status).collect();
    let refused = answers.iter().filter(|&&status| status == 503).count();
    // 400 draws at 1/4: the chance of fewer than 40 or more than 160 is below 1e-12.
    assert!((40..160).contains(&refused), "{refused} of 400");
}

#[test]
fn an_invalid_query_is_refused_with_the_value_and_the_range() {
    let server = Running::start();
    let reply = server.get("/?delay=99s");
    assert_eq!(reply.status, 400);
    assert_eq!(
        json(&reply.body)["error"],
        "delay '99s' is not within 0 to 60s"
    );
    assert_eq!(server.get("/?delay=1ms").status, 200);
}

#[test]
fn any_method_is_answered_and_bodies_are_read_to_their_end() {
    let server = Running::start();
    let mut connection = server.connect();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let request = format!("{method} / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello");
        assert_eq!(connection.ask(&request).body, "Hello World");
    }
    let big = "x".repeat(1 << 20);
    let request = format!(
        "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{big}",
        big.len()
    );
    assert_eq!(connection.ask(&request).status, 200);
    assert_eq!(connection.ask(PLAIN).body, "Hello World");
    assert_eq!(server.count(), 7);
    let expected = format!("testserver_request_body_bytes_total {}\n", 25 + (1 << 20));
    assert!(server.get("/metrics").body.contains(&expected));
}

#[test]
fn head_has_no_body_and_the_connection_goes_on() {
    let server = Running::start();
    let mut connection = server.connect();
    let reply = connection.ask("HEAD / HTTP/1.1\r\n\r\n");
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert_eq!(connection.ask(PLAIN).body, "Hello World");
}

#[test]
fn http_1_0_is_told_that_the_connection_stays_open() {
    let server = Running::start();
    let mut connection = server.connect();
    for _ in 0..2 {
        let reply = connection.ask("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        assert!(
            reply.head.contains("\r\nConnection: keep-alive\r\n"),
            "{}",
            reply.head
        );
    }
    assert!(!connection.ask(PLAIN).head.contains("keep-alive"));
}

#[test]
fn bodies_that_cannot_be_read_are_refused_also_with_the_body_in_the_same_read() {
    let server = Running::start();
    for (field, status) in [
        ("Content-Length: x", 400),
        ("Transfer-Encoding: chunked", 501),
    ] {
        for body in ["", "5\r\nhello\r\n0\r\n\r\n"] {
            let mut connection = server.connect();
            let reply = connection.ask(&format!("POST / HTTP/1.1\r\n{field}\r\n\r\n{body}"));
            assert_eq!(reply.status, status, "{body:?}");
            assert!(reply.head.contains("\r\nConnection: close\r\n"));
            assert!(json(&reply.body)["hint"].is_string());
            assert_eq!(connection.rest(), "", "it is the connection's last answer");
        }
    }
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.count(), 5);
    let exposition = server.get("/metrics").body;
    for status in [400, 501] {
        let line = format!("testserver_responses_total{{status=\"{status}\"}} 2\n");
        assert!(
            exposition.contains(&line),
            "{line} is missing in\n{exposition}"
        );
    }
}

#[test]
fn what_does_not_parse_closes_its_connection_only() {
    let server = Running::start();
    let mut garbage = server.connect();
    garbage.send("garbage\r\n\r\n");
    assert_eq!(garbage.rest(), "");
    let mut wordy = server.connect();
    wordy.send(&format!(
        "GET / HTTP/1.1\r\n{}\r\n",
        "X-Field: y\r\n".repeat(17)
    ));
    assert_eq!(wordy.rest(), "");
    let sixteen = format!("GET / HTTP/1.1\r\n{}\r\n", "X-Field: y\r\n".repeat(16));
    assert_eq!(server.connect().ask(&sixteen).status, 200);
    assert_eq!(server.count(), 1);
}

#[test]
fn the_exposition_says_what_happened() {
    let server = Running::start();
    server.get("/");
    server.get("/?status=503");
    server.get("/nowhere");
    let reply = server.get("/metrics");
    assert!(
        reply
            .head
            .contains("Content-Type: text/plain; version=0.0.4")
    );
    for line in [
        "testserver_requests_total 3\n",
        "testserver_responses_total{status=\"200\"} 1\n",
        "testserver_responses_total{status=\"404\"} 1\n",
        "testserver_responses_total{status=\"503\"} 1\n",
        "testserver_connections_total 4\n",
    ] {
        assert!(
            reply.body.contains(line),
            "{line:?} is missing in\n{}",
            reply.body
        );
    }
}
