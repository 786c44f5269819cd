//! The REST client of the tests.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// What the orchestrator answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    /// `null` when it is not JSON.
    pub(crate) json: Value,
}

/// Calls on the orchestrator and on the test server.
pub(crate) struct Rest {
    agent: ureq::Agent,
    pub(crate) orchestrator: String,
    pub(crate) target: String,
}

impl Rest {
    pub(crate) fn new(orchestrator: &str, target: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(15)))
            .http_status_as_error(false)
            .build()
            .into();
        Self {
            agent,
            orchestrator: orchestrator.to_owned(),
            target: target.to_owned(),
        }
    }

    /// GET; a status of 0 when nobody answers.
    pub(crate) fn get(&self, path: &str) -> Answer {
        read(
            self.agent
                .get(format!("http://{}{path}", self.orchestrator))
                .call(),
        )
    }

    /// POST without a body.
    pub(crate) fn post(&self, path: &str) -> Answer {
        read(
            self.agent
                .post(format!("http://{}{path}", self.orchestrator))
                .send_empty(),
        )
    }

    /// POST with a JSON body.
    pub(crate) fn post_json(&self, path: &str, body: &str) -> Answer {
        let request = self
            .agent
            .post(format!("http://{}{path}", self.orchestrator));
        read(
            request
                .header("Content-Type", "application/json")
                .send(body),
        )
    }

    /// PUT of a file.
    pub(crate) fn put_file(&self, path: &str, file: &Path) -> Answer {
        let request = self
            .agent
            .put(format!("http://{}{path}", self.orchestrator));
        read(request.send(File::open(file).unwrap()))
    }

    /// PATCH with a JSON body.
    pub(crate) fn patch(&self, path: &str, body: &str) -> Answer {
        let request = self
            .agent
            .patch(format!("http://{}{path}", self.orchestrator));
        read(
            request
                .header("Content-Type", "application/json")
                .send(body),
        )
    }

    /// Any method, without a body.
    pub(crate) fn call(&self, method: &str, path: &str) -> Answer {
        let url = format!("http://{}{path}", self.orchestrator);
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(url)
            .body(())
            .unwrap();
        read(self.agent.run(request))
    }

    /// What the test server answers.
    pub(crate) fn target_text(&self, path: &str) -> String {
        read(
            self.agent
                .get(format!("http://{}{path}", self.target))
                .call(),
        )
        .text
    }
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let (status, text) = match answer {
        Ok(mut answer) => {
            let status = answer.status().as_u16();
            let body = answer
                .body_mut()
                .with_config()
                .limit(1 << 30)
                .read_to_string();
            (status, body.unwrap_or_default())
        }
        Err(error) => (0, error.to_string()),
    };
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, text, json }
}
