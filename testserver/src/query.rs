//! The query of `/`: what the answer shall be.
//!
//! | key | value | range | default |
//! |---|---|---|---|
//! | `delay` | a number with `ns`, `us`, `ms` or `s`: `5ms`, `0.5s` | 0 to 60 s | none |
//! | `size` | bytes, or a number with `k` (1024) or `m` (1024²) | 0 to 128m | `Hello World` |
//! | `status` | a status code | 200 to 599 | 200 |
//! | `queue` | time that the server needs for the request, one at a time | 0 to 60 s | none |
//! | `collapse` | `requests:factor:calm`: what the queue does when it gets too long | 1:2 to 1000000:1000, 0 to 60 s | it does not |
//! | `bucket` | tokens a second, and how many it holds: `1000`, `1000:50` | 0.001 to 1000000, 1 to 1000000 | none; holds 1 |
//! | `over` | what a request without a token gets: a status, or `delay` | 200 to 599 | 503 |
//!
//! The last four are about capacity, which all requests share: see [`crate::capacity`]. `delay` goes
//! by while others are served, `queue` does not. A request first needs its token, then its turn in
//! the queue, then its delay.
//!
//! Each value of the first four may be a distribution, `value:weight` separated by commas; up to 16 values, weights
//! from 1 (the default) to 1000000. `&` separates the keys, each may be given once; `%3A` and the
//! like are decoded.
//!
//! ```
//! use testserver::query;
//!
//! let plan = query::parse("delay=1ms:90,20ms:10&status=503").unwrap();
//! assert_eq!(plan.status.unwrap().pick(0), 503);
//!
//! let error = query::parse("delay=61s").unwrap_err().to_string();
//! assert_eq!(error, "delay '61s' is not within 0 to 60s");
//! ```
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "amounts are whole and within their range when they become integers"
)]

mod limits;

use std::borrow::Cow;
use std::time::Duration;

use crate::capacity::{Collapse, Limit, Over};
pub use limits::{BUCKET_DEPTH_MAX, BUCKET_RATE_MAX, COLLAPSE_ABOVE_MAX, COLLAPSE_FACTOR_MAX};

/// The lowest status that can be asked for; 1xx are no final answers.
pub const STATUS_MIN: u16 = 200;
/// The highest status that can be asked for.
pub const STATUS_MAX: u16 = 599;
/// The longest delay that can be asked for.
pub const DELAY_MAX: Duration = Duration::from_secs(60);
/// The largest body that can be asked for.
pub const SIZE_MAX: usize = 128 << 20;
/// The most values of one distribution.
pub const VALUES_MAX: usize = 16;
/// The greatest weight of a value.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// What the answer shall be; `None` where the query says nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// How long to wait before answering.
    pub delay: Option<Weighted<Duration>>,
    /// The length of the body in bytes.
    pub size: Option<Weighted<usize>>,
    /// The status code.
    pub status: Option<Weighted<u16>>,
    /// How long the only server that all requests share needs for this one.
    pub queue: Option<Weighted<Duration>>,
    /// When that server becomes slow.
    pub collapse: Option<Collapse>,
    /// How many requests there may be a second.
    pub bucket: Option<Limit>,
    /// What those beyond that get.
    pub over: Option<Over>,
}

/// Values with weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted<T> {
    values: Vec<(T, u32)>,
    total: u32,
}

const _: () = assert!(VALUES_MAX as u64 * WEIGHT_MAX as u64 <= u32::MAX as u64);

/// What is wrong with a query: the value, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A key that means nothing here.
    #[error(
        "'{0}' is no parameter; there are delay, size, status, queue, collapse, bucket and over"
    )]
    UnknownKey(String),
    /// A key without `=`.
    #[error("'{0}' has no value; write it as {0}=VALUE")]
    NoValue(String),
    /// The same key twice.
    #[error("{0} is given twice; for several values write {0}=A:1,B:1")]
    Twice(&'static str),
    /// The same key twice, of those that have one value.
    #[error("{0} is given twice; give it once")]
    Again(&'static str),
    /// A key that means nothing without another.
    #[error("{key} means nothing without {without}; give both, or neither")]
    Alone {
        /// The parameter.
        key: &'static str,
        /// The one that it belongs to.
        without: &'static str,
    },
    /// Not a number with a unit that the key knows.
    #[error("{key} '{value}' is not {expected}")]
    Malformed {
        /// The parameter.
        key: &'static str,
        /// What was given.
        value: String,
        /// How it is written.
        expected: &'static str,
    },
    /// Well written, but too little or too much.
    #[error("{key} '{value}' is not within {range}")]
    OutOfRange {
        /// The parameter.
        key: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        range: &'static str,
    },
    /// A weight that is not a number in its range.
    #[error("the weight '{weight}' of {key} '{value}' is not within 1 to 1000000")]
    Weight {
        /// The parameter.
        key: &'static str,
        /// The value that was to be weighted.
        value: String,
        /// What was given.
        weight: String,
    },
    /// A distribution of too many values.
    #[error("{key} has {count} values; allowed are 1 to 16")]
    TooMany {
        /// The parameter.
        key: &'static str,
        /// How many were given.
        count: usize,
    },
    /// A `%` that is not followed by two hexadecimal digits, or that decodes to no text.
    #[error("'{0}' has a '%' that encodes no character; write it as %25")]
    Encoding(String),
}

/// Reads a query, the part of a request's target after `?`.
///
/// # Errors
/// Names the first thing that is wrong.
pub fn parse(query: &str) -> Result<Plan, QueryError> {
    let mut plan = Plan::default();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let part = decode(part)?;
        let Some((key, value)) = part.split_once('=') else {
            return Err(QueryError::NoValue(part.into_owned()));
        };
        match key {
            "delay" => set(&mut plan.delay, &DELAY, value)?,
            "size" => set(&mut plan.size, &SIZE, value)?,
            "status" => set(&mut plan.status, &STATUS, value)?,
            "queue" => set(&mut plan.queue, &QUEUE, value)?,
            "collapse" => set_once(&mut plan.collapse, "collapse", limits::collapse(value)?)?,
            "bucket" => set_once(&mut plan.bucket, "bucket", limits::bucket(value)?)?,
            "over" => set_once(&mut plan.over, "over", limits::over(value)?)?,
            _ => return Err(QueryError::UnknownKey(key.to_owned())),
        }
    }
    needs(
        plan.collapse.is_none() || plan.queue.is_some(),
        "collapse",
        "queue",
    )?;
    needs(
        plan.over.is_none() || plan.bucket.is_some(),
        "over",
        "bucket",
    )?;
    Ok(plan)
}

impl<T: Copy> Weighted<T> {
    /// The sum of the weights: tickets run from 0 to one less.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The value that the ticket draws; of all tickets, each value is drawn by as many as it weighs.
    ///
    /// # Panics
    /// When the ticket is not below [`Weighted::total`].
    #[must_use]
    pub fn pick(&self, ticket: u32) -> T {
        let mut rest = ticket;
        for &(value, weight) in &self.values {
            if rest < weight {
                return value;
            }
            rest -= weight;
        }
        panic!(
            "invariant: ticket {ticket} is below the total of {}",
            self.total
        )
    }
}

/// How the value of one key is written, and its range.
struct Key<T> {
    name: &'static str,
    units: &'static [(&'static str, f64)],
    max: f64,
    min: f64,
    expected: &'static str,
    range: &'static str,
    make: fn(f64) -> T,
}

const DELAY: Key<Duration> = Key {
    name: "delay",
    units: &[("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)],
    min: 0.0,
    max: DELAY_MAX.as_nanos() as f64,
    expected: "a number with the unit ns, us, ms or s, such as 5ms",
    range: "0 to 60s",
    make: |ns| Duration::from_nanos(ns as u64),
};

const QUEUE: Key<Duration> = Key {
    name: "queue",
    ..DELAY
};

const SIZE: Key<usize> = Key {
    name: "size",
    units: &[("k", 1024.0), ("m", 1024.0 * 1024.0), ("", 1.0)],
    min: 0.0,
    max: SIZE_MAX as f64,
    expected: "a number of bytes, or one with k (1024) or m (1024 k), such as 1k",
    range: "0 to 128m",
    make: |bytes| bytes as usize,
};

const STATUS: Key<u16> = Key {
    name: "status",
    units: &[("", 1.0)],
    min: STATUS_MIN as f64,
    max: STATUS_MAX as f64,
    expected: "a status code, such as 503",
    range: "200 to 599",
    make: |code| code as u16,
};

fn needs(is_met: bool, key: &'static str, without: &'static str) -> Result<(), QueryError> {
    if is_met {
        Ok(())
    } else {
        Err(QueryError::Alone { key, without })
    }
}

fn set_once<T>(slot: &mut Option<T>, key: &'static str, value: T) -> Result<(), QueryError> {
    if slot.replace(value).is_some() {
        return Err(QueryError::Again(key));
    }
    Ok(())
}

fn set<T>(slot: &mut Option<Weighted<T>>, key: &Key<T>, text: &str) -> Result<(), QueryError> {
    if slot.is_some() {
        return Err(QueryError::Twice(key.name));
    }
    let count = text.split(',').count();
    if count > VALUES_MAX {
        return Err(QueryError::TooMany {
            key: key.name,
            count,
        });
    }
    let values: Vec<(T, u32)> = text
        .split(',')
        .map(|part| key.weighted(part))
        .collect::<Result<_, _>>()?;
    let total = values.iter().map(|(_, weight)| weight).sum();
    *slot = Some(Weighted { values, total });
    Ok(())
}

impl<T> Key<T> {
    fn weighted(&self, text: &str) -> Result<(T, u32), QueryError> {
        let (value, weight) = text.split_once(':').unwrap_or((text, "1"));
        let made = self.value(value)?;
        match weight.parse() {
            Ok(weight @ 1..=WEIGHT_MAX) => Ok((made, weight)),
            _ => Err(QueryError::Weight {
                key: self.name,
                value: value.to_owned(),
                weight: weight.to_owned(),
            }),
        }
    }

    fn value(&self, text: &str) -> Result<T, QueryError> {
        let value = || text.to_owned();
        let malformed = || QueryError::Malformed {
            key: self.name,
            value: value(),
            expected: self.expected,
        };
        let amount = self.amount(text).ok_or_else(malformed)?.round();
        if (self.min..=self.max).contains(&amount) {
            Ok((self.make)(amount))
        } else {
            Err(QueryError::OutOfRange {
                key: self.name,
                value: value(),
                range: self.range,
            })
        }
    }

    /// The first unit that the text ends in counts: `ns` must come before `s`.
    fn amount(&self, text: &str) -> Option<f64> {
        let stripped = |&(unit, factor): &(&str, f64)| Some((text.strip_suffix(unit)?, factor));
        let (number, factor) = self.units.iter().find_map(stripped)?;
        plain_number(number).map(|number| number * factor)
    }
}

impl QueryError {
    /// The same about a part of another key's value.
    fn of(self, name: &'static str) -> Self {
        match self {
            Self::Malformed {
                value, expected, ..
            } => Self::Malformed {
                key: name,
                value,
                expected,
            },
            Self::OutOfRange { value, range, .. } => Self::OutOfRange {
                key: name,
                value,
                range,
            },
            other => other,
        }
    }
}

/// A number that is not negative. `parse` alone would also take "inf", "1e3" and "+1".
fn plain_number(text: &str) -> Option<f64> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_plain.then(|| text.parse().ok()).flatten()
}

fn decode(text: &str) -> Result<Cow<'_, str>, QueryError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let wrong = || QueryError::Encoding(text.to_owned());
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part
            .get(..2)
            .filter(|code| code.bytes().all(|c| c.is_ascii_hexdigit()));
        let code = code.ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(code, 16).map_err(|_| wrong())?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| wrong())
}

#[cfg(test)]
mod tests;
