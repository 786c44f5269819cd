//! The results file: one shape for every scenario, so that tables, plots and comparisons are made
//! by the same code.
//!
//! `bench/results/<date>-<commit>.json` (other scenarios: `<date>-<commit>-<scenario>.json`):
//!
//! | field | meaning |
//! |---|---|
//! | `schema` | 1; fields are added, never changed |
//! | `scenario` | `throughput`, `pacing`, `stall`, `scale`, `server`, `control`, `floor`, `instructions`, `burst`, and those of [`crate::scenario::loads`] |
//! | `date`, `commit`, `modified` | UTC, git commit, whether the working tree differed from it |
//! | `host` | processor, cores, kernel, memory, hypervisor, and which cores were used |
//! | `settings` | what the scenario was told: seconds, repetitions … |
//! | `cells[]` | one measured combination |
//! | `cells[].subject` | who was measured: a generator, a server |
//! | `cells[].version`, `command` | what it said of itself, how it was started |
//! | `cells[].files` | the text of the scripts that the command names, if it names any |
//! | `cells[].parameters` | connections, pipeline, rate … |
//! | `cells[].samples[]` | one object a repetition, metric name to number |
//! | `cells[].summary` | metric name to median, min, max, spread (quartile distance / median), low and high (90 % confidence interval of the median) |
//! | `missing[]` | tools that were not found, and the command that installs each |
//! | `verdict` | sentences; `doubts` why they must not be believed, empty when they may |
//!
//! Metric names carry their unit last. Those of `throughput`: `requests` (counted by the target),
//! `seconds`, `cpu_seconds` (of the generator: user + system), `rss_mib`, `requests_per_second`,
//! `requests_per_cpu_second`, `target_busy_share`, `generator_busy_share`, `steal_share`,
//! `foreign_share` (CPU that neither took), `instructions_per_request`, `user_instructions_per_request`
//! and `cycles_per_request` (where the processor counts them), and `…_vs_wrk` or `…_vs_h2load` (the ratio to the mean of wrk's runs right
//! before and right after; to the run of the same repetition in files up to commit 64900b2).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::machine::Host;
use crate::statistics::Summary;

/// The version of the file's shape.
pub const SCHEMA: u32 = 1;

/// What a scenario was told, by name.
pub type Settings = BTreeMap<String, serde_json::Value>;

/// Metric name to value.
pub type Sample = BTreeMap<String, f64>;

/// One results file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Version of this shape.
    pub schema: u32,
    /// Which scenario.
    pub scenario: String,
    /// When, in UTC: `2026-11-22T13:00:00Z`.
    pub date: String,
    /// The git commit, short.
    pub commit: String,
    /// Whether the working tree differed from the commit.
    pub modified: bool,
    /// On what.
    pub host: Host,
    /// What the scenario was told.
    pub settings: Settings,
    /// What was measured.
    pub cells: Vec<Cell>,
    /// Tools that were not found.
    #[serde(default)]
    pub missing: Vec<Missing>,
    /// What follows from it, in sentences.
    #[serde(default)]
    pub verdict: Vec<String>,
    /// Why the verdict must not be believed.
    #[serde(default)]
    pub doubts: Vec<String>,
}

/// One measured combination.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Who was measured.
    pub subject: String,
    /// What it says of itself.
    #[serde(default)]
    pub version: String,
    /// How it was started.
    #[serde(default)]
    pub command: String,
    /// The files that the command names, such as scripts: name to text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Under which circumstances.
    pub parameters: BTreeMap<String, f64>,
    /// One a repetition.
    pub samples: Vec<Sample>,
    /// Of each metric that any sample has.
    #[serde(default)]
    pub summary: BTreeMap<String, Summary>,
}

/// A tool that was not found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its name.
    pub tool: String,
    /// The command that installs it.
    pub install: String,
}

/// A results file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not readable or not writable.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not a results file.
    #[error("{path} is no results file: {source}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// Written by a later version.
    #[error("{path} has schema {schema}; this version reads up to {SCHEMA}")]
    Schema {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        schema: u32,
    },
}

impl Cell {
    /// Keeps the command, and the text of the files in `scratch` that it names, without the folders
    /// of this machine, which mean nothing on another.
    pub fn keep_command(&mut self, command: &[String], scratch: &Path) {
        self.files = command
            .iter()
            .flat_map(|argument| argument.split(' '))
            .map(Path::new)
            .filter(|path| path.starts_with(scratch))
            .filter_map(|path| Some((base_name(path)?, fs::read_to_string(path).ok()?)))
            .collect();
        let arguments: Vec<String> = command.iter().map(|argument| portable(argument)).collect();
        self.command = arguments.join(" ");
    }

    /// A cell without samples.
    #[must_use]
    pub fn new(subject: &str, parameters: &[(&str, f64)]) -> Self {
        let parameters = parameters
            .iter()
            .map(|&(name, value)| (name.to_owned(), value))
            .collect();
        Self {
            subject: subject.to_owned(),
            parameters,
            ..Self::default()
        }
    }

    /// Whether the cell was measured under these circumstances.
    #[must_use]
    pub fn has(&self, parameters: &[(&str, f64)]) -> bool {
        parameters
            .iter()
            .all(|&(name, value)| self.parameters.get(name) == Some(&value))
    }

    /// The summary of a metric.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<&Summary> {
        self.summary.get(name)
    }

    /// The median of a metric.
    #[must_use]
    pub fn median(&self, name: &str) -> Option<f64> {
        self.metric(name).map(|summary| summary.median)
    }

    /// Summarises the samples anew.
    pub fn summarise(&mut self) {
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (name, value) in self.samples.iter().flatten() {
            values.entry(name).or_default().push(*value);
        }
        let summaries = values.into_iter();
        self.summary = summaries
            .filter_map(|(name, values)| Some((name.to_owned(), Summary::of(&values)?)))
            .collect();
    }
}

/// An argument without folders, which may be a whole script: in quotes then.
fn portable(argument: &str) -> String {
    let bare = |word: &str| {
        let is_ours = word.starts_with('/') && !word.starts_with("/dev/");
        let name = is_ours.then(|| base_name(Path::new(word))).flatten();
        name.unwrap_or_else(|| word.to_owned())
    };
    let words: Vec<String> = argument.split(' ').map(bare).collect();
    match words.len() {
        1 => words.concat(),
        _ => format!("'{}'", words.join(" ")),
    }
}

fn base_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

impl Document {
    /// Where the file and its companions go: `<directory>/<date>-<commit>[-<scenario>]`, without
    /// an extension.
    #[must_use]
    pub fn stem(&self, directory: &Path) -> PathBuf {
        let day = self.date.split('T').next().unwrap_or_default();
        let scenario = match self.scenario.as_str() {
            "throughput" => String::new(),
            other => format!("-{other}"),
        };
        directory.join(format!("{day}-{}{scenario}", self.commit))
    }

    /// Writes `<stem>.json`.
    ///
    /// # Errors
    /// When the directory or the file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<PathBuf, Error> {
        let path = self.stem(directory).with_extension("json");
        let text = serde_json::to_string_pretty(self).expect("invariant: numbers and strings");
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&path, text + "\n"))
            .map_err(|source| Error::File {
                path: path.clone(),
                source,
            })?;
        Ok(path)
    }

    /// Reads a results file.
    ///
    /// # Errors
    /// When it cannot be read, is no results file, or one of a later version.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = |source| Error::File {
            path: path.to_owned(),
            source,
        };
        let text = fs::read_to_string(path).map_err(file)?;
        let mut document: Self = serde_json::from_str(&text).map_err(|source| Error::Format {
            path: path.to_owned(),
            source,
        })?;
        if document.schema > SCHEMA {
            return Err(Error::Schema {
                path: path.to_owned(),
                schema: document.schema,
            });
        }
        // Summaries of the first versions lack the interval; the samples have it.
        document.cells.iter_mut().for_each(Cell::summarise);
        Ok(document)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn document(cells: Vec<Cell>) -> Document {
        Document {
            schema: SCHEMA,
            scenario: "throughput".into(),
            date: "2026-11-22T13:00:00Z".into(),
            commit: "abc1234".into(),
            modified: false,
            host: Host::default(),
            settings: BTreeMap::new(),
            cells,
            missing: Vec::new(),
            verdict: Vec::new(),
            doubts: Vec::new(),
        }
    }

    pub(crate) fn cell(subject: &str, metric: &str, values: &[f64]) -> Cell {
        let mut cell = Cell::new(subject, &[("connections", 64.0), ("pipeline", 1.0)]);
        let sample = |&value: &f64| Sample::from([(metric.to_owned(), value)]);
        cell.samples = values.iter().map(sample).collect();
        cell.summarise();
        cell
    }

    #[test]
    fn a_document_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let written = document(vec![cell("wrk", "requests", &[1.0, 2.0, 3.0])]);
        let path = written.write(directory.path()).unwrap();
        assert_eq!(path.file_name().unwrap(), "2026-11-22-abc1234.json");
        assert_eq!(Document::read(&path).unwrap(), written);
    }

    #[test]
    fn a_command_is_kept_with_its_scripts_and_without_folders() {
        let scratch = tempfile::tempdir().unwrap();
        let targets = scratch.path().join("targets.txt");
        fs::write(&targets, "GET http://127.0.0.1:1/\n").unwrap();
        let attack = format!("/go/bin/vegeta attack -targets {}", targets.display());
        let script = format!("{attack} | /go/bin/vegeta report");
        let mut cell = Cell::new("vegeta", &[]);
        let command = ["sh", "-c", &script, "http://127.0.0.1:1/a", "/dev/null"];
        cell.keep_command(&command.map(str::to_owned), scratch.path());
        let script = "'vegeta attack -targets targets.txt | vegeta report'";
        let expected = format!("sh -c {script} http://127.0.0.1:1/a /dev/null");
        assert_eq!(cell.command, expected);
        assert_eq!(cell.files["targets.txt"], "GET http://127.0.0.1:1/\n");
        assert_eq!(cell.files.len(), 1);
    }

    #[test]
    fn what_is_no_results_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.json");
        assert!(
            Document::read(&path)
                .unwrap_err()
                .to_string()
                .contains("x.json")
        );
        fs::write(&path, "{}").unwrap();
        assert!(
            Document::read(&path)
                .unwrap_err()
                .to_string()
                .contains("is no results file")
        );
        let later = Document {
            schema: 2,
            ..document(vec![])
        };
        fs::write(&path, serde_json::to_string(&later).unwrap()).unwrap();
        assert!(
            Document::read(&path)
                .unwrap_err()
                .to_string()
                .contains("has schema 2")
        );
    }

    #[test]
    fn a_metric_that_a_sample_lacks_is_summarised_over_the_others() {
        let mut cell = cell("wrk", "requests", &[1.0, 3.0]);
        cell.samples[0].insert("extra".into(), 9.0);
        cell.summarise();
        assert_eq!(
            (cell.median("requests"), cell.median("extra")),
            (Some(2.0), Some(9.0))
        );
    }
}
