//! What is said of many drivers, in bounded words.

use std::collections::BTreeMap;

/// Drivers that a reason names; of the others it says how many they are.
const NAMED_MAX: usize = 8;
const MS_PER_DAY: u64 = 86_400_000;

/// One clause for each of the first few drivers, and the number of the others.
pub(super) fn of_drivers(reasons: &BTreeMap<String, String>) -> String {
    let clauses = reasons.iter().map(|(id, what)| format!("{id}: {what}"));
    joined(clauses.collect())
}

/// The first few clauses, and the number of the others.
pub(super) fn joined(mut clauses: Vec<String>) -> String {
    let more = clauses.len().saturating_sub(NAMED_MAX);
    clauses.truncate(NAMED_MAX);
    if more > 0 {
        clauses.push(format!("and {more} more"));
    }
    clauses.join("; ")
}

/// The time of day of an instant since 1970.
pub(super) fn time_of_day(unix_ms: u64) -> String {
    let seconds = unix_ms % MS_PER_DAY / 1000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02} UTC", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_drivers_take_one_line() {
        let reasons = (0..1000).map(|n| (format!("d{n:03}"), "lost".to_owned()));
        let text = of_drivers(&reasons.collect());
        assert!(text.starts_with("d000: lost; d001: lost; "), "{text}");
        assert!(text.ends_with("d007: lost; and 992 more"), "{text}");
        assert_eq!(joined(vec!["a".into(), "b".into()]), "a; b");
    }

    #[test]
    fn instants_are_told_as_a_time_of_day() {
        assert_eq!(time_of_day(1_700_000_000_999), "22:13:20 UTC");
    }
}
