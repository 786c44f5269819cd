//! What starts dlts elsewhere (compose file, manifests, units) against what the binaries really take.

mod compose;
mod hosts;
mod kubernetes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::Value;

use crate::cluster::process::binary;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A path from the root of the repository.
fn path(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The YAML documents of a file.
fn documents(name: &str) -> Vec<Value> {
    let text = text(name);
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    documents.iter().map(plain).collect()
}

/// YAML as the JSON that it stands for.
pub(crate) fn plain(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(plain).collect(),
        Yaml::Mapping(pairs) => {
            let named = pairs
                .iter()
                .map(|(key, value)| (key.as_str().unwrap().to_owned(), plain(value)));
            Value::Object(named.collect())
        }
        other => panic!("unexpected YAML: {other:?}"),
    }
}

/// What a list in YAML says, as text.
pub(crate) fn strings(list: &Value) -> Vec<&str> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item.as_str().unwrap()).collect()
}

/// What a binary says of its options, on one line.
fn help(program: &str) -> String {
    let mut command = Command::new(binary(program));
    // Values of the environment would stand in it.
    let output = command.arg("--help").env_clear().output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    help.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every one of these is an environment variable that the binary reads.
fn assert_reads<'a>(program: &str, variables: impl IntoIterator<Item = &'a str>) {
    let help = help(program);
    for variable in variables {
        let is_read = ["=]", "]"].map(|end| help.contains(&format!("[env: {variable}{end}")));
        assert!(
            is_read.contains(&true),
            "{program} does not read {variable}"
        );
    }
}

/// What an image says of itself: the lines of its target in the Dockerfile.
fn image(name: &str) -> String {
    let dockerfile = text(".deploy/images/Dockerfile");
    let (_, rest) = dockerfile
        .split_once(&format!("FROM scratch AS {name}\n"))
        .unwrap();
    rest.split("\nFROM ").next().unwrap_or(rest).to_owned()
}

#[test]
fn images_set_what_their_programs_read() {
    for program in ["driver", "merger", "orchestrator", "testserver"] {
        let image = image(program);
        let lines = image.lines().filter_map(|line| line.strip_prefix("ENV "));
        let settings = lines.flat_map(str::split_whitespace);
        assert_reads(
            program,
            settings.map(|setting| setting.split('=').next().unwrap_or(setting)),
        );
    }
}
