//! Reports on their way to the broker: bounded, in order, never lost. Pure.
//!
//! A report waits here until the broker has it. A few are handed to the client at a time; the rest
//! wait. When more than [`WAITING_MAX`] wait, the two neighbours of the fewest seconds are merged into
//! one, so that a broker that is away for hours costs resolution, not samples; when it is away for
//! days, its seconds share rows. A report that the client took once is sent again as it is, since the
//! broker may have it already. One that the client refuses waits apart and holds nothing up.

use std::collections::VecDeque;

use proto::measure::SecondRow;
use proto::message::Metrics;

/// Reports that wait before some are merged; two minutes of one test.
pub const WAITING_MAX: usize = 120;
/// Reports that are handed to the client at a time.
pub const HANDED_MAX: usize = 8;
/// Rows of a merged report, about 200 bytes each. Together with four full histograms they stay below
/// the million bytes of a message that librdkafka takes.
pub const ROWS_MAX: usize = 1_000;

const _: () = assert!(HANDED_MAX >= 1 && WAITING_MAX > HANDED_MAX);

/// The queue of one driver.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: VecDeque<Entry>,
    next_token: u64,
    merged: u64,
}

#[derive(Debug)]
struct Entry {
    token: u64,
    message: Metrics,
    place: Place,
    /// Whether the client took it before, so that it may have been read although that was not told.
    may_be_known: bool,
    /// Whether the client refused it before; it is not made any larger.
    was_refused: bool,
}

/// Where a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting,
    /// With the client.
    Handed,
    /// Apart, until [`Outbox::retry`].
    Refused,
}

impl Entry {
    /// Whether another one may be merged into it, or it into another one.
    fn is_mergeable(&self) -> bool {
        let report = self.message.report.as_ref();
        self.place == Place::Waiting
            && !self.may_be_known
            && !self.was_refused
            && report.is_some_and(|report| !report.last)
    }

    fn rows(&self) -> usize {
        let report = self.message.report.as_ref();
        report.map_or(0, |report| report.seconds.len())
    }
}

impl Outbox {
    /// Appends a report.
    pub fn push(&mut self, message: Metrics) {
        self.next_token += 1;
        let entry = Entry {
            token: self.next_token,
            message,
            place: Place::Waiting,
            may_be_known: false,
            was_refused: false,
        };
        self.entries.push_back(entry);
        if self.entries.len() > WAITING_MAX {
            self.merge();
        }
    }

    /// Hands over the next report that is due, if any, with its token.
    pub fn hand_over(&mut self) -> Option<(u64, &Metrics)> {
        let is_handed = |entry: &&Entry| entry.place == Place::Handed;
        if self.entries.iter().filter(is_handed).count() >= HANDED_MAX {
            return None;
        }
        let mut entries = self.entries.iter_mut();
        let entry = entries.find(|entry| entry.place == Place::Waiting)?;
        entry.place = Place::Handed;
        Some((entry.token, &entry.message))
    }

    /// The client has no room for it now: it did not leave.
    pub fn take_back(&mut self, token: u64) {
        if let Some(entry) = self.entry(token) {
            entry.place = Place::Waiting;
        }
    }

    /// The client does not take it, for what it is: it did not leave, and the others come first.
    /// Says whether that is news.
    pub fn refuse(&mut self, token: u64) -> bool {
        self.entry(token).is_some_and(|entry| {
            entry.place = Place::Refused;
            !std::mem::replace(&mut entry.was_refused, true)
        })
    }

    /// What was refused is to be tried again.
    pub fn retry(&mut self) {
        for entry in &mut self.entries {
            if entry.place == Place::Refused {
                entry.place = Place::Waiting;
            }
        }
    }

    /// What became of a report that the client took: it is gone, or it is sent again.
    pub fn delivered(&mut self, token: u64, arrived: bool) {
        if arrived {
            self.entries.retain(|entry| entry.token != token);
        } else if let Some(entry) = self.entry(token) {
            entry.place = Place::Waiting;
            entry.may_be_known = true;
        }
    }

    /// Whether everything has arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reports that wait or are on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Reports that were merged into others so far.
    #[must_use]
    pub fn merged(&self) -> u64 {
        self.merged
    }

    fn entry(&mut self, token: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.token == token)
    }

    /// Merges two neighbours that nobody can have read: those with the fewest rows, the oldest of
    /// several, so that no report grows much larger than the others.
    fn merge(&mut self) {
        let is_pair = |at: &usize| {
            let (one, next) = (&self.entries[*at], &self.entries[at + 1]);
            let of_one_test = one.message.test_id == next.message.test_id;
            of_one_test && one.is_mergeable() && next.is_mergeable()
        };
        let rows = |at: &usize| self.entries[*at].rows() + self.entries[at + 1].rows();
        let pairs = (0..self.entries.len().saturating_sub(1)).filter(is_pair);
        let pair = pairs.min_by_key(rows);
        let Some((at, next)) = pair.and_then(|at| Some((at, self.entries.remove(at + 1)?))) else {
            return;
        };
        let one = &mut self.entries[at].message;
        if let (Some(report), Some(more)) = (&mut one.report, &next.message.report) {
            report.append(more);
            if report.seconds.len() > ROWS_MAX {
                report.seconds = in_pairs(&report.seconds);
            }
            one.metrics = next.message.metrics;
            self.merged += 1;
        }
    }
}

/// One row for each two, in the later one's second: no count is lost, but when it was is.
fn in_pairs(rows: &[SecondRow]) -> Vec<SecondRow> {
    let together = |pair: &[SecondRow]| match *pair {
        [earlier, mut later] => {
            later.add(&earlier);
            later
        }
        _ => pair[0],
    };
    rows.chunks(2).map(together).collect()
}

#[cfg(test)]
mod tests;
