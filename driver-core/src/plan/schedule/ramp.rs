//! Pieces of linearly changing rate, one after another, inverted exactly.
//!
//! A stage from `a` to `b` thousandths of a request a second over `d` ns has asked for
//! `(2·a·d·t + (b − a)·t²) / (2·d·10¹²)` requests after `t` ns. All stages' totals are whole
//! multiples of `1 / (2·10¹²)`, the unit in which areas are counted here, so that nothing is lost
//! from one stage to the next.

use proto::workload::{Rate, Stage};

/// Units of area in one request.
const AREA_OF_REQUEST: u128 = 2_000_000_000_000;
/// Longest piece, ns: a day. With the fastest rate, all products below fit 127 bits. Longer stages
/// are cut into days, between which the rate is rounded to a thousandth of a request a second.
const PIECE_NS_MAX: u64 = 86_400 * 1_000_000_000;

const _: () = {
    let (rate, duration) = (Rate::MILLI_MAX as u128, PIECE_NS_MAX as u128);
    assert!(2 * rate * duration < i128::MAX as u128 / duration);
};

/// The stages with what came before each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ramps {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    start_ns: u64,
    duration_ns: u64,
    from: u64,
    to: u64,
    /// Area under the pieces before this one.
    area_before: u128,
}

impl Ramps {
    pub(super) fn new(stages: &[Stage]) -> Self {
        let (mut start_ns, mut area_before) = (0_u64, 0_u128);
        let mut pieces = Vec::with_capacity(stages.len());
        for (from, to, duration_ns) in stages.iter().flat_map(days) {
            let piece = Piece {
                start_ns,
                duration_ns,
                from,
                to,
                area_before,
            };
            start_ns = start_ns.saturating_add(duration_ns);
            area_before += piece.area();
            pieces.push(piece);
        }
        Self { pieces }
    }

    pub(super) fn first_milli(&self) -> u64 {
        self.pieces
            .first()
            .map_or(Rate::MILLI_MIN, |piece| piece.from)
    }

    /// The first instant by which `index` requests are asked for; `None` past the last stage.
    pub(super) fn instant_ns(&self, index: u64) -> Option<u64> {
        let area = u128::from(index) * AREA_OF_REQUEST;
        let last = self
            .pieces
            .partition_point(|piece| piece.area_before <= area);
        // An index may fall exactly onto the end of a piece: then it starts the next one, if any.
        let piece = self.pieces.get(last.checked_sub(1)?)?;
        let wanted = area - piece.area_before;
        (wanted < piece.area()).then(|| piece.start_ns + piece.time_of(wanted))
    }
}

/// A stage cut into pieces of at most [`PIECE_NS_MAX`]: their rates at start and end, and lengths.
fn days(stage: &Stage) -> impl Iterator<Item = (u64, u64, u64)> {
    let Stage {
        from,
        to,
        duration_ns,
    } = *stage;
    let rate_at = move |at_ns: u64| {
        let (from, to) = (i128::from(from.milli()), i128::from(to.milli()));
        let rate = from + (to - from) * i128::from(at_ns) / i128::from(duration_ns.max(1));
        u64::try_from(rate).expect("invariant: between two rates")
    };
    (0..duration_ns.div_ceil(PIECE_NS_MAX)).map(move |day| {
        let start_ns = day * PIECE_NS_MAX;
        let end_ns = duration_ns.min(start_ns + PIECE_NS_MAX);
        (rate_at(start_ns), rate_at(end_ns), end_ns - start_ns)
    })
}

impl Piece {
    /// Area under the whole piece.
    fn area(&self) -> u128 {
        u128::from(self.from + self.to) * u128::from(self.duration_ns)
    }

    /// Whether the area under the first `t` ns is at least `wanted`.
    fn reaches(&self, t: u64, wanted: u128) -> bool {
        let (t, d) = (i128::from(t), i128::from(self.duration_ns));
        let (from, to) = (i128::from(self.from), i128::from(self.to));
        let area_times_d = 2 * from * d * t + (to - from) * t * t;
        let wanted = i128::try_from(wanted).expect("invariant: less than the piece's area");
        area_times_d >= wanted * d
    }

    /// The first instant of this piece whose area is at least `wanted`, which is less than all.
    fn time_of(&self, wanted: u128) -> u64 {
        let guess = self.guess(wanted as f64).min(self.duration_ns);
        // The guess is right to a few ns; widen from it until it encloses the exact instant.
        let (mut low, mut high, mut step) = (guess, guess, 1_u64);
        while low > 0 && self.reaches(low, wanted) {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while !self.reaches(high, wanted) {
            high = (high + step).min(self.duration_ns);
            step *= 2;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.reaches(middle, wanted) {
                high = middle;
            } else {
                low = middle;
            }
        }
        if self.reaches(low, wanted) { low } else { high }
    }

    /// The solution in floating point, in the form that does not cancel.
    fn guess(&self, wanted: f64) -> u64 {
        let (from, to, d) = (self.from as f64, self.to as f64, self.duration_ns as f64);
        let slope = (to - from) / d;
        let root = (from * from + slope * wanted).max(0.0).sqrt();
        let t = wanted / (from + root);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped, then checked
        let t = t.clamp(0.0, d) as u64;
        t
    }
}
