//! Reports on their way to the broker: bounded, in order, never lost. Pure.
//!
//! A report waits here until the broker has it. A few are handed to the client at a time; the rest
//! wait. When more than [`WAITING_MAX`] wait, the two oldest that were never handed over are merged
//! into one, so that a broker that is away for hours costs resolution, not samples. A report that
//! was handed over once is sent again as it is, since the broker may have it already.

use std::collections::VecDeque;

use proto::message::Metrics;

/// Reports that wait before the oldest are merged; two minutes of one test.
pub const WAITING_MAX: usize = 120;
/// Reports that are handed to the client at a time.
pub const HANDED_MAX: usize = 8;

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
    handed: bool,
    /// Whether it was ever handed over, and may thus have been read.
    may_be_known: bool,
}

impl Outbox {
    /// Appends a report.
    pub fn push(&mut self, message: Metrics) {
        self.next_token += 1;
        let entry = Entry {
            token: self.next_token,
            message,
            handed: false,
            may_be_known: false,
        };
        self.entries.push_back(entry);
        if self.entries.len() > WAITING_MAX {
            self.merge_oldest();
        }
    }

    /// Hands over the next report that is due, if any, with its token.
    pub fn hand_over(&mut self) -> Option<(u64, &Metrics)> {
        if self.entries.iter().filter(|entry| entry.handed).count() >= HANDED_MAX {
            return None;
        }
        let entry = self.entries.iter_mut().find(|entry| !entry.handed)?;
        entry.handed = true;
        entry.may_be_known = true;
        Some((entry.token, &entry.message))
    }

    /// The client did not take it after all, so that nobody can have read it.
    pub fn take_back(&mut self, token: u64) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.token == token) {
            entry.handed = false;
        }
    }

    /// What became of a report that was handed over: it is gone, or it is sent again.
    pub fn delivered(&mut self, token: u64, arrived: bool) {
        if arrived {
            self.entries.retain(|entry| entry.token != token);
        } else {
            self.take_back(token);
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

    /// Merges the two oldest neighbours that nobody can have read.
    fn merge_oldest(&mut self) {
        let mergeable = |one: &Entry, next: &Entry| {
            let fresh = !one.may_be_known && !next.may_be_known;
            let same = one.message.test_id == next.message.test_id;
            let intervals = |entry: &Entry| {
                entry
                    .message
                    .report
                    .as_ref()
                    .is_some_and(|report| !report.last)
            };
            fresh && same && intervals(one) && intervals(next)
        };
        let pairs = 0..self.entries.len().saturating_sub(1);
        let pair = pairs
            .into_iter()
            .find(|at| mergeable(&self.entries[*at], &self.entries[at + 1]));
        let Some((at, next)) = pair.and_then(|at| Some((at, self.entries.remove(at + 1)?))) else {
            return;
        };
        let one = &mut self.entries[at].message;
        if let (Some(report), Some(more)) = (&mut one.report, &next.message.report) {
            report.append(more);
            one.metrics = next.message.metrics;
            self.merged += 1;
        }
    }
}

#[cfg(test)]
mod tests;
