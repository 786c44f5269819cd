//! What an import has to say: what it left out, what it carried over changed, each with its line, and
//! how much of it there was.

use std::fmt;

/// Notes of one kind that are kept word by word; those beyond are counted.
const KEPT_MAX: u64 = 50;
/// Most characters of a note.
const WORDS_MAX: usize = 300;

/// What became of what a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A request of the input that the document does not have.
    LeftOut,
    /// A request that the document has, but for what the note says.
    Changed,
}

/// One thing to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The line of the input, from 1.
    pub line: u64,
    /// What became of it.
    pub fate: Fate,
    /// What it is, in words.
    pub words: String,
}

/// How often one thing was to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// What became of it.
    pub fate: Fate,
    /// What it is.
    pub kind: &'static str,
    /// How often.
    pub times: u64,
    /// Of these, how many are kept word by word.
    kept: u64,
}

/// All that an import has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    said: Vec<Note>,
    counts: Vec<Count>,
}

impl Notes {
    /// A request is left out: of which kind the reason is, and which one, both without a secret.
    pub(super) fn left_out(&mut self, line: u64, kind: &'static str, detail: &str) {
        self.note(line, Fate::LeftOut, kind, detail);
    }

    /// A request is carried over, but for this.
    pub(super) fn changed(&mut self, line: u64, kind: &'static str, detail: &str) {
        self.note(line, Fate::Changed, kind, detail);
    }

    /// The same of what is alike in many requests: said once for each detail.
    pub(super) fn changed_alike(&mut self, line: u64, kind: &'static str, detail: &str) {
        let is_same = |note: &Note| note.words == in_words(kind, detail);
        if self.said.iter().any(is_same) {
            self.count(Fate::Changed, kind).times += 1;
        } else {
            self.note(line, Fate::Changed, kind, detail);
        }
    }

    /// More of a kind, whose lines are not known any more.
    pub(super) fn left_out_more(&mut self, kind: &'static str, times: u64) {
        if times > 0 {
            self.count(Fate::LeftOut, kind).times += times;
        }
    }

    fn note(&mut self, line: u64, fate: Fate, kind: &'static str, detail: &str) {
        let count = self.count(fate, kind);
        count.times += 1;
        if count.kept >= KEPT_MAX {
            return;
        }
        count.kept += 1;
        let words = in_words(kind, detail);
        self.said.push(Note { line, fate, words });
    }

    fn count(&mut self, fate: Fate, kind: &'static str) -> &mut Count {
        let known = |count: &Count| count.fate == fate && count.kind == kind;
        let at = self.counts.iter().position(known).unwrap_or_else(|| {
            self.counts.push(Count {
                fate,
                kind,
                times: 0,
                kept: 0,
            });
            self.counts.len() - 1
        });
        &mut self.counts[at]
    }

    /// What is to be said word by word: of each kind the first.
    #[must_use]
    pub fn said(&self) -> &[Note] {
        &self.said
    }

    /// How often each kind was to be said, in the order in which they came up.
    #[must_use]
    pub fn counts(&self) -> &[Count] {
        &self.counts
    }

    /// Requests that were left out.
    #[must_use]
    pub fn left_out_in_all(&self) -> u64 {
        let left_out = self.counts.iter().filter(|c| c.fate == Fate::LeftOut);
        left_out.map(|count| count.times).sum()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fate {
            Fate::LeftOut => write!(f, "left out: {}", self.words),
            Fate::Changed => f.write_str(&self.words),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = match self.fate {
            Fate::LeftOut => "left out",
            Fate::Changed => "changed",
        };
        write!(f, "{fate}: {} × {}", self.times, self.kind)
    }
}

fn in_words(kind: &str, detail: &str) -> String {
    match detail {
        "" => kind.to_owned(),
        _ => format!("{kind}: {}", shortened(detail)),
    }
}

/// The beginning of a text, on one line and without what no terminal should get.
pub(super) fn shortened(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(WORDS_MAX).map(visible).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_are_kept_and_all_are_counted() {
        let mut notes = Notes::default();
        for line in 1..=1000 {
            notes.left_out(line, "no request", &"x\n".repeat(1000));
        }
        notes.changed(7, "a fragment", "");
        for line in [8, 9] {
            notes.changed_alike(line, "a header field", "a");
        }
        assert_eq!(notes.said().len(), 52);
        assert!(notes.said()[0].words.len() < 1000);
        assert_eq!(notes.left_out_in_all(), 1000);
        assert_eq!(notes.counts()[0].to_string(), "left out: 1000 × no request");
    }
}
