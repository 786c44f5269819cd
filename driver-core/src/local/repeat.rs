//! `driver run --repeat N`: runs of one test after each other, each on fresh connections and with a
//! result of its own, and how far their figures are spread.

use std::io::{self, Write};
use std::time::Duration;

use proto::ci::Findings;
use proto::summary::{Brief, REST_NS, Repeats, RepeatsWithResults, Standing, TestResult, words};
use proto::units::ns_to_seconds;

use super::interrupts::Interrupts;
use super::{
    Done, Job, Run, RunArgs, RunError, Subject, exit, line, with_logs, write_out, write_report,
};
use crate::load::{Executors, Machine};

struct Repeater<'a> {
    args: &'a RunArgs,
    cpus: &'a [usize],
    interrupts: &'a Interrupts,
    set: Repeats,
    results: Vec<TestResult>,
    briefs: Vec<Brief>,
    /// Why the logs of a run are incomplete.
    logs_failed: Option<String>,
}

/// Makes `asked` runs, prints them and their spread, and gives the exit code.
///
/// # Errors
/// Those of the first run, before which nothing is known to be right. Later ones are in the answer.
pub(super) fn repeat(
    args: &RunArgs,
    asked: u32,
    first: Job,
    cpus: &[usize],
    interrupts: &Interrupts,
) -> Result<u8, RunError> {
    let of_document = first
        .document
        .as_ref()
        .and_then(|document| document.rest_ns);
    let rest_ns = args.rest.or(of_document).unwrap_or(REST_NS);
    let mut repeater = Repeater {
        args,
        cpus,
        interrupts,
        set: Repeats::new(asked, ns_to_seconds(rest_ns)),
        results: Vec::new(),
        briefs: Vec::new(),
        logs_failed: None,
    };
    let subject = Subject::of(args, &first);
    let done = repeater.run(first)?;
    repeater.say(&words::repeats_head());
    repeater.take(done);
    let rest = Duration::from_nanos(rest_ns);
    while !repeater.set.is_complete() && !repeater.set.interrupted {
        if interrupts.first().recv_timeout(rest).is_ok() {
            repeater.set.interrupted = true;
            break;
        }
        match Job::read(args).and_then(|job| repeater.run(job)) {
            Ok(done) => repeater.take(done),
            Err(RunError::Interrupted) => repeater.set.interrupted = true,
            Err(error) => {
                let row = words::repeat(repeater.set.add_failed(None, error.to_string()));
                repeater.say(&row);
            }
        }
    }
    interrupts.let_go();
    Ok(repeater.conclude(&subject))
}

impl Repeater<'_> {
    fn run(&self, job: Job) -> Result<Done, RunError> {
        let number = self.set.runs.len() + 1;
        let mut args = self.args.clone();
        let folder = args.logs.take();
        args.logs = folder.map(|folder| folder.join(format!("run-{number}")));
        if let Some(folder) = &args.logs {
            super::try_logs(folder, job.plan.cores(self.cpus.len()))?;
        }
        let machine = Machine {
            executors: Executors::new(self.cpus),
            directions: args.directions.clone(),
        };
        let mut run = Run::new(job.plan, machine, self.interrupts)?;
        run.has_banner = number == 1;
        let mut done = run.run(&args, self.interrupts, (job.document.as_ref(), job.hidden));
        done.stamp(job.sha256);
        Ok(done)
    }

    fn take(&mut self, done: Done) {
        let brief = Brief::from(&done.result);
        let row = words::repeat(self.set.add(&brief));
        self.briefs.push(brief);
        self.say(&row);
        let number = self.set.runs.len();
        if let Some(reason) = done.logs_failed {
            let reason = format!("run {number}: {reason}");
            self.logs_failed.get_or_insert(reason);
        }
        self.results.push(done.result);
    }

    fn say(&self, row: &str) {
        if !self.args.is_quiet() {
            // To whoever closed the pipe it does not matter.
            let _ = writeln!(io::stdout().lock(), "{row}");
        }
    }

    fn conclude(&self, subject: &Subject) -> u8 {
        let text = if self.args.report.take_stdout() {
            Vec::new()
        } else if self.args.json {
            let (set, results) = (&self.set, &self.results[..]);
            line(proto::codec::encode(&RepeatsWithResults { set, results }))
        } else {
            format!("\n{}", words::spread(&self.set)).into_bytes()
        };
        let Subject { title, asked } = subject;
        let findings = Findings::of_set(title, &self.set, &self.briefs, asked);
        let findings = with_logs(findings, self.logs_failed.as_deref());
        let is_reported = write_report(self.args, &findings);
        match (write_out(&text), self.set.standing()) {
            (Err(code), _) => code,
            (Ok(()), _) if !is_reported => exit::ERROR,
            (Ok(()), standing) if self.logs_failed.is_some() && standing < Standing::Failed => {
                exit::ERROR
            }
            (Ok(()), standing) => standing.exit_code(),
        }
    }
}
