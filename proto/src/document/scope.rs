//! What the names in a document stand for, and texts with the names replaced.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::nearest::nearest;
use super::parts::{Name, Part, is_name, parts};

/// Longest text after its names are replaced, in bytes.
const TEXT_LEN_MAX: usize = 1 << 20;

/// How the error about a circle begins.
const CIRCLE: &str = "a circle of variables";

/// Names that are functions.
pub(super) const FUNCTIONS: [&str; 5] = ["uuid", "int", "seq", "now", "secret"];

/// Values that come from outside of a document.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Given for this run by name (`-e NAME=value`): they replace the document's own.
    pub values: BTreeMap<String, String>,
    /// The environment, for names that the document uses and does not know.
    pub environment: BTreeMap<String, String>,
}

/// What names stand for.
#[derive(Debug, Default)]
pub(super) struct Scope {
    given: Given,
    /// The document's variables: texts that may have names in them.
    vars: BTreeMap<String, String>,
    /// Data sets, each with its number.
    data: BTreeMap<String, usize>,
    /// Values that the steps of the flow so far have extracted, each with its slot.
    pub(super) slots: BTreeMap<String, usize>,
    /// What was taken from outside.
    taken: RefCell<BTreeMap<String, String>>,
    /// Given names that were asked for.
    asked: RefCell<BTreeSet<String>>,
}

/// A part of a text whose variables are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bit {
    /// Fixed.
    Text(String),
    /// Different in each request.
    Hole(HoleOf, bool),
}

/// What a hole is filled with, by names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HoleOf {
    Column { data: usize, column: String },
    Slot(usize),
    Uuid,
    Int(i64, i64),
    Seq,
    Now,
    Secret(String),
}

impl Scope {
    pub(super) fn new(given: Given) -> Self {
        Self {
            given,
            ..Self::default()
        }
    }

    /// Makes a variable known.
    ///
    /// # Errors
    /// In words, when the name is none or taken.
    pub(super) fn add_var(&mut self, name: &str, text: &str) -> Result<(), String> {
        self.check_new(name, "variable")?;
        self.vars.insert(name.to_owned(), text.to_owned());
        Ok(())
    }

    /// Makes a data set known.
    ///
    /// # Errors
    /// As [`Self::add_var`].
    pub(super) fn add_data(&mut self, name: &str, number: usize) -> Result<(), String> {
        self.check_new(name, "data set")?;
        self.data.insert(name.to_owned(), number);
        Ok(())
    }

    /// Makes an extracted value known from here on.
    ///
    /// # Errors
    /// As [`Self::add_var`].
    pub(super) fn add_slot(&mut self, name: &str, slot: usize) -> Result<(), String> {
        self.check_new(name, "value")?;
        self.slots.insert(name.to_owned(), slot);
        Ok(())
    }

    fn check_new(&self, name: &str, kind: &str) -> Result<(), String> {
        if !is_name(name) {
            return Err(format!(
                "{name:?} is no name of a {kind}: letters, digits and _, and no digit first"
            ));
        }
        if FUNCTIONS.contains(&name) {
            return Err(format!(
                "{name} is a function; give the {kind} another name"
            ));
        }
        let taken = [
            ("a variable", self.vars.contains_key(name)),
            ("a data set", self.data.contains_key(name)),
        ];
        match taken.iter().find(|(_, is_taken)| *is_taken) {
            Some((what, _)) => Err(format!("{name} is {what} already; give another name")),
            None => Ok(()),
        }
    }

    /// The values from outside that the document uses, by name.
    pub(super) fn taken(&self) -> BTreeMap<String, String> {
        self.taken.borrow().clone()
    }

    /// Given names that nothing in the document asks for.
    pub(super) fn unasked(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        let names = self.given.values.keys();
        names
            .filter(|name| !asked.contains(*name))
            .cloned()
            .collect()
    }

    /// A text with its variables replaced, and its holes named.
    ///
    /// # Errors
    /// In words: a name that is unknown (with the nearest known one), a cycle of variables, a
    /// function with wrong arguments, a text that becomes too long.
    pub(super) fn expand(&self, text: &str) -> Result<Vec<Bit>, String> {
        let mut expansion = Expansion {
            scope: self,
            within: Vec::new(),
            bits: Vec::new(),
            len: Cell::new(0),
        };
        expansion.text(text)?;
        Ok(expansion.bits)
    }

    /// Tries a variable for circles; names that it does not know may be those of data and extracts.
    ///
    /// # Errors
    /// In words, the circle.
    pub(super) fn expand_only(&self, name: &str) -> Result<(), String> {
        match self.expand(&format!("${{{name}}}")) {
            Err(error) if error.starts_with(CIRCLE) => Err(error),
            _ => Ok(()),
        }
    }

    /// A text in which only variables may be.
    ///
    /// # Errors
    /// As [`Self::expand`], and for everything that differs from request to request.
    pub(super) fn fixed(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        for bit in self.expand(text)? {
            match bit {
                Bit::Text(text) => out.push_str(&text),
                Bit::Hole(..) => {
                    return Err(format!(
                        "{text:?} differs from request to request; only variables can stand here"
                    ));
                }
            }
        }
        Ok(out)
    }

    fn given(&self, name: &str) -> Option<&String> {
        let value = self.given.values.get(name)?;
        self.asked.borrow_mut().insert(name.to_owned());
        self.taken
            .borrow_mut()
            .insert(name.to_owned(), value.clone());
        Some(value)
    }

    fn inherited(&self, name: &str) -> Option<&String> {
        let value = self.given.environment.get(name)?;
        self.taken
            .borrow_mut()
            .insert(name.to_owned(), value.clone());
        Some(value)
    }

    fn unknown(&self, name: &str) -> String {
        let known = self
            .vars
            .keys()
            .chain(self.data.keys())
            .chain(self.slots.keys());
        let known = known.map(String::as_str).chain(FUNCTIONS);
        let hint = match nearest(name, known) {
            Some(near) => format!("did you mean ${near}?"),
            None => "give it with -e, in vars, or with a default as ${name:-default}".to_owned(),
        };
        format!("${name} is not known here; {hint} ($$ is a dollar sign)")
    }
}

/// A text on its way.
struct Expansion<'s> {
    scope: &'s Scope,
    /// The variables that it is within.
    within: Vec<&'s str>,
    bits: Vec<Bit>,
    len: Cell<usize>,
}

impl<'s> Expansion<'s> {
    fn text(&mut self, text: &str) -> Result<(), String> {
        let has_columns = |name: &str| self.scope.data.contains_key(name);
        for part in parts(text, &has_columns)? {
            match part {
                Part::Text(text) => self.push(text)?,
                Part::Call { function, inside } => {
                    let hole = call(function, inside)?;
                    self.bits.push(Bit::Hole(hole, false));
                }
                Part::Name(name) => self.name(name)?,
            }
        }
        Ok(())
    }

    fn push(&mut self, text: &str) -> Result<(), String> {
        self.len.set(self.len.get() + text.len());
        if self.len.get() > TEXT_LEN_MAX {
            return Err(format!("the text has more than {TEXT_LEN_MAX} bytes"));
        }
        match self.bits.last_mut() {
            Some(Bit::Text(last)) => last.push_str(text),
            _ => self.bits.push(Bit::Text(text.to_owned())),
        }
        Ok(())
    }

    fn name(&mut self, name: Name<'_>) -> Result<(), String> {
        let scope = self.scope;
        if let Some(hole) = self.hole(name) {
            self.bits.push(Bit::Hole(hole, name.is_reserved));
            return Ok(());
        }
        if let Some(column) = name.column {
            return Err(format!(
                "${{{}.{column}}}: {} is no data set, and only those have columns",
                name.word, name.word
            ));
        }
        if let Some(value) = scope.given(name.word) {
            return self.push(value);
        }
        if let Some((var, text)) = scope.vars.get_key_value(name.word) {
            return self.var(var, text);
        }
        if let Some(value) = scope.inherited(name.word) {
            return self.push(value);
        }
        match name.otherwise {
            Some(otherwise) => self.push(otherwise),
            None => Err(scope.unknown(name.word)),
        }
    }

    fn var(&mut self, name: &'s str, text: &str) -> Result<(), String> {
        if let Some(at) = self.within.iter().position(|outer| *outer == name) {
            let circle: Vec<String> = self.within[at..].iter().map(|n| format!("${n}")).collect();
            return Err(format!("{CIRCLE}: {} → ${name}", circle.join(" → ")));
        }
        self.within.push(name);
        let outcome = self.text(text);
        self.within.pop();
        outcome
    }

    fn hole(&self, name: Name<'_>) -> Option<HoleOf> {
        if let Some(slot) = self.scope.slots.get(name.word) {
            return Some(HoleOf::Slot(*slot));
        }
        if let Some(data) = self.scope.data.get(name.word) {
            let column = name.column.unwrap_or_default().to_owned();
            let data = *data;
            return Some(HoleOf::Column { data, column });
        }
        match name.word {
            "uuid" => Some(HoleOf::Uuid),
            "seq" => Some(HoleOf::Seq),
            "now" => Some(HoleOf::Now),
            _ => None,
        }
    }
}

fn call(function: &str, inside: &str) -> Result<HoleOf, String> {
    if function == "secret" {
        let name = inside.trim();
        return if is_name(name) {
            Ok(HoleOf::Secret(name.to_owned()))
        } else {
            Err(format!(
                "$secret({inside}): {name:?} is no name of a secret"
            ))
        };
    }
    let bounds = inside.split_once(',').and_then(|(from, to)| {
        let from: i64 = from.trim().parse().ok()?;
        let to: i64 = to.trim().parse().ok()?;
        (from <= to).then_some((from, to))
    });
    let (from, to) = bounds
        .ok_or_else(|| format!("$int({inside}): write $int(1,5), the least and the greatest"))?;
    Ok(HoleOf::Int(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(vars: &[(&str, &str)]) -> Scope {
        let mut scope = Scope::new(Given {
            values: BTreeMap::from([("RATE".to_owned(), "50$x".to_owned())]),
            environment: BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]),
        });
        for (name, text) in vars {
            scope.add_var(name, text).unwrap();
        }
        scope
    }

    #[test]
    fn variables_are_replaced_in_each_other() {
        let scope = scope(&[("base", "/api/$v"), ("v", "v2"), ("RATE", "1")]);
        assert_eq!(scope.fixed("$base/x ${HOME}").unwrap(), "/api/v2/x /root");
        assert_eq!(scope.fixed("${NONE:-else}$$").unwrap(), "else$");
        // A given value replaces the document's own, and is taken as it is.
        assert_eq!(scope.fixed("$RATE").unwrap(), "50$x");
        let taken: Vec<String> = scope.taken().into_keys().collect();
        assert_eq!(taken, ["HOME", "RATE"]);
        assert!(scope.unasked().is_empty());
    }

    #[test]
    fn what_has_no_meaning_is_refused_in_words() {
        let scope = scope(&[
            ("a", "$b"),
            ("b", "x$c"),
            ("c", "$a"),
            ("token", "1"),
            ("l0", "0123456789012345678901234567890123456789"),
            (
                "l1",
                "$l0$l0$l0$l0$l0$l0$l0$l0$l0$l0$l0$l0$l0$l0$l0$l0$l0$l0$l0$l0",
            ),
            (
                "l2",
                "$l1$l1$l1$l1$l1$l1$l1$l1$l1$l1$l1$l1$l1$l1$l1$l1$l1$l1$l1$l1",
            ),
            (
                "l3",
                "$l2$l2$l2$l2$l2$l2$l2$l2$l2$l2$l2$l2$l2$l2$l2$l2$l2$l2$l2$l2",
            ),
            (
                "l4",
                "$l3$l3$l3$l3$l3$l3$l3$l3$l3$l3$l3$l3$l3$l3$l3$l3$l3$l3$l3$l3",
            ),
        ]);
        for (text, words) in [
            ("$a", "a circle of variables: $a → $b → $c → $a"),
            ("$tokn", "did you mean $token?"),
            ("$zzzzzz", "give it with -e"),
            ("$uuid", "only variables"),
            ("$int(5,1)", "the least and the greatest"),
            ("$int(x)", "the least and the greatest"),
            ("$secret(a b)", "no name of a secret"),
            ("${token.x}", "no data set"),
            ("$l4", "more than 1048576 bytes"),
        ] {
            let error = scope.fixed(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn names_are_given_once() {
        let mut scope = scope(&[("a", "1")]);
        scope.add_data("users", 0).unwrap();
        for name in ["a", "users", "uuid", "1x", "", "a-b"] {
            assert!(scope.add_slot(name, 0).is_err(), "{name}");
        }
        scope.add_slot("t", 0).unwrap();
        assert!(
            scope.add_slot("t", 0).is_ok(),
            "a second step may extract it anew"
        );
    }
}
