//! The work of a merger, without its input and output: a range of one partition of `metrics` in, one
//! [`Merged`] out that says the same in less room. Nothing is kept from one range to the next.

use std::collections::BTreeMap;

use crate::codec;
use crate::histogram::{LatenciesWire, SparseLatencies};
use crate::measure::IntervalFigures;
use crate::message::{Merged, MergedPart, MergedReport, Metrics, Skipped, Untouched, WIRE_VERSION};

/// Length that a [`Merged`] is meant to have at most, in bytes: half of what brokers take unless they
/// are told otherwise.
pub const LEN_WANTED: usize = 512 << 10;
/// Most that it may have, in bytes: what the client library takes, less what it adds.
pub const LEN_MAX: usize = 900_000;
/// What brackets, names and numbers take around a message or a part, in bytes, and more.
const FRAME_LEN: usize = 256;
/// Most that the merged histograms of a second are expected to take, in bytes.
const SAMPLES_LEN_MAX: usize = 64 << 10;
/// Longest reason for which a message is skipped, in characters.
const ERROR_CHARS_MAX: usize = 200;

const _: () = assert!(LEN_WANTED < LEN_MAX && LEN_MAX < codec::MESSAGE_LEN_MAX);

/// Who merges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merger {
    /// Its id, which no other merger has.
    pub id: String,
    /// Which process of that id it is.
    pub incarnation: u64,
}

/// A message of `metrics`, read. That is most of the work, and the messages of a range can be read by
/// as many threads as there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    offset: i64,
    next: i64,
    said: Said,
    /// What it takes in a [`Merged`], in bytes, without what is merged of it.
    len: usize,
    /// What its histograms took, in bytes.
    samples_len: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Said {
    /// An interval report.
    Interval(Box<Interval>),
    /// What goes along as it is.
    Untouched(String),
    /// What cannot be read, and why.
    Skipped(String),
}

#[derive(Debug, Clone, PartialEq)]
struct Interval {
    second: u64,
    report: MergedReport,
    latencies: SparseLatencies,
}

impl Read {
    /// Reads a message.
    #[must_use]
    pub fn message(offset: i64, payload: Vec<u8>) -> Self {
        let payload_len = payload.len();
        let said = said(payload);
        let len = match &said {
            Said::Interval(interval) => codec::encode(&interval.report).len(),
            Said::Untouched(text) | Said::Skipped(text) => codec::encode(text).len(),
        };
        let samples_len = match &said {
            Said::Interval(_) => payload_len.saturating_sub(len),
            Said::Untouched(_) | Said::Skipped(_) => 0,
        };
        Self {
            offset,
            next: offset + 1,
            said,
            len: len + FRAME_LEN,
            samples_len,
        }
    }

    /// Its place in the partition; of several, the first one's.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Messages from `first` to before `next` that the broker has and nobody can read.
    #[must_use]
    pub fn gap(first: i64, next: i64, reason: &str) -> Self {
        let error = shortened(reason);
        Self {
            offset: first,
            next,
            len: codec::encode(&error).len() + FRAME_LEN,
            said: Said::Skipped(error),
            samples_len: 0,
        }
    }
}

fn said(payload: Vec<u8>) -> Said {
    // The parser uses the bytes up.
    let metrics: Metrics = match codec::decode(&mut payload.clone()) {
        Ok(metrics) => metrics,
        Err(error) => return Said::Skipped(shortened(&error.to_string())),
    };
    match interval(metrics) {
        Some(interval) => Said::Interval(Box::new(interval)),
        None => match String::from_utf8(payload) {
            Ok(payload) => Said::Untouched(payload),
            Err(error) => Said::Skipped(shortened(&error.to_string())),
        },
    }
}

/// The message as an interval report of ours, if it is one.
fn interval(mut metrics: Metrics) -> Option<Interval> {
    let report = metrics.report.as_mut().filter(|report| !report.last)?;
    let second = report.second();
    let latencies = std::mem::take(&mut report.latencies);
    let figures = IntervalFigures::from(&latencies);
    Some(Interval {
        second,
        report: MergedReport(metrics, figures),
        latencies,
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(ERROR_CHARS_MAX).collect()
}

/// What was read of a partition so far, from one offset on.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    from: i64,
    to: i64,
    reads: Vec<Read>,
    len: usize,
    /// What the histograms of a second took so far, in bytes.
    samples_len: BTreeMap<u64, usize>,
}

/// A range as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Its first offset.
    pub from: i64,
    /// The offset after its last.
    pub to: i64,
    /// The [`Merged`]. `None` for a single message that leaves no room for anything around it: nobody
    /// publishes that, and who reads the ranges finds it missing and reads it where it is.
    pub payload: Option<Vec<u8>>,
}

impl Range {
    /// One that has nothing yet and begins at this offset.
    #[must_use]
    pub fn starting_at(from: i64) -> Self {
        Self {
            from,
            to: from,
            reads: Vec::new(),
            len: FRAME_LEN,
            samples_len: BTreeMap::new(),
        }
    }

    /// Adds what the partition has next.
    ///
    /// # Panics
    /// When it stands before what the range has already: a partition is read in its order.
    pub fn add(&mut self, read: Read) {
        assert!(
            read.offset >= self.to,
            "offset {} comes after {}",
            read.offset,
            self.to
        );
        self.to = read.next;
        self.len += read.len;
        if let Said::Interval(interval) = &read.said {
            *self.samples_len.entry(interval.second).or_default() += read.samples_len;
        }
        self.reads.push(read);
    }

    /// The offset that comes after it.
    #[must_use]
    pub fn to(&self) -> i64 {
        self.to
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reads.is_empty()
    }

    /// About how long its message will be, in bytes.
    #[must_use]
    pub fn expected_len(&self) -> usize {
        let samples = self.samples_len.values();
        let samples = samples.map(|len| FRAME_LEN + (*len).min(SAMPLES_LEN_MAX));
        self.len + samples.sum::<usize>()
    }

    /// What it says; `end` is where the partition ends.
    #[must_use]
    pub fn merged(&self, merger: &Merger, partition: i32, end: i64) -> Merged {
        let whole = (self.from, self.to);
        merged(merger, partition, end.max(self.to), whole, &self.reads)
    }

    /// The same as it goes over the wire, in as many pieces as are needed for none to be longer than
    /// `len_max` bytes, without a gap between them.
    #[must_use]
    pub fn encoded(
        &self,
        merger: &Merger,
        partition: i32,
        end: i64,
        len_max: usize,
    ) -> Vec<Encoded> {
        let end = end.max(self.to);
        let encode = |whole, reads: &[Read]| {
            let payload = codec::encode(&merged(merger, partition, end, whole, reads));
            (payload.len() <= len_max).then_some(payload)
        };
        let mut pieces = Vec::new();
        let mut left = vec![((self.from, self.to), self.reads.as_slice())];
        while let Some(((from, to), reads)) = left.pop() {
            let payload = encode((from, to), reads);
            if payload.is_some() || reads.len() < 2 {
                pieces.push(Encoded { from, to, payload });
                continue;
            }
            let (first, second) = reads.split_at(reads.len() / 2);
            let between = second[0].offset;
            left.push(((between, to), second));
            left.push(((from, between), first));
        }
        pieces
    }
}

fn merged(
    merger: &Merger,
    partition: i32,
    end: i64,
    (from, to): (i64, i64),
    reads: &[Read],
) -> Merged {
    let mut parts: BTreeMap<(&str, u64), Vec<&Interval>> = BTreeMap::new();
    let (mut untouched, mut skipped) = (Vec::new(), Vec::new());
    for read in reads {
        match &read.said {
            Said::Interval(interval) => {
                let place = (interval.report.0.test_id.as_str(), interval.second);
                parts.entry(place).or_default().push(interval);
            }
            Said::Untouched(payload) => untouched.push(Untouched {
                offset: read.offset,
                payload: payload.clone(),
            }),
            Said::Skipped(error) => skip(&mut skipped, read, error),
        }
    }
    Merged {
        merger_id: merger.id.clone(),
        incarnation: merger.incarnation,
        wire: WIRE_VERSION,
        partition,
        from,
        to,
        end,
        parts: parts.into_iter().map(part).collect(),
        untouched,
        skipped,
    }
}

fn part(((test_id, second), intervals): ((&str, u64), Vec<&Interval>)) -> MergedPart {
    let latencies: Vec<&SparseLatencies> = intervals.iter().map(|it| &it.latencies).collect();
    MergedPart {
        test_id: test_id.to_owned(),
        second,
        latencies: LatenciesWire::from(&SparseLatencies::sum(&latencies)),
        reports: intervals.iter().map(|it| it.report.clone()).collect(),
    }
}

/// Counts messages that follow each other and cannot be read for the same reason together.
fn skip(skipped: &mut Vec<Skipped>, read: &Read, error: &str) {
    let count = u64::try_from(read.next - read.offset).unwrap_or(0);
    let follows = |last: &&mut Skipped| {
        let next = last.offset.saturating_add_unsigned(last.count);
        next == read.offset && last.error == error
    };
    match skipped.last_mut().filter(follows) {
        Some(last) => last.count += count,
        None => skipped.push(Skipped {
            offset: read.offset,
            count,
            error: error.to_owned(),
        }),
    }
}
