//! A result as a table for people: nodes and total, then what to think of it.

use std::fmt::{self, Write};

use proto::summary::words::{self, ConnectionCounts};
use proto::summary::{LinkUse, LittlesLaw, RateRow, Statistics};

use super::{NodeView, Tally, View};

/// Columns of latency, with their heads.
type Figure = (&'static str, fn(&Statistics) -> Option<f64>);
const FIGURES: [Figure; 6] = [
    ("min", |s| s.min),
    ("mean", |s| s.mean),
    ("p50", |s| s.p50),
    ("p99", |s| s.p99),
    ("p99.9", |s| s.p99_9),
    ("max", |s| s.max),
];

/// The table.
#[must_use]
pub fn table(result: &View) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_table(&mut out, result);
    if let Some(rows) = &result.sessions {
        out.push_str(&words::sessions(rows));
        out.push('\n');
    }
    let _ = write_judgement(&mut out, result);
    out
}

fn write_table(out: &mut String, result: &View) -> fmt::Result {
    let kind = result.test_type.to_lowercase();
    writeln!(
        out,
        "{kind} {}: {} after {:.1} s",
        result.test_id, result.state, result.tally.elapsed_s
    )?;
    let width = result
        .nodes
        .iter()
        .map(|node| node.node_id.chars().count())
        .max();
    let width = width.unwrap_or(0).max("total".len());
    write!(
        out,
        "\n{:<width$} {:>10} {:>10} {:>8} {:>10}",
        "node", "sent", "ok", "errors", "ok/s"
    )?;
    for (name, _) in FIGURES {
        write!(out, " {name:>9}")?;
    }
    writeln!(out, "  release lag p99")?;
    for node in &result.nodes {
        write_row(
            out,
            width,
            &node.node_id,
            &node.tally,
            [&node.metrics, &node.release_lag],
        )?;
    }
    write_row(
        out,
        width,
        "total",
        &result.tally,
        [&result.metrics, &result.release_lag],
    )?;
    writeln!(
        out,
        "\nresponse times in ms, from the intended send; percentiles from merged histograms"
    )?;
    let law = result.littles_law.as_ref().map(LittlesLaw::in_words);
    let link = LinkUse::fullest(&result.links).map(LinkUse::in_words);
    let changes = result.rate_changes.iter().map(RateRow::in_words);
    changes
        .chain(words::intervals(&result.intervals.response))
        .chain(law)
        .chain(link)
        .try_for_each(|line| writeln!(out, "{line}"))
}

fn write_row(
    out: &mut String,
    width: usize,
    name: &str,
    tally: &Tally,
    [response, lag]: [&Statistics; 2],
) -> fmt::Result {
    let rate = tally
        .requests_per_second
        .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
    let errors = tally.errors.total();
    write!(
        out,
        "{name:<width$} {:>10} {:>10} {errors:>8} {rate:>10}",
        tally.sent, tally.ok
    )?;
    for (_, figure) in FIGURES {
        write!(out, " {:>9}", ms(figure(response)))?;
    }
    writeln!(out, "  {:>15}", ms(lag.p99))
}

/// Where the planned requests went, what went wrong, and on what connections.
fn write_accounts(out: &mut String, result: &View) -> fmt::Result {
    let tally = &result.tally;
    write!(out, "planned {} = sent {}", tally.planned, tally.sent)?;
    if tally.returned > 0 {
        write!(out, " - returned {}", tally.returned)?;
    }
    write!(out, " + shed {} + not sent {}", tally.shed, tally.not_sent)?;
    for (name, count) in [("refused", tally.refused), ("unknown", tally.unknown)] {
        if count > 0 {
            write!(out, " + {name} {count}")?;
        }
    }
    // It is only told at the end.
    let holds = result.accounting.holds || !result.has_ended();
    writeln!(out, "{}", if holds { "" } else { "   (does not add up)" })?;
    let others = [("aborted", tally.aborted), ("warm-up", tally.warmup_sent)];
    let held = result.nodes.iter().map(|node| node.tally.connections.count);
    let connections = words::connections(&ConnectionCounts {
        opened: tally.connections.opened,
        lost: tally.connections.lost,
        unsolicited: tally.connections.unsolicited,
        held: held.sum(),
        sends: tally.sent.saturating_add(tally.warmup_sent),
    });
    let is_bad = tally.errors.total() > 0 || tally.connect_errors > 0;
    let errors = is_bad.then(|| words::errors(&tally.errors, tally.connect_errors));
    let reasons = words::reasons(&result.reasons);
    let protocols = result.nodes.iter().map(|node| {
        let (http, tls) = (node.http.as_deref(), node.tls.as_ref());
        let mut lines = words::protocols(http, tls, &node.servers);
        lines.extend(node.environment.as_ref().and_then(words::environment));
        (node.node_id.as_str(), lines)
    });
    words::counts(others)
        .into_iter()
        .chain(errors)
        .chain(reasons.into_iter().map(|line| format!("  {line}")))
        .chain(words::bad_answers(&result.bad_answers))
        .chain(connections)
        .chain(words::by_node(protocols))
        .try_for_each(|line| writeln!(out, "{line}"))
}

fn write_judgement(out: &mut String, result: &View) -> fmt::Result {
    write_accounts(out, result)?;
    write_coverage(out, result)?;
    for threshold in &result.thresholds {
        let (text, observed) = (&threshold.text, threshold.observed);
        writeln!(out, "{}", words::threshold(text, observed, threshold.pass))?;
    }
    writeln!(out, "verdict: {}", result.verdict.verdict)?;
    for reason in &result.verdict.reasons {
        writeln!(out, "  {reason}")?;
    }
    Ok(())
}

fn write_coverage(out: &mut String, result: &View) -> fmt::Result {
    let coverage = &result.coverage;
    let (expected, reporting) = (coverage.nodes_expected, coverage.nodes_reporting);
    write!(out, "coverage: {reporting} of {expected} nodes")?;
    if coverage.reports_missing > 0 {
        write!(out, ", {} reports missing", coverage.reports_missing)?;
    }
    if !coverage.in_no_second.is_empty() {
        let (sent, ok) = (coverage.in_no_second.sent, coverage.in_no_second.ok);
        write!(out, " (sent {sent} and ok {ok} are in no second)")?;
    }
    if !coverage.unfinished_nodes.is_empty() {
        write!(
            out,
            ", without their end: {}",
            coverage.unfinished_nodes.join(", ")
        )?;
    }
    if !coverage.unmerged_nodes.is_empty() {
        write!(out, ", not merged: {}", coverage.unmerged_nodes.join(", "))?;
    }
    if let Some(skew_ms) = result.start_skew_ms {
        write!(out, "; first sends within {skew_ms:.3} ms")?;
    }
    writeln!(out)?;
    result
        .nodes
        .iter()
        .try_for_each(|node| write_reason(out, node))
}

fn write_reason(out: &mut String, node: &NodeView) -> fmt::Result {
    match &node.reason {
        Some(reason) => writeln!(out, "{}: {reason}", node.node_id),
        None => Ok(()),
    }
}

/// Milliseconds with as many digits as say something.
#[must_use]
pub fn ms(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.3}"),
        Some(ms) if ms < 1000.0 => format!("{ms:.1}"),
        Some(ms) => format!("{ms:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_has_every_node_the_total_and_the_reasons() {
        let result: View = serde_json::from_value(json!({
            "test_id": "abc", "test_type": "TSUNAMI", "state": "partial", "elapsed_s": 12.25,
            "planned": 20, "sent": 19, "ok": 17, "not_sent": 1, "errors": {"timeout": 2},
            "requests_per_second": 1.4, "start_skew_ms": 0.25,
            "metrics": {"min_latency": 0.5, "p99_latency": 12.0, "max_latency": 2000.0},
            "coverage": {"nodes_expected": 2, "nodes_reporting": 2, "reports_missing": 1,
                         "in_no_second": {"sent": 4, "ok": 3},
                         "unfinished_nodes": ["driver-2"]},
            "thresholds": [{"threshold": "p99<5ms", "observed": 12.0, "pass": false}],
            "verdict": {"verdict": "suspect", "reasons": ["driver-2 was lost"]},
            "intervals": {"response": [{"quantile": 0.99, "low_ms": 11.0, "high_ms": 13.5},
                                       {"quantile": 0.999, "reason": "too few"}]},
            "nodes": [{"node_id": "driver-1", "sent": 10, "ok": 10, "errors": {}},
                      {"node_id": "driver-2", "sent": 9, "ok": 7, "reason": "killed"}],
        }))
        .unwrap();
        let table = table(&result);
        for words in [
            "tsunami abc: partial after 12.2 s",
            "driver-1         10         10        0",
            "total            19         17        2        1.4     0.500         -         -      12.0         -      2000",
            "planned 20 = sent 19 + shed 0 + not sent 1   (does not add up)",
            "errors 2: timeout 2",
            "coverage: 2 of 2 nodes, 1 reports missing (sent 4 and ok 3 are in no second), without their end: driver-2; first sends within 0.250 ms",
            "driver-2: killed",
            "95 % intervals of the response time, ms: p99 11.000 to 13.500\ntoo few\n",
            "threshold p99<5ms: FAIL (12)",
            "verdict: suspect\n  driver-2 was lost",
        ] {
            assert!(table.contains(words), "{words:?} is not in\n{table}");
        }
    }
}
