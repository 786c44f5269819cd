//! Arbitrary reports: what drivers count and measure.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proto::histogram::{self, Latencies, Sparse};
use proto::measure::{
    BadAnswer, BadAnswers, Certificate, Connections, Counters, DataCounts, Environment,
    ErrorCounters, FlowCounts, Health, LateRate, LatencyFigures, Outcome, PartProgress, Progress,
    RatesFollowed, ReasonKind, Reasons, Report, SecondRow, ServerReport, SessionCounts, StepCounts,
    TlsReport,
};
use proto::message::Metrics;

use super::{clock_offset, count, number, text};

fn counters() -> impl Strategy<Value = Counters> {
    let codes = btree_map(100..600_u16, count(), 0..4);
    (vec(count(), 19), vec(count(), 8), codes).prop_map(|(n, e, status_codes)| Counters {
        planned: n[0],
        offered: n[1],
        sent: n[2],
        completed: n[3],
        ok: n[4],
        shed: n[5],
        not_sent: n[6],
        aborted: n[7],
        warmup_sent: n[8],
        connect_errors: n[9],
        bytes_sent: n[10],
        bytes_received: n[11],
        clamped: n[12],
        returned: n[13],
        refused: n[14],
        unknown: n[15],
        connections_opened: n[16],
        connections_lost: n[17],
        unsolicited: n[18],
        errors: ErrorCounters {
            write: e[0],
            read: e[1],
            timeout: e[2],
            status: e[3],
            malformed: e[4],
            stale: e[5],
            unanswered: e[6],
            check: e[7],
        },
        status_codes,
    })
}

fn second() -> impl Strategy<Value = SecondRow> {
    (vec(count(), 8), vec(option::of(count()), 3)).prop_map(|(n, more)| SecondRow {
        second: n[0],
        offered: n[1],
        sent: n[2],
        completed: n[3],
        ok: n[4],
        errors: n[5],
        shed: n[6],
        refused: n[7],
        in_flight: more[0],
        bytes_sent: more[1],
        bytes_received: more[2],
    })
}

fn health() -> impl Strategy<Value = Health> {
    let share = || option::of(0.0..=1.0_f64);
    let shares = (share(), share(), share());
    (shares, vec(count(), 7)).prop_map(|((idle, steal, busy), n)| Health {
        cpu_idle_min: idle,
        cpu_busy_max: busy,
        cpu_steal_max: steal,
        stall_max_ns: n[0],
        descriptors_exhausted: n[1],
        ports_exhausted: n[2],
        dropped: n[3],
        throttled_ns: n[4],
        away_ns: n[5],
        held_back: n[6],
    })
}

fn reasons() -> impl Strategy<Value = Reasons> {
    let kinds = vec![ReasonKind::Read, ReasonKind::Stale, ReasonKind::Tls];
    vec((select(kinds), text(), count()), 0..12).prop_map(|notes| {
        let mut reasons = Reasons::default();
        for (kind, text, count) in notes {
            reasons.note(kind, &text, count);
        }
        reasons
    })
}

fn bad_answers() -> impl Strategy<Value = BadAnswers> {
    let answer = (option::of(text()), text(), 100..=999_u16, text());
    vec(answer, 0..12).prop_map(|answers| {
        let mut bad = BadAnswers::default();
        for (step, why, status, bytes) in answers {
            bad.note(BadAnswer::new(step, why, status, bytes.as_bytes()));
        }
        bad
    })
}

fn latencies() -> impl Strategy<Value = Latencies> {
    vec(vec(1..=histogram::HIGHEST_NS, 0..20), 7).prop_map(|samples| {
        let mut latencies = Latencies::new();
        for (histogram, samples) in [
            &mut latencies.response,
            &mut latencies.service,
            &mut latencies.release_lag,
            &mut latencies.error,
            latencies.connect.made(),
            latencies.handshake.made(),
            latencies.first_byte.made(),
        ]
        .into_iter()
        .zip(samples)
        {
            for sample in samples {
                histogram.record(sample).unwrap();
            }
        }
        latencies
    })
}

fn connections() -> impl Strategy<Value = Connections> {
    vec(count(), 5).prop_map(|n| Connections {
        count: n[0],
        answers_min: n[1],
        answers_median: n[2],
        answers_max: n[3],
        never_served: n[4],
    })
}

fn report() -> impl Strategy<Value = Report> {
    let outcomes = vec![
        Outcome::Done,
        Outcome::Aborted,
        Outcome::Failed,
        Outcome::Missed,
        Outcome::TargetLost,
    ];
    let span = (0..1000_u64, 0..1000_u64, any::<bool>(), count(), count());
    let counts = (counters(), vec(second(), 0..3));
    let clocks = (
        option::of(any::<i64>()),
        option::of(clock_offset()),
        option::of(count()),
        option::of(count()),
    );
    let end = (
        health(),
        option::of(connections()),
        option::of(select(outcomes)),
        option::of(text()),
        (reasons(), bad_answers()),
        vec(text(), 0..3),
        (
            option::of(text()),
            (option::of(tls_report()), vec(server_report(), 0..3)),
            (
                option::of(sessions()),
                option::of(progress()),
                option::of(rates()),
            ),
            option::of(environment()),
        ),
    );
    (span, counts, clocks, end, latencies()).prop_map(|(span, counts, clocks, end, latencies)| {
        Report {
            sequence_first: span.0,
            sequence: span.0 + span.1,
            last: span.2,
            interval_start_ns: span.3,
            interval_end_ns: span.4,
            counters: counts.0,
            seconds: counts.1,
            first_send_ns: clocks.0,
            clock: clocks.1,
            sending_ns: clocks.2,
            incarnation: clocks.3,
            health: end.0,
            connections: end.1,
            outcome: end.2,
            reason: end.3,
            reasons: end.4.0,
            bad_answers: end.4.1,
            addresses: end.5.into_iter().collect(),
            http: end.6.0,
            tls: end.6.1.0,
            servers: end.6.1.1,
            environment: end.6.3,
            rates: end.6.2.2.map(Box::new),
            sessions: end.6.2.0.map(Box::new),
            progress: end.6.2.1.map(Box::new),
            latencies: (&latencies).into(),
        }
    })
}

fn rates() -> impl Strategy<Value = RatesFollowed> {
    let late = (count(), count()).prop_map(|(number, late_ns)| LateRate { number, late_ns });
    (count(), vec(late, 0..3)).prop_map(|(known, late)| RatesFollowed { known, late })
}

fn times() -> impl Strategy<Value = Sparse> {
    latencies().prop_map(|latencies| Sparse::from(&latencies.response))
}

fn sessions() -> impl Strategy<Value = SessionCounts> {
    let checks = vec((count(), count()), 0..3);
    let step = (
        vec(count(), 6),
        checks,
        vec(count(), 0..3),
        times(),
        times(),
    )
        .prop_map(|(n, checks, missing, response, service)| StepCounts {
            sent: n[0],
            ok: n[1],
            status: n[2],
            failed: n[3],
            lost: n[4],
            without_value: n[5],
            checks,
            missing,
            response,
            service,
        });
    let flow = (vec(count(), 4), times()).prop_map(|(n, session)| FlowCounts {
        started: n[0],
        completed: n[1],
        failed: n[2],
        cut: n[3],
        session,
    });
    let data = (count(), count()).prop_map(|(used_up, left)| DataCounts { used_up, left });
    (vec(step, 0..3), vec(flow, 0..3), vec(data, 0..3))
        .prop_map(|(steps, flows, data)| SessionCounts { steps, flows, data })
}

fn progress() -> impl Strategy<Value = Progress> {
    let step = (any::<u32>(), prop::array::uniform6(count()));
    let flow = (any::<u32>(), prop::array::uniform4(count()));
    (vec(step, 0..3), vec(flow, 0..3)).prop_map(|(steps, flows)| {
        let steps = steps.into_iter();
        let flows = flows.into_iter();
        Progress {
            steps: steps
                .map(|(part, counts)| PartProgress { part, counts })
                .collect(),
            flows: flows
                .map(|(part, counts)| PartProgress { part, counts })
                .collect(),
        }
    })
}

fn tls_report() -> impl Strategy<Value = TlsReport> {
    let names = (text(), text(), option::of(text()), option::of(text()));
    let certificate =
        (text(), text(), count()).prop_map(|(subject, issuer, not_after_unix_s)| Certificate {
            subject,
            issuer,
            not_after_unix_s,
        });
    let counts = (count(), count(), any::<bool>());
    (names, counts, option::of(certificate)).prop_map(|(names, counts, certificate)| TlsReport {
        version: names.0,
        cipher: names.1,
        group: names.2,
        alpn: names.3,
        handshakes: counts.0,
        resumed: counts.1,
        insecure: counts.2,
        certificate,
    })
}

fn server_report() -> impl Strategy<Value = ServerReport> {
    let addresses = vec(text(), 0..3);
    let spoken = (option::of(text()), option::of(tls_report()));
    (text(), addresses, spoken).prop_map(|(server, addresses, (http, tls))| ServerReport {
        server,
        addresses: addresses.into_iter().collect(),
        http,
        tls,
    })
}

fn environment() -> impl Strategy<Value = Environment> {
    let numbers = (
        any::<Option<bool>>(),
        option::of(count()),
        option::of(count()),
    );
    let quota = option::of(number().prop_map(f64::abs));
    (vec(option::of(text()), 6), numbers, quota).prop_map(|(texts, numbers, cpu_quota)| {
        Environment {
            hostname: texts[0].clone(),
            version: texts[1].clone(),
            kernel: texts[2].clone(),
            processor: texts[3].clone(),
            virtual_machine: numbers.0,
            cpus: numbers.1,
            governor: texts[4].clone(),
            cpu_quota,
            interface: texts[5].clone(),
            link_mbit_per_s: numbers.2,
        }
    })
}

fn figures() -> impl Strategy<Value = LatencyFigures> {
    vec(option::of(number().prop_map(f64::abs)), 5).prop_map(|n| LatencyFigures {
        mean_latency: n[0],
        median_latency: n[1],
        min_latency: n[2],
        max_latency: n[3],
        mode_latency: n[4],
    })
}

pub(crate) fn metrics() -> impl Strategy<Value = Metrics> {
    (
        text(),
        text(),
        option::of(text()),
        figures(),
        option::of(report()),
    )
        .prop_map(|(node_id, test_id, report_id, metrics, report)| Metrics {
            node_id,
            test_id,
            report_id,
            metrics,
            report,
        })
}
