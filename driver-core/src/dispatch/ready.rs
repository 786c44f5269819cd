//! The connections that can take a request, as a queue of tickets.
//!
//! A slot that leaves the queue out of its turn only forgets its ticket; the entry is passed over
//! when it comes up. So nothing is ever searched for, also when all connections end at once.

use std::collections::VecDeque;

use proto::workload::Reuse;

/// The queue. A slot is in it at most once; its owner keeps the ticket.
#[derive(Debug)]
pub(super) struct Ready {
    entries: VecDeque<(u32, u32)>,
    reuse: Reuse,
    ticket: u32,
    /// Slots in the queue that still hold their ticket.
    held: usize,
}

impl Ready {
    pub(super) fn new(slots: usize, reuse: Reuse) -> Self {
        Self {
            entries: VecDeque::with_capacity(slots),
            reuse,
            ticket: 0,
            held: 0,
        }
    }

    /// Whether a connection can take a request.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Puts a slot in that holds no ticket, and gives it one.
    #[inline]
    pub(super) fn put(&mut self, slot: u32, ticket: &mut u32) {
        debug_assert_eq!(*ticket, 0, "slot {slot} is queued already");
        self.ticket = self.ticket.wrapping_add(1).max(1);
        *ticket = self.ticket;
        self.held += 1;
        if self.entries.len() == self.entries.capacity() {
            self.clear_up();
        }
        self.entries.push_back((slot, self.ticket));
    }

    /// Takes a slot out that may hold a ticket.
    #[inline]
    pub(super) fn leave(&mut self, ticket: &mut u32) {
        if std::mem::take(ticket) != 0 {
            self.held -= 1;
        }
    }

    /// The slot whose turn it is; it stays in the queue. `ticket_of` tells the ticket of a slot.
    #[inline]
    pub(super) fn peek(&mut self, ticket_of: impl Fn(u32) -> u32) -> Option<u32> {
        loop {
            let next = match self.reuse {
                Reuse::First => self.entries.front(),
                Reuse::Last => self.entries.back(),
            };
            let (slot, ticket) = *next?;
            if ticket_of(slot) == ticket {
                return Some(slot);
            }
            self.pop();
        }
    }

    /// Takes out the slot that [`Self::peek`] showed.
    #[inline]
    pub(super) fn take(&mut self, ticket: &mut u32) {
        self.pop();
        self.leave(ticket);
    }

    fn pop(&mut self) {
        match self.reuse {
            Reuse::First => self.entries.pop_front(),
            Reuse::Last => self.entries.pop_back(),
        };
    }

    /// Makes room where passed-over entries fill the queue: those are the older of two of a slot.
    #[cold]
    fn clear_up(&mut self) {
        let mut newest = std::collections::HashMap::new();
        for (slot, ticket) in &self.entries {
            newest.insert(*slot, *ticket);
        }
        self.entries
            .retain(|(slot, ticket)| newest[slot] == *ticket);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_queue_is_that_of_a_list_that_is_searched(
            steps in prop::collection::vec((0..8_u32, 0..3_u8), 1..300),
            last in any::<bool>(),
        ) {
            let reuse = if last { Reuse::Last } else { Reuse::First };
            let (mut ready, mut tickets) = (Ready::new(8, reuse), [0_u32; 8]);
            let mut list: Vec<u32> = Vec::new();
            for (slot, step) in steps {
                let mut ticket = tickets[slot as usize];
                match step {
                    0 if ticket == 0 => {
                        ready.put(slot, &mut ticket);
                        tickets[slot as usize] = ticket;
                        list.push(slot);
                    }
                    1 => {
                        ready.leave(&mut tickets[slot as usize]);
                        list.retain(|queued| *queued != slot);
                    }
                    2 => {
                        let expected = if last { list.pop() } else {
                            (!list.is_empty()).then(|| list.remove(0))
                        };
                        let taken = ready.peek(|slot| tickets[slot as usize]);
                        prop_assert_eq!(taken, expected);
                        if let Some(slot) = taken {
                            ready.take(&mut tickets[slot as usize]);
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!(ready.is_empty(), list.is_empty());
                prop_assert!(ready.entries.len() <= 16);
            }
        }
    }
}
