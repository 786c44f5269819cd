//! `driver run`: the engine on this machine alone, without a broker. The same code as in a cluster:
//! a plan with one participant, whose reports go through the same fold into the same result.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, bounded};
use proto::clock::{Anchor, monotonic_ns};
use proto::id;
use proto::measure::{LatencyFigures, Report};
use proto::message::Metrics;
use proto::summary::{Context, Judgement, Summary, TestResult};
use proto::units::NS_PER_MS;
use proto::workload::Workload;

use crate::affinity;
use crate::load::{
    FollowOptions, Follower, Load, LoadOutcome, PrepareError, follow, probe_machine,
};
use crate::plan::Plan;
use crate::recording::{Collector, CoreInterval};

mod args;
mod progress;
mod text;

pub use args::RunArgs;
use progress::Progress;

/// From the moment that all is ready to the start, so that every core waits for it.
const LEAD_NS: u64 = 20 * NS_PER_MS;
/// Intervals in waiting, a core.
const INTERVALS_MAX: usize = 4;

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
    let cpus = affinity::choose(args.cores.as_deref()).map_err(|error| format!("--cores {error}"));
    let (workload, cpus) = match args.workload().and_then(|workload| Ok((workload, cpus?))) {
        Ok(checked) => checked,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(exit::USAGE);
        }
    };
    match Run::new(workload, cpus) {
        Ok(run) => run.run(args).print(args),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(exit::ERROR)
        }
    }
}

/// One run, from its preparation to its result.
struct Run {
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
}

impl Run {
    fn new(workload: Workload, cpus: Vec<usize>) -> Result<Self, PrepareError> {
        // The executors take a ring for granted and would panic.
        probe_machine(&cpus)?;
        let plan = Plan::new(workload.clone());
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

    fn run(self, args: &RunArgs) -> Done {
        let progress = Progress::new(&self.workload, args.json);
        progress.banner(&text::banner(&self.workload, &self.load, &self.cpus));
        let start_ns = monotonic_ns() + LEAD_NS;
        let options = FollowOptions {
            test_id: id::new_test_id(),
            cpus: self.cpus,
            logs: args.logs.clone(),
            start_unix_ns: Anchor::now().to_unix(start_ns),
            stagger_ns: 0,
            clock: None,
        };
        let mut reports = Reports {
            test_id: options.test_id.clone(),
            summary: Summary::default(),
            progress,
            interrupted: self.interrupted,
        };
        self.load.start(start_ns);
        let outcome = follow(options, self.load, &self.intervals, &mut reports);
        reports.progress.finish();
        Done {
            result: reports.result(&self.workload, &outcome),
            outcome,
        }
    }
}

/// Takes the reports and keeps the books.
struct Reports {
    test_id: String,
    summary: Summary,
    progress: Progress,
    interrupted: Arc<AtomicBool>,
}

/// The one participant's name.
const NODE: &str = "local";

impl Follower for Reports {
    fn report(&mut self, report: Report, so_far: &Collector) {
        if !report.last {
            self.progress.show(&report, so_far.counters());
        }
        self.summary.absorb(&Metrics {
            node_id: NODE.to_owned(),
            test_id: self.test_id.clone(),
            report_id: None,
            // Nobody reads the reference's figures of a report that goes nowhere.
            metrics: LatencyFigures::default(),
            report: Some(report),
        });
    }

    fn look(&mut self, load: &Load) {
        self.progress.tick();
        if self.interrupted.load(Ordering::Relaxed) {
            load.stop();
        }
    }
}

impl Reports {
    fn result(&self, workload: &Workload, outcome: &LoadOutcome) -> TestResult {
        let state = match (&outcome.failed, outcome.stopped) {
            (Some(_), _) => "failed",
            (None, true) => "interrupted",
            (None, false) => "done",
        };
        self.summary.result(&Context {
            test_id: &self.test_id,
            test_type: workload.test_type.name(),
            state,
            closed_loop: workload.arrival.is_closed_loop(),
            ended: true,
            plan: workload.planned_per_driver().into(),
            expected: &[NODE.to_owned()],
            thresholds: &workload.thresholds,
            series_from: 0,
        })
    }
}

impl Done {
    fn print(&self, args: &RunArgs) -> ExitCode {
        let text = if args.json {
            let mut line = proto::codec::encode(&self.result);
            line.push(b'\n');
            line
        } else {
            text::summary(&self.result).into_bytes()
        };
        // Whoever closed the pipe does not want to read it; the exit code says the rest.
        let _ = io::stdout().lock().write_all(&text);
        ExitCode::from(self.exit_code())
    }

    /// The first that applies: interrupted, failed, incomplete or invalid, a threshold breached.
    fn exit_code(&self) -> u8 {
        if self.outcome.stopped {
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
