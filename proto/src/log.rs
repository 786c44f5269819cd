//! Standard output as a log: one JSON object a line, which `appliance` captures and people pipe
//! into `jq`. A message of the wire is logged as it is; our own events carry `"event"`.
//!
//! Whoever logs never waits: a thread writes, and lines that find no room because nobody reads are
//! dropped, counted, and told of when there is room again. So a pipe that is full stops no heartbeat.

use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::clock;

mod backlog;

use backlog::{Backlog, Kind};

/// How long the end of a process waits for its lines to be read.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// The lines of this process; made with the first of them.
static BACKLOG: OnceLock<Option<Arc<Backlog>>> = OnceLock::new();

/// How serious an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Things going as they should.
    Info,
    /// Something to look at; the process goes on.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Writes one JSON line: a message as it went over the wire.
pub fn message<T: Serialize>(message: &T) {
    write_line(Kind::Message, crate::codec::encode(message));
}

/// Writes one JSON line: an event of our own, `{"event": name, "level": …, "unix_ms": …, fields…}`.
///
/// `fields` is an object (see `serde_json::json!`); anything else is written under `"detail"`.
pub fn event(level: Level, name: &str, fields: Value) {
    write_line(Kind::Event, event_line(level, name, fields));
}

fn event_line(level: Level, name: &str, fields: Value) -> Vec<u8> {
    let mut line = Map::new();
    line.insert("event".into(), name.into());
    line.insert("level".into(), level.name().into());
    line.insert("unix_ms".into(), (clock::unix_ns() / 1_000_000).into());
    match fields {
        Value::Object(fields) => line.extend(fields),
        Value::Null => {}
        other => {
            line.insert("detail".into(), other);
        }
    }
    crate::codec::encode(&line)
}

/// An [`event`] of level info.
pub fn info(name: &str, fields: Value) {
    event(Level::Info, name, fields);
}

/// An [`event`] of level warn.
pub fn warn(name: &str, fields: Value) {
    event(Level::Warn, name, fields);
}

/// An [`event`] of level error.
pub fn error(name: &str, fields: Value) {
    event(Level::Error, name, fields);
}

/// Waits at the end of a process, when it is dropped, until its lines are written, at most a second:
/// a reader that reads nothing must not keep it from ending.
#[derive(Debug)]
#[must_use = "it waits when it is dropped: keep it to the end of main"]
pub struct FlushAtEnd(());

/// To be kept to the end of `main`, so that the last lines are written also after a panic.
pub fn flush_at_end() -> FlushAtEnd {
    FlushAtEnd(())
}

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        if let Some(Some(backlog)) = BACKLOG.get() {
            backlog.flush(FLUSH_PATIENCE);
        }
    }
}

fn write_line(kind: Kind, mut line: Vec<u8>) {
    line.push(b'\n');
    let start = || Backlog::start(std::io::stdout(), dropped_line).ok();
    match BACKLOG.get_or_init(start) {
        Some(backlog) => backlog.push(kind, line),
        // No thread to be had: wait for the reader rather than say nothing at all.
        None => {
            let _ = std::io::stdout().lock().write_all(&line);
        }
    }
}

fn dropped_line(count: u64) -> Vec<u8> {
    let remedy = "whatever reads standard output is too slow, or has stopped";
    let fields = json!({"count": count, "remedy": remedy});
    let mut line = event_line(Level::Warn, "log_lines_dropped", fields);
    line.push(b'\n');
    line
}
