//! Why a connection cannot go on, in words and as the code that the peer is told.

use thiserror::Error;

use super::frame::{Code, PAYLOAD_LEN_MAX};
use super::reading::{BLOCK_LEN_MAX, IDLE_FRAMES_MAX};

/// Why a connection is of no more use. Where HTTP/2 would end one stream only, the connection ends
/// too, as RFC 9113, 5.4 allows: such a peer is not worth a second look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The peer answers in HTTP/1.
    #[error("the peer does not speak HTTP/2: its first bytes are those of HTTP/1")]
    Http1,
    /// Something else came before the peer's settings.
    #[error("the first frame is of kind {0}, not SETTINGS: the peer does not speak HTTP/2")]
    FirstFrame(u8),
    /// A length that this kind of frame cannot have, or above what we take.
    #[error(
        "a frame of kind {kind} has {length} bytes (none may have more than {PAYLOAD_LEN_MAX})"
    )]
    FrameSize {
        /// The frame's kind.
        kind: u8,
        /// Length of its payload, in bytes.
        length: u32,
    },
    /// A stream that such a frame cannot be about: 0, even, or never opened.
    #[error("a frame of kind {kind} is about stream {id}, which it cannot be about")]
    Stream {
        /// The frame's kind.
        kind: u8,
        /// The stream.
        id: u32,
    },
    /// A frame for a stream whose answer was complete.
    #[error("a frame of kind {kind} came for stream {id} after its end")]
    Closed {
        /// The frame's kind.
        kind: u8,
        /// The stream.
        id: u32,
    },
    /// Padding as long as the payload, or longer.
    #[error("a frame has more padding than payload")]
    Padding,
    /// A block of fields was not continued, or nothing was there to continue.
    #[error("a frame of kind {0} came where a block of fields has to be continued, or the reverse")]
    Continuation(u8),
    /// A push, which our settings forbid.
    #[error("the peer pushes, though it was told not to")]
    Push,
    /// A setting with a value that it cannot have.
    #[error("setting {id} has the value {value}, which it cannot have")]
    Setting {
        /// Its number.
        id: u16,
        /// Its value.
        value: u32,
    },
    /// A window that grew by nothing.
    #[error("a window was enlarged by nothing")]
    NoIncrement,
    /// A window above 2^31 - 1 bytes.
    #[error("a window was enlarged beyond 2^31 - 1 bytes")]
    Window,
    /// Header compression is broken.
    #[error("a block of fields is not HPACK")]
    Compression,
    /// A block of fields is longer than we take.
    #[error(
        "a block of fields is longer than {BLOCK_LEN_MAX} bytes, or stands for more than 1 MiB"
    )]
    BlockTooLong,
    /// Frames without end that bring nothing.
    #[error("more than {IDLE_FRAMES_MAX} frames came in a row that bring no answer on")]
    Flood,
    /// An answer without a status, or one that makes no sense in HTTP/2 (101).
    #[error("an answer has no :status that HTTP/2 knows, first of its fields")]
    Status,
    /// DATA before the fields, or fields after the data that do not end the stream.
    #[error("an answer's fields and data come in an order that is none")]
    Order,
    /// The connection ended within an answer.
    #[error("the connection ended within an answer")]
    Truncated,
}

impl Malformed {
    /// What the peer is told.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::FrameSize { .. } => Code::FRAME_SIZE_ERROR,
            Self::Closed { .. } => Code::STREAM_CLOSED,
            Self::Window | Self::Setting { id: 4, .. } => Code::FLOW_CONTROL_ERROR,
            Self::Compression => Code::COMPRESSION_ERROR,
            Self::BlockTooLong | Self::Flood => Code::ENHANCE_YOUR_CALM,
            _ => Code::PROTOCOL_ERROR,
        }
    }
}
