//! This process's own sockets, by descriptor, without `unsafe`.
//!
//! `may_minihttp` hands out neither its listening socket nor the accepted ones, but says the
//! descriptors of the latter. `pidfd_getfd` on ourselves duplicates what a descriptor stands for.

use std::os::fd::OwnedFd;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// One more descriptor of the same socket. `None` where there is none, and where kernels before 5.6
/// or container policies do not allow it.
#[must_use]
pub fn duplicate(descriptor: i32) -> Option<OwnedFd> {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).ok()?;
    pidfd_getfd(&own, descriptor, PidfdGetfdFlags::empty()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_is_not_open_has_no_socket() {
        assert!(duplicate(1_000_000).is_none());
    }
}
