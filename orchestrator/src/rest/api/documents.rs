//! `POST /tests/check`: whether a document is a test, with everything that is wrong at once.

use std::collections::BTreeMap;

use proto::document::{Document, Given, InvalidDocument, Setting};
use proto::workload::{Part, Target};
use serde_json::{Value, json};

use super::{Answer, Call, Worker};
use crate::rest::access::Access;

/// How a value for `$NAME` is called in the query.
const VARIABLE: &str = "var.";

impl Worker {
    /// Reads the document in a body, YAML or JSON; nothing is kept of it.
    pub(super) fn check(&mut self, call: &Call) -> Answer {
        match self.document(call) {
            Ok(document) => checked(&document),
            Err(answer) => answer,
        }
    }

    fn document(&self, call: &Call) -> Result<Document, Answer> {
        let text = std::str::from_utf8(&call.body).map_err(|error| {
            let error = format!("the document is not UTF-8: {error}");
            Answer::error(400, &error, "send YAML or JSON in UTF-8")
        })?;
        let setting = Setting {
            given: Given {
                values: variables(call)?,
                // The orchestrator's own environment is nobody's to read.
                environment: BTreeMap::new(),
            },
            target: Some(self.api.default_target.clone()),
            allowed: Box::new(|target| admitted(&self.api.access, target)),
        };
        Document::read(text, setting).map_err(|invalid| refusal(&invalid))
    }
}

fn variables(call: &Call) -> Result<BTreeMap<String, String>, Answer> {
    let mut variables = BTreeMap::new();
    for (name, value) in &call.query {
        let Some(variable) = name.strip_prefix(VARIABLE) else {
            let error = format!("{name}: no such parameter");
            let hint = "values for $NAME are given as ?var.NAME=value; all else is in the document";
            return Err(Answer::error(400, &error, hint));
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
fn refusal(invalid: &InvalidDocument) -> Answer {
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
            load: {open: 5/s, for: 2s}\n";
        let answer = read(text);
        let body = body(&answer);
        assert_eq!(
            (answer.status, &body["sessions_planned"]),
            (200, &json!(10))
        );
        assert_eq!(body["flows"][0]["name"], "main");
        assert!(!String::from_utf8(answer.body).unwrap().contains("abc"));
    }
}
