//! `appliance logs`: follows the logs of all processes, one prefix each.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::cli::LogsOptions;
use super::failure::Failure;
use super::folders::Folders;
use super::running::Running;
use super::say;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(150);
/// Read at the start, from the end of a file, to find its last lines in.
const TAIL_LEN_MAX: u64 = 256 << 10;

/// Prints the last lines of each log and then what comes.
///
/// # Errors
/// [`Failure::NoSuchLog`].
pub fn logs(folders: &Folders, options: &LogsOptions) -> Result<ExitCode, Failure> {
    let names = names(folders, &options.names)?;
    if names.is_empty() {
        say("there are no logs yet; start dlts with `make up`");
        return Ok(ExitCode::SUCCESS);
    }
    let width = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut followed: Vec<Followed> = names
        .iter()
        .flat_map(|name| [folders.stdout_log(name), folders.stderr_log(name)].map(|f| (name, f)))
        .map(|(name, file)| Followed::new(format!("{name:<width$} | "), file))
        .collect();
    let mut out = io::stdout().lock();
    // A reader that went away (`make logs | head`) is a normal end.
    let _ = print(&mut followed, options, &mut out);
    Ok(ExitCode::SUCCESS)
}

fn print(followed: &mut [Followed], options: &LogsOptions, out: &mut impl Write) -> io::Result<()> {
    for log in &mut *followed {
        log.print_tail(options.lines, out)?;
    }
    out.flush()?;
    if options.no_follow {
        return Ok(());
    }
    loop {
        for log in &mut *followed {
            log.print_new(out)?;
        }
        out.flush()?;
        thread::sleep(LOOK);
    }
}

/// The processes of ours: those that are up, or whoever left a log.
fn names(folders: &Folders, wanted: &[String]) -> Result<Vec<String>, Failure> {
    let up = Running::load(folders)?.unwrap_or_default();
    let mut known: Vec<String> = up.entries.into_iter().map(|entry| entry.name).collect();
    if known.is_empty() {
        known = with_logs(folders).into_iter().collect();
    }
    if let Some(name) = wanted.iter().find(|name| !known.contains(name)) {
        return Err(Failure::NoSuchLog {
            name: name.clone(),
            known: known.join(", "),
        });
    }
    if !wanted.is_empty() {
        known.retain(|name| wanted.contains(name));
    }
    Ok(known)
}

fn with_logs(folders: &Folders) -> BTreeSet<String> {
    let entries = fs::read_dir(folders.logs()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| folders.stdout_log(name).exists())
        .collect()
}

/// A file that grows, and may be replaced by a new one when it is full.
struct Followed {
    prefix: String,
    path: PathBuf,
    file: Option<File>,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
}

impl Followed {
    fn new(prefix: String, path: PathBuf) -> Self {
        Self {
            prefix,
            path,
            file: None,
            partial: Vec::new(),
        }
    }

    fn print_tail(&mut self, lines: usize, out: &mut impl Write) -> io::Result<()> {
        let Ok(mut file) = File::open(&self.path) else {
            return Ok(());
        };
        let text = read_from(&mut file, |len| len.saturating_sub(TAIL_LEN_MAX))?;
        let ends: Vec<usize> = (0..text.len()).filter(|at| text[*at] == b'\n').collect();
        let begin = match ends.len().checked_sub(lines + 1) {
            Some(skipped) => ends[skipped] + 1,
            None => 0,
        };
        self.file = Some(file);
        self.print_lines(&text[begin..], out)
    }

    /// What was written since; the rest of the old file first, when there is a new one.
    fn print_new(&mut self, out: &mut impl Write) -> io::Result<()> {
        let mut text = Vec::new();
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut text)?;
        }
        if self.is_replaced()
            && let Ok(mut file) = File::open(&self.path)
        {
            file.read_to_end(&mut text)?;
            self.file = Some(file);
        }
        self.print_lines(&text, out)
    }

    fn is_replaced(&self) -> bool {
        let Ok(now) = fs::metadata(&self.path) else {
            return false;
        };
        let open = self.file.as_ref().and_then(|file| file.metadata().ok());
        open.is_none_or(|open| open.ino() != now.ino() || open.dev() != now.dev())
    }

    fn print_lines(&mut self, text: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.partial.extend_from_slice(text);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            out.write_all(self.prefix.as_bytes())?;
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            out.write_all(&line)?;
        }
        Ok(())
    }
}

fn read_from(file: &mut File, begin: impl Fn(u64) -> u64) -> io::Result<Vec<u8>> {
    use std::io::{Seek, SeekFrom};
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(begin(len)))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn follow(path: &Path) -> Followed {
        Followed::new("x | ".into(), path.to_owned())
    }

    fn printed(act: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        act(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_last_lines_come_first_and_then_whole_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "a\nb\nc\npart").unwrap();
        let mut log = follow(&path);
        assert_eq!(printed(|out| log.print_tail(2, out)), "x | b\nx | c\n");
        assert_eq!(printed(|out| log.print_new(out)), "");
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"ial\nd\n").unwrap();
        assert_eq!(printed(|out| log.print_new(out)), "x | partial\nx | d\n");
    }

    #[test]
    fn a_file_that_was_replaced_is_read_to_its_end_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = follow(&path);
        assert_eq!(printed(|out| log.print_tail(2, out)), "");
        fs::write(&path, "a\n").unwrap();
        assert_eq!(printed(|out| log.print_new(out)), "x | a\n");
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"b\n").unwrap();
        fs::rename(&path, folder.path().join("log.1")).unwrap();
        fs::write(&path, "c\n").unwrap();
        assert_eq!(printed(|out| log.print_new(out)), "x | b\nx | c\n");
    }
}
