//! `driver import KIND`: a document of what people already have, on standard output or in a file; what
//! it does not have of the input is said on standard error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueHint};

use super::exit;
use proto::workload::Pace;

use crate::import::{self, ImportError, Imported, Kind, Notes, Options, Recording, Secret};

/// Bytes that are read at once.
const READ_LEN: usize = 256 << 10;

/// Make a document of curl command lines, a HAR, vegeta targets, a list of URLs or an access log
///
/// The document goes to standard output or to --output, for a person to read and edit, and for
/// `driver try` and `driver run`. What it does not have of the input is said on standard error, by
/// line, and counted. Secrets become $secret(NAME): --secrets writes their values to a file for
/// --secret-file. Gzip is unpacked.
///
/// Exit codes: 0 a document, 1 none, 2 usage.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    kind: KindArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum KindArgs {
    /// Command lines of curl, as people and browsers write them: the steps of one session
    Curl(InputArgs),
    /// An HTTP archive: the steps of one session, with its pauses as think times
    Har {
        #[command(flatten)]
        input: InputArgs,
        /// Leave the pauses out
        #[arg(long)]
        no_think: bool,
        /// Leave out pictures, styles, scripts, fonts and media
        #[arg(long)]
        no_assets: bool,
    },
    /// Targets of vegeta, as text or as JSON lines: each a session of its own
    Vegeta(InputArgs),
    /// A URL a line: each a session of its own, by how often it stands there
    Urls(InputArgs),
    /// An access log (common, combined, JSON lines): its most frequent requests, by weight; or all of
    /// them when they came
    ///
    /// Without --pace, the document is a mix of the most frequent requests, at the log's mean rate.
    ///
    /// With --pace, it replays the log: an open loop whose intended instants are the log's own, in a file
    /// beside the document (--output test.yaml writes test.replay too), exact over all drivers and cores,
    /// with its bursts as they were. In the document stays what a person changes: the target, headers,
    /// what is done with each method, the pace, `for: 10m` or `sessions: 1000` for its beginning only. The
    /// log may be of any length, and not in order. A log has no bodies, headers, cookies and tokens.
    Log {
        #[command(flatten)]
        input: InputArgs,
        /// Most different requests, 1 to 1000
        #[arg(long, value_name = "N", default_value_t = Options::default().top)]
        top: usize,
        /// Take POST and all that may change something too, without their bodies
        #[arg(long)]
        unsafe_methods: bool,
        /// Replay the log as it came (log), or faster or slower (log*2.5, log*0.1); needs --output
        #[arg(long, value_name = "PACE", value_parser = Pace::parse, conflicts_with = "top", requires = "output")]
        pace: Option<Pace>,
        /// Spread the requests of each second evenly over it, where the log has whole seconds only
        #[arg(long, requires = "pace")]
        spread: bool,
    },
}

/// What all inputs have.
#[derive(Debug, Clone, Args)]
struct InputArgs {
    /// The input; - is standard input
    #[arg(value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    file: String,
    /// Where the load goes: takes the place of the input's server; a log needs it
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// A server of the input whose requests are taken; may be repeated, first the document's target
    /// [default: that of the first request]
    #[arg(long, value_name = "URL")]
    server: Vec<String>,
    /// A file for the document; bodies that are no text go into files beside it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// A new file for the values of the secrets, which nobody else may read
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    secrets: Option<PathBuf>,
}

/// Makes the document that the arguments describe.
#[must_use]
pub fn import(args: &ImportArgs) -> ExitCode {
    let (kind, input, options) = args.kind.taken_apart();
    let shown = &input.file;
    let replay = options.recording.as_ref().map(|recording| &recording.file);
    if let Some(output) = input.output.as_ref().filter(|path| replay == Some(*path)) {
        let output = output.display();
        let problem = format!(
            "--output {output}: the document would be written over its replay, which has the same \
             name with the ending .replay: give it another ending, as in --output test.yaml"
        );
        return fail(exit::USAGE, &problem);
    }
    let imported = open(&input.file).and_then(|mut reader| {
        import::import(kind, &mut reader, &options).inspect_err(|error| {
            if let ImportError::Nothing { notes, .. } = error {
                say(shown, notes);
            }
        })
    });
    match imported {
        Ok(imported) => {
            say(shown, &imported.notes);
            match write(input, &imported) {
                Ok(()) => {
                    eprintln!("{}", sum(&imported));
                    ExitCode::SUCCESS
                }
                Err(problem) => fail(exit::ERROR, &problem),
            }
        }
        Err(ImportError::Usage(problem)) => fail(exit::USAGE, &problem),
        Err(error) => fail(exit::ERROR, &format!("{shown}: {error}")),
    }
}

fn fail(code: u8, problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(code)
}

impl KindArgs {
    fn taken_apart(&self) -> (Kind, &InputArgs, Options) {
        let (kind, input) = match self {
            Self::Curl(input) => (Kind::Curl, input),
            Self::Har { input, .. } => (Kind::Har, input),
            Self::Vegeta(input) => (Kind::Vegeta, input),
            Self::Urls(input) => (Kind::Urls, input),
            Self::Log { input, .. } => (Kind::Log, input),
        };
        let mut options = Options {
            target: input.target.clone(),
            servers: input.server.clone(),
            has_folder: input.output.is_some(),
            ..Options::default()
        };
        if let Some(name) = Path::new(&input.file)
            .file_name()
            .filter(|_| input.file != "-")
        {
            options.source = name.to_string_lossy().chars().take(200).collect();
        }
        match self {
            Self::Har {
                no_think,
                no_assets,
                ..
            } => {
                options.thinks = !no_think;
                options.has_assets = !no_assets;
            }
            Self::Log {
                top,
                unsafe_methods,
                pace,
                spread,
                ..
            } => {
                options.top = *top;
                options.unsafe_methods = *unsafe_methods;
                let file = input.output.as_ref();
                let file = file.map(|file| file.with_extension("replay"));
                let recording = pace.zip(file);
                options.recording = recording.map(|(pace, file)| Recording {
                    file,
                    pace,
                    spreads: *spread,
                });
            }
            _ => {}
        }
        (kind, input, options)
    }
}

fn open(file: &str) -> Result<Box<dyn BufRead>, ImportError> {
    if file == "-" {
        return Ok(Box::new(BufReader::with_capacity(READ_LEN, io::stdin())));
    }
    let file = File::open(file)?;
    Ok(Box::new(BufReader::with_capacity(READ_LEN, file)))
}

/// What the document does not have, line by line, and how much of it there is.
fn say(file: &str, notes: &Notes) {
    for note in notes.said() {
        eprintln!("{file}:{}: {note}", note.line);
    }
    for count in notes.counts() {
        eprintln!("{count}");
    }
}

/// What an import came to, and what is to be given to its document.
fn sum(imported: &Imported) -> String {
    let mut lines = Vec::new();
    for Secret { name, origin, .. } in &imported.secrets {
        lines.push(format!("secret {name}: {origin}"));
    }
    if !imported.secrets.is_empty() {
        lines.push(
            "give secrets with --secret-file, or in the environment by their names".to_owned(),
        );
    }
    lines.push(format!(
        "{} requests read, {} left out, {} in {}",
        imported.read,
        imported.notes.left_out_in_all(),
        imported.requests,
        imported.replay.as_deref().unwrap_or("the document")
    ));
    lines.join("\n")
}

/// Writes the document, and what belongs beside it.
fn write(input: &InputArgs, imported: &Imported) -> Result<(), String> {
    if let Some(path) = &input.secrets {
        write_secrets(path, &imported.secrets)?;
    }
    let text = imported.text.as_bytes();
    let Some(path) = &input.output else {
        return proto::stdout::write(text)
            .map_err(|error| format!("the document cannot be written: {error}"));
    };
    let words = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let folder = path.parent().unwrap_or(Path::new(""));
    for (name, bytes) in &imported.files {
        let beside = folder.join(name);
        fs::write(&beside, bytes).map_err(|error| words(&beside, error))?;
    }
    fs::write(path, text).map_err(|error| words(path, error))
}

/// Writes the values of secrets, a line `NAME=VALUE` each, to a file that was not there.
fn write_secrets(path: &Path, secrets: &[Secret]) -> Result<(), String> {
    let words = |error: io::Error| format!("--secrets {}: {error}", path.display());
    let mut text = String::new();
    for Secret { name, value, .. } in secrets {
        match value {
            Some(value) if !value.contains(['\n', '\r']) => {
                text.extend([name, "=", value, "\n"]);
            }
            _ => text.extend(["# ", name, "= its value is not in the input\n"]),
        }
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(words)?;
    file.write_all(text.as_bytes()).map_err(words)
}
