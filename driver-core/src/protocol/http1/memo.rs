//! What heads a core has met, and what they meant: most answers of a run have the same head, or the
//! same but for values that say nothing about framing, such as `Date`, `ETag` or a request's id.
//!
//! A remembered head is a [`Template`]: its bytes, with a hole for the value of each field that was
//! seen to vary. A head that equals it outside the holes, and has only bytes of a field value within
//! them, means the same, since its fields of framing and its status line are the same to the byte. A
//! length may vary too: its hole is read as the parser reads it. Everything else is parsed. So the
//! memo is exact by construction: it says what the parser would say, or nothing.

use std::ops::Range;

use super::body::Body;
use super::head::{Asked, FramingField, Head, content_length, parse_head};
use super::response::{Answer, HEAD_LEN_MAX, Malformed};

/// Longest head that is remembered, in bytes.
const MEMO_LEN_MAX: usize = 1024;
/// Most lines of a head whose values may vary; of a longer one every byte has to be the same.
const LINES_MAX: usize = 64;
/// Heads that are remembered, so that interim answers and a mix of requests evict nothing.
const TEMPLATES: usize = 4;

/// The heads that a core met last, and their meanings.
#[derive(Debug)]
pub struct HeadMemo {
    templates: [Template; TEMPLATES],
    /// The template that was used last.
    latest: usize,
    /// The one to be replaced next.
    oldest: usize,
    asked: Asked,
    /// Lines of a head that is being learned.
    lines: Vec<Line>,
}

impl HeadMemo {
    /// An empty memory for answers to requests of this kind.
    #[must_use]
    pub fn new(asked: Asked) -> Self {
        Self {
            templates: std::array::from_fn(|_| Template::empty()),
            latest: 0,
            oldest: 0,
            asked,
            lines: Vec::with_capacity(LINES_MAX),
        }
    }

    /// From here on answers are answers to requests of this kind.
    #[inline]
    pub fn ask(&mut self, asked: Asked) {
        self.asked = asked;
    }

    /// What the answers are answers to.
    #[inline]
    pub(super) fn asked(&self) -> Asked {
        self.asked
    }

    /// The whole answer that `bytes` start with, if its head is to the byte the one that was read
    /// last; `None` says nothing. Nearly all answers of a run end here, when they come many at once.
    #[inline]
    pub(super) fn recall_whole(&self, bytes: &[u8]) -> Option<Whole> {
        let template = &self.templates[self.latest];
        let Head {
            status,
            keep_alive,
            ref body,
        } = template.head;
        // Looked at in place: what follows a body through is larger than what an answer needs.
        let body_len = match body {
            _ if self.asked.bodiless => 0,
            None => 0,
            Some(Body::Length(length)) => usize::try_from(*length).ok()?,
            Some(_) => return None,
        };
        let rest = bytes.strip_prefix(template.bytes.as_slice())?;
        if status < 200 || rest.len() < body_len {
            return None;
        }
        Some(Whole {
            head_len: template.bytes.len(),
            body_len,
            answer: Answer {
                status,
                keep_alive: keep_alive && !self.asked.closes,
            },
        })
    }

    /// The length and meaning of the head that `bytes` start with; `None` when it is incomplete.
    ///
    /// # Errors
    /// [`Malformed`], when it is no head.
    #[inline]
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Option<(usize, Head)>, Malformed> {
        if let Some(found) = self.templates[self.latest].recall(bytes) {
            return Ok(Some(found));
        }
        self.read_other(bytes)
    }

    #[inline(never)]
    fn read_other(&mut self, bytes: &[u8]) -> Result<Option<(usize, Head)>, Malformed> {
        for place in (0..TEMPLATES).filter(|place| *place != self.latest) {
            if let Some(found) = self.templates[place].recall(bytes) {
                self.latest = place;
                return Ok(Some(found));
            }
        }
        let Some((length, head)) = parse_head(bytes)? else {
            return Ok(None);
        };
        if length <= MEMO_LEN_MAX {
            self.learn(&bytes[..length], head);
        }
        Ok(Some((length, head)))
    }

    /// Widens the template that this head fits but for some values, or remembers it as a new one.
    fn learn(&mut self, bytes: &[u8], head: Head) {
        find_lines(bytes, head, &mut self.lines);
        let lines = &self.lines;
        let fits = |template: &mut Template| template.widen(bytes, head, lines);
        let place = self.templates.iter_mut().position(fits);
        self.latest = place.unwrap_or_else(|| {
            let place = self.oldest;
            self.oldest = (place + 1) % TEMPLATES;
            self.templates[place].replace(bytes, head, lines);
            place
        });
    }
}

/// An answer of which no byte is missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    /// Bytes of its head.
    pub(super) head_len: usize,
    /// Bytes of its body.
    pub(super) body_len: usize,
    /// What it says.
    pub(super) answer: Answer,
}

/// A head, with holes.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    head: Head,
    lines: Vec<Line>,
    holes: Vec<Hole>,
}

/// A line of a head that may vary between two heads of the same meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// From the first byte of the name to the line's end, without it.
    text: Range<usize>,
    /// Where the value begins, after the colon.
    value: usize,
    /// After the line's end.
    end: usize,
    kind: Kind,
    varies: bool,
}

/// What a value is to the meaning of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It has to be the same: a field of framing, the status line, a folded line, the last line.
    Fixed,
    /// Nothing.
    Free,
    /// The one length of the body: only its number counts.
    Length,
}

/// A value that varies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hole {
    /// Where it is in the template.
    value: Range<usize>,
    is_length: bool,
}

impl Template {
    fn empty() -> Self {
        Self {
            bytes: Vec::with_capacity(MEMO_LEN_MAX),
            head: Head {
                status: 0,
                keep_alive: false,
                body: None,
            },
            lines: Vec::with_capacity(LINES_MAX),
            holes: Vec::with_capacity(LINES_MAX),
        }
    }

    /// The length and meaning of the head that `bytes` start with, where this template knows it.
    #[inline]
    fn recall(&mut self, bytes: &[u8]) -> Option<(usize, Head)> {
        if !self.bytes.is_empty() && bytes.starts_with(&self.bytes) {
            return Some((self.bytes.len(), self.head));
        }
        self.recall_around_holes(bytes)
    }

    #[inline(never)]
    fn recall_around_holes(&mut self, bytes: &[u8]) -> Option<(usize, Head)> {
        if self.holes.is_empty() {
            return None;
        }
        let mut head = self.head;
        let (mut rest, mut from) = (bytes, 0);
        let mut is_aligned = true;
        for hole in &self.holes {
            rest = rest.strip_prefix(&self.bytes[from..hole.value.start])?;
            let (value, after) = rest.split_at(value_length(rest));
            if hole.is_length {
                head.body = Body::of_length(content_length(value).ok()?);
            }
            is_aligned &= value.len() == hole.value.len();
            (rest, from) = (after, hole.value.end);
        }
        rest = rest.strip_prefix(&self.bytes[from..])?;
        let length = bytes.len() - rest.len();
        if is_aligned {
            // Some values change once a second: until then the head is the same to the byte.
            self.bytes.copy_from_slice(&bytes[..length]);
            self.head = head;
        }
        (length <= HEAD_LEN_MAX).then_some((length, head))
    }

    fn replace(&mut self, bytes: &[u8], head: Head, lines: &[Line]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.lines.clear();
        self.lines.extend_from_slice(lines);
        self.holes.clear();
        self.head = head;
    }

    /// Makes holes where this head differs; false when it differs in more than in values that may.
    fn widen(&mut self, bytes: &[u8], head: Head, lines: &[Line]) -> bool {
        let fits = !lines.is_empty()
            && self.lines.len() == lines.len()
            && self.head.status == head.status
            && self.head.keep_alive == head.keep_alive
            && std::iter::zip(&self.lines, lines)
                .all(|(own, other)| own.agrees(&self.bytes, other, bytes));
        if !fits {
            return false;
        }
        for (own, other) in self.lines.iter_mut().zip(lines) {
            own.varies |= self.bytes[own.text.clone()] != bytes[other.text.clone()];
        }
        self.holes.clear();
        let varying = self.lines.iter().filter(|line| line.varies);
        self.holes.extend(varying.map(|line| Hole {
            value: line.value..line.text.end,
            is_length: line.kind == Kind::Length,
        }));
        true
    }
}

impl Line {
    /// Whether it belongs to the value of the line before.
    fn is_folded(&self, bytes: &[u8]) -> bool {
        is_fold(&bytes[self.text.clone()])
    }

    /// Whether the two lines differ in nothing, or in a value that may vary.
    fn agrees(&self, own: &[u8], other: &Self, others: &[u8]) -> bool {
        let ends_alike = own[self.text.end..self.end] == others[other.text.end..other.end];
        let is_same = own[self.text.clone()] == others[other.text.clone()];
        let is_named_alike =
            || own[self.text.start..self.value] == others[other.text.start..other.value];
        let may_vary = self.kind == other.kind && self.kind != Kind::Fixed;
        ends_alike && (is_same || may_vary && is_named_alike())
    }
}

/// The lines of a head that was parsed; none where there are too many.
fn find_lines(bytes: &[u8], head: Head, lines: &mut Vec<Line>) {
    lines.clear();
    // Empty lines before the status line are let pass by the parser.
    if !bytes.starts_with(b"HTTP/") {
        return;
    }
    let mut start = 0;
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        if lines.len() == LINES_MAX {
            lines.clear();
            return;
        }
        let line = line(start, text);
        if line.is_folded(bytes)
            && let Some(field) = lines.last_mut()
        {
            field.kind = Kind::Fixed;
        }
        lines.push(line);
        start += text.len();
    }
    // Two lengths have to agree, and what is no length frames nothing.
    let lengths = lines.iter().filter(|line| line.kind == Kind::Length);
    if lengths.count() > 1 || !matches!(head.body, Some(Body::Length(_))) {
        let length = |line: &&mut Line| line.kind == Kind::Length;
        let all = lines.iter_mut().filter(length);
        all.for_each(|line| line.kind = Kind::Fixed);
    }
}

/// A line that begins at `start` of a head.
fn line(start: usize, text: &[u8]) -> Line {
    let end = start + text.len();
    let bare = text.strip_suffix(b"\n").unwrap_or(text);
    let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
    let colon = bare.iter().position(|byte| *byte == b':');
    let (kind, value) = match colon {
        Some(colon) if start > 0 && !is_fold(bare) => (kind(&bare[..colon]), colon + 1),
        _ => (Kind::Fixed, bare.len()),
    };
    Line {
        text: start..start + bare.len(),
        value: start + value,
        end,
        kind,
        varies: false,
    }
}

fn is_fold(line: &[u8]) -> bool {
    line.first()
        .is_some_and(|byte| matches!(byte, b' ' | b'\t'))
}

fn kind(name: &[u8]) -> Kind {
    match FramingField::named(name) {
        None => Kind::Free,
        Some(FramingField::ContentLength) => Kind::Length,
        Some(FramingField::Connection | FramingField::TransferEncoding) => Kind::Fixed,
    }
}

/// How many bytes at the front may be in the value of a field: the tab and everything that is no
/// control character (RFC 9110, 5.5). Eight at a time, since values that vary are long.
#[inline]
fn value_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes[at..].first_chunk::<8>() {
        let controls = controls(u64::from_le_bytes(*word));
        at += controls.trailing_zeros() as usize / 8;
        if controls != 0 {
            if bytes[at] != b'\t' {
                return at;
            }
            at += 1;
        }
    }
    let is_value = |byte: &&u8| **byte == b'\t' || controls(u64::from(**byte) | !0xff) == 0;
    at + bytes[at..].iter().take_while(is_value).count()
}

/// Marks the control characters among the eight bytes of a word in their highest bits. Exact up to
/// the first of them; above it the borrow of a subtraction may mark others.
#[inline]
fn controls(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let from_delete = word ^ (ONES * 0x7f);
    let is_delete = from_delete.wrapping_sub(ONES) & !from_delete;
    (below_space | is_delete) & HIGHS
}

#[cfg(test)]
mod tests;
