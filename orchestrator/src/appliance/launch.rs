//! Starting a process whose output is kept, within bounds, also when we are gone.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use proto::clock;

use super::failure::Failure;
use super::folders::Folders;
use super::plan::Program;
use super::process::Identity;
use super::running::Entry;

/// Starts processes from the folder of our own binary.
#[derive(Debug)]
pub struct Launcher<'a> {
    folders: &'a Folders,
    own: PathBuf,
}

impl<'a> Launcher<'a> {
    /// Finds our own binary.
    ///
    /// # Errors
    /// [`Failure::Start`] when the system does not tell where it is.
    pub fn new(folders: &'a Folders) -> Result<Self, Failure> {
        let own = env::current_exe().map_err(|error| Failure::Start {
            name: "appliance".into(),
            error,
        })?;
        Ok(Self { folders, own })
    }

    /// Where a binary of ours is.
    #[must_use]
    pub fn binary(&self, name: &str) -> PathBuf {
        self.own.with_file_name(name)
    }

    /// Starts a process in a group of its own, so that Ctrl-C in our terminal does not reach it.
    ///
    /// # Errors
    /// [`Failure::Start`] or [`Failure::File`].
    pub fn start(&self, program: &Program) -> Result<Entry, Failure> {
        let failed = |error| Failure::Start {
            name: program.name.clone(),
            error,
        };
        let log = self.folders.stderr_log(&program.name);
        let stderr = log
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| File::create(&log))
            .map_err(|error| Failure::file("write", &log, error))?;
        let mut pump = self.start_pump(program).map_err(failed)?;
        let stdin = pump
            .stdin
            .take()
            .expect("invariant: the pump's input was piped");
        let child = Command::new(self.binary(program.binary))
            .args(&program.arguments)
            .current_dir(self.folders.root())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(stdin)
            .stderr(stderr)
            .spawn()
            .map_err(failed)?;
        Ok(Entry {
            name: program.name.clone(),
            process: identity(&child).map_err(failed)?,
            pump: identity(&pump).map_err(failed)?,
            started_unix_ms: clock::unix_ns() / 1_000_000,
            place: program.place.clone(),
        })
    }

    fn start_pump(&self, program: &Program) -> io::Result<Child> {
        let file = self.folders.stdout_log(&program.name);
        Command::new(&self.own)
            .arg("log-pump")
            .arg("--file")
            .arg(file)
            .arg("--events")
            .arg(self.folders.event_log(&program.name))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }
}

/// A child that was not waited for keeps its entry in `/proc`, even when it ended at once.
fn identity(child: &Child) -> io::Result<Identity> {
    Identity::of(child.id()).ok_or_else(|| io::Error::other("there is no /proc to see it in"))
}
