//! `client run FILE`: a test that is a document, read here with its errors in place, and sent whole.

use std::path::{Path, PathBuf};

use proto::document::{Document, Folder, Runner, has_document_name, placed};

use super::cli::DocumentOptions;
use super::ending::Problem;

/// What stands for the target that the orchestrator fills in where the document names none.
const ANY_TARGET: &str = "http://127.0.0.1/";

/// The name of a document on the command line.
///
/// # Errors
/// In words, for what is none.
pub fn file(text: &str) -> Result<PathBuf, String> {
    if has_document_name(Path::new(text)) {
        return Ok(PathBuf::from(text));
    }
    Err(format!(
        "{text:?} is neither avalanche nor tsunami, nor a document: a file with .yaml, .yml or .json"
    ))
}

/// The document as JSON, with the values from outside and the files that it uses: the body of `POST /tests`.
///
/// # Errors
/// [`Problem::Document`] with everything that is wrong in it, each with its place.
pub fn body(options: &DocumentOptions) -> Result<String, Problem> {
    let path = options.file.clone().unwrap_or_default();
    let target = Some(ANY_TARGET.to_owned());
    let document = Document::open(&path, &options.env, target).map_err(Problem::Document)?;
    let folder = Folder::of(&path).map_err(Problem::Document)?;
    let document = document.with_files(|name| folder.read(name));
    let document = document.map_err(Problem::Document)?;
    let checked = document.check_runner(Runner::Cluster);
    checked.map_err(|invalid| Problem::Document(placed(&path, &invalid)))?;
    Ok(document.to_json())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn body_of(text: &str, env: &[(&str, &str)]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.yaml");
        fs::write(&file, text).unwrap();
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options = DocumentOptions {
            file: Some(file),
            env: env.collect(),
            queue: false,
        };
        body(&options).map_err(|problem| problem.to_string())
    }

    #[test]
    fn what_is_sent_is_complete_but_for_the_target() {
        let text = "steps: [GET /$WHAT]\nload: {closed: 1, sessions: 5}\n";
        let sent = body_of(text, &[("WHAT", "x")]).unwrap();
        assert!(
            sent.contains(r#""WHAT":"x""#) && !sent.contains("target"),
            "{sent}"
        );
        let refused = body_of("steps: [GET /]\nrepeat: 2\nnam: x\n", &[]).unwrap_err();
        assert!(refused.contains("test.yaml:3:1: nam"), "{refused}");
        let refused = body_of("steps: [{POST: /, file: a}]\n", &[]).unwrap_err();
        assert!(refused.starts_with("a: "), "{refused}");
    }
}
