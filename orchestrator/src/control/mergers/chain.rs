//! One partition of `metrics` as one gapless chain of ranges, whether they were read merged or not.
//!
//! The chain knows up to which offset the partition was counted. What comes from there on is counted,
//! in whatever form it comes first; what was counted is dropped. A range of a merger that does not
//! begin there waits until the messages before it were read from the partition itself, and one that
//! holds something counted is replaced by its messages. So it makes no difference how many mergers
//! there are, when they die, and what they write twice: whatever their ranges cannot say exactly, the
//! log still has.

use std::collections::BTreeMap;

use super::MergedRange;

/// Most ranges that wait …
const WAITING_MAX: usize = 256;
/// … and most bytes of them, as they came. What finds no room is read from the partition.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// A range that waits for longer is dropped, ms of observed time: it may be one of a log that is gone.
const WAITING_MS_MAX: u64 = 30_000;

/// A partition that is to be read itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawReading {
    /// Which partition of `metrics`.
    pub partition: i32,
    /// Which log these offsets are of: see [`Event::Forgotten`](crate::control::Event::Forgotten).
    pub log: u64,
    /// What was counted ends here: nothing before it is needed, and all from here on was not counted,
    /// but for what is on its way.
    pub from: i64,
    /// The offset that is not to be read any more, `from` or less for nothing at all: then the reader looks
    /// whether the log is still as long as that. `None` to read on.
    pub until: Option<i64>,
}

/// How a partition is counted.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The offset up to which it was counted.
    pos: i64,
    /// Of a partition that mergers read, the offset up to which it is read itself all the same.
    raw_until: Option<i64>,
    /// What the reader was told: the same.
    told: Option<i64>,
    /// Nothing of it is read itself, and it may be another log: the reader is to look.
    is_doubted: bool,
    /// Ranges that begin behind what was counted, by their bounds.
    waiting: BTreeMap<(i64, i64), Waiting>,
    waiting_bytes: usize,
    /// Ranges that were dropped since all of it had been counted.
    pub(super) overlaps: u64,
    /// Ranges of which some had been counted, or that found no room, so that they were read from the
    /// partition.
    pub(super) across: u64,
}

/// A range that waits, and since when, observed time, ms.
#[derive(Debug)]
struct Waiting {
    range: MergedRange,
    since_ms: u64,
}

impl Chain {
    /// A partition that was counted up to an offset.
    pub(super) fn at(pos: i64) -> Self {
        Self {
            pos,
            ..Self::default()
        }
    }

    /// The offset up to which it was counted.
    pub(super) fn pos(&self) -> i64 {
        self.pos
    }

    /// Whether mergers are relied on for it.
    pub(super) fn is_merged(&self) -> bool {
        self.raw_until.is_some()
    }

    /// Messages that were read from the partition itself, up to `next`; whether they are to be counted.
    pub(super) fn pass(&mut self, next: i64) -> bool {
        let is_new = next > self.pos;
        self.pos = self.pos.max(next);
        is_new
    }

    /// Mergers are relied on from now on.
    pub(super) fn rely(&mut self) {
        self.raw_until.get_or_insert(self.pos);
    }

    /// No merger reads it any more.
    pub(super) fn read_alone(&mut self) {
        self.raw_until = None;
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    /// What a merger says of the partition.
    pub(super) fn offer(&mut self, range: MergedRange, since_ms: u64) {
        if range.to <= self.pos {
            self.overlaps += u64::from(range.from < range.to);
            return;
        }
        let has_room =
            self.waiting.len() < WAITING_MAX && self.waiting_bytes + range.len <= WAITING_BYTES_MAX;
        if range.from == range.to {
            // Whoever reads on from there does not say what was before, unless it said so already.
            if !self.waiting.keys().any(|(_, to)| *to == range.to) {
                self.fill(range.to);
            }
            return;
        }
        if range.from > self.pos && !has_room {
            self.across += 1;
        } else {
            self.waiting_bytes += range.len;
            let bounds = (range.from, range.to);
            let known = self.waiting.insert(bounds, Waiting { range, since_ms });
            self.waiting_bytes -= known.map_or(0, |known| known.range.len);
        }
    }

    /// The next range that begins where what was counted ends, if one waits: it is to be counted, and
    /// [`Self::pass`]ed, or [`Self::refuse`]d.
    pub(super) fn next(&mut self) -> Option<MergedRange> {
        while let Some(first) = self.waiting.first_entry() {
            let (from, to) = *first.key();
            if from > self.pos {
                self.fill(from);
                return None;
            }
            let range = first.remove().range;
            self.waiting_bytes -= range.len;
            if to <= self.pos {
                self.overlaps += 1;
            } else if from == self.pos {
                return Some(range);
            } else {
                self.across += 1;
                self.fill(to);
            }
        }
        None
    }

    /// Drops ranges that have waited for too long. What they say is read from the partition.
    pub(super) fn forget_old(&mut self, observed_ms: u64) {
        let is_old =
            |waiting: &Waiting| observed_ms.saturating_sub(waiting.since_ms) > WAITING_MS_MAX;
        let bytes = &mut self.waiting_bytes;
        self.waiting.retain(|_, waiting| {
            let stays = !is_old(waiting);
            *bytes -= if stays { 0 } else { waiting.range.len };
            stays
        });
    }

    /// A range holds what its messages must say one by one.
    pub(super) fn refuse(&mut self, range: &MergedRange) {
        self.fill(range.to);
    }

    /// Has the partition itself read up to an offset.
    fn fill(&mut self, until: i64) {
        if let Some(raw_until) = &mut self.raw_until {
            *raw_until = until.max(*raw_until);
        }
    }

    /// It may be another log than the one that was counted. Where it is read itself that shows.
    pub(super) fn doubt(&mut self) {
        self.is_doubted = self.raw_until.is_some_and(|until| until <= self.pos);
    }

    /// What the reader is to do that it was not told.
    pub(super) fn ask(&mut self, partition: i32, log: u64) -> Option<RawReading> {
        let is_known = match (self.raw_until, self.told) {
            (None, None) => true,
            (Some(until), Some(told)) => until <= told,
            _ => false,
        };
        if is_known && !self.is_doubted {
            return None;
        }
        self.is_doubted = false;
        self.told = self.raw_until;
        Some(RawReading {
            partition,
            log,
            from: self.pos,
            until: self.raw_until,
        })
    }
}
