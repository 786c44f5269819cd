//! What people write on a test: a name, tags, a note; and where it came from. Nothing depends on them.

use std::collections::BTreeMap;

use proto::digest::Sha256;
use proto::document::Document;
use proto::secret::COMMAND_LEN_MAX;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;

/// Largest whole number that every reader of JSON takes for itself: 2^53 - 1.
const WHOLE_MAX: u64 = 9_007_199_254_740_991;
/// Most tags.
const TAGS_MAX: usize = 32;
/// Longest name, name of a tag, and value of a tag, in characters.
const NAME_LEN_MAX: usize = 200;
/// Longest note, in characters.
const NOTE_LEN_MAX: usize = 10_000;
/// Most notes at an instant.
const NOTES_MAX: usize = 50;
/// Longest text of one, in characters.
const NOTE_AT_LEN_MAX: usize = 300;

/// What happened at an instant, in the words of whoever knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// When, by the orchestrator's clock, ms since 1970.
    #[serde(deserialize_with = "whole")]
    pub at_unix_ms: u64,
    /// What.
    pub text: String,
}

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
    /// What happened while it ran, in the order of its instants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
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
    /// All notes at an instant, instead of those that there are.
    #[serde(deserialize_with = "given")]
    pub notes: Option<Option<Vec<Note>>>,
    /// The command line.
    #[serde(deserialize_with = "given")]
    pub command: Option<Option<Vec<String>>>,
}

/// A whole number, also where it is written as 12.0, which is one to JSON.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let whole = number.as_f64().filter(|it| it.fract() == 0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // what is out of range ends at a bound
    let whole = whole.filter(|it| *it >= 0.0).map(|it| it as u64);
    let whole = number.as_u64().or(whole).filter(|it| *it <= WHOLE_MAX);
    whole
        .ok_or_else(|| D::Error::custom(format!("{number} is no whole number of 0 to {WHOLE_MAX}")))
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
            ..LabelsPatch::default()
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
        if let Some(notes) = &patch.notes {
            labels.notes = notes.clone().unwrap_or_default();
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
        labels.checked()
    }

    /// The labels with one note more.
    ///
    /// # Errors
    /// Says that it is empty or too long, or that there are too many.
    pub fn with_note(&self, note: Note) -> Result<Self, String> {
        let mut labels = self.clone();
        labels.notes.push(note);
        labels.checked()
    }

    fn checked(mut self) -> Result<Self, String> {
        self.check()?;
        // Of one instant in the order in which they came.
        self.notes.sort_by_key(|note| note.at_unix_ms);
        Ok(self)
    }

    fn check(&self) -> Result<(), String> {
        let tags = self.tags.iter().flat_map(|(tag, value)| [tag, value]);
        let texts = self
            .name
            .iter()
            .chain(tags)
            .map(|text| (text, NAME_LEN_MAX));
        let notes = self.note.iter().map(|text| (text, NOTE_LEN_MAX));
        let at = self.notes.iter().map(|note| (&note.text, NOTE_AT_LEN_MAX));
        for (text, most) in texts.chain(notes).chain(at) {
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
        if self.notes.len() > NOTES_MAX {
            return Err(format!(
                "{} notes, of at most {NOTES_MAX}",
                self.notes.len()
            ));
        }
        if self.notes.iter().any(|note| note.text.trim().is_empty()) {
            return Err("text: it is empty; a note says what happened".to_owned());
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
        let notes = self.notes.iter().map(|note| &note.text);
        let all = self.name.iter().chain(&self.note).chain(notes);
        let all = all.cloned().chain(tags);
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
    fn notes_are_kept_in_the_order_of_their_instants_and_bounded() {
        let note = |at_unix_ms: u64, text: &str| Note {
            at_unix_ms,
            text: text.to_owned(),
        };
        let mut labels = Labels::default();
        for (at, text) in [(5, "later"), (3, "deployed 1.4.2"), (5, "last")] {
            labels = labels.with_note(note(at, text)).unwrap();
        }
        let texts = |labels: &Labels| -> Vec<String> {
            labels.notes.iter().map(|note| note.text.clone()).collect()
        };
        assert_eq!(texts(&labels), ["deployed 1.4.2", "later", "last"]);
        assert!(labels.contain("1.4.2"));
        for (text, word) in [(" ", "empty"), (&*"x".repeat(301), "301 characters")] {
            let error = labels.with_note(note(1, text)).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        let patched = labels.patched(&patch(r#"{"notes":[{"at_unix_ms":1,"text":"one"}]}"#));
        let mut labels = patched.unwrap();
        assert_eq!(texts(&labels), ["one"]);
        for at in 1..50 {
            labels = labels.with_note(note(at, "more")).unwrap();
        }
        let error = labels.with_note(note(0, "too many")).unwrap_err();
        assert!(error.contains("51 notes, of at most 50"), "{error}");
        let none = labels.patched(&patch(r#"{"notes":null}"#)).unwrap();
        assert_eq!(none, Labels::default());
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
