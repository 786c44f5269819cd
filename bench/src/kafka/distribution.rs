//! The pinned Apache Kafka: which version, where its jars lie, how Java runs them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::Error;

/// What Maven fetches; the version is pinned there.
const POM: &str = include_str!("../../kafka/pom.xml");
const LOGGING: &str = include_str!("../../kafka/log4j2.properties");
/// The class files of Kafka 4 are of this Java.
const JAVA_MIN: u32 = 17;

/// The jars of one version, complete.
#[derive(Debug, Clone)]
pub struct Distribution {
    folder: PathBuf,
}

impl Distribution {
    /// Finds the pinned version under `folder`, or has Maven fetch it.
    ///
    /// # Errors
    /// [`Error::Java`], [`Error::Maven`] and [`Error::Fetch`].
    pub fn fetch(folder: &Path) -> Result<Self, Error> {
        check_java()?;
        let making = Error::system(format!("making {}", folder.display()));
        fs::create_dir_all(folder).map_err(making)?;
        // Java is started in folders of its own.
        let folder = folder
            .canonicalize()
            .map_err(Error::system(format!("finding {}", folder.display())))?;
        let found = Self {
            folder: folder.join(version()),
        };
        if !found.jars().exists() {
            found.fetch_jars()?;
        }
        let logging = found.logging();
        fs::write(&logging, LOGGING)
            .map_err(Error::system(format!("writing {}", logging.display())))?;
        Ok(found)
    }

    fn jars(&self) -> PathBuf {
        self.folder.join("jars")
    }

    fn logging(&self) -> PathBuf {
        self.folder.join("log4j2.properties")
    }

    /// Under another name first, so that half a fetch is never taken for a whole one.
    fn fetch_jars(&self) -> Result<(), Error> {
        let half = self.folder.join(format!("jars.{}", std::process::id()));
        let pom = half.join("pom.xml");
        let writing = || Error::system(format!("writing {}", pom.display()));
        fs::create_dir_all(&half).map_err(writing())?;
        fs::write(&pom, POM).map_err(writing())?;
        eprintln!("fetching Apache Kafka {} by Maven, once", version());
        let output = maven(&pom, &half);
        let fetched = output.and_then(|output| {
            if output.status.success() {
                return Ok(());
            }
            Err(Error::Fetch(first_error(&output)))
        });
        // Another process may have been faster; its jars are the same.
        let _ = fetched.is_ok() && fs::rename(&half, self.jars()).is_ok();
        let _ = fs::remove_dir_all(&half);
        fetched
    }

    /// A command that runs one of Kafka's classes, with at most so much heap, logging to `log`.
    #[must_use]
    pub fn java(&self, class: &str, heap_mib: u32, log: &Path) -> Command {
        let mut command = Command::new("java");
        command
            .arg(format!("-Xmx{heap_mib}m"))
            // Quick to start, and no threads beyond what a small machine has.
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                self.logging().display()
            ))
            .arg(format!("-Dkafka.log={}", log.display()))
            .arg("-cp")
            .arg(self.jars().join("*"))
            .arg(class)
            .stdin(Stdio::null());
        command
    }

    /// Runs one of Kafka's tools to its end.
    ///
    /// # Errors
    /// What it said, when it failed.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<String, String> {
        let log = self.folder.join("tools.log");
        let output = self
            .java(class, 128, &log)
            .args(arguments)
            .output()
            .map_err(|error| error.to_string())?;
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if output.status.success() {
            Ok(text)
        } else {
            Err(text)
        }
    }
}

/// The version that the pom pins.
#[must_use]
pub fn version() -> &'static str {
    let tag = "<kafka.version>";
    let rest = POM.split_once(tag).map_or("", |(_, rest)| rest);
    rest.split('<').next().unwrap_or_default()
}

fn maven(pom: &Path, jars: &Path) -> Result<Output, Error> {
    let run = Command::new("mvn")
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .stdin(Stdio::null())
        .output();
    run.map_err(|error| Error::Maven(reason(&error)))
}

/// Maven's first line of an error says most.
fn first_error(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.contains("ERROR"));
    let status = output.status.to_string();
    line.map_or(status, |line| line.trim().to_owned())
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "not found in PATH".to_owned(),
        _ => error.to_string(),
    }
}

fn check_java() -> Result<(), Error> {
    let output = Command::new("java").arg("-version").output();
    let output = output.map_err(|error| Error::Java(reason(&error)))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match java_version(&text) {
        Some(JAVA_MIN..) => Ok(()),
        Some(old) => Err(Error::Java(format!("this is Java {old}"))),
        None => Err(Error::Java(format!("{:?} tells no version", text.trim()))),
    }
}

/// Reads `openjdk version "17.0.15" 2025-04-15`, and `"1.8.0_402"`.
fn java_version(text: &str) -> Option<u32> {
    let quoted = text.split('"').nth(1)?;
    let mut numbers = quoted.split(['.', '-', '_']);
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        version => Some(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_the_pom_pins() {
        let numbers: Vec<&str> = version().split('.').collect();
        assert_eq!(numbers.len(), 3, "{}", version());
        assert!(numbers.iter().all(|number| number.parse::<u32>().is_ok()));
    }

    #[test]
    fn javas_of_all_ages_tell_their_version() {
        for (text, version) in [
            ("openjdk version \"17.0.15\" 2025-04-15", Some(17)),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"24-ea\" 2025-03-18", Some(24)),
            ("java version \"1.8.0_402\"", Some(8)),
            ("nonsense", None),
        ] {
            assert_eq!(java_version(text), version, "{text}");
        }
    }
}
