//! Errors are results: each is counted by its kind, and the load goes on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use driver_core::load::PrepareError;
use proto::clock::monotonic_ns;

use crate::rig::{Rig, collect, own_the_cores};
use crate::server::{OK, Server};

#[test]
fn statuses_from_400_on_are_errors_with_a_latency_of_their_own() {
    for status in [400, 404, 500, 503] {
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno");
        let server = Server::answering(answer);
        let done = Rig::on(&server).requests(100).run();
        assert_eq!((done.counters.errors.status, done.counters.ok), (100, 0));
        assert_eq!(done.counters.completed, 100);
        assert_eq!(done.counters.status_codes.get(&status), Some(&100));
        assert_eq!(
            (server.connections(), done.latencies.response.len()),
            (4, 0)
        );
    }
}

#[test]
fn what_is_no_http_answer_is_malformed_and_costs_the_connection() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let server = Server::answering(answer);
        let done = Rig::on(&server).requests(12).run();
        assert_eq!(done.counters.errors.malformed, 12, "{answer:?}");
        assert_eq!(done.counters.completed, 0, "{answer:?}");
    }
}

#[test]
fn a_head_longer_than_64_kib_is_malformed() {
    let filler = "x".repeat(70_000);
    let server = Server::answering(format!(
        "HTTP/1.1 200 OK\r\nA: {filler}\r\nContent-Length: 2\r\n\r\nok"
    ));
    let done = Rig::on(&server).requests(4).run();
    assert_eq!(done.counters.errors.malformed, 4);
}

#[test]
fn connections_that_end_within_or_before_an_answer_are_read_errors() {
    let partial = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nnot fifty";
    for reset in [false, true] {
        for sent in [&b""[..], partial] {
            let server = Server::start(move |peer| {
                // Every other request is answered well, so that the target counts as alive.
                if peer.request().is_none() || !peer.send(OK) || peer.request().is_none() {
                    return;
                }
                peer.send(sent);
                if reset {
                    peer.reset();
                }
            });
            let done = Rig::on(&server).requests(100).run();
            let lost = done.counters.errors.read + done.counters.errors.write;
            assert_eq!(done.counters.ok + lost, 100, "{:?}", done.counters);
            assert!(lost >= 48, "{:?}", done.counters);
        }
    }
}

#[test]
fn a_pipelined_connection_that_dies_loses_exactly_what_was_in_flight() {
    let server = Server::start(|peer| {
        for _ in 0..10 {
            if peer.request().is_none() || !peer.send(OK) {
                return;
            }
        }
    });
    let done = Rig::on(&server)
        .connections(1)
        .pipeline(4)
        .requests(200)
        .run();
    let (answered, errors) = (done.counters.ok, done.counters.errors);
    assert_eq!(
        answered + errors.read + errors.write + errors.unanswered,
        200
    );
    // Up to 4 with every 10 that are answered: what had not been sent when the end came is not lost.
    assert!(errors.unanswered >= 14, "{errors:?}");
    assert!(answered >= 140, "{answered} answered");
}

#[test]
fn a_request_without_an_answer_times_out_and_the_load_goes_on() {
    let _cores = own_the_cores();
    let server = Server::start(|peer| {
        if peer.number % 2 == 0 {
            while peer.request().is_some() {}
        }
        while peer.request().is_some() && peer.send(OK) {}
    });
    let done = Rig::on(&server)
        .connections(2)
        .requests(50)
        .timeout_ms(100.0)
        .run();
    assert!(done.counters.errors.timeout >= 1, "{:?}", done.counters);
    assert_eq!(done.counters.ok + done.counters.errors.timeout, 50);
    let error_ms = done.latencies.error.min() as f64 / 1e6;
    assert!((99.0..500.0).contains(&error_ms), "{error_ms} ms");
}

#[test]
fn a_target_that_is_not_there_fails_at_once_and_says_why() {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let begin = Instant::now();
    let Err(error) = Rig::at(&format!("http://{address}/")).requests(1).prepare() else {
        panic!("prepared without a target");
    };
    assert!(
        matches!(error, PrepareError::NoConnection { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn a_name_without_an_address_is_refused_in_words() {
    let Err(error) = Rig::at("http://no-such-host.invalid/")
        .requests(1)
        .prepare()
    else {
        panic!("resolved");
    };
    assert!(matches!(&error, PrepareError::Resolve { host, .. } if host == "no-such-host.invalid"));
}

#[test]
fn a_target_that_is_killed_and_restarted_costs_what_was_in_flight() {
    let _cores = own_the_cores();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let child = Child::start(address);
    let url = format!("http://{}/", child.address);
    let restart = child.address;
    let killer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        let killed = Instant::now();
        child.kill();
        thread::sleep(Duration::from_millis(700));
        (Child::start(restart), killed.elapsed())
    });
    let done = Rig::at(&url).connections(8).seconds(5.0).run();
    let (child, away) = killer.join().unwrap();
    child.kill();
    let lost = done.counters.errors.read + done.counters.errors.write;
    // A dying process may still take connections into its backlog: those are in flight as well.
    assert!((1..=16).contains(&lost), "{:?}", done.counters);
    assert_eq!(done.counters.ok + lost, done.counters.sent);
    let tried = done.counters.connect_errors as f64;
    // Of each connection at most 20 in 700 ms; a busy machine takes longer to start a process.
    let most = 8.0 * 20.0 * away.as_secs_f64() / 0.7;
    assert!(
        (8.0..=most).contains(&tried),
        "{tried} attempts in {away:?}: no busy loop, no giving up"
    );
    let tail = done.seconds.iter().find(|row| row.second == 4).unwrap();
    assert!(
        tail.ok > 0,
        "the load did not come back: {:?}",
        done.seconds
    );
}

#[test]
fn a_target_that_is_gone_when_the_load_starts_fails_it_at_once() {
    let _cores = own_the_cores();
    for warmup_s in [0.0, 3600.0] {
        let child = Child::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let rig = Rig::at(&format!("http://{}/", child.address)).rate("100");
        let rig = rig.warmup_s(warmup_s).seconds(3600.0);
        let (load, intervals) = rig.prepare().unwrap();
        child.kill();
        let begin = Instant::now();
        load.start(monotonic_ns() + 500_000_000);
        let why = collect(load, &intervals).outcome.failed.expect("a reason");
        assert!(why.contains("at the start (Connection refused"), "{why}");
        assert!(begin.elapsed() < Duration::from_secs(20), "{why}");
    }
}

#[test]
fn a_target_that_stays_away_ends_a_closed_loop_in_the_warm_up_too() {
    let child = Child::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let rig = Rig::at(&format!("http://{}/", child.address));
    let (load, intervals) = rig.warmup_s(3600.0).requests(10).prepare().unwrap();
    load.start(monotonic_ns());
    let begin = Instant::now();
    thread::sleep(Duration::from_millis(200));
    child.kill();
    let done = collect(load, &intervals);
    let why = done.outcome.failed.expect("a reason");
    assert!(why.starts_with("target_lost: "), "{why}");
    assert!(why.contains("for 5 s (Connection refused"), "{why}");
    assert!(begin.elapsed() > Duration::from_secs(5), "{why}");
    assert_eq!((done.counters.planned, done.counters.not_sent), (10, 10));
}

#[test]
fn what_falls_due_while_the_target_is_away_is_refused_and_the_run_ends_with_its_plan() {
    let child = Child::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let rig = Rig::at(&format!("http://{}/", child.address)).rate("50");
    let (load, intervals) = rig.seconds(4.0).timeout_ms(30_000.0).prepare().unwrap();
    let begin = Instant::now();
    load.start(monotonic_ns());
    let killer = thread::spawn(move || {
        thread::sleep(Duration::from_secs(2));
        child.kill();
    });
    let done = collect(load, &intervals);
    killer.join().unwrap();
    let counters = &done.counters;
    assert_eq!(counters.planned, 200);
    assert!((80..=110).contains(&counters.refused), "{counters:?}");
    assert_eq!(
        counters.ok + counters.errors.total() + counters.refused,
        200
    );
    assert!(begin.elapsed() < Duration::from_secs(6), "{counters:?}");
    assert!(
        done.last.health.away_ns > 1_000_000_000,
        "{:?}",
        done.last.health
    );
    let reasons: Vec<_> = done
        .last
        .reasons
        .iter()
        .map(|reason| &reason.text)
        .collect();
    assert!(
        reasons.iter().any(|text| text.contains("refused")),
        "{reasons:?}"
    );
}

/// A server in a process of its own, which can be killed.
struct Child {
    process: std::process::Child,
    address: SocketAddr,
}

impl Child {
    fn start(address: SocketAddr) -> Self {
        use std::io::{BufRead, BufReader};
        let script = include_str!("child.py");
        let mut process = std::process::Command::new("python3")
            .args(["-c", script, &address.port().to_string()])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port: u16 = line.trim().parse().unwrap();
        Self {
            process,
            address: SocketAddr::new(address.ip(), port),
        }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn an_unasked_answer_on_an_idle_connection_costs_no_request() {
    let _cores = own_the_cores();
    let server = Server::start(|peer| {
        while peer.request().is_some() && peer.send(OK) {
            if peer.number < 4 {
                thread::sleep(Duration::from_millis(20));
                peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                return;
            }
        }
    });
    let done = Rig::on(&server)
        .connections(4)
        .bursts(4, 0.2)
        .requests(12)
        .run();
    assert_eq!(
        (done.counters.ok, done.counters.errors.total()),
        (12, 0),
        "{:?}",
        done.counters
    );
}

#[test]
fn more_connections_than_this_machine_can_have_are_refused_with_a_remedy() {
    let server = Server::answering(OK);
    // On a machine with so many ports there is nothing to refuse.
    let ports = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let bounds: Vec<u32> = ports
        .split_ascii_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    if bounds[1] - bounds[0] >= 50_000 {
        return;
    }
    let Err(error) = Rig::on(&server).connections(50_000).requests(1).prepare() else {
        panic!("50000 connections over {} ports", bounds[1] - bounds[0]);
    };
    let text = error.to_string();
    assert!(
        text.contains("ulimit") || text.contains("ip_local_port_range"),
        "{text}"
    );
    assert_eq!(server.connections(), 0);
}
