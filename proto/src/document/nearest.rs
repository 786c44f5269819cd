//! What somebody may have meant.

/// Least likeness of a suggestion, of 1.
const LIKENESS_MIN: f64 = 0.7;

/// The known word that is most like `word`, if one is.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let likeness = |other: &str| {
        let (word, other) = (word.to_lowercase(), other.to_lowercase());
        strsim::jaro_winkler(&word, &other)
    };
    let rated = known.into_iter().map(|other| (likeness(other), other));
    rated
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_word() {
        let known = ["target", "thresholds", "flows", "load"];
        assert_eq!(nearest("treshold", known), Some("thresholds"));
        assert_eq!(nearest("Targte", known), Some("target"));
        assert_eq!(nearest("zzz", known), None);
    }
}
