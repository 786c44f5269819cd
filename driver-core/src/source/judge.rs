//! What an answer is looked at for: the values that are kept of it, and the checks.

use std::io::Write;

use proto::units::ns_to_ms;
use proto::workload::expectation::{BODY_KEPT_MAX, VALUE_LEN_MAX};
use proto::workload::{Escape, Step, Subject};

use super::tally::StepTally;
use super::{Answer, Verdict, jar, json};

/// What is kept of an answer while it comes. Kept from answer to answer, for its memory.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) body: Vec<u8>,
    /// Values of fields and cookies, end to end.
    texts: Vec<u8>,
    /// Which subject of the step found its value where in `texts`.
    found: Vec<(usize, usize, usize)>,
}

/// What an answer is worth, and whether it ends the loop that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// Which check or extract decided, by number.
    pub(super) failed: usize,
    pub(super) holds: bool,
}

/// Where extracted values go.
pub(super) trait Slots {
    /// Sets the value of a slot.
    fn set(&mut self, slot: usize, value: &[u8]);
    /// Takes the value of a slot away.
    fn unset(&mut self, slot: usize);
}

impl Seen {
    pub(super) fn clear(&mut self) {
        self.body.clear();
        self.texts.clear();
        self.found.clear();
    }

    /// Keeps what the step looks for in a field.
    pub(super) fn field(&mut self, step: &Step, name: &[u8], value: &[u8]) {
        for (number, subject) in subjects(step).enumerate() {
            let value = match subject {
                Subject::Header(wanted) if name.eq_ignore_ascii_case(wanted.as_bytes()) => value,
                Subject::Cookie(wanted) if name.eq_ignore_ascii_case(b"set-cookie") => {
                    match jar::name_and_value(value) {
                        Some((name, value)) if name == wanted.as_bytes() => value,
                        _ => continue,
                    }
                }
                _ => continue,
            };
            let is_first = !self.found.iter().any(|(other, ..)| *other == number);
            if is_first && self.texts.len() + value.len() <= BODY_KEPT_MAX {
                let start = self.texts.len();
                self.texts.extend_from_slice(value);
                self.found.push((number, start, self.texts.len()));
            }
        }
    }

    /// Keeps a piece of the body.
    pub(super) fn body(&mut self, bytes: &[u8]) {
        let room = BODY_KEPT_MAX.saturating_sub(self.body.len());
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The value of a subject, found here or written to `scratch`.
    fn value<'s>(
        &'s self,
        number: usize,
        subject: &Subject,
        answer: &Answer,
        scratch: &'s mut Vec<u8>,
    ) -> Option<&'s [u8]> {
        scratch.clear();
        match subject {
            Subject::Status => {
                write!(scratch, "{}", answer.status).ok()?;
                Some(scratch)
            }
            Subject::Latency => {
                let ns = answer.end_ns.saturating_sub(answer.sent_ns);
                write!(scratch, "{}", ns_to_ms(ns)).ok()?;
                Some(scratch)
            }
            Subject::Body => Some(&self.body),
            Subject::Header(_) | Subject::Cookie(_) => {
                let (_, start, end) = self.found.iter().find(|(other, ..)| *other == number)?;
                Some(&self.texts[*start..*end])
            }
            Subject::Json(path) => json::find(&self.body, path, scratch).then_some(scratch),
            Subject::Regex(pattern) => {
                if pattern.0.captures_len() == 1 {
                    return Some(pattern.0.find(&self.body)?.as_bytes());
                }
                let groups = pattern.0.captures(&self.body)?;
                Some(groups.get(1)?.as_bytes())
            }
        }
    }
}

/// Extracts, checks and the condition of the loop, in this order.
fn subjects(step: &Step) -> impl Iterator<Item = &Subject> {
    let extracts = step.extracts.iter().map(|extract| &extract.from);
    let checks = step.checks.iter().chain(&step.until);
    extracts.chain(checks.map(|check| &check.subject))
}

/// Extracts, checks and counts what has come.
pub(super) fn judge(
    step: &Step,
    seen: &Seen,
    answer: &Answer,
    slots: &mut impl Slots,
    (tally, scratch): (&mut StepTally, &mut Vec<u8>),
) -> Judged {
    let (mut verdict, mut failed) = (Verdict::Ok, 0);
    if !step.ok.contains(answer.status) {
        verdict = Verdict::Status;
    }
    for (number, extract) in step.extracts.iter().enumerate() {
        let value = seen.value(number, &extract.from, answer, scratch);
        let fits = |value: &&[u8]| {
            value.len() <= VALUE_LEN_MAX && (!extract.is_for_header || Escape::Header.takes(value))
        };
        if let Some(value) = value.filter(fits) {
            slots.set(extract.slot, value);
        } else {
            slots.unset(extract.slot);
            tally.missing[number] += 1;
            (verdict, failed) = worse((verdict, failed), (Verdict::Extract, number));
        }
    }
    let first_check = step.extracts.len();
    for (number, check) in step.checks.iter().enumerate() {
        let value = seen.value(first_check + number, &check.subject, answer, scratch);
        if value.is_some_and(|value| check.comparison.holds(value)) {
            tally.checks[number].0 += 1;
        } else {
            tally.checks[number].1 += 1;
            (verdict, failed) = worse((verdict, failed), (Verdict::Check, number));
        }
    }
    let last = first_check + step.checks.len();
    let holds = step.until.as_ref().is_some_and(|check| {
        let value = seen.value(last, &check.subject, answer, scratch);
        value.is_some_and(|value| check.comparison.holds(value))
    });
    match verdict {
        Verdict::Ok => tally.ok += 1,
        Verdict::Status => tally.status += 1,
        Verdict::Check | Verdict::Extract => tally.failed += 1,
    }
    Judged {
        verdict,
        failed,
        holds,
    }
}

/// The first that applies of status, check and extraction; of like ones the first.
fn worse(one: (Verdict, usize), other: (Verdict, usize)) -> (Verdict, usize) {
    let rank = |verdict| match verdict {
        Verdict::Status => 3,
        Verdict::Check => 2,
        Verdict::Extract => 1,
        Verdict::Ok => 0,
    };
    if rank(other.0) > rank(one.0) {
        other
    } else {
        one
    }
}
