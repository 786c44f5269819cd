//! The events that wait for each listener: the thread that tells them never waits for anybody, and
//! the front takes them as its clients' sockets do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::event::Event;

/// Most listeners at a time.
pub const LISTENERS_MAX: usize = 1000;
/// A listener that has more than this waiting when the next event comes is too slow, in bytes.
const WAITING_MAX: usize = 256 << 10;
/// The front takes a new listener over within this time, or its client is gone.
const TAKEN_OVER_IN: Duration = Duration::from_secs(30);

/// What waits for one listener.
#[derive(Debug)]
struct Queue {
    events: VecDeque<Event>,
    bytes: usize,
    /// Nothing comes after what waits.
    is_last: bool,
    /// It was too slow.
    is_slow: bool,
    opened: Instant,
    is_taken_over: bool,
}

/// What the front gets for a listener.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// These bytes, or none yet.
    Bytes(Vec<u8>),
    /// These bytes, and nothing after them.
    Last(Vec<u8>),
    /// Nothing more: it was too slow, or is not known.
    Gone,
}

#[derive(Debug, Default)]
struct Inner {
    by_ticket: BTreeMap<u64, Queue>,
    last_ticket: u64,
    /// Listeners for whom something happened since the front looked.
    ready: BTreeSet<u64>,
    waker: Option<UnixStream>,
}

impl Inner {
    fn forget_who_never_came(&mut self) {
        self.by_ticket
            .retain(|_, queue| queue.is_taken_over || queue.opened.elapsed() < TAKEN_OVER_IN);
    }
}

/// The queues of all listeners.
#[derive(Debug, Default)]
pub struct Queues(Mutex<Inner>);

impl Queues {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // It is whole whenever it is let go of.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a byte written to `waker` whenever something waits.
    pub fn wake(&self, waker: UnixStream) {
        self.inner().waker = Some(waker);
    }

    /// A new listener's number; `None` when there are too many.
    pub(super) fn open(&self) -> Option<u64> {
        let mut inner = self.inner();
        inner.forget_who_never_came();
        if inner.by_ticket.len() >= LISTENERS_MAX {
            return None;
        }
        inner.last_ticket += 1;
        let ticket = inner.last_ticket;
        let queue = Queue {
            events: VecDeque::new(),
            bytes: 0,
            is_last: false,
            is_slow: false,
            opened: Instant::now(),
            is_taken_over: false,
        };
        inner.by_ticket.insert(ticket, queue);
        Some(ticket)
    }

    /// Has events wait for these listeners; those of them that are still there.
    pub(super) fn push(&self, listeners: &mut Vec<u64>, events: &[Event], is_last: bool) {
        let mut inner = self.inner();
        listeners.retain(|ticket| {
            let Some(queue) = inner.by_ticket.get_mut(ticket) else {
                return false;
            };
            queue.is_slow |= queue.bytes > WAITING_MAX;
            if queue.is_slow {
                queue.events.clear();
            } else {
                queue.events.extend(events.iter().cloned());
                queue.bytes += events.iter().map(|event| event.len()).sum::<usize>();
                queue.is_last |= is_last;
            }
            let is_slow = queue.is_slow;
            inner.ready.insert(*ticket);
            !is_slow
        });
        if let Some(waker) = inner.waker.as_mut().filter(|_| !events.is_empty()) {
            // A full pipe wakes the front as well.
            let _ = waker.write(&[1]);
        }
    }

    /// Leaves those of these listeners that are still there, also where there is nothing to tell.
    pub(super) fn keep(&self, listeners: &mut Vec<u64>) {
        let mut inner = self.inner();
        inner.forget_who_never_came();
        listeners.retain(|ticket| inner.by_ticket.contains_key(ticket));
    }

    /// The listeners for whom something happened since the last call.
    pub fn ready(&self) -> BTreeSet<u64> {
        std::mem::take(&mut self.inner().ready)
    }

    /// Whether a listener was too slow.
    #[must_use]
    pub fn is_slow(&self, ticket: u64) -> bool {
        let inner = self.inner();
        let queue = inner.by_ticket.get(&ticket);
        queue.is_none_or(|queue| queue.is_slow)
    }

    /// What waits for a listener, whose client takes it.
    pub fn take(&self, ticket: u64) -> Taken {
        let mut inner = self.inner();
        let Some(queue) = inner
            .by_ticket
            .get_mut(&ticket)
            .filter(|queue| !queue.is_slow)
        else {
            inner.by_ticket.remove(&ticket);
            return Taken::Gone;
        };
        queue.is_taken_over = true;
        queue.bytes = 0;
        let bytes = queue.events.drain(..).fold(Vec::new(), |mut bytes, event| {
            bytes.extend_from_slice(&event);
            bytes
        });
        if queue.is_last {
            inner.by_ticket.remove(&ticket);
            return Taken::Last(bytes);
        }
        Taken::Bytes(bytes)
    }

    /// The client is gone.
    pub fn close(&self, ticket: u64) {
        self.inner().by_ticket.remove(&ticket);
    }

    /// How many listen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner().by_ticket.len()
    }

    /// Whether nobody listens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(len: usize) -> Event {
        vec![b'x'; len].into()
    }

    #[test]
    fn what_waits_is_taken_once_and_in_order() {
        let queues = Queues::default();
        let mut listeners = vec![queues.open().unwrap()];
        let ticket = listeners[0];
        queues.push(&mut listeners, &[(*b"one ").into()], false);
        queues.push(&mut listeners, &[(*b"two").into()], false);
        assert_eq!(queues.ready(), [ticket].into());
        assert_eq!(queues.take(ticket), Taken::Bytes(b"one two".to_vec()));
        assert_eq!(queues.take(ticket), Taken::Bytes(Vec::new()));
        queues.push(&mut listeners, &[(*b"end").into()], true);
        assert_eq!(queues.take(ticket), Taken::Last(b"end".to_vec()));
        assert_eq!(queues.take(ticket), Taken::Gone);
        assert!(queues.is_empty());
    }

    #[test]
    fn who_is_too_slow_is_dropped_and_the_others_go_on() {
        let queues = Queues::default();
        let (slow, quick) = (queues.open().unwrap(), queues.open().unwrap());
        let mut listeners = vec![slow, quick];
        for _ in 0..5 {
            queues.push(&mut listeners, &[event(100 << 10)], false);
            assert!(matches!(queues.take(quick), Taken::Bytes(bytes) if !bytes.is_empty()));
        }
        assert_eq!(listeners, [quick]);
        assert_eq!(queues.take(slow), Taken::Gone);
        assert_eq!(queues.len(), 1);
    }

    #[test]
    fn who_is_gone_is_found_out_without_news() {
        let queues = Queues::default();
        let mut listeners = vec![queues.open().unwrap(), queues.open().unwrap()];
        let stays = listeners[1];
        queues.close(listeners[0]);
        queues.keep(&mut listeners);
        assert_eq!(listeners, [stays]);
        assert!(queues.ready().is_empty(), "and nobody is woken for it");
    }

    #[test]
    fn there_is_room_for_a_thousand() {
        let queues = Queues::default();
        let tickets: Vec<u64> = (0..LISTENERS_MAX).map(|_| queues.open().unwrap()).collect();
        assert_eq!(queues.open(), None);
        queues.close(tickets[7]);
        assert!(queues.open().is_some());
    }
}
