//! The first answers that were none of those hoped for, as they came: what a server says when it
//! refuses is what people look for first.

use std::borrow::Cow;

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
/// Bytes that are kept until secrets are masked: cutting first could leave a part of one.
pub const BAD_ANSWER_BYTES_MAX: usize = 16 * 1024;
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
    /// What came of it, from its head on, at most [`HEAD_KEPT_MAX`] and [`BODY_KEPT_MAX`] bytes.
    /// Nothing where its head had come before its last bytes over HTTP/1.1, and where very many
    /// answers came at a time over HTTP/2, whose fields are written as HTTP/1.1 would. What is no UTF-8
    /// is replaced, secrets are masked.
    #[serde(default)]
    pub text: String,
    /// Whether that is not all of it.
    #[serde(default)]
    pub is_cut: bool,
}

impl BadAnswer {
    /// Keeps an answer's bytes until they are [masked](Self::mask).
    #[must_use]
    pub fn new(step: Option<String>, why: String, status: u16, bytes: &[u8]) -> Self {
        // Without its head nobody could tell what of it is a field that is a secret.
        let shown = if bytes.starts_with(b"HTTP/") {
            &bytes[..bytes.len().min(BAD_ANSWER_BYTES_MAX)]
        } else {
            &[]
        };
        Self {
            step,
            why,
            status: status.into(),
            text: String::from_utf8_lossy(shown).into_owned(),
            is_cut: shown.len() < bytes.len(),
        }
    }

    /// Masks these secrets wherever they stand, and the values of fields whose names say that they
    /// are secrets; then cuts head and body to their bounds.
    pub fn mask(&mut self, secrets: &[String]) {
        let mut secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        secrets.retain(|secret| secret.len() >= SECRET_LEN_MIN);
        // A secret may be a part of another.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        let hide = |text: String, secret: &&str| text.replace(*secret, MASK);
        let mut text = secrets.iter().fold(std::mem::take(&mut self.text), hide);
        if self.is_cut {
            mask_begun(&mut text, &secrets);
        }
        let (head, body) = masked_heads(&text);
        let (kept_head, kept_body) = (lines_within(&head), clip(body, BODY_KEPT_MAX));
        self.is_cut |= kept_head.len() < head.len() || kept_body.len() < body.len();
        self.text = format!("{kept_head}{kept_body}");
    }
}

/// Masks the beginning of a secret that the end of a text has cut off.
fn mask_begun(text: &mut String, secrets: &[&str]) {
    let begun = secrets.iter().filter_map(|secret| {
        let mut lengths = (1..secret.len()).rev();
        lengths.find(|at| secret.is_char_boundary(*at) && text.ends_with(&secret[..*at]))
    });
    if let Some(length) = begun.max() {
        text.truncate(text.len() - length);
        text.push_str(MASK);
    }
}

/// The heads that a text begins with, those of interim answers too, with secret fields masked; and
/// what follows them.
fn masked_heads(text: &str) -> (String, &str) {
    let (mut heads, mut rest) = (String::new(), text);
    loop {
        let is_interim = rest.starts_with("HTTP/1.1 1");
        let mut is_whole = false;
        while !is_whole && !rest.is_empty() {
            let end = rest.find('\n').map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(end);
            heads.push_str(&masked_field(line));
            rest = after;
            is_whole = line.trim_end_matches(['\r', '\n']).is_empty();
        }
        if !(is_interim && rest.starts_with("HTTP/")) {
            return (heads, rest);
        }
    }
}

/// A line of a head as it may be shown.
fn masked_field(line: &str) -> Cow<'_, str> {
    match line.split_once(':') {
        Some((name, value)) if is_secret(name.trim()) => {
            let end = &value[value.trim_end_matches(['\r', '\n']).len()..];
            format!("{name}: {MASK}{end}").into()
        }
        _ => line.into(),
    }
}

/// The lines of a head that fit whole.
fn lines_within(head: &str) -> &str {
    let clipped = clip(head, HEAD_KEPT_MAX);
    if clipped.len() == head.len() {
        return head;
    }
    &clipped[..clipped.rfind('\n').map_or(0, |at| at + 1)]
}

fn clip(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
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

    fn masked(bytes: &[u8], secrets: &[&str]) -> BadAnswer {
        let mut answer = bad("", bytes);
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        answer.mask(&secrets);
        answer
    }

    #[test]
    fn head_and_body_are_kept_up_to_their_bounds() {
        let whole = masked(b"HTTP/1.1 503 No\r\n\r\nwhy\xff", &[]);
        assert_eq!(whole.text, "HTTP/1.1 503 No\r\n\r\nwhy\u{fffd}");
        assert!(!whole.is_cut);
        let body = "b".repeat(BODY_KEPT_MAX + 1);
        let long = masked(
            format!("HTTP/1.1 503 No\r\nA: b\r\n\r\n{body}").as_bytes(),
            &[],
        );
        assert!(long.is_cut && long.text.ends_with(&body[1..]));
        assert_eq!(long.text.len(), 25 + BODY_KEPT_MAX);
        let field = "b".repeat(HEAD_KEPT_MAX);
        let head = format!("HTTP/1.1 503 No\r\nA: {field}\r\n\r\nx");
        let long = masked(head.as_bytes(), &[]);
        assert!(long.is_cut);
        assert_eq!(long.text, "HTTP/1.1 503 No\r\nx");
        // One whose head came before; and none at all.
        let rest = masked(b"the end", &[]);
        assert!(rest.is_cut && rest.text.is_empty());
        assert!(!masked(b"", &[]).is_cut);
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let answer =
            b"HTTP/1.1 403 No\r\nSet-Cookie: sid=1\r\nX-A: hunter22\r\n\r\nno hunter22, abc hunt";
        let expected = format!(
            "HTTP/1.1 403 No\r\nSet-Cookie: {MASK}\r\nX-A: {MASK}\r\n\r\nno {MASK}, abc hunt"
        );
        assert_eq!(masked(answer, &["hunter22", "abc"]).text, expected);
        // One is a part of the other.
        let nested = masked(b"HTTP/1.1 403 No\r\n\r\nabcdefgh", &["abcd", "abcdefgh"]);
        assert!(
            nested.text.ends_with(&format!("\r\n\r\n{MASK}")),
            "{nested:?}"
        );
        // An interim answer before it, and a head that is cut.
        let early = b"HTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 500 No\r\nSet-Cookie: a=b\r\n\r\n";
        assert!(!masked(early, &[]).text.contains("a=b"));
        let filler = "b".repeat(HEAD_KEPT_MAX);
        let long = format!("HTTP/1.1 500 No\r\nSet-Cookie: a=b\r\nA: {filler}\r\n\r\n");
        assert!(!masked(long.as_bytes(), &[]).text.contains("a=b"));
        let partial = masked(b"HTTP/1.1 500 No\r\nSet-Cookie: a=b", &[]);
        assert!(!partial.text.contains("a=b"));
    }

    #[test]
    fn no_cut_leaves_a_part_of_a_secret() {
        let secret = "s".repeat(10) + "ecret";
        for before in (BODY_KEPT_MAX - 20..BODY_KEPT_MAX)
            .chain(BAD_ANSWER_BYTES_MAX - 60..BAD_ANSWER_BYTES_MAX)
        {
            let filler = "x".repeat(before);
            let answer = format!("HTTP/1.1 500 No\r\n\r\n{filler}{secret}{filler}");
            let text = masked(answer.as_bytes(), &[&secret]).text;
            assert!(!text.contains("ss"), "{before}");
        }
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
