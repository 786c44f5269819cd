//! What the cores of a node share, and how the control side steers them: a handful of atomics.
//! Nothing of it is touched once a request, except the common count of a closed loop, which cores
//! lease in chunks. What all read each turn shares no cache line with what one writes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::plan::Switch;

/// Not started yet.
const NEVER: u64 = u64::MAX;
/// Most requests that a core takes from the common count at once.
const LEASE_MAX: u64 = 1024;

/// What every core reads each turn, and the control side writes a few times a load. Two lines wide,
/// since processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Orders {
    start_ns: AtomicU64,
    /// How much later than in its schedule this node sends; written before `start_ns`.
    stagger_ns: AtomicU64,
    stop: AtomicBool,
    /// How many changes of the rate there are; written after they are.
    switches: AtomicUsize,
}

/// What cores write as leases are taken, and at their end.
#[derive(Debug)]
#[repr(align(128))]
struct Tallies {
    /// Requests of a closed loop that no core has leased yet.
    remaining: AtomicU64,
    /// Cores that have not begun to drain.
    sending: AtomicUsize,
    cores_left: AtomicUsize,
}

/// Steers the cores of one load.
#[derive(Debug)]
pub struct Shared {
    orders: Orders,
    tallies: Tallies,
    cores: u64,
    /// Connections to each server that are open, over all cores.
    live: Box<[AtomicUsize]>,
    failed: Mutex<Option<String>>,
    switches: Mutex<Vec<Switch>>,
}

impl Shared {
    /// For so many cores, and a closed loop of `requests` (if it is one).
    #[must_use]
    pub fn new(cores: usize, requests: u64) -> Self {
        Self {
            orders: Orders {
                start_ns: AtomicU64::new(NEVER),
                stagger_ns: AtomicU64::new(0),
                stop: AtomicBool::new(false),
                switches: AtomicUsize::new(0),
            },
            tallies: Tallies {
                remaining: AtomicU64::new(requests),
                sending: AtomicUsize::new(cores),
                cores_left: AtomicUsize::new(cores),
            },
            cores: cores as u64,
            live: Box::new([AtomicUsize::new(0)]),
            failed: Mutex::new(None),
            switches: Mutex::new(Vec::new()),
        }
    }

    /// The same of a load of so many servers.
    #[must_use]
    pub fn with_servers(mut self, servers: usize) -> Self {
        self.live = (0..servers).map(|_| AtomicUsize::new(0)).collect();
        self
    }

    /// Sets the start instant, ns of the monotonic clock, and how much later than in its schedule
    /// this node sends. The first call counts.
    pub fn start(&self, start_ns: u64, stagger_ns: u64) {
        if self.started().is_none() {
            self.orders.stagger_ns.store(stagger_ns, Ordering::Relaxed);
        }
        let start_ns = start_ns.min(NEVER - 1);
        let _ = self.orders.start_ns.compare_exchange(
            NEVER,
            start_ns,
            Ordering::Release,
            Ordering::Relaxed,
        );
    }

    /// The start instant, once it is set.
    #[must_use]
    pub fn started(&self) -> Option<u64> {
        Some(self.orders.start_ns.load(Ordering::Acquire)).filter(|start_ns| *start_ns != NEVER)
    }

    /// How much later than in its schedule this node sends, once the start is set.
    #[must_use]
    pub fn stagger_ns(&self) -> u64 {
        self.orders.stagger_ns.load(Ordering::Relaxed)
    }

    /// Changes the rate; changes come in the order of their instants.
    pub fn switch(&self, switch: Switch) {
        if let Ok(mut switches) = self.switches.lock() {
            switches.push(switch);
            let count = switches.len();
            self.orders.switches.store(count, Ordering::Release);
        }
    }

    /// The change of the rate of this number, from 0, if there is one.
    #[must_use]
    pub fn switched(&self, number: usize) -> Option<Switch> {
        if number >= self.orders.switches.load(Ordering::Acquire) {
            return None;
        }
        self.switches.lock().ok()?.get(number).copied()
    }

    /// A core sends nothing more.
    pub fn drains(&self) {
        self.tallies.sending.fetch_sub(1, Ordering::Relaxed);
    }

    /// Cores that have not begun to drain.
    #[must_use]
    pub fn sending(&self) -> usize {
        self.tallies.sending.load(Ordering::Relaxed)
    }

    /// Ends the load at once.
    pub fn stop(&self) {
        self.orders.stop.store(true, Ordering::Release);
    }

    /// Whether the load was told to end.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.orders.stop.load(Ordering::Acquire)
    }

    /// Ends the load as failed. The first reason counts.
    pub fn fail(&self, reason: String) {
        if let Ok(mut failed) = self.failed.lock() {
            failed.get_or_insert(reason);
        }
        self.stop();
    }

    /// Why the load failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failed.lock().ok().and_then(|failed| failed.clone())
    }

    /// Takes a chunk of the common count: large while much is left, small towards the end, so that
    /// the cores finish together.
    #[must_use]
    pub fn lease(&self) -> u64 {
        let chunk = |remaining: u64| {
            (remaining / (8 * self.cores))
                .clamp(1, LEASE_MAX)
                .min(remaining)
        };
        let update = self.tallies.remaining.fetch_update(
            Ordering::Relaxed,
            Ordering::Relaxed,
            |remaining| (remaining > 0).then(|| remaining - chunk(remaining)),
        );
        update.map_or(0, chunk)
    }

    /// Gives back what was leased and not sent.
    pub fn give_back(&self, requests: u64) {
        self.tallies
            .remaining
            .fetch_add(requests, Ordering::Relaxed);
    }

    /// One core has ended and given back its lease. The last one is told how much nobody sent.
    #[must_use]
    pub fn leave(&self) -> Option<u64> {
        let last = self.tallies.cores_left.fetch_sub(1, Ordering::AcqRel) == 1;
        last.then(|| self.tallies.remaining.load(Ordering::Relaxed))
    }

    /// A connection to a server was opened.
    pub fn opened(&self, server: u32) {
        self.live[server as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A connection to a server was closed.
    pub fn closed(&self, server: u32) {
        self.live[server as usize].fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections to a server that are open, over all cores.
    #[must_use]
    pub fn live(&self, server: u32) -> usize {
        self.live[server as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_add_up_to_the_count() {
        let shared = Shared::new(3, 100_003);
        let leases: Vec<u64> = std::iter::repeat_with(|| shared.lease())
            .take_while(|n| *n > 0)
            .collect();
        assert_eq!(leases.iter().sum::<u64>(), 100_003);
        assert!(leases.iter().all(|lease| *lease <= LEASE_MAX));
        assert_eq!(leases.last(), Some(&1));
    }

    #[test]
    fn the_first_start_counts() {
        let shared = Shared::new(1, 0);
        assert_eq!(shared.started(), None);
        shared.start(17, 0);
        shared.start(18, 0);
        assert_eq!(shared.started(), Some(17));
    }
}
