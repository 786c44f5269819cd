//! The summary says what happened, and is silent about what did not.

use proto::measure::{
    Connections, Counters, Environment, ErrorCounters, LatencyFigures, ReasonKind, Reasons, Report,
    TlsReport,
};
use proto::message::Metrics;
use proto::summary::{Context, Plan, Summary};

use super::*;

/// The text of a run of one node that ended with this report.
fn text_of(report: Report) -> String {
    let mut fold = Summary::default();
    let planned = report.counters.planned;
    fold.absorb(&Metrics {
        node_id: "local".to_owned(),
        test_id: "abc".to_owned(),
        report_id: None,
        metrics: LatencyFigures::default(),
        report: Some(Report {
            last: true,
            ..report
        }),
    });
    summary(&fold.result(&Context {
        test_id: "abc",
        test_type: "AVALANCHE",
        state: "done",
        closed_loop: false,
        in_flight: None,
        level_load: true,
        ended: true,
        plan: Plan::Each(planned),
        expected: &["local".to_owned()],
        document: None,
        warmup_ns: 0,
        rates: &[],
        aborted_by: None,
        thresholds: &[],
        series_from: 0,
    }))
}

#[test]
fn a_run_without_trouble_says_nothing_of_trouble() {
    let text = text_of(Report {
        interval_end_ns: 2_000_000_000,
        sending_ns: Some(1_990_000_000),
        counters: Counters {
            planned: 10,
            sent: 10,
            completed: 10,
            ok: 10,
            connections_opened: 2,
            ..Counters::default()
        },
        connections: Some(Connections {
            count: 2,
            ..Connections::default()
        }),
        http: Some("1.1".to_owned()),
        ..Report::default()
    });
    for word in [
        "planned 10  sent 10",
        "errors 0\n",
        "connections 2: opened 2\n",
    ] {
        assert!(text.contains(word), "{word:?} is missing in {text}");
    }
    for word in [
        "returned", "shed", "refused", "not sent", "away", "waited", "HTTP/", "lost", "warm-up",
    ] {
        assert!(!text.contains(word), "{word:?} is in {text}");
    }
}

#[test]
fn what_went_wrong_is_said_with_its_reasons() {
    let mut reasons = Reasons::default();
    reasons.note(ReasonKind::Timeout, "no whole answer within 1s", 3);
    reasons.note(ReasonKind::Refused, "the target is away", 250);
    let mut report = Report {
        interval_end_ns: 8_000_000_000,
        sending_ns: Some(6_000_000_000),
        counters: Counters {
            planned: 300,
            sent: 55,
            returned: 5,
            refused: 250,
            completed: 47,
            ok: 47,
            errors: ErrorCounters {
                timeout: 3,
                ..ErrorCounters::default()
            },
            connect_errors: 12,
            connections_opened: 8,
            connections_lost: 4,
            ..Counters::default()
        },
        connections: Some(Connections {
            count: 4,
            ..Connections::default()
        }),
        http: Some("2".to_owned()),
        environment: Some(Environment {
            kernel: Some("6.1.0".to_owned()),
            ..Environment::default()
        }),
        tls: Some(TlsReport {
            version: "TLS 1.3".to_owned(),
            cipher: "TLS13_AES_128_GCM_SHA256".to_owned(),
            alpn: Some("h2".to_owned()),
            handshakes: 8,
            resumed: 4,
            insecure: true,
            ..TlsReport::default()
        }),
        reasons,
        ..Report::default()
    };
    report.health.away_ns = 2_900_000_000;
    let text = text_of(report);
    for word in [
        "sent for 6.00 s, then waited for the last answers for 2.00 s",
        "returned unprocessed 5  refused 250\n",
        "the target was away for 2.90s, summed over cores",
        "errors 3: timeout 3; attempts to connect that failed 12",
        "    timeout: no whole answer within 1s (3 times)",
        "    refused: the target is away (250 times)",
        "connections 4: opened 8 (4 of them again), 6.9 requests on each, lost 4",
        "HTTP/2, TLS 1.3, TLS13_AES_128_GCM_SHA256, ALPN h2, 8 handshakes (50.0 % resumed)",
        "not checked",
        "  on Linux 6.1.0\n",
    ] {
        assert!(text.contains(word), "{word:?} is missing in {text}");
    }
}
