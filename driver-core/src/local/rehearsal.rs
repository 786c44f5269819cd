//! `driver try FILE`: one session, spoken aloud: each request, answer, extraction and check.
//!
//! It is the source and the protocol of the engine on one blocking socket, so that what is seen here
//! is what a load sends.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueHint};
use proto::clock::monotonic_ns;
use proto::document::Runner;
use proto::secret::{MASK, is_secret, shown};
use proto::units::format_ns;
use proto::workload::{HttpChoice, LoadStage, Mix, Part, Scenario, StageArrivals, Target, Tls};

use super::document::{self, GivenArgs};
use super::exit;
use crate::load::{compile, forms_of, templates};
use crate::protocol::http1::{Http1, State};
use crate::protocol::{After, Answered, Dropped, Key, Protocol, Sink};
use crate::source::replay::Feed;
use crate::source::sessions::Job;
use crate::source::tally::StepTally;
use crate::source::{Answer, Outcome, Replay, Sessions, Source, Verdict};
use wire::{Secure, Wire};

mod wire;

/// Most characters of a body that are shown.
const SHOWN_MAX: usize = 2048;

/// Send one session of a document, and print each request, answer, extraction and check
#[derive(Debug, Clone, Args)]
pub struct TryArgs {
    /// The document: a file of YAML or JSON
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: String,
    /// The flow [default: the first]
    #[arg(long, value_name = "NAME")]
    pub flow: Option<String>,
    /// What a document needs from outside.
    #[command(flatten)]
    pub given: GivenArgs,
}

/// Sends one session, and says how it went.
#[must_use]
pub fn rehearse(args: &TryArgs) -> ExitCode {
    match Rehearsal::new(args) {
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(exit::USAGE)
        }
        Ok(mut rehearsal) => match rehearsal.run() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(exit::THRESHOLD),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(exit::ERROR)
            }
        },
    }
}

struct Rehearsal {
    scenario: Arc<Scenario>,
    sessions: Sessions,
    http1: Http1,
    /// By server: what is checked of it where it has TLS, and the connection to it.
    secure: Vec<Option<Secure>>,
    connections: Vec<Option<(Wire, State)>>,
    voice: Voice,
}

impl Rehearsal {
    fn new(args: &TryArgs) -> Result<Self, String> {
        let loaded = document::load(&args.file, &args.given, Runner::Trial)?;
        let workload = loaded.workload();
        let mut scenario = loaded.scenario;
        let targets = scenario.targets.iter();
        let secure: Result<Vec<_>, String> = targets
            .map(|target| secure(target, &workload.tls))
            .collect();
        let secure = secure?;
        let names = || scenario.flows.iter().map(|flow| flow.name.as_str());
        let chosen = match &args.flow {
            None => 0,
            Some(name) => names().position(|known| known == name).ok_or_else(|| {
                let known: Vec<&str> = names().collect();
                format!(
                    "no flow has the name {name:?}; there are {}",
                    known.join(", ")
                )
            })?,
        };
        let weights: Vec<u64> = (0..scenario.flows.len())
            .map(|flow| u64::from(flow == chosen))
            .collect();
        scenario.mix = Mix::new(&weights)?;
        let replay = loaded.replay.as_ref();
        let feed = replay.map(|replay| one_of(replay, &scenario, chosen));
        let feed = feed.transpose()?;
        if feed.is_none() {
            scenario.load.stages = vec![LoadStage {
                arrivals: StageArrivals::Closed { sessions: 1 },
                for_ns: None,
                sessions: Some(1),
                is_warmup: false,
            }];
        }
        let scenario = Arc::new(scenario);
        let tables = loaded.tables.into();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let unix_ms = wall.map_or(0, |wall| u64::try_from(wall.as_millis()).unwrap_or(0));
        let sessions = Sessions::new(
            Arc::clone(&scenario),
            tables,
            Part::WHOLE,
            (0, 1),
            fastrand::u64(..),
        );
        Ok(Self {
            http1: Http1::new(&templates(&scenario)),
            sessions: sessions
                .with_anchor(monotonic_ns(), unix_ms)
                .with_feed(feed),
            scenario,
            connections: secure.iter().map(|_| None).collect(),
            secure,
            voice: Voice::new(&loaded.hidden),
        })
    }

    /// Goes through the session; says whether all was as it was hoped for.
    fn run(&mut self) -> io::Result<bool> {
        self.sessions.begin(monotonic_ns());
        let mut is_good = true;
        while !self.sessions.is_over() {
            let now_ns = monotonic_ns();
            self.sessions.advance(now_ns);
            let mut servers = 0..self.scenario.targets.len();
            if let Some(due) = servers.find_map(|server| self.sessions.take(server, now_ns)) {
                is_good &= self.exchange(due.job)?;
                continue;
            }
            let due_ns = self.sessions.due_ns();
            if due_ns == u64::MAX {
                break;
            }
            let think_ns = due_ns.saturating_sub(now_ns);
            self.voice
                .say(&format!("* thinks for {}", format_ns(think_ns)))?;
            thread::sleep(Duration::from_nanos(think_ns));
        }
        let tally = self.sessions.counted();
        let unmade: u64 = tally.steps.iter().map(|step| step.without_value).sum();
        if unmade > 0 {
            self.voice
                .say("* the next request was not made: a value for it was never found")?;
        }
        let word = if is_good && unmade == 0 {
            "good"
        } else {
            "not good"
        };
        self.voice.say(&format!("* the session is over: {word}"))?;
        Ok(is_good && unmade == 0)
    }

    /// One request and its answer.
    fn exchange(&mut self, job: Job) -> io::Result<bool> {
        let number = self.sessions.request(job);
        let scenario = Arc::clone(&self.scenario);
        let step = &scenario.steps[number];
        self.voice.say(&format!(
            "\n* {} ({})",
            step.name, scenario.flows[step.flow].name
        ))?;
        let within = Duration::from_nanos(step.timeout_ns);
        let server = step.request.target;
        let (mut wire, mut state) = match self.connections[server].take() {
            Some(open) => open,
            None => self.connect(server, within)?,
        };
        wire.wait_at_most(within)?;
        let mut bytes = Vec::new();
        let sessions = &mut self.sessions;
        let mut fill = |hole: usize, out: &mut Vec<u8>| sessions.fill(job, hole, out);
        self.http1.write(&mut state, number, &mut fill, &mut bytes);
        self.voice.message(">", &bytes)?;
        let before = self.sessions.counted().steps[number].clone();
        let sent_ns = monotonic_ns();
        wire.write(&bytes)?;
        let mut heard = Heard::default();
        let outcome = self.listen(&mut wire, &mut state, &mut heard);
        let end_ns = monotonic_ns();
        if let Err(error) = outcome {
            self.voice.say(&format!("* no answer: {error}"))?;
            self.sessions.lost(job, end_ns);
            return Ok(false);
        }
        if !heard.closes {
            self.connections[server] = Some((wire, state));
        }
        heard.say(&self.voice)?;
        for (name, value) in &heard.fields {
            self.sessions.field(job, name, value);
        }
        self.sessions.body(job, &heard.body);
        let answer = Answer {
            status: heard.status,
            sent_ns,
            end_ns,
        };
        let Outcome { verdict, .. } = self.sessions.answered(job, answer);
        self.voice
            .say(&format!("* answered in {}", format_ns(end_ns - sent_ns)))?;
        self.say_what_was_found(job, number, &before)?;
        if verdict == Verdict::Status {
            self.voice
                .say(&format!("* status {}: FAILED", heard.status))?;
        }
        Ok(verdict == Verdict::Ok)
    }

    fn connect(&mut self, server: usize, within: Duration) -> io::Result<(Wire, State)> {
        let target = &self.scenario.targets[server];
        let wire = Wire::connect(target, self.secure[server].as_ref(), within);
        let wire = wire.map_err(|error| of_several(&self.scenario, server, error))?;
        self.voice.say(&format!("* {}", wire.shown()?))?;
        if self.scenario.http != HttpChoice::Auto && self.scenario.http != HttpChoice::One {
            self.voice
                .say("* a session is tried over HTTP/1.1; the load itself is HTTP/2")?;
        }
        let state = self.http1.open(server, &mut Vec::new());
        Ok((wire, state))
    }

    /// Reads to the end of an answer.
    fn listen(&mut self, wire: &mut Wire, state: &mut State, heard: &mut Heard) -> io::Result<()> {
        let broken = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut plain = Vec::new();
        while !heard.is_whole {
            plain.clear();
            if wire.read(&mut plain)? == 0 {
                let end = self.http1.end(state, heard);
                end.map_err(|malformed| broken(malformed.to_string()))?;
                heard.closes = true;
                if !heard.is_whole {
                    return Err(broken("the target ended the connection".to_owned()));
                }
                break;
            }
            let after = self.http1.read(state, &plain, &mut Vec::new(), heard);
            let after = after.map_err(|malformed| broken(malformed.to_string()))?;
            heard.closes |= after != After::GoesOn;
        }
        Ok(())
    }

    fn say_what_was_found(&self, job: Job, number: usize, before: &StepTally) -> io::Result<()> {
        let step = &self.scenario.steps[number];
        let after = &self.sessions.counted().steps[number];
        for (nth, extract) in step.extracts.iter().enumerate() {
            let name = &self.scenario.slots[extract.slot];
            if after.missing[nth] > before.missing[nth] {
                self.voice.say(&format!("* {name}: NOT FOUND"))?;
            } else {
                let value = self.sessions.extracted(job, extract.slot);
                self.voice
                    .say(&format!("* {name} = {:?}", String::from_utf8_lossy(value)))?;
            }
        }
        for (nth, check) in step.checks.iter().enumerate() {
            let holds = after.checks[nth].0 > before.checks[nth].0;
            let word = if holds { "holds" } else { "FAILED" };
            self.voice.say(&format!("* check {}: {word}", check.text))?;
        }
        Ok(())
    }
}

/// The first request of a log that begins a flow.
fn one_of(replay: &Replay, scenario: &Scenario, flow: usize) -> Result<Feed, String> {
    let flows = scenario.flows_of(replay.head())?;
    let method = flows.iter().position(|of| *of == flow);
    let method = method.ok_or_else(|| {
        let name = &scenario.flows[flow].name;
        format!("the replay has no request that begins the flow {name:?}; --flow chooses another")
    })?;
    replay.first_of(method, flows.into())
}

/// Why there is no connection, with the name of the server where there are several.
fn of_several(scenario: &Scenario, server: usize, error: io::Error) -> io::Error {
    match &scenario.targets[..] {
        [_] => error,
        several => {
            let name = &several[server].authority;
            io::Error::new(error.kind(), format!("no connection to {name}: {error}"))
        }
    }
}

/// What is checked of a target, where it has TLS.
fn secure(target: &Target, tls: &Tls) -> Result<Option<Secure>, String> {
    if !target.is_tls {
        return Ok(None);
    }
    let hosts = [target.host.as_str()];
    let setup = compile(tls, HttpChoice::One, &hosts).map_err(|error| error.to_string())?;
    Ok(Some(Secure {
        setup,
        is_insecure: tls.insecure,
    }))
}

/// An answer on its way.
#[derive(Default)]
struct Heard {
    status: u16,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    is_whole: bool,
    closes: bool,
}

impl Heard {
    fn say(&self, voice: &Voice) -> io::Result<()> {
        voice.say(&format!("< {}", self.status))?;
        for (name, value) in &self.fields {
            let name = String::from_utf8_lossy(name);
            let value = String::from_utf8_lossy(value);
            voice.say(&format!("< {name}: {}", shown(&name, &value)))?;
        }
        voice.body("<", &self.body)
    }
}

impl Sink for Heard {
    const WATCHES: bool = true;

    fn expects(&self) -> bool {
        !self.is_whole
    }

    fn began(&mut self, _: Key) {}

    fn answered(&mut self, answered: Answered) {
        self.status = answered.status;
        self.is_whole = true;
    }

    fn dropped(&mut self, _: Key, _: Dropped) {}

    fn field(&mut self, _: Key, name: &[u8], value: &[u8]) {
        self.fields.push((name.to_vec(), value.to_vec()));
    }

    fn body(&mut self, _: Key, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }
}

/// What speaks, and keeps to itself what is secret.
struct Voice {
    /// The secrets, in every form in which a request can hold them.
    hidden: Vec<String>,
}

impl Voice {
    fn new(secrets: &[String]) -> Self {
        Self {
            hidden: forms_of(secrets),
        }
    }

    /// A request as it is sent, secrets masked.
    fn message(&self, mark: &str, bytes: &[u8]) -> io::Result<()> {
        let head_len = bytes
            .windows(4)
            .position(|end| end == b"\r\n\r\n")
            .map_or(bytes.len(), |at| at + 4);
        let (head, body) = bytes.split_at(head_len);
        for line in String::from_utf8_lossy(head)
            .lines()
            .filter(|line| !line.is_empty())
        {
            match line.split_once(": ") {
                Some((name, value)) if is_secret(name) => {
                    self.say(&format!("{mark} {name}: {}", shown(name, value)))?;
                }
                _ => self.say(&format!("{mark} {line}"))?,
            }
        }
        self.body(mark, body)
    }

    fn body(&self, mark: &str, body: &[u8]) -> io::Result<()> {
        if body.is_empty() {
            return Ok(());
        }
        self.say(mark)?;
        // Masked before it is cut, so that no half of a secret is left at the end.
        let text = self.masked(&String::from_utf8_lossy(body));
        let shown: String = text.chars().take(SHOWN_MAX).collect();
        for line in shown.lines() {
            self.say(&format!("{mark} {line}"))?;
        }
        if shown.len() < text.len() {
            self.say(&format!("{mark} … {} bytes in all", body.len()))?;
        }
        Ok(())
    }

    fn masked(&self, text: &str) -> String {
        let hide = |text: String, secret: &String| text.replace(secret, MASK);
        self.hidden.iter().fold(text.to_owned(), hide)
    }

    fn say(&self, line: &str) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{}", self.masked(line))
    }
}
