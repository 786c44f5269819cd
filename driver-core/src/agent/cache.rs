//! The files that tests name, kept by content: the second run of a test gets none again. The folder
//! may be shared by the drivers of a host. A file that is there under its SHA-256 is whole; what is
//! on its way has another name, and belongs to whoever holds its lock.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind, Seek};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proto::digest::Sha256;
use proto::document::Reference;
use tempfile::{Builder, NamedTempFile};

/// The end of the name of a file on its way.
const PARTIAL: &str = ".part";
/// A file on its way that is younger may not have its lock yet.
const UNLOCKED_MAX: Duration = Duration::from_secs(60);

/// The folder of the files.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    folder: PathBuf,
    bytes_max: u64,
}

impl Cache {
    /// At most `bytes_max` bytes in a folder, which is made with the first file.
    pub(super) fn new(folder: &Path, bytes_max: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            bytes_max,
        }
    }

    /// Opens a file, if it is there; it counts as used now.
    pub(super) fn open(&self, reference: &Reference) -> Option<File> {
        let file = File::open(self.folder.join(reference.sha256.to_string())).ok()?;
        let is_whole = file.metadata().ok()?.len() == reference.bytes;
        // Which file goes first is not worth an error.
        let _ = file.set_modified(SystemTime::now());
        is_whole.then_some(file)
    }

    /// Makes room for files, and begins each of them. `kept` are not to go for it.
    ///
    /// # Errors
    /// In words, when there is no room for all, or they cannot be made.
    pub(super) fn begin(
        &self,
        lacking: &[Reference],
        kept: &[Reference],
    ) -> Result<Vec<Partial>, String> {
        let words = |error: io::Error| {
            let folder = self.folder.display();
            format!("cannot keep files in {folder}: {error}; give the driver another --data")
        };
        let mut folder = DirBuilder::new();
        folder.recursive(true).mode(0o700);
        folder.create(&self.folder).map_err(words)?;
        let sum = |files: &[Reference]| files.iter().map(|file| file.bytes).sum::<u64>();
        let wanted = sum(lacking) + sum(kept);
        if wanted > self.bytes_max {
            return Err(format!(
                "the test's files have {wanted} bytes, and this driver keeps {}: start it with \
                 --data-bytes {wanted}",
                self.bytes_max
            ));
        }
        self.make_room(sum(lacking), kept).map_err(words)?;
        let begin = |file: &Reference| Partial::new(&self.folder, file.sha256);
        lacking
            .iter()
            .map(begin)
            .collect::<Result<_, _>>()
            .map_err(words)
    }

    /// Removes what others left behind, and the files that were used longest ago, until there is
    /// room for `bytes` more.
    fn make_room(&self, bytes: u64, kept: &[Reference]) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(PARTIAL) {
                remove_if_left(&path)?;
            } else if let Some(sha256) = name_of(&path)
                && let Ok(found) = path.metadata()
            {
                let is_kept = kept.iter().any(|file| file.sha256 == sha256);
                files.push((is_kept, found.modified()?, found.len(), path));
            }
        }
        let mut used = bytes + files.iter().map(|(_, _, len, _)| len).sum::<u64>();
        files.retain(|(is_kept, ..)| !is_kept);
        files.sort();
        for (_, _, len, path) in files {
            if used <= self.bytes_max {
                break;
            }
            remove(&path)?;
            used -= len;
        }
        Ok(())
    }
}

fn name_of(path: &Path) -> Option<Sha256> {
    path.file_name()?.to_str()?.parse().ok()
}

/// Removes a file on its way that nobody is at any more.
fn remove_if_left(path: &Path) -> io::Result<()> {
    let Ok(file) = File::open(path) else {
        return Ok(());
    };
    let age = file.metadata()?.modified()?.elapsed();
    if age.is_ok_and(|age| age < UNLOCKED_MAX) {
        return Ok(());
    }
    match file.try_lock() {
        Ok(()) => remove(path),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes a file, unless another driver was faster.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file on its way; dropped before it is whole, it leaves nothing.
#[derive(Debug)]
pub(super) struct Partial {
    sha256: Sha256,
    file: NamedTempFile,
}

impl Partial {
    fn new(folder: &Path, sha256: Sha256) -> io::Result<Self> {
        let mut builder = Builder::new();
        let file = builder.suffix(PARTIAL).tempfile_in(folder)?;
        match file.as_file().try_lock() {
            Ok(()) => Ok(Self { sha256, file }),
            Err(TryLockError::WouldBlock) => Err(ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes a piece at its place.
    pub(super) fn write(&mut self, offset: u64, content: &[u8]) -> io::Result<()> {
        self.file.as_file().write_all_at(content, offset)
    }

    /// All pieces are there: whether together they are the file, which then has its name, for good.
    pub(super) fn finish(&mut self) -> io::Result<bool> {
        let mut file = self.file.as_file();
        file.rewind()?;
        let (sha256, _) = Sha256::of_reader(file)?;
        if sha256 != self.sha256 {
            return Ok(false);
        }
        file.sync_all()?;
        // One that is wrong begins anew, so that it is not given up for its name; renamed, it is not
        // there any more to be removed.
        let named = self.file.path().with_file_name(sha256.to_string());
        fs::rename(self.file.path(), named)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn reference(content: &[u8]) -> Reference {
        Reference {
            sha256: Sha256::of(content),
            bytes: content.len() as u64,
            rows: None,
        }
    }

    fn put(cache: &Cache, content: &[u8], kept: &[Reference]) {
        let file = reference(content);
        let mut partials = cache.begin(&[file], kept).unwrap();
        partials[0].write(0, content).unwrap();
        assert!(partials[0].finish().unwrap());
    }

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_is_there_when_it_is_whole_and_right_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(&folder.path().join("a"), 1000);
        let file = reference(b"hello");
        assert!(cache.open(&file).is_none());
        let mut partial = cache.begin(&[file], &[]).unwrap().remove(0);
        partial.write(2, b"llo").unwrap();
        partial.write(0, b"hx").unwrap();
        assert!(!partial.finish().unwrap(), "another file");
        assert!(cache.open(&file).is_none());
        partial.write(0, b"he").unwrap();
        assert!(partial.finish().unwrap());
        let mut text = String::new();
        let mut found = cache.open(&file).unwrap();
        found.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        assert_eq!(
            found.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        let mode = fs::metadata(folder.path().join("a")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o700);
        drop(partial);
        assert!(cache.open(&file).is_some(), "it stays");
        assert_eq!(names(&folder.path().join("a")), 1);
    }

    #[test]
    fn the_files_that_were_used_longest_ago_go_first_and_those_of_the_test_stay() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), 10);
        let contents: [&[u8]; 3] = [b"1111", b"2222", b"3333"];
        for content in &contents[..2] {
            put(&cache, content, &[]);
        }
        let old = SystemTime::now() - Duration::from_secs(100);
        for (content, age) in contents[..2].iter().zip([50, 0]) {
            let file = cache.open(&reference(content)).unwrap();
            file.set_modified(old - Duration::from_secs(age)).unwrap();
        }
        // The first was used last of all, before it is known which have to go.
        cache.open(&reference(contents[0])).unwrap();
        put(&cache, contents[2], &[]);
        let is_there = |content| cache.open(&reference(content)).is_some();
        assert_eq!(contents.map(is_there), [true, false, true]);
        put(&cache, contents[1], &[reference(contents[0])]);
        assert_eq!(contents.map(is_there), [true, true, false]);
        let refused = cache.begin(&[reference(&[0; 7])], &[reference(contents[0])]);
        let refused = refused.unwrap_err();
        assert!(refused.contains("--data-bytes 11"), "{refused}");
    }

    #[test]
    fn what_a_killed_driver_left_is_removed_and_what_a_living_one_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), 100);
        let partial = cache.begin(&[reference(b"a")], &[]).unwrap().remove(0);
        let left = folder.path().join("x.part");
        for path in [left.as_path(), partial.file.path()] {
            let file = File::options()
                .create(true)
                .append(true)
                .open(path)
                .unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        put(&cache, b"b", &[]);
        assert!(!left.exists() && partial.file.path().exists());
        let at = partial.file.path().to_owned();
        drop(partial);
        assert!(!at.exists(), "it leaves nothing");
    }
}
