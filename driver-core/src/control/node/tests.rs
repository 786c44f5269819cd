//! The life of a node, message by message.

use proptest::prelude::*;
use proto::document::Params;
use proto::measure::ClockOffset;
use proto::message::{Trigger, TriggerKind};
use proto::workload::TestType;

use super::*;

mod rates;
mod starts;

const SECOND: u64 = 1_000_000_000;

fn config(test_id: &str) -> TestConfig {
    TestConfig {
        test_id: test_id.into(),
        test_type: TestType::Avalanche,
        test_message_delay: 0.0,
        message_count_per_driver: 10,
        document: None,
        params: Params::default(),
    }
}

fn trigger(test_id: &str, kind: TriggerKind, participants: Option<&[&str]>) -> Event {
    Event::Trigger(Trigger {
        test_id: test_id.into(),
        trigger: kind,
        start_at_unix_ns: Some(100 * SECOND),
        participants: participants.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()),
        n: None,
        clock_offsets: BTreeMap::new(),
        incarnations: BTreeMap::new(),
    })
}

fn start(test_id: &str) -> Event {
    trigger(test_id, TriggerKind::Start, Some(&["other", "me"]))
}

fn stop(test_id: &str) -> Event {
    trigger(test_id, TriggerKind::Stop, None)
}

fn id(test_id: &str) -> String {
    test_id.to_owned()
}

/// A node, and the wall clock at 99 s.
fn me() -> Node {
    Node::new("me", 7)
}

fn apply(node: &mut Node, event: Event) -> Vec<Action> {
    node.apply(event, 0, 99 * SECOND)
}

fn state(node: &Node) -> NodeState {
    node.heartbeat(0).state.unwrap()
}

#[test]
fn a_run_from_config_to_end() {
    let mut node = me();
    let actions = apply(&mut node, Event::Config(config("a")));
    assert_eq!(
        actions,
        [Action::Prepare(Box::new(config("a"))), Action::Heartbeat]
    );
    assert_eq!(state(&node), NodeState::Preparing);
    assert_eq!(
        apply(&mut node, Event::Prepared { test_id: id("a") }),
        [Action::Heartbeat]
    );
    assert_eq!(state(&node), NodeState::Ready);
    let actions = apply(&mut node, start("a"));
    let Action::Start(begin) = &actions[0] else {
        panic!("{actions:?}")
    };
    assert_eq!(
        (begin.index, begin.count, begin.at_unix_ns),
        (1, 2, Some(100 * SECOND))
    );
    assert_eq!(state(&node), NodeState::Armed);
    assert_eq!(
        apply(&mut node, start("a")),
        [],
        "a doubled trigger changes nothing"
    );
    apply(&mut node, Event::Started { test_id: id("a") });
    assert_eq!(state(&node), NodeState::Running);
    assert_eq!(
        apply(&mut node, Event::Config(config("b"))),
        [],
        "not while a run goes on"
    );
    apply(&mut node, Event::Ended { test_id: id("a") });
    assert_eq!(state(&node), NodeState::Idle);
    assert_eq!(
        apply(&mut node, start("a")),
        [],
        "a late trigger does not start it again"
    );
    assert_eq!(
        apply(&mut node, Event::Config(config("a"))),
        [],
        "nor a late config"
    );
    let actions = apply(&mut node, start("b"));
    assert_eq!(
        actions[0],
        Action::Prepare(Box::new(config("b"))),
        "b was remembered"
    );
}

#[test]
fn only_the_listed_start_and_without_a_list_all_who_know_the_test() {
    let mut node = me();
    node.remember(config("a"));
    assert_eq!(
        apply(
            &mut node,
            trigger("a", TriggerKind::Start, Some(&["other"]))
        ),
        []
    );
    assert_eq!(
        apply(&mut node, trigger("unknown", TriggerKind::Start, None)),
        []
    );
    let actions = apply(&mut node, trigger("a", TriggerKind::Start, None));
    assert_eq!(actions[0], Action::Prepare(Box::new(config("a"))));
    let actions = apply(&mut node, Event::Prepared { test_id: id("a") });
    assert!(
        matches!(actions[0], Action::Start(_)),
        "prepared for a trigger that came before"
    );
}

#[test]
fn a_start_for_another_process_with_this_id_is_none_of_ours() {
    for (incarnation, starts) in [(7, true), (8, false)] {
        let mut node = me();
        apply(&mut node, Event::Config(config("a")));
        apply(&mut node, Event::Prepared { test_id: id("a") });
        let Event::Trigger(mut trigger) = start("a") else {
            unreachable!("a start is a trigger")
        };
        trigger.incarnations.insert(id("me"), incarnation);
        let actions = apply(&mut node, Event::Trigger(trigger));
        assert_eq!(!actions.is_empty(), starts, "{actions:?}");
        assert_eq!(node.heartbeat(0).incarnation, Some(7));
    }
}

#[test]
fn an_orchestrator_of_ours_stops_a_test_by_an_order() {
    let mut node = me();
    apply(&mut node, Event::Config(config("a")));
    apply(&mut node, Event::Prepared { test_id: id("a") });
    apply(&mut node, start("a"));
    let stop = Event::Stop { test_id: id("a") };
    assert_eq!(apply(&mut node, stop), [Action::Stop { test_id: id("a") }]);
}

#[test]
fn a_start_of_another_test_during_a_run_is_reported_missed_once() {
    let mut node = me();
    for test in ["a", "b", "c"] {
        apply(&mut node, Event::Config(config(test)));
    }
    apply(&mut node, Event::Prepared { test_id: id("c") });
    apply(&mut node, start("c"));
    assert_eq!(state(&node), NodeState::Armed);
    let missed = |test: &str| {
        vec![Action::ReportUnrun {
            test_id: id(test),
            cause: Unrun::Missed,
            reason: "the driver was busy with test c".into(),
        }]
    };
    assert_eq!(apply(&mut node, start("a")), missed("a"));
    assert_eq!(apply(&mut node, start("a")), [], "once");
    let for_all = trigger("b", TriggerKind::Start, None);
    assert_eq!(
        apply(&mut node, for_all),
        missed("b"),
        "a list of none is all"
    );
    let for_others = trigger("d", TriggerKind::Start, Some(&["other"]));
    assert_eq!(apply(&mut node, for_others), []);
    assert_eq!(apply(&mut node, start("c")), [], "its own, sent twice");
}

#[test]
fn a_trigger_more_than_ten_seconds_late_is_missed() {
    let mut node = me();
    apply(&mut node, Event::Config(config("a")));
    apply(&mut node, Event::Prepared { test_id: id("a") });
    let actions = node.apply(start("a"), 0, 111 * SECOND);
    assert!(matches!(&actions[0], Action::Release { .. }), "{actions:?}");
    assert!(
        matches!(&actions[1], Action::ReportUnrun { cause: Unrun::Missed, reason, .. }
            if reason.contains("11000 ms")),
        "{actions:?}"
    );
    assert_eq!(state(&node), NodeState::Idle);
}

#[test]
fn a_preparation_that_ends_more_than_ten_seconds_after_the_start_is_missed() {
    let mut node = me();
    node.remember(config("a"));
    apply(&mut node, start("a"));
    let prepared = Event::Prepared { test_id: id("a") };
    let actions = node.apply(prepared, 0, 140 * SECOND);
    assert_eq!(actions[0], Action::Release { test_id: id("a") });
    assert!(
        matches!(&actions[1], Action::ReportUnrun { cause: Unrun::Missed, reason, .. }
            if reason.contains("40000 ms")),
        "{actions:?}"
    );
    assert_eq!(state(&node), NodeState::Idle);
}

#[test]
fn a_second_word_that_it_is_prepared_changes_nothing() {
    let mut node = me();
    apply(&mut node, Event::Config(config("a")));
    apply(&mut node, Event::Prepared { test_id: id("a") });
    assert_eq!(apply(&mut node, Event::Prepared { test_id: id("a") }), []);
    assert_eq!(state(&node), NodeState::Ready);
}

#[test]
fn a_driver_that_is_told_to_end_lets_go_or_stops_as_it_would_for_a_stop() {
    let mut node = me();
    assert_eq!(apply(&mut node, Event::Leave), []);
    apply(&mut node, Event::Config(config("a")));
    let release = Action::Release { test_id: id("a") };
    assert_eq!(apply(&mut node, Event::Leave), [release, Action::Heartbeat]);
    node.remember(config("b"));
    apply(&mut node, start("b"));
    let actions = apply(&mut node, Event::Leave);
    let is_reported = |action: &Action| matches!(action, Action::ReportUnrun { .. });
    assert!(actions.iter().any(is_reported), "{actions:?}");
    apply(&mut node, Event::Config(config("c")));
    apply(&mut node, Event::Prepared { test_id: id("c") });
    apply(&mut node, start("c"));
    assert_eq!(
        apply(&mut node, Event::Leave),
        [Action::Stop { test_id: id("c") }]
    );
}

#[test]
fn a_failure_to_prepare_is_told_and_reported_when_triggered() {
    let mut node = me();
    apply(&mut node, Event::Config(config("a")));
    let failure = Event::PrepareFailed {
        test_id: id("a"),
        reason: id("refused"),
    };
    apply(&mut node, failure.clone());
    assert_eq!(node.heartbeat(0).reason.as_deref(), Some("refused"));
    let actions = apply(&mut node, start("a"));
    assert!(
        matches!(
            &actions[0],
            Action::ReportUnrun {
                cause: Unrun::Failed,
                ..
            }
        ),
        "{actions:?}"
    );
    assert_eq!(state(&node), NodeState::Idle);
}

#[test]
fn a_stop_ends_every_state() {
    let mut node = me();
    assert_eq!(apply(&mut node, stop("z")), [], "nothing to stop");
    apply(&mut node, Event::Config(config("z")));
    assert_eq!(state(&node), NodeState::Idle, "its stop came before it");
    apply(&mut node, Event::Config(config("a")));
    apply(&mut node, Event::Prepared { test_id: id("a") });
    let actions = apply(&mut node, stop("a"));
    assert_eq!(
        actions,
        [Action::Release { test_id: id("a") }, Action::Heartbeat]
    );
    let actions = apply(&mut node, start("a"));
    assert!(
        matches!(
            &actions[..],
            [Action::ReportUnrun {
                cause: Unrun::Aborted,
                ..
            }]
        ),
        "a start that its stop overtook is reported, not followed: {actions:?}"
    );
    assert_eq!(apply(&mut node, start("a")), [], "and only once");

    apply(&mut node, Event::Config(config("b")));
    apply(&mut node, start("b"));
    let actions = apply(&mut node, stop("b"));
    assert!(
        actions.iter().any(|a| matches!(
            a,
            Action::ReportUnrun {
                cause: Unrun::Aborted,
                ..
            }
        )),
        "{actions:?}"
    );
    apply(&mut node, Event::Config(config("c")));
    apply(&mut node, Event::Prepared { test_id: id("c") });
    apply(&mut node, start("c"));
    assert_eq!(
        apply(&mut node, stop("c")),
        [Action::Stop { test_id: id("c") }]
    );
}

#[test]
fn what_nobody_triggers_is_let_go() {
    let mut node = me();
    apply(&mut node, Event::Config(config("a")));
    apply(&mut node, Event::Prepared { test_id: id("a") });
    assert_eq!(node.apply(Event::Tick, READY_NS_MAX - 1, 0), []);
    let actions = node.apply(Event::Tick, READY_NS_MAX, 0);
    assert_eq!(
        actions,
        [Action::Release { test_id: id("a") }, Action::Heartbeat]
    );
    let actions = apply(&mut node, Event::Config(config("a")));
    assert!(
        matches!(actions[0], Action::Prepare(_)),
        "asked again, it prepares again"
    );
}

#[test]
fn a_known_clock_offset_moves_the_start() {
    let mut node = me();
    apply(&mut node, Event::Config(config("a")));
    apply(&mut node, Event::Prepared { test_id: id("a") });
    let mut message = start("a");
    if let Event::Trigger(trigger) = &mut message {
        let clock = ClockOffset {
            offset_ns: -2_000,
            uncertainty_ns: 100,
        };
        trigger.clock_offsets.insert(id("me"), clock);
    }
    let actions = apply(&mut node, message);
    let Action::Start(begin) = &actions[0] else {
        panic!("{actions:?}")
    };
    assert_eq!(begin.at_unix_ns, Some(100 * SECOND - 2_000));
}

#[test]
fn heartbeats_echo_the_latest_probe() {
    let mut node = me();
    let probe = ClockProbe {
        probe_id: 7,
        sent_unix_ns: 11,
    };
    apply(
        &mut node,
        Event::Probe {
            probe,
            received_unix_ns: 22,
        },
    );
    let echo = node.heartbeat(33).echo.unwrap();
    assert_eq!((echo.probe_id, echo.sent_unix_ns), (7, 11));
    assert_eq!((echo.received_unix_ns, echo.echoed_unix_ns), (22, 33));
}

#[test]
fn old_configs_are_forgotten() {
    let mut node = me();
    (0..=CONFIGS_MAX).for_each(|n| node.remember(config(&n.to_string())));
    assert_eq!(node.configs.len(), CONFIGS_MAX);
    assert!(!node.configs.contains_key("0"));
}

fn any_event() -> impl Strategy<Value = Event> {
    let test = prop::sample::select(vec!["a", "b", "c"]);
    (test, 0_u8..11).prop_map(|(test, kind)| match kind {
        0 => Event::Config(config(test)),
        1 => start(test),
        2 => stop(test),
        3 => Event::Prepared { test_id: id(test) },
        4 => Event::PrepareFailed {
            test_id: id(test),
            reason: id("no"),
        },
        5 => Event::Started { test_id: id(test) },
        6 => Event::Draining { test_id: id(test) },
        7 => Event::Ended { test_id: id(test) },
        8 => Event::Leave,
        9 => rates::rates(test, &[1]),
        _ => Event::Tick,
    })
}

proptest! {
    /// Whatever comes in whatever order: loads are prepared, started and let go one at a time.
    #[test]
    fn at_most_one_load_is_held(events in prop::collection::vec(any_event(), 0..60)) {
        let mut node = me();
        let mut engine = Engine::default();
        for (n, event) in events.into_iter().enumerate() {
            if !engine.may_tell(&event) {
                continue;
            }
            for action in node.apply(event, n as u64 * SECOND, 99 * SECOND) {
                engine.obey(action)?;
            }
        }
    }
}

/// What the node believes of the engine: it tells only of the load that it was asked for.
#[derive(Default)]
struct Engine {
    held: Option<String>,
    prepared: bool,
    started: Vec<String>,
}

impl Engine {
    fn may_tell(&mut self, event: &Event) -> bool {
        let holds = |test_id: &String| self.held.as_ref() == Some(test_id);
        match event {
            Event::Prepared { test_id } => {
                let may = holds(test_id) && !self.prepared;
                self.prepared |= may;
                may
            }
            Event::PrepareFailed { test_id, .. } => {
                let may = holds(test_id) && !self.prepared;
                self.held = self.held.take().filter(|_| !may);
                may
            }
            Event::Started { test_id } | Event::Draining { test_id } => holds(test_id),
            Event::Ended { test_id } => {
                let may = holds(test_id) && self.started.contains(test_id);
                self.held = self.held.take().filter(|_| !may);
                may
            }
            _ => true,
        }
    }

    fn obey(&mut self, action: Action) -> Result<(), TestCaseError> {
        match action {
            Action::Prepare(config) => {
                prop_assert_eq!(&self.held, &None);
                (self.held, self.prepared) = (Some(config.test_id), false);
            }
            Action::Release { test_id } => prop_assert_eq!(self.held.take(), Some(test_id)),
            Action::Start(start) => {
                prop_assert!(self.prepared && self.held.as_ref() == Some(&start.test_id));
                prop_assert!(!self.started.contains(&start.test_id), "started twice");
                self.started.push(start.test_id);
            }
            Action::ChangeRate { test_id, changes } => {
                prop_assert!(self.started.contains(&test_id) && !changes.is_empty());
            }
            Action::Stop { test_id } => prop_assert!(self.started.contains(&test_id)),
            Action::ReportUnrun { .. } | Action::Heartbeat => {}
        }
        Ok(())
    }
}
