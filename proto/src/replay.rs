//! A replay: the requests of a log and their instants in one file, to be played from front to back in
//! memory that does not grow with it, however many different requests there are.
//!
//! | module | what it is |
//! |---|---|
//! | `head` | the first 64 bytes and the tail: what is said of the whole |
//! | `block` | up to 65 536 entries with the requests that they name, packed |
//! | [`Writer`] | entries in the order of their instants, into a file |
//! | [`Reader`] | the file again, block by block |
//!
//! # The file
//! Numbers are little-endian; a varint is LEB128 of at most 10 bytes.
//!
//! | bytes | head |
//! |---|---|
//! | 0..8 | `dltsplay`; zeros until the file is finished |
//! | 8..12 | version, 1 |
//! | 12..16 | CRC-32 of what follows in the head, and of the tail |
//! | 16..24 | entries |
//! | 24..32, 32..40 | the first and the last instant, ns since 1970, signed |
//! | 40..48 | where the tail begins |
//! | 48..56 | bytes of the file |
//! | 56..64 | blocks |
//!
//! A block is four bytes each of its packed length, the CRC-32 of what follows that, its entries, and
//! its unpacked length; then eight of its first instant; then the packed bytes (DEFLATE). Unpacked it
//! has a varint with the number of its different requests, each as a varint of its length and `GET
//! /path?query`; and for each entry a varint of ns since the one before, and one with the number of its
//! request. In a path a dollar sign is `$$`, and `$secret(NAME)` a value that only drivers know, as in
//! documents; a path is `/` and then bytes from 0x21 to 0x7e. Blocks know nothing of each other, so
//! that memory is bounded whatever the log holds; none begins before the one above it ends.
//!
//! The tail is text: a line `method GET 123` for each method with its entries, and a line `secret NAME`
//! for each secret that a path names.

mod block;
mod head;
mod reader;
mod writer;

pub use block::{Block, ENTRIES_MAX, Entry};
pub use head::Head;
pub use reader::Reader;
pub use writer::Writer;

use std::io;

use thiserror::Error;

use crate::units;

/// Longest method and path of an entry, bytes, with the names of secrets and doubled dollar signs.
pub const REQUEST_LEN_MAX: usize = 32 << 10;

/// Longest play, ns: a week.
pub const PLAYED_NS_MAX: u64 = 604_800 * units::NS_PER_S;

/// Why a file cannot be played. Each says what to do.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error("no replay, which begins with dltsplay: make one with driver import log --pace")]
    Other,
    /// Its writer did not come to the end.
    #[error("its import did not come to an end: import the log again")]
    Unfinished,
    /// Another version of the format.
    #[error("a replay of version {0}, and this knows version 1: import the log again")]
    Version(u32),
    /// It is shorter or longer than it says.
    #[error("it has {is} bytes of {said}, so that it was cut or written over: copy it again")]
    Length {
        /// Bytes that it has.
        is: u64,
        /// Bytes that it should have.
        said: u64,
    },
    /// Its bytes are not those that were written.
    #[error("it is damaged: {0}; copy it again, or import the log again")]
    Damaged(String),
}

fn damaged(what: impl Into<String>) -> ReplayError {
    ReplayError::Damaged(what.into())
}

/// Appends a number, seven bits a byte.
fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(0x80 | number.to_le_bytes()[0]);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Takes a number from the front; `None` where there is no whole one.
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A number at a place that is there.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("invariant: four bytes"))
}

/// As [`u32_at`].
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("invariant: eight bytes"),
    )
}

#[cfg(test)]
mod tests;
