//! What a merger read of `metrics`, as it goes over the wire.

use serde::{Deserialize, Serialize};

use super::Metrics;
use crate::histogram::LatenciesWire;
use crate::measure::IntervalFigures;

/// `merged`: what a merger read of a range of one partition of `metrics`, several times a second while
/// something comes, and once a second where nothing does: that is how a merger says that it lives, and
/// reaches the partition.
///
/// It says the same as the messages of the range, in less room and for less work. The reader holds
/// it to that: a range counts where it begins at the offset up to which the partition was counted,
/// and none of its reports was counted before, also not in this range, where a report that came twice
/// is in one part twice, or in two; whatever else comes, a merger that woke up late, a
/// duplicate, a test that is not known, is read from the partition itself. So a merger keeps
/// nothing, and may end at any instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Merged {
    /// Who merged.
    pub merger_id: String,
    /// Which process of that id it is.
    pub incarnation: u64,
    /// Which [`WIRE_VERSION`](super::WIRE_VERSION) it speaks; what others say is not counted.
    pub wire: u64,
    /// The partition of `metrics`, from 0.
    pub partition: i32,
    /// The first offset of the range.
    pub from: i64,
    /// The offset after its last; [`Self::from`] where nothing came.
    pub to: i64,
    /// The end of the partition when this was written: what lies between it and [`Self::to`] is the
    /// merger's lag.
    pub end: i64,
    /// The interval reports of the range, merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<MergedPart>,
    /// What cannot be merged: last reports, and those of other implementations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untouched: Vec<Untouched>,
    /// What cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// The interval reports of one second of one test, merged: their samples in one set of histograms,
/// all else as they said it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergedPart {
    /// The test.
    pub test_id: String,
    /// The second of the run that the samples are counted in: the last one that each of the reports
    /// covers.
    pub second: u64,
    /// The reports in the order of their offsets, without their histograms.
    pub reports: Vec<MergedReport>,
    /// The samples of all of them.
    #[serde(flatten)]
    pub latencies: LatenciesWire,
}

/// An interval report without its histograms, and what they came to. On the wire a list of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergedReport(pub Metrics, pub IntervalFigures);

/// A message as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untouched {
    /// Its offset.
    pub offset: i64,
    /// The message.
    pub payload: String,
}

/// Messages that cannot be read, and are counted as such.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The offset of the first.
    pub offset: i64,
    /// How many.
    pub count: u64,
    /// Why.
    pub error: String,
}
