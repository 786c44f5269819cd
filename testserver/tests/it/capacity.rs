//! A known capacity: what the server says is what it does, by its own counts and by the clock.

use std::time::{Duration, Instant};

use crate::process::{DEADLINE, Running};

/// Asks for `target` so many times over connections of their own, all at once. Gives the statuses,
/// and the time until all were answered.
fn at_once(server: &Running, target: &str, count: usize) -> (Vec<u16>, Duration) {
    let begin = Instant::now();
    let statuses = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..count)
            .map(|_| scope.spawn(|| server.get(target).status))
            .collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    (statuses, begin.elapsed())
}

/// A figure of the exposition.
fn figure(server: &Running, name: &str) -> u64 {
    let text = server.get("/metrics").body;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

#[test]
fn a_queue_serves_one_at_a_time_whatever_the_connection() {
    let server = Running::start();
    let (statuses, took) = at_once(&server, "/?queue=20ms", 20);
    assert_eq!(statuses, [200; 20]);
    assert!(
        took >= Duration::from_millis(400),
        "{took:?} for 20 of 20 ms"
    );
    assert!(took < DEADLINE, "{took:?}");
    assert!(figure(&server, "testserver_queued_max") > 1);
    assert_eq!(figure(&server, "testserver_queued"), 0);
    let (_, alone) = at_once(&server, "/?queue=1ms", 1);
    assert!(alone >= Duration::from_millis(1), "{alone:?}");
    assert_eq!(server.count(), 21);
}

#[test]
fn a_queue_loses_no_capacity_to_timers_that_wake_late() {
    let server = Running::start();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut connection = server.connect();
                for _ in 0..100 {
                    let reply = connection.ask("GET /?queue=1ms HTTP/1.1\r\nHost: x\r\n\r\n");
                    assert_eq!(reply.status, 200);
                }
            });
        }
    });
    let took = begin.elapsed().as_secs_f64();
    // 2000 of 1 ms each. On a busy machine the clients may leave it idle, but they are 20.
    assert!((2.0..8.0).contains(&took), "{took} s");
    assert_eq!(figure(&server, "testserver_refusals_total"), 0);
}

#[test]
fn a_queue_that_got_too_long_is_slow_until_it_was_empty_for_a_while() {
    let server = Running::start();
    let target = "/?queue=5ms&collapse=3:20:10s";
    let (_, alone) = at_once(&server, target, 1);
    assert!(alone >= Duration::from_millis(5), "{alone:?}");
    assert_eq!(figure(&server, "testserver_collapses_total"), 0);
    at_once(&server, target, 16);
    assert_eq!(figure(&server, "testserver_collapses_total"), 1);
    let (_, later) = at_once(&server, target, 1);
    assert!(
        later >= Duration::from_millis(100),
        "it is still slow: {later:?}"
    );
}

#[test]
fn a_bucket_refuses_what_is_beyond_it_with_the_status_that_is_told() {
    let server = Running::start();
    let mut connection = server.connect();
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let request = "GET /?bucket=0.01:4&over=429 HTTP/1.1\r\nHost: x\r\n\r\n";
        statuses.push(connection.ask(request).status);
    }
    assert_eq!(statuses[..4], [200; 4]);
    assert_eq!(statuses[4..], [429; 6]);
    assert_eq!(server.get("/?bucket=0.01:4").status, 503);
    assert_eq!(figure(&server, "testserver_refusals_total"), 7);
    assert_eq!(server.count(), 11, "refused ones are requests too");
}

#[test]
fn a_bucket_may_delay_instead() {
    let server = Running::start();
    let begin = Instant::now();
    let mut connection = server.connect();
    for _ in 0..11 {
        let request = "GET /?bucket=50&over=delay HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(connection.ask(request).status, 200);
    }
    let took = begin.elapsed();
    assert!(
        took >= Duration::from_millis(200),
        "ten gaps of 20 ms: {took:?}"
    );
    assert_eq!(figure(&server, "testserver_refusals_total"), 0);
}

#[test]
fn a_wait_of_more_than_a_minute_is_refused() {
    let server = Running::start();
    let mut patient = server.connect();
    patient.send("GET /?queue=60s HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut next = server.connect();
    // Not before the first has its place.
    let begin = Instant::now();
    while figure(&server, "testserver_queued") == 0 {
        assert!(begin.elapsed() < DEADLINE);
    }
    next.send("GET /?queue=60s HTTP/1.1\r\nHost: x\r\n\r\n");
    while figure(&server, "testserver_queued") == 1 {
        assert!(begin.elapsed() < DEADLINE);
    }
    assert_eq!(server.get("/?queue=60s").status, 503);
    assert_eq!(figure(&server, "testserver_refusals_total"), 1);
}
