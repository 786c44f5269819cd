//! What mergers say is counted as what it was merged from, or read from there.

use proto::codec;
use proto::merging::{LEN_MAX, Merger, Range, Read};
use proto::message::Metrics;

use super::*;
use crate::control::MergedRange;

/// The range that begins at an offset and has these messages.
fn range(from: i64, messages: &[Metrics]) -> MergedRange {
    let merger = Merger {
        id: "m".into(),
        incarnation: 1,
    };
    let mut range = Range::starting_at(from);
    for (offset, message) in (from..).zip(messages) {
        range.add(Read::message(offset, codec::encode(message)));
    }
    let mut encoded = range.encoded(&merger, 0, range.to(), LEN_MAX);
    MergedRange::decode(&encoded.remove(0).payload.unwrap()).unwrap()
}

impl World {
    fn merged(&mut self, from: i64, messages: &[Metrics]) {
        self.event(Event::Merged(Box::new(range(from, messages))));
        self.event(Event::Tick);
    }

    fn raw(&mut self, offset: i64, message: Metrics) {
        let payload = codec::encode(&message);
        let event = Event::Metrics(Box::new(message), payload);
        self.event(Event::OfMetrics {
            partition: 0,
            next: offset + 1,
            event: Some(Box::new(event)),
        });
    }

    fn counted(&self) -> i64 {
        self.state.counted().next().unwrap().1
    }

    fn counts(&mut self) -> Counts {
        self.seen().counts
    }
}

fn world() -> World {
    let mut world = World::with(&["a", "b"]);
    world.event(Event::Partitions(vec![0]));
    world.run("t", &["a", "b"]);
    world
}

#[test]
fn merged_reports_start_a_run_end_it_and_are_stored_as_they_came() {
    let mut world = world();
    assert_eq!(world.phase("t"), Phase::Armed);
    world.merged(0, &[interval("a", "t", 0), interval("b", "t", 0)]);
    assert_eq!(world.phase("t"), Phase::Running);
    assert_eq!((world.parts.len(), world.reports.len()), (1, 0));
    let logged = world
        .lines
        .iter()
        .filter(|line| matches!(line, Line::Metrics(_)));
    assert_eq!(logged.count(), 2);
    world.restart();
    world.event(Event::Partitions(vec![0]));
    world.merged(0, &[interval("a", "t", 0), interval("b", "t", 0)]);
    let counts = world.counts();
    assert_eq!((counts.reports, counts.duplicates), (0, 0), "it is overlap");
    world.merged(2, &[interval("a", "t", 1), interval("b", "t", 1)]);
    world.merged(4, &["a", "b"].map(|node| last(node, "t", Outcome::Done)));
    assert_eq!(world.phase("t"), Phase::Done);
    assert_eq!((world.parts.len(), world.reports.len()), (2, 2));
    assert_eq!(world.counted(), 6);
    let result: serde_json::Value =
        serde_json::from_str(&world.results.last().unwrap().result).unwrap();
    assert_eq!(
        (&result["ok"], &result["coverage"]["reports_missing"]),
        (&40.into(), &0.into())
    );
    assert!(world.state.list.get("t").unwrap().is_complete);
}

#[test]
fn what_was_counted_is_not_counted_again_but_read_one_by_one() {
    let mut world = world();
    world.raw(0, interval("a", "t", 0));
    // A driver that was not told sends it again: two messages, and one report.
    world.merged(1, &[interval("a", "t", 0), interval("b", "t", 0)]);
    assert_eq!(world.counted(), 1);
    let asked = *world.raw.last().unwrap();
    assert_eq!((asked.from, asked.until), (1, Some(3)));
    world.raw(1, interval("a", "t", 0));
    world.raw(2, interval("b", "t", 0));
    world.raw(2, interval("b", "t", 0));
    world.merged(3, &[interval("a", "t", 1), interval("b", "t", 1)]);
    let counts = world.counts();
    assert_eq!(
        (counts.reports, counts.reports_merged, counts.duplicates),
        (4, 2, 1)
    );
    let ranges = world.seen().ranges;
    assert_eq!((ranges.counted, ranges.refused), (1, 1));
}

#[test]
fn reports_of_another_process_and_of_unknown_tests_are_read_one_by_one() {
    let mut world = world();
    let mut other = interval("b", "t", 0);
    other.report.as_mut().unwrap().incarnation = Some(99);
    if let Some((run, _)) = world.runs.get_mut("t") {
        run.incarnations.insert("b".into(), 1);
    }
    world.restart();
    world.event(Event::Partitions(vec![0]));
    world.merged(0, &[interval("a", "t", 0), other.clone()]);
    assert_eq!(world.counted(), 0);
    world.raw(0, interval("a", "t", 0));
    world.raw(1, other);
    assert_eq!((world.counts().reports, world.counts().fenced), (1, 1));
    world.merged(2, &[interval("x", "unheard-of", 0)]);
    assert_eq!(world.counted(), 2, "its config may come");
    let asked = *world.raw.last().unwrap();
    assert_eq!((asked.from, asked.until), (2, Some(3)));
}

#[test]
fn late_reports_are_counted_once_their_run_is_loaded() {
    let mut world = world();
    let all_of_a = whole("a", "t");
    world.merged(0, &[&all_of_a[..], &[interval("b", "t", 0)]].concat());
    world.seconds(30, &[]);
    assert_eq!(world.phase("t"), Phase::Partial);
    world.restart();
    world.event(Event::Partitions(vec![0]));
    world.merged(4, &[interval("x", "t", 0)]);
    assert_eq!(world.counted(), 4, "the run is not in memory");
    world.raw(4, interval("x", "t", 0));
    world.merged(5, &[interval("b", "t", 1)]);
    world.merged(6, &[last("b", "t", Outcome::Done)]);
    assert_eq!(world.counted(), 7);
    assert!(world.state.list.get("t").unwrap().is_complete);
    world.event(Event::Store(Ok(())));
    world.merged(7, &[interval("b", "t", 1)]);
    assert_eq!(
        (world.counted(), world.counts().duplicates),
        (8, 1),
        "nothing of it counts"
    );
}

#[test]
fn a_partition_that_mergers_leave_is_read_itself_and_said() {
    let mut world = world();
    world.merged(0, &[]);
    assert_eq!(world.raw.last().unwrap().until, Some(0));
    let beats = ["a", "b"].map(|node| (node, NodeState::Running, Some("t")));
    world.seconds(9, &beats);
    assert_eq!(world.raw.len(), 1);
    world.seconds(2, &beats);
    assert_eq!(world.raw.last().unwrap().until, None);
    let partitions = world.seen().partitions;
    assert!(partitions[0].silent_since_unix_ms.is_some() && partitions[0].merger_id.is_none());
    world.raw(0, interval("a", "t", 0));
    world.merged(0, &[interval("a", "t", 0)]);
    assert_eq!(world.raw.last().unwrap().until, Some(1));
    let seen = world.seen();
    assert_eq!(seen.partitions[0].merger_id.as_deref(), Some("m"));
    assert_eq!(seen.mergers[0].state, "up");
    let said = |name: &str| {
        let is_it = |line: &&Line| matches!(line, Line::Event(_, other, _) if *other == name);
        world.lines.iter().filter(is_it).count()
    };
    assert_eq!(
        (said("partition_merged"), said("partition_not_merged")),
        (2, 1)
    );
}

/// What is not as it should be, in words.
fn troubles(world: &mut World) -> Vec<String> {
    let now = world.now();
    world.seen().merging_troubles(now).collect()
}

#[test]
fn that_what_mergers_write_may_not_be_read_is_said_until_it_is() {
    let mut world = world();
    world.event(Event::MergersHidden(Some("no right".into())));
    let expected = "mergers, if there are any, are of no use: no right";
    assert_eq!(troubles(&mut world), [expected]);
    world.event(Event::MergersHidden(None));
    assert_eq!(troubles(&mut world), [""; 0]);
}

#[test]
fn two_mergers_of_one_partition_are_named_and_one_that_does_not_read() {
    let mut world = world();
    for turn in 0..6 {
        let mut range = range(0, &[]);
        range.incarnation = turn % 2;
        world.event(Event::Merged(Box::new(range)));
        world.pulse();
    }
    let said = troubles(&mut world);
    assert!(
        said[0].contains("partition 0 of metrics is read by two mergers, m and m"),
        "{said:?}"
    );
    for second in 0..20 {
        let mut range = range(0, &[]);
        range.end = 7;
        world.event(Event::Merged(Box::new(range)));
        world.pulse();
        if second == 14 {
            // Given up, and what it has not read is read here.
            world.raw(0, interval("a", "t", 0));
        }
    }
    let said = troubles(&mut world);
    assert!(
        said[0].contains("merger m has partition 0 of metrics and has read nothing of it for"),
        "{said:?}"
    );
}

#[test]
fn another_log_is_counted_from_its_beginning() {
    let mut world = world();
    world.merged(0, &[interval("a", "t", 0), interval("b", "t", 0)]);
    let partitions = vec![0];
    world.event(Event::Forgotten { log: 1, partitions });
    assert_eq!(world.counted(), 0);
    let running = ["a", "b"].map(|node| (node, NodeState::Running, Some("t")));
    world.seconds(6, &running);
    world.raw(0, interval("a", "t", 1));
    world.merged(1, &[interval("b", "t", 1)]);
    let asked = *world.raw.last().unwrap();
    assert_eq!((asked.log, asked.from, asked.until), (1, 2, Some(1)));
    assert_eq!((world.counted(), world.counts().reports), (2, 4));
}

#[test]
fn a_condition_is_judged_over_what_came_merged() {
    let mut world = World::with(&["a", "b"]);
    world.event(Event::Partitions(vec![0]));
    world.seek("s", "abort: [error_rate > 20% for 1s, p90 > 5ms for 2s]\n");
    world.start("s-1", &["a", "b"]);
    let second = |second| ["a", "b"].map(|node| interval(node, "s-1", second));
    world.merged(0, &second(0));
    assert!(world.stops().is_empty());
    world.merged(2, &second(1));
    assert_eq!(world.stops(), ["s-1"], "by its samples");
    let mut several = interval("a", "s-1", 2);
    several
        .report
        .as_mut()
        .unwrap()
        .append(&interval("a", "s-1", 3).report.unwrap());
    world.merged(4, &[several]);
    assert_eq!(world.counted(), 4, "it would hide which second it is of");
}

#[test]
fn nobody_is_lost_while_reports_may_lie_unread_where_a_merger_died() {
    let mut world = world();
    world.merged(0, &[interval("a", "t", 0), interval("b", "t", 0)]);
    // Merger and drivers end at once; what these said last is in the partition.
    world.seconds(12, &[]);
    assert_eq!(world.phase("t"), Phase::Running);
    assert_eq!(world.raw.last().unwrap().until, None);
    for (offset, node) in (2..).zip(["a", "b"]) {
        world.raw(offset, last(node, "t", Outcome::Done));
    }
    world.pulse();
    assert_eq!(world.phase("t"), Phase::Done);
    let mut world = self::world();
    world.merged(0, &[interval("a", "t", 0), interval("b", "t", 0)]);
    world.seconds(30, &[]);
    assert_eq!(world.phase("t"), Phase::Partial, "but not for ever");
}

#[test]
fn a_run_with_a_lost_driver_waits_for_what_lies_unread_where_a_merger_died() {
    let mut world = world();
    world.merged(0, &[interval("a", "t", 0), interval("b", "t", 0)]);
    for _ in 0..12 {
        world.merged(2, &[]);
        world.seconds(1, &[("b", NodeState::Running, Some("t"))]);
    }
    assert_eq!(world.state.runs.get("t").unwrap().run.lost.len(), 1);
    // It comes back and reports its end, which nobody merges.
    let idle = ["a", "b"].map(|node| (node, NodeState::Idle, None));
    world.seconds(4, &idle);
    world.raw(2, last("b", "t", Outcome::Done));
    world.seconds(1, &idle);
    assert_eq!(world.phase("t"), Phase::Running);
    world.raw(3, last("a", "t", Outcome::Done));
    world.pulse();
    assert_eq!(world.phase("t"), Phase::Partial);
    let reason = world.reason("t");
    assert!(
        reason.ends_with("; its last report came later, and counts"),
        "{reason}"
    );
}
