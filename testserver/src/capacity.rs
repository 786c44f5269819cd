//! A server of known capacity, for whoever wants to find it from outside.
//!
//! Both are shared by all connections, and by all requests that ask for them in their query (see
//! [`crate::query`]):
//!
//! - `queue=1ms`: a single server that needs 1 ms for each request and takes them in the order in
//!   which they came, so that 1000 a second are the most there can be (M/D/1, if they come by
//!   chance). `collapse=100:5:1s` makes it one that breaks under overload: once more than 100 are
//!   there, each that comes takes 5 times as long, until the queue was empty for a second.
//! - `bucket=1000:50`: 1000 tokens a second, 50 at most; a request that finds none gets a `503`, the
//!   status that `over=` names, or waits for one (`over=delay`).
//!
//! Time is virtual: a request is told when its answer is due, and the end of one is the start of
//! the next, however late the timer wakes. So the capacity is exact, and a wait of less than what a
//! timer can do (some 60 µs) is only rounded up for the request that waits.

mod bucket;
mod queue;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use bucket::{Bucket, Limit};
pub use queue::{Collapse, Queue};

/// The longest that a request may have to wait for its turn. One that would have to wait longer is
/// turned away, so that what is due is bounded.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a request without a token gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// This status at once.
    Status(u16),
    /// Its answer, when there is a token.
    Delay,
}

/// The queue and the bucket of a server.
#[derive(Debug)]
pub struct Capacity {
    begin: Instant,
    queue: Mutex<Queue>,
    bucket: Mutex<Bucket>,
}

/// What queue and bucket counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests that are with the single server, or wait for it, now.
    pub queued: u64,
    /// The most that there ever were.
    pub queued_max: u64,
    /// Times that the queue collapsed.
    pub collapses: u64,
    /// Requests that were refused: by the bucket, or for a wait beyond [`WAIT_MAX`].
    pub refusals: u64,
}

impl Capacity {
    /// An empty queue and a full bucket.
    #[must_use]
    pub fn new() -> Self {
        Self {
            begin: Instant::now(),
            queue: Mutex::default(),
            bucket: Mutex::default(),
        }
    }

    /// Takes a token of the bucket. Gives the time until there is one, `None` for a refusal.
    #[must_use]
    pub fn take_token(&self, limit: Limit, over: Over) -> Option<Duration> {
        let now_ns = self.now_ns();
        let wait_max_ns = match over {
            Over::Status(_) => 0,
            Over::Delay => ns(WAIT_MAX),
        };
        let wait_ns = lock(&self.bucket).take(now_ns, limit, wait_max_ns)?;
        Some(Duration::from_nanos(wait_ns))
    }

    /// Joins the queue for a service that takes so long. Gives the time until it is over, `None`
    /// for a wait beyond [`WAIT_MAX`].
    #[must_use]
    pub fn join_queue(&self, service: Duration, collapse: Option<Collapse>) -> Option<Duration> {
        // Under the lock: whoever comes first is served first.
        let mut queue = lock(&self.queue);
        let now_ns = self.now_ns();
        let end_ns = queue.join(now_ns, ns(service), collapse, ns(WAIT_MAX))?;
        Some(Duration::from_nanos(end_ns - now_ns))
    }

    /// What was counted so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let refused_by_bucket = lock(&self.bucket).refusals();
        let mut queue = lock(&self.queue);
        let queued = queue.len(self.now_ns());
        Figures {
            queued,
            queued_max: queue.len_max(),
            collapses: queue.collapses(),
            refusals: queue.refusals() + refused_by_bucket,
        }
    }

    fn now_ns(&self) -> u64 {
        ns(self.begin.elapsed())
    }
}

impl Default for Capacity {
    fn default() -> Self {
        Self::new()
    }
}

/// Nothing panics while it holds one of the two; their states are whole at any time.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
