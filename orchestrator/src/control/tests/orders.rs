//! Any order, any number of times: the same result; and every run can be ended from anywhere.

use proptest::prelude::*;

use super::*;

/// What can happen to a run, in no order that makes sense.
#[derive(Debug, Clone)]
enum Step {
    Pulse,
    Beat(usize, NodeState, bool),
    Report(usize, u64),
    Last(usize, Outcome),
    Create(usize),
    Trigger(usize, bool),
    Stop(usize),
    Rate(usize),
    ReadTrigger(usize, bool),
    Restart,
    Outage,
}

const NODES: [&str; 3] = ["a", "b", "c"];
const TESTS: [&str; 3] = ["t", "u", "v"];

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES.len();
    let test = 0..TESTS.len();
    let states = prop::sample::select(vec![
        NodeState::Idle,
        NodeState::Preparing,
        NodeState::Ready,
        NodeState::Armed,
        NodeState::Running,
        NodeState::Draining,
        NodeState::Failed,
    ]);
    let outcomes = prop::sample::select(vec![
        Outcome::Done,
        Outcome::Aborted,
        Outcome::Failed,
        Outcome::Missed,
    ]);
    prop_oneof![
        4 => Just(Step::Pulse),
        6 => (node.clone(), states, any::<bool>()).prop_map(|(n, s, on)| Step::Beat(n, s, on)),
        3 => (node.clone(), 0_u64..5).prop_map(|(n, s)| Step::Report(n, s)),
        2 => (node, outcomes).prop_map(|(n, o)| Step::Last(n, o)),
        2 => test.clone().prop_map(Step::Create),
        2 => (test.clone(), any::<bool>()).prop_map(|(t, q)| Step::Trigger(t, q)),
        1 => test.clone().prop_map(Step::Stop),
        1 => test.clone().prop_map(Step::Rate),
        1 => (test, any::<bool>()).prop_map(|(t, stop)| Step::ReadTrigger(t, stop)),
        1 => Just(Step::Restart),
        1 => Just(Step::Outage),
    ]
}

fn take(world: &mut World, step: &Step, current: &str) {
    match step {
        Step::Pulse => world.pulse(),
        Step::Beat(node, state, on) => world.beat(NODES[*node], *state, on.then_some(current)),
        Step::Report(node, sequence) => world.report(interval(NODES[*node], current, *sequence)),
        Step::Last(node, outcome) => world.report(last(NODES[*node], current, *outcome)),
        Step::Create(test) => {
            let test_id = TESTS[*test].to_owned();
            if world.state.list.get(&test_id).is_none() {
                let workload = Box::new(workload());
                world.command(Command::Create {
                    test_id,
                    workload,
                    queue: false,
                });
            }
        }
        Step::Trigger(test, queue) => {
            world.command(Command::Trigger {
                test_id: TESTS[*test].into(),
                queue: *queue,
            });
        }
        Step::Stop(test) => drop(world.stop(TESTS[*test])),
        Step::Rate(test) => {
            world.command(Command::ChangeRate {
                test_id: TESTS[*test].into(),
                rate: "5".parse().unwrap(),
                by: None,
            });
        }
        Step::ReadTrigger(test, is_stop) => {
            let mut trigger = start(TESTS[*test], &NODES);
            if *is_stop {
                trigger.trigger = TriggerKind::Stop;
            }
            world.event(Event::Trigger(trigger));
        }
        Step::Restart => world.restart(),
        Step::Outage => world.pass(30_000),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_run_can_be_ended_whatever_happened(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::with(&NODES);
        for step in &steps {
            let current = TESTS[world.seen().active.len() % TESTS.len()];
            take(&mut world, step, current);
        }
        let ids: Vec<String> =
            world.state.list.rows().select(&Selection::default()).iter().map(|row| row.test_id.clone()).collect();
        // Whoever is there may stop everything, and may be left alone with it.
        world.pulse();
        ids.iter().for_each(|id| drop(world.stop(id)));
        world.seconds(12, &[]);
        for id in ids {
            prop_assert!(world.phase(&id).has_ended(), "{id} is {:?}", world.phase(&id));
            let (run, _) = &world.runs[&id];
            let phases: Vec<Phase> = run.transitions.iter().map(|t| t.state).collect();
            prop_assert!(phases.is_sorted() && phases.windows(2).all(|two| two[0] != two[1]), "{phases:?}");
        }
    }

    #[test]
    fn active_runs_end_by_themselves_when_nobody_is_there(steps in prop::collection::vec(step(), 0..60)) {
        let mut world = World::with(&NODES);
        steps.iter().for_each(|step| take(&mut world, step, "t"));
        world.seconds(30, &[]);
        prop_assert_eq!(world.seen().active, Vec::<String>::new());
    }

    #[test]
    fn order_and_repetition_of_reports_change_nothing(
        order in Just((0..9_usize).collect::<Vec<_>>()).prop_shuffle(),
        repeats in prop::collection::vec(0_usize..9, 0..9),
    ) {
        let messages: Vec<Metrics> = NODES.iter().flat_map(|node| whole(node, "t")).collect();
        let run = |order: &[usize]| {
            let mut world = World::with(&NODES);
            world.run("t", &NODES);
            order.iter().for_each(|at| world.report(messages[*at].clone()));
            (world.phase("t"), world.results.pop().unwrap())
        };
        let straight: Vec<usize> = (0..9).collect();
        let shuffled: Vec<usize> = repeats.iter().copied().filter(|at| *at != order[8])
            .chain(order.iter().copied()).chain(repeats.iter().copied()).collect();
        prop_assert_eq!(run(&straight), run(&shuffled));
    }
}
