//! Users that walk through the flows of a scenario: those of one core.
//!
//! A session starts when its load says so: at its instant of an open stage, or when the session
//! before it ended in a closed one. Its first request is intended then; each later one when the
//! answer before it is complete and the think time over. A session has at most one request under
//! way, so a job is its user and the session's generation.
//!
//! After warm-up nothing here allocates: users, their values, cookies and buffers are used again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Display;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use fastrand::Rng;
use proto::workload::{Course, Fill, Hole, Op, Part, REPLAY_SLOT, Scenario, SessionArrival, mixed};

use super::board::{Board, Known};
use super::judge::{Seen, Slots};
use super::program::Position;
use super::replay::Feed;
use super::{Table, Tally};

/// Sessions of a core at once where the document sets no bound.
const SESSIONS_MAX: usize = 1_000_000;
/// No row of this set.
const NO_ROW: u32 = u32::MAX;

/// A request of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    user: u32,
    generation: u32,
}

/// The sessions of one core.
#[derive(Debug)]
pub struct Sessions {
    scenario: Arc<Scenario>,
    tables: Arc<[Table]>,
    part: Part,
    /// Which driver of all this is, where that is said later, and which core of it.
    driver: Option<Arc<OnceLock<Part>>>,
    core: (u64, u64),
    entropy: u64,
    start_ns: u64,
    /// An instant of the monotonic clock in ns, and what the wall clock said then in ms.
    anchor: (u64, u64),
    now_ns: u64,
    random: Rng,
    arrivals: Course,
    next_arrival: Option<SessionArrival>,
    /// Until when another rate could bring more of them, ns of the monotonic clock.
    held_ns: u64,
    /// What comes of a log that is replayed, and when to look at it.
    feed: Option<Feed>,
    feed_due_ns: u64,
    /// Closed stages by number: sessions that may still start, and whether they have begun.
    closed: Vec<ClosedStage>,
    next_closed: usize,
    /// Sessions that closed stages have started, and requests that had a number of their own.
    followed: u64,
    sequence: u64,
    users: Users,
    /// Users whose next request has an instant that has not come.
    timers: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// Users whose next request can be sent, by the server that it goes to.
    ready: Box<[Queue]>,
    /// Measured requests that became ready since the last [`Source::advance`], and whether any did.
    offered: u64,
    has_news: bool,
    steps: Vec<StepPlan>,
    /// Data sets that each flow uses.
    sets: Vec<Vec<usize>>,
    at_once_max: usize,
    is_stopped: bool,
    seen: Vec<Seen>,
    scratch: Vec<u8>,
    /// What is measured, and what only warms up.
    tallies: [Tally; 2],
    common: Option<Arc<Mutex<Tally>>>,
    /// Where what was counted is shown, and what is there of it.
    board: Option<(Arc<Board>, Known)>,
}

#[derive(Debug, Clone, Copy)]
struct ClosedStage {
    stage: usize,
    /// This party among those that play it.
    part: Part,
    start_ns: u64,
    /// When it starts no more sessions; `u64::MAX` for one that ends with its sessions.
    end_ns: u64,
    /// How many at once.
    at_once: u64,
    left: u64,
}

impl Sessions {
    /// The sessions of core `core` of `cores` of the driver that is `driver` of all. `tables` are
    /// the scenario's data sets in their order; `entropy` is any number that is new in each run.
    ///
    /// # Panics
    /// Unless there is a table for each data set, and `core < cores`.
    #[must_use]
    pub fn new(
        scenario: Arc<Scenario>,
        tables: Arc<[Table]>,
        driver: Part,
        (core, cores): (u64, u64),
        entropy: u64,
    ) -> Self {
        assert_eq!(
            tables.len(),
            scenario.data.len(),
            "a table for each data set"
        );
        let part = driver.part(core, cores);
        let users = Users {
            sets: scenario.data.len(),
            slots: scenario.slots.len(),
            ..Users::default()
        };
        Self {
            part,
            driver: None,
            core: (core, cores),
            entropy,
            start_ns: 0,
            anchor: (0, 0),
            now_ns: 0,
            random: random(entropy, part),
            arrivals: Course::new(&scenario.load, part),
            next_arrival: None,
            held_ns: 0,
            feed: None,
            feed_due_ns: u64::MAX,
            closed: Vec::new(),
            next_closed: 0,
            followed: 0,
            sequence: 0,
            users,
            timers: BinaryHeap::new(),
            ready: scenario.targets.iter().map(|_| Queue::default()).collect(),
            offered: 0,
            has_news: false,
            steps: scenario
                .steps
                .iter()
                .map(|step| StepPlan::of(step, scenario.cookies))
                .collect(),
            sets: (0..scenario.flows.len())
                .map(|flow| sets_of(&scenario, flow))
                .collect(),
            at_once_max: at_once_max(&scenario, part),
            is_stopped: true,
            seen: Vec::new(),
            scratch: Vec::new(),
            tallies: [Tally::new(&scenario), Tally::new(&scenario)],
            common: None,
            board: None,
            scenario,
            tables,
        }
    }

    /// The same of a driver whose place among all is known only when it starts.
    #[must_use]
    pub fn with_driver(mut self, driver: Arc<OnceLock<Part>>) -> Self {
        self.driver = Some(driver);
        self
    }

    /// Takes the place among all drivers that was said meanwhile.
    fn take_place(&mut self) {
        let place = self.driver.as_ref().and_then(|driver| driver.get());
        let Some(driver) = place.copied() else {
            return;
        };
        let (core, cores) = self.core;
        self.part = driver.part(core, cores);
        self.tables
            .iter()
            .for_each(|table| table.belongs_to(driver));
        self.random = random(self.entropy, self.part);
        self.arrivals = Course::new(&self.scenario.load, self.part);
        self.at_once_max = at_once_max(&self.scenario, self.part);
    }

    /// The same with what the wall clock said at an instant of the monotonic one, for `$now`.
    #[must_use]
    pub fn with_anchor(mut self, now_ns: u64, unix_ms: u64) -> Self {
        self.anchor = (now_ns, unix_ms);
        self
    }

    /// The same that adds what it counted to a common tally at its end.
    #[must_use]
    pub fn with_tally(mut self, tally: Arc<Mutex<Tally>>) -> Self {
        self.common = Some(tally);
        self
    }

    /// The same that shows on a board what it counts, each second.
    #[must_use]
    pub fn with_board(mut self, board: Arc<Board>) -> Self {
        let nothing = board.unknown();
        self.board = Some((board, nothing));
        self
    }

    /// The same that replays a log.
    #[must_use]
    pub fn with_feed(mut self, feed: Option<Feed>) -> Self {
        self.feed = feed;
        self
    }

    /// What has been counted so far, without warm-up.
    #[must_use]
    pub fn counted(&self) -> &Tally {
        &self.tallies[0]
    }

    fn tally(&mut self, is_measured: bool) -> &mut Tally {
        &mut self.tallies[usize::from(!is_measured)]
    }

    /// What the session of a job has last extracted into a slot; empty for nothing.
    #[must_use]
    pub fn extracted(&self, job: Job, slot: usize) -> &[u8] {
        &self.users.values[job.user as usize * self.users.slots + slot]
    }

    /// Sessions under way.
    #[must_use]
    pub fn active(&self) -> usize {
        self.users.active
    }

    fn next_arrival_ns(&self) -> u64 {
        self.next_arrival.map_or(u64::MAX, |arrival| {
            self.start_ns.saturating_add(arrival.at_ns)
        })
    }

    fn next_stage_ns(&self) -> u64 {
        self.closed
            .get(self.next_closed)
            .map_or(u64::MAX, |stage| stage.start_ns)
    }

    /// Starts a session; `false` when it cannot: there are too many, or no row is left.
    fn start(&mut self, number: u64, stage: usize, at_ns: u64) -> bool {
        let flow = self.scenario.mix.flow(number);
        self.start_flow(flow, stage, at_ns, None)
    }

    /// The same of a flow; in a replay with the path of its request.
    fn start_flow(&mut self, flow: usize, stage: usize, at_ns: u64, path: Option<&[u8]>) -> bool {
        if self.users.active >= self.at_once_max {
            return false;
        }
        let user = self.users.take();
        let stage_of = &self.scenario.load.stages[stage];
        let (is_measured, waits) = (!stage_of.is_warmup, !stage_of.is_open());
        let first = user as usize * self.users.sets;
        for nth in 0..self.sets[flow].len() {
            let set = self.sets[flow][nth];
            let Some(row) = self.tables[set].pick(&mut self.random) else {
                self.tally(is_measured).used_up[set] += 1;
                self.users.give_back(user);
                return false;
            };
            self.users.rows[first + set] = row;
        }
        let state = &mut self.users.all[user as usize];
        (state.flow, state.stage, state.position) = (flow, stage, Position::default());
        (state.started_ns, state.is_measured, state.set) = (at_ns, is_measured, 0);
        state.waits = waits;
        state.jar.clear();
        if let Some(path) = path {
            self.users.slots(user).set(REPLAY_SLOT, path);
        }
        self.tally(is_measured).flows[flow].started += 1;
        self.go_on(user, at_ns);
        true
    }

    /// On to the next request of a session, intended at an instant and the think time after it.
    /// Says what it was when the session ends instead.
    fn go_on(&mut self, user: u32, at_ns: u64) -> Option<(usize, u64)> {
        let state = &mut self.users.all[user as usize];
        let ops: &[Op] = &self.scenario.flows[state.flow].ops;
        let Some((step, think_ns)) = state.position.next(ops, &mut self.random) else {
            return Some(self.end(user, at_ns, End::Completed));
        };
        if self.is_stopped {
            return Some(self.end(user, at_ns, End::Cut));
        }
        let due_ns = at_ns.saturating_add(think_ns);
        (state.step, state.due_ns) = (step, due_ns);
        if !self.has_values(user, step) {
            let is_measured = self.users.all[user as usize].is_measured;
            self.tally(is_measured).steps[step].without_value += 1;
            return Some(self.end(user, at_ns, End::Failed));
        }
        if due_ns <= self.now_ns {
            self.make_ready(user);
        } else {
            let generation = self.users.all[user as usize].generation;
            self.timers.push(Reverse((due_ns, user, generation)));
        }
        None
    }

    /// Whether every value of a step's request is there and can stand where it has to.
    fn has_values(&self, user: u32, step: usize) -> bool {
        let takes = |hole: &Hole| match hole.fill {
            Fill::Slot(slot) => {
                let state = &self.users.all[user as usize];
                let value = &self.users.values[user as usize * self.users.slots + slot];
                state.set & (1 << slot) != 0 && hole.escape.takes(value)
            }
            _ => true,
        };
        self.steps[step].doubtful.iter().all(takes)
    }

    /// Ends a session; where its stage is closed, the next one starts.
    fn end(&mut self, user: u32, at_ns: u64, how: End) -> (usize, u64) {
        let state = &self.users.all[user as usize];
        let ended = (state.flow, at_ns.saturating_sub(state.started_ns));
        let stage = state.stage;
        let is_measured = state.is_measured;
        let flow = &mut self.tally(is_measured).flows[ended.0];
        match how {
            End::Completed => {
                flow.completed += 1;
                flow.record(ended.1);
            }
            End::Failed => flow.failed += 1,
            End::Cut => flow.cut += 1,
        }
        self.users.give_back(user);
        if !self.is_stopped && !matches!(how, End::Cut) {
            self.follow(stage, at_ns);
        }
        ended
    }

    /// The next session of a closed stage, where one ended.
    fn follow(&mut self, stage: usize, at_ns: u64) {
        let Some(closed) = self.closed.iter_mut().find(|closed| closed.stage == stage) else {
            return;
        };
        if at_ns >= closed.end_ns || closed.left == 0 {
            return;
        }
        closed.left -= u64::from(closed.left != u64::MAX);
        let number = closed.part.nth(self.followed);
        self.followed += 1;
        self.start(number, stage, at_ns);
    }

    fn begin_closed(&mut self) -> u64 {
        let ClosedStage {
            stage,
            start_ns,
            at_once,
            ..
        } = self.closed[self.next_closed];
        self.next_closed += 1;
        let mut shed = 0;
        for _ in 0..at_once {
            let closed = &mut self.closed[self.next_closed - 1];
            if closed.left == 0 {
                break;
            }
            closed.left -= u64::from(closed.left != u64::MAX);
            let number = closed.part.nth(self.followed);
            self.followed += 1;
            shed += u64::from(!self.start(number, stage, start_ns));
        }
        shed
    }

    fn job(&self, user: u32) -> Job {
        let generation = self.users.all[user as usize].generation;
        Job { user, generation }
    }

    fn is_current(&self, job: Job) -> bool {
        let state = &self.users.all[job.user as usize];
        state.generation == job.generation && state.is_under_way
    }

    fn state(&self, job: Job) -> &User {
        &self.users.all[job.user as usize]
    }

    fn uuid(&mut self, out: &mut Vec<u8>) {
        // RFC 9562, 5.4: version 4, variant 10.
        let random = self.random.u128(..);
        let id = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let part = |from: u32, bits: u32| (id >> from) & ((1 << bits) - 1);
        write!(
            out,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 32),
            part(80, 16),
            part(64, 16),
            part(48, 16),
            part(0, 48)
        )
        .expect("invariant: memory takes every write");
    }
}

/// What a core draws from.
fn random(entropy: u64, part: Part) -> Rng {
    Rng::with_seed(mixed(entropy ^ mixed(part.index + 1)))
}

/// Sessions at once of a core, at most.
fn at_once_max(scenario: &Scenario, part: Part) -> usize {
    let most = scenario.load.sessions_max.map_or(SESSIONS_MAX, |most| {
        usize::try_from(part.share(most)).unwrap_or(SESSIONS_MAX)
    });
    most.min(SESSIONS_MAX)
}

fn append(out: &mut Vec<u8>, number: impl Display) {
    write!(out, "{number}").expect("invariant: memory takes every write");
}

/// How a session ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Completed,
    Failed,
    Cut,
}

/// The data sets whose values a flow's requests use.
fn sets_of(scenario: &Scenario, flow: usize) -> Vec<usize> {
    let steps = scenario.steps.iter().filter(|step| step.flow == flow);
    let mut sets: Vec<usize> = steps
        .flat_map(|step| &step.request.holes)
        .filter_map(|hole| match hole.fill {
            Fill::Column { data, .. } => Some(data),
            _ => None,
        })
        .collect();
    sets.sort_unstable();
    sets.dedup();
    sets
}

mod plan;
mod queue;
mod replayed;
mod turns;
mod users;

use plan::StepPlan;
use queue::Queue;
use users::{User, Users};

#[cfg(test)]
mod tests;
