//! A document as it travels and is kept: whole, or with its secrets masked.

use super::files::Carried;
use super::{Bound, Document, InvalidDocument, Node, Setting, Whose, mask};
use crate::secret::MASK;
use crate::workload::{Tls, Workload};

/// What stands in the place of a mask where a document is read again only to be looked at.
pub(super) const UNMASKED: &str = "masked";

impl Document {
    /// The document as JSON on one line, complete in itself: what travels and is kept.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.node.to_json()
    }

    /// The same with secrets masked: what may be shown.
    #[must_use]
    pub fn to_masked_json(&self) -> String {
        mask::masked(&self.node).to_json()
    }

    /// Its tree with secrets masked.
    pub(super) fn masked(&self) -> Node {
        mask::masked(&self.node)
    }

    /// A kept document with its secrets masked. A text that is none is shown as nothing, since nobody
    /// can tell what is secret in it.
    #[must_use]
    pub fn masked_text(json: &str) -> String {
        Node::read(json).map_or_else(|_| String::new(), |node| mask::masked(&node).to_json())
    }

    /// A document that was kept, and so was right once; it may have been masked since. The contents of
    /// its files are left out.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn kept(json: &str) -> Result<Self, InvalidDocument> {
        let mut document = Self::read(&json.replace(MASK, UNMASKED), Setting::default())?;
        let is_reference = |carried: &Carried| matches!(carried, Carried::Elsewhere(_));
        document.contents.retain(|_, carried| is_reference(carried));
        Ok(document)
    }

    /// What of each driver's load is not its sessions'; `authorities` are the only ones to trust, as
    /// PEM.
    #[must_use]
    pub fn workload(&self, authorities: Option<String>) -> Workload {
        let of_all = self.thresholds.iter().filter_map(|condition| {
            match (&condition.of, &condition.bound) {
                (Whose::All, Bound::Requests(threshold)) => Some(threshold.clone()),
                _ => None,
            }
        });
        let trust = &self.scenario.trust;
        let tls = Tls {
            ca: authorities,
            insecure: trust.is_insecure,
            server_name: trust.server_name.clone(),
            resume: !trust.is_full,
            cert: trust.identity.as_ref().map(|(cert, _)| cert.clone()),
            key: trust.identity.as_ref().map(|(_, key)| key.clone()),
        };
        self.scenario.workload(of_all.collect(), tls)
    }

    /// Its text as a tree.
    #[must_use]
    pub fn tree(&self) -> &Node {
        &self.node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_masked_can_be_looked_at_again() {
        let text = "target: http://h/x\ndefaults: {headers: {Authorization: Bearer abc}}\n\
            thresholds: [p99 < 1s, check_rate >= 99%]\nload: {open: 5/s, for: 2s}\n";
        let document = Document::read(text, Setting::default()).unwrap();
        let masked = Document::masked_text(&document.to_json());
        assert!(!masked.contains("abc"), "{masked}");
        assert!(Document::read(&masked, Setting::default()).is_err());
        let again = Document::kept(&masked).unwrap();
        assert_eq!(again.workload(None), document.workload(None));
        assert_eq!(again.workload(None).thresholds.len(), 1);
        assert_eq!(Document::masked_text("{"), "");
    }
}
