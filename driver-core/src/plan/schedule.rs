//! When each request is intended to start: a pure function of its index, in integer nanoseconds
//! after the start of the run. Nothing here reads a clock or remembers what was sent, so there is
//! nothing to drift.
//!
//! Request `i` is intended at the first nanosecond by which the plan asks for `i` requests. For a
//! constant rate that is `i / rate`, rounded up; for pieces of linearly changing rate it is the
//! inverse of the area under them, solved exactly in 128-bit integers.

use proto::workload::Arrival;

mod pieces;
mod ramp;

use pieces::Pieces;
use ramp::Ramps;

use crate::source::Switch;

/// The plan of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    shape: Shape,
    /// Added to every instant, ns: this node's place within the gap when nodes are staggered.
    offset_ns: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Bursts {
        gap_ns: u64,
        burst: u64,
    },
    /// So many thousandths of a request a second.
    Rate {
        milli: u64,
    },
    Ramps(Ramps),
    /// Others, one after another: the rate was changed.
    Pieces(Pieces),
}

/// Thousandths of a request times nanoseconds in one request times one second.
const MILLI_NS: u128 = 1_000 * 1_000_000_000;

impl Schedule {
    /// The schedule of an open loop; `None` for a closed one, which has no instants of its own.
    #[must_use]
    pub fn new(arrival: &Arrival) -> Option<Self> {
        let shape = match arrival {
            Arrival::ClosedLoop => return None,
            Arrival::Bursts { gap_ns, burst } => Shape::Bursts {
                gap_ns: *gap_ns,
                burst: u64::from(*burst),
            },
            Arrival::Rate(rate) => Shape::Rate {
                milli: rate.milli(),
            },
            Arrival::Stages(stages) => Shape::Ramps(Ramps::new(stages)),
        };
        Some(Self {
            shape,
            offset_ns: 0,
        })
    }

    /// The place of participant `index` of `count` within the gap, ns: that share of it.
    ///
    /// # Panics
    /// Unless `index < count`.
    #[must_use]
    pub fn stagger_ns(&self, index: u32, count: u32) -> u64 {
        assert!(index < count, "participant {index} of {count}");
        let gap = u128::from(self.gap_ns());
        let offset = gap * u128::from(index) / u128::from(count);
        u64::try_from(offset).expect("invariant: less than the gap")
    }

    /// The same schedule, so much later.
    #[must_use]
    pub fn delayed(mut self, offset_ns: u64) -> Self {
        self.offset_ns = offset_ns;
        self
    }

    /// A schedule without an end that warms up for this one: its first rate, or its bursts.
    #[must_use]
    pub fn warm_up(&self) -> Self {
        Self {
            shape: self.shape.warm_up(),
            offset_ns: self.offset_ns,
        }
    }

    /// The same until the rate is changed, and again after the stage in which that is.
    #[must_use]
    pub fn switched(&self, switch: &Switch) -> Self {
        Self {
            shape: Shape::Pieces(Pieces::switched(self, switch)),
            // It is in the pieces.
            offset_ns: 0,
        }
    }

    /// When request `index` is intended, ns after the start; `None` past the last stage.
    #[must_use]
    pub fn intended_ns(&self, index: u64) -> Option<u64> {
        self.shape.instant_ns(index)?.checked_add(self.offset_ns)
    }

    /// Whether it is a rate, which can be another one.
    pub(super) fn has_rate(&self) -> bool {
        !matches!(self.shape, Shape::Bursts { .. })
    }

    /// The time between the first two instants, ns.
    fn gap_ns(&self) -> u64 {
        match &self.shape {
            Shape::Bursts { gap_ns, .. } => *gap_ns,
            Shape::Rate { milli } => constant(1, *milli).unwrap_or(0),
            Shape::Ramps(_) | Shape::Pieces(_) => self.shape.instant_ns(1).unwrap_or(0),
        }
    }

    /// Requests intended within `duration_ns` of the start; `u64::MAX` for that many and more.
    #[must_use]
    pub fn count_within(&self, duration_ns: u64) -> u64 {
        first_without(0, |index| {
            self.intended_ns(index)
                .is_some_and(|instant| instant < duration_ns)
        })
    }
}

impl Shape {
    fn instant_ns(&self, index: u64) -> Option<u64> {
        match self {
            Self::Bursts { gap_ns, burst } => (index / burst).checked_mul(*gap_ns),
            Self::Rate { milli } => constant(index, *milli),
            Self::Ramps(ramps) => ramps.instant_ns(index),
            Self::Pieces(pieces) => pieces.instant_ns(index),
        }
    }

    fn warm_up(&self) -> Self {
        match self {
            Self::Ramps(ramps) => Self::Rate {
                milli: ramps.first_milli(),
            },
            Self::Pieces(pieces) => pieces.warm_up(),
            shape => shape.clone(),
        }
    }
}

/// The first index from `from` on without a property that all before it have and none after it;
/// `u64::MAX` for none. It gallops, then halves: a few steps when it is near, and never many.
pub(crate) fn first_without(from: u64, has: impl Fn(u64) -> bool) -> u64 {
    if !has(from) {
        return from;
    }
    let (mut with, mut step) = (from, 1_u64);
    let mut without = loop {
        let next = with.saturating_add(step);
        if next == u64::MAX || !has(next) {
            break next;
        }
        with = next;
        step = step.saturating_mul(2);
    };
    while without - with > 1 {
        let middle = with + (without - with) / 2;
        if has(middle) {
            with = middle;
        } else {
            without = middle;
        }
    }
    without
}

/// `index` requests at `milli` thousandths a second, rounded up to the next nanosecond.
fn constant(index: u64, milli: u64) -> Option<u64> {
    // Most plans fit 64 bits, whose division is several times cheaper.
    if let Some(area) = index.checked_mul(1_000_000_000_000) {
        return Some(area.div_ceil(milli));
    }
    u64::try_from((u128::from(index) * MILLI_NS).div_ceil(u128::from(milli))).ok()
}

/// The part of a plan that one core sends: every `stride`-th request from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Index of its first request.
    pub first: u64,
    /// Cores that share the plan.
    pub stride: u64,
}

impl Segment {
    /// The part of core `core` of `cores`.
    #[must_use]
    pub fn of(core: usize, cores: usize) -> Self {
        assert!(core < cores, "core {core} of {cores}");
        Self {
            first: core as u64,
            stride: cores as u64,
        }
    }

    /// Index in the whole plan of this segment's `nth` request, counted from 0.
    #[must_use]
    pub fn index(self, nth: u64) -> u64 {
        self.first.saturating_add(self.stride.saturating_mul(nth))
    }

    /// How many of the plan's `total` requests are in this segment.
    #[must_use]
    pub fn share(self, total: u64) -> u64 {
        total.saturating_sub(self.first).div_ceil(self.stride)
    }
}

#[cfg(test)]
mod tests;
