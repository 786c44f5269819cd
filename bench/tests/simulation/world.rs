//! One run of everything from one seed.

use std::time::Duration;

use fastrand::Rng;
use orchestrator::control::{Campaign, CampaignState, Command, Goal, Reply};
use proto::document::{Defaults, Document, Params, Setting};
use proto::histogram::SparseLatencies;
use proto::summary::{Capacity, CapacityAnswer, CapacityBounds, Repeats};
use proto::units::NS_PER_MS;
use proto::workload::{Rate, RateSpec, TestType, Workload};
use serde_json::Value;

use crate::bus::Bus;
use crate::driver::{CAPACITY, Driver, RATE};
use crate::merger::Mergers;
use crate::orchestrator::Orchestrator;

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
const REST_MS: u64 = 700;

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
    /// People also search for capacities, and want sets of runs: no fault, but more that goes on.
    pub(crate) campaigns: bool,
}

pub(crate) struct World {
    rng: Rng,
    faults: Faults,
    now_ns: u64,
    bus: Bus,
    orchestrator: Orchestrator,
    drivers: Vec<Driver>,
    mergers: Mergers,
    outage_until_ns: u64,
    /// Tests that are to be triggered, with the ticket of a trigger that is not answered.
    wanted: Vec<(String, Option<u64>)>,
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let mut rng = Rng::with_seed(seed);
        let partitions = if faults.mergers > 0 { rng.i32(1..4) } else { 1 };
        let mut bus = Bus::new(partitions);
        bus.faulty = faults.messages;
        let mergers = Mergers::new(faults.mergers);
        let count = rng.usize(1..5);
        let drivers = (0..count)
            .map(|at| Driver::new(&format!("d{at}"), &bus))
            .collect();
        Self {
            rng,
            faults,
            now_ns: 0,
            bus,
            orchestrator: Orchestrator::new(),
            drivers,
            mergers,
            outage_until_ns: 0,
            wanted: Vec::new(),
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
        self.users(calm);
        for (sender, token, arrived) in self.bus.arrive(&mut self.rng, self.now_ns) {
            if sender == self.orchestrator.sender() {
                let told = (token, arrived);
                self.orchestrator
                    .delivered(&mut self.rng, &mut self.bus, told, self.now_ns);
            } else if !self.mergers.delivered(&sender, arrived)
                && let Some(driver) = self.drivers.iter_mut().find(|d| d.alive && d.id == sender)
            {
                driver.delivered(token, arrived);
            }
        }
        self.mergers.are_disturbed = self.faults.messages && !calm;
        self.mergers.step(&mut self.rng, &mut self.bus, self.now_ns);
        self.orchestrator
            .step(&mut self.rng, &mut self.bus, self.now_ns);
        for driver in &mut self.drivers {
            driver.step(&mut self.rng, &mut self.bus, self.now_ns);
        }
    }

    fn disturb(&mut self) {
        let Faults {
            outages,
            kills,
            deaths,
            ..
        } = self.faults;
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

    pub(crate) fn assert_all_ended(&self) {
        let nobody = self.drivers.iter().all(|driver| !driver.alive);
        let wanted = &self.wanted;
        assert!(wanted.is_empty() || nobody, "not taken: {wanted:?}");
        for test_id in self.orchestrator.test_ids() {
            let phase = self.orchestrator.phase(&test_id);
            let ended = ["done", "partial", "aborted", "failed"].contains(&phase);
            // A test that nobody could start, since every driver is dead, may wait.
            let of_campaign = |id: &String| test_id.starts_with(&format!("{id}-"));
            let is_of_one = self.orchestrator.disk.campaigns.keys().any(of_campaign);
            let is_wanted = wanted.iter().any(|(id, _)| *id == test_id);
            let waits = nobody && (is_wanted || is_of_one);
            assert!(ended || waits, "{test_id} is still {phase}");
        }
    }

    pub(crate) fn assert_states(&self, allowed: &[&str]) {
        for test_id in self.orchestrator.test_ids() {
            let phase = self.orchestrator.phase(&test_id);
            let why = self.orchestrator.reason(&test_id);
            assert!(allowed.contains(&phase), "{test_id} is {phase}: {why:?}");
        }
    }

    /// Every campaign has ended, has a run for each of its numbers, and claims nothing that is not so.
    pub(crate) fn assert_campaigns(&self, allowed: &[CampaignState]) {
        let nobody = self.drivers.iter().all(|driver| !driver.alive);
        for (test_id, campaign) in &self.orchestrator.disk.campaigns {
            let Campaign { state, reason, .. } = campaign;
            assert!(
                allowed.contains(state) || nobody && *state == CampaignState::Running,
                "{test_id} is {state:?}: {reason:?}"
            );
            let tests = self.orchestrator.test_ids();
            for number in 1..campaign.next_run {
                assert!(tests.contains(&format!("{test_id}-{number}")), "{number}");
            }
            let of_campaign = |id: &&String| id.starts_with(&format!("{test_id}-"));
            let runs = tests.iter().filter(of_campaign).count();
            assert_eq!(runs as u64, campaign.next_run - 1, "{test_id}");
            match &campaign.goal {
                Goal::Capacity(search) => assert_search(*state, &search.answer(&campaign.target)),
                Goal::Repeat(set) => self.assert_set(campaign, set),
            }
        }
    }

    /// How many sets have all their runs.
    pub(crate) fn sets_done(&self) -> usize {
        let campaigns = self.orchestrator.disk.campaigns.values();
        let is_done = |campaign: &&Campaign| {
            matches!(campaign.goal, Goal::Repeat(_)) && campaign.state == CampaignState::Done
        };
        campaigns.filter(is_done).count()
    }

    /// A set has a row for each run that ended, in their order; those count that the same drivers did to
    /// their end; and each rested.
    fn assert_set(&self, campaign: &Campaign, set: &Repeats) {
        let Campaign { test_id, state, .. } = campaign;
        let ids: Vec<&str> = set
            .runs
            .iter()
            .filter_map(|run| run.test_id.as_deref())
            .collect();
        let waits = u64::from(campaign.run.is_some());
        let expected: Vec<String> = (1..campaign.next_run - waits)
            .map(|number| format!("{test_id}-{number}"))
            .collect();
        assert_eq!(ids, expected, "{test_id}");
        // The last run may be what ended it otherwise.
        let is_done = *state == CampaignState::Done;
        assert!(set.is_complete() || !is_done, "{set:?}");
        assert_eq!(set.interrupted, *state == CampaignState::Aborted, "{set:?}");
        for run in set.runs.iter().filter(|run| run.counted) {
            let run_id = run.test_id.as_deref().unwrap();
            assert_eq!(self.orchestrator.phase(run_id), "done");
            let mut participants = self.orchestrator.participants(run_id).to_vec();
            participants.sort_unstable();
            assert_eq!(participants, campaign.participants, "{run_id}");
            let ok = &self.orchestrator.disk.results[run_id]["requests_per_second"];
            assert_eq!(run.figures.requests_per_second, ok.as_f64(), "{run_id}");
        }
        let counted = set.runs.iter().filter(|run| run.counted).count();
        assert!(set.spread.iter().all(|one| one.runs <= counted), "{set:?}");
        assert_eq!(set.spread.is_empty(), counted == 0, "{set:?}");
        for pair in ids.windows(2) {
            let created_ms = self.orchestrator.created_ms(pair[1]);
            let ended_ms = self.orchestrator.ended_ms(pair[0]);
            assert!(created_ms >= ended_ms + REST_MS, "{pair:?}");
        }
    }

    /// Every result is what the drivers did, node by node.
    pub(crate) fn assert_exact(&self) {
        for (test_id, result) in &self.orchestrator.disk.results {
            let sent: u64 = self
                .drivers
                .iter()
                .map(|driver| sent_by(driver, test_id))
                .sum();
            assert_eq!(
                int(&result["sent"]),
                sent,
                "{test_id}: {}",
                result["coverage"]
            );
            if self.orchestrator.was_not_told(test_id) {
                continue;
            }
            assert_eq!(
                result["coverage"]["unfinished_nodes"]
                    .as_array()
                    .unwrap()
                    .len(),
                0,
                "{test_id} is {}: {:?}",
                self.orchestrator.phase(test_id),
                self.orchestrator.reason(test_id)
            );
            let nodes = result["nodes"].as_array().unwrap();
            assert_eq!(nodes.len(), self.orchestrator.participants(test_id).len());
            assert_eq!(result["accounting"]["holds"], true, "{result}");
            self.assert_times(test_id);
            self.assert_rates(test_id, result);
        }
    }

    /// The samples are those of one recording of all drivers.
    fn assert_times(&self, test_id: &str) {
        let times = self
            .drivers
            .iter()
            .filter_map(|driver| driver.times.get(test_id));
        let times: Vec<&SparseLatencies> = times.collect();
        let counted = &self.orchestrator.disk.samples[test_id];
        assert_eq!(*counted, SparseLatencies::sum(&times), "{test_id}");
    }

    /// How many messages of `metrics` the orchestrator read itself, and how many it counted merged.
    pub(crate) fn read(&self) -> (u64, u64) {
        (self.orchestrator.read_raw, self.orchestrator.disk.merged)
    }

    /// A run for a time sent what its rates ask for, as far as its nodes say that they followed them.
    fn assert_rates(&self, test_id: &str, result: &Value) {
        let none = Vec::new();
        let rows = result["rate_changes"].as_array().unwrap_or(&none);
        let ordered = self.orchestrator.rates(test_id);
        assert_eq!(rows.len(), ordered.len(), "{test_id}");
        let (Some(seconds), "done") = (
            self.orchestrator.seconds(test_id),
            self.orchestrator.phase(test_id),
        ) else {
            return;
        };
        for node in result["nodes"].as_array().unwrap() {
            let id = &node["node_id"];
            let joins: Vec<(u64, u64)> = rows
                .iter()
                .zip(ordered)
                .filter(|(row, _)| !is_in(&row["not_followed"], |other| other == id))
                .map(|(row, change)| {
                    let late = row["late"].as_array().into_iter().flatten();
                    let mut late = late.filter(|late| late["node_id"] == *id);
                    let late_s = late.next().and_then(|late| late["late_s"].as_f64());
                    let late = Duration::from_secs_f64(late_s.unwrap_or(0.0)).as_secs();
                    (change.at_ns / SECOND + late, change.rate.milli() / 1000)
                })
                .collect();
            let in_second = |second: u64| {
                let in_force = joins.iter().rev().find(|(from, _)| *from <= second);
                in_force.map_or(RATE, |(_, rate)| *rate)
            };
            let expected: u64 = (0..seconds).map(in_second).sum();
            assert_eq!(int(&node["sent"]), expected, "{test_id} {id}: {rows:?}");
            assert_eq!(int(&node["planned"]), expected, "{test_id} {id}");
        }
    }

    /// What was answered to people who changed a rate is so, whatever was killed then.
    pub(crate) fn assert_rates_are_kept(&self) {
        for (_, reply) in &self.orchestrator.replies {
            let Reply::RateChanged {
                test_id,
                change,
                number,
                ..
            } = reply
            else {
                continue;
            };
            let kept = self.orchestrator.rates(test_id);
            assert_eq!(kept.get(number - 1), Some(change), "{test_id}");
            assert!(kept.is_sorted_by(|one, next| one.at_ns < next.at_ns));
        }
    }

    /// Every node took every change on at its instant.
    pub(crate) fn assert_rates_in_time(&self) {
        for (test_id, result) in &self.orchestrator.disk.results {
            for row in result["rate_changes"].as_array().into_iter().flatten() {
                let is_late = row.get("late").or(row.get("not_followed"));
                assert_eq!(is_late, None, "{test_id}");
            }
        }
    }

    /// How many changes of a rate were answered.
    pub(crate) fn rates_changed(&self) -> usize {
        let replies = self.orchestrator.replies.iter();
        let is_changed = |(_, reply): &&(u64, Reply)| matches!(reply, Reply::RateChanged { .. });
        replies.filter(is_changed).count()
    }

    /// No result claims what did not happen, nor anything twice.
    pub(crate) fn assert_no_more_than_happened(&self) {
        for (test_id, result) in &self.orchestrator.disk.results {
            let in_histogram = self.orchestrator.disk.samples[test_id].response.len();
            let missing = result["coverage"]["times_missing"].as_u64().unwrap_or(0);
            assert_eq!(
                in_histogram + missing,
                int(&result["ok"]),
                "{test_id}: {result}"
            );
            for node in result["nodes"].as_array().unwrap() {
                let of_node = |driver: &&Driver| node["node_id"] == driver.id.as_str();
                let driver = self.drivers.iter().find(of_node).unwrap();
                let truth = sent_by(driver, test_id);
                let counted = int(&node["sent"]);
                assert!(
                    counted <= truth,
                    "{test_id} {}: {counted} > {truth}",
                    driver.id
                );
                let finished = !node["outcome"].is_null();
                assert!(
                    !finished || counted == truth,
                    "{test_id} {}: {node}",
                    driver.id
                );
            }
        }
    }
}

/// What a search claims is so, and one that came to its end knows both ends.
fn assert_search(state: CampaignState, answer: &CapacityAnswer) {
    let Capacity { at_least, below } = answer.capacity;
    assert!(at_least.is_none_or(|low| low <= CAPACITY), "{at_least:?}");
    assert!(below.is_none_or(|high| high > CAPACITY), "{below:?}");
    let is_whole = at_least.is_some() && below.is_some();
    assert!(
        state != CampaignState::Done || is_whole,
        "{at_least:?} {below:?}"
    );
}

fn sent_by(driver: &Driver, test_id: &str) -> u64 {
    driver
        .sent
        .iter()
        .filter(|(test, _)| test == test_id)
        .map(|(_, sent)| sent)
        .sum()
}

fn is_in(list: &Value, is: impl Fn(&Value) -> bool) -> bool {
    list.as_array().into_iter().flatten().any(is)
}

fn int(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no count"))
}
