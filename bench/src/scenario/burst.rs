//! `bench burst`: what a burst does to the service time that dlts reports.
//!
//! All requests of a burst are intended at the same instant, each on a connection of its own. A
//! generator that reads no answer until all parts of the burst are sent adds the time of its own
//! sending to every service time. So: the least service time of a large burst must be near that of
//! a single request, and the median cannot be much beyond half of what the target itself needs for
//! the whole burst, which it stamps: from the first arrival until the last answer is written.
//! Nobody else sends bursts; there is nothing to compare with but the target.

use serde_json::Value;

use crate::output::View;
use crate::results::{Cell, Document, Sample};
use crate::rig::{Error, Kind, Rig, Server};
use crate::table::Column;
use crate::throughput::{self, Common};
use crate::tools::Found;
use crate::verdict;

/// The greatest ratio of the least service times of the largest and the smallest burst.
const MIN_RATIO_MAX: f64 = 2.0;

/// What to send.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Requests of a burst
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,100,1000",
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub bursts: Vec<u32>,

    /// Milliseconds from one burst to the next
    #[arg(long, value_name = "MS", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(20..=60_000))]
    pub gap_ms: u32,

    /// What all scenarios know; of --tools, only dlts sends bursts
    #[command(flatten)]
    pub common: Common,
}

/// How it is shown.
pub const VIEW: View = View {
    title: "Service times in bursts, beside what the target needed",
    parameters: &["burst"],
    columns: &[
        Column::spread("service min µs", "service_min_us", 1.0, 0),
        Column::spread("p50 µs", "service_p50_us", 1.0, 0),
        Column::plain("p99 µs", "service_p99_us", 1.0, 0),
        Column::spread("target's span p50 µs", "target_span_us", 1.0, 0),
        Column::plain("p50 / span", "service_p50_of_span", 1.0, 2),
        Column::plain("arrived together", "burst_arrived", 1.0, 0),
        Column::plain("bursts", "bursts", 1.0, 0),
        Column::plain("steal %", "steal_share", 100.0, 1),
        Column::plain("others %", "foreign_share", 100.0, 1),
    ],
    plots: &[],
};

/// Measures every size.
///
/// # Errors
/// When the rig cannot be set up, or dlts is missing.
pub fn run(options: &Options) -> Result<Document, Error> {
    let common = &options.common;
    let rig = Rig::new(common.cores)?;
    let (found, missing) = throughput::look(&["dlts".to_owned()])?;
    let target = rig.start(Kind::Stamping)?;
    let of = |&burst: &u32| Cell::new("dlts", &[("burst", f64::from(burst))]);
    let mut cells: Vec<Cell> = options.bursts.iter().map(of).collect();
    for repetition in 0..common.repetitions {
        for at in throughput::rotated(cells.len(), repetition) {
            let burst = options.bursts[at];
            let command = command(&found[0], &target, burst, options);
            cells[at].keep_command(&command, rig.scratch());
            let sample = measure_once(&rig, &target, &command, common.seconds)?;
            let p50_us = sample.get("service_p50_us").copied().unwrap_or(f64::NAN);
            eprintln!(
                "bursts of {burst:>5} #{}  service p50 {p50_us:.0} µs",
                repetition + 1
            );
            cells[at].samples.push(sample);
        }
    }
    cells.iter_mut().for_each(Cell::summarise);
    let mut settings = throughput::settings(common, Kind::Stamping);
    settings.insert("gap_ms".to_owned(), options.gap_ms.into());
    let doubts = cells
        .iter()
        .flat_map(|cell| verdict::noise(cell, &place(cell)))
        .collect();
    Ok(Document {
        missing,
        verdict: judge(&cells),
        doubts,
        ..throughput::document("burst", &rig, settings, cells)
    })
}

fn command(dlts: &Found, target: &Server, burst: u32, options: &Options) -> Vec<String> {
    let gap_s = f64::from(options.gap_ms) / 1e3;
    let mut command = vec![dlts.path.to_string_lossy().into_owned()];
    command.extend(["run".to_owned(), target.url(), "--json".to_owned()]);
    for (name, value) in [
        ("--connections", burst.to_string()),
        ("--burst", burst.to_string()),
        ("--gap", gap_s.to_string()),
        ("--duration", format!("{}s", options.common.seconds)),
    ] {
        command.extend([name.to_owned(), value]);
    }
    command
}

fn measure_once(
    rig: &Rig,
    target: &Server,
    command: &[String],
    seconds: u32,
) -> Result<Sample, Error> {
    target.reset(None)?;
    let observed = rig.observe(command, seconds, target)?;
    let said: Value = serde_json::from_str(observed.run.stdout.trim()).unwrap_or_default();
    let mut sample = figures(&said, &target.report()?);
    sample.extend(throughput::circumstances(&observed));
    Ok(sample)
}

/// What the driver says of service times, and the target of its own.
fn figures(said: &Value, report: &Value) -> Sample {
    let service_us = |name: &str| Some(said["service"][name].as_f64()? * 1e3);
    let span_us = report["burst"]["span_p50_ns"].as_f64().map(|ns| ns / 1e3);
    let p50_us = service_us("p50_latency");
    let of_span = p50_us
        .zip(span_us)
        .filter(|&(_, span_us)| span_us > 0.0)
        .map(|(p50_us, span_us)| p50_us / span_us);
    let figures = [
        ("service_min_us", service_us("min_latency")),
        ("service_p50_us", p50_us),
        ("service_p99_us", service_us("p99_latency")),
        ("target_span_us", span_us),
        ("service_p50_of_span", of_span),
        ("burst_arrived", report["burst"]["len_p50"].as_f64()),
        ("bursts", report["burst"]["count"].as_f64()),
        ("requests", report["requests"].as_f64()),
    ];
    figures
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// The largest burst beside the smallest, and each median beside the target's span.
fn judge(cells: &[Cell]) -> Vec<String> {
    let mut verdict = Vec::new();
    let size = |cell: &&Cell| cell.parameters.get("burst").copied().unwrap_or(0.0);
    let by_size = |one: &&Cell, other: &&Cell| size(one).total_cmp(&size(other));
    let (least, most) = (cells.iter().min_by(by_size), cells.iter().max_by(by_size));
    let min_us = |cell: Option<&Cell>| cell.and_then(|cell| cell.median("service_min_us"));
    if let (Some(one_us), Some(many_us)) = (min_us(least), min_us(most)) {
        let ratio = many_us / one_us;
        let holds = if ratio <= MIN_RATIO_MAX {
            "holds"
        } else {
            "does NOT hold"
        };
        verdict.push(format!(
            "least service time {} is {ratio:.2} times that {}: at most {MIN_RATIO_MAX} {holds}",
            most.map(place).unwrap_or_default(),
            least.map(place).unwrap_or_default(),
        ));
    }
    for cell in cells {
        if let (Some(p50_us), Some(span_us)) =
            (cell.median("service_p50_us"), cell.median("target_span_us"))
        {
            let at = place(cell);
            verdict.push(format!(
                "p50 {at} is {p50_us:.0} µs; the target needed {span_us:.0} µs for all of it"
            ));
        }
    }
    verdict
}

fn place(cell: &Cell) -> String {
    let burst = cell.parameters.get("burst").copied().unwrap_or(0.0);
    format!("in bursts of {burst}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cell(burst: f64, min_us: f64) -> Cell {
        let mut cell = Cell::new("dlts", &[("burst", burst)]);
        let report = json!({ "burst": { "span_p50_ns": 2_000_000, "len_p50": burst, "count": 9 } });
        let said = json!({ "service": { "min_latency": min_us / 1e3, "p50_latency": 1.0 } });
        cell.samples.push(figures(&said, &report));
        cell.summarise();
        cell
    }

    #[test]
    fn the_median_is_shown_as_a_share_of_what_the_target_needed() {
        let cell = cell(100.0, 170.0);
        assert_eq!(cell.median("service_p50_of_span"), Some(0.5));
        assert_eq!(cell.median("target_span_us"), Some(2000.0));
        assert_eq!(cell.median("service_p99_us"), None);
    }

    #[test]
    fn the_largest_burst_is_held_against_the_smallest() {
        let said = judge(&[cell(1000.0, 300.0), cell(1.0, 170.0)]);
        assert!(
            said[0].ends_with("1.76 times that in bursts of 1: at most 2 holds"),
            "{said:?}"
        );
        let said = judge(&[cell(1.0, 170.0), cell(1000.0, 4200.0)]);
        assert!(said[0].contains("does NOT hold"), "{said:?}");
    }
}
