//! YAML and JSON as a tree of nodes that know their places.
//!
//! JSON is read as the YAML that it is; what YAML lacks of it (surrogate pairs) is put in order
//! before. The tree is bounded in depth and in nodes, those that aliases stand for included, so
//! that no short text becomes a large tree.

use saphyr_parser::{Parser, ScanError};
use serde_json::Number;

use super::place::{Place, Problem};

mod surrogates;
mod tree;

use surrogates::without_surrogates;
use tree::Builder;

/// Most bytes of a document: its JSON has to fit into one Kafka message of the default 1 MiB.
pub const DOCUMENT_LEN_MAX: usize = 512 << 10;
/// Most nodes of a tree.
const NODES_MAX: usize = 200_000;
/// Most nodes within each other.
const DEPTH_MAX: usize = 64;

/// A value in a document.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where its text begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A single value.
    Scalar(Scalar),
    /// Values in order.
    List(Vec<Node>),
    /// Values by name, in the order of the text.
    Map(Vec<(Key, Node)>),
}

/// A single value as it was written; what type it has is asked for by who reads it.
#[derive(Debug, Clone)]
pub struct Scalar {
    /// Its text, without quotes.
    pub text: String,
    /// Whether it was quoted (or a block), which makes it a text whatever it looks like.
    pub is_quoted: bool,
}

/// The name of a value in a map.
#[derive(Debug, Clone)]
pub struct Key {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// Places are no part of what a document says.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Two texts are the same whether they were quoted or not, but no text is a number.
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        if self.is_null() || other.is_null() {
            return self.is_null() == other.is_null();
        }
        self.as_bool() == other.as_bool()
            && self.as_number() == other.as_number()
            && (self.as_number().is_some() || self.as_bool().is_some() || self.text == other.text)
    }
}

impl Key {
    /// A name at no place.
    #[must_use]
    pub fn unplaced(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            place: Place::default(),
        }
    }
}

impl Node {
    /// Reads YAML or JSON.
    ///
    /// # Errors
    /// The first thing that is no YAML, or beyond a bound, with its place.
    pub fn read(text: &str) -> Result<Self, Problem> {
        if text.len() > DOCUMENT_LEN_MAX {
            let error = format!(
                "the document has {} bytes; at most {DOCUMENT_LEN_MAX} are taken: put data into files",
                text.len()
            );
            return Err(problem(Place { line: 1, column: 1 }, error));
        }
        let text = without_surrogates(text);
        Builder::default().build(Parser::new_from_str(&text))
    }

    /// A text at no place.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let scalar = Scalar {
            text: text.into(),
            is_quoted: true,
        };
        Self {
            place: Place::default(),
            value: Value::Scalar(scalar),
        }
    }

    /// A value by its name, when this is a map that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.name == name)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    /// Sets the value of a name in a map; without effect on what is none.
    pub fn set(&mut self, name: &str, node: Node) {
        let Value::Map(entries) = &mut self.value else {
            return;
        };
        if let Some((_, old)) = entries.iter_mut().find(|(key, _)| key.name == name) {
            *old = node;
            return;
        }
        entries.push((Key::unplaced(name), node));
    }

    /// Takes the value of a name out of a map, if it is there.
    pub fn remove(&mut self, name: &str) {
        if let Value::Map(entries) = &mut self.value {
            entries.retain(|(key, _)| key.name != name);
        }
    }

    /// The tree as JSON, on one line; numbers as they were written.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match &self.value {
            Value::Scalar(scalar) => match scalar.json_token() {
                Some(token) => out.push_str(token),
                None => out.push_str(&quoted(&scalar.text)),
            },
            Value::List(nodes) => {
                out.push('[');
                for (index, node) in nodes.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    node.write_json(out);
                }
                out.push(']');
            }
            Value::Map(entries) => {
                out.push('{');
                for (index, (key, node)) in entries.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    out.push_str(&quoted(&key.name));
                    out.push(':');
                    node.write_json(out);
                }
                out.push('}');
            }
        }
    }

    /// What kind of value it is, for people.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) => scalar.kind(),
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

impl Scalar {
    /// The truth value that it is.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if !self.is_quoted => Some(true),
            "false" | "False" | "FALSE" if !self.is_quoted => Some(false),
            _ => None,
        }
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_null(&self) -> bool {
        !self.is_quoted && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The number that it is, as JSON writes numbers.
    #[must_use]
    pub fn as_number(&self) -> Option<Number> {
        if self.is_quoted {
            return None;
        }
        serde_json::from_str::<Number>(&self.text).ok()
    }

    /// The value as JSON, unless it is a text; a number as it was written.
    #[must_use]
    pub fn json_token(&self) -> Option<&str> {
        if self.is_null() {
            return Some("null");
        }
        match self.as_bool() {
            Some(true) => Some("true"),
            Some(false) => Some("false"),
            None => self.as_number().map(|_| self.text.as_str()),
        }
    }

    fn kind(&self) -> &'static str {
        if self.is_null() {
            "nothing"
        } else if self.as_bool().is_some() {
            "a truth value"
        } else if self.as_number().is_some() {
            "a number"
        } else {
            "a text"
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("invariant: every text is JSON")
}

fn problem(place: Place, error: impl Into<String>) -> Problem {
    Problem {
        place,
        path: String::new(),
        error: error.into(),
    }
}

fn not_read(error: &ScanError) -> Problem {
    let mark = error.marker();
    let mut words = format!("not YAML: {}", error.info());
    if error.info().contains("expected ',' or") {
        words.push_str(" (a text with [ ] { } or a comma in it needs quotes here)");
    }
    problem(place(mark.line(), mark.col()), words)
}

fn place(line: usize, column_from_0: usize) -> Place {
    let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Place {
        line: small(line),
        column: small(column_from_0.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        Node::read(text).unwrap().to_json()
    }

    fn refusal(text: &str) -> String {
        Node::read(text).unwrap_err().to_string()
    }

    #[test]
    fn yaml_and_json_give_the_same_tree() {
        let yaml = "name: shop\nflows:\n  - {name: a, weight: 7}\n  - name: 'b'\n    on: true\n";
        let text = r#"{"name":"shop","flows":[{"name":"a","weight":7},{"name":"b","on":true}]}"#;
        assert_eq!(json(yaml), text);
        assert_eq!(Node::read(yaml).unwrap(), Node::read(&json(yaml)).unwrap());
    }

    #[test]
    fn every_value_knows_its_place() {
        let node = Node::read("a: 1\nb:\n  - é: x\n    d: [1, 2]\n").unwrap();
        let Value::List(items) = &node.get("b").unwrap().value else {
            panic!("no list");
        };
        let d = items[0].get("d").unwrap();
        assert_eq!(d.place, Place { line: 4, column: 8 });
        assert_eq!(node.get("a").unwrap().place, Place { line: 1, column: 4 });
    }

    #[test]
    fn quoted_values_are_texts() {
        assert_eq!(
            json("[1, '1', true, 'true', ~, '', 1.50, 0x1F, -0, 1e3]"),
            r#"[1,"1",true,"true",null,"",1.50,"0x1F",-0,1e3]"#
        );
    }

    #[test]
    fn surrogate_pairs_of_json_are_characters() {
        assert_eq!(
            json(r#"{"a": "\ud83d\ude00\\ud83d", "b": "\u00e9\/"}"#),
            r#"{"a":"😀\\ud83d","b":"é/"}"#
        );
    }

    #[test]
    fn aliases_are_what_they_stand_for_and_bombs_are_refused() {
        assert_eq!(json("a: &x [1]\nb: *x"), r#"{"a":[1],"b":[1]}"#);
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let names = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb = format!("{bomb}a{level}: &a{level} [{names}]\n");
        }
        assert!(
            refusal(&bomb).contains("more than 200000 values"),
            "{}",
            refusal(&bomb)
        );
        assert!(
            refusal("a: &x [*x]").contains("alias"),
            "{}",
            refusal("a: &x [*x]")
        );
        assert!(refusal(&"[".repeat(100_000)).contains("1:"));
        let nested = format!("{}{}", "[".repeat(70), "]".repeat(70));
        assert!(
            refusal(&nested).contains("more than 64"),
            "{}",
            refusal(&nested)
        );
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_place() {
        for (text, words) in [
            ("", "empty"),
            ("a: b\n  c: d", "2:4: not YAML"),
            ("a: 1\na: 2", "2:1: a is given twice, first at 1:1"),
            ("a: 1\n---\nb: 2", "2:1: a second document"),
            ("[a]: 1", "a name is a text"),
            ("check: [status in [200]]", "needs quotes"),
            ("a: *b", "unknown anchor"),
        ] {
            assert!(refusal(text).contains(words), "{text:?}: {}", refusal(text));
        }
        let long = "x".repeat(DOCUMENT_LEN_MAX + 1);
        assert!(refusal(&long).contains("at most"));
    }
}
