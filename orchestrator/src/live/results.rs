//! The results of runs in memory, each made once for all who ask for it.
//!
//! Making one takes a fraction of a millisecond a driver. Of a few drivers it is made for who asks;
//! of many it is made ahead by a thread of its own as long as somebody keeps asking, and who asks
//! gets the last one.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use proto::summary::TestResult;

use super::pace::{Burst, pause};
use super::text::ResultText;
use crate::control::run::Phase;
use crate::control::{SeenRun, Snapshot};

/// Drivers up to which who asks makes it: some 10 ms.
const CHEAP_DRIVERS: usize = 50;
/// Results that nobody asked for in this time are not made ahead any more, and let go of.
const WANTED_FOR: Duration = Duration::from_secs(10);

/// A result that was made.
#[derive(Debug)]
pub struct Made {
    /// Of which version of the run.
    pub version: u64,
    /// The result, without its series.
    pub result: TestResult,
    phase: Phase,
    text: ResultText,
    /// When it was ready.
    at: Instant,
    /// How long making it took.
    took: Duration,
}

impl Made {
    fn of(seen: &SeenRun) -> Self {
        let began = Instant::now();
        let mut result = seen.result();
        let text = ResultText::of(&mut result);
        Self {
            version: seen.version,
            phase: seen.run.phase,
            result,
            text,
            at: Instant::now(),
            took: began.elapsed(),
        }
    }

    /// The result as JSON, in the phase that the run is in now, with the nodes of this range and this
    /// series.
    #[must_use]
    pub fn json_in(&self, phase: Phase, nodes: Range<usize>, series: &str) -> String {
        if phase == self.phase {
            return self.text.with(nodes, series);
        }
        self.text.with_step((self.phase, phase), nodes, series)
    }

    /// Whether it says what can be said of a run: the state of one that goes on is put in anew, but
    /// an end changes more than that.
    fn fits(&self, seen: &SeenRun) -> bool {
        self.phase.has_ended() == seen.run.phase.has_ended()
    }

    /// How long it is still good enough although the run has changed.
    fn rest(&self) -> Duration {
        pause(self.took).saturating_sub(self.at.elapsed())
    }
}

/// One run's results.
#[derive(Debug)]
struct Desk {
    made: ArcSwapOption<Made>,
    /// Held by who makes the next one.
    making: Mutex<()>,
    asked: Mutex<Instant>,
    burst: Mutex<Burst>,
}

impl Desk {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            made: ArcSwapOption::empty(),
            making: Mutex::new(()),
            asked: Mutex::new(now),
            burst: Mutex::new(Burst::new(0, now)),
        }
    }

    fn is_wanted(&self) -> bool {
        locked(&self.asked).elapsed() < WANTED_FOR
    }

    /// The one that was made last, if it is good enough for now.
    fn ready(&self, seen: &SeenRun) -> Option<Arc<Made>> {
        let made = self.made.load_full().filter(|made| made.fits(seen))?;
        let is_new = made.version >= seen.version || !made.rest().is_zero();
        is_new.then_some(made)
    }

    fn of(&self, seen: &SeenRun) -> Arc<Made> {
        *locked(&self.asked) = Instant::now();
        if let Some(made) = self.ready(seen) {
            return made;
        }
        let last = self.made.load_full().filter(|made| made.fits(seen));
        let Some(last) = last else {
            let _making = locked(&self.making);
            return self.ready(seen).unwrap_or_else(|| self.make(seen));
        };
        if seen.run.participants.len() > CHEAP_DRIVERS {
            return last;
        }
        match self.making.try_lock() {
            Ok(_making) => self.make(seen),
            Err(TryLockError::Poisoned(_)) => self.make(seen),
            Err(TryLockError::WouldBlock) => last,
        }
    }

    fn make(&self, seen: &SeenRun) -> Arc<Made> {
        let made = Arc::new(Made::of(seen));
        self.made.store(Some(Arc::clone(&made)));
        made
    }

    /// Makes the next one if it is due; else how long that takes.
    fn make_if_due(&self, seen: &SeenRun) -> Option<Duration> {
        let made = self.made.load_full()?;
        if made.version >= seen.version {
            return None;
        }
        if made.fits(seen) {
            let burst = locked(&self.burst).wait(made.version, seen.version, Instant::now());
            let wait = made.rest().max(burst);
            if !wait.is_zero() {
                return Some(wait);
            }
        }
        let _making = locked(&self.making);
        if self.ready(seen).is_none() {
            self.make(seen);
        }
        None
    }
}

/// The results of all runs that somebody asks for.
#[derive(Debug, Default)]
pub(super) struct Results {
    desks: Mutex<HashMap<String, Arc<Desk>>>,
}

impl Results {
    /// The result of a run.
    pub(super) fn of(&self, seen: &SeenRun) -> Arc<Made> {
        let desk = {
            let mut desks = locked(&self.desks);
            let desk = desks.entry(seen.run.test_id.clone());
            Arc::clone(desk.or_insert_with(|| Arc::new(Desk::new())))
        };
        desk.of(seen)
    }

    /// Makes what somebody keeps asking for where it is due; in how long something will be.
    pub(super) fn make_what_is_due(&self, snapshot: &Snapshot) -> Option<Duration> {
        let wanted: Vec<(Arc<SeenRun>, Arc<Desk>)> = {
            let mut desks = locked(&self.desks);
            desks.retain(|test_id, desk| desk.is_wanted() && snapshot.run(test_id).is_some());
            let seen = |test_id: &String| snapshot.run(test_id).map(Arc::clone);
            let of = |(test_id, desk): (&String, &Arc<Desk>)| Some((seen(test_id)?, desk.clone()));
            desks.iter().filter_map(of).collect()
        };
        let due = wanted.iter().map(|(seen, desk)| desk.make_if_due(seen));
        due.fold(None, |first, due| first.into_iter().chain(due).min())
    }
}

/// What is behind these locks is whole whenever they are let go of, also by a panic.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
