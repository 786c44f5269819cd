//! An incremental reader of answers: any split of the bytes gives the same result. Bodies are not
//! kept; who wants them gets each piece as it comes ([`Extract`]).
//!
//! Heads go through `httparse`, but rarely: most are like one that was met before ([`HeadMemo`]). A
//! head that is split over several reads is gathered in the connection's own buffer; whole heads are
//! never copied.

use thiserror::Error;

use super::body::Body;
use super::head::Head;
use super::memo::HeadMemo;

/// Longest head of an answer, in bytes.
pub const HEAD_LEN_MAX: usize = 64 * 1024;
/// Most header fields of an answer.
pub const HEADERS_MAX: usize = 256;

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

/// Who takes the parts of answers as they come, in order.
pub trait Extract {
    /// A whole head, from its status line to its empty line; of interim answers too.
    fn head(&mut self, head: &[u8]);
    /// A piece of a body, which may be empty, without the framing of chunks. What was told to
    /// [`Reader::skipped`] is missing.
    fn body(&mut self, piece: &[u8]);
}

/// Nobody wants anything.
impl Extract for () {
    fn head(&mut self, _head: &[u8]) {}
    fn body(&mut self, _piece: &[u8]) {}
}

/// Where a connection is within its answers.
#[derive(Debug, Default)]
pub struct Reader {
    /// The body that is being read, and the answer that it completes.
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
        self.read_into(memo, bytes, &mut ())
    }

    /// [`Self::read`], and hands the parts of the answer on.
    ///
    /// # Errors
    /// As [`Self::read`].
    #[inline]
    pub fn read_into(
        &mut self,
        memo: &mut HeadMemo,
        bytes: &[u8],
        extract: &mut impl Extract,
    ) -> Result<Step, Malformed> {
        if self.is_between()
            && let Some(whole) = memo.recall_whole(bytes)
        {
            let (head, rest) = bytes.split_at(whole.head_len);
            extract.head(head);
            extract.body(&rest[..whole.body_len]);
            return Ok(Step {
                used: whole.head_len + whole.body_len,
                answer: Some(whole.answer),
            });
        }
        let mut used = 0;
        loop {
            if let Some((body, answer)) = &mut self.body {
                let answer = *answer;
                let (taken, complete) =
                    body.read(&bytes[used..], &mut |piece| extract.body(piece))?;
                used += taken;
                if complete {
                    self.body = None;
                }
                return Ok(Step {
                    used,
                    answer: complete.then_some(answer),
                });
            }
            let Some((length, head)) = self.read_head(memo, &bytes[used..], extract)? else {
                return Ok(Step {
                    used: bytes.len(),
                    answer: None,
                });
            };
            used += length;
            if let 100..=199 = head.status {
                continue;
            }
            match head.answer(memo.asked()) {
                (answer, Some(body)) => self.body = Some((body, answer)),
                (answer, None) => {
                    return Ok(Step {
                        used,
                        answer: Some(answer),
                    });
                }
            }
        }
    }

    /// Whether the next byte is the first of an answer.
    #[inline]
    fn is_between(&self) -> bool {
        self.body.is_none() && self.partial.is_empty()
    }

    /// How many bytes at least are still to come before anything but body: what is left of a body of
    /// known length, or of a chunk. So many may be thrown away unseen, and told to
    /// [`Self::skipped`]. `None` where the next byte has to be read.
    #[must_use]
    pub fn remaining_length(&self) -> Option<u64> {
        self.body.as_ref().and_then(|(body, _)| body.known_left())
    }

    /// So many bytes of the body were thrown away instead of read. Returns the answer that this
    /// completes, if it does.
    ///
    /// # Panics
    /// When it is more than [`Self::remaining_length`]: they were not all body.
    pub fn skipped(&mut self, length: u64) -> Option<Answer> {
        let left = self.remaining_length().unwrap_or(0);
        assert!(length <= left, "skipped {length} bytes of {left}");
        let (body, answer) = self.body.as_mut()?;
        let answer = *answer;
        let complete = body.skip(length);
        if complete {
            self.body = None;
        }
        complete.then_some(answer)
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
        extract: &mut impl Extract,
    ) -> Result<Option<(usize, Head)>, Malformed> {
        if self.partial.is_empty() {
            let found = memo.read(bytes)?;
            match found {
                Some((length, _)) => extract.head(&bytes[..length]),
                None => self.keep(bytes)?,
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
        extract.head(&self.partial[..length]);
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

#[cfg(test)]
mod tests;
