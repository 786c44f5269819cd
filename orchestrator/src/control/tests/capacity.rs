//! Searches for a capacity, by a fold whose drivers answer from a target of a known one.

use proto::document::{Document, Setting};
use proto::summary::{Capacity, CapacityAnswer, CapacityBounds, CapacityStep};

use super::*;

const DRIVERS: [&str; 2] = ["a", "b"];

fn document(more: &str) -> Box<Document> {
    let text = format!(
        "target: http://127.0.0.1:8000/\nname: shop\nload: {{open: 100/s, for: 2s}}\n\
         thresholds: [p90 < 50ms]\n{more}"
    );
    Box::new(Document::read(&text, Setting::default()).unwrap())
}

impl World {
    pub(super) fn seek(&mut self, test_id: &str, more: &str) -> Option<Reply> {
        self.command(Command::Seek {
            test_id: test_id.to_owned(),
            document: document(more),
            bounds: CapacityBounds::default(),
        })
    }

    /// The run that a search waits for, once there is one: its id and rate.
    fn await_rate(&mut self, test_id: &str) -> Option<(String, f64)> {
        let run_id = self.await_run(test_id, &DRIVERS)?;
        let Some(RunPlan::Rate(wanted)) = self.campaign(test_id).run.map(|run| run.plan) else {
            panic!("{run_id} has no rate");
        };
        Some((run_id, wanted.rate))
    }

    /// Follows a search of a target that answers in time up to `capacity`.
    fn follow(&mut self, test_id: &str, capacity: f64, mut between: impl FnMut(&mut Self)) {
        while let Some((run_id, rate)) = self.await_rate(test_id) {
            between(self);
            self.start(&run_id, &DRIVERS);
            between(self);
            self.finish(&run_id, &DRIVERS, if rate > capacity { 300 } else { 5 });
            between(self);
        }
    }
}

fn goal(search: &Campaign) -> &CapacityGoal {
    let Goal::Capacity(goal) = &search.goal else {
        panic!("{} is no search", search.test_id);
    };
    goal
}

/// What a search has found so far.
fn answer(search: &Campaign) -> CapacityAnswer {
    goal(search).answer(&search.target)
}

/// What the runs of a search that counted came to.
fn runs(search: &Campaign) -> &[CapacityStep] {
    &goal(search).runs
}

fn found(search: &Campaign) -> (f64, f64) {
    let Capacity { at_least, below } = answer(search).capacity;
    (at_least.unwrap(), below.unwrap())
}

#[test]
fn a_search_offers_rates_as_runs_of_its_own_and_finds_the_capacity() {
    let mut world = World::with(&DRIVERS);
    let reply = world.seek("s", "");
    assert_eq!(
        reply,
        Some(Reply::Created {
            test_id: "s".into()
        })
    );
    world.follow("s", 700.0, |_| {});
    let search = world.campaign("s");
    assert_eq!(search.state, CampaignState::Done, "{:?}", search.reason);
    let (low, high) = found(&search);
    assert!(
        low <= 700.0 && 700.0 < high && high <= low * 1.06,
        "{low} to {high}"
    );
    let steps = answer(&search).steps;
    assert!(
        steps.len() <= 13 && steps.last().unwrap().again,
        "{steps:?}"
    );
    assert_eq!(search.participants, DRIVERS);
    // Every run is a test, found by the search's id and not by the name of the document.
    let runs: Vec<String> = steps.iter().flat_map(|step| step.tests.clone()).collect();
    let expected: Vec<String> = (1..=runs.len()).map(|k| format!("s-{k}")).collect();
    assert_eq!(runs, expected);
    let row = world.state.list.get("s-1").unwrap();
    assert_eq!(row.labels.name.as_deref(), Some("shop at 100/s"));
    assert_eq!(row.labels.tags["capacity"], "s");
    assert_eq!(world.campaigns["s"], search, "as it is stored");
}

#[test]
fn a_process_that_is_killed_anywhere_finds_the_same_with_the_same_runs() {
    let mut calm = World::with(&DRIVERS);
    calm.seek("s", "");
    calm.follow("s", 700.0, |_| {});
    let mut killed = World::with(&DRIVERS);
    killed.seek("s", "");
    killed.follow("s", 700.0, |world| {
        world.restart();
        world.pulse();
    });
    let (calm, killed) = (calm.campaign("s"), killed.campaign("s"));
    assert_eq!(killed.state, CampaignState::Done, "{:?}", killed.reason);
    let of = |search: &Campaign| -> Vec<(f64, bool, Vec<String>)> {
        let runs = runs(search).iter();
        runs.map(|run| (run.rate, run.again, run.tests.clone()))
            .collect()
    };
    assert_eq!(of(&killed), of(&calm));
    assert_eq!(answer(&killed).capacity, answer(&calm).capacity);
}

#[test]
fn a_stop_ends_the_search_and_its_run_and_a_stopped_run_ends_the_search() {
    let mut world = World::with(&DRIVERS);
    world.seek("s", "");
    world.start("s-1", &DRIVERS);
    let reply = world.stop("s");
    assert!(
        matches!(
            reply,
            Some(Reply::Stopped {
                state: "running",
                ..
            })
        ),
        "{reply:?}"
    );
    assert_eq!(world.stops(), ["s-1"]);
    world.restart();
    for driver in DRIVERS {
        world.report(last(driver, "s-1", Outcome::Aborted));
    }
    let search = world.campaign("s");
    assert_eq!(
        (search.state, search.reason.as_deref()),
        (CampaignState::Aborted, Some("stopped"))
    );
    let again = world.stop("s");
    assert!(
        matches!(
            again,
            Some(Reply::Refused(Refusal::Campaign(
                CampaignRefusal::Over { .. }
            )))
        ),
        "{again:?}"
    );

    // Between two runs, and before the first has begun.
    world.seek("t", "");
    world.start("t-1", &DRIVERS);
    world.finish("t-1", &DRIVERS, 5);
    assert_eq!(world.campaign("t").run, None);
    world.stop("t");
    assert_eq!(world.campaign("t").state, CampaignState::Aborted);
    assert_eq!(answer(&world.campaign("t")).capacity.at_least, Some(100.0));
    world.seek("u", "");
    world.stop("u");
    assert_eq!(world.campaign("u").state, CampaignState::Aborted);
    assert_eq!(world.phase("u-1"), Phase::Aborted);

    world.seek("v", "");
    world.stop("v-1");
    let search = world.campaign("v");
    assert_eq!(search.reason.as_deref(), Some("its run v-1 was stopped"));
}

#[test]
fn drivers_that_change_end_it_with_the_reason_and_what_was_known() {
    let mut world = World::with(&DRIVERS);
    world.seek("s", "");
    world.start("s-1", &DRIVERS);
    world.finish("s-1", &DRIVERS, 5);
    let (run_id, _) = world.await_rate("s").unwrap();
    // A third one came.
    world.beat("c", NodeState::Idle, None);
    let all = ["a", "b", "c"];
    world.start(&run_id, &all);
    world.finish(&run_id, &all, 5);
    let search = world.campaign("s");
    assert_eq!(search.state, CampaignState::Failed);
    let reason = search.reason.clone().unwrap();
    assert!(
        reason.contains("run s-2 was on a; b; c, those before it on a; b"),
        "{reason}"
    );
    assert_eq!(answer(&search).capacity.at_least, Some(100.0));

    // One is lost in the middle of a run.
    world.seek("t", "");
    world.start("t-1", &all);
    world.finish("t-1", &["a", "b"], 5);
    world.seconds(
        12,
        &[("a", NodeState::Idle, None), ("b", NodeState::Idle, None)],
    );
    let reason = world.campaign("t").reason.unwrap();
    assert!(
        reason.contains("the drivers changed in its run t-1: c: lost"),
        "{reason}"
    );
}

#[test]
fn what_cannot_be_searched_is_refused_and_a_run_that_fails_is_tried_again() {
    let mut world = World::with(&[]);
    let reply = world.seek("s", "");
    assert_eq!(reply, Some(Reply::Refused(Refusal::NoDriver)));
    assert!(world.campaigns.is_empty() && world.runs.is_empty());

    let mut world = World::with(&["a"]);
    world.seek("s", "");
    for attempt in 1..=3 {
        let run_id = format!("s-{attempt}");
        for _ in 0..6 {
            if world
                .campaign("s")
                .run
                .is_some_and(|run| run.test_id == run_id)
            {
                break;
            }
            world.pulse();
            world.beat("a", NodeState::Idle, None);
        }
        world.event(Event::Tick);
        world.beat("a", NodeState::Failed, Some(&run_id));
        assert_eq!(world.phase(&run_id), Phase::Failed);
    }
    let search = world.campaign("s");
    assert_eq!(search.state, CampaignState::Failed);
    let reason = search.reason.unwrap();
    assert!(
        reason.contains("run s-3 failed") && reason.contains("connection refused"),
        "{reason}"
    );
}

#[test]
fn an_hour_is_the_end_and_secrets_go_with_it() {
    let mut world = World::with(&DRIVERS);
    world.seek("s", "defaults: {headers: {Authorization: Bearer abc}}\n");
    assert!(
        world.campaigns["s"]
            .document
            .as_deref()
            .unwrap()
            .contains("abc")
    );
    world.start("s-1", &DRIVERS);
    world.finish("s-1", &DRIVERS, 5);
    world.pass(3_598_000);
    world.pulse();
    let search = world.campaign("s");
    assert_eq!(search.state, CampaignState::Done);
    assert!(search.reason.unwrap().contains("hour"));
    assert_eq!(world.campaigns["s"].document, None);
    let deleted = world.command(Command::DeleteCampaign {
        test_id: "s".into(),
        kind: CampaignKind::Capacity,
    });
    assert_eq!(
        deleted,
        Some(Reply::Deleted {
            test_id: "s".into()
        })
    );
    assert!(world.campaigns.is_empty());
    assert_eq!(
        world.phase("s-1"),
        Phase::Done,
        "its runs are tests of their own"
    );
}

#[test]
fn a_run_that_nobody_can_start_is_given_up() {
    let mut world = World::with(&["a"]);
    world.seek("s", "");
    // Up, and busy with something else for as long as the queue has patience.
    world.seconds(40, &[("a", NodeState::Preparing, Some("other"))]);
    let search = world.campaign("s");
    assert_eq!(search.state, CampaignState::Failed);
    let reason = search.reason.unwrap();
    assert!(
        reason.contains("run s-1 could not start: skipped"),
        "{reason}"
    );
    // Down for an hour.
    world.beat("a", NodeState::Idle, None);
    world.seek("t", "");
    world.seconds(15, &[]);
    assert_eq!(world.campaign("t").state, CampaignState::Running);
    world.pass(3_600_000);
    world.pulse();
    assert_eq!(world.campaign("t").state, CampaignState::Failed);
    assert!(world.phase("t-1").has_ended());
}

#[test]
fn a_search_waits_its_turn_and_may_not_be_deleted_before_its_end() {
    let mut world = World::with(&DRIVERS);
    world.run("other", &DRIVERS);
    world.seek("s", "");
    world.pulse();
    assert_eq!(world.phase("s-1"), Phase::Created);
    assert!(world.state.list.get("s-1").unwrap().queued);
    let refused = world.command(Command::DeleteCampaign {
        test_id: "s".into(),
        kind: CampaignKind::Capacity,
    });
    assert!(
        matches!(
            refused,
            Some(Reply::Refused(Refusal::Campaign(
                CampaignRefusal::Open { .. }
            )))
        ),
        "{refused:?}"
    );
    // Neither is it a test, nor its run one that may go before it.
    let delete = |test_id: &str| Command::Delete {
        test_id: test_id.to_owned(),
    };
    let no_test = Refusal::Campaign(CampaignRefusal::NoTest {
        campaign_id: "s".into(),
        kind: CampaignKind::Capacity,
    });
    let refused = world.command(delete("s"));
    assert_eq!(refused, Some(Reply::Refused(no_test)));
    let of_search = Refusal::Campaign(CampaignRefusal::Run {
        test_id: "s-1".into(),
        state: "created",
        campaign_id: "s".into(),
        kind: CampaignKind::Capacity,
    });
    let refused = world.command(delete("s-1"));
    assert_eq!(refused, Some(Reply::Refused(of_search)));
    for driver in DRIVERS {
        whole(driver, "other")
            .into_iter()
            .for_each(|message| world.report(message));
    }
    world.start("s-1", &DRIVERS);
}

#[test]
fn a_condition_that_ends_a_run_is_a_breach() {
    let mut world = World::with(&["a"]);
    world.seek("s", "abort: [error_rate > 20% for 1s]\n");
    world.start("s-1", &["a"]);
    world.fail("s-1", "a", 2);
    assert_eq!(world.stops(), ["s-1"]);
    world.report(last("a", "s-1", Outcome::Aborted));
    let search = world.campaign("s");
    assert_eq!(search.state, CampaignState::Running);
    assert_eq!(runs(&search)[0].judged, proto::summary::Judged::Breached);
}
