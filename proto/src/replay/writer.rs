//! Entries into a file, in the order of their instants.

use std::collections::HashMap;
use std::io::{self, Seek, SeekFrom, Write};

use super::block::{ENTRIES_MAX, TEXT_LEN_MAX, pack};
use super::head::HEAD_LEN;
use super::{Head, REQUEST_LEN_MAX, push_varint};

/// Writes a replay. Until it is finished, nothing plays the file.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    head: Head,
    /// The different requests of the block in the making, by their numbers.
    known: HashMap<Box<str>, u64>,
    requests: Vec<u8>,
    numbers: Vec<u8>,
    entries: usize,
    block_first_ns: i64,
}

impl<W: Write + Seek> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of writing.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&[0; HEAD_LEN])?;
        let head = Head {
            blocks_end: HEAD_LEN as u64,
            ..Head::default()
        };
        Ok(Self {
            out,
            head,
            known: HashMap::new(),
            requests: Vec::new(),
            numbers: Vec::new(),
            entries: 0,
            block_first_ns: 0,
        })
    }

    /// Appends an entry: its instant, ns since 1970, and its request, `GET /path`.
    ///
    /// # Errors
    /// Those of writing.
    ///
    /// # Panics
    /// When it is before the entry above it, or no request of at most [`REQUEST_LEN_MAX`] bytes.
    pub fn push(&mut self, at_ns: i64, request: &str) -> io::Result<()> {
        assert!(self.head.requests == 0 || at_ns >= self.head.last_ns);
        assert!(request.len() <= REQUEST_LEN_MAX);
        if self.entries == ENTRIES_MAX || self.requests.len() >= TEXT_LEN_MAX {
            self.end_block()?;
        }
        if self.head.requests == 0 {
            self.head.first_ns = at_ns;
        }
        if self.entries == 0 {
            // A block begins at its first instant, wherever the one before it ended.
            (self.block_first_ns, self.head.last_ns) = (at_ns, at_ns);
        }
        push_varint(at_ns.abs_diff(self.head.last_ns), &mut self.numbers);
        let number = self.number(request);
        push_varint(number, &mut self.numbers);
        self.head.last_ns = at_ns;
        self.head.requests += 1;
        self.entries += 1;
        self.count_method(request);
        Ok(())
    }

    /// The number of a request in this block.
    fn number(&mut self, request: &str) -> u64 {
        if let Some(number) = self.known.get(request) {
            return *number;
        }
        let number = self.known.len() as u64;
        self.known.insert(request.into(), number);
        push_varint(request.len() as u64, &mut self.requests);
        self.requests.extend_from_slice(request.as_bytes());
        number
    }

    fn count_method(&mut self, request: &str) {
        let (method, _) = request.split_once(' ').expect("a method and a path");
        let methods = &mut self.head.methods;
        match methods.iter_mut().find(|(known, _)| known == method) {
            Some((_, count)) => *count += 1,
            None => methods.push((method.to_owned(), 1)),
        }
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.entries == 0 {
            return Ok(());
        }
        let requests = (self.known.len(), &self.requests[..]);
        let entries = (self.entries, self.block_first_ns);
        self.head.blocks_end += pack(&mut self.out, entries, requests, &self.numbers)?;
        self.head.blocks += 1;
        self.entries = 0;
        self.known.clear();
        self.requests.clear();
        self.numbers.clear();
        Ok(())
    }

    /// Entries so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.head.requests
    }

    /// Ends the file, whose paths name these secrets, so that it can be played. Gives it back with
    /// what it says of itself.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(mut self, secrets: &[String]) -> io::Result<(W, Head)> {
        self.end_block()?;
        self.head.secrets = secrets.to_vec();
        let tail = self.head.tail();
        self.out.write_all(tail.as_bytes())?;
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&self.head.to_bytes(tail.as_bytes()))?;
        self.out.flush()?;
        Ok((self.out, self.head))
    }
}
