//! A line of the common or combined format: `host - user [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1"
//! 200 2326 …`. What stands before the time and behind the status is free.

use time::{Date, Month};

use super::super::servers::push_percent;
use super::Hit;

/// Bytes of a time in its brackets.
const TIME_LEN: usize = 28;
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Reads a line.
///
/// # Errors
/// The kind of what is wrong with it.
pub(super) fn read(line: &[u8], hit: &mut Hit) -> Result<(), &'static str> {
    let time = bracketed_time(line);
    let rest = time.map_or(line, |(_, end)| &line[end..]);
    hit.time = time.map(|(time, _)| time);
    let begin = rest.iter().position(|byte| *byte == b'"');
    let quoted = begin.map(|begin| &rest[begin + 1..]).ok_or(NO_LINE)?;
    let end = quoted_len(quoted).ok_or(NO_LINE)?;
    request(&quoted[..end], hit)?;
    hit.status = status(&quoted[end + 1..]);
    Ok(())
}

const NO_LINE: &str = "no line of an access log";
const NO_REQUEST: &str = "a line without a request (- or another protocol)";

/// The time of a line, and where it ends: ns since 1970, and its zone's distance from UTC, s.
fn bracketed_time(line: &[u8]) -> Option<((i64, i32), usize)> {
    let mut from = 0;
    loop {
        let at = from + line[from..].iter().position(|byte| *byte == b'[')?;
        let text = line.get(at..at + TIME_LEN)?;
        if let Some(time) = time(text) {
            return Some((time, at + TIME_LEN));
        }
        from = at + 1;
    }
}

/// `[10/Oct/2000:13:55:36 -0700]`
pub(super) fn time(text: &[u8]) -> Option<(i64, i32)> {
    let signs = [
        (0, b'['),
        (3, b'/'),
        (7, b'/'),
        (12, b':'),
        (15, b':'),
        (18, b':'),
        (21, b' '),
        (27, b']'),
    ];
    if text.len() != TIME_LEN || signs.iter().any(|(at, sign)| text[*at] != *sign) {
        return None;
    }
    let month = MONTHS.iter().position(|month| *month == &text[4..7])?;
    let month = Month::try_from(u8::try_from(month + 1).ok()?).ok()?;
    let day = u8::try_from(number(&text[1..3])?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(number(&text[8..12])?).ok()?, month, day);
    let days = i64::from(date.ok()?.to_julian_day() - EPOCH_JULIAN_DAY);
    let (hour, minute) = (number(&text[13..15])?, number(&text[16..18])?);
    let second = number(&text[19..21])?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let sign = match text[22] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let zone_s = sign * (number(&text[23..25])? * 3600 + number(&text[25..27])? * 60);
    let local_s = days * 86_400 + hour * 3600 + minute * 60 + second;
    let at_ns = (local_s - zone_s).checked_mul(1_000_000_000)?;
    Some((at_ns, i32::try_from(zone_s).ok()?))
}

const EPOCH_JULIAN_DAY: i32 = 2_440_588;

fn number(digits: &[u8]) -> Option<i64> {
    let add = |sum: i64, digit: &u8| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + i64::from(digit - b'0'))
    };
    digits.iter().try_fold(0, add)
}

/// Bytes until the quote that ends a text.
fn quoted_len(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text[from..].iter().position(|byte| *byte == b'"')?;
        let slashes = text[..at].iter().rev().take_while(|byte| **byte == b'\\');
        if slashes.count() % 2 == 0 {
            return Some(at);
        }
        from = at + 1;
    }
}

fn status(text: &[u8]) -> Option<u16> {
    let text = text.trim_ascii_start();
    let digits = text.get(..3)?;
    let is_end = text.get(3).is_none_or(u8::is_ascii_whitespace);
    let status = number(digits).filter(|_| is_end)?;
    u16::try_from(status).ok()
}

/// `GET /path HTTP/1.1`, as servers escape it.
///
/// # Errors
/// The kind of what is wrong with it.
pub(super) fn request(text: &[u8], hit: &mut Hit) -> Result<(), &'static str> {
    let space = text
        .iter()
        .position(|byte| *byte == b' ')
        .ok_or(NO_REQUEST)?;
    let (method, rest) = (&text[..space], text[space + 1..].trim_ascii());
    let path = match rest.iter().rposition(|byte| *byte == b' ') {
        Some(at) if rest[at + 1..].starts_with(b"HTTP/") => &rest[..at],
        _ => rest,
    };
    take(method, path, hit)
}

/// A method and a path as a log has them.
///
/// # Errors
/// The kind of what is wrong with them.
pub(super) fn take(method: &[u8], path: &[u8], hit: &mut Hit) -> Result<(), &'static str> {
    let is_method = (1..=20).contains(&method.len()) && method.iter().all(u8::is_ascii_uppercase);
    let method = std::str::from_utf8(method).ok().filter(|_| is_method);
    hit.method.clear();
    hit.method.push_str(method.ok_or(NO_REQUEST)?);
    let path = without_origin(path.trim_ascii());
    if !path.starts_with(b"/") {
        return Err("a request without a path (* or another server's)");
    }
    hit.path.clear();
    sendable(path, &mut hit.path);
    Ok(())
}

/// The path of what may be a whole URL, as proxies log it.
fn without_origin(path: &[u8]) -> &[u8] {
    let rest = path
        .strip_prefix(b"http://")
        .or_else(|| path.strip_prefix(b"https://"));
    let Some(rest) = rest else {
        return path;
    };
    let slash = rest.iter().position(|byte| *byte == b'/');
    slash.map_or(b"/", |at| &rest[at..])
}

/// Appends a path with the server's escapes undone, and what no URL has percent-encoded.
fn sendable(path: &[u8], out: &mut String) {
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let mut byte = *first;
        if byte == b'\\' {
            (byte, rest) = unescaped(after);
        }
        // A sign that ends a URL or a text never came as itself.
        if byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'\\' | b'<' | b'>') {
            out.push(char::from(byte));
        } else {
            push_percent(byte, out);
        }
    }
}

/// The byte that an escape stands for, from behind its backslash, and what follows.
fn unescaped(after: &[u8]) -> (u8, &[u8]) {
    match after {
        [b'x', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
            let byte = digit(*high) * 16 + digit(*low);
            (u8::try_from(byte).unwrap_or(0), rest)
        }
        [b'n', rest @ ..] => (b'\n', rest),
        [b't', rest @ ..] => (b'\t', rest),
        [sign @ (b'"' | b'\\'), rest @ ..] => (*sign, rest),
        _ => (b'\\', after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Hit, &'static str> {
        let mut hit = Hit::default();
        read(line.as_bytes(), &mut hit).map(|()| hit)
    }

    #[test]
    fn lines_of_all_servers_are_read() {
        let hit = |method: &str, path: &str, time, status| Hit {
            method: method.to_owned(),
            path: path.to_owned(),
            time,
            status,
        };
        let at = Some((971_211_336_000_000_000, -25_200));
        for (line, expected) in [
            (
                r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326"#,
                hit("GET", "/a.gif", at, Some(200)),
            ),
            (
                r#"h:443 ::1 - a[b [10/Oct/2000:13:55:36 -0700] "POST /x?y=\x22\"z HTTP/2.0" 404 - "-" "UA""#,
                hit("POST", "/x?y=%22%22z", at, Some(404)),
            ),
            (
                r#"- - - [10/Oct/2000:13:55:36 -0700] "GET http://h:1/a b HTTP/1.1" 301 0"#,
                hit("GET", "/a%20b", at, Some(301)),
            ),
            (r#"x "HEAD /é" y"#, hit("HEAD", "/%C3%A9", None, None)),
        ] {
            assert_eq!(of(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn lines_without_a_request_are_told() {
        for line in [
            "",
            "nonsense",
            r#"h - - [10/Oct/2000:13:55:36 -0700] "-" 408 0"#,
            r#"h - - [10/Oct/2000:13:55:36 -0700] "\x16\x03\x01" 400 0"#,
            r#"h - - [10/Oct/2000:13:55:36 -0700] "OPTIONS * HTTP/1.0" 200 0"#,
            r#"h - - [10/Oct/2000:13:55:36 -0700] "GET /unclosed"#,
        ] {
            assert!(of(line).is_err(), "{line}");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let ns = |text: &str| time(text.as_bytes());
        assert_eq!(ns("[01/Jan/1970:00:00:00 +0000]"), Some((0, 0)));
        assert_eq!(
            ns("[29/Feb/2024:23:59:60 +0530]"),
            Some((1_709_231_400_000_000_000, 19_800))
        );
        for text in [
            "[30/Feb/2024:00:00:00 +0000]",
            "[01/Foo/2024:00:00:00 +0000]",
            "[01/Jan/2024:24:00:00 +0000]",
            "[01/Jan/2024:00:00:00 x0000]",
            "[01/Jan/9999:00:00:00 +0000]",
            "[1/Jan/2024:00:00:00 +0000]",
        ] {
            assert_eq!(ns(text), None, "{text}");
        }
    }
}
