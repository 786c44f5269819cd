//! The result of a run as people read it.

use std::fmt::Write;
use std::net::SocketAddr;

use proto::measure::TlsReport;
use proto::summary::{Statistics, TestResult};
use proto::units::format_ns;
use proto::workload::Arrival;

use crate::load::{Addresses, Load};
use crate::plan::Plan;

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
    let tls = load.tls_report().as_ref().map(tls).unwrap_or_default();
    let target = workload.target.shown();
    let what = if let Some(cast) = plan.cast() {
        let (flows, steps) = (cast.scenario.flows.len(), cast.scenario.steps.len());
        format!("{target}: sessions of {flows} flows, {steps} requests")
    } else {
        format!("{} {target}: {shape}", workload.request.method)
    };
    format!(
        "{what}, {} connections, CPU {}, io_uring {ring}{}{tls}",
        load.connections_open(),
        cpus.join(","),
        addresses(load.addresses())
    )
}

/// Where the connections go, where there is a choice.
fn addresses(addresses: &Addresses) -> String {
    let list = |addresses: &[SocketAddr]| {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    let mut text = String::new();
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

/// What the first handshake came to, and whose certificate the target has.
fn tls(facts: &TlsReport) -> String {
    let parts = [
        Some(facts.version.clone()),
        Some(facts.cipher.clone()),
        facts.group.clone(),
        Some(facts.alpn.clone().unwrap_or_else(|| "no ALPN".to_owned())),
        facts
            .certificate
            .as_ref()
            .map(|certificate| certificate.subject.clone()),
        facts
            .insecure
            .then(|| "which nobody checks (--insecure)".to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("\n  {}", parts.join(", "))
}

/// The whole result in a screen of text.
pub(super) fn summary(result: &TestResult) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = counts(&mut out, result);
    let _ = latencies(&mut out, result);
    let _ = judgement(&mut out, result);
    out
}

fn counts(out: &mut String, result: &TestResult) -> std::fmt::Result {
    let t = &result.tally;
    let rate = t.requests_per_second.unwrap_or(0.0);
    writeln!(
        out,
        "\n{} in {:.2} s: {rate:.1} ok/s",
        result.state, t.elapsed_s
    )?;
    writeln!(
        out,
        "  planned {}  sent {}  completed {}  ok {}",
        t.planned, t.sent, t.completed, t.ok
    )?;
    writeln!(
        out,
        "  shed {}  not sent {}  aborted {}",
        t.shed, t.not_sent, t.aborted
    )?;
    let e = &t.errors;
    writeln!(
        out,
        "  errors: write {}  read {}  timeout {}  status {}  check {}  malformed {}  (connect {})",
        e.write, e.read, e.timeout, e.status, e.check, e.malformed, t.connect_errors
    )?;
    if t.warmup_sent > 0 {
        writeln!(
            out,
            "  warm-up, counted nowhere else: {} sent",
            t.warmup_sent
        )?;
    }
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
    if let Some(c) = result
        .nodes
        .first()
        .and_then(|node| node.tally.connections.spread)
    {
        let (min, median, max) = (c.answers_min, c.answers_median, c.answers_max);
        let never = c.never_served;
        writeln!(
            out,
            "  answers a connection: min {min}  median {median}  max {max}  never served {never}"
        )?;
    }
    Ok(())
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
    row(out, "errors", &result.error_latency)
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
        let word = if threshold.pass { "pass" } else { "FAIL" };
        let observed = threshold
            .observed
            .map_or_else(|| "no samples".to_owned(), |v| format!("{v:.3}"));
        writeln!(
            out,
            "threshold {}: {word} ({observed})",
            threshold.threshold
        )?;
    }
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
