//! `POST /tests`, which makes a test of a document, or the set of runs that it asks for, and `POST
//! /tests/check`, which says whether it is one, with everything that is wrong at once.

use std::collections::BTreeMap;

use proto::document::{self, Document, Given, InvalidDocument, Node, Runner, Setting};
use proto::workload::{Part, Target};
use serde_json::{Value, json};

use super::call::take_flag;
use super::data::with_data;
use super::{Answer, Call, Worker, reply};
use crate::control::{Command, Reply};
use crate::rest::access::Access;

/// How a value for `$NAME` is called in the query.
const VARIABLE: &str = "var.";

impl Worker {
    /// Reads the document in a body, YAML or JSON; nothing is kept of it.
    pub(super) fn check(&mut self, call: &Call) -> Answer {
        let document = self.runnable(call, &[]);
        document.map_or_else(|answer| answer, |document| checked(&document))
    }

    /// Makes a test of the document in a body, and starts it where the query says so.
    pub(super) fn compose(&mut self, call: &Call) -> Answer {
        match self.composed(call) {
            Ok(answer) | Err(answer) => answer,
        }
    }

    fn composed(&mut self, call: &Call) -> Result<Answer, Answer> {
        let mut values = call.query_values();
        let start = take_flag(&mut values, "start")?;
        let queue = take_flag(&mut values, "queue")?;
        let document = self.runnable(call, &["start", "queue"])?;
        if document.repeat > 1 {
            return self.repeated(document, start, queue);
        }
        let test_id = proto::id::new_test_id();
        let command = Command::Compose {
            test_id: test_id.clone(),
            document: Box::new(document),
            queue,
        };
        let created = self.api.handle.command(command);
        match created.map_err(|_| Answer::busy())? {
            Reply::Created { .. } if start => {}
            Reply::Created { test_id } => return Ok(Answer::json(&json!({"TestId": test_id}))),
            other => return Err(reply::answer(other, &self.api.bootstrap)),
        }
        let trigger = Command::Trigger {
            test_id: test_id.clone(),
            queue,
        };
        let triggered = self.api.handle.command(trigger);
        let answer = reply::answer(triggered.map_err(|_| Answer::busy())?, &self.api.bootstrap);
        Ok(answer.with_field("TestId", &test_id))
    }

    /// The document in a body with its data, where a cluster can run it.
    fn runnable(&self, call: &Call, flags: &[&str]) -> Result<Document, Answer> {
        let document = with_data(self.document(call, flags)?, &self.api.files)?;
        let checked = document.check_runner(Runner::Cluster);
        checked.map_err(|invalid| refusal(&invalid))?;
        Ok(document)
    }

    pub(super) fn document(&self, call: &Call, flags: &[&str]) -> Result<Document, Answer> {
        let text = std::str::from_utf8(&call.body).map_err(|error| {
            let error = format!("the document is not UTF-8: {error}");
            Answer::error(400, &error, "send YAML or JSON in UTF-8")
        })?;
        let setting = Setting {
            given: Given {
                values: variables(call, flags)?,
                // The orchestrator's own environment is nobody's to read.
                environment: BTreeMap::new(),
            },
            target: None,
            allowed: Box::new(|target| admitted(&self.api.access, target)),
        };
        let node = Node::read(text).map_err(|problem| refusal(&problem.into()))?;
        let node = with_target(node, &self.api.default_target);
        Document::of_tree(node, setting).map_err(|invalid| refusal(&invalid))
    }
}

/// The document with the target that it has where it names none: what is kept is complete in itself.
fn with_target(mut node: Node, default: &str) -> Node {
    if matches!(node.value, document::Value::Map(_)) && node.get("target").is_none() {
        node.set("target", Node::text(default.replace('$', "$$")));
    }
    node
}

fn variables(call: &Call, flags: &[&str]) -> Result<BTreeMap<String, String>, Answer> {
    let mut variables = BTreeMap::new();
    let others = call.query.iter();
    for (name, value) in others.filter(|(name, _)| !flags.contains(&name.as_str())) {
        let Some(variable) = name.strip_prefix(VARIABLE) else {
            let error = format!("{name}: no such parameter");
            let known = ["var.NAME"].iter().chain(flags);
            let known: Vec<&str> = known.copied().collect();
            let hint = format!(
                "known here: {}; values for $NAME are given as ?var.NAME=value, and all else is in \
                 the document",
                known.join(", ")
            );
            return Err(Answer::error(400, &error, &hint));
        };
        variables.insert(variable.to_owned(), value.clone());
    }
    Ok(variables)
}

fn admitted(access: &Access, target: &Target) -> Result<(), String> {
    if access.admits(target) {
        return Ok(());
    }
    Err(format!(
        "{target} is not on this machine; start the orchestrator and the drivers with \
         --allow-target {}:{}",
        target.host, target.port
    ))
}

/// All that is wrong, each with its place.
pub(super) fn refusal(invalid: &InvalidDocument) -> Answer {
    let count = invalid.0.len();
    let error = match &invalid.0[..] {
        [one] => one.to_string(),
        [first, ..] => format!("{count} things are wrong; the first: {first}"),
        [] => "the document is not valid".to_owned(),
    };
    let further = json!({"errors": invalid.0});
    Answer::error_with(400, &error, "mend each at its line and column", further)
}

/// What a right document comes to.
fn checked(document: &Document) -> Answer {
    let scenario = &document.scenario;
    let targets: Vec<String> = scenario.targets.iter().map(ToString::to_string).collect();
    let flows = scenario.flows.iter().enumerate().map(|(number, flow)| {
        let steps = scenario.steps.iter().filter(|step| step.flow == number);
        let steps: Vec<&str> = steps.map(|step| step.name.as_str()).collect();
        json!({"name": flow.name, "weight": flow.weight, "steps": steps})
    });
    let kept: Value = serde_json::from_str(&document.to_masked_json())
        .expect("invariant: a document is kept as JSON");
    Answer::json(&json!({
        "name": document.name,
        "targets": targets,
        "flows": flows.collect::<Vec<_>>(),
        "files": scenario.files,
        "secrets": scenario.secrets,
        "runs": document.repeat,
        "sessions_planned": scenario.load.planned(Part::WHOLE),
        "document": kept,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Answer {
        match Document::read(text, Setting::default()) {
            Ok(document) => checked(&document),
            Err(invalid) => refusal(&invalid),
        }
    }

    fn body(answer: &Answer) -> Value {
        serde_json::from_slice(&answer.body).unwrap()
    }

    #[test]
    fn every_mistake_is_told_with_its_line_and_column() {
        let answer = read("target: http://h/\nnam: x\nload: {closed: 0, for: 1s}\n");
        assert_eq!(answer.status, 400);
        let body = body(&answer);
        assert_eq!(body["errors"][0]["line"], 2);
        assert_eq!(body["errors"][0]["path"], "nam");
        assert_eq!(body["errors"][1]["at"], "3:16 load.closed");
        assert!(
            body["error"]
                .as_str()
                .unwrap()
                .starts_with("2 things are wrong")
        );
    }

    #[test]
    fn a_right_document_is_shown_without_its_secrets() {
        let text = "target: http://h/\ndefaults: {headers: {Authorization: Bearer abc}}\n\
            load: {open: 5/s, for: 2s}\nrepeat: 3\n";
        let answer = read(text);
        let body = body(&answer);
        assert_eq!(
            (answer.status, &body["sessions_planned"]),
            (200, &json!(10))
        );
        assert_eq!(body["flows"][0]["name"], "main");
        assert_eq!(body["runs"], 3);
        assert!(!String::from_utf8(answer.body).unwrap().contains("abc"));
    }
}
