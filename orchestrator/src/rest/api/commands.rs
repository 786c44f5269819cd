//! `POST /trigger/{id}` and `POST /stop/{id}`, `DELETE` and `PATCH /tests/{id}`, `POST
//! /tests/{id}/notes` and `POST /tests/{id}/rate`.

use proto::document::parse_rate;
use proto::units::parse_duration_ns;
use proto::workload::{ORDERED_BY_MAX, Rate};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Answer, Call, Worker, call, reply};
use crate::control::Command;

/// A note as it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    text: String,
    /// After the start of the run: a duration, or a number of seconds.
    at: Option<Value>,
}

impl Noted {
    fn after_start_ns(&self) -> Result<Option<u64>, String> {
        let text = match &self.at {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let ns = parse_duration_ns(&text);
        ns.map(Some).map_err(|error| format!("at: {error}"))
    }
}

impl Worker {
    pub(super) fn trigger(&mut self, test_id: &str, call: &Call) -> Answer {
        let queue = call
            .values()
            .and_then(|mut values| call::take_flag(&mut values, "queue"));
        let queue = match queue {
            Ok(queue) => queue,
            Err(answer) => return answer,
        };
        let test_id = test_id.to_owned();
        self.command(Command::Trigger { test_id, queue })
    }

    pub(super) fn stop(&mut self, test_id: &str) -> Answer {
        let test_id = test_id.to_owned();
        self.command(Command::Stop { test_id })
    }

    pub(super) fn change_rate(&mut self, test_id: &str, call: &Call) -> Answer {
        let example = r#"such as {"rate": "500/s"}"#;
        let asked = call
            .values()
            .and_then(|values| asked_rate(&values, example));
        match asked {
            Ok((rate, by)) => self.command(Command::ChangeRate {
                test_id: test_id.to_owned(),
                rate,
                by,
            }),
            Err(answer) => answer,
        }
    }

    pub(super) fn delete(&mut self, test_id: &str) -> Answer {
        let test_id = test_id.to_owned();
        self.command(Command::Delete { test_id })
    }

    pub(super) fn label(&mut self, test_id: &str, call: &Call) -> Answer {
        let example = r#"such as {"name": "checkout", "tags": {"env": "staging"}}"#;
        let values = match call.json_object(example) {
            Ok(values) => values,
            Err(answer) => return answer,
        };
        let test_id = test_id.to_owned();
        match serde_json::from_value(values.into()) {
            Ok(patch) => self.command(Command::Label { test_id, patch }),
            Err(error) => {
                let error = format!("the body is no change of name, tags and note: {error}");
                Answer::error(400, &error, &format!("send an object {example}"))
            }
        }
    }

    pub(super) fn note(&self, test_id: &str, call: &Call) -> Answer {
        let example = r#"such as {"text": "deployed 1.4.2"}, or with "at": "150s" after the start"#;
        let refuse = |error: &str| Answer::error(400, error, &format!("send an object {example}"));
        let values = match call.json_object(example) {
            Ok(values) => values,
            Err(answer) => return answer,
        };
        let noted: Noted = match serde_json::from_value(values.into()) {
            Ok(noted) => noted,
            Err(error) => return refuse(&format!("the body is no note: {error}")),
        };
        match noted.after_start_ns() {
            Ok(after_start_ns) => self.command(Command::Note {
                test_id: test_id.to_owned(),
                text: noted.text,
                after_start_ns,
            }),
            Err(error) => refuse(&error),
        }
    }

    pub(super) fn command(&self, command: Command) -> Answer {
        self.api.handle.command(command).map_or_else(
            |_| Answer::busy(),
            |reply| reply::answer(reply, &self.api.bootstrap),
        )
    }
}

/// The rate that a test is to take on, and who orders it.
fn asked_rate(
    values: &Map<String, Value>,
    example: &str,
) -> Result<(Rate, Option<String>), Answer> {
    let wrong = |error: &str| Answer::error(400, error, &format!("send an object {example}"));
    if let Some(name) = values
        .keys()
        .find(|name| !["rate", "by"].contains(&name.as_str()))
    {
        return Err(wrong(&format!(
            "{name:?} is unknown here: rate and by are known"
        )));
    }
    let rate = match values.get("rate") {
        Some(Value::String(text)) => parse_rate(text),
        Some(Value::Number(number)) => parse_rate(&number.to_string()),
        Some(other) => Err(format!("{other} is no rate: write 50/s or 3000/m")),
        None => Err("it is missing".to_owned()),
    };
    let rate = rate.map_err(|error| wrong(&format!("rate: {error}")))?;
    let by = match values.get("by") {
        None => None,
        Some(Value::String(by)) if (1..=ORDERED_BY_MAX).contains(&by.len()) => Some(by.clone()),
        Some(_) => {
            let error = format!("by: who orders it, a text of 1 to {ORDERED_BY_MAX} bytes");
            return Err(wrong(&error));
        }
    };
    Ok((rate, by))
}
