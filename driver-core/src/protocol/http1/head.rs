//! What the head of an answer says: its status, how its body is framed, and whether the connection
//! stays (RFC 9112, 6.3 and 9.3).

use std::mem::MaybeUninit;

use httparse::{ParserConfig, Response, Status};
use proto::workload::Request;

use super::body::{Body, Chunk};
use super::response::{Answer, HEAD_LEN_MAX, HEADERS_MAX, Malformed};

/// What of a request decides how its answer is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// A HEAD request: its answer has no body, whatever its head says.
    pub bodiless: bool,
    /// The request announced the end of the connection, so no other may follow on it.
    pub closes: bool,
}

impl Asked {
    /// What matters of this request.
    #[must_use]
    pub fn by(request: &Request) -> Self {
        let fields = request.headers.iter();
        let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
        Self::of(&request.method, fields)
    }

    /// What matters of a request with this method and these header fields.
    pub(super) fn of<'a>(
        method: &str,
        mut fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        Self {
            bodiless: method == "HEAD",
            closes: fields.any(|(name, value)| {
                name.eq_ignore_ascii_case("connection") && has_token(value, b"close")
            }),
        }
    }
}

/// What a head says, whatever was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Whether version and header fields let the connection stay.
    pub(super) keep_alive: bool,
    /// `None` when no body follows.
    pub(super) body: Option<Body>,
}

impl Head {
    /// The answer to what was asked, and the body that belongs to it.
    #[inline]
    pub(super) fn answer(&self, asked: Asked) -> (Answer, Option<Body>) {
        let body = self.body.filter(|_| !asked.bodiless);
        let keep_alive = self.keep_alive && !asked.closes && body != Some(Body::UntilClose);
        let status = self.status;
        (Answer { status, keep_alive }, body)
    }
}

/// Parses the head that `bytes` start with; `None` when it is incomplete.
///
/// # Errors
/// [`Malformed`], for what is no head, or contradicts itself.
pub(super) fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Head)>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = Response::new(&mut []);
    let status = parser().parse_response_with_uninit_headers(&mut response, bytes, &mut fields);
    match status.map_err(Malformed::Head)? {
        Status::Complete(length) if length > HEAD_LEN_MAX => Err(Malformed::HeadTooLong),
        Status::Complete(length) => Ok(Some((length, meaning(&response)?))),
        Status::Partial if bytes.len() >= HEAD_LEN_MAX => Err(Malformed::HeadTooLong),
        Status::Partial => Ok(None),
    }
}

/// Calls `each` with the name and the value of each field of a head that was parsed before; not of an
/// interim one. A fold in a value is as it came, line end and all.
pub(super) fn each_field(head: &[u8], mut each: impl FnMut(&[u8], &[u8])) {
    let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = Response::new(&mut []);
    let status = parser().parse_response_with_uninit_headers(&mut response, head, &mut fields);
    if status.is_ok() && response.code.is_some_and(|code| code >= 200) {
        for field in &*response.headers {
            each(field.name.as_bytes(), field.value);
        }
    }
}

/// Whether a line of a head begins as a cookie does; one of an interim head, or a fold, may also be
/// taken for one.
pub(super) fn sets_cookie(head: &[u8]) -> bool {
    const NAME: &[u8] = b"set-cookie";
    memchr::memchr_iter(b'\n', head).any(|end| {
        let line = &head[end + 1..];
        matches!(line.first(), Some(b's' | b'S'))
            && line
                .get(..NAME.len())
                .is_some_and(|name| name.eq_ignore_ascii_case(NAME))
    })
}

fn parser() -> ParserConfig {
    let mut parser = ParserConfig::default();
    // Folded lines are obsolete, but a user agent has to read them (RFC 9112, 5.2). The fold stays
    // in the value, where it is white space.
    parser.allow_obsolete_multiline_headers_in_responses(true);
    parser
}

/// What the header fields say about framing, of which only three matter.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    /// Whether chunked is the last transfer coding; `None` without any coding.
    chunked: Option<bool>,
    close: bool,
    keep_alive: bool,
}

/// A header field that [`Framing`] is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FramingField {
    Connection,
    ContentLength,
    TransferEncoding,
}

impl FramingField {
    /// The field of this name, if it is one of them.
    #[inline]
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        // Length first: it tells most names apart without comparing text.
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => Some(Self::Connection),
            14 if name.eq_ignore_ascii_case(b"content-length") => Some(Self::ContentLength),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => Some(Self::TransferEncoding),
            _ => None,
        }
    }
}

fn meaning(response: &Response<'_, '_>) -> Result<Head, Malformed> {
    let status = response.code.unwrap_or(0);
    if !(100..=999).contains(&status) || status == 101 {
        return Err(Malformed::Status(status));
    }
    let is_http_1_1 = response.version == Some(1);
    let framing = framing(response.headers)?;
    // Chunks from a server that cannot know them, or beside a length, are read, but where the next
    // answer would begin is not to be relied on (RFC 9112, 6.1 and 6.3).
    let is_certain = framing.chunked.is_none() || is_http_1_1 && framing.length.is_none();
    let stays = !framing.close && (is_http_1_1 || framing.keep_alive);
    let body = match (framing.chunked, framing.length) {
        _ if status < 200 || status == 204 || status == 304 => None,
        (Some(true), _) => Some(Body::Chunked(Chunk::START)),
        (Some(false), _) | (None, None) => Some(Body::UntilClose),
        (None, Some(length)) => Body::of_length(length),
    };
    let keep_alive = stays && is_certain;
    Ok(Head {
        status,
        keep_alive,
        body,
    })
}

fn framing(headers: &[httparse::Header<'_>]) -> Result<Framing, Malformed> {
    let mut framing = Framing::default();
    for header in headers {
        match FramingField::named(header.name.as_bytes()) {
            Some(FramingField::Connection) => {
                framing.close |= has_token(header.value, b"close");
                framing.keep_alive |= has_token(header.value, b"keep-alive");
            }
            Some(FramingField::ContentLength) => {
                let length = content_length(header.value)?;
                if framing.length.is_some_and(|earlier| earlier != length) {
                    return Err(Malformed::ContentLength);
                }
                framing.length = Some(length);
            }
            Some(FramingField::TransferEncoding) => {
                framing.chunked = last_coding_is_chunked(header.value).or(framing.chunked);
            }
            None => {}
        }
    }
    Ok(framing)
}

/// `None` without a coding; identity is none.
fn last_coding_is_chunked(value: &[u8]) -> Option<bool> {
    value
        .rsplit(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
        .map(|coding| coding.eq_ignore_ascii_case(b"chunked"))
}

/// One number, or the same number several times in a list (RFC 9110, 8.6).
///
/// # Errors
/// [`Malformed::ContentLength`] for anything else.
pub(super) fn content_length(value: &[u8]) -> Result<u64, Malformed> {
    let mut numbers = value
        .split(|byte| *byte == b',')
        .map(|part| decimal(part.trim_ascii()));
    let first = numbers.next().flatten().ok_or(Malformed::ContentLength)?;
    if numbers.all(|number| number == Some(first)) {
        Ok(first)
    } else {
        Err(Malformed::ContentLength)
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}
