//! A line of a log in JSON, by the names that servers and proxies give their fields.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Hit;
use super::combined;

/// `GET /path HTTP/1.1` in one.
const REQUESTS: [&str; 2] = ["request", "request_line"];
const METHODS: [&str; 8] = [
    "method",
    "request_method",
    "RequestMethod",
    "request.method",
    "http.request.method",
    "httpRequest.requestMethod",
    "http_method",
    "verb",
];
const PATHS: [&str; 15] = [
    "request_uri",
    "uri",
    "path",
    "url",
    "request_path",
    "RequestPath",
    "request.uri",
    "request.path",
    "request.url",
    "url.original",
    "url.path",
    "httpRequest.requestUrl",
    "x-envoy-original-path",
    "http.request.url",
    "target",
];
const QUERIES: [&str; 4] = ["query", "query_string", "args", "url.query"];
const TIMES: [&str; 14] = [
    "time",
    "timestamp",
    "@timestamp",
    "ts",
    "time_iso8601",
    "time_local",
    "msec",
    "StartUTC",
    "start_time",
    "StartLocal",
    "datetime",
    "date",
    "event.created",
    "t",
];
const STATUSES: [&str; 7] = [
    "status",
    "status_code",
    "response_code",
    "DownstreamStatus",
    "http.response.status_code",
    "httpRequest.status",
    "response.status",
];

/// Reads a line.
///
/// # Errors
/// The kind of what is wrong with it.
pub(super) fn read(line: &[u8], hit: &mut Hit) -> Result<(), &'static str> {
    let value: Value = serde_json::from_slice(line).map_err(|_| "no JSON in a line of JSON")?;
    hit.time = find(&value, &TIMES).and_then(time);
    hit.status = find(&value, &STATUSES).and_then(number).and_then(status);
    let whole = text(&value, &REQUESTS).filter(|request| request.contains(' '));
    if let Some(request) = whole {
        return combined::request(request.as_bytes(), hit);
    }
    let method = text(&value, &METHODS).unwrap_or("GET");
    let path = text(&value, &PATHS).ok_or("JSON without a path (request_uri, path, url …)")?;
    match text(&value, &QUERIES).map(|query| query.trim_start_matches('?')) {
        Some(query) if !query.is_empty() && query != "-" && !path.contains('?') => {
            let path = format!("{path}?{query}");
            combined::take(method.as_bytes(), path.as_bytes(), hit)
        }
        _ => combined::take(method.as_bytes(), path.as_bytes(), hit),
    }
}

/// The first of these names that has a single value; one with dots is also a way through maps.
fn find<'v>(value: &'v Value, names: &[&str]) -> Option<&'v Value> {
    let at = |name: &&str| {
        let way = || {
            name.split('.')
                .try_fold(value, |value, part| value.get(part))
        };
        let found = value.get(*name).or_else(way)?;
        (found.is_string() || found.is_number()).then_some(found)
    };
    names.iter().find_map(at)
}

fn text<'v>(value: &'v Value, names: &[&str]) -> Option<&'v str> {
    find(value, names).and_then(Value::as_str)
}

fn number(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok())
}

fn status(number: f64) -> Option<u16> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range"
    )]
    (100.0..1000.0).contains(&number).then_some(number as u16)
}

/// ns since 1970 and the zone: of RFC 3339, of a common log, or a number of s, ms, µs or ns. A number
/// with a point is exact to a µs, which is what its 53 bits hold.
fn time(value: &Value) -> Option<(i64, i32)> {
    if let Some(number) = number(value) {
        let scale = match number.abs() {
            ..1e11 => 1e6,
            ..1e14 => 1e3,
            ..1e17 => 1.0,
            _ => {
                let exact = value
                    .as_i64()
                    .or_else(|| value.as_str()?.trim().parse().ok());
                return exact.map(|ns| (ns, 0));
            }
        };
        let us = (number * scale).round();
        #[allow(clippy::cast_possible_truncation, reason = "in range")]
        return (-9e15..9e15).contains(&us).then_some((us as i64 * 1000, 0));
    }
    let text = value.as_str()?.trim();
    if let Some(time) = combined::time(format!("[{text}]").as_bytes()) {
        return Some(time);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let ns = i64::try_from(time.unix_timestamp_nanos()).ok()?;
    Some((ns, time.offset().whole_seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_the_names_of_many_servers() {
        let at = Some((1_700_000_000_500_000_000, 0));
        for (line, method, path, time, status) in [
            (
                r#"{"time": "2023-11-14T22:13:20.5Z", "request": "GET /a?b HTTP/1.1", "status": 200}"#,
                "GET",
                "/a?b",
                at,
                Some(200),
            ),
            (
                r#"{"ts": 1700000000.5, "request": {"method": "POST", "uri": "/c"}, "status": "404"}"#,
                "POST",
                "/c",
                at,
                Some(404),
            ),
            (
                r#"{"@timestamp": "2023-11-14T22:13:20.500+00:00", "http": {"request": {"method": "HEAD"}, "response": {"status_code": 304}}, "url": {"path": "/d", "query": "e=f"}}"#,
                "HEAD",
                "/d?e=f",
                at,
                Some(304),
            ),
            (
                r#"{"StartUTC": "2023-11-14T22:13:20.5Z", "RequestMethod": "GET", "RequestPath": "/g h", "DownstreamStatus": 500}"#,
                "GET",
                "/g%20h",
                at,
                Some(500),
            ),
            (
                r#"{"time_local": "14/Nov/2023:23:13:20 +0100", "request_uri": "/i", "args": "-"}"#,
                "GET",
                "/i",
                Some((1_700_000_000_000_000_000, 3600)),
                None,
            ),
        ] {
            let mut hit = Hit::default();
            assert_eq!(read(line.as_bytes(), &mut hit), Ok(()), "{line}");
            assert_eq!(
                (hit.method.as_str(), hit.path.as_str(), hit.time, hit.status),
                (method, path, time, status),
                "{line}"
            );
        }
        for line in [
            "{",
            "{}",
            r#"{"path": 5}"#,
            r#"{"path": "x"}"#,
            r#"{"request": "- -"}"#,
        ] {
            assert!(
                read(line.as_bytes(), &mut Hit::default()).is_err(),
                "{line}"
            );
        }
    }
}
