//! node's http2: statuses that are in no static table, resets with a code, late answers.

use crate::client::{Load, get, post};
use crate::program::{Program, find};

#[test]
fn statuses_and_resets_are_told_as_it_counts_them() {
    let Some(node) = find("node", "install it from https://nodejs.org") else {
        return;
    };
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http2/peers/server.js");
    let mut node = Program::counting(&node, &[source, "30"]);
    let tally = Load::new(&[get("/"), post("/", 70_000)], 600, 100).run(node.port);
    // Of 600 each tenth is reset; a third of all others, but for each thirtieth, is a teapot.
    assert_eq!(tally.resets[&2], 60);
    assert_eq!((tally.statuses[&200], tally.statuses[&418]), (360, 180));
    assert!(
        tally.overtaken > 0 && tally.most_in_flight <= 30,
        "{tally:?}"
    );
    assert_eq!(node.counts(), (600, 300 * 70_000));
}
