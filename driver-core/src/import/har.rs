//! An HTTP archive: its entries are the steps of one session, the pauses between them think times.
//!
//! Entries are read one by one, and answers, which are most of an archive, are skipped unread: memory
//! is that of the document and of the longest request.

mod entry;
mod reading;

use std::io::{self, BufRead};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Desk;
use super::draft::{Body, Requests, Step};
use super::lines;
use super::secrets::literal;
use entry::{Asked, Entry};

/// Shorter pauses are none, ms.
const PAUSE_MS_MIN: i64 = 50;
/// Pauses are rounded to this, ms.
const PAUSE_MS_STEP: i64 = 100;
/// Longest think time of a document, ms.
const PAUSE_MS_MAX: i64 = 3_600_000;

pub(super) fn import(desk: &mut Desk<'_>, input: &mut dyn BufRead) -> io::Result<()> {
    desk.draft.requests = Requests::InOrder(Vec::new());
    desk.draft.load = "{closed: 1, for: 10s}".into();
    let remarks = &mut desk.draft.remarks;
    remarks
        .push("One session is all requests in order. load says how many at once: raise it.".into());
    remarks.push(
        "A session keeps the cookies that it is given; a Cookie header that is written out".into(),
    );
    remarks.push("in headers takes their place: take it out where the server sets its own.".into());
    let input = lines::unpacked(input)?;
    let (input, line) = lines::Counted::new(input);
    let mut clock = Clock::default();
    let outcome = reading::entries(input, &mut |entry| {
        desk.read += 1;
        let line = line.get();
        take(desk, &mut clock, line, entry);
    });
    if let Err(error) = outcome {
        let words = error.to_string();
        let kind = "the archive ends early or is none";
        desk.notes
            .left_out(error.line().max(1) as u64, kind, &words);
    }
    Ok(())
}

/// When the requests so far were sent and answered.
#[derive(Default)]
struct Clock {
    begun_ms: Option<i64>,
    ended_ms: Option<i64>,
}

impl Clock {
    /// The pause before a request, ms; or that its clock went back.
    fn pause(&mut self, begin_ms: i64, took_ms: i64) -> Result<i64, ()> {
        let pause = self
            .ended_ms
            .map_or(0, |ended| begin_ms.saturating_sub(ended));
        let went_back = self.begun_ms.is_some_and(|before| begin_ms < before);
        let end_ms = begin_ms.saturating_add(took_ms.max(0));
        self.ended_ms = Some(self.ended_ms.map_or(end_ms, |ended| ended.max(end_ms)));
        self.begun_ms = Some(begin_ms);
        if went_back { Err(()) } else { Ok(pause) }
    }
}

fn take(desk: &mut Desk<'_>, clock: &mut Clock, line: u64, entry: Entry) {
    let number = desk.read;
    let think_ms = pause(desk, clock, line, &entry);
    let Some(asked) = entry.asked else {
        let detail = format!("entry {number}");
        return desk
            .notes
            .left_out(line, "an entry without a request", &detail);
    };
    if !desk.options.has_assets && entry::is_asset(entry.kind.as_deref(), &asked) {
        return desk.notes.left_out(line, "an asset (--no-assets)", "");
    }
    if let Some(mut step) = request(desk, line, asked) {
        step.think_ms = think_ms;
        desk.draft.take(&mut desk.notes, 1, step);
    }
}

/// How long the user thinks before a request, ms.
fn pause(desk: &mut Desk<'_>, clock: &mut Clock, line: u64, entry: &Entry) -> u64 {
    if !desk.options.thinks {
        return 0;
    }
    let begin = entry
        .started
        .as_deref()
        .map(|text| OffsetDateTime::parse(text, &Rfc3339));
    let Some(Ok(begin)) = begin else {
        let kind = "no startedDateTime that says when it was: no think time before it";
        desk.notes.changed(line, kind, "");
        return 0;
    };
    let begin_ms = i64::try_from(begin.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    #[allow(
        clippy::cast_possible_truncation,
        reason = "saturates, which is long enough"
    )]
    let took_ms = entry.took_ms.unwrap_or(0.0) as i64;
    let Ok(pause_ms) = clock.pause(begin_ms, took_ms) else {
        let kind = "the clock went back: no think time before it";
        desk.notes
            .changed(line, kind, &format!("entry {}", desk.read));
        return 0;
    };
    if pause_ms < PAUSE_MS_MIN {
        return 0;
    }
    if pause_ms > PAUSE_MS_MAX {
        desk.notes
            .changed(line, "a pause of more than an hour is one of an hour", "");
        return PAUSE_MS_MAX.unsigned_abs();
    }
    let rounded = (pause_ms + PAUSE_MS_STEP / 2) / PAUSE_MS_STEP * PAUSE_MS_STEP;
    rounded.unsigned_abs()
}

fn request(desk: &mut Desk<'_>, line: u64, asked: Asked) -> Option<Step> {
    let url = desk.url(line, &literal(&asked.url))?;
    let path = desk.secrets.path(line, &url.path);
    let host = url
        .origin
        .split_once("://")
        .map_or("", |(_, host)| host)
        .to_owned();
    let body = body(desk, line, &asked)?;
    let mut headers = Vec::new();
    let mut has_kind = false;
    for (name, value) in &asked.headers {
        // Of the URL, as the driver writes it.
        if name.eq_ignore_ascii_case("host") && value.eq_ignore_ascii_case(&host) {
            continue;
        }
        has_kind |= name.eq_ignore_ascii_case("content-type");
        let value = desk.secrets.header(line, name, &literal(value));
        headers.push((name.clone(), value));
    }
    if body != Body::Nothing
        && !has_kind
        && let Some(kind) = asked.body.as_ref().and_then(|body| body.kind.clone())
    {
        headers.push(("Content-Type".to_owned(), literal(&kind).into_owned()));
    }
    let body = desk.hidden(line, &headers, body);
    Some(Step {
        line,
        method: asked.method,
        path,
        headers,
        body,
        ..Step::default()
    })
}

fn body(desk: &mut Desk<'_>, line: u64, asked: &Asked) -> Option<Body> {
    let Some(body) = &asked.body else {
        return Some(Body::Nothing);
    };
    let bytes = match (body.is_base64, &body.text) {
        (true, Some(text)) => {
            let Ok(bytes) = BASE64.decode(text.trim()) else {
                desk.notes
                    .left_out(line, "its body is called base64 and is not", "");
                return None;
            };
            bytes
        }
        (false, Some(text)) if !text.is_empty() => text.clone().into_bytes(),
        _ if body.params.is_empty() => return Some(Body::Nothing),
        _ if body.is_of("multipart/") => {
            let kind = "the archive does not have its multipart body, only the names in it";
            desk.notes.left_out(line, kind, "");
            return None;
        }
        _ => form(&body.params),
    };
    let body = desk.draft.body(bytes);
    body.map_err(|problem| desk.notes.left_out(line, problem, ""))
        .ok()
}

/// The fields of a form; archives have them as they were sent.
fn form(params: &[(String, String)]) -> Vec<u8> {
    let pairs: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&").into_bytes()
}
