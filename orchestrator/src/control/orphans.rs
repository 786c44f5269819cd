//! Messages about tests whose config has not been read yet: another topic brings it.

use std::collections::VecDeque;

use proto::message::Order;
use proto::workload::RateChange;

use super::{Event, Now};

/// Most bytes that wait.
const BYTES_MAX: usize = 16 << 20;
/// Longest wait for a config, ns: what waits longer belongs to a test that was deleted, or never
/// published.
const AGE_NS_MAX: u64 = 60_000_000_000;
/// What a message takes besides its own bytes.
const EACH_BYTES: usize = 512;

#[derive(Debug)]
struct Orphan {
    event: Event,
    now: Now,
    bytes: usize,
}

/// Reports, triggers and orders that wait, oldest first, in bounded memory and for a bounded time.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    waiting: VecDeque<Orphan>,
    bytes: usize,
}

impl Orphans {
    /// Keeps a message; the number of older ones that had to go for it.
    pub(super) fn keep(&mut self, event: Event, now: Now) -> u64 {
        let bytes = EACH_BYTES + 2 * payload_len(&event);
        self.waiting.push_back(Orphan { event, now, bytes });
        self.bytes += bytes;
        self.drop_while(|orphans, _| orphans.bytes > BYTES_MAX)
    }

    /// Drops those that waited for too long; how many.
    pub(super) fn expire(&mut self, now: Now) -> u64 {
        self.drop_while(|_, orphan| now.since_ns(orphan.now.mono_ns) > AGE_NS_MAX)
    }

    fn drop_while(&mut self, is_over: impl Fn(&Self, &Orphan) -> bool) -> u64 {
        let mut dropped = 0;
        while self
            .waiting
            .front()
            .is_some_and(|oldest| is_over(self, oldest))
        {
            if let Some(oldest) = self.waiting.pop_front() {
                self.bytes -= oldest.bytes;
                dropped += 1;
            }
        }
        dropped
    }

    /// The messages about a test: its trigger first, since that says who takes part, and so when
    /// the run is over.
    pub(super) fn take(&mut self, test_id: &str) -> Vec<(Event, Now)> {
        let all = std::mem::take(&mut self.waiting);
        let (mine, others): (VecDeque<Orphan>, VecDeque<Orphan>) = all
            .into_iter()
            .partition(|orphan| is_of(&orphan.event, test_id));
        self.waiting = others;
        self.bytes -= mine.iter().map(|orphan| orphan.bytes).sum::<usize>();
        let mut mine: Vec<(Event, Now)> = mine
            .into_iter()
            .map(|orphan| (orphan.event, orphan.now))
            .collect();
        mine.sort_by_key(|(event, _)| !matches!(event, Event::Trigger(_)));
        mine
    }

    /// Messages that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

fn is_of(event: &Event, test_id: &str) -> bool {
    match event {
        Event::Metrics(message, _) => message.test_id == test_id,
        Event::Trigger(trigger) => trigger.test_id == test_id,
        Event::Control(message) => message.order.test_id() == Some(test_id),
        _ => false,
    }
}

/// The bytes of a message: they are kept as they came, and about as many once more decoded.
fn payload_len(event: &Event) -> usize {
    match event {
        Event::Metrics(_, payload) => payload.len(),
        Event::Trigger(trigger) => {
            let ids = trigger.participants.iter().flatten();
            ids.map(String::len).sum()
        }
        Event::Control(message) => match &message.order {
            Order::Participants { participants, .. } => participants.iter().map(String::len).sum(),
            Order::Rates { changes, .. } => {
                let by = |change: &RateChange| change.by.as_ref().map_or(0, String::len);
                let each = |change| size_of::<RateChange>() + by(change);
                changes.iter().map(each).sum()
            }
            _ => 0,
        },
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proto::message::{Trigger, TriggerKind};

    use super::*;

    fn trigger(test_id: &str, len: usize) -> Event {
        Event::Trigger(Trigger {
            test_id: test_id.into(),
            trigger: TriggerKind::Start,
            start_at_unix_ns: None,
            participants: Some(vec!["x".repeat(len)]),
            n: None,
            clock_offsets: std::collections::BTreeMap::new(),
            incarnations: std::collections::BTreeMap::new(),
        })
    }

    #[test]
    fn orphans_are_bounded_in_bytes_and_in_age() {
        let mut orphans = Orphans::default();
        let now = Now::default();
        assert_eq!(orphans.keep(trigger("a", 1 << 20), now), 0);
        let dropped: u64 = (0..20)
            .map(|_| orphans.keep(trigger("b", 1 << 20), now))
            .sum();
        assert_eq!((dropped, orphans.len()), (14, 7), "2 MiB and a little each");
        assert!(orphans.take("a").is_empty(), "the oldest went first");
        let late = Now {
            mono_ns: AGE_NS_MAX + 1,
            ..now
        };
        assert_eq!(orphans.keep(trigger("c", 1), late), 0);
        assert_eq!(orphans.expire(late), 7);
        assert_eq!(orphans.take("c").len(), 1);
        assert_eq!((orphans.len(), orphans.bytes), (0, 0));
    }
}
