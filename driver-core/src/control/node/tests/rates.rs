//! Changes of the rate, read at any time.

use proto::workload::{Rate, RateChange};

use super::*;

/// Changes of a test's rate at these seconds.
pub(super) fn rates(test: &str, seconds: &[u64]) -> Event {
    let change = |second: &u64| RateChange {
        at_ns: second * SECOND,
        rate: Rate::from_milli(1000).unwrap(),
        by: None,
    };
    Event::Rates {
        test_id: id(test),
        changes: seconds.iter().map(change).collect(),
    }
}

/// How many changes each order to change a rate has.
fn changes(actions: &[Action]) -> Vec<usize> {
    let changes = actions.iter().filter_map(|action| match action {
        Action::ChangeRate { changes, .. } => Some(changes.len()),
        _ => None,
    });
    changes.collect()
}

#[test]
fn a_rate_changes_once_the_load_has_started_whenever_it_is_read() {
    let mut node = me();
    apply(&mut node, Event::Config(config("a")));
    apply(&mut node, Event::Prepared { test_id: id("a") });
    assert_eq!(apply(&mut node, rates("a", &[2, 3])), []);
    assert_eq!(apply(&mut node, rates("a", &[2])), [], "one from before");
    assert_eq!(changes(&apply(&mut node, start("a"))), [2]);
    assert_eq!(changes(&apply(&mut node, rates("a", &[2, 3, 4]))), [3]);
    assert_eq!(apply(&mut node, rates("b", &[5])), [], "of another test");
    apply(&mut node, Event::Ended { test_id: id("a") });
    assert_eq!(apply(&mut node, rates("a", &[9])), [], "it is over");
}
