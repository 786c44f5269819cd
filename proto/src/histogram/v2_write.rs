//! A V2 histogram written straight from its non-empty buckets.
//!
//! `hdrhistogram` writes from an array of 33 792 counts, which would be made and walked for each of
//! up to seven histograms a report, of a few hundred buckets each. What it deflates are the same
//! bytes; the format is described in `payload`. `libdeflate` deflates them in a fraction of the time
//! of `miniz`, and a driver's core has to wait for it once a second.

use std::cell::RefCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use libdeflater::{CompressionLvl, Compressor};

use super::payload::V2_COOKIE;
use super::{
    COMPRESSED_HEADER_LEN, HIGHEST_NS, LOWEST_NS, SIGNIFICANT_DIGITS, Sparse, V2_COMPRESSED_COOKIE,
    V2_HEADER_LEN,
};

thread_local! {
    /// Half a megabyte, which is made once.
    static COMPRESSOR: RefCell<Compressor> =
        RefCell::new(Compressor::new(CompressionLvl::default()));
}

/// The samples as base64 of their V2-deflate form.
#[must_use]
pub fn encode_sparse(samples: &Sparse) -> String {
    let bytes = v2(samples);
    let framed = COMPRESSOR.with_borrow_mut(|compressor| {
        let bound = compressor.zlib_compress_bound(bytes.len());
        let mut framed = vec![0; COMPRESSED_HEADER_LEN + bound];
        let (header, body) = framed.split_at_mut(COMPRESSED_HEADER_LEN);
        let len = compressor
            .zlib_compress(&bytes, body)
            .expect("invariant: nothing takes more than its bound");
        header[..4].copy_from_slice(&V2_COMPRESSED_COOKIE.to_be_bytes());
        header[4..].copy_from_slice(&length(len));
        framed.truncate(COMPRESSED_HEADER_LEN + len);
        framed
    });
    BASE64.encode(framed)
}

/// The V2 form: a header of 40 bytes, then the counts up to the last that is not zero.
fn v2(samples: &Sparse) -> Vec<u8> {
    let counts = counts(samples);
    let mut bytes = Vec::with_capacity(V2_HEADER_LEN + counts.len());
    bytes.extend(V2_COOKIE.to_be_bytes());
    bytes.extend(length(counts.len()));
    // Values are not shifted.
    bytes.extend([0; 4]);
    bytes.extend(u32::from(SIGNIFICANT_DIGITS).to_be_bytes());
    bytes.extend(LOWEST_NS.to_be_bytes());
    bytes.extend(HIGHEST_NS.to_be_bytes());
    bytes.extend(1.0_f64.to_be_bytes());
    bytes.extend(counts);
    bytes
}

fn counts(samples: &Sparse) -> Vec<u8> {
    let (mut bytes, mut next) = (Vec::new(), 0);
    for bucket in samples.as_slice() {
        put_zeros(&mut bytes, bucket.index() - next);
        put(&mut bytes, bucket.count().cast_signed());
        next = bucket.index() + 1;
    }
    if samples.is_empty() {
        put(&mut bytes, 0);
    }
    bytes
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len)
        .expect("invariant: at most 9 bytes for each of 33 792 counts")
        .to_be_bytes()
}

/// Zeros between two counts: one as itself, several as their negative number.
fn put_zeros(bytes: &mut Vec<u8>, zeros: u64) {
    match zeros {
        0 => {}
        1 => put(bytes, 0),
        more => put(bytes, -more.cast_signed()),
    }
}

/// One number as zig-zag LEB128; the ninth byte has no continuation bit.
fn put(bytes: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    for _ in 0..8 {
        let [low, ..] = left.to_le_bytes();
        if left < 0x80 {
            bytes.push(low);
            return;
        }
        bytes.push(0x80 | low);
        left >>= 7;
    }
    bytes.extend(left.to_le_bytes().first());
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::{Serializer, V2Serializer};
    use proptest::prelude::*;

    use super::*;
    use crate::histogram::tests::encode;
    use crate::histogram::{decode, decode_sparse, new};

    fn filled(samples: &[(u64, u64)]) -> Histogram<u64> {
        let mut histogram = new();
        for (value, count) in samples {
            histogram.saturating_record_n(*value, *count);
        }
        histogram
    }

    fn of_the_library(histogram: &Histogram<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = V2Serializer::new().serialize(histogram, &mut bytes);
        written.unwrap();
        bytes
    }

    fn samples() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let value = prop_oneof![1..5000_u64, 1..HIGHEST_NS, Just(1), Just(HIGHEST_NS)];
        let count = prop_oneof![1..3_u64, 1..1_u64 << 39];
        prop::collection::vec((value, count), 0..300)
    }

    #[test]
    fn an_empty_one_and_neighbours_are_written_as_by_the_library() {
        for samples in [
            &[][..],
            &[(1, 1)],
            &[(1, 1), (2, 1), (4, 1)],
            &[(HIGHEST_NS, 5)],
        ] {
            let histogram = filled(samples);
            assert_eq!(v2(&Sparse::from(&histogram)), of_the_library(&histogram));
        }
    }

    #[test]
    fn numbers_of_every_length_are_read_back() {
        for shift in 0..48 {
            let histogram = filled(&[(7, 1 << shift)]);
            let text = encode_sparse(&Sparse::from(&histogram));
            assert_eq!(decode(&text).unwrap(), histogram, "2^{shift}");
        }
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_library(samples in samples()) {
            let histogram = filled(&samples);
            let sparse = Sparse::from(&histogram);
            prop_assert_eq!(v2(&sparse), of_the_library(&histogram));
            let deflated = (decode(&encode_sparse(&sparse)), decode(&encode(&histogram)));
            prop_assert_eq!(deflated.0.unwrap(), deflated.1.unwrap());
        }

        #[test]
        fn the_library_and_we_read_what_was_written(samples in samples()) {
            let histogram = filled(&samples);
            let sparse = Sparse::from(&histogram);
            let text = encode_sparse(&sparse);
            prop_assert_eq!(&decode(&text).unwrap(), &histogram);
            prop_assert_eq!(decode_sparse(&text).unwrap(), sparse);
        }
    }
}
