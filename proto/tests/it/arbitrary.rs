//! Arbitrary messages, every field drawn from its whole range.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proto::digest::Sha256;
use proto::document::{Params, TlsParams};
use proto::measure::ClockOffset;
use proto::message::{
    ClockEcho, ClockProbe, Heartbeat, Need, NodeState, Register, Role, TestConfig, Trigger,
    TriggerKind,
};
use proto::workload::{Rate, RateSpec, Stage, TestType};

mod measured;

pub(crate) use measured::metrics;

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
