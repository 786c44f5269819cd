//! Two sets of runs held against each other: the one judge of `GET /compare`, of its page, of the
//! client and of `bench compare`. Pure.
//!
//! The judge itself, [`judge()`], takes figures of any kind; [`compare`] gives it those of load tests:
//! quantiles of response and service time, answers a second, the share of errors. A run's figures
//! come from its own histogram, and runs are never merged: how far they differ is what a change is
//! measured by.
//!
//! - `compare(a, b)` says worse exactly where `compare(b, a)` says better.
//! - Of sets that do not differ, one in twenty is told apart by mistake, over all lines together.
//! - "Same" is said of sets of [`RUNS_MIN`] runs or more. Of two to four a change is told where it is
//!   large beyond doubt; of one run, never.
//! - A maximum is shown and decides nothing.

use serde::{Deserialize, Serialize};

use crate::histogram::interval::quantile_name;
use crate::histogram::{Sparse, SparseLatencies};
use crate::units;

mod judge;
mod trend;
mod verdict;

pub use judge::{Judged, Kind, Line, Observation, RUNS_MIN, judge, too_small};
pub use trend::{SET_TAG, Trend, TrendRun, TrendStep};
pub use verdict::{Comparison, Figure, QuantileRow};

/// Change that counts as none unless the caller says otherwise; a share of the base.
pub const TOLERANCE: f64 = 0.05;
/// The quantiles that are shown. All but the maximum decide.
const QUANTILES: [f64; 6] = [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0];
/// A quantile says something when at least this many samples of a run lie beyond it.
const BEYOND_MIN: f64 = 10.0;

/// What became of a figure, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Beyond the noise and the tolerance.
    Better,
    /// Not so, in sets that are large enough to tell.
    Same,
    /// Beyond the noise and the tolerance.
    Worse,
    /// Of all lines together: some are better and some worse.
    Mixed,
    /// What stands on both sides is not the same thing.
    Unlike,
    /// Too few samples, or too few runs, to tell.
    Unknown,
}

impl Change {
    /// Whether anything is worse.
    #[must_use]
    pub const fn has_worsened(self) -> bool {
        matches!(self, Self::Worse | Self::Mixed)
    }

    /// The word for people.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Same => "same",
            Self::Worse => "worse",
            Self::Mixed => "better in some, worse in others",
            Self::Unlike => "unlike",
            Self::Unknown => "cannot be told",
        }
    }
}

/// The quantiles of the times of one run, in ms.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// Samples.
    samples: u64,
    /// The figures at [`QUANTILES`]; none without samples.
    at: [Option<Observation>; QUANTILES.len()],
}

impl From<&Sparse> for Times {
    fn from(samples: &Sparse) -> Self {
        let ends = |quantile| {
            let interval = samples.interval(quantile).ok()?;
            Some((
                units::ns_to_ms(interval.low),
                units::ns_to_ms(interval.high),
            ))
        };
        let at = QUANTILES.map(|quantile| {
            Some(Observation {
                value: units::ns_to_ms(samples.value_at_quantile(quantile)?),
                interval: (quantile < 1.0).then(|| ends(quantile)).flatten(),
            })
        });
        Self {
            samples: samples.len(),
            at,
        }
    }
}

/// What is compared of one run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The test's id.
    pub id: String,
    /// Response times.
    pub response: Times,
    /// Service times.
    pub service: Times,
    /// Answers that are no error, a second; 0 is no figure to judge by, and is said.
    pub requests_per_second: Option<f64>,
    /// Requests that were tried, and those of them that failed.
    pub tried: u64,
    /// Those of them that failed.
    pub failed: u64,
}

impl Run {
    /// The run of those histograms, without counts.
    #[must_use]
    pub fn new(id: &str, latencies: &SparseLatencies) -> Self {
        Self {
            id: id.to_owned(),
            response: Times::from(&latencies.response),
            service: Times::from(&latencies.service),
            ..Self::default()
        }
    }
}

/// How two sets are compared.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Change that counts as none, a share of the base.
    pub tolerance: f64,
    /// In what the sets are unlike, in words, where they are compared all the same.
    pub differences: Vec<String>,
    /// Whether they were offered another load, so that the answers a second are no measure.
    pub loads_differ: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            tolerance: TOLERANCE,
            differences: Vec::new(),
            loads_differ: false,
        }
    }
}

/// Holds the runs of `test` against those of `base`.
#[must_use]
pub fn compare(base: &[Run], test: &[Run], terms: &Terms) -> Comparison {
    let times = |of: fn(&Run) -> &Times| -> Vec<Line> {
        let lines = QUANTILES.iter().enumerate();
        lines
            .map(|(at, quantile)| time_line(at, *quantile, base, test, of))
            .collect()
    };
    let counts = |of: fn(&Run) -> Option<Observation>, kind| Line {
        kind,
        base: base.iter().filter_map(of).collect(),
        test: test.iter().filter_map(of).collect(),
        unjudged: None,
    };
    let mut rate = counts(
        |run| {
            let rate = run.requests_per_second.filter(|rate| *rate > 0.0);
            rate.map(Observation::of)
        },
        Kind::Rate,
    );
    rate.unjudged = without_good_answers(base, test).map(|reason| (Change::Unknown, reason));
    if terms.loads_differ {
        let reason = "other loads were offered".to_owned();
        rate.unjudged = Some((Change::Unlike, reason));
    }
    let errors = counts(|run| Observation::share(run.failed, run.tried), Kind::Share);
    let mut lines = vec![rate, errors];
    lines.extend(times(|run| &run.response));
    lines.extend(times(|run| &run.service));
    let judged = judge(&lines, terms.tolerance);
    verdict::Comparison::new(base, test, terms, &judged)
}

/// What is said of runs that had no good answer: their rate is no factor of any other, and without
/// them the rates of a set would look better than it is.
fn without_good_answers(base: &[Run], test: &[Run]) -> Option<String> {
    let is_dead = |run: &&Run| run.requests_per_second.is_some_and(|rate| rate <= 0.0);
    let dead = base.iter().chain(test).filter(is_dead);
    let mut ids: Vec<&str> = dead.map(|run| run.id.as_str()).collect();
    // A run may stand on both sides.
    ids.sort_unstable();
    ids.dedup();
    (!ids.is_empty()).then(|| format!("a run without any good answer: {}", ids.join(", ")))
}

fn time_line(at: usize, quantile: f64, base: &[Run], test: &[Run], of: fn(&Run) -> &Times) -> Line {
    let figures = |runs: &[Run]| runs.iter().filter_map(|run| of(run).at[at]).collect();
    let says = |samples: u64| samples as f64 * (1.0 - quantile) >= BEYOND_MIN - 1e-6;
    // A run without samples has no figure, so that the others' are judged as if it were not there.
    let samples = base.iter().chain(test).map(|run| of(run).samples);
    let fewest = samples.filter(|samples| *samples > 0).min();
    let unjudged = if quantile >= 1.0 {
        Some("a maximum is a matter of luck".to_owned())
    } else {
        let fewest = fewest.filter(|samples| !says(*samples));
        fewest.map(|samples| too_few(samples, quantile))
    };
    Line {
        kind: Kind::Time,
        base: figures(base),
        test: figures(test),
        unjudged: unjudged.map(|reason| (Change::Unknown, reason)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast to an integer saturates"
)]
fn too_few(samples: u64, quantile: f64) -> String {
    let needed = (BEYOND_MIN / (1.0 - quantile) - 1e-6).ceil() as u64;
    let (name, beyond) = (
        quantile_name(quantile),
        (samples as f64 * (1.0 - quantile)) as u64,
    );
    format!("too few samples: {beyond} beyond {name} in a run of {samples}; {needed} would tell")
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
