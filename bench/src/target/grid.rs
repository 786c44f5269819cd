//! The grid that arrivals are compared with.

/// The highest rate of a grid, in requests a second.
pub const RATE_MAX: f64 = 10_000_000.0;

/// An even spacing of intended arrivals.
///
/// Kept as a float of nanoseconds: a rate of 3000 a second has no whole gap, and rounding it would
/// add a drift of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    gap_ns: f64,
}

/// What the lateness is counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// From the grid that makes the least lateness 0.
    #[default]
    Min,
    /// From the first arrival; earlier than its grid counts as 0.
    First,
}

/// The most arrivals whose instants can be kept, 32 MB of them.
pub const STAMPS_MAX: usize = 4 << 20;

/// What is kept of the arrivals since a reset, besides their number and their gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Keep {
    /// The grid that they are compared with.
    pub grid: Option<Grid>,
    /// What their lateness is counted from.
    pub anchor: Anchor,
    /// Of how many, the first ones, the instants are kept.
    pub stamps: usize,
}

/// A grid that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GridError {
    /// Not a positive number in range.
    #[error("{name} '{value}' is not within {range}")]
    OutOfRange {
        /// `rate`, `grid_ns` or `stamps`.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        range: &'static str,
    },
    /// A parameter of `/reset` that means nothing.
    #[error("'{0}' is no parameter; there are rate, grid_ns, anchor and stamps")]
    Unknown(String),
}

impl Grid {
    /// The spacing in nanoseconds.
    #[must_use]
    pub fn gap_ns(self) -> f64 {
        self.gap_ns
    }

    /// How far after the first intended arrival the k-th is intended, in nanoseconds.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "2^63 ns are 292 years")]
    pub fn intended_ns(self, index: u64) -> i64 {
        (index as f64 * self.gap_ns).round() as i64
    }
}

/// A grid of so many requests a second.
///
/// # Errors
/// When it is not a number within 0.001 to ten million.
pub fn parse_rate(text: &str) -> Result<Grid, GridError> {
    let rate = number("rate", text, 0.001..=RATE_MAX, "0.001 to 10000000")?;
    Ok(Grid { gap_ns: 1e9 / rate })
}

/// A grid of so many nanoseconds.
///
/// # Errors
/// When it is not a number within 100 ns to 1000 s.
pub fn parse_gap_ns(text: &str) -> Result<Grid, GridError> {
    let gap_ns = number("grid_ns", text, 100.0..=1e12, "100 to 1000000000000")?;
    Ok(Grid { gap_ns })
}

/// Reads the query of `/reset`.
///
/// # Errors
/// When a parameter is unknown or out of range.
pub fn parse_query(query: &str) -> Result<Keep, GridError> {
    let mut keep = Keep::default();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("rate", value)) => keep.grid = Some(parse_rate(value)?),
            Some(("grid_ns", value)) => keep.grid = Some(parse_gap_ns(value)?),
            Some(("anchor", "first")) => keep.anchor = Anchor::First,
            Some(("anchor", "min")) => keep.anchor = Anchor::Min,
            Some(("stamps", value)) => keep.stamps = parse_stamps(value)?,
            _ => return Err(GridError::Unknown(part.to_owned())),
        }
    }
    Ok(keep)
}

fn parse_stamps(text: &str) -> Result<usize, GridError> {
    let range = "0 to 4194304";
    let refused = || GridError::OutOfRange {
        name: "stamps",
        value: text.to_owned(),
        range,
    };
    text.parse()
        .ok()
        .filter(|&count| count <= STAMPS_MAX)
        .ok_or_else(refused)
}

fn number(
    name: &'static str,
    value: &str,
    allowed: std::ops::RangeInclusive<f64>,
    range: &'static str,
) -> Result<f64, GridError> {
    let refused = || GridError::OutOfRange {
        name,
        value: value.to_owned(),
        range,
    };
    value
        .parse()
        .ok()
        .filter(|number| allowed.contains(number))
        .ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_without_a_whole_gap_does_not_drift() {
        let grid = parse_rate("3000").unwrap();
        assert_eq!(grid.intended_ns(3_000), 1_000_000_000);
        assert_eq!(grid.intended_ns(3_000 * 3_600), 3_600_000_000_000);
    }

    #[test]
    fn queries_of_reset_are_read_or_refused_by_name() {
        assert_eq!(parse_query("").unwrap(), Keep::default());
        let keep = parse_query("grid_ns=1000&anchor=first&stamps=5").unwrap();
        assert_eq!(keep.grid.unwrap().intended_ns(2), 2000);
        assert_eq!((keep.anchor, keep.stamps), (Anchor::First, 5));
        assert_eq!(
            parse_query("stamps=5000000").unwrap_err().to_string(),
            "stamps '5000000' is not within 0 to 4194304"
        );
        assert_eq!(
            parse_query("rate=0").unwrap_err().to_string(),
            "rate '0' is not within 0.001 to 10000000"
        );
        assert_eq!(
            parse_query("rate=NaN").unwrap_err().to_string(),
            "rate 'NaN' is not within 0.001 to 10000000"
        );
        assert_eq!(
            parse_query("x").unwrap_err().to_string(),
            "'x' is no parameter; there are rate, grid_ns, anchor and stamps"
        );
    }
}
