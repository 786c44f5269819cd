//! What drivers and orchestrators say.

use super::*;

pub(super) fn heartbeat(
    node_id: &str,
    state: Option<NodeState>,
    test_id: Option<&str>,
) -> Heartbeat {
    Heartbeat {
        node_id: node_id.to_owned(),
        heartbeat: true,
        timestamp: None,
        role: Role::Driver,
        state,
        test_id: test_id.map(str::to_owned),
        reason: (state == Some(NodeState::Failed)).then(|| "connection refused".to_owned()),
        probe: None,
        echo: None,
        incarnation: None,
        wire: Some(message::WIRE_VERSION),
        needs: Vec::new(),
    }
}

/// A driver's interval of ten requests.
pub(super) fn interval(node_id: &str, test_id: &str, sequence: u64) -> Metrics {
    let mut latencies = Latencies::new();
    for n in 1..=10 {
        latencies
            .response
            .saturating_record((sequence + n) * 1_000_000);
    }
    let row = SecondRow {
        second: sequence,
        offered: 10,
        sent: 10,
        completed: 10,
        ok: 10,
        ..SecondRow::default()
    };
    Metrics {
        node_id: node_id.into(),
        test_id: test_id.into(),
        report_id: None,
        metrics: LatencyFigures::default(),
        report: Some(Report {
            sequence_first: sequence,
            sequence,
            interval_start_ns: sequence * 1_000_000_000,
            interval_end_ns: (sequence + 1) * 1_000_000_000,
            counters: counters(if sequence == 0 { 20 } else { 0 }, 10),
            seconds: vec![row],
            first_send_ns: Some(0),
            latencies: SparseLatencies::from(&latencies),
            ..Report::default()
        }),
    }
}

fn counters(planned: u64, sent: u64) -> Counters {
    Counters {
        planned,
        offered: sent,
        sent,
        completed: sent,
        ok: sent,
        ..Counters::default()
    }
}

/// A driver's last report after two intervals, with this outcome.
pub(super) fn last(node_id: &str, test_id: &str, outcome: Outcome) -> Metrics {
    let mut message = interval(node_id, test_id, 2);
    let mut first = interval(node_id, test_id, 0).report.unwrap();
    let second = interval(node_id, test_id, 1).report.unwrap();
    first.append(&second);
    let report = message.report.as_mut().unwrap();
    report.last = true;
    report.seconds.clear();
    report.interval_start_ns = 0;
    report.interval_end_ns = 2_000_000_000;
    report.counters = counters(20, 20);
    report.latencies = first.latencies;
    report.outcome = Some(outcome);
    if outcome == Outcome::Failed {
        report.reason = Some("the target went away".into());
    }
    message
}

/// Everything that a driver reports on a run that goes well.
pub(super) fn whole(node_id: &str, test_id: &str) -> Vec<Metrics> {
    vec![
        interval(node_id, test_id, 0),
        interval(node_id, test_id, 1),
        last(node_id, test_id, Outcome::Done),
    ]
}

pub(super) fn config(test_id: &str) -> TestConfig {
    workload().to_config(test_id)
}

pub(super) fn start(test_id: &str, participants: &[&str]) -> Trigger {
    Trigger {
        test_id: test_id.into(),
        trigger: TriggerKind::Start,
        start_at_unix_ns: Some(UNIX_MS * 1_000_000),
        participants: Some(participants.iter().map(|id| (*id).to_owned()).collect()),
        n: None,
        clock_offsets: BTreeMap::new(),
        incarnations: BTreeMap::new(),
    }
}
