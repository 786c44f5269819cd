//! `GET /metrics`: the text exposition of Prometheus.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proto::summary::TestResult;

use super::{Answer, Worker};
use crate::control::Snapshot;
use crate::control::registry::{INCOMPATIBLE, Liveness};
use crate::control_thread::Drops;
use crate::live::Made;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The exposition as it grows.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, text)| format!("{label}=\"{}\"", escaped(text)))
            .collect();
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
        }
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{text}").expect("invariant: a String grows");
    }
}

/// Backslash, quote and newline are the only characters that a label's text escapes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

impl Worker {
    pub(super) fn exposition(&mut self) -> Answer {
        let snapshot = self.api.live.snapshot();
        let active = snapshot.active.iter();
        let active = active.filter_map(|test_id| snapshot.run(test_id));
        let results: Vec<Arc<Made>> = active.map(|seen| self.api.live.result(seen)).collect();
        let mut exposition = Exposition::default();
        cluster(&mut exposition, &snapshot);
        process(&mut exposition, &snapshot, self.api.handle.drops());
        self.front(&mut exposition);
        let results = results.iter().map(|made| &made.result);
        runs(&mut exposition, &results.collect::<Vec<_>>());
        Answer::new(200, CONTENT_TYPE, exposition.0.into_bytes())
    }

    fn front(&self, out: &mut Exposition) {
        let traffic = &self.api.traffic;
        let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
        out.single(
            "dlts_http_connections",
            "gauge",
            "Clients connected.",
            get(&traffic.open),
        );
        for (name, help, value) in [
            (
                "dlts_http_accepted_total",
                "Connections accepted.",
                &traffic.accepted,
            ),
            (
                "dlts_http_requests_total",
                "Requests passed on to the API.",
                &traffic.requests,
            ),
            (
                "dlts_http_refused_total",
                "Requests refused before the API.",
                &traffic.refused,
            ),
            (
                "dlts_http_closed_total",
                "Connections closed for being slow.",
                &traffic.closed,
            ),
        ] {
            out.single(name, "counter", help, get(value));
        }
    }
}

fn cluster(out: &mut Exposition, snapshot: &Snapshot) {
    out.family("dlts_nodes", "gauge", "Drivers by liveness.");
    let states = [Liveness::Up, Liveness::Suspect, Liveness::Down].map(Liveness::name);
    for state in states.into_iter().chain([INCOMPATIBLE]) {
        let count = snapshot.node_states().filter(|one| *one == state).count();
        out.sample("dlts_nodes", &[("state", state)], count);
    }
    out.family("dlts_tests", "gauge", "Tests by state.");
    for (phase, count) in snapshot.tests_by_phase() {
        out.sample("dlts_tests", &[("state", phase.name())], count);
    }
    let up = u8::from(snapshot.broker.trouble.is_none());
    out.single("dlts_broker_up", "gauge", "Whether the broker answers.", up);
    let ok = u8::from(snapshot.store_trouble.is_none());
    out.single(
        "dlts_store_ok",
        "gauge",
        "Whether the store can be written.",
        ok,
    );
}

fn process(out: &mut Exposition, snapshot: &Snapshot, drops: &Drops) {
    let counts = snapshot.counts;
    let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
    for (name, help, value) in [
        ("dlts_reports_total", "Reports counted.", counts.reports),
        (
            "dlts_reports_duplicate_total",
            "Reports that had been counted before.",
            counts.duplicates,
        ),
        (
            "dlts_messages_malformed_total",
            "Messages that make no sense.",
            counts.malformed,
        ),
        (
            "dlts_messages_dropped_total",
            "Messages on unknown tests, dropped.",
            counts.orphans_dropped,
        ),
        (
            "dlts_nodes_refused_total",
            "Messages of drivers beyond the most that are known, or with ids that cannot be.",
            counts.nodes_refused,
        ),
        (
            "dlts_store_reports_dropped_total",
            "Reports that the store could not take.",
            get(&drops.reports),
        ),
        (
            "dlts_log_lines_dropped_total",
            "Lines of the log that nobody took.",
            get(&drops.lines),
        ),
    ] {
        out.single(name, "counter", help, value);
    }
    out.single(
        "dlts_outbox_messages",
        "gauge",
        "Messages on their way to the broker.",
        snapshot.outbox_len,
    );
}

/// The tests that drivers are at work on.
fn runs(out: &mut Exposition, results: &[&TestResult]) {
    type Value = fn(&TestResult) -> u64;
    let counters: [(&str, &str, Value); 5] = [
        ("dlts_test_sent_total", "Requests sent.", |r| r.tally.sent),
        ("dlts_test_ok_total", "Answers below 400.", |r| r.tally.ok),
        (
            "dlts_test_errors_total",
            "Requests that ended in an error.",
            |r| r.tally.errors.total(),
        ),
        ("dlts_test_shed_total", "Requests given up unsent.", |r| {
            r.tally.shed
        }),
        (
            "dlts_test_connect_errors_total",
            "Failed attempts to connect.",
            |r| r.tally.connect_errors,
        ),
    ];
    for (name, help, value) in counters {
        out.family(name, "counter", help);
        for result in results {
            out.sample(name, &[("test_id", &result.test_id)], value(result));
        }
    }
    let name = "dlts_test_response_seconds";
    out.family(
        name,
        "gauge",
        "Response time over all drivers, by quantile.",
    );
    for result in results {
        let figures = &result.metrics;
        for (quantile, ms) in [
            ("0.5", figures.p50),
            ("0.9", figures.p90),
            ("0.99", figures.p99),
            ("0.999", figures.p99_9),
            ("1", figures.max),
        ] {
            let labels = [("test_id", result.test_id.as_str()), ("quantile", quantile)];
            out.sample(name, &labels, ms.map_or(f64::NAN, |ms| ms / 1e3));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut out = Exposition::default();
        out.family("a_total", "counter", "Help.");
        out.sample("a_total", &[("x", "q\"b\\n\nl")], 5);
        let expected =
            "# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"q\\\"b\\\\n\\nl\"} 5\n";
        assert_eq!(out.0, expected);
    }
}
