//! Who takes part as whom, where a trigger has no room for all.

use super::*;
use crate::control::Place;

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
