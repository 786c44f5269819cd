//! A complete run in little room: what every driver reported each second becomes one merged set of
//! histograms a second, one short row a second of each driver, and what the steps of its document
//! counted by time. Pure: reports in, pieces out.
//!
//! Nothing that is exported changes by it. Histograms add, so the interval log is the same to the
//! byte; the last reports, from which the result was merged, and what does not read stay verbatim.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use proto::histogram::{HistogramError, LatenciesWire, SparseLatencies};
use proto::measure::{IntervalFigures, Report, SecondRow};
use proto::message::{MergedPart, MergedReport};
use proto::summary::{StepFold, StepGrid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Merged seconds that wait for reports of slower drivers.
const SECONDS_OPEN_MAX: usize = 180;
/// Seconds in one piece.
const SECONDS_A_PIECE: usize = 60;
/// Rows of one driver in one piece.
const ROWS_A_PIECE: usize = 600;
/// A piece of more bytes than this, inflated, was not written by us.
const INFLATED_LEN_MAX: u64 = 256 << 20;

/// A part of a compact run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Merged histograms of some seconds.
    Seconds {
        /// Its number among them.
        part: u32,
        /// Deflated.
        payload: Vec<u8>,
    },
    /// Rows of a driver.
    Node {
        /// The driver.
        node_id: String,
        /// Its number among the driver's.
        part: u32,
        /// Deflated.
        payload: Vec<u8>,
    },
    /// What the steps counted by time.
    Steps {
        /// Deflated.
        payload: Vec<u8>,
    },
}

/// The samples of one second over all drivers. A second may be in several pieces, which add.
#[derive(Debug, Serialize, Deserialize)]
struct MergedSecond {
    second: u64,
    latencies: LatenciesWire,
}

/// One second of one driver: its counts, and what its samples came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSecond {
    /// The counts.
    #[serde(flatten)]
    pub counts: SecondRow,
    /// The figures.
    #[serde(flatten)]
    pub figures: IntervalFigures,
}

/// The rows of a driver's interval report: one for each of its seconds, with the figures of its
/// samples in that in which these are counted.
pub(super) fn node_seconds(report: &Report, figures: IntervalFigures) -> Vec<NodeSecond> {
    let at = report.second();
    let row = |counts: &SecondRow| NodeSecond {
        counts: *counts,
        ..NodeSecond::default()
    };
    let mut rows: Vec<NodeSecond> = report.seconds.iter().map(row).collect();
    if !rows.iter().any(|row| row.counts.second == at) {
        rows.push(row(&SecondRow {
            second: at,
            ..SecondRow::default()
        }));
    }
    for row in rows.iter_mut().filter(|row| row.counts.second == at) {
        row.figures = figures;
    }
    rows
}

/// The rows of each report of a part.
pub(super) fn part_seconds(
    part: &MergedPart,
) -> impl Iterator<Item = (&str, Vec<NodeSecond>)> + use<'_> {
    part.reports
        .iter()
        .filter_map(|MergedReport(message, figures)| {
            let rows = node_seconds(message.report.as_ref()?, *figures);
            Some((message.node_id.as_str(), rows))
        })
}

/// The seconds and rows that wait for their pieces.
#[derive(Debug, Default)]
pub(super) struct Compactor {
    seconds: BTreeMap<u64, SparseLatencies>,
    seconds_part: u32,
    nodes: BTreeMap<String, NodePart>,
    steps: StepFold,
}

#[derive(Debug, Default)]
struct NodePart {
    rows: Vec<NodeSecond>,
    part: u32,
}

impl Compactor {
    /// Takes an interval report; they come in about the order of their seconds. What is full is
    /// added to `pieces`.
    pub(super) fn add(&mut self, node_id: &str, report: &Report, pieces: &mut Vec<Piece>) {
        self.add_samples(report.second(), &report.latencies, pieces);
        self.steps.absorb(node_id, report);
        let figures = IntervalFigures::from(&report.latencies);
        self.add_rows(node_id, node_seconds(report, figures), pieces);
    }

    /// Takes reports that came merged, about in their order too.
    pub(super) fn add_part(
        &mut self,
        part: &MergedPart,
        latencies: &SparseLatencies,
        pieces: &mut Vec<Piece>,
    ) {
        self.add_samples(part.second, latencies, pieces);
        self.steps.absorb_part(part);
        for (node_id, rows) in part_seconds(part) {
            self.add_rows(node_id, rows, pieces);
        }
    }

    /// Takes a last report, which is kept verbatim, for what it tells of the driver's steps.
    pub(super) fn end(&mut self, node_id: &str, report: &Report) {
        self.steps.absorb(node_id, report);
    }

    fn add_samples(&mut self, second: u64, latencies: &SparseLatencies, pieces: &mut Vec<Piece>) {
        self.seconds.entry(second).or_default().add(latencies);
        if self.seconds.len() >= SECONDS_OPEN_MAX + SECONDS_A_PIECE {
            self.close_seconds(SECONDS_A_PIECE, pieces);
        }
    }

    fn add_rows(&mut self, node_id: &str, rows: Vec<NodeSecond>, pieces: &mut Vec<Piece>) {
        let node = self.nodes.entry(node_id.to_owned()).or_default();
        node.rows.extend(rows);
        if node.rows.len() >= ROWS_A_PIECE {
            pieces.push(node.close(node_id));
        }
    }

    /// What is left.
    pub(super) fn finish(mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while !self.seconds.is_empty() {
            self.close_seconds(SECONDS_A_PIECE, &mut pieces);
        }
        for (node_id, node) in &mut self.nodes {
            if !node.rows.is_empty() {
                pieces.push(node.close(node_id));
            }
        }
        if !self.steps.grid().is_empty() {
            let payload = deflated(self.steps.grid());
            pieces.push(Piece::Steps { payload });
        }
        pieces
    }

    fn close_seconds(&mut self, most: usize, pieces: &mut Vec<Piece>) {
        let oldest = std::iter::from_fn(|| self.seconds.pop_first()).take(most);
        let merged = oldest.map(|(second, latencies)| MergedSecond {
            second,
            latencies: LatenciesWire::from(&latencies),
        });
        let merged: Vec<MergedSecond> = merged.collect();
        let part = self.seconds_part;
        self.seconds_part += 1;
        let payload = deflated(&merged);
        pieces.push(Piece::Seconds { part, payload });
    }
}

impl NodePart {
    fn close(&mut self, node_id: &str) -> Piece {
        let part = self.part;
        self.part += 1;
        Piece::Node {
            node_id: node_id.to_owned(),
            part,
            payload: deflated(&std::mem::take(&mut self.rows)),
        }
    }
}

/// What a piece of merged seconds holds.
///
/// # Errors
/// What does not read of it.
pub(super) fn read_seconds(
    payload: &[u8],
) -> Result<impl Iterator<Item = Result<(u64, SparseLatencies), HistogramError>>, String> {
    let merged: Vec<MergedSecond> = inflated(payload)?;
    let read = |merged: MergedSecond| {
        SparseLatencies::try_from(&merged.latencies).map(|latencies| (merged.second, latencies))
    };
    Ok(merged.into_iter().map(read))
}

/// What a piece of a driver's rows holds.
///
/// # Errors
/// What does not read of it.
pub(super) fn read_rows(payload: &[u8]) -> Result<Vec<NodeSecond>, String> {
    inflated(payload)
}

/// What the piece of a run's steps holds.
///
/// # Errors
/// What does not read of it.
pub(super) fn read_steps(payload: &[u8]) -> Result<StepGrid, String> {
    inflated(payload)
}

fn deflated<T: Serialize>(value: &T) -> Vec<u8> {
    let json = serde_json::to_vec(value).expect("invariant: pieces have text keys");
    deflate(&json)
}

fn inflated<T: DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    serde_json::from_slice(&inflate(payload)?).map_err(|error| error.to_string())
}

/// Bytes in less room.
pub(super) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("invariant: writing to a Vec cannot fail")
}

/// What [`deflate`] was given.
///
/// # Errors
/// What does not read of it.
pub(super) fn inflate(payload: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut decoder = ZlibDecoder::new(payload).take(INFLATED_LEN_MAX);
    let read = decoder.read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::histogram::Latencies;

    use super::*;

    fn report(second: u64, samples_us: &[u64]) -> Report {
        let mut latencies = Latencies::new();
        for us in samples_us {
            latencies.response.saturating_record(us * 1000);
            latencies.service.saturating_record(us * 900);
        }
        let counts = SecondRow {
            second,
            sent: samples_us.len() as u64,
            ..SecondRow::default()
        };
        Report {
            sequence: second,
            sequence_first: second,
            seconds: vec![counts],
            latencies: SparseLatencies::from(&latencies),
            ..Report::default()
        }
    }

    fn seconds_of(pieces: &[Piece]) -> BTreeMap<u64, SparseLatencies> {
        let mut all: BTreeMap<u64, SparseLatencies> = BTreeMap::new();
        for piece in pieces {
            if let Piece::Seconds { payload, .. } = piece {
                for merged in read_seconds(payload).unwrap() {
                    let (second, latencies) = merged.unwrap();
                    all.entry(second).or_default().add(&latencies);
                }
            }
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn merged_seconds_are_the_sum_of_what_was_reported_in_any_order(
            reports in prop::collection::vec((0..900_u64, prop::collection::vec(1..100_000_u64, 0..4)), 0..400),
        ) {
            let (mut compactor, mut pieces) = (Compactor::default(), Vec::new());
            let mut expected: BTreeMap<u64, SparseLatencies> = BTreeMap::new();
            for (second, samples) in &reports {
                let report = report(*second, samples);
                expected.entry(*second).or_default().add(&report.latencies);
                compactor.add("a", &report, &mut pieces);
            }
            pieces.extend(compactor.finish());
            prop_assert_eq!(seconds_of(&pieces), expected);
        }
    }

    #[test]
    fn a_row_a_second_and_driver_takes_a_hundred_bytes_at_most() {
        let (mut compactor, mut pieces) = (Compactor::default(), Vec::new());
        let mut rng = fastrand::Rng::with_seed(7);
        for second in 0..120 {
            let samples: Vec<u64> = (0..300).map(|_| rng.u64(50..90_000)).collect();
            let mut report = report(second, &samples);
            let row = &mut report.seconds[0];
            row.offered = rng.u64(40_000..60_000);
            row.completed = rng.u64(40_000..60_000);
            row.ok = rng.u64(40_000..60_000);
            row.in_flight = Some(rng.u64(0..256));
            row.bytes_sent = Some(row.ok * 160);
            row.bytes_received = Some(row.ok * 1200);
            compactor.add("a", &report, &mut pieces);
        }
        pieces.extend(compactor.finish());
        let rows = pieces.iter().find_map(|piece| match piece {
            Piece::Node { payload, .. } => Some(payload),
            Piece::Seconds { .. } | Piece::Steps { .. } => None,
        });
        let rows = rows.unwrap();
        assert!(rows.len() <= 120 * 100, "{} bytes", rows.len());
        let read = read_rows(rows).unwrap();
        assert_eq!(read.len(), 120);
        let figures = read[7].figures;
        assert!(figures.p50_ns < figures.p99_ns && figures.p99_ns < figures.max_ns);
    }

    #[test]
    fn a_report_of_several_seconds_gives_each_its_counts_and_the_last_its_figures() {
        let mut both = report(4, &[10]);
        both.append(&report(5, &[30]));
        let rows = node_seconds(&both, IntervalFigures::from(&both.latencies));
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].counts.sent, rows[0].figures.max_ns), (1, None));
        assert!(rows[1].figures.max_ns.unwrap() >= 30_000);
    }
}
