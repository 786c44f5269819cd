//! Who merges which partition of `metrics`, and how far each was counted.

mod chain;
mod place;
mod range;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use proto::message::WIRE_VERSION;
use serde::Serialize;

use chain::Chain;
pub use chain::RawReading;
use place::{Heart, Place};
pub use range::{MergedRange, RangeError, RangePart, UntouchedReport};

use super::Now;

/// A partition of which no merger was heard for this long is read itself, ms of observed time.
const SILENT_MS: u64 = 10_000;
/// What mergers say of a partition that was found to be another log may be of the one before for this
/// long, ms of observed time.
const SETTLE_MS: u64 = 5_000;
/// Between two lines of the log on a merger that is refused, ms of observed time.
const TELL_EVERY_MS: u64 = 60_000;
/// A merger that was not heard for this long is forgotten, ms of observed time.
const FORGET_MS: u64 = 600_000;
/// Most mergers and partitions that are known.
const KNOWN_MAX: usize = 1_000;

/// What changed of a partition, or of who merges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing.
    Nothing,
    /// A merger reads it from now on.
    Begins,
    /// Two processes read it; who the other one is, said once as long as they go on.
    Contested(String),
    /// What this merger says cannot be counted, and why; said once a minute.
    Refused(String),
    /// The same, said lately; or there is no room for it, or no such partition.
    Ignored,
}

/// A merger.
#[derive(Debug, Clone)]
struct Merger {
    wire: u64,
    heard_at_ms: u64,
    heard_mono_ns: u64,
    /// When it was last said that it is refused, observed time, ms.
    told_at_ms: Option<u64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Mergers {
    known: BTreeMap<String, Merger>,
    places: BTreeMap<i32, Place>,
    /// Why what mergers write may not be read, if that is so.
    pub(super) hidden: Option<String>,
    /// Ranges that were counted as they came.
    pub(super) ranges: u64,
    /// Ranges that held something which only messages say.
    refused: u64,
    /// What the partitions counted whose log was forgotten.
    forgotten: Forgotten,
}

/// Ranges of logs that are no more.
#[derive(Debug, Default)]
struct Forgotten {
    /// Those that were read from the partition itself.
    across: u64,
    /// Those that had been counted.
    overlaps: u64,
}

/// A merger, as `GET /nodes?role=merger` and `GET /healthz` show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MergerRow {
    /// Its id.
    pub merger_id: String,
    /// `up`, `silent`, or `incompatible`.
    pub state: &'static str,
    /// Since its last sign of life, s.
    pub heard_age_s: f64,
    /// The partitions of `metrics` that it reads.
    pub partitions: Vec<i32>,
    /// Messages of these that it has not read yet.
    pub lag_messages: u64,
    /// Why what it says is not counted.
    pub reason: Option<String>,
}

/// A partition of `metrics`, as `GET /healthz` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionRow {
    /// Which.
    pub partition: i32,
    /// Who merges it; null where nobody does, so that the orchestrator reads it itself.
    pub merger_id: Option<String>,
    /// Messages that its merger had not read when it was last heard.
    pub lag_messages: u64,
    /// The offset up to which it was counted.
    pub counted: i64,
    /// Since when no merger reads it though there are some, ms since 1970.
    pub silent_since_unix_ms: Option<u64>,
    /// Two processes that both read it, by their ids.
    #[serde(skip)]
    pub rivals: Option<(String, String)>,
    /// Who has it, lives, and reads nothing of it.
    #[serde(skip)]
    pub idler: Option<String>,
}

impl Mergers {
    /// As it was stored: the next offset of each partition.
    pub(super) fn restore(counted: BTreeMap<i32, i64>) -> Self {
        let places = counted.into_iter();
        let places = places.map(|(number, pos)| (number, Place::new(Chain::at(pos), 0)));
        Self {
            places: places.collect(),
            ..Self::default()
        }
    }

    /// The partitions that there are.
    pub(super) fn know(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.place(*partition);
        }
    }

    /// Up to where each partition was counted.
    pub(super) fn counted(&self) -> impl Iterator<Item = (i32, i64)> {
        let places = self.places.iter();
        places.map(|(number, place)| (*number, place.chain.pos()))
    }

    /// Another log is read from its beginning: what it holds by now may be as old as what it replaces.
    pub(super) fn forget(&mut self, log: u64, partitions: &[i32], observed_ms: u64) {
        for partition in partitions {
            let mut place = Place::new(Chain::default(), log);
            place.begun_at_ms = Some(observed_ms);
            if let Some(Place { chain, .. }) = self.places.insert(*partition, place) {
                self.forgotten.across += chain.across;
                self.forgotten.overlaps += chain.overlaps;
            }
        }
    }

    /// A partition ends there by now.
    pub(super) fn note_end(&mut self, partition: i32, end: i64, observed_ms: u64) {
        if let Some(place) = self.places.get_mut(&partition) {
            place.note_end(end, observed_ms);
        }
    }

    fn place(&mut self, partition: i32) -> Option<&mut Place> {
        if self.places.len() >= KNOWN_MAX {
            return self.places.get_mut(&partition);
        }
        Some(self.places.entry(partition).or_default())
    }

    /// Messages up to `next` were read from a partition itself; whether they are to be counted.
    pub(super) fn pass(&mut self, partition: i32, next: i64) -> bool {
        self.place(partition)
            .is_none_or(|place| place.chain.pass(next))
    }

    /// Takes what a merger says, and keeps it until [`Self::next`] gives it out.
    pub(super) fn hear(&mut self, range: MergedRange, observed_ms: u64, now: Now) -> Heard {
        let before = self.known.get(&range.merger_id);
        if before.is_none() && self.known.len() >= KNOWN_MAX {
            return Heard::Ignored;
        }
        let told_at_ms = before.and_then(|before| before.told_at_ms);
        let is_refused = range.wire != WIRE_VERSION;
        let is_told = told_at_ms.is_some_and(|at_ms| observed_ms - at_ms < TELL_EVERY_MS);
        let told_at_ms = if is_refused && !is_told {
            Some(observed_ms)
        } else {
            told_at_ms
        };
        let merger = Merger {
            wire: range.wire,
            heard_at_ms: observed_ms,
            heard_mono_ns: now.mono_ns,
            told_at_ms,
        };
        self.known.insert(range.merger_id.clone(), merger);
        if is_refused {
            return if is_told {
                Heard::Ignored
            } else {
                Heard::Refused(other_wire(range.wire))
            };
        }
        // One that there is not, or that was not found yet.
        let Some(place) = self.places.get_mut(&range.partition) else {
            return Heard::Ignored;
        };
        let is_settled = |at_ms: u64| observed_ms.saturating_sub(at_ms) >= SETTLE_MS;
        if !place.begun_at_ms.is_none_or(is_settled) {
            return Heard::Ignored;
        }
        if range.end < place.chain.pos() {
            place.doubt(observed_ms);
        }
        let is_ahead = range.to >= place.chain.pos();
        let before = place.heart.as_ref();
        let has_moved = before.is_none_or(|heart| range.to > heart.to);
        let reads_on = has_moved && before.is_some_and(|heart| heart.is_of(&range));
        let stuck_since_ms = before
            .filter(|_| !has_moved && range.end > range.to)
            .map(|heart| heart.stuck_since_ms.unwrap_or(observed_ms));
        // One that was given up is relied on again when it reads on.
        let is_useful = range.is_about(place.chain.pos())
            && (place.chain.is_merged() || stuck_since_ms.is_none());
        place.note_end(range.end, observed_ms);
        if is_ahead {
            place.note_merger(range.end, reads_on, observed_ms);
        }
        let begins = is_useful && !place.chain.is_merged();
        let mut rival = None;
        if is_ahead || place.heart.is_none() || begins {
            rival = place.note_speaker(&range, observed_ms);
            place.heart = Some(Heart {
                merger_id: range.merger_id.clone(),
                incarnation: range.incarnation,
                heard_at_ms: observed_ms,
                spoke_at_ms: observed_ms,
                to: range.to,
                end: range.end,
                stuck_since_ms,
            });
        } else if let Some(heart) = place.heart.as_mut().filter(|heart| heart.is_of(&range)) {
            heart.spoke_at_ms = observed_ms;
        }
        if is_useful {
            place.chain.rely();
        }
        place.chain.offer(range, observed_ms);
        if !begins {
            return rival.map_or(Heard::Nothing, Heard::Contested);
        }
        place.alone_since_ms = None;
        place.silent_since_ms = None;
        Heard::Begins
    }

    /// The next range of a partition that may be counted: see [`Chain::next`].
    pub(super) fn next(&mut self, partition: i32) -> Option<MergedRange> {
        self.places.get_mut(&partition)?.chain.next()
    }

    /// That range is counted.
    pub(super) fn take(&mut self, range: &MergedRange) {
        self.ranges += 1;
        if let Some(place) = self.places.get_mut(&range.partition) {
            place.chain.pass(range.to);
        }
    }

    /// That range cannot be counted as it is.
    pub(super) fn refuse(&mut self, range: &MergedRange) {
        self.refused += 1;
        if let Some(place) = self.places.get_mut(&range.partition) {
            place.chain.refuse(range);
        }
    }

    /// What the reader is to be told of a partition.
    pub(super) fn ask(&mut self, partition: i32) -> Option<RawReading> {
        let place = self.places.get_mut(&partition)?;
        place.chain.ask(partition, place.log)
    }

    /// Observed time goes on: the partitions that are read by no merger from now on.
    pub(super) fn silent(&mut self, observed_ms: u64, now: Now) -> Vec<i32> {
        let since = |at_ms: u64| observed_ms.saturating_sub(at_ms);
        self.known
            .retain(|_, merger| since(merger.heard_at_ms) < FORGET_MS);
        let lives =
            |merger: &Merger| merger.wire == WIRE_VERSION && since(merger.heard_at_ms) < SILENT_MS;
        let nobody_known = self.known.is_empty();
        let some_live = self.known.values().any(lives);
        let mut silent = Vec::new();
        for (number, place) in &mut self.places {
            place.pulse(observed_ms);
            let heard_at_ms = place.heart.as_ref().map(Heart::silent_since_ms);
            if place.chain.is_merged() {
                if heard_at_ms.is_none_or(|at_ms| since(at_ms) >= SILENT_MS) {
                    place.chain.read_alone();
                    place.left_at_ms = Some(observed_ms);
                    let silent_ms = heard_at_ms.map_or(SILENT_MS, since);
                    place.silent_since_ms =
                        Some((now.wall_ns / 1_000_000).saturating_sub(silent_ms));
                    silent.push(*number);
                }
                continue;
            }
            if !some_live {
                place.alone_since_ms = None;
                if nobody_known {
                    place.silent_since_ms = None;
                }
            } else if since(*place.alone_since_ms.get_or_insert(observed_ms)) >= SILENT_MS
                && place.silent_since_ms.is_none()
            {
                place.silent_since_ms = Some((now.wall_ns / 1_000_000).saturating_sub(SILENT_MS));
                silent.push(*number);
            }
        }
        silent
    }

    /// Whether reports may lie unread in a partition, since its merger is gone or behind: nobody's
    /// silence says anything then.
    pub(super) fn are_stalled(&self, observed_ms: u64) -> bool {
        let mut places = self.places.values();
        places.any(|place| place.is_stalled(observed_ms))
    }

    /// Ranges that had to be read from the partition itself.
    pub(super) fn reread(&self) -> u64 {
        let across = self.places.values().map(|place| place.chain.across);
        self.forgotten.across + self.refused + across.sum::<u64>()
    }

    /// Ranges that were dropped, since all of it had been counted.
    pub(super) fn overlaps(&self) -> u64 {
        let overlaps = self.places.values().map(|place| place.chain.overlaps);
        self.forgotten.overlaps + overlaps.sum::<u64>()
    }

    /// The mergers that were heard of.
    pub(super) fn rows(&self, observed_ms: u64, now: Now) -> Vec<MergerRow> {
        let row = |(merger_id, merger): (&String, &Merger)| {
            let is_its = |heart: &&Heart| heart.merger_id == *merger_id;
            let of_place = |(number, place): (&i32, &Place)| {
                let heart = place.heart.as_ref().filter(is_its)?;
                place.chain.is_merged().then_some((*number, lag(heart)))
            };
            let hers: Vec<(i32, u64)> = self.places.iter().filter_map(of_place).collect();
            let is_silent = observed_ms.saturating_sub(merger.heard_at_ms) >= SILENT_MS;
            let reason = (merger.wire != WIRE_VERSION).then(|| other_wire(merger.wire));
            MergerRow {
                merger_id: merger_id.clone(),
                state: match (&reason, is_silent) {
                    (Some(_), _) => "incompatible",
                    (None, true) => "silent",
                    (None, false) => "up",
                },
                heard_age_s: now.since_ns(merger.heard_mono_ns) as f64 / 1e9,
                partitions: hers.iter().map(|(number, _)| *number).collect(),
                lag_messages: hers.iter().map(|(_, lag)| lag).sum(),
                reason,
            }
        };
        self.known.iter().map(row).collect()
    }

    /// The partitions, once a merger was heard of.
    pub(super) fn partitions(&self, observed_ms: u64) -> Vec<PartitionRow> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let row = |(number, place): (&i32, &Place)| {
            let heart = place.heart.as_ref().filter(|_| place.chain.is_merged());
            PartitionRow {
                partition: *number,
                merger_id: heart.map(|heart| heart.merger_id.clone()),
                lag_messages: heart.map_or(0, lag),
                counted: place.chain.pos(),
                silent_since_unix_ms: place.silent_since_ms,
                rivals: place.rivals(observed_ms),
                idler: place.idler(observed_ms),
            }
        };
        self.places.iter().map(row).collect()
    }
}

fn lag(heart: &Heart) -> u64 {
    u64::try_from(heart.end.saturating_sub(heart.to)).unwrap_or(0)
}

fn other_wire(theirs: u64) -> String {
    format!(
        "it speaks version {theirs} of the wire, this orchestrator {WIRE_VERSION}, so that what it \
         merges is not counted; run the same version of dlts on both"
    )
}
