//! `PUT /data/{name}`, `GET /data`, `DELETE /data/{name}`: the files that documents name.

use std::collections::HashMap;
use std::io::{BufReader, Read};

use proto::digest::Sha256;
use proto::document::{Document, Reference, file_name};
use proto::replay::{Head, ReplayError};
use serde_json::{Value, json};

use super::{Answer, Call, Worker};
use crate::control::{Selection, TestRow};
use crate::files::{Files, Stored, Upload, UploadError};

/// Bytes of a replay that are read at once.
const READ_LEN: usize = 64 << 10;

impl Worker {
    /// All files, those that were used longest ago first.
    pub(super) fn data(&self) -> Answer {
        let files = match self.api.files.list() {
            Ok(files) => files,
            Err(error) => return unreadable(&error),
        };
        let mut tests: HashMap<Sha256, usize> = HashMap::new();
        for row in self.api.live.snapshot().tests(&Selection::default()) {
            for sha256 in &row.files {
                *tests.entry(*sha256).or_default() += 1;
            }
        }
        let shown = files.iter().map(|file| {
            let mut shown = json!(file);
            shown["tests"] = json!(tests.get(&file.sha256).copied().unwrap_or(0));
            shown
        });
        let shown: Vec<Value> = shown.collect();
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        Answer::json(&json!({"files": shown, "bytes": bytes}))
    }

    /// Receives a file.
    pub(super) fn upload(&self, name: &str, call: &Call, body: &mut dyn Read) -> Answer {
        match self.received(name, call, body) {
            Ok(stored) => Answer::json(&stored),
            Err(answer) => answer,
        }
    }

    fn received(&self, name: &str, call: &Call, body: &mut dyn Read) -> Result<Stored, Answer> {
        let hint = "send the file as the body of PUT /data/NAME, such as curl --upload-file \
                    users.csv URL/data/users.csv";
        let named = file_name(name).map_err(|error| Answer::error(400, &error, hint))?;
        let unknown = call.query.iter().find(|(name, _)| name != "sha256");
        if let Some((name, _)) = unknown {
            let error = format!("{name}: no such parameter");
            return Err(Answer::error(400, &error, "known here: sha256"));
        }
        let upload = Upload {
            name: named,
            bytes: call.body_len(),
            sha256: call.param("sha256", "64 hexadecimal digits")?,
        };
        let received = self.api.files.receive(&upload, body);
        received.map_err(|error| {
            let (status, hint) = match &error {
                UploadError::TooLong(_) => (413, "split it, or use driver run on each host"),
                UploadError::NoRoom { .. } => (
                    413,
                    "delete some with DELETE /data/NAME, or start the orchestrator with more \
                     --retention-bytes",
                ),
                UploadError::Cut { .. } => (400, "send it again"),
                UploadError::Other(_) => {
                    (409, "send the file that sha256 names, or another sha256")
                }
                UploadError::Write(_) => (503, "make room on the orchestrator's disk"),
            };
            Answer::error(status, &format!("{name}: {error}"), hint)
        })
    }

    /// Removes the files of a name, or the one with that SHA-256.
    pub(super) fn remove_data(&self, name: &str) -> Answer {
        match self.removed(name) {
            Ok(answer) | Err(answer) => answer,
        }
    }

    fn removed(&self, name: &str) -> Result<Answer, Answer> {
        let files = self.api.files.list().map_err(|error| unreadable(&error))?;
        let is_meant = |file: &Stored| file.name == name || file.sha256.to_string() == name;
        let meant: Vec<Stored> = files.into_iter().filter(is_meant).collect();
        if meant.is_empty() {
            let error = format!("there is no file {name:?}");
            return Err(Answer::error(404, &error, "GET /data lists them"));
        }
        let rows = self.api.live.snapshot().tests(&Selection::default());
        let names = |row: &TestRow| meant.iter().any(|file| row.files.contains(&file.sha256));
        if let Some(row) = rows.iter().find(|row| !row.state.has_ended() && names(row)) {
            let (test_id, state) = (&row.test_id, row.state.name());
            let error = format!("{name}: test {test_id}, which is {state}, names it");
            let hint = "wait until it has ended, or stop it with POST /stop";
            let more = json!({"test_id": test_id, "state": state});
            return Err(Answer::error_with(409, &error, hint, more));
        }
        for file in &meant {
            let removed = self.api.files.remove(&file.sha256);
            removed.map_err(|error| unreadable(&error))?;
        }
        let sums: Vec<Sha256> = meant.iter().map(|file| file.sha256).collect();
        Ok(Answer::json(&json!({"deleted": true, "sha256": sums})))
    }
}

/// The document with every file that it names in it or uploaded: those that it refers to are there,
/// and those of which it has only the name are the ones that were last uploaded by it.
///
/// # Errors
/// The answer to a document whose files are not there.
pub(super) fn with_data(document: Document, files: &Files) -> Result<Document, Answer> {
    let names = document.file_names().into_iter();
    let names = names.filter(|name| document.content(name).is_none());
    let names: Vec<String> = names.map(str::to_owned).collect();
    let mut document = document;
    for name in names {
        let stored = match document.reference(&name) {
            Some(reference) => match files.find(&reference.sha256) {
                Some(stored) if stored.bytes == reference.bytes => Some(stored),
                _ => return Err(missing(&name, Some(reference))),
            },
            None => files.named(&name).map_err(|error| unreadable(&error))?,
        };
        let stored = stored.ok_or_else(|| missing(&name, None))?;
        let rows = if document.scenario.replay.as_ref() == Some(&name) {
            let checked = replayed(&document, &stored, files);
            let wrong = |error: String| {
                let hint = "make it anew with driver import log, or change the document";
                Answer::error(400, &format!("{name}: {error}"), hint)
            };
            Some(checked.map_err(wrong)?)
        } else {
            None
        };
        files.touch(&stored.sha256);
        let reference = Reference {
            sha256: stored.sha256,
            bytes: stored.bytes,
            rows,
        };
        document = document.with_reference(&name, reference);
    }
    Ok(document)
}

/// How many requests a replay has, which goes with the flows of its document. Whether every byte of
/// it is right is for the drivers to say.
fn replayed(document: &Document, stored: &Stored, files: &Files) -> Result<u64, String> {
    let file = files
        .read(&stored.sha256)
        .map_err(|error| error.to_string())?;
    let head = Head::read(&mut BufReader::with_capacity(READ_LEN, file));
    let head = head.map_err(|error: ReplayError| error.to_string())?;
    document.scenario.clone().replaying(&head)?;
    Ok(head.requests)
}

fn missing(name: &str, reference: Option<&Reference>) -> Answer {
    let error = match reference {
        Some(reference) => format!(
            "{name}: no file with the SHA-256 {} and {} bytes is here",
            reference.sha256, reference.bytes
        ),
        None => format!("{name}: it is neither in the document nor uploaded"),
    };
    let hint =
        "upload it with PUT /data/NAME, as client run does, or write its content under files";
    Answer::error(400, &error, hint)
}

fn unreadable(error: &std::io::Error) -> Answer {
    let error = format!("the folder of uploaded files: {error}");
    Answer::error(503, &error, "look at the disk of the orchestrator")
}
