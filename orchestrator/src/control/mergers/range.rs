//! A range of a partition as a merger published it, ready to be counted.

use proto::codec::{self, DecodeError};
use proto::histogram::{HistogramError, SparseLatencies};
use proto::message::{Merged, MergedPart, Metrics, Skipped, WIRE_VERSION};
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
    #[error("offsets {from} to {to} of partition {partition} are no range: both rise, from 0 on")]
    Bounds {
        /// The partition.
        partition: i32,
        /// The first offset.
        from: i64,
        /// The one after the last.
        to: i64,
    },
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
        match merged {
            Ok(merged) if merged.wire == WIRE_VERSION => Self::read(merged, payload.len()),
            merged => {
                let head: Head = codec::decode(&mut payload.to_vec())?;
                if head.wire != WIRE_VERSION {
                    return Ok(Self::of_another_version(head));
                }
                Self::read(merged?, payload.len())
            }
        }
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
        if partition < 0 || from < 0 || to < from {
            return Err(RangeError::Bounds {
                partition,
                from,
                to,
            });
        }
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

    /// Whether its merger has about read its partition to the end: what is left is what came while it
    /// was at work.
    pub(super) fn is_near_end(&self) -> bool {
        self.end - self.to <= 2 * (self.to - self.from) + NEAR
    }
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
