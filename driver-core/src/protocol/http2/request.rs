//! Requests, compiled once to blocks of fields in which only holes are filled when they are written.

use thiserror::Error;

use super::frame::{HEAD_LEN, Head, flag, kind};
use super::hpack::{self, STATIC};
use crate::protocol::template::{Template, Text, is_host};

/// A size update of our own table to 0, which may begin a block.
const TABLE_SIZE_0: u8 = 0x20;
/// Representations of a literal field that does not enter the table: whether others may index it
/// when they pass it on.
const LITERAL: u8 = 0x00;
const LITERAL_NEVER: u8 = 0x10;
/// Where `content-length` is in the static table.
const CONTENT_LENGTH: usize = 28;

/// Fields that are about an HTTP/1.1 connection, and that HTTP/2 forbids (RFC 9113, 8.2.2).
const FORBIDDEN: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];
/// Fields that nobody on the way should keep.
const SECRET: [&str; 4] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
];

/// Why a request cannot be sent over HTTP/2.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unfit {
    /// A field that HTTP/2 has no place for.
    #[error(
        "the header field {0:?} is about an HTTP/1.1 connection and forbidden in HTTP/2; leave it out, or ask for HTTP/1.1"
    )]
    Field(String),
    /// `TE` with anything but `trailers`.
    #[error(
        "the header field TE may only be \"trailers\" in HTTP/2; leave it out, or ask for HTTP/1.1"
    )]
    Te,
    /// A method that HTTP/2 sends in another form.
    #[error("the method CONNECT is not sent over HTTP/2; ask for HTTP/1.1")]
    Connect,
}

/// A piece of a block.
#[derive(Debug)]
enum Piece {
    Fixed(Vec<u8>),
    /// A value with holes, written behind its length.
    Value(Text),
    /// A field that is left out when its value is empty: what is before the value, and the value.
    Optional(Vec<u8>, Text),
}

/// A request as a block of fields with holes, and a body.
#[derive(Debug)]
pub(super) struct Compiled {
    /// The frame's head, for stream 0, and what comes before the first hole.
    frame: Vec<u8>,
    /// The rest of a block with holes.
    pieces: Vec<Piece>,
    body: Text,
}

impl Compiled {
    pub(super) fn new(template: &Template) -> Result<Self, Unfit> {
        if template.method == "CONNECT" {
            return Err(Unfit::Connect);
        }
        let mut block = Block::default();
        let scheme = if template.is_https { "https" } else { "http" };
        block.field(":method", &Text::fixed(template.method.as_str()));
        block.field(":scheme", &Text::fixed(scheme));
        block.field(":path", &template.path);
        block.field(":authority", template.host());
        for (name, value) in template.headers.iter().filter(|(name, _)| !is_host(name)) {
            let name = name.to_ascii_lowercase();
            check(&name, value)?;
            block.field(&name, value);
        }
        if let Some(body) = template.body.as_fixed()
            && template.announces_body()
        {
            block.field("content-length", &Text::fixed(body.len().to_string()));
        }
        Ok(block.compile(&template.body))
    }

    /// Appends the frame's head, without its stream, and the block. A body with holes is rendered
    /// to `scratch`.
    #[inline]
    pub(super) fn write(
        &self,
        tell_table: bool,
        fill: &mut dyn FnMut(usize, &mut Vec<u8>),
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        if self.is_fixed() && !tell_table {
            out.extend_from_slice(&self.frame);
            return;
        }
        let begin = out.len();
        out.extend_from_slice(&self.frame[..HEAD_LEN]);
        if tell_table {
            out.push(TABLE_SIZE_0);
        }
        out.extend_from_slice(&self.frame[HEAD_LEN..]);
        for piece in &self.pieces {
            match piece {
                Piece::Fixed(bytes) => out.extend_from_slice(bytes),
                Piece::Value(text) => write_value(text, fill, out),
                Piece::Optional(name, text) => {
                    let before = out.len();
                    out.extend_from_slice(name);
                    let start = out.len();
                    write_value(text, fill, out);
                    // The length of nothing is one byte of 0.
                    if out[start..] == [0] {
                        out.truncate(before);
                    }
                }
            }
        }
        let mut has_body = !self.body.is_empty();
        if self.body.as_fixed().is_none() {
            scratch.clear();
            self.body.render(fill, scratch);
            has_body = !scratch.is_empty();
            write_content_length(scratch.len(), out);
        }
        head(out.len() - begin - HEAD_LEN, has_body).write_over(&mut out[begin..]);
    }

    /// The body that follows; one with holes is in `scratch`.
    #[inline]
    pub(super) fn body<'a>(&'a self, scratch: &'a [u8]) -> &'a [u8] {
        self.body.as_fixed().unwrap_or(scratch)
    }

    /// The body, if it is always the same.
    pub(super) fn fixed_body(&self) -> Option<&[u8]> {
        self.body.as_fixed()
    }

    fn is_fixed(&self) -> bool {
        self.pieces.is_empty() && self.body.as_fixed().is_some()
    }
}

/// Whether HTTP/2 has a place for a field.
fn check(name: &str, value: &Text) -> Result<(), Unfit> {
    let is_trailers = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"trailers");
    match name {
        _ if FORBIDDEN.contains(&name) => Err(Unfit::Field(name.to_owned())),
        "te" if !value.as_fixed().is_some_and(is_trailers) => Err(Unfit::Te),
        _ => Ok(()),
    }
}

/// The head of the frame with the block, for stream 0.
fn head(block_len: usize, has_body: bool) -> Head {
    let end_stream = if has_body { 0 } else { flag::END_STREAM };
    Head {
        // One that is longer than a frame can be is cut before it is sent.
        length: u32::try_from(block_len).unwrap_or(u32::MAX),
        kind: kind::HEADERS,
        flags: flag::END_HEADERS | end_stream,
        id: 0,
    }
}

/// Appends a value with holes behind its length. Most are shorter than 127 bytes, whose length is
/// one byte that is known last.
fn write_value(text: &Text, fill: &mut dyn FnMut(usize, &mut Vec<u8>), out: &mut Vec<u8>) {
    let begin = out.len();
    out.push(0);
    text.render(fill, out);
    let length = out.len() - begin - 1;
    if let Ok(short @ ..0x7f) = u8::try_from(length) {
        out[begin] = short;
        return;
    }
    let end = out.len();
    hpack::write_number(0, 7, length, out);
    // The number is behind the value now; turned, it takes the place that was kept and more.
    let number_len = out.len() - end;
    out[begin + 1..].rotate_right(number_len);
    out.remove(begin);
}

fn write_content_length(length: usize, out: &mut Vec<u8>) {
    use std::io::Write;

    hpack::write_number(LITERAL, 4, CONTENT_LENGTH, out);
    let begin = out.len();
    out.push(0);
    write!(out, "{length}").expect("invariant: a vector takes every write");
    out[begin] = u8::try_from(out.len() - begin - 1).expect("invariant: at most 20 digits");
}

/// A block in the making.
#[derive(Default)]
struct Block {
    pieces: Vec<Piece>,
    /// The fixed bytes since the last hole.
    fixed: Vec<u8>,
}

impl Block {
    /// Appends a field in its shortest form without a table.
    fn field(&mut self, name: &str, value: &Text) {
        let place =
            |wanted: &dyn Fn(&(&str, &str)) -> bool| Some(STATIC.iter().position(wanted)? + 1);
        let whole = value.as_fixed().and_then(|value| {
            place(&|entry| entry.0 == name && entry.1.as_bytes() == value && !value.is_empty())
        });
        if let Some(index) = whole {
            return hpack::write_number(0x80, 7, index, &mut self.fixed);
        }
        let before = value.is_optional().then(|| std::mem::take(&mut self.fixed));
        let literal = if SECRET.contains(&name) {
            LITERAL_NEVER
        } else {
            LITERAL
        };
        if let Some(index) = place(&|entry| entry.0 == name) {
            hpack::write_number(literal, 4, index, &mut self.fixed);
        } else {
            self.fixed.push(literal);
            hpack::write_number(0, 7, name.len(), &mut self.fixed);
            self.fixed.extend_from_slice(name.as_bytes());
        }
        if let Some(before) = before {
            let name = std::mem::take(&mut self.fixed);
            self.pieces.push(Piece::Fixed(before));
            self.pieces.push(Piece::Optional(name, value.clone()));
        } else if let Some(value) = value.as_fixed() {
            hpack::write_number(0, 7, value.len(), &mut self.fixed);
            self.fixed.extend_from_slice(value);
        } else {
            self.pieces
                .push(Piece::Fixed(std::mem::take(&mut self.fixed)));
            self.pieces.push(Piece::Value(value.clone()));
        }
    }

    fn compile(mut self, body: &Text) -> Compiled {
        let mut pieces = self.pieces;
        let first = if pieces.is_empty() {
            self.fixed
        } else {
            if !self.fixed.is_empty() {
                pieces.push(Piece::Fixed(std::mem::take(&mut self.fixed)));
            }
            Vec::new()
        };
        let mut frame = head(first.len(), !body.is_empty()).bytes().to_vec();
        frame.extend_from_slice(&first);
        Compiled {
            frame,
            pieces,
            body: body.clone(),
        }
    }
}
