//! What a core did in one interval, as it is handed over to the collector.

use crossbeam_channel::Sender;

use super::Recorder;
use crate::transport::Handshakes;

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
    use proto::measure::Counters;

    use super::*;

    #[test]
    fn a_dropped_interval_sends_its_recorder_home_empty() {
        let (home, spares) = crossbeam_channel::bounded(1);
        let mut recorder = Box::new(Recorder::new());
        recorder.sent(0, 5, 1);
        drop(CoreInterval::new(0, recorder, home));
        assert_eq!(spares.recv().unwrap().counters(), Counters::default());
    }
}
