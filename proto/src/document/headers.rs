//! Header fields of requests: their names, and the values that nobody may read.

use http::HeaderName;

/// What stands in place of a secret.
pub const MASK: &str = "********";

/// Names of fields (in lower case) whose values are secrets.
const SECRET_NAMES: [&str; 9] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-amz-security-token",
];

/// Whether the value of a header field is a secret.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ends = ["-token", "-secret", "-password", "-api-key"];
    SECRET_NAMES.contains(&name.as_str()) || ends.iter().any(|end| name.ends_with(end))
}

/// The value of a header field as it may be shown.
#[must_use]
pub fn shown<'v>(name: &str, value: &'v str) -> &'v str {
    if is_secret(name) { MASK } else { value }
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
