//! Single values as YAML writes them, in the plainest of its forms that says just this text.

/// A text as a value or a name of a block.
pub(super) fn scalar(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else if text.chars().all(is_printable) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        double_quoted(text)
    }
}

/// A text as a part of a comment.
pub(super) fn comment(text: &str) -> String {
    let safe = |c: char| if is_printable(c) { c } else { '\u{b7}' };
    text.chars().map(safe).collect()
}

/// Whether a text needs no quotes: a part of what YAML allows, that a reader need not think about.
fn is_plain(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '$'));
    let is_null = text.eq_ignore_ascii_case("null");
    let is_calm = |c: char| c == ' ' || c.is_ascii_graphic();
    begins
        && !is_null
        && text.chars().all(is_calm)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
}

/// What can stand in a text in quotes as it is.
fn is_printable(c: char) -> bool {
    c == ' '
        || c.is_ascii_graphic()
        || (!c.is_ascii() && c.is_alphanumeric())
        || "…×→—–·".contains(c)
}

fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c => out += &escaped(u32::from(c)),
        }
    }
    out.push('"');
    out
}

/// A character by its code.
fn escaped(code: u32) -> String {
    match code {
        0..=0xff => format!("\\x{code:02x}"),
        0x100..=0xffff => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::document::{Node, Value};

    use super::*;

    fn read(yaml: &str) -> String {
        let node = Node::read(yaml).unwrap_or_else(|problem| panic!("{yaml}: {problem}"));
        match node.get("k").map(|node| &node.value) {
            Some(Value::List(items)) => match &items[0].value {
                Value::Scalar(scalar) if !scalar.is_null() => scalar.text.clone(),
                other => panic!("{yaml}: {other:?}"),
            },
            other => panic!("{yaml}: {other:?}"),
        }
    }

    #[test]
    fn the_plainest_form_is_taken() {
        for (text, yaml) in [
            ("GET /a?b=1&c=[x]", "GET /a?b=1&c=[x]"),
            (r#"{"a": "it's"}"#, r#"'{"a": "it''s"}'"#),
            ("a: b", "'a: b'"),
            ("null", "'null'"),
            ("", "''"),
            ("a\tb\u{7f}\u{1f600}", "\"a\\tb\\x7f\\U0001f600\""),
            ("é", "'é'"),
        ] {
            assert_eq!(scalar(text), yaml);
            assert_eq!(read(&format!("k:\n  - {yaml}\n")), text);
        }
    }

    proptest! {
        #[test]
        fn every_text_is_read_as_it_was(text in any::<String>()) {
            prop_assert_eq!(read(&format!("# {}\nk:\n  - {}\n", comment(&text), scalar(&text))), text);
        }

        #[test]
        fn texts_of_signs_are_read_as_they_were(text in "[-:#,?&*!|>%@`'\"\\[\\]{}~. \t\na0/$]{0,12}") {
            let name = format!("k:\n  - {}\n", scalar(&text));
            prop_assert_eq!(read(&name), text);
        }
    }
}
