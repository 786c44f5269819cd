//! Where the latencies of a run lie, second by second: how many samples each band of latencies has
//! in each column of time. In bounded memory however long the run is, since columns are joined in
//! pairs when they become too many; every sample stays counted.

use std::collections::BTreeMap;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::columns::{Columns, Sum, span_for};
use crate::histogram::{HIGHEST_NS, Sparse};
use crate::units::ns_to_ms;

/// Most columns of a [`HeatMap`].
pub const HEAT_COLUMNS_MAX: usize = 300;
/// Most bands of a [`HeatMap`].
pub const HEAT_BANDS_MAX: usize = 40;

/// Columns of a grid before they are joined: whatever is asked for, an answer has at least half as
/// many columns as it may have.
const COLUMNS_MAX: usize = 2 * HEAT_COLUMNS_MAX;
/// Where the finest bands of a decade begin: ten of nearly equal ratio, rounded as the series R10 of
/// ISO 3 has them.
const DECADE: [u64; 10] = [100, 125, 160, 200, 250, 315, 400, 500, 630, 800];
/// Bands of the finest division, from 1 µs to the highest latency.
const BANDS: usize = 96;
const _: () = assert!(
    edge_ns(BANDS - 1) <= HIGHEST_NS && HIGHEST_NS < edge_ns(BANDS),
    "the highest latency is in the last band"
);

/// The smallest latency of a band, ns. The first takes the smaller ones too.
const fn edge_ns(band: usize) -> u64 {
    let mut edge = DECADE[band % DECADE.len()] * 10;
    let mut decades = band / DECADE.len();
    while decades > 0 {
        edge *= 10;
        decades -= 1;
    }
    edge
}

/// Which latencies a map is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeatOf {
    /// From the intended start to the end of the answer.
    Response,
    /// From the actual start to the end of the answer.
    Service,
}

type Bands = BTreeMap<u8, u64>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Column {
    response: Bands,
    service: Bands,
}

impl Sum for Column {
    fn sum(&mut self, more: &Self) {
        self.response.sum(&more.response);
        self.service.sum(&more.service);
    }
}

impl Sum for Bands {
    fn sum(&mut self, more: &Self) {
        for (band, count) in more {
            self.entry(*band).or_default().sum(count);
        }
    }
}

impl Column {
    fn of(&self, which: HeatOf) -> &Bands {
        match which {
            HeatOf::Response => &self.response,
            HeatOf::Service => &self.service,
        }
    }
}

/// The samples of a run by time and band, of which a [`HeatMap`] is made. A clone costs next to
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeatGrid {
    columns: Columns<Column, COLUMNS_MAX>,
}

impl HeatGrid {
    /// Adds samples of a second.
    pub fn add(&mut self, second: u64, response: &Sparse, service: &Sparse) {
        let mut more = Column::default();
        add_samples(&mut more.response, response);
        add_samples(&mut more.service, service);
        self.columns.add(second, &more);
    }

    /// A map of at most `columns` columns (of 1 to [`HEAT_COLUMNS_MAX`]; what is beyond is taken for
    /// the nearest) and [`HEAT_BANDS_MAX`] bands, from the first band that has samples to the last.
    #[must_use]
    pub fn map(&self, which: HeatOf, columns: usize) -> HeatMap {
        let most = columns.clamp(1, HEAT_COLUMNS_MAX);
        let span_s = span_for(self.columns.span_s(), self.columns.end_s(), most);
        let mut by_column = self.columns.joined(span_s, |column| column.of(which));
        by_column.retain(|_, bands| !bands.is_empty());
        let used = by_column.values().flat_map(BTreeMap::keys);
        let used = used.map(|band| usize::from(*band));
        let division = Division::of(used);
        let column = |(at, bands): (&u64, &Bands)| division.column(at * span_s, bands);
        let samples = by_column.values().flat_map(BTreeMap::values);
        HeatMap {
            span_s,
            samples: samples.fold(0, |sum, count| sum.saturating_add(*count)),
            edges_ms: division.edges_ms(),
            columns: by_column.iter().map(column).collect(),
        }
    }
}

/// A bucket that reaches over an edge counts where its middle is: buckets are a thousandth wide.
fn add_samples(bands: &mut Bands, samples: &Sparse) {
    let (mut band, mut next_ns) = (0_u8, edge_ns(1));
    for (lowest, highest, count) in samples.buckets() {
        let middle = lowest.midpoint(highest);
        while middle >= next_ns && usize::from(band) < BANDS - 1 {
            band += 1;
            next_ns = edge_ns(usize::from(band) + 1);
        }
        let mine = bands.entry(band).or_default();
        *mine = mine.saturating_add(count);
    }
}

/// Which of the finest bands are shown, and how many of them as one.
#[derive(Debug, Clone, Copy)]
struct Division {
    first: usize,
    joined: usize,
    bands: usize,
}

impl Division {
    /// The finest division of few enough bands. It begins at a multiple of what is joined, so that
    /// the edges of a run that goes on stay where they are.
    fn of(used: impl Iterator<Item = usize> + Clone) -> Self {
        let (Some(low), Some(high)) = (used.clone().min(), used.max()) else {
            return Self {
                first: 0,
                joined: 1,
                bands: 0,
            };
        };
        let division = |joined: usize| Self {
            first: low / joined * joined,
            joined,
            bands: high / joined - low / joined + 1,
        };
        let divisions = (1..=BANDS).map(division);
        let mut few = divisions.filter(|division| division.bands <= HEAT_BANDS_MAX);
        few.next().expect("invariant: all bands as one are one")
    }

    fn edges_ms(&self) -> Vec<f64> {
        if self.bands == 0 {
            return Vec::new();
        }
        let edges = 0..=self.bands;
        edges
            .map(|at| ns_to_ms(edge_ns(self.first + at * self.joined)))
            .collect()
    }

    fn column(&self, second: u64, bands: &Bands) -> HeatColumn {
        let shown = |band: u8| (usize::from(band) - self.first) / self.joined;
        let (first, last) = (bands.keys().next(), bands.keys().next_back());
        let (Some(first), Some(last)) = (first, last) else {
            return HeatColumn::default();
        };
        let first_band = shown(*first);
        let mut counts = vec![0_u64; shown(*last) - first_band + 1];
        for (band, count) in bands {
            let mine = &mut counts[shown(*band) - first_band];
            *mine = mine.saturating_add(*count);
        }
        HeatColumn {
            second,
            first_band,
            counts,
        }
    }
}

/// The samples of a run by time and latency.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct HeatMap {
    /// Seconds of a column.
    pub span_s: u64,
    /// All samples of the map.
    pub samples: u64,
    /// Where the bands begin and the last one ends, ms, rising: band 0 has the latencies from the
    /// first edge to below the second. Latencies below 1 µs count in the band that begins there.
    /// Empty without samples.
    pub edges_ms: Vec<f64>,
    /// The columns that have samples, in their order.
    pub columns: Vec<HeatColumn>,
}

/// One column of a [`HeatMap`]. As JSON a list of whole numbers: its first second, its lowest band
/// that has samples, and the samples of the bands from that one on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeatColumn {
    /// Its first second, counted as those of the series.
    pub second: u64,
    /// Its lowest band that has samples.
    pub first_band: usize,
    /// The samples of each band from there to its highest.
    pub counts: Vec<u64>,
}

impl Serialize for HeatColumn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.counts.len() + 2))?;
        list.serialize_element(&self.second)?;
        list.serialize_element(&self.first_band)?;
        for count in &self.counts {
            list.serialize_element(count)?;
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples(values_ns: &[u64]) -> Sparse {
        let mut histogram = crate::histogram::new();
        for ns in values_ns {
            histogram.saturating_record(*ns);
        }
        Sparse::from(&histogram)
    }

    fn grid(seconds: impl IntoIterator<Item = (u64, Vec<u64>)>) -> HeatGrid {
        let mut grid = HeatGrid::default();
        for (second, values) in seconds {
            grid.add(second, &samples(&values), &Sparse::default());
        }
        grid
    }

    #[test]
    fn a_sample_is_in_the_band_between_whose_edges_it_lies() {
        let grid = grid([(3, vec![1_100_000, 1_500_000, 7_000_000]), (5, vec![1])]);
        let map = grid.map(HeatOf::Response, 300);
        assert_eq!((map.span_s, map.samples), (1, 4));
        let third = &map.columns[0];
        assert_eq!((third.second, third.counts.iter().sum::<u64>()), (3, 3));
        let band = |at: usize| {
            let band = third.first_band + at;
            (map.edges_ms[band], map.edges_ms[band + 1])
        };
        assert_eq!((band(0), third.counts[0]), ((1.0, 1.25), 1));
        assert_eq!((band(1), third.counts[1]), ((1.25, 1.6), 1));
        assert_eq!(band(third.counts.len() - 1), (6.3, 8.0));
        let fifth = &map.columns[1];
        assert_eq!((fifth.second, fifth.first_band), (5, 0), "below 1 µs");
        assert_eq!(map.edges_ms[..1], [0.001]);
        let json = serde_json::to_value(fifth).unwrap();
        assert_eq!(json, serde_json::json!([5, 0, 1]));
        assert_eq!(grid.map(HeatOf::Service, 300).columns, []);
    }

    #[test]
    fn a_week_takes_no_more_room_than_an_hour_and_loses_no_sample() {
        const WEEK: u64 = 7 * 86_400;
        let (one, none) = (samples(&[2_000_000]), Sparse::default());
        let mut grid = HeatGrid::default();
        for second in 0..WEEK {
            grid.add(second, &one, &none);
        }
        assert!(grid.columns.len() <= COLUMNS_MAX);
        let map = grid.map(HeatOf::Response, 300);
        assert!((150..=300).contains(&map.columns.len()));
        assert_eq!(map.samples, WEEK);
        let last = map.columns.last().unwrap().second;
        assert!(last < WEEK && last + map.span_s >= WEEK);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_map_has_every_sample_within_its_bounds(
            seconds in prop::collection::vec(
                (prop_oneof![0..2_000_u64, 0..=u64::MAX], prop::collection::vec(1..HIGHEST_NS, 0..9)),
                0..50,
            ),
            columns in 0..400_usize,
        ) {
            let wanted: usize = seconds.iter().map(|(_, values)| values.len()).sum();
            let map = grid(seconds).map(HeatOf::Response, columns);
            prop_assert!(map.columns.len() <= columns.clamp(1, HEAT_COLUMNS_MAX));
            prop_assert!(map.edges_ms.len() <= HEAT_BANDS_MAX + 1);
            prop_assert!(map.edges_ms.is_sorted());
            let told: u64 = map.columns.iter().flat_map(|column| &column.counts).sum();
            prop_assert_eq!((told, map.samples), (wanted as u64, wanted as u64));
            for column in &map.columns {
                prop_assert!(column.first_band + column.counts.len() < map.edges_ms.len());
            }
        }

        #[test]
        fn the_order_in_which_samples_come_changes_nothing(
            seconds in prop::collection::vec((0..3_000_u64, 1..HIGHEST_NS), 0..900),
        ) {
            let one = |(second, value): &(u64, u64)| (*second, vec![*value]);
            let there = grid(seconds.iter().map(one));
            let back = grid(seconds.iter().rev().map(one));
            prop_assert_eq!(there.map(HeatOf::Response, 300), back.map(HeatOf::Response, 300));
        }
    }
}
