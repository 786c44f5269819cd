//! Where something stands in a document, and what is wrong there.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use thiserror::Error;

/// A line and a column, both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Place {
    /// The line, from 1; 0 for a value that stands in no text.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where its text stands.
    pub place: Place,
    /// The way to it from the top, such as `flows[1].steps[0].think`; empty for the whole.
    pub path: String,
    /// What is wrong, the value, and what is allowed.
    pub error: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.error)
    }
}

/// As the REST API says it: `at` for people, and line, column and path for an editor.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Problem", 5)?;
        let at = match self.path.as_str() {
            "" => self.place.to_string(),
            path => format!("{} {path}", self.place),
        };
        object.serialize_field("at", &at)?;
        object.serialize_field("error", &self.error)?;
        object.serialize_field("line", &self.place.line)?;
        object.serialize_field("column", &self.place.column)?;
        object.serialize_field("path", &self.path)?;
        object.end()
    }
}

/// All that is wrong in a document, in the order of its text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", lines(.0))]
pub struct InvalidDocument(pub Vec<Problem>);

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

impl From<Problem> for InvalidDocument {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
