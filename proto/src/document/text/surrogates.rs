//! Escapes of JSON that YAML does not know.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// JSON with each surrogate pair as the character that it stands for, which YAML has no escape of
/// this form for; columns behind one on its line are less by what it is shorter.
pub(super) fn without_surrogates(text: &str) -> Cow<'_, str> {
    let has_escapes = text.contains("\\ud") || text.contains("\\uD");
    if !has_escapes || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((character, after)) = surrogate_pair(rest) {
            out.push(character);
            rest = after;
        } else {
            // An escaped backslash takes its partner along.
            let len = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..len]);
            rest = &rest[len..];
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn surrogate_pair(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let units = [unit(text)?, unit(text.get(6..)?)?];
    let character = char::decode_utf16(units).next()?.ok()?;
    (character.len_utf16() == 2).then(|| (character, &text[12..]))
}
