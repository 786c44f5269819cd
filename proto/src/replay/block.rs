//! Entries that are packed together, with the requests that they name.

use std::io::{self, Read, Write};
use std::ops::Range;

use flate2::Compression;
use flate2::Crc;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::{
    Head, REQUEST_LEN_MAX, ReplayError, damaged, push_varint, take_varint, u32_at, u64_at,
};

/// Most entries of a block.
pub const ENTRIES_MAX: usize = 1 << 16;
/// Bytes of different requests after which a block is full.
pub(super) const TEXT_LEN_MAX: usize = 1 << 20;
/// Most bytes of a block, unpacked: its requests with their lengths, and two numbers an entry.
const UNPACKED_LEN_MAX: usize = TEXT_LEN_MAX + REQUEST_LEN_MAX + ENTRIES_MAX * 23 + 10;
/// Most bytes of a block, packed: DEFLATE stores with five bytes for each of its own blocks, and its
/// fixed codes take nine bits for eight, so that no packer makes more than an eighth more.
pub(super) const PACKED_LEN_MAX: usize = UNPACKED_LEN_MAX + UNPACKED_LEN_MAX / 8 + 64;
/// Bytes before the packed ones.
pub(super) const PREFIX_LEN: usize = 24;

/// Entries that follow each other, unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// The number of the first among all of the replay.
    first: u64,
    /// When each is intended, ns after the first of the replay, or of its play once it is paced.
    at_ns: Vec<u64>,
    /// Which of `requests` each is.
    numbers: Vec<u32>,
    requests: Vec<Request>,
    text: Vec<u8>,
    unpacked: Vec<u8>,
}

/// A request that entries name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    method: usize,
    path: Range<usize>,
}

/// A request and its instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'b> {
    /// When it is intended, ns after the first of the replay, or of its play once it is paced.
    pub at_ns: u64,
    /// Its method, by its number in [`Head::methods`].
    pub method: usize,
    /// Its path and query.
    pub path: &'b [u8],
}

impl Block {
    /// The number of its first entry among all of the replay.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number behind its last entry.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + self.at_ns.len() as u64
    }

    /// The entry of this number among all of the replay, where it is in this block.
    #[must_use]
    pub fn entry(&self, number: u64) -> Option<Entry<'_>> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let request = &self.requests[*self.numbers.get(at)? as usize];
        Some(Entry {
            at_ns: self.at_ns[at],
            method: request.method,
            path: &self.text[request.path.clone()],
        })
    }

    /// A block that has nothing but the entry of this number, at the beginning.
    #[must_use]
    pub fn only(&self, number: u64) -> Option<Self> {
        let Entry { method, path, .. } = self.entry(number)?;
        Some(Self {
            at_ns: vec![0],
            numbers: vec![0],
            requests: vec![Request {
                method,
                path: 0..path.len(),
            }],
            text: path.to_vec(),
            ..Self::default()
        })
    }

    /// Replaces the instant of every entry.
    pub fn pace(&mut self, played_ns: impl Fn(u64) -> u64) {
        for at_ns in &mut self.at_ns {
            *at_ns = played_ns(*at_ns);
        }
    }

    /// Replaces every path that has a dollar sign by what `written` appends for it.
    pub fn fill_in(&mut self, written: impl Fn(&[u8], &mut Vec<u8>)) {
        let mut text = Vec::with_capacity(self.text.len());
        for request in &mut self.requests {
            let begin = text.len();
            let path = &self.text[request.path.clone()];
            if path.contains(&b'$') {
                written(path, &mut text);
            } else {
                text.extend_from_slice(path);
            }
            request.path = begin..text.len();
        }
        self.text = text;
    }

    /// The last of its instants, ns after the first of the replay.
    pub(super) fn last_ns(&self) -> u64 {
        self.at_ns.last().copied().unwrap_or(0)
    }

    /// Unpacks the block whose prefix and packed bytes these are, `first` entries after the
    /// beginning.
    pub(super) fn unpack(
        &mut self,
        head: &Head,
        first: u64,
        prefix: &Prefix,
        packed: &[u8],
    ) -> Result<(), ReplayError> {
        self.first = first;
        self.unpacked.clear();
        let most = prefix.unpacked_len as u64 + 1;
        DeflateDecoder::new(packed)
            .take(most)
            .read_to_end(&mut self.unpacked)
            .map_err(|error| damaged(error.to_string()))?;
        if self.unpacked.len() != prefix.unpacked_len {
            return Err(damaged("a block has another length than it says"));
        }
        self.read(head, prefix)
            .map_err(|what| damaged(format!("the block from entry {first} on: {what}")))
    }

    /// # Errors
    /// In words, for what no writer writes: sums are right of what was made by hand too.
    fn read(&mut self, head: &Head, prefix: &Prefix) -> Result<(), String> {
        let varint = |rest: &mut &[u8]| take_varint(rest).ok_or("a number is cut or too large");
        let mut rest = &self.unpacked[..];
        self.at_ns.clear();
        self.numbers.clear();
        self.requests.clear();
        self.text.clear();
        for _ in 0..varint(&mut rest)? {
            let len = varint(&mut rest)?;
            let allowed = usize::try_from(len).ok();
            let len = allowed
                .filter(|len| *len <= REQUEST_LEN_MAX)
                .ok_or_else(|| {
                    format!("a request of {len} bytes, and {REQUEST_LEN_MAX} are the most")
                })?;
            let (request, behind) = rest.split_at_checked(len).ok_or("a request is cut")?;
            rest = behind;
            let space = request.iter().position(|byte| *byte == b' ');
            let space = space.ok_or("a request without a space behind its method")?;
            let (method, path) = (&request[..space], &request[space + 1..]);
            let mut methods = head.methods.iter();
            let method = methods
                .position(|(known, _)| known.as_bytes() == method)
                .ok_or("a request whose method is not in the tail")?;
            check_path(path)?;
            let begin = self.text.len();
            self.text.extend_from_slice(path);
            let path = begin..self.text.len();
            self.requests.push(Request { method, path });
        }
        let outside = "an instant before the first or behind the last of the replay";
        let begin_ns = prefix.first_ns.checked_sub(head.first_ns);
        let begin_ns = begin_ns.and_then(|ns| u64::try_from(ns).ok());
        let mut at_ns = begin_ns.ok_or(outside)?;
        for _ in 0..prefix.entries {
            at_ns = at_ns.checked_add(varint(&mut rest)?).ok_or(outside)?;
            let number = varint(&mut rest)?;
            let known = u32::try_from(number).ok();
            let known = known.filter(|_| number < self.requests.len() as u64);
            let known = known.ok_or_else(|| {
                let count = self.requests.len();
                format!("an entry with request {number} of {count}, the first of which is 0")
            })?;
            self.at_ns.push(at_ns);
            self.numbers.push(known);
        }
        if at_ns > head.span_ns() {
            return Err(outside.to_owned());
        }
        if !rest.is_empty() {
            return Err(format!("{} bytes behind its last entry", rest.len()));
        }
        Ok(())
    }
}

/// Whether a path is one that can be sent as it is: a line break would end a header field that has
/// it, and a space the path itself. An import percent-encodes such signs.
fn check_path(path: &[u8]) -> Result<(), String> {
    if path.first() != Some(&b'/') {
        return Err("a path that does not begin with /".to_owned());
    }
    match path.iter().find(|byte| !byte.is_ascii_graphic()) {
        Some(byte) => Err(format!(
            "a path with the byte 0x{byte:02x}, and 0x21 to 0x7e are allowed"
        )),
        None => Ok(()),
    }
}

/// What stands before the packed bytes of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix {
    pub(super) packed_len: usize,
    sum: u32,
    pub(super) entries: usize,
    unpacked_len: usize,
    pub(super) first_ns: i64,
}

impl Prefix {
    /// Reads a prefix whose block has at most `most` bytes.
    pub(super) fn read(bytes: &[u8; PREFIX_LEN], most: u64) -> Result<Self, ReplayError> {
        let len = |at| usize::try_from(u32_at(bytes, at)).unwrap_or(usize::MAX);
        let prefix = Self {
            packed_len: len(0),
            sum: u32_at(bytes, 4),
            entries: len(8),
            unpacked_len: len(12),
            first_ns: u64_at(bytes, 16).cast_signed(),
        };
        // The file may be of any length, and memory is taken for a whole block.
        let is_possible = prefix.packed_len as u64 <= most
            && prefix.packed_len <= PACKED_LEN_MAX
            && (1..=ENTRIES_MAX).contains(&prefix.entries)
            && prefix.unpacked_len <= UNPACKED_LEN_MAX;
        if is_possible {
            Ok(prefix)
        } else {
            Err(damaged("a block cannot be as it says"))
        }
    }

    /// Whether these are the bytes that were written.
    pub(super) fn check(&self, bytes: &[u8; PREFIX_LEN], packed: &[u8]) -> Result<(), ReplayError> {
        if checksum(bytes, packed) == self.sum {
            Ok(())
        } else {
            Err(damaged("a block is not as it was written"))
        }
    }
}

fn checksum(prefix: &[u8; PREFIX_LEN], packed: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(&prefix[8..]);
    crc.update(packed);
    crc.sum()
}

/// Writes a block of `entries`, whose requests and numbers are in `requests` (with their count) and
/// `numbers` already; says how many bytes it has.
pub(super) fn pack(
    out: &mut impl Write,
    (entries, first_ns): (usize, i64),
    (count, requests): (usize, &[u8]),
    numbers: &[u8],
) -> io::Result<u64> {
    let mut begin = Vec::new();
    push_varint(count as u64, &mut begin);
    let parts = [&begin[..], requests, numbers];
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    parts.iter().try_for_each(|part| encoder.write_all(part))?;
    let packed = encoder.finish()?;
    let unpacked_len: usize = parts.iter().map(|part| part.len()).sum();
    let mut prefix = [0; PREFIX_LEN];
    for (at, len) in [(0, packed.len()), (8, entries), (12, unpacked_len)] {
        let len = u32::try_from(len).expect("invariant: blocks have a few MiB");
        prefix[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }
    prefix[16..].copy_from_slice(&first_ns.to_le_bytes());
    let sum = checksum(&prefix, &packed);
    prefix[4..8].copy_from_slice(&sum.to_le_bytes());
    out.write_all(&prefix)?;
    out.write_all(&packed)?;
    Ok((PREFIX_LEN + packed.len()) as u64)
}
