//! What is a secret by its name, and what is shown in its place.

mod command;

pub use command::{COMMAND_LEN_MAX, shown_command};

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

/// A URL as it may be shown: the values of its query whose names say that they are secrets are
/// masked, and what stands before an `@` of its authority.
#[must_use]
pub fn shown_url(url: &str) -> String {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let mut shown = shown_place(place);
    if url.len() > place.len() {
        let pairs: Vec<String> = query.split('&').map(shown_pair).collect();
        shown.push('?');
        shown.push_str(&pairs.join("&"));
    }
    shown
}

/// What stands before the query, without a user's name and password.
fn shown_place(place: &str) -> String {
    let Some((scheme, rest)) = place.split_once("://") else {
        return place.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://{MASK}{}", &rest[at..]),
        None => place.to_owned(),
    }
}

fn shown_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, value)) if is_secret_parameter(name) && !is_name(value) => {
            format!("{name}={MASK}")
        }
        _ => pair.to_owned(),
    }
}

/// Whether the name of a query's parameter says that its value is a secret.
#[must_use]
pub fn is_secret_parameter(name: &str) -> bool {
    const WHOLE: [&str; 9] = [
        "key", "sig", "auth", "jwt", "pwd", "pass", "sid", "session", "code",
    ];
    const PARTS: [&str; 9] = [
        "token",
        "secret",
        "passw",
        "apikey",
        "api_key",
        "api-key",
        "signature",
        "credential",
        "session_id",
    ];
    let name = name.to_ascii_lowercase();
    WHOLE.contains(&name.as_str()) || PARTS.iter().any(|part| name.contains(part))
}

/// Whether a value only says what the secret is called: the driver knows it, and nobody else.
fn is_name(value: &str) -> bool {
    value.starts_with("$secret(") && value.ends_with(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_their_secrets() {
        for (url, shown) in [
            ("http://h/a?b=1&c", "http://h/a?b=1&c"),
            ("http://h/?api_key=k1&b=1", "http://h/?api_key=********&b=1"),
            (
                "http://h/?Access_Token=x&sig=y",
                "http://h/?Access_Token=********&sig=********",
            ),
            ("http://h/?token=$secret(T)", "http://h/?token=$secret(T)"),
            ("http://me:pass@h:1/a@b", "http://********@h:1/a@b"),
            ("http://h/author?author=me", "http://h/author?author=me"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }
}
