//! Units at the edges: people write seconds and `5ms`, everything inside is integer nanoseconds.

use thiserror::Error;

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const NS_PER_MS: u64 = 1_000_000;

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no duration: write a number with ns, us, ms, s, m or h, such as 250ms or 1.5s")]
pub struct InvalidDuration(pub String);

/// Parses `10`, `1.5s`, `250ms`, `50us`, `2m` or `1h` into nanoseconds; a bare number means
/// seconds.
///
/// # Errors
/// [`InvalidDuration`] when the text is not a finite, non-negative number with one of these units,
/// or does not fit into 64 bits of nanoseconds.
pub fn parse_duration_ns(text: &str) -> Result<u64, InvalidDuration> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim() {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "" | "s" => 1e9,
        "m" | "min" => 6e10,
        "h" => 3.6e12,
        _ => return Err(InvalidDuration(text.to_owned())),
    };
    let ns = number.parse::<f64>().map(|number| (number * scale).round());
    match ns {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within 0..2^63
        Ok(ns) if (0.0..9.2e18).contains(&ns) => Ok(ns as u64),
        _ => Err(InvalidDuration(text.to_owned())),
    }
}

/// Nanoseconds of a number of seconds; `None` when it is negative, not finite or too large.
#[must_use]
pub fn seconds_to_ns(seconds: f64) -> Option<u64> {
    scaled(seconds, 1e9)
}

/// Nanoseconds of a number of milliseconds; `None` when it is negative, not finite or too large.
#[must_use]
pub fn ms_to_ns(ms: f64) -> Option<u64> {
    scaled(ms, 1e6)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within 0..2^63
fn scaled(value: f64, scale: f64) -> Option<u64> {
    let ns = (value * scale).round();
    (0.0..9.2e18).contains(&ns).then_some(ns as u64)
}

/// Nanoseconds as milliseconds, for people and JSON.
#[must_use]
pub fn ns_to_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Nanoseconds as seconds, for people and JSON.
#[must_use]
pub fn ns_to_seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// A duration in the unit that reads best: `812ns`, `41.30us`, `2.15ms`, `1.50s`.
#[must_use]
pub fn format_ns(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => format!("{:.2}us", ns as f64 / 1e3),
        1_000_000..NS_PER_S => format!("{:.2}ms", ns as f64 / 1e6),
        _ => format!("{:.2}s", ns as f64 / 1e9),
    }
}

/// The day of an instant of seconds since 1970, UTC: `2027-01-15`.
#[must_use]
pub fn format_utc_day(unix_s: u64) -> String {
    // Years that begin in March have their leap day last; 400 of them have always as many days.
    let days = unix_s / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

/// A size in bytes, or in the powers of ten that disks are sold by: `20GB`.
///
/// # Errors
/// In words, for what is none.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let refuse = || format!("{text:?} is no size; write bytes, or a number with KB, MB, GB or TB");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(refuse()),
    };
    let number: u64 = digits.trim_end().parse().map_err(|_| refuse())?;
    number.checked_mul(scale).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_bytes_and_in_powers_of_ten() {
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_size("200MB"), Ok(200_000_000));
        assert_eq!(parse_size("20 gb"), Ok(20_000_000_000));
        for wrong in ["", "MB", "1.5GB", "-1", "7 parsecs", "99999999999TB"] {
            assert!(
                parse_size(wrong).unwrap_err().contains("no size"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn durations_are_read_in_every_unit() {
        let table = [
            ("10", 10_000_000_000),
            ("1.5s", 1_500_000_000),
            ("250ms", 250_000_000),
            (" 50us ", 50_000),
            ("7ns", 7),
            ("2m", 120_000_000_000),
            ("1h", 3_600_000_000_000),
        ];
        for (text, ns) in table {
            assert_eq!(parse_duration_ns(text), Ok(ns), "{text}");
        }
        for text in [
            "",
            "ms",
            "-1s",
            "1.2.3s",
            "5 parsecs",
            "1e999s",
            "nan",
            "99999999999999h",
        ] {
            assert!(parse_duration_ns(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_in_the_unit_that_reads_best() {
        assert_eq!(format_ns(812), "812ns");
        assert_eq!(format_ns(41_300), "41.30us");
        assert_eq!(format_ns(2_150_000), "2.15ms");
        assert_eq!(format_ns(1_500_000_000), "1.50s");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let table = [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_798_761_599, "2026-12-31"),
            (1_798_761_600, "2027-01-01"),
            (4_107_542_400, "2100-03-01"),
        ];
        for (unix_s, day) in table {
            assert_eq!(format_utc_day(unix_s), day, "{unix_s}");
        }
        // The last instant that can be written is still a day.
        assert!(format_utc_day(u64::MAX).ends_with(|end: char| end.is_ascii_digit()));
    }

    #[test]
    fn seconds_out_of_range_are_refused() {
        assert_eq!(seconds_to_ns(0.5), Some(500_000_000));
        assert_eq!(seconds_to_ns(-1.0), None);
        assert_eq!(ms_to_ns(f64::NAN), None);
        assert_eq!(ms_to_ns(f64::INFINITY), None);
    }
}
