//! What a run on its own says beside its figures: where the result came from, what is written for CI,
//! and the writing itself.

use proto::ci::{Asked, Findings};
use proto::digest::Sha256;
use proto::secret::shown_command;
use proto::stdout;

use super::{Done, Job, RunArgs, exit};

/// What a report is about.
pub(super) struct Subject {
    pub(super) title: String,
    pub(super) asked: Asked,
}

impl Subject {
    pub(super) fn of(args: &RunArgs, job: &Job) -> Self {
        let target = || job.plan.workload().target.shown();
        let Some(document) = &job.document else {
            return Self {
                title: target(),
                asked: Asked::default(),
            };
        };
        let name = Some(document.name.clone()).filter(|name| !name.is_empty());
        Self {
            title: name.unwrap_or_else(target),
            asked: Asked::of(&args.url, document),
        }
    }
}

/// Says, also in what is found, why the logs are incomplete where they are.
pub(super) fn with_logs(findings: Findings, failed: Option<&str>) -> Findings {
    let Some(reason) = failed else {
        return findings;
    };
    let error = format!("the logs are incomplete: {reason}");
    eprintln!("error: {error}");
    findings.with_error("logs", &error)
}

/// Writes what is wanted for CI; whether that is there.
pub(super) fn write_report(args: &RunArgs, findings: &Findings) -> bool {
    let written = args.report.write(findings);
    written
        .inspect_err(|error| eprintln!("error: {error}"))
        .is_ok()
}

impl Done {
    /// Says where the result came from: the command line, and the document.
    pub(super) fn stamp(&mut self, document: Option<Sha256>) {
        let arguments = std::env::args_os().map(|text| text.to_string_lossy().into_owned());
        self.result.command = shown_command(arguments);
        self.result.document_sha256 = document;
    }
}

/// Writes to standard output; where that fails, says why and gives the exit code.
pub(super) fn write_out(text: &[u8]) -> Result<(), u8> {
    stdout::write(text).map_err(|error| {
        eprintln!("error: the result cannot be written: {error}");
        exit::ERROR
    })
}
