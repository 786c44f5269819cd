//! The command line of `driver run`. What a value may be is checked by `proto::workload`, so that a
//! local run, the API and the wire agree.

use std::path::{Path, PathBuf};

use super::document::{self, GivenArgs, Loaded, is_document};
use super::tls_args::TlsArgs;
use clap::{Args, ValueHint, value_parser};
use proto::ci::ReportArgs;
use proto::document::{Defaults, Document, Params, REPEATS_MAX, Runner};
use proto::units::{ns_to_ms, ns_to_seconds, parse_duration_ns};
use proto::workload::{RateSpec, Stage, TestType, Workload};

use crate::load::Directions;

/// Longest body from a file, in bytes.
const BODY_FILE_LEN_MAX: usize = 1 << 30;
/// How long a load without any limit lasts.
const DEFAULT_DURATION_S: f64 = 10.0;

/// Load a web server from this machine.
///
/// Without --rate, --gap or --stages the load is a closed loop: every connection sends its next
/// request when the last answer is complete. With one of them it is an open loop: requests start on
/// their schedule whatever the answers do, and latency counts from the intended start. All figures
/// are totals of this process. Durations are written like 250ms, 1.5s, 2m; a bare number is seconds.
///
/// Exit codes: 0 ok, 1 error, 2 usage, 3 a threshold is breached, 4 the result is invalid or
/// incomplete, 130 interrupted. Of several runs the worst decides: 130, then 1, 4, 3.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// URL of the target: `http://host[:port]/path`, or one of https, or `unix:/run/app.sock[:/path]`;
    /// or a document: a file of YAML or JSON
    #[arg(value_name = "URL|FILE", value_hint = ValueHint::AnyPath)]
    pub url: String,
    /// What a document needs from outside.
    #[command(flatten)]
    pub given: GivenArgs,
    /// Connections [default: 64; with --gap, up to 1024 as --burst needs]
    #[arg(short, long, value_name = "N")]
    pub connections: Option<u64>,
    /// Requests to send
    #[arg(short = 'n', long, value_name = "N")]
    pub requests: Option<u64>,
    /// Length of the load [default: 10s, unless --requests is given]
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration_ns)]
    pub duration: Option<u64>,
    /// Requests a second, or a ramp as FROM:TO over the duration
    #[arg(short, long, value_name = "RATE", conflicts_with_all = ["gap", "stages"])]
    pub rate: Option<RateSpec>,
    /// Time between the starts of subsequent loads of --burst requests
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ns, conflicts_with = "stages")]
    pub gap: Option<u64>,
    /// Requests of one load
    #[arg(long, value_name = "N", requires = "gap")]
    pub burst: Option<u64>,
    /// Rates over time, such as 100:1000@30s,1000@2m
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',')]
    pub stages: Vec<Stage>,
    /// Requests in flight on one connection
    #[arg(short, long, value_name = "N")]
    pub pipeline: Option<u64>,
    /// Which free connection gets the next request: first (the one that is free longest, so that all
    /// are used) or last (as a client's pool does) [default: first]
    #[arg(long, value_name = "WHICH")]
    pub reuse: Option<String>,
    /// Start although the target takes no connection: what falls due while it is away is refused
    #[arg(long)]
    pub no_preflight: bool,
    /// TLS, and the version of HTTP
    #[command(flatten)]
    pub tls: TlsArgs,
    /// CPUs to load from, such as 0,2 or 1-3 [default: all that this process may use]
    #[arg(long, env = "DLTS_CORES", value_name = "LIST")]
    pub cores: Option<String>,
    /// How the target is reached from here
    #[command(flatten)]
    pub directions: Directions,
    /// HTTP method [default: GET, or POST with a body]
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub method: Option<String>,
    /// A header field, such as 'Accept: text/html'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// The body; @FILE for what is in a file
    #[arg(long, value_name = "TEXT|@FILE")]
    pub body: Option<String>,
    /// A file with the body
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    pub body_file: Option<PathBuf>,
    /// From the actual send to the end of the answer [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ns)]
    pub timeout: Option<u64>,
    /// From the intended send: a request that cannot be sent by then is shed
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ns)]
    pub deadline: Option<u64>,
    /// Load before the measured one, of which nothing is counted
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ns)]
    pub warmup: Option<u64>,
    /// What the result must satisfy, such as `p99<250ms` or `error_rate<0.1%`; may be repeated
    #[arg(long, value_name = "CONDITION")]
    pub threshold: Vec<String>,
    /// Search the highest rate at which every --threshold holds, from --rate on [default: 100], each
    /// rate for --duration [default: 5s] after --warmup [default: 1s]; a document has all of them
    /// itself, and one open stage, whose rate is the first
    #[arg(long, conflicts_with_all = ["requests", "gap", "stages", "burst", "logs", "repeat",
        "rest", "junit", "markdown"])]
    pub find_capacity: bool,
    /// Runs after each other, 1 to 100, each on fresh connections and with a result of its own; the
    /// answer is their figures' median and spread [default: that of the document, or 1]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=REPEATS_MAX.into()))]
    pub repeat: Option<u32>,
    /// From the end of a run to the start of the next one [default: that of the document, or 1s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ns)]
    pub rest: Option<u64>,
    /// Print the result as JSON, in the shape of the orchestrator's `GET /metrics/{id}`
    #[arg(long)]
    pub json: bool,
    /// What is written for the pages of CI
    #[command(flatten)]
    pub report: ReportArgs,
    /// Write core-N.hlog and core-N.jsonl, a line a second, into this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub logs: Option<PathBuf>,
}

impl RunArgs {
    /// A target `unix:/run/app.sock:/path` as the URL and the socket that it stands for.
    ///
    /// # Errors
    /// In words, where it names no socket, or another one is given beside it.
    pub(super) fn with_socket(mut self) -> Result<Self, String> {
        let Some(rest) = self.url.strip_prefix("unix:") else {
            return Ok(self);
        };
        let (socket, path) = match rest.find(":/") {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, "/"),
        };
        if socket.is_empty() || socket.starts_with("//") {
            return Err(format!(
                "{:?} names no socket; write unix:/run/app.sock, or unix:/run/app.sock:/path",
                self.url
            ));
        }
        let own = &self.directions;
        if own.unix_socket.is_some() || !own.resolve.is_empty() || !own.sources.is_empty() {
            return Err(format!(
                "{:?} says where to connect to; drop --unix-socket, --resolve and --source",
                self.url
            ));
        }
        (self.directions.unix_socket, self.url) =
            (Some(socket.into()), format!("http://localhost{path}"));
        Ok(self)
    }

    /// The document that the arguments name, if they name one.
    ///
    /// # Errors
    /// In words: what is wrong in it, or which argument says what only the document may say.
    pub(super) fn document(&self) -> Result<Option<Loaded>, String> {
        if !is_document(&self.url) {
            return match self.given.env.first() {
                Some((name, _)) => Err(format!(
                    "-e {name}: a URL has no variables; name a document"
                )),
                None => Ok(None),
            };
        }
        let of_a_url = [
            ("--connections", self.connections.is_some()),
            ("--requests", self.requests.is_some()),
            ("--duration", self.duration.is_some()),
            ("--rate", self.rate.is_some()),
            ("--gap", self.gap.is_some()),
            ("--stages", !self.stages.is_empty()),
            ("--pipeline", self.pipeline.is_some()),
            ("--reuse", self.reuse.is_some()),
            ("--no-preflight", self.no_preflight),
            ("--method", self.method.is_some()),
            ("--header", !self.headers.is_empty()),
            ("--body", self.body.is_some() || self.body_file.is_some()),
            ("--timeout", self.timeout.is_some()),
            ("--deadline", self.deadline.is_some()),
            ("--warmup", self.warmup.is_some()),
            ("--threshold", !self.threshold.is_empty()),
        ];
        let of_a_url = of_a_url.into_iter().chain(self.tls.given());
        if let Some((name, _)) = of_a_url.into_iter().find(|(_, is_given)| *is_given) {
            let file = &self.url;
            return Err(format!(
                "{name} is for a URL; {file} says it itself: write it there, with a $NAME where it changes"
            ));
        }
        document::load(&self.url, &self.given, Runner::Alone).map(Some)
    }

    /// Whether standard output is for one answer that is no text for people.
    pub(super) fn is_quiet(&self) -> bool {
        self.json || self.report.take_stdout()
    }

    /// How many runs are asked for: by the arguments, else by the document.
    ///
    /// # Errors
    /// In words, where a rest is given that nothing comes after.
    pub(super) fn times(&self, document: Option<&Document>) -> Result<u32, String> {
        let of_document = document.map_or(1, |document| document.repeat);
        let times = self.repeat.unwrap_or(of_document);
        if times == 1 && self.rest.is_some() {
            let error = "--rest is between runs, and this is one: give --repeat 5";
            return Err(error.to_owned());
        }
        Ok(times)
    }

    /// The workload that the arguments describe.
    ///
    /// # Errors
    /// In words: which argument is wrong, and what is allowed.
    pub fn workload(&self) -> Result<Workload, String> {
        let kind = if self.gap.is_some() {
            TestType::Tsunami
        } else {
            TestType::Avalanche
        };
        let body = self.body()?;
        let unlimited =
            self.requests.is_none() && self.duration.is_none() && self.stages.is_empty();
        let mut params = Params {
            target: Some(self.url.clone()),
            requests: self.requests,
            connections: self.connections,
            burst: self.burst,
            rate: self.rate,
            stages: (!self.stages.is_empty()).then(|| self.stages.clone()),
            method: self
                .method
                .clone()
                .or_else(|| body.as_ref().map(|_| "POST".to_owned())),
            headers: (!self.headers.is_empty()).then(|| self.headers.clone()),
            timeout_ms: self.timeout.map(ns_to_ms),
            deadline_ms: self.deadline.map(ns_to_ms),
            duration_s: self.duration.map(ns_to_seconds),
            warmup_s: self.warmup.map(ns_to_seconds),
            pipeline: self.pipeline,
            http: self.tls.http.clone(),
            requests_per_connection: self.tls.requests_per_connection,
            reuse: self.reuse.clone(),
            preflight: self.no_preflight.then_some(false),
            tls: Some(self.tls.params()),
            threshold: (!self.threshold.is_empty()).then(|| self.threshold.clone()),
            ..Params::default()
        };
        if unlimited {
            params.duration_s = Some(DEFAULT_DURATION_S);
        }
        let gap_s = self.gap.map_or(1.0, ns_to_seconds);
        let defaults = Defaults {
            burst: 1,
            ..Defaults::of_rest(kind, &self.url)
        };
        let mut workload = Workload::from_params(kind, gap_s, &params, &defaults)
            .map_err(|error| error.to_string())?;
        // A body of any bytes, and longer than one that has to fit a message.
        workload.request.body = body.unwrap_or_default();
        Ok(workload)
    }

    fn body(&self) -> Result<Option<Vec<u8>>, String> {
        let file = self.body.as_deref().and_then(|body| body.strip_prefix('@'));
        match self.body_file.as_deref().or(file.map(Path::new)) {
            Some(path) => {
                let body = std::fs::read(path)
                    .map_err(|error| format!("body: {} cannot be read: {error}", path.display()))?;
                if body.len() > BODY_FILE_LEN_MAX {
                    let (name, len) = (path.display(), body.len());
                    return Err(format!(
                        "body: {name} has {len} bytes; give one of at most {BODY_FILE_LEN_MAX}"
                    ));
                }
                Ok(Some(body))
            }
            None => Ok(self.body.as_ref().map(|text| text.clone().into_bytes())),
        }
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| format!("{text:?} has no colon: write 'Name: value'"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proto::workload::{Arrival, Limit};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        run: RunArgs,
    }

    fn workload(args: &[&str]) -> Result<Workload, String> {
        let args = ["driver", "http://127.0.0.1:8000/"].iter().chain(args);
        Cli::try_parse_from(args)
            .map_err(|error| error.to_string())?
            .run
            .workload()
    }

    #[test]
    fn without_a_limit_a_load_lasts_ten_seconds() {
        let load = workload(&[]).unwrap();
        assert_eq!(load.arrival, Arrival::ClosedLoop);
        assert_eq!(
            load.limit,
            Limit {
                requests: None,
                duration_ns: Some(10_000_000_000)
            }
        );
        let counted = workload(&["-n", "5"]).unwrap();
        assert_eq!(
            counted.limit,
            Limit {
                requests: Some(5),
                duration_ns: None
            }
        );
    }

    #[test]
    fn rates_gaps_and_stages_make_open_loops() {
        assert!(matches!(
            workload(&["--rate", "1.5"]).unwrap().arrival,
            Arrival::Rate(_)
        ));
        let ramp = workload(&["--rate", "1:9", "-d", "3s"]).unwrap().arrival;
        assert!(matches!(ramp, Arrival::Stages(stages) if stages.len() == 1));
        let stages = workload(&["--stages", "1@1s,1:5@2s"]).unwrap().arrival;
        assert!(matches!(stages, Arrival::Stages(stages) if stages.len() == 2));
        let bursts = workload(&["--gap", "250ms", "--burst", "7", "-n", "70"])
            .unwrap()
            .arrival;
        assert_eq!(
            bursts,
            Arrival::Bursts {
                gap_ns: 250_000_000,
                burst: 7
            }
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (args, word) in [
            (vec!["--rate", "1", "--gap", "1s"], "--gap"),
            (vec!["--connections", "0"], "1 to 50000"),
            (vec!["--header", "nonsense"], "colon"),
            (vec!["--duration", "soon"], "duration"),
            (vec!["--body-file", "/nowhere"], "/nowhere"),
            (vec!["--body", "@/nowhere"], "/nowhere"),
            (vec!["--timeout", "1us"], "steps of a millisecond"),
        ] {
            let error = workload(&args).unwrap_err();
            assert!(error.contains(word), "{args:?}: {error}");
        }
    }

    #[test]
    fn tls_is_for_targets_that_have_it() {
        let args = ["driver", "https://shop.example/", "-k", "--no-resume"];
        let load = Cli::try_parse_from(args).unwrap().run.workload().unwrap();
        assert!(load.target.is_tls && load.tls.insecure && !load.tls.resume);
        assert_eq!(workload(&[]).unwrap().tls, proto::workload::Tls::default());
        for (args, word) in [
            (&["-k"][..], "write https://"),
            (&["--http", "2"], "h2c"),
            (&["--requests-per-connection", "0"], "1 to"),
            (&["--cert", "a.pem"], "--key"),
        ] {
            let error = workload(args).unwrap_err();
            assert!(error.contains(word), "{args:?}: {error}");
        }
    }

    #[test]
    fn a_body_makes_a_post() {
        let load = workload(&["--body", "a=b", "-H", "X-A: 1"]).unwrap();
        assert_eq!(
            (load.request.method.as_str(), load.request.body.as_slice()),
            ("POST", &b"a=b"[..])
        );
        assert_eq!(load.request.headers, [("X-A".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_body_comes_from_a_file_by_either_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("body");
        std::fs::write(&path, b"\0\xff").unwrap();
        let path = path.to_str().unwrap();
        for args in [["--body-file", path], ["--body", &format!("@{path}")]] {
            assert_eq!(workload(&args).unwrap().request.body, b"\0\xff");
        }
    }

    #[test]
    fn every_time_is_written_alike() {
        let times = ["1500ms", "1.5s", "1.5", "0.025m"];
        for time in times {
            let load = workload(&[
                "--timeout",
                time,
                "-d",
                time,
                "--warmup",
                time,
                "--deadline",
                time,
            ]);
            let load = load.unwrap();
            let all = [
                Some(load.timeout_ns),
                load.limit.duration_ns,
                load.deadline_ns,
            ];
            assert_eq!(all, [Some(1_500_000_000); 3], "{time}");
            assert_eq!(load.warmup_ns, 1_500_000_000, "{time}");
        }
    }
}
