//! A document as it may be shown: the one place that hides what is secret in it.

use std::collections::BTreeSet;

use super::headers::{MASK, is_secret};
use super::parts::{Part, parts};
use super::text::{Node, Scalar, Value};

/// The tree with the values of secret header fields masked, and with them the variables that they
/// are made of. What is written `$secret(NAME)` holds nothing to hide, and stays.
pub(super) fn masked(node: &Node) -> Node {
    let mut node = node.clone();
    let mut hidden = BTreeSet::new();
    mask_headers(&mut node, &mut hidden);
    let Some(vars) = node.get("vars").cloned() else {
        return node;
    };
    let mut shown = vars.clone();
    let mut seen = BTreeSet::new();
    while let Some(name) = hidden.pop_first() {
        let Some(text) = vars.get(&name).and_then(scalar) else {
            continue;
        };
        if !seen.insert(name.clone()) {
            continue;
        }
        hidden.extend(names(text));
        if holds_text(text) {
            shown.set(&name, Node::text(MASK));
        }
    }
    node.set("vars", shown);
    node
}

fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar(Scalar { text, .. }) => Some(text),
        _ => None,
    }
}

/// Masks each map that is called `headers`, and gathers the names that masked values use.
fn mask_headers(node: &mut Node, hidden: &mut BTreeSet<String>) {
    match &mut node.value {
        Value::Scalar(_) => {}
        Value::List(nodes) => nodes.iter_mut().for_each(|node| mask_headers(node, hidden)),
        Value::Map(entries) => {
            for (key, node) in entries {
                match &mut node.value {
                    Value::Map(fields) if key.name == "headers" => {
                        let secret = fields.iter_mut().filter(|(key, _)| is_secret(&key.name));
                        secret.for_each(|(_, value)| mask_value(value, hidden));
                    }
                    _ => mask_headers(node, hidden),
                }
            }
        }
    }
}

fn mask_value(node: &mut Node, hidden: &mut BTreeSet<String>) {
    match &mut node.value {
        Value::Scalar(scalar) => {
            hidden.extend(names(&scalar.text));
            if holds_text(&scalar.text) {
                MASK.clone_into(&mut scalar.text);
                scalar.is_quoted = true;
            }
        }
        Value::List(nodes) => nodes.iter_mut().for_each(|node| mask_value(node, hidden)),
        Value::Map(_) => {}
    }
}

/// Names that a text uses; those of data and extracts among them do no harm.
fn names(text: &str) -> Vec<String> {
    let Ok(parts) = parts(text, &|_| false) else {
        return Vec::new();
    };
    let name = |part| match part {
        Part::Name(name) => Some(name.word.to_owned()),
        _ => None,
    };
    parts.into_iter().filter_map(name).collect()
}

/// Schemes of the Authorization header, which tell nothing.
const SCHEMES: [&str; 5] = ["Bearer", "Basic", "Digest", "Token", "ApiKey"];

/// Whether a text holds more than names, functions and the scheme before them.
fn holds_text(text: &str) -> bool {
    let Ok(parts) = parts(text, &|_| false) else {
        return true;
    };
    let tells = |part: &Part<'_>| match part {
        Part::Text(text) => !text.trim().is_empty() && !SCHEMES.contains(&text.trim()),
        Part::Name(name) => name.otherwise.is_some(),
        Part::Call { .. } => false,
    };
    parts.iter().any(tells)
}
