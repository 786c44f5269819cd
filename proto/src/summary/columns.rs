//! Something of each second of a run in bounded memory, however long it is: neighbouring columns are
//! joined in pairs when they become too many. Nothing is lost but the place within a column.

use std::collections::BTreeMap;

use rpds::RedBlackTreeMapSync;

/// What adds up when seconds are joined.
pub(super) trait Sum: Default {
    /// Adds another second's.
    fn sum(&mut self, more: &Self);
}

/// At most `MOST` columns of equal length. A clone costs next to nothing: it shares all columns that
/// do not change after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns<T, const MOST: usize> {
    /// Seconds of a column.
    span_s: u64,
    /// By their first second, divided by the span.
    by_place: RedBlackTreeMapSync<u64, T>,
}

/// The shortest multiple of a span, in seconds, of which at most `most` columns reach up to a second.
pub(super) fn span_for(own_s: u64, end_s: u64, most: usize) -> u64 {
    let together = end_s.div_ceil(own_s).div_ceil(most.max(1) as u64);
    own_s.saturating_mul(together.max(1))
}

impl<T, const MOST: usize> Default for Columns<T, MOST> {
    fn default() -> Self {
        Self {
            span_s: 1,
            by_place: RedBlackTreeMapSync::default(),
        }
    }
}

impl<T: Sum + Clone, const MOST: usize> Columns<T, MOST> {
    /// Those of a span that is a power of two, in seconds, by their places; `None` of another span.
    pub(super) fn of(span_s: u64, by_place: impl IntoIterator<Item = (u64, T)>) -> Option<Self> {
        let mut columns = Self {
            span_s: span_s.is_power_of_two().then_some(span_s)?,
            ..Self::default()
        };
        for (place, column) in by_place {
            columns.add_at(place, &column);
        }
        columns.bound();
        Some(columns)
    }

    /// Adds something of a second.
    pub(super) fn add(&mut self, second: u64, more: &T) {
        self.add_at(second / self.span_s, more);
        self.bound();
    }

    fn bound(&mut self) {
        while self.by_place.size() > MOST {
            self.join_pairs();
        }
    }

    fn add_at(&mut self, place: u64, more: &T) {
        if !self.by_place.contains_key(&place) {
            self.by_place.insert_mut(place, T::default());
        }
        let column = self.by_place.get_mut(&place);
        column.expect("invariant: it was put there").sum(more);
    }

    fn join_pairs(&mut self) {
        let fine = std::mem::take(self);
        self.span_s = fine.span_s.saturating_mul(2);
        for (place, column) in &fine.by_place {
            self.add_at(place / 2, column);
        }
    }

    /// The second after the last column; 0 without one.
    pub(super) fn end_s(&self) -> u64 {
        let last = self.by_place.last().map(|(place, _)| *place);
        last.map_or(0, |place| {
            place.saturating_add(1).saturating_mul(self.span_s)
        })
    }

    /// Seconds of a column: a power of two.
    pub(super) fn span_s(&self) -> u64 {
        self.span_s
    }

    /// The columns by their places.
    pub(super) fn by_place(&self) -> impl Iterator<Item = (u64, &T)> {
        self.by_place.iter().map(|(place, column)| (*place, column))
    }

    /// What `of` takes of the columns, joined into ones of this span, which is a multiple of their
    /// own: by their places.
    pub(super) fn joined<U: Sum>(&self, span_s: u64, of: impl Fn(&T) -> &U) -> BTreeMap<u64, U> {
        let together = (span_s / self.span_s).max(1);
        let mut joined: BTreeMap<u64, U> = BTreeMap::new();
        for (place, column) in &self.by_place {
            joined.entry(place / together).or_default().sum(of(column));
        }
        joined
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_place.size()
    }
}
