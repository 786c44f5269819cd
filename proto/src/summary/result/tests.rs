//! The curve, the skew, and the frozen shape of the JSON.

use serde_json::Value;

use super::*;
use crate::histogram;
use crate::measure::{LatencyFigures, Report};
use crate::message::Metrics;
use crate::summary::Judgement;

#[test]
fn the_curve_rises_from_the_smallest_to_the_largest() {
    let mut response = histogram::new();
    (1..=1000_u64).for_each(|ms| response.saturating_record(ms * 1_000_000));
    let points = curve(&Sparse::from(&response), &Sparse::default());
    let values: Vec<f64> = points
        .iter()
        .filter_map(|point| point.response_ms)
        .collect();
    assert!(values.is_sorted());
    assert!((values[0] - 1.0).abs() < 0.01 && (values[values.len() - 1] - 1000.0).abs() < 1.0);
    assert!(points.iter().all(|point| point.service_ms.is_none()));
    assert!(
        points
            .iter()
            .any(|point| (point.quantile - 0.5).abs() < 1e-9)
    );
}

#[test]
fn the_json_has_the_fields_of_the_contract() {
    let context = Context {
        test_id: "t",
        test_type: "TSUNAMI",
        state: "running",
        closed_loop: false,
        in_flight: None,
        level_load: true,
        ended: false,
        plan: Plan::Each(5),
        expected: &[],
        document: None,
        warmup_ns: 0,
        rates: &[],
        aborted_by: None,
        thresholds: &[],
        series_from: 0,
    };
    let json = serde_json::to_value(Summary::default().result(&context)).unwrap();
    let fields = "test_id test_type state planned sent returned completed ok shed refused not_sent \
        unknown aborted errors drain_s sent_per_second connections connect_errors \
        requests_per_second coverage metrics service release_lag connect handshake first_byte \
        status_codes bytes start_skew_ms verdict reasons addresses nodes series";
    for field in fields.split_whitespace() {
        assert!(json.get(field).is_some(), "{field} is missing");
    }
    let kinds = "write read timeout status malformed stale unanswered";
    for field in kinds.split_whitespace() {
        assert_eq!(json["errors"][field], 0);
    }
    for field in ["opened", "lost", "unsolicited"] {
        assert_eq!(json["connections"][field], 0);
    }
    assert_eq!(
        json["metrics"]["p99_latency"],
        Value::Null,
        "no samples, no number"
    );
    assert_eq!(json["verdict"]["verdict"], "valid");
    assert!(json["verdict"]["reasons"].is_array());
}

/// Whatever a message says, adding it up does not end the orchestrator.
#[test]
fn counts_beyond_belief_are_added_up_all_the_same() {
    let counters = Counters {
        offered: 1,
        sent: u64::MAX,
        shed: u64::MAX,
        not_sent: u64::MAX,
        ..Counters::default()
    };
    let mut summary = Summary::default();
    for node_id in ["a", "b"] {
        let report = Report {
            sequence_first: u64::MAX,
            sequence: u64::MAX,
            counters: counters.clone(),
            ..Report::default()
        };
        let last = Report {
            sequence_first: u64::MAX - 2,
            sequence: u64::MAX - 2,
            last: node_id == "a",
            ..report.clone()
        };
        for report in [report, last] {
            summary.absorb(&Metrics {
                node_id: node_id.into(),
                test_id: "t".into(),
                report_id: None,
                metrics: LatencyFigures::default(),
                report: Some(report),
            });
        }
    }
    let expected = ["a".to_owned(), "b".to_owned()];
    let result = summary.result(&Context {
        test_id: "t",
        test_type: "TSUNAMI",
        state: "partial",
        closed_loop: false,
        in_flight: None,
        level_load: true,
        ended: true,
        plan: Plan::Each(5),
        expected: &expected,
        document: None,
        warmup_ns: 0,
        rates: &[],
        aborted_by: None,
        thresholds: &[],
        series_from: 0,
    });
    assert_eq!(result.tally.sent, u64::MAX);
    assert_eq!(result.coverage.reports_missing, u64::MAX);
    assert_eq!(result.verdict.verdict, Judgement::Invalid);
}
