//! Answers held against `/openapi.json`, down to their last field: what it does not name is wrong, and
//! so is what it promises and does not come. It has the keywords that the contract uses.

use serde_json::Value;

/// The contract.
pub(crate) struct Contract(pub(crate) Value);

impl Contract {
    /// What of `answer` is not as the contract says of this call.
    pub(crate) fn wrong(
        &self,
        method: &str,
        path: &str,
        status: u16,
        answer: &Value,
    ) -> Vec<String> {
        let call = format!("{method} {path} {status} ");
        let responses = &self.0["paths"][path][method]["responses"];
        let content = &responses[status.to_string()]["content"]["application/json"];
        let mut wrong = Vec::new();
        if content["schema"].is_object() {
            self.check(&content["schema"], answer, &call, &mut wrong);
        } else {
            wrong.push(format!("{call}is not in the contract: {answer}"));
        }
        wrong
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            let pointer = name.strip_prefix('#').expect("in this file");
            let other = self.0.pointer(pointer);
            let other = other.unwrap_or_else(|| panic!("{at}: there is no {name}"));
            return self.check(other, value, at, wrong);
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            // The last is the one that says most, where none is nearer.
            let problems = choices.iter().rev().map(|choice| {
                let mut problems = Vec::new();
                self.check(choice, value, at, &mut problems);
                problems
            });
            let least = problems.min_by_key(Vec::len).unwrap_or_default();
            return wrong.extend(least);
        }
        let is_known = |known: &Vec<Value>| known.contains(value);
        if !schema["enum"].as_array().is_none_or(is_known) {
            wrong.push(format!("{at}: {value} is none of {}", schema["enum"]));
        }
        if !is_of(&schema["type"], value) {
            wrong.push(format!("{at}: {value} is no {}", schema["type"]));
        }
        match value {
            Value::Object(_) => self.check_fields(schema, value, at, wrong),
            Value::Array(list) if schema["items"].is_object() => {
                for (index, item) in list.iter().enumerate() {
                    self.check(&schema["items"], item, &format!("{at}[{index}]"), wrong);
                }
            }
            _ => {}
        }
    }

    fn check_fields(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        let fields = value.as_object().expect("an object");
        let required = schema["required"].as_array();
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                wrong.push(format!("{at}.{name} is promised and did not come"));
            }
        }
        for (name, field) in fields {
            let at = format!("{at}.{name}");
            let others = &schema["additionalProperties"];
            match schema["properties"].get(name) {
                Some(known) => self.check(known, field, &at, wrong),
                None if others.is_object() => self.check(others, field, &at, wrong),
                // Said to be anything.
                None if schema["properties"].is_null() || others == true => {}
                None => wrong.push(format!("{at} is not in the contract")),
            }
        }
    }
}

fn is_of(kind: &Value, value: &Value) -> bool {
    let is_one = |name: &str| match name {
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("there is no type {other}"),
    };
    match kind {
        Value::String(name) => is_one(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is_one),
        _ => true,
    }
}

mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_as_it_was_said_is_found() {
        let contract = Contract(json!({"components": {"schemas": {"Name": {"enum": ["a", "b"]}}}}));
        let schema = json!({"type": "object", "required": ["name", "list"], "properties": {
            "name": {"$ref": "#/components/schemas/Name"},
            "list": {"type": "array", "items": {"type": ["integer", "null"]}},
            "by_id": {"type": "object", "additionalProperties": {"type": "string"}},
            "either": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"x": {}}}]},
        }});
        let wrong = |value: Value| {
            let mut wrong = Vec::new();
            contract.check(&schema, &value, "", &mut wrong);
            wrong
        };
        let good = json!({"name": "a", "list": [1, null], "by_id": {"k": "v"}, "either": {"x": 1}});
        assert_eq!(wrong(good), [""; 0]);
        assert_eq!(
            wrong(json!({"list": []})),
            [".name is promised and did not come"]
        );
        for (value, place) in [
            (json!({"name": "c", "list": []}), ".name: "),
            (json!({"name": "a", "list": [1, "x"]}), ".list[1]: "),
            (
                json!({"name": "a", "list": [], "by_id": {"k": 1}}),
                ".by_id.k: ",
            ),
            (
                json!({"name": "a", "list": [], "either": {"y": 1}}),
                ".either.y is not",
            ),
            (
                json!({"name": "a", "list": [], "more": 1}),
                ".more is not in the contract",
            ),
        ] {
            let found = wrong(value);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(place), "{found:?}");
        }
    }
}
