//! Open loops: the schedule holds whatever the answers do, and latency counts from it.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::rig::{Rig, own_the_cores};
use crate::server::{OK, Server};

#[test]
fn a_rate_sends_its_plan_on_one_core_and_on_two() {
    let _cores = own_the_cores();
    for cores in [1, 2] {
        let server = Server::answering(OK);
        let done = Rig::on(&server)
            .rate("2000")
            .seconds(1.0)
            .cores(cores)
            .run();
        assert_eq!((done.counters.sent, done.counters.ok), (2_000, 2_000));
        assert_eq!(server.requests(), 2_000);
        let first_send_ns = done.last.first_send_ns.unwrap();
        assert!(
            (0..500_000_000).contains(&first_send_ns),
            "{first_send_ns} ns"
        );
    }
}

#[test]
fn ramps_and_stages_send_the_area_under_them() {
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    let done = Rig::on(&server).stages("100:900@400ms,500@200ms").run();
    assert_eq!(done.counters.sent, 300);
}

#[test]
fn bursts_start_on_their_grid_and_use_a_connection_each() {
    let _cores = own_the_cores();
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            thread::sleep(Duration::from_millis(20));
            if !peer.send(OK) {
                return;
            }
        }
    });
    let done = Rig::on(&server)
        .connections(20)
        .bursts(20, 0.1)
        .requests(60)
        .run();
    assert_eq!(done.counters.ok, 60);
    assert!(done.response_ms(0.5) < 60.0, "{} ms", done.response_ms(0.5));
}

#[test]
fn a_large_burst_says_when_each_part_of_it_really_left() {
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    let rig = Rig::on(&server).connections(320).bursts(320, 0.1);
    let done = rig.requests(320).run();
    assert_eq!(done.counters.ok, 320);
    // The kernel cannot have taken the first 288 in no time.
    let lag = &done.latencies.release_lag;
    let between_ns = lag.max() - lag.min();
    assert!(between_ns > 20_000, "all within {between_ns} ns");
}

#[test]
fn a_plan_beyond_all_measure_is_stopped_at_once_with_its_books_in_order() {
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    for deadline_ms in [None, Some(20.0)] {
        let mut rig = Rig::on(&server).bursts(1_000_000, 1e-9).seconds(604_800.0);
        if let Some(deadline_ms) = deadline_ms {
            rig = rig.deadline_ms(deadline_ms);
        }
        let begin = Instant::now();
        let done = rig.stop_after(Duration::from_millis(200)).run();
        assert!(done.counters.offered > 100_000_000_000_000);
        assert!(done.counters.ok > 100, "{:?}", done.counters);
        assert_eq!(done.counters.shed > 0, deadline_ms.is_some());
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "{:?}",
            begin.elapsed()
        );
    }
}

/// More than the socket's buffers hold, by requests that fit them singly.
#[test]
fn pipelined_requests_arrive_whole_at_a_target_that_reads_late() {
    const BODY_LEN: usize = 15_000;
    let _cores = own_the_cores();
    let server = Server::start(|peer| {
        thread::sleep(Duration::from_millis(300));
        while let Some(request) = peer.request() {
            let body = &request[request.len() - BODY_LEN..];
            assert!(body.iter().all(|byte| *byte == b'x'), "torn apart");
            if !peer.send(OK) {
                return;
            }
        }
    });
    let rig = Rig::on(&server).connections(1).pipeline(1024);
    let rig = rig.method("POST").body(&"x".repeat(BODY_LEN));
    let done = rig.rate("10000").requests(1_000).run();
    assert_eq!((done.counters.ok, server.requests()), (1_000, 1_000));
}

#[test]
fn past_the_connection_limit_requests_wait_and_their_response_time_says_so() {
    let _cores = own_the_cores();
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            thread::sleep(Duration::from_millis(10));
            if !peer.send(OK) {
                return;
            }
        }
    });
    // Ten at once over one connection: the last waits for nine times 10 ms.
    let done = Rig::on(&server)
        .connections(1)
        .bursts(10, 1.0)
        .requests(10)
        .run();
    assert_eq!(done.counters.ok, 10);
    assert!(
        done.response_ms(1.0) > 95.0,
        "response {} ms",
        done.response_ms(1.0)
    );
    assert!(
        done.service_ms(0.5) < 40.0,
        "service {} ms",
        done.service_ms(0.5)
    );
    let lag_ms = done.latencies.release_lag.max() as f64 / 1e6;
    assert!(lag_ms > 85.0, "release lag {lag_ms} ms");
}

#[test]
fn requests_past_their_deadline_are_shed_not_sent() {
    let _cores = own_the_cores();
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            thread::sleep(Duration::from_millis(40));
            if !peer.send(OK) {
                return;
            }
        }
    });
    let done = Rig::on(&server)
        .connections(1)
        .bursts(10, 1.0)
        .requests(10)
        .deadline_ms(100.0)
        .run();
    assert_eq!(done.counters.sent, server.requests());
    assert_eq!(done.counters.sent + done.counters.shed, 10);
    assert!(
        (1..=4).contains(&done.counters.sent),
        "{} sent",
        done.counters.sent
    );
}

/// The `HdrHistogram` fixture in small: as long a pause as the time before it.
#[test]
fn a_frozen_target_shows_in_the_response_time_of_every_request_it_delayed() {
    const PAUSE: Duration = Duration::from_secs(2);
    let _cores = own_the_cores();
    let frozen = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&frozen);
    let server = Server::start(move |peer| {
        while peer.request().is_some() {
            thread::sleep(Duration::from_millis(1));
            while gate.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            if !peer.send(OK) {
                return;
            }
        }
    });
    thread::spawn(move || {
        thread::sleep(PAUSE);
        frozen.store(true, Ordering::SeqCst);
        thread::sleep(PAUSE);
        frozen.store(false, Ordering::SeqCst);
    });
    let done = Rig::on(&server)
        .connections(8)
        .rate("500")
        .seconds(4.0)
        .run();
    assert_eq!(done.counters.ok, 2_000);
    let half_ms = PAUSE.as_secs_f64() * 500.0;
    let p75 = done.response_ms(0.75);
    assert!(
        (p75 - half_ms).abs() < half_ms * 0.15,
        "response p75 {p75} ms"
    );
    assert!(
        done.service_ms(0.95) < 100.0,
        "service p95 {} ms",
        done.service_ms(0.95)
    );
    assert!(
        done.service_ms(1.0) > 1_500.0,
        "service max {} ms",
        done.service_ms(1.0)
    );
}

#[test]
fn what_cannot_be_sent_within_the_timeout_after_the_plan_is_not_sent() {
    let _cores = own_the_cores();
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            thread::sleep(Duration::from_millis(50));
            if !peer.send(OK) {
                return;
            }
        }
    });
    let rig = Rig::on(&server)
        .connections(1)
        .rate("1000")
        .seconds(0.1)
        .timeout_ms(200.0);
    let done = rig.run();
    assert_eq!(done.counters.planned, 100);
    assert!(done.counters.not_sent > 80, "{:?}", done.counters);
    assert_eq!(done.counters.sent, server.requests());
}

/// Faster than answers come by far: the engine must go on reading them, and sleep meanwhile.
#[test]
fn a_rate_beyond_all_connections_is_still_answered() {
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    let rig = Rig::on(&server)
        .connections(2)
        .rate("1000000")
        .seconds(0.2)
        .timeout_ms(500.0);
    let done = rig.run();
    assert_eq!(done.counters.offered, 200_000);
    assert!(done.counters.ok > 1_000, "{:?}", done.counters);
    assert_eq!(done.counters.sent, server.requests());
}

#[test]
fn what_waits_for_a_connection_is_offered_in_its_own_second() {
    let _cores = own_the_cores();
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            thread::sleep(Duration::from_millis(400));
            if !peer.send(OK) {
                return;
            }
        }
    });
    let rig = Rig::on(&server)
        .connections(1)
        .rate("100")
        .seconds(2.0)
        .timeout_ms(1_000.0);
    let done = rig.run();
    let offered: Vec<u64> = done.seconds.iter().take(3).map(|row| row.offered).collect();
    assert_eq!(offered, [100, 100, 0]);
}

#[test]
fn a_request_is_offered_in_its_own_second_though_the_process_is_held_up() {
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    let url = server.url();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.yaml");
    let load = "load: {open: 400/s, for: 4s}";
    let document = format!("target: {url}\nsteps: [GET /]\n{load}\n");
    fs::write(&file, document).unwrap();
    let plain = [url.as_str(), "--rate", "400", "--duration", "4s"];
    for arguments in [&[file.to_str().unwrap()][..], &plain] {
        let before = server.requests();
        let mut driver = Command::new(env!("CARGO_BIN_EXE_driver"));
        driver.arg("run").args(arguments).arg("--json");
        let driver = driver.stdout(Stdio::piped()).spawn().unwrap();
        let begin = Instant::now();
        while server.requests() < before + 40 {
            assert!(begin.elapsed() < Duration::from_secs(20), "no load came");
            thread::sleep(Duration::from_millis(1));
        }
        let pid = Pid::from_child(&driver);
        kill_process(pid, Signal::STOP).unwrap();
        // Over the ends of two seconds.
        thread::sleep(Duration::from_millis(2_300));
        kill_process(pid, Signal::CONT).unwrap();
        let output = driver.wait_with_output().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rows = result["series"].as_array().unwrap();
        let offered = rows.iter().map(|row| row["offered"].as_u64().unwrap());
        let mut offered: Vec<u64> = offered.collect();
        // The last answers may come in a second of their own.
        let after = offered.split_off(4);
        assert!(after.iter().all(|count| *count == 0), "{after:?}");
        assert_eq!(offered, [400; 4], "{}", arguments[0]);
    }
}
