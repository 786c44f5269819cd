//! The answer of a comparison, as `GET /compare` gives it.

use serde::{Deserialize, Serialize};

use super::{Change, Judged, QUANTILES, Run, Terms, too_small, without_good_answers};
use crate::histogram::interval::quantile_name;

/// One quantile of a time in both sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantileRow {
    /// 0.5 is the median, 1 the maximum.
    pub quantile: f64,
    /// In the base, ms, the geometric mean of its runs' own; null without samples.
    pub base_ms: Option<f64>,
    /// In the test.
    pub test_ms: Option<f64>,
    /// (test - base) / base.
    pub change: Option<f64>,
    /// What to think of it.
    pub verdict: Change,
    /// Between which it lies in the base, ms, with 95 % confidence: of one run by its samples, of
    /// several by their spread.
    #[serde(default)]
    pub base_interval_ms: Option<(f64, f64)>,
    /// In the test.
    #[serde(default)]
    pub test_interval_ms: Option<(f64, f64)>,
    /// Between which the change lies, with 95 % confidence, this line taken alone.
    #[serde(default)]
    pub change_interval: Option<(f64, f64)>,
    /// Of such a difference between sets that do not differ, the number of lines allowed for.
    #[serde(default)]
    pub p_value: Option<f64>,
    /// Why it is not judged, where it is not.
    #[serde(default)]
    pub reason: Option<String>,
}

impl QuantileRow {
    /// `p99.9`; of the last one `max`.
    #[must_use]
    pub fn name(&self) -> String {
        quantile_name(self.quantile)
    }

    /// The same, without what makes it a quantile.
    #[must_use]
    pub fn figure(&self) -> Figure {
        Figure {
            base: self.base_ms,
            test: self.test_ms,
            change: self.change,
            verdict: self.verdict,
            base_interval: self.base_interval_ms,
            test_interval: self.test_interval_ms,
            change_interval: self.change_interval,
            p_value: self.p_value,
            reason: self.reason.clone(),
        }
    }
}

/// One number of both sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// In the base.
    pub base: Option<f64>,
    /// In the test.
    pub test: Option<f64>,
    /// (test - base) / base; of a share of errors the difference.
    pub change: Option<f64>,
    /// What to think of it.
    pub verdict: Change,
    /// Between which it lies in the base, with 95 % confidence.
    #[serde(default)]
    pub base_interval: Option<(f64, f64)>,
    /// In the test.
    #[serde(default)]
    pub test_interval: Option<(f64, f64)>,
    /// Between which the change lies, with 95 % confidence, this line taken alone.
    #[serde(default)]
    pub change_interval: Option<(f64, f64)>,
    /// Of such a difference between sets that do not differ, the number of lines allowed for.
    #[serde(default)]
    pub p_value: Option<f64>,
    /// Why it is not judged, where it is not.
    #[serde(default)]
    pub reason: Option<String>,
}

impl From<&Judged> for Figure {
    fn from(judged: &Judged) -> Self {
        Self {
            base: judged.base,
            test: judged.test,
            change: judged.change,
            verdict: judged.verdict,
            base_interval: judged.base_interval,
            test_interval: judged.test_interval,
            change_interval: judged.change_interval,
            p_value: judged.p_value,
            reason: judged.reason.clone(),
        }
    }
}

impl QuantileRow {
    fn new(quantile: f64, judged: &Judged) -> Self {
        Self {
            quantile,
            base_ms: judged.base,
            test_ms: judged.test,
            change: judged.change,
            verdict: judged.verdict,
            base_interval_ms: judged.base_interval,
            test_interval_ms: judged.test_interval,
            change_interval: judged.change_interval,
            p_value: judged.p_value,
            reason: judged.reason.clone(),
        }
    }
}

/// Two sets of runs, line by line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Ids of the runs that are compared with, with commas between.
    pub base: String,
    /// Ids of the runs that are judged.
    pub test: String,
    /// The same one by one.
    #[serde(default)]
    pub base_runs: Vec<String>,
    /// The same one by one.
    #[serde(default)]
    pub test_runs: Vec<String>,
    /// Change up to which figures count as the same; a share of the base.
    pub tolerance: f64,
    /// Of all lines together.
    pub verdict: Change,
    /// The figures that changed, or why nothing can be told, in words.
    pub reasons: Vec<String>,
    /// In what the sets are unlike, where they were compared all the same.
    #[serde(default)]
    pub differences: Vec<String>,
    /// Response times.
    pub quantiles: Vec<QuantileRow>,
    /// Service times.
    #[serde(default)]
    pub service: Vec<QuantileRow>,
    /// Answers without an error, a second.
    pub requests_per_second: Figure,
    /// Share of errors in what was tried, 0 to 1.
    pub error_rate: Figure,
}

impl Comparison {
    /// Of judged lines in their order: answers a second, errors, response and service times.
    pub(super) fn new(base: &[Run], test: &[Run], terms: &Terms, judged: &[Judged]) -> Self {
        let (counts, times) = judged.split_at(2);
        let (response, service) = times.split_at(QUANTILES.len());
        let rows = |judged: &[Judged]| -> Vec<QuantileRow> {
            let rows = QUANTILES.iter().zip(judged);
            rows.map(|(quantile, judged)| QuantileRow::new(*quantile, judged))
                .collect()
        };
        let ids = |runs: &[Run]| -> Vec<String> { runs.iter().map(|run| run.id.clone()).collect() };
        let verdict = overall(judged);
        let (base_runs, test_runs) = (ids(base), ids(test));
        let mut comparison = Self {
            base: base_runs.join(","),
            test: test_runs.join(","),
            base_runs,
            test_runs,
            tolerance: terms.tolerance,
            verdict,
            reasons: Vec::new(),
            differences: terms.differences.clone(),
            quantiles: rows(response),
            service: rows(service),
            requests_per_second: Figure::from(&counts[0]),
            error_rate: Figure::from(&counts[1]),
        };
        comparison.reasons = comparison.reasons_in_words();
        // It is said whatever the other lines come to.
        let dead = without_good_answers(base, test).map(|reason| format!("ok/s: {reason}"));
        let dead = dead.filter(|reason| !comparison.reasons.contains(reason));
        comparison.reasons.extend(dead);
        comparison
    }

    /// The tolerance in percent, without the digits that binary fractions add.
    #[must_use]
    pub fn tolerance_percent(&self) -> f64 {
        (self.tolerance * 1e8).round() / 1e6
    }

    /// Every line with its name: answers a second, errors, response and service times.
    #[must_use]
    pub fn lines(&self) -> Vec<(String, Figure)> {
        let times = |name: &'static str, rows: &[QuantileRow]| -> Vec<(String, Figure)> {
            let line = |row: &QuantileRow| (format!("{name} {}", row.name()), row.figure());
            rows.iter().map(line).collect()
        };
        let mut lines = vec![
            ("ok/s".to_owned(), self.requests_per_second.clone()),
            ("errors".to_owned(), self.error_rate.clone()),
        ];
        lines.extend(times("response", &self.quantiles));
        lines.extend(times("service", &self.service));
        lines
    }

    fn reasons_in_words(&self) -> Vec<String> {
        let lines = self.lines();
        let changed = lines
            .iter()
            .filter(|(_, line)| matches!(line.verdict, Change::Better | Change::Worse));
        let mut reasons: Vec<String> = changed.map(|(name, line)| in_words(name, line)).collect();
        if let Some(reason) = too_small(self.base_runs.len(), self.test_runs.len()) {
            reasons.push(reason);
        } else if matches!(self.verdict, Change::Unknown | Change::Unlike) {
            let why = lines
                .iter()
                .filter_map(|(name, line)| Some(format!("{name}: {}", line.reason.as_ref()?)));
            reasons.extend(why);
        }
        reasons
    }
}

fn in_words(name: &str, line: &Figure) -> String {
    let word = if line.verdict == Change::Better {
        "better"
    } else {
        "worse"
    };
    let unit = if name == "errors" { "points" } else { "%" };
    let percent = |share: f64| format!("{:+.1}", share * 100.0);
    let change = line.change.map_or_else(|| "-".to_owned(), percent);
    let between = line
        .change_interval
        .map_or_else(String::new, |(low, high)| {
            format!(" ({} to {})", percent(low), percent(high))
        });
    format!("{name} is {word}: {change} {unit}{between}")
}

/// Worse when anything is and nothing is better, so that the other way round it is better.
fn overall(judged: &[Judged]) -> Change {
    let has = |wanted| judged.iter().any(|line| line.verdict == wanted);
    match (has(Change::Worse), has(Change::Better)) {
        (true, true) => Change::Mixed,
        (true, false) => Change::Worse,
        (false, true) => Change::Better,
        _ if has(Change::Same) => Change::Same,
        _ if has(Change::Unknown) => Change::Unknown,
        _ => Change::Unlike,
    }
}
