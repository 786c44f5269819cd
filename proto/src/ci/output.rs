//! The files that a command writes its findings to.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use thiserror::Error;

use super::Findings;

/// Where a command's findings go, for the pages of CI.
#[derive(Debug, Clone, Default, Args)]
pub struct ReportArgs {
    /// Write what was judged as `JUnit` XML, whatever comes of it: a case for each threshold, check
    /// and line; - for standard output, instead of the answer
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub junit: Option<PathBuf>,
    /// Write the verdict, the figures and what was judged as Markdown; - for standard output,
    /// instead of the answer
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub markdown: Option<PathBuf>,
}

/// Why findings are not where they were wanted.
#[derive(Debug, Error)]
pub enum OutputError {
    /// Two answers for one standard output.
    #[error("{0}")]
    Usage(&'static str),
    /// The system.
    #[error("{option} {}: {source}; name a file in a folder that can be written", path.display())]
    File {
        /// `--junit` or `--markdown`.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ReportArgs {
    /// Whether one of them takes the place of the answer on standard output.
    #[must_use]
    pub fn take_stdout(&self) -> bool {
        self.given().any(|(_, path)| is_stdout(path))
    }

    fn given(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let junit = self.junit.as_deref().map(|path| ("--junit", path));
        let markdown = self.markdown.as_deref().map(|path| ("--markdown", path));
        junit.into_iter().chain(markdown)
    }

    /// Tries whether the files can be written, so that a run whose findings cannot be does not begin.
    ///
    /// # Errors
    /// [`OutputError`], also where standard output is wanted twice.
    pub fn check(&self, as_json: bool) -> Result<(), OutputError> {
        let on_stdout = self.given().filter(|(_, path)| is_stdout(path)).count();
        if on_stdout + usize::from(as_json) > 1 {
            let error =
                "standard output takes one of --json, --junit - and --markdown -: name files";
            return Err(OutputError::Usage(error));
        }
        for (option, path) in self.given().filter(|(_, path)| !is_stdout(path)) {
            let tried = begin(path).map(drop);
            tried.map_err(|source| OutputError::file(option, path, source))?;
        }
        Ok(())
    }

    /// Writes what is wanted of the findings: each file is whole, or as it was before.
    ///
    /// # Errors
    /// [`OutputError::File`] of the first that cannot be written; the others are tried as well.
    pub fn write(&self, findings: &Findings) -> Result<(), OutputError> {
        let mut done = Ok(());
        for (option, path) in self.given() {
            let text = match option {
                "--junit" => findings.to_junit().map_err(io::Error::other),
                _ => Ok(findings.to_markdown()),
            };
            let written = text.and_then(|text| write(path, &text));
            done = done.and(written.map_err(|source| OutputError::file(option, path, source)));
        }
        done
    }
}

impl OutputError {
    fn file(option: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::File {
            option,
            path,
            source,
        }
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// A file beside the wanted one, which takes its name when it is whole.
fn begin(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    // What the umask leaves of it, as of any file: others may be meant to read it.
    builder
        .prefix(".dlts-")
        .permissions(Permissions::from_mode(0o666));
    builder.tempfile_in(folder.unwrap_or(Path::new(".")))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if is_stdout(path) {
        let mut stdout = io::stdout().lock();
        return match stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            // Whoever closed the pipe does not want to read it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            done => done,
        };
    }
    let mut file = begin(path)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_whole_or_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| Some(folder.path().join(name));
        let args = ReportArgs {
            junit: file("a.xml"),
            markdown: file("a.md"),
        };
        args.check(true).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(folder.path().join("a.md"), "old").unwrap();
        args.write(&Findings::of_error("t", "no connection"))
            .unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        let markdown = fs::read_to_string(folder.path().join("a.md")).unwrap();
        assert!(markdown.starts_with("## no result: t\n"), "{markdown}");
        let xml = fs::metadata(folder.path().join("a.xml")).unwrap();
        let plain = fs::metadata(folder.path().join("a.md")).unwrap();
        assert_eq!(
            xml.permissions().mode() & 0o444,
            plain.permissions().mode() & 0o444
        );
        // A folder in the place of the file: what was there stays, and nothing is left beside it.
        let args = ReportArgs {
            junit: Some(folder.path().to_owned()),
            markdown: None,
        };
        assert!(args.write(&Findings::default()).is_err());
        let nowhere = ReportArgs {
            junit: file("none/a.xml"),
            markdown: None,
        };
        let error = nowhere.check(false).unwrap_err().to_string();
        assert!(
            error.starts_with("--junit ") && error.contains("none/a.xml"),
            "{error}"
        );
    }

    #[test]
    fn standard_output_takes_one_answer() {
        let both = ReportArgs {
            junit: Some("-".into()),
            markdown: Some("-".into()),
        };
        assert!(both.check(false).is_err() && both.take_stdout());
        let one = ReportArgs {
            markdown: None,
            ..both
        };
        assert!(one.check(false).is_ok() && one.check(true).is_err());
        assert!(!ReportArgs::default().take_stdout());
    }
}
