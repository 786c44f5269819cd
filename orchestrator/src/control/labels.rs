//! What people write on a test: a name, tags, a note; and where it came from. Nothing depends on them.

use std::collections::BTreeMap;

use proto::digest::Sha256;
use proto::document::Document;
use proto::secret::COMMAND_LEN_MAX;
use serde::{Deserialize, Deserializer, Serialize};

/// Most tags.
const TAGS_MAX: usize = 32;
/// Longest name, name of a tag, and value of a tag, in characters.
const NAME_LEN_MAX: usize = 200;
/// Longest note, in characters.
const NOTE_LEN_MAX: usize = 10_000;

/// The labels of a test.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Labels {
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// By what it is found.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What is to be known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The command line that made it, without secrets, where a client said so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// What its document is known by: see [`Document::sha256`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_sha256: Option<Sha256>,
}

/// A change of them, as a JSON merge patch (RFC 7396): null takes a label away, and what is not
/// named stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(
    clippy::option_option,
    reason = "absent, null and given are three things in a merge patch"
)]
pub struct LabelsPatch {
    /// The name.
    #[serde(deserialize_with = "given")]
    pub name: Option<Option<String>>,
    /// Each tag that changes; null takes all away.
    #[serde(deserialize_with = "given")]
    pub tags: Option<Option<BTreeMap<String, Option<String>>>>,
    /// The note.
    #[serde(deserialize_with = "given")]
    pub note: Option<Option<String>>,
    /// The command line.
    #[serde(deserialize_with = "given")]
    pub command: Option<Option<Vec<String>>>,
}

/// What is there, be it null.
#[allow(
    clippy::option_option,
    reason = "absent, null and given are three things in a merge patch"
)]
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Labels {
    /// What a document says about itself.
    ///
    /// # Errors
    /// In words, what is too long or too many.
    pub fn of(document: &Document) -> Result<Self, String> {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let tags = document.tags.iter();
        let tags = tags.map(|(tag, value)| (tag.clone(), Some(value.clone())));
        let labels = Self::default().patched(&LabelsPatch {
            name: Some(given(&document.name)),
            note: Some(given(&document.note)),
            tags: Some(Some(tags.collect())),
            command: None,
        })?;
        Ok(Self {
            // Of a file that is nowhere there is none.
            document_sha256: document.sha256(|_| Err(())).ok(),
            ..labels
        })
    }

    /// The labels after a change.
    ///
    /// # Errors
    /// Says which is too long, or that there are too many.
    pub fn patched(&self, patch: &LabelsPatch) -> Result<Self, String> {
        let mut labels = self.clone();
        if let Some(name) = &patch.name {
            labels.name.clone_from(name);
        }
        if let Some(note) = &patch.note {
            labels.note.clone_from(note);
        }
        if let Some(command) = &patch.command {
            labels.command = command.clone().unwrap_or_default();
        }
        match &patch.tags {
            None => {}
            Some(None) => labels.tags.clear(),
            Some(Some(tags)) => {
                for (tag, value) in tags {
                    match value {
                        Some(value) => drop(labels.tags.insert(tag.clone(), value.clone())),
                        None => drop(labels.tags.remove(tag)),
                    }
                }
            }
        }
        labels.check()?;
        Ok(labels)
    }

    fn check(&self) -> Result<(), String> {
        let tags = self.tags.iter().flat_map(|(tag, value)| [tag, value]);
        let texts = self
            .name
            .iter()
            .chain(tags)
            .map(|text| (text, NAME_LEN_MAX));
        let notes = self.note.iter().map(|text| (text, NOTE_LEN_MAX));
        for (text, most) in texts.chain(notes) {
            let len = text.chars().count();
            if len > most {
                let begin: String = text.chars().take(20).collect();
                return Err(format!(
                    "the label that begins with {begin:?} has {len} characters, of at most {most}"
                ));
            }
        }
        let command_len: usize = self.command.iter().map(|text| text.chars().count()).sum();
        if command_len > COMMAND_LEN_MAX {
            return Err(format!(
                "the command has {command_len} characters, of at most {COMMAND_LEN_MAX}"
            ));
        }
        if self.tags.len() > TAGS_MAX {
            return Err(format!("{} tags, of at most {TAGS_MAX}", self.tags.len()));
        }
        Ok(())
    }

    /// Whether one of them contains a text, given in lower case.
    pub(super) fn contain(&self, text: &str) -> bool {
        let tags = self
            .tags
            .iter()
            .map(|(tag, value)| format!("{tag}={value}"));
        let all = self.name.iter().chain(&self.note).cloned().chain(tags);
        all.into_iter()
            .any(|label| label.to_lowercase().contains(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> LabelsPatch {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let labels = Labels::default();
        let labels = labels.patched(&patch(r#"{"name":"a","tags":{"x":"1","y":"2"}}"#));
        let labels = labels
            .unwrap()
            .patched(&patch(r#"{"note":"n","tags":{"x":null}}"#));
        let labels = labels.unwrap();
        assert_eq!(labels.name.as_deref(), Some("a"));
        assert_eq!(labels.note.as_deref(), Some("n"));
        assert_eq!(labels.tags.keys().collect::<Vec<_>>(), ["y"]);
        assert!(labels.contain("y=2") && !labels.contain("x="));
        let labels = labels.patched(&patch(r#"{"name":null,"note":null,"tags":null}"#));
        assert_eq!(labels.unwrap(), Labels::default());
    }

    #[test]
    fn a_test_says_where_it_came_from() {
        let text = "target: http://h/\nsteps: [GET /]\nload: {closed: 1, for: 1s}\n";
        let document = Document::read(text, proto::document::Setting::default()).unwrap();
        let labels = Labels::of(&document).unwrap();
        let sha256 = document.sha256(|_| Err(())).unwrap();
        assert_eq!(labels.document_sha256, Some(sha256));
        let labels = labels
            .patched(&patch(r#"{"command":["client","run"]}"#))
            .unwrap();
        assert_eq!(labels.command, ["client", "run"]);
        assert_eq!(labels.document_sha256, Some(sha256));
        let long = LabelsPatch {
            command: Some(Some(vec!["x".repeat(20_001)])),
            ..LabelsPatch::default()
        };
        let error = labels.patched(&long).unwrap_err();
        assert!(error.contains("20001"), "{error}");
    }

    #[test]
    fn labels_are_bounded_and_unknown_ones_refused() {
        let long = patch(&format!(r#"{{"name":"{}"}}"#, "x".repeat(201)));
        let error = Labels::default().patched(&long).unwrap_err();
        assert!(error.contains("201") && error.contains("200"), "{error}");
        assert!(serde_json::from_str::<LabelsPatch>(r#"{"nam":"a"}"#).is_err());
    }
}
