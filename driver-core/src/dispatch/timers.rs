//! One timer structure a core: a wheel of 1 ms ticks in which every connection has at most one
//! place. All operations are constant time and none allocates.
//!
//! Timeouts cost nothing a request: a connection's place says when to *look* at it, never later
//! than its oldest request can expire. When the tick comes, the engine looks, and puts the
//! connection back at the instant that then matters.

/// Length of a tick, ns.
const TICK_NS: u64 = 1_000_000;
/// Ticks in the wheel; instants beyond it are looked at early.
const SLOTS: usize = 4096;
/// No connection, or no place.
const NONE: u32 = u32::MAX;

/// Where a connection is in the wheel.
#[derive(Debug, Clone, Copy)]
struct Place {
    slot: u32,
    next: u32,
    previous: u32,
}

const NOWHERE: Place = Place {
    slot: NONE,
    next: NONE,
    previous: NONE,
};

/// The timers of one core's connections.
#[derive(Debug)]
pub(super) struct Wheel {
    heads: Vec<u32>,
    places: Vec<Place>,
    /// A bit for each slot that holds a connection.
    occupied: [u64; SLOTS / 64],
    /// The last tick that was worked off.
    tick: u64,
    /// The earliest tick that may hold a connection.
    next_tick: u64,
}

impl Wheel {
    /// A wheel for so many connections, starting at `now_ns`.
    #[must_use]
    pub(super) fn new(connections: usize, now_ns: u64) -> Self {
        Self {
            heads: vec![NONE; SLOTS],
            places: vec![NOWHERE; connections],
            occupied: [0; SLOTS / 64],
            tick: now_ns / TICK_NS,
            next_tick: u64::MAX,
        }
    }

    /// Looks at `connection` at `at_ns` or a little later (earlier only beyond the wheel's turn),
    /// instead of whenever it was to be looked at.
    pub(super) fn set(&mut self, connection: u32, at_ns: u64) {
        self.unset(connection);
        let (first, last) = (self.tick + 1, self.tick + SLOTS as u64 - 1);
        let tick = at_ns.div_ceil(TICK_NS).clamp(first, last);
        let slot = slot_of(tick);
        let next = self.heads[slot as usize];
        if next != NONE {
            self.places[next as usize].previous = connection;
        }
        self.places[connection as usize] = Place {
            slot,
            next,
            previous: NONE,
        };
        self.heads[slot as usize] = connection;
        self.occupied[slot as usize / 64] |= 1 << (slot % 64);
        self.next_tick = self.next_tick.min(tick);
    }

    /// Takes `connection` out.
    pub(super) fn unset(&mut self, connection: u32) {
        let Place {
            slot,
            next,
            previous,
        } = self.places[connection as usize];
        if slot == NONE {
            return;
        }
        if next != NONE {
            self.places[next as usize].previous = previous;
        }
        if previous == NONE {
            self.heads[slot as usize] = next;
        } else {
            self.places[previous as usize].next = next;
        }
        if self.heads[slot as usize] == NONE {
            self.occupied[slot as usize / 64] &= !(1 << (slot % 64));
        }
        self.places[connection as usize] = NOWHERE;
    }

    /// When to call [`Self::pop`] next, ns; it may find nothing then.
    #[must_use]
    pub(super) fn next_ns(&self) -> u64 {
        self.next_tick.saturating_mul(TICK_NS)
    }

    /// Takes out a connection whose time has come.
    pub(super) fn pop(&mut self, now_ns: u64) -> Option<u32> {
        let now_tick = now_ns / TICK_NS;
        while self.next_tick <= now_tick {
            let slot = slot_of(self.next_tick);
            let connection = self.heads[slot as usize];
            // The tick counts as worked off before its last connection is handed out, so that this
            // one goes to a later tick when it is put back.
            self.tick = self.tick.max(self.next_tick);
            if connection != NONE {
                self.unset(connection);
                return Some(connection);
            }
            self.next_tick = self.following_tick();
        }
        self.tick = self
            .tick
            .max(now_tick.min(self.next_tick.saturating_sub(1)));
        None
    }

    /// The first occupied tick after the current one.
    fn following_tick(&self) -> u64 {
        let mut ahead = 1;
        while ahead < SLOTS as u64 {
            let slot = slot_of(self.tick + ahead);
            let word = self.occupied[slot as usize / 64] >> (slot % 64);
            if word != 0 {
                let found = ahead + u64::from(word.trailing_zeros());
                return if found < SLOTS as u64 {
                    self.tick + found
                } else {
                    u64::MAX
                };
            }
            ahead += u64::from(64 - slot % 64);
        }
        u64::MAX
    }
}

/// The slot of a tick.
fn slot_of(tick: u64) -> u32 {
    #[allow(clippy::cast_possible_truncation)] // less than SLOTS
    let slot = (tick % SLOTS as u64) as u32;
    slot
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = TICK_NS;

    #[test]
    fn connections_come_out_when_their_time_has_come() {
        let mut wheel = Wheel::new(4, 0);
        wheel.set(0, 5 * MS);
        wheel.set(1, 3 * MS - 1);
        wheel.set(2, 3 * MS);
        wheel.set(3, 1);
        wheel.unset(3);
        assert_eq!(wheel.pop(3 * MS - 1), None);
        let mut early = [wheel.pop(3 * MS), wheel.pop(3 * MS)];
        early.sort_unstable();
        assert_eq!(early, [Some(1), Some(2)]);
        assert_eq!(wheel.pop(4 * MS), None);
        assert_eq!(wheel.next_ns(), 5 * MS);
        assert_eq!(wheel.pop(900 * MS), Some(0));
        assert_eq!(wheel.pop(900 * MS), None);
        assert_eq!(wheel.next_ns(), u64::MAX);
    }

    #[test]
    fn instants_beyond_the_wheel_are_looked_at_early() {
        let mut wheel = Wheel::new(1, 0);
        wheel.set(0, 3_600_000 * MS);
        assert_eq!(wheel.pop(3_600_000 * MS), Some(0));
        wheel.set(0, 3_600_010 * MS);
        assert!(wheel.next_ns() <= 3_600_010 * MS);
    }

    proptest! {
        #[test]
        fn nothing_is_early_or_forgotten(
            steps in prop::collection::vec((0..16_u32, 0..3_000_u64, 0..40_u64, any::<bool>()), 1..200),
        ) {
            let mut wheel = Wheel::new(16, 0);
            let mut expected = [None; 16];
            let mut now = 0;
            for (connection, ahead, pass, remove) in steps {
                if remove {
                    wheel.unset(connection);
                    expected[connection as usize] = None;
                } else {
                    wheel.set(connection, now + ahead * MS / 7);
                    expected[connection as usize] = Some(now + ahead * MS / 7);
                }
                now += pass * MS / 3;
                while let Some(due) = wheel.pop(now) {
                    let at = expected[due as usize].take();
                    prop_assert!(at.is_some_and(|at| at <= now), "{due} was early at {now}");
                }
                for at in expected.iter().flatten() {
                    prop_assert!(*at + 2 * MS > now, "{at} was forgotten at {now}");
                    prop_assert!(wheel.next_ns() <= (*at + 2 * MS).max(now + 2 * MS));
                }
            }
        }
    }
}
