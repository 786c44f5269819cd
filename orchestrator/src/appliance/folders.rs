//! Where things lie: one git-ignored folder each for what runs, what was logged, what is kept.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// The folders of one appliance.
#[derive(Debug, Clone)]
pub struct Folders {
    root: PathBuf,
}

impl Folders {
    /// The folders below `root`; nothing is made yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// What the processes run in; their paths are relative to it.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What exists only while the appliance is up.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Which processes are ours.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        self.run().join("appliance.json")
    }

    /// The address of the embedded broker, which chooses its port itself.
    #[must_use]
    pub fn broker_address(&self) -> PathBuf {
        self.run().join("broker.address")
    }

    /// The logs of all processes, a folder each.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Standard output of a process.
    #[must_use]
    pub fn stdout_log(&self, name: &str) -> PathBuf {
        self.logs().join(name).join("stdout.jsonl")
    }

    /// What of it are events of ours, without the messages of the wire.
    #[must_use]
    pub fn event_log(&self, name: &str) -> PathBuf {
        self.logs().join(name).join("events.jsonl")
    }

    /// Standard error of a process.
    #[must_use]
    pub fn stderr_log(&self, name: &str) -> PathBuf {
        self.logs().join(name).join("stderr.log")
    }

    /// The compose file of Redpanda.
    #[must_use]
    pub fn compose_file(&self) -> PathBuf {
        self.root.join("redpanda-compose.yml")
    }

    /// Makes sure that one `up` or `down` works here at a time, for as long as the file is held.
    /// The lock lies on the folder itself, so that it leaves no file behind.
    ///
    /// # Errors
    /// [`Failure::Busy`] when another one is at work, [`Failure::File`] when there is no folder.
    pub fn lock(&self) -> Result<File, Failure> {
        let file = |error| Failure::file("use the folder", &self.root, error);
        let folder = File::open(&self.root).map_err(file)?;
        match folder.try_lock() {
            Ok(()) => Ok(folder),
            Err(TryLockError::WouldBlock) => Err(Failure::Busy),
            Err(TryLockError::Error(error)) => Err(file(error)),
        }
    }

    /// Makes `run/` and `data/`.
    ///
    /// # Errors
    /// [`Failure::File`] when they cannot be made.
    pub fn make(&self) -> Result<(), Failure> {
        for folder in [self.run(), self.root.join("data"), self.logs()] {
            fs::create_dir_all(&folder)
                .map_err(|error| Failure::file("make the folder", &folder, error))?;
        }
        Ok(())
    }

    /// Removes what exists only while the appliance is up. A file of somebody else's stays, and
    /// so does the folder then.
    pub fn clear_run(&self) {
        let _ = fs::remove_file(self.broker_address());
        let _ = fs::remove_file(self.record());
        let _ = fs::remove_dir(self.run());
    }
}
