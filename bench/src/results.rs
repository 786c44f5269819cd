//! The results file: one shape for every scenario, so that tables, plots and comparisons are made
//! by the same code.
//!
//! `bench/results/<date>-<commit>.json` (other scenarios: `<date>-<commit>-<scenario>.json`):
//!
//! | field | meaning |
//! |---|---|
//! | `schema` | 1; fields are added, never changed |
//! | `scenario` | `throughput`, `pacing`, `stall`, `scale`, `server`, `control`, `floor`, `instructions` |
//! | `date`, `commit`, `modified` | UTC, git commit, whether the working tree differed from it |
//! | `host` | processor, cores, kernel, memory, hypervisor, and which cores were used |
//! | `settings` | what the scenario was told: seconds, repetitions … |
//! | `cells[]` | one measured combination |
//! | `cells[].subject` | who was measured: a generator, a server |
//! | `cells[].version`, `command` | what it said of itself, how it was started |
//! | `cells[].parameters` | connections, pipeline, rate … |
//! | `cells[].samples[]` | one object a repetition, metric name to number |
//! | `cells[].summary` | metric name to median, min, max, spread (quartile distance / median), low and high (90 % confidence interval of the median) |
//! | `missing[]` | tools that were not found, and the command that installs each |
//! | `verdict` | sentences; `doubts` why they must not be believed, empty when they may |
//!
//! Metric names carry their unit last. Those of `throughput`: `requests` (counted by the target),
//! `seconds`, `cpu_seconds` (of the generator: user + system), `rss_mib`, `requests_per_second`,
//! `requests_per_cpu_second`, `target_busy_share`, `generator_busy_share`, `steal_share`,
//! `foreign_share` (CPU that neither took), and `…_vs_wrk` (the ratio to wrk within the repetition).

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
    /// Keeps the command without the folders of this machine, which mean nothing on another.
    pub fn keep_command(&mut self, command: &[String]) {
        let bare = |word: &String| match Path::new(word).file_name() {
            Some(name) if word.starts_with('/') && !word.starts_with("/dev/") => {
                name.to_string_lossy().into_owned()
            }
            _ => word.clone(),
        };
        let words: Vec<String> = command.iter().map(bare).collect();
        self.command = words.join(" ");
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
        let document: Self = serde_json::from_str(&text).map_err(|source| Error::Format {
            path: path.to_owned(),
            source,
        })?;
        if document.schema > SCHEMA {
            return Err(Error::Schema {
                path: path.to_owned(),
                schema: document.schema,
            });
        }
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
