//! Counts of requests, and the identities that must hold between them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::lenient::{self, Whole};

/// Errors of requests that were sent, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorCounters {
    /// The kernel refused to take the request's bytes.
    #[serde(deserialize_with = "lenient::count")]
    pub write: u64,
    /// The connection ended or failed before the answer was complete.
    #[serde(deserialize_with = "lenient::count")]
    pub read: u64,
    /// No complete answer within the timeout.
    #[serde(deserialize_with = "lenient::count")]
    pub timeout: u64,
    /// A complete answer with a status of 400 or more.
    #[serde(deserialize_with = "lenient::count")]
    pub status: u64,
    /// An answer that is not HTTP/1.x.
    #[serde(deserialize_with = "lenient::count")]
    pub malformed: u64,
    /// The request crossed the target's close of a connection that had been idle: a race that every
    /// client with kept connections runs, and no failure of the target.
    #[serde(deserialize_with = "lenient::count")]
    pub stale: u64,
    /// The target answered earlier requests of the connection and then closed it in good order,
    /// which left this pipelined one without an answer.
    #[serde(deserialize_with = "lenient::count")]
    pub unanswered: u64,
    /// An answer with a good status that failed a check or an extraction.
    #[serde(
        deserialize_with = "lenient::count",
        skip_serializing_if = "is_nothing"
    )]
    pub check: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference
fn is_nothing(count: &u64) -> bool {
    *count == 0
}

impl ErrorCounters {
    /// Each kind, by the name that it has in answers.
    #[must_use]
    pub const fn by_kind(&self) -> [(&'static str, u64); 8] {
        [
            ("write", self.write),
            ("read", self.read),
            ("timeout", self.timeout),
            ("status", self.status),
            ("malformed", self.malformed),
            ("stale", self.stale),
            ("unanswered", self.unanswered),
            ("check", self.check),
        ]
    }

    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        let counts = self.by_kind().into_iter().map(|(_, count)| count);
        counts.fold(0, u64::saturating_add)
    }

    /// Adds another core's, interval's or node's counts.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.write, other.write),
            (&mut self.read, other.read),
            (&mut self.timeout, other.timeout),
            (&mut self.status, other.status),
            (&mut self.malformed, other.malformed),
            (&mut self.stale, other.stale),
            (&mut self.unanswered, other.unanswered),
            (&mut self.check, other.check),
        ] {
            *mine = mine.saturating_add(theirs);
        }
    }
}

/// What happened to the requests of a core, a node or a test, in an interval or in all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Requests that were to be sent: those of the count or of the schedule, counted in the first
    /// interval; a closed loop limited by time plans what it offers.
    #[serde(deserialize_with = "lenient::count")]
    pub planned: u64,
    /// Requests whose intended start has come.
    #[serde(deserialize_with = "lenient::count")]
    pub offered: u64,
    /// Sends of which the first byte was handed to the kernel; one that was returned and sent again
    /// is two.
    #[serde(deserialize_with = "lenient::count")]
    pub sent: u64,
    /// Sends that the target says it did not process; its application saw `sent - returned`.
    #[serde(deserialize_with = "lenient::count")]
    pub returned: u64,
    /// Complete answers of any status.
    #[serde(deserialize_with = "lenient::count")]
    pub completed: u64,
    /// Complete answers that are no error: by default those with a status below 400.
    #[serde(deserialize_with = "lenient::count")]
    pub ok: u64,
    /// Requests given up unsent because their deadline had passed.
    #[serde(deserialize_with = "lenient::count")]
    pub shed: u64,
    /// Requests that fell due while the target was away, given up at once as a user's would be.
    #[serde(deserialize_with = "lenient::count")]
    pub refused: u64,
    /// Requests never sent because the load ended early; known at its end.
    #[serde(deserialize_with = "lenient::count")]
    pub not_sent: u64,
    /// Of the plan of a lost node, what its reports do not account for. Nodes do not report it: it
    /// comes in when they are summed up.
    #[serde(
        skip_serializing_if = "is_none_of_them",
        deserialize_with = "lenient::count"
    )]
    pub unknown: u64,
    /// Requests in flight when the load was stopped.
    #[serde(deserialize_with = "lenient::count")]
    pub aborted: u64,
    /// Requests of the warm-up, which nothing else counts.
    #[serde(deserialize_with = "lenient::count")]
    pub warmup_sent: u64,
    /// Failed attempts to connect; outside the identities.
    #[serde(deserialize_with = "lenient::count")]
    pub connect_errors: u64,
    /// Connections that were opened.
    #[serde(deserialize_with = "lenient::count")]
    pub connections_opened: u64,
    /// Open connections that the target closed, or that broke.
    #[serde(deserialize_with = "lenient::count")]
    pub connections_lost: u64,
    /// Times that bytes came which nobody had asked for.
    #[serde(deserialize_with = "lenient::count")]
    pub unsolicited: u64,
    /// Sent requests that ended in an error.
    #[serde(deserialize_with = "lenient::null_is_default")]
    pub errors: ErrorCounters,
    /// Bytes of requests handed to the kernel.
    #[serde(deserialize_with = "lenient::count")]
    pub bytes_sent: u64,
    /// Bytes of answers.
    #[serde(deserialize_with = "lenient::count")]
    pub bytes_received: u64,
    /// Samples outside 1 ns to 1 h, recorded at the bound.
    #[serde(deserialize_with = "lenient::count")]
    pub clamped: u64,
    /// Complete answers by status code.
    #[serde(with = "status_codes")]
    pub status_codes: BTreeMap<u16, u64>,
}

/// An identity of the accounting that does not hold: a bug, or a node that did not report its end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Imbalance {
    /// planned = (sent - returned) + shed + refused + `not_sent` + unknown.
    #[error(
        "planned {planned} is not sent {sent} - returned {returned} + shed {shed} + refused \
         {refused} + not_sent {not_sent} + unknown {unknown}"
    )]
    Planned {
        /// See [`Counters::planned`].
        planned: u64,
        /// See [`Counters::sent`].
        sent: u64,
        /// See [`Counters::returned`].
        returned: u64,
        /// See [`Counters::shed`].
        shed: u64,
        /// See [`Counters::refused`].
        refused: u64,
        /// See [`Counters::not_sent`].
        not_sent: u64,
        /// See [`Counters::unknown`].
        unknown: u64,
    },
    /// sent = ok + errors + aborted + returned.
    #[error(
        "sent {sent} is not ok {ok} + errors {errors} + aborted {aborted} + returned {returned}"
    )]
    Sent {
        /// See [`Counters::sent`].
        sent: u64,
        /// See [`Counters::ok`].
        ok: u64,
        /// [`ErrorCounters::total`].
        errors: u64,
        /// See [`Counters::aborted`].
        aborted: u64,
        /// See [`Counters::returned`].
        returned: u64,
    },
    /// completed = ok + errors of status and checks.
    #[error("completed {completed} is not ok {ok} + status errors {status}")]
    Completed {
        /// See [`Counters::completed`].
        completed: u64,
        /// See [`Counters::ok`].
        ok: u64,
        /// See [`ErrorCounters::status`].
        status: u64,
    },
}

impl Counters {
    /// Adds another core's, interval's or node's counts.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.planned, other.planned),
            (&mut self.offered, other.offered),
            (&mut self.sent, other.sent),
            (&mut self.returned, other.returned),
            (&mut self.completed, other.completed),
            (&mut self.ok, other.ok),
            (&mut self.shed, other.shed),
            (&mut self.refused, other.refused),
            (&mut self.not_sent, other.not_sent),
            (&mut self.unknown, other.unknown),
            (&mut self.aborted, other.aborted),
            (&mut self.warmup_sent, other.warmup_sent),
            (&mut self.connect_errors, other.connect_errors),
            (&mut self.connections_opened, other.connections_opened),
            (&mut self.connections_lost, other.connections_lost),
            (&mut self.unsolicited, other.unsolicited),
            (&mut self.bytes_sent, other.bytes_sent),
            (&mut self.bytes_received, other.bytes_received),
            (&mut self.clamped, other.clamped),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        self.errors.add(&other.errors);
        for (code, count) in &other.status_codes {
            let mine = self.status_codes.entry(*code).or_default();
            *mine = mine.saturating_add(*count);
        }
    }

    /// Checks the identities that hold at the end of every run.
    ///
    /// # Errors
    /// The first [`Imbalance`].
    pub fn check(&self) -> Result<(), Imbalance> {
        let Self {
            planned,
            sent,
            returned,
            shed,
            refused,
            not_sent,
            unknown,
            ok,
            aborted,
            completed,
            ..
        } = *self;
        let (errors, status) = (self.errors.total(), self.errors.status);
        // Whole answers that are no good, by their status or by what is in them.
        let status = status.saturating_add(self.errors.check);
        let sum = |parts: &[u64]| parts.iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
        if sum(&[planned, returned]) != sum(&[sent, shed, refused, not_sent, unknown]) {
            return Err(Imbalance::Planned {
                planned,
                sent,
                returned,
                shed,
                refused,
                not_sent,
                unknown,
            });
        }
        if sent != sum(&[ok, errors, aborted, returned]) {
            return Err(Imbalance::Sent {
                sent,
                ok,
                errors,
                aborted,
                returned,
            });
        }
        if completed != sum(&[ok, status]) {
            return Err(Imbalance::Completed {
                completed,
                ok,
                status,
            });
        }
        Ok(())
    }

    /// Sends that the target's application saw.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.sent.saturating_sub(self.returned)
    }

    /// Planned requests whose end is known.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        [self.shed, self.refused, self.not_sent]
            .iter()
            .fold(self.reached(), |sum, n| sum.saturating_add(*n))
    }

    /// Requests that a user would have made: those that reached the target, and those that were
    /// refused because it was away.
    #[must_use]
    pub fn attempted(&self) -> u64 {
        self.reached().saturating_add(self.refused)
    }

    /// What failed as a share of what was attempted, 0 to 1: (errors + refused) / (sent - returned
    /// + refused); 0 when nothing was attempted.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        let failed = self.errors.total().saturating_add(self.refused);
        share(failed, self.attempted())
    }

    /// Shed requests as a share of what was offered, 0 to 1; 0 when nothing was offered.
    #[must_use]
    pub fn shed_rate(&self) -> f64 {
        share(self.shed, self.offered)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference
fn is_none_of_them(count: &u64) -> bool {
    *count == 0
}

/// The counts of one second of a run, each in the second in which it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SecondRow {
    /// The second, counted from the start of the run.
    #[serde(deserialize_with = "lenient::count")]
    pub second: u64,
    /// Intended starts.
    #[serde(deserialize_with = "lenient::count")]
    pub offered: u64,
    /// Actual starts.
    #[serde(deserialize_with = "lenient::count")]
    pub sent: u64,
    /// Complete answers of any status.
    #[serde(deserialize_with = "lenient::count")]
    pub completed: u64,
    /// Complete answers that are no error.
    #[serde(deserialize_with = "lenient::count")]
    pub ok: u64,
    /// Errors of every kind.
    #[serde(deserialize_with = "lenient::count")]
    pub errors: u64,
    /// Given up unsent, their deadline past.
    #[serde(deserialize_with = "lenient::count")]
    pub shed: u64,
    /// Given up unsent, the target away.
    #[serde(deserialize_with = "lenient::count")]
    pub refused: u64,
    /// Sent and not over at the end of the second; unlike the counts it is no sum over time. Like
    /// the bytes it is absent of drivers that do not say; where only some do, it is of these.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub in_flight: Option<u64>,
    /// Bytes of requests, as in [`Counters::bytes_sent`].
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub bytes_sent: Option<u64>,
    /// Bytes of answers, as in [`Counters::bytes_received`].
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub bytes_received: Option<u64>,
}

/// The sum of what is known.
fn sum_known(mine: &mut Option<u64>, theirs: Option<u64>) {
    if let Some(theirs) = theirs {
        *mine = Some(mine.unwrap_or(0).saturating_add(theirs));
    }
}

impl SecondRow {
    /// What counters of a longer time say of the same requests.
    #[must_use]
    pub fn of(counters: &Counters) -> Self {
        Self {
            second: 0,
            offered: counters.offered,
            sent: counters.sent,
            completed: counters.completed,
            ok: counters.ok,
            errors: counters.errors.total(),
            shed: counters.shed,
            refused: counters.refused,
            ..Self::default()
        }
    }

    /// The counts of requests of this row beyond those of another, none below zero; what else it
    /// says stays.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        Self {
            second: self.second,
            offered: self.offered.saturating_sub(other.offered),
            sent: self.sent.saturating_sub(other.sent),
            completed: self.completed.saturating_sub(other.completed),
            ok: self.ok.saturating_sub(other.ok),
            errors: self.errors.saturating_sub(other.errors),
            shed: self.shed.saturating_sub(other.shed),
            refused: self.refused.saturating_sub(other.refused),
            ..*self
        }
    }

    /// Adds what another core or node did in the same second. Of another second's row what was in
    /// flight does not add.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.offered, other.offered),
            (&mut self.sent, other.sent),
            (&mut self.completed, other.completed),
            (&mut self.ok, other.ok),
            (&mut self.errors, other.errors),
            (&mut self.shed, other.shed),
            (&mut self.refused, other.refused),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        sum_known(&mut self.in_flight, other.in_flight);
        sum_known(&mut self.bytes_sent, other.bytes_sent);
        sum_known(&mut self.bytes_received, other.bytes_received);
    }
}

/// Status codes are keys of a JSON object, that is text.
mod status_codes {
    use std::collections::BTreeMap;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::lenient::Whole;

    pub(super) fn serialize<S: Serializer>(
        codes: &BTreeMap<u16, u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(codes.iter().map(|(code, count)| (code.to_string(), count)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<u16, u64>, D::Error> {
        let texts = Option::<BTreeMap<String, Whole>>::deserialize(deserializer)?;
        let code = |(text, Whole(count)): (String, Whole)| {
            let code = text
                .parse()
                .map_err(|_| Error::custom(format!("{text:?} is no status")))?;
            Ok((code, count))
        };
        texts.into_iter().flatten().map(code).collect()
    }
}

#[cfg(test)]
mod tests;
