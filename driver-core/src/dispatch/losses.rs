//! How the requests in flight on a connection that ends are lost, and why.

use std::fmt;
use std::io;

use proto::measure::ReasonKind;
use proto::units::{NS_PER_MS, NS_PER_S};

use super::books::Books;
use super::connection::{Connection, Flight};
use super::network::Network;
use super::{Dispatcher, Limits};
use crate::protocol::Protocol;
use crate::recording::Loss;
use crate::source::Source;
use crate::transport::Transport;

/// A connection that was idle for this long may have been closed by the target meanwhile, ns.
const STALE_IDLE_NS: u64 = 100 * NS_PER_MS;
/// A close that crossed a send is noticed within this, ns.
const STALE_CROSSING_NS: u64 = NS_PER_S;

/// Why requests in flight are lost.
pub(super) enum Cause<'a> {
    /// Of the kernel, with the number of the error.
    Errno(i32),
    /// The target ended the connection.
    Ended,
    /// The answer before was the connection's last.
    Closes,
    /// In words.
    Words(&'a dyn fmt::Display),
}

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => io::Error::from_raw_os_error(*errno).fmt(f),
            Self::Ended => f.write_str("the target ended the connection"),
            Self::Closes => f.write_str("the target ended the connection after an answer"),
            Self::Words(words) => words.fmt(f),
        }
    }
}

/// How the requests in flight on a connection that ends are lost: the first, and those behind it.
pub(super) struct Losses {
    first: (Loss, ReasonKind),
    behind: (Loss, ReasonKind),
    words: String,
    timeout_ns: u64,
}

impl Losses {
    pub(super) fn of<P, T, J>(
        connection: &Connection<P, T, J>,
        loss: Loss,
        cause: &Cause<'_>,
        limits: &Limits,
        now_ns: u64,
    ) -> Self {
        let is_pipelined = limits.pipeline > 1;
        let flights = &connection.flights;
        let sent_ns = flights
            .oldest()
            .map_or(now_ns, |(_, flight)| flight.sent_ns);
        let crossed = connection.idle_ns >= STALE_IDLE_NS
            && now_ns.saturating_sub(sent_ns) < STALE_CROSSING_NS
            && connection.assigned == connection.served + u64::from(flights.count());
        let first = match loss {
            Loss::Malformed => (loss, ReasonKind::Malformed),
            Loss::Timeout => (loss, ReasonKind::Timeout),
            Loss::Aborted => (loss, ReasonKind::Other),
            _ if flights.has_begun() => (Loss::Read, ReasonKind::Read),
            _ if crossed => (Loss::Stale, ReasonKind::Stale),
            _ if is_pipelined && connection.served > 0 => {
                (Loss::Unanswered, ReasonKind::Unanswered)
            }
            _ if connection.send_failed.is_some() => (Loss::Write, ReasonKind::Write),
            _ => (Loss::Read, ReasonKind::Read),
        };
        let behind = match loss {
            Loss::Aborted => first,
            _ if matches!(first.0, Loss::Stale | Loss::Write) => first,
            _ => (Loss::Unanswered, ReasonKind::Unanswered),
        };
        let words = if flights.count() == 0 || loss == Loss::Aborted {
            String::new()
        } else {
            match connection.send_failed {
                Some(errno) if matches!(loss, Loss::Read | Loss::Write) => {
                    Cause::Errno(errno).to_string()
                }
                _ => cause.to_string(),
            }
        };
        Self {
            first,
            behind,
            words,
            timeout_ns: limits.timeout_ns,
        }
    }

    pub(super) fn record(&self, flight: &Flight, is_first: bool, books: &mut Books, now_ns: u64) {
        let one = u32::from(is_first);
        let parts = [(self.first, one), (self.behind, flight.count - one)];
        for ((loss, kind), count) in parts.into_iter().filter(|(_, count)| *count > 0) {
            let part = Flight { count, ..*flight };
            let expired = flight.sent_ns.saturating_add(self.timeout_ns) <= now_ns;
            let (loss, kind) = match loss {
                Loss::Unanswered if self.first.0 == Loss::Timeout && expired => self.first,
                _ => (loss, kind),
            };
            if flight.measured && loss != Loss::Aborted {
                books.note(kind, count, format_args!("{}", self.words));
            }
            books.lose(&part, loss, now_ns);
        }
    }
}

impl<P: Protocol, T: Transport, S: Source> Dispatcher<P, T, S> {
    /// Whether the oldest request in flight, or a send that nobody takes, is out of time.
    pub(super) fn look_for_timeout<N: Network>(&mut self, slot: u32, now_ns: u64, net: &mut N) {
        let connection = &mut self.connections[slot as usize];
        let oldest = connection.flights.oldest();
        let job = connection.jobs.front().filter(|_| oldest.is_some());
        let own_ns = job.map_or(u64::MAX, |(_, job)| self.source.timeout_ns(*job));
        let timeout_ns = self.limits.timeout_ns.min(own_ns);
        let since_ns = match oldest {
            Some((_, flight)) => flight.sent_ns,
            None if connection.sending => connection.sent_ns,
            None => now_ns,
        };
        let until_ns = since_ns.saturating_add(timeout_ns);
        if until_ns > now_ns {
            return self.wheel.set(slot, until_ns);
        }
        let Some((key, _)) = oldest else {
            // It has its answer, but the target does not take the rest of the request.
            return self.replace(slot, true, now_ns, net);
        };
        let state = connection.live.protocol.as_mut();
        let can_go_on = connection.send_failed.is_none()
            && state.is_some_and(|state| self.protocol.cancel(state, key, &mut connection.plain));
        if !can_go_on {
            return self.lose(slot, Loss::Timeout, now_ns, net);
        }
        if let Some((flight, _)) = connection.flights.take(key) {
            let words = "no complete answer within the timeout";
            self.books
                .note(ReasonKind::Timeout, 1, format_args!("{words}"));
            self.books.lose(&flight, Loss::Timeout, now_ns);
        }
        if let Some(job) = connection.take_job((!P::IN_ORDER).then_some(key)) {
            self.source.lost(job, now_ns);
        }
        connection.free_since_ns = now_ns;
        self.touch(slot);
        self.enqueue(slot);
        self.look_for_timeout(slot, now_ns, net);
    }
}
