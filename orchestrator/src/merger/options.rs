//! The command line of a merger.

use clap::{Args, Parser, Subcommand};
use proto::bus::BrokerOptions;

/// Merges what drivers report before the orchestrator reads it: for more drivers than one
/// orchestrator can follow.
///
/// Mergers share the partitions of the topic metrics in a consumer group; start as many as it has
/// partitions, anywhere. They keep nothing: one may be killed at any instant, and the result is the
/// same. One JSON object a line goes to standard output.
#[derive(Debug, Parser)]
#[command(
    name = "merger", version, max_term_width = 100, after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// What else than to merge
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to merge
    #[command(flatten)]
    pub options: Options,
}

/// What a merger does besides.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check whether the broker answers and has the topic metrics; rights show when a merger runs
    Check(Options),
}

/// How to merge.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where the broker is
    #[command(flatten)]
    pub broker: BrokerOptions,

    /// The consumer group of all mergers of one orchestrator
    #[arg(
        long,
        value_name = "NAME",
        env = "DLTS_MERGER_GROUP",
        default_value = "dlts-merger",
        value_parser = name
    )]
    pub group: String,

    /// Unique id of this merger; the host's name and some letters when not given
    #[arg(long, value_name = "ID", env = "DLTS_MERGER_ID", value_parser = name)]
    pub merger_id: Option<String>,
}

fn name(text: &str) -> Result<String, String> {
    if proto::id::is_acceptable(text) {
        return Ok(text.to_owned());
    }
    Err("1 to 256 bytes without control characters".into())
}

const AFTER_HELP: &str = "\
Exit codes: 0 ended by SIGTERM or SIGINT, 1 cannot work, 2 usage.
Rights that it needs where the broker asks for them: read metrics and the group, write (and, unless
somebody has made it, create) merged.

Example: merger --kafka 127.0.0.1:9093";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_are_given() {
        let parse = |arguments: &[&str]| Cli::try_parse_from([&["merger"], arguments].concat());
        let options = parse(&["--merger-id", "m-1"]).unwrap().options;
        assert_eq!(options.merger_id.as_deref(), Some("m-1"));
        assert_eq!(options.group, "dlts-merger");
        for bad in [["--group", ""], ["--merger-id", "a\nb"]] {
            let error = parse(&bad).unwrap_err().to_string();
            assert!(error.contains("1 to 256 bytes"), "{error}");
        }
    }
}
