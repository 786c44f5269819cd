//! Changes of the rate of a run: where they may be, what drivers are told, and what is left of them when
//! the process is killed.

use proto::document::{Document, Setting};
use proto::measure::{LateRate, RatesFollowed};
use proto::workload::{Rate, RateChange};

use super::*;

const S: u64 = 1_000_000_000;

fn compose(world: &mut World, test_id: &str, load: &str) {
    let text = format!("target: http://127.0.0.1:8000/\nload: {load}\n");
    let document = Document::read(&text, Setting::default()).unwrap();
    let reply = world.command(Command::Compose {
        test_id: test_id.into(),
        document: Box::new(document),
        queue: false,
    });
    assert!(matches!(reply, Some(Reply::Created { .. })), "{reply:?}");
}

/// Runs a document on two drivers; what is left of its 300 ms to the start is over.
fn run(world: &mut World, load: &str) {
    compose(world, "t", load);
    for driver in ["a", "b"] {
        world.beat(driver, NodeState::Ready, Some("t"));
    }
    let reply = world.trigger("t");
    assert!(matches!(reply, Some(Reply::Triggered { .. })), "{reply:?}");
    world.deliver();
    world.pass(300);
    for driver in ["a", "b"] {
        world.beat(driver, NodeState::Running, Some("t"));
    }
    assert_eq!(world.phase("t"), Phase::Running);
}

fn go_on(world: &mut World, seconds: u64) {
    let running = |node| (node, NodeState::Running, Some("t"));
    world.seconds(seconds, &["a", "b"].map(running));
}

fn order(world: &mut World, test_id: &str, per_second: u64) -> Reply {
    let reply = world.command(Command::ChangeRate {
        test_id: test_id.into(),
        rate: Rate::from_milli(per_second * 1000).unwrap(),
        by: Some("me".into()),
    });
    reply.expect("it is answered at once")
}

/// When it comes, s after the start.
fn at_s(reply: &Reply) -> u64 {
    match reply {
        Reply::RateChanged { change, .. } => change.at_ns / S,
        other => panic!("{other:?}"),
    }
}

fn why(reply: &Reply) -> &str {
    match reply {
        Reply::Refused(Refusal::RateStays { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

/// The changes that drivers were told, order by order.
fn told(world: &World) -> Vec<Vec<RateChange>> {
    let of = world.published.iter();
    of.filter(|message| message.topic == Topic::Control && message.token != PULSE_TOKEN)
        .filter_map(|message| {
            let mut payload = message.payload.clone();
            let control: message::Control = proto::codec::decode(&mut payload).unwrap();
            match control.order {
                Order::Rates { changes, .. } => Some(changes),
                _ => None,
            }
        })
        .collect()
}

#[test]
fn a_change_comes_at_a_whole_second_two_ahead_and_each_order_has_all_of_them() {
    let mut world = World::with(&["a", "b"]);
    run(&mut world, "{open: 50/s, for: 30s}");
    let first = order(&mut world, "t", 200);
    let Reply::RateChanged {
        of,
        number,
        change,
        cannot_follow,
        ..
    } = &first
    else {
        panic!("{first:?}");
    };
    assert_eq!((*of, *number, at_s(&first)), ("all drivers together", 1, 2));
    assert_eq!(change.by.as_deref(), Some("me"));
    assert!(cannot_follow.is_empty());
    let second = order(&mut world, "t", 100);
    assert_eq!(at_s(&second), 3, "not at the same second");
    go_on(&mut world, 4);
    world.pass(1);
    let third = order(&mut world, "t", 10);
    assert_eq!(at_s(&third), 7, "4.001 s and 2, up to a whole one");
    let lens: Vec<usize> = told(&world).iter().map(Vec::len).collect();
    assert_eq!(lens, [1, 2, 3]);
    let detail = world.seen().detail("t").unwrap();
    let shown: Vec<(f64, f64)> = detail
        .rate_changes
        .iter()
        .map(|c| (c.at_s, c.rate))
        .collect();
    assert_eq!(shown, [(2.0, 200.0), (3.0, 100.0), (7.0, 10.0)]);
}

#[test]
fn a_change_survives_a_kill_and_goes_out_again_until_the_broker_has_it() {
    let mut world = World::with(&["a", "b"]);
    run(&mut world, "{open: 50/s, for: 30s}");
    order(&mut world, "t", 200);
    world.restart();
    world.connect("one");
    world.pulse();
    assert_eq!(told(&world).len(), 2, "as before the kill");
    assert_eq!(told(&world)[0], told(&world)[1]);
    world.deliver();
    assert_eq!(at_s(&order(&mut world, "t", 300)), 3);
    assert_eq!(told(&world).last().unwrap().len(), 2);
}

#[test]
fn only_what_runs_at_a_rate_changes_and_the_answer_says_why_else() {
    let mut world = World::with(&["a", "b"]);
    let unknown = Reply::Refused(Refusal::UnknownTest("t".into()));
    assert_eq!(order(&mut world, "t", 5), unknown);
    compose(&mut world, "u", "{open: 5/s, for: 9s}");
    let waits = order(&mut world, "u", 5);
    assert!(
        matches!(
            waits,
            Reply::Refused(Refusal::NotRunning {
                state: "created",
                ..
            })
        ),
        "{waits:?}"
    );
    run(
        &mut world,
        "[{open: 5/s, for: 3s}, {closed: 2, for: 4s}, {burst: 2, every: 1s, for: 2s}]",
    );
    assert_eq!(at_s(&order(&mut world, "t", 7)), 2);
    let closed = order(&mut world, "t", 7);
    assert!(
        why(&closed).contains("second 3: its load is closed"),
        "{closed:?}"
    );
    go_on(&mut world, 5);
    assert!(why(&order(&mut world, "t", 7)).contains("bursts"));
    go_on(&mut world, 2);
    assert!(why(&order(&mut world, "t", 7)).contains("ends at second 9"));
    world.stop("t");
    assert!(matches!(
        order(&mut world, "t", 7),
        Reply::Refused(Refusal::NotRunning { .. })
    ));
    assert_eq!(told(&world).len(), 1, "nothing of what was refused");
}

#[test]
fn the_result_says_who_read_it_late_and_who_never() {
    let mut world = World::with(&["a", "b"]);
    run(&mut world, "{open: 50/s, for: 30s}");
    order(&mut world, "t", 200);
    order(&mut world, "t", 100);
    for (node, known, late_ns) in [("a", 2, S), ("b", 1, 0)] {
        let mut message = last(node, "t", Outcome::Done);
        let report = message.report.as_mut().unwrap();
        report.sending_ns = Some(30 * S);
        let late = (late_ns > 0).then_some(LateRate { number: 0, late_ns });
        report.rates = Some(Box::new(RatesFollowed {
            known,
            late: late.into_iter().collect(),
        }));
        world.report(message);
    }
    let result = world.result();
    let rows = &result["rate_changes"];
    assert_eq!(rows[0]["late"][0]["node_id"], "a");
    assert_eq!(rows[0]["late"][0]["late_s"], 1.0);
    assert_eq!(rows[1]["not_followed"][0], "b");
    let reasons = result["verdict"]["reasons"].to_string();
    assert!(
        reasons.contains("a: it read the change of the rate at second 2 too late"),
        "{reasons}"
    );
    assert!(
        reasons.contains("b: it did not follow the change of the rate at second 3"),
        "{reasons}"
    );
    assert_eq!(result["verdict"]["verdict"], "suspect");
}

#[test]
fn orders_that_are_read_before_their_config_are_followed_when_it_comes() {
    let mut world = World::with(&["a"]);
    let order = |order: Order| {
        Event::Control(message::Control {
            node_id: "orchestrator".into(),
            order,
        })
    };
    let change = RateChange {
        at_ns: 5 * S,
        rate: Rate::from_milli(9_000).unwrap(),
        by: None,
    };
    world.event(order(Order::Rates {
        test_id: "t".into(),
        changes: vec![change.clone()],
    }));
    world.event(order(Order::Stop {
        test_id: "t".into(),
    }));
    world.event(Event::Trigger(start("t", &["a"])));
    assert_eq!(world.state.orphans_len(), 3);
    world.event(Event::Config(Box::new(config("t"))));
    assert_eq!(world.state.orphans_len(), 0);
    let run = &world.runs["t"].0;
    assert_eq!((&run.rates[..], run.stop_requested), (&[change][..], true));
    assert_eq!(run.participants, ["a"]);
}

#[test]
fn changes_of_a_log_that_the_store_does_not_know_are_adopted_and_old_ones_not() {
    let mut world = World::with(&["a", "b"]);
    run(&mut world, "{open: 50/s, for: 30s}");
    let change = |second: u64| RateChange {
        at_ns: second * S,
        rate: Rate::from_milli(9_000).unwrap(),
        by: None,
    };
    let mut read = |changes: Vec<RateChange>| {
        world.event(Event::Control(message::Control {
            node_id: "orchestrator".into(),
            order: Order::Rates {
                test_id: "t".into(),
                changes,
            },
        }));
        world.runs["t"].0.rates.len()
    };
    assert_eq!(read(vec![change(5), change(6)]), 2);
    assert_eq!(read(vec![change(5)]), 2);
    assert_eq!(read(vec![change(5), change(6), change(8)]), 3);
}
