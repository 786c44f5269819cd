//! What a document asks for, and where in it.

use std::collections::BTreeMap;

use crate::document::{Bound, Document, Node, Value};

/// The conditions of a document with their places; of a test that is none there are none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// The conditions that end it early, as they are told.
    pub(super) aborts: Vec<String>,
    /// Where each condition stands, by its text without blanks.
    places: BTreeMap<String, String>,
}

impl Asked {
    /// Those of a document that was read from `file`.
    #[must_use]
    pub fn of(file: &str, document: &Document) -> Self {
        let thresholds = document.thresholds.iter().map(|condition| {
            let told = match &condition.bound {
                Bound::Requests(threshold) => threshold.to_string(),
                Bound::CheckRate(_) => condition.text.clone(),
            };
            vec![condition.text.clone(), told]
        });
        let ending = document.abort.iter().map(|abort| vec![abort.to_string()]);
        let mut places = BTreeMap::new();
        let of_thresholds = nodes(document, "thresholds").zip(thresholds);
        for (node, texts) in of_thresholds.chain(nodes(document, "abort").zip(ending)) {
            let place = format!("{file}:{}", node.place);
            places.extend(texts.iter().map(|text| (key(text), place.clone())));
        }
        let aborts = document.abort.iter().map(ToString::to_string);
        Self {
            aborts: aborts.collect(),
            places,
        }
    }

    /// Where a condition stands; empty where nobody knows.
    pub(super) fn place_of(&self, condition: &str) -> String {
        self.places
            .get(&key(condition))
            .cloned()
            .unwrap_or_default()
    }
}

/// What is in a list of a document, in order.
fn nodes<'d>(document: &'d Document, list: &str) -> impl Iterator<Item = &'d Node> {
    let items = document.tree().get(list).map(|node| &node.value);
    items.into_iter().flat_map(|value| match value {
        Value::List(items) => &items[..],
        _ => &[],
    })
}

/// A condition is told without the blanks that it was written with.
fn key(condition: &str) -> String {
    condition.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Setting;

    #[test]
    fn conditions_are_found_where_they_were_written() {
        let text = "target: http://h/\nload: {closed: 1, for: 1s}\n\
            thresholds: [p99 < 250ms, check_rate >= 99%]\nabort: [error_rate > 5% for 2s]\n";
        let document = Document::read(text, Setting::default()).unwrap();
        let asked = Asked::of("t.yaml", &document);
        assert_eq!(asked.place_of("p99<250ms"), "t.yaml:3:14");
        assert_eq!(asked.place_of("check_rate >= 99%"), "t.yaml:3:27");
        assert_eq!(asked.place_of(&asked.aborts[0]), "t.yaml:4:9");
        assert_eq!(asked.place_of("p50<1ms"), "");
    }
}
