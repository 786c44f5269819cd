//! Who starts next: the one trigger that waits for ready drivers, and those that wait for it.

use std::collections::BTreeMap;

use super::now::Now;

/// How long a trigger waits for the drivers to be ready, ns.
const READY_WAIT_NS: u64 = 5_000_000_000;
/// How often drivers that prepare something else are asked again meanwhile, ns.
const ASK_AGAIN_NS: u64 = 500_000_000;
/// How long a queued test may be the first without its drivers getting ready, ns, until it is
/// skipped: those behind it do not wait for it for ever.
const FIRST_WAIT_NS_MAX: u64 = 30_000_000_000;

/// A trigger that waits for ready drivers.
#[derive(Debug)]
pub(super) struct Arming {
    pub(super) test_id: String,
    /// Who is answered; nobody for a queued test.
    pub(super) ticket: Option<u64>,
    began_mono_ns: u64,
    /// When the drivers were last asked to prepare it.
    asked_mono_ns: u64,
}

impl Arming {
    pub(super) fn new(test_id: &str, ticket: Option<u64>, now: Now) -> Self {
        Self {
            test_id: test_id.to_owned(),
            ticket,
            began_mono_ns: now.mono_ns,
            asked_mono_ns: now.mono_ns,
        }
    }

    /// Whether the drivers had their time.
    pub(super) fn is_late(&self, now: Now) -> bool {
        now.since_ns(self.began_mono_ns) >= READY_WAIT_NS
    }

    /// Whether it is time to ask the drivers again; if so, they are asked now.
    pub(super) fn is_time_to_ask(&mut self, now: Now) -> bool {
        let is_time = now.since_ns(self.asked_mono_ns) >= ASK_AGAIN_NS;
        if is_time {
            self.asked_mono_ns = now.mono_ns;
        }
        is_time
    }
}

/// The tests that start when the drivers are free, in order, and the trigger that waits for them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    arming: Option<Arming>,
    waiting: BTreeMap<u64, String>,
    /// Since when the first of `waiting` has been tried, by the monotonic clock, ns.
    first_tried_mono_ns: Option<u64>,
    /// Why it did not start then.
    trouble: Option<String>,
}

impl Queue {
    /// The trigger that waits for ready drivers.
    pub(super) fn arming(&self) -> Option<&Arming> {
        self.arming.as_ref()
    }

    pub(super) fn arming_mut(&mut self) -> Option<&mut Arming> {
        self.arming.as_mut()
    }

    /// Lets a trigger wait. That of a queued test gives way, and keeps its place.
    pub(super) fn begin(&mut self, arming: Arming) {
        if arming.ticket.is_none() {
            self.first_tried_mono_ns.get_or_insert(arming.began_mono_ns);
        }
        self.arming = Some(arming);
    }

    /// The trigger waits no longer, if it is the one that is meant.
    pub(super) fn end_if(&mut self, is_meant: impl Fn(&Arming) -> bool) -> Option<Arming> {
        self.arming.take_if(|arming| is_meant(arming))
    }

    /// Adds a test to the end, or gives it back the place that it had; its place.
    pub(super) fn add(&mut self, test_id: &str, place: Option<u64>) -> u64 {
        let last = self.waiting.keys().next_back().copied().unwrap_or(0);
        let place = place.unwrap_or(last + 1);
        self.waiting.insert(place, test_id.to_owned());
        place
    }

    /// A test waits no longer.
    pub(super) fn remove(&mut self, place: Option<u64>) {
        let Some(place) = place else {
            return;
        };
        if self.first().is_some_and(|(first, _)| first == place) {
            self.first_tried_mono_ns = None;
            self.trouble = None;
        }
        self.waiting.remove(&place);
    }

    /// Why the first one did not start when it was tried.
    pub(super) fn set_trouble(&mut self, trouble: String) {
        self.trouble = Some(trouble);
    }

    /// The same.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The next one, with its place.
    pub(super) fn first(&self) -> Option<(u64, &String)> {
        let (place, test_id) = self.waiting.first_key_value()?;
        Some((*place, test_id))
    }

    /// Whether a test would have to wait for another one.
    pub(super) fn is_another_first(&self, test_id: &str) -> bool {
        self.first().is_some_and(|(_, first)| first != test_id)
    }

    /// Whether the first one has been tried for so long that the others go on without it.
    pub(super) fn is_first_hopeless(&self, now: Now) -> bool {
        let since = self.first_tried_mono_ns;
        since.is_some_and(|since| now.since_ns(since) >= FIRST_WAIT_NS_MAX)
    }

    /// The drivers of the first one are getting on with it: it has its time from now on.
    pub(super) fn has_moved(&mut self, now: Now) {
        self.first_tried_mono_ns = Some(now.mono_ns);
    }

    /// How many wait up to this place: 1 for the first.
    pub(super) fn position(&self, place: u64) -> usize {
        self.waiting.range(..=place).count()
    }

    /// Those that wait, in order.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &String> {
        self.waiting.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_that_is_tried_for_too_long_is_hopeless_and_the_next_has_its_own_time() {
        let mut queue = Queue::default();
        let at = |mono_ns| Now::new(0, mono_ns);
        let a = queue.add("a", None);
        let b = queue.add("b", None);
        assert_eq!((queue.position(a), queue.position(b)), (1, 2));
        assert!(!queue.is_first_hopeless(at(u64::MAX)), "it was not tried");
        for tried in 0..6 {
            queue.begin(Arming::new("a", None, at(tried * READY_WAIT_NS)));
            assert!(queue.end_if(|arming| arming.test_id == "b").is_none());
            assert!(queue.end_if(|arming| arming.test_id == "a").is_some());
        }
        assert!(!queue.is_first_hopeless(at(FIRST_WAIT_NS_MAX - 1)));
        assert!(queue.is_first_hopeless(at(FIRST_WAIT_NS_MAX)));
        queue.remove(Some(a));
        assert!(!queue.is_first_hopeless(at(FIRST_WAIT_NS_MAX)));
        assert_eq!(queue.first(), Some((b, &"b".to_owned())));
        assert_eq!(queue.add("a", Some(a)), a, "as it was stored");
        assert_eq!(queue.position(b), 2);
    }
}
