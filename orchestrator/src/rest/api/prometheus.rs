//! `GET /metrics`: the text exposition of Prometheus.

mod exposition;
mod runs;

use std::sync::atomic::{AtomicU64, Ordering};

use exposition::Exposition;

use super::{Answer, Worker};
use crate::control::registry::{INCOMPATIBLE, Liveness};
use crate::control::{MergerRow, Snapshot};
use crate::control_thread::Drops;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Worker {
    pub(super) fn exposition(&mut self) -> Answer {
        let snapshot = self.api.live.snapshot();
        let runs = self.exposed(&snapshot);
        let mut exposition = Exposition::default();
        cluster(&mut exposition, &snapshot);
        process(&mut exposition, &snapshot, self.api.handle.drops());
        self.front(&mut exposition);
        runs::write(&mut exposition, &runs);
        Answer::new(200, CONTENT_TYPE, exposition.into_bytes())
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
    mergers(out, snapshot);
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

/// Nothing where no merger was heard of.
fn mergers(out: &mut Exposition, snapshot: &Snapshot) {
    if snapshot.mergers.is_empty() {
        return;
    }
    out.family("dlts_mergers", "gauge", "Mergers by state.");
    for state in ["up", "silent", "incompatible"] {
        let is_so = |row: &&MergerRow| row.state == state;
        let count = snapshot.mergers.iter().filter(is_so).count();
        out.sample("dlts_mergers", &[("state", state)], count);
    }
    let partitions = || {
        let rows = snapshot.partitions.iter();
        rows.map(|row| (row.partition.to_string(), row))
    };
    let help = "Whether a merger reads this partition of metrics.";
    out.family("dlts_partition_merged", "gauge", help);
    for (partition, row) in partitions() {
        let merged = u8::from(row.merger_id.is_some());
        out.sample(
            "dlts_partition_merged",
            &[("partition", &partition)],
            merged,
        );
    }
    let help = "Messages of this partition of metrics that its merger had not read yet.";
    out.family("dlts_merger_lag_messages", "gauge", help);
    for (partition, row) in partitions() {
        let labels = [("partition", partition.as_str())];
        out.sample("dlts_merger_lag_messages", &labels, row.lag_messages);
    }
    let help = "Ranges of mergers, by what became of them.";
    out.family("dlts_merged_ranges_total", "counter", help);
    let ranges = snapshot.ranges;
    for (outcome, count) in [
        ("counted", ranges.counted),
        ("overlap", ranges.overlaps),
        ("reread", ranges.refused),
    ] {
        out.sample("dlts_merged_ranges_total", &[("outcome", outcome)], count);
    }
}

fn process(out: &mut Exposition, snapshot: &Snapshot, drops: &Drops) {
    let counts = snapshot.counts;
    let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
    for (name, help, value) in [
        ("dlts_reports_total", "Reports counted.", counts.reports),
        (
            "dlts_reports_merged_total",
            "Of them, those that came merged.",
            counts.reports_merged,
        ),
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
