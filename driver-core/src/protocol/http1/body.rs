//! How the body of an answer is framed, and where it ends as it arrives.

use super::response::Malformed;

/// Longest line of a chunk's size, with zeros before it and extensions after it, in bytes.
const CHUNK_LINE_MAX: u32 = 16 * 1024;
/// Longest trailer section, in bytes.
const TRAILERS_LEN_MAX: u32 = 64 * 1024;

/// What is still to come of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks, up to the empty one and its trailers.
    Chunked(Chunk),
    /// Everything up to the end of the connection.
    UntilClose,
}

/// Where within chunked framing the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the hexadecimal size.
    Size {
        /// The value so far.
        size: u64,
        /// Digits so far, zeros included.
        digits: u32,
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

    /// After the line of that size.
    fn of_size(size: u64) -> Self {
        if size == 0 {
            Self::TRAILERS
        } else {
            Self::Data(size)
        }
    }

    /// Goes on behind the data when nothing is left of it.
    fn leave_empty_data(&mut self) {
        if *self == Self::Data(0) {
            *self = Self::DataCr;
        }
    }
}

impl Body {
    /// A body of so many bytes; none at all is no body.
    #[inline]
    pub(super) fn of_length(length: u64) -> Option<Self> {
        (length > 0).then_some(Self::Length(length))
    }

    /// Reads what `bytes` hold of the body, and hands each piece of it on. Returns how many bytes
    /// that was, framing included, and whether the body is complete.
    ///
    /// # Errors
    /// [`Malformed`] when chunked framing is broken.
    #[inline]
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&[u8]),
    ) -> Result<(usize, bool), Malformed> {
        match self {
            Self::UntilClose => {
                each(bytes);
                Ok((bytes.len(), false))
            }
            Self::Length(left) => {
                let taken = take(left, bytes.len());
                each(&bytes[..taken]);
                Ok((taken, *left == 0))
            }
            Self::Chunked(chunk) => read_chunks(chunk, bytes, each),
        }
    }

    /// How many bytes come before anything that is no data, where that is known.
    pub(super) fn known_left(&self) -> Option<u64> {
        match self {
            Self::Length(left) | Self::Chunked(Chunk::Data(left)) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Steps over so many bytes of data, no more than [`Self::known_left`]; whether the body is
    /// complete then.
    pub(super) fn skip(&mut self, length: u64) -> bool {
        match self {
            Self::Length(left) => {
                *left -= length;
                *left == 0
            }
            Self::Chunked(chunk) => {
                if let Chunk::Data(left) = chunk {
                    *left -= length;
                    chunk.leave_empty_data();
                }
                false
            }
            Self::UntilClose => false,
        }
    }
}

/// Takes up to `available` from what is `left`.
fn take(left: &mut u64, available: usize) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= taken as u64;
    taken
}

fn read_chunks(
    chunk: &mut Chunk,
    bytes: &[u8],
    each: &mut impl FnMut(&[u8]),
) -> Result<(usize, bool), Malformed> {
    let mut at = 0;
    while at < bytes.len() {
        if let Chunk::Data(left) = chunk {
            let taken = take(left, bytes.len() - at);
            each(&bytes[at..at + taken]);
            at += taken;
            chunk.leave_empty_data();
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

/// The state after one byte of framing; `None` after the last byte of the body. A line may end in a
/// bare line feed, as those of a head may.
fn after(chunk: Chunk, byte: u8) -> Result<Option<Chunk>, Malformed> {
    let next = match (chunk, byte) {
        (Chunk::Size { size, digits: 1.. } | Chunk::Extension { size, .. }, b'\r') => {
            Chunk::SizeEnd(size)
        }
        (
            Chunk::Size { size, digits: 1.. }
            | Chunk::Extension { size, .. }
            | Chunk::SizeEnd(size),
            b'\n',
        ) => Chunk::of_size(size),
        (Chunk::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => {
            Chunk::Extension { size, length: 0 }
        }
        (Chunk::Size { size, digits }, _) => size_digit(size, digits, byte)?,
        (Chunk::Extension { size, length }, _) => Chunk::Extension {
            size,
            length: longer_line(length)?,
        },
        (Chunk::DataCr, b'\r') => Chunk::DataLf,
        (Chunk::DataCr | Chunk::DataLf, b'\n') => Chunk::START,
        (Chunk::Trailer { total, line, cr }, _) => return trailer(total, line, cr, byte),
        _ => return Err(Malformed::ChunkFraming),
    };
    Ok(Some(next))
}

fn size_digit(size: u64, digits: u32, byte: u8) -> Result<Chunk, Malformed> {
    let digit = char::from(byte).to_digit(16).ok_or(Malformed::ChunkSize)?;
    let size = size.checked_mul(16).ok_or(Malformed::ChunkSize)? | u64::from(digit);
    let digits = longer_line(digits)?;
    Ok(Chunk::Size { size, digits })
}

/// The length of a size line with one byte more.
fn longer_line(length: u32) -> Result<u32, Malformed> {
    if length >= CHUNK_LINE_MAX {
        return Err(Malformed::ChunkLineTooLong);
    }
    Ok(length + 1)
}

fn trailer(total: u32, line: u32, cr: bool, byte: u8) -> Result<Option<Chunk>, Malformed> {
    if total >= TRAILERS_LEN_MAX {
        return Err(Malformed::HeadTooLong);
    }
    let total = total + 1;
    let (line, cr) = match (byte, cr) {
        (b'\n', _) if line == 0 => return Ok(None),
        (b'\n', _) => (0, false),
        (_, true) => return Err(Malformed::ChunkFraming),
        (b'\r', false) => (line, true),
        (_, false) => (line + 1, false),
    };
    Ok(Some(Chunk::Trailer { total, line, cr }))
}
