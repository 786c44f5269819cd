//! The pump: standard input into a file of bounded size. It lives as long as the process whose
//! output it keeps, and needs nobody.
//!
//! Our own events go into a file of their own as well: a thousand drivers' heartbeats and reports
//! fill the first one in seconds, and what happened must be found there tomorrow.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::json;

use super::cli::LogPumpOptions;
use super::failure::Failure;

/// A longer line is written in pieces.
const LINE_LEN_MAX: u64 = 1 << 20;

/// A file that becomes `FILE.1` when it is full.
struct Bounded {
    path: PathBuf,
    len_max: u64,
    file: File,
    len: u64,
    /// Lines that could not be written since the last that could.
    dropped: u64,
}

/// Copies standard input, line by line, until its end.
///
/// # Errors
/// [`Failure::File`] when the file cannot be made at all. What fails later (a full disk) loses
/// lines, which are counted and told in the file, and never blocks the process that writes them.
pub fn pump(options: &LogPumpOptions) -> Result<ExitCode, Failure> {
    let mut file = Bounded::open(&options.file, options.max_bytes)
        .map_err(|error| Failure::file("write", &options.file, error))?;
    let events = options.events.as_ref().map(|path| {
        Bounded::open(path, options.max_bytes).map_err(|error| Failure::file("write", path, error))
    });
    let mut events = events.transpose()?;
    let input = io::stdin().lock();
    copy(&mut BufReader::new(input), &mut file, events.as_mut());
    Ok(ExitCode::SUCCESS)
}

/// What tells an event of ours from a message of the wire.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "event")]
    _name: String,
}

fn is_event(line: &[u8]) -> bool {
    // Few lines hold the word, and only those are parsed.
    let name = b"\"event\":";
    line.windows(name.len()).any(|window| window == name)
        && serde_json::from_slice::<Event>(line).is_ok()
}

fn copy(input: &mut impl BufRead, file: &mut Bounded, mut events: Option<&mut Bounded>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match input
            .by_ref()
            .take(LINE_LEN_MAX)
            .read_until(b'\n', &mut line)
        {
            Ok(0) => return,
            Ok(_) => {
                file.keep(&line);
                if let Some(events) = events.as_mut().filter(|_| is_event(&line)) {
                    events.keep(&line);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

impl Bounded {
    fn open(path: &Path, len_max: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            path: path.to_owned(),
            len_max,
            len: file.metadata()?.len(),
            file,
            dropped: 0,
        })
    }

    fn keep(&mut self, line: &[u8]) {
        if self.dropped > 0 {
            let note =
                json!({"event": "log_lines_dropped", "level": "warn", "count": self.dropped});
            if self.write(format!("{note}\n").as_bytes()).is_ok() {
                self.dropped = 0;
            }
        }
        if self.write(line).is_err() {
            self.dropped += 1;
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let len = line.len() as u64;
        if self.len > 0 && self.len + len > self.len_max {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.len += len;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut older = self.path.clone().into_os_string();
        older.push(".1");
        match fs::rename(&self.path, older) {
            // Somebody removed it, and our lines went where nobody finds them.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        self.file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)?;
        self.len = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_bounded_and_the_newest_lines_are_kept_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("stdout.jsonl");
        let input: Vec<u8> = (0..1000)
            .flat_map(|n| format!("line {n}\n").into_bytes())
            .collect();
        let mut file = Bounded::open(&path, 500).unwrap();
        copy(&mut input.as_slice(), &mut file, None);

        let newer = fs::read_to_string(&path).unwrap();
        let older = fs::read_to_string(path.with_extension("jsonl.1")).unwrap();
        assert!(newer.len() <= 500 && older.len() <= 500);
        let kept = older + &newer;
        let lines: Vec<&str> = kept.lines().collect();
        let first = 1000 - lines.len();
        assert!(lines.len() > 50, "{first}");
        for (index, line) in lines.iter().enumerate() {
            assert_eq!(*line, format!("line {}", first + index));
        }
    }

    #[test]
    fn a_file_that_somebody_removed_is_made_anew_when_it_would_be_full() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("driver-1").join("stdout.jsonl");
        let mut file = Bounded::open(&path, 10).unwrap();
        file.keep(b"12345678\n");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        file.keep(b"kept\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept\n");
        assert_eq!(file.dropped, 0);
    }

    #[test]
    fn heartbeats_without_number_do_not_push_events_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let beat = r#"{"node_id":"driver-1","heartbeat":"YES","note":"\"event\": no"}"#;
        let mut input = String::from("{\"address\":\"a\",\"event\":\"listening\"}\n");
        for _ in 0..100 {
            input += beat;
            input += "\nnot JSON with \"event\": in it\n";
        }
        input += "{\"event\":\"stopping\"}\n";
        let mut all = Bounded::open(&at("stdout.jsonl"), 500).unwrap();
        let mut events = Bounded::open(&at("events.jsonl"), 500).unwrap();
        copy(&mut input.as_bytes(), &mut all, Some(&mut events));
        let read = |name: &str| fs::read_to_string(at(name)).unwrap();
        assert!(!read("stdout.jsonl").contains("listening"));
        assert!(!read("stdout.jsonl.1").contains("listening"));
        assert!(read("stdout.jsonl").ends_with("{\"event\":\"stopping\"}\n"));
        assert_eq!(
            read("events.jsonl"),
            "{\"address\":\"a\",\"event\":\"listening\"}\n{\"event\":\"stopping\"}\n"
        );
    }

    #[test]
    fn what_was_there_before_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout.jsonl");
        for text in ["one\n", "two\n"] {
            copy(
                &mut text.as_bytes(),
                &mut Bounded::open(&path, 500).unwrap(),
                None,
            );
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }
}
