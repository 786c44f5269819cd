//! An access log: its most frequent requests, each a session of its own, by how often they came; or
//! all of them, as they came.
//!
//! A log has neither bodies nor headers nor cookies; what is left is who asked for what, and when. It
//! is read once, in memory that does not grow with it.

mod clock;
mod combined;
mod json;
mod replay;
mod sorted;

use std::io::{self, BufRead};

use proto::replay::REQUEST_LEN_MAX;

use super::lines::{self, Line};
use super::mix::Tally;
use super::secrets::literal;
use super::{Desk, urls};
use clock::{Clock, Odd};
use replay::Replay;

/// Longest path that a document takes, bytes.
const PATH_LEN_MAX: usize = 8192;

/// What a line says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hit {
    method: String,
    /// Path and query as they can be sent: ASCII without spaces.
    path: String,
    /// When, ns since 1970, and how far its zone is from UTC, s.
    time: Option<(i64, i32)>,
    status: Option<u16>,
}

pub(super) fn import(desk: &mut Desk<'_>, input: &mut dyn BufRead) -> io::Result<()> {
    let mut reading = Reading::default();
    if let Some(recording) = &desk.options.recording {
        let replay = Replay::new(recording).map_err(io::Error::other)?;
        reading.replay = Some(replay);
    }
    lines::each(desk, input, |desk, line| reading.line(desk, line))?;
    reading.finish(desk)
}

#[derive(Default)]
struct Reading {
    tally: Tally,
    /// Where the requests go as they came, instead of among those that are counted.
    replay: Option<Replay>,
    clock: Clock,
    /// Lines whose answer was an error.
    errors: u64,
    taken: u64,
    request: String,
    hit: Hit,
}

impl Reading {
    fn line(&mut self, desk: &mut Desk<'_>, line: &Line<'_>) {
        let number = line.number;
        let bytes = line.bytes.trim_ascii();
        if bytes.is_empty() || bytes.starts_with(b"#") {
            return;
        }
        desk.read += 1;
        if line.is_cut {
            return desk.notes.left_out(number, "a line of more than 1 MiB", "");
        }
        let read = if bytes.starts_with(b"{") {
            json::read(bytes, &mut self.hit)
        } else {
            combined::read(bytes, &mut self.hit)
        };
        if let Err(kind) = read {
            return desk.notes.left_out(number, kind, "");
        }
        self.count(desk, number);
    }

    fn count(&mut self, desk: &mut Desk<'_>, number: u64) {
        let Hit {
            method,
            path,
            time,
            status,
        } = &self.hit;
        if !desk.options.unsafe_methods && !["GET", "HEAD"].contains(&method.as_str()) {
            let kind =
                "a method that may change something (--unsafe-methods takes it, without a body)";
            return desk.notes.left_out(number, kind, method);
        }
        if path.len() > PATH_LEN_MAX {
            let detail = format!("{} bytes; at most {PATH_LEN_MAX} are taken", path.len());
            return desk.notes.left_out(number, "the URL is too long", &detail);
        }
        if time.is_none() && self.replay.is_some() {
            let kind = "no time that is understood, so that it has no place in a replay";
            return desk.notes.left_out(number, kind, "");
        }
        let at_ms = time.map(|(ns, zone_s)| (ns.div_euclid(1_000_000), zone_s));
        match self.clock.take(at_ms) {
            Ok(()) => {}
            Err(Odd::NoTime) => desk.notes.changed(number, "no time that is understood", ""),
            Err(Odd::Back(ms)) => {
                let detail = format!("{} s", ms as f64 / 1000.0);
                desk.notes.changed(number, "the clock went back", &detail);
            }
            Err(Odd::Zone(from, to)) => {
                let detail = format!("{} after {}", clock::zone(to), clock::zone(from));
                desk.notes
                    .changed(number, "another time zone, reckoned to the same", &detail);
            }
        }
        self.request.clear();
        self.request.push_str(method);
        self.request.push(' ');
        if path.contains(['?', '$']) {
            let path = desk.secrets.path(number, &literal(path));
            self.request.push_str(&path);
        } else {
            self.request.push_str(path);
        }
        if self.request.len() > REQUEST_LEN_MAX {
            return desk.notes.left_out(number, "the URL is too long", "");
        }
        self.taken += 1;
        self.errors += u64::from(status.is_some_and(|status| status >= 400));
        match (&mut self.replay, time) {
            (Some(replay), Some((at_ns, _))) => replay.take(number, *at_ns, &self.request),
            _ => self.tally.count(&self.request, number),
        }
    }

    fn finish(self, desk: &mut Desk<'_>) -> io::Result<()> {
        let remarks = &mut desk.draft.remarks;
        let how = match self.replay {
            Some(_) => "Each request is a session of its own, when it came. A log has no bodies,",
            None => {
                "Each request is a session of its own, by how often it came. A log has no bodies,"
            }
        };
        remarks.push(how.into());
        remarks.push(
            "headers, cookies and tokens: write what the server asks for into defaults.".into(),
        );
        if self.errors > 0 {
            let (errors, taken) = (self.errors, self.taken);
            remarks.push(format!(
                "{errors} of {taken} were answered with 4xx or 5xx: where that is right, write ok."
            ));
        }
        remarks.extend(self.clock.remark(self.taken));
        if let Some(replay) = self.replay {
            return replay.finish(desk);
        }
        desk.draft.load = match self.clock.rate(self.taken) {
            Some(rate) => format!("{{open: {rate}/s, for: 1m}}"),
            None => "{open: 10/s, for: 1m}".to_owned(),
        };
        urls::take_top(desk, &self.tally.top(desk.options.top));
        Ok(())
    }
}
