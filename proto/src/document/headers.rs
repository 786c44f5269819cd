//! Header fields of requests as they are written: their names, and values that were masked.

use http::HeaderName;

use super::reading::{Reader, Spot};
use super::text::{Node, Value};
use crate::secret::MASK;

/// A header field as it is written, with its path; `None` takes the standard one away.
#[derive(Debug, Clone)]
pub(super) struct HeaderText {
    pub(super) name: String,
    pub(super) value: Option<(Node, String)>,
}

/// A name that a request may have.
///
/// # Errors
/// In words.
pub(super) fn name(text: &str) -> Result<String, String> {
    if HeaderName::from_bytes(text.as_bytes()).is_err() {
        return Err(format!(
            "{text:?} is no name of a header field (RFC 9110, 5.6.2)"
        ));
    }
    if ["content-length", "transfer-encoding"].contains(&text.to_ascii_lowercase().as_str()) {
        return Err(format!(
            "{text} is written by the driver, which frames the requests"
        ));
    }
    Ok(text.to_owned())
}

/// Refuses a value that was masked: the secret itself is not in the document any more.
///
/// # Errors
/// In words, with the remedy.
pub(super) fn refuse_mask(value: &str) -> Result<(), String> {
    if value.contains(MASK) {
        return Err(
            "the value was masked when it was shown; write it again, best as $secret(NAME)"
                .to_owned(),
        );
    }
    Ok(())
}

/// Reads `headers`: a map of names to values, lists of values, or nothing.
pub(super) fn header_texts(reader: &mut Reader, spot: &Spot<'_>) -> Vec<HeaderText> {
    let mut texts = Vec::new();
    for (key, entry) in reader.entries(spot, "a map of header fields") {
        let name = name(&key.name);
        let Some(name) = reader.right(&entry, name) else {
            continue;
        };
        if is_nothing(entry.node) {
            texts.push(HeaderText { name, value: None });
            continue;
        }
        for item in reader.items(&entry) {
            if let Some(value) = reader.raw(&item) {
                let refused = refuse_mask(value);
                reader.right(&item, refused);
                texts.push(HeaderText {
                    name: name.clone(),
                    value: Some((item.node.clone(), item.path.clone())),
                });
            }
        }
    }
    texts
}

fn is_nothing(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.is_null())
}
