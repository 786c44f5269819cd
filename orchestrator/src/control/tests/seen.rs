//! What clients see: it stays as it was, and is computed from what it holds.

use std::sync::Arc;

use super::*;
use crate::live::ResultText;

/// The sent requests of each second that is seen.
fn sent(seen: &SeenRun) -> Vec<u64> {
    let rows = seen.series(0).into_iter();
    rows.map(|row| row.counts.sent).collect()
}

#[test]
fn a_snapshot_never_changes_whatever_happens_after_it() {
    let mut world = World::with(&["a", "b"]);
    world.run("t", &["a", "b"]);
    world.report(interval("a", "t", 0));
    let before = world.seen();
    let seen = Arc::clone(before.run("t").unwrap());
    let result = serde_json::to_string(&seen.result()).unwrap();
    for message in [interval("b", "t", 0), interval("a", "t", 1)] {
        world.report(message);
    }
    world.stop("t");
    let after = world.seen();
    assert_eq!(sent(&seen), [10]);
    assert_eq!(serde_json::to_string(&seen.result()).unwrap(), result);
    assert_eq!(before.row("t").unwrap().state, Phase::Running);
    let later = after.run("t").unwrap();
    assert_eq!(sent(later), [20, 10]);
    assert!(later.version > seen.version && after.version > before.version);
    assert_eq!(after.row("t").unwrap().state, Phase::Draining);
}

#[test]
fn what_did_not_change_is_shared() {
    let mut world = World::with(&["a"]);
    world.run("t", &["a"]);
    world.create("other");
    world.report(interval("a", "t", 0));
    let before = world.seen();
    let again = world.seen();
    assert!(Arc::ptr_eq(
        before.run("t").unwrap(),
        again.run("t").unwrap()
    ));
    assert_eq!(before.version, again.version);
    world.report(interval("a", "t", 1));
    let after = world.seen();
    let shares = |id| Arc::ptr_eq(before.run(id).unwrap(), after.run(id).unwrap());
    assert!(shares("other") && !shares("t"));
    let (one, other) = (before.run("t").unwrap(), after.run("t").unwrap());
    assert!(Arc::ptr_eq(&one.run, &other.run), "only a report came");
    assert!(Arc::ptr_eq(
        before.row("t").unwrap(),
        after.row("t").unwrap()
    ));
}

#[test]
fn a_second_is_settled_when_all_who_go_on_have_reported_it_or_much_later() {
    let mut world = World::with(&["a", "b"]);
    world.run("t", &["a", "b"]);
    let settled = |world: &mut World| world.seen().run("t").unwrap().settled();
    assert_eq!(settled(&mut world), 0);
    world.report(interval("a", "t", 0));
    assert_eq!(settled(&mut world), 0, "b may have sent something too");
    world.report(interval("b", "t", 0));
    assert_eq!(settled(&mut world), 1);
    for sequence in 1..6 {
        world.report(interval("a", "t", sequence));
    }
    assert_eq!(settled(&mut world), 3, "b is not waited for any longer");
    world.report(last("b", "t", Outcome::Done));
    assert_eq!(settled(&mut world), 6, "b has finished");
}

#[test]
fn the_text_of_a_result_is_that_of_the_whole_or_of_some_nodes() {
    let mut world = World::with(&["a", "b"]);
    world.run("t", &["a", "b"]);
    for node in ["a", "b"] {
        world.report(interval(node, "t", 0));
    }
    let seen = world.seen();
    let mut result = seen.run("t").unwrap().result();
    let whole = serde_json::to_string(&result).unwrap();
    let text = ResultText::of(&mut result);
    assert_eq!(ResultText::read(&whole).unwrap(), text);
    assert_eq!(text.with(0..2, "[]"), whole);
    result.nodes.remove(0);
    let of_b = serde_json::to_string(&result).unwrap();
    assert_eq!(text.with(1..2, "[]"), of_b);
}
