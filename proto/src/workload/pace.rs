//! How fast a log is replayed: `log*2.5`.

use std::fmt;

/// Speed in millionths, so that instants are exact.
const WHOLE: u64 = 1_000_000;
/// A thousandth of the log's own speed.
const LEAST: u64 = WHOLE / 1000;
/// A million times the log's own speed.
const MOST: u64 = WHOLE * 1_000_000;

/// How much faster than it came a log is replayed, exact to a millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace(u64);

impl Default for Pace {
    fn default() -> Self {
        Self(WHOLE)
    }
}

impl Pace {
    /// Reads `log` (as it came), or `log*2.5` (two and a half times as fast).
    ///
    /// # Errors
    /// In words, with what is taken.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no pace: write log, log*2.5 (faster) or log*0.1 (slower), from 0.001 \
                 to 1000000, with at most six digits behind the point"
            )
        };
        let rest = text.trim().strip_prefix("log").ok_or_else(wrong)?.trim();
        if rest.is_empty() {
            return Ok(Self::default());
        }
        let factor = rest.strip_prefix('*').ok_or_else(wrong)?.trim();
        let millionths = millionths(factor).filter(|speed| (LEAST..=MOST).contains(speed));
        millionths.map(Self).ok_or_else(wrong)
    }

    /// When an entry is played that came `log_ns` after the first, ns after the first.
    #[must_use]
    pub fn played_ns(self, log_ns: u64) -> u64 {
        let played_ns = u128::from(log_ns) * u128::from(WHOLE) / u128::from(self.0);
        u64::try_from(played_ns).unwrap_or(u64::MAX)
    }
}

/// A decimal number in millionths, without rounding.
fn millionths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !are_digits(whole) || !are_digits(part) || part.len() > 6 {
        return None;
    }
    let part: u64 = format!("{part:0<6}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(WHOLE)?.checked_add(part)
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / WHOLE, self.0 % WHOLE);
        if self.0 == WHOLE {
            return f.write_str("log");
        }
        let part = format!("{part:06}");
        let part = part.trim_end_matches('0');
        let point = if part.is_empty() { "" } else { "." };
        write!(f, "log*{whole}{point}{part}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pace_is_what_people_write() {
        for (text, shown, played_ns) in [
            ("log", "log", 10_000_000_000),
            ("log*1", "log", 10_000_000_000),
            ("log * 2.5", "log*2.5", 4_000_000_000),
            ("log*0.001", "log*0.001", 10_000_000_000_000),
            ("log*3", "log*3", 3_333_333_333),
            ("log*1000000", "log*1000000", 10_000),
        ] {
            let pace = Pace::parse(text).unwrap();
            assert_eq!(pace.to_string(), shown);
            assert_eq!(pace.played_ns(10_000_000_000), played_ns, "{text}");
        }
        for text in [
            "",
            "2",
            "log2",
            "log*",
            "log*0",
            "log*-1",
            "log*1e3",
            "log*0.0001",
            "log*1000001",
            "log*1.0000001",
            "log/2",
            "log*.5",
            "log*1.",
            "log*99999999999999999999",
        ] {
            let refused = Pace::parse(text).unwrap_err();
            assert!(refused.contains("log*2.5"), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn instants_never_drift(speed in LEAST..=MOST, log_ns in any::<u64>(), more in 0..1_000_000_u64) {
            let pace = Pace(speed);
            prop_assert_eq!(Pace::parse(&pace.to_string()), Ok(pace));
            let played_ns = pace.played_ns(log_ns);
            prop_assert!(pace.played_ns(log_ns.saturating_add(more)) >= played_ns);
            if played_ns < u64::MAX {
                // Within one ns of the exact quotient, however far from the beginning.
                let (exact, played) = (u128::from(log_ns) * u128::from(WHOLE), u128::from(played_ns));
                prop_assert!(played * u128::from(speed) <= exact);
                prop_assert!((played + 1) * u128::from(speed) > exact);
            }
        }
    }
}
