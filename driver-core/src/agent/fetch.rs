//! Getting the files that a document refers to: what is not in the cache is asked for in heartbeats
//! and read from the topic `data`, on the thread of the test that prepares.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Seek;
use std::time::{Duration, Instant};

use proto::bus::{BusError, BusSettings, Event, StartAt, Subscriber};
use proto::digest::Sha256;
use proto::document::{Document, Reference};
use proto::log;
use proto::message::Need;
use proto::topic::Topic;
use proto::transfer::{Assembly, Chunk, PIECE_LEN};
use serde_json::json;

use super::cache::{Cache, Partial};

/// Longest wait for a piece: an orchestrator that was killed is up again by then.
const PIECE_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest wait for a message; whether the test is still wanted is looked at after it.
const POLL: Duration = Duration::from_millis(50);
const BOUNDS_TIMEOUT: Duration = Duration::from_secs(2);
/// So many bytes are acknowledged at once, at least, while more keep coming.
const ACKNOWLEDGED_MIN: u64 = 2 * PIECE_LEN;
/// So often a file may come and not be the one that was asked for.
const WRONG_MAX: u32 = 2;

/// Where files come from.
pub(super) struct Source<'s> {
    pub(super) bus: &'s BusSettings,
    pub(super) cache: &'s Cache,
    /// Tells what is lacking, whenever that has changed.
    pub(super) lacks: &'s dyn Fn(Vec<Need>),
    /// Whether the test is wanted no more.
    pub(super) is_stopped: &'s dyn Fn() -> bool,
}

/// The files that a document refers to, each by its name.
#[derive(Debug)]
pub(super) struct Files(BTreeMap<String, File>);

impl Files {
    /// A file at its beginning, if the document refers to it: to be read by one at a time.
    ///
    /// # Errors
    /// In words, when it cannot be read.
    pub(super) fn get(&self, name: &str) -> Result<Option<File>, String> {
        let Some(file) = self.0.get(name) else {
            return Ok(None);
        };
        let words = |error: std::io::Error| format!("{name}: {error}");
        let mut file = file.try_clone().map_err(words)?;
        file.rewind().map_err(words)?;
        Ok(Some(file))
    }
}

impl Source<'_> {
    /// Every file that a document refers to, once all of them are here.
    ///
    /// # Errors
    /// In words, when one does not come, cannot be kept, or the test is wanted no more.
    pub(super) fn files(&self, document: &Document) -> Result<Files, String> {
        let mut kept = Vec::new();
        let mut lacking: Vec<(&str, Reference)> = Vec::new();
        for (name, reference) in document.references() {
            if self.cache.open(reference).is_some() {
                kept.push(*reference);
            } else if !lacking.iter().any(|(_, other)| other == reference) {
                lacking.push((name, *reference));
            }
        }
        if !lacking.is_empty() {
            self.fetch(&lacking, &kept)?;
        }
        let mut files = BTreeMap::new();
        for (name, reference) in document.references() {
            let file = self.cache.open(reference);
            let file = file.ok_or_else(|| format!("{name}: gone from the driver's --data"))?;
            files.insert(name.to_owned(), file);
        }
        Ok(Files(files))
    }

    fn fetch(&self, lacking: &[(&str, Reference)], kept: &[Reference]) -> Result<(), String> {
        let references: Vec<Reference> = lacking.iter().map(|(_, file)| *file).collect();
        let partials = self.cache.begin(&references, kept)?;
        let files = lacking.iter().zip(partials);
        let files = files.map(|((name, reference), partial)| Coming {
            name: (*name).to_owned(),
            reference: *reference,
            assembly: Assembly::new(reference.bytes),
            partial,
            wrong: 0,
        });
        let mut fetching = Fetching {
            files: files.collect(),
            told: 0,
            moved: Instant::now(),
        };
        let began = Instant::now();
        fetching.run(self)?;
        let bytes: u64 = references.iter().map(|file| file.bytes).sum();
        #[allow(clippy::cast_possible_truncation)] // a file that takes 600 million years
        let took_ms = began.elapsed().as_millis() as u64;
        let fields = json!({"files": references.len(), "bytes": bytes, "ms": took_ms});
        log::info("files_fetched", fields);
        Ok(())
    }
}

/// A file on its way.
struct Coming {
    name: String,
    reference: Reference,
    assembly: Assembly,
    partial: Partial,
    /// How often it came and was not the one.
    wrong: u32,
}

/// The files that are lacking.
struct Fetching {
    files: Vec<Coming>,
    /// Bytes that were acknowledged.
    told: u64,
    /// When the last piece of any of them came.
    moved: Instant,
}

impl Fetching {
    fn run(&mut self, source: &Source<'_>) -> Result<(), String> {
        let away = |error: BusError| format!("its files cannot be read from the broker: {error}");
        let subscriber = Subscriber::new(source.bus, &[]).map_err(away)?;
        // A file without bytes is whole before it comes.
        self.finish()?;
        let mut is_listening = false;
        while !self.files.is_empty() {
            if (source.is_stopped)() {
                return Err("it was let go of before its files had come".to_owned());
            }
            self.check_time()?;
            if !is_listening {
                is_listening = self.listen(source, &subscriber);
                continue;
            }
            match subscriber.poll(POLL) {
                Some(Event::Record(record)) if record.topic == Topic::Data => {
                    if let Ok(chunk) = Chunk::decode(&record.payload) {
                        self.take(&chunk)?;
                    }
                    self.acknowledge(source, ACKNOWLEDGED_MIN);
                }
                Some(Event::OffsetLost) => is_listening = false,
                Some(Event::Forbidden(error)) => return Err(away(error)),
                // What is read again in a moment; or what shows in heartbeats that do not come.
                Some(Event::Record(_) | Event::Trouble(_) | Event::Unreadable(_)) => {}
                None => self.acknowledge(source, 1),
            }
        }
        (source.lacks)(Vec::new());
        Ok(())
    }

    /// Reads the topic from its end, if the broker says where that is, and asks for the files then.
    fn listen(&mut self, source: &Source<'_>, subscriber: &Subscriber) -> bool {
        if read_from_the_end(subscriber).is_err() {
            std::thread::sleep(POLL);
            return false;
        }
        self.told = self.acknowledged();
        (source.lacks)(self.needs());
        true
    }

    fn check_time(&self) -> Result<(), String> {
        let silent = self.moved.elapsed();
        if silent < PIECE_WAIT_MAX {
            return Ok(());
        }
        let missing = self.files.iter().map(|file| {
            let (have, bytes) = (file.assembly.acknowledged(), file.reference.bytes);
            format!("{} ({have} of {bytes} bytes)", file.name)
        });
        let missing: Vec<String> = missing.collect();
        Err(format!(
            "no piece of its files came for {} s: {}; is the orchestrator up, may this driver read the \
             topic data, and does GET /data list the files?",
            silent.as_secs(),
            missing.join(", ")
        ))
    }

    /// Takes a piece, if it is of a file that is lacking.
    fn take(&mut self, chunk: &Chunk<'_>) -> Result<(), String> {
        let is_it = |file: &&mut Coming| file.reference.sha256 == chunk.sha256;
        let Some(file) = self.files.iter_mut().find(is_it) else {
            return Ok(());
        };
        self.moved = Instant::now();
        if file.assembly.wants(chunk) {
            let written = file.partial.write(chunk.offset, chunk.content);
            written.map_err(|error| cannot_keep(&file.name, &error))?;
            file.assembly.keep(chunk);
        }
        self.finish()
    }

    /// Keeps the files that are whole. What is whole and another file comes again.
    fn finish(&mut self) -> Result<(), String> {
        let mut at = 0;
        while at < self.files.len() {
            let file = &mut self.files[at];
            if !file.assembly.is_whole() {
                at += 1;
                continue;
            }
            let is_right = file.partial.finish();
            if is_right.map_err(|error| cannot_keep(&file.name, &error))? {
                self.files.swap_remove(at);
            } else {
                file.begin_again()?;
            }
            // Summing a long file takes seconds, in which nothing is read.
            self.moved = Instant::now();
        }
        Ok(())
    }

    fn acknowledged(&self) -> u64 {
        let have = self.files.iter().map(|file| file.assembly.acknowledged());
        have.sum()
    }

    /// Tells what is lacking now, when that is at least so much less than was told.
    fn acknowledge(&mut self, source: &Source<'_>, least: u64) {
        let has = self.acknowledged();
        // A file that is whole is lacking no more, and acknowledged by that.
        if has < self.told || has - self.told >= least {
            self.told = has;
            (source.lacks)(self.needs());
        }
    }

    fn needs(&self) -> Vec<Need> {
        let need = |file: &Coming| Need {
            sha256: file.reference.sha256,
            bytes: file.reference.bytes,
            from: file.assembly.acknowledged(),
        };
        self.files.iter().map(need).collect()
    }
}

impl Coming {
    fn begin_again(&mut self) -> Result<(), String> {
        self.wrong += 1;
        if self.wrong >= WRONG_MAX {
            let (name, sha256): (&str, Sha256) = (&self.name, self.reference.sha256);
            return Err(format!(
                "{name}: what came is not the file with the SHA-256 {sha256}; upload it again"
            ));
        }
        self.assembly = Assembly::new(self.reference.bytes);
        Ok(())
    }
}

/// Begins to read `data` at its end: what was sent to others is none of ours. Whoever asks before
/// misses the first pieces.
fn read_from_the_end(subscriber: &Subscriber) -> Result<(), BusError> {
    let (_, end) = subscriber.bounds(Topic::Data, BOUNDS_TIMEOUT)?;
    subscriber.assign(&[(Topic::Data, StartAt::Offset(end))])
}

fn cannot_keep(name: &str, error: &std::io::Error) -> String {
    format!("{name}: cannot be written to the driver's --data: {error}; make room there")
}

#[cfg(test)]
mod tests;
