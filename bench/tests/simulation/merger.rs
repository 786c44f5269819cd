//! Mergers: the real map stage around a consumer group that gives partitions to whoever lives, and
//! takes them away from who does not know it yet.

use std::collections::BTreeMap;

use fastrand::Rng;
use proto::merging::{Encoded, LEN_MAX, Merger as Identity, Range, Read};
use proto::topic::Topic;

use crate::bus::Bus;
use crate::world::SECOND;

/// A merger that has not been heard for so long loses its partitions to others.
const SESSION_NS: u64 = 4 * SECOND;
/// Signs of life where nothing comes.
const SIGN_NS: u64 = SECOND;

/// What is on the way to the log of a range.
struct Publishing {
    partition: i32,
    ranges: Vec<Encoded>,
    /// Whether the bus has the first of them.
    is_sent: bool,
}

/// What a merger has of a partition.
#[derive(Clone, Copy)]
struct Place {
    next: i64,
    signed_ns: u64,
    /// Which of the group's assignments it is of.
    generation: u64,
}

struct Merger {
    identity: Identity,
    places: BTreeMap<i32, Place>,
    publishing: Option<Publishing>,
    frozen_until_ns: u64,
    /// Until then it lives, and reads nothing.
    numb_until_ns: u64,
    up_at_ns: u64,
    heard_ns: u64,
}

/// All mergers, and what the broker keeps of their group.
pub(crate) struct Mergers {
    all: Vec<Merger>,
    committed: BTreeMap<i32, i64>,
    /// Which merger has a partition, and since which assignment.
    owners: BTreeMap<i32, (usize, u64)>,
    generation: u64,
    /// Kills, freezes and rebalances happen.
    pub(crate) are_disturbed: bool,
    pub(crate) published: usize,
}

impl Mergers {
    pub(crate) fn new(count: usize) -> Self {
        let merger = |at| Merger {
            identity: Identity {
                id: format!("m{at}"),
                incarnation: 1,
            },
            places: BTreeMap::new(),
            publishing: None,
            frozen_until_ns: 0,
            numb_until_ns: 0,
            up_at_ns: 0,
            heard_ns: 0,
        };
        Self {
            all: (0..count).map(merger).collect(),
            committed: BTreeMap::new(),
            owners: BTreeMap::new(),
            generation: 0,
            are_disturbed: false,
            published: 0,
        }
    }

    /// A merger as a sender, in its life.
    fn sender(merger: &Merger) -> String {
        format!("{}-{}", merger.identity.id, merger.identity.incarnation)
    }

    /// What became of a message; whether it was one of a merger.
    pub(crate) fn delivered(&mut self, sender: &str, arrived: bool) -> bool {
        let Some(at) = self.all.iter().position(|m| Self::sender(m) == sender) else {
            return false;
        };
        let merger = &mut self.all[at];
        let Some(publishing) = &mut merger.publishing else {
            return true;
        };
        publishing.is_sent = false;
        if !arrived {
            return true;
        }
        let done = publishing.ranges.remove(0);
        let partition = publishing.partition;
        if publishing.ranges.is_empty() {
            merger.publishing = None;
        }
        self.published += usize::from(done.from < done.to);
        let Some(place) = merger.places.get_mut(&partition) else {
            return true;
        };
        place.next = done.to;
        // The broker takes no commit of an assignment that is over.
        if self.owners.get(&partition) == Some(&(at, place.generation)) {
            self.committed.insert(partition, done.to);
        }
        true
    }

    pub(crate) fn step(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        if self.are_disturbed {
            self.disturb(rng, now_ns);
        }
        if bus.away {
            return;
        }
        self.balance(rng, bus.partitions, now_ns);
        for at in 0..self.all.len() {
            self.work(at, rng, bus, now_ns);
        }
    }

    fn disturb(&mut self, rng: &mut Rng, now_ns: u64) {
        for merger in &mut self.all {
            match rng.u32(0..600) {
                0 => {
                    // What it has handed over may still arrive.
                    merger.identity.incarnation += 1;
                    merger.places.clear();
                    merger.publishing = None;
                    merger.up_at_ns = now_ns + rng.u64(0..20 * SECOND);
                }
                1 => merger.frozen_until_ns = now_ns + rng.u64(0..15 * SECOND),
                2 => merger.numb_until_ns = now_ns + rng.u64(0..25 * SECOND),
                _ => {}
            }
        }
        if rng.u32(0..200) == 0 && !self.owners.is_empty() {
            let partition = rng.choice(self.owners.keys().copied()).unwrap();
            self.owners.remove(&partition);
        }
    }

    /// Partitions that nobody has go to those that live.
    fn balance(&mut self, rng: &mut Rng, partitions: i32, now_ns: u64) {
        for merger in &mut self.all {
            if now_ns >= merger.up_at_ns && now_ns >= merger.frozen_until_ns {
                merger.heard_ns = now_ns;
            }
        }
        let mergers = &self.all;
        let lives = |at: usize| mergers[at].heard_ns + SESSION_NS > now_ns;
        self.owners.retain(|_, (owner, _)| lives(*owner));
        let living: Vec<usize> = (0..mergers.len()).filter(|at| lives(*at)).collect();
        for partition in 0..partitions {
            if !living.is_empty() && !self.owners.contains_key(&partition) {
                self.generation += 1;
                let owner = living[rng.usize(0..living.len())];
                self.owners.insert(partition, (owner, self.generation));
            }
        }
    }

    fn work(&mut self, at: usize, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        let merger = &mut self.all[at];
        if now_ns < merger.up_at_ns || now_ns < merger.frozen_until_ns {
            return;
        }
        // What it read before it slept is written before it hears of the group.
        if let Some(publishing) = merger.publishing.as_mut().filter(|it| !it.is_sent) {
            publishing.is_sent = true;
            let payload = publishing.ranges[0].payload.clone();
            let content = (Topic::Merged, 0, payload.unwrap());
            bus.send_to(rng, &Self::sender(merger), 0, content, now_ns);
        }
        for partition in 0..bus.partitions {
            let owned = self
                .owners
                .get(&partition)
                .filter(|(owner, _)| *owner == at);
            let is_same =
                |place: &Place| owned.is_some_and(|(_, since)| *since == place.generation);
            match owned {
                None => drop(merger.places.remove(&partition)),
                Some(_) if merger.places.get(&partition).is_some_and(is_same) => {}
                Some((_, generation)) => {
                    let next = self.committed.get(&partition).copied().unwrap_or(0);
                    let place = Place {
                        next,
                        signed_ns: 0,
                        generation: *generation,
                    };
                    merger.places.insert(partition, place);
                }
            }
        }
        if merger.publishing.is_none() {
            merger.read(rng, bus, now_ns);
        }
    }
}

impl Merger {
    /// Reads a range of one of its partitions.
    fn read(&mut self, rng: &mut Rng, bus: &Bus, now_ns: u64) {
        let mut places: Vec<i32> = self.places.keys().copied().collect();
        rng.shuffle(&mut places);
        for partition in places {
            let place = self.places.get_mut(&partition).unwrap();
            let from = usize::try_from(place.next).unwrap();
            let news = bus.read((Topic::Metrics, partition), from, now_ns);
            let is_numb = now_ns < self.numb_until_ns;
            if (news.is_empty() || is_numb) && now_ns < place.signed_ns + SIGN_NS {
                continue;
            }
            place.signed_ns = now_ns;
            let most = if is_numb { 0 } else { rng.usize(1..30) };
            let mut range = Range::starting_at(place.next);
            for (offset, stored) in (place.next..).zip(news).take(most) {
                range.add(Read::message(offset, stored.payload.clone()));
            }
            let end = place.next + i64::try_from(news.len()).unwrap();
            // As if little went into a message, at times.
            let len_max = if rng.u8(0..4) == 0 { 20_000 } else { LEN_MAX };
            let mut ranges = range.encoded(&self.identity, partition, end, len_max);
            ranges.retain(|range| range.payload.is_some());
            if ranges.is_empty() {
                place.next = range.to();
                continue;
            }
            self.publishing = Some(Publishing {
                partition,
                ranges,
                is_sent: false,
            });
            return;
        }
    }
}
