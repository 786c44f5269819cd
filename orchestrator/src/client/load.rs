//! The test that the command line describes. Its options are those of `driver run`; what a value
//! may be is for the orchestrator to say, in its own words.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use proto::units::{ns_to_ms, ns_to_seconds, parse_duration_ns};
use serde_json::Value;

use super::api;
use super::cli::RunTerms;
use super::ending::Problem;
use super::tls_options::TlsOptions;

/// The two kinds of test.
#[derive(Debug, Clone, Subcommand)]
pub enum Load {
    /// Closed loop: each connection sends its next request when the last answer is complete
    #[command(after_help = AVALANCHE_HELP)]
    Avalanche(LoadOptions),
    /// Open loop: loads of --burst requests, SECONDS between their starts
    #[command(after_help = TSUNAMI_HELP)]
    Tsunami {
        /// Seconds between the starts of subsequent loads; fractions allowed, up to 3600
        #[arg(value_name = "SECONDS")]
        seconds: String,
        /// The rest
        #[command(flatten)]
        options: LoadOptions,
    },
}

const AVALANCHE_HELP: &str = "\
Examples:
  client run avalanche
  client run avalanche --requests 1000000 --connections 256
  client run avalanche --duration 30s --threshold 'p99<5ms' --threshold 'error_rate<0.1%'
  client run avalanche --rate 5000 --duration 1m      an open loop of 5000/s on each driver";

const TSUNAMI_HELP: &str = "\
Examples:
  client run tsunami 2                                5 loads of 100, 2 s apart
  client run tsunami 0.5 --burst 10 --requests 200
  client run tsunami 1 --target http://10.0.0.7:8080/api -X POST --body '{\"n\":1}'";

/// The parameters of a test, each for every driver.
#[derive(Debug, Clone, Default, Args)]
pub struct LoadOptions {
    /// URL of the target [default: the orchestrator's]
    #[arg(short, long, value_name = "URL", value_hint = ValueHint::Url)]
    pub target: Option<String>,
    /// Requests of each driver
    #[arg(short = 'n', long, value_name = "N")]
    pub requests: Option<u64>,
    /// Connections of each driver, 1 to 50000
    #[arg(short, long, value_name = "N")]
    pub connections: Option<u64>,
    /// Length of the load, such as 30s
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration_ns)]
    pub duration: Option<u64>,
    /// Requests a second of each driver, or a ramp as FROM:TO over the duration
    #[arg(short, long, value_name = "RATE")]
    pub rate: Option<String>,
    /// Rates over time, such as 100:1000@30s,1000@2m
    #[arg(long, value_name = "STAGE,…")]
    pub stages: Option<String>,
    /// Requests of one load of a tsunami
    #[arg(short, long, value_name = "N")]
    pub burst: Option<u64>,
    /// Requests in flight on one connection
    #[arg(short, long, value_name = "N")]
    pub pipeline: Option<u64>,
    /// TLS, and the version of HTTP
    #[command(flatten)]
    pub tls: TlsOptions,
    /// HTTP method [default: GET, or POST with a body]
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub method: Option<String>,
    /// A header field, such as 'Accept: text/html'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// The body
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
    /// A file with the body, as text
    #[arg(long, value_name = "FILE", conflicts_with = "body", value_hint = ValueHint::FilePath)]
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
    /// Which free connection gets the next request: first (the one that is free longest) or last
    #[arg(long, value_name = "WHICH")]
    pub reuse: Option<String>,
    /// Start although the target takes no connection: what falls due while it is away is refused
    #[arg(long)]
    pub no_preflight: bool,
    /// Let node i of n start i/n of a gap later
    #[arg(long)]
    pub phase: bool,
    /// What the result must satisfy, such as 'p99<250ms'; may be repeated
    #[arg(long, value_name = "CONDITION")]
    pub threshold: Vec<String>,
    /// How it is run
    #[command(flatten)]
    pub terms: RunTerms,
}

impl Load {
    /// The path of the call that creates it.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Avalanche(_) => "avalanche".to_owned(),
            Self::Tsunami { seconds, .. } => format!("tsunami/{}", api::segment(seconds)),
        }
    }

    /// Its parameters.
    #[must_use]
    pub fn options(&self) -> &LoadOptions {
        match self {
            Self::Avalanche(options) | Self::Tsunami { options, .. } => options,
        }
    }
}

impl LoadOptions {
    /// The body of the call: what was given, and nothing else.
    ///
    /// # Errors
    /// [`Problem::Body`].
    pub fn parameters(&self) -> Result<Value, Problem> {
        let body = self.body()?;
        let posts = body.as_ref().map(|_| "POST".to_owned());
        let named: [(&str, Option<Value>); 21] = [
            ("target", self.target.clone().map(Value::from)),
            ("requests", self.requests.map(Value::from)),
            ("connections", self.connections.map(Value::from)),
            (
                "duration_s",
                self.duration.map(|ns| ns_to_seconds(ns).into()),
            ),
            ("rate", self.rate.clone().map(Value::from)),
            ("stages", self.stages.clone().map(Value::from)),
            ("burst", self.burst.map(Value::from)),
            ("pipeline", self.pipeline.map(Value::from)),
            ("http", self.tls.http.clone().map(Value::from)),
            (
                "requests_per_connection",
                self.tls.requests_per_connection.map(Value::from),
            ),
            ("reuse", self.reuse.clone().map(Value::from)),
            ("preflight", self.no_preflight.then_some(Value::Bool(false))),
            ("tls", self.tls.parameters()?),
            ("method", self.method.clone().or(posts).map(Value::from)),
            ("headers", given(&self.headers)),
            ("body", body.map(Value::from)),
            ("timeout_ms", self.timeout.map(|ns| ns_to_ms(ns).into())),
            ("deadline_ms", self.deadline.map(|ns| ns_to_ms(ns).into())),
            ("warmup_s", self.warmup.map(|ns| ns_to_seconds(ns).into())),
            ("phase", self.phase.then_some(Value::Bool(true))),
            ("threshold", given(&self.threshold)),
        ];
        let given = named
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Ok(Value::Object(given.collect()))
    }

    fn body(&self) -> Result<Option<String>, Problem> {
        let Some(path) = &self.body_file else {
            return Ok(self.body.clone());
        };
        fs::read_to_string(path)
            .map(Some)
            .map_err(|error| Problem::Body {
                path: path.clone(),
                error,
            })
    }
}

fn given(texts: &[String]) -> Option<Value> {
    (!texts.is_empty()).then(|| texts.into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proto::document::Params;
    use serde_json::json;

    use super::super::cli::{Cli, Command};
    use super::*;

    fn load(arguments: &[&str]) -> Load {
        let line = ["client", "run"].iter().chain(arguments);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Run(options) => options.load.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_was_given_is_sent() {
        let load = load(&["avalanche"]);
        assert_eq!(load.path(), "avalanche");
        assert_eq!(load.options().parameters().unwrap(), json!({}));
    }

    #[test]
    fn every_option_is_a_parameter_that_the_orchestrator_knows() {
        let load = load(&[
            "tsunami",
            "0.5",
            "-n",
            "20",
            "-c",
            "4",
            "--burst",
            "5",
            "--target",
            "http://h/",
            "-d",
            "1.5s",
            "--rate",
            "1:9",
            "--stages",
            "1@1s",
            "-p",
            "2",
            "--http",
            "1.1",
            "--requests-per-connection",
            "1",
            "-k",
            "--server-name",
            "shop.example",
            "--cert",
            "cert.pem",
            "--key",
            "key.pem",
            "--no-resume",
            "-H",
            "A: 1",
            "-H",
            "A: 2",
            "--body",
            "x",
            "--timeout",
            "250ms",
            "--deadline",
            "50us",
            "--warmup",
            "1s",
            "--phase",
            "--threshold",
            "p99<5ms",
        ]);
        assert_eq!(load.path(), "tsunami/0.5");
        let Value::Object(values) = load.options().parameters().unwrap() else {
            panic!("the parameters are no object");
        };
        assert_eq!(values["timeout_ms"], 250.0);
        assert_eq!(values["deadline_ms"], 0.05);
        assert_eq!(values["duration_s"], 1.5);
        assert_eq!(values["method"], "POST");
        let params = Params::from_values(values).unwrap();
        assert_eq!(params.headers.unwrap().len(), 2);
        assert_eq!(params.requests, Some(20));
        let tls = params.tls.unwrap();
        assert_eq!((tls.insecure, tls.resume), (Some(true), Some(false)));
        assert_eq!(tls.key.as_deref(), Some("key.pem"));
    }
}
