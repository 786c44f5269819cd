//! The submission ring of one core: connect, send, receive and wait, many at once per system call.
//!
//! glommio's sockets cost an armed poll a read and a self-interrupt a completion, which is what
//! separates them from a bare ring (by a third). So each pinned executor hosts an engine with a
//! ring of its own; glommio keeps placement, life cycle and cooperation.
//!
//! The ring owns every byte that the kernel reads or writes: the payload that connections share, the
//! target's addresses, the receive buffers, and copies of what is sent besides the payload. A receive
//! buffer is the kernel's from when it is given until a completion names it, and is lent out only
//! while it is not, which is what makes the interface safe. When the ring is dropped with operations
//! in flight that do not end, the memory is leaked rather than freed under them.
//!
//! What is sent besides the payload goes through an arena that is used again after each call to the
//! kernel, unless it is to be told of. That is safe since such a send never waits: with
//! `MSG_DONTWAIT` and `MSG_WAITALL` it is taken whole within the call, or fails at once. Without the
//! first the kernel would read the arena later, without the second it would lose a part in silence.

#![allow(unsafe_code)] // SAFETY comments at each use; nothing outside this module needs any.

use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::{IoUring, opcode, squeue, types};
use socket2::SockAddr;

mod buffers;
mod completion;
mod setup;
mod token;
mod wake;

use buffers::{Buffers, GROUP};
pub use completion::Completion;
pub use setup::{Features, RingError, Setup};
pub(crate) use token::GENERATION_MASK;
pub use token::{Kind, Token};
pub use wake::Wake;

/// Bytes of sends that share one call to the kernel, besides the payload.
const ARENA_LEN: usize = 1 << 20;
/// Buffers of sends that are kept to be used again.
const SPARE_SENDS_MAX: usize = 64;
/// How long a dropped ring waits for operations that end with their sockets.
const DRAIN_ALONE: Duration = Duration::from_millis(100);
/// How long it waits for those that were told to end.
const DRAIN: Duration = Duration::from_millis(200);

/// What the kernel reads and writes on behalf of the ring.
struct Memory {
    payload: Arc<[u8]>,
    addresses: Box<[SockAddr]>,
    /// From `Box::into_raw`: the kernel reads parts of it while others are written, so no reference
    /// to the whole may exist; no longer read once a call to the kernel has returned.
    arena: *mut [u8],
    /// Sends that are to be told of, by the token of their operation.
    sends: HashMap<u64, Vec<u8>>,
    buffers: Buffers,
    wake_count: *mut u64,
}

impl Memory {
    fn new(payload: Arc<[u8]>, addresses: &[SockAddr], buffers: Buffers) -> Self {
        Self {
            payload,
            addresses: addresses.into(),
            arena: Box::into_raw(vec![0; ARENA_LEN].into_boxed_slice()),
            sends: HashMap::new(),
            buffers,
            wake_count: Box::into_raw(Box::new(0)),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: both came from `Box::into_raw`, are freed only here, and no operation of the kernel
        // is in flight any more (else the ring forgets this memory instead).
        drop(unsafe { (Box::from_raw(self.arena), Box::from_raw(self.wake_count)) });
    }
}

/// One core's ring. Created in, and never leaves, the thread that uses it.
pub struct Ring {
    uring: IoUring,
    features: Features,
    memory: Option<Memory>,
    /// Bytes of the arena that the next call to the kernel is going to read.
    arena_len: usize,
    /// Buffers of sends that have ended.
    spare_sends: Vec<Vec<u8>>,
    /// Operations whose completion is still to come.
    in_flight: usize,
    /// Completions that were taken in to make room for others.
    early: Vec<Completion>,
    /// What waits for the bell.
    bell: Option<Token>,
}

impl Ring {
    /// Sets a ring up for `slots` connections to `addresses` that send pieces of `payload`, and other
    /// bytes.
    ///
    /// # Errors
    /// [`RingError`], which names the remedy.
    pub fn new(
        setup: Setup,
        slots: usize,
        payload: Arc<[u8]>,
        addresses: &[SockAddr],
    ) -> Result<Self, RingError> {
        let (uring, features) = setup.build(slots)?;
        let mut buffers = Buffers::new(slots)?;
        if features.buffer_ring {
            buffers.share(&uring.submitter())?;
        }
        let count = buffers.count();
        let mut ring = Self {
            uring,
            features,
            memory: Some(Memory::new(payload, addresses, buffers)),
            arena_len: 0,
            spare_sends: Vec::new(),
            in_flight: 0,
            early: Vec::new(),
            bell: None,
        };
        for buffer in 0..count {
            ring.give_back(buffer);
        }
        Ok(ring)
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

    /// Connects `fd` to the address of that number.
    ///
    /// # Panics
    /// When there is no such address.
    pub fn connect(&mut self, token: Token, fd: RawFd, address: usize) {
        let address = &self.memory().addresses[address];
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

    /// Sends a copy of these bytes. With `notify` a completion follows, and the copy is kept until
    /// [`Self::forget_send`]; otherwise one follows only when the socket did not take all of them at
    /// once, and then the connection is of no more use.
    pub fn send_bytes(&mut self, token: Token, fd: RawFd, bytes: &[u8], notify: bool) {
        if notify || !self.features.skip_success || bytes.len() > ARENA_LEN {
            let mut copy = self.spare_sends.pop().unwrap_or_default();
            copy.extend_from_slice(bytes);
            self.memory_mut().sends.insert(token.pack(), copy);
            return self.send_rest(token, fd, 0);
        }
        let start = self.copy_to_arena(bytes);
        let length = u32::try_from(bytes.len()).expect("invariant: at most the arena");
        let entry = opcode::Send::new(types::Fd(fd), start, length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_WAITALL)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(token.pack());
        self.push(&entry);
    }

    /// Sends what is left, from `from` on, of the bytes that [`Self::send_bytes`] keeps for this
    /// token; nothing when it keeps none.
    pub fn send_rest(&mut self, token: Token, fd: RawFd, from: usize) {
        let Some(bytes) = self.memory().sends.get(&token.pack()) else {
            return;
        };
        let bytes = &bytes[from..];
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(types::Fd(fd), bytes.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .user_data(token.pack());
        self.in_flight += 1;
        self.push(&entry);
    }

    /// Forgets the bytes that were kept for this token, whose operation has ended.
    pub fn forget_send(&mut self, token: Token) {
        if let Some(mut bytes) = self.memory_mut().sends.remove(&token.pack())
            && self.spare_sends.len() < SPARE_SENDS_MAX
        {
            bytes.clear();
            self.spare_sends.push(bytes);
        }
    }

    /// Puts bytes where they stay until the next call to the kernel has returned.
    fn copy_to_arena(&mut self, bytes: &[u8]) -> *const u8 {
        if self.arena_len + bytes.len() > ARENA_LEN {
            while self.has_queued() {
                // As in `push`: refused only for a completion queue that overflowed.
                let _ = self.submit();
            }
        }
        let at = self.arena_len;
        self.arena_len += bytes.len();
        // SAFETY: the arena is ARENA_LEN long and `at` plus the length was checked against it; what
        // was queued from this part before has been read by the kernel.
        unsafe {
            let start = self.memory().arena.cast::<u8>().add(at);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
            start
        }
    }

    /// Receives what comes: `again` and again where the kernel can do that, else once. `at_once` when
    /// there is something already.
    pub fn receive(&mut self, token: Token, fd: RawFd, again: bool, at_once: bool) {
        let priority = self.features.receive_priority(again, at_once);
        let entry = opcode::Recv::new(types::Fd(fd), std::ptr::null_mut(), 0)
            .buf_group(GROUP)
            .ioprio(priority)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT)
            .user_data(token.pack());
        self.in_flight += 1;
        self.push(&entry);
    }

    /// Ends a receive that goes on and on. Its last completion says so; another one is that of the
    /// token.
    pub fn cancel(&mut self, receive: Token) {
        let token = Token {
            kind: Kind::Cancel,
            ..receive
        };
        let entry = opcode::AsyncCancel::new(receive.pack()).build();
        self.in_flight += 1;
        self.push(&entry.user_data(token.pack()));
    }

    /// Receives up to `length` bytes and throws them away in the kernel; ends with as many as there
    /// are. Of TCP only: other sockets would write them to where nothing is.
    pub fn discard(&mut self, token: Token, fd: RawFd, length: u32) {
        // MSG_TRUNC of TCP (tcp(7), since 2.4): the bytes are dropped instead of copied, and no buffer
        // is needed. A null one turns any copy into EFAULT. Not with MSG_WAITALL: io_uring waits for
        // the whole length anew after each part, since what is dropped does not advance its iterator.
        let entry = opcode::Recv::new(types::Fd(fd), std::ptr::null_mut(), length)
            .flags(libc::MSG_TRUNC)
            .build()
            .user_data(token.pack());
        self.in_flight += 1;
        self.push(&entry);
    }

    /// The first `length` bytes of a buffer that a completion has named; they may be overwritten.
    ///
    /// # Panics
    /// When the buffer has been given back: the kernel may be writing.
    #[must_use]
    pub fn received(&mut self, buffer: u16, length: usize) -> &mut [u8] {
        self.memory_mut().buffers.bytes(buffer, length)
    }

    /// Gives a buffer that a completion has named to the kernel again.
    ///
    /// # Panics
    /// When it has been given back already.
    #[inline]
    pub fn give_back(&mut self, buffer: u16) {
        if let Some(entry) = self.memory_mut().buffers.give(buffer) {
            let token = Token {
                kind: Kind::Provide,
                slot: buffer.into(),
                generation: 0,
            };
            self.in_flight += 1;
            self.push(&entry.user_data(token.pack()));
        }
    }

    /// Gives a buffer once more that the kernel had refused.
    pub fn give_again(&mut self, buffer: u32) {
        if let Ok(buffer) = u16::try_from(buffer) {
            self.memory_mut().buffers.take(buffer);
            self.give_back(buffer);
        }
    }

    /// Waits for `wake` to be rung; ends with a completion.
    pub fn listen(&mut self, token: Token, wake: &Wake) {
        let fd = types::Fd(wake.fd());
        let count = self.memory().wake_count;
        let entry = opcode::Read::new(fd, count.cast(), 8).build();
        self.push(&entry.user_data(token.pack()));
        self.in_flight += 1;
        self.bell = Some(token);
    }

    /// Hands what was queued to the kernel, which may complete some of it, and returns.
    ///
    /// # Errors
    /// Of `io_uring_enter`, those aside that only ask for another try.
    pub fn submit(&mut self) -> io::Result<()> {
        settle(self.uring.submit())?;
        self.reuse_arena();
        Ok(())
    }

    /// The kernel has read what it was handed, if it took everything.
    fn reuse_arena(&mut self) {
        if self.arena_len > 0 && !self.has_queued() {
            self.arena_len = 0;
        }
    }

    /// Hands what was queued to the kernel and sleeps until a completion, at most for `limit`.
    ///
    /// # Errors
    /// Of `io_uring_enter`, those aside that only ask for another try.
    pub fn submit_and_wait(&mut self, limit: Duration) -> io::Result<()> {
        let limit = types::Timespec::from(limit);
        let args = types::SubmitArgs::new().timespec(&limit);
        settle(self.uring.submitter().submit_with_args(1, &args))?;
        self.reuse_arena();
        Ok(())
    }

    /// Whether a call of [`Self::submit`] could bring completions, or there are some already.
    #[must_use]
    pub fn has_news(&mut self) -> bool {
        !self.early.is_empty()
            || !self.uring.completion().is_empty()
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
        let early = self.early.len().min(room);
        batch.extend(self.early.drain(..early));
        self.take_completions(room - early, batch);
    }

    fn take_completions(&mut self, most: usize, to: &mut Vec<Completion>) {
        let skips = self.features.skip_success;
        let memory = self.memory.as_mut().expect("invariant: taken only by drop");
        for entry in self.uring.completion().take(most) {
            let completion = Completion::from(&entry);
            if let Some(buffer) = completion.buffer() {
                memory.buffers.take(buffer);
            }
            // A failed send that was not to notify was never counted.
            let was_counted = completion.token.kind != Kind::SilentSend || !skips;
            self.in_flight -= usize::from(was_counted && !completion.goes_on());
            to.push(completion);
        }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: all pointers in entries point into `memory`, which outlives the operations (see
        // `drop`), or are owned by the kernel; the buffers' exclusivity is kept by `Buffers`.
        while unsafe { self.uring.submission().push(entry) }.is_err() {
            // Full: hand over what is queued, which makes room. The kernel refuses that only for a
            // completion queue that overflowed (before 5.19), so that one is emptied first.
            let mut early = std::mem::take(&mut self.early);
            self.take_completions(usize::MAX, &mut early);
            self.early = early;
            // A refusal shows in the next round, which tries again.
            let _ = self.uring.submit();
        }
    }

    /// Waits until nothing is in flight, at most until then.
    fn drain(&mut self, until: Instant) {
        let mut batch = Vec::with_capacity(1024);
        while self.in_flight > 0 && Instant::now() < until {
            if self.submit_and_wait(Duration::from_millis(10)).is_err() {
                return;
            }
            batch.clear();
            self.reap(&mut batch);
        }
    }

    fn memory(&self) -> &Memory {
        self.memory.as_ref().expect("invariant: taken only by drop")
    }

    fn memory_mut(&mut self) -> &mut Memory {
        self.memory.as_mut().expect("invariant: taken only by drop")
    }
}

impl Drop for Ring {
    /// Cancels the wait for the bell, and waits a little for what is in flight, which ends since the
    /// sockets were shut down by their owner; what has not ended then is cancelled.
    fn drop(&mut self) {
        // Nobody rings the bell any more.
        if let Some(bell) = self.bell {
            let cancel = opcode::AsyncCancel::new(bell.pack()).build();
            self.push(&cancel.user_data(bell.pack()));
            self.in_flight += 1;
        }
        self.drain(Instant::now() + DRAIN_ALONE);
        if self.in_flight > 0 && self.features.sync_cancel {
            // The kernel goes through all that is in flight for each one that it ends, so that this is
            // no way to end thousands of receives.
            let cancel = types::CancelBuilder::any();
            let limit = types::Timespec::from(DRAIN);
            // Where it fails, the wait for what is in flight goes on all the same.
            let _ = self
                .uring
                .submitter()
                .register_sync_cancel(Some(limit), cancel);
        }
        self.drain(Instant::now() + DRAIN);
        if self.in_flight > 0 {
            std::mem::forget(self.memory.take());
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
