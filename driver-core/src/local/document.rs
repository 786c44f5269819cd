//! A test in a file: the document, the files beside it, the secrets of this machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use proto::document::{Document, Given, InvalidDocument, Runner, Setting};
use proto::workload::{Part, RowSource, Scenario};

use crate::plan::Plan;
use crate::source::{Cast, Table};

/// Longest file that is sent as a body, in bytes.
const BODY_LEN_MAX: u64 = 1 << 30;

/// What a document needs from outside.
#[derive(Debug, Clone, Default, Args)]
pub struct GivenArgs {
    /// A value for $NAME in a document; may be repeated
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = named)]
    pub env: Vec<(String, String)>,
    /// A file with the values of `$secret(NAME)`, a line NAME=VALUE each; else the environment has
    /// them
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub secret_file: Option<PathBuf>,
}

/// A document with all that it needs.
pub(super) struct Loaded {
    pub(super) document: Document,
    /// With its files and secrets put in.
    pub(super) scenario: Scenario,
    pub(super) tables: Vec<Table>,
    /// The values of the secrets that were put in: they are shown nowhere.
    pub(super) hidden: Vec<String>,
    /// The only authorities to trust, as PEM.
    authorities: Option<String>,
}

/// Whether an argument names a document rather than a URL.
pub(super) fn is_document(argument: &str) -> bool {
    let path = Path::new(argument);
    let ending = path.extension().and_then(|ending| ending.to_str());
    let is_known = ending.is_some_and(|ending| {
        let known = ["yaml", "yml", "json"];
        known.iter().any(|known| ending.eq_ignore_ascii_case(known))
    });
    !argument.contains("://") && (is_known || path.is_file())
}

/// Reads a document and everything that it names.
///
/// # Errors
/// In words, a line for each thing that is wrong, with its place.
pub(super) fn load(path: &str, args: &GivenArgs, runner: Runner) -> Result<Loaded, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let given = Given {
        values: args.env.iter().cloned().collect(),
        environment: std::env::vars().collect(),
    };
    let setting = Setting {
        given,
        ..Setting::default()
    };
    let placed = |invalid: InvalidDocument| {
        let lines: Vec<String> = invalid.0.iter().map(|at| format!("{path}:{at}")).collect();
        lines.join("\n")
    };
    let document = Document::read(&text, setting).map_err(placed)?;
    document.check_runner(runner).map_err(placed)?;
    let folder = Folder::of(Path::new(path))?;
    let secrets = secrets(args.secret_file.as_deref())?;
    let mut files = BTreeMap::new();
    for name in &document.scenario.files {
        files.insert(name.clone(), folder.read(name)?);
    }
    let secret = |name: &str| {
        secrets
            .get(name)
            .cloned()
            .or_else(|| std::env::var(name).ok())
    };
    let scenario = document.scenario.clone();
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
    let tables = tables(&scenario, &folder)?;
    let authorities = scenario.trust.authorities.map(|file| {
        let name = &scenario.files[file];
        let text = String::from_utf8(files[name].clone());
        text.map_err(|_| format!("{name}: not PEM, which is text"))
    });
    Ok(Loaded {
        authorities: authorities.transpose()?,
        document,
        hidden,
        scenario,
        tables,
    })
}

fn tables(scenario: &Scenario, folder: &Folder) -> Result<Vec<Table>, String> {
    let table = |set: &proto::workload::DataSet| match &set.rows {
        RowSource::Inline(_) => Table::load(set, None, Part::WHOLE),
        RowSource::File { name, .. } => {
            let mut file = folder.open(name)?;
            Table::load(set, Some(&mut file), Part::WHOLE)
        }
    };
    scenario.data.iter().map(table).collect()
}

impl Loaded {
    /// The plan of this machine alone.
    pub(super) fn plan(self) -> Plan {
        let workload = self.document.workload(self.authorities);
        Plan::of_sessions(workload, Cast::new(self.scenario, self.tables, Part::WHOLE))
    }
}

/// The folder of a document, out of which no name leads, not by a link either.
struct Folder(PathBuf);

impl Folder {
    fn of(path: &Path) -> Result<Self, String> {
        let path = fs::canonicalize(path).map_err(|error| error.to_string())?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        Ok(Self(folder.to_owned()))
    }

    fn open(&self, name: &str) -> Result<File, String> {
        let words = |error: std::io::Error| format!("{name}: {error}");
        let path = fs::canonicalize(self.0.join(name)).map_err(words)?;
        if !path.starts_with(&self.0) {
            return Err(format!("{name}: leads out of the document's folder"));
        }
        File::open(path).map_err(words)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let file = self.open(name)?;
        file.take(BODY_LEN_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("{name}: {error}"))?;
        if bytes.len() as u64 > BODY_LEN_MAX {
            return Err(format!("{name}: more than {BODY_LEN_MAX} bytes"));
        }
        Ok(bytes)
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
        .map(|line| named(line).map_err(|error| format!("--secret-file: {error}")))
        .collect()
}

fn named(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "a line or value without '='; write NAME=VALUE".to_owned())?;
    Ok((name.trim().to_owned(), value.to_owned()))
}
