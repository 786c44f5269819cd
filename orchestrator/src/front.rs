//! The `dlts` command: one name to remember, in front of the programs, which stay.
//!
//! It knows which program a command is of, and becomes that program; what a command does, takes and
//! answers, is that program's alone. `dlts run` is this machine's, as a test without a cluster is
//! the first that anybody tries; what the orchestrator runs on all drivers is `dlts cluster run`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode};

use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, value_parser};

use crate::{appliance, client};

/// What the driver does from a terminal; its crate is not one of ours, so that it is said here again.
const OF_DRIVER: [(&str, &str); 5] = [
    ("run", "Load a web server from this machine"),
    (
        "try",
        "Send one session of a document, and print all of it, as curl -v would",
    ),
    (
        "import",
        "Make a document of curl lines, a HAR, vegeta targets, URLs or an access log",
    ),
    ("schema", "Print the JSON Schema of documents, for editors"),
    (
        "check",
        "Check whether a driver can work here: cores, io_uring, locked memory",
    ),
];

/// Programs that run until they are told to end, and those that have commands of their own.
const PROGRAMS: [(&str, &str, &str); 6] = [
    (
        "cluster",
        "client",
        "All that client does: cluster run, cluster list, …",
    ),
    ("driver", "driver", "Be a driver of a cluster"),
    (
        "orchestrator",
        "orchestrator",
        "Be the orchestrator of a cluster",
    ),
    (
        "merger",
        "merger",
        "Merge reports before the orchestrator of a large cluster",
    ),
    ("testserver", "testserver", "Be a target to try things on"),
    ("bench", "bench", "Measure dlts beside other tools"),
];

const AFTER_HELP: &str = "\
Examples:
  dlts run http://127.0.0.1:8000/ -c 64 -d 10s       this machine alone
  dlts up && dlts cluster run shop.yaml && dlts down all of it on this machine
  dlts compare <a>,<b>,<c>,<d>,<e> name:checkout
  dlts help run                                      what a command takes";

/// Where a command leads.
#[derive(Debug, PartialEq, Eq)]
pub struct Lead {
    /// The program's name.
    pub program: &'static str,
    /// What it is given.
    pub arguments: Vec<OsString>,
}

/// The command line: a word, and what its program takes.
#[must_use]
pub fn command() -> Command {
    let of_driver = OF_DRIVER.map(|(name, about)| handed_on(name, about));
    let programs = PROGRAMS.map(|(name, _, about)| handed_on(name, about));
    let ours = of(&appliance::cli::Cli::command())
        .into_iter()
        .chain(of(&client::cli::Cli::command()))
        // A dozen words of a process that becomes another at once: clap wants them for ever.
        .map(|(name, about)| handed_on(name.leak(), &about));
    let help = handed_on("help", "Print what a command takes");
    Command::new("dlts")
        .about("Distributed HTTP load tester: one command for all of its programs")
        .version(env!("CARGO_PKG_VERSION"))
        .max_term_width(100)
        .after_help(AFTER_HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(of_driver)
        .subcommands(ours)
        .subcommands(programs)
        .subcommand(help)
}

/// The commands of a program of this crate, but those that another one has under that name, or that
/// speak of the program itself.
fn of(program: &Command) -> Vec<(String, String)> {
    let is_taken = |name: &str| {
        let taken = OF_DRIVER.iter().any(|(driver, _)| *driver == name);
        taken || ["completions", "help"].contains(&name)
    };
    let open = program.get_subcommands().filter(|one| !one.is_hide_set());
    let ours = open.filter(|one| !is_taken(one.get_name()));
    let row = |one: &Command| {
        let about = one.get_about().map(ToString::to_string);
        (one.get_name().to_owned(), about.unwrap_or_default())
    };
    ours.map(row).collect()
}

/// A command whose arguments, `--help` among them, are another program's to understand.
fn handed_on(name: &'static str, about: &str) -> Command {
    let arguments = Arg::new("arguments")
        .action(ArgAction::Append)
        .num_args(0..)
        .trailing_var_arg(true)
        .allow_hyphen_values(true)
        .value_parser(value_parser!(OsString));
    Command::new(name)
        .about(about.to_owned())
        .disable_help_flag(true)
        .arg(arguments)
}

/// Which program a command line is for, and what that is given; `None` for `dlts help` alone.
#[must_use]
pub fn lead(matches: &ArgMatches) -> Option<Lead> {
    let (name, rest) = matches.subcommand()?;
    let arguments = rest.get_many::<OsString>("arguments");
    let mut arguments: Vec<OsString> = arguments.unwrap_or_default().cloned().collect();
    if name != "help" {
        return Some(to(name, arguments));
    }
    if arguments.is_empty() {
        return None;
    }
    let asked = arguments.remove(0);
    arguments.push("--help".into());
    Some(to(&asked.to_string_lossy(), arguments))
}

fn to(name: &str, mut arguments: Vec<OsString>) -> Lead {
    if let Some((_, program, _)) = PROGRAMS.iter().find(|(command, ..)| *command == name) {
        return Lead { program, arguments };
    }
    let is_in = |cli: Command| cli.get_subcommands().any(|one| one.get_name() == name);
    let program = if OF_DRIVER.iter().any(|(driver, _)| *driver == name) {
        "driver"
    } else if is_in(appliance::cli::Cli::command()) {
        "appliance"
    } else {
        "client"
    };
    arguments.insert(0, name.into());
    Lead { program, arguments }
}

/// Becomes the program that the arguments ask for; returns only when that cannot be.
#[must_use]
pub fn run(matches: &ArgMatches) -> ExitCode {
    let Some(lead) = lead(matches) else {
        // Where there is no terminal to print to, there is nobody to tell.
        let _ = command().print_help();
        return ExitCode::SUCCESS;
    };
    let error = match std::env::current_exe() {
        Ok(own) => become_it(&own, &lead),
        Err(error) => format!("where this program is cannot be said: {error}"),
    };
    eprintln!("dlts: {error}");
    ExitCode::FAILURE
}

fn become_it(own: &Path, lead: &Lead) -> String {
    let Some(path) = beside(own, lead.program) else {
        let folder = own.parent().unwrap_or(own).display();
        return format!(
            "{} is not in {folder}, beside this program; make build puts all of them into \
             target/release, and packages do without appliance, broker and bench",
            lead.program
        );
    };
    let error: io::Error = Process::new(&path).args(&lead.arguments).exec();
    format!("{} cannot be started: {error}", path.display())
}

/// A program beside this one: as packages name it, or as it was built.
fn beside(own: &Path, program: &str) -> Option<PathBuf> {
    let folder = own.parent()?;
    let named = [format!("dlts-{program}"), program.to_owned()].map(|name| folder.join(name));
    named.into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(line: &str) -> Option<(&'static str, String)> {
        let matches = command().try_get_matches_from(line.split(' ')).unwrap();
        lead(&matches).map(|lead| {
            let words = lead.arguments.iter().map(|word| word.to_string_lossy());
            (lead.program, words.collect::<Vec<_>>().join(" "))
        })
    }

    fn goes(line: &str, program: &'static str, arguments: &str) {
        assert_eq!(led(line), Some((program, arguments.to_owned())), "{line}");
    }

    #[test]
    fn every_command_leads_to_its_program_with_all_that_follows() {
        command().debug_assert();
        goes(
            "dlts run http://h/ -c 64 --json",
            "driver",
            "run http://h/ -c 64 --json",
        );
        goes("dlts check", "driver", "check");
        goes("dlts up --drivers 4", "appliance", "up --drivers 4");
        goes("dlts compare a b --json", "client", "compare a b --json");
        goes(
            "dlts cluster --json run x.yaml",
            "client",
            "--json run x.yaml",
        );
        goes("dlts driver --kafka k:1", "driver", "--kafka k:1");
        goes("dlts run -- -x", "driver", "run -x");
    }

    #[test]
    fn help_is_the_programs_own() {
        goes("dlts run --help", "driver", "run --help");
        goes("dlts help compare", "client", "compare --help");
        goes("dlts help cluster run", "client", "run --help");
        assert_eq!(led("dlts help"), None);
    }

    #[test]
    fn a_word_that_is_none_is_refused_with_the_nearest() {
        let error = command()
            .try_get_matches_from(["dlts", "compair"])
            .unwrap_err();
        let words = error.to_string();
        assert!(
            words.contains("compair") && words.contains("'compare'"),
            "{words}"
        );
    }

    #[test]
    fn a_program_is_found_as_packages_name_it_and_as_it_was_built() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("dlts");
        assert_eq!(beside(&own, "client"), None);
        std::fs::write(folder.path().join("client"), "").unwrap();
        assert_eq!(beside(&own, "client"), Some(folder.path().join("client")));
        std::fs::write(folder.path().join("dlts-client"), "").unwrap();
        let packaged = folder.path().join("dlts-client");
        assert_eq!(beside(&own, "client"), Some(packaged));
        let lead = lead(&command().get_matches_from(["dlts", "up"])).unwrap();
        let words = become_it(&own, &lead);
        assert!(words.starts_with("appliance is not in "), "{words}");
    }
}
