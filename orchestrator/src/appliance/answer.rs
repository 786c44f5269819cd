//! A short command that is asked a question, and must answer in time.

use std::io::{self, Read};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How a command ended, and what it said on standard error.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) success: bool,
    pub(super) code: Option<i32>,
    pub(super) words: String,
}

impl Answer {
    /// The first line that says something.
    pub(super) fn first_line(&self) -> String {
        let mut lines = self
            .words
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty());
        lines.next().unwrap_or("it says nothing").to_owned()
    }
}

/// Runs a command whose standard error is piped, and kills it when it takes too long.
pub(super) fn within(command: &mut Command, limit: Duration) -> io::Result<Answer> {
    let deadline = Instant::now() + limit;
    let mut child = command.spawn()?;
    let reader = child.stderr.take().map(|mut stderr| {
        thread::spawn(move || {
            let mut words = String::new();
            let _ = stderr.read_to_string(&mut words);
            words
        })
    });
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
            None => {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no answer within {} s", limit.as_secs()),
                ));
            }
        }
    };
    let words = reader
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default();
    Ok(Answer {
        success: status.success(),
        code: status.code(),
        words,
    })
}
