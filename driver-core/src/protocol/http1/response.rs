//! An incremental reader of answers: any split of the bytes gives the same result, bodies are
//! skipped and never kept.
//!
//! Heads go through `httparse`, but rarely: most answers of a run have the same head to the byte
//! (only `Date` changes, once a second), so each core remembers the last head and its meaning
//! ([`HeadMemo`]) and compares before it parses. A head that is split over several reads is
//! gathered in the connection's own buffer; whole heads are never copied.

use std::mem::MaybeUninit;

use httparse::{Response, Status};
use thiserror::Error;

use super::body::{Body, Chunk};

/// Longest head of an answer, in bytes.
pub const HEAD_LEN_MAX: usize = 64 * 1024;
/// Most header fields of an answer.
pub const HEADERS_MAX: usize = 256;
/// Longest head that is remembered, in bytes.
const MEMO_LEN_MAX: usize = 1024;

/// Why bytes are no HTTP answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The status line or a header field is not HTTP/1.0 or HTTP/1.1.
    #[error("the head is not HTTP/1: {0}")]
    Head(httparse::Error),
    /// More than [`HEAD_LEN_MAX`] bytes of head or trailers.
    #[error("the head is longer than {HEAD_LEN_MAX} bytes")]
    HeadTooLong,
    /// A `Content-Length` that is no number, or two that differ.
    #[error("Content-Length is not one number")]
    ContentLength,
    /// A status below 100, or a change of protocol that nobody asked for.
    #[error("status {0} is no answer to this request")]
    Status(u16),
    /// A chunk size that is no hexadecimal number of up to 16 digits.
    #[error("a chunk size is not hexadecimal")]
    ChunkSize,
    /// A size line with more than 16 KiB of extensions.
    #[error("a chunk's size line is too long")]
    ChunkLineTooLong,
    /// A line end is missing in chunked framing.
    #[error("chunked framing is broken")]
    ChunkFraming,
    /// The connection ended within an answer.
    #[error("the connection ended within an answer")]
    Truncated,
}

/// One complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Whether another answer may follow on this connection.
    pub keep_alive: bool,
}

/// What a piece of bytes brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes used; the rest belongs to the next answer.
    pub used: usize,
    /// The answer that became complete, if one did. Without one, all bytes were used.
    pub answer: Option<Answer>,
}

/// What a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    answer: Answer,
    /// `None` when no body follows.
    body: Option<Body>,
}

/// The last head that a core met, and its meaning.
#[derive(Debug)]
pub struct HeadMemo {
    bytes: Vec<u8>,
    head: Head,
    /// Whether the requests are HEAD, so that no answer has a body.
    bodiless: bool,
}

impl HeadMemo {
    /// An empty memory for answers to requests of this method.
    #[must_use]
    pub fn new(method: &str) -> Self {
        let answer = Answer {
            status: 0,
            keep_alive: false,
        };
        Self {
            bytes: Vec::with_capacity(MEMO_LEN_MAX),
            head: Head { answer, body: None },
            bodiless: method == "HEAD",
        }
    }

    /// Whether `bytes` start with the remembered head; its length if so.
    fn recall(&self, bytes: &[u8]) -> Option<usize> {
        (!self.bytes.is_empty() && bytes.starts_with(&self.bytes)).then_some(self.bytes.len())
    }

    fn remember(&mut self, bytes: &[u8], head: Head) {
        self.bytes.clear();
        if bytes.len() <= MEMO_LEN_MAX {
            self.bytes.extend_from_slice(bytes);
            self.head = head;
        }
    }

    /// The length and meaning of the head that `bytes` start with; `None` when it is incomplete.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<(usize, Head)>, Malformed> {
        if let Some(length) = self.recall(bytes) {
            return Ok(Some((length, self.head)));
        }
        let Some((length, head)) = parse_head(bytes, self.bodiless)? else {
            return Ok(None);
        };
        self.remember(&bytes[..length], head);
        Ok(Some((length, head)))
    }
}

/// Where a connection is within its answers.
#[derive(Debug, Default)]
pub struct Reader {
    /// The body that is being skipped, and the answer that it completes.
    body: Option<(Body, Answer)>,
    /// The part of a head that earlier reads brought.
    partial: Vec<u8>,
}

impl Reader {
    /// Reads on from `bytes`, up to the end of one answer.
    ///
    /// # Errors
    /// [`Malformed`]; the connection is of no more use then.
    pub fn read(&mut self, memo: &mut HeadMemo, bytes: &[u8]) -> Result<Step, Malformed> {
        let mut used = 0;
        loop {
            if let Some((body, answer)) = &mut self.body {
                let answer = *answer;
                let (skipped, complete) = body.skip(&bytes[used..])?;
                used += skipped;
                if complete {
                    self.body = None;
                }
                return Ok(Step {
                    used,
                    answer: complete.then_some(answer),
                });
            }
            let Some((length, head)) = self.read_head(memo, &bytes[used..])? else {
                return Ok(Step {
                    used: bytes.len(),
                    answer: None,
                });
            };
            used += length;
            match (head.answer.status, head.body) {
                (100..=199, _) => {}
                (_, Some(body)) => self.body = Some((body, head.answer)),
                (_, None) => {
                    return Ok(Step {
                        used,
                        answer: Some(head.answer),
                    });
                }
            }
        }
    }

    /// The connection has ended: the answer that this completes, if any.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] in the middle of an answer.
    pub fn end(&mut self) -> Result<Option<Answer>, Malformed> {
        let within_head = !self.partial.is_empty();
        match self.body.take() {
            Some((Body::UntilClose, answer)) => Ok(Some(answer)),
            Some(_) => Err(Malformed::Truncated),
            None if within_head => Err(Malformed::Truncated),
            None => Ok(None),
        }
    }

    /// Forgets everything, for a new connection.
    pub fn reset(&mut self) {
        self.body = None;
        self.partial.clear();
    }

    /// Reads a head that may have begun in earlier bytes. Returns how many of *these* bytes it
    /// took; `None` when it is still incomplete (then all of them were kept).
    fn read_head(
        &mut self,
        memo: &mut HeadMemo,
        bytes: &[u8],
    ) -> Result<Option<(usize, Head)>, Malformed> {
        if self.partial.is_empty() {
            let found = memo.read(bytes)?;
            if found.is_none() {
                self.keep(bytes)?;
            }
            return Ok(found);
        }
        let earlier = self.partial.len();
        self.keep(bytes)?;
        // Parsing anew at every byte would cost the square of the head's length.
        if !ends_within(&self.partial, earlier) {
            return Ok(None);
        }
        let found = memo.read(&self.partial)?;
        let Some((length, head)) = found else {
            return Ok(None);
        };
        self.partial.clear();
        Ok(Some((length - earlier, head)))
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        // Bytes after a head may be kept with it for a moment, so the limit applies to the head
        // alone: a head that is too long has no end within the limit.
        if self.partial.len() >= HEAD_LEN_MAX {
            return Err(Malformed::HeadTooLong);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}

/// Whether an empty line ends in `bytes[from..]`.
fn ends_within(bytes: &[u8], from: usize) -> bool {
    bytes[from.saturating_sub(3)..]
        .windows(2)
        .any(|pair| pair == b"\n\n")
        || bytes[from.saturating_sub(3)..]
            .windows(3)
            .any(|three| three == b"\n\r\n")
}

/// Parses the head that `bytes` start with; `None` when it is incomplete.
fn parse_head(bytes: &[u8], bodiless: bool) -> Result<Option<(usize, Head)>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = Response::new(&mut []);
    let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut fields,
    );
    match status.map_err(Malformed::Head)? {
        Status::Complete(length) if length > HEAD_LEN_MAX => Err(Malformed::HeadTooLong),
        Status::Complete(length) => Ok(Some((length, meaning(&response, bodiless)?))),
        Status::Partial if bytes.len() >= HEAD_LEN_MAX => Err(Malformed::HeadTooLong),
        Status::Partial => Ok(None),
    }
}

/// What the header fields say about framing, of which only three matter.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    /// `Some(true)` when chunked is the last transfer coding.
    chunked: Option<bool>,
    close: bool,
    keep_alive: bool,
}

fn meaning(response: &Response<'_, '_>, bodiless: bool) -> Result<Head, Malformed> {
    let status = response.code.unwrap_or(0);
    if !(100..=999).contains(&status) || status == 101 {
        return Err(Malformed::Status(status));
    }
    let framing = framing(response.headers)?;
    let keep_alive = !framing.close && (response.version == Some(1) || framing.keep_alive);
    let body = match framing {
        _ if bodiless || status < 200 || status == 204 || status == 304 => None,
        Framing {
            chunked: Some(true),
            ..
        } => Some(Body::Chunked(Chunk::START)),
        Framing {
            chunked: None,
            length: Some(0),
            ..
        } => None,
        Framing {
            chunked: None,
            length: Some(length),
            ..
        } => Some(Body::Length(length)),
        _ => Some(Body::UntilClose),
    };
    let keep_alive = keep_alive && body != Some(Body::UntilClose);
    Ok(Head {
        answer: Answer { status, keep_alive },
        body,
    })
}

fn framing(headers: &[httparse::Header<'_>]) -> Result<Framing, Malformed> {
    let mut framing = Framing::default();
    for header in headers {
        // Length first: it tells most names apart without comparing text.
        match header.name.len() {
            10 if header.name.eq_ignore_ascii_case("connection") => {
                framing.close |= has_token(header.value, b"close");
                framing.keep_alive |= has_token(header.value, b"keep-alive");
            }
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                let length = content_length(header.value)?;
                if framing.length.is_some_and(|earlier| earlier != length) {
                    return Err(Malformed::ContentLength);
                }
                framing.length = Some(length);
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                let last = header
                    .value
                    .rsplit(|byte| *byte == b',')
                    .next()
                    .unwrap_or_default();
                framing.chunked = Some(last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
            }
            _ => {}
        }
    }
    Ok(framing)
}

/// One number, or the same number several times in a list (RFC 9110, 8.6).
fn content_length(value: &[u8]) -> Result<u64, Malformed> {
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

#[cfg(test)]
mod tests;
