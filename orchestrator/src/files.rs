//! The files that tests name, in a folder beside the store: each under the SHA-256 of its content,
//! with the name that it was last uploaded by next to it. What is there under its SHA-256 is whole;
//! an upload that did not come to its end leaves nothing.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::digest::{Sha256, Summing};
use proto::transfer::FILE_LEN_MAX;
use serde::Serialize;
use tempfile::{Builder, NamedTempFile};
use thiserror::Error;

/// The end of the name of what is on its way.
const PARTIAL: &str = ".part";
/// The end of the name of the file that holds a name.
const NAME: &str = "name";
/// Bytes that are received at once.
const READ_LEN: usize = 64 << 10;

/// A file that is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// The name by which it was last uploaded.
    pub name: String,
    /// Its content.
    pub sha256: Sha256,
    /// Its length.
    pub bytes: u64,
    /// When it was last uploaded, or named by a new test, ms since 1970.
    pub used_unix_ms: u64,
}

/// Why an upload was not taken.
#[derive(Debug, Error)]
pub enum UploadError {
    /// It is longer than is allowed.
    #[error("the file has {0} bytes; at most {FILE_LEN_MAX} are taken")]
    TooLong(u64),
    /// There is no room for it.
    #[error("the files that are here have {used} bytes, and all may have {most}; this has {bytes}")]
    NoRoom {
        /// Bytes that are here.
        used: u64,
        /// Bytes that may be.
        most: u64,
        /// Its own.
        bytes: u64,
    },
    /// It ended early.
    #[error("{came} of {bytes} bytes came")]
    Cut {
        /// Bytes that came.
        came: u64,
        /// Bytes that were announced.
        bytes: u64,
    },
    /// It is not the file that it was said to be.
    #[error("what came has the SHA-256 {0}, which is another file's than was said")]
    Other(Sha256),
    /// It cannot be written.
    #[error("it cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// An upload that is to come.
#[derive(Debug, Clone)]
pub struct Upload<'u> {
    /// What documents call it.
    pub name: &'u str,
    /// Its length.
    pub bytes: u64,
    /// Its content, where that is known.
    pub sha256: Option<Sha256>,
}

/// The folder of the files.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    /// Most bytes of all; 0 for no limit.
    bytes_max: u64,
}

impl Files {
    /// The folder of a store, which is made, with what was on its way removed. Whoever has the
    /// store's lock has it for himself.
    ///
    /// # Errors
    /// Those of making and reading it.
    pub fn open(store: &Path, bytes_max: u64) -> io::Result<Self> {
        let folder = store.with_extension("files");
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(PARTIAL) {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { folder, bytes_max })
    }

    fn path(&self, sha256: &Sha256) -> PathBuf {
        self.folder.join(sha256.to_string())
    }

    /// All files, those that were used longest ago first.
    ///
    /// # Errors
    /// Those of reading the folder.
    pub fn list(&self) -> io::Result<Vec<Stored>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let sha256 = name.to_str().and_then(|name| name.parse().ok());
            all.extend(sha256.and_then(|sha256| self.find(&sha256)));
        }
        all.sort_by_key(|file| (file.used_unix_ms, file.sha256));
        Ok(all)
    }

    /// The file with this content.
    #[must_use]
    pub fn find(&self, sha256: &Sha256) -> Option<Stored> {
        let path = self.path(sha256);
        let metadata = fs::metadata(&path).ok()?;
        let used = metadata.modified().ok()?.duration_since(UNIX_EPOCH);
        let name = fs::read_to_string(path.with_extension(NAME));
        Some(Stored {
            name: name.unwrap_or_else(|_| sha256.to_string()),
            sha256: *sha256,
            bytes: metadata.len(),
            used_unix_ms: used.map_or(0, millis),
        })
    }

    /// The file that was last uploaded by this name.
    ///
    /// # Errors
    /// Those of reading the folder.
    pub fn named(&self, name: &str) -> io::Result<Option<Stored>> {
        // Its name is written by uploads alone; the file itself also says when it was last used.
        let uploaded = |file: &Stored| {
            let name = self.path(&file.sha256).with_extension(NAME);
            fs::metadata(name).and_then(|it| it.modified()).ok()
        };
        let of_name = self.list()?.into_iter().filter(|file| file.name == name);
        Ok(of_name.max_by_key(uploaded))
    }

    /// Opens a file to be read.
    ///
    /// # Errors
    /// Those of opening it.
    pub fn read(&self, sha256: &Sha256) -> io::Result<File> {
        File::open(self.path(sha256))
    }

    /// A new test names a file: it is not among the first to go.
    pub fn touch(&self, sha256: &Sha256) {
        if let Ok(file) = self.read(sha256) {
            // It matters only to who goes first.
            let _ = file.set_modified(SystemTime::now());
        }
    }

    /// Receives a file. It is here when all of it has come and is on the disk, and not before.
    ///
    /// # Errors
    /// [`UploadError`]; nothing is left of it.
    pub fn receive(&self, upload: &Upload<'_>, body: &mut dyn Read) -> Result<Stored, UploadError> {
        if upload.bytes > FILE_LEN_MAX {
            return Err(UploadError::TooLong(upload.bytes));
        }
        self.check_room(upload)?;
        let mut file = begin(&self.folder)?;
        let (sha256, came) = fill(&mut file, body, upload.bytes)?;
        if came != upload.bytes {
            let bytes = upload.bytes;
            return Err(UploadError::Cut { came, bytes });
        }
        if upload.sha256.is_some_and(|said| said != sha256) {
            return Err(UploadError::Other(sha256));
        }
        let path = self.path(&sha256);
        let mut name = begin(&self.folder)?;
        name.write_all(upload.name.as_bytes())?;
        keep(name, &path.with_extension(NAME))?;
        keep(file, &path)?;
        File::open(&self.folder)?.sync_all()?;
        let stored = self.find(&sha256);
        stored.ok_or_else(|| UploadError::Write(ErrorKind::NotFound.into()))
    }

    fn check_room(&self, upload: &Upload<'_>) -> Result<(), UploadError> {
        let is_new = |file: &Stored| upload.sha256.is_none_or(|sha256| file.sha256 != sha256);
        let files = self.list()?;
        let used = files.iter().filter(|file| is_new(file));
        let used: u64 = used.map(|file| file.bytes).sum();
        if self.bytes_max > 0 && used + upload.bytes > self.bytes_max {
            return Err(UploadError::NoRoom {
                used,
                most: self.bytes_max,
                bytes: upload.bytes,
            });
        }
        Ok(())
    }

    /// Removes a file, if it is here.
    ///
    /// # Errors
    /// Those of removing it.
    pub fn remove(&self, sha256: &Sha256) -> io::Result<()> {
        let path = self.path(sha256);
        for path in [path.clone(), path.with_extension(NAME)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn millis(since: Duration) -> u64 {
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Begins a file that has no name yet; dropped before it is kept, it leaves nothing.
fn begin(folder: &Path) -> io::Result<NamedTempFile> {
    Builder::new().suffix(PARTIAL).tempfile_in(folder)
}

/// Takes up to `most` bytes into a file: their sum, and how many they are.
fn fill(file: &mut NamedTempFile, body: &mut dyn Read, most: u64) -> io::Result<(Sha256, u64)> {
    let mut sum = Summing::default();
    let mut buffer = vec![0; READ_LEN];
    let mut came = 0;
    while came < most {
        let left = usize::try_from(most - came).unwrap_or(READ_LEN);
        let room = left.min(READ_LEN);
        let len = match body.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // Whoever sends it is gone; how much is missing says so.
            Err(_) => break,
        };
        file.write_all(&buffer[..len])?;
        sum.add(&buffer[..len]);
        came += len as u64;
    }
    Ok((sum.finish(), came))
}

/// Gives a file its name, for good.
fn keep(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests;
