//! When to look at the broker again, and what changed of its health.

use std::time::{Duration, Instant};

use proto::bus::Subscriber;

/// Between looks at whether the broker is still there, and still the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between questions for the cluster's id while nothing seems wrong.
const ID_EVERY: Duration = Duration::from_secs(30);
/// Between looks at whether there are mergers, which make the topic `merged`.
const MERGERS_EVERY: Duration = Duration::from_secs(5);

/// What was seen of the broker's health.
pub(super) struct Watch {
    looked: Instant,
    asked_id: Instant,
    asked_mergers: Instant,
    trouble: Option<String>,
    /// Why what mergers write may not be read, as the state was told.
    pub(super) hidden: Option<String>,
}

impl Watch {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            looked: now,
            asked_id: now,
            asked_mergers: now,
            trouble: None,
            hidden: None,
        }
    }

    /// The trouble, if it changed since the last look: `Some(None)` when it is over.
    #[allow(clippy::option_option)]
    pub(super) fn look(&mut self, subscriber: &Subscriber) -> Option<Option<String>> {
        if self.looked.elapsed() < LOOK_EVERY {
            return None;
        }
        self.looked = Instant::now();
        let health = subscriber.health();
        let reason = || {
            health
                .last_error()
                .unwrap_or_else(|| "all brokers are down".to_owned())
        };
        let trouble = health.is_down().then(reason);
        if trouble.is_some() == self.trouble.is_some() {
            return None;
        }
        self.trouble.clone_from(&trouble);
        Some(trouble)
    }

    pub(super) fn is_time_for_id(&mut self) -> bool {
        let is_time = self.trouble.is_none() && self.asked_id.elapsed() >= ID_EVERY;
        if is_time {
            self.asked_id = Instant::now();
        }
        is_time
    }

    pub(super) fn is_time_for_mergers(&mut self) -> bool {
        let is_time = self.trouble.is_none() && self.asked_mergers.elapsed() >= MERGERS_EVERY;
        if is_time {
            self.asked_mergers = Instant::now();
        }
        is_time
    }
}
