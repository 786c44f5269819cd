//! The orchestrator's REST API, asked over HTTP.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;
use ureq::{Agent, Body, http::Response};

/// Triggering waits up to 5 s for ready drivers; an export of a long run takes a moment too.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The largest answer that is read: an export of hours.
const ANSWER_LEN_MAX: u64 = 1 << 30;

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
    /// The API below `url`, with or without a slash at its end, for who has the token.
    #[must_use]
    pub fn new(url: &str, token: Option<&str>) -> Self {
        let config = Agent::config_builder()
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

    /// A POST of a JSON body.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let request = self.agent.post(format!("{}/{path}", self.base));
        let mut request = request.header("Content-Type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        let answer = request.send(body.to_string());
        self.json(&self.accept(answer)?)
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

/// A text as one segment of a path, or as a value in a query.
#[must_use]
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
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
