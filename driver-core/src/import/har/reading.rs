//! The stream of an archive's entries: each is handed over as soon as it is read, and what is around
//! them is skipped.

use std::fmt;
use std::io::Read;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

use super::entry::{Asked, Entry};

/// Takes the entries one by one.
type Each<'e> = dyn FnMut(Entry) + 'e;

/// Reads an archive and hands over its entries.
///
/// # Errors
/// Where it is no JSON, or ends early; the entries before that were handed over.
pub(super) fn entries(input: impl Read, each: &mut Each<'_>) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_reader(input);
    let names = &["log", "entries"][..];
    Within { names, each }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// A way of names through maps, at whose end the entries are.
struct Within<'n, 'e, 'f> {
    names: &'n [&'static str],
    each: &'e mut Each<'f>,
}

impl<'de> DeserializeSeed<'de> for Within<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.names.is_empty() {
            deserializer.deserialize_seq(self)
        } else {
            deserializer.deserialize_map(self)
        }
    }
}

impl<'de> Visitor<'de> for Within<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names {
            ["log", ..] => f.write_str("an archive: a map with log in it"),
            [name, ..] => write!(f, "a map with {name} in it"),
            [] => f.write_str("a list of entries"),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if self.names.first() == Some(&name.as_str()) {
                let (names, each) = (&self.names[1..], &mut *self.each);
                map.next_value_seed(Within { names, each })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(entry) = list.next_element()? {
            (self.each)(entry);
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

/// Takes any value for an entry; what is no map is one without a request.
struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut entry = Entry::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "request" => entry.asked = Asked::of(&map.next_value::<Value>()?),
                "startedDateTime" => entry.started = as_text(&map.next_value()?),
                "time" => entry.took_ms = map.next_value::<Value>()?.as_f64(),
                "_resourceType" => entry.kind = as_text(&map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(entry)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entry, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Entry::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Entry, E> {
        Ok(Entry::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Entry, E> {
        Ok(Entry::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Entry, E> {
        Ok(Entry::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Entry, E> {
        Ok(Entry::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Entry, E> {
        Ok(Entry::default())
    }

    fn visit_unit<E>(self) -> Result<Entry, E> {
        Ok(Entry::default())
    }
}

fn as_text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Entry>, serde_json::Result<()>) {
        let mut all = Vec::new();
        let outcome = entries(text.as_bytes(), &mut |entry| all.push(entry));
        (all, outcome)
    }

    #[test]
    fn entries_of_any_shape_are_handed_over() {
        let text = r#"{"log": {"version": "1.2", "entries": [
            {"request": {"method": "get", "url": "http://h/"}, "time": 5, "response": {"x": [1]}},
            7, null, "x", [1, 2], true, -1, 1.5, {"request": 3}], "pages": []}}"#;
        let (all, outcome) = read(text);
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(all.len(), 9);
        assert_eq!(all[0].asked.as_ref().unwrap().method, "GET");
        assert!(all[1..].iter().all(|entry| entry.asked.is_none()));
    }

    #[test]
    fn what_ends_early_gives_what_it_has() {
        let (all, outcome) = read(r#"{"log": {"entries": [{"time": 1}, {"time": "#);
        assert_eq!(all.len(), 1);
        assert!(outcome.unwrap_err().is_eof());
        for text in [
            "",
            "[]",
            "{\"log\": 5}",
            "{\"log\": {\"entries\": {}}}",
            "GET /",
        ] {
            assert!(read(text).1.is_err(), "{text}");
        }
    }
}
