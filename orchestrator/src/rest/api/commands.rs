//! `POST /trigger/{id}` and `POST /stop/{id}`, `DELETE` and `PATCH /tests/{id}`.

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
