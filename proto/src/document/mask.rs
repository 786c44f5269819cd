//! Documents and parameters as they may be shown: the one place that hides what is secret in them.
//! What is shown is logs, REST, the page, reports, exports and texts of errors.

use std::collections::BTreeSet;

use super::headers::refuse_mask;
use super::params::{InvalidParam, Params};
use super::parts::{Part, parts};
use super::text::{Node, Scalar, Value};
use crate::secret::{MASK, is_secret, shown_url};

/// The tree with the values of secret header fields masked, and with them the variables that they
/// are made of. What is written `$secret(NAME)` holds nothing to hide, and stays.
pub(super) fn masked(node: &Node) -> Node {
    let mut node = node.clone();
    let mut hidden = BTreeSet::new();
    mask_headers(&mut node, &mut hidden);
    mask_files(&mut node);
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

impl Params {
    /// The parameters as they may be shown: with the values of secret header fields, and those of
    /// the target's query whose names say that they are secrets, masked.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut shown = self.clone();
        shown.target = self.target.as_deref().map(shown_url);
        for (name, value) in shown.headers.iter_mut().flatten() {
            if is_secret(name) && holds_text(value) {
                MASK.clone_into(value);
            }
        }
        shown
    }

    /// Refuses parameters that were masked when they were shown.
    ///
    /// # Errors
    /// [`InvalidParam`] with the remedy.
    pub(super) fn refuse_masks(&self) -> Result<(), InvalidParam> {
        let refuse = |name: &'static str| move |problem: String| InvalidParam::new(name, problem);
        for (_, value) in self.headers.iter().flatten() {
            refuse_mask(value).map_err(refuse("headers"))?;
        }
        let target = self.target.as_deref().unwrap_or_default();
        refuse_mask(target).map_err(refuse("target"))
    }
}

fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar(Scalar { text, .. }) => Some(text),
        _ => None,
    }
}

/// Masks the contents of files: what is secret in them has no name. A reference holds nothing.
fn mask_files(node: &mut Node) {
    let Some(mut files) = node.get("files").cloned() else {
        return;
    };
    if let Value::Map(contents) = &mut files.value {
        contents
            .iter_mut()
            .filter(|(_, content)| content.get("sha256").is_none())
            .for_each(|(_, content)| *content = Node::text(MASK));
    }
    node.set("files", files);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_masked_by_name_and_refused_when_they_come_back() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let params = Params {
            target: Some("http://h/?password=p1".to_owned()),
            headers: Some(vec![
                header("Authorization", "Bearer b1"),
                header("cookie", "c=1"),
                header("X-Api-Key", "$secret(KEY)"),
                header("Accept", "a/b"),
            ]),
            ..Params::default()
        };
        assert!(params.refuse_masks().is_ok());
        let shown = params.masked();
        let values: Vec<&str> = shown.headers.iter().flatten().map(|(_, v)| &**v).collect();
        assert_eq!(values, [MASK, MASK, "$secret(KEY)", "a/b"]);
        assert_eq!(shown.target.as_deref(), Some("http://h/?password=********"));
        let refused = shown.refuse_masks().unwrap_err().to_string();
        assert!(refused.contains("$secret(NAME)"), "{refused}");
    }
}
