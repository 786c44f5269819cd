//! What a run came to, in brief: what exit codes, sets of runs and reports for CI are made of. The
//! same of a run on its own and of an answer of `GET /metrics/{id}`.

use serde::{Deserialize, Serialize};

use super::{Judgement, Statistics, StepRow, TestResult, ThresholdResult, Verdict};
use crate::measure::ErrorCounters;

/// What a run came to. Fields that an answer leaves out are as if nothing had happened.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Brief {
    /// The test.
    pub test_id: String,
    /// The run's state.
    pub state: String,
    /// The condition of its document that ended it early.
    pub aborted_by: Option<String>,
    /// See [`super::Tally::planned`].
    pub planned: u64,
    /// See [`super::Tally::sent`].
    pub sent: u64,
    /// See [`super::Tally::returned`].
    pub returned: u64,
    /// See [`super::Tally::refused`].
    pub refused: u64,
    /// See [`super::Tally::ok`].
    pub ok: u64,
    /// By kind.
    pub errors: ErrorCounters,
    /// Throughput: ok answers a second of the sending window.
    pub requests_per_second: Option<f64>,
    /// Length of the run, s.
    pub elapsed_s: f64,
    /// Response times.
    pub metrics: Statistics,
    /// Service times.
    pub service: Statistics,
    /// Whether the numbers may be believed.
    pub verdict: Verdict,
    /// The conditions on the result.
    pub thresholds: Vec<ThresholdResult>,
    /// Of a document, what became of its steps and their checks.
    pub steps: Vec<StepRow>,
    coverage: Covered,
    accounting: Accounted,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
struct Covered {
    unfinished_nodes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default)]
struct Accounted {
    holds: bool,
}

/// What a run amounts to, from the best to the worst: `driver run` and `client run` end with its
/// [`exit_code`](Self::exit_code).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// To its end, to be believed, within its thresholds.
    #[default]
    Good,
    /// The same, but for a threshold.
    Breached,
    /// Ended early by a condition of its document.
    Aborted,
    /// Not to its end on every node, or with counts that do not add up.
    Incomplete,
    /// It says nothing about the target.
    Invalid,
    /// It could not go on, or not begin.
    Failed,
    /// Ended by who ran it.
    Interrupted,
}

impl Standing {
    /// The exit code that it means.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Failed => 1,
            Self::Breached | Self::Aborted => 3,
            Self::Incomplete | Self::Invalid => 4,
            Self::Interrupted => 130,
        }
    }

    /// Whether its figures are those of a whole run that may be believed.
    #[must_use]
    pub const fn counts(self) -> bool {
        matches!(self, Self::Good | Self::Breached)
    }

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Breached => "breached",
            Self::Aborted => "aborted",
            Self::Incomplete => "incomplete",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<&TestResult> for Brief {
    fn from(result: &TestResult) -> Self {
        let tally = &result.tally;
        let sessions = result.sessions.as_ref();
        Self {
            test_id: result.test_id.clone(),
            state: result.state.clone(),
            aborted_by: result.aborted_by.clone(),
            planned: tally.planned,
            sent: tally.sent,
            returned: tally.returned,
            refused: tally.refused,
            ok: tally.ok,
            errors: tally.errors,
            requests_per_second: tally.requests_per_second,
            elapsed_s: tally.elapsed_s,
            metrics: result.metrics,
            service: result.service,
            verdict: result.verdict.clone(),
            thresholds: result.thresholds.clone(),
            steps: sessions.map_or_else(Vec::new, |rows| rows.steps.clone()),
            coverage: Covered {
                unfinished_nodes: result.coverage.unfinished_nodes.clone(),
            },
            accounting: Accounted {
                holds: result.accounting.holds,
            },
        }
    }
}

impl Brief {
    /// What it amounts to. An incomplete result is no basis for a threshold.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let is_whole = self.accounting.holds && self.coverage.unfinished_nodes.is_empty();
        match self.state.as_str() {
            "failed" => Standing::Failed,
            "interrupted" => Standing::Interrupted,
            "aborted" if self.aborted_by.is_some() => Standing::Aborted,
            "done" if is_whole => self.standing_of_whole(),
            _ => Standing::Incomplete,
        }
    }

    fn standing_of_whole(&self) -> Standing {
        if self.verdict.verdict == Judgement::Invalid {
            Standing::Invalid
        } else if self.thresholds.iter().any(|threshold| !threshold.pass) {
            Standing::Breached
        } else {
            Standing::Good
        }
    }

    /// What failed as a share of what was attempted, 0 to 1; `None` when nothing was attempted. As
    /// [`crate::measure::Counters::error_rate`].
    #[must_use]
    pub fn error_rate(&self) -> Option<f64> {
        let reached = self.sent.saturating_sub(self.returned);
        let attempted = reached.saturating_add(self.refused);
        let failed = self.errors.total().saturating_add(self.refused);
        (attempted > 0).then(|| failed as f64 / attempted as f64)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::summary::{Context, Plan, Summary};

    fn brief(fields: &Value) -> Brief {
        let mut all = json!({"state": "done", "accounting": {"holds": true}});
        let into = all.as_object_mut().unwrap();
        into.extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn a_result_and_its_json_are_the_same_in_brief() {
        let result = Summary::default().result(&Context {
            test_id: "t",
            test_type: "TSUNAMI",
            state: "done",
            closed_loop: false,
            in_flight: None,
            level_load: true,
            ended: true,
            plan: Plan::Each(5),
            expected: &["a".to_owned()],
            document: None,
            warmup_ns: 0,
            rates: &[],
            aborted_by: Some("error_rate > 5% for 1s"),
            thresholds: &["p99<1ms".parse().unwrap()],
            series_from: 0,
        });
        let read: Brief = serde_json::from_value(json!(result)).unwrap();
        assert_eq!(read, Brief::from(&result));
        assert_eq!(read.standing(), Standing::Incomplete);
        assert_eq!(read.coverage.unfinished_nodes, ["a"]);
    }

    #[test]
    fn a_run_stands_as_its_worst() {
        let breached = json!([{"threshold": "p99<1ms", "observed": 2.0, "pass": false}]);
        let invalid = json!({"verdict": "invalid", "reasons": []});
        for (fields, standing, code) in [
            (json!({}), Standing::Good, 0),
            (json!({"state": "failed"}), Standing::Failed, 1),
            (json!({"thresholds": breached}), Standing::Breached, 3),
            (
                json!({"state": "aborted", "aborted_by": "x"}),
                Standing::Aborted,
                3,
            ),
            (json!({"state": "aborted"}), Standing::Incomplete, 4),
            (json!({"state": "partial"}), Standing::Incomplete, 4),
            (
                json!({"accounting": {"holds": false}}),
                Standing::Incomplete,
                4,
            ),
            (
                json!({"verdict": invalid, "thresholds": breached}),
                Standing::Invalid,
                4,
            ),
            (json!({"state": "interrupted"}), Standing::Interrupted, 130),
        ] {
            let of = brief(&fields).standing();
            assert_eq!((of, of.exit_code()), (standing, code), "{fields}");
        }
    }

    #[test]
    fn errors_and_refusals_are_a_share_of_what_was_tried() {
        let some = json!({"sent": 90, "refused": 10, "errors": {"status": 5}});
        assert_eq!(brief(&some).error_rate(), Some(0.15));
        assert_eq!(brief(&json!({})).error_rate(), None);
    }
}
