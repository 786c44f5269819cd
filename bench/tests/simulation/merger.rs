//! A merger: the real book of its partitions around a client of the broker that sleeps, reads late or
//! nothing, and does not reach every leader.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use orchestrator::merger::{Fate, Partitions};
use proto::bus::Start;
use proto::merging::{Merger as Identity, Read};
use proto::topic::Topic;

use crate::bus::Bus;
use crate::world::SECOND;

/// Between questions where the partitions end.
const ENDS_EVERY_NS: u64 = SECOND;
/// How long it waits for an answer of all leaders, and then of one.
const ENDS_TIMEOUT_NS: u64 = SECOND;
const ENDS_TIMEOUT_EACH_NS: u64 = 3 * SECOND / 10;
/// How long an end waits for what is on its way.
const END_PATIENCE_NS: u64 = 5 * SECOND;

/// What the client has of a partition.
#[derive(Clone, Copy)]
pub(crate) struct Fetch {
    /// The next offset; `None` for the end, once that is known.
    next: Option<i64>,
    /// Which of the group's deals it is of.
    pub(crate) deal: u64,
}

/// What goes wrong with it, each until an instant.
#[derive(Default)]
pub(crate) struct Ailments {
    /// It is not there.
    pub(crate) down_until_ns: u64,
    /// It does nothing at all, and wakes up where it was.
    pub(crate) frozen_until_ns: u64,
    /// It lives, and reads nothing.
    pub(crate) numb_until_ns: u64,
    /// What it reads it reads so much later, ns.
    pub(crate) late: (u64, u64),
    /// Partitions whose leader it does not reach.
    pub(crate) unreached_until_ns: BTreeMap<i32, u64>,
}

pub(crate) struct Merger {
    pub(crate) identity: Identity,
    pub(crate) partitions: Partitions,
    pub(crate) fetches: BTreeMap<i32, Fetch>,
    pub(crate) ailments: Ailments,
    ask_ends_ns: u64,
    /// Partitions whose leader did not answer lately.
    unreached: BTreeSet<i32>,
    /// It waits for an answer.
    busy_until_ns: u64,
    /// It publishes what it has, until then, and leaves.
    pub(crate) ends_ns: Option<u64>,
    /// Messages that are longer than the broker takes, and about to be said to be.
    too_long: Vec<u64>,
}

impl Merger {
    pub(crate) fn new(id: String) -> Self {
        let identity = Identity { id, incarnation: 1 };
        Self {
            partitions: Partitions::new(identity.clone()),
            identity,
            fetches: BTreeMap::new(),
            ailments: Ailments::default(),
            ask_ends_ns: 0,
            unreached: BTreeSet::new(),
            busy_until_ns: 0,
            ends_ns: None,
            too_long: Vec::new(),
        }
    }

    /// As a sender, in its life.
    pub(crate) fn sender(&self) -> String {
        format!("{}-{}", self.identity.id, self.identity.incarnation)
    }

    /// Another process takes its place, at this instant. What this one handed over may still arrive.
    pub(crate) fn die(&mut self, down_until_ns: u64) {
        let mut next = Self::new(self.identity.id.clone());
        next.identity.incarnation = self.identity.incarnation + 1;
        next.partitions = Partitions::new(next.identity.clone());
        next.ailments.down_until_ns = down_until_ns;
        *self = next;
    }

    /// It speaks to its group: a client does also while its process waits.
    pub(crate) fn lives(&self, now_ns: u64) -> bool {
        now_ns >= self.ailments.down_until_ns && now_ns >= self.ailments.frozen_until_ns
    }

    /// It can do its work.
    pub(crate) fn is_awake(&self, now_ns: u64) -> bool {
        self.lives(now_ns) && now_ns >= self.busy_until_ns
    }

    fn reaches(&self, partition: i32, now_ns: u64) -> bool {
        let until = self.ailments.unreached_until_ns.get(&partition);
        until.is_none_or(|until_ns| now_ns >= *until_ns)
    }

    /// What became of a message of this life.
    pub(crate) fn delivered(&mut self, token: u64, arrived: bool, now_ns: u64) {
        let fate = if arrived { Fate::Arrived } else { Fate::Lost };
        self.partitions.note_fate(token, fate, now_ns);
    }

    /// These are not its partitions any more.
    pub(crate) fn revoke(&mut self, numbers: &[i32]) {
        self.fetches.retain(|number, _| !numbers.contains(number));
        self.partitions.revoke(numbers);
    }

    /// This is its partition from now on; `committed` is where its group stands, if that is known.
    pub(crate) fn assign(
        &mut self,
        (partition, deal): (i32, u64),
        committed: Option<i64>,
        bus: &Bus,
        now_ns: u64,
    ) {
        let is_reached = self.reaches(partition, now_ns);
        let end = is_reached.then(|| bus.end((Topic::Metrics, partition), now_ns));
        let offset = match (committed, end) {
            (Some(committed), Some(end)) => Some(committed.min(end)),
            (committed, end) => committed.or(end),
        };
        let start = Start {
            partition,
            offset,
            end,
        };
        self.partitions.assign(&[start], now_ns);
        let next = offset;
        self.fetches.insert(partition, Fetch { next, deal });
    }

    /// Reads, and says what is to be said. Gives what may be committed.
    pub(crate) fn work(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) -> Vec<(i32, i64)> {
        if self.ends_ns.is_none() {
            self.read(rng, bus, now_ns);
        }
        for token in std::mem::take(&mut self.too_long) {
            self.partitions.note_fate(token, Fate::TooLong, now_ns);
        }
        let arrived = self.partitions.take_arrived();
        self.send(rng, bus, now_ns);
        if self.ends_ns.is_none() {
            self.ask_ends(rng, bus, now_ns);
        }
        arrived
    }

    fn read(&mut self, rng: &mut Rng, bus: &Bus, now_ns: u64) {
        let Ailments {
            numb_until_ns,
            late: (late_ns, late_until_ns),
            ..
        } = self.ailments;
        if now_ns < numb_until_ns || bus.away {
            return;
        }
        let late_ns = if now_ns < late_until_ns { late_ns } else { 0 };
        let read_ns = now_ns.saturating_sub(late_ns);
        for partition in self.partitions.numbers() {
            let place = (Topic::Metrics, partition);
            if !self.reaches(partition, now_ns) || self.partitions.is_full(partition) {
                continue;
            }
            let fetch = self.fetches.get_mut(&partition).unwrap();
            let end = bus.end(place, now_ns);
            // Of another log under the same name all is read.
            let next = fetch
                .next
                .map_or(end, |next| if next > end { 0 } else { next });
            let from = usize::try_from(next).unwrap();
            let news = bus.read(place, from, read_ns);
            let most = rng.usize(1..30);
            let mut after = next;
            for stored in news.iter().take(most) {
                let read = Read::message(after, stored.payload.clone());
                self.partitions.add(partition, read, now_ns);
                after += 1;
            }
            fetch.next = Some(after);
        }
    }

    /// Hands over what is due.
    fn send(&mut self, rng: &mut Rng, bus: &mut Bus, now_ns: u64) {
        let mut handed = Vec::new();
        let is_full = bus.faulty && rng.u8(0..20) == 0;
        let is_end = self.ends_ns.is_some();
        self.partitions.send(now_ns, is_end, |_, token, payload| {
            if !is_full {
                handed.push((token, payload.to_vec()));
            }
            !is_full
        });
        for (token, payload) in handed {
            if payload.len() > bus.merged_len_max {
                self.too_long.push(token);
            } else {
                let content = (Topic::Merged, 0, payload);
                bus.send_to(rng, &self.sender(), token, content, now_ns);
            }
        }
    }

    /// Asks the leaders that answered before at once, and where one does not answer, each; and one of the
    /// others.
    fn ask_ends(&mut self, rng: &mut Rng, bus: &Bus, now_ns: u64) {
        if self.partitions.is_empty() || now_ns < self.ask_ends_ns {
            return;
        }
        let numbers = self.partitions.numbers();
        self.unreached.retain(|number| numbers.contains(number));
        let is_told = |number: &i32| !bus.away && self.reaches(*number, now_ns);
        let reached = numbers.iter().filter(|it| !self.unreached.contains(it));
        let (told, untold): (Vec<i32>, Vec<i32>) = reached.partition(|it| is_told(it));
        let mut answered_ns = now_ns;
        if !untold.is_empty() {
            let each_ns = ENDS_TIMEOUT_EACH_NS * untold.len() as u64;
            answered_ns += ENDS_TIMEOUT_NS + each_ns.min(ENDS_TIMEOUT_NS);
        }
        let again = rng.choice(self.unreached.iter().copied());
        let back = again.filter(is_told);
        if again != back {
            answered_ns += ENDS_TIMEOUT_EACH_NS;
        }
        let said = told.into_iter().chain(back);
        let ends = said.map(|number| (number, bus.end((Topic::Metrics, number), now_ns)));
        self.partitions.note_ends(&ends.collect(), answered_ns);
        self.unreached.extend(untold);
        self.unreached.retain(|number| Some(*number) != back);
        self.busy_until_ns = answered_ns;
        self.ask_ends_ns = answered_ns + ENDS_EVERY_NS;
    }

    /// It ends when all of it has arrived, or for not long after that.
    pub(crate) fn end(&mut self, now_ns: u64) {
        self.ends_ns.get_or_insert(now_ns + END_PATIENCE_NS);
    }

    /// Whether it leaves its group.
    pub(crate) fn has_ended(&self, now_ns: u64) -> bool {
        self.ends_ns
            .is_some_and(|at_ns| now_ns >= at_ns || self.partitions.is_idle())
    }
}
