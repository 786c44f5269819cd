//! One test on a thread of its own: prepared, started when told, followed to its last report.
//!
//! There is one load at a time: a session's thread begins by waiting for the end of the one before
//! it. So that this is not long, a session can be let go of while it still prepares.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use proto::clock::{self, Anchor};
use proto::measure::{ClockOffset, LatencyFigures, Report};
use proto::message::TestConfig;
use proto::workload::Workload;

use super::is_allowed;
use super::link::Inbound;
use crate::collector::Collector;
use crate::load::{Load, Phase, Stopper};
use crate::plan::Plan;
use crate::recorder::CoreInterval;
use crate::ring::Setup;
use crate::schedule::Schedule;
use crate::session::{Follower, SessionOptions, follow};

/// Intervals of cores that wait to be merged.
const INTERVALS: usize = 256;

/// What a session tells the control thread.
pub(super) enum SessionEvent {
    Prepared,
    Failed {
        reason: String,
    },
    Started,
    Draining,
    Report {
        report: Box<Report>,
        figures: LatencyFigures,
    },
    Ended,
}

/// When to start.
#[derive(Debug, Clone)]
pub(super) struct Begin {
    pub(super) at_unix_ns: Option<u64>,
    pub(super) index: u32,
    pub(super) count: u32,
    pub(super) clock: Option<ClockOffset>,
}

/// What every session of a driver has in common.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) cpus: Vec<usize>,
    pub(super) logs: PathBuf,
    pub(super) default_target: String,
    pub(super) allow_targets: Vec<String>,
}

/// The control thread's hold on a session.
pub(super) struct Session {
    /// Tells this session's events from those of another one of the same test.
    pub(super) number: u64,
    pub(super) test_id: String,
    begin: Sender<Begin>,
    begun: bool,
    brake: Arc<Brake>,
    thread: JoinHandle<()>,
}

impl Session {
    /// Begins to prepare a test, as soon as the thread `before` has ended.
    pub(super) fn prepare(
        number: u64,
        config: &TestConfig,
        settings: &Arc<Settings>,
        events: Sender<Inbound>,
        before: Option<JoinHandle<()>>,
    ) -> std::io::Result<Self> {
        let (begin, told) = bounded(1);
        let brake = Arc::new(Brake::default());
        let work = Work {
            number,
            config: config.clone(),
            settings: Arc::clone(settings),
            events,
            brake: Arc::clone(&brake),
        };
        let thread = thread::Builder::new()
            .name("session".to_owned())
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
            brake,
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
        self.brake.pull();
    }

    /// Lets go of what was prepared, or is being prepared. The thread ends soon.
    pub(super) fn release(self) -> JoinHandle<()> {
        self.brake.pull();
        self.thread
    }
}

/// Ends a session's load, also one that is still being prepared.
#[derive(Default)]
struct Brake(Mutex<Grip>);

#[derive(Default)]
enum Grip {
    /// There is no load yet.
    #[default]
    Nothing,
    Load(Stopper),
    Pulled,
}

impl Brake {
    fn pull(&self) {
        if let Grip::Load(load) = std::mem::replace(&mut *self.grip(), Grip::Pulled) {
            load.stop();
        }
    }

    /// Takes hold of a load, and ends it at once when that was asked for before.
    fn hold(&self, load: Stopper) {
        let mut grip = self.grip();
        match *grip {
            Grip::Pulled => load.stop(),
            Grip::Nothing | Grip::Load(_) => *grip = Grip::Load(load),
        }
    }

    fn is_pulled(&self) -> bool {
        matches!(*self.grip(), Grip::Pulled)
    }

    fn grip(&self) -> std::sync::MutexGuard<'_, Grip> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Work {
    number: u64,
    config: TestConfig,
    settings: Arc<Settings>,
    events: Sender<Inbound>,
    brake: Arc<Brake>,
}

impl Work {
    fn run(self, told: &Receiver<Begin>) {
        if self.brake.is_pulled() {
            return;
        }
        let (sender, intervals) = bounded(INTERVALS);
        match self.load(&sender) {
            Err(reason) => self.tell(SessionEvent::Failed { reason }),
            Ok((workload, load)) => {
                drop(sender);
                self.tell(SessionEvent::Prepared);
                // An error means that the control thread let go of the session.
                if let Ok(begin) = told.recv() {
                    self.follow(&workload, load, &begin, &intervals);
                } else {
                    load.stop();
                    drop(intervals);
                    let _ = load.join();
                }
            }
        }
    }

    fn load(&self, intervals: &Sender<CoreInterval>) -> Result<(Workload, Load), String> {
        let workload = Workload::from_config(&self.config, &self.settings.default_target)
            .map_err(|error| error.to_string())?;
        if !is_allowed(&workload.target, &self.settings.allow_targets) {
            let host = &workload.target.host;
            return Err(format!(
                "the target {host} is beyond loopback and not allowed on this driver; start it \
                 with --allow-target {host}"
            ));
        }
        let plan = Plan::new(workload.clone());
        let hold = |load| self.brake.hold(load);
        let cpus = &self.settings.cpus;
        let load = Load::prepare_with(&plan, cpus, intervals, Setup::Newest, hold);
        Ok((workload, load.map_err(|error| error.to_string())?))
    }

    fn follow(
        &self,
        workload: &Workload,
        load: Load,
        begin: &Begin,
        intervals: &Receiver<CoreInterval>,
    ) {
        let anchor = Anchor::now();
        let at_unix_ns = begin.at_unix_ns.unwrap_or(anchor.unix_ns);
        let stagger_ns = stagger_ns(workload, begin);
        load.start_staggered(anchor.to_monotonic(at_unix_ns), stagger_ns);
        let options = SessionOptions {
            test_id: self.config.test_id.clone(),
            cpus: self.settings.cpus.clone(),
            logs: Some(self.settings.logs.clone()),
            start_unix_ns: at_unix_ns,
            stagger_ns,
            clock: begin.clock,
        };
        let mut reporter = Reporter {
            work: self,
            phase: Phase::Waiting,
        };
        follow(options, load, intervals, &mut reporter);
        self.tell(SessionEvent::Ended);
    }

    fn tell(&self, event: SessionEvent) {
        let number = self.number;
        // Fails only when the driver is on its way out.
        let _ = self.events.send(Inbound::Session { number, event });
    }
}

/// Passes a session's reports and phases on to the control thread.
struct Reporter<'a> {
    work: &'a Work,
    phase: Phase,
}

impl Follower for Reporter<'_> {
    fn report(&mut self, report: Report, so_far: &Collector) {
        self.work.tell(SessionEvent::Report {
            report: Box::new(report),
            figures: so_far.figures(),
        });
    }

    fn look(&mut self, load: &Load) {
        let phase = load.phase(clock::monotonic_ns());
        if phase == std::mem::replace(&mut self.phase, phase) {
            return;
        }
        match phase {
            Phase::Waiting => {}
            Phase::Sending => self.work.tell(SessionEvent::Started),
            Phase::Draining => self.work.tell(SessionEvent::Draining),
        }
    }
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
