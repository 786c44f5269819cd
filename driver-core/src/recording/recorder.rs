//! What a core measures: plain counters and four histograms, written by one thread and handed over
//! whole once a second. Recording a request allocates nothing, takes no lock and sends no message.

use std::collections::BTreeMap;

use crossbeam_channel::Sender;
use hdrhistogram::Histogram;
use proto::histogram::{HIGHEST_NS, LOWEST_NS, Latencies, OnDemand};
use proto::measure::{BadAnswers, Counters, ErrorCounters, Reasons};

use crate::transport::Handshakes;

/// Status codes have three digits.
const STATUSES: usize = 1000;

/// Counters and histograms of one core in one interval.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// The counts, without the status codes.
    pub counts: Counts,
    /// The samples. First bytes are [`Self::add_first_bytes`]'s to make.
    pub latencies: Latencies,
    /// Why requests and connections failed.
    pub reasons: Reasons,
    /// The first answers that count as errors.
    pub bad_answers: BadAnswers,
    /// Of the answers that came in more than one piece: the times to their first bytes, and their
    /// service times. The first byte of all others is their last.
    pieces: (OnDemand, OnDemand),
    statuses: Box<[u32; STATUSES]>,
}

/// The flat form of [`Counters`] that the hot path adds to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// See [`Counters::planned`].
    pub planned: u64,
    /// See [`Counters::offered`].
    pub offered: u64,
    /// See [`Counters::sent`].
    pub sent: u64,
    /// See [`Counters::returned`].
    pub returned: u64,
    /// See [`Counters::completed`].
    pub completed: u64,
    /// See [`Counters::ok`].
    pub ok: u64,
    /// See [`Counters::shed`].
    pub shed: u64,
    /// See [`Counters::refused`].
    pub refused: u64,
    /// See [`Counters::not_sent`].
    pub not_sent: u64,
    /// See [`Counters::aborted`].
    pub aborted: u64,
    /// See [`Counters::warmup_sent`].
    pub warmup_sent: u64,
    /// See [`Counters::connect_errors`].
    pub connect_errors: u64,
    /// See [`Counters::connections_opened`].
    pub connections_opened: u64,
    /// See [`Counters::connections_lost`].
    pub connections_lost: u64,
    /// See [`Counters::unsolicited`].
    pub unsolicited: u64,
    /// See [`Counters::errors`].
    pub errors: ErrorCounters,
    /// See [`Counters::bytes_sent`].
    pub bytes_sent: u64,
    /// See [`Counters::bytes_received`].
    pub bytes_received: u64,
    /// See [`Counters::clamped`].
    pub clamped: u64,
}

/// Why a request that was sent has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The kernel refused its bytes.
    Write,
    /// The connection ended before the answer was complete.
    Read,
    /// No complete answer within the timeout.
    Timeout,
    /// What came is no HTTP answer.
    Malformed,
    /// The request crossed the target's close of an idle connection.
    Stale,
    /// The connection ended in order before the request's turn came.
    Unanswered,
    /// The load was stopped while it was in flight.
    Aborted,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// An empty recorder (about 1.1 MB, most of it untouched until samples spread over it).
    #[must_use]
    pub fn new() -> Self {
        let (counts, latencies) = (Counts::default(), Latencies::new());
        Self {
            counts,
            latencies,
            reasons: Reasons::default(),
            bad_answers: BadAnswers::default(),
            pieces: (OnDemand::default(), OnDemand::default()),
            statuses: Box::new([0; STATUSES]),
        }
    }

    /// `count` requests, intended and actually sent at these instants.
    #[inline]
    pub fn sent(&mut self, intended_ns: u64, actual_ns: u64, count: u32) {
        self.counts.sent += u64::from(count);
        let lag = actual_ns.saturating_sub(intended_ns);
        record(
            &mut self.latencies.release_lag,
            &mut self.counts.clamped,
            lag,
            count,
        );
    }

    /// `count` complete answers of one status to requests of the same instants.
    #[inline]
    pub fn answered(&mut self, status: u16, instants: Instants, count: u32) {
        if status >= 400 {
            self.bad(status, instants, count);
        } else {
            self.good(status, instants, count);
        }
    }

    /// Answers whose status is an error.
    pub fn bad(&mut self, status: u16, instants: Instants, count: u32) {
        self.counts.errors.status += u64::from(count);
        self.no_good(status, instants, count);
    }

    /// An answer with a good status that failed a check or an extraction.
    pub fn unfit(&mut self, status: u16, instants: Instants) {
        self.counts.errors.check += 1;
        self.no_good(status, instants, 1);
    }

    fn no_good(&mut self, status: u16, instants: Instants, count: u32) {
        self.counts.completed += u64::from(count);
        self.statuses[usize::from(status) % STATUSES] += count;
        record(
            &mut self.latencies.error,
            &mut self.counts.clamped,
            instants.response_ns(),
            count,
        );
    }

    /// Answers as they are hoped for.
    #[inline]
    pub fn good(&mut self, status: u16, instants: Instants, count: u32) {
        self.counts.completed += u64::from(count);
        self.statuses[usize::from(status) % STATUSES] += count;
        let Self {
            counts, latencies, ..
        } = self;
        counts.ok += u64::from(count);
        let (response_ns, service_ns) = (instants.response_ns(), instants.service_ns());
        for (histogram, ns) in [
            (&mut latencies.response, response_ns),
            (&mut latencies.service, service_ns),
        ] {
            record(histogram, &mut counts.clamped, ns, count);
        }
    }

    /// One of the answers just recorded came in pieces, of which the first at that instant.
    pub fn began_early(&mut self, status: u16, instants: Instants, began_ns: u64) {
        if status >= 400 {
            return;
        }
        let (first, service) = (&mut self.pieces.0, &mut self.pieces.1);
        let began_ns = began_ns.saturating_sub(instants.sent_ns);
        for (histogram, value) in [(first, began_ns), (service, instants.service_ns())] {
            // Those out of range were counted with the answer.
            record(histogram.made(), &mut 0, value, 1);
        }
    }

    /// Adds the times to the first byte of every answer that is no error.
    pub fn add_first_bytes(&self, to: &mut OnDemand) {
        if self.latencies.service.is_empty() {
            return;
        }
        let sum = to.made();
        let same = "invariant: all histograms have the same bounds";
        sum.add(&self.latencies.service).expect(same);
        if let (Some(first), Some(service)) = (self.pieces.0.get(), self.pieces.1.get()) {
            sum.subtract(service)
                .expect("invariant: a part of what was added");
            sum.add(first).expect(same);
        }
    }

    /// A connection was opened within that time.
    pub fn connected(&mut self, took_ns: u64) {
        record(
            self.latencies.connect.made(),
            &mut self.counts.clamped,
            took_ns,
            1,
        );
    }

    /// A handshake took that long.
    pub fn greeted(&mut self, took_ns: u64) {
        record(
            self.latencies.handshake.made(),
            &mut self.counts.clamped,
            took_ns,
            1,
        );
    }

    /// `count` requests that were sent and got no answer.
    pub fn lost(&mut self, loss: Loss, instants: Instants, count: u32) {
        let errors = &mut self.counts.errors;
        let counter = match loss {
            Loss::Write => &mut errors.write,
            Loss::Read => &mut errors.read,
            Loss::Timeout => &mut errors.timeout,
            Loss::Malformed => &mut errors.malformed,
            Loss::Stale => &mut errors.stale,
            Loss::Unanswered => &mut errors.unanswered,
            Loss::Aborted => &mut self.counts.aborted,
        };
        *counter += u64::from(count);
        if loss != Loss::Aborted {
            let Self {
                counts, latencies, ..
            } = self;
            record(
                &mut latencies.error,
                &mut counts.clamped,
                instants.response_ns(),
                count,
            );
        }
    }

    /// The counters in the form that travels and is added up.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let c = &self.counts;
        Counters {
            planned: c.planned,
            offered: c.offered,
            sent: c.sent,
            returned: c.returned,
            completed: c.completed,
            ok: c.ok,
            shed: c.shed,
            refused: c.refused,
            not_sent: c.not_sent,
            unknown: 0,
            aborted: c.aborted,
            warmup_sent: c.warmup_sent,
            connect_errors: c.connect_errors,
            connections_opened: c.connections_opened,
            connections_lost: c.connections_lost,
            unsolicited: c.unsolicited,
            errors: c.errors,
            bytes_sent: c.bytes_sent,
            bytes_received: c.bytes_received,
            clamped: c.clamped,
            status_codes: self.status_codes(),
        }
    }

    fn status_codes(&self) -> BTreeMap<u16, u64> {
        let counted = self
            .statuses
            .iter()
            .zip(0_u16..)
            .filter(|(count, _)| **count > 0);
        counted
            .map(|(count, code)| (code, u64::from(*count)))
            .collect()
    }

    /// Empties it, which costs a pass over a megabyte: not for the core that records.
    pub fn clear(&mut self) {
        self.counts = Counts::default();
        self.latencies.clear();
        self.reasons = Reasons::default();
        self.bad_answers = BadAnswers::default();
        self.pieces.0.clear();
        self.pieces.1.clear();
        self.statuses.fill(0);
    }
}

/// The three instants of a request, ns of the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instants {
    /// When it was to be sent.
    pub intended_ns: u64,
    /// When it was handed to the kernel.
    pub sent_ns: u64,
    /// When it was over.
    pub end_ns: u64,
}

impl Instants {
    fn response_ns(self) -> u64 {
        self.end_ns.saturating_sub(self.intended_ns)
    }

    fn service_ns(self) -> u64 {
        self.end_ns.saturating_sub(self.sent_ns)
    }
}

/// Records a value within the histogram's bounds. Zero is a clock tick that did not pass, not an
/// outlier, so only values above the highest count as clamped.
#[inline]
fn record(histogram: &mut Histogram<u64>, clamped: &mut u64, value: u64, count: u32) {
    if value > HIGHEST_NS {
        *clamped += u64::from(count);
    }
    let value = value.clamp(LOWEST_NS, HIGHEST_NS);
    let _ = histogram.record_n(value, u64::from(count));
}

/// What one core did in one interval, as it is handed over.
#[derive(Debug)]
pub struct CoreInterval {
    /// The core's number within the node.
    pub core: usize,
    /// The interval's second, counted from the start of the measured run.
    pub second: u64,
    /// Start, ns since the start of the measured run.
    pub start_ns: u64,
    /// End, ns since the start of the measured run. More than a second after the start when the
    /// core was held up, or when nobody gave it an empty recorder in time.
    pub end_ns: u64,
    /// Actual first send minus the start of the measured run, once there was one.
    pub first_send_ns: Option<i64>,
    /// When the core stopped sending, ns since the start of the measured run, once it did.
    pub sending_ns: Option<u64>,
    /// The core's own condition.
    pub health: CoreHealth,
    /// Whether this is the core's last interval.
    pub last: bool,
    /// Answers on each connection over the whole run; only in the last interval.
    pub answers: Vec<u64>,
    /// Handshakes with each server that succeeded over the whole run; only in the last interval.
    pub handshakes: Vec<Handshakes>,
    recorder: Option<Box<Recorder>>,
    home: Sender<Box<Recorder>>,
}

/// The condition of a core in an interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CoreHealth {
    /// CPU time of the core's thread, ns.
    pub cpu_ns: u64,
    /// Of that, spent spinning towards an intended send, ns.
    pub spin_ns: u64,
    /// Longest time between two looks at the ring that was not spent asleep in it, ns.
    pub stall_max_ns: u64,
    /// Times that no descriptor was left for a socket.
    pub descriptors_exhausted: u64,
    /// Times that no ephemeral port was left for a connection.
    pub ports_exhausted: u64,
    /// Times that an attempt to connect was put off.
    pub held_back: u64,
    /// For how long the target took no connection, ns.
    pub away_ns: u64,
}

impl CoreInterval {
    /// Wraps a recorder that goes back through `home` when the interval is dropped.
    #[must_use]
    pub fn new(core: usize, recorder: Box<Recorder>, home: Sender<Box<Recorder>>) -> Self {
        Self {
            core,
            second: 0,
            start_ns: 0,
            end_ns: 0,
            first_send_ns: None,
            sending_ns: None,
            health: CoreHealth::default(),
            last: false,
            answers: Vec::new(),
            handshakes: Vec::new(),
            recorder: Some(recorder),
            home,
        }
    }

    /// What was recorded.
    ///
    /// # Panics
    /// Never: the recorder is there until the interval is dropped.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        self.recorder
            .as_ref()
            .expect("invariant: taken only by drop")
    }
}

impl Drop for CoreInterval {
    /// Clears the recorder here, off the core, and sends it back to be used again.
    fn drop(&mut self) {
        if let Some(mut recorder) = self.recorder.take() {
            recorder.clear();
            let _ = self.home.try_send(recorder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_range_is_recorded_at_the_bound_and_counted() {
        let mut recorder = Recorder::new();
        recorder.sent(0, HIGHEST_NS + 5, 2);
        recorder.sent(7, 7, 3);
        assert_eq!((recorder.counts.sent, recorder.counts.clamped), (5, 2));
        assert_eq!(recorder.latencies.release_lag.len(), 5);
        assert_eq!(recorder.latencies.release_lag.min(), LOWEST_NS);
    }

    #[test]
    fn every_end_of_a_request_is_in_one_histogram_and_one_count() {
        let mut recorder = Recorder::new();
        let instants = Instants {
            intended_ns: 10,
            sent_ns: 40,
            end_ns: 110,
        };
        recorder.sent(10, 40, 11);
        recorder.answered(200, instants, 2);
        recorder.answered(404, instants, 1);
        for loss in [
            Loss::Write,
            Loss::Read,
            Loss::Timeout,
            Loss::Malformed,
            Loss::Stale,
            Loss::Unanswered,
            Loss::Aborted,
        ] {
            recorder.lost(loss, instants, 1);
        }
        recorder.lost(Loss::Read, instants, 1);
        recorder.counts.planned = 11;
        let counters = recorder.counters();
        assert_eq!(counters.check(), Ok(()));
        assert_eq!(
            (counters.ok, counters.errors.total(), counters.aborted),
            (2, 8, 1)
        );
        assert_eq!(counters.status_codes, BTreeMap::from([(200, 2), (404, 1)]));
        let latencies = &recorder.latencies;
        assert_eq!(
            (latencies.response.max(), latencies.service.max()),
            (100, 70)
        );
        assert_eq!(latencies.error.len(), 8);
        recorder.clear();
        assert_eq!(recorder.counters(), Counters::default());
    }

    #[test]
    fn the_first_byte_of_an_answer_in_one_piece_is_its_last() {
        let mut recorder = Recorder::new();
        let instants = |sent_ns| Instants {
            intended_ns: 10,
            sent_ns,
            end_ns: 1_000,
        };
        recorder.answered(200, instants(100), 3);
        recorder.answered(200, instants(400), 1);
        recorder.began_early(200, instants(400), 450);
        let mut first = OnDemand::default();
        recorder.add_first_bytes(&mut first);
        let first = first.get().unwrap();
        assert_eq!((first.len(), first.min(), first.max()), (4, 50, 900));
        assert_eq!(first.count_at(900), 3);
    }

    #[test]
    fn a_dropped_interval_sends_its_recorder_home_empty() {
        let (home, spares) = crossbeam_channel::bounded(1);
        let mut recorder = Box::new(Recorder::new());
        recorder.sent(0, 5, 1);
        drop(CoreInterval::new(0, recorder, home));
        assert_eq!(spares.recv().unwrap().counters(), Counters::default());
    }
}
