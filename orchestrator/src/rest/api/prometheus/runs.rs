//! The series of tests: of those that drivers are at work on, and of those that ended a while ago, so
//! that the last scrape has the whole of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::clock;
use proto::histogram::{Sparse, SparseLatencies};
use proto::measure::ErrorCounters;
use proto::summary::{SessionRows, Statistics, StepRow};
use serde::Deserialize;

use super::exposition::Exposition;
use crate::control::{Snapshot, TestRow};
use crate::rest::api::{Answer, Worker, store_away};

/// A test that has ended is shown for so long, ms: five scrapes at Prometheus' usual minute.
const SHOWN_FOR_MS: u64 = 5 * 60 * 1000;
/// Tests that are shown, the newest.
const TESTS_MAX: usize = 20;
/// Drivers of a test that have series of their own; of more none has.
const NODES_MAX: usize = 200;
/// Upper bounds of the histograms' buckets, s, as they are written.
const BOUNDS_S: [(&str, f64); 18] = [
    ("0.0001", 0.0001),
    ("0.00025", 0.000_25),
    ("0.0005", 0.0005),
    ("0.001", 0.001),
    ("0.0025", 0.0025),
    ("0.005", 0.005),
    ("0.01", 0.01),
    ("0.025", 0.025),
    ("0.05", 0.05),
    ("0.1", 0.1),
    ("0.25", 0.25),
    ("0.5", 0.5),
    ("1", 1.0),
    ("2.5", 2.5),
    ("5", 5.0),
    ("10", 10.0),
    ("30", 30.0),
    ("60", 60.0),
];

/// What is shown of a result, of one that goes on as of one that is stored.
#[derive(Debug, Deserialize)]
struct Figures {
    test_id: String,
    test_type: String,
    state: String,
    verdict: Judged,
    sent: u64,
    ok: u64,
    shed: u64,
    connect_errors: u64,
    errors: ErrorCounters,
    status_codes: BTreeMap<String, u64>,
    metrics: Statistics,
    service: Statistics,
    nodes: Vec<NodeFigures>,
    sessions: Option<SessionRows>,
}

#[derive(Debug, Deserialize)]
struct Judged {
    verdict: String,
}

/// What is shown of a driver.
#[derive(Debug, Deserialize)]
struct NodeFigures {
    node_id: String,
    sent: u64,
    ok: u64,
    errors: ErrorCounters,
    metrics: Statistics,
}

/// A test that is shown.
pub(super) struct Exposed {
    name: String,
    result: Figures,
    latencies: SparseLatencies,
}

impl Exposed {
    /// The labels of all its samples, and these.
    fn labels<'a>(&'a self, more: &[(&'static str, &'a str)]) -> Vec<(&'static str, &'a str)> {
        let own = [
            ("test_id", self.result.test_id.as_str()),
            ("name", &self.name),
        ];
        own.into_iter().chain(more.iter().copied()).collect()
    }

    fn nodes(&self) -> &[NodeFigures] {
        let nodes = &self.result.nodes;
        if nodes.len() > NODES_MAX { &[] } else { nodes }
    }

    fn steps(&self) -> &[StepRow] {
        let sessions = self.result.sessions.as_ref();
        sessions.map_or(&[], |sessions| &sessions.steps)
    }
}

impl Worker {
    /// The tests that are shown. One whose result the store does not give now is left out of this
    /// scrape, which has more to tell: that the store is in trouble, for one.
    pub(super) fn exposed(&mut self, snapshot: &Snapshot) -> Vec<Exposed> {
        let now_ms = clock::unix_ns() / 1_000_000;
        let is_shown = |row: &&Arc<TestRow>| {
            let is_new = |ended_ms| now_ms.saturating_sub(ended_ms) < SHOWN_FOR_MS;
            row.ended_unix_ms.is_some_and(is_new) || snapshot.active.contains(&row.test_id)
        };
        let rows = snapshot.newest_first().filter(is_shown).take(TESTS_MAX);
        rows.filter_map(|row| self.exposed_test(row).ok()).collect()
    }

    fn exposed_test(&mut self, row: &TestRow) -> Result<Exposed, Answer> {
        let result = self.result_without_series(&row.test_id)?;
        Ok(Exposed {
            name: row.labels.name.clone().unwrap_or_default(),
            result: serde_json::from_str(&result).map_err(|error| store_away(&error))?,
            latencies: self.latencies(&row.test_id)?,
        })
    }
}

/// Their series.
pub(super) fn write(out: &mut Exposition, runs: &[Exposed]) {
    states(out, runs);
    totals(out, runs);
    answers(out, runs);
    quantiles(out, runs);
    histograms(out, runs);
    nodes(out, runs);
    steps(out, runs);
}

fn states(out: &mut Exposition, runs: &[Exposed]) {
    let name = "dlts_test_info";
    out.family(name, "gauge", "What a test is, and how it stands.");
    for run in runs {
        let labels = [
            ("type", run.result.test_type.as_str()),
            ("state", &run.result.state),
            ("verdict", &run.result.verdict.verdict),
        ];
        out.sample(name, &run.labels(&labels), 1);
    }
}

fn totals(out: &mut Exposition, runs: &[Exposed]) {
    type Value = fn(&Figures) -> u64;
    let counters: [(&str, &str, Value); 5] = [
        ("dlts_test_sent_total", "Requests sent.", |r| r.sent),
        ("dlts_test_ok_total", "Answers below 400.", |r| r.ok),
        (
            "dlts_test_errors_total",
            "Requests that ended in an error.",
            |r| r.errors.total(),
        ),
        ("dlts_test_shed_total", "Requests given up unsent.", |r| {
            r.shed
        }),
        (
            "dlts_test_connect_errors_total",
            "Failed attempts to connect.",
            |r| r.connect_errors,
        ),
    ];
    for (name, help, value) in counters {
        out.family(name, "counter", help);
        for run in runs {
            out.sample(name, &run.labels(&[]), value(&run.result));
        }
    }
}

fn answers(out: &mut Exposition, runs: &[Exposed]) {
    let name = "dlts_test_answers_total";
    out.family(name, "counter", "Whole answers, by status.");
    for run in runs {
        for (status, count) in &run.result.status_codes {
            out.sample(name, &run.labels(&[("status", status)]), count);
        }
    }
    let name = "dlts_test_errors_by_kind_total";
    out.family(name, "counter", "Requests that ended in an error, by kind.");
    for run in runs {
        for (kind, count) in run.result.errors.by_kind() {
            out.sample(name, &run.labels(&[("kind", kind)]), count);
        }
    }
}

fn quantiles(out: &mut Exposition, runs: &[Exposed]) {
    let name = "dlts_test_response_seconds";
    out.family(
        name,
        "gauge",
        "Response time over all drivers, by quantile.",
    );
    for run in runs {
        let figures = &run.result.metrics;
        for (quantile, ms) in [
            ("0.5", figures.p50),
            ("0.9", figures.p90),
            ("0.99", figures.p99),
            ("0.999", figures.p99_9),
            ("1", figures.max),
        ] {
            out.sample(name, &run.labels(&[("quantile", quantile)]), seconds(ms));
        }
    }
}

/// Of what was given in ms, if it was.
fn seconds(ms: Option<f64>) -> f64 {
    ms.map_or(f64::NAN, |ms| ms / 1e3)
}

fn histograms(out: &mut Exposition, runs: &[Exposed]) {
    type Of = fn(&Exposed) -> (&Sparse, &Statistics);
    let histograms: [(&str, &str, Of); 2] = [
        (
            "dlts_test_response_time_seconds",
            "Response time of good answers, from the intended start, over all drivers.",
            |run| (&run.latencies.response, &run.result.metrics),
        ),
        (
            "dlts_test_service_time_seconds",
            "Service time of good answers, from the actual start, over all drivers.",
            |run| (&run.latencies.service, &run.result.service),
        ),
    ];
    for (name, help, of) in histograms {
        out.family(name, "histogram", help);
        let [bucket, sum, count] = ["bucket", "sum", "count"].map(|part| format!("{name}_{part}"));
        for run in runs {
            let (samples, figures) = of(run);
            for ((bound, _), below) in BOUNDS_S.iter().zip(up_to(samples)) {
                out.sample(&bucket, &run.labels(&[("le", bound)]), below);
            }
            let all = samples.len();
            out.sample(&bucket, &run.labels(&[("le", "+Inf")]), all);
            let mean_s = figures.mean.unwrap_or(0.0) / 1e3;
            out.sample(&sum, &run.labels(&[]), mean_s * all as f64);
            out.sample(&count, &run.labels(&[]), all);
        }
    }
}

/// Samples up to each bound. One of our buckets, a thousandth wide, that reaches over a bound is
/// counted above it.
fn up_to(samples: &Sparse) -> Vec<u64> {
    let mut buckets = samples.buckets().peekable();
    let mut sum = 0_u64;
    let up_to = |(_, bound_s): &(&str, f64)| {
        while let Some((.., count)) =
            buckets.next_if(|(_, highest, _)| *highest as f64 <= bound_s * 1e9)
        {
            sum += count;
        }
        sum
    };
    BOUNDS_S.iter().map(up_to).collect()
}

fn nodes(out: &mut Exposition, runs: &[Exposed]) {
    type Value = fn(&NodeFigures) -> u64;
    let counters: [(&str, &str, Value); 3] = [
        (
            "dlts_test_node_sent_total",
            "Requests a driver sent.",
            |n| n.sent,
        ),
        (
            "dlts_test_node_ok_total",
            "Answers below 400 a driver got.",
            |n| n.ok,
        ),
        (
            "dlts_test_node_errors_total",
            "Requests of a driver that ended in an error.",
            |n| n.errors.total(),
        ),
    ];
    for (name, help, value) in counters {
        out.family(name, "counter", help);
        for run in runs {
            for node in run.nodes() {
                out.sample(name, &run.labels(&[("node", &node.node_id)]), value(node));
            }
        }
    }
    let name = "dlts_test_node_response_p99_seconds";
    out.family(name, "gauge", "p99 of a driver's response time.");
    for run in runs {
        for node in run.nodes() {
            let labels = run.labels(&[("node", &node.node_id)]);
            out.sample(name, &labels, seconds(node.metrics.p99));
        }
    }
}

fn steps(out: &mut Exposition, runs: &[Exposed]) {
    type Value = fn(&StepRow) -> u64;
    let counters: [(&str, &str, Value); 3] = [
        (
            "dlts_test_step_sent_total",
            "Requests of a step of a document.",
            |s| s.sent,
        ),
        ("dlts_test_step_ok_total", "Good answers to a step.", |s| {
            s.ok
        }),
        (
            "dlts_test_step_failed_total",
            "Answers to a step of another status, or with a check that failed.",
            |s| s.status + s.failed,
        ),
    ];
    for (name, help, value) in counters {
        out.family(name, "counter", help);
        for run in runs {
            for step in run.steps() {
                let labels = run.labels(&[("flow", &step.flow), ("step", &step.name)]);
                out.sample(name, &labels, value(step));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_counted_up_to_each_bound() {
        let mut full = proto::histogram::new();
        for ns in [50_000, 99_000, 101_000, 900_000, 70_000_000_000] {
            full.saturating_record(ns);
        }
        let counts = up_to(&Sparse::from(&full));
        assert_eq!(counts[..4], [2, 3, 3, 4]);
        assert_eq!(counts.last(), Some(&4), "one is longer than a minute");
        assert!(
            BOUNDS_S
                .iter()
                .all(|(text, bound)| text.parse() == Ok(*bound))
        );
        assert!(BOUNDS_S.is_sorted_by(|one, other| one.1 < other.1));
    }
}
