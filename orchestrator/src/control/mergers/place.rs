//! One partition of `metrics`: who merges it, and whether what it holds was counted.

use std::collections::VecDeque;

use super::MergedRange;
use super::chain::Chain;

/// What is in a partition of which no merger was heard for this long may not have been read yet, nor
/// what was known to be in it for this long and is not counted …
const STALLED_MS: u64 = 3_000;
/// … unless it did not go on for this long: nobody waits for ever for what does not come.
const STANDSTILL_MS: u64 = 15_000;
/// For so long after such a silence a merger may still say where the partition ended before it, ms of
/// observed time: what it said then was on its way.
const WAKING_MS: u64 = 2_000;
/// Between two ends that are kept, ms of observed time.
const ENDS_EVERY_MS: u64 = 1_000;
/// Most of them. What is further behind is only taken to be younger than it is.
const ENDS_MAX: usize = 64;
/// A partition that is read itself from now on may hold more than was known of it for this long, ms of
/// observed time.
const CATCH_UP_MS: u64 = 5_000;
/// Between two looks at whether a partition of which somebody says that it ends before what was counted
/// is another log, ms of observed time.
pub(super) const DOUBT_EVERY_MS: u64 = 3_000;
/// A merger takes a partition over from another one, and perhaps back. Where the speaker changes as often
/// as this, each time within [`CONTEST_MS`] of the last, two have it.
const CONTEST_TURNS: u32 = 4;
/// Longest time between two of these changes, ms of observed time.
pub(super) const CONTEST_MS: u64 = 5_000;

/// What was heard of a partition.
#[derive(Debug, Clone)]
pub(super) struct Heart {
    pub(super) merger_id: String,
    pub(super) incarnation: u64,
    /// When it last said something that is not behind what was counted.
    pub(super) heard_at_ms: u64,
    /// When it last said anything.
    pub(super) spoke_at_ms: u64,
    /// The offset up to which that merger had read, and the partition's end then.
    pub(super) to: i64,
    pub(super) end: i64,
    /// Since when it says the same of a partition that has more, observed time, ms: one that lives
    /// and does not read.
    pub(super) stuck_since_ms: Option<u64>,
}

impl Heart {
    /// Since when nobody reads the partition on.
    pub(super) fn silent_since_ms(&self) -> u64 {
        self.stuck_since_ms.unwrap_or(self.heard_at_ms)
    }

    /// Whether the process speaks that this is of.
    pub(super) fn is_of(&self, range: &MergedRange) -> bool {
        (&self.merger_id, self.incarnation) == (&range.merger_id, range.incarnation)
    }
}

/// An end of a partition that was heard of: what lies before it has been there since then.
#[derive(Debug)]
struct End {
    end: i64,
    /// Observed time, ms.
    since_ms: u64,
}

/// A silence of the merger that is over. Instants are in observed time, ms.
#[derive(Debug, Clone, Copy)]
struct Silence {
    since_ms: u64,
    over_at_ms: u64,
}

/// Who else speaks of a partition.
#[derive(Debug, Clone)]
struct Contest {
    /// The merger that spoke before the newest one.
    other: String,
    /// When the speaker last changed, observed time, ms.
    turned_at_ms: u64,
    /// How often it changed, each time soon after the last.
    turns: u32,
}

/// A partition.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) chain: Chain,
    /// Ends that were not counted up to when they were last looked at, oldest first.
    ends: VecDeque<End>,
    /// Up to where it was counted at our last heartbeat.
    counted_to: i64,
    /// When it was last seen to go on: more of it was counted or read, or a merger spoke after a
    /// silence; observed time, ms.
    went_on_at_ms: u64,
    /// The last long silence of its merger.
    silence: Option<Silence>,
    /// Its newest sign of a merger.
    pub(super) heart: Option<Heart>,
    contest: Option<Contest>,
    /// Since when no merger reads it though others are read by some: observed time, ms.
    pub(super) alone_since_ms: Option<u64>,
    /// The same by our clock, ms since 1970, once it is long enough.
    pub(super) silent_since_ms: Option<u64>,
    /// When mergers were given up, observed time, ms.
    pub(super) left_at_ms: Option<u64>,
    /// The number of its log.
    pub(super) log: u64,
    /// When it was found to be another one than before, observed time, ms.
    pub(super) begun_at_ms: Option<u64>,
    /// When it was last asked whether it is another one now, observed time, ms.
    doubted_at_ms: Option<u64>,
}

impl Place {
    /// A partition that was counted so far, of the log with this number.
    pub(super) fn new(chain: Chain, log: u64) -> Self {
        Self {
            chain,
            log,
            ..Self::default()
        }
    }

    /// Another process may be speaking than the one before: after a change of hands, or in turns. The
    /// other one, where it is known only now that it is in turns.
    pub(super) fn note_speaker(&mut self, range: &MergedRange, observed_ms: u64) -> Option<String> {
        let heart = self.heart.as_ref()?;
        if heart.is_of(range) {
            return None;
        }
        let was_known = self.rivals(observed_ms).is_some();
        let before = self.contest.take();
        let turns = before
            .filter(|contest| observed_ms.saturating_sub(contest.turned_at_ms) < CONTEST_MS)
            .map_or(0, |contest| contest.turns)
            .saturating_add(1);
        let other = heart.merger_id.clone();
        self.contest = Some(Contest {
            other: other.clone(),
            turned_at_ms: observed_ms,
            turns,
        });
        (!was_known && turns >= CONTEST_TURNS).then_some(other)
    }

    /// The two that speak of it in turn, if two do.
    pub(super) fn rivals(&self, observed_ms: u64) -> Option<(String, String)> {
        let contest = self.contest.as_ref()?;
        let heart = self.heart.as_ref()?;
        let is_going_on = contest.turns >= CONTEST_TURNS
            && observed_ms.saturating_sub(contest.turned_at_ms) < CONTEST_MS;
        is_going_on.then(|| (heart.merger_id.clone(), contest.other.clone()))
    }

    /// Who has it, lives, and reads nothing of it.
    pub(super) fn idler(&self, observed_ms: u64) -> Option<String> {
        let heart = self.heart.as_ref()?;
        let is_heard = observed_ms.saturating_sub(heart.spoke_at_ms) < STALLED_MS;
        let idles = is_heard && heart.stuck_since_ms.is_some();
        idles.then(|| heart.merger_id.clone())
    }

    /// It ends there by now.
    pub(super) fn note_end(&mut self, end: i64, observed_ms: u64) {
        let pos = self.chain.pos();
        self.ends.retain(|known| known.end > pos);
        // After a silence what lies there may be as old as that.
        let is_long = |at_ms: &u64| observed_ms.saturating_sub(*at_ms) >= STALLED_MS;
        let heart = self.heart.as_ref();
        let silent_since_ms = heart.map(Heart::silent_since_ms).filter(is_long);
        let waking = self.waking(observed_ms).map(|silence| silence.since_ms);
        let since_ms = silent_since_ms.or(waking).unwrap_or(observed_ms);
        let is_news = self.ends.back().is_none_or(|last| {
            end > last.end && observed_ms.saturating_sub(last.since_ms) >= ENDS_EVERY_MS
        });
        if end > pos && is_news && self.ends.len() < ENDS_MAX {
            self.ends.push_back(End { end, since_ms });
        }
    }

    /// A merger speaks of it that is not behind what was counted, and says that it ends there.
    pub(super) fn note_merger(&mut self, end: i64, reads_on: bool, observed_ms: u64) {
        // What is said to lie beyond is of another log, which this one replaced.
        self.ends.retain(|known| known.end <= end);
        let Some(heart) = &self.heart else {
            return;
        };
        let is_long = |at_ms: u64| observed_ms.saturating_sub(at_ms) >= STALLED_MS;
        let is_back = is_long(heart.spoke_at_ms);
        if is_long(heart.silent_since_ms()) {
            self.silence = Some(Silence {
                since_ms: heart.silent_since_ms(),
                over_at_ms: observed_ms,
            });
        }
        if is_back || reads_on {
            self.went_on_at_ms = observed_ms;
        }
    }

    /// The silence of its merger, if that was over a moment ago.
    fn waking(&self, observed_ms: u64) -> Option<Silence> {
        let is_fresh =
            |silence: &Silence| observed_ms.saturating_sub(silence.over_at_ms) < WAKING_MS;
        self.silence.filter(is_fresh)
    }

    /// Somebody says that it ends before what was counted: that was said long ago, or of another log,
    /// which nobody finds who does not read it.
    pub(super) fn doubt(&mut self, observed_ms: u64) {
        let is_old = |at_ms: u64| observed_ms.saturating_sub(at_ms) >= DOUBT_EVERY_MS;
        if self.doubted_at_ms.is_none_or(is_old) {
            self.doubted_at_ms = Some(observed_ms);
            self.chain.doubt();
        }
    }

    /// Our own heartbeat came back.
    pub(super) fn pulse(&mut self, observed_ms: u64) {
        self.chain.forget_old(observed_ms);
        if self.chain.pos() != self.counted_to {
            (self.counted_to, self.went_on_at_ms) = (self.chain.pos(), observed_ms);
        }
    }

    /// Whether reports may lie unread in it that have been there for some time.
    pub(super) fn is_stalled(&self, observed_ms: u64) -> bool {
        let since = |at_ms: u64| observed_ms.saturating_sub(at_ms);
        let silent_ms = self
            .heart
            .as_ref()
            .map(|heart| since(heart.silent_since_ms()));
        let is_unheard = self.chain.is_merged() && silent_ms.is_none_or(|ms| ms >= STALLED_MS);
        let unread = self
            .ends
            .iter()
            .filter(|known| known.end > self.chain.pos());
        let oldest_ms = unread.map(|known| known.since_ms).min();
        let is_behind = oldest_ms.is_some_and(|at_ms| {
            since(at_ms) >= STALLED_MS && since(at_ms.max(self.went_on_at_ms)) < STANDSTILL_MS
        });
        let begun_ms = self.left_at_ms.max(self.begun_at_ms);
        let is_new_to_us = begun_ms.is_some_and(|at_ms| since(at_ms) < CATCH_UP_MS);
        let is_waking = self.chain.is_merged() && self.waking(observed_ms).is_some();
        is_unheard || is_waking || is_behind || is_new_to_us
    }
}
