//! The canonical comparison: how many requests a second, and how many for a second of CPU.
//!
//! The requests are counted by the target, whatever the tool says, as far as the target counts. Each
//! load is measured again and again until the ratio of dlts to the reference is known well enough,
//! or the time is up: see [`verdict`]. The scenarios of other loads ([`crate::scenario::loads`]) are
//! measured by the same code.

mod plan;
mod repeats;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::measure::{self, Usage};
use crate::results::{Cell, Document, Missing, SCHEMA, Sample, Settings};
use crate::rig::{Error, Kind, Observed, Rig, Server};
use crate::scenario::reported;
use crate::table::Column;
use crate::tools::{self, Found, TOOLS, Tool};
use crate::verdict;

pub(crate) use plan::{Group, Plan};
pub(crate) use repeats::rotated;
use repeats::{Repeats, interleave};

/// The reference of the ratios where it can make the load.
pub(crate) const WRK: &str = "wrk";
/// Seconds of the discarded run of each tool before its first repetition.
const WARM_UP_S: u32 = 1;

/// What is shown of each cell where wrk is the reference.
pub const COLUMNS: &[Column] = &columns(
    "× wrk",
    "requests_per_cpu_second_vs_wrk",
    "requests_per_second_vs_wrk",
);
/// Where h2load is.
pub(crate) const COLUMNS_VS_H2LOAD: &[Column] = &columns(
    "× h2load",
    "requests_per_cpu_second_vs_h2load",
    "requests_per_second_vs_h2load",
);
/// Where k6 is.
pub(crate) const COLUMNS_VS_K6: &[Column] = &columns(
    "× k6",
    "requests_per_cpu_second_vs_k6",
    "requests_per_second_vs_k6",
);

/// The columns with the ratios to one reference.
const fn columns(
    reference: &'static str,
    by_cpu_second: &'static str,
    by_second: &'static str,
) -> [Column; 12] {
    [
        Column::spread("k req/CPU-s", "requests_per_cpu_second", 1e-3, 1),
        Column::plain(reference, by_cpu_second, 1.0, 2),
        Column::spread("k req/s", "requests_per_second", 1e-3, 1),
        Column::plain(reference, by_second, 1.0, 2),
        Column::plain("instr./req", "instructions_per_request", 1.0, 0),
        Column::plain("of user", "user_instructions_per_request", 1.0, 0),
        Column::plain("cycles/req", "cycles_per_request", 1.0, 0),
        Column::plain("gen. busy %", "generator_busy_share", 100.0, 0),
        Column::plain("target busy %", "target_busy_share", 100.0, 0),
        Column::plain("RSS MiB", "rss_mib", 1.0, 1),
        Column::plain("steal %", "steal_share", 100.0, 1),
        Column::plain("others %", "foreign_share", 100.0, 1),
    ]
}

/// What is drawn.
pub const PLOTS: &[(&str, &str, f64)] = &[(
    "requests_per_cpu_second",
    "thousand requests for a second of CPU",
    1e-3,
)];
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

    /// How long to go on
    #[command(flatten)]
    pub budget: Budget,

    /// What all scenarios know
    #[command(flatten)]
    pub common: Common,
}

/// How long the scenarios that compare generators go on.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
pub struct Budget {
    /// Repeat until the verdict is certain, or for so long; 0s: --repetitions and no more
    #[arg(long, value_name = "TIME", default_value = "20m", value_parser = repeats::parse_budget)]
    pub budget: Duration,
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

    /// Repetitions of each cell; with --budget, the fewest
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

/// Measures everything that was asked for.
///
/// # Errors
/// When the rig cannot be set up, or no generator is there.
pub fn run(options: &Options) -> Result<Document, Error> {
    let plan = Plan {
        scenario: "throughput".to_owned(),
        target: options.target,
        reference: WRK,
        groups: groups(options),
    };
    compare(&plan, options.budget, &options.common)
}

/// The comparison with the bare ring, which does one thing only: 64 connections, no pipeline.
///
/// # Errors
/// As [`run`].
pub fn floor(budget: Budget, common: &Common) -> Result<Document, Error> {
    let tools = ["dlts", "floor", WRK].map(str::to_owned).to_vec();
    let common = Common {
        tools,
        ..common.clone()
    };
    let plan = Plan {
        scenario: "floor".to_owned(),
        target: Kind::Stamping,
        reference: WRK,
        groups: vec![Group::plain(64)],
    };
    compare(&plan, budget, &common)
}

/// Measures a plan. A load that this machine cannot carry is left out, and said so as a doubt.
pub(crate) fn compare(plan: &Plan, budget: Budget, common: &Common) -> Result<Document, Error> {
    let rig = Rig::new(common.cores)?;
    let (found, mut missing) = look(&common.tools)?;
    let server = rig.start(plan.target)?;
    let can = |tool: &Tool| {
        let mut loads = plan.groups.iter().map(|group| group.load(&rig, &server, 1));
        loads.any(|load| tool.arguments(&load).is_some())
    };
    if !found.iter().any(|found| can(found.tool)) {
        let names = found.iter().map(|found| found.tool.name);
        let names = names.collect::<Vec<_>>().join(", ");
        return Err(Error::Nothing(format!(
            "of the generators asked for and found ({names}) none can make this load; see --tools"
        )));
    }
    let could = TOOLS.iter().filter(|tool| can(tool));
    let could: Vec<&str> = could.map(|tool| tool.name).collect();
    missing.retain(|missing| could.contains(&missing.tool.as_str()));
    let (mut cells, mut obstacles) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    let count = u32::try_from(plan.groups.len()).unwrap_or(u32::MAX);
    for (index, group) in (1..).zip(&plan.groups) {
        if let Some(obstacle) = group.obstacle() {
            obstacles.push(obstacle);
            continue;
        }
        // What a load leaves of its share is the others'.
        let repeats = Repeats {
            least: common.repetitions,
            until: (!budget.budget.is_zero()).then(|| begin + budget.budget / count * index),
        };
        let bench = Bench {
            rig: &rig,
            server: &server,
            reference: plan.reference,
        };
        cells.extend(bench.measure_group(&found, group, common.seconds, repeats)?);
    }
    let (verdict, mut doubts) = verdict::throughput(&cells, plan.reference);
    doubts.extend(obstacles);
    let mut settings = settings(common, plan.target);
    settings.insert("reference".to_owned(), plan.reference.into());
    settings.insert("budget_s".to_owned(), budget.budget.as_secs().into());
    let counters = measure::Counters::start().map_or_else(|why| why, |_| "counted".to_owned());
    settings.insert("instructions".to_owned(), counters.into());
    if !plan.target.counts() {
        let words = "by what each generator says: this target does not count";
        settings.insert("requests".to_owned(), words.into());
    }
    Ok(Document {
        missing,
        verdict,
        doubts,
        ..document(&plan.scenario, &rig, settings, cells)
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
    let plain = options.connections.iter().copied().map(Group::plain);
    let mut groups: Vec<Group> = plain.collect();
    if options.pipeline > 1 {
        groups.push(Group {
            pipeline: options.pipeline,
            ..Group::plain(64)
        });
    }
    groups
}

/// Where the generators of a plan are measured.
struct Bench<'rig> {
    rig: &'rig Rig,
    server: &'rig Server,
    reference: &'static str,
}

impl Bench<'_> {
    fn measure_group(
        &self,
        found: &[Found],
        group: &Group,
        seconds: u32,
        repeats: Repeats,
    ) -> Result<Vec<Cell>, Error> {
        let (tools, mut cells) = self.warm_up(found, group)?;
        let load = group.load(self.rig, self.server, seconds);
        interleave(&mut cells, repeats, self.reference, |at, cell| {
            let command = tools[at].command(&load).unwrap_or_default();
            cell.keep_command(&command, self.rig.scratch());
            let sample = measure_once(self.rig, self.server, tools[at], &command, seconds)?;
            report_progress(cell, &sample);
            Ok(sample)
        })?;
        cells.iter_mut().for_each(Cell::summarise);
        Ok(cells)
    }

    /// Runs every tool that can do the load once, for nothing; one that fails is named and left out.
    fn warm_up<'found>(
        &self,
        found: &'found [Found],
        group: &Group,
    ) -> Result<(Vec<&'found Found>, Vec<Cell>), Error> {
        let (mut tools, mut cells) = (Vec::new(), Vec::new());
        for tool in found {
            let load = group.load(self.rig, self.server, WARM_UP_S);
            let Some(command) = tool.command(&load) else {
                continue;
            };
            let observed = self.rig.observe(&command, WARM_UP_S, self.server)?;
            if observed.run.usage.code == Some(0) {
                let mut cell = group.cell(tool.tool.name);
                cell.version.clone_from(&tool.version);
                tools.push(tool);
                cells.push(cell);
            } else {
                eprintln!("{} is left out: {}", tool.tool.name, observed.run.failure());
            }
        }
        Ok((tools, cells))
    }
}

/// Runs a generator once and takes the target's word for what it did; that of the generator where
/// the target does not count.
pub(crate) fn measure_once(
    rig: &Rig,
    server: &Server,
    tool: &Found,
    command: &[String],
    seconds: u32,
) -> Result<Sample, Error> {
    let (observed, requests) = if server.kind().counts() {
        let before = server.settled_count()?;
        let observed = rig.observe(command, seconds, server)?;
        (observed, server.count()? - before)
    } else {
        let name = tool.tool.name;
        let command = tools::reporting(name, command.to_vec());
        let observed = rig.observe(&command, seconds, server)?;
        let said = reported::requests(name, &observed.run.stdout);
        (observed, said.unwrap_or(0))
    };
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
    sample.extend(counted_per_request(usage, requests));
    sample
}

/// What the processor counted for each request, if it counted and there were any.
fn counted_per_request(usage: &Usage, requests: f64) -> Vec<(String, f64)> {
    let Some(counted) = usage.counted.filter(|_| requests > 0.0) else {
        return Vec::new();
    };
    let metrics = [
        ("user_instructions", Some(counted.user_instructions)),
        ("instructions", counted.instructions),
        ("cycles", counted.cycles),
    ];
    let each = metrics.into_iter().filter_map(|(name, count)| {
        let per_request = count? as f64 / requests;
        Some((format!("{name}_per_request"), per_request))
    });
    each.collect()
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

    #[test]
    fn the_pair_of_cores_must_be_two() {
        assert_eq!(parse_cores("2,3"), Ok((2, 3)));
        for text in ["1,1", "1", "a,b", "1,2,3"] {
            assert!(parse_cores(text).unwrap_err().contains("2,3"));
        }
    }
}
