//! `driver run`: the engine on this machine alone, without a broker. The same code as in a cluster:
//! a plan with one participant, whose reports go through the same fold into the same result.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use crossbeam_channel::{Receiver, bounded, select};
use proto::ci::{Findings, OutputError};
use proto::clock::{Anchor, monotonic_ns};
use proto::digest::Sha256;
use proto::document::Document;
use proto::id;
use proto::measure::{LatencyFigures, Report, StepCounts};
use proto::message::Metrics;
use proto::secret::shown_url;
use proto::summary::{Aborting, Brief, Context, Standing, Summary, TestResult, words};
use proto::units::NS_PER_MS;
use proto::workload::Workload;
use thiserror::Error;

use crate::affinity;
use crate::load::{
    Executors, FollowOptions, Follower, Load, LoadOutcome, Machine, PrepareError, follow, hidden,
    probe_machine,
};
use crate::plan::Plan;
use crate::recording::{Collector, CoreInterval, CoreLog};
use crate::source::Cast;

mod args;
mod capacity;
mod document;
mod import;
mod interrupts;
mod progress;
mod rehearsal;
mod repeat;
mod reporting;
mod text;
mod tls_args;

pub use args::RunArgs;
pub use document::GivenArgs;
pub use import::{ImportArgs, import};
use interrupts::Interrupts;
use progress::Progress;
pub use rehearsal::{TryArgs, rehearse};
use reporting::{Subject, with_logs, write_out, write_report};

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

/// Why a run has no result.
#[derive(Debug, Error)]
enum RunError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("--logs {}: {source}; name a folder that can be written", folder.display())]
    Logs { folder: PathBuf, source: io::Error },
    #[error(transparent)]
    Report(#[from] OutputError),
    #[error("interrupted before the start; nothing was sent")]
    Interrupted,
}

impl RunError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Report(OutputError::Usage(_)) => exit::USAGE,
            Self::Prepare(_) | Self::Logs { .. } | Self::Report(_) => exit::ERROR,
            Self::Interrupted => exit::INTERRUPTED,
        }
    }
}

/// Runs the load that the arguments describe, and prints its result.
#[must_use]
pub fn run(args: &RunArgs) -> ExitCode {
    match try_run(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            if let RunError::Prepare(_) | RunError::Logs { .. } | RunError::Interrupted = error {
                let none = Findings::of_error(&shown_url(&args.url), &error.to_string());
                write_report(args, &none);
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints the schema of documents.
#[must_use]
pub fn schema() -> ExitCode {
    match io::Write::write_all(&mut io::stdout().lock(), proto::document::SCHEMA.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: the schema could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(args: &RunArgs) -> Result<u8, RunError> {
    let args = &args.clone().with_socket().map_err(RunError::Usage)?;
    args.report.check(args.json)?;
    let system = |error: io::Error| PrepareError::System(error.to_string());
    let interrupts = Interrupts::watch().map_err(system)?;
    let job = Job::read(args)?;
    let cpus = affinity::choose(args.cores.as_deref());
    let cpus = cpus.map_err(|error| RunError::Usage(format!("--cores {error}")))?;
    let times = args.times(job.document.as_ref()).map_err(RunError::Usage)?;
    if args.find_capacity {
        return capacity::find(args, job.document.as_ref(), cpus, &interrupts);
    }
    if times > 1 {
        return repeat::repeat(args, times, job, &cpus, &interrupts);
    }
    if let Some(folder) = &args.logs {
        try_logs(folder, job.plan.cores(cpus.len()))?;
    }
    let machine = Machine {
        executors: Executors::new(&cpus),
        directions: args.directions.clone(),
    };
    let subject = Subject::of(args, &job);
    let run = Run::new(job.plan, machine, &interrupts)?;
    let mut done = run.run(args, &interrupts, (job.document.as_ref(), job.hidden));
    done.stamp(job.sha256);
    interrupts.let_go();
    Ok(done.print(args, &subject))
}

/// What the arguments describe. It is read anew for each run of several: what a run has used of it,
/// such as the rows of a data set, is used up.
struct Job {
    plan: Plan,
    document: Option<Document>,
    /// What the document is known by.
    sha256: Option<Sha256>,
    /// The values of secrets that were put in.
    hidden: Vec<String>,
}

impl Job {
    fn read(args: &RunArgs) -> Result<Self, RunError> {
        let loaded = args.document().map_err(RunError::Usage)?;
        let Some(loaded) = loaded else {
            let workload = args.workload().map_err(RunError::Usage)?;
            return Ok(Self {
                plan: Plan::new(workload),
                document: None,
                sha256: None,
                hidden: Vec::new(),
            });
        };
        Ok(Self {
            document: Some(loaded.document.clone()),
            sha256: Some(loaded.sha256),
            hidden: loaded.hidden.clone(),
            plan: loaded.plan(),
        })
    }
}

/// Opens the logs once, so that a run whose logs cannot be written does not begin.
fn try_logs(folder: &Path, cores: usize) -> Result<(), RunError> {
    let opened = (0..cores).try_for_each(|core| CoreLog::open(folder, core).map(drop));
    opened.map_err(|source| RunError::Logs {
        folder: folder.to_owned(),
        source,
    })
}

/// One run, from its preparation to its result.
struct Run {
    plan: Plan,
    cpus: Vec<usize>,
    load: Load,
    intervals: Receiver<CoreInterval>,
    /// Whether it says what is about to run.
    has_banner: bool,
}

/// What a run left.
struct Done {
    result: TestResult,
    outcome: LoadOutcome,
    /// Why the logs are incomplete.
    logs_failed: Option<String>,
}

impl Run {
    /// Prepares on a thread of its own: names and connections may take long, and whoever interrupts
    /// the run waits for neither. What that thread began then ends with the process.
    fn new(plan: Plan, machine: Machine, interrupts: &Interrupts) -> Result<Self, RunError> {
        let cpus = machine.executors.cpus();
        let (give, intervals) = bounded(INTERVALS_MAX * cpus.len());
        let (say, prepared) = bounded(1);
        let of_thread = plan.clone();
        let prepare = move || {
            // The executors take a ring for granted and would panic.
            let probed = probe_machine(&machine.executors.cpus());
            let load = probed.and_then(|_| Load::prepare(&of_thread, &machine, &give));
            let _ = say.send(load);
        };
        thread::Builder::new()
            .name("prepare".to_owned())
            .spawn(prepare)
            .map_err(|error| PrepareError::System(error.to_string()))?;
        let load = select! {
            recv(prepared) -> load => load.unwrap_or_else(|_| {
                Err(PrepareError::System("the preparation panicked: a bug".to_owned()))
            })?,
            recv(interrupts.first()) -> _ => return Err(RunError::Interrupted),
        };
        Ok(Self {
            plan,
            cpus,
            load,
            intervals,
            has_banner: true,
        })
    }

    /// Runs the load, of a document perhaps, whose secrets no report may tell.
    fn run(
        self,
        args: &RunArgs,
        interrupts: &Interrupts,
        (document, secrets): (Option<&Document>, Vec<String>),
    ) -> Done {
        let workload = self.plan.workload();
        let replayed_ns = self.plan.cast().and_then(Cast::replayed);
        let replayed_ns = replayed_ns.map(|(_, ns)| ns);
        let progress = Progress::new(workload, replayed_ns, args.is_quiet());
        if self.has_banner {
            progress.banner(&text::banner(&self.plan, &self.load, &self.cpus));
        }
        let start_ns = monotonic_ns() + LEAD_NS;
        let options = FollowOptions {
            test_id: id::new_test_id(),
            cpus: self.cpus,
            logs: args.logs.clone(),
            start_unix_ns: Anchor::now().to_unix(start_ns),
            stagger_ns: 0,
            clock: None,
            cast: self.plan.cast().cloned(),
            hidden: hidden(&self.plan, &secrets),
        };
        let mut reports = Reports {
            test_id: options.test_id.clone(),
            summary: Summary::default(),
            progress,
            interrupts,
            logs_failed: None,
            aborting: document.map(Aborting::new).unwrap_or_default(),
            steps: document.map(step_names).unwrap_or_default(),
            aborted: None,
        };
        self.load.start(start_ns);
        let outcome = follow(options, self.load, &self.intervals, &mut reports);
        reports.progress.finish();
        Done {
            result: reports.result(workload, document, &outcome),
            outcome,
            logs_failed: reports.logs_failed,
        }
    }
}

/// Takes the reports and keeps the books.
struct Reports<'a> {
    test_id: String,
    summary: Summary,
    progress: Progress,
    interrupts: &'a Interrupts,
    logs_failed: Option<String>,
    aborting: Aborting,
    /// Names of the document's steps.
    steps: Vec<String>,
    /// The condition that ends the run, once one does.
    aborted: Option<String>,
}

fn step_names(document: &Document) -> Vec<String> {
    let steps = document.scenario.steps.iter();
    steps.map(|step| step.name.clone()).collect()
}

/// The one participant's name.
const NODE: &str = "local";

impl Follower for Reports<'_> {
    fn report(&mut self, report: Report, so_far: &Collector) {
        let message = Metrics {
            node_id: NODE.to_owned(),
            test_id: self.test_id.clone(),
            report_id: None,
            // Nobody reads the reference's figures of a report that goes nowhere.
            metrics: LatencyFigures::default(),
            report: Some(report),
        };
        self.summary.absorb(&message);
        let Some(report) = message.report.filter(|report| !report.last) else {
            return;
        };
        let worst = self.worst_step();
        self.progress.show(&report, so_far.counters(), &worst);
        if self.aborted.is_none() {
            self.aborted = self.aborting.judge(&report);
        }
    }

    fn look(&mut self, load: &Load) {
        self.progress.tick();
        if self.aborted.is_some() || self.interrupts.first().try_recv().is_ok() {
            load.stop();
        }
    }

    fn logs_failed(&mut self, error: &io::Error) {
        self.logs_failed.get_or_insert_with(|| error.to_string());
    }
}

impl Reports<'_> {
    /// The step that went wrong most so far, in words.
    fn worst_step(&self) -> String {
        let counts = self.summary.sessions().unwrap_or_default();
        let bad = counts.steps.iter().map(StepCounts::bad);
        words::worst_step(self.steps.iter().map(String::as_str).zip(bad))
    }

    fn result(
        &self,
        workload: &Workload,
        document: Option<&Document>,
        outcome: &LoadOutcome,
    ) -> TestResult {
        let state = match (&outcome.failed, outcome.stopped) {
            (Some(_), _) => "failed",
            (None, true) if self.aborted.is_some() => "aborted",
            (None, true) => "interrupted",
            (None, false) => "done",
        };
        self.summary.result(&Context {
            test_id: &self.test_id,
            test_type: workload.test_type.name(),
            state,
            closed_loop: workload.arrival.is_closed_loop(),
            in_flight: workload.in_flight().filter(|_| document.is_none()),
            level_load: document.is_none() && workload.arrival.is_level(),
            ended: true,
            plan: workload.planned_per_driver().into(),
            expected: &[NODE.to_owned()],
            document,
            warmup_ns: workload.warmup_ns,
            rates: &[],
            aborted_by: self.aborted.as_deref(),
            thresholds: &workload.thresholds,
            series_from: 0,
        })
    }
}

fn line(mut json: Vec<u8>) -> Vec<u8> {
    json.push(b'\n');
    json
}

impl Done {
    /// Prints the result; the exit code.
    fn print(&self, args: &RunArgs, subject: &Subject) -> u8 {
        let text = if args.report.take_stdout() {
            Vec::new()
        } else if args.json {
            line(proto::codec::encode(&self.result))
        } else {
            text::summary(&self.result).into_bytes()
        };
        if let Some(condition) = &self.result.aborted_by {
            eprintln!("aborted: {condition}");
        }
        let brief = Brief::from(&self.result);
        let findings = Findings::of_run(&subject.title, &brief, &subject.asked);
        let findings = with_logs(findings, self.logs_failed.as_deref());
        let is_reported = write_report(args, &findings);
        match write_out(&text) {
            Err(code) => code,
            Ok(()) if !is_reported => exit::ERROR,
            Ok(()) => self.exit_code(&brief),
        }
    }

    /// As the run stands; logs that are incomplete are an error of a run that was not ended early.
    fn exit_code(&self, brief: &Brief) -> u8 {
        match brief.standing() {
            standing @ (Standing::Aborted | Standing::Interrupted) => standing.exit_code(),
            _ if self.logs_failed.is_some() => exit::ERROR,
            standing => standing.exit_code(),
        }
    }
}
