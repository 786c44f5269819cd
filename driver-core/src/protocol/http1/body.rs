//! How the body of an answer is framed, and skipping it as it arrives.

use super::Malformed;

/// Longest extensions of a chunk's size, in bytes.
const CHUNK_LINE_MAX: u32 = 16 * 1024;
/// Longest trailer section, in bytes.
const TRAILERS_LEN_MAX: u32 = 64 * 1024;

/// What is still to come of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks, up to the empty one and its trailers.
    Chunked(Chunk),
    /// Everything up to the end of the connection.
    UntilClose,
}

/// Where within chunked framing the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    /// In the hexadecimal size; so many digits of it have been read.
    Size {
        /// The value so far.
        size: u64,
        /// Digits so far.
        digits: u8,
    },
    /// In a chunk extension, or in the white space before one.
    Extension {
        /// The chunk's size.
        size: u64,
        /// Bytes of the line so far.
        length: u32,
    },
    /// At the line feed that ends the size line.
    SizeEnd(u64),
    /// In the data; so many bytes are left.
    Data(u64),
    /// At the carriage return after the data.
    DataCr,
    /// At the line feed after the data.
    DataLf,
    /// In the trailers.
    Trailer {
        /// Bytes of the section so far.
        total: u32,
        /// Bytes of the line so far.
        line: u32,
        /// Whether the last byte was a carriage return.
        cr: bool,
    },
}

impl Chunk {
    /// Before the first chunk.
    pub(super) const START: Self = Self::Size { size: 0, digits: 0 };
    const TRAILERS: Self = Self::Trailer {
        total: 0,
        line: 0,
        cr: false,
    };
}

impl Body {
    /// Skips what `bytes` hold of the body. Returns how many bytes that was, and whether the body
    /// is complete.
    ///
    /// # Errors
    /// [`Malformed`] when chunked framing is broken.
    pub fn skip(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        match self {
            Self::UntilClose => Ok((bytes.len(), false)),
            Self::Length(left) => {
                let taken = take(left, bytes.len());
                Ok((taken, *left == 0))
            }
            Self::Chunked(chunk) => skip_chunks(chunk, bytes),
        }
    }
}

/// Takes up to `available` from what is `left`.
fn take(left: &mut u64, available: usize) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= taken as u64;
    taken
}

fn skip_chunks(chunk: &mut Chunk, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
    let mut at = 0;
    while at < bytes.len() {
        if let Chunk::Data(left) = chunk {
            at += take(left, bytes.len() - at);
            if *left == 0 {
                *chunk = Chunk::DataCr;
            }
            continue;
        }
        let byte = bytes[at];
        at += 1;
        match after(*chunk, byte)? {
            Some(next) => *chunk = next,
            None => return Ok((at, true)),
        }
    }
    Ok((at, false))
}

/// The state after one byte of framing; `None` after the last byte of the body.
fn after(chunk: Chunk, byte: u8) -> Result<Option<Chunk>, Malformed> {
    let next = match (chunk, byte) {
        (Chunk::Size { size, digits: 1.. } | Chunk::Extension { size, .. }, b'\r') => {
            Chunk::SizeEnd(size)
        }
        (Chunk::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => {
            Chunk::Extension { size, length: 0 }
        }
        (Chunk::Size { size, digits }, _) => size_digit(size, digits, byte)?,
        (
            Chunk::Extension {
                length: CHUNK_LINE_MAX..,
                ..
            },
            _,
        ) => {
            return Err(Malformed::ChunkLineTooLong);
        }
        (Chunk::Extension { .. }, b'\n') => return Err(Malformed::ChunkFraming),
        (Chunk::Extension { size, length }, _) => Chunk::Extension {
            size,
            length: length + 1,
        },
        (Chunk::SizeEnd(0), b'\n') => Chunk::TRAILERS,
        (Chunk::SizeEnd(size), b'\n') => Chunk::Data(size),
        (Chunk::DataCr, b'\r') => Chunk::DataLf,
        (Chunk::DataLf, b'\n') => Chunk::START,
        (Chunk::Trailer { total, line, cr }, _) => return trailer(total, line, cr, byte),
        _ => return Err(Malformed::ChunkFraming),
    };
    Ok(Some(next))
}

fn size_digit(size: u64, digits: u8, byte: u8) -> Result<Chunk, Malformed> {
    let digit = char::from(byte).to_digit(16).ok_or(Malformed::ChunkSize)?;
    if digits == 16 {
        return Err(Malformed::ChunkSize);
    }
    Ok(Chunk::Size {
        size: size << 4 | u64::from(digit),
        digits: digits + 1,
    })
}

fn trailer(total: u32, line: u32, cr: bool, byte: u8) -> Result<Option<Chunk>, Malformed> {
    if total >= TRAILERS_LEN_MAX {
        return Err(Malformed::HeadTooLong);
    }
    let total = total + 1;
    match (byte, cr) {
        (b'\n', true) if line == 0 => Ok(None),
        (b'\n', true) => Ok(Some(Chunk::Trailer {
            total,
            line: 0,
            cr: false,
        })),
        (_, true) | (b'\n', false) => Err(Malformed::ChunkFraming),
        (b'\r', false) => Ok(Some(Chunk::Trailer {
            total,
            line,
            cr: true,
        })),
        (_, false) => Ok(Some(Chunk::Trailer {
            total,
            line: line + 1,
            cr: false,
        })),
    }
}
