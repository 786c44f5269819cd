//! A value within a JSON text, found without building the rest.

use std::borrow::Cow;
use std::fmt;

use proto::workload::{JsonPath, Segment};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Appends the value that a path leads to: a text without its quotes, anything else as it stands.
/// `false` when there is none, or the text is no JSON.
pub(super) fn find(text: &[u8], path: &JsonPath, out: &mut Vec<u8>) -> bool {
    let before = out.len();
    let seek = Seek {
        path: &path.0,
        out: &mut *out,
    };
    let mut json = serde_json::Deserializer::from_slice(text);
    let found = seek.deserialize(&mut json).and_then(|found| {
        json.end()?;
        Ok(found)
    });
    if found.is_ok_and(|found| found) {
        return true;
    }
    out.truncate(before);
    false
}

/// On the way: what is left of the path.
struct Seek<'p, 'o> {
    path: &'p [Segment],
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Seek<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        if !self.path.is_empty() {
            return deserializer.deserialize_any(self);
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        if raw.starts_with('"') {
            let text: Cow<'_, str> = serde_json::from_str::<Text<'_>>(raw)
                .map_err(D::Error::custom)?
                .0;
            self.out.extend_from_slice(text.as_bytes());
        } else {
            self.out.extend_from_slice(raw.as_bytes());
        }
        Ok(true)
    }
}

/// A text that is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

impl<'de> Visitor<'de> for Seek<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let (first, rest) = self.path.split_first().expect("invariant: a path is left");
        let mut found = false;
        while let Some(is_it) = map.next_key_seed(Is(first))? {
            if is_it && !found {
                let out = &mut *self.out;
                found = map.next_value_seed(Seek { path: rest, out })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let (first, rest) = self.path.split_first().expect("invariant: a path is left");
        let wanted = match first {
            Segment::Index(index) => *index,
            Segment::Name(_) => usize::MAX,
        };
        for _ in 0..wanted {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(false);
            }
        }
        let out = &mut *self.out;
        let found = list.next_element_seed(Seek { path: rest, out })?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found.unwrap_or(false))
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
}

/// Whether a name is the one that is looked for.
struct Is<'s>(&'s Segment);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(matches!(self.0, Segment::Name(wanted) if wanted == name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str, path: &str) -> Option<String> {
        let mut out = b"before:".to_vec();
        let is_found = find(text.as_bytes(), &path.parse().unwrap(), &mut out);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(is_found, out != "before:" || is_found);
        is_found.then(|| out["before:".len()..].to_owned())
    }

    #[test]
    fn values_are_found_as_they_stand() {
        let text = r#" {"a": [1, {"b": "x\n\u00e9", "n": 12345678901234567890123}], "t": true,
            "o": {"k": [1, 2.50]}, "z": null, "a b": ""} "#;
        for (path, value) in [
            ("$.a[0]", Some("1")),
            ("$.a[1].b", Some("x\né")),
            ("$.a[1].n", Some("12345678901234567890123")),
            ("$.t", Some("true")),
            ("$.o", Some(r#"{"k": [1, 2.50]}"#)),
            ("$.z", Some("null")),
            ("$['a b']", Some("")),
            ("$.a[2]", None),
            ("$.a.b", None),
            ("$.t.x", None),
            ("$.none", None),
            ("$.o[0]", None),
        ] {
            assert_eq!(found(text, path).as_deref(), value, "{path}");
        }
        assert_eq!(found("[3]", "$").as_deref(), Some("[3]"));
    }

    #[test]
    fn what_is_no_json_has_no_values() {
        for text in [
            "",
            "<html>",
            r#"{"a": 1"#,
            r#"{"a": 1} x"#,
            r#"{"a": "\ud800"}"#,
        ] {
            assert_eq!(found(text, "$.a"), None, "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(found(&deep, "$[0]"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            find(&bytes, &"$.a[0]".parse().unwrap(), &mut Vec::new());
        }

        #[test]
        fn every_text_is_found_again(value in ".*") {
            let text = serde_json::json!({"a": [0, value]}).to_string();
            prop_assert_eq!(found(&text, "$.a[1]"), Some(value));
        }
    }
}
