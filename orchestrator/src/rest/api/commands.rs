//! `POST /trigger/{id}`, `POST /stop/{id}` and `POST /tests/{id}/rate`, `DELETE` and `PATCH
//! /tests/{id}`.

use proto::document::parse_rate;
use proto::workload::{ORDERED_BY_MAX, Rate};
use serde_json::{Map, Value};

use super::{Answer, Call, Worker, call, reply};
use crate::control::Command;

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
