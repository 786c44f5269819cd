//! What goes back to a client.

use std::io::Cursor;

use serde::Serialize;
use serde_json::{Value, json};
use tiny_http::{Header, Response, StatusCode};

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A response with a body of some type.
    #[must_use]
    pub fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            body,
        }
    }

    /// 200 with JSON.
    #[must_use]
    pub fn json<T: Serialize>(value: &T) -> Self {
        let body = serde_json::to_vec(value)
            .expect("invariant: answers have string keys and finite numbers");
        Self::new(200, "application/json", body)
    }

    /// `{"error", "hint"}`.
    #[must_use]
    pub fn error(status: u16, error: &str, hint: &str) -> Self {
        Self::error_with(status, error, hint, json!({}))
    }

    /// `{"error", "hint"}` and further fields.
    #[must_use]
    pub fn error_with(status: u16, error: &str, hint: &str, further: Value) -> Self {
        let mut body = json!({"error": error, "hint": hint});
        if let (Value::Object(body), Value::Object(further)) = (&mut body, further) {
            body.extend(further);
        }
        Self {
            status,
            ..Self::json(&body)
        }
    }

    /// 503: the control thread has too much to do.
    #[must_use]
    pub fn busy() -> Self {
        let answer = Self::error(503, "the orchestrator is busy", "try again in a second");
        answer.with("Retry-After", "1")
    }

    /// Adds a text to a body that is a JSON object; any other stays as it is.
    #[must_use]
    pub fn with_field(mut self, name: &str, text: &str) -> Self {
        if let Ok(Value::Object(mut body)) = serde_json::from_slice(&self.body) {
            body.insert(name.to_owned(), text.into());
            self.body = Self::json(&body).body;
        }
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The response as `tiny_http` sends it.
    #[must_use]
    pub fn into_response(self) -> Response<Cursor<Vec<u8>>> {
        let len = self.body.len();
        let fixed = [
            ("Content-Type", self.content_type.to_owned()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
        ];
        let mut headers = self.headers;
        if !headers.iter().any(|(name, _)| *name == "Cache-Control") {
            headers.push(("Cache-Control", "no-store".to_owned()));
        }
        let headers = fixed.into_iter().chain(headers);
        let headers = headers
            .filter_map(|(name, value)| Header::from_bytes(name, value).ok())
            .collect();
        Response::new(
            StatusCode(self.status),
            headers,
            Cursor::new(self.body),
            Some(len),
            None,
        )
        // The front passes on what it reads until the end: no chunks.
        .with_chunked_threshold(usize::MAX)
    }
}
