//! The latency histograms: one shape everywhere, so that they merge by adding.
//!
//! Values are integer nanoseconds from 1 ns to 1 hour with 3 significant digits. On the wire they
//! are `HdrHistogram` V2-deflate in base64, which the implementations of other languages read.
//! Percentiles are never merged: histograms are, per core to per node to per test.

use std::cell::RefCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use libdeflater::{DecompressionError, Decompressor};
use thiserror::Error;

mod bucket;
pub mod interval;
mod latencies;
mod moments;
mod payload;
mod sparse;
mod v2_write;

use bucket::Bucket;
pub use latencies::{Latencies, LatenciesWire, OnDemand, SparseLatencies};
pub use sparse::Sparse;
pub use v2_write::encode_sparse;

/// Smallest value that is told apart, ns.
pub const LOWEST_NS: u64 = 1;
/// Largest value, ns; larger ones are clamped to it and counted.
pub const HIGHEST_NS: u64 = 3_600_000_000_000;
/// Significant decimal digits that a bucket keeps.
pub const SIGNIFICANT_DIGITS: u8 = 3;

/// Largest encoded histogram that is inflated, in bytes of V2 payload. A full one of ours has
/// about 34 000 buckets of at most 9 bytes.
const INFLATED_LEN_MAX: usize = 1 << 20;
/// Most samples of one histogram on the wire: ten million a second for most of a year. Counts that
/// are sums of these stay below the 2^63 that the format can write.
const SAMPLES_MAX: u64 = Bucket::COUNT_MAX;
const V2_HEADER_LEN: usize = 40;
const COMPRESSED_HEADER_LEN: usize = 8;
const V2_COMPRESSED_COOKIE: u32 = 0x1c84_9314;

/// What reading a histogram takes on the way. A report has several, and an orchestrator reads
/// thousands a second: to make this anew for each would take longer than to fill it.
struct Room {
    decompressor: Decompressor,
    deflated: Vec<u8>,
    inflated: Vec<u8>,
    buckets: Vec<Bucket>,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::new(Room {
        decompressor: Decompressor::new(),
        deflated: Vec::new(),
        inflated: Vec::new(),
        buckets: Vec::new(),
    });
}

/// An encoded histogram that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HistogramError {
    /// Not base64.
    #[error("a histogram is not base64: {0}")]
    Base64(String),
    /// Not V2-deflate, truncated, or too large.
    #[error("a histogram is not HdrHistogram V2-deflate: {0}")]
    Format(String),
    /// Of more samples than a run can have.
    #[error("a histogram counts {0} samples; at most {SAMPLES_MAX} are believed")]
    Samples(u64),
    /// Of bounds or digits that ours cannot take.
    #[error(
        "a histogram counts {low} to {high} with {digits} digits; at most {SIGNIFICANT_DIGITS} digits up to {HIGHEST_NS} are merged"
    )]
    Shape {
        /// Its smallest value.
        low: u64,
        /// Its largest value.
        high: u64,
        /// Its significant digits.
        digits: u64,
    },
}

/// An empty histogram of our shape (about 270 KB).
#[must_use]
pub fn new() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, SIGNIFICANT_DIGITS)
        .expect("invariant: the constant bounds are valid")
}

/// Reads what [`encode_sparse`] or another implementation of V2-deflate wrote.
///
/// # Errors
/// [`HistogramError`] when the text is not such a histogram, or one that would take more memory
/// than ours do. Hostile bytes never panic and never allocate more than a few MiB.
pub fn decode(text: &str) -> Result<Histogram<u64>, HistogramError> {
    ROOM.with_borrow_mut(|room| deserialize(room.inflate(text)?))
}

/// As [`decode`], as its non-empty buckets.
///
/// # Errors
/// As [`decode`].
pub fn decode_sparse(text: &str) -> Result<Sparse, HistogramError> {
    let (samples, count) = ROOM.with_borrow_mut(|room| {
        let len = room.inflate(text)?.len();
        let inflated = &room.inflated[..len];
        if payload::is_ours(inflated) {
            let (buckets, count) = payload::buckets(inflated, &mut room.buckets)?;
            return Ok((Sparse::of_buckets(buckets), count));
        }
        let histogram = deserialize(inflated)?;
        Ok((Sparse::from(&histogram), histogram.len()))
    })?;
    match count {
        0..=SAMPLES_MAX => Ok(samples),
        more => Err(HistogramError::Samples(more)),
    }
}

fn deserialize(mut inflated: &[u8]) -> Result<Histogram<u64>, HistogramError> {
    Deserializer::new()
        .deserialize(&mut inflated)
        .map_err(|e| HistogramError::Format(e.to_string()))
}

impl Room {
    /// The V2 form in a text, with a header that may be believed.
    fn inflate(&mut self, text: &str) -> Result<&[u8], HistogramError> {
        let format = |text: &str| HistogramError::Format(text.to_owned());
        self.deflated.clear();
        BASE64
            .decode_vec(text, &mut self.deflated)
            .map_err(|e| HistogramError::Base64(e.to_string()))?;
        let header = self
            .deflated
            .get(..4)
            .ok_or_else(|| format("shorter than its cookie"))?;
        if header != V2_COMPRESSED_COOKIE.to_be_bytes() {
            return Err(format("the cookie is another one"));
        }
        let body = self
            .deflated
            .get(COMPRESSED_HEADER_LEN..)
            .ok_or_else(|| format("no body"))?;
        // What deflating spares is seldom more than half.
        let likely = (4 * body.len()).clamp(256, INFLATED_LEN_MAX);
        if self.inflated.len() < likely {
            self.inflated.resize(likely, 0);
        }
        loop {
            match self.decompressor.zlib_decompress(body, &mut self.inflated) {
                Ok(len) => {
                    check_header(&self.inflated[..len])?;
                    return Ok(&self.inflated[..len]);
                }
                Err(DecompressionError::InsufficientSpace)
                    if self.inflated.len() < INFLATED_LEN_MAX =>
                {
                    self.inflated.resize(INFLATED_LEN_MAX, 0);
                }
                Err(DecompressionError::InsufficientSpace) => {
                    return Err(format("more than 1 MiB when inflated"));
                }
                Err(error) => return Err(HistogramError::Format(error.to_string())),
            }
        }
    }
}

/// Checks the header before the deserializer believes it and allocates what it says.
fn check_header(inflated: &[u8]) -> Result<(), HistogramError> {
    if inflated.len() < V2_HEADER_LEN {
        return Err(HistogramError::Format("shorter than its header".into()));
    }
    if payload::header(inflated, 4..8) > (inflated.len() - V2_HEADER_LEN) as u64 {
        return Err(HistogramError::Format("its payload is cut off".into()));
    }
    let [digits, low, high] = [12..16, 16..24, 24..32].map(|at| payload::header(inflated, at));
    if digits > u64::from(SIGNIFICANT_DIGITS) || low == 0 || high < low || high > HIGHEST_NS {
        return Err(HistogramError::Shape { low, high, digits });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
    use proptest::prelude::*;

    use super::*;

    /// As the library writes it.
    pub(super) fn encode(histogram: &Histogram<u64>) -> String {
        let mut bytes = Vec::new();
        let written = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
        written.unwrap();
        BASE64.encode(bytes)
    }

    fn of(samples: &[u64]) -> Histogram<u64> {
        let mut histogram = new();
        for sample in samples {
            histogram.saturating_record(*sample);
        }
        histogram
    }

    proptest! {
        #[test]
        fn encode_then_decode_is_the_identity(samples in prop::collection::vec(1..HIGHEST_NS, 0..300)) {
            let histogram = of(&samples);
            prop_assert_eq!(decode(&encode(&histogram)).unwrap(), histogram);
        }

        #[test]
        fn hostile_text_never_panics(text in ".{0,200}") {
            let _ = decode(&text);
        }

        #[test]
        fn a_flipped_byte_is_an_error_or_another_histogram(at in 0_usize..200, to: u8) {
            let mut bytes = BASE64.decode(encode(&of(&[5, 700, 90_000, 1_000_000_000]))).unwrap();
            let at = at % bytes.len();
            bytes[at] = to;
            let _ = decode(&BASE64.encode(bytes));
        }

        #[test]
        fn hostile_headers_are_refused_before_they_allocate(header in prop::collection::vec(any::<u8>(), 36)) {
            let mut payload = vec![0x1c, 0x84, 0x93, 0x13];
            payload.extend(header);
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, &payload).unwrap();
            let body = encoder.finish().unwrap();
            let mut bytes = V2_COMPRESSED_COOKIE.to_be_bytes().to_vec();
            bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
            bytes.extend(body);
            let text = BASE64.encode(bytes);
            let _ = decode(&text);
            if let Ok(samples) = decode_sparse(&text) {
                let _ = Sparse::sum([&samples, &samples].into_iter());
                prop_assert!(decode_sparse(&encode_sparse(&samples)).is_ok());
            }
        }
    }

    #[test]
    fn a_histogram_of_more_digits_is_refused_in_words() {
        let mut fine = Histogram::<u64>::new_with_bounds(1, HIGHEST_NS, 4).unwrap();
        fine.saturating_record(17);
        let error = decode(&encode(&fine)).unwrap_err();
        assert_eq!(
            error,
            HistogramError::Shape {
                low: 1,
                high: HIGHEST_NS,
                digits: 4
            }
        );
    }

    #[test]
    fn a_histogram_of_more_samples_than_a_run_can_have_is_refused() {
        let mut huge = new();
        huge.saturating_record_n(17, SAMPLES_MAX);
        assert!(decode_sparse(&encode(&huge)).is_ok());
        huge.saturating_record_n(2_000, 1);
        let refused = decode_sparse(&encode(&huge));
        assert_eq!(refused, Err(HistogramError::Samples(SAMPLES_MAX + 1)));
    }
}
