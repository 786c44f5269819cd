//! The bell by which other threads wake a core that sleeps in its ring.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::event::{EventfdFlags, eventfd};

/// An eventfd. Rung by any thread, read by the ring.
#[derive(Debug)]
pub struct Wake(OwnedFd);

impl Wake {
    /// A bell that has not been rung.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC)?))
    }

    /// Rings it.
    pub fn ring(&self) {
        // It can fail only when 2^64 - 1 rings are pending.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
