//! What a document is known by: a digest that is the same wherever it is run, and that tells nothing.
//!
//! It is the SHA-256 of what the document asks for: its text as it may be shown, with the values
//! from outside that it used, and of each file that it names the SHA-256 of the content, wherever
//! that is. How it was written (YAML or JSON, comments, order within the text's own rules), and how
//! often it is repeated, is no part of it.
//!
//! A literal secret is no part of it either: a digest of a password can be guessed by whoever has the
//! rest, and one that is keyed by each store would say "another test" of the same one on another
//! machine, which is what it is asked for. So a changed password leaves it as it is; a changed file
//! of passwords does not.

use super::{Document, Value};
use crate::digest::{Sha256, Summing};

impl Document {
    /// The digest, with that of each file that is not in the document by `file`.
    ///
    /// # Errors
    /// Those of `file`.
    pub fn sha256<E>(&self, mut file: impl FnMut(&str) -> Result<Sha256, E>) -> Result<Sha256, E> {
        let mut node = self.masked();
        for name in ["repeat", "rest", "files"] {
            node.remove(name);
        }
        // Variables from outside come at the end, in the order in which they were given.
        if let Some(mut vars) = node.get("vars").cloned() {
            if let Value::Map(entries) = &mut vars.value {
                entries.sort_by(|one, other| one.0.name.cmp(&other.0.name));
            }
            node.set("vars", vars);
        }
        let mut sum = Summing::default();
        sum.add(node.to_json().as_bytes());
        for name in self.file_names() {
            let of_file = match (self.content(name), self.reference(name)) {
                (Some(content), _) => Sha256::of(content),
                (None, Some(reference)) => reference.sha256,
                (None, None) => file(name)?,
            };
            // No name has a line's end in it that could pass for another file.
            sum.add(format!("\n{of_file} {name:?}").as_bytes());
        }
        Ok(sum.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::document::{Carried, Reference, Setting};

    const TEXT: &str = "target: http://h/\ndata: {u: {file: u.csv}}\n\
        steps: [{GET: /$u, headers: {Authorization: Bearer abc}}]\nload: {closed: 1, for: 1s}\n";

    fn document(text: &str) -> Document {
        Document::read(text, Setting::default()).unwrap()
    }

    fn digest(document: &Document, content: &str) -> Sha256 {
        let of = |_: &str| Ok::<_, Infallible>(Sha256::of(content.as_bytes()));
        document.sha256(of).unwrap()
    }

    #[test]
    fn it_changes_with_what_is_asked_and_with_each_file() {
        let first = digest(&document(TEXT), "a");
        assert_eq!(digest(&document(TEXT), "a"), first);
        assert_ne!(digest(&document(TEXT), "b"), first);
        assert_ne!(
            digest(&document(&TEXT.replace("closed: 1", "closed: 2")), "a"),
            first
        );
        let repeated = document(&format!("{TEXT}repeat: 5\nrest: 2s\n"));
        assert_eq!(digest(&repeated, "a"), first);
        assert_eq!(digest(&repeated.once(), "a"), first);
    }

    #[test]
    fn it_tells_nothing_of_a_literal_secret() {
        let other = TEXT.replace("abc", "xyz");
        assert_eq!(digest(&document(&other), "a"), digest(&document(TEXT), "a"));
    }

    #[test]
    fn it_is_the_same_wherever_the_file_is() {
        let first = digest(&document(TEXT), "id\n1\n");
        let here = |_: &str| Ok::<_, String>(Carried::Here(b"id\n1\n".to_vec()));
        let inside = document(TEXT).with_files(here).unwrap();
        assert_eq!(digest(&inside, "other"), first);
        let reference = Reference {
            sha256: Sha256::of(b"id\n1\n"),
            bytes: 5,
            rows: None,
        };
        let there = |_: &str| Ok::<_, String>(Carried::Elsewhere(reference));
        let beside = document(TEXT).with_files(there).unwrap();
        assert_eq!(digest(&beside, "other"), first);
        let again = document(&inside.to_json());
        assert_eq!(digest(&again, "other"), first);
    }
}
