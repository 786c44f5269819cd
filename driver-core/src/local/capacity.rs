//! `driver run … --find-capacity`: the highest rate at which the target keeps the thresholds, of a URL
//! or of a document's sessions.
//!
//! Each rate is a run of its own on fresh connections, warmed up and drained; which comes next, how
//! often it is repeated and what it all comes to is [`CapacityCourse`]'s.

use std::io::{self, Write};
use std::time::Instant;

use proto::document::{Document, Searched};
use proto::summary::{
    CAPACITY_REST, CAPACITY_RUN, CAPACITY_TIME_MAX, CAPACITY_WARMUP, CapacityAnswer,
    CapacityBounds, CapacityCourse, CapacityEnding, CapacityStep,
};
use proto::units::NS_PER_S;
use proto::workload::{Rate, RateSpec};

use super::interrupts::Interrupts;
use super::{Run, RunArgs, RunError, exit};
use crate::load::{Executors, Machine};
use crate::plan::Plan;

/// How the following of a course ended.
enum End {
    /// There is nothing more to offer, or no time for it.
    Whole,
    Interrupted,
    /// The next run could not begin; what was known before stays known.
    Failed(RunError),
}

struct Finder<'a> {
    args: RunArgs,
    cpus: Vec<usize>,
    interrupts: &'a Interrupts,
    /// What of the document is the same at every rate.
    searched: Option<Searched>,
    is_quiet: bool,
    is_first: bool,
    began: Instant,
    target: String,
}

/// Searches, prints the answer, and gives the exit code.
pub(super) fn find(
    args: &RunArgs,
    document: Option<&Document>,
    cpus: Vec<usize>,
    interrupts: &Interrupts,
) -> Result<u8, RunError> {
    let searched = document.map(Document::searched).transpose();
    let searched =
        searched.map_err(|invalid| RunError::Usage(format!("{}: {invalid}", args.url)))?;
    let bounds = CapacityBounds::default();
    let from = match &searched {
        Some(searched) => searched.rate,
        None => of_a_url(args, bounds.from).map_err(RunError::Usage)?,
    };
    let bounds = CapacityBounds { from, ..bounds };
    let bounds = bounds.up_to(searched.as_ref().and_then(Searched::rate_max));
    let checked = bounds.check();
    checked.map_err(|error| RunError::Usage(of_the_first(args, document.is_some(), &error)))?;
    let mut of_runs = args.clone();
    of_runs.json = true;
    if searched.is_none() {
        let ns = |duration: std::time::Duration| duration.as_secs() * NS_PER_S;
        of_runs.duration = Some(args.duration.unwrap_or(ns(CAPACITY_RUN)));
        of_runs.warmup = Some(args.warmup.unwrap_or(ns(CAPACITY_WARMUP)));
    }
    let mut finder = Finder {
        args: of_runs,
        cpus,
        interrupts,
        searched,
        is_quiet: args.json,
        is_first: true,
        began: Instant::now(),
        target: String::new(),
    };
    let mut course = CapacityCourse::new(bounds);
    let end = finder.follow(&mut course)?;
    let thresholds = match document {
        Some(document) => document
            .thresholds
            .iter()
            .map(ToString::to_string)
            .collect(),
        None => args.threshold.clone(),
    };
    let mut answer = CapacityAnswer::of(&course, finder.target, thresholds);
    if let Some(document) = document {
        document.arrives().clone_into(&mut answer.unit);
    }
    let text = if args.json {
        super::line(proto::codec::encode(&answer))
    } else {
        format!("{}\n", answer.in_words()).into_bytes()
    };
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(&text).and_then(|()| stdout.flush()) {
        eprintln!("error: the answer cannot be written: {error}");
        return Ok(exit::ERROR);
    }
    Ok(match (end, answer.ending()) {
        (End::Interrupted, _) => {
            eprintln!("interrupted: this is what was known by then");
            exit::INTERRUPTED
        }
        (End::Failed(error), _) => {
            eprintln!("error: {error}; this is what was known by then");
            exit::INVALID
        }
        (End::Whole, CapacityEnding::Found) => 0,
        (End::Whole, CapacityEnding::Breached) => exit::THRESHOLD,
        (End::Whole, CapacityEnding::Wide | CapacityEnding::Unknown) => exit::INVALID,
    })
}

/// What is wrong with the first rate, as who gave it calls it.
fn of_the_first(args: &RunArgs, is_document: bool, error: &str) -> String {
    let first = if is_document {
        format!("{}: load.open: ", args.url)
    } else {
        "--rate: ".to_owned()
    };
    error.replacen("from: ", &first, 1)
}

/// The first rate, as the arguments of a URL have it.
fn of_a_url(args: &RunArgs, otherwise: f64) -> Result<f64, String> {
    if args.threshold.is_empty() {
        let error = "--find-capacity needs what the target has to keep: --threshold 'p99<50ms'";
        return Err(error.to_owned());
    }
    match &args.rate {
        None => Ok(otherwise),
        Some(RateSpec::Constant(rate)) => Ok(rate.per_second()),
        Some(RateSpec::Ramp(..)) => {
            let error = "--find-capacity begins at one rate; give --rate 500, or none";
            Err(error.to_owned())
        }
    }
}

impl Finder<'_> {
    /// Follows the course to its end, or as far as there is time.
    ///
    /// # Errors
    /// Those before which there is nothing to answer.
    fn follow(&mut self, course: &mut CapacityCourse) -> Result<End, RunError> {
        let mut is_in_time = true;
        while let Some(wanted) = course.wanted().filter(|_| is_in_time) {
            let is_first = std::mem::replace(&mut self.is_first, false);
            if !is_first && self.interrupts.first().recv_timeout(CAPACITY_REST).is_ok() {
                return Ok(End::Interrupted);
            }
            let run = match self.run(wanted.rate) {
                Ok(Some(run)) => run,
                Ok(None) => return Ok(End::Interrupted),
                Err(RunError::Interrupted) if !is_first => return Ok(End::Interrupted),
                Err(error) if !course.steps().is_empty() => return Ok(End::Failed(error)),
                Err(error) => return Err(error),
            };
            if let Some(step) = course.record(run) {
                self.say(&step.in_words());
            }
            is_in_time = self.began.elapsed() < CAPACITY_TIME_MAX;
        }
        Ok(End::Whole)
    }

    /// One run at a rate; `None` when it was interrupted.
    fn run(&mut self, rate: f64) -> Result<Option<CapacityStep>, RunError> {
        let (plan, of_document) = if self.searched.is_some() {
            let (plan, document, hidden) = self.plan_of_a_document(rate)?;
            (plan, Some((document, hidden)))
        } else {
            (self.plan_of_a_url(rate)?, None)
        };
        self.target = plan.workload().target.shown();
        let thresholds = plan.workload().thresholds.clone();
        let machine = Machine {
            executors: Executors::new(&self.cpus),
            directions: self.args.directions.clone(),
        };
        let run = Run::new(plan, machine, self.interrupts)?;
        let (document, hidden) = of_document.unzip();
        let surroundings = (document.as_ref(), hidden.unwrap_or_default());
        let done = run.run(&self.args, self.interrupts, surroundings);
        if let Some(reason) = done.outcome.failed {
            eprintln!("{rate}/s: {reason}");
        }
        if done.outcome.stopped && done.result.aborted_by.is_none() {
            return Ok(None);
        }
        Ok(Some(CapacityStep::of(rate, &done.result, &thresholds)))
    }

    fn plan_of_a_url(&mut self, rate: f64) -> Result<Plan, RunError> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most 10^10
        let milli = (rate * 1000.0).round() as u64;
        self.args.rate = Rate::from_milli(milli).map(RateSpec::Constant);
        let workload = self.args.workload().map_err(RunError::Usage)?;
        Ok(Plan::new(workload))
    }

    /// The plan of the document at a rate, which begins with its data anew, and its secrets.
    fn plan_of_a_document(&self, rate: f64) -> Result<(Plan, Document, Vec<String>), RunError> {
        let url = &self.args.url;
        let loaded = self.args.document().map_err(RunError::Usage)?;
        let mut loaded =
            loaded.ok_or_else(|| RunError::Usage(format!("{url}: it is no document any more")))?;
        let document = loaded.document.at_rate(rate);
        let document = document.map_err(|invalid| RunError::Usage(format!("{url}: {invalid}")))?;
        loaded.scenario.load.clone_from(&document.scenario.load);
        let hidden = loaded.hidden.clone();
        Ok((loaded.plan(), document, hidden))
    }

    fn say(&self, line: &str) {
        if !self.is_quiet {
            // To whoever closed the pipe it does not matter.
            let _ = writeln!(io::stdout().lock(), "{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        run: RunArgs,
    }

    fn args(more: &[&str]) -> Result<RunArgs, clap::Error> {
        let base = ["driver", "http://127.0.0.1:1/", "--find-capacity"];
        let parsed = Cli::try_parse_from(base.iter().chain(more));
        parsed.map(|cli| cli.run)
    }

    #[test]
    fn a_first_rate_that_is_out_of_bounds_is_refused_in_words() {
        let args = args(&["--rate", "0.5", "--threshold", "p99<50ms"]).unwrap();
        let interrupts = Interrupts::watch().unwrap();
        let refused = find(&args, None, vec![0], &interrupts).unwrap_err();
        assert_eq!(refused.exit_code(), exit::USAGE);
        let words = refused.to_string();
        let expected = "--rate: 0.5 is not within 1 to ";
        assert!(words.starts_with(expected), "{words}");
    }

    #[test]
    fn a_search_has_a_rest_of_its_own() {
        let refused = args(&["--rest", "1s"]).unwrap_err().to_string();
        assert!(refused.contains("--rest"), "{refused}");
    }
}
