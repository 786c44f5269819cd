//! A log as it came: each request at its own instant, in a file beside the document.

use std::io;

use proto::replay::PLAYED_NS_MAX;
use proto::units::{NS_PER_S, format_utc_day};
use proto::workload::{Pace, REPLAY_NAME};

use super::super::draft::{Replayed, Requests, Step};
use super::super::yaml::scalar;
use super::super::{Desk, Recording};
use super::sorted::Sorted;

/// A replay in the making.
pub(super) struct Replay {
    pace: Pace,
    /// Whether the requests of whole seconds are spread over them.
    spreads: bool,
    /// The file's name in the document.
    name: String,
    sorted: Sorted,
    /// Whether an instant was no whole second.
    has_parts: bool,
    /// The earliest and the latest instant, with their lines.
    ends: Option<[(i64, u64); 2]>,
    /// Why the file cannot be written.
    failed: Option<io::Error>,
}

impl Replay {
    /// # Errors
    /// In words, for a file that a document cannot name.
    pub(super) fn new(recording: &Recording) -> Result<Self, String> {
        let Recording {
            file,
            pace,
            spreads,
        } = recording;
        let name = file.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| format!("{}: no name of a file", file.display()))?;
        proto::document::file_name(name)?;
        Ok(Self {
            pace: *pace,
            spreads: *spreads,
            name: name.to_owned(),
            sorted: Sorted::new(file),
            has_parts: false,
            ends: None,
            failed: None,
        })
    }

    /// Takes a request of a line and its instant, ns since 1970.
    pub(super) fn take(&mut self, line: u64, at_ns: i64, request: &str) {
        if self.failed.is_some() {
            return;
        }
        self.has_parts |= at_ns.rem_euclid(NS_PER_S.cast_signed()) != 0;
        let [first, last] = self.ends.get_or_insert([(at_ns, line); 2]);
        if at_ns < first.0 {
            *first = (at_ns, line);
        }
        if at_ns > last.0 {
            *last = (at_ns, line);
        }
        self.failed = self.sorted.push(at_ns, request).err();
    }

    /// Ends the file, and writes what plays it into the draft.
    ///
    /// # Errors
    /// When the file cannot be written, or the log takes longer than a week at this pace.
    pub(super) fn finish(mut self, desk: &mut Desk<'_>) -> io::Result<()> {
        let words = |error: io::Error| {
            let name = &self.name;
            io::Error::new(error.kind(), format!("{name} cannot be written: {error}"))
        };
        if let Some(error) = self.failed.take() {
            return Err(words(error));
        }
        self.check_length()?;
        let secrets = desk.secrets.found().iter();
        let secrets: Vec<String> = secrets.map(|secret| secret.name.clone()).collect();
        let is_spread = self.spreads && !self.has_parts;
        let finished = self.sorted.finish(&secrets, is_spread).map_err(words)?;
        desk.draft.cookies = Some(false);
        let Some((head, runs)) = finished else {
            return Ok(());
        };
        let remarks = &mut desk.draft.remarks;
        let seconds = self.pace.played_ns(head.span_ns()) as f64 / NS_PER_S as f64;
        remarks.push(format!(
            "{} has each of them with its instant: an open loop of {seconds:.0} s at pace {}.",
            self.name, self.pace
        ));
        let seconds: &[&str] = match (self.has_parts, is_spread) {
            (true, _) if self.spreads => {
                &["Its times are finer than seconds, so that --spread had nothing to do."]
            }
            (true, _) => &[],
            (false, true) => {
                &["The log's times are whole seconds: what came in one was spread evenly over it."]
            }
            (false, false) => &[
                "The log's times are whole seconds: what came in one is intended at its beginning,",
                "all at once; --spread spreads it evenly.",
            ],
        };
        remarks.extend(seconds.iter().map(|words| (*words).to_owned()));
        if runs > 1 {
            let times = runs - 1;
            remarks.push(format!(
                "The log was not in the order of its times ({times} × far back): now it is."
            ));
        }
        let step = |method: &String| Step {
            method: method.clone(),
            path: format!("${REPLAY_NAME}"),
            ..Step::default()
        };
        let methods = head.methods.iter().map(|(method, _)| step(method));
        desk.draft.requests = Requests::OfReplay(methods.collect());
        desk.draft.load = format!("{{replay: {}, pace: {}}}", scalar(&self.name), self.pace);
        desk.draft.replayed = Some(Replayed {
            file: self.name,
            requests: head.requests,
        });
        Ok(())
    }

    fn check_length(&self) -> io::Result<()> {
        let Some([first, last]) = self.ends else {
            return Ok(());
        };
        let span_ns = last.0.abs_diff(first.0);
        if self.pace.played_ns(span_ns) <= PLAYED_NS_MAX {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "the times of the log go from {} (line {}) to {} (line {}), {} s at pace {}, and a week \
             is the most: take lines out, or give a faster --pace",
            shown(first.0),
            first.1,
            shown(last.0),
            last.1,
            self.pace.played_ns(span_ns) / NS_PER_S,
            self.pace
        )))
    }
}

/// An instant as people read it; one before 1970 as its beginning.
fn shown(at_ns: i64) -> String {
    let unix_s = u64::try_from(at_ns).unwrap_or(0) / NS_PER_S;
    let (minutes, second) = (unix_s / 60, unix_s % 60);
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    format!(
        "{} {hour:02}:{minute:02}:{second:02} UTC",
        format_utc_day(unix_s)
    )
}
