//! Standard output as a log: one JSON object a line, which `appliance` captures and people pipe
//! into `jq`. A message of the wire is logged as it is; our own events carry `"event"`.

use std::io::Write;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock;

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
    write_line(crate::codec::encode(message));
}

/// Writes one JSON line: an event of our own, `{"event": name, "level": …, "unix_ms": …, fields…}`.
///
/// `fields` is an object (see `serde_json::json!`); anything else is written under `"detail"`.
pub fn event(level: Level, name: &str, fields: Value) {
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
    write_line(crate::codec::encode(&line));
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

fn write_line(mut line: Vec<u8>) {
    line.push(b'\n');
    // A reader that went away (a closed pipe) must not stop a load test: the line is lost, the
    // run is not.
    let _ = std::io::stdout().lock().write_all(&line);
}
