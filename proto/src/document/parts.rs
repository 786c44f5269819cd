//! The parts of a text with `$`: what stands there, what a name stands for, what is called.
//!
//! `$name`, `${name}`, `$set.column`, `${set.column}`, `${name:-what else}`, `${+name}` (in a URL:
//! reserved characters stay), `$int(1,5)`, `$secret(NAME)`; `$$` is a dollar sign, and so is one
//! before anything that begins no name.

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part<'t> {
    /// As it stands.
    Text(&'t str),
    /// A value by its name.
    Name(Name<'t>),
    /// A function with what stands in its parentheses.
    Call { function: &'t str, inside: &'t str },
}

/// A value by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'t> {
    pub(super) word: &'t str,
    /// What stands behind a dot, where the name is that of a data set.
    pub(super) column: Option<&'t str>,
    /// What is taken where there is no such name.
    pub(super) otherwise: Option<&'t str>,
    /// Whether reserved characters of URLs stay.
    pub(super) is_reserved: bool,
}

/// Functions that take something in parentheses.
const CALLS: [&str; 2] = ["int", "secret"];

/// Takes a text apart; `has_columns` knows which names are those of data sets.
///
/// # Errors
/// In words, when braces or parentheses are not closed, or no name is in them.
pub(super) fn parts<'t>(
    text: &'t str,
    has_columns: &dyn Fn(&str) -> bool,
) -> Result<Vec<Part<'t>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        if at > 0 {
            parts.push(Part::Text(&rest[..at]));
        }
        let (part, after) = after_dollar(&rest[at..], has_columns)?;
        parts.push(part);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

/// The part that begins with a dollar sign, and what follows it.
fn after_dollar<'t>(
    text: &'t str,
    has_columns: &dyn Fn(&str) -> bool,
) -> Result<(Part<'t>, &'t str), String> {
    let rest = &text[1..];
    if let Some(inner) = rest.strip_prefix('{') {
        let (inner, after) = inner
            .split_once('}')
            .ok_or_else(|| format!("{text:?} has no closing brace; write $$ for a dollar sign"))?;
        return Ok((braced(inner)?, after));
    }
    if let Some(after) = rest.strip_prefix('$') {
        return Ok((Part::Text("$"), after));
    }
    let len = name_len(rest);
    if len == 0 {
        return Ok((Part::Text("$"), rest));
    }
    let (name, after) = rest.split_at(len);
    if let Some(inside) = after.strip_prefix('(').filter(|_| CALLS.contains(&name)) {
        let (inside, after) = inside
            .split_once(')')
            .ok_or_else(|| format!("{text:?} has no closing parenthesis"))?;
        let function = name;
        return Ok((Part::Call { function, inside }, after));
    }
    let behind = after.strip_prefix('.').filter(|_| has_columns(name));
    let column = behind.map(|text| text.split_at(name_len(text)));
    let (column, after) = match column {
        Some((column, after)) if !column.is_empty() => (Some(column), after),
        _ => (None, after),
    };
    Ok((Part::Name(plain(name, column)), after))
}

fn plain<'t>(name: &'t str, column: Option<&'t str>) -> Name<'t> {
    Name {
        word: name,
        column,
        otherwise: None,
        is_reserved: false,
    }
}

fn braced(inner: &str) -> Result<Part<'_>, String> {
    let (is_reserved, text) = match inner.strip_prefix('+') {
        Some(text) => (true, text),
        None => (false, inner),
    };
    let (path, otherwise) = match text.split_once(":-") {
        Some((path, otherwise)) => (path, Some(otherwise)),
        None => (text, None),
    };
    let (name, column) = match path.split_once('.') {
        Some((name, column)) => (name, Some(column)),
        None => (path, None),
    };
    if !is_name(name) {
        return Err(format!(
            "${{{inner}}} names nothing: a name has letters, digits and _; write $$ for a dollar sign"
        ));
    }
    Ok(Part::Name(Name {
        otherwise,
        is_reserved,
        ..plain(name, column)
    }))
}

/// Whether a text can be the name of a value.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && name_len(text) == text.len()
}

/// Bytes of the name that a text begins with.
fn name_len(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<Part<'_>> {
        parts(text, &|name| name == "users").unwrap()
    }

    #[test]
    fn names_end_where_letters_end() {
        let name = |name| Part::Name(plain(name, None));
        assert_eq!(
            of("$base/items.$x.json?q=$users.name."),
            [
                name("base"),
                Part::Text("/items."),
                name("x"),
                Part::Text(".json?q="),
                Part::Name(plain("users", Some("name"))),
                Part::Text("."),
            ]
        );
        assert_eq!(of("${a}b"), [name("a"), Part::Text("b")]);
        let reserved = Name {
            is_reserved: true,
            otherwise: Some("/x"),
            ..plain("users", Some("a b"))
        };
        assert_eq!(of("${+users.a b:-/x}"), [Part::Name(reserved)]);
    }

    #[test]
    fn dollars_without_a_name_are_dollars() {
        let text = of("$5 $$name $.a $");
        let joined: String = text
            .iter()
            .map(|part| match part {
                Part::Text(text) => *text,
                _ => panic!("{part:?}"),
            })
            .collect();
        assert_eq!(joined, "$5 $name $.a $");
    }

    #[test]
    fn calls_have_their_parentheses() {
        let call = Part::Call {
            function: "int",
            inside: "1,5",
        };
        assert_eq!(of("$int(1,5)")[0], call);
        assert_eq!(of("$base(x)")[1], Part::Text("(x)"));
        for text in ["$int(1", "${a", "${}", "${a b}"] {
            assert!(parts(text, &|_| false).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[$a-c{}().:+é -]{0,30}") {
            let _ = parts(&text, &|name| name == "a");
        }
    }
}
