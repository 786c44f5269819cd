//! A range of a partition as a merger published it, ready to be counted.

use std::collections::BTreeSet;

use proto::codec::{self, DecodeError};
use proto::histogram::{HistogramError, SparseLatencies};
use proto::measure::Report;
use proto::message::{Merged, MergedPart, MergedReport, Metrics, Skipped, WIRE_VERSION};
use serde::Deserialize;
use thiserror::Error;

/// Messages that a merger may be behind though its ranges are short.
const NEAR: i64 = 64;

/// What a merger wrote cannot be counted; its partition is read itself.
#[derive(Debug, Error)]
pub enum RangeError {
    /// It is no such message.
    #[error(transparent)]
    Message(#[from] DecodeError),
    /// Its samples do not read.
    #[error(transparent)]
    Samples(#[from] HistogramError),
    /// Its offsets make no sense.
    #[error(
        "offsets {from} to {to} of partition {partition}, which ends at {end}, are no range: they rise \
         from 0 on, and all that it holds lies between them"
    )]
    Bounds {
        /// The partition.
        partition: i32,
        /// The first offset.
        from: i64,
        /// The one after the last.
        to: i64,
        /// The end of the partition.
        end: i64,
    },
    /// Reports are not of the test and the second that they are merged under, or these come twice.
    #[error("second {second} of test {test_id:?} is not what its reports are of, or comes twice")]
    Part {
        /// The test.
        test_id: String,
        /// The second.
        second: u64,
    },
    /// Nobody can be called that.
    #[error("{0:?} is no merger's id: it is empty, too long, or has control characters")]
    Id(String),
}

/// What a merger says of a partition of `metrics`.
#[derive(Debug, Clone, PartialEq)]
pub struct MergedRange {
    /// Who merged.
    pub merger_id: String,
    /// Which process of that id it is.
    pub incarnation: u64,
    /// Which version of the wire it speaks; what others say has no content here.
    pub wire: u64,
    /// The partition.
    pub partition: i32,
    /// The first offset of the range.
    pub from: i64,
    /// The offset after its last.
    pub to: i64,
    /// The end of the partition when this was written.
    pub end: i64,
    /// Its interval reports, merged.
    pub parts: Vec<RangePart>,
    /// What was not merged, in the order of its offsets.
    pub untouched: Vec<UntouchedReport>,
    /// What cannot be read.
    pub skipped: Vec<Skipped>,
    /// Its length on the wire, bytes.
    pub len: usize,
}

/// Interval reports of one second of one test.
#[derive(Debug, Clone, PartialEq)]
pub struct RangePart {
    /// The reports.
    pub part: MergedPart,
    /// Their samples.
    pub latencies: SparseLatencies,
    /// The part as it is stored.
    pub payload: Vec<u8>,
}

/// A message that was not merged.
#[derive(Debug, Clone, PartialEq)]
pub struct UntouchedReport {
    /// Its offset.
    pub offset: i64,
    /// The message, with its bytes; or why it does not decode.
    pub message: Result<(Box<Metrics>, Vec<u8>), String>,
}

/// What all versions of the message are taken to have.
#[derive(Deserialize)]
struct Head {
    merger_id: String,
    #[serde(default)]
    incarnation: u64,
    wire: u64,
    #[serde(default)]
    partition: i32,
}

impl MergedRange {
    /// Reads a message of the topic `merged`.
    ///
    /// # Errors
    /// What of it does not read, or makes no sense.
    pub fn decode(payload: &[u8]) -> Result<Self, RangeError> {
        let merged = codec::decode::<Merged>(&mut payload.to_vec());
        let range = match merged {
            Ok(merged) if merged.wire == WIRE_VERSION => Self::read(merged, payload.len())?,
            merged => {
                let head: Head = codec::decode(&mut payload.to_vec())?;
                if head.wire == WIRE_VERSION {
                    Self::read(merged?, payload.len())?
                } else {
                    Self::of_another_version(head)
                }
            }
        };
        if !proto::id::is_acceptable(&range.merger_id) {
            return Err(RangeError::Id(range.merger_id.chars().take(64).collect()));
        }
        Ok(range)
    }

    fn of_another_version(head: Head) -> Self {
        Self {
            merger_id: head.merger_id,
            incarnation: head.incarnation,
            wire: head.wire,
            partition: head.partition,
            from: 0,
            to: 0,
            end: 0,
            parts: Vec::new(),
            untouched: Vec::new(),
            skipped: Vec::new(),
            len: 0,
        }
    }

    fn read(merged: Merged, len: usize) -> Result<Self, RangeError> {
        let Merged {
            partition,
            from,
            to,
            end,
            ..
        } = merged;
        let within = |offset: i64| (from..to).contains(&offset);
        let of_skipped = |skipped: &Skipped| {
            let after = skipped.offset.saturating_add_unsigned(skipped.count);
            within(skipped.offset) && after <= to
        };
        let are_within = merged.untouched.iter().all(|one| within(one.offset))
            && merged.skipped.iter().all(of_skipped);
        if partition < 0 || from < 0 || to < from || end < to || !are_within {
            return Err(RangeError::Bounds {
                partition,
                from,
                to,
                end,
            });
        }
        check_parts(&merged.parts)?;
        let parts: Result<Vec<RangePart>, HistogramError> =
            merged.parts.into_iter().map(RangePart::read).collect();
        let untouched = merged.untouched.into_iter().map(|untouched| {
            let bytes = untouched.payload.into_bytes();
            let message = codec::decode(&mut bytes.clone());
            UntouchedReport {
                offset: untouched.offset,
                message: message
                    .map(|message| (Box::new(message), bytes))
                    .map_err(|error: DecodeError| error.to_string()),
            }
        });
        Ok(Self {
            untouched: untouched.collect(),
            merger_id: merged.merger_id,
            incarnation: merged.incarnation,
            wire: merged.wire,
            partition,
            from,
            to,
            end,
            parts: parts?,
            skipped: merged.skipped,
            len,
        })
    }

    /// Whether its merger is about where a partition is that was counted up to `pos`: it has read beyond
    /// that, or to its partition's end but for what came while it was at work; and the partition does not
    /// end long before that, as one of another log does.
    pub(super) fn is_about(&self, pos: i64) -> bool {
        let length = self.to.saturating_sub(self.from);
        let near = length.saturating_mul(2).saturating_add(NEAR);
        let is_near_end = self.end.saturating_sub(self.to) <= near;
        (self.to >= pos || is_near_end) && pos.saturating_sub(self.end) <= near
    }
}

/// Each part is what its test and second say, once in its range, and can be stored.
fn check_parts(parts: &[MergedPart]) -> Result<(), RangeError> {
    let mut seen = BTreeSet::new();
    for part in parts {
        let is_its = |report: &MergedReport| {
            let inner = report.0.report.as_ref();
            let is_bare = |inner: &Report| inner.latencies == SparseLatencies::default();
            report.0.test_id == part.test_id
                && inner.is_some_and(|inner| inner.second() == part.second && is_bare(inner))
        };
        let is_storable = i64::try_from(part.second).is_ok();
        let is_new = seen.insert((&part.test_id, part.second));
        if !is_storable || !is_new || !part.reports.iter().all(is_its) {
            return Err(RangeError::Part {
                test_id: part.test_id.clone(),
                second: part.second,
            });
        }
    }
    Ok(())
}

impl RangePart {
    fn read(part: MergedPart) -> Result<Self, HistogramError> {
        Ok(Self {
            latencies: SparseLatencies::try_from(&part.latencies)?,
            payload: codec::encode(&part),
            part,
        })
    }

    /// A part as it was stored.
    ///
    /// # Errors
    /// What of it does not read.
    pub fn decode(payload: Vec<u8>) -> Result<Self, RangeError> {
        let part: MergedPart = codec::decode(&mut payload.clone())?;
        Ok(Self {
            latencies: SparseLatencies::try_from(&part.latencies)?,
            part,
            payload,
        })
    }
}
