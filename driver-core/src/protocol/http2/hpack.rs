//! Header compression (RFC 7541): reading the blocks of answers.
//!
//! Only the status matters to a load, so that a block is walked rather than decoded: strings are
//! stepped over unless somebody watches, or they enter the dynamic table.
//!
//! Most blocks are not even walked. We announce a table of size 0; once the peer has acknowledged
//! that *and* said so in a block (`0x20`), the table is empty, and stays empty: an entry larger than
//! the table is not kept (4.4), every entry has at least 32 bytes (4.1), and another size is an
//! error from then on (6.3). So no later field depends on any earlier one, and what comes after
//! `:status`, which has to be the first (RFC 9113, 8.3), can be left unread. A peer that never says
//! so (h2o 2.2 goes on as if nobody had told it) is read with the table of 4096 bytes that it uses.

mod table;

use super::huffman;
pub(super) use table::STATIC;
use table::Table;

/// The size of the dynamic table before anybody says otherwise, in bytes.
const TABLE_SIZE_DEFAULT: usize = 4096;
/// Largest number that an index or a length can be.
const NUMBER_MAX: usize = 1 << 24;
/// Most bytes of names and values that one block may stand for.
const LIST_LEN_MAX: usize = 1 << 20;
/// Representations that are the usual statuses: indexed, 200 to 500.
const STATUS_FIRST: u8 = 0x88;
const STATUSES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];

/// Why a block cannot be read: the connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not HPACK, or refers to what is not there.
    Compression,
    /// It stands for more than [`LIST_LEN_MAX`] bytes.
    TooLong,
}

/// What a block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields {
    /// The value of `:status`, if that is the first field.
    pub(super) status: Option<u16>,
}

/// What one connection's peer has said about its fields.
#[derive(Debug)]
pub(super) struct Decoder {
    table: Table,
    /// The largest size that the peer may give the table.
    size_max: usize,
}

/// Where strings are decoded when they are needed.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            table: Table::new(TABLE_SIZE_DEFAULT),
            size_max: TABLE_SIZE_DEFAULT,
        }
    }

    /// The peer has acknowledged our table size of 0.
    pub(super) fn acknowledged(&mut self) {
        self.size_max = 0;
    }

    /// The status that a block begins with, without reading the block; `None` where it begins with
    /// none, or spells even its name out.
    #[inline]
    pub(super) fn peek(&self, mut block: &[u8], scratch: &mut Scratch) -> Option<u16> {
        let usual = block.first()?.wrapping_sub(STATUS_FIRST);
        if let Some(status) = STATUSES.get(usize::from(usual)) {
            return Some(*status);
        }
        while let Some(0x20..=0x3f) = block.first() {
            number(&mut block, 5).ok()?;
        }
        let Field {
            name: Name::Index(index),
            value,
            ..
        } = Field::parse(&mut block).ok()?
        else {
            return None;
        };
        let (name, known) = self.table.get(index)?;
        if name != b":status" {
            return None;
        }
        let Some(text) = value else {
            return status(known);
        };
        scratch.value.clear();
        text.decode(&mut scratch.value).ok()?;
        status(&scratch.value)
    }

    /// Reads a whole block. `watch` is told each name and value where `WATCHES` is true.
    #[inline]
    pub(super) fn read<const WATCHES: bool>(
        &mut self,
        block: &[u8],
        scratch: &mut Scratch,
        watch: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Fields, Fault> {
        if !WATCHES && self.is_stateless() {
            let status = block.first().map(|byte| byte.wrapping_sub(STATUS_FIRST));
            if let Some(status) = status.and_then(|place| STATUSES.get(usize::from(place))) {
                return Ok(Fields {
                    status: Some(*status),
                });
            }
        }
        self.walk::<WATCHES>(block, scratch, watch)
    }

    /// Whether no block can change how a later one is read.
    fn is_stateless(&self) -> bool {
        self.size_max == 0 && self.table.size_max() == 0
    }

    fn walk<const WATCHES: bool>(
        &mut self,
        mut block: &[u8],
        scratch: &mut Scratch,
        watch: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Fields, Fault> {
        while let Some(0x20..=0x3f) = block.first() {
            let size = number(&mut block, 5)?;
            if size > self.size_max {
                return Err(Fault::Compression);
            }
            self.table.resize(size);
        }
        let (mut fields, mut length) = (Fields { status: None }, 0);
        let mut is_first = true;
        while !block.is_empty() {
            let field = Field::parse(&mut block)?;
            length += self.take::<WATCHES>(field, is_first, scratch, &mut fields, watch)?;
            if length > LIST_LEN_MAX {
                return Err(Fault::TooLong);
            }
            if !WATCHES && self.is_stateless() {
                break;
            }
            is_first = false;
        }
        Ok(fields)
    }

    /// Takes one field for what it is worth; returns its length.
    fn take<const WATCHES: bool>(
        &mut self,
        field: Field<'_>,
        is_first: bool,
        scratch: &mut Scratch,
        fields: &mut Fields,
        watch: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize, Fault> {
        let enters = field.enters && self.table.size_max() > 0;
        if !WATCHES && !is_first && !enters {
            return self.step_over(field);
        }
        let Scratch { name, value } = scratch;
        name.clear();
        value.clear();
        let entry = match field.name {
            Name::Index(index) => Some(self.table.get(index).ok_or(Fault::Compression)?),
            Name::New(text) => {
                text.decode(name)?;
                None
            }
        };
        if let Some(entry) = entry {
            name.extend_from_slice(entry.0);
        }
        match (field.value, entry) {
            (Some(text), _) => text.decode(value)?,
            (None, Some(entry)) => value.extend_from_slice(entry.1),
            (None, None) => {}
        }
        if is_first && name == b":status" {
            fields.status = status(value);
        }
        if WATCHES {
            watch(name, value);
        }
        if enters {
            self.table.insert(name, value);
        }
        Ok(name.len() + value.len() + table::OVERHEAD)
    }

    /// What a field is counted as that nobody looks at. That of a reference is looked up all the
    /// same: one to what is not there is an error.
    fn step_over(&self, field: Field<'_>) -> Result<usize, Fault> {
        let name_len = match field.name {
            Name::Index(index) => {
                let (name, value) = self.table.get(index).ok_or(Fault::Compression)?;
                name.len()
                    + if field.value.is_none() {
                        value.len()
                    } else {
                        0
                    }
            }
            Name::New(text) => text.bytes.len(),
        };
        let value_len = field.value.map_or(0, |text| text.bytes.len());
        Ok(name_len + value_len + table::OVERHEAD)
    }
}

/// The name of a field.
#[derive(Clone, Copy)]
enum Name<'a> {
    /// That of an entry of the tables.
    Index(usize),
    New(Text<'a>),
}

/// One field as a block represents it.
#[derive(Clone, Copy)]
struct Field<'a> {
    name: Name<'a>,
    /// `None` when it is that of the entry.
    value: Option<Text<'a>>,
    /// Whether it enters the dynamic table.
    enters: bool,
}

impl<'a> Field<'a> {
    /// Takes one field from the front (RFC 7541, 6).
    fn parse(block: &mut &'a [u8]) -> Result<Self, Fault> {
        let first = *block.first().ok_or(Fault::Compression)?;
        let (bits, is_whole, enters) = match first {
            0x80.. => (7, true, false),
            0x40..=0x7f => (6, false, true),
            // A size may change before the first field only.
            0x20..=0x3f => return Err(Fault::Compression),
            0x00..=0x1f => (4, false, false),
        };
        let name = match number(block, bits)? {
            0 if is_whole => return Err(Fault::Compression),
            0 => Name::New(Text::parse(block)?),
            index => Name::Index(index),
        };
        let value = if is_whole {
            None
        } else {
            Some(Text::parse(block)?)
        };
        Ok(Self {
            name,
            value,
            enters,
        })
    }
}

/// A string as a block represents it (RFC 7541, 5.2).
#[derive(Clone, Copy)]
struct Text<'a> {
    bytes: &'a [u8],
    is_huffman: bool,
}

impl<'a> Text<'a> {
    fn parse(block: &mut &'a [u8]) -> Result<Self, Fault> {
        let first = *block.first().ok_or(Fault::Compression)?;
        let length = number(block, 7)?;
        let (bytes, rest) = block.split_at_checked(length).ok_or(Fault::Compression)?;
        *block = rest;
        Ok(Self {
            bytes,
            is_huffman: first & 0x80 != 0,
        })
    }

    fn decode(self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.is_huffman {
            return huffman::decode(self.bytes, out).map_err(|_| Fault::Compression);
        }
        out.extend_from_slice(self.bytes);
        Ok(())
    }
}

/// Takes a number whose first byte has so many bits for it (RFC 7541, 5.1).
fn number(block: &mut &[u8], bits: u32) -> Result<usize, Fault> {
    let mut take = || {
        let (first, rest) = block.split_first().ok_or(Fault::Compression)?;
        *block = rest;
        Ok(usize::from(*first))
    };
    let full = (1 << bits) - 1;
    let mut number = take()? & full;
    if number < full {
        return Ok(number);
    }
    // Four bytes hold what is allowed; longer ones are no number of good faith.
    for shift in [0, 7, 14, 21] {
        let byte = take()?;
        number += (byte & 0x7f) << shift;
        if number > NUMBER_MAX {
            break;
        }
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Fault::Compression)
}

/// Three digits, from 100.
fn status(value: &[u8]) -> Option<u16> {
    let [
        hundreds @ b'1'..=b'9',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
    ] = value
    else {
        return None;
    };
    let digit = |byte: &u8| u16::from(byte - b'0');
    Some(digit(hundreds) * 100 + digit(tens) * 10 + digit(ones))
}

/// Appends a number behind the bits `first` of its first byte (RFC 7541, 5.1).
pub(super) fn write_number(first: u8, bits: u32, number: usize, out: &mut Vec<u8>) {
    let full = (1_usize << bits) - 1;
    let byte = |number: usize| u8::try_from(number & 0xff).expect("invariant: masked");
    if number < full {
        out.push(first | byte(number));
        return;
    }
    out.push(first | byte(full));
    let mut rest = number - full;
    while rest >= 0x80 {
        out.push(0x80 | byte(rest & 0x7f));
        rest >>= 7;
    }
    out.push(byte(rest));
}

#[cfg(test)]
mod tests;
