//! How long to sleep and when to spin.
//!
//! A sleep in the ring ends late by tens of microseconds (the timer's interrupt, the wake-up, the
//! way back), so the loop sleeps until a little before the next intended send and spins the rest:
//! a tenth of the gap, within limits. The longer a core has slept, the later it wakes and the colder
//! its caches are, and the less the spinning costs; of 100 sends a second the median error of the gaps
//! at the target was 15 µs with 60 µs of spinning, 7 µs with 120 µs, 5 µs with 300 µs.
//! The timer slack of its thread is 1 ns. While it spins it still works off answers, unless the
//! send is so near that this would delay it.

use std::io;
use std::time::Duration;

use proto::clock::monotonic_ns;

use super::{CoreLoop, Turn};
use crate::protocol::Protocol;
use crate::recording::CoreHealth;
use crate::source::Source;
use crate::transport::Transport;

/// The loop spins for one part in this many of the gap before an intended send, within the limits.
const SPIN_PART: u64 = 10;
/// Shorter than this, most sleeps would end too late.
const SPIN_MIN_NS: u64 = 60_000;
/// Longer than this, nothing is gained.
const SPIN_MAX_NS: u64 = 300_000;
/// Nearer than this to a send, answers wait.
const RESERVE_NS: u64 = 3_000;
/// Nearer than this to a send, other tasks of the executor wait.
const COURTESY_NS: u64 = 500_000;
/// Longest that other tasks of the executor wait while sends follow each other closely.
const COURTESY_EVERY_NS: u64 = 500_000_000;
/// Oftener than this, asking whether other tasks want to run costs more than it gives them.
const COURTESY_AGAIN_NS: u64 = 100_000;
/// Longest sleep, ns; there is always a timer before, but none has to be relied on.
const SLEEP_MAX_NS: u64 = 1_000_000_000;

/// What the loop knows of its own punctuality.
#[derive(Debug)]
pub(super) struct Pace {
    /// When it last came back from the ring.
    looked_ns: u64,
    spinning: bool,
    gave_way_ns: u64,
    /// The intended send that is next.
    aim_ns: u64,
    /// So long before it the engine spins.
    spin_ns: u64,
}

impl Pace {
    pub(super) fn new(now_ns: u64) -> Self {
        Self {
            looked_ns: now_ns,
            spinning: false,
            gave_way_ns: now_ns,
            aim_ns: now_ns,
            spin_ns: SPIN_MIN_NS,
        }
    }

    /// Takes note of the next intended send; there is none while all connections wait for answers.
    fn aim(&mut self, next_ns: u64) {
        if next_ns != self.aim_ns && next_ns != u64::MAX {
            let gap_ns = next_ns.saturating_sub(self.aim_ns);
            self.spin_ns = (gap_ns / SPIN_PART).clamp(SPIN_MIN_NS, SPIN_MAX_NS);
            self.aim_ns = next_ns;
        }
    }

    /// A turn begins: what passed since the last look was a stall, whoever caused it.
    pub(super) fn look(&mut self, now_ns: u64, health: &mut CoreHealth) {
        let passed = now_ns.saturating_sub(self.looked_ns);
        health.stall_max_ns = health.stall_max_ns.max(passed);
        if self.spinning {
            health.spin_ns += passed;
        }
        self.looked_ns = now_ns;
    }
}

impl<P: Protocol, T: Transport, S: Source> CoreLoop<P, T, S> {
    /// Hands what is queued to the kernel, and sleeps or spins as the next send allows.
    pub(super) fn rest(&mut self, now_ns: u64) -> io::Result<Turn> {
        let next_ns = self.dispatcher.next_send_ns();
        self.pace.aim(next_ns);
        let ahead_ns = next_ns.saturating_sub(now_ns);
        self.pace.spinning = ahead_ns <= self.pace.spin_ns;
        if self.pace.spinning {
            if self.sockets.ring.has_queued()
                || (ahead_ns > RESERVE_NS && self.sockets.ring.has_news())
            {
                self.sockets.ring.submit()?;
            } else {
                std::hint::spin_loop();
            }
        } else {
            self.sleep(next_ns - self.pace.spin_ns)?;
        }
        Ok(self.courtesy(now_ns, ahead_ns))
    }

    fn sleep(&mut self, until_ns: u64) -> io::Result<()> {
        let until_ns = until_ns
            .min(self.dispatcher.next_upkeep_ns())
            .min(self.dispatcher.next_chore_ns());
        // What passes before the sleep is a stall; only what passes in it is not.
        let now_ns = monotonic_ns();
        self.pace.look(now_ns, self.dispatcher.health());
        let limit_ns = until_ns.saturating_sub(now_ns).min(SLEEP_MAX_NS);
        if limit_ns == 0 {
            return self.sockets.ring.submit();
        }
        self.sockets
            .ring
            .submit_and_wait(Duration::from_nanos(limit_ns))?;
        let woke_ns = monotonic_ns();
        let late_ns = woke_ns.saturating_sub(now_ns + limit_ns);
        let health = self.dispatcher.health();
        health.stall_max_ns = health.stall_max_ns.max(late_ns);
        self.pace.looked_ns = woke_ns;
        Ok(())
    }

    fn courtesy(&mut self, now_ns: u64, ahead_ns: u64) -> Turn {
        let waited_ns = now_ns.saturating_sub(self.pace.gave_way_ns);
        let every_ns = if ahead_ns < COURTESY_NS {
            COURTESY_EVERY_NS
        } else {
            COURTESY_AGAIN_NS
        };
        if waited_ns < every_ns {
            return Turn::Spinning;
        }
        self.pace.gave_way_ns = now_ns;
        Turn::Relaxed
    }
}
