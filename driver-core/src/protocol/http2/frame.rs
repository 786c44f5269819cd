//! Frames: their nine bytes of head, their kinds and flags, and the codes of errors (RFC 9113, 4, 6
//! and 7).

use std::fmt;

/// Length of a frame's head, in bytes.
pub(super) const HEAD_LEN: usize = 9;
/// Longest payload that we take, in bytes: what a peer may send unless it is told otherwise.
pub(super) const PAYLOAD_LEN_MAX: usize = 16_384;
/// What a client sends first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest id of a stream, and the largest window.
pub(super) const ID_MAX: u32 = 0x7fff_ffff;

/// What a frame is.
pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0;
    pub(in super::super) const HEADERS: u8 = 1;
    pub(in super::super) const PRIORITY: u8 = 2;
    pub(in super::super) const RST_STREAM: u8 = 3;
    pub(in super::super) const SETTINGS: u8 = 4;
    pub(in super::super) const PUSH_PROMISE: u8 = 5;
    pub(in super::super) const PING: u8 = 6;
    pub(in super::super) const GOAWAY: u8 = 7;
    pub(in super::super) const WINDOW_UPDATE: u8 = 8;
    pub(in super::super) const CONTINUATION: u8 = 9;
}

/// What flags mean; the bits are reused among kinds.
pub(super) mod flag {
    /// `DATA`, `HEADERS`: the sender has no more for this stream.
    pub(in super::super) const END_STREAM: u8 = 1;
    /// `SETTINGS`, `PING`: an acknowledgement.
    pub(in super::super) const ACK: u8 = 1;
    /// `HEADERS`, `CONTINUATION`: the block of fields is whole.
    pub(in super::super) const END_HEADERS: u8 = 4;
    /// `DATA`, `HEADERS`: the payload begins with the length of its padding.
    pub(in super::super) const PADDED: u8 = 8;
    /// `HEADERS`: five bytes of priority come before the block.
    pub(in super::super) const PRIORITY: u8 = 0x20;
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Length of the payload, in bytes: 24 bits.
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// The stream, 0 for the connection.
    pub(super) id: u32,
}

impl Head {
    #[inline]
    pub(super) fn parse(bytes: [u8; HEAD_LEN]) -> Self {
        let [top, middle, low, kind, flags, id @ ..] = bytes;
        Self {
            length: u32::from_be_bytes([0, top, middle, low]),
            kind,
            flags,
            id: u32::from_be_bytes(id) & ID_MAX,
        }
    }

    #[inline]
    pub(super) fn bytes(self) -> [u8; HEAD_LEN] {
        let mut bytes = [0; HEAD_LEN];
        bytes[..3].copy_from_slice(&self.length.to_be_bytes()[1..]);
        (bytes[3], bytes[4]) = (self.kind, self.flags);
        bytes[5..].copy_from_slice(&self.id.to_be_bytes());
        bytes
    }

    /// Writes the head over the first bytes of a frame.
    pub(super) fn write_over(self, frame: &mut [u8]) {
        frame[..HEAD_LEN].copy_from_slice(&self.bytes());
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a frame.
pub(super) fn write(kind: u8, flags: u8, id: u32, payload: &[u8], out: &mut Vec<u8>) {
    let head = Head {
        length: u32::try_from(payload.len()).expect("invariant: cut to the peer's frame size"),
        kind,
        flags,
        id,
    };
    out.extend_from_slice(&head.bytes());
    out.extend_from_slice(payload);
}

/// Appends a frame whose payload is one number.
pub(super) fn write_number(kind: u8, id: u32, number: u32, out: &mut Vec<u8>) {
    write(kind, 0, id, &number.to_be_bytes(), out);
}

/// The number that four bytes are.
pub(super) fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// A code of `RST_STREAM` and `GOAWAY`; unknown ones are possible and no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// No error: an orderly end.
    pub const NO_ERROR: Self = Self(0);
    /// Against the protocol in a way that has no code of its own.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// Against the rules of flow control.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// A frame for a stream that has ended.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame with a length that it cannot have.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// Not processed at all.
    pub const REFUSED_STREAM: Self = Self(7);
    /// Nobody waits for it any more.
    pub const CANCEL: Self = Self(8);
    /// Header compression cannot go on.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// More of something than can be in good faith.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);

    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = usize::try_from(self.0)
            .ok()
            .and_then(|code| Self::NAMES.get(code));
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "error code {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_as_it_was_written() {
        let head = Head {
            length: 0x01_02_03,
            kind: kind::HEADERS,
            flags: flag::PADDED | flag::END_STREAM,
            id: 0x7f00_0001,
        };
        assert_eq!(head.bytes(), [1, 2, 3, 1, 9, 0x7f, 0, 0, 1]);
        assert_eq!(Head::parse(head.bytes()), head);
        let reserved = [0, 0, 0, 4, 0, 0x80, 0, 0, 0];
        assert_eq!(Head::parse(reserved).id, 0, "the reserved bit is ignored");
    }

    #[test]
    fn codes_have_their_names() {
        assert_eq!(Code(13).to_string(), "HTTP_1_1_REQUIRED");
        assert_eq!(Code::ENHANCE_YOUR_CALM.to_string(), "ENHANCE_YOUR_CALM");
        assert_eq!(Code(99).to_string(), "error code 99");
    }
}
