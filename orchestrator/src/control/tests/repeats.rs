//! Sets of runs of one document, by a fold whose drivers are played.

use proto::document::{Document, Setting};
use proto::summary::{Repeats, Standing};

use super::*;

const DRIVERS: [&str; 2] = ["a", "b"];

fn document(more: &str) -> Box<Document> {
    let text = format!(
        "target: http://127.0.0.1:8000/\nname: shop\ntags: {{env: staging}}\nrepeat: 3\nrest: 2s\n\
         load: {{closed: 2, sessions: 20}}\n{more}"
    );
    Box::new(Document::read(&text, Setting::default()).unwrap())
}

impl World {
    fn repeat(&mut self, test_id: &str, more: &str, queue: bool) -> Option<Reply> {
        self.command(Command::Repeat {
            test_id: test_id.to_owned(),
            document: document(more),
            queue,
        })
    }

    fn set(&mut self, test_id: &str) -> Repeats {
        let Goal::Repeat(set) = self.campaign(test_id).goal else {
            panic!("{test_id} is no set");
        };
        set
    }

    /// Plays all runs of a set.
    fn play(&mut self, test_id: &str, mut between: impl FnMut(&mut Self)) {
        while let Some(run_id) = self.await_run(test_id, &DRIVERS) {
            between(self);
            self.start(&run_id, &DRIVERS);
            between(self);
            self.pulse();
            self.finish(&run_id, &DRIVERS, 5);
            between(self);
        }
    }
}

/// The rows of a set: the test, what it amounts to, whether it counts.
fn rows(set: &Repeats) -> Vec<(Option<&str>, Standing, bool)> {
    let row = |run: &'_ proto::summary::Repeat| (run.standing, run.counted);
    let of = set
        .runs
        .iter()
        .map(|run| (run.test_id.as_deref(), row(run)));
    of.map(|(id, (standing, counted))| (id, standing, counted))
        .collect()
}

#[test]
fn a_set_is_so_many_tests_with_its_tag_and_their_spread() {
    let mut world = World::with(&DRIVERS);
    let reply = world.repeat("s", "", false);
    let created = Reply::Created {
        test_id: "s".into(),
    };
    assert_eq!(reply, Some(created));
    world.play("s", |_| {});
    let campaign = world.campaign("s");
    assert_eq!(campaign.state, CampaignState::Done, "{:?}", campaign.reason);
    assert_eq!(campaign.participants, DRIVERS);
    assert_eq!(world.campaigns["s"], campaign, "as it is stored");
    assert_eq!(campaign.document, None, "its secrets are gone with it");
    let set = world.set("s");
    let good = |id| (Some(id), Standing::Good, true);
    assert_eq!(rows(&set), [good("s-1"), good("s-2"), good("s-3")]);
    assert_eq!(set.spread[0].runs, 3);
    for run in ["s-1", "s-2", "s-3"] {
        let row = world.state.list.get(run).unwrap();
        assert_eq!(row.labels.name.as_deref(), Some("shop"));
        let tags: Vec<_> = row.labels.tags.iter().collect();
        let expected = [("env", "staging"), ("repeat", "s")];
        assert!(
            tags.iter()
                .map(|(tag, value)| (tag.as_str(), value.as_str()))
                .eq(expected)
        );
    }
    let mut created: Vec<&TestRow> = world.runs.values().map(|(_, row)| row).collect();
    created.sort_by_key(|row| row.number);
    for pair in created.windows(2) {
        let rest_ms = pair[1].created_unix_ms - pair[0].ended_unix_ms.unwrap();
        assert!((2000..5000).contains(&rest_ms), "{rest_ms} ms of rest");
    }
}

#[test]
fn a_process_that_is_killed_anywhere_makes_the_same_runs() {
    let mut world = World::with(&DRIVERS);
    world.repeat("s", "", false);
    world.play("s", |world| {
        world.restart();
        world.pulse();
    });
    assert_eq!(world.campaign("s").state, CampaignState::Done);
    assert_eq!(world.set("s").runs.len(), 3);
    assert!(world.set("s").runs.iter().all(|run| run.counted));
    assert_eq!(world.runs.len(), 3, "and no others");
}

#[test]
fn a_process_that_comes_back_between_two_runs_rests_anew() {
    let mut world = World::with(&DRIVERS);
    world.repeat("s", "", false);
    world.start("s-1", &DRIVERS);
    world.finish("s-1", &DRIVERS, 5);
    world.pass(1500);
    world.restart();
    world.pass(1500);
    world.event(Event::Tick);
    assert_eq!(world.campaign("s").run, None);
    world.pass(600);
    world.event(Event::Tick);
    assert!(world.campaign("s").run.is_some());
}

#[test]
fn a_stop_ends_the_set_and_its_run_and_says_so() {
    let mut world = World::with(&DRIVERS);
    world.repeat("s", "", false);
    world.start("s-1", &DRIVERS);
    world.finish("s-1", &DRIVERS, 5);
    let run_id = world.await_run("s", &DRIVERS).unwrap();
    world.start(&run_id, &DRIVERS);
    world.stop("s");
    assert_eq!(world.stops(), ["s-2"]);
    world.restart();
    for driver in DRIVERS {
        world.report(last(driver, "s-2", Outcome::Aborted));
    }
    let campaign = world.campaign("s");
    assert_eq!(campaign.state, CampaignState::Aborted);
    assert_eq!(campaign.reason.as_deref(), Some("stopped"));
    let set = world.set("s");
    let stopped = (Some("s-2"), Standing::Interrupted, false);
    assert_eq!(rows(&set)[1], stopped);
    assert!(set.interrupted);
    world.seconds(
        5,
        &[("a", NodeState::Idle, None), ("b", NodeState::Idle, None)],
    );
    assert_eq!(world.runs.len(), 2, "no other follows");

    // Between two runs.
    world.repeat("t", "", false);
    world.start("t-1", &DRIVERS);
    world.finish("t-1", &DRIVERS, 5);
    world.stop("t");
    assert_eq!(world.campaign("t").state, CampaignState::Aborted);
    assert_eq!(world.set("t").standing(), Standing::Interrupted);

    // A run of it alone.
    world.repeat("u", "", false);
    world.stop("u-1");
    let campaign = world.campaign("u");
    assert_eq!(campaign.state, CampaignState::Aborted);
    let reason = campaign.reason.as_deref();
    assert_eq!(reason, Some("its run u-1 was stopped"));
    assert!(world.set("u").interrupted);
}

#[test]
fn drivers_that_change_end_it_and_their_run_has_no_part_in_the_spread() {
    let mut world = World::with(&DRIVERS);
    world.repeat("s", "", false);
    world.start("s-1", &DRIVERS);
    world.finish("s-1", &DRIVERS, 5);
    let run_id = world.await_run("s", &DRIVERS).unwrap();
    // A third one came.
    world.beat("c", NodeState::Idle, None);
    let all = ["a", "b", "c"];
    world.start(&run_id, &all);
    world.finish(&run_id, &all, 5);
    let campaign = world.campaign("s");
    assert_eq!(campaign.state, CampaignState::Failed);
    let reason = campaign.reason.clone().unwrap();
    let words = "run s-2 was on a; b; c, those before it on a; b";
    assert!(reason.contains(words), "{reason}");
    let set = world.set("s");
    assert_eq!(rows(&set)[1], (Some("s-2"), Standing::Incomplete, false));
    assert_eq!(set.runs[1].reasons[0], reason);
    assert_eq!(set.spread[0].runs, 1);

    // One is lost in the middle of a run.
    world.repeat("t", "", false);
    world.start("t-1", &all);
    world.finish("t-1", &["a", "b"], 5);
    world.seconds(
        12,
        &[("a", NodeState::Idle, None), ("b", NodeState::Idle, None)],
    );
    let set = world.set("t");
    assert_eq!(rows(&set), [(Some("t-1"), Standing::Incomplete, false)]);
    let reason = &set.runs[0].reasons[0];
    let words = "the drivers changed in its run t-1: c: lost";
    assert!(reason.contains(words), "{reason}");
}

#[test]
fn a_first_run_that_cannot_begin_ends_it_and_a_later_one_is_a_row() {
    let mut world = World::with(&[]);
    let reply = world.repeat("s", "", false);
    assert_eq!(reply, Some(Reply::Refused(Refusal::NoDriver)));
    assert!(world.campaigns.is_empty() && world.runs.is_empty());

    let mut world = World::with(&["a"]);
    let fail = |world: &mut World, run_id: &str| {
        world.event(Event::Tick);
        world.beat("a", NodeState::Failed, Some(run_id));
        assert_eq!(world.phase(run_id), Phase::Failed);
    };
    world.repeat("s", "", false);
    fail(&mut world, "s-1");
    let campaign = world.campaign("s");
    assert_eq!(campaign.state, CampaignState::Failed);
    let reason = campaign.reason.unwrap();
    assert!(
        reason.contains("run s-1 failed") && reason.contains("connection refused"),
        "{reason}"
    );
    assert_eq!(world.set("s").standing(), Standing::Failed);

    world.repeat("t", "", false);
    world.start("t-1", &["a"]);
    world.finish("t-1", &["a"], 5);
    let run_id = world.await_run("t", &["a"]).unwrap();
    fail(&mut world, &run_id);
    let run_id = world.await_run("t", &["a"]).unwrap();
    world.start(&run_id, &["a"]);
    world.finish(&run_id, &["a"], 5);
    world.event(Event::Tick);
    assert_eq!(world.campaign("t").state, CampaignState::Done);
    let set = world.set("t");
    let expected = [
        (Some("t-1"), Standing::Good, true),
        (Some("t-2"), Standing::Failed, false),
        (Some("t-3"), Standing::Good, true),
    ];
    assert_eq!(rows(&set), expected);
    assert_eq!(set.spread[0].runs, 2);
}

#[test]
fn a_condition_that_ends_a_run_is_a_row_and_the_set_goes_on() {
    let mut world = World::with(&["a"]);
    world.repeat("s", "abort: [error_rate > 20% for 1s]\n", false);
    world.start("s-1", &["a"]);
    world.fail("s-1", "a", 2);
    world.report(last("a", "s-1", Outcome::Aborted));
    let set = world.set("s");
    assert_eq!(rows(&set), [(Some("s-1"), Standing::Aborted, false)]);
    assert_eq!(world.campaign("s").state, CampaignState::Running);
    assert!(world.await_run("s", &["a"]).is_some());
}

#[test]
fn busy_drivers_refuse_a_set_that_may_not_wait_for_them() {
    let mut world = World::with(&DRIVERS);
    world.run("other", &DRIVERS);
    let reply = world.repeat("s", "", false);
    let busy = Refusal::Busy {
        running: "other".into(),
    };
    assert_eq!(reply, Some(Reply::Refused(busy)));
    assert!(world.campaigns.is_empty());
    world.repeat("s", "", true);
    world.pulse();
    assert!(world.state.list.get("s-1").unwrap().queued);
    // It is no test, and is deleted as what it is, when it is over.
    let refused = world.command(Command::Delete {
        test_id: "s".into(),
    });
    let (campaign_id, kind) = ("s".to_owned(), CampaignKind::Repeat);
    let no_test = CampaignRefusal::NoTest { campaign_id, kind };
    assert_eq!(refused, Some(Reply::Refused(Refusal::Campaign(no_test))));
    let delete = |world: &mut World, kind| {
        world.command(Command::DeleteCampaign {
            test_id: "s".into(),
            kind,
        })
    };
    let open = delete(&mut world, CampaignKind::Repeat);
    let of_another_kind = delete(&mut world, CampaignKind::Capacity);
    for (refused, is_open) in [(open, true), (of_another_kind, false)] {
        let Some(Reply::Refused(Refusal::Campaign(refusal))) = refused else {
            panic!("{refused:?}");
        };
        let as_open = matches!(refusal, CampaignRefusal::Open { .. });
        let as_unknown = matches!(refusal, CampaignRefusal::Unknown { .. });
        assert_eq!((as_open, as_unknown), (is_open, !is_open), "{refusal:?}");
    }
    world.stop("s");
    let deleted = Reply::Deleted {
        test_id: "s".into(),
    };
    assert_eq!(delete(&mut world, CampaignKind::Repeat), Some(deleted));
    assert!(world.campaigns.is_empty());
    assert_eq!(world.phase("s-1"), Phase::Aborted, "its runs stay");
}

#[test]
fn what_is_written_on_a_set_is_written_on_all_its_runs() {
    let mut world = World::with(&DRIVERS);
    world.repeat("s", "", false);
    world.start("s-1", &DRIVERS);
    world.finish("s-1", &DRIVERS, 5);
    world.await_run("s", &DRIVERS).unwrap();
    let label = |world: &mut World, patch: &str| {
        world.command(Command::LabelSet {
            test_id: "s".into(),
            patch: serde_json::from_str(patch).unwrap(),
        })
    };
    let many: BTreeMap<String, String> = (0..32).map(|n| (n.to_string(), "x".into())).collect();
    let refused = label(&mut world, &json!({"tags": many}).to_string());
    let is_refused = matches!(refused, Some(Reply::Refused(Refusal::WrongLabel(_))));
    assert!(is_refused, "{refused:?}");
    let patch = r#"{"name": "basket", "tags": {"repeat": null, "env": null, "git": "abc"}}"#;
    let labeled = label(&mut world, patch);
    assert!(matches!(labeled, Some(Reply::SetLabeled(_))), "{labeled:?}");
    world.play("s", World::restart);
    for run in ["s-1", "s-2", "s-3"] {
        let labels = &world.state.list.get(run).unwrap().labels;
        assert_eq!(labels.name.as_deref(), Some("basket"), "{run}");
        let tags: Vec<&str> = labels.tags.keys().map(String::as_str).collect();
        assert_eq!(tags, ["git", "repeat"], "{run}");
        assert_eq!(labels.tags["repeat"], "s");
    }
}
