//! The submission ring of one core: connect, send, receive and wait, many at once per system call.
//!
//! glommio's sockets cost an armed poll a read and a self-interrupt a completion, which is what
//! separates them from a bare ring (by a third). So each pinned executor hosts an engine with a
//! ring of its own; glommio keeps placement, life cycle and cooperation.
//!
//! The ring owns every byte that the kernel reads or writes: the payload that connections share, the
//! target's addresses, one receive buffer a slot, and copies of what is sent besides the payload. A
//! slot has at most one receive in flight and its buffer is lent out only while none is, which is
//! what makes the interface safe. When the ring is dropped with operations in flight that do not
//! end, the memory is leaked rather than freed under them.
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

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use socket2::SockAddr;

mod setup;
mod token;
mod wake;

pub use setup::{Features, RingError, Setup};
pub(crate) use token::GENERATION_MASK;
pub use token::{Kind, Token};
pub use wake::Wake;

/// Bytes of sends that share one call to the kernel, besides the payload.
const ARENA_LEN: usize = 1 << 20;
/// Buffers of sends that are kept to be used again.
const SPARE_SENDS_MAX: usize = 64;
/// How long a dropped ring waits for operations that were told to end.
const DRAIN: Duration = Duration::from_millis(200);

/// What the kernel reads and writes on behalf of the ring.
struct Memory {
    payload: Arc<[u8]>,
    addresses: Box<[SockAddr]>,
    /// From `Box::into_raw`, for the same reason as `buffers`; no longer read once a call to the
    /// kernel has returned.
    arena: *mut [u8],
    /// Sends that are to be told of, by the token of their operation.
    sends: HashMap<u64, Vec<u8>>,
    /// From `Box::into_raw`: the kernel writes into parts of it while others are read, so no
    /// reference to the whole may exist.
    buffers: *mut [u8],
    wake_count: *mut u64,
}

impl Memory {
    fn new(payload: Arc<[u8]>, addresses: &[SockAddr], length: usize) -> Self {
        Self {
            payload,
            addresses: addresses.into(),
            arena: Box::into_raw(vec![0; ARENA_LEN].into_boxed_slice()),
            sends: HashMap::new(),
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
        // SAFETY: all came from `Box::into_raw`, are freed only here, and no operation of the kernel
        // is in flight any more (else the ring forgets this memory instead).
        drop(unsafe {
            (
                Box::from_raw(self.buffers),
                Box::from_raw(self.arena),
                Box::from_raw(self.wake_count),
            )
        });
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
    /// Bytes of the arena that the next call to the kernel is going to read.
    arena_len: usize,
    /// Buffers of sends that have ended.
    spare_sends: Vec<Vec<u8>>,
    /// Receives in flight, by slot.
    receiving: Vec<bool>,
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
        slot_len: usize,
        payload: Arc<[u8]>,
        addresses: &[SockAddr],
    ) -> Result<Self, RingError> {
        let (uring, features) = setup.build(slots)?;
        let memory = Memory::new(payload, addresses, slots * slot_len);
        let receiving = vec![false; slots];
        Ok(Self {
            uring,
            features,
            memory: Some(memory),
            slot_len,
            arena_len: 0,
            spare_sends: Vec::new(),
            receiving,
            in_flight: 0,
            early: Vec::new(),
            bell: None,
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

    /// Receives up to `length` bytes and throws them away in the kernel; ends with as many as there
    /// are. Of TCP only: other sockets would write them to where nothing is.
    ///
    /// # Panics
    /// When a receive of this slot is in flight already.
    pub fn discard(&mut self, token: Token, fd: RawFd, length: u32) {
        let slot = token.slot as usize;
        assert!(!self.receiving[slot], "slot {slot} already receives");
        self.receiving[slot] = true;
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

    /// Whether a receive of this slot is in flight.
    #[must_use]
    pub fn is_receiving(&self, slot: u32) -> bool {
        self.receiving[slot as usize]
    }

    /// What the last receive of this slot brought; it may be overwritten.
    ///
    /// # Panics
    /// When another one is in flight: the kernel may be writing.
    #[must_use]
    pub fn received(&mut self, slot: u32, length: usize) -> &mut [u8] {
        let slot = slot as usize;
        assert!(!self.receiving[slot], "slot {slot} is receiving");
        let start = self.memory().slot(slot, self.slot_len);
        // SAFETY: the slot lies within the buffers, which are initialised, and no receive of it is
        // in flight; the borrow of `self` keeps one from starting, and another borrow from existing.
        unsafe { std::slice::from_raw_parts_mut(start, length.min(self.slot_len)) }
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
        let (receiving, in_flight) = (&mut self.receiving, &mut self.in_flight);
        let skips = self.features.skip_success;
        for entry in self.uring.completion().take(most) {
            let completion = Completion::from(&entry);
            let token = completion.token;
            if matches!(token.kind, Kind::Receive | Kind::Discard) {
                receiving[token.slot as usize] = false;
            }
            // A failed send that was not to notify was never counted.
            *in_flight -= usize::from(token.kind != Kind::SilentSend || !skips);
            to.push(completion);
        }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: all pointers in entries point into `memory`, which outlives the operations (see
        // `drop`), or are owned by the kernel; the buffers' exclusivity is kept by `receiving`.
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

    fn memory(&self) -> &Memory {
        self.memory.as_ref().expect("invariant: taken only by drop")
    }

    fn memory_mut(&mut self) -> &mut Memory {
        self.memory.as_mut().expect("invariant: taken only by drop")
    }
}

impl Drop for Ring {
    /// Cancels the wait for the bell, and waits a little for what is in flight, which ends since the
    /// sockets were shut down by their owner.
    fn drop(&mut self) {
        let until = Instant::now() + DRAIN;
        // Nobody rings the bell any more.
        if let Some(bell) = self.bell {
            let cancel = opcode::AsyncCancel::new(bell.pack()).build();
            self.push(&cancel.user_data(bell.pack()));
            self.in_flight += 1;
        }
        // From 6.0 on this ends attempts to connect too; before, they end with their sockets.
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
