//! What readers share: the newest snapshot of the state, and what was made of its runs.
//!
//! The control thread publishes a snapshot at the end of a turn and never hears of its readers. Their
//! work, merging a run's histograms and computing its result, is done once for all of them.

mod channel;
mod event;
mod kept;
mod pace;
mod queues;
mod results;
mod streams;
mod text;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, bounded};
use proto::summary::{HeatGrid, NodeCourses, StepCourses};

pub use event::Place;
use kept::Kept;
pub use queues::{LISTENERS_MAX, Queues, Taken};
pub use results::Made;
use results::Results;
use streams::Streams;
pub use streams::{Joined, NotJoined, Since, of_ended};
pub use text::ResultText;

use crate::control::{SeenRun, Snapshot};

/// Longest sleep of the thread that makes results ahead: the end of the process is noticed after it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The newest snapshot, and the results that were made of it.
pub struct Live {
    snapshot: ArcSwap<Snapshot>,
    results: Results,
    heat: Kept<HeatGrid>,
    courses: Kept<NodeCourses>,
    steps: Kept<StepCourses>,
    streams: Streams,
    queues: Arc<Queues>,
    bell: Sender<()>,
    rung: Receiver<()>,
}

impl Live {
    /// With what can be seen before the first turn; the store has the end of each test.
    #[must_use]
    pub fn new(snapshot: Snapshot, store_path: &Path) -> Self {
        let (bell, rung) = bounded(1);
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            results: Results::default(),
            heat: Kept::default(),
            courses: Kept::default(),
            steps: Kept::default(),
            streams: Streams::new(store_path),
            queues: Arc::default(),
            bell,
            rung,
        }
    }

    /// Shows everybody what can be seen from now on.
    pub fn publish(&self, snapshot: Snapshot) {
        let is_news = self.snapshot.load().version != snapshot.version;
        self.snapshot.store(Arc::new(snapshot));
        if is_news {
            // A bell that is ringing is enough.
            let _ = self.bell.try_send(());
        }
    }

    /// What can be seen now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The result of a run: of many drivers one that is up to a second old.
    #[must_use]
    pub fn result(&self, seen: &SeenRun) -> Arc<Made> {
        self.results.of(seen)
    }

    /// The samples of a run by time and band: of one that goes on up to a second old.
    #[must_use]
    pub fn heat(&self, seen: &SeenRun) -> Arc<HeatGrid> {
        self.heat.of(seen, SeenRun::heat)
    }

    /// The same of a run that is not in memory, which `read` finds in the store if nobody did
    /// lately.
    ///
    /// # Errors
    /// What `read` says.
    pub fn heat_of_stored<E>(
        &self,
        test_id: &str,
        read: impl FnOnce() -> Result<HeatGrid, E>,
    ) -> Result<Arc<HeatGrid>, E> {
        self.heat.of_stored(test_id, read)
    }

    /// What each node of a run counted by time: of one that goes on up to a second old.
    #[must_use]
    pub fn courses(&self, seen: &SeenRun) -> Arc<NodeCourses> {
        self.courses.of(seen, SeenRun::courses)
    }

    /// The same of a run that is not in memory, as [`Self::heat_of_stored`].
    ///
    /// # Errors
    /// What `read` says.
    pub fn courses_of_stored<E>(
        &self,
        test_id: &str,
        read: impl FnOnce() -> Result<NodeCourses, E>,
    ) -> Result<Arc<NodeCourses>, E> {
        self.courses.of_stored(test_id, read)
    }

    /// What each step of a run counted by time: of one that goes on up to a second old.
    #[must_use]
    pub fn steps(&self, seen: &SeenRun) -> Arc<StepCourses> {
        self.steps.of(seen, SeenRun::steps)
    }

    /// The same of a run that is not in memory, as [`Self::heat_of_stored`].
    ///
    /// # Errors
    /// What `read` says.
    pub fn steps_of_stored<E>(
        &self,
        test_id: &str,
        read: impl FnOnce() -> Result<StepCourses, E>,
    ) -> Result<Arc<StepCourses>, E> {
        self.steps.of_stored(test_id, read)
    }

    /// Begins to listen to a run in memory.
    ///
    /// # Errors
    /// [`NotJoined`] when it is not there, or [`LISTENERS_MAX`] others listen.
    pub fn join(&self, test_id: &str, since: Since) -> Result<Joined, NotJoined> {
        let newest = || self.snapshot();
        self.streams
            .join(test_id, newest, &self.results, &self.queues, since)
    }

    /// What waits for those who listen.
    #[must_use]
    pub fn queues(&self) -> &Arc<Queues> {
        &self.queues
    }

    /// Makes what is wanted as soon as it is due, so that who asks need not wait for it, and tells
    /// those who listen what is new; until stopped.
    pub fn run(&self, stop: &AtomicBool) {
        let mut pause = LOOK_EVERY;
        while !stop.load(Ordering::Relaxed) {
            // Whether it rang or was slept over, what is due is found by looking.
            let _ = self.rung.recv_timeout(pause);
            let due = self.results.make_what_is_due(&self.snapshot());
            let newest = || self.snapshot();
            self.streams.advance(newest, &self.results, &self.queues);
            pause = due.map_or(LOOK_EVERY, |due| due.min(LOOK_EVERY));
        }
    }
}
