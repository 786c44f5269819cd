//! Exact counters that a busy server can afford.
//!
//! One shard a worker: the connections of a worker (they are dealt by descriptor, modulo workers)
//! add to its shard, so that no two cores write the same cache line in the usual case. The adds are
//! atomic nevertheless, because a coroutine goes on elsewhere after a delay. A plain `/` costs a
//! single add; its share of every total is derived when the counters are read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::query::{STATUS_MAX, STATUS_MIN};

/// The body of a plain `/`.
pub const PLAIN_BODY: &str = "Hello World";

const STATUSES: usize = (STATUS_MAX - STATUS_MIN) as usize + 1;

/// All counters of a server.
#[derive(Debug)]
pub struct Counters {
    shards: Vec<Shard>,
}

/// The counters that the connections of one worker add to.
// 128 bytes, because adjacent lines are fetched in pairs on common processors.
#[derive(Debug)]
#[repr(align(128))]
pub struct Shard {
    plain: AtomicU64,
    other: AtomicU64,
    body_bytes_in: AtomicU64,
    body_bytes_out: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
    by_status: [AtomicU64; STATUSES],
}

/// What the counters said at one reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that the server was sent, its own readings not among them.
    pub requests: u64,
    /// Answers by status, only those that occurred, in ascending order.
    pub responses: Vec<(u16, u64)>,
    /// Bytes of request bodies.
    pub body_bytes_in: u64,
    /// Bytes of answer bodies.
    pub body_bytes_out: u64,
    /// Connections ever accepted.
    pub connections_opened: u64,
    /// Connections open now.
    pub connections_open: u64,
}

impl Counters {
    /// Counters of zero, with `shards` shards; at least one.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards.max(1)).map(|_| Shard::new()).collect(),
        }
    }

    /// The shard of the connection with this descriptor.
    #[must_use]
    pub fn shard(&self, descriptor: usize) -> &Shard {
        &self.shards[descriptor % self.shards.len()]
    }

    /// Requests that the server was sent, its own readings not among them.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.sum(|shard| &shard.plain) + self.sum(|shard| &shard.other)
    }

    /// Everything, added up over the shards.
    #[must_use]
    pub fn totals(&self) -> Totals {
        // `closed` before `opened`: a connection that comes and goes meanwhile must not make the
        // difference negative.
        let closed = self.sum(|shard| &shard.closed);
        let opened = self.sum(|shard| &shard.opened);
        let plain = self.sum(|shard| &shard.plain);
        Totals {
            requests: plain + self.sum(|shard| &shard.other),
            responses: self.responses(plain),
            body_bytes_in: self.sum(|shard| &shard.body_bytes_in),
            body_bytes_out: self.sum(|shard| &shard.body_bytes_out)
                + plain * PLAIN_BODY.len() as u64,
            connections_opened: opened,
            connections_open: opened - closed,
        }
    }

    fn responses(&self, plain: u64) -> Vec<(u16, u64)> {
        (STATUS_MIN..=STATUS_MAX)
            .map(|status| {
                let told = self.sum(|shard| &shard.by_status[index(status)]);
                (status, told + if status == 200 { plain } else { 0 })
            })
            .filter(|&(_, count)| count > 0)
            .collect()
    }

    fn sum(&self, counter: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.shards
            .iter()
            .map(|shard| counter(shard).load(Relaxed))
            .sum()
    }
}

impl Shard {
    fn new() -> Self {
        Self {
            plain: AtomicU64::new(0),
            other: AtomicU64::new(0),
            body_bytes_in: AtomicU64::new(0),
            body_bytes_out: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            by_status: [const { AtomicU64::new(0) }; STATUSES],
        }
    }

    /// A plain `/` without a body came in and is answered 200 with [`PLAIN_BODY`].
    #[inline]
    pub fn count_plain(&self) {
        self.plain.fetch_add(1, Relaxed);
    }

    /// Any other request came in. Counted on arrival, so that a delayed answer does not hide it.
    pub fn count_request(&self) {
        self.other.fetch_add(1, Relaxed);
    }

    /// So many bytes of a request body were read.
    pub fn count_body_in(&self, bytes: u64) {
        self.body_bytes_in.fetch_add(bytes, Relaxed);
    }

    /// An answer was given to a request that was counted by [`Shard::count_request`].
    pub fn count_response(&self, status: u16, body_bytes: usize) {
        self.by_status[index(status)].fetch_add(1, Relaxed);
        self.body_bytes_out.fetch_add(body_bytes as u64, Relaxed);
    }

    /// A connection was accepted.
    pub fn count_opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    /// A connection ended.
    pub fn count_closed(&self) {
        self.closed.fetch_add(1, Relaxed);
    }
}

fn index(status: u16) -> usize {
    assert!(
        (STATUS_MIN..=STATUS_MAX).contains(&status),
        "invariant: status {status} was checked"
    );
    usize::from(status - STATUS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_add_up_over_shards_and_count_plain_answers_as_200() {
        let counters = Counters::new(2);
        for descriptor in 0..5 {
            counters.shard(descriptor).count_opened();
            counters.shard(descriptor).count_plain();
        }
        counters.shard(1).count_closed();
        counters.shard(7).count_request();
        counters.shard(7).count_body_in(3);
        counters.shard(7).count_response(503, 10);
        counters.shard(7).count_request();
        counters.shard(7).count_response(200, 1);
        assert_eq!(
            counters.totals(),
            Totals {
                requests: 7,
                responses: vec![(200, 6), (503, 1)],
                body_bytes_in: 3,
                body_bytes_out: 5 * 11 + 11,
                connections_opened: 5,
                connections_open: 4,
            }
        );
        assert_eq!(counters.requests(), 7);
    }

    #[test]
    fn adds_from_many_threads_are_exact() {
        let counters = Counters::new(2);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100_000).for_each(|_| counters.shard(0).count_plain()));
            }
        });
        assert_eq!(counters.requests(), 400_000);
    }
}
