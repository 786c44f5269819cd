//! `client run FILE`: a test that is a document, read here with its errors in place, and sent with its
//! files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::path::{Path, PathBuf};
use std::time::Instant;

use proto::ci::Asked;
use proto::digest::Sha256;
use proto::document::{
    Carried, Document, FILE_LEN_MAX, Folder, Reference, Runner, has_document_name, placed,
};
use proto::replay::Head;

use super::api::{Api, ApiError, segment};
use super::cli::DocumentOptions;
use super::ending::Problem;

/// Longest file that goes within the document.
const INSIDE_LEN_MAX: u64 = 64 << 10;

/// What stands for the target that the orchestrator fills in where the document names none.
pub(super) const ANY_TARGET: &str = "http://127.0.0.1/";

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

/// What is sent of a document.
#[derive(Debug)]
pub struct Outgoing {
    /// One run of it, complete in itself.
    document: Document,
    /// The files that it refers to, which have to be uploaded before.
    pub uploads: Vec<Upload>,
    /// What it is called; empty for nothing.
    pub name: String,
    /// What it asks for, and where.
    pub asked: Asked,
    /// How often the document wants to be run.
    pub repeat: u32,
    /// From the end of a run to the next one, ns, where it says so.
    rest_ns: Option<u64>,
}

impl Outgoing {
    /// One run as JSON, with the values from outside: the body of `POST /tests`.
    #[must_use]
    pub fn body(&self) -> String {
        self.document.to_json()
    }

    /// So many runs likewise; the rest between them is the document's where none is given.
    #[must_use]
    pub fn body_of_set(&self, times: u32, rest_ns: Option<u64>) -> String {
        let document = self.document.clone();
        document.repeated(times, rest_ns.or(self.rest_ns)).to_json()
    }
}

/// A file that a document refers to.
#[derive(Debug)]
pub struct Upload {
    /// Its name in the document.
    pub name: String,
    /// What it is known by.
    pub reference: Reference,
    /// It, at its beginning.
    pub file: File,
}

/// What is sent of a document: a file of up to 64 KiB in it, a longer one beside it; all beside it
/// where the short ones together are too long.
///
/// # Errors
/// [`Problem::Document`] with everything that is wrong in it, each with its place.
pub fn outgoing(options: &DocumentOptions) -> Result<Outgoing, Problem> {
    let path = options.file.clone().unwrap_or_default();
    let target = Some(ANY_TARGET.to_owned());
    let document = Document::open(&path, &options.env, target).map_err(Problem::Document)?;
    let (repeat, rest_ns) = (document.repeat, document.rest_ns);
    let name = document.name.clone();
    let asked = Asked::of(&path.display().to_string(), &document);
    let document = document.once();
    let folder = Folder::of(&path).map_err(Problem::Document)?;
    let with = |inside_max| with_files(document.clone(), &folder, inside_max);
    let (document, uploads) = with(INSIDE_LEN_MAX)
        .or_else(|_| with(0))
        .map_err(Problem::Document)?;
    let checked = document.check_runner(Runner::Cluster);
    checked.map_err(|invalid| Problem::Document(placed(&path, &invalid)))?;
    Ok(Outgoing {
        document,
        uploads,
        name,
        asked,
        repeat,
        rest_ns,
    })
}

/// The document with its files of up to so many bytes, and the others, which it refers to.
fn with_files(
    document: Document,
    folder: &Folder,
    inside_max: u64,
) -> Result<(Document, Vec<Upload>), String> {
    let replay = document.scenario.replay.clone();
    let scenario = document.scenario.clone();
    let mut uploads = Vec::new();
    let document = document.with_files(|name| {
        let words = |error: io::Error| format!("{name}: {error}");
        let mut file = folder.open(name)?;
        let bytes = file.metadata().map_err(words)?.len();
        if bytes > FILE_LEN_MAX {
            return Err(format!(
                "{name} has {bytes} bytes, and at most {FILE_LEN_MAX} go to the drivers of a cluster: \
                 split it, or use driver run on each host"
            ));
        }
        if bytes <= inside_max {
            return folder.read(name).map(Carried::Here);
        }
        let rows = if replay.as_deref() == Some(name) {
            let head = Head::read(&mut BufReader::new(&file));
            let head = head.map_err(|error| format!("{name}: {error}"))?;
            let checked = scenario.clone().replaying(&head);
            checked.map_err(|error| format!("{name}: {error}"))?;
            Some(head.requests)
        } else {
            None
        };
        file.rewind().map_err(words)?;
        let (sha256, bytes) = Sha256::of_reader(&file).map_err(words)?;
        file.rewind().map_err(words)?;
        let reference = Reference {
            sha256,
            bytes,
            rows,
        };
        uploads.push(Upload {
            name: name.to_owned(),
            reference,
            file,
        });
        Ok(Carried::Elsewhere(reference))
    })?;
    Ok((document, uploads))
}

/// Uploads the files that the orchestrator lacks; `tell` says which.
///
/// # Errors
/// [`ApiError`] with the orchestrator's own words.
pub fn upload(api: &Api, uploads: &[Upload], mut tell: impl FnMut(&str)) -> Result<(), ApiError> {
    if uploads.is_empty() {
        return Ok(());
    }
    let there = api.get("data")?;
    let there: BTreeSet<&str> = there["files"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|file| file["sha256"].as_str())
        .collect();
    for Upload {
        name,
        reference,
        file,
    } in uploads
    {
        let sha256 = reference.sha256.to_string();
        if there.contains(sha256.as_str()) {
            continue;
        }
        let began = Instant::now();
        let path = format!("data/{}?sha256={sha256}", segment(name));
        api.put_file(&path, file)?;
        let (mb, seconds) = (reference.bytes as f64 / 1e6, began.elapsed().as_secs_f64());
        tell(&format!("{name}: {mb:.1} MB uploaded in {seconds:.1} s"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::cli::RunTerms;
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
            terms: RunTerms::default(),
        };
        let sent = outgoing(&options).map_err(|problem| problem.to_string())?;
        assert!(sent.uploads.is_empty());
        Ok(sent.body())
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

    #[test]
    fn long_files_go_beside_the_document_and_short_ones_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, len: usize| {
            let mut random = fastrand::Rng::with_seed(len as u64);
            let noise: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
            fs::write(folder.path().join(name), noise).unwrap();
        };
        let inside = usize::try_from(INSIDE_LEN_MAX).unwrap();
        put("short.bin", inside);
        put("long.bin", inside + 1);
        let sent = |text: &str| {
            let file = folder.path().join("test.yaml");
            fs::write(&file, text).unwrap();
            let options = DocumentOptions {
                file: Some(file),
                env: Vec::new(),
                terms: RunTerms::default(),
            };
            outgoing(&options).unwrap()
        };
        let text = "steps: [{POST: /, file: short.bin}, {POST: /, file: long.bin}]\n";
        let both = sent(text);
        let names: Vec<&str> = both.uploads.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["long.bin"]);
        let sha256 = both.uploads[0].reference.sha256.to_string();
        assert!(both.body().contains(&sha256) && both.body().len() > inside);
        // Eight of them are more than goes over the broker in one message.
        let mut steps = Vec::new();
        for number in 0..8 {
            put(&format!("{number}.bin"), inside - number);
            steps.push(format!("{{POST: /, file: {number}.bin}}"));
        }
        let all = sent(&format!("steps: [{}]\n", steps.join(", ")));
        assert_eq!(all.uploads.len(), 8);
        assert!(all.body().len() < 4096);
    }
}
