//! The receive buffers of a ring: the kernel takes one when bytes have come, not when they are
//! awaited, so that as few as are read at a time serve any number of connections.
//!
//! From Linux 5.19 on buffers are given to the kernel through a ring that it shares; before, with an
//! operation each.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::{Submitter, opcode, squeue, types};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// The group that all buffers are in.
pub(super) const GROUP: u16 = 0;
/// Bytes of all buffers together.
const TOTAL_LEN: usize = 8 << 20;
/// Fewest and most buffers.
const COUNT: std::ops::RangeInclusive<usize> = 16..=2048;
/// Smallest and largest buffer, in bytes.
const BUFFER_LEN: std::ops::RangeInclusive<usize> = 4096..=65_536;
/// Bytes between buffers. Short answers fill the first lines of each, which would all fall into the
/// same few sets of the caches if they were a power of two apart.
const STAGGER: usize = 3 * 64;

/// Pages of our own that nothing has written to yet.
struct Pages {
    start: *mut u8,
    length: usize,
}

impl Pages {
    fn new(length: usize) -> io::Result<Self> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), length, access, flags)? };
        Ok(Self {
            start: start.cast(),
            length,
        })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever owns this has nobody left who uses it. It can
        // only fail for a range that is none of ours.
        let _ = unsafe { munmap(self.start.cast(), self.length) };
    }
}

/// The buffers, and the ring on which they are given to the kernel.
pub(super) struct Buffers {
    pages: Pages,
    count: u16,
    buffer_len: usize,
    /// Those that the kernel has handed to us and that were not given back yet.
    ours: Vec<bool>,
    shared: Option<SharedRing>,
}

/// The ring of buffers that the kernel reads.
struct SharedRing {
    entries: Pages,
    tail: u16,
    mask: u16,
}

impl Buffers {
    /// Buffers for so many connections; none is the kernel's yet.
    pub(super) fn new(connections: usize) -> io::Result<Self> {
        let wanted = connections.saturating_mul(2).next_power_of_two();
        let count = wanted.clamp(*COUNT.start(), *COUNT.end());
        let buffer_len = (TOTAL_LEN / count).clamp(*BUFFER_LEN.start(), *BUFFER_LEN.end());
        Ok(Self {
            pages: Pages::new(count * (buffer_len + STAGGER))?,
            count: u16::try_from(count).expect("invariant: within COUNT"),
            buffer_len,
            ours: vec![true; count],
            shared: None,
        })
    }

    /// Shares a ring of buffers with the kernel.
    ///
    /// # Errors
    /// `EINVAL` from a kernel that knows none.
    pub(super) fn share(&mut self, kernel: &Submitter<'_>) -> io::Result<()> {
        let length = usize::from(self.count) * size_of::<types::BufRingEntry>();
        let entries = Pages::new(length)?;
        let address = entries.start as u64;
        // SAFETY: the entries are page-aligned, as many as is said, and live as long as the ring of
        // the kernel, whose owner keeps this (see `Ring::drop`).
        unsafe { kernel.register_buf_ring_with_flags(address, self.count, GROUP, 0)? };
        self.shared = Some(SharedRing {
            entries,
            tail: 0,
            mask: self.count - 1,
        });
        Ok(())
    }

    /// How many there are.
    pub(super) fn count(&self) -> u16 {
        self.count
    }

    fn start(&self, buffer: u16) -> *mut u8 {
        assert!(buffer < self.count, "buffer {buffer} of {}", self.count);
        // SAFETY: within the mapping, by the check.
        unsafe {
            let offset = usize::from(buffer) * (self.buffer_len + STAGGER);
            self.pages.start.add(offset)
        }
    }

    /// The kernel has filled this buffer: it is ours until it is given back.
    pub(super) fn take(&mut self, buffer: u16) {
        self.ours[usize::from(buffer)] = true;
    }

    /// The first `length` bytes of a buffer.
    ///
    /// # Panics
    /// When the buffer is the kernel's: it may be writing.
    pub(super) fn bytes(&mut self, buffer: u16, length: usize) -> &mut [u8] {
        assert!(self.ours[usize::from(buffer)], "buffer {buffer} is lent");
        // SAFETY: the buffer lies within the mapping, which is initialised (zeroes), and the kernel
        // writes only to those that were given to it; the borrow of `self` keeps it from being
        // given back, and another borrow from existing.
        unsafe { std::slice::from_raw_parts_mut(self.start(buffer), length.min(self.buffer_len)) }
    }

    /// Gives a buffer to the kernel; where that takes an operation, it is returned to be queued.
    ///
    /// # Panics
    /// When the buffer is the kernel's already.
    #[inline]
    pub(super) fn give(&mut self, buffer: u16) -> Option<squeue::Entry> {
        let ours = &mut self.ours[usize::from(buffer)];
        assert!(std::mem::take(ours), "buffer {buffer} is lent already");
        let (start, length) = (self.start(buffer), self.buffer_len);
        if let Some(shared) = &mut self.shared {
            shared.put(start, length, buffer);
            return None;
        }
        let length = i32::try_from(length).expect("invariant: within BUFFER_LEN");
        Some(opcode::ProvideBuffers::new(start, length, 1, GROUP, buffer).build())
    }
}

impl SharedRing {
    #[inline]
    fn put(&mut self, start: *mut u8, length: usize, buffer: u16) {
        let base: *mut types::BufRingEntry = self.entries.start.cast();
        // SAFETY: the index is below the number of entries, and the kernel reads an entry only once
        // the tail has passed it. The tail lies in what the first entry leaves unused, is aligned,
        // and is written by this thread alone.
        unsafe {
            let entry = &mut *base.add(usize::from(self.tail & self.mask));
            entry.set_addr(start as u64);
            entry.set_len(u32::try_from(length).expect("invariant: within BUFFER_LEN"));
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            let tail = types::BufRingEntry::tail(base).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}
