//! Setting a ring up with what the kernel has: newer flags are left out in turn on older kernels.

use std::fmt;
use std::io;

use io_uring::IoUring;
use thiserror::Error;

/// `IORING_RECVSEND_POLL_FIRST`: wait for data before trying to read, since there is none yet.
const POLL_FIRST: u16 = 1;
/// `IORING_RECV_MULTISHOT`: one receive brings whatever comes, as often as something does.
const MULTISHOT: u16 = 2;
/// Largest submission queue, in entries.
const ENTRIES_MAX: u32 = 4096;
/// Largest completion queue, in entries.
const COMPLETIONS_MAX: u32 = 65_536;

/// Why there is no ring.
#[derive(Debug, Error)]
pub enum RingError {
    /// The kernel or a sandbox refuses `io_uring`.
    #[error(
        "io_uring is refused ({0}): set the sysctl kernel.io_uring_disabled=0, and run containers with a seccomp profile that allows io_uring (docker: --security-opt seccomp=unconfined)"
    )]
    Refused(io::Error),
    /// The kernel has no `io_uring`, or too old a one.
    #[error("this kernel's io_uring is too old ({0}): Linux 5.11 or later is needed")]
    TooOld(String),
    /// The limit of locked memory does not leave room for the ring.
    #[error("no memory may be locked for io_uring ({0}): raise `ulimit -l` to 8192 or more")]
    LockedMemory(io::Error),
    /// Anything else.
    #[error("io_uring cannot be set up: {0}")]
    Other(io::Error),
}

impl From<io::Error> for RingError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Refused(error),
            Some(libc::ENOSYS) => Self::TooOld(error.to_string()),
            Some(libc::ENOMEM) => Self::LockedMemory(error),
            _ => Self::Other(error),
        }
    }
}

/// What a ring uses of its kernel.
#[allow(clippy::struct_excessive_bools)] // each is one flag of the kernel
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// `SINGLE_ISSUER` (6.0).
    pub single_issuer: bool,
    /// `DEFER_TASKRUN` (6.1): completions are worked off when asked for, never by interrupting.
    pub defer_taskrun: bool,
    /// `COOP_TASKRUN` (5.19).
    pub coop_taskrun: bool,
    /// `TASKRUN_FLAG` (5.19): the ring shows when there is something to work off.
    pub taskrun_flag: bool,
    /// `CQE_SKIP` (5.17): successful sends need no completion.
    pub skip_success: bool,
    /// `RECVSEND_POLL_FIRST` (5.19).
    pub poll_first: bool,
    /// `PBUF_RING` (5.19): buffers are given without an operation.
    pub buffer_ring: bool,
    /// `RECV_MULTISHOT` (6.0).
    pub multishot: bool,
    /// `SYNC_CANCEL` (6.0).
    pub sync_cancel: bool,
}

impl Features {
    /// The flags of a receive: whether it is to go on and on, and whether there is something already.
    pub(super) fn receive_priority(self, again: bool, at_once: bool) -> u16 {
        let poll_first = u16::from(self.poll_first && !at_once) * POLL_FIRST;
        let multishot = u16::from(self.multishot && again) * MULTISHOT;
        poll_first | multishot
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.single_issuer, "SINGLE_ISSUER"),
            (self.defer_taskrun, "DEFER_TASKRUN"),
            (self.coop_taskrun, "COOP_TASKRUN"),
            (self.taskrun_flag, "TASKRUN_FLAG"),
            (self.skip_success, "CQE_SKIP"),
            (self.poll_first, "POLL_FIRST"),
            (self.buffer_ring, "PBUF_RING"),
            (self.multishot, "RECV_MULTISHOT"),
            (self.sync_cancel, "SYNC_CANCEL"),
        ];
        let used: Vec<&str> = names
            .iter()
            .filter_map(|(on, name)| on.then_some(*name))
            .collect();
        f.write_str(if used.is_empty() { "none" } else { "" })?;
        f.write_str(&used.join("|"))
    }
}

/// How much of a recent kernel a ring may use; anything less than [`Setup::Newest`] is for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Setup {
    /// Whatever the kernel has.
    #[default]
    Newest,
    /// As on Linux 5.19, without deferred task work, multishot receives and sync cancel.
    Cooperative,
    /// As on Linux 5.11, without any of the flags.
    Plain,
}

impl Setup {
    /// Builds the ring with the best of the steps that the kernel takes.
    pub(super) fn build(self, slots: usize) -> Result<(IoUring, Features), RingError> {
        let steps = [Self::Newest, Self::Cooperative, Self::Plain];
        let allowed = steps.iter().position(|step| *step == self).unwrap_or(0);
        let mut outcome = Err(io::Error::from_raw_os_error(libc::EINVAL));
        for step in &steps[allowed..] {
            outcome = step.attempt(slots);
            // Flags that the kernel does not know are answered with EINVAL.
            if !matches!(&outcome, Err(error) if error.raw_os_error() == Some(libc::EINVAL)) {
                break;
            }
        }
        let (uring, features) = outcome?;
        if !uring.params().is_feature_ext_arg() {
            return Err(RingError::TooOld("no IORING_FEAT_EXT_ARG".to_owned()));
        }
        Ok((uring, features))
    }

    fn attempt(self, slots: usize) -> io::Result<(IoUring, Features)> {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        let entries = slots
            .saturating_mul(2)
            .next_power_of_two()
            .clamp(64, ENTRIES_MAX);
        let completions = slots
            .saturating_mul(2)
            .next_power_of_two()
            .clamp(256, COMPLETIONS_MAX);
        let mut builder = IoUring::builder();
        builder
            .dontfork()
            .setup_clamp()
            .setup_cqsize(completions.max(entries * 2));
        if self == Self::Newest {
            builder
                .setup_single_issuer()
                .setup_defer_taskrun()
                .setup_taskrun_flag();
        } else if self == Self::Cooperative {
            builder.setup_coop_taskrun().setup_taskrun_flag();
        }
        let uring = builder.build(entries)?;
        let recent = self != Self::Plain;
        let features = Features {
            single_issuer: self == Self::Newest,
            defer_taskrun: self == Self::Newest,
            coop_taskrun: self == Self::Cooperative,
            taskrun_flag: recent,
            skip_success: recent && uring.params().is_feature_skip_cqe_on_success(),
            poll_first: recent,
            buffer_ring: recent,
            multishot: self == Self::Newest,
            sync_cancel: self == Self::Newest,
        };
        Ok((uring, features))
    }
}
