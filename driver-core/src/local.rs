//! `driver run`: the engine on this machine alone, without a broker. The same code as in a cluster:
//! a plan with one participant, whose reports go through the same fold into the same result.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use proto::clock::{Anchor, monotonic_ns};
use proto::id;
use proto::message::{LatencyFigures, Metrics, Outcome, Report};
use proto::summary::{Context, Judgement, Summary, TestResult};
use proto::units::NS_PER_MS;
use proto::workload::Workload;

use crate::affinity;
use crate::collector::Collector;
use crate::core_log::CoreLog;
use crate::cpu::{CpuWatch, spin_share};
use crate::load::{Load, LoadOutcome, PrepareError};
use crate::plan::Plan;
use crate::recorder::CoreInterval;

mod args;
mod progress;
mod text;

pub use args::RunArgs;
use progress::Progress;

/// From the moment that all is ready to the start, so that every core waits for it.
const LEAD_NS: u64 = 20 * NS_PER_MS;
/// Intervals in waiting, a core.
const INTERVALS_MAX: usize = 4;
/// How often Ctrl-C and the end are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Exit codes, as the manual has them.
mod exit {
    pub(super) const ERROR: u8 = 1;
    pub(super) const USAGE: u8 = 2;
    pub(super) const THRESHOLD: u8 = 3;
    pub(super) const INVALID: u8 = 4;
    pub(super) const INTERRUPTED: u8 = 130;
}

/// Runs the load that the arguments describe, and prints its result.
#[must_use]
pub fn run(args: &RunArgs) -> ExitCode {
    let workload = match args.workload() {
        Ok(workload) => workload,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(exit::USAGE);
        }
    };
    let session = Session::new(workload, args);
    match session.and_then(|session| session.run(args)) {
        Ok(done) => done.print(args),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(exit::ERROR)
        }
    }
}

/// One run, from its preparation to its result.
struct Session {
    workload: Workload,
    cpus: Vec<usize>,
    load: Load,
    intervals: Receiver<CoreInterval>,
    interrupted: Arc<AtomicBool>,
}

/// What a run left.
struct Done {
    result: TestResult,
    outcome: LoadOutcome,
    interrupted: bool,
}

impl Session {
    fn new(workload: Workload, args: &RunArgs) -> Result<Self, PrepareError> {
        let cpus = args.cpus(&affinity::allowed());
        let plan = Plan::new(workload.clone(), 0, 1);
        let (give, intervals) = bounded(INTERVALS_MAX * cpus.len());
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [libc::SIGINT, libc::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))
                .map_err(|error| PrepareError::System(error.to_string()))?;
        }
        let load = Load::prepare(&plan, &cpus, &give)?;
        Ok(Self {
            workload,
            cpus,
            load,
            intervals,
            interrupted,
        })
    }

    fn run(self, args: &RunArgs) -> Result<Done, PrepareError> {
        let start_ns = monotonic_ns() + LEAD_NS;
        let test_id = id::new_test_id();
        let mut desk = Desk::new(&test_id, &self, args, start_ns)?;
        if !args.json {
            desk.progress
                .banner(&text::banner(&self.workload, &self.load, &self.cpus));
        }
        self.load.start(start_ns);
        desk.attend(&self);
        let outcome = self.load.join();
        let interrupted = outcome.stopped;
        let ending = match (&outcome.failed, interrupted) {
            (Some(_), _) => Outcome::Failed,
            (None, true) => Outcome::Aborted,
            (None, false) => Outcome::Done,
        };
        let result = desk.close(&self.workload, ending, outcome.failed.clone());
        Ok(Done {
            result,
            outcome,
            interrupted,
        })
    }
}

/// Takes what the cores hand over and keeps the books.
struct Desk {
    test_id: String,
    collector: Collector,
    summary: Summary,
    watch: CpuWatch,
    spins: Vec<f64>,
    logs: Vec<CoreLog>,
    progress: Progress,
}

/// The one participant's name.
const NODE: &str = "local";

impl Desk {
    fn new(
        test_id: &str,
        session: &Session,
        args: &RunArgs,
        start_ns: u64,
    ) -> Result<Self, PrepareError> {
        let cores = session.load.cores();
        let mut logs = Vec::new();
        if let Some(directory) = &args.logs {
            let start_unix_ns = Anchor::now().to_unix(start_ns);
            for core in 0..cores {
                let log = CoreLog::open(directory, core).and_then(|mut log| {
                    log.begin(test_id, start_unix_ns)?;
                    Ok(log)
                });
                let place = directory.display();
                logs.push(log.map_err(|e| PrepareError::System(format!("logs in {place}: {e}")))?);
            }
        }
        Ok(Self {
            test_id: test_id.to_owned(),
            collector: Collector::new(cores),
            summary: Summary::default(),
            watch: CpuWatch::new(&session.cpus[..cores]),
            spins: vec![0.0; cores],
            logs,
            progress: Progress::new(&session.workload, args.json),
        })
    }

    /// Works until the last core has handed over its last interval.
    fn attend(&mut self, session: &Session) {
        while !self.collector.is_complete() {
            if session.interrupted.load(Ordering::Relaxed) {
                session.load.stop();
            }
            match session.intervals.recv_timeout(LOOK_EVERY) {
                Ok(interval) => self.take(&interval),
                Err(RecvTimeoutError::Timeout) if session.load.is_over() => {
                    // A core that ended without its last interval has panicked or lost its ring.
                    session
                        .intervals
                        .try_iter()
                        .for_each(|interval| self.take(&interval));
                    return;
                }
                Err(RecvTimeoutError::Timeout) => self.progress.tick(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, interval: &CoreInterval) {
        if let Some(log) = self.logs.get_mut(interval.core) {
            // A full disk must not end the load; the numbers are in the result as well.
            let _ = log.write(&self.test_id, interval);
        }
        let wall_ns = interval.end_ns.saturating_sub(interval.start_ns);
        self.spins[interval.core] = spin_share(&interval.health, wall_ns);
        if let Some(mut report) = self.collector.absorb(interval) {
            let health = self.watch.sample(&self.spins);
            self.collector.observe(&health);
            report.health.absorb(&health);
            self.progress.show(&report, self.collector.counters());
            self.absorb(report);
        }
    }

    fn absorb(&mut self, report: Report) {
        self.summary.absorb(&Metrics {
            node_id: NODE.to_owned(),
            test_id: self.test_id.clone(),
            report_id: Some(id::new_report_id()),
            // The reference's figures are for other implementations, of which none listens here.
            metrics: LatencyFigures::default(),
            report: Some(report),
        });
    }

    fn close(mut self, workload: &Workload, ending: Outcome, reason: Option<String>) -> TestResult {
        if let Some(report) = self.collector.flush() {
            self.absorb(report);
        }
        let last = self.collector.last(ending, reason);
        self.absorb(last);
        self.progress.finish();
        let state = match ending {
            Outcome::Done => "done",
            Outcome::Aborted => "interrupted",
            Outcome::Failed | Outcome::Missed => "failed",
        };
        self.summary.result(&Context {
            test_id: &self.test_id,
            test_type: workload.test_type.name(),
            state,
            closed_loop: workload.arrival.is_closed_loop(),
            ended: true,
            planned_per_driver: workload.planned_per_driver(),
            expected: &[NODE.to_owned()],
            thresholds: &workload.thresholds,
            series_from: 0,
        })
    }
}

impl Done {
    fn print(&self, args: &RunArgs) -> ExitCode {
        if args.json {
            println!(
                "{}",
                String::from_utf8_lossy(&proto::codec::encode(&self.result))
            );
        } else {
            print!("{}", text::summary(&self.result));
        }
        ExitCode::from(self.exit_code())
    }

    /// The first that applies: interrupted, failed, incomplete or invalid, a threshold breached.
    fn exit_code(&self) -> u8 {
        if self.interrupted {
            exit::INTERRUPTED
        } else if self.outcome.failed.is_some() {
            exit::ERROR
        } else if !self.result.is_complete() || self.result.verdict.verdict == Judgement::Invalid {
            exit::INVALID
        } else if !self.result.thresholds_pass() {
            exit::THRESHOLD
        } else {
            0
        }
    }
}
