//! What is kept, for how long, and in how much room.

use super::*;

const DAY_MS: u64 = 86_400_000;

fn left(world: &World) -> Vec<String> {
    let rows = world.state.list.rows().select(&Selection::default());
    rows.iter().map(|row| row.test_id.clone()).collect()
}

/// A test that ran to its end on one driver.
fn ended(world: &mut World, test_id: &str) {
    world.run(test_id, &["a"]);
    for message in whole("a", test_id) {
        world.report(message);
    }
    world.beat("a", NodeState::Idle, None);
}

#[test]
fn tests_that_nobody_triggers_cost_no_results() {
    let mut world = World::with(&["a"]);
    world.state.settings.retention_tests = 5;
    let results = ["r1", "r2", "r3", "r4", "r5"];
    results.iter().for_each(|id| ended(&mut world, id));
    for id in ["c1", "c2", "c3", "c4", "c5"] {
        world.create(id);
    }
    let left_of = |world: &World| -> Vec<String> {
        let mut ids = left(world);
        ids.retain(|id| id.starts_with('r'));
        ids
    };
    assert_eq!(left_of(&world), ["r5", "r4", "r3", "r2", "r1"]);
    ended(&mut world, "r6");
    assert_eq!(left_of(&world), ["r6", "r5", "r4", "r3", "r2"]);
    assert_eq!(left(&world).len(), 10, "those that wait are all there");
}

#[test]
fn the_oldest_results_go_while_the_store_is_too_large_and_the_newest_stays() {
    let mut world = World::with(&["a"]);
    world.state.settings.retention_bytes = 1_000;
    for id in ["r1", "r2", "r3", "r4"] {
        ended(&mut world, id);
    }
    world.create("waits");
    world.event(Event::StoreUsed(1_000, Vec::new()));
    assert_eq!(left(&world).len(), 5);
    world.event(Event::StoreUsed(1_300, Vec::new()));
    assert_eq!(left(&world), ["waits", "r4", "r3", "r2"]);
    world.event(Event::StoreUsed(1_000_000, Vec::new()));
    assert_eq!(left(&world), ["waits", "r4"]);
    world.event(Event::StoreUsed(1_000_000, Vec::new()));
    assert_eq!(left(&world), ["waits", "r4"]);
}

#[test]
fn a_test_that_nobody_triggers_expires_after_a_day() {
    let mut world = World::with(&["a"]);
    world.create("t");
    world.deliver();
    world.pass(DAY_MS - 60_000);
    world.pulse();
    assert_ne!(world.phase("t"), Phase::Aborted);
    world.pass(60_000);
    world.pulse();
    world.pulse();
    assert_eq!(world.phase("t"), Phase::Aborted);
    assert!(world.reason("t").contains("24 h"), "{}", world.reason("t"));
    assert_eq!(world.stops(), ["t"]);
}

#[test]
fn a_complete_run_is_compacted_soon_and_one_without_its_last_reports_after_an_hour() {
    let mut world = World::with(&["a"]);
    ended(&mut world, "whole");
    world.run("part", &["a"]);
    world.report(interval("a", "part", 0));
    // The driver is gone: nothing but our own pulses.
    world.seconds(12, &[]);
    assert_eq!(world.phase("part"), Phase::Partial);
    assert_eq!(world.compacting, ["whole"]);
    world.event(Event::Compacted("whole".into(), Ok(())));
    world.seconds(10, &[]);
    assert_eq!(world.compacting, ["whole"], "reports may still come");
    world.pass(3_600_000);
    world.pulse();
    assert_eq!(world.compacting, ["whole", "part"]);
    world.event(Event::Compacted("part".into(), Ok(())));
    let reports = world.reports.len();
    world.report(last("a", "part", Outcome::Done));
    assert_eq!(world.reports.len(), reports, "it is too late");
    world.restart();
    world.seconds(10, &[]);
    assert!(world.state.list.get("part").unwrap().is_complete);
}

#[test]
fn what_is_read_about_a_deleted_test_does_not_bring_it_back() {
    let mut world = World::with(&["a"]);
    world.state.settings.retention_tests = 1;
    ended(&mut world, "old");
    ended(&mut world, "new");
    assert_eq!(left(&world), ["new"]);
    let about_it = |world: &mut World| {
        world.report(interval("a", "old", 9));
        world.event(Event::Config(Box::new(config("old"))));
        world.event(Event::Trigger(start("old", &["a"])));
    };
    about_it(&mut world);
    assert_eq!(world.seen().counts.of_deleted, 3);
    world.restart();
    about_it(&mut world);
    assert_eq!(world.seen().counts.of_deleted, 3, "also after a restart");
    assert_eq!(left(&world), ["new"]);
    world.pass(7 * DAY_MS);
    world.pulse();
    assert!(world.tombstones.is_empty());
}

#[test]
fn a_test_is_deleted_when_it_has_ended_and_not_before() {
    let mut world = World::with(&["a"]);
    world.create("open");
    ended(&mut world, "over");
    let row = world.state.list.get("over").unwrap();
    let outcome = row
        .outcome
        .as_ref()
        .expect("what came of it stands in its line");
    assert_eq!((outcome.thresholds, outcome.breached), (0, 0));
    assert!(outcome.ok_per_second.is_some() && outcome.error_rate == Some(0.0));
    let delete = |world: &mut World, test_id: &str| {
        let test_id = test_id.to_owned();
        world.command(Command::Delete { test_id }).unwrap()
    };
    let refused = delete(&mut world, "open");
    assert!(
        matches!(refused, Reply::Refused(Refusal::StillOpen { .. })),
        "{refused:?}"
    );
    assert!(matches!(delete(&mut world, "over"), Reply::Deleted { .. }));
    let again = delete(&mut world, "over");
    assert!(
        matches!(again, Reply::Refused(Refusal::UnknownTest(_))),
        "{again:?}"
    );
    assert_eq!(left(&world), ["open"]);
}
