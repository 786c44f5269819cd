//! A test that came as a document: read, with the secrets of this driver put in, and played by it as
//! its exact share of the whole.

use proto::document::{Document, Runner, Setting};
use proto::workload::{Part, RowSource};

use super::test_thread::{Begin, Settings, admit};
use crate::plan::Plan;
use crate::source::replay::in_memory;
use crate::source::{Cast, Replay, Table};

/// The plan of a document whose place among all drivers is not known yet.
///
/// # Errors
/// In words: what is wrong in it, or missing on this driver.
pub(super) fn plan(json: &str, settings: &Settings) -> Result<Plan, String> {
    let setting = Setting {
        allowed: Box::new(|target| admit(target, settings)),
        ..Setting::default()
    };
    let document = Document::read(json, setting).map_err(|invalid| invalid.to_string())?;
    let checked = document.check_runner(Runner::Cluster);
    checked.map_err(|invalid| invalid.to_string())?;
    let secret = |name: &str| settings.secrets.value(name).map(str::to_owned);
    let file = |name: &str| document.content(name).map(<[u8]>::to_vec);
    let scenario = document.scenario.clone().settled(&file, &secret);
    let scenario = scenario.map_err(|missing| {
        format!(
            "this driver cannot fill in what the document names: {}; secrets are given by its \
             --secret-file, or as DLTS_SECRET_NAME in its environment",
            missing.join(", ")
        )
    })?;
    let content = document.scenario.replay.as_deref();
    let content = content.and_then(|name| document.content(name));
    let replay = content.map(|content| Replay::open(in_memory(content)));
    let replay = replay.transpose().map_err(|error| error.to_string())?;
    let replay = replay.map(|replay| replay.with_secrets(secret));
    let authorities = document.authorities(file)?;
    let table = |set: &proto::workload::DataSet| match &set.rows {
        RowSource::Inline(_) => Table::load(set, None, None),
        RowSource::File { name, .. } => match document.content(name) {
            Some(mut content) => Table::load(set, Some(&mut content), None),
            None => Table::load(set, None, None),
        },
    };
    let tables: Result<Vec<Table>, String> = scenario.data.iter().map(table).collect();
    Ok(Plan::of_sessions(
        document.workload(authorities),
        Cast::new(scenario, tables?, None).with_replay(replay),
    ))
}

/// Says which part of the whole is this driver's.
pub(super) fn take_place(cast: &Cast, begin: &Begin) {
    if let Some(part) = Part::new(u64::from(begin.index), u64::from(begin.count)) {
        // It is said once a test.
        let _ = cast.driver.set(part);
    }
}
