//! A piece of a file as a message.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `dltsdata` |
//! | 8..12 | CRC-32 of all that follows |
//! | 12..44 | the SHA-256 of the whole file |
//! | 44..52 | bytes of the whole file |
//! | 52..60 | where in it the piece begins |
//! | 60.. | the piece |
//!
//! Numbers are little-endian.

use flate2::Crc;

use super::{FILE_LEN_MAX, PIECE_LEN};
use crate::digest::Sha256;

const MAGIC: [u8; 8] = *b"dltsdata";
const HEAD_LEN: usize = 60;

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'c> {
    /// The file.
    pub sha256: Sha256,
    /// Bytes of the whole file.
    pub bytes: u64,
    /// Where in it the piece begins.
    pub offset: u64,
    /// The piece.
    pub content: &'c [u8],
}

impl<'c> Chunk<'c> {
    /// The message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEAD_LEN + self.content.len());
        message.extend_from_slice(&MAGIC);
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(self.sha256.as_bytes());
        message.extend_from_slice(&self.bytes.to_le_bytes());
        message.extend_from_slice(&self.offset.to_le_bytes());
        message.extend_from_slice(self.content);
        let sum = checksum(&message);
        message[8..12].copy_from_slice(&sum.to_le_bytes());
        message
    }

    /// Reads a message.
    ///
    /// # Errors
    /// In words, for one that is not as a sender wrote it.
    pub fn decode(message: &'c [u8]) -> Result<Self, String> {
        if message.len() < HEAD_LEN || message[..8] != MAGIC {
            return Err("no piece of a file, which begins with dltsdata".to_owned());
        }
        let number = |at: usize| {
            let bytes = message[at..at + 8].try_into();
            u64::from_le_bytes(bytes.expect("invariant: eight bytes"))
        };
        let sum = message[8..12].try_into();
        let sum = u32::from_le_bytes(sum.expect("invariant: four bytes"));
        if sum != checksum(message) {
            return Err("a piece of a file that is not as it was written".to_owned());
        }
        let sha256 = message[12..44].try_into();
        let chunk = Self {
            sha256: Sha256::from_bytes(sha256.expect("invariant: 32 bytes")),
            bytes: number(44),
            offset: number(52),
            content: &message[HEAD_LEN..],
        };
        if chunk.bytes > FILE_LEN_MAX || !chunk.is_in_place() {
            let (len, offset, bytes) = (chunk.content.len(), chunk.offset, chunk.bytes);
            return Err(format!(
                "a piece of {len} bytes at {offset} of a file of {bytes}: pieces have {PIECE_LEN}, \
                 files at most {FILE_LEN_MAX}"
            ));
        }
        Ok(chunk)
    }

    /// Whether it begins and ends where pieces do.
    fn is_in_place(&self) -> bool {
        let left = self.bytes.checked_sub(self.offset);
        let len = left
            .filter(|left| *left > 0)
            .map(|left| left.min(PIECE_LEN));
        self.offset.is_multiple_of(PIECE_LEN) && len == Some(self.content.len() as u64)
    }
}

fn checksum(message: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(&message[12..]);
    crc.sum()
}
