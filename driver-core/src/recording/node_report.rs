//! From cores to the node: merges what each core did in a second into the node's report of that
//! second, and into the cumulative one at the end. Pure: intervals in, reports out.

use std::collections::BTreeMap;

use crate::transport::Handshakes;
use proto::histogram::{Latencies, SparseLatencies};
use proto::measure::{
    BadAnswers, Connections, Counters, Health, LatencyFigures, Outcome, Reasons, Report, SecondRow,
};
use proto::summary::Statistics;

use super::CoreInterval;

/// A core that is more seconds than this behind the furthest is not waited for.
const LAG_MAX: u64 = 2;

/// Merges the intervals of a node's cores.
#[derive(Debug)]
pub struct Collector {
    cores: Vec<Progress>,
    pending: Sum,
    rows: BTreeMap<u64, SecondRow>,
    total: Sum,
    sequence: u64,
    first_send_ns: Option<i64>,
    /// When the last core stopped sending, of those that did.
    sending_ns: Option<u64>,
    answers: Vec<u64>,
    /// By server.
    handshakes: Vec<Handshakes>,
}

/// How far a core has reported.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Seconds handed over, counted from 1; 0 for none.
    seconds: u64,
    ended: bool,
    /// Whether it sends nothing more.
    has_stopped: bool,
    /// Sent and not over when it handed over last.
    in_flight: u64,
}

/// What is summed up, over an interval or the whole run.
#[derive(Debug, Default)]
struct Sum {
    counters: Counters,
    latencies: Latencies,
    reasons: Reasons,
    bad_answers: BadAnswers,
    health: Health,
    start_ns: u64,
    end_ns: u64,
}

impl Sum {
    fn add(&mut self, interval: &CoreInterval) {
        self.counters.add(&interval.recorder().counters());
        let recorder = interval.recorder();
        self.latencies.add(&recorder.latencies);
        recorder.add_first_bytes(&mut self.latencies.first_byte);
        self.reasons.absorb(&recorder.reasons);
        self.bad_answers.absorb(&recorder.bad_answers);
        self.health.absorb(&health(interval));
        self.end_ns = self.end_ns.max(interval.end_ns);
    }

    fn restart(&mut self) {
        self.counters = Counters::default();
        self.latencies.clear();
        self.reasons = Reasons::default();
        self.bad_answers = BadAnswers::default();
        self.health = Health::default();
        self.start_ns = self.end_ns;
    }
}

impl Collector {
    /// For a load on so many cores.
    #[must_use]
    pub fn new(cores: usize) -> Self {
        Self {
            cores: vec![Progress::default(); cores],
            pending: Sum::default(),
            rows: BTreeMap::new(),
            total: Sum::default(),
            sequence: 0,
            first_send_ns: None,
            sending_ns: None,
            answers: Vec::new(),
            handshakes: Vec::new(),
        }
    }

    /// Takes what a core did. Returns the node's report when this completes a second of it: when
    /// every core that still runs has handed over as much. A core that stands still is not waited
    /// for; what it hands over late goes into the next report.
    ///
    /// # Panics
    /// When the interval is of a core that the load does not have.
    pub fn absorb(&mut self, interval: &CoreInterval) -> Option<Report> {
        self.pending.add(interval);
        self.total.add(interval);
        self.first_send_ns = match (self.first_send_ns, interval.first_send_ns) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.sending_ns = self.sending_ns.max(interval.sending_ns);
        self.answers.extend(&interval.answers);
        let servers = self.handshakes.len().max(interval.handshakes.len());
        self.handshakes.resize(servers, Handshakes::default());
        for (sum, more) in self.handshakes.iter_mut().zip(&interval.handshakes) {
            sum.full += more.full;
            sum.resumed += more.resumed;
        }
        let progress = Progress {
            seconds: interval.second + 1,
            ended: interval.last,
            has_stopped: interval.last || interval.sending_ns.is_some(),
            in_flight: in_flight(self.cores[interval.core].in_flight, interval),
        };
        self.cores[interval.core] = progress;
        self.row(interval, progress.in_flight);
        self.is_due(progress).then(|| self.report())
    }

    /// Adds what the node observed of its machine in the interval that is going on.
    pub fn observe(&mut self, health: &Health) {
        self.pending.health.absorb(health);
        self.total.health.absorb(health);
    }

    /// Handshakes of TLS with a server that succeeded; known when every core has ended.
    #[must_use]
    pub fn handshakes(&self, server: usize) -> Handshakes {
        self.handshakes.get(server).copied().unwrap_or_default()
    }

    /// Whether every core has handed over its last interval.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.cores.iter().all(|core| core.ended)
    }

    /// The counts so far, of the whole run.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.total.counters
    }

    /// The reference's latency figures, of the whole run so far.
    #[must_use]
    pub fn figures(&self) -> LatencyFigures {
        let statistics = Statistics::of(&self.total.latencies.response);
        LatencyFigures {
            mean_latency: statistics.mean.or(Some(0.0)),
            median_latency: statistics.median.or(Some(0.0)),
            min_latency: statistics.min.or(Some(0.0)),
            max_latency: statistics.max.or(Some(0.0)),
            mode_latency: statistics.mode,
        }
    }

    /// What is still pending when no core hands over any more, unless nothing is.
    pub fn flush(&mut self) -> Option<Report> {
        (!self.rows.is_empty()).then(|| self.report())
    }

    /// The node's last report: cumulative, with how it ended. Call it after [`Self::flush`].
    pub fn last(&mut self, outcome: Outcome, reason: Option<String>) -> Report {
        self.answers.sort_unstable();
        let connections = connections(&self.answers);
        Report {
            last: true,
            connections: Some(connections),
            outcome: Some(outcome),
            reason,
            ..self.of(&self.total, Vec::new())
        }
    }

    fn row(&mut self, interval: &CoreInterval, in_flight: u64) {
        let counts = &interval.recorder().counts;
        let row = SecondRow {
            second: interval.second,
            offered: counts.offered,
            sent: counts.sent,
            completed: counts.completed,
            ok: counts.ok,
            errors: counts.errors.total(),
            shed: counts.shed,
            refused: counts.refused,
            in_flight: Some(in_flight),
            bytes_sent: Some(counts.bytes_sent),
            bytes_received: Some(counts.bytes_received),
        };
        let empty = SecondRow {
            second: row.second,
            ..SecondRow::default()
        };
        self.rows.entry(row.second).or_insert(empty).add(&row);
    }

    /// Whether a second is complete now that a core has come so far.
    fn is_due(&self, now: Progress) -> bool {
        let seconds = self.cores.iter().map(|core| core.seconds);
        let furthest = seconds.max().unwrap_or(0);
        let lags = |core: &Progress| furthest - core.seconds > LAG_MAX;
        let is_there = |core: &Progress| core.seconds == furthest || core.ended || lags(core);
        !lags(&now) && self.cores.iter().all(is_there)
    }

    fn report(&mut self) -> Report {
        let rows = std::mem::take(&mut self.rows);
        let report = self.of(&self.pending, rows.into_values().collect());
        self.sequence += 1;
        self.pending.restart();
        report
    }

    fn of(&self, sum: &Sum, seconds: Vec<SecondRow>) -> Report {
        let has_stopped = self.cores.iter().all(|core| core.has_stopped);
        Report {
            sequence_first: self.sequence,
            sequence: self.sequence,
            last: false,
            interval_start_ns: sum.start_ns,
            interval_end_ns: sum.end_ns,
            counters: sum.counters.clone(),
            seconds,
            first_send_ns: self.first_send_ns,
            sending_ns: self.sending_ns.filter(|_| has_stopped),
            health: sum.health,
            reasons: sum.reasons.clone(),
            bad_answers: sum.bad_answers.clone(),
            latencies: SparseLatencies::from(&sum.latencies),
            ..Report::default()
        }
    }
}

/// What a core has in flight at the end of an interval: nothing is counted for it while it sends, it
/// follows from what was counted anyway.
fn in_flight(before: u64, interval: &CoreInterval) -> u64 {
    let counts = &interval.recorder().counts;
    let over = counts.ok + counts.errors.total() + counts.aborted + counts.returned;
    (before + counts.sent).saturating_sub(over)
}

/// A shorter interval says little about how busy a core was, ns.
const BUSY_OF_MIN_NS: u64 = 500_000_000;

fn health(interval: &CoreInterval) -> Health {
    let core = &interval.health;
    let wall_ns = interval.end_ns.saturating_sub(interval.start_ns);
    let busy_ns = core.cpu_ns.saturating_sub(core.spin_ns);
    Health {
        cpu_busy_max: (wall_ns >= BUSY_OF_MIN_NS).then(|| busy_ns as f64 / wall_ns as f64),
        stall_max_ns: core.stall_max_ns,
        descriptors_exhausted: core.descriptors_exhausted,
        ports_exhausted: core.ports_exhausted,
        held_back: core.held_back,
        away_ns: core.away_ns,
        ..Health::default()
    }
}

/// The spread of answers over connections; `answers` is sorted.
fn connections(answers: &[u64]) -> Connections {
    Connections {
        count: answers.len() as u64,
        answers_min: answers.first().copied().unwrap_or(0),
        answers_median: answers.get(answers.len() / 2).copied().unwrap_or(0),
        answers_max: answers.last().copied().unwrap_or(0),
        never_served: answers.iter().take_while(|count| **count == 0).count() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Instants, Recorder};

    fn interval(core: usize, second: u64, answers: u32, last: bool) -> CoreInterval {
        let mut recorder = Box::new(Recorder::new());
        recorder.counts.planned = u64::from(answers);
        recorder.sent(1_000, 1_500, answers);
        let instants = Instants {
            intended_ns: 1_000,
            sent_ns: 1_500,
            end_ns: 3_000,
        };
        recorder.answered(200, instants, answers);
        let (home, _) = crossbeam_channel::bounded(1);
        let mut interval = CoreInterval::new(core, recorder, home);
        (interval.second, interval.last) = (second, last);
        (interval.start_ns, interval.end_ns) = (second * 1_000, (second + 1) * 1_000);
        interval.answers = if last {
            vec![u64::from(answers), 0]
        } else {
            Vec::new()
        };
        interval
    }

    #[test]
    fn a_second_is_reported_when_every_core_has_handed_it_over() {
        let mut collector = Collector::new(2);
        assert!(collector.absorb(&interval(0, 0, 5, false)).is_none());
        let report = collector.absorb(&interval(1, 0, 7, false)).unwrap();
        assert_eq!(
            (report.sequence, report.counters.ok, report.seconds.len()),
            (0, 12, 1)
        );
        assert_eq!(report.seconds[0].sent, 12);
        // Core 1 ends in the next second; core 0 goes on alone.
        assert!(collector.absorb(&interval(1, 1, 1, true)).is_none());
        assert!(collector.absorb(&interval(0, 1, 1, false)).is_some());
        let report = collector.absorb(&interval(0, 2, 3, true)).unwrap();
        assert_eq!((report.sequence, report.seconds[0].second), (2, 2));
        assert!(collector.is_complete() && collector.flush().is_none());
        let last = collector.last(Outcome::Done, None);
        assert_eq!(
            (last.sequence, last.counters.ok, last.counters.check()),
            (3, 17, Ok(()))
        );
        assert_eq!(last.connections.unwrap().never_served, 2);
    }

    #[test]
    fn what_is_in_flight_at_the_end_of_a_second_follows_from_what_was_sent_and_what_is_over() {
        let mut collector = Collector::new(2);
        let of = |core, second, sent, answers, last| {
            let mut interval = interval(core, second, answers, last);
            let (home, _) = crossbeam_channel::bounded(1);
            let mut recorder = Box::new(interval.recorder().clone());
            recorder.counts.sent = sent;
            recorder.counts.bytes_sent = 40 * sent;
            recorder.counts.bytes_received = 100 * u64::from(answers);
            let mut other = CoreInterval::new(core, recorder, home);
            (other.second, other.last) = (second, last);
            std::mem::swap(&mut interval.answers, &mut other.answers);
            other
        };
        let mut told = Vec::new();
        for (core, second, sent, answers) in
            [(0, 0, 9, 5), (1, 0, 3, 3), (0, 1, 1, 2), (1, 1, 4, 0)]
        {
            let report = collector.absorb(&of(core, second, sent, answers, false));
            told.extend(report.into_iter().flat_map(|report| report.seconds));
        }
        let told: Vec<_> = told
            .iter()
            .map(|row| (row.in_flight, row.bytes_sent, row.bytes_received))
            .collect();
        assert_eq!(
            told,
            [
                (Some(4), Some(480), Some(800)),
                (Some(7), Some(200), Some(200))
            ]
        );
        // One ends with nothing in flight; what the other has is still there.
        assert!(collector.absorb(&of(0, 2, 0, 3, true)).is_none());
        let last = collector.absorb(&of(1, 2, 0, 1, false)).unwrap();
        assert_eq!(last.seconds[0].in_flight, Some(3));
    }

    #[test]
    fn a_core_that_stands_still_does_not_hold_the_others_up() {
        let mut collector = Collector::new(2);
        let reports = (0..3)
            .filter_map(|s| collector.absorb(&interval(0, s, 1, false)))
            .count();
        assert_eq!(reports, 1);
        let late = collector.absorb(&interval(1, 2, 9, false)).unwrap();
        assert_eq!(late.seconds.len(), 1);
        assert_eq!(collector.counters().ok, 12);
    }

    #[test]
    fn a_core_that_stands_still_leaves_one_report_a_second() {
        let mut collector = Collector::new(3);
        let mut reports: Vec<Report> = (0..10)
            .flat_map(|second| [(0, second), (1, second)])
            .filter_map(|(core, second)| collector.absorb(&interval(core, second, 1, false)))
            .collect();
        // The first that does without core 2 has what was waited for.
        assert_eq!(reports.len(), 8, "{reports:?}");
        assert_eq!(reports[0].seconds.len(), 3);
        // It comes back: what it hands over late comes with the next second.
        let late = (0..7).filter_map(|second| collector.absorb(&interval(2, second, 5, false)));
        assert_eq!(late.count(), 0);
        reports.extend((0..3).filter_map(|core| collector.absorb(&interval(core, 10, 1, true))));
        assert!(collector.is_complete());
        reports.extend(collector.flush());
        assert_eq!(
            reports.iter().map(|report| report.counters.ok).sum::<u64>(),
            58
        );
        let sequences: Vec<u64> = reports.iter().map(|report| report.sequence).collect();
        assert_eq!(sequences, (0..reports.len() as u64).collect::<Vec<_>>());
    }
}
