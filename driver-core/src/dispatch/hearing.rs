//! Who listens to what the bytes of a connection mean, and writes it into the books.

use std::collections::VecDeque;

use proto::measure::{BadAnswer, ReasonKind};

use super::books::{Books, Fault};
use super::connection::{Flight, Flights, take_job};
use super::due::{Again, Returned, ReturnedQueue};
use crate::protocol::{Answered, Dropped, Key, Sink, Watches};
use crate::recording::Loss;
use crate::source::{Answer, Outcome, Source, Verdict};

/// Answers that are alike, to be recorded as one.
struct Run {
    flight: Flight,
    status: u16,
    began_ns: u64,
}

/// Records what one piece of bytes brings.
pub(super) struct Answers<'a, S: Source> {
    flights: &'a mut Flights,
    source: &'a mut S,
    jobs: &'a mut VecDeque<(Key, S::Job)>,
    again: &'a mut VecDeque<Again<S::Job>>,
    pub(super) books: &'a mut Books,
    returned: &'a mut ReturnedQueue,
    in_order: bool,
    now_ns: u64,
    run: Option<Run>,
    /// Answers so far; those of them that are measured.
    pub(super) count: u64,
    pub(super) measured: u64,
}

impl<'a, S: Source> Answers<'a, S> {
    #[inline]
    pub(super) fn new(
        (flights, jobs): (&'a mut Flights, &'a mut VecDeque<(Key, S::Job)>),
        (source, again): (&'a mut S, &'a mut VecDeque<Again<S::Job>>),
        books: &'a mut Books,
        returned: &'a mut ReturnedQueue,
        in_order: bool,
        now_ns: u64,
    ) -> Self {
        Self {
            flights,
            source,
            jobs,
            again,
            books,
            returned,
            in_order,
            now_ns,
            run: None,
            count: 0,
            measured: 0,
        }
    }

    #[inline]
    pub(super) fn flush(&mut self) {
        if let Some(run) = self.run.take() {
            self.books
                .answer(&run.flight, run.status, run.began_ns, self.now_ns);
        }
    }

    fn take(&mut self, key: Key) -> Option<(Flight, u64)> {
        if self.in_order {
            self.flights.take_oldest()
        } else {
            self.flights.take(key)
        }
    }
}

impl<S: Source> Sink for Answers<'_, S> {
    const WATCHES: bool = !S::IS_FIXED;

    #[inline]
    fn expects(&self) -> bool {
        self.flights.count() > 0
    }

    fn began(&mut self, key: Key) {
        let key = (!self.in_order).then_some(key);
        self.flights.began(key, self.now_ns);
    }

    #[inline]
    fn keeps(&self, key: Key, status: u16) -> bool {
        if S::IS_FIXED {
            return status >= 400 && self.books.wants_any();
        }
        let may_fail = |job| self.source.may_fail(job, status);
        self.books.wants_any() && self.job(key).is_some_and(may_fail)
    }

    #[inline]
    fn answered(&mut self, answered: Answered<'_>) {
        let Some((taken, began_ns)) = self.take(answered.key) else {
            return;
        };
        let flight = Flight { count: 1, ..taken };
        self.count += 1;
        self.measured += u64::from(flight.measured);
        let status = answered.status;
        if !S::IS_FIXED {
            return self.judged(answered, flight, began_ns);
        }
        if status >= 400 && flight.measured {
            self.keep_bad(answered, &Outcome::of_status());
        }
        match &mut self.run {
            Some(run)
                if run.status == status
                    && began_ns == 0
                    && run.began_ns == 0
                    && Flight {
                        count: 1,
                        ..run.flight
                    } == flight =>
            {
                run.flight.count += 1;
            }
            _ => {
                self.flush();
                self.run = Some(Run {
                    flight,
                    status,
                    began_ns,
                });
            }
        }
    }

    #[inline]
    fn watches(&self, key: Key) -> Watches {
        let watches = |job| self.source.watches(job);
        self.job(key).map_or_else(Watches::default, watches)
    }

    fn field(&mut self, key: Key, name: &[u8], value: &[u8]) {
        if let Some(job) = self.job(key) {
            self.source.field(job, name, value);
        }
    }

    fn body(&mut self, key: Key, bytes: &[u8]) {
        if let Some(job) = self.job(key) {
            self.source.body(job, bytes);
        }
    }

    fn dropped(&mut self, key: Key, dropped: Dropped) {
        let Some((flight, _)) = self.take(key) else {
            return;
        };
        if !S::IS_FIXED && dropped == Dropped::Returned {
            return self.return_job(key, flight);
        }
        if let Some(job) = take_job(self.jobs, (!self.in_order).then_some(key)) {
            self.source.lost(job, self.now_ns);
        }
        match dropped {
            Dropped::Returned => {
                put_back(&Flight { count: 1, ..flight }, self.books, self.returned);
            }
            Dropped::Reset(code) => {
                self.books.note(
                    ReasonKind::Read,
                    1,
                    format_args!("the target reset the stream (code {code})"),
                );
                self.books
                    .lose(&Flight { count: 1, ..flight }, Loss::Read, self.now_ns);
            }
        }
    }
}

impl<S: Source> Answers<'_, S> {
    /// The job of a request in flight.
    fn job(&self, key: Key) -> Option<S::Job> {
        let at = if self.in_order {
            0
        } else {
            self.jobs.binary_search_by_key(&key, |(key, _)| *key).ok()?
        };
        self.jobs.get(at).map(|(_, job)| *job)
    }

    /// An answer of a session, which its source judges.
    fn judged(&mut self, answered: Answered<'_>, flight: Flight, began_ns: u64) {
        let key = (!self.in_order).then_some(answered.key);
        let Some(job) = take_job(self.jobs, key) else {
            return;
        };
        let answer = Answer {
            status: answered.status,
            sent_ns: flight.sent_ns,
            end_ns: self.now_ns,
        };
        let outcome = self.source.answered(job, answer);
        let verdict = outcome.verdict;
        if verdict != Verdict::Ok && flight.measured {
            self.keep_bad(answered, &outcome);
        }
        self.books
            .answer_judged(&flight, (answered.status, verdict), began_ns, self.now_ns);
    }

    /// Keeps an answer that counts as an error, if it is one of the first.
    fn keep_bad(&mut self, answered: Answered<'_>, outcome: &Outcome) {
        let status = answered.status;
        let fault = Fault {
            // What failed a check failed it whatever its status was.
            status: if outcome.verdict == Verdict::Status {
                status
            } else {
                0
            },
            place: (outcome.step, outcome.failed),
            verdict: outcome.verdict,
        };
        if self.books.wants(fault) {
            let (step, why) = self.source.blame(outcome, status);
            let answer = BadAnswer::new(step, why, status, answered.bytes);
            self.books.keep(fault, answer);
        }
    }

    /// A request of a session that the target did not process waits again, unless that happened too
    /// often.
    fn return_job(&mut self, key: Key, flight: Flight) {
        let Some(job) = take_job(self.jobs, (!self.in_order).then_some(key)) else {
            return;
        };
        self.books.give_back(&Flight { count: 1, ..flight });
        let again = Again {
            intended_ns: flight.intended_ns,
            returned: flight.returned.saturating_add(1),
            job,
        };
        if again.is_worth_it() {
            return self.again.push_back(again);
        }
        self.books.give_up_some(u64::from(flight.measured));
        self.source.lost(job, self.now_ns);
    }
}

/// A request that the target did not process waits again, unless that happened too often.
fn put_back(flight: &Flight, books: &mut Books, queue: &mut ReturnedQueue) {
    books.give_back(flight);
    let request = Returned {
        intended_ns: flight.intended_ns,
        returned: flight.returned.saturating_add(1),
    };
    if flight.measured && !queue.put(request) {
        books.give_up_some(1);
    }
}
