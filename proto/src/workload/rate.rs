//! Rates that stay exact: whole thousandths of a request a second, never floating point.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::units;

/// A rate in requests a second, kept in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// Smallest rate, in thousandths: one request in 1000 s.
    pub const MILLI_MIN: u64 = 1;
    /// Largest rate, in thousandths: ten million requests a second.
    pub const MILLI_MAX: u64 = 10_000_000_000;

    /// A rate of `milli` thousandths of a request a second; `None` outside
    /// [`Self::MILLI_MIN`]..=[`Self::MILLI_MAX`].
    #[must_use]
    pub const fn from_milli(milli: u64) -> Option<Self> {
        if milli >= Self::MILLI_MIN && milli <= Self::MILLI_MAX {
            Some(Self(milli))
        } else {
            None
        }
    }

    /// Thousandths of a request a second.
    #[must_use]
    pub const fn milli(self) -> u64 {
        self.0
    }

    /// Requests a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.per_second())
    }
}

/// What a rate must be.
const RATE_EXPECTED: &str = "a rate in requests a second from 0.001 to 10000000";

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("{text:?} is not {RATE_EXPECTED}");
        let per_second: f64 = text.trim().parse().map_err(|_| refuse())?;
        let milli = (per_second * 1000.0).round();
        if !(1.0..=1e10).contains(&milli) {
            return Err(refuse());
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked above
        Self::from_milli(milli as u64).ok_or_else(refuse)
    }
}

/// `500`, or `100:2000` for a linear ramp over the duration of the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateSpec {
    /// The same rate throughout.
    Constant(Rate),
    /// From one rate to another.
    Ramp(Rate, Rate),
}

impl FromStr for RateSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None => text.parse().map(Self::Constant),
            Some((from, to)) => Ok(Self::Ramp(from.parse()?, to.parse()?)),
        }
    }
}

impl fmt::Display for RateSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(rate) => write!(f, "{rate}"),
            Self::Ramp(from, to) => write!(f, "{from}:{to}"),
        }
    }
}

impl Serialize for RateSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Constant(rate) => serializer.serialize_f64(rate.per_second()),
            Self::Ramp(..) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for RateSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpecVisitor;
        impl Visitor<'_> for SpecVisitor {
            type Value = RateSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{RATE_EXPECTED}, or from:to for a ramp")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RateSpec, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<RateSpec, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<RateSpec, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<RateSpec, E> {
                self.visit_str(&value.to_string())
            }
        }
        deserializer.deserialize_any(SpecVisitor)
    }
}

/// A piece of a schedule in which the rate is linear in time; `100:2000@30s` in text, `500@10s`
/// where it is constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Rate at its start.
    pub from: Rate,
    /// Rate at its end.
    pub to: Rate,
    /// Its length, ns; at least 1.
    pub duration_ns: u64,
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || format!("{text:?} is no stage: write rate@duration or from:to@duration");
        let (rate, duration) = text.split_once('@').ok_or_else(shape)?;
        let duration_ns = units::parse_duration_ns(duration).map_err(|e| e.to_string())?;
        if duration_ns == 0 {
            return Err(format!("the stage {text:?} has no duration"));
        }
        let (from, to) = match rate.parse()? {
            RateSpec::Constant(rate) => (rate, rate),
            RateSpec::Ramp(from, to) => (from, to),
        };
        Ok(Self {
            from,
            to,
            duration_ns,
        })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.from)?;
        if self.from != self.to {
            write!(f, ":{}", self.to)?;
        }
        write!(f, "@{}ns", self.duration_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_exact_to_the_thousandth() {
        assert_eq!("0.001".parse::<Rate>().map(Rate::milli), Ok(1));
        assert_eq!("33.333".parse::<Rate>().map(Rate::milli), Ok(33_333));
        assert_eq!(
            "10000000".parse::<Rate>().map(Rate::milli),
            Ok(Rate::MILLI_MAX)
        );
        for text in ["0", "-1", "0.0001", "10000001", "fast", "nan", "inf", ""] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.contains("0.001 to 10000000"), "{error}");
        }
    }

    #[test]
    fn stages_are_written_as_they_are_read() {
        let stage: Stage = "100:2000@1.5s".parse().unwrap();
        assert_eq!(stage.duration_ns, 1_500_000_000);
        assert_eq!(stage.to_string().parse::<Stage>(), Ok(stage));
        assert!("100".parse::<Stage>().is_err());
        assert!("100@0s".parse::<Stage>().is_err());
    }
}
