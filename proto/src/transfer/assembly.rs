//! What of a file is there.

use super::{Chunk, PIECE_LEN};

/// The pieces of a file that have come, in any order.
#[derive(Debug, Clone)]
pub struct Assembly {
    bytes: u64,
    here: Vec<bool>,
    /// The first piece that is missing; their number where none is.
    first_missing: usize,
    missing: usize,
}

impl Assembly {
    /// Nothing of a file of so many bytes, at most [`super::FILE_LEN_MAX`].
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let pieces = usize::try_from(bytes.div_ceil(PIECE_LEN)).unwrap_or(usize::MAX);
        Self {
            bytes,
            here: vec![false; pieces],
            first_missing: 0,
            missing: pieces,
        }
    }

    /// Whether a chunk, which is of this file, has what is missing.
    #[must_use]
    pub fn wants(&self, chunk: &Chunk<'_>) -> bool {
        let number = usize::try_from(chunk.offset / PIECE_LEN).unwrap_or(usize::MAX);
        chunk.bytes == self.bytes && self.here.get(number) == Some(&false)
    }

    /// A chunk that was wanted is kept now.
    pub fn keep(&mut self, chunk: &Chunk<'_>) {
        if !self.wants(chunk) {
            return;
        }
        let number = usize::try_from(chunk.offset / PIECE_LEN).unwrap_or(usize::MAX);
        self.here[number] = true;
        self.missing -= 1;
        let behind = self.here[self.first_missing..].iter();
        self.first_missing += behind.take_while(|is_here| **is_here).count();
    }

    /// Bytes that are there from the beginning without a gap.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        (self.first_missing as u64 * PIECE_LEN).min(self.bytes)
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// Bytes of the whole.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
