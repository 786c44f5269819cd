//! A consumer group of mergers: the broker gives partitions to whoever lives, and takes them away from
//! who does not know it yet.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::bus::Bus;
use crate::merger::{Fetch, Merger};
use crate::world::SECOND;

/// A merger that has not been heard for so long loses its partitions to others.
const SESSION_NS: u64 = 6 * SECOND;
/// What was committed longer ago is of a group that was gone.
const COMMIT_AGE_MAX_NS: u64 = 30 * SECOND;

/// What happens to mergers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Troubles {
    /// They are killed, sleep, read nothing, end; and lose partitions to each other.
    pub(crate) lives: bool,
    /// They do not reach a partition's leader.
    pub(crate) leaders: bool,
    /// They read late.
    pub(crate) lags: bool,
}

/// Who has a partition.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Owner {
    at: usize,
    incarnation: u64,
    deal: u64,
}

/// All mergers of a group, and what the broker keeps of it.
pub(crate) struct Group {
    all: Vec<Merger>,
    /// When each process was last heard.
    heard_ns: BTreeMap<(usize, u64), u64>,
    /// Where the group stands, and when it said so.
    committed: BTreeMap<i32, (i64, u64)>,
    owners: BTreeMap<i32, Owner>,
    deals: u64,
}

impl Group {
    /// So many mergers, with names that begin with a letter of the group's own.
    pub(crate) fn new(count: usize, letter: char) -> Self {
        Self {
            all: (0..count)
                .map(|at| Merger::new(format!("{letter}{at}")))
                .collect(),
            heard_ns: BTreeMap::new(),
            committed: BTreeMap::new(),
            owners: BTreeMap::new(),
            deals: 0,
        }
    }

    /// What became of a message; whether it was one of its mergers.
    pub(crate) fn delivered(&mut self, sender: &str, told: (u64, bool), now_ns: u64) -> bool {
        let Some(merger) = self.all.iter_mut().find(|m| m.sender() == sender) else {
            return false;
        };
        merger.delivered(told.0, told.1, now_ns);
        true
    }

    /// The topic was deleted: most brokers forget what was committed of it.
    pub(crate) fn forget_committed(&mut self) {
        self.committed.clear();
    }

    pub(crate) fn step(&mut self, rng: &mut Rng, bus: &mut Bus, troubles: Troubles, now_ns: u64) {
        self.disturb(rng, bus.partitions, troubles, now_ns);
        self.hear(bus.away, now_ns);
        if !bus.away {
            self.deal(rng, bus.partitions, now_ns);
        }
        for at in 0..self.all.len() {
            self.work(at, rng, bus, now_ns);
        }
    }

    fn disturb(&mut self, rng: &mut Rng, partitions: i32, troubles: Troubles, now_ns: u64) {
        let Troubles {
            lives,
            leaders,
            lags,
        } = troubles;
        for merger in &mut self.all {
            match rng.u32(0..600) {
                0 if lives => merger.die(now_ns + rng.u64(0..20 * SECOND)),
                1 if lives => {
                    merger.ailments.frozen_until_ns = now_ns + rng.u64(0..15 * SECOND);
                }
                2 if lives => merger.ailments.numb_until_ns = now_ns + rng.u64(0..25 * SECOND),
                3 if lives => merger.end(now_ns),
                4 | 5 if leaders => {
                    let until_ns = now_ns + rng.u64(0..25 * SECOND);
                    let unreached = &mut merger.ailments.unreached_until_ns;
                    unreached.insert(rng.i32(0..partitions), until_ns);
                }
                6 | 7 if lags => {
                    let late_ns = rng.u64(0..20 * SECOND);
                    merger.ailments.late = (late_ns, now_ns + rng.u64(0..40 * SECOND));
                }
                _ => {}
            }
        }
        if lives && rng.u32(0..200) == 0 && !self.owners.is_empty() {
            let partition = rng.choice(self.owners.keys().copied()).unwrap();
            self.owners.remove(&partition);
        }
    }

    /// While the broker is away it holds nobody for dead.
    fn hear(&mut self, is_away: bool, now_ns: u64) {
        for (at, merger) in self.all.iter().enumerate() {
            if merger.lives(now_ns) {
                let process = (at, merger.identity.incarnation);
                self.heard_ns.insert(process, now_ns);
            }
        }
        if is_away {
            let heard = self.heard_ns.values_mut();
            heard.for_each(|heard_ns| *heard_ns = now_ns.min(*heard_ns + SECOND / 20));
        }
        self.heard_ns
            .retain(|_, heard_ns| *heard_ns + SESSION_NS > now_ns);
    }

    /// Partitions that nobody has go to those that live.
    fn deal(&mut self, rng: &mut Rng, partitions: i32, now_ns: u64) {
        let heard = &self.heard_ns;
        self.owners
            .retain(|_, owner| heard.contains_key(&(owner.at, owner.incarnation)));
        let mergers = self.all.iter().enumerate();
        let living: Vec<(usize, u64)> = mergers
            .filter(|(_, merger)| merger.lives(now_ns) && merger.ends_ns.is_none())
            .map(|(at, merger)| (at, merger.identity.incarnation))
            .collect();
        for partition in 0..partitions {
            if !living.is_empty() && !self.owners.contains_key(&partition) {
                self.deals += 1;
                let (at, incarnation) = living[rng.usize(0..living.len())];
                let deal = self.deals;
                let owner = Owner {
                    at,
                    incarnation,
                    deal,
                };
                self.owners.insert(partition, owner);
            }
        }
    }

    fn work(&mut self, at: usize, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        if !self.all[at].is_awake(now_ns) {
            return;
        }
        // What it read before it slept may be written before it hears of the group.
        if !bus.away && rng.u8(0..3) > 0 {
            self.tell(at, rng, bus, now_ns);
        }
        let merger = &mut self.all[at];
        let arrived = merger.work(rng, bus, now_ns);
        for (partition, next) in arrived {
            // The broker takes no commit of a deal that is over.
            if self.has(at, partition) && !bus.away {
                self.committed.insert(partition, (next, now_ns));
            }
        }
        let merger = &mut self.all[at];
        if merger.has_ended(now_ns) {
            self.owners.retain(|_, owner| owner.at != at);
            merger.die(now_ns + rng.u64(0..20 * SECOND));
        }
    }

    /// Whether what a merger believes to have is so.
    fn has(&self, at: usize, partition: i32) -> bool {
        let fetch: Option<&Fetch> = self.all[at].fetches.get(&partition);
        let owner = self.owners.get(&partition);
        owner.is_some_and(|owner| fetch.is_some_and(|fetch| fetch.deal == owner.deal))
    }

    /// A merger hears what it has, and has no more.
    fn tell(&mut self, at: usize, rng: &mut Rng, bus: &Bus, now_ns: u64) {
        let known: Vec<i32> = self.all[at].fetches.keys().copied().collect();
        let gone: Vec<i32> = known.into_iter().filter(|it| !self.has(at, *it)).collect();
        let merger = &mut self.all[at];
        merger.revoke(&gone);
        for (partition, owner) in &self.owners {
            let is_its = (owner.at, owner.incarnation) == (at, merger.identity.incarnation);
            if !is_its || merger.fetches.contains_key(partition) {
                continue;
            }
            let committed = self.committed.get(partition);
            let recent = committed.filter(|(_, at_ns)| at_ns + COMMIT_AGE_MAX_NS >= now_ns);
            // Now and then the broker does not say it in time.
            let is_said = !bus.faulty || rng.u8(0..20) > 0;
            let next = recent.map(|(next, _)| *next).filter(|_| is_said);
            merger.assign((*partition, owner.deal), next, bus, now_ns);
        }
    }
}
