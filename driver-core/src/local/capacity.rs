//! `driver run URL --find-capacity`: the highest rate at which the target keeps the thresholds.
//!
//! Each rate is a run of its own on fresh connections, warmed up and drained. One that breaks a
//! threshold is repeated, and two of three decide: a machine that stalls once is not the target's
//! limit. In the end the answer is offered once more, since some targets do not come back from an
//! overload.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use proto::measure::{Counters, ErrorCounters};
use proto::summary::{
    Capacity, CapacitySearch, Judged, Judgement, Next, Statistics, TestResult, ThresholdResult,
    Verdict, words,
};
use proto::units::NS_PER_S;
use proto::workload::{Rate, RateSpec, Threshold};
use serde::Serialize;

use super::interrupts::Interrupts;
use super::{Run, RunArgs, RunError, exit};
use crate::load::{Executors, Machine};
use crate::plan::Plan;

/// Rates that are offered at most, and how long all of it may take.
const RATES_MAX: usize = 20;
const TIME_MAX: Duration = Duration::from_secs(3600);
/// How near the ends of the answer come.
const PRECISION: f64 = 0.05;
/// The first rate, a second, where none is given.
const FROM: f64 = 100.0;
/// Length of a run and of its warm-up where none is given, ns.
const DURATION_NS: u64 = 5 * NS_PER_S;
const WARMUP_NS: u64 = NS_PER_S;
/// Between two runs, so that the target's queues are empty again.
const REST: Duration = Duration::from_secs(1);
/// From this share of its time on, a core is too busy for its lateness to be the target's.
const BUSY_MIN: f64 = 0.9;

/// What was found.
#[derive(Debug, Serialize)]
struct Answer {
    target: String,
    thresholds: Vec<String>,
    capacity: Capacity,
    /// What ended the search before the target did: `generator` or `connections`.
    #[serde(skip_serializing_if = "Option::is_none")]
    limited_by: Option<&'static str>,
    /// Whether the target no longer kept the thresholds at `at_least` after it had been overloaded.
    collapsed: bool,
    /// Every rate that was offered, in that order.
    steps: Vec<Step>,
}

/// A rate that was offered.
#[derive(Debug, Serialize)]
struct Step {
    /// Requests a second.
    rate: f64,
    judged: Judged,
    /// Runs that it took to judge it; the figures are those of the last.
    runs: usize,
    ok_per_second: Option<f64>,
    status_codes: BTreeMap<u16, u64>,
    errors: ErrorCounters,
    response: Statistics,
    service: Statistics,
    release_lag: Statistics,
    thresholds: Vec<ThresholdResult>,
    verdict: Verdict,
    #[serde(skip)]
    limited_by: Option<&'static str>,
}

struct Finder<'a> {
    args: RunArgs,
    cpus: Vec<usize>,
    interrupts: &'a Interrupts,
    is_quiet: bool,
    is_first: bool,
    began: Instant,
}

/// Searches, prints the answer, and gives the exit code.
pub(super) fn find(
    args: &RunArgs,
    cpus: Vec<usize>,
    interrupts: &Interrupts,
) -> Result<u8, RunError> {
    if args.threshold.is_empty() {
        let error = "--find-capacity needs what the target has to keep: --threshold 'p99<50ms'";
        return Err(RunError::Usage(error.to_owned()));
    }
    let from = match &args.rate {
        None => FROM,
        Some(RateSpec::Constant(rate)) => rate.per_second(),
        Some(RateSpec::Ramp(..)) => {
            let error = "--find-capacity begins at one rate; give --rate 500, or none";
            return Err(RunError::Usage(error.to_owned()));
        }
    };
    let mut of_runs = args.clone();
    of_runs.json = true;
    of_runs.duration = Some(args.duration.unwrap_or(DURATION_NS));
    of_runs.warmup = Some(args.warmup.unwrap_or(WARMUP_NS));
    let mut finder = Finder {
        args: of_runs,
        cpus,
        interrupts,
        is_quiet: args.json,
        is_first: true,
        began: Instant::now(),
    };
    let (answer, is_interrupted) = finder.search(from)?;
    let text = if args.json {
        let mut json = proto::codec::encode(&answer);
        json.push(b'\n');
        json
    } else {
        conclusion(&answer).into_bytes()
    };
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(&text).and_then(|()| stdout.flush()) {
        eprintln!("error: the answer cannot be written: {error}");
        return Ok(exit::ERROR);
    }
    if is_interrupted {
        eprintln!("interrupted: this is what was known by then");
        return Ok(exit::INTERRUPTED);
    }
    Ok(exit_code(&answer))
}

fn exit_code(answer: &Answer) -> u8 {
    match answer.capacity {
        Capacity { at_least: None, .. } => match answer.limited_by {
            Some(_) => exit::INVALID,
            None => exit::THRESHOLD,
        },
        Capacity { below: None, .. } => exit::INVALID,
        _ if answer.collapsed => exit::THRESHOLD,
        _ => 0,
    }
}

impl Finder<'_> {
    fn search(&mut self, from: f64) -> Result<(Answer, bool), RunError> {
        let mut search = CapacitySearch::new(from, PRECISION, RATES_MAX);
        let mut answer = Answer {
            target: String::new(),
            thresholds: self.args.threshold.clone(),
            capacity: Capacity {
                at_least: None,
                below: None,
            },
            limited_by: None,
            collapsed: false,
            steps: Vec::new(),
        };
        while self.began.elapsed() < TIME_MAX
            && let Next::Offer(rate) = search.next()
        {
            let Some(step) = self.offer(rate, &mut answer.target)? else {
                answer.capacity = search.found();
                return Ok((answer, true));
            };
            search.record(rate, step.judged);
            answer.steps.push(step);
        }
        answer.capacity = search.found();
        if answer.capacity.below.is_none() {
            let mut limited = answer.steps.iter().rev();
            answer.limited_by = limited.find_map(|step| step.limited_by);
        }
        if let (Some(rate), Some(_)) = (answer.capacity.at_least, answer.capacity.below) {
            self.say("once more, after the overload:");
            let Some(step) = self.offer(rate, &mut answer.target)? else {
                return Ok((answer, true));
            };
            answer.collapsed = step.judged == Judged::Breached;
            answer.steps.push(step);
        }
        Ok((answer, false))
    }

    /// Offers a rate until it is judged; `None` when that is interrupted.
    fn offer(&mut self, rate: f64, target: &mut String) -> Result<Option<Step>, RunError> {
        let (mut held, mut broke) = (0, None);
        for runs in 1..=3 {
            if !std::mem::replace(&mut self.is_first, false)
                && self.interrupts.first().recv_timeout(REST).is_ok()
            {
                return Ok(None);
            }
            let Some(step) = self.run(rate, runs, target)? else {
                return Ok(None);
            };
            if step.judged == Judged::Holds {
                held += 1;
                // The first time is enough: nothing that stalls makes a target look better.
                if runs == 1 || held == 2 {
                    return Ok(Some(self.told(step)));
                }
            } else if broke.is_some() {
                return Ok(Some(self.told(step)));
            } else {
                broke = Some(step);
            }
        }
        Ok(broke.map(|step| self.told(step)))
    }

    fn run(
        &mut self,
        rate: f64,
        runs: usize,
        target: &mut String,
    ) -> Result<Option<Step>, RunError> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most 10^10
        let milli = (rate * 1000.0).round() as u64;
        self.args.rate = Rate::from_milli(milli).map(RateSpec::Constant);
        let workload = self.args.workload().map_err(RunError::Usage)?;
        *target = workload.target.shown();
        let thresholds = workload.thresholds.clone();
        let machine = Machine {
            executors: Executors::new(&self.cpus),
            directions: self.args.directions.clone(),
        };
        let run = Run::new(Plan::new(workload), machine, self.interrupts)?;
        let done = run.run(&self.args, self.interrupts, (None, Vec::new()));
        if let Some(reason) = done.outcome.failed {
            eprintln!("{rate}/s: {reason}");
        }
        if done.outcome.stopped {
            return Ok(None);
        }
        Ok(Some(step(rate, runs, done.result, &thresholds)))
    }

    fn told(&self, step: Step) -> Step {
        let broken = step.thresholds.iter().filter(|threshold| !threshold.pass);
        let broken: Vec<String> = broken
            .map(|one| words::threshold(&one.threshold, one.observed, one.pass))
            .collect();
        let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.3}"));
        let word = match step.judged {
            Judged::Holds => "holds",
            Judged::Breached => "breached",
            Judged::Limited => "limited here",
        };
        let mut remarks = broken;
        if step.response.p50.is_none() {
            let codes = step.status_codes.iter();
            let codes = codes.map(|(code, count)| format!("{count} × status {code}"));
            remarks.push("nothing was ok".to_owned());
            remarks.extend(codes);
            remarks.extend(words::counts(step.errors.by_kind()));
        }
        self.say(&format!(
            "{:>9}/s  {word:<12} p50 {} ms  p99 {} ms  {}",
            step.rate,
            ms(step.response.p50),
            ms(step.response.p99),
            remarks.join(", ")
        ));
        step
    }

    fn say(&self, line: &str) {
        if !self.is_quiet {
            // To whoever closed the pipe it does not matter.
            let _ = writeln!(io::stdout().lock(), "{}", line.trim_end());
        }
    }
}

fn step(rate: f64, runs: usize, result: TestResult, thresholds: &[Threshold]) -> Step {
    let (judged, limited_by) = judged(&result, thresholds);
    Step {
        rate,
        judged,
        runs,
        ok_per_second: result.tally.requests_per_second,
        status_codes: result.tally.status_codes,
        errors: result.tally.errors,
        response: result.metrics,
        service: result.service,
        release_lag: result.release_lag,
        thresholds: result.thresholds,
        verdict: result.verdict,
        limited_by,
    }
}

/// How a run went, and what of ours was in the way.
fn judged(result: &TestResult, thresholds: &[Threshold]) -> (Judged, Option<&'static str>) {
    if result.thresholds_pass() {
        return match result.verdict.verdict {
            // Numbers that nobody may believe hold nothing.
            Judgement::Invalid => (Judged::Limited, Some("generator")),
            _ => (Judged::Holds, None),
        };
    }
    let health = result.nodes.iter().map(|node| &node.health);
    let is_busy = |share: Option<f64>| share.is_some_and(|share| share >= BUSY_MIN);
    if health
        .clone()
        .any(|health| is_busy(health.cpu_busy_max) || health.throttled_ns > 0)
    {
        return (Judged::Limited, Some("generator"));
    }
    // Where it answers in time what it is sent, requests waited for a connection of ours.
    let broken = thresholds.iter().zip(&result.thresholds);
    let mut broken = broken.filter(|(_, judged)| !judged.pass);
    let in_service = |threshold: &Threshold| {
        let (text, service) = (threshold.to_string(), &result.service);
        let counters = Counters::default();
        ThresholdResult::of_part((threshold, &text), &counters, service, service).pass
    };
    if broken.all(|(threshold, _)| in_service(threshold)) {
        return (Judged::Limited, Some("connections"));
    }
    (Judged::Breached, None)
}

fn conclusion(answer: &Answer) -> String {
    let kept = answer.thresholds.join(", ");
    let more = match answer.limited_by {
        Some("connections") => {
            "all connections were busy while the target answered in time: use more --connections"
        }
        Some(_) => "this generator could not offer more: use more cores, or drivers on other hosts",
        None => "no higher rate was tried within the bounds of a search; begin higher with --rate",
    };
    let mut text = match (answer.capacity.at_least, answer.capacity.below) {
        (Some(low), Some(high)) => format!("capacity: {low} to {high} requests/s with {kept}"),
        (Some(low), None) => format!("capacity: at least {low} requests/s with {kept}; {more}"),
        (None, _) if answer.limited_by.is_some() => format!("capacity: not found; {more}"),
        (None, Some(high)) => format!("capacity: less than {high} requests/s with {kept}"),
        (None, None) => "capacity: not found; nothing was offered to its end".to_owned(),
    };
    if answer.collapsed {
        text.push_str(
            "\nafter the overload the target did not keep it any more: it does not recover by itself",
        );
    }
    text.push('\n');
    text
}
