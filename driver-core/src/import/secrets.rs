//! Secrets of an input: each becomes `$secret(NAME)`, and its value stays out of the document.
//!
//! Texts here are in the writing of documents: a dollar sign is `$$`, and `${NAME}` a variable.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use percent_encoding::percent_decode_str;
use proto::secret::{is_secret, is_secret_parameter};

/// Schemes of an Authorization header, which are no part of the secret.
const SCHEMES: [&str; 7] = [
    "Basic",
    "Bearer",
    "Digest",
    "Token",
    "ApiKey",
    "Negotiate",
    "OAuth",
];

/// A secret of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// What the document calls it: `$secret(NAME)`.
    pub name: String,
    /// Where it came from, and what its value has to be.
    pub origin: String,
    /// Its value; without one where the input had only its name.
    pub value: Option<String>,
}

/// The secrets that were found so far.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    found: Vec<Secret>,
    /// What was found, by the name that it would have and its value.
    known: HashMap<(String, String), usize>,
    names: HashSet<String>,
    /// Whether all values of one name are one secret: in a log each line may have its own.
    is_one_a_name: bool,
}

impl Secrets {
    /// Secrets of which all values of one name become one.
    pub(super) fn one_a_name() -> Self {
        Self {
            is_one_a_name: true,
            ..Self::default()
        }
    }

    /// Keeps a name for a variable of the input itself.
    pub(super) fn keep_name(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    pub(super) fn found(&self) -> &[Secret] {
        &self.found
    }

    /// `$secret(NAME)` in place of a value.
    pub(super) fn hide(&mut self, called: &str, value: String, origin: String) -> String {
        let wanted = name_of(called);
        let told_apart_by = if self.is_one_a_name {
            String::new()
        } else {
            value.clone()
        };
        let key = (wanted.clone(), told_apart_by);
        let at = self.known.get(&key).copied().unwrap_or_else(|| {
            let name = self.free_name(&wanted);
            self.known.insert(key, self.found.len());
            let value = (!self.is_one_a_name).then_some(value);
            self.found.push(Secret {
                name,
                origin,
                value,
            });
            self.found.len() - 1
        });
        format!("$secret({})", self.found[at].name)
    }

    /// `$secret(NAME)` for a value that the input does not have.
    pub(super) fn name_only(&mut self, wanted: &str, origin: String) -> String {
        let name = self.free_name(wanted);
        let shown = format!("$secret({name})");
        let value = None;
        self.found.push(Secret {
            name,
            origin,
            value,
        });
        shown
    }

    fn free_name(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        name
    }

    /// The value of a part of `multipart/form-data`, hidden where its name says that it is a secret.
    pub(super) fn part(&mut self, line: u64, name: &str, value: &str) -> String {
        if !is_hidden(name, Some(value)) {
            return value.to_owned();
        }
        if next_variable(value).is_some() {
            return self.variables(value, line);
        }
        let origin = format!("the form's {}, line {line}", plain(name));
        self.hide(&plain(name), plain(value).into_owned(), origin)
    }

    /// The value of a header field with what is secret in it hidden.
    pub(super) fn header(&mut self, line: u64, name: &str, value: &str) -> String {
        if name.eq_ignore_ascii_case("referer")
            && let Some((place, query)) = value.split_once('?')
        {
            return format!("{place}?{}", self.form(line, query));
        }
        if !is_secret(name) || value.is_empty() {
            return value.to_owned();
        }
        if next_variable(value).is_some() {
            return self.variables(value, line);
        }
        let scheme = value.split_once(' ').filter(|(scheme, _)| {
            let mut known = SCHEMES.iter();
            known.any(|known| known.eq_ignore_ascii_case(scheme))
        });
        let (scheme, rest) = scheme.map_or(("", value), |(scheme, rest)| (scheme, rest.trim()));
        let called = name.trim_start_matches("x-").trim_start_matches("X-");
        let called = if scheme.is_empty() { called } else { name };
        let origin = format!("header {name}, line {line}{}", after_scheme(scheme));
        let hidden = self.hide(called, plain(rest).into_owned(), origin);
        format!("{scheme} {hidden}").trim_start().to_owned()
    }

    /// Variables of the input that stand in a secret place: secrets of their names.
    fn variables(&mut self, value: &str, line: u64) -> String {
        let mut out = String::new();
        let mut rest = value;
        while let Some((before, name, after)) = next_variable(rest) {
            out.push_str(before);
            out.extend(["$secret(", name, ")"]);
            if !self.found.iter().any(|secret| secret.name == name) {
                self.names.insert(name.to_owned());
                self.found.push(Secret {
                    name: name.to_owned(),
                    origin: format!("the variable of the command line, line {line}"),
                    value: None,
                });
            }
            rest = after;
        }
        out + rest
    }

    /// A path with the values of its query hidden whose names say that they are secrets.
    pub(super) fn path(&mut self, line: u64, path: &str) -> String {
        let Some((place, query)) = path.split_once('?') else {
            return path.to_owned();
        };
        if !pairs(query).any(|(name, value)| is_hidden(name, value)) {
            return path.to_owned();
        }
        let shown = pairs(query).map(|(name, value)| match value {
            Some(value) if is_hidden(name, Some(value)) && next_variable(value).is_some() => {
                format!("{name}={}", self.variables(value, line))
            }
            Some(text) if is_hidden(name, Some(text)) => {
                let origin = format!("the query's {}, line {line}", plain(name));
                let value = decoded(&plain(text));
                format!("{name}={}", self.hide(&plain(name), value, origin))
            }
            Some(value) => format!("{name}={value}"),
            None => name.to_owned(),
        });
        let shown: Vec<String> = shown.collect();
        format!("{place}?{}", shown.join("&"))
    }

    /// The same of the body of a form, whose values stay as they are written.
    pub(super) fn form(&mut self, line: u64, body: &str) -> String {
        let shown = pairs(body).map(|(name, value)| match value {
            Some(value) if is_hidden(name, Some(value)) && next_variable(value).is_some() => {
                format!("{name}={}", self.variables(value, line))
            }
            Some(value) if is_hidden(name, Some(value)) => {
                let origin = format!(
                    "the form's {}, line {line}; as a form writes it",
                    plain(name)
                );
                let hidden = self.hide(&plain(name), plain(value).into_owned(), origin);
                format!("{name}={hidden}")
            }
            Some(value) => format!("{name}={value}"),
            None => name.to_owned(),
        });
        let shown: Vec<String> = shown.collect();
        shown.join("&")
    }

    /// The same of JSON: texts whose names say that they are secrets.
    pub(super) fn json(&mut self, line: u64, body: &str) -> String {
        let mut out = String::new();
        let mut rest = body;
        while let Some((_, name, after)) = next_string(rest) {
            out.push_str(&rest[..rest.len() - after.len()]);
            rest = after;
            let gap = colon(rest);
            if gap == 0 || !is_secret_parameter(name) {
                continue;
            }
            let Some((spaces, value, after)) = next_string(&rest[gap..]) else {
                continue;
            };
            if !spaces.trim().is_empty() || !is_hidden(name, Some(value)) {
                continue;
            }
            let hidden = if next_variable(value).is_some() {
                self.variables(value, line)
            } else {
                let origin = format!("{name} in a JSON body, line {line}; as JSON writes it");
                self.hide(name, plain(value).into_owned(), origin)
            };
            out.extend([&rest[..gap], spaces, "\"", &hidden, "\""]);
            rest = after;
        }
        out + rest
    }
}

fn after_scheme(scheme: &str) -> String {
    match scheme {
        "" => String::new(),
        "Basic" => "; what follows Basic: base64 of user:password".to_owned(),
        _ => format!("; what follows {scheme}"),
    }
}

fn is_hidden(name: &str, value: Option<&str>) -> bool {
    value.is_some_and(|value| !value.is_empty()) && is_secret_parameter(name)
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (pair, None),
    })
}

/// What stands before the next JSON string, what is in it, and what follows.
fn next_string(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('"')?;
    let mut is_escaped = false;
    let end = rest.find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    })?;
    Some((before, &rest[..end], &rest[end + 1..]))
}

/// Bytes of the colon that a text begins with, and of the space before it; 0 for none.
fn colon(text: &str) -> usize {
    let rest = text.trim_start();
    match rest.strip_prefix(':') {
        Some(after) => text.len() - after.len(),
        None => 0,
    }
}

/// The name that a secret has in documents and environments.
fn name_of(called: &str) -> String {
    let letter = |c: char| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
        _ => '_',
    };
    let name: String = called.chars().take(60).map(letter).collect();
    match name.as_bytes().first() {
        Some(first) if !first.is_ascii_digit() => name,
        _ => format!("S_{name}"),
    }
}

/// What stands before the next `${NAME}` of a text, the name, and what follows.
pub(super) fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let mut at = 0;
    loop {
        at += text[at..].find('$')?;
        let after = &text[at + 1..];
        if let Some(inside) = after.strip_prefix('{') {
            let (name, rest) = inside.split_once('}')?;
            return Some((&text[..at], name, rest));
        }
        at += 1 + usize::from(after.starts_with('$'));
    }
}

/// A text in the writing of documents.
pub(super) fn literal(text: &str) -> Cow<'_, str> {
    if text.contains('$') {
        Cow::Owned(text.replace('$', "$$"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text that [`literal`] was made of.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if text.contains("$$") {
        Cow::Owned(text.replace("$$", "$"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A part of a query without its percent signs; those that encode nothing stay.
fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8_lossy();
    decoded.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_that_encode_nothing_stay() {
        for (text, expected) in [
            ("a+b%2B%C3%BC", "a b+ü"),
            ("%zz%4+%+1%", "%zz%4 % 1%"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(decoded(text), expected, "{text}");
        }
    }

    #[test]
    fn secrets_get_names_and_the_same_one_the_same_name() {
        let mut secrets = Secrets::default();
        let mut header = |name, value| secrets.header(1, name, value);
        assert_eq!(
            header("Authorization", "Bearer a$$b"),
            "Bearer $secret(AUTHORIZATION)"
        );
        assert_eq!(
            header("authorization", "bearer a$$b"),
            "bearer $secret(AUTHORIZATION)"
        );
        assert_eq!(
            header("Authorization", "Bearer c"),
            "Bearer $secret(AUTHORIZATION_2)"
        );
        assert_eq!(header("X-Api-Key", "k"), "$secret(API_KEY)");
        assert_eq!(header("Cookie", "a=1; b=2"), "$secret(COOKIE)");
        assert_eq!(header("Cookie", "s=${SID}"), "s=$secret(SID)");
        assert_eq!(header("Accept", "a/b"), "a/b");
        assert_eq!(
            header("Referer", "http://h/?a=1&sig=%2f"),
            "http://h/?a=1&sig=$secret(SIG)"
        );
        assert_eq!(header("Cookie", "$${SID}"), "$secret(COOKIE_2)");
        let values: Vec<Option<&str>> =
            secrets.found().iter().map(|s| s.value.as_deref()).collect();
        assert_eq!(
            values,
            [
                Some("a$b"),
                Some("c"),
                Some("k"),
                Some("a=1; b=2"),
                None,
                Some("%2f"),
                Some("${SID}")
            ]
        );
    }

    #[test]
    fn queries_forms_and_json_hide_what_they_name_so() {
        let mut secrets = Secrets::default();
        assert_eq!(
            secrets.path(1, "/a?b=1&api_key=k%2f+1&c"),
            "/a?b=1&api_key=$secret(API_KEY)&c"
        );
        assert_eq!(
            secrets.form(1, "user=u&password=p%201&x"),
            "user=u&password=$secret(PASSWORD)&x"
        );
        assert_eq!(
            secrets.json(
                1,
                r#"{"password" : "q\"1", "n": {"token": 5, "token":"t", "a": "b"}}"#
            ),
            r#"{"password" : "$secret(PASSWORD_2)", "n": {"token": 5, "token":"$secret(TOKEN)", "a": "b"}}"#
        );
        let values: Vec<Option<&str>> =
            secrets.found().iter().map(|s| s.value.as_deref()).collect();
        assert_eq!(
            values,
            [Some("k/ 1"), Some("p%201"), Some(r#"q\"1"#), Some("t")]
        );
    }

    #[test]
    fn of_a_log_all_tokens_are_one() {
        let mut secrets = Secrets::one_a_name();
        for token in ["a", "b"] {
            let shown = secrets.path(1, &format!("/?token={token}"));
            assert_eq!(shown, "/?token=$secret(TOKEN)");
        }
        assert_eq!(secrets.found().len(), 1);
        assert_eq!(secrets.found()[0].value, None);
    }
}
