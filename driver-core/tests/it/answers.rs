//! HTTP/1.1 as servers really speak it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use driver_core::load::Directions;

use crate::rig::Rig;
use crate::server::{OK, Server};

#[test]
fn answers_of_every_framing_that_keep_the_connection_are_counted_once() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 400\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nT: x\n\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000002\r\nok\r\n0\r\n\r\n",
    ] {
        let server = Server::answering(answer);
        let done = Rig::on(&server).requests(200).run();
        assert_eq!(
            (done.counters.ok, server.requests()),
            (200, 200),
            "{answer:?}"
        );
        assert_eq!(server.connections(), 4, "{answer:?}");
        assert_eq!(done.counters.bytes_received, 200 * answer.len() as u64);
    }
}

#[test]
fn answers_that_end_the_connection_are_counted_and_the_load_goes_on() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n\r\nup to the end",
        "HTTP/1.0 200 OK\r\n\r\nup to the end",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let server = Server::start(move |peer| {
            if peer.request().is_some() {
                peer.send(answer.as_bytes());
            }
        });
        let done = Rig::on(&server).requests(200).run();
        assert_eq!(
            (done.counters.ok, server.requests()),
            (200, 200),
            "{answer:?}: {:?}",
            done.last.reasons
        );
        assert_eq!(done.counters.errors.total(), 0, "{answer:?}");
        assert!(server.connections() >= 200, "{answer:?}");
    }
}

#[test]
fn a_connection_whose_next_answer_might_be_misread_is_not_used_again() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let server = Server::answering(answer);
        let done = Rig::on(&server).requests(20).run();
        assert_eq!(
            (done.counters.ok, server.requests()),
            (20, 20),
            "{answer:?}"
        );
        assert_eq!(done.counters.errors.total(), 0, "{answer:?}");
        assert!(server.connections() >= 20, "{answer:?}");
    }
}

#[test]
fn a_request_that_announces_the_end_has_a_connection_of_its_own() {
    // Servers close after such a request, whether they say so or not; this one only waits.
    let server = Server::answering(OK);
    let rig = Rig::on(&server).header("Connection", "close");
    let done = rig.requests(200).run();
    assert_eq!(
        (done.counters.ok, server.requests()),
        (200, 200),
        "{:?}",
        done.last.reasons
    );
    assert_eq!(done.counters.errors.total(), 0);
    assert!(server.connections() >= 200, "{}", server.connections());
}

#[test]
fn thousands_of_interim_answers_are_read_over_and_endless_ones_end_with_the_timeout() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n".repeat(5_000);
    let server = Server::answering([early.as_bytes(), OK].concat());
    let done = Rig::on(&server).requests(20).run();
    assert_eq!((done.counters.ok, done.counters.errors.total()), (20, 0));
    let server = Server::start(move |peer| {
        if peer.number > 0 {
            while peer.request().is_some() && peer.send(OK) {}
        } else if peer.request().is_some() {
            while peer.send(early.as_bytes()) {}
        }
    });
    let rig = Rig::on(&server).connections(2).timeout_ms(500.0);
    let done = rig.requests(200).run();
    assert_eq!(done.counters.errors.timeout, 1);
    assert_eq!(done.counters.ok, 199, "the other connections are unharmed");
}

#[test]
fn answers_to_head_have_no_body() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
    let done = Rig::on(&server).method("HEAD").requests(100).run();
    assert_eq!((done.counters.ok, server.connections()), (100, 4));
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_one_answer() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let server = Server::start(move |peer| {
        while peer.request().is_some() && peer.send_slowly(answer, Duration::from_micros(50)) {}
    });
    let done = Rig::on(&server).requests(20).run();
    assert_eq!((done.counters.ok, done.counters.errors.total()), (20, 0));
}

#[test]
fn pipelined_answers_are_matched_in_order_however_they_are_grouped() {
    for group in [1, 3, 8, 11] {
        let server = Server::start(move |peer| {
            loop {
                let mut answers = Vec::new();
                for _ in 0..group {
                    if peer.request().is_none() {
                        return;
                    }
                    answers.extend_from_slice(OK);
                    // The client never has more than 8 in flight: then it waits for an answer.
                    if answers.len() == 8 * OK.len() {
                        break;
                    }
                }
                if !peer.send(&answers) {
                    return;
                }
            }
        });
        // A multiple of every group, so that no group waits for a request that never comes.
        let done = Rig::on(&server)
            .connections(1)
            .pipeline(8)
            .requests(24 * 11)
            .run();
        assert_eq!(
            (done.counters.ok, server.requests()),
            (264, 264),
            "groups of {group}"
        );
    }
}

#[test]
fn a_body_of_100_mb_is_skipped_not_kept() {
    const BODY: usize = 100 << 20;
    let server = Server::start(|peer| {
        let piece = vec![b'x'; 1 << 20];
        while peer.request().is_some() {
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n").as_bytes());
            if !(0..BODY / piece.len()).all(|_| peer.send(&piece)) {
                return;
            }
        }
    });
    let before_kb = resident_kb();
    let done = Rig::on(&server)
        .connections(1)
        .requests(2)
        .timeout_ms(60_000.0)
        .run();
    assert_eq!(done.counters.ok, 2);
    assert!(done.counters.bytes_received > 2 * BODY as u64);
    let grown_kb = resident_kb().saturating_sub(before_kb);
    assert!(grown_kb < 50_000, "grew by {grown_kb} KB");
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn a_head_of_almost_64_kib_is_read() {
    let filler = "x".repeat(65_000);
    let server = Server::answering(format!(
        "HTTP/1.1 200 OK\r\nA: {filler}\r\nContent-Length: 2\r\n\r\nok"
    ));
    let done = Rig::on(&server).requests(40).run();
    assert_eq!(done.counters.ok, 40);
}

#[test]
fn a_request_of_megabytes_is_sent_whole() {
    let body = "x".repeat(500_000);
    let server = Server::answering(OK);
    let done = Rig::on(&server)
        .method("POST")
        .body(&body)
        .requests(40)
        .pipeline(4)
        .run();
    assert_eq!((done.counters.ok, server.requests()), (40, 40));
    assert!(done.counters.bytes_sent > 40 * 500_000);
}

#[test]
fn ipv6_works() {
    let address = "[::1]:0".parse().unwrap();
    let Ok(server) = Server::at(
        address,
        |peer| while peer.request().is_some() && peer.send(OK) {},
    ) else {
        eprintln!("this machine has no IPv6 loopback");
        return;
    };
    let done = Rig::on(&server).requests(100).run();
    assert_eq!((done.counters.ok, server.requests()), (100, 100));
}

#[test]
fn of_a_name_with_several_addresses_those_that_answer_are_loaded_in_turn() {
    let server = Server::answering(OK); // at 127.0.0.1 only; localhost may be ::1 as well
    let port = server.address.port();
    let done = Rig::at(&format!("http://localhost:{port}/"))
        .requests(50)
        .run();
    assert_eq!((done.counters.ok, server.requests()), (50, 50));
    let other = Server::at(([127, 0, 0, 2], port).into(), |peer| {
        while peer.request().is_some() && peer.send(OK) {}
    });
    let other = other.unwrap();
    let resolve = format!("shop.invalid:{port}:127.0.0.1,127.0.0.2,127.0.0.3");
    let directions = Directions {
        resolve: vec![resolve.parse().unwrap()],
        sources: Vec::new(),
        unix_socket: None,
    };
    let before = server.connections();
    let rig = Rig::at(&format!("http://shop.invalid:{port}/")).directions(directions);
    let done = rig.connections(8).requests(80).run();
    assert_eq!((done.counters.ok, done.counters.connect_errors), (80, 0));
    // Each was asked once before whether it takes a connection.
    assert_eq!((server.connections() - before, other.connections()), (5, 5));
}

#[test]
fn connections_go_out_from_the_addresses_that_they_are_told() {
    let peers = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&peers);
    let server = Server::start(move |peer| {
        seen.lock().unwrap().insert(peer.address().ip());
        while peer.request().is_some() && peer.send(OK) {}
    });
    let sources: Vec<IpAddr> = vec![[127, 0, 0, 7].into(), [127, 0, 0, 8].into()];
    let directions = Directions {
        resolve: Vec::new(),
        sources: sources.clone(),
        unix_socket: None,
    };
    let done = Rig::on(&server).directions(directions).requests(40).run();
    assert_eq!((done.counters.ok, server.requests()), (40, 40));
    let peers: Vec<IpAddr> = peers.lock().unwrap().iter().copied().collect();
    assert_eq!(peers, sources);
}

#[test]
fn loads_side_by_side_take_nothing_from_each_other() {
    // Descriptors that one lets go of are the next ones of the others, and of their servers.
    let loads = || {
        for _ in 0..20 {
            let server = Server::answering(OK);
            let done = Rig::on(&server).requests(40).run();
            let found = (done.counters.ok, server.requests());
            assert_eq!(found, (40, 40), "{:?}", done.last.reasons);
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(loads);
        }
    });
}
