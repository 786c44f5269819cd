//! The schema of documents, for editors and other programs; `schema.json` beside this file.

/// The JSON Schema (draft 2020-12) of a document. What it refuses the parser refuses too; the parser
/// knows more than a schema can say.
pub const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::Value;

    use super::super::about::DRIVERS_KEYS;
    use super::super::flows::loops::LOOP_KEYS;
    use super::super::flows::{FLOW_KEYS, STEP_KEYS};
    use super::super::requests::{BODIES, METHODS};
    use super::super::sets::DATA_KEYS;
    use super::super::stages::STAGE_KEYS;
    use super::super::trust::TLS_KEYS;
    use super::super::{DEFAULTS_KEYS, DOCUMENT_KEYS, Node};
    use super::SCHEMA;

    fn schema() -> Value {
        serde_json::from_str(SCHEMA).unwrap()
    }

    fn is_valid(text: &str) -> bool {
        let json = Node::read(text).unwrap().to_json();
        let document: Value = serde_json::from_str(&json).unwrap();
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        validator.is_valid(&document)
    }

    /// The keys of a map that the schema knows are those that the parser knows.
    fn assert_keys(at: &str, keys: &[&[&str]]) {
        let schema = schema();
        let object = schema.pointer(at).unwrap();
        assert_eq!(object["additionalProperties"], false, "{at}");
        let known: BTreeSet<&str> = object["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let parsed: BTreeSet<&str> = keys.iter().flat_map(|some| some.iter().copied()).collect();
        assert_eq!(known, parsed, "{at}");
    }

    #[test]
    fn it_knows_the_keys_that_the_parser_knows() {
        assert_keys("", &[&DOCUMENT_KEYS]);
        assert_keys("/properties/defaults", &[&DEFAULTS_KEYS]);
        assert_keys("/properties/tls", &[&TLS_KEYS]);
        assert_keys("/properties/drivers/anyOf/1", &[&DRIVERS_KEYS]);
        assert_keys("/properties/data/additionalProperties", &[&DATA_KEYS]);
        assert_keys("/properties/flows/items", &[&FLOW_KEYS]);
        assert_keys("/$defs/stage", &[&STAGE_KEYS]);
        assert_keys("/$defs/step/anyOf/1", &[&STEP_KEYS, &METHODS, &BODIES]);
        assert_keys("/$defs/step/anyOf/3", &[&LOOP_KEYS]);
    }

    #[test]
    fn every_example_is_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/documents");
        let mut examples = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            if matches!(ending, Some("yaml" | "json")) {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(is_valid(&text), "{}", path.display());
                examples += 1;
            }
        }
        assert!(examples >= 10, "{examples}");
    }

    #[test]
    fn what_it_refuses_is_wrong() {
        let good = "target: http://a/\nsteps: [GET /]\nload: {closed: $N, for: 1m}\n";
        assert!(is_valid(good));
        for wrong in [
            "target: http://a/\nthreshold: [p99 < 1s]\n",
            "target: http://a/\nsteps: [GET /]\nflows: [{steps: [GET /]}]\n",
            "target: http://a/\nload: {closed: 1, open: 5/s, for: 1m}\n",
            "target: http://a/\nload: {closed: many, for: 1m}\n",
            "target: http://a/\nsteps: [{name: x}]\n",
            "target: http://a/\nsteps: [{GET: /, on_fail: ignore}]\n",
            "target: http://a/\ndata: {a: {file: a.csv, inline: [1]}}\n",
        ] {
            assert!(!is_valid(wrong), "{wrong}");
        }
    }
}
