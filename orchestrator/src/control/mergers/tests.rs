//! However mergers, raw reading and what is asked of it interleave, each message counts once.

mod other_logs;

use std::collections::VecDeque;

use fastrand::Rng;
use proptest::prelude::*;

use super::chain::Chain;
use super::*;

/// Messages of the partition.
const END: i64 = 400;
/// Mergers, of which each may believe that the partition is its own.
const MERGERS: usize = 3;

fn range(from: i64, to: i64, end: i64) -> MergedRange {
    MergedRange {
        merger_id: "m".into(),
        incarnation: 1,
        wire: WIRE_VERSION,
        partition: 0,
        from,
        to,
        end,
        parts: Vec::new(),
        untouched: Vec::new(),
        skipped: Vec::new(),
        len: 1000,
    }
}

/// A chain between a reader that is late, and mergers that do as they like.
struct World {
    rng: Rng,
    chain: Chain,
    /// What was counted, in its order.
    counted: Vec<(i64, i64)>,
    /// The reader: its next offset, and where it is to end.
    next: i64,
    until: Option<i64>,
    /// On its way from the reader, from the mergers, and to the reader.
    raw: VecDeque<i64>,
    merged: VecDeque<MergedRange>,
    asked: VecDeque<RawReading>,
    /// The end of the log as it grows.
    end: i64,
    /// Where each merger is, and what their group has committed.
    at: [i64; MERGERS],
    committed: i64,
    read_raw: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let begin = rng.i64(0..50);
        Self {
            chain: Chain::at(begin),
            counted: vec![(0, begin)],
            next: begin,
            until: None,
            raw: VecDeque::new(),
            merged: VecDeque::new(),
            asked: VecDeque::new(),
            end: begin,
            at: [begin; MERGERS],
            committed: begin.min(rng.i64(0..60)),
            read_raw: 0,
            rng,
        }
    }

    fn step(&mut self) {
        match self.rng.u8(0..12) {
            0 => self.end = END.min(self.end + self.rng.i64(0..6)),
            1..4 => self.read(),
            4 => self.obey(),
            5 | 6 => self.publish(),
            7 | 8 => self.count_raw(),
            9 | 10 => self.count_merged(),
            // It was long.
            _ if self.rng.u8(0..40) == 0 => self.chain.read_alone(),
            _ => {}
        }
        self.ask();
    }

    fn read(&mut self) {
        let is_wanted = self.until.is_none_or(|until| self.next < until);
        if is_wanted && self.next < self.end {
            self.raw.push_back(self.next);
            self.next += 1;
            self.read_raw += 1;
        }
    }

    fn obey(&mut self) {
        if let Some(asked) = self.asked.pop_front() {
            self.next = self.next.max(asked.from);
            self.until = asked.until;
        }
    }

    /// A merger reads on, or takes the partition over, or wakes up where it was.
    fn publish(&mut self) {
        let who = self.rng.usize(0..MERGERS);
        if self.rng.u8(0..8) == 0 {
            self.at[who] = self.committed;
        }
        let from = self.at[who];
        let to = (from + self.rng.i64(0..20)).min(self.end);
        if to < from {
            return;
        }
        let times = 1 + usize::from(self.rng.u8(0..10) == 0);
        for _ in 0..times {
            self.merged.push_back(range(from, to, self.end));
        }
        // It may be killed before it says so.
        if self.rng.u8(0..5) > 0 {
            self.at[who] = to;
            self.committed = self.committed.max(to);
        }
    }

    fn count_raw(&mut self) {
        if let Some(offset) = self.raw.pop_front()
            && self.chain.pass(offset + 1)
        {
            self.counted.push((offset, offset + 1));
        }
        self.count();
    }

    fn count_merged(&mut self) {
        if let Some(range) = self.merged.pop_front() {
            if range.is_about(self.chain.pos()) {
                self.chain.rely();
            }
            self.chain.offer(range, 0);
        }
        self.count();
    }

    fn count(&mut self) {
        while let Some(range) = self.chain.next() {
            if self.rng.u8(0..8) == 0 {
                self.chain.refuse(&range);
            } else {
                assert!(self.chain.pass(range.to));
                self.counted.push((range.from, range.to));
            }
        }
    }

    fn ask(&mut self) {
        self.asked.extend(self.chain.ask(0, 0));
    }

    fn is_idle(&self) -> bool {
        self.raw.is_empty() && self.merged.is_empty() && self.asked.is_empty()
    }

    /// All that was on its way arrives; mergers do no more, which is noticed.
    fn finish(&mut self) {
        self.end = END;
        for alone in [false, true] {
            if alone {
                self.chain.read_alone();
                self.ask();
            }
            for _ in 0..10 * END {
                self.obey();
                self.read();
                self.count_raw();
                self.count_merged();
                self.ask();
            }
            assert!(self.is_idle());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn each_message_counts_once_and_in_its_order(seed in any::<u64>(), steps in 0..6000_usize) {
        let mut world = World::new(seed);
        (0..steps).for_each(|_| world.step());
        world.finish();
        let mut next = 0;
        for (from, to) in &world.counted {
            prop_assert_eq!(*from, next, "{:?}", world.counted);
            next = *to;
        }
        prop_assert_eq!(next, END);
    }
}

#[test]
fn once_mergers_are_heard_the_partition_itself_is_read_no_more() {
    let mut chain = Chain::at(0);
    assert!(chain.pass(7));
    chain.rely();
    let hold = chain.ask(0, 0).unwrap();
    assert_eq!((hold.from, hold.until), (7, Some(7)));
    chain.offer(range(5, 9, 9), 0);
    assert_eq!(chain.next(), None);
    let fill = chain.ask(0, 0).unwrap();
    assert_eq!(
        (fill.from, fill.until),
        (7, Some(9)),
        "up to where the next fits"
    );
    chain.offer(range(9, 12, 12), 0);
    assert_eq!(chain.next(), None, "it waits");
    chain.offer(range(12, 12, 12), 0);
    assert_eq!(
        chain.ask(0, 0),
        None,
        "a sign of life, up to where it waits"
    );
    assert!(chain.pass(8) && chain.pass(9));
    for _ in 0..100 {
        let range = chain.next().unwrap();
        assert!(chain.pass(range.to));
        chain.offer(self::range(range.to, range.to + 3, range.to + 3), 0);
        assert_eq!(chain.ask(0, 0), None);
    }
}

#[test]
fn what_finds_no_room_is_read_from_the_partition() {
    let mut chain = Chain::at(0);
    chain.rely();
    for at in 1..10_000 {
        chain.offer(range(at, at + 1, at + 1), 0);
    }
    assert_eq!(chain.next(), None);
    assert_eq!(chain.ask(0, 0).unwrap().until, Some(1));
    assert!(chain.pass(1));
    let mut counted = 1;
    while let Some(range) = chain.next() {
        counted = range.to;
        chain.pass(counted);
    }
    assert!(counted < 1000, "{counted}");
    chain.offer(range(10_000, 10_000, 10_000), 0);
    assert_eq!(chain.ask(0, 0).unwrap().until, Some(10_000));
}

fn now(ms: u64) -> Now {
    Now::new(ms * 1_000_000, ms * 1_000_000)
}

#[test]
fn a_partition_that_no_merger_reads_is_named_and_read_until_one_is_back() {
    let mut mergers = Mergers::default();
    mergers.know(&[0, 1]);
    assert!(mergers.partitions(0).is_empty(), "there are none");
    assert!(mergers.silent(60_000, now(60_000)).is_empty());
    assert_eq!(
        mergers.hear(range(0, 0, 0), 60_000, now(60_000)),
        Heard::Begins
    );
    assert_eq!(
        mergers.hear(range(0, 0, 3), 61_000, now(61_000)),
        Heard::Nothing
    );
    assert_eq!(mergers.ask(0).unwrap().until, Some(0));
    assert!(mergers.silent(61_000, now(61_000)).is_empty());
    let rows = mergers.rows(61_000, now(61_500));
    assert_eq!((rows[0].state, rows[0].lag_messages), ("up", 3));
    assert_eq!(
        (rows[0].partitions.clone(), rows[0].heard_age_s),
        (vec![0], 0.5)
    );
    // Nobody reads the other one.
    assert_eq!(
        mergers.hear(range(0, 3, 3), 70_000, now(70_000)),
        Heard::Nothing
    );
    assert_eq!(mergers.silent(71_000, now(71_000)), [1]);
    assert!(mergers.silent(72_000, now(72_000)).is_empty(), "said once");
    assert_eq!(mergers.silent(80_000, now(80_000)), [0]);
    assert_eq!(mergers.ask(0).unwrap().until, None);
    let rows = mergers.partitions(80_000);
    assert_eq!(rows[0].silent_since_unix_ms, Some(70_000));
    assert_eq!(rows[1].silent_since_unix_ms, Some(61_000));
    assert_eq!(mergers.rows(80_000, now(80_000))[0].state, "silent");
    assert_eq!(
        mergers.hear(range(3, 5, 5), 81_000, now(81_000)),
        Heard::Begins
    );
    assert_eq!(mergers.partitions(81_000)[0].silent_since_unix_ms, None);
    mergers.silent(81_000 + FORGET_MS, now(81_000 + FORGET_MS));
    assert!(mergers.rows(0, now(0)).is_empty());
}

#[test]
fn what_another_version_merges_is_refused_in_words_once() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    let other = MergedRange {
        wire: WIRE_VERSION + 1,
        ..range(0, 9, 9)
    };
    let Heard::Refused(reason) = mergers.hear(other.clone(), 0, now(0)) else {
        panic!("it was not refused");
    };
    let versions = format!(
        "version {} of the wire, this orchestrator {WIRE_VERSION}",
        WIRE_VERSION + 1
    );
    assert!(reason.contains(&versions), "{reason}");
    assert_eq!(mergers.hear(other, 1000, now(1000)), Heard::Ignored);
    assert_eq!((mergers.next(0), mergers.ask(0)), (None, None));
    let rows = mergers.rows(1000, now(1000));
    assert_eq!(
        (rows[0].state, rows[0].reason.as_ref()),
        ("incompatible", Some(&reason))
    );
}

#[test]
fn a_merger_that_has_far_to_go_is_not_relied_on() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    assert!(mergers.pass(0, 100_000));
    assert_eq!(
        mergers.hear(range(0, 500, 100_000), 0, now(0)),
        Heard::Nothing
    );
    assert_eq!(mergers.ask(0), None);
    assert_eq!(
        mergers.hear(range(99_000, 99_900, 100_000), 0, now(0)),
        Heard::Begins
    );
    assert_eq!(mergers.ask(0).unwrap().until, Some(100_000));
}

#[test]
fn what_is_no_range_is_not_read() {
    let text = |wire: u64, from: i64, to: i64| {
        format!(
            r#"{{"merger_id":"m","incarnation":1,"wire":{wire},"partition":0,"from":{from},"to":{to},"end":9}}"#
        )
    };
    let read = |text: &str| MergedRange::decode(text.as_bytes()).map_err(|error| error.to_string());
    assert_eq!(read(&text(WIRE_VERSION, 3, 4)).unwrap().to, 4);
    assert!(
        read(&text(WIRE_VERSION, 4, 3))
            .unwrap_err()
            .contains("4 to 3")
    );
    assert!(
        read(&text(WIRE_VERSION, -1, 3))
            .unwrap_err()
            .contains("-1 to 3")
    );
    assert!(read("{}").is_err());
    let beyond = text(WIRE_VERSION, 3, 40);
    assert!(read(&beyond).unwrap_err().contains("which ends at 9"));
    let nameless = text(WIRE_VERSION, 3, 4).replace("\"m\"", "\"\"");
    assert!(read(&nameless).unwrap_err().contains("no merger's id"));
    let skips = text(WIRE_VERSION, 3, 4)
        .replace('}', r#","skipped":[{"offset":3,"count":2,"error":"e"}]}"#);
    assert!(read(&skips).is_err(), "more than its range has");
    let part = format!(
        r#","parts":[{{"test_id":"t","second":{},"reports":[]}}]}}"#,
        u64::MAX
    );
    let late = text(WIRE_VERSION, 3, 4).replace('}', &part);
    assert!(
        read(&late)
            .unwrap_err()
            .contains("second 18446744073709551615")
    );
    let other = r#"{"merger_id":"m","wire":77,"ranges":"of another shape"}"#;
    assert_eq!(read(other).unwrap().wire, 77);
}

#[test]
fn a_merger_that_lives_and_does_not_read_is_given_up_until_it_reads_on() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    mergers.hear(range(0, 0, 0), 0, now(0));
    for second in 1..=9 {
        let at_ms = second * 1000;
        mergers.hear(range(0, 0, 5), at_ms, now(at_ms));
        assert!(mergers.silent(at_ms, now(at_ms)).is_empty());
    }
    mergers.hear(range(0, 0, 5), 11_000, now(11_000));
    assert!(mergers.are_stalled(11_000));
    assert_eq!(mergers.silent(11_000, now(11_000)), [0]);
    assert!(mergers.pass(0, 5), "it is read itself");
    let signs = mergers.hear(range(0, 0, 6), 12_000, now(12_000));
    assert_eq!(signs, Heard::Nothing, "it lives, and that is all");
    let row = mergers.partitions(12_000).remove(0);
    assert_eq!((row.merger_id, row.idler.as_deref()), (None, Some("m")));
    let reads = mergers.hear(range(0, 6, 6), 13_000, now(13_000));
    assert_eq!(reads, Heard::Begins);
}

/// A merger says this, what of it follows is counted, and a second goes by.
fn say(mergers: &mut Mergers, said: MergedRange, at_ms: u64) -> Heard {
    let heard = mergers.hear(said, at_ms, now(at_ms));
    while let Some(range) = mergers.next(0) {
        mergers.take(&range);
    }
    mergers.silent(at_ms, now(at_ms));
    heard
}

#[test]
fn reports_lie_unread_where_a_merger_is_behind_as_long_as_it_reads_on() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    say(&mut mergers, range(0, 0, 0), 0);
    // Ten messages a second come and are merged, and all the time two hundred more are there.
    for second in 1..=60 {
        let from = i64::try_from(second).unwrap() * 10 - 10;
        say(
            &mut mergers,
            range(from, from + 10, from + 210),
            second * 1000,
        );
        let is_stalled = mergers.are_stalled(second * 1000);
        assert_eq!(is_stalled, second >= 4, "after {second} s");
    }
    say(&mut mergers, range(600, 800, 820), 61_000);
    assert!(!mergers.are_stalled(61_000), "what is new may be unread");
    for second in 62..=80 {
        say(&mut mergers, range(800, 800, 820), second * 1000);
    }
    assert_eq!(mergers.partitions(80_000)[0].merger_id, None);
    assert!(!mergers.are_stalled(80_000), "nobody waits for ever");
}

#[test]
fn after_a_silence_all_that_is_there_by_then_is_waited_for() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    say(&mut mergers, range(0, 5, 5), 1000);
    assert_eq!(mergers.ask(0).unwrap().until, Some(0));
    assert!(!mergers.are_stalled(3000));
    assert!(mergers.are_stalled(4000), "its merger may be dead");
    // Another one has it now, and has not read yet what came meanwhile.
    say(&mut mergers, range(5, 5, 9), 7000);
    assert!(mergers.are_stalled(7000));
    say(&mut mergers, range(5, 8, 9), 7250);
    assert!(mergers.are_stalled(7250));
    say(&mut mergers, range(8, 9, 9), 7500);
    assert!(!mergers.are_stalled(7500));
    // It dies with more unread, and the next one has far to go.
    say(&mut mergers, range(9, 10, 50), 7_600);
    mergers.silent(8_000, now(8_000));
    for (second, from) in (17..37).zip((10..).step_by(100)) {
        say(&mut mergers, range(from, from + 100, 5000), second * 1000);
        assert!(mergers.are_stalled(second * 1000), "at {from}");
    }
    say(&mut mergers, range(2010, 5000, 5000), 37_000);
    assert!(!mergers.are_stalled(37_000));
}

#[test]
fn where_we_read_on_ourselves_all_that_is_there_by_then_is_waited_for() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    say(&mut mergers, range(0, 9, 9), 7500);
    assert_eq!(mergers.ask(0).unwrap().until, Some(0));
    for second in 8..=18 {
        mergers.silent(second * 1000, now(second * 1000));
    }
    assert_eq!(mergers.ask(0).unwrap().until, None);
    mergers.note_end(0, 30, 18_000);
    for (offset, at_ms) in (9..29).zip((19_000..).step_by(1000)) {
        mergers.pass(0, offset + 1);
        mergers.silent(at_ms, now(at_ms));
        assert!(mergers.are_stalled(at_ms), "at {offset}");
    }
    mergers.pass(0, 30);
    assert!(!mergers.are_stalled(40_000));
}

#[test]
fn of_a_log_that_ends_before_what_was_counted_no_merger_is_relied_on() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    mergers.pass(0, 1000);
    assert_eq!(say(&mut mergers, range(7, 7, 7), 1000), Heard::Nothing);
    assert_eq!(mergers.ask(0), None, "it is read, and found to be another");
    mergers.forget(1, &[0], 1000);
    // What was said of the log before is no debt of this one.
    say(&mut mergers, range(1000, 2000, 900_000), 6500);
    assert_eq!(say(&mut mergers, range(0, 7, 7), 7000), Heard::Nothing);
    for second in 8..25 {
        say(&mut mergers, range(7, 7, 7), second * 1000);
        assert!(!mergers.are_stalled(second * 1000), "after {second} s");
    }
}

#[test]
fn two_processes_that_read_one_partition_are_named_but_not_a_change_of_hands() {
    let of = |merger_id: &str, incarnation: u64, at: i64| MergedRange {
        merger_id: merger_id.into(),
        incarnation,
        ..range(at, at + 1, at + 1)
    };
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    let mut at = 0_i64;
    let mut speak = |mergers: &mut Mergers, merger_id: &str, incarnation: u64| {
        at += 1;
        let at_ms = 1000 * at.unsigned_abs();
        let heard = say(mergers, of(merger_id, incarnation, at - 1), at_ms);
        (heard, mergers.partitions(at_ms)[0].rivals.clone())
    };
    for (speaker, incarnation) in [("m", 1), ("m", 2), ("n", 1), ("m", 2), ("m", 2)] {
        assert_eq!(speak(&mut mergers, speaker, incarnation).1, None);
    }
    for _ in 0..7 {
        assert_eq!(speak(&mut mergers, "m", 2).1, None);
    }
    let turns = (0..8).map(|turn| speak(&mut mergers, ["n", "m"][turn % 2], 2));
    let turns: Vec<_> = turns.collect();
    let contested = Heard::Contested("n".into());
    assert!(
        turns[..3]
            .iter()
            .all(|turn| *turn == (Heard::Nothing, None))
    );
    let both = Some(("m".to_owned(), "n".to_owned()));
    assert_eq!(turns[3], (contested, both));
    assert!(turns[4..].iter().all(|turn| turn.0 == Heard::Nothing));
    let last_ms = 20_000 + place::CONTEST_MS;
    assert_eq!(mergers.partitions(last_ms)[0].rivals, None, "it is over");
}

#[test]
fn a_range_that_waits_for_long_is_dropped_and_read_from_the_partition() {
    let mut chain = Chain::at(0);
    chain.rely();
    chain.offer(range(5, 9, 9), 1000);
    chain.forget_old(31_000);
    assert_eq!(chain.next(), None);
    assert_eq!(chain.ask(0, 0).unwrap().until, Some(5));
    chain.forget_old(31_001);
    chain.pass(5);
    assert_eq!(chain.next(), None);
    chain.offer(range(9, 9, 9), 32_000);
    assert_eq!(chain.ask(0, 0).unwrap().until, Some(9));
}

#[test]
fn partitions_are_of_logs_of_their_own() {
    let mut mergers = Mergers::default();
    mergers.know(&[0, 1]);
    mergers.forget(1, &[0], 0);
    let of_partition = |partition| MergedRange {
        partition,
        ..range(0, 0, 0)
    };
    for partition in [0, 1] {
        mergers.hear(of_partition(partition), SETTLE_MS, now(SETTLE_MS));
    }
    assert_eq!([0, 1].map(|at| mergers.ask(at).unwrap().log), [1, 0]);
}
