//! A document in a file, and the files beside it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Document, Given, InvalidDocument, Setting};

/// Longest file that a document takes whole, in bytes.
const FILE_LEN_MAX: u64 = 1 << 30;

/// The folder of a document, out of which no name leads, not by a link either.
#[derive(Debug)]
pub struct Folder(PathBuf);

/// What is wrong in a document, a line each, with the file and the place.
#[must_use]
pub fn placed(path: &Path, invalid: &InvalidDocument) -> String {
    let path = path.display();
    let lines: Vec<String> = invalid.0.iter().map(|at| format!("{path}:{at}")).collect();
    lines.join("\n")
}

/// Whether a file is named as documents are: with .yaml, .yml or .json.
#[must_use]
pub fn has_document_name(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let is_known = |ending: &str| {
        let mut known = ["yaml", "yml", "json"].into_iter();
        known.any(|known| ending.eq_ignore_ascii_case(known))
    };
    ending.is_some_and(is_known)
}

/// NAME=VALUE, as values from outside are given.
///
/// # Errors
/// In words, without an equals sign.
pub fn named_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "a line or value without '='; write NAME=VALUE".to_owned())?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

impl Document {
    /// Reads the document in a file, with `values` and this process's environment from outside;
    /// `target` is that of a document that names none.
    ///
    /// # Errors
    /// In words, a line for each thing that is wrong, with its place.
    pub fn open(
        path: &Path,
        values: &[(String, String)],
        target: Option<String>,
    ) -> Result<Self, String> {
        let text =
            fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let given = Given {
            values: values.iter().cloned().collect(),
            environment: std::env::vars().collect(),
        };
        let setting = Setting {
            given,
            target,
            ..Setting::default()
        };
        Self::read(&text, setting).map_err(|invalid| placed(path, &invalid))
    }
}

impl Folder {
    /// The folder in which a document is.
    ///
    /// # Errors
    /// In words, for a document that is not there.
    pub fn of(document: &Path) -> Result<Self, String> {
        let words = |error: io::Error| format!("{}: {error}", document.display());
        let path = fs::canonicalize(document).map_err(words)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        Ok(Self(folder.to_owned()))
    }

    /// Opens a file by its name in the document.
    ///
    /// # Errors
    /// In words, for one that is not there or not in the folder.
    pub fn open(&self, name: &str) -> Result<File, String> {
        let words = |error: io::Error| format!("{name}: {error}");
        let path = fs::canonicalize(self.0.join(name)).map_err(words)?;
        if !path.starts_with(&self.0) {
            return Err(format!("{name}: leads out of the document's folder"));
        }
        File::open(path).map_err(words)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// As [`Self::open`], and for one of more than 1 GiB.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let file = self.open(name)?;
        file.take(FILE_LEN_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("{name}: {error}"))?;
        if bytes.len() as u64 > FILE_LEN_MAX {
            return Err(format!("{name}: more than {FILE_LEN_MAX} bytes"));
        }
        Ok(bytes)
    }
}
