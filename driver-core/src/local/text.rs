//! The result of a run as people read it.

use std::fmt::Write;
use std::net::SocketAddr;

use proto::summary::words::{self, ConnectionCounts};
use proto::summary::{LinkUse, LittlesLaw, Statistics, TestResult};
use proto::units::format_ns;
use proto::workload::{Arrival, LoadStage};

use crate::load::{Addresses, Load, Server};
use crate::plan::Plan;
use crate::transport::Handshakes;

/// A wait for the last answers that is worth a word, s.
const DRAIN_MIN_S: f64 = 0.1;

/// One line on what is about to run, and on what.
pub(super) fn banner(plan: &Plan, load: &Load, cpus: &[usize]) -> String {
    let workload = plan.workload();
    let shape = match &workload.arrival {
        Arrival::ClosedLoop => "closed loop".to_owned(),
        Arrival::Bursts { gap_ns, burst } => format!("{burst} every {}", format_ns(*gap_ns)),
        Arrival::Rate(rate) => format!("{rate} requests/s"),
        Arrival::Stages(stages) => format!("{} stages", stages.len()),
    };
    let cpus: Vec<String> = cpus
        .iter()
        .take(load.cores())
        .map(ToString::to_string)
        .collect();
    let ring = load
        .ring_features()
        .map_or_else(|| "none".to_owned(), |f| f.to_string());
    let streams = match workload.pipeline {
        1 => String::new(),
        n if load.servers().iter().all(|server| server.http() == "2") => {
            format!(" of {n} streams")
        }
        n => format!(" of {n} requests in flight"),
    };
    let target = match load.servers() {
        [_] => workload.target.shown(),
        several => format!("{} servers", several.len()),
    };
    let what = if let Some(cast) = plan.cast() {
        let (flows, steps) = (cast.scenario.flows.len(), cast.scenario.steps.len());
        match cast.replayed() {
            Some(whole) => format!("{target}: {}", replayed(whole, &cast.scenario.load.stages)),
            None => format!("{target}: sessions of {flows} flows, {steps} requests"),
        }
    } else {
        format!("{} {target}: {shape}", workload.request.method)
    };
    format!(
        "{what}, {} connections{streams}, CPU {}, io_uring {ring}{}",
        load.connections_open(),
        cpus.join(","),
        servers(load.servers())
    )
}

/// Where the connections go and what they speak: of several servers each under its name.
fn servers(servers: &[Server]) -> String {
    let mut text = String::new();
    for server in servers {
        if servers.len() > 1 {
            let _ = write!(text, "\n  {}", server.url);
        }
        text.push_str(&addresses(&server.addresses));
        let tls = server.tls_report(Handshakes::default());
        for line in words::protocol(Some(server.http()), tls.as_ref()) {
            let _ = write!(text, "\n  {line}");
        }
    }
    text
}

/// What comes of a log: so many requests, in so many ns. Where the load says how much of it is played,
/// neither is known before it has been.
fn replayed((requests, ns): (u64, u64), stages: &[LoadStage]) -> String {
    let for_ns = stages.iter().filter_map(|stage| stage.for_ns).min();
    let is_cut = for_ns.is_some() || stages.iter().any(|stage| stage.sessions.is_some());
    let duration = format_ns(for_ns.map_or(ns, |for_ns| for_ns.min(ns)));
    if is_cut {
        format!("at most {requests} requests of a log, replayed in at most {duration}")
    } else {
        format!("a log of {requests} requests, replayed in {duration}")
    }
}

/// Where the connections go, where there is a choice.
fn addresses(addresses: &Addresses) -> String {
    let list = |addresses: &[SocketAddr]| {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    let mut text = String::new();
    if let Some(socket) = &addresses.socket {
        let _ = write!(text, "\n  to the socket {}", socket.display());
    }
    if addresses.used.len() > 1 || !addresses.silent.is_empty() {
        let _ = write!(text, "\n  to {} in turn", list(&addresses.used));
    }
    if !addresses.silent.is_empty() {
        let _ = write!(
            text,
            "; not to {}, which take no connection",
            list(&addresses.silent)
        );
    }
    text
}

/// The whole result in a screen of text.
pub(super) fn summary(result: &TestResult) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = counts(&mut out, result);
    let _ = latencies(&mut out, result);
    if let Some(rows) = &result.sessions {
        out.push_str(&words::sessions(rows));
    }
    let _ = judgement(&mut out, result);
    out
}

fn counts(out: &mut String, result: &TestResult) -> std::fmt::Result {
    let t = &result.tally;
    let rate = t.requests_per_second.unwrap_or(0.0);
    write!(
        out,
        "\n{} in {:.2} s: {rate:.1} ok/s",
        result.state, t.elapsed_s
    )?;
    if let Some(drain_s) = t.drain_s.filter(|drain_s| *drain_s >= DRAIN_MIN_S) {
        let sending_s = t.elapsed_s - drain_s;
        let words = "then waited for the last answers";
        write!(
            out,
            "; sent for {sending_s:.2} s, {words} for {drain_s:.2} s"
        )?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "  planned {}  sent {}  completed {}  ok {}",
        t.planned, t.sent, t.completed, t.ok
    )?;
    let others = [
        ("returned unprocessed", t.returned),
        ("shed", t.shed),
        ("refused", t.refused),
        ("not sent", t.not_sent),
        ("aborted", t.aborted),
        ("of unknown fate", t.unknown),
        ("sent as warm-up, counted nowhere else", t.warmup_sent),
    ];
    let away_ns = result.nodes.iter().map(|node| node.health.away_ns).max();
    let away = away_ns.filter(|ns| *ns > 0).map(|ns| {
        format!(
            "the target was away for {}, summed over cores",
            format_ns(ns)
        )
    });
    let lines = words::counts(others)
        .into_iter()
        .chain(away)
        .chain([words::errors(&t.errors, t.connect_errors)])
        .chain(
            words::reasons(&result.reasons)
                .into_iter()
                .map(|line| format!("  {line}")),
        )
        .chain(words::bad_answers(&result.bad_answers));
    lines
        .into_iter()
        .try_for_each(|line| writeln!(out, "{}", format!("  {line}").trim_end()))?;
    let codes: Vec<String> = t
        .status_codes
        .iter()
        .map(|(c, n)| format!("{c}: {n}"))
        .collect();
    let (sent, received) = (megabytes(t.bytes.sent), megabytes(t.bytes.received));
    writeln!(
        out,
        "  status {}  bytes sent {sent}, received {received}",
        codes.join("  ")
    )?;
    network(out, result)
}

/// Connections, where they went, and what was spoken on them.
fn network(out: &mut String, result: &TestResult) -> std::fmt::Result {
    let t = &result.tally;
    let node = result.nodes.first();
    let spread = node.and_then(|node| node.tally.connections.spread);
    let connections = words::connections(&ConnectionCounts {
        opened: t.connections.opened,
        lost: t.connections.lost,
        unsolicited: t.connections.unsolicited,
        held: spread.map(|spread| spread.count),
        sends: t.sent.saturating_add(t.warmup_sent),
    });
    let spread = spread.map(|c| {
        let (min, median, max) = (c.answers_min, c.answers_median, c.answers_max);
        let never = c.never_served;
        format!("answers a connection: min {min}  median {median}  max {max}  never served {never}")
    });
    let protocol = node.map(|node| {
        let (http, tls) = (node.http.as_deref(), node.tls.as_ref());
        words::protocols(http, tls, &node.servers)
    });
    let environment = node.and_then(|node| node.environment.as_ref());
    connections
        .into_iter()
        .chain(spread)
        .chain(protocol.into_iter().flatten())
        .chain(environment.and_then(words::environment))
        .try_for_each(|line| writeln!(out, "  {line}"))
}

fn latencies(out: &mut String, result: &TestResult) -> std::fmt::Result {
    writeln!(
        out,
        "\n  {:<13}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "ms", "min", "mean", "p50", "p90", "p99", "p99.9", "max"
    )?;
    row(out, "response", &result.metrics)?;
    row(out, "service", &result.service)?;
    row(out, "release lag", &result.release_lag)?;
    row(out, "first byte", &result.first_byte)?;
    row(out, "connect", &result.connect)?;
    row(out, "TLS handshake", &result.handshake)?;
    row(out, "errors", &result.error_latency)?;
    let law = result.littles_law.as_ref().map(LittlesLaw::in_words);
    let link = LinkUse::fullest(&result.links).map(LinkUse::in_words);
    words::intervals(&result.intervals.response)
        .into_iter()
        .chain(law)
        .chain(link)
        .try_for_each(|line| writeln!(out, "  {line}"))
}

fn row(out: &mut String, name: &str, s: &Statistics) -> std::fmt::Result {
    if s.max.is_none() {
        return Ok(());
    }
    write!(out, "  {name:<13}")?;
    for value in [s.min, s.mean, s.p50, s.p90, s.p99, s.p99_9, s.max] {
        write!(out, "{:>10.3}", value.unwrap_or(f64::NAN))?;
    }
    writeln!(out)
}

fn judgement(out: &mut String, result: &TestResult) -> std::fmt::Result {
    writeln!(out, "\nverdict: {}", result.verdict.verdict)?;
    for reason in &result.verdict.reasons {
        writeln!(out, "  {reason}")?;
    }
    for threshold in &result.thresholds {
        let (text, observed) = (&threshold.threshold, threshold.observed);
        writeln!(out, "{}", words::threshold(text, observed, threshold.pass))?;
    }
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests;
