//! The accounts of one core. Requests move from state to state through here and nowhere else, so
//! that the identities of the accounting hold by construction:
//!
//! ```text
//!            plan, take_on                          shed, refuse
//!   (plan) ───────────────► waiting ───────────────────────────────► shed | refused
//!                            │    ▲                    close
//!                       send │    │ give_back ─────────────────────► not_sent
//!                            ▼    │
//!                         in flight ───────────────────────────────► ok | errors | aborted
//!                                        answer, lose
//! ```
//!
//! planned = (sent − returned) + shed + refused + `not_sent`, and sent = ok + errors + aborted +
//! returned, when the books of all cores of a node are closed.

use std::fmt::{Arguments, Write};

use crossbeam_channel::Sender;

use super::connection::Flight;
use crate::recording::Handover;
use crate::recording::{CoreHealth, CoreInterval, Instants, Loss};
use crate::source::Verdict;
use proto::measure::{BAD_ANSWERS_ALIKE_MAX, BAD_ANSWERS_MAX, BadAnswer, ReasonKind};

/// The books, and the recorder that they are written into.
#[derive(Debug)]
pub(super) struct Books {
    handover: Handover,
    /// Requests that this core is to send, and has neither sent nor given up.
    waiting: u64,
    /// Measured requests in flight.
    in_flight: u64,
    /// Requests in flight that are not measured.
    warming: u64,
    /// When the last measured request was handed to the network.
    last_send_ns: u64,
    /// Where reasons are written before they are looked up.
    text: String,
    /// Of what kinds the bad answers are that were kept.
    kept: Vec<Fault>,
}

/// What tells bad answers apart, before words are made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) status: u16,
    /// The step, and which check or extract of it failed.
    pub(super) place: (usize, usize),
    pub(super) verdict: Verdict,
}

impl Books {
    pub(super) fn new(core: usize, intervals: Sender<CoreInterval>) -> Self {
        Self {
            handover: Handover::new(core, intervals),
            waiting: 0,
            in_flight: 0,
            warming: 0,
            last_send_ns: 0,
            text: String::new(),
            kept: Vec::new(),
        }
    }

    /// Requests that are to be sent by the whole node, as one of its cores shows them.
    pub(super) fn plan(&mut self, requests: u64) {
        self.handover.recorder.counts.planned += requests;
    }

    /// Requests that this core is to send.
    #[inline]
    pub(super) fn take_on(&mut self, requests: u64) {
        self.waiting += requests;
    }

    /// Requests that another core may send instead.
    pub(super) fn hand_back(&mut self, requests: u64) {
        debug_assert!(requests <= self.waiting, "{requests} of {}", self.waiting);
        self.waiting = self.waiting.saturating_sub(requests);
    }

    /// The intended start of requests has come.
    #[inline]
    pub(super) fn offer(&mut self, requests: u64) {
        self.handover.recorder.counts.offered += requests;
    }

    /// Requests that wait are handed to the network.
    #[inline]
    pub(super) fn send(&mut self, flight: &Flight) {
        let count = u64::from(flight.count);
        if !flight.measured {
            self.warming += count;
            self.handover.recorder.counts.warmup_sent += count;
            return;
        }
        debug_assert!(count <= self.waiting, "{count} of {}", self.waiting);
        self.waiting = self.waiting.saturating_sub(count);
        self.in_flight += count;
        self.last_send_ns = flight.sent_ns;
        self.handover.note_send(flight.sent_ns);
        let recorder = &mut self.handover.recorder;
        recorder.sent(flight.intended_ns, flight.sent_ns, flight.count);
    }

    /// Bytes that are handed to the network, of requests and of what goes with them.
    #[inline]
    pub(super) fn write(&mut self, bytes: u64, measured: bool) {
        if measured {
            self.handover.recorder.counts.bytes_sent += bytes;
        }
    }

    /// Requests that wait are past their deadline.
    pub(super) fn shed(&mut self, requests: u64) {
        self.hand_back(requests);
        self.handover.recorder.counts.shed += requests;
    }

    /// Requests that wait meet a target that takes no connection.
    pub(super) fn refuse(&mut self, requests: u64) {
        self.hand_back(requests);
        self.handover.recorder.counts.refused += requests;
    }

    /// `count` requests of one flight are answered alike. `began_ns` is when the answer began, where
    /// that was before its end, else 0.
    #[inline]
    pub(super) fn answer(&mut self, flight: &Flight, status: u16, began_ns: u64, end_ns: u64) {
        if !self.lands(flight) {
            return;
        }
        let instants = instants(flight, end_ns);
        let recorder = &mut self.handover.recorder;
        recorder.answered(status, instants, flight.count);
        if began_ns > 0 {
            recorder.began_early(status, instants, began_ns);
        }
    }

    /// A request of a session is answered, and judged.
    pub(super) fn answer_judged(
        &mut self,
        flight: &Flight,
        (status, verdict): (u16, Verdict),
        began_ns: u64,
        end_ns: u64,
    ) {
        if !self.lands(flight) {
            return;
        }
        let instants = instants(flight, end_ns);
        let recorder = &mut self.handover.recorder;
        match verdict {
            Verdict::Ok => recorder.good(status, instants, 1),
            Verdict::Status => recorder.bad(status, instants, 1),
            Verdict::Check | Verdict::Extract => recorder.unfit(status, instants),
        }
        if began_ns > 0 && verdict == Verdict::Ok {
            recorder.began_early(200, instants, began_ns);
        }
    }

    /// Requests in flight end without an answer.
    pub(super) fn lose(&mut self, flight: &Flight, loss: Loss, end_ns: u64) {
        if flight.count > 0 && self.lands(flight) {
            let recorder = &mut self.handover.recorder;
            recorder.lost(loss, instants(flight, end_ns), flight.count);
        }
    }

    /// The peer has not processed these: they wait again. Whoever does not send them again gives
    /// them up by one of the other moves.
    pub(super) fn give_back(&mut self, flight: &Flight) {
        let count = u64::from(flight.count);
        if self.lands(flight) {
            self.handover.recorder.counts.returned += count;
            self.waiting += count;
        }
    }

    /// Takes requests out of those in flight; says whether they are measured.
    #[inline]
    fn lands(&mut self, flight: &Flight) -> bool {
        let from = if flight.measured {
            &mut self.in_flight
        } else {
            &mut self.warming
        };
        let count = u64::from(flight.count);
        debug_assert!(count <= *from, "{count} of {from}");
        *from = from.saturating_sub(count);
        flight.measured
    }

    /// Requests in flight, measured or not.
    #[inline]
    pub(super) fn flying(&self) -> u64 {
        self.in_flight + self.warming
    }

    /// What waits is not sent any more.
    pub(super) fn give_up(&mut self) {
        self.handover.recorder.counts.not_sent += std::mem::take(&mut self.waiting);
    }

    /// So many of what waits are not sent any more.
    pub(super) fn give_up_some(&mut self, requests: u64) {
        self.hand_back(requests);
        self.handover.recorder.counts.not_sent += requests;
    }

    /// What was planned for the node, and taken on by none of its cores, was not sent.
    pub(super) fn leave_unsent(&mut self, requests: u64) {
        self.handover.recorder.counts.not_sent += requests;
    }

    /// When the last measured request was handed to the network; 0 before the first.
    pub(super) fn last_send_ns(&self) -> u64 {
        self.last_send_ns
    }

    /// Bytes of answers.
    #[inline]
    pub(super) fn receive(&mut self, bytes: u64) {
        self.handover.recorder.counts.bytes_received += bytes;
    }

    /// An attempt to connect failed.
    pub(super) fn connect_failed(&mut self, errno: Option<i32>) {
        self.handover.recorder.counts.connect_errors += 1;
        let health = &mut self.handover.health;
        match errno {
            Some(libc::EMFILE | libc::ENFILE) => health.descriptors_exhausted += 1,
            Some(libc::EADDRNOTAVAIL) => health.ports_exhausted += 1,
            _ => {}
        }
    }

    /// A connection was opened within that time.
    pub(super) fn connected(&mut self, took_ns: u64) {
        self.handover.recorder.connected(took_ns);
    }

    /// A handshake took that long.
    pub(super) fn greeted(&mut self, took_ns: u64) {
        self.handover.recorder.greeted(took_ns);
    }

    /// A connection became of use.
    pub(super) fn opened(&mut self) {
        self.handover.recorder.counts.connections_opened += 1;
    }

    /// A connection of use ended that nobody here wanted to end.
    pub(super) fn lost_connection(&mut self) {
        self.handover.recorder.counts.connections_lost += 1;
    }

    /// Bytes came that nobody asked for.
    pub(super) fn unsolicited(&mut self) {
        self.handover.recorder.counts.unsolicited += 1;
    }

    /// An attempt to connect is put off.
    pub(super) fn held_back(&mut self) {
        self.handover.health.held_back += 1;
    }

    /// The target was away for so long.
    pub(super) fn away(&mut self, ns: u64) {
        self.handover.health.away_ns += ns;
    }

    /// Whether any bad answer may still be one of the first, which are kept.
    #[inline]
    pub(super) fn wants_any(&self) -> bool {
        self.kept.len() < BAD_ANSWERS_MAX
    }

    /// Whether a bad answer is one of the first of its kind, which are kept.
    #[inline]
    pub(super) fn wants(&self, fault: Fault) -> bool {
        self.wants_any() && self.alike(fault) < BAD_ANSWERS_ALIKE_MAX
    }

    fn alike(&self, fault: Fault) -> usize {
        self.kept.iter().filter(|kept| **kept == fault).count()
    }

    /// Keeps a bad answer that is wanted.
    #[cold]
    pub(super) fn keep(&mut self, fault: Fault, answer: BadAnswer) {
        self.kept.push(fault);
        self.handover.recorder.bad_answers.note(answer);
    }

    /// Why something went wrong, in words.
    pub(super) fn note(&mut self, kind: ReasonKind, count: u32, reason: Arguments<'_>) {
        self.text.clear();
        // Writing into a string fails only where a Display does, whose text is kept so far.
        let _ = self.text.write_fmt(reason);
        let reasons = &mut self.handover.recorder.reasons;
        reasons.note(kind, &self.text, u64::from(count));
    }

    /// The recording side: seconds, health, the last interval.
    pub(super) fn handover(&mut self) -> &mut Handover {
        &mut self.handover
    }

    /// The condition of the core in this interval.
    pub(super) fn health(&mut self) -> &mut CoreHealth {
        &mut self.handover.health
    }

    /// End of the current second, ns.
    #[inline]
    pub(super) fn boundary_ns(&self) -> u64 {
        self.handover.boundary_ns
    }
}

fn instants(flight: &Flight, end_ns: u64) -> Instants {
    Instants {
        intended_ns: flight.intended_ns,
        sent_ns: flight.sent_ns,
        end_ns,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flight(count: u32) -> Flight {
        Flight {
            intended_ns: 1,
            sent_ns: 2,
            count,
            returned: 0,
            measured: true,
        }
    }

    proptest! {
        /// Whatever is done in whatever order, the books balance when they are closed.
        #[test]
        fn the_identities_hold_after_any_order_of_moves(
            plan in 1..200_u64,
            moves in prop::collection::vec((0..7_u8, 1..9_u32), 0..200),
        ) {
            let (out, intervals) = crossbeam_channel::unbounded();
            let mut books = Books::new(0, out);
            books.plan(plan);
            books.take_on(plan);
            for (step, count) in moves {
                let waiting = u32::try_from(books.waiting).unwrap().min(count);
                let flying = u32::try_from(books.in_flight).unwrap().min(count);
                match step {
                    0 | 1 => {
                        books.offer(u64::from(waiting));
                        books.send(&flight(waiting));
                    }
                    2 => books.shed(u64::from(waiting)),
                    3 => books.refuse(u64::from(waiting)),
                    4 => books.answer(&flight(flying), [200, 404][count as usize % 2], 0, 9),
                    5 => books.lose(&flight(flying), Loss::Read, 9),
                    _ => books.give_back(&flight(flying)),
                }
            }
            books.lose(&flight(u32::try_from(books.in_flight).unwrap()), Loss::Aborted, 9);
            books.give_up();
            prop_assert_eq!(books.flying(), 0);
            books
                .handover()
                .finish(10, 0, Vec::new(), Vec::new());
            let counters = intervals.recv().unwrap().recorder().counters();
            prop_assert_eq!(counters.check(), Ok(()), "{:#?}", counters);
            prop_assert_eq!(counters.planned, plan);
        }
    }
}
