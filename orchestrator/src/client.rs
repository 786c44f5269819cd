//! `client`: the terminal front end of the orchestrator's REST API, and the monitor of the drivers'
//! heartbeats.
//!
//! | module | what it owns |
//! |---|---|
//! | [`cli`], [`load`] | the command line, and the test that it describes |
//! | [`api`] | the calls |
//! | [`mod@run`], [`follow`], [`progress`] | create a test, trigger it, follow it to its end |
//! | `set`, `repeat` | several runs: of a document, which the orchestrator makes; of another test, made here |
//! | [`mod@capacity`], `campaign` | search a capacity, and follow what the orchestrator drives to its end |
//! | [`crate::report`] | a result as it is read, and as a table |
//! | [`listing`], [`comparison`], [`mod@trend`] | tests; two sets of results side by side, and a gate of that; runs over time |
//! | [`nodes`], [`monitor`] | heartbeats from Kafka; who is up, suspect or down (pure) |
//! | [`ending`] | exit codes |
//!
//! What it prints for people goes to standard output when it is the answer, and to standard error
//! when it is progress, so that a pipe gets the answer alone. With `--json` the answer is JSON.

pub mod api;
mod campaign;
pub mod capacity;
pub mod cli;
pub mod comparison;
pub mod document;
pub mod ending;
pub mod follow;
pub mod listing;
pub mod load;
pub mod monitor;
pub mod nodes;
pub mod progress;
mod repeat;
pub mod run;
mod set;
mod stream;
pub mod tls_options;
pub mod trend;

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use proto::stdout;
use proto::units::ns_to_seconds;
use proto::workload::Rate;
use serde_json::{Value, json};

use api::Api;
use cli::{Cli, Command, ExportOptions, NoteOptions};
use ending::{Ending, Problem};

/// Does what the command line says.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    let done = perform(cli).unwrap_or_else(|problem| {
        eprintln!("client: {problem}");
        problem.ending()
    });
    ExitCode::from(done.code())
}

fn perform(cli: &Cli) -> Result<Ending, Problem> {
    let api = Api::with_trust(&cli.orchestrator, cli.token.as_deref(), &cli.trust)?;
    match &cli.command {
        Command::Run(options) => run::run(&api, options, cli.json),
        Command::Capacity(options) => capacity::capacity(&api, options, cli.json),
        Command::Watch { test_id } => run::watch(&api, test_id, cli.json),
        Command::List(options) => listing::list(&api, options, cli.json),
        Command::Stop { test_id } => stop(&api, test_id, cli.json),
        Command::Note(options) => note(&api, options, cli.json),
        Command::Rate { test_id, rate, by } => change_rate(&api, test_id, *rate, by, cli.json),
        Command::Export(options) => export(&api, options),
        Command::Compare(options) => {
            let question = comparison::Question {
                base: &options.base,
                test: &options.test,
                terms: &options.terms,
                is_gate: options.fail_if_worse,
                report: &options.report,
            };
            comparison::compare(&api, &question, cli.json)
        }
        Command::Gate(options) => {
            let question = comparison::Question {
                base: &format!("name:{}", options.baseline),
                test: &options.test,
                terms: &options.terms,
                is_gate: true,
                report: &options.report,
            };
            comparison::compare(&api, &question, cli.json)
        }
        Command::Trend(options) => trend::trend(&api, options, cli.json),
        Command::Nodes(options) => nodes::watch(&api, options, cli.json),
        Command::Backup { file } => backup(&api, file, cli.json),
        Command::Health => health(&api, cli.json),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "client", &mut io::stdout());
            Ok(Ending::Ok)
        }
    }
}

/// A broker that is away is no reason to start the orchestrator anew, and so no error.
fn health(api: &Api, as_json: bool) -> Result<Ending, Problem> {
    let answer = api.get("healthz")?;
    if as_json {
        print(&format!("{answer}\n"))?;
    } else {
        let part = |name: &str| {
            answer[name]["state"]
                .as_str()
                .unwrap_or("unknown")
                .to_owned()
        };
        let status = answer["status"].as_str().unwrap_or("unknown");
        print(&format!(
            "{status}: broker {}, store {}\n",
            part("broker"),
            part("store")
        ))?;
    }
    Ok(Ending::Ok)
}

fn note(api: &Api, options: &NoteOptions, as_json: bool) -> Result<Ending, Problem> {
    let path = format!("tests/{}/notes", api::segment(&options.test_id));
    let mut note = json!({"text": options.text});
    if let Some(after_ns) = options.at {
        note["at"] = ns_to_seconds(after_ns).into();
    }
    let answer = api.post(&path, &note)?;
    if as_json {
        print(&format!("{answer}\n"))?;
    } else {
        print(&format!("{}: noted\n", options.test_id))?;
    }
    Ok(Ending::Ok)
}

fn stop(api: &Api, test_id: &str, as_json: bool) -> Result<Ending, Problem> {
    let answer = api.post(&format!("stop/{}", api::segment(test_id)), &json!({}))?;
    if as_json {
        print(&format!("{answer}\n"))?;
    } else {
        let state = answer["state"].as_str().unwrap_or("stopping");
        print(&format!("{test_id}: {state}\n"))?;
        if let Some(words) = follow::goes_on(&answer) {
            print(&format!("{words}\n"))?;
        }
    }
    Ok(Ending::Ok)
}

fn change_rate(
    api: &Api,
    test_id: &str,
    rate: Rate,
    by: &str,
    as_json: bool,
) -> Result<Ending, Problem> {
    let path = format!("tests/{}/rate", api::segment(test_id));
    let answer = api.post(&path, &json!({"rate": format!("{rate}/s"), "by": by}))?;
    if as_json {
        print(&format!("{answer}\n"))?;
        return Ok(Ending::Ok);
    }
    let (second, of) = (&answer["at_s"], answer["of"].as_str().unwrap_or("the test"));
    let second = second.as_f64().unwrap_or_default();
    print(&format!(
        "{test_id}: {rate}/s of {of} from second {second} on\n"
    ))?;
    let others = answer["cannot_follow"].as_array().into_iter().flatten();
    for node_id in others.filter_map(Value::as_str) {
        print(&format!(
            "{node_id} cannot follow it, and goes on at its rate\n"
        ))?;
    }
    Ok(Ending::Ok)
}

fn export(api: &Api, options: &ExportOptions) -> Result<Ending, Problem> {
    let test_id = api::segment(&options.test_id);
    let text = api.text(&format!(
        "tests/{test_id}/export?format={}",
        options.format.name()
    ))?;
    match &options.output {
        None => print(&text)?,
        Some(path) => write(path, &text)?,
    }
    Ok(Ending::Ok)
}

/// The file has its name only once it is whole: half a backup is none.
fn backup(api: &Api, path: &Path, as_json: bool) -> Result<Ending, Problem> {
    let problem = |path: &Path| {
        let path = path.to_owned();
        move |error| Problem::File { path, error }
    };
    if path.exists() {
        let error = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(problem(path)(error));
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(part).map_err(problem(part))?;
    let done = api.download("backup", &mut file).map_err(Problem::from);
    let done = done.and_then(|bytes| {
        let kept = file.sync_all().and_then(|()| fs::rename(part, path));
        kept.map(|()| bytes).map_err(problem(path))
    });
    if done.is_err() {
        // The first error says more than one of this.
        let _ = fs::remove_file(part);
    }
    let (bytes, name) = (done?, path.display().to_string());
    if as_json {
        print(&format!("{}\n", json!({"file": name, "bytes": bytes})))?;
    } else {
        print(&format!("{name}: {bytes} bytes\n"))?;
    }
    Ok(Ending::Ok)
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    fs::write(path, text).map_err(|error| Problem::File {
        path: path.to_owned(),
        error,
    })
}

/// Prints an answer.
fn print(text: &str) -> Result<(), Problem> {
    stdout::write(text.as_bytes()).map_err(Problem::Output)
}
