//! The documents that people begin with: each is read, kept and read again as the same test.

use std::fs;
use std::path::{Path, PathBuf};

use proto::document::{Document, Setting};
use proto::workload::{Part, RowSource};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/documents")
}

/// The documents by their names.
fn documents() -> Vec<(String, Document)> {
    let files = fs::read_dir(folder()).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let is_document = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        matches!(ending, Some("yaml" | "json"))
    };
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let document = Document::read(&text, Setting::default());
        (
            name.clone(),
            document.unwrap_or_else(|error| panic!("{name}:\n{error}")),
        )
    };
    paths.filter(is_document).map(read).collect()
}

#[test]
fn every_example_is_a_test_and_stays_the_same_one() {
    let documents = documents();
    assert!(documents.len() >= 10, "{} documents", documents.len());
    for (name, document) in documents {
        let again = Document::read(&document.to_json(), Setting::default());
        assert_eq!(again.as_ref(), Ok(&document), "{name}");
        assert!(!document.scenario.steps.is_empty(), "{name}");
    }
}

#[test]
fn the_files_that_examples_name_lie_beside_them() {
    for (name, document) in documents() {
        let scenario = &document.scenario;
        let of_sets = scenario.data.iter().filter_map(|set| match &set.rows {
            RowSource::File { name, .. } => Some(name),
            RowSource::Inline(_) => None,
        });
        for file in scenario.files.iter().chain(of_sets) {
            assert!(folder().join(file).is_file(), "{name} names {file}");
        }
    }
}

#[test]
fn drivers_together_plan_what_one_would() {
    for (name, document) in documents() {
        let load = &document.scenario.load;
        let parts = (0..3).filter_map(|index| Part::new(index, 3));
        let planned: Option<Vec<u64>> = parts.map(|part| load.planned(part)).collect();
        let sum = planned.map(|parts| parts.into_iter().sum());
        assert_eq!(sum, load.planned(Part::WHOLE), "{name}");
    }
}
