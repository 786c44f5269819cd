//! Takes the next request off what was read from a connection.

use httparse::Status;

/// The most header fields of a request.
const HEADERS_MAX: usize = 64;
/// The longest head of a request in bytes.
pub(super) const HEAD_LEN_MAX: usize = 64 << 10;

/// A request whose head is complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'bytes> {
    /// The request target: path and query.
    pub(super) target: &'bytes str,
    /// Bytes of the head, with the empty line.
    pub(super) head_len: usize,
    /// Bytes of body that follow the head.
    pub(super) body_len: usize,
    /// Whether the client wants the connection closed after the answer.
    pub(super) close: bool,
    /// Whether the client must be told that the connection stays open.
    pub(super) is_http_1_0: bool,
}

/// What can be done with the bytes so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'bytes> {
    /// Here is one.
    Complete(Request<'bytes>),
    /// More bytes are needed.
    Partial,
    /// No request that this target can read: close.
    Invalid,
}

/// Looks at the first request in `bytes`.
pub(super) fn next(bytes: &[u8]) -> Next<'_> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(bytes) {
        Ok(Status::Complete(head_len)) => complete(&parsed, head_len),
        Ok(Status::Partial) if bytes.len() < HEAD_LEN_MAX => Next::Partial,
        Ok(Status::Partial) | Err(_) => Next::Invalid,
    }
}

fn complete<'bytes>(parsed: &httparse::Request<'_, 'bytes>, head_len: usize) -> Next<'bytes> {
    let is_http_1_0 = parsed.version == Some(0);
    let mut request = Request {
        target: parsed.path.unwrap_or("/"),
        head_len,
        body_len: 0,
        close: is_http_1_0,
        is_http_1_0,
    };
    for header in parsed.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            let Ok(body_len) = value.parse() else {
                return Next::Invalid;
            };
            request.body_len = body_len;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Next::Invalid;
        } else if header.name.eq_ignore_ascii_case("connection") {
            request.close = !value.eq_ignore_ascii_case("keep-alive")
                && (is_http_1_0 || value.eq_ignore_ascii_case("close"));
        }
    }
    Next::Complete(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(text: &str) -> Request<'_> {
        match next(text.as_bytes()) {
            Next::Complete(request) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_may_come_in_any_two_pieces() {
        let text = "POST /a?b HTTP/1.1\r\nHost: x\r\ncontent-length: 3\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(next(&text.as_bytes()[..end]), Next::Partial, "{end}");
        }
        let request = complete(text);
        assert_eq!(
            (request.target, request.head_len, request.body_len),
            ("/a?b", text.len(), 3)
        );
        assert!(!request.close);
    }

    #[test]
    fn who_wants_the_connection_closed_is_understood() {
        assert!(complete("GET / HTTP/1.0\r\n\r\n").close);
        assert!(!complete("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").close);
        assert!(complete("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").close);
        assert!(!complete("GET / HTTP/1.1\r\nConnection: upgrade\r\n\r\n").close);
    }

    #[test]
    fn what_cannot_be_framed_is_invalid() {
        for text in [
            "garbage\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(next(text.as_bytes()), Next::Invalid, "{text}");
        }
        let endless = format!("GET /{} ", "x".repeat(HEAD_LEN_MAX));
        assert_eq!(next(endless.as_bytes()), Next::Invalid);
    }
}
