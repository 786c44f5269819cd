//! Ways into JSON values, as documents write them.

use std::fmt;
use std::str::FromStr;

/// A way into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(pub Vec<Segment>);

/// A step into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Into an object.
    Name(String),
    /// Into a list, from 0.
    Index(usize),
}

const PATH_SHAPE: &str = "write it like $.items[0].id or $['a name']";

impl FromStr for JsonPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("{text:?} is no path into JSON; {PATH_SHAPE}");
        let mut rest = text.trim().strip_prefix('$').ok_or_else(refuse)?;
        let mut segments = Vec::new();
        while !rest.is_empty() {
            let (segment, after) = segment(rest).ok_or_else(refuse)?;
            segments.push(segment);
            rest = after;
        }
        Ok(Self(segments))
    }
}

fn segment(text: &str) -> Option<(Segment, &str)> {
    if let Some(name) = text.strip_prefix('.') {
        let len = name.find(['.', '[']).unwrap_or(name.len());
        let (name, rest) = name.split_at(len);
        let is_plain = !name.is_empty() && !name.contains(['*', '?', ' ', '\'', '"']);
        return is_plain.then(|| (Segment::Name(name.to_owned()), rest));
    }
    let inner = text.strip_prefix('[')?;
    if let Some(quote) = inner.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let (name, rest) = inner[1..].split_once(quote)?;
        return Some((Segment::Name(name.to_owned()), rest.strip_prefix(']')?));
    }
    let (index, rest) = inner.split_once(']')?;
    Some((Segment::Index(index.trim().parse().ok()?), rest))
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for segment in &self.0 {
            match segment {
                Segment::Name(name) => write!(f, "['{name}']")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Where a path at the beginning of a text ends: at the first space or operator outside of quotes.
pub(super) fn path_len(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, ' ' | '=' | '!' | '<' | '>' | '~') => return at,
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    text.len()
}
