//! The files that a command writes its findings to.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use thiserror::Error;

use super::Findings;
use crate::stdout;

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
    /// Two answers for one standard output, or one file.
    #[error("{0}")]
    Usage(String),
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
            return Err(OutputError::Usage(error.to_owned()));
        }
        let mut taken = None;
        for (option, path) in self.given().filter(|(_, path)| !is_stdout(path)) {
            let tried = place(path).and_then(|place| place.check().map(|()| place));
            let place = tried.map_err(|source| OutputError::file(option, path, source))?;
            if let Place::File(file) = &place
                && taken.as_ref() == Some(&place)
            {
                let file = file.display();
                return Err(OutputError::Usage(format!(
                    "--junit and --markdown both name {file}: give each a file of its own"
                )));
            }
            taken = Some(place);
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
    path == Path::new("-") || path == Path::new("/dev/stdout")
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// A file, which is replaced as a whole.
    File(PathBuf),
    /// A device, a pipe, or what this process has open: it is written to as it is.
    Open(PathBuf),
}

/// Follows the links, so that none is replaced by what it leads to.
fn place(path: &Path) -> io::Result<Place> {
    let found = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = folder_of(path);
            if let Ok(link) = fs::read_link(path) {
                return place(&folder.join(link));
            }
            let Some(name) = path.file_name() else {
                return Err(error);
            };
            return fs::canonicalize(folder).map(|folder| Place::File(folder.join(name)));
        }
        found => found?,
    };
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let is_descriptor = ["/dev/fd", "/dev/stderr", "/proc"];
    let is_descriptor = is_descriptor.iter().any(|begin| path.starts_with(begin));
    if kind.is_file() && !is_descriptor {
        Ok(Place::File(found))
    } else {
        Ok(Place::Open(path.to_owned()))
    }
}

impl Place {
    /// Whether it can be written; a pipe is not opened, which may have nobody yet who reads.
    fn check(&self) -> io::Result<()> {
        match self {
            Self::File(path) => begin(path).map(drop),
            Self::Open(_) => Ok(()),
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        match self {
            Self::File(path) => {
                let mut file = begin(path)?;
                file.write_all(text.as_bytes())?;
                file.as_file().sync_all()?;
                file.persist(path)?;
                Ok(())
            }
            Self::Open(path) => {
                let mut open = OpenOptions::new().append(true).open(path)?;
                stdout::write_to(&mut open, text.as_bytes())
            }
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// A file beside the wanted one, which takes its name when it is whole.
fn begin(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // What the umask leaves of it, as of any file: others may be meant to read it.
    builder
        .prefix(".dlts-")
        .permissions(Permissions::from_mode(0o666));
    builder.tempfile_in(folder_of(path))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if is_stdout(path) {
        return stdout::write(text.as_bytes());
    }
    place(path)?.write(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, symlink};

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
    fn only_files_are_replaced_and_no_link_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        fs::write(file("a.xml"), "old").unwrap();
        symlink("a.xml", file("to-a")).unwrap();
        symlink("new.md", file("to-new")).unwrap();
        let args = ReportArgs {
            junit: Some(file("to-a")),
            markdown: Some(file("to-new")),
        };
        args.check(false).unwrap();
        args.write(&Findings::default()).unwrap();
        for (link, target) in [("to-a", "a.xml"), ("to-new", "new.md")] {
            assert!(fs::symlink_metadata(file(link)).unwrap().is_symlink());
            assert!(fs::symlink_metadata(file(target)).unwrap().len() > 3);
        }
        let null = || Some(PathBuf::from("/dev/null"));
        let nowhere = ReportArgs {
            junit: null(),
            markdown: null(),
        };
        nowhere.check(true).unwrap();
        nowhere.write(&Findings::default()).unwrap();
        let kind = fs::metadata("/dev/null").unwrap().file_type();
        assert!(kind.is_char_device());
    }

    #[test]
    fn what_cannot_be_is_said_before() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |junit: &str, markdown: &str| {
            let args = ReportArgs {
                junit: Some(folder.path().join(junit)),
                markdown: Some(folder.path().join(markdown)),
            };
            args.check(false).unwrap_err().to_string()
        };
        fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(refused("folder", "a").contains("is a directory"));
        symlink("a", folder.path().join("link")).unwrap();
        for (junit, markdown) in [("a", "a"), ("a", "./a"), ("a", "link")] {
            let error = refused(junit, markdown);
            assert!(error.contains("a file of its own"), "{error}");
        }
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
