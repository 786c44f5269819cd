//! A log that is replayed: its file as it is played, and what of it comes to one core.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Seek};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, TryRecvError};
use proto::replay::{Block, Entry, Head, Reader, ReplayError};
use proto::workload::{Escape, Pace, Part, Scenario, StageArrivals};

/// What a replay is read from.
pub trait Input: Read + Seek + Send {}

impl<I: Read + Seek + Send> Input for I {}

/// A replay that is ready to be played.
pub struct Replay {
    head: Head,
    file: Mutex<Reader<Box<dyn Input>>>,
    /// The values of secrets in its paths, by name: they are shown nowhere.
    secrets: BTreeMap<String, String>,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Replay");
        debug.field("head", &self.head).finish_non_exhaustive()
    }
}

impl Replay {
    /// Opens a replay, and checks that every byte of it is as it was written.
    ///
    /// # Errors
    /// [`ReplayError`] for what cannot be played.
    pub fn open(input: Box<dyn Input>) -> Result<Self, ReplayError> {
        let mut file = Reader::new(input)?;
        file.check()?;
        Ok(Self {
            head: file.head().clone(),
            file: Mutex::new(file),
            secrets: BTreeMap::new(),
        })
    }

    /// What it says of the whole.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The same with the values of the secrets in its paths, as `secret` knows them.
    #[must_use]
    pub fn with_secrets(mut self, secret: impl Fn(&str) -> Option<String>) -> Self {
        let names = self.head.secrets.iter();
        let pairs = names.filter_map(|name| Some((name.clone(), secret(name)?)));
        self.secrets = pairs.collect();
        self
    }

    /// Plays it from the beginning; whoever plays it has it for himself.
    ///
    /// # Errors
    /// Those of reading.
    pub fn play(&self, pace: Pace) -> Result<Playing<'_>, ReplayError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.rewind()?;
        Ok(Playing {
            replay: self,
            file,
            pace,
        })
    }

    /// What comes to whoever plays nothing but the first request of a method, by its number.
    ///
    /// # Errors
    /// In words, when there is none.
    pub fn first_of(&self, method: usize, flows: Arc<[usize]>) -> Result<Feed, String> {
        let words = |error: ReplayError| error.to_string();
        let mut playing = self.play(Pace::default()).map_err(words)?;
        let mut block = Block::default();
        while playing.next(&mut block).map_err(words)? {
            let mut numbers = block.first()..block.end();
            let is_it = |entry: Entry<'_>| entry.method == method;
            let found = numbers.find(|number| block.entry(*number).is_some_and(is_it));
            if let Some(only) = found.and_then(|number| block.only(number)) {
                let (send, blocks) = crossbeam_channel::bounded(1);
                // The queue is empty and its receiver here.
                let _ = send.send(Arc::new(only));
                return Ok(Feed::new(blocks, flows, 1));
            }
        }
        Err("the replay has no request of this method".to_owned())
    }

    /// A path with its secrets filled in.
    fn write(&self, mut path: &[u8], out: &mut Vec<u8>) {
        while let Some(at) = path.iter().position(|byte| *byte == b'$') {
            out.extend_from_slice(&path[..at]);
            path = &path[at + 1..];
            let named = path.strip_prefix(b"secret(").and_then(|rest| {
                let end = rest.iter().position(|byte| *byte == b')')?;
                let name = std::str::from_utf8(&rest[..end]).ok()?;
                Some((self.secrets.get(name)?, &rest[end + 1..]))
            });
            if let Some((value, rest)) = named {
                Escape::UrlPart.write(value.as_bytes(), out);
                path = rest;
            } else {
                out.push(b'$');
                path = path.strip_prefix(b"$").unwrap_or(path);
            }
        }
        out.extend_from_slice(path);
    }
}

/// How fast a scenario replays its log, and how many of its requests; `None` for none.
#[must_use]
pub fn asked(scenario: &Scenario) -> Option<(Pace, u64)> {
    scenario
        .load
        .stages
        .iter()
        .find_map(|stage| match stage.arrivals {
            StageArrivals::Replay { pace, requests } => {
                let most = stage.sessions.unwrap_or(u64::MAX);
                Some((pace, requests?.min(most)))
            }
            _ => None,
        })
}

/// A replay on its way.
pub struct Playing<'r> {
    replay: &'r Replay,
    file: MutexGuard<'r, Reader<Box<dyn Input>>>,
    pace: Pace,
}

impl Playing<'_> {
    /// The next block, as it is played; `false` at the end.
    ///
    /// # Errors
    /// [`ReplayError`] for one that cannot be.
    pub fn next(&mut self, block: &mut Block) -> Result<bool, ReplayError> {
        if !self.file.next(block)? {
            return Ok(false);
        }
        block.pace(|log_ns| self.pace.played_ns(log_ns));
        block.fill_in(|path, out| self.replay.write(path, out));
        Ok(true)
    }
}

/// What of a replay comes to one core: every block, of which it takes the entries that are its own.
#[derive(Debug)]
pub struct Feed {
    blocks: Receiver<Arc<Block>>,
    /// The flow of each method, by the numbers of both.
    flows: Arc<[usize]>,
    block: Option<Arc<Block>>,
    /// The next entry of this core, and how far from one to the next.
    number: u64,
    step: u64,
    /// Entries that are played.
    end: u64,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'f> {
    /// An entry of this core.
    Entry {
        /// When it is intended, ns after the start.
        at_ns: u64,
        flow: usize,
        path: &'f [u8],
    },
    /// One whose block is not here yet.
    Late,
    /// Nothing.
    Over,
}

impl Feed {
    /// The first `end` entries of the blocks that come.
    #[must_use]
    pub fn new(blocks: Receiver<Arc<Block>>, flows: Arc<[usize]>, end: u64) -> Self {
        Self {
            blocks,
            flows,
            block: None,
            number: 0,
            step: 1,
            end,
        }
    }

    /// Of all parties this core is that one; said before the first entry.
    pub(super) fn take_place(&mut self, part: Part) {
        (self.number, self.step) = (part.index, part.of);
    }

    /// What comes next, without passing it.
    pub(super) fn peek(&mut self) -> Next<'_> {
        if self.number >= self.end {
            return Next::Over;
        }
        while self
            .block
            .as_ref()
            .is_none_or(|block| block.end() <= self.number)
        {
            match self.blocks.try_recv() {
                Ok(block) => self.block = Some(block),
                Err(TryRecvError::Empty) => return Next::Late,
                // Whoever reads the file failed, and has ended the load.
                Err(TryRecvError::Disconnected) => return Next::Over,
            }
        }
        let block = self.block.as_deref();
        match block.and_then(|block| block.entry(self.number)) {
            Some(entry) => Next::Entry {
                at_ns: entry.at_ns,
                flow: self.flows[entry.method],
                path: entry.path,
            },
            None => Next::Over,
        }
    }

    /// On to the next entry.
    pub(super) fn pass(&mut self) {
        self.number = self.number.saturating_add(self.step);
    }
}

/// The input of a replay that is in memory.
#[must_use]
pub fn in_memory(content: &[u8]) -> Box<dyn Input> {
    Box::new(io::Cursor::new(content.to_vec()))
}

#[cfg(test)]
mod tests;
