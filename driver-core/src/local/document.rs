//! A test in a file: the document, the files beside it, the secrets of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use proto::digest::Sha256;
use proto::document::{Document, Folder, Runner, has_document_name, named_value, placed};
use proto::workload::{Part, RowSource, Scenario, Workload};

use crate::plan::Plan;
use crate::source::replay::{Input, in_memory};
use crate::source::{Cast, Replay, Table};

/// Bytes of a replay that are read at once.
const READ_LEN: usize = 256 << 10;

/// What a document needs from outside.
#[derive(Debug, Clone, Default, Args)]
pub struct GivenArgs {
    /// A value for $NAME in a document; may be repeated
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = named_value)]
    pub env: Vec<(String, String)>,
    /// A file with the values of `$secret(NAME)`, a line NAME=VALUE each; else the environment has
    /// them
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub secret_file: Option<PathBuf>,
}

/// A document with all that it needs.
pub(super) struct Loaded {
    pub(super) document: Document,
    /// What it is known by.
    pub(super) sha256: Sha256,
    /// With its files and secrets put in.
    pub(super) scenario: Scenario,
    pub(super) tables: Vec<Table>,
    /// The log that it replays.
    pub(super) replay: Option<Replay>,
    /// The values of the secrets that were put in: they are shown nowhere.
    pub(super) hidden: Vec<String>,
    /// The folder that it stands in.
    beside: PathBuf,
    /// The only authorities to trust, as PEM.
    authorities: Option<String>,
}

/// Whether an argument names a document rather than a URL.
pub(super) fn is_document(argument: &str) -> bool {
    let path = Path::new(argument);
    !argument.contains("://") && (has_document_name(path) || path.is_file())
}

/// Reads a document and everything that it names.
///
/// # Errors
/// In words, a line for each thing that is wrong, with its place.
pub(super) fn load(path: &str, args: &GivenArgs, runner: Runner) -> Result<Loaded, String> {
    let at = Path::new(path);
    let document = Document::open(at, &args.env, None)?;
    let checked = document.check_runner(runner);
    checked.map_err(|invalid| placed(at, &invalid))?;
    let folder = Folder::of(at)?;
    let sha256 = document.sha256(|name| {
        let summed = Sha256::of_reader(folder.open(name)?);
        summed.map_or_else(
            |error| Err(format!("{name}: {error}")),
            |(sha256, _)| Ok(sha256),
        )
    })?;
    let secrets = secrets(args.secret_file.as_deref())?;
    let mut files = BTreeMap::new();
    for name in &document.scenario.files {
        let content = match document.content(name) {
            Some(content) => content.to_vec(),
            None => folder.read(name)?,
        };
        files.insert(name.clone(), content);
    }
    let secret = |name: &str| {
        secrets
            .get(name)
            .cloned()
            .or_else(|| std::env::var(name).ok())
    };
    let mut scenario = document.scenario.clone();
    let replay = replay(&document, &folder)?;
    if let (Some(replay), Some(name)) = (&replay, &document.scenario.replay) {
        let replaying = scenario.replaying(replay.head());
        scenario = replaying.map_err(|error| format!("{name}: {error}"))?;
    }
    let replay = replay.map(|replay| replay.with_secrets(secret));
    let hidden = scenario.secrets.iter().filter_map(|name| secret(name));
    let hidden = hidden.collect();
    let scenario = scenario
        .settled(&|name| files.get(name).cloned(), &secret)
        .map_err(|missing| {
            format!(
                "secrets: {}; give them with --secret-file or in the environment",
                missing.join(", ")
            )
        })?;
    let tables = tables(&document, &scenario, &folder)?;
    let authorities = document.authorities(|name| files.get(name).cloned())?;
    Ok(Loaded {
        document,
        sha256,
        scenario,
        tables,
        replay,
        hidden,
        beside: at.parent().unwrap_or(Path::new("")).to_owned(),
        authorities,
    })
}

/// The log that a document replays, wherever its file is.
fn replay(document: &Document, folder: &Folder) -> Result<Option<Replay>, String> {
    let Some(name) = &document.scenario.replay else {
        return Ok(None);
    };
    let input: Box<dyn Input> = match document.content(name) {
        Some(content) => in_memory(content),
        None => Box::new(BufReader::with_capacity(READ_LEN, folder.open(name)?)),
    };
    let replay = Replay::open(input).map_err(|error| format!("{name}: {error}"))?;
    Ok(Some(replay))
}

fn tables(document: &Document, scenario: &Scenario, folder: &Folder) -> Result<Vec<Table>, String> {
    let table = |set: &proto::workload::DataSet| match &set.rows {
        RowSource::Inline(_) => Table::load(set, None, Part::WHOLE),
        RowSource::File { name, .. } => {
            let mut file: Box<dyn Read> = match document.content(name) {
                Some(content) => Box::new(content),
                None => Box::new(folder.open(name)?),
            };
            Table::load(set, Some(&mut *file), Part::WHOLE)
        }
    };
    scenario.data.iter().map(table).collect()
}

impl Loaded {
    /// What of the load is not its sessions'. The client's certificate and its key stand beside the
    /// document, as its other files do.
    pub(super) fn workload(&self) -> Workload {
        let mut workload = self.document.workload(self.authorities.clone());
        let files = [&mut workload.tls.cert, &mut workload.tls.key];
        for name in files.into_iter().flatten() {
            // An absolute name stays what it is.
            *name = self.beside.join(&*name).display().to_string();
        }
        workload
    }

    /// The plan of this machine alone.
    pub(super) fn plan(self) -> Plan {
        let workload = self.workload();
        let cast = Cast::new(self.scenario, self.tables, Part::WHOLE);
        Plan::of_sessions(workload, cast.with_replay(self.replay))
    }
}

fn secrets(path: Option<&Path>) -> Result<BTreeMap<String, String>, String> {
    let Some(path) = path else {
        return Ok(BTreeMap::new());
    };
    let text = fs::read_to_string(path)
        .map_err(|error| format!("--secret-file {}: {error}", path.display()))?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| named_value(line).map_err(|error| format!("--secret-file: {error}")))
        .collect()
}
