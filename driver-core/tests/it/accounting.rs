//! planned = sent + shed + `not_sent` and sent = ok + errors + aborted are checked by the rig in
//! every test; here is what else the books must say.

use crate::rig::{Done, Rig, own_the_cores};
use crate::server::{OK, Server};

#[test]
fn the_server_sees_what_was_sent_on_any_number_of_cores() {
    for cores in [1, 2, 3] {
        let server = Server::answering(OK);
        let done = Rig::on(&server)
            .connections(10)
            .requests(5_003)
            .cores(cores)
            .run();
        assert_eq!(
            (done.counters.sent, server.requests()),
            (5_003, 5_003),
            "{cores} cores"
        );
        assert_eq!((done.counters.planned, done.counters.ok), (5_003, 5_003));
        let connections = done.last.connections.unwrap();
        assert_eq!((connections.count, server.connections()), (10, 10));
    }
}

#[test]
fn more_cores_than_connections_are_not_used() {
    let server = Server::answering(OK);
    let rig = Rig::on(&server).connections(2).requests(10).cores(5);
    let (load, intervals) = rig.prepare().unwrap();
    assert_eq!(load.cores(), 2);
    load.start(0);
    assert_eq!(crate::rig::collect(load, &intervals).counters.ok, 10);
}

#[test]
fn a_closed_loop_is_fair_to_its_connections() {
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    let done = Rig::on(&server).connections(8).requests(8_000).run();
    let connections = done.last.connections.unwrap();
    assert_eq!(connections.never_served, 0);
    assert!(connections.answers_min >= 200, "{connections:?}");
}

#[test]
fn connections_that_are_never_served_are_counted() {
    let server = Server::start(|peer| {
        if peer.number == 3 {
            while peer.request().is_some() {}
        }
        while peer.request().is_some() && peer.send(OK) {}
    });
    let done = Rig::on(&server)
        .requests(400)
        .timeout_ms(1_000.0)
        .seconds(0.5)
        .run();
    let connections = done.last.connections.unwrap();
    assert_eq!(
        (connections.count, connections.never_served),
        (4, 1),
        "{connections:?}"
    );
}

#[test]
fn every_second_of_every_core_is_handed_over_once() {
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    let done = Rig::on(&server).rate("200").seconds(3.2).cores(2).run();
    let mut expected: Vec<(usize, u64)> =
        (0..2).flat_map(|c| (0..4).map(move |s| (c, s))).collect();
    let mut seen = done.intervals.clone();
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    let offered: Vec<u64> = done.seconds.iter().map(|row| row.offered).collect();
    assert_eq!(offered, [200, 200, 200, 40]);
}

#[test]
fn a_duration_plans_what_it_offers() {
    let server = Server::answering(OK);
    let done = Rig::on(&server).seconds(0.4).run();
    assert_eq!(done.counters.planned, done.counters.offered);
    assert!(done.counters.ok > 10);
}

#[test]
fn warm_up_is_sent_and_counted_nowhere_else() {
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    let done = Rig::on(&server)
        .rate("500")
        .requests(250)
        .warmup_s(0.5)
        .run();
    let warmed = done.counters.warmup_sent;
    // What the warm-up could not send in its time is dropped.
    assert!(
        (200..=250).contains(&warmed),
        "{warmed} sent in the warm-up"
    );
    assert_eq!((done.counters.sent, server.requests()), (250, 250 + warmed));
    let cold = Rig::on(&server).rate("500").requests(250).run();
    let bytes = |done: &Done| (done.counters.bytes_sent, done.counters.bytes_received);
    assert_eq!(bytes(&done), bytes(&cold));
    let before = server.requests();
    let done = Rig::on(&server).requests(300).warmup_s(0.3).run();
    assert_eq!(done.counters.ok, 300);
    assert!(done.counters.warmup_sent > 0);
    assert_eq!(server.requests(), before + 300 + done.counters.warmup_sent);
}
