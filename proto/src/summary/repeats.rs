//! Runs of one test after each other, and how far they are spread: what a single run cannot say.
//!
//! Each run stays one of its own. A figure of the set is the median of the runs' figures, and no
//! percentile is ever made of several runs' samples. What did not run to its end, or says nothing
//! about the target, is named and has no part in the spread.

use serde::{Deserialize, Serialize};

use super::{Brief, Judgement, Standing, words};
use crate::units;

/// Between the end of a run and the next one unless the caller says otherwise, so that the target's
/// queues are empty again, ns.
pub const REST_NS: u64 = 1_000_000_000;

/// The figures that are shown of each run; `None` where it has none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct RunFigures {
    /// Ok answers a second.
    pub requests_per_second: Option<f64>,
    /// Share (0 to 1) of what was attempted that failed.
    pub error_rate: Option<f64>,
    /// Response time, ms.
    pub p50_latency: Option<f64>,
    /// Response time, ms.
    pub p90_latency: Option<f64>,
    /// Response time, ms.
    pub p99_latency: Option<f64>,
    /// Response time, ms.
    pub p99_9_latency: Option<f64>,
    /// Response time, ms.
    pub max_latency: Option<f64>,
    /// Service time, ms.
    pub service_p50_latency: Option<f64>,
    /// Service time, ms.
    pub service_p99_latency: Option<f64>,
}

/// A figure of a run.
type Of = fn(&RunFigures) -> Option<f64>;

/// The figures by their names in the JSON.
const QUANTITIES: [(&str, Of); 9] = [
    ("requests_per_second", |run| run.requests_per_second),
    ("error_rate", |run| run.error_rate),
    ("p50_latency", |run| run.p50_latency),
    ("p90_latency", |run| run.p90_latency),
    ("p99_latency", |run| run.p99_latency),
    ("p99_9_latency", |run| run.p99_9_latency),
    ("max_latency", |run| run.max_latency),
    ("service_p50_latency", |run| run.service_p50_latency),
    ("service_p99_latency", |run| run.service_p99_latency),
];

impl From<&Brief> for RunFigures {
    fn from(run: &Brief) -> Self {
        Self {
            requests_per_second: run.requests_per_second,
            error_rate: run.error_rate(),
            p50_latency: run.metrics.p50,
            p90_latency: run.metrics.p90,
            p99_latency: run.metrics.p99,
            p99_9_latency: run.metrics.p99_9,
            max_latency: run.metrics.max,
            service_p50_latency: run.service.p50,
            service_p99_latency: run.service.p99,
        }
    }
}

/// One run of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// Its place, from 1 on.
    pub run: u32,
    /// The test; `None` where none came about.
    pub test_id: Option<String>,
    /// What it amounts to.
    pub standing: Standing,
    /// Whether its numbers may be believed.
    pub verdict: Judgement,
    /// Whether it has a part in the spread.
    pub counted: bool,
    /// What speaks against it, in words.
    pub reasons: Vec<String>,
    /// Its figures.
    #[serde(flatten)]
    pub figures: RunFigures,
}

/// How far a figure is spread over the runs that count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The figure, by its name in [`RunFigures`].
    pub quantity: String,
    /// Runs that have it.
    pub runs: usize,
    /// Its median.
    pub median: f64,
    /// Its smallest value.
    pub min: f64,
    /// Its largest value.
    pub max: f64,
    /// (max - min) / median; `None` of one run, and where the median is 0.
    pub relative_spread: Option<f64>,
}

/// A set of runs with the whole result of each that came about: the JSON of `--repeat`.
#[derive(Debug, Serialize)]
pub struct RepeatsWithResults<'a, R> {
    /// The set.
    #[serde(flatten)]
    pub set: &'a Repeats,
    /// The results, in the shape of `GET /metrics/{id}`.
    pub results: &'a [R],
}

/// A set of runs, as far as it has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeats {
    /// Runs that were asked for.
    pub asked: u32,
    /// From the end of one to the next, s.
    pub rest_s: f64,
    /// Whether it was ended by who ran it.
    pub interrupted: bool,
    /// The runs.
    pub runs: Vec<Repeat>,
    /// The figures of those that count.
    pub spread: Vec<Spread>,
}

impl Repeats {
    /// A set of so many runs that has not begun.
    #[must_use]
    pub const fn new(asked: u32, rest_s: f64) -> Self {
        Self {
            asked,
            rest_s,
            interrupted: false,
            runs: Vec::new(),
            spread: Vec::new(),
        }
    }

    /// Adds a run that has ended, and gives its row.
    pub fn add(&mut self, brief: &Brief) -> &Repeat {
        let standing = brief.standing();
        self.interrupted |= standing == Standing::Interrupted;
        self.push(Repeat {
            run: 0,
            test_id: Some(brief.test_id.clone()),
            standing,
            verdict: brief.verdict.verdict,
            counted: standing.counts(),
            reasons: reasons(brief, standing),
            figures: RunFigures::from(brief),
        })
    }

    /// Adds a run that is none of the others': its figures say nothing about them.
    pub fn add_apart(&mut self, brief: &Brief, reason: String) -> &Repeat {
        let standing = brief.standing().max(Standing::Incomplete);
        let more = reasons(brief, brief.standing());
        self.push(Repeat {
            run: 0,
            test_id: Some(brief.test_id.clone()),
            standing,
            verdict: brief.verdict.verdict,
            counted: false,
            reasons: [vec![reason], more].concat(),
            figures: RunFigures::from(brief),
        })
    }

    /// Adds a run that did not come about, or whose end nobody knows, and gives its row.
    pub fn add_failed(&mut self, test_id: Option<String>, reason: String) -> &Repeat {
        self.push(Repeat {
            run: 0,
            test_id,
            standing: Standing::Failed,
            verdict: Judgement::Invalid,
            counted: false,
            reasons: vec![reason],
            figures: RunFigures::default(),
        })
    }

    fn push(&mut self, mut row: Repeat) -> &Repeat {
        let place = self.runs.len();
        row.run = u32::try_from(place + 1).unwrap_or(u32::MAX);
        self.runs.push(row);
        self.spread = spread(&self.runs);
        &self.runs[place]
    }

    /// From the end of a run to the next one, ns.
    #[must_use]
    pub fn rest_ns(&self) -> u64 {
        units::seconds_to_ns(self.rest_s).unwrap_or(REST_NS)
    }

    /// Whether all runs that were asked for are there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.runs.len() >= self.asked as usize
    }

    /// What the set amounts to: as the worst of its runs.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let runs = self.runs.iter().map(|run| run.standing);
        let ended = self.interrupted.then_some(Standing::Interrupted);
        runs.chain(ended).max().unwrap_or_default()
    }
}

/// What speaks against a run, and why it does not count.
fn reasons(brief: &Brief, standing: Standing) -> Vec<String> {
    let mut reasons = Vec::new();
    match (&brief.aborted_by, standing) {
        (Some(condition), _) => reasons.push(format!("aborted: {condition}")),
        (None, Standing::Incomplete) => reasons.push(format!("it ended {}", brief.state)),
        _ => {}
    }
    if brief.verdict.verdict != Judgement::Valid {
        reasons.extend(brief.verdict.reasons.iter().cloned());
    }
    let breached = brief.thresholds.iter().filter(|threshold| !threshold.pass);
    reasons.extend(breached.map(|one| words::threshold(&one.threshold, one.observed, one.pass)));
    reasons
}

fn spread(runs: &[Repeat]) -> Vec<Spread> {
    let of_quantity = |(name, of): &(&str, Of)| {
        let counted = runs.iter().filter(|run| run.counted);
        let mut values: Vec<f64> = counted.filter_map(|run| of(&run.figures)).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let median = super::steadiness::median(&values);
        let is_said = values.len() > 1 && median > 0.0;
        Some(Spread {
            quantity: (*name).to_owned(),
            runs: values.len(),
            median,
            min,
            max,
            relative_spread: is_said.then(|| (max - min) / median),
        })
    };
    QUANTITIES.iter().filter_map(of_quantity).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn brief(state: &str, rate: f64, more: &Value) -> Brief {
        let mut all = json!({"test_id": "t", "state": state, "requests_per_second": rate,
            "sent": 100, "accounting": {"holds": true}, "metrics": {"p50_latency": rate / 100.0}});
        let into = all.as_object_mut().unwrap();
        into.extend(more.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn of<'a>(set: &'a Repeats, quantity: &str) -> &'a Spread {
        let mut spread = set.spread.iter();
        spread.find(|one| one.quantity == quantity).unwrap()
    }

    #[test]
    fn figures_are_those_of_the_runs_that_count() {
        let mut set = Repeats::new(5, 1.0);
        let invalid = json!({"verdict": {"verdict": "invalid", "reasons": ["nothing is ok"]}});
        set.add(&brief("done", 90.0, &json!({})));
        set.add(&brief("done", 1.0, &invalid));
        set.add(&brief("done", 110.0, &json!({})));
        set.add(&brief("partial", 2.0, &json!({})));
        let breached = json!([{"threshold": "p99<1ms", "observed": 2.0, "pass": false}]);
        set.add(&brief("done", 100.0, &json!({"thresholds": breached})));
        let rate = of(&set, "requests_per_second");
        assert_eq!(
            (rate.runs, rate.median, rate.min, rate.max),
            (3, 100.0, 90.0, 110.0)
        );
        assert_eq!(rate.relative_spread, Some(0.2));
        assert_eq!(
            of(&set, "error_rate").relative_spread,
            None,
            "a median of 0"
        );
        let counted: Vec<bool> = set.runs.iter().map(|run| run.counted).collect();
        assert_eq!(counted, [true, false, true, false, true]);
        assert_eq!(set.runs[1].reasons, ["nothing is ok"]);
        assert_eq!(set.runs[3].reasons, ["it ended partial"]);
        assert_eq!(set.runs[4].reasons, ["threshold p99<1ms: FAIL (2)"]);
        assert_eq!(set.standing(), Standing::Invalid);
        assert!(set.is_complete());
    }

    #[test]
    fn a_set_stands_as_its_worst_run() {
        let mut set = Repeats::new(3, 1.0);
        assert_eq!(set.standing(), Standing::Good);
        set.add(&brief("done", 1.0, &json!({})));
        assert_eq!(set.spread[0].relative_spread, None, "one run has no spread");
        set.add(&brief("aborted", 1.0, &json!({"aborted_by": "errors > 5"})));
        assert_eq!(set.standing(), Standing::Aborted);
        set.add_failed(None, "no connection".to_owned());
        assert_eq!(set.standing(), Standing::Failed);
        set.add_apart(
            &brief("done", 1.0, &json!({})),
            "on other drivers".to_owned(),
        );
        let apart = &set.runs[3];
        assert_eq!(
            (apart.standing, apart.counted),
            (Standing::Incomplete, false)
        );
        assert_eq!(apart.reasons, ["on other drivers"]);
        assert_eq!(set.spread[0].runs, 1, "it has no part in the spread");
        set.interrupted = true;
        assert_eq!(set.standing(), Standing::Interrupted);
        assert_eq!((set.runs[2].run, &set.runs[2].test_id), (3, &None));
    }

    proptest! {
        #[test]
        fn the_median_lies_between_the_ends_and_the_order_is_nothing(
            rates in proptest::collection::vec(0.001..1e6_f64, 1..20),
        ) {
            let of = |rates: &mut dyn Iterator<Item = f64>| {
                let mut set = Repeats::new(20, 0.0);
                for rate in rates {
                    set.add(&brief("done", rate, &json!({})));
                }
                set.spread
            };
            let spread = of(&mut rates.iter().copied());
            prop_assert_eq!(&spread, &of(&mut rates.iter().rev().copied()));
            for one in &spread {
                prop_assert!(one.min <= one.median && one.median <= one.max, "{:?}", one);
                prop_assert_eq!(one.runs, rates.len());
            }
        }
    }
}
