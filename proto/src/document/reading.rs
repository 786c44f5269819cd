//! Values out of a tree, each with its place and path; what is wrong is gathered, never the end.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::nearest::nearest;
use super::place::Problem;
use super::scope::Scope;
use super::text::{Key, Node, Scalar, Value};
use crate::units;

/// Most problems that are told at once.
const PROBLEMS_MAX: usize = 100;

/// A node and the way to it.
#[derive(Debug, Clone)]
pub(super) struct Spot<'n> {
    pub(super) node: &'n Node,
    pub(super) path: String,
}

/// What is read so far.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) scope: Scope,
    problems: Vec<Problem>,
}

/// The entries of a map that was asked for by its known names.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    entries: Vec<(&'n Key, Spot<'n>)>,
}

impl<'n> Spot<'n> {
    pub(super) fn root(node: &'n Node) -> Self {
        let path = String::new();
        Self { node, path }
    }

    fn entry(&self, name: &str, node: &'n Node) -> Self {
        let path = if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        };
        Self { node, path }
    }

    fn item(&self, index: usize, node: &'n Node) -> Self {
        let path = format!("{}[{index}]", self.path);
        Self { node, path }
    }

    /// The value of a name in a map, if this is one and has it.
    pub(super) fn get(&self, name: &str) -> Option<Self> {
        let node = self.node.get(name)?;
        Some(self.entry(name, node))
    }

    pub(super) fn scalar(&self) -> Option<&'n Scalar> {
        match &self.node.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }
}

impl<'n> Fields<'n> {
    /// A value by its name, unless it is absent or nothing.
    pub(super) fn get(&self, name: &str) -> Option<Spot<'n>> {
        let found = self.entries.iter().find(|(key, _)| key.name == name);
        let spot = found.map(|(_, spot)| spot.clone());
        spot.filter(|spot| !spot.scalar().is_some_and(Scalar::is_null))
    }

    /// Whether a name stands there, with whatever value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.name == name)
    }
}

impl Reader {
    pub(super) fn new(scope: Scope) -> Self {
        let problems = Vec::new();
        Self { scope, problems }
    }

    /// All that is wrong, in the order of the text.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.place);
        self.problems.dedup();
        self.problems
    }

    pub(super) fn is_right(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn wrong(&mut self, spot: &Spot<'_>, error: impl Display) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem {
                place: spot.node.place,
                path: spot.path.clone(),
                error: error.to_string(),
            });
        }
    }

    /// The good of an outcome; what is wrong is noted.
    pub(super) fn right<T>(&mut self, spot: &Spot<'_>, outcome: Result<T, String>) -> Option<T> {
        outcome.map_err(|error| self.wrong(spot, error)).ok()
    }

    /// The entries of a map whose names are among `known`.
    pub(super) fn fields<'n>(&mut self, spot: &Spot<'n>, known: &[&str]) -> Fields<'n> {
        let entries = self.entries(spot, "a map");
        for (key, entry) in &entries {
            if !known.contains(&key.name.as_str()) {
                let hint = match nearest(&key.name, known.iter().copied()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                let at_key = Node {
                    place: key.place,
                    ..entry.node.clone()
                };
                let path = entry.path.clone();
                let node = &at_key;
                self.wrong(&Spot { node, path }, format!("no such key; {hint}"));
            }
        }
        Fields { entries }
    }

    /// All entries of a map, whatever their names.
    pub(super) fn entries<'n>(
        &mut self,
        spot: &Spot<'n>,
        expected: &str,
    ) -> Vec<(&'n Key, Spot<'n>)> {
        let Value::Map(entries) = &spot.node.value else {
            self.wrong(
                spot,
                format!("expected {expected}, not {}", spot.node.kind()),
            );
            return Vec::new();
        };
        let entry = |(key, node): &'n (Key, Node)| (key, spot.entry(&key.name, node));
        entries.iter().map(entry).collect()
    }

    /// The items of a list; anything else is a list of one.
    #[allow(clippy::unused_self, reason = "as all other ways to read")]
    pub(super) fn items<'n>(&self, spot: &Spot<'n>) -> Vec<Spot<'n>> {
        match &spot.node.value {
            Value::List(nodes) => {
                let items = nodes.iter().enumerate();
                items.map(|(index, node)| spot.item(index, node)).collect()
            }
            _ => vec![spot.clone()],
        }
    }

    /// A single value as it is written.
    pub(super) fn raw<'n>(&mut self, spot: &Spot<'n>) -> Option<&'n str> {
        match spot.scalar() {
            Some(scalar) if !scalar.is_null() => Some(&scalar.text),
            _ => {
                let kind = spot.node.kind();
                self.wrong(spot, format!("expected a text, not {kind}"));
                None
            }
        }
    }

    /// A text with its variables replaced.
    pub(super) fn text(&mut self, spot: &Spot<'_>) -> Option<String> {
        let raw = self.raw(spot)?;
        let text = self.scope.fixed(raw);
        self.right(spot, text)
    }

    /// A text that is read further.
    pub(super) fn parsed<T>(
        &mut self,
        spot: &Spot<'_>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(spot)?;
        self.right(spot, parse(&text))
    }

    /// One of these words.
    pub(super) fn word<T: Copy>(&mut self, spot: &Spot<'_>, words: &[(&str, T)]) -> Option<T> {
        self.parsed(spot, |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or_else(|| {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                format!("{text:?} is none of {}", words.join(", "))
            })
        })
    }

    /// A whole number.
    pub(super) fn whole(&mut self, spot: &Spot<'_>, allowed: RangeInclusive<u64>) -> Option<u64> {
        self.parsed(spot, |text| {
            let number = text.trim().parse().ok().filter(|n| allowed.contains(n));
            number.ok_or_else(|| {
                let (min, max) = (allowed.start(), allowed.end());
                format!("{text:?} is no whole number from {min} to {max}")
            })
        })
    }

    /// A truth value.
    pub(super) fn truth(&mut self, spot: &Spot<'_>) -> Option<bool> {
        self.word(spot, &[("true", true), ("false", false)])
    }

    /// A duration in ns, more than 0 and at most `max_ns`.
    pub(super) fn duration(&mut self, spot: &Spot<'_>, max_ns: u64) -> Option<u64> {
        self.parsed(spot, |text| duration(text, max_ns))
    }
}

/// A duration in ns, more than 0 and at most `max_ns`.
pub(super) fn duration(text: &str, max_ns: u64) -> Result<u64, String> {
    let ns = units::parse_duration_ns(text).map_err(|error| error.to_string())?;
    if ns == 0 || ns > max_ns {
        let max_s = units::ns_to_seconds(max_ns);
        return Err(format!("{text:?} is not more than 0 and at most {max_s} s"));
    }
    Ok(ns)
}
