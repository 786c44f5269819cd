//! The Prometheus text exposition of the counters.

use std::fmt::Write;

use crate::capacity::Figures;
use crate::counters::Totals;

/// The content type of the exposition format that [`render`] writes.
pub const CONTENT_TYPE: &str = "Content-Type: text/plain; version=0.0.4; charset=utf-8";

/// Renders the totals, and what queue and bucket counted.
#[must_use]
pub fn render(totals: &Totals, capacity: &Figures) -> String {
    let mut text = String::with_capacity(1024);
    let mut single = |name: &str, kind: &str, help: &str, value: u64| {
        family(&mut text, name, kind, help);
        let _ = writeln!(text, "{name} {value}");
    };
    single(
        "testserver_requests_total",
        "counter",
        "Requests received, without readings of /metric and /metrics.",
        totals.requests,
    );
    single(
        "testserver_request_body_bytes_total",
        "counter",
        "Bytes of request bodies received.",
        totals.body_bytes_in,
    );
    single(
        "testserver_response_body_bytes_total",
        "counter",
        "Bytes of response bodies given to the socket layer.",
        totals.body_bytes_out,
    );
    single(
        "testserver_connections_total",
        "counter",
        "Connections accepted.",
        totals.connections_opened,
    );
    single(
        "testserver_connections",
        "gauge",
        "Connections open now.",
        totals.connections_open,
    );
    single(
        "testserver_queued",
        "gauge",
        "Requests at the server that queue= stands for, or waiting for it, now.",
        capacity.queued,
    );
    single(
        "testserver_queued_max",
        "gauge",
        "The most of them that there ever were.",
        capacity.queued_max,
    );
    single(
        "testserver_collapses_total",
        "counter",
        "Times that the queue collapsed.",
        capacity.collapses,
    );
    single(
        "testserver_refusals_total",
        "counter",
        "Requests refused by the bucket, or for too long a wait.",
        capacity.refusals,
    );
    responses(&mut text, totals);
    text
}

fn responses(text: &mut String, totals: &Totals) {
    const NAME: &str = "testserver_responses_total";
    family(text, NAME, "counter", "Responses by status code.");
    for (status, count) in &totals.responses {
        let _ = writeln!(text, "{NAME}{{status=\"{status}\"}} {count}");
    }
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_follows_its_help_and_type() {
        let totals = Totals {
            responses: vec![(200, 6), (503, 1)],
            ..Totals::default()
        };
        let text = render(&totals, &Figures::default());
        assert!(text.ends_with('\n'));
        let mut family = "";
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words[0] == "#" {
                family = words[2];
                assert!(
                    matches!(words[1], "HELP" | "TYPE") && words.len() > 3,
                    "{line}"
                );
            } else {
                assert_eq!(words[0].split('{').next(), Some(family), "{line}");
                assert!(words[1].parse::<u64>().is_ok(), "{line}");
            }
        }
        assert!(text.contains("testserver_responses_total{status=\"503\"} 1\n"));
    }
}
