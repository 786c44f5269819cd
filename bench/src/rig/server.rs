//! A server that a scenario has started: its address, its count, its CPU time, its end.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::nginx::Speaks;
use super::{Error, Observed};
use crate::machine;

/// Longest answer that is read, in bytes: results of thousands of drivers are tens of megabytes.
const ANSWER_MAX: u64 = 1 << 30;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// `bench target`: spins, stamps arrivals, counts exactly
    Stamping,
    /// `testserver`: the default target of dlts
    Testserver,
    /// nginx with `return 200`, one process
    Nginx,
    /// The same over TLS, HTTP/1.1 or HTTP/2; sessions may be resumed
    NginxTls,
    /// The same, without resumption: every handshake is a full one
    NginxTlsFull,
    /// nghttpd over TLS, HTTP/2 only
    Nghttpd,
    /// nghttpd without TLS: HTTP/2 with prior knowledge
    NghttpdH2c,
    /// node's HTTP server
    Node,
}

/// A running server; ended when dropped.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    child: Child,
    /// Where it says its count.
    address: String,
    /// Where it is to be loaded: scheme, host and port.
    loaded_at: String,
    /// How often nginx was asked for its count; it counts that too.
    readings: AtomicU64,
}

impl Kind {
    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stamping => "stamping target",
            Self::Testserver => "testserver",
            Self::Nginx => "nginx",
            Self::NginxTls => "nginx over TLS",
            Self::NginxTlsFull => "nginx over TLS without resumption",
            Self::Nghttpd => "nghttpd",
            Self::NghttpdH2c => "nghttpd without TLS",
            Self::Node => "node",
        }
    }

    /// Whether it counts its requests; of one that does not, what the generator says is taken.
    #[must_use]
    pub fn counts(self) -> bool {
        !matches!(self, Self::Nghttpd | Self::NghttpdH2c)
    }

    fn is_nginx(self) -> bool {
        matches!(self, Self::Nginx | Self::NginxTls | Self::NginxTlsFull)
    }
}

impl Server {
    pub(super) fn start(kind: Kind, core: usize, scratch: &Path) -> Result<Self, Error> {
        match kind {
            Kind::Stamping => Self::ours(kind, "bench", &["target", "--core"], core),
            Kind::Testserver => {
                Self::ours(kind, "testserver", &["--workers", "1", "--cores"], core)
            }
            Kind::Nginx => Self::nginx(kind, core, scratch, Speaks::Http),
            Kind::NginxTls => Self::nginx(kind, core, scratch, Speaks::Https { resumes: true }),
            Kind::NginxTlsFull => {
                Self::nginx(kind, core, scratch, Speaks::Https { resumes: false })
            }
            Kind::Nghttpd | Kind::NghttpdH2c => {
                let (child, loaded_at) =
                    super::nghttpd::start(core, scratch, kind == Kind::Nghttpd)?;
                Ok(Self::new(kind, child, String::new(), loaded_at))
            }
            Kind::Node => Self::introduced(kind, "node", super::node::start(core, scratch)?),
        }
    }

    fn nginx(kind: Kind, core: usize, scratch: &Path, speaks: Speaks) -> Result<Self, Error> {
        let started = super::nginx::start(core, scratch, speaks)?;
        Ok(Self::new(
            kind,
            started.child,
            started.counts_at,
            started.loaded_at,
        ))
    }

    fn new(kind: Kind, child: Child, address: String, loaded_at: String) -> Self {
        Self {
            kind,
            child,
            address,
            loaded_at,
            readings: AtomicU64::new(0),
        }
    }

    fn ours(kind: Kind, program: &str, arguments: &[&str], core: usize) -> Result<Self, Error> {
        let path = crate::tools::locate(program).ok_or_else(|| Error::Missing {
            program: program.to_owned(),
            remedy: "cargo build --release --locked".to_owned(),
        })?;
        let failed = |message: String| Error::Start {
            program: program.to_owned(),
            message,
        };
        let command = crate::measure::follower(&path);
        let child = command
            .map_err(|error| failed(error.to_string()))?
            .args(arguments)
            .args([&core.to_string(), "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        Self::introduced(kind, program, child)
    }

    /// A server that says on its first line where it listens.
    fn introduced(kind: Kind, program: &str, mut child: Child) -> Result<Self, Error> {
        if let Some(address) = read_address(&mut child) {
            let loaded_at = format!("http://{address}");
            return Ok(Self::new(kind, child, address, loaded_at));
        }
        let _ = child.kill();
        let _ = child.wait();
        let message = "it printed no start line; its reason is above".to_owned();
        Err(Error::Start {
            program: program.to_owned(),
            message,
        })
    }

    /// Where it answers `Hello World`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/", self.loaded_at)
    }

    /// Which one it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// CPU seconds that it has taken.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        machine::cpu_seconds(self.child.id()).unwrap_or(0.0)
    }

    /// The number of requests that it has counted, without readings like this one.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn count(&self) -> Result<u64, Error> {
        let text = self.get("/metric")?;
        let number = if self.kind.is_nginx() {
            text.split_whitespace().nth(9)
        } else {
            Some(text.as_str())
        };
        let counted = number.and_then(|number| number.parse::<u64>().ok());
        let counted = counted.ok_or_else(|| Error::Answer {
            url: self.url(),
            message: text.clone(),
        });
        if self.kind.is_nginx() {
            self.readings.fetch_add(1, Relaxed);
        }
        Ok(counted? - self.readings.load(Relaxed))
    }

    /// The count from which a run is counted on. The stamping target starts at 0 again.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn settled_count(&self) -> Result<u64, Error> {
        if self.kind == Kind::Stamping {
            self.reset(None)?;
        }
        self.count()
    }

    /// How long the run lasted at the server, and which share of it the server was busy: from the
    /// first arrival to the last where arrivals are stamped, else the generator's wall time and
    /// the server's CPU time.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn window(&self, observed: &Observed) -> Result<(f64, f64), Error> {
        if self.kind == Kind::Stamping {
            let report = self.report()?;
            let number = |name: &str| report[name].as_f64().unwrap_or(0.0);
            return Ok((number("seconds"), number("busy_share")));
        }
        let seconds = observed.run.usage.seconds;
        Ok((seconds, observed.server_cpu_seconds / seconds))
    }

    /// Makes the stamping target forget what it stamped, and compare with a grid from now on.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn reset(&self, rate: Option<u32>) -> Result<(), Error> {
        let query = rate.map(|rate| format!("?rate={rate}")).unwrap_or_default();
        self.get(&format!("/reset{query}")).map(drop)
    }

    /// What the stamping target stamped.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn report(&self) -> Result<Value, Error> {
        let text = self.get("/report")?;
        serde_json::from_str(&text).map_err(|error| Error::Answer {
            url: self.url(),
            message: error.to_string(),
        })
    }

    /// Stops the process (it keeps its connections, but does nothing) or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        self.signal(if frozen { Signal::STOP } else { Signal::CONT });
    }

    fn get(&self, path: &str) -> Result<String, Error> {
        get(&format!("http://{}{path}", self.address))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.freeze(false);
        self.signal(Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The body of an answer to GET, whatever its status.
pub(crate) fn get(url: &str) -> Result<String, Error> {
    ask(url, |agent| agent.get(url).call())
}

/// The body of an answer to POST without a body, whatever its status.
pub(crate) fn post(url: &str) -> Result<String, Error> {
    ask(url, |agent| agent.post(url).send_empty())
}

fn ask(
    url: &str,
    call: impl FnOnce(ureq::Agent) -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<String, Error> {
    let failed = |error: ureq::Error| Error::Answer {
        url: url.to_owned(),
        message: error.to_string(),
    };
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .http_status_as_error(false)
        .build();
    let mut answer = call(ureq::Agent::new_with_config(config)).map_err(failed)?;
    let body = answer.body_mut().with_config().limit(ANSWER_MAX);
    body.read_to_string().map_err(failed)
}

fn read_address(child: &mut Child) -> Option<String> {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut()?)
        .read_line(&mut line)
        .ok()?;
    let started: Value = serde_json::from_str(&line).ok()?;
    Some(started["listen"].as_str()?.to_owned())
}
