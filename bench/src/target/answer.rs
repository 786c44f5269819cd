//! What the target answers to what it counts: `Hello World`, or as the query says.
//!
//! | key | value | answer |
//! |---|---|---|
//! | `size` | bytes, or a number with `k` (1024) or `m` (1024²), 0 to 16m | a body of so many bytes |
//! | `unique` | | has a header `X-Request-Id` that no other answer has, always equally long |

use std::fmt::Write;
use std::rc::Rc;

/// The largest body in bytes.
const SIZE_MAX: usize = 16 << 20;
/// The most different answers that are kept.
const KEPT_MAX: usize = 64;

/// An answer, ready but for what differs each time.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// All of it; up to the unique part, if it has one.
    before: Rc<[u8]>,
    /// What follows the unique part.
    after: Option<Rc<[u8]>>,
}

/// A query that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    /// Not a number of bytes in range.
    #[error("size '{0}' is not within 0 to 16m, such as 16k")]
    Size(String),
    /// A key that means nothing here.
    #[error("'{0}' is no parameter; there are size and unique")]
    Unknown(String),
}

/// The answers that were asked for, by their query.
#[derive(Debug)]
pub(super) struct Answers {
    plain: [Answer; 2],
    told: Vec<(String, bool, Answer)>,
}

impl Answers {
    pub(super) fn new() -> Self {
        let plain = [false, true].map(|is_http_1_0| Answer::new(None, false, is_http_1_0));
        Self {
            plain,
            told: Vec::new(),
        }
    }

    /// The answer to a query. A client of HTTP/1.0 must be told that the connection stays open.
    pub(super) fn to(&mut self, query: &str, is_http_1_0: bool) -> Result<Answer, QueryError> {
        if query.is_empty() {
            return Ok(self.plain[usize::from(is_http_1_0)].clone());
        }
        let known =
            |(asked, is_old, _): &&(String, bool, Answer)| asked == query && *is_old == is_http_1_0;
        if let Some((_, _, answer)) = self.told.iter().find(known) {
            return Ok(answer.clone());
        }
        let (size, is_unique) = parse(query)?;
        let answer = Answer::new(size, is_unique, is_http_1_0);
        if self.told.len() == KEPT_MAX {
            self.told.clear();
        }
        self.told
            .push((query.to_owned(), is_http_1_0, answer.clone()));
        Ok(answer)
    }
}

impl Answer {
    fn new(size: Option<usize>, is_unique: bool, is_http_1_0: bool) -> Self {
        let body = size.map_or_else(|| b"Hello World".to_vec(), |size| vec![b'x'; size]);
        let mut before = "HTTP/1.1 200 OK\r\n".to_owned();
        if is_http_1_0 {
            before += "Connection: keep-alive\r\n";
        }
        let mut after = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        after.extend_from_slice(&body);
        if is_unique {
            before += "X-Request-Id: ";
            let after = [b"\r\n", after.as_slice()].concat();
            return Self {
                before: before.into_bytes().into(),
                after: Some(after.into()),
            };
        }
        Self {
            before: [before.as_bytes(), &after].concat().into(),
            after: None,
        }
    }

    /// Writes it; `number` is what makes it unique.
    #[inline]
    pub(super) fn write(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        if let Some(after) = &self.after {
            write_id(number, out);
            out.extend_from_slice(after);
        }
    }
}

/// 32 hexadecimal digits as request ids have them, which look like chance and are all different.
fn write_id(number: u64, out: &mut Vec<u8>) {
    // An odd factor: a bijection (Knuth's multiplicative hashing).
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut text = String::with_capacity(32);
    let _ = write!(text, "{spread:016x}{number:016x}");
    out.extend_from_slice(text.as_bytes());
}

fn parse(query: &str) -> Result<(Option<usize>, bool), QueryError> {
    let (mut size, mut is_unique) = (None, false);
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=').unwrap_or((part, "")) {
            ("size", text) => size = Some(parse_size(text)?),
            ("unique", "") => is_unique = true,
            _ => return Err(QueryError::Unknown(part.to_owned())),
        }
    }
    Ok((size, is_unique))
}

fn parse_size(text: &str) -> Result<usize, QueryError> {
    let (number, factor) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let bytes = number
        .parse()
        .ok()
        .and_then(|number: usize| number.checked_mul(factor));
    bytes
        .filter(|&bytes| bytes <= SIZE_MAX)
        .ok_or_else(|| QueryError::Size(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(query: &str, number: u64) -> String {
        let mut out = Vec::new();
        let answer = Answers::new().to(query, false).unwrap();
        answer.write(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_plain_answer_is_hello_world_and_a_size_is_as_told() {
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nHello World";
        assert_eq!(text("", 1), plain);
        let big = text("size=16k", 1);
        assert!(big.contains("Content-Length: 16384\r\n\r\nxxx"));
        assert_eq!(big.len(), big.find("xxx").unwrap() + 16_384);
        assert!(text("size=0", 1).ends_with("Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn unique_answers_differ_in_a_header_and_are_equally_long() {
        let (one, other) = (text("unique", 1), text("unique", 2));
        assert_ne!(one, other);
        assert_eq!(one.len(), other.len());
        assert!(one.contains("\r\nX-Request-Id: 9e3779b97f4a7c150000000000000001\r\n"));
        assert!(text("unique&size=5", 1).ends_with("Content-Length: 5\r\n\r\nxxxxx"));
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        for (query, message) in [
            ("size=17m", "size '17m' is not within 0 to 16m, such as 16k"),
            ("size=-1", "size '-1' is not within 0 to 16m, such as 16k"),
            ("size", "size '' is not within 0 to 16m, such as 16k"),
            ("x=1", "'x=1' is no parameter; there are size and unique"),
        ] {
            let error = Answers::new().to(query, false).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
