//! `bench stall`: what each generator reports when the target freezes.
//!
//! The target is stopped for a while in the middle of a run. A request that was to be sent during
//! the freeze waits for its end; how long is plain arithmetic (see [`expected_ms`]). A generator
//! that sends the next request only when the last answer is there does not see those waits:
//! coordinated omission. Those that can keep a rate are told one; the others run as they can.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::output::View;
use crate::results::{Cell, Document, Sample};
use crate::rig::{Error, Kind, Rig, Server};
use crate::scenario::reported;
use crate::table::Column;
use crate::throughput::{self, Common};
use crate::tools::{Found, Load};
use crate::verdict;

/// How to freeze.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Requests a second, for those that can keep a rate
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,

    /// Seconds that the target is frozen, in the middle of the run
    #[arg(long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=60))]
    pub pause: u32,

    /// Connections
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub connections: u32,

    /// What all scenarios know; the run lasts at least three times the pause
    #[command(flatten)]
    pub common: Common,
}

/// How it is shown.
pub const VIEW: View = View {
    title: "What is reported when the target freezes",
    parameters: &["pause_s", "seconds"],
    columns: &[
        Column::plain("p50 ms", "reported_p50_ms", 1.0, 1),
        Column::plain("p90 ms", "reported_p90_ms", 1.0, 1),
        Column::plain("p99 ms", "reported_p99_ms", 1.0, 1),
        Column::plain("max ms", "reported_max_ms", 1.0, 1),
        Column::plain("requests", "requests", 1.0, 0),
        Column::plain("steal %", "steal_share", 100.0, 1),
        Column::plain("others %", "foreign_share", 100.0, 1),
    ],
    plots: &[(
        "reported_p99_ms",
        "99th percentile in ms that the tool reports",
        1.0,
    )],
};

/// Freezes the target under every generator.
///
/// # Errors
/// When the rig cannot be set up, or no generator is there.
pub fn run(options: &Options) -> Result<Document, Error> {
    let common = &options.common;
    let rig = Rig::new(common.cores)?;
    let (found, missing) = throughput::look(&common.tools)?;
    let target = rig.start(Kind::Stamping)?;
    let seconds = common.seconds.max(3 * options.pause);
    let mut runners: Vec<Runner> = found
        .iter()
        .filter_map(|tool| Runner::new(&rig, &target, tool, options, seconds))
        .collect();
    for repetition in 0..common.repetitions {
        for at in throughput::rotated(runners.len(), repetition) {
            runners[at].run(&rig, &target, seconds, options.pause)?;
        }
    }
    let mut cells: Vec<Cell> = runners.into_iter().map(|runner| runner.cell).collect();
    cells.iter_mut().for_each(Cell::summarise);
    let doubts = cells
        .iter()
        .flat_map(|cell| verdict::noise(cell, "around the freeze"))
        .collect();
    cells.insert(0, arithmetic(options, seconds));
    let verdict = vec![format!(
        "of {} requests/s over {seconds} s, those due in the {} s of the freeze wait for its end; \
         a tool that reports less than the arithmetic did not send them when they were due",
        options.rate, options.pause
    )];
    let mut settings = throughput::settings(common, Kind::Stamping);
    settings.insert("seconds".to_owned(), seconds.into());
    settings.insert("rate".to_owned(), options.rate.into());
    Ok(Document {
        missing,
        verdict,
        doubts,
        ..throughput::document("stall", &rig, settings, cells)
    })
}

/// The quantile of the waits of an even schedule over `seconds` with one freeze of `pause`: the
/// share `pause / seconds` waits, evenly from the whole pause down to nothing.
#[must_use]
pub fn expected_ms(quantile: f64, pause: f64, seconds: f64) -> f64 {
    (pause - (1.0 - quantile) * seconds).max(0.0) * 1e3
}

fn arithmetic(options: &Options, seconds: u32) -> Cell {
    let mut cell = new_cell("(arithmetic)", options, seconds);
    let (pause, length) = (f64::from(options.pause), f64::from(seconds));
    let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)];
    let mut sample: Sample = quantiles
        .map(|(name, quantile)| {
            (
                format!("reported_{name}_ms"),
                expected_ms(quantile, pause, length),
            )
        })
        .into();
    sample.insert("requests".to_owned(), f64::from(options.rate) * length);
    cell.samples.push(sample);
    cell.summarise();
    cell
}

fn new_cell(subject: &str, options: &Options, seconds: u32) -> Cell {
    Cell::new(
        subject,
        &[
            ("pause_s", f64::from(options.pause)),
            ("seconds", f64::from(seconds)),
        ],
    )
}

/// A tool with its command, and what it has reported so far.
struct Runner {
    tool: &'static str,
    command: Vec<String>,
    cell: Cell,
}

impl Runner {
    /// `None` for a tool that cannot make the load, with a rate or without.
    fn new(
        rig: &Rig,
        target: &Server,
        tool: &Found,
        options: &Options,
        seconds: u32,
    ) -> Option<Self> {
        let load = |rate| Load {
            url: target.url(),
            connections: options.connections,
            seconds,
            pipeline: 1,
            rate,
            core: rig.host.generator_core,
            scratch: rig.scratch().to_owned(),
            ..Load::default()
        };
        let name = tool.tool.name;
        let (subject, command) = match tool.command(&load(Some(options.rate))) {
            Some(command) => (name.to_owned(), command),
            None => (format!("{name} (no rate)"), tool.command(&load(None))?),
        };
        let command = crate::tools::reporting(name, command);
        let mut cell = new_cell(&subject, options, seconds);
        cell.version.clone_from(&tool.version);
        cell.keep_command(&command, rig.scratch());
        Some(Self {
            tool: name,
            command,
            cell,
        })
    }

    fn run(&mut self, rig: &Rig, target: &Server, seconds: u32, pause: u32) -> Result<(), Error> {
        let sample = measure_once(rig, target, self.tool, &self.command, seconds, pause)?;
        let p99 = sample.get("reported_p99_ms").copied().unwrap_or(f64::NAN);
        let (subject, count) = (&self.cell.subject, self.cell.samples.len() + 1);
        eprintln!("{subject:<20} #{count}  reports p99 {p99:.1} ms");
        self.cell.samples.push(sample);
        Ok(())
    }
}

fn measure_once(
    rig: &Rig,
    target: &Server,
    tool: &str,
    command: &[String],
    seconds: u32,
    pause: u32,
) -> Result<Sample, Error> {
    target.reset(None)?;
    let lead = Duration::from_secs_f64(f64::from(seconds - pause) / 2.0);
    let pause = Duration::from_secs(pause.into());
    let observed = thread::scope(|scope| {
        let (over, ended) = mpsc::channel::<()>();
        scope.spawn(move || {
            // A generator that ends early ends the freeze too: asking the target must not hang.
            if ended.recv_timeout(lead) == Err(mpsc::RecvTimeoutError::Timeout) {
                target.freeze(true);
                let _ = ended.recv_timeout(pause);
                target.freeze(false);
            }
        });
        let observed = rig.observe(command, seconds, target);
        drop(over);
        observed
    })?;
    let mut sample: Sample = reported::read(tool, &observed.run.stdout)
        .metrics()
        .collect();
    sample.insert("requests".to_owned(), target.count()? as f64);
    sample.extend(throughput::circumstances(&observed));
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_of_an_even_schedule_are_arithmetic() {
        // 6 s with a freeze of 2 s: a third waits.
        assert!((expected_ms(1.0, 2.0, 6.0) - 2000.0).abs() < 1e-6);
        assert!((expected_ms(0.99, 2.0, 6.0) - 1940.0).abs() < 1e-6);
        assert!((expected_ms(0.9, 2.0, 6.0) - 1400.0).abs() < 1e-6);
        assert!(expected_ms(0.5, 2.0, 6.0) < 1e-6);
    }
}
