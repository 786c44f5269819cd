//! The stamping target as a real process: counts, stamps, framing.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PLAIN: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nHello World";

struct Target {
    child: Child,
    address: String,
}

impl Target {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bench"))
            .args(["target", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let started: Value = serde_json::from_str(&line).unwrap();
        Self {
            child,
            address: started["listen"].as_str().unwrap().to_owned(),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.address);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build();
        let mut answer = ureq::Agent::new_with_config(config)
            .get(&url)
            .call()
            .unwrap();
        answer.body_mut().read_to_string().unwrap()
    }

    fn report(&self) -> Value {
        serde_json::from_str(&self.get("/report")).unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn http_1_0_is_answered_alike_again_and_again_also_between_others() {
    let target = Target::start(&[]);
    let mut stream = target.connect();
    let old = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    let told = ANSWER.replace("OK\r\n", "OK\r\nConnection: keep-alive\r\n");
    let requests = [old, old, PLAIN, old].concat();
    let expected = [told.as_str(), &told, ANSWER, &told].concat();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = vec![0; expected.len()];
    stream.read_exact(&mut answers).unwrap();
    assert_eq!(String::from_utf8(answers).unwrap(), expected);
    assert_eq!(target.get("/metric"), "4");
}

fn read_answers(stream: &mut TcpStream, count: usize) {
    let mut answers = vec![0; ANSWER.len() * count];
    stream.read_exact(&mut answers).unwrap();
    assert_eq!(String::from_utf8(answers).unwrap(), ANSWER.repeat(count));
}

#[test]
fn requests_are_counted_once_each_also_pipelined_and_in_pieces() {
    let target = Target::start(&[]);
    let mut stream = target.connect();
    stream.write_all(PLAIN.repeat(100).as_bytes()).unwrap();
    read_answers(&mut stream, 100);
    for end in 1..PLAIN.len() {
        stream.write_all(&PLAIN.as_bytes()[..end]).unwrap();
        stream.write_all(&PLAIN.as_bytes()[end..]).unwrap();
        read_answers(&mut stream, 1);
    }
    assert_eq!(target.get("/metric"), (100 + PLAIN.len() - 1).to_string());
}

#[test]
fn bodies_are_skipped_and_other_requests_on_the_connection_are_understood() {
    let target = Target::start(&[]);
    let mut stream = target.connect();
    let body = PLAIN.repeat(3_000);
    let post = format!(
        "POST /x HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream
        .write_all(format!("{PLAIN}{post}{PLAIN}{PLAIN}").as_bytes())
        .unwrap();
    read_answers(&mut stream, 4);
    assert_eq!(target.get("/metric"), "4");
}

#[test]
fn a_slow_reader_gets_every_answer() {
    let target = Target::start(&[]);
    let mut stream = target.connect();
    let mut writer = stream.try_clone().unwrap();
    let count = 100_000;
    let sender = std::thread::spawn(move || writer.write_all(PLAIN.repeat(count).as_bytes()));
    // Nothing is read until the target has had to keep answers back.
    let begin = Instant::now();
    let mut seen = target.get("/metric");
    while begin.elapsed() < Duration::from_secs(20) {
        let again = target.get("/metric");
        if again == seen && seen != "0" {
            break;
        }
        seen = again;
    }
    read_answers(&mut stream, count);
    sender.join().unwrap().unwrap();
    assert_eq!(target.get("/metric"), count.to_string());
}

#[test]
fn a_client_that_wants_the_connection_closed_gets_that() {
    let target = Target::start(&[]);
    for request in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    ] {
        let mut stream = target.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("\r\n\r\nHello World"), "{answer}");
    }
    let mut stream = target.connect();
    stream.write_all(b"garbage\r\n\r\n").unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(target.get("/metric"), "2");
}

#[test]
fn gaps_and_lateness_are_seen_from_this_side() {
    let target = Target::start(&["--rate", "100"]);
    let mut stream = target.connect();
    let begin = Instant::now();
    for index in 0..20u32 {
        // Every tenth request 5 ms late, on purpose.
        let late = if index % 10 == 9 {
            Duration::from_millis(5)
        } else {
            Duration::ZERO
        };
        let intended = Duration::from_millis(10) * index + late;
        std::thread::sleep(intended.saturating_sub(begin.elapsed()));
        stream.write_all(PLAIN.as_bytes()).unwrap();
        read_answers(&mut stream, 1);
    }
    let report = target.report();
    assert_eq!(report["requests"], 20);
    assert_eq!(report["grid_ns"], 10_000_000.0);
    let late = report["lateness"]["max_ns"].as_u64().unwrap();
    assert!(late >= 4_900_000, "the two late ones must show: {late} ns");
    let error = report["gap_error"]["max_ns"].as_u64().unwrap();
    assert!(error >= 4_500_000, "{error} ns");
    assert!(report["gap"]["p50_ns"].as_u64().unwrap() > 5_000_000);
    assert!(report["busy_share"].as_f64().unwrap() < 0.5);
    let held_up = report["held_up_share"].as_f64().unwrap();
    assert!((0.0..1.0).contains(&held_up), "{held_up}");
}

#[test]
fn reset_forgets_and_sets_the_grid_or_says_why_not() {
    let target = Target::start(&[]);
    target.get("/");
    assert_eq!(target.get("/reset?rate=1000"), r#"{"grid_ns":1000000.0}"#);
    let report = target.report();
    assert_eq!(
        (&report["requests"], &report["grid_ns"]),
        (&0.into(), &1_000_000.0.into())
    );
    assert!(
        target
            .get("/reset?rate=x")
            .contains("rate 'x' is not within")
    );
}

#[test]
fn answers_are_as_large_as_told_also_for_a_slow_reader() {
    let target = Target::start(&[]);
    let mut stream = target.connect();
    let request = "GET /?size=1m HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request.repeat(20).as_bytes()).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1 << 20);
    for _ in 0..20 {
        let mut answer = vec![0; head.len() + (1 << 20)];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(head.as_bytes()));
        assert!(answer[head.len()..].iter().all(|&byte| byte == b'x'));
    }
    assert_eq!(target.get("/metric"), "20");
    assert!(target.get("/?size=1g").contains("size '1g' is not within"));
}

#[test]
fn a_unique_answer_is_like_no_other() {
    let target = Target::start(&[]);
    let mut stream = target.connect();
    let request = "GET /?unique HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request.repeat(3).as_bytes()).unwrap();
    let len = ANSWER.len() + "X-Request-Id: \r\n".len() + 32;
    let answers: std::collections::BTreeSet<Vec<u8>> = (0..3)
        .map(|_| {
            let mut answer = vec![0; len];
            stream.read_exact(&mut answer).unwrap();
            answer
        })
        .collect();
    assert_eq!(answers.len(), 3);
    assert!(
        answers
            .iter()
            .all(|answer| answer.ends_with(b"\r\n\r\nHello World"))
    );
}

#[test]
fn instants_of_arrivals_can_be_had_one_by_one() {
    let target = Target::start(&[]);
    target.get("/reset?stamps=3");
    let mut stream = target.connect();
    for _ in 0..5 {
        stream.write_all(PLAIN.as_bytes()).unwrap();
        read_answers(&mut stream, 1);
    }
    let text = target.get("/stamps");
    let stamps: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!((stamps.len(), stamps[0]), (3, 0));
    assert!(stamps.is_sorted());
    assert!(target.report()["burst"]["count"].as_u64() >= Some(1));
}

#[test]
fn what_a_client_that_went_away_did_not_take_is_given_to_nobody_else() {
    let target = Target::start(&[]);
    for _ in 0..20 {
        let mut stream = target.connect();
        let request = "GET /?size=1m HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request.repeat(8).as_bytes()).unwrap();
        let mut begin = [0; 1000];
        stream.read_exact(&mut begin).unwrap();
        // With answers unread, which makes it a reset.
        drop(stream);
        let count: u64 = target.get("/metric").parse().unwrap();
        assert!(count > 0);
    }
}
