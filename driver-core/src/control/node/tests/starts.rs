//! Starts that are read before what they need: configs, and places that a trigger has no room for.

use super::*;
use crate::control::{Place, early};

#[test]
fn a_node_that_the_trigger_has_no_room_for_starts_by_its_chunk_whichever_comes_first() {
    for chunk_first in [false, true] {
        let mut node = me();
        apply(&mut node, Event::Config(config("a")));
        apply(&mut node, Event::Prepared { test_id: id("a") });
        let Event::Trigger(mut begin) = trigger("a", TriggerKind::Start, Some(&["other"])) else {
            unreachable!("a start is a trigger")
        };
        begin.n = Some(3);
        let place = Place {
            index: 2,
            count: 3,
            clock: None,
            incarnation: Some(7),
        };
        let mut events = vec![
            Event::Trigger(begin),
            Event::Placed {
                test_id: id("a"),
                place,
            },
        ];
        if chunk_first {
            events.reverse();
        }
        let actions: Vec<Action> = events
            .into_iter()
            .flat_map(|event| apply(&mut node, event))
            .collect();
        let Some(Action::Start(start)) = actions.first() else {
            panic!("{actions:?}")
        };
        assert_eq!((start.index, start.count), (2, 3));
    }
}

#[test]
fn a_place_is_never_beyond_all_that_take_part() {
    let mut node = me();
    apply(&mut node, Event::Config(config("a")));
    apply(&mut node, Event::Prepared { test_id: id("a") });
    let listed = ["x", "y", "me"];
    let Event::Trigger(mut begin) = trigger("a", TriggerKind::Start, Some(&listed)) else {
        unreachable!("a start is a trigger")
    };
    begin.n = Some(1);
    let actions = apply(&mut node, Event::Trigger(begin));
    let Some(Action::Start(start)) = actions.first() else {
        panic!("{actions:?}")
    };
    assert_eq!((start.index, start.count), (2, 3));
}

#[test]
fn a_trigger_that_comes_before_its_config_is_followed_when_that_comes() {
    for remembered in [false, true] {
        let mut node = me();
        assert_eq!(apply(&mut node, start("t")), []);
        assert_eq!(state(&node), NodeState::Idle);
        let actions = if remembered {
            // Read as one of those from before this driver came up.
            node.remember(config("t"));
            node.apply(Event::Tick, 9 * SECOND, 101 * SECOND)
        } else {
            node.apply(Event::Config(config("t")), 9 * SECOND, 101 * SECOND)
        };
        assert!(matches!(actions[0], Action::Prepare(_)), "{actions:?}");
        let test_id = id("t");
        let actions = node.apply(Event::Prepared { test_id }, 9 * SECOND, 102 * SECOND);
        assert!(matches!(actions[0], Action::Start(_)), "{actions:?}");
        // Twice is once.
        assert_eq!(apply(&mut node, start("t")), []);
    }
}

#[test]
fn a_trigger_whose_config_does_not_come_is_missed_by_those_that_it_lists() {
    let trigger = |participants| trigger("t", TriggerKind::Start, participants);
    let listed: &[&str] = &["me"];
    for (participants, missed) in [(Some(listed), true), (None, false), (Some(&["x"]), false)] {
        let mut node = me();
        node.apply(trigger(participants), 0, 0);
        // Heard again: it does not wait longer for that.
        node.apply(trigger(participants), 6 * SECOND, 6 * SECOND);
        assert_eq!(node.apply(Event::Tick, 9 * SECOND, 9 * SECOND), []);
        let actions = node.apply(Event::Tick, 10 * SECOND, 10 * SECOND);
        let is_missed = matches!(
            actions.first(),
            Some(Action::ReportUnrun {
                cause: Unrun::Missed,
                ..
            })
        );
        assert_eq!(is_missed, missed, "{participants:?}: {actions:?}");
        assert!(missed || actions.is_empty());
        let late = node.apply(Event::Config(config("t")), 11 * SECOND, 11 * SECOND);
        // What nobody waits for any more is prepared as any other.
        let is_prepared = matches!(late.first(), Some(Action::Prepare(_)));
        assert_eq!(is_prepared, !missed);
    }
}

#[test]
fn a_stop_is_for_a_trigger_without_a_config_too() {
    let mut node = me();
    apply(&mut node, trigger("t", TriggerKind::Start, Some(&["me"])));
    let actions = apply(&mut node, stop("t"));
    assert!(
        matches!(
            actions[0],
            Action::ReportUnrun {
                cause: Unrun::Aborted,
                ..
            }
        ),
        "{actions:?}"
    );
    assert_eq!(apply(&mut node, Event::Config(config("t"))), []);
}

#[test]
fn a_flood_of_triggers_without_configs_is_bounded() {
    let mut node = me();
    for number in 0..100 {
        apply(&mut node, start(&number.to_string()));
    }
    assert_eq!(node.early.waiting(0).len(), early::EARLY_MAX);
    let actions = apply(&mut node, Event::Config(config("99")));
    assert!(matches!(actions[0], Action::Prepare(_)), "{actions:?}");
}
