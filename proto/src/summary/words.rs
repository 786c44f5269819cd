//! What a result says beyond its table, in lines for people; the same for a run on its own and in a
//! cluster. What is zero or unknown has no line.

use std::fmt::Write;

mod environment;
mod repeats;
mod sessions;

pub use environment::environment;
pub use repeats::{label, repeat, repeats_head, shown, spread};
pub use sessions::{sessions, worst_step};

use super::QuantileInterval;
use crate::measure::{BadAnswer, BadAnswers, ErrorCounters, Reasons, ServerReport, TlsReport};
use crate::units::format_utc_day;

/// Counts with their names, without the zeros: `timeout 3  stale 1`; `None` when all are zero.
#[must_use]
pub fn counts<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> Option<String> {
    let said: Vec<String> = counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    (!said.is_empty()).then(|| said.join("  "))
}

/// `errors 4: timeout 3  stale 1`, or `errors 0`, and the failed attempts to connect, which are no
/// errors of requests.
#[must_use]
pub fn errors(errors: &ErrorCounters, connect_errors: u64) -> String {
    let mut line = format!("errors {}", errors.total());
    if let Some(kinds) = counts(errors.by_kind()) {
        let _ = write!(line, ": {kinds}");
    }
    if connect_errors > 0 {
        let _ = write!(line, "; attempts to connect that failed {connect_errors}");
    }
    line
}

/// Between which values the quantiles of the response time lie, on a line, and why the others have
/// no such interval.
#[must_use]
pub fn intervals(rows: &[QuantileInterval]) -> Vec<String> {
    let known: Vec<String> = rows.iter().filter_map(QuantileInterval::in_words).collect();
    let line = (!known.is_empty()).then(|| {
        format!(
            "95 % intervals of the response time, ms: {}",
            known.join("  ")
        )
    });
    // The first says what all the others need and more.
    let reason = rows.iter().find_map(|row| row.reason.as_ref());
    line.into_iter().chain(reason.cloned()).collect()
}

/// A line for each reason: `timeout: no whole answer within 1s (3 times)`.
#[must_use]
pub fn reasons(reasons: &Reasons) -> Vec<String> {
    let line = |reason: &crate::measure::Reason| {
        let times = plural(reason.count, "time");
        format!("{}: {} ({times})", reason.kind.name(), reason.text)
    };
    reasons.iter().map(line).collect()
}

/// Answers of which people are shown everything that is kept; JSON has the others too.
const BAD_ANSWERS_SHOWN: usize = 3;
/// Lines of each that they are shown.
const BAD_ANSWER_LINES: usize = 16;
/// Characters of each line.
const BAD_ANSWER_COLUMNS: usize = 160;

/// The first bad answers as they came, below a line that says what was wrong; what a terminal could
/// take for orders is escaped.
#[must_use]
pub fn bad_answers(answers: &BadAnswers) -> Vec<String> {
    let shown = answers.iter().take(BAD_ANSWERS_SHOWN);
    let mut lines: Vec<String> = shown.flat_map(bad_answer).collect();
    let others = answers.iter().count().saturating_sub(BAD_ANSWERS_SHOWN);
    if others > 0 {
        lines.push(format!(
            "  {} more in the JSON result",
            plural(others as u64, "answer")
        ));
    }
    if !lines.is_empty() {
        lines.insert(0, "the first bad answers:".to_owned());
    }
    lines
}

/// A character, or what stands for one that a terminal would obey.
fn visible(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = escaped.is_none().then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

fn bad_answer(answer: &BadAnswer) -> Vec<String> {
    let step = answer.step.as_ref().map(|step| format!("{step}: "));
    let mut lines = vec![format!("  {}{}", step.unwrap_or_default(), answer.why)];
    let mut text = answer.text.lines();
    for line in text.by_ref().take(BAD_ANSWER_LINES) {
        let escaped: String = line
            .chars()
            .flat_map(visible)
            .take(BAD_ANSWER_COLUMNS)
            .collect();
        lines.push(format!("    {escaped}").trim_end().to_owned());
    }
    if answer.is_cut || text.next().is_some() {
        lines.push("    …".to_owned());
    }
    lines
}

/// Counts of connections over all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionCounts {
    /// Opened in all.
    pub opened: u64,
    /// Lost: closed by the target, or broken.
    pub lost: u64,
    /// Times that bytes came which nobody had asked for.
    pub unsolicited: u64,
    /// Held at a time; `None` where that is not known.
    pub held: Option<u64>,
    /// Sends on the wire, of the warm-up too.
    pub sends: u64,
}

/// `connections 4: opened 100 (96 again), 10.0 requests each, lost 3`; `None` where none was opened.
#[must_use]
pub fn connections(of: &ConnectionCounts) -> Option<String> {
    if of.opened == 0 && of.lost == 0 && of.unsolicited == 0 {
        return None;
    }
    let mut line = match of.held {
        Some(held) => format!("connections {held}: opened {}", of.opened),
        None => format!("connections opened {}", of.opened),
    };
    let again = of.opened.saturating_sub(of.held.unwrap_or(of.opened));
    if again > 0 {
        let each = of.sends as f64 / of.opened as f64;
        let _ = write!(line, " ({again} of them again), {each:.1} requests on each");
    }
    if of.lost > 0 {
        let _ = write!(line, ", lost {}", of.lost);
    }
    if of.unsolicited > 0 {
        let times = plural(of.unsolicited, "time");
        let _ = write!(line, ", bytes that nobody asked for {times}");
    }
    Some(line)
}

/// The version of HTTP that was spoken, and TLS and the certificate where there are any: a line each.
#[must_use]
pub fn protocol(http: Option<&str>, tls: Option<&TlsReport>) -> Vec<String> {
    let version = http.map(|version| format!("HTTP/{version}"));
    let Some(tls) = tls else {
        // HTTP/1.1 in the clear is what everybody takes for granted.
        return version
            .filter(|_| http != Some("1.1"))
            .map(|version| format!("{version} without TLS"))
            .into_iter()
            .collect();
    };
    let facts = [
        version,
        Some(tls.version.clone()),
        Some(tls.cipher.clone()),
        tls.group.clone(),
        Some(
            tls.alpn
                .as_ref()
                .map_or_else(|| "no ALPN".to_owned(), |alpn| format!("ALPN {alpn}")),
        ),
        handshakes(tls),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    let mut lines = vec![facts.join(", ")];
    lines.extend(certificate(tls));
    lines
}

fn handshakes(tls: &TlsReport) -> Option<String> {
    // A report from before the start has none yet.
    let resumed = (tls.handshakes > 0).then(|| 100.0 * tls.resumed as f64 / tls.handshakes as f64);
    resumed.map(|share| {
        let handshakes = plural(tls.handshakes, "handshake");
        format!("{handshakes} ({share:.1} % resumed)")
    })
}

fn certificate(tls: &TlsReport) -> Option<String> {
    let checked = if tls.insecure { ", not checked" } else { "" };
    match &tls.certificate {
        Some(of) => Some(format!(
            "certificate of {}, issued by {}, valid until {}{checked}",
            of.subject,
            of.issuer,
            format_utc_day(of.not_after_unix_s)
        )),
        None => tls
            .insecure
            .then(|| "certificate that cannot be read, not checked".to_owned()),
    }
}

/// The same of a node, under the names of its servers where there are several.
#[must_use]
pub fn protocols(
    http: Option<&str>,
    tls: Option<&TlsReport>,
    servers: &[ServerReport],
) -> Vec<String> {
    let of_one = |server: &ServerReport| {
        let lines = protocol(server.http.as_deref(), server.tls.as_ref());
        let lines = if lines.is_empty() {
            vec!["HTTP/1.1 without TLS".to_owned()]
        } else {
            lines
        };
        let named = |line| format!("{}: {line}", server.server);
        lines.into_iter().map(named).collect::<Vec<String>>()
    };
    let lines = protocol(http, tls).into_iter();
    lines.chain(servers.iter().flat_map(of_one)).collect()
}

/// What each node says of itself, in lines: once where all say the same, else under their names.
#[must_use]
pub fn by_node<'a>(nodes: impl IntoIterator<Item = (&'a str, Vec<String>)>) -> Vec<String> {
    let nodes: Vec<(&str, Vec<String>)> = nodes
        .into_iter()
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    let Some((_, first)) = nodes.first() else {
        return Vec::new();
    };
    if nodes.iter().all(|(_, lines)| lines == first) {
        return first.clone();
    }
    nodes
        .iter()
        .flat_map(|(node, lines)| lines.iter().map(move |line| format!("{node}: {line}")))
        .collect()
}

/// `threshold p99<5ms: FAIL (12)`; what was observed is in ms, a share, or a plain number.
#[must_use]
pub fn threshold(text: &str, observed: Option<f64>, pass: bool) -> String {
    let word = if pass { "pass" } else { "FAIL" };
    format!("threshold {text}: {word} ({})", self::observed(observed))
}

/// What was observed, with the digits that say something.
#[must_use]
pub fn observed(value: Option<f64>) -> String {
    value.map_or_else(|| "no samples".to_owned(), significant)
}

/// Four significant digits, and every digit before the point.
fn significant(value: f64) -> String {
    let mut digits = 3;
    let mut bound = value.abs();
    while bound > 0.0 && bound < 1.0 && digits < 12 {
        bound *= 10.0;
        digits += 1;
    }
    while bound >= 10.0 && digits > 0 {
        bound /= 10.0;
        digits -= 1;
    }
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// `1 time`, `2 times`.
#[must_use]
pub fn plural(count: u64, one: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {one}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Certificate, ReasonKind};

    fn tls() -> TlsReport {
        TlsReport {
            version: "TLS 1.3".to_owned(),
            cipher: "TLS13_AES_128_GCM_SHA256".to_owned(),
            group: Some("X25519".to_owned()),
            alpn: Some("h2".to_owned()),
            handshakes: 8,
            resumed: 2,
            insecure: false,
            certificate: Some(Certificate {
                subject: "CN=shop".to_owned(),
                issuer: "CN=us".to_owned(),
                not_after_unix_s: 1_800_000_000,
            }),
        }
    }

    #[test]
    fn each_of_several_servers_is_named() {
        let server = |server: &str, http: &str, tls| ServerReport {
            server: server.to_owned(),
            http: Some(http.to_owned()),
            tls,
            ..ServerReport::default()
        };
        let servers = [
            server("http://a", "1.1", None),
            server("https://b", "2", Some(tls())),
        ];
        let said = protocols(None, None, &servers);
        assert_eq!(said[0], "http://a: HTTP/1.1 without TLS");
        assert!(
            said[1].starts_with("https://b: HTTP/2, TLS 1.3, "),
            "{said:?}"
        );
        assert!(
            said[2].starts_with("https://b: certificate of CN=shop"),
            "{said:?}"
        );
        assert_eq!(protocols(Some("1.1"), None, &[]), Vec::<String>::new());
    }

    #[test]
    fn zeros_are_not_said() {
        assert_eq!(counts([("shed", 0), ("returned", 0)]), None);
        let said = counts([("shed", 0), ("returned", 3), ("refused", 1)]);
        assert_eq!(said.as_deref(), Some("returned 3  refused 1"));
        let mut of = ErrorCounters::default();
        assert_eq!(errors(&of, 0), "errors 0");
        of.timeout = 3;
        of.stale = 1;
        assert_eq!(
            errors(&of, 2),
            "errors 4: timeout 3  stale 1; attempts to connect that failed 2"
        );
    }

    #[test]
    fn what_was_observed_has_the_digits_that_say_something() {
        for (value, text) in [
            (0.0, "0"),
            (0.000_512_34, "0.0005123"),
            (2.0, "2"),
            (-1.5, "-1.5"),
            (12.345_67, "12.35"),
            (1940.6, "1941"),
            (123_456.7, "123457"),
        ] {
            assert_eq!(significant(value), text);
        }
        assert_eq!(
            threshold("p99<5ms", None, false),
            "threshold p99<5ms: FAIL (no samples)"
        );
    }

    #[test]
    fn each_reason_is_a_line() {
        let mut of = Reasons::default();
        of.note(ReasonKind::Read, "reset by the target", 1);
        of.note(ReasonKind::Timeout, "no answer within 1s", 3);
        assert_eq!(
            reasons(&of),
            [
                "read: reset by the target (1 time)",
                "timeout: no answer within 1s (3 times)"
            ]
        );
    }

    #[test]
    fn connections_are_said_with_what_was_unusual() {
        let mut of = ConnectionCounts {
            opened: 4,
            held: Some(4),
            sends: 1000,
            ..ConnectionCounts::default()
        };
        assert_eq!(connections(&of).unwrap(), "connections 4: opened 4");
        of.opened = 100;
        of.lost = 3;
        of.unsolicited = 1;
        assert_eq!(
            connections(&of).unwrap(),
            "connections 4: opened 100 (96 of them again), 10.0 requests on each, lost 3, bytes that \
             nobody asked for 1 time"
        );
        of.held = None;
        of.lost = 0;
        of.unsolicited = 0;
        assert_eq!(connections(&of).unwrap(), "connections opened 100");
        assert_eq!(connections(&ConnectionCounts::default()), None);
    }

    #[test]
    fn the_protocol_is_said_where_it_is_not_the_plain_one() {
        assert!(protocol(Some("1.1"), None).is_empty());
        assert!(protocol(None, None).is_empty());
        assert_eq!(protocol(Some("2"), None), ["HTTP/2 without TLS"]);
        let mut of = tls();
        assert_eq!(
            protocol(Some("2"), Some(&of)),
            [
                "HTTP/2, TLS 1.3, TLS13_AES_128_GCM_SHA256, X25519, ALPN h2, 8 handshakes (25.0 % \
                 resumed)",
                "certificate of CN=shop, issued by CN=us, valid until 2027-01-15"
            ]
        );
        of.insecure = true;
        of.handshakes = 0;
        let lines = protocol(Some("1.1"), Some(&of));
        assert!(!lines[0].contains("handshake"), "{lines:?}");
        assert!(lines[1].ends_with("2027-01-15, not checked"), "{lines:?}");
    }

    #[test]
    fn nodes_that_differ_are_named() {
        let lines = |text: &str| vec![text.to_owned()];
        assert_eq!(by_node([("a", lines("x")), ("b", lines("x"))]), ["x"]);
        assert_eq!(
            by_node([("a", lines("x")), ("b", lines("y")), ("c", Vec::new())]),
            ["a: x", "b: y"]
        );
        assert!(by_node([("a", Vec::new())]).is_empty());
    }
}
