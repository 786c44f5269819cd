//! Two processes with one id, and processes of another version of the wire.

use proto::message::{REGISTER_TYPE, Register};

use super::*;

#[test]
fn a_second_process_with_a_drivers_id_is_fenced_and_counts_for_nothing() {
    let mut world = World::with(&[]);
    let beat = |world: &mut World, incarnation: u64, state| {
        let mut message = heartbeat("a", Some(state), Some("t"));
        message.incarnation = Some(incarnation);
        world.event(Event::Heartbeat(message));
    };
    let fenced = |world: &World| {
        let is_fence = |line: &&Line| match line {
            Line::Control(message) => matches!(message.order, Order::Fence { incarnation: 2, .. }),
            _ => false,
        };
        world.lines.iter().filter(is_fence).count()
    };
    beat(&mut world, 1, NodeState::Idle);
    beat(&mut world, 2, NodeState::Idle);
    assert_eq!(fenced(&world), 0, "the first may be dead");
    beat(&mut world, 1, NodeState::Idle);
    assert_eq!(fenced(&world), 1, "both live");
    world.create("t");
    beat(&mut world, 1, NodeState::Ready);
    assert!(matches!(world.trigger("t"), Some(Reply::Triggered { .. })));
    world.deliver();
    assert_eq!(world.triggers()[0].incarnations["a"], 1);
    let report = |world: &mut World, incarnation: u64| {
        for mut message in whole("a", "t") {
            message.report.as_mut().unwrap().incarnation = Some(incarnation);
            world.report(message);
        }
    };
    report(&mut world, 2);
    assert_eq!(world.phase("t"), Phase::Armed, "nothing of it was counted");
    assert_eq!(world.state.counts.fenced, 3);
    report(&mut world, 1);
    assert_eq!(world.phase("t"), Phase::Done);
    assert_eq!(world.result()["ok"], 20);
    // A driver that died and came back under its id takes its place, once that was silent.
    beat(&mut world, 3, NodeState::Idle);
    (0..4).for_each(|_| world.pulse());
    beat(&mut world, 3, NodeState::Idle);
    assert_eq!(world.seen().nodes(world.now())[0].state, "up");
    beat(&mut world, 1, NodeState::Idle);
    beat(&mut world, 3, NodeState::Idle);
    assert_eq!(fenced(&world), 1, "now the first one is the other");
}

#[test]
fn after_a_restart_the_process_that_takes_part_is_known_from_its_twin() {
    let mut world = World::with(&[]);
    let beat = |world: &mut World, incarnation: u64, state| {
        let mut message = heartbeat("a", Some(state), Some("t"));
        message.incarnation = Some(incarnation);
        world.event(Event::Heartbeat(message));
    };
    beat(&mut world, 1, NodeState::Idle);
    world.create("t");
    beat(&mut world, 1, NodeState::Ready);
    assert!(matches!(world.trigger("t"), Some(Reply::Triggered { .. })));
    world.restart();
    // The twin came while we were away, and is read first.
    beat(&mut world, 2, NodeState::Idle);
    beat(&mut world, 1, NodeState::Running);
    beat(&mut world, 2, NodeState::Idle);
    let ended = world.lines.iter().filter_map(|line| match line {
        Line::Control(message) => match message.order {
            Order::Fence { incarnation, .. } => Some(incarnation),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(ended.collect::<Vec<_>>(), [2]);
}

#[test]
fn who_takes_a_dead_drivers_place_is_known_by_what_it_says_of_itself() {
    let mut world = World::with(&[]);
    let register = |incarnation: u64, address: &str| Register {
        node_id: "a".into(),
        node_ip: address.into(),
        message_type: REGISTER_TYPE.into(),
        version: None,
        cores: None,
        hostname: None,
        incarnation: Some(incarnation),
    };
    let beat = |world: &mut World, incarnation: u64| {
        let mut message = heartbeat("a", Some(NodeState::Idle), None);
        message.incarnation = Some(incarnation);
        world.event(Event::Heartbeat(message));
    };
    world.event(Event::Register(register(1, "old:1")));
    beat(&mut world, 1);
    world.event(Event::Register(register(2, "new:1")));
    let address = |world: &mut World| world.seen().nodes(world.now())[0].node_ip.clone();
    assert_eq!(address(&mut world), "old:1");
    (0..4).for_each(|_| world.pulse());
    beat(&mut world, 2);
    assert_eq!(address(&mut world), "new:1");
    world.restart();
    assert_eq!(address(&mut world), "new:1", "and that is kept");
}

#[test]
fn a_start_waits_for_the_process_that_takes_a_dead_ones_place() {
    let mut world = World::with(&[]);
    let beat = |world: &mut World, node_id: &str, incarnation: u64, test_id| {
        let state = if test_id == Some("t") {
            NodeState::Ready
        } else {
            NodeState::Idle
        };
        let mut message = heartbeat(node_id, Some(state), test_id);
        message.incarnation = Some(incarnation);
        world.event(Event::Heartbeat(message));
    };
    // Three drivers of which all were killed, and two are back, as after a fall of the whole machine:
    // one of those that died had even been ready for what comes next.
    world.create("t");
    beat(&mut world, "a", 1, Some("t"));
    beat(&mut world, "b", 1, None);
    beat(&mut world, "c", 1, None);
    world.pulse();
    beat(&mut world, "a", 2, None);
    beat(&mut world, "b", 2, None);
    assert!(world.trigger("t").is_none(), "all three may live");
    world.pulse();
    world.pulse();
    let states = |world: &mut World| {
        let now = world.now();
        let nodes = world.seen().nodes(now);
        nodes.iter().map(|node| node.state).collect::<Vec<_>>()
    };
    assert_eq!(states(&mut world), ["suspect"; 3]);
    beat(&mut world, "a", 2, Some("t"));
    beat(&mut world, "b", 2, None);
    assert!(world.triggers().is_empty(), "both are about to be followed");
    world.pulse();
    beat(&mut world, "a", 2, Some("t"));
    assert!(world.triggers().is_empty(), "b still is");
    beat(&mut world, "b", 2, Some("t"));
    world.deliver();
    let trigger = &world.triggers()[0];
    assert_eq!(trigger.participants, Some(vec!["a".into(), "b".into()]));
    assert!(trigger.incarnations.values().all(|process| *process == 2));
}

#[test]
fn a_start_does_not_wait_for_who_wanted_a_dead_ones_place_and_is_gone_too() {
    let mut world = World::with(&["b"]);
    let beat = |world: &mut World, incarnation: u64| {
        let mut message = heartbeat("a", Some(NodeState::Idle), None);
        message.incarnation = Some(incarnation);
        world.event(Event::Heartbeat(message));
    };
    beat(&mut world, 1);
    beat(&mut world, 2);
    for _ in 0..4 {
        world.pulse();
        world.beat("b", NodeState::Idle, None);
    }
    world.create("t");
    world.beat("b", NodeState::Ready, Some("t"));
    assert!(matches!(world.trigger("t"), Some(Reply::Triggered { .. })));
}

#[test]
fn a_driver_of_another_wire_version_is_shown_as_incompatible_and_takes_no_part() {
    let mut world = World::with(&[]);
    let beat = |world: &mut World, node_id: &str, wire, state, test_id| {
        let mut message = heartbeat(node_id, Some(state), test_id);
        message.wire = wire;
        world.event(Event::Heartbeat(message));
    };
    beat(&mut world, "old", None, NodeState::Idle, None);
    world.create("t");
    let Some(Reply::Refused(Refusal::Incompatible(why))) = world.trigger("t") else {
        panic!("nobody can take part");
    };
    assert!(
        why.starts_with("old is incompatible: it speaks version 1"),
        "{why}"
    );
    world.event(Event::Heartbeat({
        let mut message = heartbeat("new", Some(NodeState::Unknown), None);
        (message.wire, message.incarnation) = (Some(3), Some(1));
        message
    }));
    let ours = Some(message::WIRE_VERSION);
    beat(&mut world, "ours", ours, NodeState::Ready, Some("t"));
    assert!(matches!(world.trigger("t"), Some(Reply::Triggered { .. })));
    let detail = world.seen().detail("t").unwrap();
    assert_eq!(detail.participants, ["ours"]);
    let excluded: Vec<&String> = detail.excluded.keys().collect();
    assert_eq!(excluded, ["new", "old"], "they are named");
    let rows = world.seen().nodes(world.now());
    let states: Vec<&str> = rows.iter().map(|row| row.state).collect();
    assert_eq!(states, ["incompatible", "incompatible", "up"]);
    assert!(rows[0].reason.as_ref().unwrap().contains("version 3"));
    // Silent is silent, whatever it spoke.
    let ours = &[("ours", NodeState::Running, Some("t"))];
    world.seconds(11, ours);
    assert_eq!(world.seen().nodes(world.now())[1].state, "down");
    // The right one comes in its place.
    beat(
        &mut world,
        "old",
        Some(message::WIRE_VERSION),
        NodeState::Idle,
        None,
    );
    assert_eq!(world.seen().nodes(world.now())[1].state, "up");
}
