//! A core's recorder and its hand-over: at each second's end the full one leaves the core, and an
//! empty one takes its place.

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use proto::units::NS_PER_S;

use crate::recording::{CoreHealth, CoreInterval, Recorder};
use crate::transport::Handshakes;

/// Empty recorders in waiting. With the one in use, so many are in circulation a core.
const SPARES: usize = 3;
/// How long the last interval may take to be handed over.
const LAST_HAND_OVER: Duration = Duration::from_secs(10);

/// The recording side of a core.
#[derive(Debug)]
pub(crate) struct Handover {
    core: usize,
    /// Where the engine records.
    pub recorder: Box<Recorder>,
    /// The core's condition in this interval.
    pub health: CoreHealth,
    home: Sender<Box<Recorder>>,
    spares: Receiver<Box<Recorder>>,
    out: Sender<CoreInterval>,
    /// Handed over late, since the channel was full. Holds spares, so it is bounded by them.
    pending: VecDeque<CoreInterval>,
    /// Start of the measured run.
    origin_ns: Option<u64>,
    second: u64,
    interval_start_ns: u64,
    first_send_ns: Option<i64>,
    /// CPU time of the core when the interval began.
    cpu_ns: u64,
    /// When the core stopped sending, ns since the start of the measured run.
    sending_ns: Option<u64>,
    /// End of the current interval.
    pub boundary_ns: u64,
}

impl Handover {
    pub(crate) fn new(core: usize, out: Sender<CoreInterval>) -> Self {
        let (home, spares) = crossbeam_channel::bounded(SPARES + 1);
        for _ in 0..SPARES {
            let _ = home.try_send(Box::new(Recorder::new()));
        }
        Self {
            core,
            recorder: Box::new(Recorder::new()),
            health: CoreHealth::default(),
            home,
            spares,
            out,
            pending: VecDeque::with_capacity(SPARES),
            origin_ns: None,
            second: 0,
            interval_start_ns: 0,
            first_send_ns: None,
            cpu_ns: 0,
            sending_ns: None,
            boundary_ns: u64::MAX,
        }
    }

    /// The measured run starts; `cpu_ns` is the core's CPU time by now.
    pub(crate) fn begin(&mut self, origin_ns: u64, cpu_ns: u64) {
        self.origin_ns = Some(origin_ns);
        self.boundary_ns = origin_ns.saturating_add(NS_PER_S);
        self.cpu_ns = cpu_ns;
        self.health = CoreHealth::default();
    }

    /// Something was sent.
    pub(crate) fn note_send(&mut self, now_ns: u64) {
        if self.first_send_ns.is_none() {
            let after = i128::from(now_ns) - i128::from(self.origin_ns.unwrap_or(now_ns));
            self.first_send_ns = i64::try_from(after).ok();
        }
    }

    /// The core sends nothing more, and its plan is `window_ns` long if it went through all of it.
    pub(crate) fn sending_ends(&mut self, now_ns: u64, window_ns: Option<u64>) {
        let passed = now_ns.saturating_sub(self.origin_ns.unwrap_or(now_ns));
        self.sending_ns = Some(passed.max(window_ns.unwrap_or(0)));
    }

    /// The window of a closed loop that ended with its count includes the time that its last answers
    /// usually take: a connection's last request is as long as those before it.
    pub(crate) fn sending_includes_last_answers(&mut self, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.origin_ns.unwrap_or(now_ns));
        let usual_ns = self.recorder.latencies.service.value_at_quantile(0.5);
        let until = |ns: u64| ns.saturating_add(usual_ns).min(passed);
        self.sending_ns = self.sending_ns.map(until);
    }

    /// The second has ended: hands the recorder over. Without an empty one in waiting, the interval
    /// is made longer by a second instead.
    pub(crate) fn turn_over(&mut self, now_ns: u64, cpu_ns: u64) {
        let origin_ns = self.origin_ns.unwrap_or(now_ns);
        let passed = now_ns.saturating_sub(origin_ns);
        self.boundary_ns = origin_ns + (passed / NS_PER_S + 1) * NS_PER_S;
        self.send_pending();
        if let Ok(empty) = self.spares.try_recv() {
            let interval = self.close(passed, cpu_ns, empty);
            self.second = passed / NS_PER_S;
            self.pending.push_back(interval);
            self.send_pending();
        }
    }

    /// The load has ended: hands over what is left, with the answers of each connection
    /// and the handshakes with each server.
    pub(crate) fn finish(
        &mut self,
        now_ns: u64,
        cpu_ns: u64,
        answers: Vec<u64>,
        handshakes: Vec<Handshakes>,
    ) {
        let passed = now_ns.saturating_sub(self.origin_ns.unwrap_or(now_ns));
        let mut interval = self.close(passed, cpu_ns, Box::new(Recorder::new()));
        interval.last = true;
        interval.answers = answers;
        interval.handshakes = handshakes;
        self.pending.push_back(interval);
        for interval in self.pending.drain(..) {
            // Whoever does not take the last interval for so long is not there any more.
            let _ = self.out.send_timeout(interval, LAST_HAND_OVER);
        }
    }

    fn close(&mut self, end_ns: u64, cpu_ns: u64, empty: Box<Recorder>) -> CoreInterval {
        let full = std::mem::replace(&mut self.recorder, empty);
        let mut interval = CoreInterval::new(self.core, full, self.home.clone());
        interval.second = self.second;
        interval.start_ns = self.interval_start_ns;
        interval.end_ns = end_ns;
        interval.first_send_ns = self.first_send_ns;
        interval.sending_ns = self.sending_ns;
        interval.health = std::mem::take(&mut self.health);
        interval.health.cpu_ns = cpu_ns.saturating_sub(self.cpu_ns);
        (self.cpu_ns, self.interval_start_ns) = (cpu_ns, end_ns);
        interval
    }

    fn send_pending(&mut self) {
        while let Some(interval) = self.pending.pop_front() {
            if let Err(TrySendError::Full(interval)) = self.out.try_send(interval) {
                self.pending.push_front(interval);
                return;
            }
        }
    }
}
