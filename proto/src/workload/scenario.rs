//! A test of sessions, compiled: everything that a driver needs, in plain numbers.

use super::template::{Escape, Fill, Piece};
use super::{
    Arrival, Flow, Limit, Load, Mix, Request, Reuse, Step, Target, TestType, Threshold, Tls,
    Workload,
};

/// A compiled test of sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The servers under load; requests name them by number. The test's target is the first, where
    /// any request goes there.
    pub targets: Vec<Target>,
    /// What sessions do.
    pub flows: Vec<Flow>,
    /// Which flow a session is.
    pub mix: Mix,
    /// The requests of all flows; a step's number is that of its compiled request.
    pub steps: Vec<Step>,
    /// Rows that sessions get their values from.
    pub data: Vec<DataSet>,
    /// Files whose content is (a part of) a body, by their names in the document.
    pub files: Vec<String>,
    /// The names of values that steps extract; their numbers are slots.
    pub slots: Vec<String>,
    /// The names of values that only drivers know.
    pub secrets: Vec<String>,
    /// Whether sessions keep cookies.
    pub cookies: bool,
    /// When sessions start.
    pub load: Load,
    /// The file of the log that is replayed, by its name in the document. Each session then begins
    /// with a path in the slot [`super::REPLAY_SLOT`].
    pub replay: Option<String>,
    /// Connections of each driver to each server.
    pub connections: u32,
    /// Requests in flight on one connection, at most.
    pub pipeline: u32,
    /// From the intended send: a request that cannot be sent by then is shed, ns.
    pub deadline_ns: Option<u64>,
    /// Which HTTP is spoken.
    pub http: HttpChoice,
    /// Requests after which a connection is closed; `None` for no such limit.
    pub requests_per_connection: Option<u32>,
    /// How `https` targets are trusted.
    pub trust: Trust,
}

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpChoice {
    /// What ALPN gives; HTTP/1.1 without TLS.
    #[default]
    Auto,
    /// HTTP/1.1.
    One,
    /// HTTP/2, and nothing else.
    Two,
    /// HTTP/2 without TLS, known beforehand.
    ClearTwo,
}

impl HttpChoice {
    /// As people and messages write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::One => "1.1",
            Self::Two => "2",
            Self::ClearTwo => "h2c",
        }
    }

    /// From what people write.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "1.1" | "1" => Some(Self::One),
            "2" => Some(Self::Two),
            "h2c" => Some(Self::ClearTwo),
            _ => None,
        }
    }
}

/// How the certificates of a target are judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// The file of [`Scenario::files`] with the only authorities to trust; `None` for the system's.
    pub authorities: Option<usize>,
    /// Whether any certificate is taken.
    pub is_insecure: bool,
    /// The name that the certificate has to be for; `None` for that of the URL.
    pub server_name: Option<String>,
    /// Files on each driver with the client's certificate and its key: keys do not travel.
    pub identity: Option<(String, String)>,
    /// Whether every handshake is a full one, instead of resuming a session.
    pub is_full: bool,
}

/// Rows of values.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSet {
    /// Its name in the document.
    pub name: String,
    /// Where the rows are.
    pub rows: RowSource,
    /// Which row a session gets.
    pub pick: Pick,
    /// The columns that are used; no others are kept.
    pub columns: Vec<Column>,
}

/// A column of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name; empty for the only column of a set without names.
    pub name: String,
    /// Whether it is used in a header, where no line break may be.
    pub is_in_header: bool,
    /// Whether it is used as the beginning of a path.
    pub is_path: bool,
}

impl Column {
    /// Whether a value can stand wherever the column is used; or else why not.
    ///
    /// # Errors
    /// In words, with the value.
    pub fn check(&self, value: &str) -> Result<(), String> {
        if self.is_in_header && !Escape::Header.takes(value.as_bytes()) {
            return Err(format!(
                "{value:?} has characters that no header may have, and is used in one"
            ));
        }
        if self.is_path && !Escape::Path.takes(value.as_bytes()) {
            return Err(format!(
                "{value:?} does not begin with /, and is used as a path"
            ));
        }
        Ok(())
    }
}

/// Where rows are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowSource {
    /// In a file beside the document.
    File {
        /// Its name in the document.
        name: String,
        /// What is in it.
        format: RowFormat,
    },
    /// In the document: each row has a value for each of [`DataSet::columns`].
    Inline(Vec<Vec<String>>),
}

/// What a file of rows looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// Comma-separated values with a line of names (RFC 4180).
    Csv,
    /// The same, separated by tabs.
    Tsv,
    /// A JSON object a line.
    JsonLines,
    /// A value a line.
    Lines,
}

/// Which row a session gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pick {
    /// One after another, from the first again after the last.
    Next,
    /// Any.
    Random,
    /// The first most often: row k with a probability proportional to 1 / k^s.
    Zipf(f64),
    /// Each at most once in the whole run; where they are used up, no session starts.
    Unique,
}

impl Scenario {
    /// What of a driver's load is not its sessions': where to, over how many connections, for how
    /// long.
    #[must_use]
    pub fn workload(&self, thresholds: Vec<Threshold>, tls: Tls) -> Workload {
        let timeouts = self.steps.iter().map(|step| step.timeout_ns);
        let is_open = self.load.stages.iter().any(super::LoadStage::is_open);
        Workload {
            test_type: if is_open {
                TestType::Tsunami
            } else {
                TestType::Avalanche
            },
            target: self.targets[0].clone(),
            connections: self.connections,
            pipeline: self.pipeline,
            arrival: Arrival::ClosedLoop,
            limit: Limit {
                requests: None,
                duration_ns: self.load.duration_ns(),
            },
            timeout_ns: timeouts.max().unwrap_or(1),
            deadline_ns: self.deadline_ns,
            warmup_ns: 0,
            phase: false,
            http: self.http,
            requests_per_connection: self.requests_per_connection,
            reuse: Reuse::First,
            preflight: true,
            tls,
            request: Request {
                method: "GET".to_owned(),
                headers: Vec::new(),
                body: Vec::new(),
            },
            thresholds,
        }
    }

    /// The same scenario with the contents of files and the secrets put in where they stand, as
    /// `file` and `secret` know them by name.
    ///
    /// # Errors
    /// The names of secrets that are not known, or whose value cannot stand in a header.
    pub fn settled(
        mut self,
        file: &impl Fn(&str) -> Option<Vec<u8>>,
        secret: &impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<String>> {
        let values: Vec<Option<String>> = self.secrets.iter().map(|name| secret(name)).collect();
        let files: Vec<Option<Vec<u8>>> = self.files.iter().map(|name| file(name)).collect();
        let mut missing = Vec::new();
        for (name, value) in self.secrets.iter().zip(&values) {
            match value {
                None => missing.push(format!("{name} is not known here")),
                Some(value) if value.contains(['\r', '\n', '\0']) => {
                    missing.push(format!("{name} has a line break in its value"));
                }
                Some(_) => {}
            }
        }
        let lost = self
            .files
            .iter()
            .zip(&files)
            .filter(|(_, file)| file.is_none());
        missing.extend(lost.map(|(name, _)| format!("the file {name} is not here")));
        if !missing.is_empty() {
            return Err(missing);
        }
        for step in &mut self.steps {
            let holes = step.request.holes.clone();
            let known = |piece: &Piece| match *piece {
                Piece::File(file) => files[file].clone(),
                Piece::Hole(hole) => {
                    let Fill::Secret(secret) = holes[hole].fill else {
                        return None;
                    };
                    let mut out = Vec::new();
                    let value = values[secret].as_deref().unwrap_or_default();
                    holes[hole].escape.write(value.as_bytes(), &mut out);
                    Some(out)
                }
                Piece::Fixed(_) => None,
            };
            step.request
                .texts_mut()
                .for_each(|text| text.settle(&known));
        }
        Ok(self)
    }
}
