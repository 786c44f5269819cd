//! One run of everything from one seed.

use std::collections::BTreeSet;

use fastrand::Rng;
use orchestrator::control::{Command, Reply};
use proto::document::{Defaults, Document, Params, Setting};
use proto::summary::CapacityBounds;
use proto::topic::Topic;
use proto::units::NS_PER_MS;
use proto::workload::{Rate, RateSpec, TestType, Workload};

use crate::bus::Bus;
use crate::driver::{Driver, RATE};
use crate::foreign::Foreign;
use crate::group::{Group, Troubles};
use crate::orchestrator::{Orchestrator, at};

pub(crate) const SECOND: u64 = 1_000_000_000;
/// The wall clock at the start of the world.
pub(crate) const UNIX_NS: u64 = 1_700_000_000 * SECOND;
const STEP_NS: u64 = 50_000_000;
/// Faults happen until here; afterwards everything must come to its end.
const CALM_NS: u64 = 30 * SECOND;
const END_NS: u64 = 200 * SECOND;
/// The same with campaigns, which take a run after another.
const CAMPAIGNS_END_NS: u64 = 500 * SECOND;
/// Campaigns that people begin.
const CAMPAIGNS_MAX: usize = 3;
/// Runs of a set, and the rest between them.
const REPEATS: u32 = 3;
pub(crate) const REST_MS: u64 = 700;
/// Bytes that `merged` takes in some worlds.
const MERGED_LEN_MAX: usize = 20_000;

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Messages are late, doubled, or need a retry.
    pub(crate) messages: bool,
    /// The broker goes away for a while.
    pub(crate) outages: bool,
    /// The orchestrator is killed.
    pub(crate) kills: bool,
    /// Drivers freeze and die.
    pub(crate) deaths: bool,
    /// So many mergers read several partitions of `metrics`; with other faults they die, sleep, and
    /// lose their partitions.
    pub(crate) mergers: usize,
    /// Mergers do not reach the leaders of partitions.
    pub(crate) leaders: bool,
    /// Mergers read late.
    pub(crate) lags: bool,
    /// A second group of as many mergers reads the same.
    pub(crate) rivals: bool,
    /// Somebody deletes `metrics`, and it is made anew.
    pub(crate) remakes: bool,
    /// Drivers of another implementation take part.
    pub(crate) foreigners: usize,
    /// People also search for capacities, and want sets of runs: no fault, but more that goes on.
    pub(crate) campaigns: bool,
}

pub(crate) struct World {
    rng: Rng,
    pub(crate) faults: Faults,
    pub(crate) now_ns: u64,
    pub(crate) bus: Bus,
    pub(crate) orchestrator: Orchestrator,
    pub(crate) drivers: Vec<Driver>,
    pub(crate) foreigners: Vec<Foreign>,
    groups: Vec<Group>,
    outage_until_ns: u64,
    /// How long the broker was there until each step, ns.
    there_ns: Vec<u64>,
    /// Tests that are to be triggered, with the ticket of a trigger that is not answered.
    pub(crate) wanted: Vec<(String, Option<u64>)>,
    /// Tests that were seen to have ended.
    pub(crate) ended: BTreeSet<String>,
    /// What people were told to be wrong with mergers.
    pub(crate) troubles: BTreeSet<String>,
    /// How often `metrics` was made anew.
    pub(crate) remade: usize,
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let mut rng = Rng::with_seed(seed);
        let partitions = if faults.mergers > 0 { rng.i32(1..4) } else { 1 };
        let mut bus = Bus::new(partitions);
        bus.faulty = faults.messages;
        if faults.mergers > 0 && rng.u8(0..4) == 0 {
            bus.merged_len_max = MERGED_LEN_MAX;
        }
        let letters = if faults.rivals {
            &['m', 'n'][..]
        } else {
            &['m']
        };
        let groups = letters
            .iter()
            .map(|letter| Group::new(faults.mergers, *letter));
        let count = rng.usize(1..5);
        let drivers = (0..count)
            .map(|at| Driver::new(&format!("d{at}"), &bus))
            .collect();
        let foreigners = (0..faults.foreigners)
            .map(|at| Foreign::new(&format!("f{at}"), &bus))
            .collect();
        Self {
            rng,
            faults,
            now_ns: 0,
            bus,
            orchestrator: Orchestrator::new(),
            drivers,
            foreigners,
            groups: groups.collect(),
            outage_until_ns: 0,
            there_ns: vec![0],
            wanted: Vec::new(),
            ended: BTreeSet::new(),
            troubles: BTreeSet::new(),
            remade: 0,
        }
    }

    /// Lives through the faults and then until every run has ended.
    pub(crate) fn run(&mut self) {
        let end_ns = if self.faults.campaigns {
            CAMPAIGNS_END_NS
        } else {
            END_NS
        };
        while self.now_ns < end_ns {
            self.step();
            let quiet = self.now_ns > CALM_NS + 20 * SECOND;
            let is_over =
                self.orchestrator.has_no_open_run() && self.orchestrator.has_no_open_campaign();
            if quiet && self.wanted.is_empty() && is_over {
                break;
            }
        }
        // Late reports on runs that have ended still count.
        let until = self.now_ns + 15 * SECOND;
        while self.now_ns < until {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now_ns += STEP_NS;
        let calm = self.now_ns >= CALM_NS;
        if calm {
            self.outage_until_ns = self.outage_until_ns.min(self.now_ns);
        } else {
            self.disturb();
        }
        self.bus.away = self.now_ns < self.outage_until_ns;
        let there_ns = self.there_ns.last().unwrap_or(&0) + u64::from(!self.bus.away) * STEP_NS;
        self.there_ns.push(there_ns);
        self.users(calm);
        for (sender, token, arrived) in self.bus.arrive(&mut self.rng, self.now_ns) {
            self.tell(&sender, (token, arrived));
        }
        let troubles = Troubles {
            lives: self.faults.messages && !calm,
            leaders: self.faults.leaders && !calm,
            lags: self.faults.lags && !calm,
        };
        let (rng, bus, now_ns) = (&mut self.rng, &mut self.bus, self.now_ns);
        for group in &mut self.groups {
            group.step(rng, bus, troubles, now_ns);
        }
        self.orchestrator.step(rng, bus, now_ns);
        for driver in &mut self.drivers {
            driver.step(rng, bus, now_ns);
        }
        for foreign in &mut self.foreigners {
            foreign.step(rng, bus, now_ns);
        }
        self.look();
    }

    /// A sender hears what became of a message.
    fn tell(&mut self, sender: &str, told: (u64, bool)) {
        let (rng, bus, now_ns) = (&mut self.rng, &mut self.bus, self.now_ns);
        if sender == self.orchestrator.sender() {
            return self.orchestrator.delivered(rng, bus, told, now_ns);
        }
        let mut groups = self.groups.iter_mut();
        if groups.any(|group| group.delivered(sender, told, now_ns)) {
            return;
        }
        let (token, arrived) = told;
        if let Some(foreign) = self.foreigners.iter_mut().find(|f| f.id == sender) {
            foreign.delivered(token, arrived);
        } else if let Some(driver) = self.drivers.iter_mut().find(|d| d.alive && d.id == sender) {
            driver.delivered(token, arrived);
        }
    }

    /// Looks at what is to be seen at its time: who else ended, and once a second what people see.
    fn look(&mut self) {
        let runs = self.orchestrator.disk.runs.iter();
        let has_ended = runs.filter(|(_, (run, _))| run.phase.has_ended());
        let ended: Vec<String> = has_ended.map(|(id, _)| id.clone()).collect();
        for test_id in ended {
            if self.ended.insert(test_id.clone()) {
                self.assert_foreign_is_read(&test_id);
                self.assert_no_last_report_is_unread(&test_id);
            }
        }
        if self.now_ns.is_multiple_of(SECOND)
            && let Some(snapshot) = self.orchestrator.snapshot(self.now_ns)
        {
            self.troubles
                .extend(snapshot.merging_troubles(at(self.now_ns)));
        }
    }

    /// Before this instant was what could be read for so long: nobody reads while the broker is away.
    pub(crate) fn readable_since(&self, long_ns: u64) -> u64 {
        let there_ns = self.there_ns.last().unwrap_or(&0);
        let is_long = |then_ns: &u64| there_ns - then_ns >= long_ns;
        let steps = self.there_ns.partition_point(is_long);
        steps.saturating_sub(1) as u64 * STEP_NS
    }

    fn disturb(&mut self) {
        let Faults {
            outages,
            kills,
            deaths,
            remakes,
            ..
        } = self.faults;
        if remakes && self.now_ns > 5 * SECOND && self.rng.u32(0..300) == 0 {
            self.make_metrics_anew();
        }
        if outages && self.rng.u32(0..300) == 0 {
            self.outage_until_ns = self.now_ns + self.rng.u64(0..12 * SECOND);
        }
        if kills && self.orchestrator.is_up() && self.rng.u32(0..150) == 0 {
            let up_at_ns = self.now_ns + self.rng.u64(0..4 * SECOND);
            self.orchestrator.kill(up_at_ns);
        }
        if deaths && self.rng.u32(0..400) == 0 {
            let at = self.rng.usize(0..self.drivers.len());
            let driver = &mut self.drivers[at];
            if self.rng.bool() {
                driver.frozen_until_ns = self.now_ns + self.rng.u64(0..14 * SECOND);
            } else {
                driver.alive = false;
            }
        }
        if deaths && self.rng.u32(0..400) == 0 {
            let id = format!("d{}", self.drivers.len());
            self.drivers.push(Driver::new(&id, &self.bus));
        }
    }

    /// Most brokers forget what groups committed of what is deleted; the reader may see that it is
    /// missing before it is there again.
    fn make_metrics_anew(&mut self) {
        self.remade += 1;
        for number in 0..self.bus.partitions {
            let len = self.bus.all((Topic::Metrics, number)).len();
            let shadow = self.orchestrator.disk.shadows.entry(number).or_default();
            *shadow = (*shadow).max(len);
        }
        self.bus.make_anew(Topic::Metrics);
        if self.rng.bool() {
            self.groups.iter_mut().for_each(Group::forget_committed);
        }
        if self.orchestrator.is_up() && !self.bus.away && self.rng.bool() {
            self.orchestrator
                .miss_metrics(&mut self.rng, &mut self.bus, self.now_ns);
        }
    }

    /// People create tests, trigger them, sometimes stop them.
    fn users(&mut self, calm: bool) {
        if !calm && self.orchestrator.test_ids().len() < 4 && self.rng.u32(0..60) == 0 {
            self.create();
        }
        let may_begin = self.faults.campaigns && !calm;
        if may_begin
            && self.orchestrator.disk.campaigns.len() < CAMPAIGNS_MAX
            && self.rng.u32(0..60) == 0
        {
            self.begin_campaign();
        }
        for at in 0..self.wanted.len() {
            self.trigger(at);
        }
        let done = |id: &str, orchestrator: &Orchestrator| {
            orchestrator.test_ids().iter().any(|other| other == id)
                && !matches!(orchestrator.phase(id), "created" | "configured")
        };
        let orchestrator = &self.orchestrator;
        self.wanted.retain(|(id, _)| !done(id, orchestrator));
        if !calm && self.rng.u32(0..40) == 0 {
            self.change_rate();
        }
        if !calm && self.rng.u32(0..500) == 0 {
            let mut ids = self.orchestrator.test_ids();
            ids.extend(self.orchestrator.disk.campaigns.keys().cloned());
            if !ids.is_empty() {
                let test_id = ids[self.rng.usize(0..ids.len())].clone();
                self.command(Command::Stop { test_id });
            }
        }
    }

    fn create(&mut self) {
        let (kind, params) = self.asked();
        let defaults = Defaults::of_rest(kind, "http://127.0.0.1:8000/");
        let workload = Workload::from_params(kind, 1.0, &params, &defaults).unwrap();
        let letters = |rng: &mut Rng| (0..20).map(|_| rng.alphabetic()).collect::<String>();
        let test_id = letters(&mut self.rng);
        let command = Command::Create {
            test_id: test_id.clone(),
            workload: Box::new(workload),
            queue: false,
        };
        if let Some(ticket) = self.command(command)
            && self
                .reply(ticket)
                .is_some_and(|reply| matches!(reply, Reply::Created { .. }))
        {
            self.wanted.push((test_id, None));
        }
    }

    /// A closed loop, or a rate for a while or for so many requests.
    fn asked(&mut self) -> (TestType, Params) {
        let requests = Some(self.rng.u64(1..1200));
        let rate = Some(RateSpec::Constant(RATE.to_string().parse().unwrap()));
        match self.rng.u8(0..3) {
            0 => (
                TestType::Avalanche,
                Params {
                    requests,
                    ..Params::default()
                },
            ),
            1 => (
                TestType::Tsunami,
                Params {
                    requests,
                    rate,
                    ..Params::default()
                },
            ),
            _ => (
                TestType::Tsunami,
                Params {
                    duration_s: Some(self.rng.u32(1..15).into()),
                    rate,
                    ..Params::default()
                },
            ),
        }
    }

    /// People want another rate, of whatever there is.
    fn change_rate(&mut self) {
        let ids = self.orchestrator.test_ids();
        if ids.is_empty() {
            return;
        }
        let test_id = ids[self.rng.usize(0..ids.len())].clone();
        let rate = Rate::from_milli(1000 * self.rng.u64(40..300)).unwrap();
        let by = None;
        self.command(Command::ChangeRate { test_id, rate, by });
    }

    /// A search, or a set of runs of the same document.
    fn begin_campaign(&mut self) {
        let text = "target: http://127.0.0.1:8000/\nload: {open: 300/s, for: 1s}\n\
            thresholds: [p90 < 50ms]\n";
        let document = Document::read(text, Setting::default()).unwrap();
        let test_id = (0..20).map(|_| self.rng.alphabetic()).collect();
        let command = if self.rng.bool() {
            Command::Repeat {
                test_id,
                document: Box::new(document.repeated(REPEATS, Some(REST_MS * NS_PER_MS))),
                queue: true,
            }
        } else {
            Command::Seek {
                test_id,
                document: Box::new(document),
                bounds: CapacityBounds {
                    from: 300.0,
                    precision: 0.2,
                    ..CapacityBounds::default()
                },
            }
        };
        self.command(command);
    }

    /// Triggers again until it is taken, as people do.
    fn trigger(&mut self, at: usize) {
        let (test_id, pending) = self.wanted[at].clone();
        let answered = pending.is_none_or(|ticket| self.reply(ticket).is_some());
        if answered && self.rng.u32(0..20) == 0 {
            let command = Command::Trigger {
                test_id,
                queue: self.rng.u32(0..4) == 0,
            };
            self.wanted[at].1 = self.command(command);
        } else if !self.orchestrator.is_up() {
            self.wanted[at].1 = None;
        }
    }

    fn command(&mut self, command: Command) -> Option<u64> {
        self.orchestrator
            .command(&mut self.rng, &mut self.bus, command, self.now_ns)
    }

    fn reply(&self, ticket: u64) -> Option<&Reply> {
        self.orchestrator
            .replies
            .iter()
            .find(|(of, _)| *of == ticket)
            .map(|(_, reply)| reply)
    }
}
