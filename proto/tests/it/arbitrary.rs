//! Arbitrary messages, every field drawn from its whole range.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proto::digest::Sha256;
use proto::document::{Params, TlsParams};
use proto::histogram::{self, Latencies, Sparse};
use proto::measure::{
    BadAnswer, BadAnswers, Certificate, ClockOffset, Connections, Counters, DataCounts,
    Environment, ErrorCounters, FlowCounts, Health, LatencyFigures, Outcome, ReasonKind, Reasons,
    Report, SecondRow, SessionCounts, StepCounts, TlsReport,
};
use proto::message::{
    ClockEcho, ClockProbe, Heartbeat, Metrics, Need, NodeState, Register, Role, TestConfig,
    Trigger, TriggerKind,
};
use proto::workload::{Rate, RateSpec, Stage, TestType};

/// Any text: quotes, control characters, emoji.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,12}",
        "[a-zA-Z]{20}",
        any::<String>().prop_map(|s| s.chars().take(8).collect())
    ]
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![0..1000_u64, any::<u64>()]
}

/// A finite number such as clients and configs hold.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0..100_000_u32).prop_map(f64::from),
        0.0..1e6_f64,
        Just(0.1),
        Just(1e-9),
        any::<f64>().prop_filter("JSON has no infinity", |n| n.is_finite()),
    ]
}

pub(crate) fn register() -> impl Strategy<Value = Register> {
    let ours = (
        option::of(text()),
        option::of(count()),
        option::of(text()),
        option::of(count()),
    );
    (text(), text(), text(), ours).prop_map(
        |(node_id, node_ip, message_type, (version, cores, hostname, incarnation))| Register {
            node_id,
            node_ip,
            message_type,
            version,
            cores,
            hostname,
            incarnation,
        },
    )
}

fn rate() -> impl Strategy<Value = Rate> {
    (Rate::MILLI_MIN..=Rate::MILLI_MAX).prop_map(|milli| Rate::from_milli(milli).unwrap())
}

fn rate_spec() -> impl Strategy<Value = RateSpec> {
    prop_oneof![
        rate().prop_map(RateSpec::Constant),
        (rate(), rate()).prop_map(|(from, to)| RateSpec::Ramp(from, to)),
    ]
}

fn stage() -> impl Strategy<Value = Stage> {
    (rate(), rate(), 1..9_000_000_000_000_u64).prop_map(|(from, to, duration_ns)| Stage {
        from,
        to,
        duration_ns,
    })
}

/// Header fields as they come out of validation: trimmed.
fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(("[A-Za-z-]{1,8}", "([!-~]([ -~]{0,8}[!-~])?)?"), 0..4)
}

fn params() -> impl Strategy<Value = Params> {
    let load = (
        option::of(text()),
        option::of(count()),
        option::of(count()),
        option::of(count()),
        option::of(rate_spec()),
        option::of(vec(stage(), 0..3)),
    );
    let request = (
        option::of(text()),
        option::of(headers()),
        option::of(text()),
        option::of(text()),
    );
    let limits = (
        option::of(number()),
        option::of(number()),
        option::of(number()),
        option::of(number()),
    );
    let rest = (
        option::of(count()),
        option::of(any::<bool>()),
        option::of(vec(text(), 0..3)),
        option::of(text()),
        option::of(count()),
        option::of(tls_params()),
        (option::of(text()), option::of(any::<bool>())),
    );
    (load, request, limits, rest).prop_map(|(load, request, limits, rest)| Params {
        target: load.0,
        requests: load.1,
        connections: load.2,
        burst: load.3,
        rate: load.4,
        stages: load.5,
        method: request.0,
        headers: request.1,
        body: request.2,
        body_base64: request.3,
        timeout_ms: limits.0,
        deadline_ms: limits.1,
        duration_s: limits.2,
        warmup_s: limits.3,
        pipeline: rest.0,
        phase: rest.1,
        threshold: rest.2,
        http: rest.3,
        requests_per_connection: rest.4,
        tls: rest.5,
        reuse: rest.6.0,
        preflight: rest.6.1,
    })
}

fn tls_params() -> impl Strategy<Value = TlsParams> {
    let names = (option::of(text()), option::of(text()), option::of(text()));
    let truths = (option::of(any::<bool>()), option::of(any::<bool>()));
    (names, truths, option::of(text())).prop_map(|(names, truths, key)| TlsParams {
        ca: names.0,
        insecure: truths.0,
        server_name: names.1,
        resume: truths.1,
        cert: names.2,
        key,
    })
}

pub(crate) fn test_config() -> impl Strategy<Value = TestConfig> {
    let test_type = select(vec![TestType::Avalanche, TestType::Tsunami]);
    (text(), test_type, number(), count(), params()).prop_map(
        |(test_id, test_type, test_message_delay, message_count_per_driver, params)| TestConfig {
            test_id,
            test_type,
            test_message_delay,
            message_count_per_driver,
            document: None,
            params,
        },
    )
}

fn clock_offset() -> impl Strategy<Value = ClockOffset> {
    (any::<i64>(), any::<u64>()).prop_map(|(offset_ns, uncertainty_ns)| ClockOffset {
        offset_ns,
        uncertainty_ns,
    })
}

pub(crate) fn trigger() -> impl Strategy<Value = Trigger> {
    (
        text(),
        select(vec![TriggerKind::Start, TriggerKind::Stop]),
        option::of(any::<u64>()),
        option::of(vec(text(), 0..5)),
        btree_map(text(), clock_offset(), 0..4),
        btree_map(text(), count(), 0..4),
        option::of(count()),
    )
        .prop_map(
            |(test_id, trigger, start, participants, clock_offsets, incarnations, n)| Trigger {
                test_id,
                trigger,
                start_at_unix_ns: start,
                participants,
                n,
                clock_offsets,
                incarnations,
            },
        )
}

fn state() -> impl Strategy<Value = NodeState> {
    select(vec![
        NodeState::Idle,
        NodeState::Preparing,
        NodeState::Ready,
        NodeState::Armed,
        NodeState::Running,
        NodeState::Draining,
        NodeState::Failed,
    ])
}

pub(crate) fn heartbeat() -> impl Strategy<Value = Heartbeat> {
    let about = (
        select(vec![Role::Driver, Role::Orchestrator]),
        option::of(state()),
        option::of(text()),
        option::of(text()),
    );
    let clocks = (
        option::of(any::<(u64, u64)>()),
        option::of(any::<(u64, u64, u64, u64)>()),
        option::of(count()),
        option::of(count()),
    );
    let needs = vec(any::<([u8; 32], u64, u64)>(), 0..3);
    let clocks = (clocks, needs);
    (text(), any::<bool>(), option::of(text()), about, clocks).prop_map(
        |(node_id, heartbeat, timestamp, (role, state, test_id, reason), (clocks, needs))| {
            let (probe, echo, incarnation, wire) = clocks;
            let need = |(sha256, bytes, from)| Need {
                sha256: Sha256::from_bytes(sha256),
                bytes,
                from,
            };
            Heartbeat {
                node_id,
                heartbeat,
                timestamp,
                role,
                state,
                test_id,
                reason,
                probe: probe.map(|(probe_id, sent_unix_ns)| ClockProbe {
                    probe_id,
                    sent_unix_ns,
                }),
                echo: echo.map(|(probe_id, sent, received, echoed)| ClockEcho {
                    probe_id,
                    sent_unix_ns: sent,
                    received_unix_ns: received,
                    echoed_unix_ns: echoed,
                }),
                incarnation,
                wire,
                needs: needs.into_iter().map(need).collect(),
            }
        },
    )
}

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
    vec(count(), 8).prop_map(|n| SecondRow {
        second: n[0],
        offered: n[1],
        sent: n[2],
        completed: n[3],
        ok: n[4],
        errors: n[5],
        shed: n[6],
        refused: n[7],
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
            option::of(tls_report()),
            option::of(sessions()),
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
            tls: end.6.1,
            environment: end.6.3,
            sessions: end.6.2.map(Box::new),
            latencies: (&latencies).into(),
        }
    })
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

fn environment() -> impl Strategy<Value = Environment> {
    let numbers = (any::<Option<bool>>(), option::of(count()));
    let quota = option::of(number().prop_map(f64::abs));
    (vec(option::of(text()), 5), numbers, quota).prop_map(|(texts, numbers, cpu_quota)| {
        Environment {
            hostname: texts[0].clone(),
            version: texts[1].clone(),
            kernel: texts[2].clone(),
            processor: texts[3].clone(),
            virtual_machine: numbers.0,
            cpus: numbers.1,
            governor: texts[4].clone(),
            cpu_quota,
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
