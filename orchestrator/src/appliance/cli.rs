//! The command line. Environment variables are fallbacks, so that `DRIVERS=4 make up` works.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use proto::bus::PropertyOptions;
use proto::workload::AllowedTarget;

use super::broker::BrokerChoice;

/// Most drivers that one machine is asked to run.
pub const DRIVERS_MAX: u16 = 16;
/// Most mergers.
pub const MERGERS_MAX: u16 = 16;

/// Starts and stops dlts on this machine: broker, test server, orchestrator, mergers and drivers.
#[derive(Debug, Parser)]
#[command(name = "appliance", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// Folder that holds run/, logs/ and data/, and redpanda-compose.yml where Docker is used
    #[arg(
        long,
        env = "DLTS_DIR",
        value_name = "DIR",
        default_value = ".",
        global = true
    )]
    pub dir: PathBuf,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  appliance up                              start with the defaults
  appliance up --drivers 4                  four drivers
  appliance up --drivers 4 --mergers 2      and two mergers
  appliance up --broker 10.0.0.5:9092       with a broker that runs elsewhere
  appliance up --broker embedded            without Docker, whatever is installed
  appliance status; appliance logs; appliance down

Exit codes: 0 done, 1 failed (one line says why and what to do), 2 usage.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything and wait until all drivers are up; changes nothing when it is up already
    Up(UpOptions),
    /// End exactly what `up` started
    Down,
    /// Show the processes, how they fare, and where they listen
    Status(StatusOptions),
    /// Follow the logs of all processes, one prefix each
    Logs(LogsOptions),
    /// Copy standard input into a file of bounded size
    #[command(hide = true)]
    LogPump(LogPumpOptions),
}

/// Options of `up`.
#[derive(Debug, Clone, Args)]
pub struct UpOptions {
    /// Drivers to start, 1 to 16
    #[arg(long, env = "DRIVERS", value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(DRIVERS_MAX)))]
    pub drivers: u16,
    /// Mergers to start, 0 to 16: for more drivers than one orchestrator can follow
    #[arg(long, env = "MERGERS", value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u16).range(0..=i64::from(MERGERS_MAX)))]
    pub mergers: u16,
    /// Partitions of the topic metrics where it is made anew, 1 to 100 [default: one a merger]
    #[arg(long, env = "METRICS_PARTITIONS", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=100))]
    pub metrics_partitions: Option<u16>,
    /// host:port of a running broker, several separated by commas; or embedded, redpanda, kafka, auto
    #[arg(long, env = "BROKER", value_name = "BROKER", default_value = "auto")]
    pub broker: BrokerChoice,
    /// Port of the test server
    #[arg(long, env = "TESTSERVER_PORT", value_name = "PORT", default_value_t = 8000,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub testserver_port: u16,
    /// Port of the orchestrator: REST and dashboard
    #[arg(long, env = "ORCHESTRATOR_PORT", value_name = "PORT", default_value_t = 8001,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub orchestrator_port: u16,
    /// Target of tests that name none [default: the test server]
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Target beyond loopback that may be loaded: host, *.suffix, address or network (CIDR), each
    /// with :port or without; may be repeated
    #[arg(
        long = "allow-target",
        env = "ALLOW_TARGET",
        value_name = "HOST[:PORT]",
        value_delimiter = ','
    )]
    pub allow_targets: Vec<AllowedTarget>,
    /// How the orchestrator, the mergers and the drivers reach it
    #[command(flatten)]
    pub properties: PropertyOptions,
    /// Seconds to wait for all drivers to be up
    #[arg(long, env = "UP_TIMEOUT", value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}

impl UpOptions {
    /// Partitions of the topic metrics where it is made anew.
    #[must_use]
    pub fn metrics_partitions(&self) -> u16 {
        self.metrics_partitions.unwrap_or(self.mergers.max(1))
    }
}

/// Options of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusOptions {
    /// One JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Options of `logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsOptions {
    /// Print what there is and end
    #[arg(long)]
    pub no_follow: bool,
    /// Lines of each log to begin with
    #[arg(long, short = 'n', value_name = "LINES", default_value_t = 10)]
    pub lines: usize,
    /// Only these processes, such as driver-1 orchestrator
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// Options of the pump.
#[derive(Debug, Clone, Args)]
pub struct LogPumpOptions {
    /// The file; when it is full it becomes FILE.1
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// A file for lines that are events, beside the first
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Most bytes of a file; twice as much is kept of each in all
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20)]
    pub max_bytes: u64,
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
    fn drivers_and_ports_are_bounded() {
        for arguments in [
            ["--drivers", "0"],
            ["--drivers", "17"],
            ["--mergers", "17"],
            ["--metrics-partitions", "0"],
            ["--testserver-port", "0"],
            ["--orchestrator-port", "65536"],
            ["--broker", "nonsense"],
            ["--timeout", "0"],
        ] {
            let line = ["appliance", "up"].into_iter().chain(arguments);
            assert!(Cli::try_parse_from(line).is_err(), "{arguments:?}");
        }
    }
}
