//! The SQLite file: tests, drivers, reports with their histograms, topic offsets.
//!
//! One process writes it: the control thread in one transaction a batch, and the keeper, which
//! compacts and deletes in slices, through a connection of its own. The REST threads read it
//! through connections of their own. WAL with `synchronous=NORMAL` survives `kill -9` at any instant (what was
//! committed is in the operating system's hands); a power cut may take the last transactions, which
//! are then read again from the broker, since their offsets went with them.
//!
//! A store that cannot be written (a full disk) stops nothing: changes wait in memory, the newest
//! of each kind, and are written when there is room again. The offsets wait with them, so that a
//! crash in between loses nothing that the broker still has.

mod backlog;
mod backup;
mod compact;
mod keeper;
mod read;
mod reported;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use thiserror::Error;

pub use backlog::Backlog;
pub use backup::{Backups, restore};
pub use compact::NodeSecond;
pub use keeper::Keeper;
pub use read::{Loaded, Reader, StoredTest};
pub use schema::VERSION;

/// How long a reader or writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the write-ahead log that are kept for what comes next.
const LOG_BYTES_KEPT: u64 = 16 << 20;
/// A file of an earlier version is rewritten, so that it can shrink, up to this length: it takes
/// seconds, in which nobody is answered.
const REWRITTEN_BYTES_MAX: u64 = 1 << 30;
/// What a store holds is for its owner alone.
const PRIVATE: u32 = 0o600;

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
    /// It was deleted, or another file was put in its place.
    #[error(
        "{0} is not there any more; put it back, or start the orchestrator again, which makes a new one"
    )]
    Gone(PathBuf),
    /// There is something where a backup is to be put.
    #[error("{0} is in the way; stop the orchestrator that uses it, and move it away")]
    InTheWay(PathBuf),
    /// It is no backup of a store, or not a whole one.
    #[error(
        "{path} is no backup of an orchestrator's store: {reason}; give what `client backup` wrote"
    )]
    NoBackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
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
    /// Without symbolic links.
    path: PathBuf,
    identity: Option<(u64, u64)>,
    is_shrinkable: bool,
    /// Held while the process lives; the system lets go of it when the process is killed.
    _lock: File,
}

impl Store {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens or makes the file, brings it to the newest schema, and takes it for this process.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be made, is in use, or was written by a later version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let (path, lock) = take(path)?;
        let mut connection = Connection::open(&path)?;
        schema::prepare(&connection)?;
        configure(&connection)?;
        schema::migrate(&mut connection, &path)?;
        let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
        let is_shrinkable = bytes <= REWRITTEN_BYTES_MAX && schema::make_shrinkable(&connection)?;
        Ok(Self {
            connection,
            identity: identity(&path),
            path,
            is_shrinkable,
            _lock: lock,
        })
    }

    /// Looks whether the file is where it was opened: what is written to one that was deleted is
    /// gone with this process.
    ///
    /// # Errors
    /// [`StoreError::Gone`].
    pub fn check_place(&self) -> Result<(), StoreError> {
        if identity(&self.path) == self.identity {
            return Ok(());
        }
        Err(StoreError::Gone(self.path.clone()))
    }

    /// Bytes of the file that hold something.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn used_bytes(&self) -> Result<u64, StoreError> {
        let value = |name| {
            self.connection
                .pragma_query_value(None, name, |row| row.get::<_, u64>(0))
        };
        let pages = value("page_count")?.saturating_sub(value("freelist_count")?);
        Ok(pages * value("page_size")?)
    }

    /// A reader of the same file.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::open(&self.path)
    }
}

fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    // A secret that was replaced by its mask is not to be found in what is left of its row.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    Ok(())
}

/// Makes the file if there is none, for us alone to read, and takes it for this process, by
/// whatever name it was given: two names of one file are one store.
fn take(name: &Path) -> Result<(PathBuf, File), StoreError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::Path { path, error }
    };
    if let Some(folder) = name
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let file = open_private(name).map_err(at(name))?;
    file.set_permissions(Permissions::from_mode(PRIVATE))
        .map_err(at(name))?;
    let path = name.canonicalize().map_err(at(name))?;
    let mut lock_name = path.as_os_str().to_owned();
    lock_name.push(".lock");
    let lock_path = PathBuf::from(lock_name);
    let lock = open_private(&lock_path).map_err(at(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok((path, lock)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse(path)),
        Err(std::fs::TryLockError::Error(error)) => Err(at(&lock_path)(error)),
    }
}

fn open_private(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(PRIVATE).open(path)
}

/// Which file a path leads to.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}
