//! The submission ring of one core: connect, send, receive and wait, many at once per system call.
//!
//! glommio's sockets cost an armed poll a read and a self-interrupt a completion, which is what
//! separates them from a bare ring (by a third). So each pinned executor hosts an engine with a
//! ring of its own; glommio keeps placement, life cycle and cooperation.
//!
//! The ring owns every byte that the kernel reads or writes: the rendered request, the target's
//! address, one receive buffer a slot. A slot has at most one receive in flight and its buffer is
//! lent out only while none is, which is what makes the interface safe. When the ring is dropped
//! with operations in flight that do not end, the memory is leaked rather than freed under them.

#![allow(unsafe_code)] // SAFETY comments at each use; nothing outside this module needs any.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use socket2::SockAddr;

mod setup;
mod token;
mod wake;

pub use setup::{Features, RingError, Setup};
pub(crate) use token::GENERATION_MASK;
pub use token::{Kind, Token};
pub use wake::Wake;

/// How long a dropped ring waits for operations that were told to end.
const DRAIN: Duration = Duration::from_millis(200);

/// What the kernel reads and writes on behalf of the ring.
struct Memory {
    payload: Arc<[u8]>,
    address: Box<SockAddr>,
    /// From `Box::into_raw`: the kernel writes into parts of it while others are read, so no
    /// reference to the whole may exist.
    buffers: *mut [u8],
    wake_count: *mut u64,
}

impl Memory {
    fn new(payload: Arc<[u8]>, address: SockAddr, length: usize) -> Self {
        Self {
            payload,
            address: Box::new(address),
            buffers: Box::into_raw(vec![0; length].into_boxed_slice()),
            wake_count: Box::into_raw(Box::new(0)),
        }
    }

    fn slot(&self, slot: usize, slot_len: usize) -> *mut u8 {
        assert!(
            (slot + 1) * slot_len <= self.buffers.len(),
            "slot {slot} of {}",
            self.buffers.len()
        );
        // SAFETY: the offset was checked to be within the allocation.
        unsafe { self.buffers.cast::<u8>().add(slot * slot_len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: both came from `Box::into_raw`, are freed only here, and no operation of the
        // kernel is in flight any more (else the ring forgets this memory instead).
        drop(unsafe { (Box::from_raw(self.buffers), Box::from_raw(self.wake_count)) });
    }
}

/// An operation that ended.
#[derive(Debug, Clone, Copy)]
pub struct Completion {
    /// Which one.
    pub token: Token,
    /// Bytes, or a negated error number.
    pub result: i32,
}

/// One core's ring. Created in, and never leaves, the thread that uses it.
pub struct Ring {
    uring: IoUring,
    features: Features,
    memory: Option<Memory>,
    slot_len: usize,
    /// Receives in flight, by slot.
    receiving: Vec<bool>,
    /// Operations whose completion is still to come.
    in_flight: usize,
}

impl Ring {
    /// Sets a ring up for `slots` connections to `address` that send pieces of `payload`.
    ///
    /// # Errors
    /// [`RingError`], which names the remedy.
    pub fn new(
        setup: Setup,
        slots: usize,
        slot_len: usize,
        payload: Arc<[u8]>,
        address: SockAddr,
    ) -> Result<Self, RingError> {
        let (uring, features) = setup.build(slots)?;
        let memory = Memory::new(payload, address, slots * slot_len);
        let receiving = vec![false; slots];
        Ok(Self {
            uring,
            features,
            memory: Some(memory),
            slot_len,
            receiving,
            in_flight: 0,
        })
    }

    /// What the kernel lets this ring use.
    #[must_use]
    pub fn features(&self) -> Features {
        self.features
    }

    /// Operations whose completion is still to come.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Connects `fd` to the target.
    pub fn connect(&mut self, token: Token, fd: RawFd) {
        let address = &self.memory().address;
        let entry = opcode::Connect::new(types::Fd(fd), address.as_ptr().cast(), address.len());
        self.push(&entry.build().user_data(token.pack()));
        self.in_flight += 1;
    }

    /// Sends `length` bytes of the payload from `offset` on. With `notify`, or when it fails, a
    /// completion follows; otherwise none does, where the kernel can leave it out.
    pub fn send(&mut self, token: Token, fd: RawFd, offset: usize, length: usize, notify: bool) {
        let bytes = &self.memory().payload[offset..offset + length];
        let length =
            u32::try_from(length).expect("invariant: a payload is a body of 1 GiB at most");
        let entry = opcode::Send::new(types::Fd(fd), bytes.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .user_data(token.pack());
        if notify || !self.features.skip_success {
            self.in_flight += 1;
            self.push(&entry);
        } else {
            self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS));
        }
    }

    /// Receives into the buffer of the token's slot.
    ///
    /// # Panics
    /// When a receive of this slot is in flight already.
    pub fn receive(&mut self, token: Token, fd: RawFd) {
        let slot = token.slot as usize;
        assert!(!self.receiving[slot], "slot {slot} already receives");
        self.receiving[slot] = true;
        let buffer = self.memory().slot(slot, self.slot_len);
        let length = u32::try_from(self.slot_len).expect("invariant: buffers are 64 KiB at most");
        let entry = opcode::Recv::new(types::Fd(fd), buffer, length)
            .ioprio(self.features.receive_priority())
            .build()
            .user_data(token.pack());
        self.in_flight += 1;
        self.push(&entry);
    }

    /// Whether a receive of this slot is in flight.
    #[must_use]
    pub fn is_receiving(&self, slot: u32) -> bool {
        self.receiving[slot as usize]
    }

    /// What the last receive of this slot brought.
    ///
    /// # Panics
    /// When another one is in flight: the kernel may be writing.
    #[must_use]
    pub fn received(&self, slot: u32, length: usize) -> &[u8] {
        let slot = slot as usize;
        assert!(!self.receiving[slot], "slot {slot} is receiving");
        let start = self.memory().slot(slot, self.slot_len);
        // SAFETY: the slot lies within the buffers, which are initialised, and no receive of it is
        // in flight; the borrow of `self` keeps one from starting.
        unsafe { std::slice::from_raw_parts(start, length.min(self.slot_len)) }
    }

    /// Waits for `wake` to be rung; ends with a completion.
    pub fn listen(&mut self, token: Token, wake: &Wake) {
        let fd = types::Fd(wake.fd());
        let count = self.memory().wake_count;
        let entry = opcode::Read::new(fd, count.cast(), 8).build();
        self.push(&entry.user_data(token.pack()));
        self.in_flight += 1;
    }

    /// Hands what was queued to the kernel, which may complete some of it, and returns.
    ///
    /// # Errors
    /// Of `io_uring_enter`, those aside that only ask for another try.
    pub fn submit(&mut self) -> io::Result<()> {
        settle(self.uring.submit())
    }

    /// Hands what was queued to the kernel and sleeps until a completion, at most for `limit`.
    ///
    /// # Errors
    /// Of `io_uring_enter`, those aside that only ask for another try.
    pub fn submit_and_wait(&mut self, limit: Duration) -> io::Result<()> {
        let limit = types::Timespec::from(limit);
        let args = types::SubmitArgs::new().timespec(&limit);
        settle(self.uring.submitter().submit_with_args(1, &args))
    }

    /// Whether a call of [`Self::submit`] could bring completions, or there are some already.
    #[must_use]
    pub fn has_news(&mut self) -> bool {
        !self.uring.completion().is_empty()
            || (self.features.taskrun_flag && self.uring.submission().taskrun())
    }

    /// Whether something is queued that [`Self::submit`] has not handed over.
    #[must_use]
    pub fn has_queued(&mut self) -> bool {
        !self.uring.submission().is_empty()
    }

    /// Moves completions into `batch`, as many as it has room for.
    pub fn reap(&mut self, batch: &mut Vec<Completion>) {
        let room = batch.capacity() - batch.len();
        let (receiving, in_flight) = (&mut self.receiving, &mut self.in_flight);
        let skips = self.features.skip_success;
        for entry in self.uring.completion().take(room) {
            let completion = Completion::from(&entry);
            let token = completion.token;
            if token.kind == Kind::Receive {
                receiving[token.slot as usize] = false;
            }
            // A failed send that was not to notify was never counted.
            *in_flight -= usize::from(token.kind != Kind::SilentSend || !skips);
            batch.push(completion);
        }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: all pointers in entries point into `memory`, which outlives the operations (see
        // `drop`), or are owned by the kernel; the buffers' exclusivity is kept by `receiving`.
        while unsafe { self.uring.submission().push(entry) }.is_err() {
            // Full: hand over what is queued, which makes room. The kernel refuses that only for a
            // completion queue that overflowed, and that one is made large enough.
            let _ = self.uring.submit();
        }
    }

    fn memory(&self) -> &Memory {
        self.memory.as_ref().expect("invariant: taken only by drop")
    }
}

impl Drop for Ring {
    /// Cancels what is in flight and waits for it a little. Sockets were shut down by their owner.
    fn drop(&mut self) {
        let until = Instant::now() + DRAIN;
        let cancel = types::CancelBuilder::any();
        let _ = self
            .uring
            .submitter()
            .register_sync_cancel(Some(types::Timespec::from(DRAIN)), cancel);
        let mut batch = Vec::with_capacity(1024);
        while self.in_flight > 0 && Instant::now() < until {
            if self.submit_and_wait(Duration::from_millis(10)).is_err() {
                break;
            }
            batch.clear();
            self.reap(&mut batch);
        }
        if self.in_flight > 0 {
            std::mem::forget(self.memory.take());
        }
    }
}

impl From<&cqueue::Entry> for Completion {
    fn from(entry: &cqueue::Entry) -> Self {
        Self {
            token: Token::unpack(entry.user_data()),
            result: entry.result(),
        }
    }
}

/// Errors that only say "try again" are none: a timeout, a signal, a full completion queue.
fn settle(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
            _ => Err(error),
        },
    }
}
