//! One test on a thread of its own: prepared, started when told, followed to its last report.
//!
//! There is one load at a time: a test's thread begins by waiting for the end of the one before it.
//! So that this is not long, a test can be let go of while it still prepares.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use proto::bus::BusSettings;
use proto::clock::{self, Anchor};
use proto::log;
use proto::measure::{ClockOffset, Report};
use proto::message::TestConfig;
use proto::workload::{AllowedTarget, RateChange, Target, Workload};
use serde_json::json;

use super::cache::Cache;
use super::fetch::Source;
use super::inbox::{Inbound, TestEvent};
use super::staged;
use crate::load::{
    Addresses, FollowOptions, Follower, Load, Machine, Phase, Rates, Secrets, Stopper, follow,
    hidden,
};
use crate::plan::Plan;
use crate::plan::Schedule;
use crate::recording::{Collector, CoreInterval};
use crate::ring::Setup;

/// Intervals of cores that wait to be merged.
const INTERVALS: usize = 256;
/// Most bytes of what sessions came to in a last report, which has to fit into one message.
const SESSIONS_LEN_MAX: usize = 512 << 10;

/// When to start.
#[derive(Debug, Clone)]
pub(super) struct Begin {
    pub(super) at_unix_ns: Option<u64>,
    pub(super) index: u32,
    pub(super) count: u32,
    pub(super) clock: Option<ClockOffset>,
}

/// What every test of a driver has in common.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) machine: Machine,
    pub(super) logs: PathBuf,
    pub(super) default_target: String,
    pub(super) secrets: Secrets,
    pub(super) allow_targets: Vec<AllowedTarget>,
    /// How the files of a document are reached.
    pub(super) bus: BusSettings,
    /// Where they are kept.
    pub(super) cache: Cache,
}

/// The control thread's hold on a test.
pub(super) struct TestThread {
    /// Tells this thread's events from those of another one of the same test.
    pub(super) number: u64,
    pub(super) test_id: String,
    begin: Sender<Begin>,
    begun: bool,
    stopping: Arc<Stopping>,
    rates: Arc<Mutex<Vec<RateChange>>>,
    thread: JoinHandle<()>,
}

impl TestThread {
    /// Begins to prepare a test, as soon as the thread `before` has ended.
    pub(super) fn prepare(
        number: u64,
        config: &TestConfig,
        settings: &Arc<Settings>,
        events: Sender<Inbound>,
        before: Option<JoinHandle<()>>,
    ) -> std::io::Result<Self> {
        let (begin, told) = bounded(1);
        let stopping = Arc::new(Stopping::default());
        let rates = Arc::default();
        let work = Work {
            number,
            config: config.clone(),
            settings: Arc::clone(settings),
            events,
            stopping: Arc::clone(&stopping),
            rates: Arc::clone(&rates),
        };
        let thread = thread::Builder::new()
            .name("test".to_owned())
            .spawn(move || {
                if let Some(before) = before {
                    // A panic there has been told of by the load's own threads.
                    let _ = before.join();
                }
                work.run(&told);
            })?;
        Ok(Self {
            number,
            test_id: config.test_id.clone(),
            begin,
            begun: false,
            stopping,
            rates,
            thread,
        })
    }

    pub(super) fn start(&mut self, begin: Begin) {
        self.begun = self.begin.try_send(begin).is_ok();
    }

    /// Whether it was told to start, so that a last report will come of it.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn stop(&self) {
        self.stopping.ask();
    }

    /// Changes the rate: these are all changes so far, or some that are known.
    pub(super) fn change_rate(&self, changes: Vec<RateChange>) {
        let mut known = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.len() > known.len() {
            *known = changes;
        }
    }

    /// Lets go of what was prepared, or is being prepared. The thread ends soon.
    pub(super) fn release(self) -> JoinHandle<()> {
        self.stopping.ask();
        self.thread
    }
}

/// Ends a test's load, also one that is still being prepared.
#[derive(Default)]
struct Stopping(Mutex<Stage>);

#[derive(Default)]
enum Stage {
    /// There is no load yet.
    #[default]
    NoLoad,
    Load(Stopper),
    /// The end was asked for.
    Asked,
}

impl Stopping {
    fn ask(&self) {
        if let Stage::Load(load) = std::mem::replace(&mut *self.stage(), Stage::Asked) {
            load.stop();
        }
    }

    /// Takes hold of a load, and ends it at once when that was asked for before.
    fn hold(&self, load: Stopper) {
        let mut stage = self.stage();
        match *stage {
            Stage::Asked => load.stop(),
            Stage::NoLoad | Stage::Load(_) => *stage = Stage::Load(load),
        }
    }

    fn is_asked(&self) -> bool {
        matches!(*self.stage(), Stage::Asked)
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Work {
    number: u64,
    config: TestConfig,
    settings: Arc<Settings>,
    events: Sender<Inbound>,
    stopping: Arc<Stopping>,
    /// All changes of the rate so far.
    rates: Arc<Mutex<Vec<RateChange>>>,
}

impl Work {
    fn run(self, told: &Receiver<Begin>) {
        if self.stopping.is_asked() {
            return;
        }
        let (sender, intervals) = bounded(INTERVALS);
        match self.load(&sender) {
            Err(reason) => self.tell(TestEvent::Failed { reason }),
            Ok((plan, load)) => {
                drop(sender);
                self.tell(TestEvent::Prepared);
                // An error means that the control thread let go of the test.
                if let Ok(begin) = told.recv() {
                    self.follow(&plan, load, &begin, &intervals);
                } else {
                    load.stop();
                    drop(intervals);
                    let _ = load.join();
                }
            }
        }
    }

    fn load(&self, intervals: &Sender<CoreInterval>) -> Result<(Plan, Load), String> {
        let plan = match &self.config.document {
            Some(document) => {
                let source = Source {
                    bus: &self.settings.bus,
                    cache: &self.settings.cache,
                    lacks: &|needs| self.tell(TestEvent::Lacks { needs }),
                    is_stopped: &|| self.stopping.is_asked(),
                };
                staged::plan(document, &self.settings, &source)?
            }
            None => self.plan()?,
        };
        let hold = |load| self.stopping.hold(load);
        let machine = &self.settings.machine;
        let load = Load::prepare_with(&plan, machine, intervals, Setup::Newest, hold);
        let load = load.map_err(|error| error.to_string())?;
        for server in load.servers() {
            let Addresses { used, silent, .. } = &server.addresses;
            if used.len() > 1 || !silent.is_empty() {
                let test_id = &self.config.test_id;
                let fields = json!({"test_id": test_id, "server": server.url, "used": used, "silent": silent});
                log::info("addresses", fields);
            }
        }
        Ok((plan, load))
    }

    /// The plan of a test of one request.
    fn plan(&self) -> Result<Plan, String> {
        let mut workload = Workload::from_config(&self.config, &self.settings.default_target)
            .map_err(|error| error.to_string())?;
        admit(&workload.target, &self.settings)?;
        self.settings.secrets.fill(&mut workload)?;
        Ok(Plan::new(workload))
    }

    fn follow(&self, plan: &Plan, load: Load, begin: &Begin, intervals: &Receiver<CoreInterval>) {
        let anchor = Anchor::now();
        let at_unix_ns = begin.at_unix_ns.unwrap_or(anchor.unix_ns);
        let stagger_ns = stagger_ns(plan.workload(), begin);
        if let Some(cast) = plan.cast() {
            staged::take_place(cast, begin);
        }
        load.start_staggered(anchor.to_monotonic(at_unix_ns), stagger_ns);
        let options = FollowOptions {
            test_id: self.config.test_id.clone(),
            cpus: self.settings.machine.executors.cpus(),
            logs: Some(self.settings.logs.clone()),
            start_unix_ns: at_unix_ns,
            stagger_ns,
            clock: begin.clock,
            cast: plan.cast().cloned(),
            hidden: hidden(plan, self.settings.secrets.values()),
        };
        let place = (begin.index, begin.count);
        let mut reporter = Reporter {
            work: self,
            phase: Phase::Waiting,
            plan,
            rates: Rates::new(plan.workload().phase.then_some(place)),
        };
        follow(options, load, intervals, &mut reporter);
        self.tell(TestEvent::Ended);
    }

    fn tell(&self, event: TestEvent) {
        let number = self.number;
        // Fails only when the driver is on its way out.
        let _ = self.events.send(Inbound::Test { number, event });
    }
}

/// Passes a test's reports and phases on to the control thread.
struct Reporter<'a> {
    work: &'a Work,
    phase: Phase,
    plan: &'a Plan,
    rates: Rates,
}

impl Reporter<'_> {
    /// Takes on what is new of the changes of the rate.
    fn change_rate(&mut self, load: &Load) {
        let changes = self.work.rates.lock();
        let changes = changes.unwrap_or_else(PoisonError::into_inner);
        let taken = self
            .rates
            .take_on(&changes, self.plan, load, clock::monotonic_ns());
        if let Err(reason) = taken {
            let test_id = &self.work.config.test_id;
            let fields = json!({"test_id": test_id, "reason": reason.to_string()});
            log::warn("rate_not_changed", fields);
        }
    }
}

impl Follower for Reporter<'_> {
    fn report(&mut self, mut report: Report, so_far: &Collector) {
        let counts = report.sessions.take();
        report.rates = self.rates.reported();
        report.sessions = counts.map(|counts| Box::new(counts.fitted(SESSIONS_LEN_MAX)));
        self.work.tell(TestEvent::Report {
            report: Box::new(report),
            figures: so_far.figures(),
        });
    }

    fn logs_failed(&mut self, error: &io::Error) {
        let remedy = "make room, or start the driver with --logs in a folder that can be written";
        let fields = json!({"test_id": self.work.config.test_id, "reason": error.to_string(), "remedy": remedy});
        log::warn("logs_unwritable", fields);
    }

    fn look(&mut self, load: &Load) {
        self.change_rate(load);
        let phase = load.phase(clock::monotonic_ns());
        if phase == std::mem::replace(&mut self.phase, phase) {
            return;
        }
        match phase {
            Phase::Waiting => {}
            Phase::Sending => self.work.tell(TestEvent::Started),
            Phase::Draining => self.work.tell(TestEvent::Draining),
        }
    }
}

/// Whether a target may be loaded from here.
pub(super) fn admit(target: &Target, settings: &Settings) -> Result<(), String> {
    if target.is_admitted_by(&settings.allow_targets) {
        return Ok(());
    }
    let host = &target.host;
    Err(format!(
        "the target {host} is beyond loopback and not allowed on this driver; start it with \
         --allow-target {host}"
    ))
}

/// How much later than the common start this node's first request is intended, where the test asks
/// for it: its place within the gap.
fn stagger_ns(workload: &Workload, begin: &Begin) -> u64 {
    Schedule::new(&workload.arrival)
        .filter(|_| workload.phase)
        .map_or(0, |schedule| schedule.stagger_ns(begin.index, begin.count))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::silent_target;
