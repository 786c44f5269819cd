//! The orchestrator's REST API, asked over HTTP.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use thiserror::Error;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, http::Response};

/// Triggering waits up to 5 s for ready drivers; an export of a long run takes a moment too.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// A file is answered when it is on the orchestrator's disk.
const UPLOADED_MAX: Duration = Duration::from_secs(150);
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The largest answer that is read: an export of hours.
const ANSWER_LEN_MAX: u64 = 1 << 30;
/// Asks for a result with as many nodes as there can be.
pub(super) const ALL_NODES: &str = "nodes_limit=1000000";

/// Why the orchestrator did not answer as hoped.
#[derive(Debug, Error)]
pub enum ApiError {
    /// Nobody answers there.
    #[error(
        "no orchestrator answers at {url}: {reason}; is it up (`make up`), and is --orchestrator right?"
    )]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// A file did not come whole, or could not be kept.
    #[error("the file that {url} sends could not be kept whole: {reason}; make room, or try again")]
    CutOff {
        /// Where it was asked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The file of `--cacert` is none.
    #[error("--cacert {path}: {reason}; give a PEM file")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It refused, in its own words.
    #[error("{error}{hint}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What is wrong.
        error: String,
        /// What to do, in parentheses; or nothing.
        hint: String,
    },
    /// It answered something that is not its API.
    #[error("what answers at {url} is not the dlts orchestrator: {reason}")]
    Foreign {
        /// Where.
        url: String,
        /// What it said.
        reason: String,
    },
}

/// Whose certificate of an https orchestrator is believed.
#[derive(Debug, Clone, Default, Args)]
pub struct Trust {
    /// Authority whose certificate an https orchestrator shows, PEM, in place of those that
    /// browsers know
    #[arg(long, env = "DLTS_CACERT", value_name = "FILE", global = true)]
    pub cacert: Option<PathBuf>,
    /// Believe any certificate: whoever stands between reads and changes everything
    #[arg(long, global = true)]
    pub insecure: bool,
}

/// A driver as `GET /nodes` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub node_id: String,
    /// `up`, `suspect` or `down`.
    pub state: String,
}

impl Node {
    /// Whether its heartbeats come.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == "up"
    }
}

/// The API at one address.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    token: Option<String>,
    agent: Agent,
}

impl Api {
    /// The API below `url`, with or without a slash at its end, for who has the token. An https
    /// server's certificate must be of an authority that browsers know.
    #[must_use]
    pub fn new(url: &str, token: Option<&str>) -> Self {
        Self::with_tls(url, token, TlsConfig::default())
    }

    /// The same, with a certificate that is believed as `trust` says.
    ///
    /// # Errors
    /// [`ApiError::Authority`] when its file cannot be read.
    pub fn with_trust(url: &str, token: Option<&str>, trust: &Trust) -> Result<Self, ApiError> {
        let mut tls = TlsConfig::builder().disable_verification(trust.insecure);
        if let Some(path) = &trust.cacert {
            let wrong = |reason: String| ApiError::Authority {
                path: path.clone(),
                reason,
            };
            let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            let items = parse_pem(&pem).collect::<Result<Vec<_>, _>>();
            let items = items.map_err(|error| wrong(error.to_string()))?;
            let certificate = |item| match item {
                PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            };
            let roots: Vec<_> = items.into_iter().filter_map(certificate).collect();
            if roots.is_empty() {
                return Err(wrong("it holds no certificate".to_owned()));
            }
            tls = tls.root_certs(RootCerts::new_with_certs(&roots));
        }
        Ok(Self::with_tls(url, token, tls.build()))
    }

    fn with_tls(url: &str, token: Option<&str>, tls: TlsConfig) -> Self {
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_MAX))
            .timeout_connect(Some(CONNECT_MAX))
            .max_redirects(0)
            .build();
        let url = url.trim_end_matches('/');
        let base = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        Self {
            base,
            token: token.map(|token| format!("Bearer {token}")),
            agent: Agent::new_with_config(config),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A GET whose answer is JSON. `path` has no slash at its beginning.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.json(&self.text(path)?)
    }

    /// A GET whose answer is anything.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn text(&self, path: &str) -> Result<String, ApiError> {
        let mut request = self.agent.get(format!("{}/{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        self.accept(request.call())
    }

    /// A GET whose answer goes on: what it says as it comes.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn stream(&self, path: &str) -> Result<impl Read + Send + use<>, ApiError> {
        let mut request = self.agent.get(format!("{}/{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        let config = request.config().timeout_global(None);
        let config = config.timeout_recv_response(Some(ANSWER_MAX));
        let answer = config.build().call();
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(answer.into_body().into_reader()),
            answer => Err(self
                .accept(answer)
                .map_or_else(|error| error, |_| self.foreign())),
        }
    }

    /// A GET whose answer is a file of any length, into `file`; how many bytes it has. It takes what
    /// it takes.
    ///
    /// # Errors
    /// [`ApiError`], also when less came than was told.
    pub fn download(&self, path: &str, file: &mut impl io::Write) -> Result<u64, ApiError> {
        let mut request = self.agent.get(format!("{}/{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        let answer = match request.config().timeout_global(None).build().call() {
            Ok(answer) if answer.status().is_success() => answer,
            answer => {
                let refused = self.accept(answer);
                return Err(refused.map_or_else(|error| error, |_| self.foreign()));
            }
        };
        let told = answer.headers().get("content-length").cloned();
        let told = told.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let broken = |reason: String| ApiError::CutOff {
            url: self.base.clone(),
            reason,
        };
        let copied = io::copy(&mut answer.into_body().into_reader(), file);
        let bytes = copied.map_err(|error| broken(error.to_string()))?;
        match told {
            Some(told) if told == bytes => Ok(bytes),
            Some(told) => Err(broken(format!("{bytes} of {told} bytes came"))),
            None => Err(self.foreign()),
        }
    }

    /// A POST of a JSON body.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.post_text(path, &body.to_string())
    }

    /// A POST of a text that is JSON, as it stands.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn post_text(&self, path: &str, body: &str) -> Result<Value, ApiError> {
        let request = self.agent.post(format!("{}/{path}", self.base));
        let mut request = request.header("Content-Type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        let answer = request.send(body);
        self.json(&self.accept(answer)?)
    }

    /// A PUT of a file, from where it is read next to its end.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn put_file(&self, path: &str, file: &File) -> Result<Value, ApiError> {
        let mut request = self.agent.put(format!("{}/{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        // A long file takes its time; who takes none of it is waited for as for any answer.
        let config = request.config().timeout_global(None);
        let config = config.timeout_recv_response(Some(UPLOADED_MAX));
        let answer = config.build().send(file);
        self.json(&self.accept(answer)?)
    }

    /// A PATCH of a JSON body.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn patch(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let request = self.agent.patch(format!("{}/{path}", self.base));
        let mut request = request.header("Content-Type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        let answer = request.send(&body.to_string());
        self.json(&self.accept(answer)?)
    }

    /// A DELETE.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn delete(&self, path: &str) -> Result<Value, ApiError> {
        let mut request = self.agent.delete(format!("{}/{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        self.json(&self.accept(request.call())?)
    }

    /// The result of a test, with its series and all of its nodes.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn result(&self, test_id: &str) -> Result<Value, ApiError> {
        self.get(&format!("metrics/{}?{ALL_NODES}", segment(test_id)))
    }

    /// The drivers that the orchestrator knows.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn nodes(&self) -> Result<Vec<Node>, ApiError> {
        let answer = self.get("nodes")?;
        let list = answer.as_array().or_else(|| answer["nodes"].as_array());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let node = |node: &Value| Node {
            node_id: text(&node["node_id"]),
            state: text(&node["state"]),
        };
        Ok(list.into_iter().flatten().map(node).collect())
    }

    fn accept(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<String, ApiError> {
        let unreachable = |error: ureq::Error| ApiError::Unreachable {
            url: self.base.clone(),
            reason: error.to_string(),
        };
        let mut answer = answer.map_err(unreachable)?;
        let status = answer.status();
        let body = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_LEN_MAX)
            .lossy_utf8(true);
        let text = body.read_to_string().map_err(unreachable)?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(self.refusal(status.as_u16(), &text))
        }
    }

    fn foreign(&self) -> ApiError {
        ApiError::Foreign {
            url: self.base.clone(),
            reason: "its answer is not what was asked for".to_owned(),
        }
    }

    fn refusal(&self, status: u16, text: &str) -> ApiError {
        let answer: Value = serde_json::from_str(text).unwrap_or_else(|_| json!({}));
        let Some(error) = answer["error"].as_str() else {
            return ApiError::Foreign {
                url: self.base.clone(),
                reason: format!("status {status} without an error in words"),
            };
        };
        ApiError::Refused {
            status,
            error: error.to_owned(),
            hint: answer["hint"]
                .as_str()
                .map_or_else(String::new, |hint| format!(" ({hint})")),
        }
    }

    fn json(&self, text: &str) -> Result<Value, ApiError> {
        serde_json::from_str(text).map_err(|error| ApiError::Foreign {
            url: self.base.clone(),
            reason: format!("its answer is not JSON: {error}"),
        })
    }
}

/// What stands for itself in a segment and in a query: letters, digits and these.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A text as one segment of a path, or as a value in a query.
#[must_use]
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_hold_any_text() {
        assert_eq!(segment("XVlBzg-1.5_~"), "XVlBzg-1.5_~");
        assert_eq!(segment("a b/ü?"), "a%20b%2F%C3%BC%3F");
    }

    #[test]
    fn addresses_may_be_urls_or_host_and_port() {
        for (given, base) in [
            ("127.0.0.1:8001", "http://127.0.0.1:8001"),
            ("http://h:1/", "http://h:1"),
            ("https://h", "https://h"),
        ] {
            assert_eq!(Api::new(given, None).base(), base);
        }
    }

    #[test]
    fn nobody_there_is_told_with_the_remedy() {
        let error = Api::new("127.0.0.1:1", None).get("tests").unwrap_err();
        let words = error.to_string();
        assert!(
            words.contains("127.0.0.1:1") && words.contains("make up"),
            "{words}"
        );
    }
}
