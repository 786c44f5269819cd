//! Older kernels, as far as this one can be told to be one.

use driver_core::ring::Setup;

use crate::rig::Rig;
use crate::server::{OK, Server};

#[test]
fn the_engine_works_without_the_newest_flags() {
    for setup in [Setup::Newest, Setup::Cooperative, Setup::Plain] {
        let server = Server::answering(OK);
        let done = Rig::on(&server)
            .setup(setup)
            .requests(500)
            .pipeline(2)
            .run();
        assert_eq!(
            (done.counters.ok, server.requests()),
            (500, 500),
            "{setup:?}"
        );
        let paced = Rig::on(&server)
            .setup(setup)
            .rate("1000")
            .seconds(0.3)
            .run();
        assert_eq!(paced.counters.ok, 300, "{setup:?}");
    }
}

#[test]
fn the_flags_in_use_are_said() {
    let server = Server::answering(OK);
    for (setup, word) in [(Setup::Cooperative, "COOP_TASKRUN"), (Setup::Plain, "none")] {
        let (load, intervals) = Rig::on(&server).setup(setup).requests(1).prepare().unwrap();
        let features = load.ring_features().unwrap().to_string();
        assert!(features.contains(word), "{features}");
        load.stop();
        let _ = crate::rig::collect(load, &intervals);
    }
}
