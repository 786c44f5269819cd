//! A replay from front to back.

use std::io::{Read, Seek, SeekFrom};

use super::block::{PREFIX_LEN, Prefix};
use super::head::HEAD_LEN;
use super::{Block, Head, ReplayError, damaged};

/// Reads a replay, block by block.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    head: Head,
    /// Where the next block begins.
    at: u64,
    /// Entries and blocks before it.
    entries: u64,
    blocks: u64,
    /// The last instant that is known before it, ns since 1970.
    reached_ns: i64,
    packed: Vec<u8>,
}

impl<R: Read + Seek> Reader<R> {
    /// At the beginning of a file.
    ///
    /// # Errors
    /// [`ReplayError`] for what is no finished replay.
    pub fn new(mut input: R) -> Result<Self, ReplayError> {
        let head = Head::read(&mut input)?;
        let mut reader = Self {
            input,
            head,
            at: 0,
            entries: 0,
            blocks: 0,
            reached_ns: i64::MIN,
            packed: Vec::new(),
        };
        reader.rewind()?;
        Ok(reader)
    }

    /// What it says of the whole.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Back to the first block.
    ///
    /// # Errors
    /// Those of reading.
    pub fn rewind(&mut self) -> Result<(), ReplayError> {
        self.input.seek(SeekFrom::Start(HEAD_LEN as u64))?;
        (self.at, self.entries, self.blocks) = (HEAD_LEN as u64, 0, 0);
        self.reached_ns = i64::MIN;
        Ok(())
    }

    /// Whether every byte is as it was written, without unpacking any; then back to the first block.
    ///
    /// # Errors
    /// [`ReplayError`] for the first that is not.
    pub fn check(&mut self) -> Result<(), ReplayError> {
        self.rewind()?;
        while self.take()?.is_some() {}
        self.rewind()
    }

    /// Reads the next block; `false` at the end.
    ///
    /// # Errors
    /// [`ReplayError`] for one that is damaged or cannot be read.
    pub fn next(&mut self, block: &mut Block) -> Result<bool, ReplayError> {
        let first = self.entries;
        let Some(prefix) = self.take()? else {
            return Ok(false);
        };
        block.unpack(&self.head, first, &prefix, &self.packed)?;
        self.reached_ns = self.head.first_ns.saturating_add_unsigned(block.last_ns());
        Ok(true)
    }

    /// Takes the packed bytes of the next block.
    fn take(&mut self) -> Result<Option<Prefix>, ReplayError> {
        let left = self.head.blocks_end - self.at;
        if left == 0 {
            let is_whole = (self.entries, self.blocks) == (self.head.requests, self.head.blocks);
            let words = "it has other entries than it says";
            return is_whole.then_some(None).ok_or_else(|| damaged(words));
        }
        let most = left.checked_sub(PREFIX_LEN as u64);
        let most = most.ok_or_else(|| damaged("its last block is cut"))?;
        let mut bytes = [0; PREFIX_LEN];
        self.input.read_exact(&mut bytes)?;
        let prefix = Prefix::read(&bytes, most)?;
        self.packed.resize(prefix.packed_len, 0);
        self.input.read_exact(&mut self.packed)?;
        prefix.check(&bytes, &self.packed)?;
        // Whoever plays it goes forward only.
        if prefix.first_ns < self.reached_ns {
            let entry = self.entries;
            return Err(damaged(format!(
                "the block from entry {entry} on begins before the one above it ends"
            )));
        }
        self.reached_ns = prefix.first_ns;
        self.at += (PREFIX_LEN + prefix.packed_len) as u64;
        self.entries += prefix.entries as u64;
        self.blocks += 1;
        Ok(Some(prefix))
    }
}
