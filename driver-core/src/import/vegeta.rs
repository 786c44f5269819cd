//! Targets of vegeta, in its text format and as JSON lines: each a session of its own, in turn.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, BufRead};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use proto::workload::Mix;
use serde_json::Value;

use super::Desk;
use super::draft::{Body, Requests, Step, is_beside};
use super::lines;
use super::secrets::literal;

/// A target as it is read.
#[derive(Debug, Default)]
struct Target {
    line: u64,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    /// The name of the file of its body.
    file: Option<String>,
    body: Vec<u8>,
}

pub(super) fn import(desk: &mut Desk<'_>, input: &mut dyn BufRead) -> io::Result<()> {
    desk.draft.begin_mix();
    let mut reading = Reading {
        known: HashMap::new(),
        times: Vec::new(),
        open: None,
        is_skipping: false,
    };
    lines::each(desk, input, |desk, line| reading.line(desk, line))?;
    reading.end(desk);
    reading.finish(desk);
    Ok(())
}

struct Reading {
    /// The places of the document's requests among its flows.
    known: HashMap<String, usize>,
    /// How often each of them came.
    times: Vec<u64>,
    /// The target of the text format that more lines may belong to.
    open: Option<Target>,
    /// Whether lines belong to a target that could not be read.
    is_skipping: bool,
}

impl Reading {
    fn line(&mut self, desk: &mut Desk<'_>, line: &lines::Line<'_>) {
        let number = line.number;
        let text = std::str::from_utf8(line.bytes)
            .ok()
            .filter(|_| !line.is_cut)
            .map(str::trim);
        let Some(text) = text.filter(|text| !text.contains('\0')) else {
            desk.read += 1;
            desk.notes.left_out(number, "no line of text", "");
            self.open = None;
            self.is_skipping = true;
            return;
        };
        if text.is_empty() {
            self.end(desk);
            self.is_skipping = false;
        } else if text.starts_with('{') && self.open.is_none() {
            desk.read += 1;
            match of_json(number, text) {
                Ok(target) => self.take(desk, target),
                Err(problem) => desk.notes.left_out(number, "no target in JSON", &problem),
            }
        } else if !text.starts_with('#') {
            self.text_line(desk, number, text);
        }
    }

    fn text_line(&mut self, desk: &mut Desk<'_>, number: u64, text: &str) {
        let request = text.split_once(char::is_whitespace);
        let request = request.filter(|(method, _)| {
            !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase())
        });
        if let Some((method, url)) = request {
            self.end(desk);
            self.is_skipping = false;
            desk.read += 1;
            self.open = Some(Target {
                line: number,
                method: method.to_owned(),
                url: url.trim().to_owned(),
                ..Target::default()
            });
            return;
        }
        let Some(open) = self.open.as_mut() else {
            if !self.is_skipping {
                desk.read += 1;
                desk.notes.left_out(number, "no target: METHOD URL", "");
            }
            self.is_skipping = true;
            return;
        };
        if let Some(file) = text.strip_prefix('@') {
            open.file = Some(file.to_owned());
        } else if let Some((name, value)) = text.split_once(':') {
            open.headers
                .push((name.trim().to_owned(), value.trim().to_owned()));
        } else {
            desk.notes
                .changed(number, "no header field: it has no colon", "");
        }
    }

    /// The open target is complete.
    fn end(&mut self, desk: &mut Desk<'_>) {
        if let Some(target) = self.open.take() {
            self.take(desk, target);
        }
    }

    fn take(&mut self, desk: &mut Desk<'_>, target: Target) {
        let Some(step) = step(desk, target) else {
            return;
        };
        let key = format!(
            "{} {} {:?} {:?}",
            step.method, step.path, step.headers, step.body
        );
        match self.known.entry(key) {
            Entry::Occupied(known) => self.times[*known.get()] += 1,
            Entry::Vacant(new) => {
                if desk.draft.take(&mut desk.notes, 1, step) {
                    new.insert(self.times.len());
                    self.times.push(1);
                }
            }
        }
    }

    fn finish(self, desk: &mut Desk<'_>) {
        desk.draft.load = "{open: 50/s, for: 5s}".into();
        let remarks = &mut desk.draft.remarks;
        remarks.push(
            "Each target is a session of its own, by weight; rate and time are vegeta's own".into(),
        );
        remarks.push("where none are given: load says others.".into());
        let (weights, is_rounded) = Mix::weights_of(&self.times);
        if is_rounded {
            remarks.push("Weights are in proportion, rounded; each is at least 1.".into());
        }
        if let Requests::Mix(entries) = &mut desk.draft.requests {
            for ((weight, _), of) in entries.iter_mut().zip(weights) {
                *weight = of;
            }
        }
    }
}

fn step(desk: &mut Desk<'_>, target: Target) -> Option<Step> {
    let line = target.line;
    let url = desk.url(line, &literal(&target.url))?;
    let path = desk.secrets.path(line, &url.path);
    let body = match target.file {
        Some(file) if is_beside(&file) => {
            desk.notes.changed(
                line,
                "the file of the body has to lie beside the document",
                &file,
            );
            Body::File(file)
        }
        Some(file) => {
            let kind =
                "the file of the body is not named from the document's folder: copy it there";
            desk.notes.left_out(line, kind, &file);
            return None;
        }
        None => match desk.draft.body(target.body) {
            Ok(body) => body,
            Err(problem) => {
                desk.notes.left_out(line, problem, "");
                return None;
            }
        },
    };
    let mut headers = Vec::new();
    for (name, value) in target.headers {
        let value = desk.secrets.header(line, &name, &literal(&value));
        headers.push((name, value));
    }
    let body = desk.hidden(line, &headers, body);
    Some(Step {
        line,
        method: target.method,
        path,
        headers,
        body,
        ..Step::default()
    })
}

/// A line of JSON: `{"method": "GET", "url": "http://…", "header": {"A": ["b"]}, "body": "base64"}`.
fn of_json(line: u64, text: &str) -> Result<Target, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    let url = field("url").ok_or("it has no url")?;
    let body = field("body").unwrap_or_default();
    let body = BASE64.decode(body).map_err(|_| "its body is not base64")?;
    let mut headers = Vec::new();
    let fields = value.get("header").and_then(Value::as_object);
    for (name, values) in fields.into_iter().flatten() {
        let values = values
            .as_array()
            .map_or(std::slice::from_ref(values), Vec::as_slice);
        let values = values.iter().filter_map(Value::as_str);
        headers.extend(values.map(|value| (name.clone(), value.to_owned())));
    }
    Ok(Target {
        line,
        method: field("method").unwrap_or("GET").to_owned(),
        url: url.to_owned(),
        headers,
        file: None,
        body,
    })
}
