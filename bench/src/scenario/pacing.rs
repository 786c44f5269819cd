//! `bench pacing`: how evenly requests arrive that were to be sent evenly.
//!
//! Each generator that can keep a rate is told several, one after the other. What counts is what
//! the stamping target saw: the error of the gaps, and the lateness against the grid that fits
//! best. h2load paces by connection, all of them in step; it gets one connection, with which it
//! paces best, up to the rate that one connection can carry.
//!
//! The target is held up too: by its core's interrupts, and by the hypervisor of a virtual machine.
//! `held_up_share` says for how much of the time; with 1 % and more, no generator's 99th percentile
//! can be better than those interruptions are long.

use serde_json::Value;

use crate::output::View;
use crate::results::{Cell, Document, Sample};
use crate::rig::{Error, Kind, Rig, Server};
use crate::table::Column;
use crate::throughput::{self, Common};
use crate::tools::{Found, Load};
use crate::verdict;

/// Up to this rate h2load gets a single connection.
const ONE_CONNECTION_RATE_MAX: u32 = 10_000;

/// What to pace.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Rates in requests a second, all connections together
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "100,1000,10000,50000",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rates: Vec<u32>,

    /// Connections
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub connections: u32,

    /// What all scenarios know
    #[command(flatten)]
    pub common: Common,
}

/// How it is shown.
pub const VIEW: View = View {
    title: "Pacing, as the target saw it",
    parameters: &["rate"],
    columns: &[
        Column::plain("gap error p50 µs", "gap_error_p50_ns", 1e-3, 1),
        Column::plain("p99 µs", "gap_error_p99_ns", 1e-3, 1),
        Column::plain("lateness p50 µs", "lateness_p50_ns", 1e-3, 1),
        Column::plain("p99 µs", "lateness_p99_ns", 1e-3, 1),
        Column::plain("rate error %", "rate_error_share", 100.0, 3),
        Column::plain("CPU %", "generator_busy_share", 100.0, 1),
        Column::plain("target held up %", "held_up_share", 100.0, 1),
        Column::plain("steal %", "steal_share", 100.0, 1),
        Column::plain("others %", "foreign_share", 100.0, 1),
    ],
    plots: &[(
        "gap_error_p99_ns",
        "99th percentile of the gap error in µs",
        1e-3,
    )],
};

/// Measures every rate with every generator that can keep one.
///
/// # Errors
/// When the rig cannot be set up, or no generator is there.
pub fn run(options: &Options) -> Result<Document, Error> {
    let common = &options.common;
    let rig = Rig::new(common.cores)?;
    let (found, missing) = throughput::look(&common.tools)?;
    let target = rig.start(Kind::Stamping)?;
    let mut cells = Vec::new();
    for &rate in &options.rates {
        cells.extend(measure_rate(&rig, &target, &found, rate, options)?);
    }
    let settings = throughput::settings(common, Kind::Stamping);
    let doubts = doubts(&cells);
    Ok(Document {
        missing,
        doubts,
        ..throughput::document("pacing", &rig, settings, cells)
    })
}

fn measure_rate(
    rig: &Rig,
    target: &Server,
    found: &[Found],
    rate: u32,
    options: &Options,
) -> Result<Vec<Cell>, Error> {
    let mut runners: Vec<(Cell, Vec<String>)> = Vec::new();
    for tool in found {
        let Some(command) = tool.command(&load(rig, target, tool, rate, options)) else {
            continue;
        };
        let mut cell = Cell::new(tool.tool.name, &[("rate", f64::from(rate))]);
        cell.version.clone_from(&tool.version);
        cell.keep_command(&command, rig.scratch());
        runners.push((cell, command));
    }
    for repetition in 0..options.common.repetitions {
        for at in throughput::rotated(runners.len(), repetition) {
            let (cell, command) = &mut runners[at];
            let sample = measure_once(rig, target, command, rate, options.common.seconds)?;
            let error = sample.get("gap_error_p99_ns").copied().unwrap_or(0.0) / 1e3;
            let subject = &cell.subject;
            eprintln!(
                "{rate:>7}/s {subject:<10} #{}  gap error p99 {error:.1} µs",
                repetition + 1
            );
            cell.samples.push(sample);
        }
    }
    let mut cells: Vec<Cell> = runners.into_iter().map(|(cell, _)| cell).collect();
    cells.iter_mut().for_each(Cell::summarise);
    Ok(cells)
}

fn load(rig: &Rig, target: &Server, tool: &Found, rate: u32, options: &Options) -> Load {
    let single = tool.tool.name == "h2load" && rate <= ONE_CONNECTION_RATE_MAX;
    Load {
        url: target.url(),
        connections: if single { 1 } else { options.connections },
        seconds: options.common.seconds,
        pipeline: 1,
        rate: Some(rate),
        core: rig.host.generator_core,
        scratch: rig.scratch().to_owned(),
        ..Load::default()
    }
}

fn measure_once(
    rig: &Rig,
    target: &Server,
    command: &[String],
    rate: u32,
    seconds: u32,
) -> Result<Sample, Error> {
    target.reset(Some(rate))?;
    let observed = rig.observe(command, seconds, target)?;
    let mut sample = stamped(&target.report()?, rate);
    sample.extend(throughput::circumstances(&observed));
    Ok(sample)
}

/// The metrics of a report of the stamping target.
fn stamped(report: &Value, rate: u32) -> Sample {
    let mut sample = Sample::new();
    for (figure, quantiles) in [
        ("gap_error", ["p50_ns", "p99_ns", "p99_9_ns", "max_ns"]),
        ("lateness", ["p50_ns", "p99_ns", "p99_9_ns", "max_ns"]),
        ("gap", ["p50_ns", "p99_ns", "min_ns", "max_ns"]),
    ] {
        for quantile in quantiles {
            if let Some(value) = report[figure][quantile].as_f64() {
                sample.insert(format!("{figure}_{quantile}"), value);
            }
        }
    }
    if let Some(share) = report["held_up_share"].as_f64() {
        sample.insert("held_up_share".to_owned(), share);
    }
    let requests = report["requests"].as_f64().unwrap_or(0.0);
    sample.insert("requests".to_owned(), requests);
    if let Some(seconds) = report["seconds"].as_f64().filter(|&seconds| seconds > 0.0) {
        let achieved = (requests - 1.0) / seconds;
        sample.insert("requests_per_second".to_owned(), achieved);
        sample.insert(
            "rate_error_share".to_owned(),
            (achieved / f64::from(rate) - 1.0).abs(),
        );
    }
    sample
}

/// The noise of the machine, and rates that were not kept: that a tool paces differently each time
/// is its own result.
fn doubts(cells: &[Cell]) -> Vec<String> {
    let at = |cell: &Cell| {
        format!(
            "at {}/s",
            cell.parameters.get("rate").copied().unwrap_or(0.0)
        )
    };
    cells
        .iter()
        .flat_map(|cell| {
            let at = at(cell);
            let of_tool = verdict::off_rate(cell, &at);
            verdict::noise(cell, &at).into_iter().chain(of_tool)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_becomes_metrics() {
        let report = json!({
            "requests": 1001, "seconds": 1.0,
            "gap_error": { "p50_ns": 500, "p99_ns": 29_000 },
            "lateness": { "p50_ns": 2300 },
            "gap": null,
        });
        let sample = stamped(&report, 1000);
        assert_eq!(sample.get("gap_error_p99_ns"), Some(&29_000.0));
        assert_eq!(sample.get("lateness_p50_ns"), Some(&2300.0));
        assert_eq!(sample.get("rate_error_share"), Some(&0.0));
        assert!(!sample.contains_key("gap_p50_ns"));
    }

    #[test]
    fn a_tool_that_sent_nothing_has_no_rate() {
        let sample = stamped(&json!({ "requests": 0, "seconds": 0.0 }), 1000);
        assert!(!sample.contains_key("rate_error_share"));
    }
}
