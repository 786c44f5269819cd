//! Go's net/http: answers out of order, interim answers, trailers, `RST_STREAM` by handlers.

use std::process::Command;

use crate::client::{Load, get, post};
use crate::program::{Program, find, skip};

fn start(streams: &str) -> Option<Program> {
    let go = find("go", "install it from https://go.dev/dl")?;
    let version = Command::new(&go).arg("version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    if !is_new_enough(&version) {
        skip(&format!("Go 1.24 or later is needed, not {version}"));
        return None;
    }
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http2/peers/server.go");
    Some(Program::counting(&go, &["run", source, streams]))
}

/// Whether it can serve HTTP/2 without TLS: `go version go1.26.8 linux/amd64`.
fn is_new_enough(version: &str) -> bool {
    let minor = version
        .split("go1.")
        .nth(1)
        .and_then(|rest| rest.split(['.', ' ']).next());
    minor
        .and_then(|minor| minor.parse().ok())
        .is_some_and(|minor: u32| minor >= 24)
}

/// Every odd answer at once, so that its library is compiled for one test only.
#[test]
fn odd_answers_are_each_told_as_what_they_are() {
    let Some(mut go) = start("50") else { return };
    let paths = [
        "/?delay=3",
        "/",
        "/?status=418",
        "/?hints",
        "/?trailer&size=10",
        "/?size=100000",
    ];
    let tally = Load::new(&paths.map(get), 1200, 1000).run(go.port);
    assert_eq!((tally.statuses[&200], tally.statuses[&418]), (1000, 200));
    assert!(tally.overtaken > 0, "{tally:?}");
    assert_eq!(
        (tally.most_in_flight, tally.connections, tally.returned),
        (50, 1, 0)
    );
    assert_eq!(go.counts(), (1200, 0));

    let templates = [
        post("/", 200_000),
        post("/", 0),
        post("/", 1),
        get("/?abort"),
    ];
    let tally = Load::new(&templates, 80, 20).run(go.port);
    assert_eq!((tally.statuses[&200], tally.resets[&2]), (60, 20));
    assert_eq!(go.counts(), (1280, 20 * 200_001));
}
