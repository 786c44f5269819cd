//! What is up, kept in `run/appliance.json` right after each start.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::folders::Folders;
use super::process::Identity;

/// One process of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name, which is also its folder in the logs.
    pub name: String,
    /// The process.
    pub process: Identity,
    /// The process that keeps its output.
    pub pump: Identity,
    /// When it was started, ms since 1970.
    pub started_unix_ms: u64,
    /// Where it listens, or which CPUs it has.
    pub place: String,
}

/// Everything that is up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The boot in which the processes were started.
    pub boot_id: String,
    /// Whether `up` went to its end.
    pub complete: bool,
    /// Whether Docker runs a broker for us.
    pub redpanda: bool,
    /// The broker's address, once it is known.
    pub broker: String,
    /// What kind of broker it is, in words.
    pub broker_kind: String,
    /// The test server's URL.
    pub testserver: String,
    /// The orchestrator's URL.
    pub orchestrator: String,
    /// In the order of their start.
    pub entries: Vec<Entry>,
}

impl Running {
    /// The record, if there is one.
    ///
    /// # Errors
    /// [`Failure::Running`] when it is not readable, which says nothing of what runs.
    pub fn load(folders: &Folders) -> Result<Option<Self>, Failure> {
        let path = folders.record();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file("read", &path, error)),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| Failure::Running {
                path,
                reason: error.to_string(),
            })
    }

    /// Writes it, under another name first: whoever reads it reads all of it.
    ///
    /// # Errors
    /// [`Failure::File`].
    pub fn save(&self, folders: &Folders) -> Result<(), Failure> {
        let path = folders.record();
        let half = path.with_extension("new");
        let text = serde_json::to_string_pretty(self)
            .expect("invariant: a record has text keys and no special numbers");
        fs::write(&half, text)
            .and_then(|()| fs::rename(&half, &path))
            .map_err(|error| Failure::file("write", &path, error))
    }

    /// Whether a process of it still runs. After a reboot none does, whatever its id says.
    #[must_use]
    pub fn is_alive(&self, process: Identity) -> bool {
        self.boot_id == boot_id() && process.is_alive()
    }

    /// The entries that ended.
    #[must_use]
    pub fn ended(&self) -> Vec<&Entry> {
        self.entries
            .iter()
            .filter(|entry| !self.is_alive(entry.process))
            .collect()
    }
}

/// Differs after each boot.
#[must_use]
pub fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}
