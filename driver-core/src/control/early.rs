//! What is read before that which it needs: no two topics have a common order, so that a start may
//! come before its config, and a node's place among the participants before or after the start.

use std::collections::VecDeque;

use proto::message::Trigger;
use proto::workload::RateChange;

use super::Place;

/// How long a trigger waits for its config, and for the chunk of the list that has this node, ns.
pub const EARLY_NS_MAX: u64 = 10_000_000_000;
/// Triggers that wait, and places; the oldest gives way.
pub(super) const EARLY_MAX: usize = 16;

/// Starts and places that wait for each other, and when they came.
#[derive(Debug, Default)]
pub(super) struct Early {
    starts: VecDeque<(Trigger, u64)>,
    /// Places among more participants than a trigger lists.
    places: VecDeque<(String, Place, u64)>,
    /// Changes of the rate of tests that have not started here.
    rates: VecDeque<(String, Vec<RateChange>)>,
}

impl Early {
    /// Keeps a start, or keeps on keeping it: the same start again is no later one.
    pub(super) fn keep(&mut self, trigger: Trigger, now_ns: u64) {
        let since_ns = self.starts.iter().find(|(kept, _)| *kept == trigger);
        let since_ns = since_ns.map_or(now_ns, |(_, since_ns)| *since_ns);
        self.take(&trigger.test_id);
        self.starts.push_back((trigger, since_ns));
        if self.starts.len() > EARLY_MAX {
            self.starts.pop_front();
        }
    }

    /// The start of a test that waits.
    pub(super) fn start_of(&self, test_id: &str) -> Option<&Trigger> {
        let mut starts = self.starts.iter().map(|(trigger, _)| trigger);
        starts.find(|trigger| trigger.test_id == test_id)
    }

    /// Takes the start of a test out.
    pub(super) fn take(&mut self, test_id: &str) -> Option<Trigger> {
        let mut starts = self.starts.iter();
        let at = starts.position(|(kept, _)| kept.test_id == test_id)?;
        self.starts.remove(at).map(|(trigger, _)| trigger)
    }

    /// The tests whose starts wait, and whether they have waited too long.
    pub(super) fn waiting(&self, now_ns: u64) -> Vec<(String, bool)> {
        let waiting = self.starts.iter().map(|(trigger, since_ns)| {
            let is_old = now_ns.saturating_sub(*since_ns) >= EARLY_NS_MAX;
            (trigger.test_id.clone(), is_old)
        });
        waiting.collect()
    }

    /// Keeps this node's place in a test.
    pub(super) fn keep_place(&mut self, test_id: &str, place: Place, now_ns: u64) {
        let is_recent = |since_ns: u64| now_ns.saturating_sub(since_ns) <= EARLY_NS_MAX;
        self.places
            .retain(|(other, _, since_ns)| other != test_id && is_recent(*since_ns));
        if self.places.len() == EARLY_MAX {
            self.places.pop_front();
        }
        self.places.push_back((test_id.to_owned(), place, now_ns));
    }

    /// Keeps the changes of a test's rate until it starts: of two lists the longer one, which begins
    /// with the other.
    pub(super) fn keep_rates(&mut self, test_id: &str, changes: Vec<RateChange>) {
        let known = self.take_rates(test_id).unwrap_or_default();
        let longer = if known.len() > changes.len() {
            known
        } else {
            changes
        };
        if self.rates.len() == EARLY_MAX {
            self.rates.pop_front();
        }
        self.rates.push_back((test_id.to_owned(), longer));
    }

    /// Takes out the changes of a test's rate that were read before its start.
    pub(super) fn take_rates(&mut self, test_id: &str) -> Option<Vec<RateChange>> {
        let mut rates = self.rates.iter();
        let at = rates.position(|(kept, _)| kept == test_id)?;
        self.rates.remove(at).map(|(_, changes)| changes)
    }

    /// A node's place among those that take part, if it is known to be one of them.
    pub(super) fn place_in(&self, trigger: &Trigger, node_id: &str) -> Option<Place> {
        let Some(list) = &trigger.participants else {
            return Some(Place::ALONE);
        };
        let Some(index) = list.iter().position(|id| id == node_id) else {
            let mut places = self.places.iter();
            let (_, place, _) = places.find(|(test_id, ..)| *test_id == trigger.test_id)?;
            return Some(*place);
        };
        // Never fewer than are listed, whatever is said.
        let all = trigger.n.unwrap_or(0).max(list.len() as u64);
        Some(Place {
            index: u32::try_from(index).ok()?,
            count: u32::try_from(all).ok()?,
            clock: trigger.clock_offsets.get(node_id).copied(),
            incarnation: trigger.incarnations.get(node_id).copied(),
        })
    }
}

/// Whether others take part than those that a trigger lists.
pub(super) fn has_more(trigger: &Trigger) -> bool {
    let listed = trigger.participants.as_ref().map_or(0, Vec::len) as u64;
    trigger.participants.is_some() && trigger.n.is_some_and(|n| n > listed)
}
