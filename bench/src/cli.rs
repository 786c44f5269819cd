//! The command line: one subcommand a scenario, the canonical comparison without one.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::results::Document;
use crate::rig::Error;
use crate::scenario::loads::{self, Kinds};
use crate::scenario::{burst, control, instructions, pacing, scale, server, stall};
use crate::{compare, kafka, measure, output, rig, table, target, throughput, tools};

/// Compares dlts with what people use, in a way that a sceptic can repeat.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub struct Options {
    /// What to do [default: the canonical comparison]
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Options of the canonical comparison
    #[command(flatten)]
    pub throughput: throughput::Options,
}

const AFTER_HELP: &str = "\
Without a subcommand: the canonical comparison, requests counted by the target.
Exit codes: 0 done, 1 error, 2 usage, 4 done but in doubt (with --strict, or compare: worse).";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the stamping target: spins on a core and stamps every arrival
    Target(target::Options),
    /// Compare how evenly generators send, as the target sees it
    Pacing(pacing::Options),
    /// Compare what generators report when the target freezes
    Stall(stall::Options),
    /// Compare the test server with other minimal servers
    Server(server::Options),
    /// Run 1 to 8 drivers under an orchestrator
    Scale(scale::Options),
    /// Count the metrics messages a second that are merged
    Control(control::Options),
    /// Compare dlts with a bare ring that only sends and receives, and with wrk
    Floor(Floor),
    /// Compare with many connections, up to 50000
    Connections(loads::Options),
    /// Compare with answers of 16 KiB and of 1 MiB
    Large(loads::Options),
    /// Compare with a header that is new in each answer
    UniqueHeads(loads::Options),
    /// Compare with a connection for each request
    ConnectionPerRequest(loads::Options),
    /// Compare over TLS, HTTP/1.1, at nginx
    Tls(loads::Options),
    /// Compare with a TLS handshake for each request, full and resumed, at nginx
    Handshakes(loads::Options),
    /// Compare HTTP/2 over TLS, 1 and 32 streams, at nginx and nghttpd
    H2(loads::Options),
    /// Compare what documents say: pages by weight, rows of a file, sessions
    Documents(loads::Options),
    /// Show what bursts do to service times, beside the target's own stamps
    Burst(burst::Options),
    /// Count the instructions of the hot paths with callgrind
    Instructions(instructions::Options),
    /// Show what changed between two results files, with the noise; exits with 4 if worse
    Compare {
        /// The results file before
        base: PathBuf,
        /// The results file after
        new: PathBuf,
    },
    /// Show which generators are found; with --install, install what registries have
    Tools {
        /// Run the install commands of those that are missing
        #[arg(long)]
        install: bool,
    },
    /// Run a real Apache Kafka, for the tests and for `BROKER=kafka make up`
    Kafka(kafka::Options),
    /// Run a program pinned and write what it took (used by the scenarios)
    #[command(hide = true)]
    Exec(measure::Options),
}

/// Options of `bench floor`.
#[derive(Clone, Debug, clap::Args)]
pub struct Floor {
    /// How long to go on
    #[command(flatten)]
    pub budget: throughput::Budget,
    /// What all scenarios know
    #[command(flatten)]
    pub common: throughput::Common,
}

/// How it ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Done, but the numbers must not be believed, or got worse.
    Doubtful,
}

/// Does what was asked for.
///
/// # Errors
/// When it cannot be done; the message names the remedy.
pub fn run(options: &Options) -> Result<Outcome, Box<dyn std::error::Error>> {
    rig::raise_open_files();
    match &options.command {
        None => {
            let document = throughput::run(&options.throughput)?;
            Ok(publish(&document, &THROUGHPUT, &options.throughput.common)?)
        }
        Some(Command::Target(options)) => Ok(target::run(options).map(|()| Outcome::Done)?),
        Some(Command::Kafka(options)) => Ok(kafka::run(options).map(|()| Outcome::Done)?),
        Some(Command::Exec(options)) => Ok(measure::exec(options).map(|()| Outcome::Done)?),
        Some(Command::Pacing(options)) => Ok(publish(
            &pacing::run(options)?,
            &pacing::VIEW,
            &options.common,
        )?),
        Some(Command::Stall(options)) => Ok(publish(
            &stall::run(options)?,
            &stall::VIEW,
            &options.common,
        )?),
        Some(Command::Server(options)) => Ok(publish(
            &server::run(options)?,
            &server::VIEW,
            &options.common,
        )?),
        Some(Command::Scale(options)) => {
            output::publish(&scale::run(options)?, &scale::VIEW, &options.results)?;
            Ok(Outcome::Done)
        }
        Some(Command::Control(options)) => {
            output::publish(&control::run(options)?, &control::VIEW, &options.results)?;
            Ok(Outcome::Done)
        }
        Some(Command::Floor(Floor { budget, common })) => {
            let document = throughput::floor(*budget, common)?;
            Ok(publish(&document, &THROUGHPUT, common)?)
        }
        Some(Command::Connections(options)) => Ok(loads::run(Kinds::Connections, options)?),
        Some(Command::Large(options)) => Ok(loads::run(Kinds::Large, options)?),
        Some(Command::UniqueHeads(options)) => Ok(loads::run(Kinds::UniqueHeads, options)?),
        Some(Command::ConnectionPerRequest(options)) => {
            Ok(loads::run(Kinds::ConnectionPerRequest, options)?)
        }
        Some(Command::Tls(options)) => Ok(loads::run(Kinds::Tls, options)?),
        Some(Command::Handshakes(options)) => Ok(loads::run(Kinds::Handshakes, options)?),
        Some(Command::H2(options)) => Ok(loads::run(Kinds::H2, options)?),
        Some(Command::Documents(options)) => Ok(loads::run(Kinds::Documents, options)?),
        Some(Command::Burst(options)) => Ok(publish(
            &burst::run(options)?,
            &burst::VIEW,
            &options.common,
        )?),
        Some(Command::Instructions(options)) => {
            output::publish(&instructions::run()?, &instructions::VIEW, &options.results)?;
            Ok(Outcome::Done)
        }
        Some(Command::Compare { base, new }) => Ok(show_changes(base, new)?),
        Some(Command::Tools { install }) => Ok(show_tools(*install)),
    }
}

const THROUGHPUT: output::View = output::View {
    title: "Throughput of HTTP load generators on one core",
    parameters: throughput::PARAMETERS,
    columns: throughput::COLUMNS,
    plots: throughput::PLOTS,
};

fn publish(
    document: &Document,
    view: &output::View,
    common: &throughput::Common,
) -> Result<Outcome, Error> {
    output::publish(document, view, &common.results)?;
    let doubtful = common.strict && !document.doubts.is_empty();
    Ok(if doubtful {
        Outcome::Doubtful
    } else {
        Outcome::Done
    })
}

fn show_changes(base: &Path, new: &Path) -> Result<Outcome, Error> {
    let (base, new) = (Document::read(base)?, Document::read(new)?);
    println!(
        "base: {} {}\nnew:  {} {}\n",
        base.date, base.commit, new.date, new.commit
    );
    let changes = compare::changes(&base, &new);
    print!("{}", compare::table(&changes, table::Style::Text));
    for caveat in compare::caveats(&base, &new) {
        println!("CAVEAT: {caveat}");
    }
    let worse = changes
        .iter()
        .any(|change| change.judgement == compare::Judgement::Worse);
    Ok(if worse {
        Outcome::Doubtful
    } else {
        Outcome::Done
    })
}

fn show_tools(install: bool) -> Outcome {
    let (found, missing) = tools::look(&[]);
    for found in found {
        println!(
            "{:<11} {}  ({})",
            found.tool.name,
            found.path.display(),
            found.version
        );
    }
    let mut outcome = Outcome::Done;
    for missing in missing {
        println!("{:<11} missing; install: {}", missing.tool, missing.install);
        if install && !tools::install(&missing.tool) {
            outcome = Outcome::Doubtful;
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn bad_values_are_usage_errors() {
        for bad in [
            "bench --tools nonsense",
            "bench --cores 1,1",
            "bench --connections 0",
            "bench --pipeline 65",
            "bench target --rate 1 --grid-ns 100",
            "bench compare only-one.json",
            "bench nonsense",
            "bench --budget 20",
            "bench h2 --connections 0",
            "bench burst --bursts 0",
        ] {
            assert!(Options::try_parse_from(bad.split(' ')).is_err(), "{bad}");
        }
        let good = Options::try_parse_from(["bench", "--tools", "dlts,wrk", "--cores", "2,3"]);
        assert_eq!(good.unwrap().throughput.common.cores, Some((2, 3)));
    }
}
