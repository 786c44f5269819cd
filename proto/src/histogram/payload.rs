//! The payload of a V2 histogram of our shape, read straight into its non-empty buckets.
//!
//! `hdrhistogram` reads it into an array of 33 792 counts, 270 KB; an orchestrator with a thousand
//! drivers would clear and walk four thousand of those a second. Format: `AbstractHistogram` of
//! `HdrHistogram` for Java, `encodeIntoByteBuffer`: a header of 40 bytes, then counts as zig-zag
//! LEB128 of at most 9 bytes, where a negative number is a run of that many zeros.

use std::ops::Range;

use super::bucket::{BUCKETS, Bucket};
use super::{HIGHEST_NS, HistogramError, LOWEST_NS, SIGNIFICANT_DIGITS, V2_HEADER_LEN};

pub(super) const V2_COOKIE: u32 = 0x1c84_9313;
/// A number of the header, which must be there; big-endian.
pub(super) fn header(inflated: &[u8], at: Range<usize>) -> u64 {
    inflated[at].iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

/// Whether the header, which must be there, is that of a histogram of our shape.
pub(super) fn is_ours(inflated: &[u8]) -> bool {
    let expected = [
        (0..4, u64::from(V2_COOKIE)),
        (8..12, 0),
        (12..16, u64::from(SIGNIFICANT_DIGITS)),
        (16..24, LOWEST_NS),
        (24..32, HIGHEST_NS),
        (32..40, 1.0_f64.to_bits()),
    ];
    expected
        .into_iter()
        .all(|(at, expected)| header(inflated, at) == expected)
}

/// Reads the non-empty buckets in rising order, and the sum of their counts; `room` is taken for
/// them on the way and can be used again. The header must be there.
///
/// # Errors
/// [`HistogramError::Format`] when a number is cut off, or there are more counts than buckets.
pub(super) fn buckets(
    inflated: &[u8],
    room: &mut Vec<Bucket>,
) -> Result<(Vec<Bucket>, u64), HistogramError> {
    let format = |text: &str| HistogramError::Format(text.to_owned());
    let len = usize::try_from(header(inflated, 4..8)).unwrap_or(usize::MAX);
    let mut payload = inflated[V2_HEADER_LEN..]
        .get(..len)
        .ok_or_else(|| format("its payload is cut off"))?;
    // One for each, and one that is written before it is known that it is none.
    room.resize(BUCKETS + 1, Bucket::default());
    let (mut filled, mut index, mut samples) = (0, 0_u64, 0_u64);
    while !payload.is_empty() {
        let number = number(&mut payload).ok_or_else(|| format("a count is cut off"))?;
        let count = number.max(0).cast_unsigned();
        if index >= BUCKETS as u64 && number >= 0 {
            return Err(format("more counts than buckets"));
        }
        // Counts and gaps alternate as they like: no branch foresees which comes next.
        room[filled] = Bucket::new(index.min(BUCKETS as u64), count);
        filled += usize::from(count > 0);
        samples = samples.saturating_add(count);
        index = index.saturating_add(if number < 0 { number.unsigned_abs() } else { 1 });
    }
    Ok((room[..filled].to_vec(), samples))
}

/// One zig-zag LEB128 number; the ninth byte has no continuation bit.
fn number(bytes: &mut &[u8]) -> Option<i64> {
    // Most are small: a bucket's count, or a short gap.
    if let [byte @ ..0x80, rest @ ..] = *bytes {
        *bytes = rest;
        return Some(zig_zag(u64::from(*byte)));
    }
    let mut encoded = 0;
    for shift in (0..=56).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let is_last = shift == 56 || *byte < 0x80;
        let bits = if shift == 56 { *byte } else { *byte & 0x7f };
        encoded |= u64::from(bits) << shift;
        if is_last {
            break;
        }
    }
    Some(zig_zag(encoded))
}

fn zig_zag(encoded: u64) -> i64 {
    (encoded >> 1).cast_signed() ^ -(encoded & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
    use proptest::prelude::*;

    use super::*;
    use crate::histogram::{Sparse, new};

    fn encoded(samples: &[(u64, u64)]) -> Vec<u8> {
        let mut histogram = new();
        for (value, count) in samples {
            histogram.saturating_record_n(*value, *count);
        }
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&histogram, &mut bytes)
            .unwrap();
        bytes
    }

    /// What the library makes of it. More samples than are believed are refused elsewhere, and
    /// nothing is asked of their buckets.
    fn reference(bytes: &[u8]) -> Option<Sparse> {
        let histogram = Deserializer::new().deserialize(&mut &*bytes).ok()?;
        (histogram.len() <= Bucket::COUNT_MAX).then(|| Sparse::from(&histogram))
    }

    fn ours(bytes: &[u8]) -> Option<Sparse> {
        let read = buckets(bytes, &mut Vec::new()).ok();
        let (buckets, samples) = read.filter(|(_, samples)| *samples <= Bucket::COUNT_MAX)?;
        let sparse = Sparse::of_buckets(buckets);
        assert_eq!(sparse.len(), samples);
        Some(sparse)
    }

    fn samples() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let value = prop_oneof![1..5000_u64, 1..HIGHEST_NS, Just(HIGHEST_NS)];
        let count = prop_oneof![1..3_u64, 1..1_u64 << 40];
        prop::collection::vec((value, count), 0..300)
    }

    #[test]
    fn the_last_count_is_that_of_the_highest_value() {
        let bytes = encoded(&[(HIGHEST_NS, 1)]);
        assert_eq!(ours(&bytes), reference(&bytes));
    }

    proptest! {
        #[test]
        fn it_reads_what_the_library_reads(samples in samples()) {
            let bytes = encoded(&samples);
            prop_assert!(is_ours(&bytes));
            prop_assert_eq!(ours(&bytes), reference(&bytes));
        }

        #[test]
        fn damage_is_refused_where_the_library_refuses_it(
            samples in samples(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = encoded(&samples);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if is_ours(&bytes) {
                prop_assert_eq!(ours(&bytes), reference(&bytes));
            }
        }
    }
}
