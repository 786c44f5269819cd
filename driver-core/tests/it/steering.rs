//! Starting, stopping, and standing still.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use driver_core::affinity;
use driver_core::core_loop::{Bells, Common, CoreLoop, Payload, Route};
use driver_core::dispatch::Shared;
use driver_core::plan::Plan;
use driver_core::protocol::Template;
use driver_core::protocol::http1::Http1;
use driver_core::recording::Collector;
use driver_core::ring::Setup;
use driver_core::transport::plain::Plain;
use glommio::{LocalExecutorBuilder, Placement};
use proto::clock::monotonic_ns;

use crate::rig::{Rig, collect, own_the_cores};
use crate::server::{OK, Server};

#[test]
fn a_stop_ends_a_closed_loop_at_once_with_its_books_in_order() {
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    let rig = Rig::on(&server).requests(1_000_000_000).cores(2);
    let (load, intervals) = rig.prepare().unwrap();
    load.start(monotonic_ns());
    thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    load.stop();
    let done = collect(load, &intervals);
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    assert!(done.outcome.stopped && done.outcome.failed.is_none());
    assert_eq!(done.counters.planned, 1_000_000_000);
    assert!(done.counters.ok > 100 && done.counters.not_sent > 900_000_000);
    assert_eq!(server.requests(), done.counters.sent);
}

#[test]
fn a_stop_does_not_wait_for_the_next_burst_nor_for_a_silent_target() {
    let _cores = own_the_cores();
    let server = Server::start(|peer| while peer.request().is_some() {});
    let rig = Rig::on(&server).bursts(3, 60.0).requests(9);
    let done = rig.stop_after(Duration::from_millis(200)).run();
    assert_eq!((done.counters.sent, done.counters.aborted), (3, 3));
    assert_eq!((done.counters.planned, done.counters.not_sent), (9, 6));
}

#[test]
fn a_load_that_is_stopped_before_its_start_sends_nothing() {
    let server = Server::answering(OK);
    for rig in [
        Rig::on(&server).requests(77),
        Rig::on(&server).requests(77).rate("10"),
    ] {
        let (load, intervals) = rig.prepare().unwrap();
        load.start(monotonic_ns() + 60_000_000_000);
        load.stop();
        let done = collect(load, &intervals);
        assert_eq!((done.counters.planned, done.counters.not_sent), (77, 77));
        assert_eq!(server.requests(), 0);
    }
}

#[test]
fn all_cores_start_at_the_instant_they_were_told() {
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    let rig = Rig::on(&server).rate("100").requests(20).cores(2);
    let (load, intervals) = rig.prepare().unwrap();
    thread::sleep(Duration::from_millis(50));
    assert_eq!(server.requests(), 0, "nothing may be sent before the start");
    load.start(monotonic_ns() + 100_000_000);
    let done = collect(load, &intervals);
    let first_ns = done.last.first_send_ns.unwrap();
    assert!(
        (0..100_000_000).contains(&first_ns),
        "first send {first_ns} ns after the start"
    );
}

#[test]
fn a_load_is_over_when_its_last_answer_has_come() {
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    for rig in [
        Rig::on(&server).requests(40),
        Rig::on(&server).requests(40).rate("1000"),
    ] {
        let done = rig.run();
        let length_ms = done.last.interval_end_ns / 1_000_000;
        assert!(length_ms < 700, "{length_ms} ms"); // not only when the second is over
    }
}

/// A task of the same executor that does not give way for 150 ms.
#[test]
fn a_stall_of_the_core_shows_in_response_time_and_release_lag() {
    const STALL: Duration = Duration::from_millis(150);
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    let workload = Rig::on(&server)
        .connections(8)
        .rate("500")
        .seconds(2.0)
        .workload();
    let plan = Plan::new(workload);
    let shared = Arc::new(Shared::new(1, 0));
    let bells = Arc::new(Bells::new(1).unwrap());
    let (give, intervals) = bounded(16);
    let share = plan.share(0, 1);
    let request = Template::fixed(&plan.workload().request, &plan.workload().target, false);
    let http1 = Http1::new(&[request]);
    let payload = Payload::shared(http1.as_fixed(0).unwrap(), 1);
    let (steered, bell) = (Arc::clone(&shared), Arc::clone(&bells));
    let common = Common {
        plan,
        route: Route {
            servers: vec![vec![server.address.into()]],
            sources: Vec::new(),
        },
        setup: Setup::Newest,
        shared,
        bells,
        intervals: give,
    };
    let thread = thread::spawn(move || {
        assert!(affinity::pin(affinity::allowed()[0]));
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(65_536)
            .make()
            .unwrap();
        executor.run(async {
            let core = CoreLoop::new(common, &share, payload, (http1, Plain)).unwrap();
            glommio::spawn_local(async {
                glommio::timer::sleep(Duration::from_millis(700)).await;
                thread::sleep(STALL);
            })
            .detach();
            core.run(|_, _| {}).await.unwrap();
        });
    });
    steered.start(monotonic_ns() + 50_000_000, 0);
    bell.ring();
    let mut collector = Collector::new(1);
    while !collector.is_complete() {
        let interval = intervals.recv_timeout(Duration::from_secs(20)).unwrap();
        let _ = collector.absorb(&interval);
    }
    thread.join().unwrap();
    let last = collector.last(proto::measure::Outcome::Done, None);
    assert_eq!(last.counters.sent, 1_000);
    let latencies = proto::histogram::Latencies::from(&last.latencies);
    for (name, histogram) in [
        ("response", &latencies.response),
        ("release lag", &latencies.release_lag),
    ] {
        let late_ms = histogram.value_at_quantile(0.97) as f64 / 1e6;
        assert!(late_ms > 50.0, "{name} p97 {late_ms} ms");
        assert!(
            histogram.max() > 130_000_000,
            "{name} max {} ns",
            histogram.max()
        );
    }
    assert!(last.health.stall_max_ns > 130_000_000, "{:?}", last.health);
}
