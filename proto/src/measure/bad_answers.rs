//! The first answers that were none of those hoped for, as they came: what a server says when it
//! refuses is what people look for first.

use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::secret::{MASK, is_secret};

/// Answers that are kept of a driver, and of a test.
pub const BAD_ANSWERS_MAX: usize = 8;
/// Of those, how many of the same step that failed for the same reason.
pub const BAD_ANSWERS_ALIKE_MAX: usize = 2;
/// Bytes of an answer's head that are kept.
pub const HEAD_KEPT_MAX: usize = 2048;
/// Bytes of its body.
pub const BODY_KEPT_MAX: usize = 4096;
/// A shorter secret is not looked for in answers: it may stand for anything.
const SECRET_LEN_MIN: usize = 4;

/// An answer that counts as an error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BadAnswer {
    /// The step of the document, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What was wrong with it: `status 503`, or the check or the extract that failed.
    pub why: String,
    /// Its status.
    #[serde(default, deserialize_with = "lenient::count")]
    pub status: u64,
    /// What came of it with its last bytes, from its head on where that was among them, at most
    /// [`HEAD_KEPT_MAX`] and [`BODY_KEPT_MAX`] bytes; nothing over HTTP/2. What is no UTF-8 is
    /// replaced, secrets are masked.
    #[serde(default)]
    pub text: String,
    /// Whether that is not all of it.
    #[serde(default)]
    pub is_cut: bool,
}

impl BadAnswer {
    /// Keeps what fits of an answer's bytes.
    #[must_use]
    pub fn new(step: Option<String>, why: String, status: u16, bytes: &[u8]) -> Self {
        let head_len = match bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(at) if bytes.starts_with(b"HTTP/") => at + 4,
            _ => 0,
        };
        let (head, body) = bytes.split_at(head_len);
        let (kept_head, kept_body) = (clip(head, HEAD_KEPT_MAX), clip(body, BODY_KEPT_MAX));
        let text = [kept_head, kept_body].concat();
        Self {
            step,
            why,
            status: status.into(),
            text: String::from_utf8_lossy(&text).into_owned(),
            is_cut: text.len() < bytes.len() || head_len == 0 && !bytes.is_empty(),
        }
    }

    /// Masks these secrets wherever they stand, and the values of fields whose names say that they
    /// are secrets.
    pub fn mask(&mut self, secrets: &[String]) {
        let looked_for = || secrets.iter().filter(|one| one.len() >= SECRET_LEN_MIN);
        for secret in looked_for() {
            self.text = self.text.replace(secret.as_str(), MASK);
        }
        // The cut may have gone through one.
        let begun = looked_for().filter_map(|secret| {
            let lengths = (1..secret.len())
                .rev()
                .filter(|at| secret.is_char_boundary(*at));
            let mut begun = lengths.filter(|at| self.text.ends_with(&secret[..*at]));
            begun.next()
        });
        if let Some(length) = begun.max().filter(|_| self.is_cut) {
            self.text.truncate(self.text.len() - length);
            self.text.push_str(MASK);
        }
        let Some((head, body)) = self.text.split_once("\r\n\r\n") else {
            return;
        };
        let lines: Vec<String> = head.split("\r\n").map(masked_field).collect();
        self.text = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
    }
}

fn clip(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[..bytes.len().min(most)]
}

fn masked_field(line: &str) -> String {
    match line.split_once(':') {
        Some((name, _)) if is_secret(name) => format!("{name}: {MASK}"),
        _ => line.to_owned(),
    }
}

/// The first [`BAD_ANSWERS_MAX`] bad answers, and of like ones the first [`BAD_ANSWERS_ALIKE_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Option<Vec<BadAnswer>>", into = "Vec<BadAnswer>")]
pub struct BadAnswers {
    list: Vec<BadAnswer>,
}

impl BadAnswers {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The answers, the first first.
    pub fn iter(&self) -> impl Iterator<Item = &BadAnswer> {
        self.list.iter()
    }

    /// Keeps another one, if there is room.
    pub fn note(&mut self, answer: BadAnswer) {
        let is_alike = |one: &&BadAnswer| one.step == answer.step && one.why == answer.why;
        let alike = self.list.iter().filter(is_alike).count();
        if self.list.len() < BAD_ANSWERS_MAX && alike < BAD_ANSWERS_ALIKE_MAX {
            self.list.push(answer);
        }
    }

    /// Adds those of another core, interval or node, behind ours.
    pub fn absorb(&mut self, other: &Self) {
        for answer in &other.list {
            self.note(answer.clone());
        }
    }

    /// Masks secrets in all of them.
    pub fn mask(&mut self, secrets: &[String]) {
        self.list.iter_mut().for_each(|answer| answer.mask(secrets));
    }
}

impl From<Option<Vec<BadAnswer>>> for BadAnswers {
    fn from(read: Option<Vec<BadAnswer>>) -> Self {
        let mut answers = Self::default();
        for answer in read.into_iter().flatten() {
            answers.note(answer);
        }
        answers
    }
}

impl From<BadAnswers> for Vec<BadAnswer> {
    fn from(answers: BadAnswers) -> Self {
        answers.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(why: &str, bytes: &[u8]) -> BadAnswer {
        BadAnswer::new(None, why.to_owned(), 503, bytes)
    }

    #[test]
    fn head_and_body_are_kept_up_to_their_bounds() {
        let whole = bad("status 503", b"HTTP/1.1 503 No\r\n\r\nwhy\xff");
        assert_eq!(whole.text, "HTTP/1.1 503 No\r\n\r\nwhy\u{fffd}");
        assert!(!whole.is_cut);
        let body = "b".repeat(BODY_KEPT_MAX + 1);
        let long = bad(
            "",
            format!("HTTP/1.1 503 No\r\nA: b\r\n\r\n{body}").as_bytes(),
        );
        assert!(long.is_cut && long.text.ends_with(&body[1..]));
        assert_eq!(long.text.len(), 25 + BODY_KEPT_MAX);
        let head = format!(
            "HTTP/1.1 503 No\r\nA: {}\r\n\r\nx",
            "b".repeat(HEAD_KEPT_MAX)
        );
        let long = bad("", head.as_bytes());
        assert!(long.is_cut && long.text.len() == HEAD_KEPT_MAX + 1);
        // The last piece of one that came in many; and none at all.
        assert!(bad("", b"the end").is_cut);
        assert!(!bad("", b"").is_cut);
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand_and_at_the_cut() {
        let secrets = ["hunter22".to_owned(), "abc".to_owned()];
        let mut answer = bad(
            "",
            b"HTTP/1.1 403 No\r\nSet-Cookie: sid=1\r\nX-A: hunter22\r\n\r\nno hunter22, abc hunt",
        );
        answer.mask(&secrets);
        assert_eq!(
            answer.text,
            format!(
                "HTTP/1.1 403 No\r\nSet-Cookie: {MASK}\r\nX-A: {MASK}\r\n\r\nno {MASK}, abc hunt"
            )
        );
        let mut cut = bad("", b"wrong password: hunt");
        cut.mask(&secrets);
        assert_eq!(cut.text, format!("wrong password: {MASK}"));
    }

    #[test]
    fn like_ones_leave_room_for_others_and_what_is_read_keeps_the_bounds() {
        let mut answers = BadAnswers::default();
        for n in 0..20 {
            answers.note(bad(&format!("status {}", 500 + n / 5), b"x"));
        }
        let why: Vec<&str> = answers.iter().map(|answer| answer.why.as_str()).collect();
        let of = |status: u32| format!("status {status}");
        let expected: Vec<String> = (500..504).flat_map(|s| [of(s), of(s)]).collect();
        assert_eq!(why, expected);
        let many: Vec<BadAnswer> = (0..50).map(|n| bad(&n.to_string(), b"x")).collect();
        let mut json = serde_json::to_vec(&many).unwrap();
        let read: BadAnswers = crate::codec::decode(&mut json).unwrap();
        assert_eq!(read.iter().count(), BAD_ANSWERS_MAX);
        let nothing: BadAnswers = crate::codec::decode(&mut b"null".to_vec()).unwrap();
        assert!(nothing.is_empty());
    }
}
