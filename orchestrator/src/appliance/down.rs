//! `appliance down`: ends exactly what `up` started.

use std::process::ExitCode;
use std::time::Duration;

use super::failure::Failure;
use super::folders::Folders;
use super::process::{self, Identity};
use super::redpanda;
use super::running::{Entry, Running};
use super::say;

/// A pump ends with its process; this is for what is still in the pipe.
const PUMP_MAX: Duration = Duration::from_secs(2);

/// Ends everything, or says that there is nothing to end.
///
/// # Errors
/// When something does not end, or the record cannot be read.
pub fn down(folders: &Folders) -> Result<ExitCode, Failure> {
    let _lock = folders.lock()?;
    let Some(record) = Running::load(folders)? else {
        folders.clear_run();
        say("dlts is not up; nothing to end");
        return Ok(ExitCode::SUCCESS);
    };
    end_all(folders, &record)?;
    say("dlts is down; results stay in data/, logs in logs/");
    Ok(ExitCode::SUCCESS)
}

/// Ends the processes of a record in the reverse order of their start: drivers report their end to
/// mergers and an orchestrator that still listen, which write to a broker that still runs.
pub(super) fn end_all(folders: &Folders, record: &Running) -> Result<(), Failure> {
    let mut left = Vec::new();
    for names in [
        &["driver"][..],
        &["merger"],
        &["orchestrator", "testserver"],
        &["broker"],
    ] {
        let is_one = |entry: &&Entry| names.iter().any(|name| entry.name.starts_with(name));
        let entries = record.entries.iter().filter(is_one);
        let alive: Vec<Identity> = entries
            .map(|entry| entry.process)
            .filter(|process| record.is_alive(*process))
            .collect();
        left.extend(process::end(&alive));
    }
    let pumps: Vec<Identity> = record.entries.iter().map(|entry| entry.pump).collect();
    let pumps: Vec<Identity> = pumps
        .into_iter()
        .filter(|pump| record.is_alive(*pump))
        .collect();
    left.extend(process::end(&process::wait_gone(&pumps, PUMP_MAX)));
    let is_stopped = !record.redpanda || redpanda::stop(folders);
    if !left.is_empty() {
        let pids: Vec<String> = left.iter().map(|process| process.pid.to_string()).collect();
        return Err(Failure::Unkillable(pids.join(", ")));
    }
    // Without a Redpanda that could not be stopped: compose knows its containers itself, and the
    // next `up` must not wait for a Docker that is gone.
    folders.clear_run();
    if is_stopped {
        Ok(())
    } else {
        Err(Failure::ComposeStop)
    }
}
