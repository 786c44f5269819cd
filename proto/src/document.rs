//! What people write, checked once: a test as one document, every error with its place, and the
//! parameters of the reference's two calls. It knows no message and no topic.
//!
//! A document is YAML or JSON. It is read to a tree that knows its places, its names are looked up,
//! and it is compiled to a [`Scenario`] that drivers run; [`Document::to_json`] is what travels and
//! what the store keeps, and gives the same scenario again wherever it is read.

mod about;
mod check;
mod conditions;
mod files;
mod flows;
mod folder;
mod headers;
mod identity;
mod kept;
mod mask;
mod nearest;
mod params;
mod parts;
mod place;
mod reading;
mod replayed;
mod requests;
mod runners;
mod schema;
mod scope;
mod searched;
mod servers;
mod sets;
mod stages;
mod text;
mod tls;
mod trust;

use std::fmt;

pub use about::REPEATS_MAX;
pub use check::{BODY_LEN_MAX, CONNECTIONS_MAX, Defaults, HEADERS_MAX, PIPELINE_MAX, REQUESTS_MAX};
pub use conditions::{AbortCondition, Bound, Condition, Whose};
pub use files::{Carried, FILE_LEN_MAX, Reference};
pub use flows::STEPS_MAX;
pub use folder::{Folder, has_document_name, named_value, placed};
pub use params::{InvalidParam, Params};
pub use place::{InvalidDocument, Place, Problem};
pub use requests::{Allowed, METHODS};
pub use runners::Runner;
pub use schema::SCHEMA;
pub use scope::Given;
pub use searched::{SEARCHED_NS_MAX, SEARCHED_WARMUP_NS, Searched};
pub use sets::file_name;
pub use stages::parse_rate;
pub use text::{DOCUMENT_LEN_MAX, Key, Node, Scalar, Value};
pub use tls::TlsParams;

use about::About;
use files::Contents;
use flows::{Compiler, Standard, TIMEOUT_NS_MAX, statuses};
use headers::{HeaderText, header_texts};
use reading::{Fields, Reader, Spot};
use requests::Requests;
use scope::Scope;
use servers::http_problem;

use crate::units::NS_PER_S;
use crate::workload::{Flow, HttpChoice, Load, Mix, Scenario, StatusSet, Step, Target};

/// Keys of a document.
pub(crate) const DOCUMENT_KEYS: [&str; 20] = [
    "dlts",
    "name",
    "note",
    "tags",
    "target",
    "defaults",
    "tls",
    "vars",
    "data",
    "files",
    "flows",
    "steps",
    "load",
    "max_sessions",
    "seed",
    "drivers",
    "thresholds",
    "abort",
    "repeat",
    "rest",
];
const DEFAULTS_KEYS: [&str; 9] = [
    "headers",
    "timeout",
    "deadline",
    "http",
    "connections",
    "pipeline",
    "ok",
    "cookies",
    "requests_per_connection",
];
/// Connections of each driver where no document says otherwise.
const CONNECTIONS: u32 = 64;

/// A test, read and compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its text as a tree, with the values from outside that it used among its variables.
    node: Node,
    /// What it is called; empty for nothing.
    pub name: String,
    /// What somebody wants to remember about it; empty for nothing.
    pub note: String,
    /// Labels by name.
    pub tags: Vec<(String, String)>,
    /// What drivers run.
    pub scenario: Scenario,
    /// Drivers without which it does not start.
    pub drivers_min: Option<u32>,
    /// What its result has to satisfy.
    pub thresholds: Vec<Condition>,
    /// What ends it early.
    pub abort: Vec<AbortCondition>,
    /// How often it is run.
    pub repeat: u32,
    /// From the end of one of these runs to the next, ns, where it says so.
    pub rest_ns: Option<u64>,
    /// Contents of files, by name.
    contents: Contents,
}

/// What surrounds a document where it is read.
pub struct Setting<'a> {
    /// Values from outside.
    pub given: Given,
    /// The target of a document that names none.
    pub target: Option<String>,
    /// Which targets are allowed.
    pub allowed: Box<Allowed<'a>>,
}

impl Default for Setting<'_> {
    fn default() -> Self {
        Self {
            given: Given::default(),
            target: None,
            allowed: Box::new(|_| Ok(())),
        }
    }
}

impl fmt::Debug for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Setting");
        debug.field("target", &self.target).finish_non_exhaustive()
    }
}

impl Document {
    /// Reads a document and checks all of it.
    ///
    /// # Errors
    /// Everything that is wrong in it, each with its place; of a text that is no YAML, the first.
    pub fn read(text: &str, setting: Setting<'_>) -> Result<Self, InvalidDocument> {
        Self::of_tree(Node::read(text)?, setting)
    }

    /// The same of a tree.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of_tree(node: Node, setting: Setting<'_>) -> Result<Self, InvalidDocument> {
        let mut reader = Reader::new(Scope::new(setting.given));
        let document = whole(&mut reader, &node, setting.target, &*setting.allowed);
        let taken = reader.scope.taken();
        let problems = reader.into_problems();
        match document {
            Some(document) if problems.is_empty() => {
                let node = with_vars(node, taken);
                Ok(Self { node, ..document })
            }
            _ => Err(InvalidDocument(problems)),
        }
    }
}

/// The tree with values from outside as its own variables, dollar signs doubled.
fn with_vars(mut node: Node, taken: std::collections::BTreeMap<String, String>) -> Node {
    if taken.is_empty() {
        return node;
    }
    let mut vars = match node.get("vars") {
        Some(vars) if matches!(vars.value, Value::Map(_)) => vars.clone(),
        _ => Node {
            place: Place::default(),
            value: Value::Map(Vec::new()),
        },
    };
    for (name, value) in taken {
        vars.set(&name, Node::text(value.replace('$', "$$")));
    }
    node.set("vars", vars);
    node
}

fn whole(
    reader: &mut Reader,
    node: &Node,
    target: Option<String>,
    allowed: &Allowed<'_>,
) -> Option<Document> {
    let root = Spot::root(node);
    let fields = reader.fields(&root, &DOCUMENT_KEYS);
    if let Some(at) = fields.get("dlts") {
        reader.whole(&at, 1..=1);
    }
    vars(reader, &fields);
    let sets = fields.get("data").map(|at| sets::sets(reader, &at));
    let target = target_of(reader, &root, &fields, target, allowed);
    let defaults = fields.get("defaults");
    let defaults = Standards::read(reader, defaults.as_ref(), &fields);
    if let (Some(target), Some(at)) = (&target, fields.get("defaults")) {
        let chosen = http_problem(defaults.http, target);
        reader.right(&at, chosen);
    }
    let requests = Requests {
        targets: target.into_iter().collect(),
        sets: sets.unwrap_or_default(),
        files: Vec::new(),
        secrets: Vec::new(),
        slots_in_headers: Vec::new(),
        headers: defaults.headers,
        cookies: defaults.cookies,
        http: defaults.http,
        allowed,
    };
    let standard = Standard {
        timeout_ns: defaults.timeout_ns,
        ok: defaults.ok,
    };
    let replay = stages::replay(reader, fields.get("load").as_ref());
    let mut flows = Compiler::new(reader, requests, standard).replaying(replay.is_some());
    read_flows(&mut flows, &root, &fields);
    flows.mark_header_values();
    let Compiler {
        mut requests,
        flows,
        mut steps,
        slots,
        ..
    } = flows;
    servers::leave_out_unused(&mut requests.targets, &mut steps);
    servers::check(reader, &fields, &requests.targets, defaults.connections);
    check_pipeline(reader, &root, &fields, defaults.pipeline, &steps);
    let mix = mix(reader, &root, &fields, &flows);
    let trust = fields
        .get("tls")
        .map(|at| trust::read(reader, &at, &mut requests.files));
    let load = load(reader, &fields);
    let mut data = Vec::new();
    let at_data = fields.get("data").unwrap_or_else(|| root.clone());
    for set in requests.sets {
        data.extend(reader.right(&at_data, set.finish()));
    }
    let names = (&flows[..], &steps[..]);
    let thresholds = fields.get("thresholds");
    let thresholds = thresholds.map(|at| conditions::thresholds(reader, &at, names));
    let abort = fields.get("abort");
    let abort = abort.map(|at| conditions::aborts(reader, &at, names));
    let about = About::read(reader, &fields);
    let contents = fields.get("files").map(|at| files::files(reader, &at));
    for name in reader.scope.unasked() {
        reader.wrong(
            &root,
            format!("{name} was given, and nothing here uses ${name}"),
        );
    }
    let mut document = Document {
        node: node.clone(),
        name: about.name,
        note: about.note,
        tags: about.tags,
        scenario: Scenario {
            targets: requests.targets,
            flows,
            mix: mix?,
            steps,
            data,
            files: requests.files,
            slots,
            secrets: requests.secrets,
            cookies: requests.cookies,
            load,
            replay,
            connections: defaults.connections,
            pipeline: defaults.pipeline,
            deadline_ns: defaults.deadline_ns,
            http: defaults.http,
            requests_per_connection: defaults.requests_per_connection,
            trust: trust.unwrap_or_default(),
        },
        drivers_min: about.drivers_min,
        thresholds: thresholds.unwrap_or_default(),
        abort: abort.unwrap_or_default(),
        repeat: about.repeat,
        rest_ns: about.rest_ns,
        contents: contents.unwrap_or_default(),
    };
    document.check_files(reader, &fields);
    document.take_replay(reader, &root);
    Some(document)
}

/// How sessions come, and how many at most at once.
fn load(reader: &mut Reader, fields: &Fields<'_>) -> Load {
    let mut load = stages::load(reader, fields.get("load").as_ref());
    let sessions_max = fields.get("max_sessions");
    load.sessions_max = sessions_max.and_then(|at| reader.whole(&at, 1..=10_000_000));
    let seed = fields
        .get("seed")
        .and_then(|at| reader.whole(&at, 0..=u64::MAX));
    load.seed = seed.unwrap_or(0);
    load
}

fn vars(reader: &mut Reader, fields: &Fields<'_>) {
    let Some(at) = fields.get("vars") else {
        return;
    };
    let entries = reader.entries(&at, "a map of variables by name");
    for (key, entry) in &entries {
        let text = reader.raw(entry).unwrap_or_default();
        let known = reader.scope.add_var(&key.name, text);
        reader.right(entry, known);
        reader.right(entry, headers::refuse_mask(text));
    }
    // Each is tried, so that a circle is told where it is, also when nothing uses it yet.
    for (key, entry) in &entries {
        let outcome = reader.scope.expand_only(&key.name);
        reader.right(entry, outcome);
    }
}

fn target_of(
    reader: &mut Reader,
    root: &Spot<'_>,
    fields: &Fields<'_>,
    otherwise: Option<String>,
    allowed: &Allowed<'_>,
) -> Option<Target> {
    let (at, text) = match (fields.get("target"), otherwise) {
        (Some(at), _) => {
            let text = reader.text(&at)?;
            (at, text)
        }
        (None, Some(text)) => (root.clone(), text),
        (None, None) => {
            reader.wrong(root, "no target; write target: http://host:port/");
            return None;
        }
    };
    let target = Target::parse(&text).and_then(|target| allowed(&target).map(|()| target));
    reader.right(&at, target)
}

fn read_flows(flows: &mut Compiler<'_, '_>, root: &Spot<'_>, fields: &Fields<'_>) {
    match (fields.get("flows"), fields.get("steps")) {
        (Some(_), Some(steps)) => flows.reader.wrong(
            &steps,
            "steps besides flows; put them into a flow of their own",
        ),
        (Some(at), None) => flows.flows(&at),
        (None, Some(steps)) => flows.flow("main".to_owned(), 1, &steps),
        (None, None) if fields.has("flows") || fields.has("steps") => {
            flows.reader.wrong(root, "no steps; write steps: [GET /]");
        }
        (None, None) => {
            // The target's own path, as it stands.
            let Some(target) = flows.requests.targets.first().cloned() else {
                return;
            };
            let step = Node::text(format!("GET {}", target.to_string().replace('$', "$$")));
            let steps = Spot {
                node: &step,
                path: "target".to_owned(),
            };
            flows.flow("main".to_owned(), 1, &steps);
        }
    }
}

/// What requests are where they do not say otherwise.
struct Standards {
    headers: Vec<HeaderText>,
    timeout_ns: u64,
    deadline_ns: Option<u64>,
    http: HttpChoice,
    connections: u32,
    pipeline: u32,
    ok: StatusSet,
    cookies: bool,
    requests_per_connection: Option<u32>,
}

impl Standards {
    fn read(reader: &mut Reader, spot: Option<&Spot<'_>>, document: &Fields<'_>) -> Self {
        let mut defaults = Self {
            headers: Vec::new(),
            timeout_ns: 30 * NS_PER_S,
            deadline_ns: None,
            http: HttpChoice::Auto,
            connections: CONNECTIONS,
            pipeline: 1,
            ok: StatusSet::standard(),
            // A user of several requests has them; a document of one is a benchmark of it.
            cookies: document.has("flows") || document.has("steps"),
            requests_per_connection: None,
        };
        if let Some(spot) = spot {
            let fields = reader.fields(spot, &DEFAULTS_KEYS);
            defaults.fill(reader, &fields);
        }
        defaults
    }

    fn fill(&mut self, reader: &mut Reader, fields: &Fields<'_>) {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        if let Some(at) = fields.get("headers") {
            self.headers = header_texts(reader, &at);
        }
        if let Some(at) = fields.get("timeout") {
            self.timeout_ns = reader.duration(&at, TIMEOUT_NS_MAX).unwrap_or(1);
        }
        if let Some(at) = fields.get("deadline") {
            self.deadline_ns = reader.duration(&at, TIMEOUT_NS_MAX);
        }
        if let Some(at) = fields.get("http") {
            let words = [
                ("auto", HttpChoice::Auto),
                ("1.1", HttpChoice::One),
                ("1", HttpChoice::One),
                ("2", HttpChoice::Two),
                ("h2c", HttpChoice::ClearTwo),
            ];
            self.http = reader.word(&at, &words).unwrap_or_default();
        }
        if let Some(at) = fields.get("connections") {
            let number = reader.whole(&at, 1..=u64::from(CONNECTIONS_MAX));
            self.connections = number.map_or(CONNECTIONS, small);
        }
        if let Some(at) = fields.get("pipeline") {
            self.pipeline = reader
                .whole(&at, 1..=u64::from(PIPELINE_MAX))
                .map_or(1, small);
        }
        if let Some(at) = fields.get("ok") {
            self.ok = statuses(reader, &at);
        }
        if let Some(at) = fields.get("cookies") {
            self.cookies = reader.truth(&at).unwrap_or(false);
        }
        if let Some(at) = fields.get("requests_per_connection") {
            self.requests_per_connection = reader.whole(&at, 1..=u64::from(u32::MAX)).map(small);
        }
    }
}

/// Steps can share a pipeline only with one timeout: what waits for those before it has none of its
/// own.
fn check_pipeline(
    reader: &mut Reader,
    root: &Spot<'_>,
    fields: &Fields<'_>,
    pipeline: u32,
    steps: &[Step],
) {
    let differs = |step: &Step| step.timeout_ns != steps[0].timeout_ns;
    if pipeline > 1 && steps.iter().any(differs) {
        let at = fields.get("defaults").unwrap_or_else(|| root.clone());
        let problem = "steps have different timeouts, and requests in a pipeline wait for those \
            before them; give all the same timeout, or take pipeline out";
        reader.wrong(&at, problem);
    }
}

/// Which flow a session is, by the weights of all.
fn mix(reader: &mut Reader, root: &Spot<'_>, fields: &Fields<'_>, flows: &[Flow]) -> Option<Mix> {
    if !reader.is_right() {
        return None;
    }
    let weights: Vec<u64> = flows.iter().map(|flow| flow.weight).collect();
    let at = fields.get("flows").unwrap_or_else(|| root.clone());
    reader.right(&at, Mix::new(&weights))
}

#[cfg(test)]
mod tests;
