//! Copies of the file while it is in use, and putting one in its place.
//!
//! A copy is what one reader sees at one instant (`VACUUM INTO`): the writers go on meanwhile, and
//! their log grows by what they write. SQLite's backup of pages would begin anew whenever they write,
//! which they do each second of a run. The copy holds no free pages, so that nothing which was
//! replaced by its mask is in it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};

use rusqlite::{Connection, InterruptHandle, OpenFlags};

use super::{PRIVATE, Reader, StoreError, VERSION, schema};

/// Makes copies of the store, one at a time: it is another one's turn when nobody holds the last.
#[derive(Default)]
pub struct Backups {
    at_work: Mutex<()>,
    /// Of the copy that is being made.
    interrupt: Mutex<Option<InterruptHandle>>,
    /// The last copy, for as long as a client is being sent it.
    last: Mutex<Weak<File>>,
    is_over: AtomicBool,
}

impl Backups {
    /// A copy of the store at `path` as it is at this instant, open for reading. It has no name any
    /// more, so that it goes when it is closed. `None` when another copy is being made or sent, or
    /// the process is about to end.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not read, or its disk has no room for another of its size.
    pub fn copy(&self, path: &Path) -> Result<Option<Arc<File>>, StoreError> {
        let _alone = match self.at_work.try_lock() {
            Ok(alone) => alone,
            // It holds nothing that could be half done.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.strong_count() > 0 {
            return Ok(None);
        }
        let reader = Reader::open(path)?;
        self.interrupt_by(Some(reader.connection.get_interrupt_handle()));
        // After the handle is known: who ends sets this first, and then interrupts.
        if self.is_over.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let copied = copy_beside(&reader.connection, path);
        self.interrupt_by(None);
        let copy = Arc::new(copied?);
        *last = Arc::downgrade(&copy);
        Ok(Some(copy))
    }

    /// Ends the copy that is being made, and makes no more.
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        let handle = self.interrupt.lock();
        if let Some(handle) = handle.unwrap_or_else(PoisonError::into_inner).as_ref() {
            handle.interrupt();
        }
    }

    fn interrupt_by(&self, handle: Option<InterruptHandle>) {
        let slot = self.interrupt.lock();
        *slot.unwrap_or_else(PoisonError::into_inner) = handle;
    }
}

/// The copy lies beside the store for as long as it is written: that is the disk that is known to
/// have room for what grows.
fn copy_beside(connection: &Connection, path: &Path) -> Result<File, StoreError> {
    let copy = with_suffix(path, ".backup");
    let fails = |error| StoreError::Path {
        path: copy.clone(),
        error,
    };
    // One that a killed process left.
    remove_if_there(&copy).map_err(fails)?;
    let file = create_private(&copy).map_err(fails)?;
    let sql = "VACUUM INTO ?1";
    let done = copy.to_str().map(|name| connection.execute(sql, [name]));
    remove_if_there(&copy).map_err(fails)?;
    match done {
        Some(done) => done?,
        None => return Err(fails(ErrorKind::InvalidFilename.into())),
    };
    Ok(file)
}

/// Puts the backup at `from` where a store is to be, at `to`; its length in bytes.
///
/// # Errors
/// [`StoreError::NoBackup`] when it is none, [`StoreError::InTheWay`] when there is a store already,
/// [`StoreError::TooNew`] when a later version made it.
pub fn restore(from: &Path, to: &Path) -> Result<u64, StoreError> {
    check(from)?;
    for suffix in ["", "-wal", "-shm"] {
        let path = with_suffix(to, suffix);
        if path.exists() {
            return Err(StoreError::InTheWay(path));
        }
    }
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::Path { path, error }
    };
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let mut backup = File::open(from).map_err(at(from))?;
    // Under another name until it is whole: half a store is none.
    let half = with_suffix(to, ".restoring");
    remove_if_there(&half).map_err(at(&half))?;
    let mut file = create_private(&half).map_err(at(&half))?;
    let bytes = io::copy(&mut backup, &mut file).map_err(at(&half))?;
    file.sync_all().map_err(at(&half))?;
    std::fs::rename(&half, to).map_err(at(to))?;
    Ok(bytes)
}

/// Looks whether a file is a whole store of a version that is known.
fn check(path: &Path) -> Result<(), StoreError> {
    let none = |reason: String| StoreError::NoBackup {
        path: path.to_owned(),
        reason,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| none(e.to_string()))?;
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| none(error.to_string()))?;
    if verdict != "ok" {
        return Err(none(verdict));
    }
    let found = schema::version(&connection)?;
    if found > VERSION {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            found,
        });
    }
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name IN ('tests', 'results', 'offsets')";
    match connection.query_row(sql, [], |row| row.get(0))? {
        3_u32 => Ok(()),
        _ => Err(none("it is another program's".to_owned())),
    }
}

fn create_private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    options.mode(PRIVATE).open(path)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::store::Store;

    #[test]
    fn a_copy_of_a_store_in_use_is_a_store_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.sqlite");
        let mut store = Store::open(&path).unwrap();
        store.set_meta("node_id", "orchestrator-1").unwrap();
        let backups = Backups::default();
        let copy = backups.copy(&path).unwrap().unwrap();
        assert!(backups.copy(&path).unwrap().is_none(), "one is out");
        store.set_meta("node_id", "orchestrator-2").unwrap();
        assert_eq!(copy.metadata().unwrap().mode() & 0o777, PRIVATE);
        let mut bytes = Vec::new();
        (&*copy).read_to_end(&mut bytes).unwrap();
        drop(copy);
        assert!(backups.copy(&path).unwrap().is_some(), "it came back");
        let backup = folder.path().join("backup");
        std::fs::write(&backup, &bytes).unwrap();
        assert!(!folder.path().join("o.sqlite.backup").exists());

        let restored = folder.path().join("deep/p.sqlite");
        assert_eq!(restore(&backup, &restored).unwrap(), bytes.len() as u64);
        assert_eq!(restored.metadata().unwrap().mode() & 0o777, PRIVATE);
        let again = Store::open(&restored).unwrap().load().unwrap();
        assert_eq!(again.node_id.as_deref(), Some("orchestrator-1"));
        backups.stop();
        assert!(backups.copy(&path).unwrap().is_none(), "at the end");
    }

    #[test]
    fn only_a_whole_backup_is_restored_and_only_where_nothing_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        drop(Store::open(&at("a")).unwrap());
        let error = restore(&at("a"), &at("a")).unwrap_err().to_string();
        assert!(error.contains("move it away"), "{error}");
        std::fs::write(at("b-wal"), "of a store that was removed").unwrap();
        let error = restore(&at("a"), &at("b")).unwrap_err().to_string();
        assert!(error.contains("b-wal"), "{error}");
        let whole = std::fs::read(at("a")).unwrap();
        std::fs::write(at("cut"), &whole[..whole.len() / 2]).unwrap();
        std::fs::write(at("text"), "no database at all, but a text of some length").unwrap();
        std::fs::write(at("empty"), "").unwrap();
        for name in ["cut", "text", "empty", "missing"] {
            let error = restore(&at(name), &at("c")).unwrap_err();
            assert!(
                matches!(error, StoreError::NoBackup { .. }),
                "{name}: {error}"
            );
            assert!(!at("c").exists());
        }
    }
}
