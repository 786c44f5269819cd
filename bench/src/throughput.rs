//! The canonical comparison: how many requests a second, and how many for a second of CPU.
//!
//! The requests are counted by the target, whatever the tool says. Tools alternate within each
//! repetition, each time in another order, so that a machine that slows down slows all of them
//! down. wrk, where it is there, runs before and after each of the others: the ratios are to the
//! mean of those two neighbours in time, so that a drift of the machine cancels out.

use std::path::PathBuf;

use crate::measure::Usage;
use crate::results::{Cell, Document, Missing, SCHEMA, Sample, Settings};
use crate::rig::{Error, Kind, Observed, Rig, Server};
use crate::table::Column;
use crate::tools::{self, Found, Load};
use crate::verdict;

/// The reference of the ratios.
const REFERENCE: &str = "wrk";
/// Seconds of the discarded run of each tool before its first repetition.
const WARM_UP_S: u32 = 1;

/// What is shown of each cell.
pub const COLUMNS: &[Column] = &[
    Column::spread("k req/CPU-s", "requests_per_cpu_second", 1e-3, 1),
    Column::plain("× wrk", "requests_per_cpu_second_vs_wrk", 1.0, 2),
    Column::spread("k req/s", "requests_per_second", 1e-3, 1),
    Column::plain("× wrk", "requests_per_second_vs_wrk", 1.0, 2),
    Column::plain("gen. busy %", "generator_busy_share", 100.0, 0),
    Column::plain("target busy %", "target_busy_share", 100.0, 0),
    Column::plain("RSS MiB", "rss_mib", 1.0, 1),
    Column::plain("steal %", "steal_share", 100.0, 1),
    Column::plain("others %", "foreign_share", 100.0, 1),
];
/// The parameters that tell cells apart.
pub const PARAMETERS: &[&str] = &["connections", "pipeline"];

/// What to compare.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Connections of each cell
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,64,1000",
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub connections: Vec<u32>,

    /// Depth of the pipelined cell, at 64 connections; 1 leaves it out
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub pipeline: u32,

    /// The server that generators are run against
    #[arg(long, value_enum, default_value = "stamping")]
    pub target: Kind,

    /// What all scenarios know
    #[command(flatten)]
    pub common: Common,
}

/// Options that several scenarios have.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Common {
    /// Generators to compare [default: all that are found]
    #[arg(long, value_name = "LIST", value_delimiter = ',',
          value_parser = clap::builder::PossibleValuesParser::new(tools::names()))]
    pub tools: Vec<String>,

    /// Seconds of each run
    #[arg(long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=600))]
    pub seconds: u32,

    /// Repetitions of each cell
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repetitions: u32,

    /// Cores of the generator and the target, such as 2,3 [default: the first two allowed]
    #[arg(long, value_name = "G,T", value_parser = parse_cores)]
    pub cores: Option<(usize, usize)>,

    /// Folder of the results files
    #[arg(long, value_name = "DIR", default_value = "bench/results")]
    pub results: PathBuf,

    /// Exit with 4 when there are doubts
    #[arg(long)]
    pub strict: bool,
}

/// A combination that is measured with every tool that can do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    connections: u32,
    pipeline: u32,
}

/// Measures everything that was asked for.
///
/// # Errors
/// When the rig cannot be set up, or no generator is there.
pub fn run(options: &Options) -> Result<Document, Error> {
    let rig = Rig::new(options.common.cores)?;
    let (found, missing) = look(&options.common.tools)?;
    let server = rig.start(options.target)?;
    let mut cells = Vec::new();
    for group in groups(options) {
        cells.extend(measure_group(
            &rig,
            &server,
            &found,
            group,
            &options.common,
        )?);
    }
    let (verdict, doubts) = verdict::throughput(&cells);
    let settings = settings(&options.common, options.target);
    Ok(Document {
        missing,
        verdict,
        doubts,
        ..document("throughput", &rig, settings, cells)
    })
}

/// The comparison with the bare ring, which does one thing only: 64 connections, no pipeline.
///
/// # Errors
/// As [`run`].
pub fn floor(common: &Common) -> Result<Document, Error> {
    let tools = ["dlts", "floor", "wrk"].map(str::to_owned).to_vec();
    let common = Common {
        tools,
        ..common.clone()
    };
    let options = Options {
        connections: vec![64],
        pipeline: 1,
        target: Kind::Stamping,
        common,
    };
    Ok(Document {
        scenario: "floor".to_owned(),
        ..run(&options)?
    })
}

/// The tools that are there, and those that are not; an error when none is.
pub(crate) fn look(names: &[String]) -> Result<(Vec<Found>, Vec<Missing>), Error> {
    let (found, missing) = tools::look(names);
    if found.is_empty() {
        let installs: Vec<&str> = missing
            .iter()
            .map(|missing| missing.install.as_str())
            .collect();
        let message = format!(
            "no generator was found; install one: {}",
            installs.join("; ")
        );
        return Err(Error::Nothing(message));
    }
    Ok((found, missing))
}

/// A document with the facts of here and now.
pub(crate) fn document(
    scenario: &str,
    rig: &Rig,
    settings: Settings,
    cells: Vec<Cell>,
) -> Document {
    let (commit, modified) = crate::machine::commit();
    Document {
        schema: SCHEMA,
        scenario: scenario.to_owned(),
        date: crate::machine::date(),
        commit,
        modified,
        host: rig.host.clone(),
        settings,
        cells,
        missing: Vec::new(),
        verdict: Vec::new(),
        doubts: Vec::new(),
    }
}

pub(crate) fn settings(common: &Common, target: Kind) -> Settings {
    Settings::from([
        ("seconds".to_owned(), common.seconds.into()),
        ("repetitions".to_owned(), common.repetitions.into()),
        ("target".to_owned(), target.name().into()),
    ])
}

fn groups(options: &Options) -> Vec<Group> {
    let plain = options.connections.iter().map(|&connections| Group {
        connections,
        pipeline: 1,
    });
    let mut groups: Vec<Group> = plain.collect();
    if options.pipeline > 1 {
        groups.push(Group {
            connections: 64,
            pipeline: options.pipeline,
        });
    }
    groups
}

fn measure_group(
    rig: &Rig,
    server: &Server,
    found: &[Found],
    group: Group,
    common: &Common,
) -> Result<Vec<Cell>, Error> {
    let load = |seconds| Load {
        url: server.url(),
        connections: group.connections,
        seconds,
        pipeline: group.pipeline,
        rate: None,
        core: rig.host.generator_core,
        scratch: rig.scratch().to_owned(),
    };
    let (tools, mut cells) = warm_up(rig, server, found, group, load)?;
    interleave(&mut cells, common.repetitions, |at, cell| {
        let command = tools[at].command(&load(common.seconds)).unwrap_or_default();
        cell.keep_command(&command, rig.scratch());
        let sample = measure_once(rig, server, &command, common.seconds)?;
        report_progress(cell, &sample);
        Ok(sample)
    })?;
    cells.iter_mut().for_each(Cell::summarise);
    Ok(cells)
}

/// Runs every tool that can do the load once, for nothing; one that fails is named and left out.
fn warm_up<'found>(
    rig: &Rig,
    server: &Server,
    found: &'found [Found],
    group: Group,
    load: impl Fn(u32) -> Load,
) -> Result<(Vec<&'found Found>, Vec<Cell>), Error> {
    let (mut tools, mut cells) = (Vec::new(), Vec::new());
    for tool in found {
        let Some(command) = tool.command(&load(WARM_UP_S)) else {
            continue;
        };
        let observed = rig.observe(&command, WARM_UP_S, server)?;
        if observed.run.usage.code == Some(0) {
            tools.push(tool);
            cells.push(new_cell(tool, group));
        } else {
            eprintln!("{} is left out: {}", tool.tool.name, observed.run.failure());
        }
    }
    Ok((tools, cells))
}

fn new_cell(tool: &Found, group: Group) -> Cell {
    let parameters = [
        ("connections", f64::from(group.connections)),
        ("pipeline", f64::from(group.pipeline)),
    ];
    let mut cell = Cell::new(tool.tool.name, &parameters);
    cell.version.clone_from(&tool.version);
    cell
}

/// Measures each cell so many times, in another order each time, with the reference before and
/// after each of the others: what follows one of them is what precedes the next.
fn interleave(
    cells: &mut [Cell],
    repetitions: u32,
    mut measure: impl FnMut(usize, &mut Cell) -> Result<Sample, Error>,
) -> Result<(), Error> {
    let mut run = |at: usize, cells: &mut [Cell]| {
        let sample = measure(at, &mut cells[at])?;
        cells[at].samples.push(sample.clone());
        Ok::<Sample, Error>(sample)
    };
    let is_reference = |cell: &Cell| cell.subject == REFERENCE;
    let reference = cells.iter().position(is_reference);
    // Alone it is measured as any other would be.
    let reference = reference.filter(|_| cells.len() > 1);
    let others: Vec<usize> = (0..cells.len())
        .filter(|&at| Some(at) != reference)
        .collect();
    let mut before = reference.map(|at| run(at, cells)).transpose()?;
    for repetition in 0..repetitions {
        for at in rotated(others.len(), repetition).map(|turn| others[turn]) {
            run(at, cells)?;
            if let (Some(reference), Some(earlier)) = (reference, before.take()) {
                let later = run(reference, cells)?;
                let sample = cells[at].samples.last_mut();
                add_ratios(sample.expect("invariant: it ran"), [&earlier, &later]);
                before = Some(later);
            }
        }
    }
    Ok(())
}

/// The order of a repetition: each time another one goes first.
pub(crate) fn rotated(count: usize, repetition: u32) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| (turn + repetition as usize) % count)
}

/// Runs a generator once and takes the target's word for what it did.
pub(crate) fn measure_once(
    rig: &Rig,
    server: &Server,
    command: &[String],
    seconds: u32,
) -> Result<Sample, Error> {
    let before = server.settled_count()?;
    let observed = rig.observe(command, seconds, server)?;
    let requests = server.count()? - before;
    let (seconds, target_busy) = server.window(&observed)?;
    Ok(sample(&observed, requests, seconds, target_busy))
}

fn sample(observed: &Observed, requests: u64, seconds: f64, target_busy: f64) -> Sample {
    let usage: &Usage = &observed.run.usage;
    let requests = requests as f64;
    let per = |amount: f64| if amount > 0.0 { requests / amount } else { 0.0 };
    let metrics = [
        ("requests", requests),
        ("seconds", seconds),
        ("wall_seconds", usage.seconds),
        ("user_seconds", usage.user_seconds),
        ("requests_per_second", per(seconds)),
        ("requests_per_cpu_second", per(usage.cpu_seconds())),
        ("target_busy_share", target_busy),
    ];
    let mut sample = circumstances(observed);
    sample.extend(metrics.map(|(name, value)| (name.to_owned(), value)));
    sample
}

/// What a run of a generator took, and what else the machine did meanwhile.
pub(crate) fn circumstances(observed: &Observed) -> Sample {
    let usage: &Usage = &observed.run.usage;
    Sample::from(
        [
            ("cpu_seconds", usage.cpu_seconds()),
            ("generator_busy_share", usage.cpu_seconds() / usage.seconds),
            ("rss_mib", usage.rss_mib),
            ("steal_share", observed.steal_share),
            ("foreign_share", observed.foreign_share),
            ("failed", f64::from(u8::from(usage.code != Some(0)))),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

/// The ratios to the mean of the reference's neighbours in time.
fn add_ratios(sample: &mut Sample, neighbours: [&Sample; 2]) {
    for metric in ["requests_per_second", "requests_per_cpu_second"] {
        let of = |sample: &Sample| sample.get(metric).copied().unwrap_or(0.0);
        let mean = neighbours.map(of).iter().sum::<f64>() / 2.0;
        if mean > 0.0 {
            sample.insert(format!("{metric}_vs_{REFERENCE}"), of(sample) / mean);
        }
    }
}

fn report_progress(cell: &Cell, sample: &Sample) {
    let parameter = |name| cell.parameters.get(name).copied().unwrap_or(0.0);
    eprintln!(
        "{:>5} connections × {:<2} {:<10} #{}  {:>8.1} k req/CPU-s  {:>8.1} k req/s",
        parameter("connections"),
        parameter("pipeline"),
        cell.subject,
        cell.samples.len() + 1,
        sample.get("requests_per_cpu_second").unwrap_or(&0.0) / 1e3,
        sample.get("requests_per_second").unwrap_or(&0.0) / 1e3,
    );
}

/// Reads `G,T`.
fn parse_cores(text: &str) -> Result<(usize, usize), String> {
    let wrong = || format!("'{text}' is not a pair of different cores such as 2,3");
    let (generator, target) = text.split_once(',').ok_or_else(wrong)?;
    let pair = (
        generator.parse().map_err(|_| wrong())?,
        target.parse().map_err(|_| wrong())?,
    );
    if pair.0 == pair.1 {
        Err(wrong())
    } else {
        Ok(pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRIC: &str = "requests_per_cpu_second";
    const RATIO: &str = "requests_per_cpu_second_vs_wrk";

    /// Interleaves, on a machine that gets faster by 100 requests with each run, whoever runs. Gives
    /// the cells and the order.
    fn interleaved(subjects: &[&str], repetitions: u32) -> (Vec<Cell>, Vec<usize>) {
        let mut cells: Vec<Cell> = subjects.iter().map(|name| Cell::new(name, &[])).collect();
        let (mut order, mut speed) = (Vec::new(), 1000.0);
        let measured = interleave(&mut cells, repetitions, |at, _| {
            order.push(at);
            speed += 100.0;
            Ok(Sample::from([(METRIC.to_owned(), speed)]))
        });
        measured.unwrap();
        (cells, order)
    }

    #[test]
    fn the_reference_runs_before_and_after_each_other_and_drift_cancels_out() {
        let (cells, order) = interleaved(&["dlts", "wrk", "oha"], 2);
        assert_eq!(order, [1, 0, 1, 2, 1, 2, 1, 0, 1]);
        let counts: Vec<usize> = cells.iter().map(|cell| cell.samples.len()).collect();
        assert_eq!(counts, [2, 5, 2]);
        for sample in [&cells[0], &cells[2]].iter().flat_map(|cell| &cell.samples) {
            assert!((sample[RATIO] - 1.0).abs() < 1e-9, "{sample:?}");
        }
        let of_reference = cells[1].samples.iter();
        assert!(
            of_reference
                .flat_map(Sample::keys)
                .all(|name| name == METRIC)
        );
    }

    #[test]
    fn without_others_or_without_the_reference_there_are_no_ratios() {
        for (subjects, expected) in [
            (&["dlts", "oha"][..], vec![0, 1, 1, 0]),
            (&["wrk"][..], vec![0, 0]),
        ] {
            let (cells, order) = interleaved(subjects, 2);
            assert_eq!(order, expected);
            let samples = cells.iter().flat_map(|cell| &cell.samples);
            assert!(samples.flat_map(Sample::keys).all(|name| name == METRIC));
        }
    }

    #[test]
    fn the_pair_of_cores_must_be_two() {
        assert_eq!(parse_cores("2,3"), Ok((2, 3)));
        for text in ["1,1", "1", "a,b", "1,2,3"] {
            assert!(parse_cores(text).unwrap_err().contains("2,3"));
        }
    }
}
