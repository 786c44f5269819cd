//! The runs of one name over time, and what the judge says of each set against the one before: the
//! answer of `GET /trend`.

use serde::{Deserialize, Serialize};

use super::{Change, Comparison};

/// The tag that the tests of a set have: its value is the id of the set's first test.
pub const SET_TAG: &str = "repeat";

/// The runs of a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// The name.
    pub name: String,
    /// The runs, the oldest first.
    pub runs: Vec<TrendRun>,
    /// The sets of two runs or more that follow another such set, the oldest first.
    pub steps: Vec<TrendStep>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrendRun {
    /// The test.
    pub test_id: String,
    /// The set that it belongs to, by the id of its first test; of one that stands alone, its own.
    pub set: String,
    /// When it was created, ms since 1970.
    pub created_unix_ms: u64,
    /// The run's state.
    pub state: String,
    /// Whether it ran to its end, and may be believed.
    pub counted: bool,
    /// Ok answers a second.
    pub ok_per_second: Option<f64>,
    /// Response time, p50, ms.
    pub p50_ms: Option<f64>,
    /// Response time, p99, ms.
    pub p99_ms: Option<f64>,
    /// Share of what was tried that failed, 0 to 1.
    pub error_rate: Option<f64>,
    /// How far it may be believed; null where it has no result.
    pub verdict: Option<String>,
    /// Thresholds that do not hold.
    pub breached: usize,
}

/// A set against the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrendStep {
    /// The set.
    pub set: String,
    /// The set before.
    pub before: String,
    /// What the judge says of all lines together.
    pub verdict: Change,
    /// The figures that changed, or why nothing can be told, in words.
    pub reasons: Vec<String>,
}

impl TrendStep {
    /// What came of a comparison of two sets.
    #[must_use]
    pub fn new(before: &str, set: &str, compared: &Comparison) -> Self {
        Self {
            set: set.to_owned(),
            before: before.to_owned(),
            verdict: compared.verdict,
            reasons: compared.reasons.clone(),
        }
    }

    /// Of two sets that are not alike.
    #[must_use]
    pub fn unlike(before: &str, set: &str, reasons: Vec<String>) -> Self {
        Self {
            set: set.to_owned(),
            before: before.to_owned(),
            verdict: Change::Unlike,
            reasons,
        }
    }
}

impl Trend {
    /// The sets of two counted runs or more, in the order of their first runs: their names, and the
    /// ids of these runs.
    #[must_use]
    pub fn sets(&self) -> Vec<(&str, Vec<&str>)> {
        let mut sets: Vec<(&str, Vec<&str>)> = Vec::new();
        for run in self.runs.iter().filter(|run| run.counted) {
            match sets.iter_mut().find(|(set, _)| *set == run.set) {
                Some((_, ids)) => ids.push(&run.test_id),
                None => sets.push((&run.set, vec![&run.test_id])),
            }
        }
        sets.retain(|(_, ids)| ids.len() > 1);
        sets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_runs_of_one_tag_that_count() {
        let run = |test_id: &str, set: &str, counted: bool| TrendRun {
            test_id: test_id.to_owned(),
            set: set.to_owned(),
            created_unix_ms: 0,
            state: "done".to_owned(),
            counted,
            ok_per_second: None,
            p50_ms: None,
            p99_ms: None,
            error_rate: None,
            verdict: None,
            breached: 0,
        };
        let runs = [
            ("a", "a", true),
            ("b", "a", false),
            ("c", "a", true),
            ("x", "x", true),
            ("d", "d", true),
            ("e", "d", true),
            ("f", "f", true),
            ("g", "f", false),
        ];
        let trend = Trend {
            name: "n".to_owned(),
            runs: runs
                .map(|(id, set, counted)| run(id, set, counted))
                .to_vec(),
            steps: Vec::new(),
        };
        let expected = vec![("a", vec!["a", "c"]), ("d", vec!["d", "e"])];
        assert_eq!(trend.sets(), expected);
    }
}
