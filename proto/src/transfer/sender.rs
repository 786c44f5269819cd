//! Which piece of which file goes next.

use std::collections::BTreeMap;

use super::{PIECE_LEN, WINDOW};
use crate::digest::Sha256;
use crate::message::Need;

/// An asker that was not heard for so long asks no more, ns.
pub const ASKED_NS_MAX: u64 = 5_000_000_000;
/// When nothing was acknowledged for so long, what is under way is lost and goes again, ns.
pub const RESEND_NS: u64 = 1_500_000_000;

/// A piece that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The file.
    pub sha256: Sha256,
    /// Bytes of the whole file.
    pub bytes: u64,
    /// Where in it the piece begins.
    pub offset: u64,
    /// Its bytes.
    pub len: u64,
}

/// Who asks for what, and what was sent of it. Bounded by what askers ask for.
#[derive(Debug, Default)]
pub struct Sender {
    files: BTreeMap<Sha256, File>,
    /// The file whose turn it is.
    turn: Option<Sha256>,
}

#[derive(Debug)]
struct File {
    bytes: u64,
    askers: BTreeMap<String, Asker>,
    /// Where the next piece begins.
    next: u64,
    /// When something of what is under way was last acknowledged, or the first of it sent.
    moved_ns: u64,
}

#[derive(Debug)]
struct Asker {
    /// Bytes that it has from the beginning.
    from: u64,
    heard_ns: u64,
}

impl Sender {
    /// An asker says what it needs, which is all that it needs; `has` says whether a file is here.
    pub fn heard(&mut self, asker: &str, needs: &[Need], has: impl Fn(&Need) -> bool, now_ns: u64) {
        let is_needed = |sha256: &Sha256| needs.iter().any(|need| need.sha256 == *sha256);
        for (sha256, file) in &mut self.files {
            if !is_needed(sha256) {
                file.askers.remove(asker);
            }
        }
        for need in needs.iter().filter(|need| has(need)) {
            let file = self.files.entry(need.sha256).or_insert_with(|| File {
                bytes: need.bytes,
                askers: BTreeMap::new(),
                next: u64::MAX,
                moved_ns: now_ns,
            });
            if file.bytes == need.bytes {
                file.heard(asker, need.from, now_ns);
            }
        }
        self.forget_unasked();
    }

    /// A file cannot be sent: whoever asks again may be luckier.
    pub fn forget(&mut self, sha256: &Sha256) {
        self.files.remove(sha256);
        self.forget_unasked();
    }

    /// Whether anybody asks.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.files.is_empty()
    }

    /// The next piece, where one may be sent now: it counts as sent.
    pub fn next(&mut self, now_ns: u64) -> Option<Piece> {
        for file in self.files.values_mut() {
            let is_heard = |asker: &Asker| now_ns.saturating_sub(asker.heard_ns) < ASKED_NS_MAX;
            file.askers.retain(|_, asker| is_heard(asker));
        }
        self.forget_unasked();
        let turn = self.turn.or_else(|| self.after(None))?;
        self.turn = Some(turn);
        let file = self.files.get_mut(&turn)?;
        if file.is_stuck(now_ns) || file.floor() >= file.bytes {
            file.begin_again(now_ns);
            // Who cannot take it, or has it, must not keep others from theirs.
            self.turn = self.after(Some(turn));
        }
        let turn = self.turn?;
        let piece = self.files.get_mut(&turn)?.next(now_ns);
        piece.map(|(offset, bytes, len)| Piece {
            sha256: turn,
            bytes,
            offset,
            len,
        })
    }

    fn forget_unasked(&mut self) {
        self.files.retain(|_, file| !file.askers.is_empty());
        let gone = self.turn.filter(|turn| !self.files.contains_key(turn));
        if gone.is_some() {
            self.turn = self.after(gone);
        }
    }

    /// The file whose turn is after another's.
    fn after(&self, before: Option<Sha256>) -> Option<Sha256> {
        let mut names = self.files.keys();
        let next = names.find(|sha256| before.is_none_or(|before| **sha256 > before));
        next.or_else(|| self.files.keys().next()).copied()
    }
}

impl File {
    fn heard(&mut self, asker: &str, from: u64, now_ns: u64) {
        // What an asker has ends where a piece does.
        let from = if from >= self.bytes {
            self.bytes
        } else {
            from - from % PIECE_LEN
        };
        let heard = Asker {
            from,
            heard_ns: now_ns,
        };
        let before = self.askers.insert(asker.to_owned(), heard);
        match before {
            Some(before) if from > before.from => self.moved_ns = now_ns,
            Some(before) if from == before.from => {}
            // It is new, or has lost what it had.
            _ => {
                self.next = self.next.min(from);
                self.moved_ns = now_ns;
            }
        }
    }

    /// Bytes that every asker has.
    fn floor(&self) -> u64 {
        let have = self.askers.values().map(|asker| asker.from);
        have.min().unwrap_or(0)
    }

    /// Whether something is under way of which nothing arrives.
    fn is_stuck(&self, now_ns: u64) -> bool {
        self.next > self.floor() && now_ns.saturating_sub(self.moved_ns) >= RESEND_NS
    }

    fn begin_again(&mut self, now_ns: u64) {
        self.next = self.floor();
        self.moved_ns = now_ns;
    }

    /// The next piece: where it begins, bytes of the whole, its length.
    fn next(&mut self, now_ns: u64) -> Option<(u64, u64, u64)> {
        let floor = self.floor();
        if self.next <= floor {
            // Nothing is under way.
            self.next = floor;
            self.moved_ns = now_ns;
        }
        let len = self.bytes.saturating_sub(self.next).min(PIECE_LEN);
        let is_due = len > 0 && self.next + len <= floor + WINDOW;
        is_due.then(|| {
            let offset = self.next;
            self.next += len;
            (offset, self.bytes, len)
        })
    }
}
