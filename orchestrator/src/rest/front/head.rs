//! The head of a request: checked, and written anew for `tiny_http`.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Request, Status};

use super::downloads::Rest;

/// Most headers of a request.
const HEADERS_MAX: usize = 64;

/// Headers that are between the client and us.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Time in which an answer must begin: a trigger waits 5 s, the control thread answers in 15 s.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// The same for a copy of the store, which is made before its first byte goes out: 20 GB on a slow disk.
const BACKUP_TIME: Duration = Duration::from_secs(3600);
/// The same for a file, which has to be on the disk.
const UPLOAD_TIME: Duration = Duration::from_secs(120);

/// A head that is whole and right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Its bytes.
    pub(super) len: usize,
    /// Bytes of the body that follows.
    pub(super) body_len: usize,
    /// Whether the client wants to ask more on this connection.
    pub(super) keeps_alive: bool,
    /// Whether it waits for a word before it sends the body.
    pub(super) expects_continue: bool,
    /// Whether the body is a file, which is passed on as it comes.
    pub(super) is_upload: bool,
    /// Time in which its answer must begin.
    pub(super) answer_time: Duration,
    /// The head as `tiny_http` is to read it.
    pub(super) rewritten: Vec<u8>,
}

/// Whether a request has a file for its body: `PUT /data/{name}`.
#[must_use]
pub(in crate::rest) fn is_upload(method: &str, path: &str) -> bool {
    method == "PUT" && path.starts_with("/data/")
}

/// What came of parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parsed {
    /// More bytes are needed.
    Partial,
    /// It is refused: status, error, hint.
    Refused(u16, String, &'static str),
    /// It is whole.
    Whole(Head),
}

/// Parses and checks a head.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    let len = match request.parse(bytes) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Parsed::Partial,
        Err(error) => return malformed(error),
    };
    check(&request, len).map_or_else(|refused| refused, Parsed::Whole)
}

fn malformed(error: httparse::Error) -> Parsed {
    let (status, hint) = match error {
        httparse::Error::Version => (505, "speak HTTP/1.1"),
        httparse::Error::TooManyHeaders => (431, "send at most 64 headers"),
        _ => (400, "speak HTTP/1.1"),
    };
    Parsed::Refused(
        status,
        format!("this is not an HTTP/1.1 request: {error}"),
        hint,
    )
}

fn check(request: &Request<'_, '_>, len: usize) -> Result<Head, Parsed> {
    let refuse = |error: &str, hint| Err(Parsed::Refused(400, error.to_owned(), hint));
    let is_one_one = request.version == Some(1);
    let mut head = Head {
        len,
        body_len: 0,
        keeps_alive: is_one_one,
        expects_continue: false,
        is_upload: false,
        answer_time: ANSWER_TIME,
        rewritten: Vec::with_capacity(len + 64),
    };
    let mut has_length = false;
    let mut hosts = 0;
    for header in request.headers.iter() {
        let name = header.name.to_ascii_lowercase();
        let Some(value) = std::str::from_utf8(header.value)
            .ok()
            .filter(|text| text.is_ascii())
        else {
            return refuse("a header has characters beyond ASCII", "encode them");
        };
        match name.as_str() {
            "host" => hosts += 1,
            "content-length" => {
                let length = body_len(value);
                if has_length || length.is_none() {
                    return refuse(
                        "Content-Length is not one number",
                        "send it once, in digits",
                    );
                }
                has_length = true;
                head.body_len = length.unwrap_or(0);
            }
            "transfer-encoding" => {
                let hint = "send the body with a Content-Length";
                return Err(Parsed::Refused(
                    411,
                    "bodies in chunks are not taken".into(),
                    hint,
                ));
            }
            "connection" => head.keeps_alive = keeps_alive(value, is_one_one),
            "expect" => head.expects_continue = value.eq_ignore_ascii_case("100-continue"),
            _ => {}
        }
    }
    if hosts > 1 || (hosts == 0 && is_one_one) {
        return refuse(
            "there must be one Host header",
            "send the host that you asked for",
        );
    }
    rewrite(request, &mut head)?;
    Ok(head)
}

fn body_len(text: &str) -> Option<usize> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number that does not fit is more than the limit.
    is_digits.then(|| text.parse().unwrap_or(usize::MAX / 2))
}

fn keeps_alive(value: &str, default: bool) -> bool {
    let has = |word: &str| {
        value
            .split(',')
            .any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    (default || has("keep-alive")) && !has("close")
}

/// Writes the head without what is between the client and us.
fn rewrite(request: &Request<'_, '_>, head: &mut Head) -> Result<(), Parsed> {
    let (method, path) = (
        request.method.unwrap_or_default(),
        request.path.unwrap_or_default(),
    );
    let Some(path) = origin_form(path) else {
        let error = format!("{path:?} is no path");
        return Err(Parsed::Refused(
            400,
            error,
            "ask for a path that begins with /",
        ));
    };
    head.is_upload = is_upload(method, &path);
    head.answer_time = match path.split('?').next() {
        _ if head.is_upload => UPLOAD_TIME,
        Some("/backup") => BACKUP_TIME,
        _ => ANSWER_TIME,
    };
    let out = &mut head.rewritten;
    out.extend(format!("{method} {path} HTTP/1.1\r\n").bytes());
    for header in request.headers.iter() {
        if !HOP_BY_HOP
            .iter()
            .any(|name| name.eq_ignore_ascii_case(header.name))
        {
            out.extend(header.name.bytes());
            out.extend(b": ");
            out.extend(header.value);
            out.extend(b"\r\n");
        }
    }
    out.extend(
        format!(
            "Content-Length: {}\r\nConnection: close\r\n\r\n",
            head.body_len
        )
        .bytes(),
    );
    Ok(())
}

/// The path of a target; proxies send `http://host/path`.
fn origin_form(target: &str) -> Option<String> {
    if !target.is_ascii() {
        return None;
    }
    if target.starts_with('/') {
        return Some(target.to_owned());
    }
    let rest = target.strip_prefix("http://")?;
    let path = rest.find(['/', '?']).map_or("/", |at| &rest[at..]);
    Some(if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    })
}

/// An answer of the front itself, after which it closes.
pub(super) fn refusal(status: u16, error: &str, hint: &str) -> Vec<u8> {
    let body = serde_json::json!({"error": error, "hint": hint}).to_string();
    let reason = match status {
        400 => "Bad Request",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => "Service Unavailable",
    };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n\
         X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// Adds to an answer that the connection ends with it.
pub(super) fn say_close(answer: &mut Vec<u8>) {
    if let Some(at) = answer.windows(2).position(|pair| pair == b"\r\n") {
        answer.splice(at..at, b"\r\nConnection: close".iter().copied());
    }
}

/// The header by which the API says that an answer goes on with the events of a stream, and which.
pub(in crate::rest) const STREAM: &str = "Dlts-Stream";

/// The header by which the API says that an answer is a file, and which.
pub(in crate::rest) const FILE: &str = "Dlts-File";

/// Of an answer that goes on: the number of its stream, and what its client is sent first. It has no
/// length, and ends with its connection.
pub(super) fn stream_of(answer: &[u8]) -> Option<(u64, Vec<u8>)> {
    let (ticket, lines, body) = going_on(answer, STREAM)?;
    let head = format!("{lines}\r\nConnection: close\r\n\r\n");
    Some((ticket, [head.as_bytes(), body].concat()))
}

/// Of an answer that is a file: the file, and the head with its length; `take` has it by its number.
pub(super) fn file_of(
    answer: &[u8],
    take: impl FnOnce(u64) -> Option<Arc<File>>,
) -> Option<(Rest, Vec<u8>)> {
    let (ticket, lines, _) = going_on(answer, FILE)?;
    let rest = take(ticket).and_then(|file| Rest::of(file).ok())?;
    let head = format!("{lines}\r\nContent-Length: {}\r\n\r\n", rest.len());
    Some((rest, head.into_bytes()))
}

/// The number in the header of this name, the head's other lines but those that its length makes
/// wrong, and the body; `None` where there is no such header.
fn going_on<'a>(answer: &'a [u8], name: &str) -> Option<(u64, String, &'a [u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(": "));
    let (_, ticket) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
    let is_ours = |line: &&str| {
        let field = line.split(':').next().unwrap_or_default();
        let others = [name, "Content-Length", "Connection"];
        !others.iter().any(|other| other.eq_ignore_ascii_case(field))
    };
    let lines: Vec<&str> = head.split("\r\n").filter(is_ours).collect();
    Some((ticket.parse().ok()?, lines.join("\r\n"), &answer[end + 4..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str) -> Head {
        match parse(text.as_bytes()) {
            Parsed::Whole(head) => head,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn status(text: &str) -> u16 {
        match parse(text.as_bytes()) {
            Parsed::Refused(status, ..) => status,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_head_is_written_anew_without_what_is_between_the_client_and_us() {
        let head = whole(
            "POST /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\
             Content-Length: 7\r\nX-Y: z\r\n\r\nrest",
        );
        let expected = "POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-Y: z\r\nContent-Length: 7\r\n\
                        Connection: close\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&head.rewritten), expected);
        assert!(head.keeps_alive && head.expects_continue);
        assert_eq!(head.body_len, 7);
    }

    #[test]
    fn connections_are_kept_as_the_version_and_the_client_say() {
        for (text, keeps) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n",
                false,
            ),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(whole(text).keeps_alive, keeps, "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (headers, expected) in [
            ("Host: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n", 400),
            ("Host: x\r\nContent-Length: +1\r\n", 400),
            ("Host: x\r\nContent-Length: 1, 1\r\n", 400),
            ("Host: x\r\nTransfer-Encoding: chunked\r\n", 411),
            ("Host: x\r\nHost: y\r\n", 400),
            ("", 400),
            ("Host: x\r\nX: \u{fc}\r\n", 400),
            ("Host: x\r\nX Y: z\r\n", 400),
        ] {
            assert_eq!(
                status(&format!("POST / HTTP/1.1\r\n{headers}\r\n")),
                expected,
                "{headers}"
            );
        }
        assert_eq!(status("GET / HTTP/2.0\r\nHost: x\r\n\r\n"), 505);
        assert_eq!(status("GET * HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
        assert_eq!(status("\x16\x03\x01\x02\0\x01\0\x01"), 400);
        assert_eq!(
            status(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65))),
            431
        );
        assert_eq!(
            whole("GET http://h:1/p?q HTTP/1.1\r\nHost: h\r\n\r\n").rewritten[..9],
            *b"GET /p?q "
        );
    }

    #[test]
    fn the_length_of_a_body_never_overflows() {
        let head =
            whole("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n");
        assert!(head.body_len > super::super::BODY_LEN_MAX);
    }

    #[test]
    fn an_answer_is_told_to_be_the_last() {
        let mut answer = refusal(413, "too long", "shorter");
        say_close(&mut answer);
        let text = String::from_utf8(answer).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Type")
        );
    }

    #[test]
    fn an_answer_that_goes_on_loses_its_length_and_says_that_it_ends_with_its_connection() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nDlts-Stream: 7\r\n\
            Content-Length: 4\r\nX: y\r\n\r\nabcd";
        let (ticket, beginning) = stream_of(answer).unwrap();
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX: y\r\n\
            Connection: close\r\n\r\nabcd";
        assert_eq!(
            (ticket, String::from_utf8(beginning).unwrap().as_str()),
            (7, expected)
        );
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nDlts-Stream: 7\r\n";
        assert_eq!(stream_of(plain), None, "a body says nothing");
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_rewritten_head_is_whole_again(
            path in "/[!-~]{0,20}", names in prop::collection::vec("[A-Za-z-]{1,10}", 0..6), value in "[ -~]{0,20}",
        ) {
            let lines: Vec<String> = names.iter().map(|name| format!("X-{name}: {value}\r\n")).collect();
            let fields = lines.concat();
            let text = format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            let head = whole(&text);
            let again = whole(std::str::from_utf8(&head.rewritten).unwrap());
            prop_assert_eq!(again.len, head.rewritten.len());
            prop_assert_eq!(again.body_len, 0);
        }
    }
}
