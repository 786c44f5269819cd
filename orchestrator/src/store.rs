//! The SQLite file: tests, drivers, reports with their histograms, topic offsets.
//!
//! One process writes it, in one transaction a batch; the REST threads read it through connections
//! of their own. WAL with `synchronous=NORMAL` survives `kill -9` at any instant (what was
//! committed is in the operating system's hands); a power cut may take the last transactions, which
//! are then read again from the broker, since their offsets went with them.
//!
//! A store that cannot be written (a full disk) stops nothing: changes wait in memory, the newest
//! of each kind, and are written when there is room again. The offsets wait with them, so that a
//! crash in between loses nothing that the broker still has.

mod backlog;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use thiserror::Error;

pub use backlog::Backlog;
pub use read::{Loaded, Reader, StoredTest};
pub use schema::VERSION;

/// How long a reader or writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What can go wrong with the store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The folder or the lock file cannot be made.
    #[error("cannot use {path}: {error}; choose another place with --data")]
    Path {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Another orchestrator has it.
    #[error("{0} is in use by another orchestrator; stop it, or choose another --data")]
    InUse(PathBuf),
    /// A later version wrote it.
    #[error(
        "{path} has schema version {found}, this orchestrator knows up to {VERSION}; use the newer one, or another --data"
    )]
    TooNew {
        /// Where.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// SQLite says no.
    #[error("SQLite says: {0}; look at the store's disk and rights, or choose another --data")]
    Sqlite(#[from] rusqlite::Error),
    /// What was stored does not read.
    #[error(
        "the store holds {what} that does not read: {error}; put back a copy of the file, or choose another --data"
    )]
    Corrupt {
        /// What.
        what: &'static str,
        /// Why.
        error: String,
    },
}

/// The writer.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    /// Held while the process lives; the system lets go of it when the process is killed.
    _lock: File,
}

impl Store {
    /// Opens or makes the file, brings it to the newest schema, and takes it for this process.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be made, is in use, or was written by a later version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "foreign_keys", "OFF")?;
        schema::migrate(&mut connection, path)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// A reader of the same file.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::open(&self.path)
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::Path { path, error }
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let file = File::create(&lock_path).map_err(at(&lock_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(at(&lock_path)(error)),
    }
}
