//! Header fields of requests: their names, and values that were masked.

use http::HeaderName;

use crate::secret::MASK;

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
