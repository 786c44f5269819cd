//! A test that came as a document: read, with the secrets of this driver put in, and played by it as
//! its exact share of the whole.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use proto::document::{Document, Runner, Setting};
use proto::workload::{DataSet, Part, RowSource};

use super::fetch::{Files, Source};
use super::test_thread::{Begin, Settings, admit};
use crate::plan::Plan;
use crate::source::replay::{Input, in_memory};
use crate::source::{Cast, Replay, Table};

/// Bytes of a replay that are read at once.
const READ_LEN: usize = 256 << 10;

/// The plan of a document whose place among all drivers is not known yet, with its files from
/// `source`.
///
/// # Errors
/// In words: what is wrong in it, or missing on this driver.
pub(super) fn plan(json: &str, settings: &Settings, source: &Source<'_>) -> Result<Plan, String> {
    let setting = Setting {
        allowed: Box::new(|target| admit(target, settings)),
        ..Setting::default()
    };
    let document = Document::read(json, setting).map_err(|invalid| invalid.to_string())?;
    let checked = document.check_runner(Runner::Cluster);
    checked.map_err(|invalid| invalid.to_string())?;
    let files = source.files(&document)?;
    let secret = |name: &str| settings.secrets.value(name).map(str::to_owned);
    let replay = replay(&document, &files)?;
    let mut scenario = document.scenario.clone();
    if let Some(replay) = &replay {
        scenario = scenario.replaying(replay.head())?;
    }
    let contents = contents(&document, &files)?;
    let file = |name: &str| contents.get(name).cloned();
    let scenario = scenario.settled(&file, &secret);
    let scenario = scenario.map_err(|missing| {
        format!(
            "this driver cannot fill in what the document names: {}; secrets are given by its \
             --secret-file, or as DLTS_SECRET_NAME in its environment",
            missing.join(", ")
        )
    })?;
    let replay = replay.map(|replay| replay.with_secrets(secret));
    let authorities = document.authorities(file)?;
    let table = |set: &DataSet| table(set, &document, &files);
    let tables: Result<Vec<Table>, String> = scenario.data.iter().map(table).collect();
    Ok(Plan::of_sessions(
        document.workload(authorities),
        Cast::new(scenario, tables?, None).with_replay(replay),
    ))
}

/// The log that it replays, wherever its file is.
fn replay(document: &Document, files: &Files) -> Result<Option<Replay>, String> {
    let Some(name) = &document.scenario.replay else {
        return Ok(None);
    };
    let input: Box<dyn Input> = match (document.content(name), files.get(name)?) {
        (Some(content), _) => in_memory(content),
        (None, Some(file)) => Box::new(BufReader::with_capacity(READ_LEN, file)),
        (None, None) => return Ok(None),
    };
    let replay = Replay::open(input).map_err(|error| format!("{name}: {error}"))?;
    Ok(Some(replay))
}

/// What requests and trust take whole from files, by their names.
fn contents(document: &Document, files: &Files) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut contents = BTreeMap::new();
    for name in &document.scenario.files {
        if let Some(content) = document.content(name) {
            contents.insert(name.clone(), content.to_vec());
        } else if let Some(mut file) = files.get(name)? {
            let mut content = Vec::new();
            let read = file.read_to_end(&mut content);
            read.map_err(|error| format!("{name}: {error}"))?;
            contents.insert(name.clone(), content);
        }
    }
    Ok(contents)
}

fn table(set: &DataSet, document: &Document, files: &Files) -> Result<Table, String> {
    let RowSource::File { name, .. } = &set.rows else {
        return Table::load(set, None, None);
    };
    if let Some(mut content) = document.content(name) {
        return Table::load(set, Some(&mut content), None);
    }
    match files.get(name)? {
        Some(mut file) => Table::load(set, Some(&mut file), None),
        None => Table::load(set, None, None),
    }
}

/// Says which part of the whole is this driver's.
pub(super) fn take_place(cast: &Cast, begin: &Begin) {
    if let Some(part) = Part::new(u64::from(begin.index), u64::from(begin.count)) {
        // It is said once a test.
        let _ = cast.driver.set(part);
    }
}
