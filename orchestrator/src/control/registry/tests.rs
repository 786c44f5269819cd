//! Silence is counted in our own heartbeats, and in nothing else.

use proptest::prelude::*;
use proto::message::Role;

use proto::message::{NodeState, WIRE_VERSION};

use super::*;

const NOW: Now = Now::new(0, 0);

fn heartbeat(node_id: &str) -> Heartbeat {
    Heartbeat {
        node_id: node_id.to_owned(),
        heartbeat: true,
        timestamp: None,
        role: Role::Driver,
        state: Some(NodeState::Idle),
        test_id: None,
        reason: None,
        probe: None,
        echo: None,
        incarnation: None,
        wire: Some(WIRE_VERSION),
        needs: Vec::new(),
    }
}

/// A registry that has read our heartbeats of the seconds `0..=second`, with one driver heard first.
fn silent_until(second: u64) -> Registry {
    let mut registry = Registry::default();
    registry.own_heartbeat(0);
    registry.heartbeat(&heartbeat("a"), NOW);
    for second in 1..=second {
        registry.own_heartbeat(second * 1000);
    }
    registry
}

fn liveness_of(registry: &Registry) -> Liveness {
    registry.get("a").unwrap().liveness
}

#[test]
fn a_silent_driver_is_suspect_then_down_and_comes_back() {
    for (second, expected) in [
        (2, Liveness::Up),
        (3, Liveness::Suspect),
        (9, Liveness::Suspect),
        (10, Liveness::Down),
    ] {
        assert_eq!(
            liveness_of(&silent_until(second)),
            expected,
            "after {second} s"
        );
    }
    let mut registry = silent_until(12);
    let change = registry.heartbeat(&heartbeat("a"), NOW).unwrap();
    assert_eq!(
        (change.from, change.to),
        (Some(Liveness::Down), Liveness::Up)
    );
}

#[test]
fn an_outage_takes_nobody_down() {
    let mut registry = silent_until(1);
    registry.own_heartbeat(61_000);
    assert_eq!(
        liveness_of(&registry),
        Liveness::Up,
        "the minute of the outage does not count"
    );
    registry.own_heartbeat(62_000);
    registry.own_heartbeat(63_000);
    assert_eq!(
        liveness_of(&registry),
        Liveness::Suspect,
        "time after it does"
    );
}

#[test]
fn heartbeats_that_come_twice_or_in_disorder_change_nothing() {
    let mut registry = silent_until(5);
    let before = registry.observed_ms();
    assert_eq!(registry.own_heartbeat(5_000), []);
    assert_eq!(registry.own_heartbeat(2_000), []);
    assert_eq!(registry.observed_ms(), before);
}

#[test]
fn a_clock_that_is_set_back_does_not_blind_us() {
    let mut registry = silent_until(1);
    let hour_ms = 3_600_000;
    registry.own_heartbeat(hour_ms);
    registry.heartbeat(&heartbeat("a"), NOW);
    for second in 0..=10 {
        registry.own_heartbeat(second * 1000);
    }
    assert_eq!(liveness_of(&registry), Liveness::Down);
}

#[test]
fn a_driver_is_forgotten_long_after_it_went_unless_it_is_needed() {
    let mut registry = silent_until(FORGET_MS / 1000);
    assert_eq!(registry.forget(|_| true), Vec::<String>::new());
    assert_eq!(registry.forget(|_| false), ["a"]);
    assert!(registry.nodes().is_empty());
}

#[test]
fn unacceptable_ids_and_floods_are_refused_and_counted() {
    let mut registry = Registry::default();
    assert_eq!(registry.heartbeat(&heartbeat("a\nb"), NOW), None);
    for n in 0..=NODES_MAX {
        registry.heartbeat(&heartbeat(&n.to_string()), NOW);
    }
    assert_eq!(registry.nodes().size(), NODES_MAX);
    assert_eq!(registry.refused(), 2);
}

proptest! {
    /// A restart in between only ever gives drivers more time, never less: until it is heard of
    /// again a driver is suspect, and a start waits for it.
    #[test]
    fn a_driver_that_speaks_each_second_is_never_suspect_for_long(
        shuffles in prop::collection::vec((0_u64..1000, any::<bool>()), 1..100),
    ) {
        let mut registry = Registry::default();
        for (second, (delay_ms, restarted)) in (0..).zip(&shuffles) {
            registry.heartbeat(&heartbeat("a"), NOW);
            if *restarted {
                let records = vec![registry.record("a").unwrap()];
                registry = Registry::restore(records);
                prop_assert_eq!(liveness_of(&registry), Liveness::Suspect);
            }
            registry.own_heartbeat(second * 1000 + delay_ms);
            prop_assert!(registry.get("a").unwrap().is_awaited());
            if !*restarted {
                prop_assert_eq!(liveness_of(&registry), Liveness::Up);
            }
        }
    }
}
