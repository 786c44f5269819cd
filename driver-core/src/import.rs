//! From what people already have to a test: curl command lines, HAR, vegeta's targets, lists of URLs
//! and access logs become a document that a person can read and edit.
//!
//! What an input has and a document cannot say is said, with its line, and counted. Secrets become
//! `$secret(NAME)`. Everything here is pure but for the reader that it is given, and the file of a
//! log that is to be replayed; memory is bounded whatever the input is.

mod curl;
mod draft;
mod har;
mod lines;
mod log;
mod mix;
mod notes;
mod secrets;
mod servers;
mod shell;
mod text;
mod urls;
mod vegeta;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};
use std::path::PathBuf;

use proto::document::{Document, Given, Setting};
use proto::workload::Pace;
use thiserror::Error;

use draft::{Body, Draft};
pub use notes::{Count, Fate, Note, Notes};
pub use secrets::Secret;
use secrets::Secrets;
use servers::{Servers, Url};

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Command lines of curl.
    Curl,
    /// An HTTP archive, as browsers and proxies save it.
    Har,
    /// Targets of vegeta, in either of its formats.
    Vegeta,
    /// A URL a line.
    Urls,
    /// An access log: common, combined, or JSON lines.
    Log,
}

/// How an input is read.
#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub struct Options {
    /// What the input is called: the name of its file.
    pub source: String,
    /// Where the load goes, instead of where the input's requests went.
    pub target: Option<String>,
    /// The servers of the input whose requests are taken, instead of its first; the first of them is
    /// the document's target.
    pub servers: Vec<String>,
    /// Whether files can be written beside the document.
    pub has_folder: bool,
    /// Whether the pauses between the requests of a HAR become think times.
    pub thinks: bool,
    /// Whether a HAR's pictures, styles, scripts, fonts and media are taken.
    pub has_assets: bool,
    /// Most different requests of a log, 1 to 1000.
    pub top: usize,
    /// Whether requests of a log are taken that may change something.
    pub unsafe_methods: bool,
    /// Where a log's requests go as they came; `None` for a mix of the most frequent.
    pub recording: Option<Recording>,
}

/// A log as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The file for its requests and their instants, beside the document.
    pub file: PathBuf,
    /// How fast the document plays it.
    pub pace: Pace,
    /// Whether the requests of each second are spread evenly over it, where the log's times are whole
    /// seconds.
    pub spreads: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            source: "standard input".to_owned(),
            target: None,
            servers: Vec::new(),
            has_folder: false,
            thinks: true,
            has_assets: true,
            top: draft::STEPS_MAX,
            unsafe_methods: false,
            recording: None,
        }
    }
}

/// What an import gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The document.
    pub text: String,
    /// Files that belong beside it, by name.
    pub files: Vec<(String, Vec<u8>)>,
    /// The secrets that it names.
    pub secrets: Vec<Secret>,
    /// What it does not have of the input, or not as it was.
    pub notes: Notes,
    /// Requests of the input: commands, entries, lines.
    pub read: u64,
    /// Requests of the document, or of its replay.
    pub requests: u64,
    /// The replay that was written, by the name of its file.
    pub replay: Option<String>,
}

/// Why there is no document.
#[derive(Debug, Error)]
pub enum ImportError {
    /// An option that is wrong.
    #[error("{0}")]
    Usage(String),
    /// The input cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// There is no request in it that a document can have.
    #[error("no request to load with was found in {read} of the input")]
    Nothing {
        /// What was read.
        read: u64,
        /// Why each was left out.
        notes: Notes,
    },
    /// The document would not be one: a mistake of the import.
    #[error("the document cannot be read again, which is a mistake of the import: {0}")]
    Unreadable(String),
}

/// Makes a document of an input.
///
/// # Errors
/// [`ImportError`] when there is none.
pub fn import(
    kind: Kind,
    input: &mut dyn BufRead,
    options: &Options,
) -> Result<Imported, ImportError> {
    let mut desk = Desk::new(kind, options).map_err(ImportError::Usage)?;
    match kind {
        Kind::Curl => curl::import(&mut desk, input)?,
        Kind::Har => har::import(&mut desk, input)?,
        Kind::Vegeta => vegeta::import(&mut desk, input)?,
        Kind::Urls => urls::import(&mut desk, input)?,
        Kind::Log => log::import(&mut desk, input)?,
    }
    desk.finish()
}

/// What all imports share while they are at work.
#[derive(Debug)]
struct Desk<'o> {
    options: &'o Options,
    servers: Servers,
    secrets: Secrets,
    notes: Notes,
    draft: Draft,
    /// Requests of the input so far.
    read: u64,
    /// Variables of the input that the document uses.
    variables: BTreeSet<String>,
}

impl<'o> Desk<'o> {
    fn new(kind: Kind, options: &'o Options) -> Result<Self, String> {
        if !(1..=draft::STEPS_MAX).contains(&options.top) {
            return Err(format!("--top {}: 1 to {}", options.top, draft::STEPS_MAX));
        }
        if kind == Kind::Log && options.target.is_none() {
            return Err(
                "a log does not say which server it is of: give --target http://host".into(),
            );
        }
        let is_of_many = matches!(kind, Kind::Log | Kind::Urls);
        Ok(Self {
            options,
            servers: Servers::new(&options.servers, options.target.as_deref())?,
            secrets: if is_of_many {
                Secrets::one_a_name()
            } else {
                Secrets::default()
            },
            notes: Notes::default(),
            draft: Draft {
                source: options.source.clone(),
                has_folder: options.has_folder,
                ..Draft::default()
            },
            read: 0,
            variables: BTreeSet::new(),
        })
    }

    /// A URL whose server is one of the document's. Of one that is not its target the path is the
    /// whole of it.
    fn url(&mut self, line: u64, text: &str) -> Option<Url> {
        let mut url = match Url::parse(text) {
            Ok(url) => url,
            Err(problem) => {
                self.notes.left_out(line, "no URL to load", &problem);
                return None;
            }
        };
        let Some(is_target) = self.servers.take(&url.origin) else {
            let kind = "another server than the document's (--server chooses)";
            self.notes.left_out(line, kind, &url.origin);
            return None;
        };
        if !is_target {
            url.path.insert_str(0, &url.origin);
        }
        if url.had_fragment {
            let kind = "what stands behind # in a URL is never sent";
            self.notes.changed(line, kind, "");
        }
        Some(url)
    }

    /// A body with what its type says are secrets hidden.
    fn hidden(&mut self, line: u64, headers: &[(String, String)], body: Body) -> Body {
        let Body::Text(text) = body else {
            return body;
        };
        let is_kind = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("content-type");
        let kind = headers
            .iter()
            .find(is_kind)
            .map(|(_, kind)| kind.to_ascii_lowercase());
        let kind = kind.unwrap_or_default();
        // People give curl JSON without saying that it is.
        let text = if kind.contains("json") || text.trim_start().starts_with(['{', '[']) {
            self.secrets.json(line, &text)
        } else if kind.starts_with("application/x-www-form-urlencoded") {
            self.secrets.form(line, &text)
        } else {
            let words = "a body is carried over as it is: look for secrets in it";
            self.notes.changed(line, words, &kind);
            text
        };
        Body::Text(text)
    }

    fn finish(mut self) -> Result<Imported, ImportError> {
        let steps = self.draft.requests.len();
        let target = self.servers.target().map(str::to_owned);
        let (Some(target), 1..) = (target, steps) else {
            let (read, notes) = (self.read, self.notes);
            return Err(ImportError::Nothing { read, notes });
        };
        if self.draft.http == Some("h2c") && target.starts_with("https://") {
            self.draft.http = Some("2");
        }
        self.draft.target = target;
        let text = text::document(&self.draft, &self.notes, self.secrets.found());
        self.read_again(&text)?;
        let (replay, requests) = match self.draft.replayed {
            Some(replayed) => (Some(replayed.file), replayed.requests),
            None => (None, steps as u64),
        };
        Ok(Imported {
            text,
            files: self.draft.files,
            secrets: self.secrets.found().to_vec(),
            notes: self.notes,
            read: self.read,
            requests,
            replay,
        })
    }

    /// Whether the document is one, with the document's own reader.
    fn read_again(&self, text: &str) -> Result<(), ImportError> {
        let given = self
            .variables
            .iter()
            .map(|name| (name.clone(), "1".to_owned()));
        let given = Given {
            values: BTreeMap::new(),
            environment: given.collect(),
        };
        let setting = Setting {
            given,
            ..Setting::default()
        };
        let read = Document::read(text, setting);
        read.map_err(|invalid| ImportError::Unreadable(invalid.to_string()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
