//! The keys of the query that are about capacity: values of several parts, which are no
//! distributions.

use std::time::Duration;

use super::{DELAY, QueryError, STATUS, plain_number};
use crate::capacity::{Collapse, Limit, Over};

/// The most tokens a second of a bucket.
pub const BUCKET_RATE_MAX: f64 = 1_000_000.0;
/// The most tokens that a bucket holds.
pub const BUCKET_DEPTH_MAX: u32 = 1_000_000;
/// The longest queue that can be called too long.
pub const COLLAPSE_ABOVE_MAX: u32 = 1_000_000;
/// The most times that a collapsed queue can be slower.
pub const COLLAPSE_FACTOR_MAX: u32 = 1000;

/// `above:factor:calm`
pub(super) fn collapse(text: &str) -> Result<Collapse, QueryError> {
    const EXPECTED: &str = "requests:factor:calm, such as 100:5:1s";
    let malformed = || malformed("collapse", text, EXPECTED);
    let mut parts = text.split(':');
    let mut part = || parts.next().ok_or_else(malformed);
    let (above, factor, calm) = (part()?, part()?, part()?);
    if parts.next().is_some() {
        return Err(malformed());
    }
    let calm: Duration = DELAY.value(calm).map_err(|error| error.of("collapse"))?;
    let above = whole(
        "collapse",
        above,
        1,
        COLLAPSE_ABOVE_MAX,
        "1 to 1000000 requests",
    )?;
    let factor = whole(
        "collapse",
        factor,
        2,
        COLLAPSE_FACTOR_MAX,
        "2 to 1000 times",
    )?;
    Ok(Collapse {
        above,
        factor,
        calm,
    })
}

/// `rate` or `rate:depth`
pub(super) fn bucket(text: &str) -> Result<Limit, QueryError> {
    const EXPECTED: &str = "tokens a second, such as 1000, or with what it holds: 1000:50";
    let (rate_text, depth) = text.split_once(':').unwrap_or((text, "1"));
    let rate = plain_number(rate_text).ok_or_else(|| malformed("bucket", text, EXPECTED))?;
    if !(0.001..=BUCKET_RATE_MAX).contains(&rate) {
        return Err(out_of_range(
            "bucket",
            rate_text,
            "0.001 to 1000000 a second",
        ));
    }
    let depth = whole("bucket", depth, 1, BUCKET_DEPTH_MAX, "1 to 1000000 tokens")?;
    Ok(Limit { rate, depth })
}

/// `delay` or a status
pub(super) fn over(text: &str) -> Result<Over, QueryError> {
    if text == "delay" {
        return Ok(Over::Delay);
    }
    let status = STATUS.value(text).map_err(|error| error.of("over"))?;
    Ok(Over::Status(status))
}

fn whole(
    key: &'static str,
    text: &str,
    min: u32,
    max: u32,
    range: &'static str,
) -> Result<u32, QueryError> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| out_of_range(key, text, range))
}

fn malformed(key: &'static str, text: &str, expected: &'static str) -> QueryError {
    QueryError::Malformed {
        key,
        value: text.to_owned(),
        expected,
    }
}

fn out_of_range(key: &'static str, text: &str, range: &'static str) -> QueryError {
    QueryError::OutOfRange {
        key,
        value: text.to_owned(),
        range,
    }
}
