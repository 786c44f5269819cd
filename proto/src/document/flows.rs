//! Compiler and their steps as they are written, compiled to a program for sessions.

pub(super) mod loops;

use super::reading::{Fields, Reader, Spot};
use super::requests::{BODIES, METHODS, Requests, method, number};
use super::scope::Scope;
use super::stages::think;
use super::text::Value;
use crate::units::NS_PER_S;
use crate::workload::expectation::{extract_from, status_range};
use crate::workload::{
    Check, Extract, Flow, OnFail, Op, REPLAY_NAME, REPLAY_SLOT, StatusSet, Step,
};

pub(super) const FLOW_KEYS: [&str; 3] = ["name", "weight", "steps"];
pub(super) const STEP_KEYS: [&str; 12] = [
    "name", "method", "url", "headers", "extract", "check", "ok", "timeout", "on_fail", "think",
    "repeat", "until",
];
/// Most flows of a document.
const FLOWS_MAX: usize = 1000;
/// Most steps of all flows.
pub const STEPS_MAX: usize = 1000;
/// Most operations of a flow.
const OPS_MAX: usize = 10_000;
/// Most values that are extracted in a document.
const SLOTS_MAX: usize = 64;
/// Most checks and extractions of a step.
const CHECKS_MAX: usize = 32;
/// Longest timeout, ns.
pub(super) const TIMEOUT_NS_MAX: u64 = 3600 * NS_PER_S;

/// What steps are where they do not say otherwise.
#[derive(Debug, Clone)]
pub(super) struct Standard {
    pub(super) timeout_ns: u64,
    pub(super) ok: StatusSet,
}

/// Compiles flows.
pub(super) struct Compiler<'r, 'a> {
    pub(super) reader: &'r mut Reader,
    pub(super) requests: Requests<'a>,
    pub(super) standard: Standard,
    pub(super) flows: Vec<Flow>,
    pub(super) steps: Vec<Step>,
    pub(super) slots: Vec<String>,
    /// Whether a log is replayed: then flows begin with its path, and it says which comes.
    is_replay: bool,
    ops: Vec<Op>,
    depth: usize,
}

impl<'r, 'a> Compiler<'r, 'a> {
    pub(super) fn new(reader: &'r mut Reader, requests: Requests<'a>, standard: Standard) -> Self {
        Self {
            reader,
            requests,
            standard,
            flows: Vec::new(),
            steps: Vec::new(),
            slots: Vec::new(),
            is_replay: false,
            ops: Vec::new(),
            depth: 0,
        }
    }

    /// The same for a load that may replay a log.
    pub(super) fn replaying(mut self, is_replay: bool) -> Self {
        if is_replay {
            self.slots.push(REPLAY_NAME.to_owned());
        }
        Self { is_replay, ..self }
    }

    /// Reads `flows`.
    pub(super) fn flows(&mut self, spot: &Spot<'_>) {
        let items = self.reader.items(spot);
        if items.is_empty() || items.len() > FLOWS_MAX {
            let problem = format!("{} flows; 1 to {FLOWS_MAX}", items.len());
            self.reader.wrong(spot, problem);
        }
        for (index, item) in items.iter().take(FLOWS_MAX).enumerate() {
            let fields = self.reader.fields(item, &FLOW_KEYS);
            let name = fields.get("name").and_then(|at| self.reader.text(&at));
            let name = name.unwrap_or_else(|| format!("flow {}", index + 1));
            if self.flows.iter().any(|flow| flow.name == name) {
                self.reader
                    .wrong(item, format!("a second flow with the name {name:?}"));
            }
            let weight = fields.get("weight");
            if let Some(at) = weight.as_ref().filter(|_| self.is_replay) {
                let problem = "in a replay the method of each request says which flow it is: take \
                    weight out";
                self.reader.wrong(at, problem);
            }
            let weight = weight.map(|at| self.reader.whole(&at, 0..=1_000_000));
            match fields.get("steps") {
                Some(steps) => self.flow(name, weight.flatten().unwrap_or(1), &steps),
                None => self.reader.wrong(item, "a flow needs steps: [GET /]"),
            }
        }
    }

    /// Reads the steps of one flow.
    pub(super) fn flow(&mut self, name: String, weight: u64, steps: &Spot<'_>) {
        self.reader.scope.slots.clear();
        if self.is_replay {
            let known = self.reader.scope.add_slot(REPLAY_NAME, REPLAY_SLOT);
            self.reader.right(steps, known);
        }
        let steps_before = self.steps.len();
        self.steps(steps);
        if self.steps.len() == steps_before && self.reader.is_right() {
            self.reader
                .wrong(steps, "a flow needs at least one request");
        }
        let ops = std::mem::take(&mut self.ops);
        if ops.len() > OPS_MAX {
            self.reader
                .wrong(steps, format!("more than {OPS_MAX} steps"));
        }
        self.flows.push(Flow { name, weight, ops });
    }

    fn steps(&mut self, spot: &Spot<'_>) {
        for item in self.reader.items(spot) {
            if self.steps.len() >= STEPS_MAX {
                let problem = format!("more than {STEPS_MAX} requests in all flows");
                return self.reader.wrong(&item, problem);
            }
            self.step(&item);
        }
    }

    fn step(&mut self, spot: &Spot<'_>) {
        let Value::Map(entries) = &spot.node.value else {
            return self.short_step(spot);
        };
        let has = |name: &str| entries.iter().any(|(key, _)| key.name == name);
        let is_request = has("url") || METHODS.into_iter().any(has);
        if !is_request && (has("repeat") || has("steps")) {
            self.repeat(spot);
        } else if has("think") && entries.len() == 1 {
            let fields = self.reader.fields(spot, &["think"]);
            self.think(&fields);
        } else if let Some(times) = self.own_times(spot) {
            self.rounds(spot, times, |compiler| compiler.long_step(spot));
        } else {
            self.long_step(spot);
        }
    }

    fn think(&mut self, fields: &Fields<'_>) {
        let at = fields.get("think");
        let think = at.and_then(|at| self.reader.parsed(&at, think));
        self.ops.extend(think.map(Op::Think));
    }

    /// `GET /path`
    fn short_step(&mut self, spot: &Spot<'_>) {
        let Some(text) = self.reader.raw(spot) else {
            return;
        };
        let Some((verb, url)) = text.trim().split_once(char::is_whitespace) else {
            let problem = format!("{text:?} is no step: write GET /path, or a map with more");
            return self.reader.wrong(spot, problem);
        };
        let verb = self.reader.right(spot, method(verb));
        if let Some(verb) = verb {
            let url = url.trim();
            let request = self.requests.request(self.reader, &verb, (spot, url), None);
            let name = self.free_name(format!("{verb} {url}"));
            let Some(request) = request else {
                return;
            };
            self.push(Step {
                name,
                flow: self.flows.len(),
                request,
                ok: self.standard.ok.clone(),
                extracts: Vec::new(),
                checks: Vec::new(),
                until: None,
                timeout_ns: self.standard.timeout_ns,
                on_fail: OnFail::Continue,
            });
        }
    }

    fn push(&mut self, step: Step) {
        self.ops.push(Op::Send(self.steps.len()));
        self.steps.push(step);
    }

    fn free_name(&self, name: String) -> String {
        let is_taken = |name: &str| self.steps.iter().any(|step| step.name == name);
        if !is_taken(&name) {
            return name;
        }
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        numbered
            .into_iter()
            .find(|name| !is_taken(name))
            .unwrap_or(name)
    }

    fn long_step(&mut self, spot: &Spot<'_>) {
        let known: Vec<&str> = STEP_KEYS.into_iter().chain(METHODS).chain(BODIES).collect();
        let fields = self.reader.fields(spot, &known);
        let Some((verb, at)) = self.verb(spot, &fields) else {
            return;
        };
        let Some(url) = self.reader.raw(&at) else {
            return;
        };
        let request = self
            .requests
            .request(self.reader, &verb, (&at, url), Some(&fields));
        let name = match fields.get("name") {
            Some(name) => self.own_name(&name),
            None => Some(self.free_name(format!("{verb} {url}"))),
        };
        let checks = fields.get("check").map(|at| self.checks(&at));
        let until = fields.get("until").and_then(|at| self.check(&at));
        let ok = fields.get("ok").map(|at| statuses(self.reader, &at));
        let timeout_ns = fields.get("timeout");
        let timeout_ns = timeout_ns.map(|at| self.reader.duration(&at, TIMEOUT_NS_MAX));
        let words = [("continue", OnFail::Continue), ("stop", OnFail::Stop)];
        let on_fail = fields
            .get("on_fail")
            .map(|at| self.reader.word(&at, &words));
        // What it extracts is known from the next step on, also where this one is wrong.
        let extracts = fields.get("extract").map(|at| self.extracts(&at));
        if until.is_some() && self.depth == 0 {
            let problem = "until ends a repeat, and there is none: give the step repeat: 20, or put \
                it among the steps of a loop";
            self.reader.wrong(spot, problem);
        }
        if let (Some(request), Some(name)) = (request, name) {
            self.push(Step {
                name,
                flow: self.flows.len(),
                request,
                ok: ok.unwrap_or_else(|| self.standard.ok.clone()),
                extracts: extracts.unwrap_or_default(),
                checks: checks.unwrap_or_default(),
                until,
                timeout_ns: timeout_ns.flatten().unwrap_or(self.standard.timeout_ns),
                on_fail: on_fail.flatten().unwrap_or_default(),
            });
        }
        self.think(&fields);
    }

    /// The method of a step, and where its URL stands.
    fn verb<'n>(&mut self, spot: &Spot<'n>, fields: &Fields<'n>) -> Option<(String, Spot<'n>)> {
        let given: Vec<&str> = METHODS
            .into_iter()
            .filter(|verb| fields.has(verb))
            .collect();
        match (&given[..], fields.get("url")) {
            ([verb], None) => {
                let at = fields.get(verb);
                if at.is_none() {
                    self.reader.wrong(spot, format!("{verb} needs a URL"));
                }
                at.map(|at| ((*verb).to_owned(), at))
            }
            ([], Some(url)) => {
                let verb = match fields.get("method") {
                    Some(at) => self.reader.parsed(&at, method)?,
                    None => "GET".to_owned(),
                };
                Some((verb, url))
            }
            ([], None) => {
                let problem = "a step has a method with its URL (GET: /path), a think or a repeat";
                self.reader.wrong(spot, problem);
                None
            }
            _ => {
                let problem = format!("a step is one request; this has {}", given.join(" and "));
                self.reader.wrong(spot, problem);
                None
            }
        }
    }

    fn own_name(&mut self, spot: &Spot<'_>) -> Option<String> {
        let name = self.reader.text(spot)?;
        if name.is_empty() || name.len() > 200 || name.contains(['(', ')', '\n']) {
            let problem =
                format!("{name:?} is no name of a step: 1 to 200 characters, no brackets");
            self.reader.wrong(spot, problem);
            return None;
        }
        if self.steps.iter().any(|step| step.name == name) {
            self.reader
                .wrong(spot, format!("a second step with the name {name:?}"));
        }
        Some(name)
    }

    fn checks(&mut self, spot: &Spot<'_>) -> Vec<Check> {
        let items = self.reader.items(spot);
        if items.len() > CHECKS_MAX {
            self.reader
                .wrong(spot, format!("more than {CHECKS_MAX} checks"));
        }
        items.iter().filter_map(|item| self.check(item)).collect()
    }

    fn check(&mut self, spot: &Spot<'_>) -> Option<Check> {
        let raw = self.reader.raw(spot)?;
        let text = with_braced(&self.reader.scope, raw);
        let text = self.reader.right(spot, text)?;
        self.reader.right(spot, text.parse())
    }

    fn extracts(&mut self, spot: &Spot<'_>) -> Vec<Extract> {
        let entries = self
            .reader
            .entries(spot, "a map of names to json $.path, header Name, …");
        if entries.len() > CHECKS_MAX {
            self.reader
                .wrong(spot, format!("more than {CHECKS_MAX} extractions"));
        }
        let mut extracts = Vec::new();
        for (key, entry) in entries {
            let slot = number(&mut self.slots, key.name.clone());
            if self.slots.len() > SLOTS_MAX {
                self.reader
                    .wrong(&entry, format!("more than {SLOTS_MAX} extracted names"));
            }
            let known = self.reader.scope.add_slot(&key.name, slot);
            self.reader.right(&entry, known);
            let Some(raw) = self.reader.raw(&entry) else {
                continue;
            };
            if let Some(from) = self.reader.right(&entry, extract_from(raw)) {
                extracts.push(Extract {
                    slot,
                    from,
                    is_for_header: false,
                });
            }
        }
        extracts
    }

    /// Marks what is extracted and used in a header, where not every value can be.
    pub(super) fn mark_header_values(&mut self) {
        let in_headers = &self.requests.slots_in_headers;
        for extract in self.steps.iter_mut().flat_map(|step| &mut step.extracts) {
            extract.is_for_header = in_headers.contains(&extract.slot);
        }
    }
}

/// The text with each `${name}` replaced by its variable: a path into JSON begins with a dollar sign
/// too, so those without braces stay.
fn with_braced(scope: &Scope, text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let end = rest[at..].find('}').map_or(rest.len(), |end| at + end + 1);
        out.push_str(&rest[..at]);
        out.push_str(&scope.fixed(&rest[at..end])?);
        rest = &rest[end..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Reads `[200-299, 304]` or `200`.
pub(super) fn statuses(reader: &mut Reader, spot: &Spot<'_>) -> StatusSet {
    let items = reader.items(spot);
    let mut ranges = Vec::new();
    for item in &items {
        ranges.extend(reader.parsed(item, status_range));
    }
    if items.is_empty() {
        reader.wrong(spot, "no status is ok; give at least one");
    }
    StatusSet::new(ranges)
}
