//! One test on a thread of its own: prepared, started when told, followed to its last report.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use proto::clock::Anchor;
use proto::message::{ClockOffset, LatencyFigures, Report, TestConfig};
use proto::workload::Workload;

use super::is_allowed;
use super::link::Inbound;
use crate::collector::Collector;
use crate::load::{Load, Stopper};
use crate::plan::Plan;
use crate::recorder::CoreInterval;
use crate::schedule::Schedule;
use crate::session::{Follower, SessionOptions, follow};

/// Intervals of cores that wait to be merged.
const INTERVALS: usize = 256;

/// What a session tells the control thread.
pub(super) enum SessionEvent {
    Prepared {
        test_id: String,
        stopper: Stopper,
    },
    Failed {
        test_id: String,
        reason: String,
    },
    Started {
        test_id: String,
    },
    Report {
        test_id: String,
        report: Box<Report>,
        figures: LatencyFigures,
    },
    Ended {
        test_id: String,
    },
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

/// The control thread's hold on a session. Dropping it lets go of what was prepared.
pub(super) struct Session {
    begin: Sender<Begin>,
    stopper: Option<Stopper>,
}

impl Session {
    /// Begins to prepare a test.
    pub(super) fn prepare(
        config: &TestConfig,
        settings: &Arc<Settings>,
        events: Sender<Inbound>,
    ) -> std::io::Result<Self> {
        let (begin, told) = bounded(1);
        let (config, settings) = (config.clone(), Arc::clone(settings));
        thread::Builder::new()
            .name("session".to_owned())
            .spawn(move || {
                Work {
                    config,
                    settings,
                    events,
                }
                .run(&told);
            })?;
        Ok(Self {
            begin,
            stopper: None,
        })
    }

    /// Keeps the handle by which the load is stopped.
    pub(super) fn is_prepared(&mut self, stopper: Stopper) {
        self.stopper = Some(stopper);
    }

    pub(super) fn start(&self, begin: Begin) {
        let _ = self.begin.try_send(begin);
    }

    pub(super) fn stop(&self) {
        if let Some(stopper) = &self.stopper {
            stopper.stop();
        }
    }
}

struct Work {
    config: TestConfig,
    settings: Arc<Settings>,
    events: Sender<Inbound>,
}

impl Work {
    fn run(self, told: &Receiver<Begin>) {
        let (sender, intervals) = bounded(INTERVALS);
        let test_id = self.config.test_id.clone();
        match self.load(&sender) {
            Err(reason) => self.tell(SessionEvent::Failed { test_id, reason }),
            Ok((workload, load)) => {
                drop(sender);
                self.tell(SessionEvent::Prepared {
                    test_id,
                    stopper: load.stopper(),
                });
                // An error means that the control thread let go of the session.
                match told.recv() {
                    Ok(begin) => self.follow(&workload, load, &begin, &intervals),
                    Err(_) => load.stop(),
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
        let plan = Plan::new(workload.clone(), 0, 1);
        let load = Load::prepare(&plan, &self.settings.cpus, intervals);
        Ok((workload, load.map_err(|error| error.to_string())?))
    }

    fn follow(
        &self,
        workload: &Workload,
        load: Load,
        begin: &Begin,
        intervals: &Receiver<CoreInterval>,
    ) {
        let test_id = &self.config.test_id;
        let anchor = Anchor::now();
        let at_unix_ns = begin.at_unix_ns.unwrap_or(anchor.unix_ns);
        load.start(anchor.to_monotonic(at_unix_ns) + stagger_ns(workload, begin));
        self.tell(SessionEvent::Started {
            test_id: test_id.clone(),
        });
        let options = SessionOptions {
            test_id: test_id.clone(),
            cpus: self.settings.cpus.clone(),
            logs: Some(self.settings.logs.clone()),
            start_unix_ns: at_unix_ns,
            clock: begin.clock,
        };
        follow(
            options,
            load,
            intervals,
            &mut Reporter {
                work: self,
                test_id,
            },
        );
        self.tell(SessionEvent::Ended {
            test_id: test_id.clone(),
        });
    }

    fn tell(&self, event: SessionEvent) {
        // Fails only when the driver is on its way out.
        let _ = self.events.send(Inbound::Session(event));
    }
}

/// Passes a session's reports on to the control thread.
struct Reporter<'a> {
    work: &'a Work,
    test_id: &'a str,
}

impl Follower for Reporter<'_> {
    fn report(&mut self, report: Report, so_far: &Collector) {
        self.work.tell(SessionEvent::Report {
            test_id: self.test_id.to_owned(),
            report: Box::new(report),
            figures: so_far.figures(),
        });
    }
}

/// How much later than the common start this node starts, where the test asks for it: the place
/// of its first request within the gap.
fn stagger_ns(workload: &Workload, begin: &Begin) -> u64 {
    let Some(schedule) = Schedule::new(&workload.arrival).filter(|_| workload.phase) else {
        return 0;
    };
    let common = schedule.intended_ns(0).unwrap_or(0);
    let own = schedule
        .staggered(begin.index, begin.count)
        .intended_ns(0)
        .unwrap_or(0);
    own.saturating_sub(common)
}
