//! However mergers, raw reading and what is asked of it interleave, each message counts once.

use std::collections::VecDeque;

use fastrand::Rng;
use proptest::prelude::*;

use super::*;

/// Messages of the partition.
const END: i64 = 400;
/// Mergers, of which each may believe that the partition is its own.
const MERGERS: usize = 3;

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
