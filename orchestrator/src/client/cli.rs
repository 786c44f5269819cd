//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint, value_parser};
use clap_complete::Shell;
use proto::bus::PropertyOptions;
use proto::ci::ReportArgs;
use proto::document::{REPEATS_MAX, named_value, parse_rate};
use proto::units::parse_duration_ns;
use proto::workload::Rate;

use super::api::Trust;
use super::document;
use super::ending::Problem;
use super::load::Load;

/// The terminal front end of dlts: runs tests, shows results, watches the drivers.
#[derive(Debug, Parser)]
#[command(name = "client", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// The orchestrator, host:port or URL
    #[arg(
        long,
        env = "ORCHESTRATOR",
        value_name = "ADDRESS",
        global = true,
        default_value = "127.0.0.1:8001"
    )]
    pub orchestrator: String,
    /// Token that the orchestrator asks for
    #[arg(
        long,
        env = "DLTS_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        global = true
    )]
    pub token: Option<String>,
    /// What an https orchestrator must show
    #[command(flatten)]
    pub trust: Trust,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  client run avalanche --requests 1000000        create, trigger, follow, print the result
  client run tsunami 0.5 --burst 10
  client run shop.yaml -e TARGET=http://10.0.0.7     a test that is a document
  client run shop.yaml --repeat 5                five runs of it, and their spread
  client capacity shop.yaml --from 500           the highest rate at which its thresholds hold
  client list; client watch <id>; client stop <id>
  client rate <id> 500/s                         while it runs, from some seconds ahead on
  client export <id> --format hlog --output run.hlog
  client compare <a>,<b>,<c>,<d>,<e> <v>,<w>,<x>,<y>,<z>
  client gate <v>,<w>,<x>,<y>,<z> --baseline 'shop checkout'
  client trend 'shop checkout'
  client note <id> 'deployed 1.4.2'
  client backup dlts-2026-11-26.sqlite
  client nodes                                   heartbeats as they come, from Kafka
  client completions bash > /etc/bash_completion.d/client

Exit codes: 0 ok, 1 error, 2 usage, 3 a threshold is breached or a gate found it worse, 4 the result
is invalid or incomplete, or runs cannot be compared, 130 interrupted. Of several runs the worst
decides: 130, then 1, 4, 3.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a test, trigger it, follow it, and print its result; Ctrl-C stops it
    Run(Box<RunOptions>),
    /// Search the highest rate at which a document's thresholds hold, and print each step and the
    /// answer; Ctrl-C stops the search
    Capacity(CapacityOptions),
    /// Follow a test, a set of runs or a search to its end and print its result; Ctrl-C leaves it
    /// running
    Watch {
        /// The test, the set or the search
        test_id: String,
    },
    /// List the tests, newest first
    List(ListOptions),
    /// Stop a test: it stops sending, drains and reports
    Stop {
        /// The test
        test_id: String,
    },
    /// Write on a test what happened at an instant, such as a deployment: charts and reports mark it
    Note(NoteOptions),
    /// Change the rate of a test that runs: of a document that of all drivers together, else of each
    Rate {
        /// The test
        test_id: String,
        /// The rate from some seconds ahead on: 500/s, 3000/m, or a number a second
        #[arg(value_name = "RATE", value_parser = parse_rate)]
        rate: Rate,
        /// Who orders it, as the result and the page show it
        #[arg(long, value_name = "WHO", default_value = "client")]
        by: String,
    },
    /// Get a stored result as a file
    Export(ExportOptions),
    /// Hold two sets of runs against each other, five a side or more
    Compare(CompareOptions),
    /// Say by the exit code whether runs are worse than the last good ones of a name
    Gate(GateOptions),
    /// Show the runs of a name, the oldest first, and each set of them against the one before
    Trend(TrendOptions),
    /// Print the drivers' heartbeats from Kafka as they come, and who is up, suspect or down
    Nodes(NodesOptions),
    /// Get a copy of the orchestrator's store, also while a test runs; `orchestrator --restore` takes it
    Backup {
        /// File to write; it must not be there yet
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Ask the orchestrator how it and its broker fare; an error when it does not answer
    Health,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Options of `run`.
#[derive(Debug, Clone, Args)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub struct RunOptions {
    /// The test, where it is not a document
    #[command(subcommand)]
    pub load: Option<Load>,
    /// The document, where it is one
    #[command(flatten)]
    pub document: DocumentOptions,
}

/// A test that is a document.
#[derive(Debug, Clone, Args)]
pub struct DocumentOptions {
    /// The document: a file of YAML or JSON
    #[arg(required = true, value_name = "FILE", value_parser = document::file,
        value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// A value for $NAME in the document, which otherwise is that of the environment; may be repeated
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = named_value)]
    pub env: Vec<(String, String)>,
    /// How it is run
    #[command(flatten)]
    pub terms: RunTerms,
}

/// How a test is run, whatever it is.
#[derive(Debug, Clone, Default, Args)]
pub struct RunTerms {
    /// Wait for the drivers when another test runs
    #[arg(long)]
    pub queue: bool,
    /// What the test is called, by which gate, compare and list find it [default: a document's own]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Runs after each other, 1 to 100, each a test of its own with the tag repeat=ID; the answer is
    /// their figures' median and spread. Those of a document go on without this client [default: that
    /// of the document, or 1]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=REPEATS_MAX.into()))]
    pub repeat: Option<u32>,
    /// From the end of a run to the creation of the next one [default: that of the document, or 1s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ns)]
    pub rest: Option<u64>,
    /// What is written for the pages of CI
    #[command(flatten)]
    pub report: ReportArgs,
}

impl RunTerms {
    /// How many runs are asked for; `of_document` where the command line says nothing.
    ///
    /// # Errors
    /// [`Problem::Usage`] where a rest is given that nothing comes after.
    pub fn times(&self, of_document: u32) -> Result<u32, Problem> {
        let times = self.repeat.unwrap_or(of_document);
        if times == 1 && self.rest.is_some() {
            let problem = "--rest is between runs, and this is one: give --repeat 5";
            return Err(Problem::Usage(problem.to_owned()));
        }
        Ok(times)
    }
}

/// Options of `capacity`.
#[derive(Debug, Clone, Args)]
pub struct CapacityOptions {
    /// The document: a file of YAML or JSON, with thresholds and one open stage, such as
    /// load: {open: 100/s, for: 5s}, whose rate is varied
    #[arg(value_name = "FILE", value_parser = document::file, value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// A value for $NAME in the document, which otherwise is that of the environment; may be repeated
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = named_value)]
    pub env: Vec<(String, String)>,
    /// The first rate, a second, of all drivers together [default: that of the document]
    #[arg(long, value_name = "RATE")]
    pub from: Option<f64>,
    /// The highest rate to offer [default: 10000000]
    #[arg(long, value_name = "RATE")]
    pub to: Option<f64>,
    /// How near the ends of the answer come [default: 5%]
    #[arg(long, value_name = "SHARE")]
    pub precision: Option<String>,
}

/// Options of `list`.
#[derive(Debug, Clone, Args)]
pub struct ListOptions {
    /// Most tests to list; 0 lists all
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Only those whose id, type, state or target has this text
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
}

/// Options of `export`.
#[derive(Debug, Clone, Args)]
pub struct ExportOptions {
    /// The test
    pub test_id: String,
    /// What to write
    #[arg(long, short, value_enum, default_value_t = Format::Json)]
    pub format: Format,
    /// File to write instead of standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// Options of `compare`.
#[derive(Debug, Clone, Args)]
pub struct CompareOptions {
    /// The runs to compare with: ids with commas between, name:NAME or tag:TAG=VALUE
    #[arg(value_name = "BASE")]
    pub base: String,
    /// The runs that are judged, likewise
    #[arg(value_name = "TEST")]
    pub test: String,
    /// How they are compared
    #[command(flatten)]
    pub terms: Terms,
    /// Exit with 3 when anything is worse than in the base, and with 4 when that cannot be told
    #[arg(long)]
    pub fail_if_worse: bool,
    /// What is written for the pages of CI
    #[command(flatten)]
    pub report: ReportArgs,
}

/// Options of `gate`.
#[derive(Debug, Clone, Args)]
pub struct GateOptions {
    /// The runs that are judged: ids with commas between, name:NAME or tag:TAG=VALUE
    #[arg(value_name = "TEST")]
    pub test: String,
    /// Name of the tests to compare with: the last good ones that were asked the same
    #[arg(long, value_name = "NAME")]
    pub baseline: String,
    /// How they are compared
    #[command(flatten)]
    pub terms: Terms,
    /// What is written for the pages of CI
    #[command(flatten)]
    pub report: ReportArgs,
}

/// Options of `note`.
#[derive(Debug, Clone, Args)]
pub struct NoteOptions {
    /// The test
    #[arg(value_name = "TEST")]
    pub test_id: String,
    /// What happened
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// When, after the start of the run, such as 150s [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ns)]
    pub at: Option<u64>,
}

/// Options of `trend`.
#[derive(Debug, Clone, Args)]
pub struct TrendOptions {
    /// The name: a document's own, or that of --name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Most runs, the newest [default: 100]
    #[arg(long, value_name = "N")]
    pub runs: Option<u64>,
}

/// How two sets of runs are compared.
#[derive(Debug, Clone, Default, Args)]
pub struct Terms {
    /// Change that counts as none, a share of the base [default: 0.05]
    #[arg(long, value_name = "SHARE")]
    pub tolerance: Option<f64>,
    /// Most runs of a name or tag, the newest [default: 10]
    #[arg(long, value_name = "N")]
    pub runs: Option<u64>,
    /// Compare them though they are unlike, invalid or not done
    #[arg(long)]
    pub anyway: bool,
}

/// The forms of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Everything
    Json,
    /// A line a second
    Csv,
    /// `HdrHistogram` interval log
    Hlog,
    /// `HdrHistogram` percentile distribution
    Hgrm,
}

impl Format {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Hlog => "hlog",
            Self::Hgrm => "hgrm",
        }
    }
}

/// Options of `nodes`.
#[derive(Debug, Clone, Args)]
pub struct NodesOptions {
    /// Broker address, host:port, several separated by commas [default: what the orchestrator uses]
    #[arg(long, env = "BROKER_IP", value_name = "HOST:PORT")]
    pub kafka: Option<String>,
    /// How it is reached
    #[command(flatten)]
    pub properties: PropertyOptions,
    /// Print only who comes up, becomes suspect, or goes down
    #[arg(long, short)]
    pub quiet: bool,
    /// End after this time, such as 30s [default: at Ctrl-C]
    #[arg(long, short, value_name = "TIME", value_parser = parse_duration_ns)]
    pub duration: Option<u64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn unknown_options_and_formats_are_refused() {
        for line in [
            &["client"][..],
            &["client", "run"],
            &["client", "run", "flood"],
            &["client", "run", "shop.txt"],
            &["client", "run", "shop.yaml", "-e", "NAME"],
            &["client", "run", "avalanche", "--request", "5"],
            &["client", "run", "avalanche", "--duration", "soon"],
            &["client", "export", "id", "--format", "xml"],
            &["client", "watch"],
            &["client", "rate", "id"],
            &["client", "rate", "id", "0"],
            &["client", "rate", "id", "5..9/s"],
        ] {
            assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
