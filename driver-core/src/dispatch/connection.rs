//! One connection of a core: where it is in its life, and what is in flight on it.

use std::collections::VecDeque;

use crate::protocol::Key;

/// First delay before another attempt to connect, ns; doubles up to [`BACK_OFF_MAX_NS`].
const BACK_OFF_MIN_NS: u64 = 10_000_000;
/// Longest delay before another attempt to connect, ns.
const BACK_OFF_MAX_NS: u64 = 250_000_000;
/// Doublings until the longest delay is reached.
const DOUBLINGS_MAX: u32 = 5;

/// Requests that were sent together on one connection, with the same instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flight {
    pub intended_ns: u64,
    pub sent_ns: u64,
    pub count: u32,
    /// Times that the peer has returned them already.
    pub returned: u8,
    /// False in the warm-up, of which nothing is recorded.
    pub measured: bool,
}

impl Flight {
    /// Whether another request can join this one.
    fn is_like(&self, other: &Self) -> bool {
        let one = Self { count: 1, ..*self };
        one == Self { count: 1, ..*other }
    }
}

/// A flight and the key of its answer; `began_ns` is 0 until a part of the answer has come.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Key,
    flight: Flight,
    began_ns: u64,
}

/// What is in flight on a connection, oldest first.
///
/// In order, like requests share an entry and the first is answered first. Otherwise each has an
/// entry of its own, and keys rise; those that ended behind an older one stay as empty entries
/// until that one ends too, or until they are half of all.
#[derive(Debug)]
pub(super) struct Flights {
    entries: VecDeque<Entry>,
    /// Requests in all entries.
    count: u32,
}

impl Flights {
    fn new(depth: u32) -> Self {
        Self {
            entries: VecDeque::with_capacity(depth as usize),
            count: 0,
        }
    }

    /// Requests in flight.
    #[inline]
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Adds requests that are answered in order.
    #[inline]
    fn push(&mut self, flight: Flight) {
        self.count += flight.count;
        match self.entries.back_mut() {
            Some(last) if last.flight.is_like(&flight) => last.flight.count += flight.count,
            _ => self.entries.push_back(Entry {
                key: 0,
                flight,
                began_ns: 0,
            }),
        }
    }

    /// Adds one request that is answered by its key, which is higher than those before.
    fn push_keyed(&mut self, key: Key, flight: Flight) {
        self.count += flight.count;
        if self.entries.len() >= 16 && self.entries.len() > 2 * self.count as usize {
            self.entries.retain(|entry| entry.flight.count > 0);
        }
        self.entries.push_back(Entry {
            key,
            flight,
            began_ns: 0,
        });
    }

    /// Takes the oldest request out, and when its answer began, if that was before its end.
    #[inline]
    pub(super) fn take_oldest(&mut self) -> Option<(Flight, u64)> {
        let front = self.entries.front_mut()?;
        let taken = (front.flight, std::mem::take(&mut front.began_ns));
        front.flight.count -= 1;
        if front.flight.count == 0 {
            self.entries.pop_front();
        }
        self.count -= 1;
        Some(taken)
    }

    /// Takes the request of this key out.
    #[inline]
    pub(super) fn take(&mut self, key: Key) -> Option<(Flight, u64)> {
        let entry = self.find(key)?;
        let taken = (entry.flight, entry.began_ns);
        entry.flight.count = 0;
        self.count -= 1;
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.flight.count == 0)
        {
            self.entries.pop_front();
        }
        Some(taken)
    }

    #[inline]
    fn find(&mut self, key: Key) -> Option<&mut Entry> {
        let first = self.entries.front()?.key;
        // Streams of HTTP/2 are two apart, and few entries are cleared away from among others: a
        // guess is right nearly always, where a search would miss the cache at each of its steps.
        let guess = key.wrapping_sub(first) as usize / 2;
        let at = match self.entries.get(guess) {
            Some(entry) if entry.key == key => guess,
            _ => {
                let searched = self.entries.binary_search_by_key(&key, |entry| entry.key);
                searched.ok()?
            }
        };
        Some(&mut self.entries[at]).filter(|entry| entry.flight.count > 0)
    }

    /// The first bytes of an answer have come, without its end.
    pub(super) fn began(&mut self, key: Option<Key>, now_ns: u64) {
        let entry = match key {
            None => self.entries.front_mut(),
            Some(key) => self.find(key),
        };
        if let Some(entry) = entry.filter(|entry| entry.began_ns == 0) {
            entry.began_ns = now_ns;
        }
    }

    /// The oldest requests in flight, and their key.
    pub(super) fn oldest(&self) -> Option<(Key, &Flight)> {
        self.entries.front().map(|entry| (entry.key, &entry.flight))
    }

    /// Whether a part of the oldest request's answer has come.
    pub(super) fn has_begun(&self) -> bool {
        self.entries.front().is_some_and(|entry| entry.began_ns > 0)
    }

    /// Takes everything out, oldest first.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Flight> + '_ {
        self.count = 0;
        let flights = self.entries.drain(..).map(|entry| entry.flight);
        flights.filter(|flight| flight.count > 0)
    }
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Never tried.
    New,
    /// Waiting to try (again) at that instant.
    Waiting { until_ns: u64 },
    /// The attempt fails at that instant.
    Connecting { until_ns: u64 },
    /// Connected, but not of use yet: a handshake, or a peer that has not said what it takes.
    Greeting { until_ns: u64 },
    /// Of use.
    Open,
}

/// What a connection knows while it lasts.
#[derive(Debug)]
pub(super) struct Live<P, T> {
    /// Where it is in the protocol; `None` until plain bytes can be exchanged.
    pub protocol: Option<P>,
    /// Where it is in the transport; `None` until it is connected.
    pub transport: Option<T>,
}

/// A slot for one connection after another.
#[derive(Debug)]
pub(super) struct Connection<P, T, J> {
    /// The server that it goes to, and its address, by their numbers.
    pub server: u32,
    pub endpoint: usize,
    pub state: State,
    pub live: Live<P, T>,
    pub flights: Flights,
    /// The jobs of the requests in flight, oldest first, where they have any.
    pub jobs: VecDeque<(Key, J)>,
    /// Requests that the current turn assigned and has not handed to the network yet.
    pub unsent: u32,
    /// Whether the network has to say that it took the last send before there is another.
    pub sending: bool,
    /// Whether a send has failed: nothing more is sent, what has come is still read.
    pub send_failed: Option<i32>,
    /// Whether the slot is among those with something to hand over.
    pub touched: bool,
    /// Since when the queue of ready slots has held this one; 0 when it does not.
    pub ticket: u32,
    /// When the slot could last have taken a request: the intended start in a closed loop.
    pub free_since_ns: u64,
    /// When the current attempt, or the connection, began.
    pub since_ns: u64,
    /// When the last send was handed over.
    pub sent_ns: u64,
    /// How long the connection had been idle when the request in flight was assigned.
    pub idle_ns: u64,
    /// Plain bytes to be sent, and bytes of the transport itself to be sent before them.
    pub plain: Vec<u8>,
    pub raw: Vec<u8>,
    /// Answers of all connections of this slot.
    pub answers: u64,
    /// Answers of the current connection, and requests assigned to it.
    pub served: u64,
    pub assigned: u64,
    /// Attempts that failed since the last connection that was of use.
    attempts: u32,
}

impl<P, T, J> Connection<P, T, J> {
    pub(super) fn new((server, endpoint): (u32, usize), depth: u32) -> Self {
        Self {
            server,
            endpoint,
            state: State::New,
            live: Live {
                protocol: None,
                transport: None,
            },
            flights: Flights::new(depth),
            jobs: VecDeque::new(),
            unsent: 0,
            sending: false,
            send_failed: None,
            touched: false,
            ticket: 0,
            free_since_ns: 0,
            since_ns: 0,
            sent_ns: 0,
            idle_ns: 0,
            plain: Vec::new(),
            raw: Vec::new(),
            answers: 0,
            served: 0,
            assigned: 0,
            attempts: 0,
        }
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Begins an attempt.
    pub(super) fn begin(&mut self, now_ns: u64, until_ns: u64) {
        (self.since_ns, self.served, self.assigned) = (now_ns, 0, 0);
        self.state = State::Connecting { until_ns };
    }

    /// Forgets the connection; what was in flight has been taken out. Says whether it was of no
    /// use at all, so that the next attempt has to wait.
    pub(super) fn end(&mut self) -> bool {
        let useless = self.assigned == 0;
        if self.served > 0 {
            self.attempts = 0;
        }
        (self.live.protocol, self.live.transport) = (None, None);
        (self.unsent, self.sending, self.send_failed) = (0, false, None);
        self.plain.clear();
        self.raw.clear();
        self.state = State::New;
        useless
    }

    /// How long to wait before the next attempt: ever longer, with jitter so that connections do
    /// not return in lockstep.
    pub(super) fn back_off_ns(&mut self) -> u64 {
        let delay = (BACK_OFF_MIN_NS << self.attempts.min(DOUBLINGS_MAX)).min(BACK_OFF_MAX_NS);
        self.attempts = self.attempts.saturating_add(1);
        delay / 2 + fastrand::u64(0..=delay / 2)
    }

    /// Takes out the job of a request: the oldest, or that of a key.
    pub(super) fn take_job(&mut self, key: Option<Key>) -> Option<J> {
        take_job(&mut self.jobs, key)
    }

    /// Adds requests that are to be sent now and answered in order.
    #[inline]
    pub(super) fn assign(&mut self, flight: Flight) {
        self.note(&flight);
        self.flights.push(flight);
    }

    /// Adds one request that is answered by its key.
    pub(super) fn assign_keyed(&mut self, key: Key, flight: Flight) {
        self.note(&flight);
        self.flights.push_keyed(key, flight);
    }

    #[inline]
    fn note(&mut self, flight: &Flight) {
        if self.flights.count() == 0 {
            let last_ns = self.free_since_ns.max(self.since_ns);
            self.idle_ns = flight.sent_ns.saturating_sub(last_ns);
        }
        self.unsent += flight.count;
        self.assigned += u64::from(flight.count);
    }

    /// Answers came, of which some are measured.
    #[inline]
    pub(super) fn count_answers(&mut self, answers: u64, measured: u64, now_ns: u64) {
        self.answers += measured;
        self.served += answers;
        self.attempts = 0;
        self.free_since_ns = now_ns;
    }
}

/// Takes out the job of a request: the oldest, or that of a key.
pub(super) fn take_job<J>(jobs: &mut VecDeque<(Key, J)>, key: Option<Key>) -> Option<J> {
    let at = match key {
        None => 0,
        Some(key) => jobs.binary_search_by_key(&key, |(key, _)| *key).ok()?,
    };
    jobs.remove(at).map(|(_, job)| job)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(intended_ns: u64, count: u32) -> Flight {
        Flight {
            intended_ns,
            sent_ns: 9,
            count,
            returned: 0,
            measured: true,
        }
    }

    #[test]
    fn like_requests_share_an_entry_and_leave_one_by_one() {
        let mut flights = Flights::new(4);
        flights.push(flight(1, 2));
        flights.push(flight(1, 1));
        flights.push(flight(2, 1));
        assert_eq!((flights.count(), flights.entries.len()), (4, 2));
        flights.began(None, 77);
        let taken: Vec<(u64, u64)> = std::iter::from_fn(|| flights.take_oldest())
            .map(|(flight, began_ns)| (flight.intended_ns, began_ns))
            .collect();
        assert_eq!(taken, [(1, 77), (1, 0), (1, 0), (2, 0)]);
        assert_eq!(flights.count(), 0);
    }

    #[test]
    fn keyed_requests_leave_in_any_order_and_once() {
        let mut flights = Flights::new(4);
        for key in [1, 3, 5, 7] {
            flights.push_keyed(key, flight(u64::from(key), 1));
        }
        assert_eq!(flights.take(5).unwrap().0.intended_ns, 5);
        assert!(flights.take(5).is_none() && flights.take(6).is_none());
        assert_eq!(flights.oldest().unwrap().0, 1);
        assert!(flights.take(1).is_some());
        assert_eq!(flights.oldest().unwrap().0, 3);
        let left: Vec<u64> = flights.drain().map(|flight| flight.intended_ns).collect();
        assert_eq!((left, flights.count()), (vec![3, 7], 0));
    }

    #[test]
    fn entries_that_ended_behind_an_older_one_are_cleared_away() {
        let mut flights = Flights::new(4);
        flights.push_keyed(1, flight(1, 1));
        for key in 1..10_000 {
            flights.push_keyed(2 * key + 1, flight(u64::from(key), 1));
            assert!(flights.take(2 * key + 1).is_some());
            assert!(flights.entries.len() <= 20, "{}", flights.entries.len());
        }
        assert_eq!(flights.oldest().unwrap().0, 1);
    }

    #[test]
    fn attempts_wait_ever_longer_up_to_a_bound() {
        let mut connection = Connection::<(), (), ()>::new((0, 0), 1);
        let delays: Vec<u64> = (0..40).map(|_| connection.back_off_ns()).collect();
        assert!(
            (BACK_OFF_MIN_NS / 2..=BACK_OFF_MIN_NS).contains(&delays[0]),
            "{}",
            delays[0]
        );
        assert!(delays.iter().all(|delay| *delay <= BACK_OFF_MAX_NS));
        assert!(
            delays[6..]
                .iter()
                .all(|delay| *delay >= BACK_OFF_MAX_NS / 2)
        );
    }
}
