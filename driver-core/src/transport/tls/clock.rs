//! The wall clock of one core's handshakes, from instants of the monotonic one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proto::clock::Anchor;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// Stands still between two calls of [`Clock::set`].
#[derive(Debug)]
pub(super) struct Clock {
    anchor: Anchor,
    unix_ns: AtomicU64,
}

impl Clock {
    pub(super) fn new(anchor: Anchor) -> Self {
        Self {
            anchor,
            unix_ns: AtomicU64::new(anchor.unix_ns),
        }
    }

    /// It is this instant of the monotonic clock now, ns.
    pub(super) fn set(&self, monotonic_ns: u64) {
        let since_ns = monotonic_ns.saturating_sub(self.anchor.monotonic_ns);
        let unix_ns = self.anchor.unix_ns.saturating_add(since_ns);
        self.unix_ns.store(unix_ns, Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since_1970 = Duration::from_nanos(self.unix_ns.load(Ordering::Relaxed));
        Some(UnixTime::since_unix_epoch(since_1970))
    }
}
