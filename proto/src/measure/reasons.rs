//! Why things went wrong, in words: the first few distinct reasons of each kind of error.

use serde::{Deserialize, Serialize};

use crate::lenient;

/// Distinct reasons that are kept of each kind.
pub const REASONS_A_KIND_MAX: usize = 8;
/// Most characters of a reason; what is longer is cut and ends in `…`.
pub const REASON_CHARS_MAX: usize = 200;

/// What went wrong: the kinds of [`super::ErrorCounters`], and what is counted beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReasonKind {
    /// See [`super::ErrorCounters::write`].
    Write,
    /// See [`super::ErrorCounters::read`].
    Read,
    /// See [`super::ErrorCounters::timeout`].
    Timeout,
    /// See [`super::ErrorCounters::status`].
    Status,
    /// See [`super::ErrorCounters::malformed`].
    Malformed,
    /// See [`super::ErrorCounters::stale`].
    Stale,
    /// See [`super::ErrorCounters::unanswered`].
    Unanswered,
    /// See [`super::Counters::refused`].
    Refused,
    /// See [`super::Counters::connect_errors`].
    Connect,
    /// See [`super::Counters::unsolicited`].
    Unsolicited,
    /// A handshake of TLS that failed.
    Tls,
    /// A kind of a later version.
    #[serde(other)]
    Other,
}

impl ReasonKind {
    /// The name that it has in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::Malformed => "malformed",
            Self::Stale => "stale",
            Self::Unanswered => "unanswered",
            Self::Refused => "refused",
            Self::Connect => "connect",
            Self::Unsolicited => "unsolicited",
            Self::Tls => "tls",
            Self::Other => "other",
        }
    }
}

/// A reason, and how often it was the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What went wrong.
    pub kind: ReasonKind,
    /// Why, in at most [`REASON_CHARS_MAX`] characters.
    pub text: String,
    /// How often.
    #[serde(default, deserialize_with = "lenient::count")]
    pub count: u64,
}

/// The first [`REASONS_A_KIND_MAX`] distinct reasons of each kind, in the order of the kinds, and
/// within a kind in the order in which they came. What comes when a kind is full is left out here;
/// the counters have it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Option<Vec<Reason>>", into = "Vec<Reason>")]
pub struct Reasons {
    list: Vec<Reason>,
}

impl Reasons {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The reasons.
    pub fn iter(&self) -> impl Iterator<Item = &Reason> {
        self.list.iter()
    }

    /// Counts a reason `count` times more.
    pub fn note(&mut self, kind: ReasonKind, text: &str, count: u64) {
        let text = clipped(text);
        let from = self.list.partition_point(|reason| reason.kind < kind);
        let to = self.list.partition_point(|reason| reason.kind <= kind);
        let of_kind = &mut self.list[from..to];
        if let Some(known) = of_kind.iter_mut().find(|reason| reason.text == text) {
            known.count = known.count.saturating_add(count);
        } else if of_kind.len() < REASONS_A_KIND_MAX {
            let text = text.into_owned();
            self.list.insert(to, Reason { kind, text, count });
        }
    }

    /// Adds those of another core, interval or node: counts add, and of a kind that would hold too
    /// many the first remain, ours before the other's.
    pub fn absorb(&mut self, other: &Self) {
        for reason in &other.list {
            self.note(reason.kind, &reason.text, reason.count);
        }
    }
}

impl From<Option<Vec<Reason>>> for Reasons {
    fn from(read: Option<Vec<Reason>>) -> Self {
        let mut reasons = Self::default();
        for Reason { kind, text, count } in read.into_iter().flatten() {
            reasons.note(kind, &text, count);
        }
        reasons
    }
}

impl From<Reasons> for Vec<Reason> {
    fn from(reasons: Reasons) -> Self {
        reasons.list
    }
}

/// At most [`REASON_CHARS_MAX`] characters of a text.
fn clipped(text: &str) -> std::borrow::Cow<'_, str> {
    if text.chars().nth(REASON_CHARS_MAX).is_none() {
        return text.into();
    }
    let kept = text.chars().take(REASON_CHARS_MAX - 1);
    kept.chain(['…']).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(notes: &[(bool, u8)]) -> Reasons {
        let mut reasons = Reasons::default();
        for (is_read, text) in notes {
            let kind = if *is_read {
                ReasonKind::Read
            } else {
                ReasonKind::Connect
            };
            reasons.note(kind, &format!("reason {text}"), 1);
        }
        reasons
    }

    fn texts(reasons: &Reasons) -> Vec<(ReasonKind, String)> {
        let text = |reason: &Reason| (reason.kind, reason.text.clone());
        reasons.iter().map(text).collect()
    }

    #[test]
    fn a_kind_keeps_its_first_eight_and_every_text_is_short() {
        let mut reasons = Reasons::default();
        for n in 0..20 {
            reasons.note(ReasonKind::Tls, &format!("{n} {}", "ü".repeat(300)), 2);
            reasons.note(ReasonKind::Read, "reset", 1);
        }
        let list: Vec<&Reason> = reasons.iter().collect();
        assert_eq!(list.len(), 9);
        assert_eq!((list[0].kind, list[0].count), (ReasonKind::Read, 20));
        for reason in &list[1..] {
            assert_eq!(reason.text.chars().count(), REASON_CHARS_MAX);
            assert!(reason.text.ends_with('…'));
        }
        let mut json = crate::codec::encode(&reasons);
        let again: Reasons = crate::codec::decode(&mut json).unwrap();
        assert_eq!(again, reasons);
    }

    #[test]
    fn a_kind_of_a_later_version_is_read() {
        let mut json = br#"[{"kind":"quic","text":"?","count":"3"}]"#.to_vec();
        let read: Reasons = crate::codec::decode(&mut json).unwrap();
        assert_eq!(read.iter().next().unwrap().kind, ReasonKind::Other);
        let read: Reasons = crate::codec::decode(&mut b"null".to_vec()).unwrap();
        assert!(read.is_empty());
    }

    proptest! {
        #[test]
        fn merging_is_associative_in_what_it_keeps(
            one in prop::collection::vec(any::<(bool, u8)>(), 0..20),
            two in prop::collection::vec(any::<(bool, u8)>(), 0..20),
            three in prop::collection::vec(any::<(bool, u8)>(), 0..20),
        ) {
            let mut left = of(&one);
            left.absorb(&of(&two));
            left.absorb(&of(&three));
            let mut right = of(&two);
            right.absorb(&of(&three));
            let mut all = of(&one);
            all.absorb(&right);
            prop_assert_eq!(texts(&left), texts(&all));
        }

        #[test]
        fn as_long_as_no_kind_is_full_nothing_is_lost(
            one in prop::collection::vec((any::<bool>(), 0..8_u8), 0..40),
            two in prop::collection::vec((any::<bool>(), 0..8_u8), 0..40),
        ) {
            let mut merged = of(&one);
            merged.absorb(&of(&two));
            let all: Vec<(bool, u8)> = one.into_iter().chain(two).collect();
            prop_assert_eq!(merged, of(&all));
        }
    }
}
