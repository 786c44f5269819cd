//! A schedule whose rate was changed: parts of others, one after another.

use super::{Schedule, Shape};
use crate::source::Switch;

/// The parts, by their first index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pieces(Vec<Piece>);

/// A part of another schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    shape: Shape,
    /// Added to its instants, ns.
    start_ns: u64,
    /// Which of its indices is the first here …
    skipped: u64,
    /// … and that index in the whole.
    first: u64,
}

impl Piece {
    fn instant_ns(&self, index: u64) -> Option<u64> {
        let nth = (index - self.first).checked_add(self.skipped)?;
        let instant = self.shape.instant_ns(nth)?;
        instant.checked_add(self.start_ns)
    }
}

impl Pieces {
    /// A schedule up to the change, the new rate up to its end, and the schedule again from there on.
    pub(super) fn switched(schedule: &Schedule, switch: &Switch) -> Self {
        let old = Self::of(schedule);
        let cut = schedule.count_within(switch.join_ns);
        let mut pieces = old.0.clone();
        pieces.retain(|piece| piece.first < cut);
        let new = Schedule {
            shape: Shape::Rate {
                milli: switch.rate.milli(),
            },
            offset_ns: switch.at_ns,
        };
        let skipped = new.count_within(switch.join_ns);
        pieces.push(Piece {
            shape: new.shape.clone(),
            start_ns: switch.at_ns,
            skipped,
            first: cut,
        });
        if let Some(end_ns) = switch.end_ns {
            let first = cut.saturating_add(new.count_within(end_ns).saturating_sub(skipped));
            let resumed = schedule.count_within(end_ns.max(switch.join_ns));
            pieces.extend(old.from(resumed, first));
        }
        Self(pieces)
    }

    fn of(schedule: &Schedule) -> Self {
        match &schedule.shape {
            Shape::Pieces(pieces) => pieces.clone(),
            shape => Self(vec![Piece {
                shape: shape.clone(),
                start_ns: schedule.offset_ns,
                skipped: 0,
                first: 0,
            }]),
        }
    }

    /// What comes from index `from` on, as from index `first` on.
    fn from(&self, from: u64, first: u64) -> Vec<Piece> {
        let at = self.at(from);
        let of_it = self.0[at..].iter().map(|piece| {
            let passed = from.saturating_sub(piece.first);
            Piece {
                skipped: piece.skipped.saturating_add(passed),
                first: first.saturating_add(piece.first.saturating_sub(from)),
                ..piece.clone()
            }
        });
        of_it.collect()
    }

    /// Which part an index is in.
    fn at(&self, index: u64) -> usize {
        let after = self.0.partition_point(|piece| piece.first <= index);
        after.saturating_sub(1)
    }

    pub(super) fn instant_ns(&self, index: u64) -> Option<u64> {
        self.0[self.at(index)].instant_ns(index)
    }

    pub(super) fn warm_up(&self) -> Shape {
        self.0[0].shape.warm_up()
    }
}
