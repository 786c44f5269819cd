//! Whether a figure differs between two sets of runs: a t-test on the runs' own figures, and Holm's
//! correction for the number of figures that are looked at.
//!
//! What is tested is the mean of a figure over the runs of a set, since runs differ by more than
//! their samples tell: the machine, the layout of memory, the neighbours. Times and rates are tested
//! by their logarithms, in which a change is a factor and the spread does not grow with the value;
//! shares by the arc sine of their root, whose spread is the same near 0 as elsewhere.
//!
//! Between sets of one size it is Student's test, which bears unequal spreads where sizes are equal
//! (Box 1954) and finds more of so few runs; else Welch's, which bears both.
//!
//! Five figures that happen to lie close together say little of how far runs spread. So the spread
//! is taken to be no less than what the figures' own samples account for.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::Change;
use crate::histogram::interval::Z;

/// Probability that sets which do not differ are told apart, over all lines together.
const ALPHA: f64 = 0.05;
/// Fewest runs of a set from which "same" is said: with fewer a change of 10 % would be missed more
/// often than found.
pub const RUNS_MIN: usize = 5;
/// Fewest runs of a set of which a spread is known at all.
const RUNS_SPREAD_MIN: usize = 2;
/// Standard deviation that any figure has, as a share: histograms and clocks resolve no more.
const RESOLUTION: f64 = 0.0005;
/// A share has to change by this part of the tolerance at least: 0.1 percentage points of 5 %.
const SHARE_OF_TOLERANCE: f64 = 0.02;

/// A figure of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The figure.
    pub value: f64,
    /// The interval at 95 % that its own samples give it, where they do.
    pub interval: Option<(f64, f64)>,
}

impl Observation {
    /// A figure of which nothing else is known.
    #[must_use]
    pub const fn of(value: f64) -> Self {
        Self {
            value,
            interval: None,
        }
    }

    /// The share `part / whole`, with the interval of a count: Wilson's.
    #[must_use]
    pub fn share(part: u64, whole: u64) -> Option<Self> {
        if whole == 0 {
            return None;
        }
        let (count, total) = (part as f64, whole as f64);
        let value = count / total;
        let middle = (count + Z * Z / 2.0) / (total + Z * Z);
        let reach = Z * (count * (1.0 - value) + Z * Z / 4.0).sqrt() / (total + Z * Z);
        Some(Self {
            value,
            interval: Some(((middle - reach).max(0.0), (middle + reach).min(1.0))),
        })
    }
}

/// What kind of number a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Above 0; a change is a factor, and less is better: a time.
    Time,
    /// Above 0; a change is a factor, and more is better: a rate.
    Rate,
    /// 0 to 1; a change is a difference, and less is better: a rate of errors.
    Share,
}

/// A figure in every run of both sets.
#[derive(Debug, Clone)]
pub struct Line {
    /// What kind of number it is.
    pub kind: Kind,
    /// In the runs of the base that have it.
    pub base: Vec<Observation>,
    /// In those of the test.
    pub test: Vec<Observation>,
    /// Why it is not judged, whatever it comes to.
    pub unjudged: Option<(Change, String)>,
}

/// What became of a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// In the base: the mean over its runs, on the scale that is tested.
    pub base: Option<f64>,
    /// In the test.
    pub test: Option<f64>,
    /// The interval at 95 % of `base`: that of its own samples where there is one run, else what the
    /// runs' spread gives.
    pub base_interval: Option<(f64, f64)>,
    /// The interval of `test`.
    pub test_interval: Option<(f64, f64)>,
    /// The change: (test - base) / base, of a share test - base.
    pub change: Option<f64>,
    /// The interval at 95 % of the change, of this line alone.
    pub change_interval: Option<(f64, f64)>,
    /// The probability of such a difference between sets that do not differ, with the number of
    /// lines allowed for.
    pub p_value: Option<f64>,
    /// What to think of it.
    pub verdict: Change,
    /// Why it is not judged, where it is not.
    pub reason: Option<String>,
}

/// Judges lines that are looked at together. A change up to `tolerance`, a share of the base, counts
/// as none, however certain it is.
#[must_use]
pub fn judge(lines: &[Line], tolerance: f64) -> Vec<Judged> {
    let tests: Vec<Option<Difference>> = lines.iter().map(Difference::of).collect();
    let is_looked_at = |line: &Line| line.unjudged.is_none();
    let p_values: Vec<Option<f64>> = lines
        .iter()
        .zip(&tests)
        .map(|(line, test)| Some(test.as_ref().filter(|_| is_looked_at(line))?.p_value()))
        .collect();
    let adjusted = holm(&p_values);
    lines
        .iter()
        .zip(&tests)
        .zip(adjusted)
        .map(|((line, test), p_value)| line.judged(test.as_ref(), p_value, tolerance))
        .collect()
}

/// Holm's step-down correction: with it, all lines together are told apart wrongly no more often
/// than one would be alone, however they depend on each other.
fn holm(p_values: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<(usize, f64)> = p_values
        .iter()
        .enumerate()
        .filter_map(|(at, p_value)| Some((at, (*p_value)?)))
        .collect();
    order.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let mut adjusted = vec![None; p_values.len()];
    let mut least = 0.0_f64;
    for (place, (at, p_value)) in order.iter().enumerate() {
        least = least.max(p_value * (order.len() - place) as f64).min(1.0);
        adjusted[*at] = Some(least);
    }
    adjusted
}

impl Kind {
    /// To the scale that is tested; `None` for what it does not take.
    fn scaled(self, value: f64) -> Option<f64> {
        match self {
            Self::Time | Self::Rate => (value > 0.0 && value.is_finite()).then(|| value.ln()),
            Self::Share => (0.0..=1.0).contains(&value).then(|| value.sqrt().asin()),
        }
    }

    fn unscaled(self, scaled: f64) -> f64 {
        match self {
            Self::Time | Self::Rate => scaled.exp(),
            Self::Share => scaled.clamp(0.0, std::f64::consts::FRAC_PI_2).sin().powi(2),
        }
    }

    /// The least standard deviation that a figure can have.
    fn resolution(self) -> f64 {
        match self {
            Self::Time | Self::Rate => RESOLUTION,
            Self::Share => RESOLUTION / 10.0,
        }
    }

    fn change(self, base: f64, test: f64) -> f64 {
        match self {
            Self::Time | Self::Rate => (test - base) / base,
            Self::Share => test - base,
        }
    }

    /// Whether a change is more than counts as none, the same in both directions.
    fn matters(self, base: f64, test: f64, tolerance: f64) -> bool {
        match self {
            Self::Time | Self::Rate => (test / base).ln().abs() > tolerance.ln_1p(),
            Self::Share => {
                let mean = f64::midpoint(base, test);
                (test - base).abs() > tolerance * mean.max(SHARE_OF_TOLERANCE)
            }
        }
    }
}

/// A set's figures on the scale that is tested.
struct Sample {
    count: usize,
    mean: f64,
    /// Variance of a single figure; `None` where nothing is known of it.
    variance: Option<f64>,
    /// What its own samples give a single run.
    own: Option<(f64, f64)>,
}

impl Sample {
    /// `None` without figures.
    fn of(kind: Kind, observations: &[Observation]) -> Option<Self> {
        let scaled: Vec<f64> = observations
            .iter()
            .filter_map(|one| kind.scaled(one.value))
            .collect();
        let count = scaled.len();
        if count == 0 {
            return None;
        }
        let mean = scaled.iter().sum::<f64>() / count as f64;
        let squares: f64 = scaled.iter().map(|value| (value - mean).powi(2)).sum();
        let own = observations.iter().filter_map(|one| {
            let (low, high) = one.interval?;
            Some((kind.scaled(high)? - kind.scaled(low)?) / (2.0 * Z))
        });
        let own: Vec<f64> = own.map(|deviation| deviation.powi(2)).collect();
        let of_samples = own.iter().sum::<f64>() / own.len().max(1) as f64;
        let floor = of_samples.max(kind.resolution().powi(2));
        Some(Self {
            count,
            mean,
            variance: (count >= RUNS_SPREAD_MIN).then(|| (squares / (count - 1) as f64).max(floor)),
            own: observations.first().and_then(|one| one.interval),
        })
    }

    fn interval(&self, kind: Kind) -> Option<(f64, f64)> {
        let Some(variance) = self.variance else {
            return self.own;
        };
        let reach = t_quantile((self.count - 1) as f64) * (variance / self.count as f64).sqrt();
        Some((
            kind.unscaled(self.mean - reach),
            kind.unscaled(self.mean + reach),
        ))
    }
}

/// The difference of two sets' means, and how far it may be from the true one.
struct Difference {
    mean: f64,
    error: f64,
    freedom: f64,
}

impl Difference {
    /// `None` where the spread of a set is not known.
    fn of(line: &Line) -> Option<Self> {
        let base = Sample::of(line.kind, &line.base)?;
        let test = Sample::of(line.kind, &line.test)?;
        let part = |sample: &Sample| Some(sample.variance? / sample.count as f64);
        let (one, other) = (part(&base)?, part(&test)?);
        Some(Self {
            mean: test.mean - base.mean,
            error: (one + other).sqrt(),
            freedom: if base.count == test.count {
                (2 * (base.count - 1)) as f64
            } else {
                welch_freedom((one, base.count), (other, test.count))
            },
        })
    }

    /// The probability of at least such a difference, in either direction, where there is none.
    fn p_value(&self) -> f64 {
        let ratio = (self.mean / self.error).abs();
        (2.0 * student(self.freedom).sf(ratio)).min(1.0)
    }

    fn interval(&self) -> (f64, f64) {
        let reach = t_quantile(self.freedom) * self.error;
        (self.mean - reach, self.mean + reach)
    }
}

/// The degrees of freedom of two variances of means and the sizes they are from (Welch 1947).
fn welch_freedom((one, base): (f64, usize), (other, test): (f64, usize)) -> f64 {
    let part = |variance: f64, count: usize| variance.powi(2) / (count - 1) as f64;
    (one + other).powi(2) / (part(one, base) + part(other, test))
}

fn student(freedom: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, freedom).expect("invariant: at least 1 degree of freedom")
}

/// Beyond which 2.5 % lie.
fn t_quantile(freedom: f64) -> f64 {
    student(freedom).inverse_cdf(1.0 - ALPHA / 2.0)
}

impl Line {
    fn judged(&self, test: Option<&Difference>, p_value: Option<f64>, tolerance: f64) -> Judged {
        let of = |observations: &[Observation]| Sample::of(self.kind, observations);
        let samples = (of(&self.base), of(&self.test));
        let value = |sample: &Option<Sample>| {
            let sample = sample.as_ref()?;
            Some(self.kind.unscaled(sample.mean))
        };
        let interval = |sample: &Option<Sample>| sample.as_ref()?.interval(self.kind);
        let (before, after) = (value(&samples.0), value(&samples.1));
        let both = before.zip(after);
        let (verdict, reason) = self.verdict(both, p_value, tolerance);
        Judged {
            base: before,
            test: after,
            base_interval: interval(&samples.0),
            test_interval: interval(&samples.1),
            change: both.map(|(base, test)| self.kind.change(base, test)),
            change_interval: both
                .zip(test)
                .map(|((base, _), test)| self.change_interval(base, test)),
            p_value,
            verdict,
            reason,
        }
    }

    fn change_interval(&self, base: f64, test: &Difference) -> (f64, f64) {
        let (low, high) = test.interval();
        let scaled = self.kind.scaled(base).unwrap_or_default();
        let change = |by: f64| self.kind.change(base, self.kind.unscaled(scaled + by));
        (change(low), change(high))
    }

    fn verdict(
        &self,
        both: Option<(f64, f64)>,
        p_value: Option<f64>,
        tolerance: f64,
    ) -> (Change, Option<String>) {
        if let Some((verdict, reason)) = &self.unjudged {
            return (*verdict, Some(reason.clone()));
        }
        let Some((base, test)) = both else {
            return match (self.base.is_empty(), self.test.is_empty()) {
                (true, true) => (Change::Unknown, Some("neither set has it".to_owned())),
                (true, false) => (Change::Unlike, Some("the base does not have it".to_owned())),
                _ => (Change::Unlike, Some("the test does not have it".to_owned())),
            };
        };
        let differs = p_value.is_some_and(|p_value| p_value <= ALPHA);
        if differs && self.kind.matters(base, test, tolerance) {
            let is_more_better = self.kind == Kind::Rate;
            let is_better = (test > base) == is_more_better;
            return (
                if is_better {
                    Change::Better
                } else {
                    Change::Worse
                },
                None,
            );
        }
        match too_small(self.base.len(), self.test.len()) {
            Some(reason) => (Change::Unknown, Some(reason)),
            None => (Change::Same, None),
        }
    }
}

/// What two sets of so many runs lack.
#[must_use]
pub fn too_small(base: usize, test: usize) -> Option<String> {
    let lacking = |count: usize, name: &str| {
        let more = RUNS_MIN.saturating_sub(count);
        (more > 0).then(|| format!("{more} more of the {name}"))
    };
    let lacking: Vec<String> = [lacking(base, "base"), lacking(test, "test")]
        .into_iter()
        .flatten()
        .collect();
    if lacking.is_empty() {
        return None;
    }
    Some(format!(
        "too small: {} of {RUNS_MIN} runs a set would tell",
        lacking.join(" and ")
    ))
}

#[cfg(test)]
mod tests;
