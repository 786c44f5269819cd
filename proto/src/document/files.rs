//! `files`: what `file:` and `tls.ca` name, within the document, so that it is complete in itself
//! wherever it is read; or, of a longer file, what it is known by, so that it can be had.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::reading::{Fields, Reader, Spot};
use super::sets::file_name;
use super::{DOCUMENT_LEN_MAX, Document, Key, Node, Place, Value};
use crate::digest::Sha256;
use crate::workload::RowSource;

/// Contents by the name of their file.
pub(super) type Contents = BTreeMap<String, Carried>;

/// A file as a document carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// Its content.
    Here(Vec<u8>),
    /// What it is known by, wherever it is.
    Elsewhere(Reference),
}

/// What a file is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Its content.
    pub sha256: Sha256,
    /// Its length in bytes, up to [`FILE_LEN_MAX`].
    pub bytes: u64,
    /// Of a replay, its requests.
    pub rows: Option<u64>,
}

/// Longest file that a document refers to, in bytes.
pub const FILE_LEN_MAX: u64 = 1 << 30;

const FORMS: [&str; 5] = ["base64", "gzip", "sha256", "bytes", "rows"];
/// Most bytes of all files of a document together, unpacked.
const CONTENTS_LEN_MAX: usize = 64 << 20;
/// Up to this length a text stays readable; a longer one is packed.
const READABLE_LEN_MAX: usize = 4096;

/// Reads `files`.
pub(super) fn files(reader: &mut Reader, spot: &Spot<'_>) -> Contents {
    let mut contents = Contents::new();
    let mut left = CONTENTS_LEN_MAX;
    for (key, entry) in reader.entries(spot, "a map of contents by the name of their file") {
        let name = file_name(&key.name).map(str::to_owned);
        let content = content(reader, &entry, left);
        if let (Some(name), Some(content)) = (reader.right(&entry, name), content) {
            if let Carried::Here(content) = &content {
                left = left.saturating_sub(content.len());
            }
            contents.insert(name, content);
        }
    }
    contents
}

/// A text as it stands, `{base64: …}`, `{gzip: …}`, which is base64 of a gzip file, or
/// `{sha256: …, bytes: …}`, which is not here.
fn content(reader: &mut Reader, spot: &Spot<'_>, most: usize) -> Option<Carried> {
    if spot.scalar().is_some() {
        let text = reader.raw(spot)?;
        return Some(Carried::Here(text.as_bytes().to_vec()));
    }
    let fields = reader.fields(spot, &FORMS);
    let forms = ["base64", "gzip", "sha256"].map(|form| fields.get(form));
    let described = fields.get("bytes").or_else(|| fields.get("rows"));
    let (at, is_packed) = match forms {
        [None, None, Some(_)] => return reference(reader, spot, &fields).map(Carried::Elsewhere),
        [Some(at), None, None] if described.is_none() => (at, false),
        [None, Some(at), None] if described.is_none() => (at, true),
        _ => {
            reader.wrong(
                spot,
                "a content is a text, {base64: …} or {gzip: …} (base64 of a gzip file), or \
                 {sha256: …, bytes: …} of an uploaded one",
            );
            return None;
        }
    };
    let text: String = reader.raw(&at)?.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(text).map_err(|error| error.to_string());
    let bytes = reader.right(&at, bytes)?;
    if !is_packed {
        return Some(Carried::Here(bytes));
    }
    let unpacked = unpacked(&bytes, most);
    reader.right(&at, unpacked).map(Carried::Here)
}

fn reference(reader: &mut Reader, spot: &Spot<'_>, fields: &Fields<'_>) -> Option<Reference> {
    let sha256 = fields.get("sha256")?;
    let sha256 = reader.parsed(&sha256, str::parse);
    let Some(bytes) = fields.get("bytes") else {
        reader.wrong(
            spot,
            "without bytes; write {sha256: …, bytes: …}, the file's length",
        );
        return None;
    };
    let bytes = reader.whole(&bytes, 0..=FILE_LEN_MAX);
    let rows = fields.get("rows");
    let rows = rows.and_then(|at| reader.whole(&at, 1..=u64::MAX));
    Some(Reference {
        sha256: sha256?,
        bytes: bytes?,
        rows,
    })
}

fn unpacked(bytes: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes).take(most as u64 + 1);
    reader
        .read_to_end(&mut content)
        .map_err(|error| format!("no whole gzip file: {error}"))?;
    if content.len() > most {
        return Err(format!(
            "the files of a document have at most {CONTENTS_LEN_MAX} bytes together, unpacked"
        ));
    }
    Ok(content)
}

impl Document {
    /// Says of each content that nothing names it.
    pub(super) fn check_files(&self, reader: &mut Reader, fields: &Fields<'_>) {
        let Some(at) = fields.get("files") else {
            return;
        };
        let named = self.file_names();
        for (key, entry) in reader.entries(&at, "a map") {
            if !named.contains(key.name.as_str()) && self.contents.contains_key(&key.name) {
                reader.wrong(&entry, "nothing here names this file");
            }
        }
    }

    /// The content of a file, where the document holds it.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<&[u8]> {
        match self.contents.get(name)? {
            Carried::Here(content) => Some(content),
            Carried::Elsewhere(_) => None,
        }
    }

    /// What a file is known by, where the document refers to it.
    #[must_use]
    pub fn reference(&self, name: &str) -> Option<&Reference> {
        match self.contents.get(name)? {
            Carried::Here(_) => None,
            Carried::Elsewhere(reference) => Some(reference),
        }
    }

    /// All files that it refers to, by name.
    pub fn references(&self) -> impl Iterator<Item = (&str, &Reference)> {
        let names = self.contents.keys().map(String::as_str);
        names.filter_map(|name| Some((name, self.reference(name)?)))
    }

    /// The only authorities that its drivers trust, as PEM, where it names some; `file` gives the
    /// content of a file by its name.
    ///
    /// # Errors
    /// In words, when the file is not there or no text.
    pub fn authorities(
        &self,
        file: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Option<String>, String> {
        let Some(number) = self.scenario.trust.authorities else {
            return Ok(None);
        };
        let name = &self.scenario.files[number];
        let content = file(name).ok_or_else(|| format!("the file {name} is not here"))?;
        let text = String::from_utf8(content);
        let text = text.map_err(|_| format!("{name}: not PEM, which is text"))?;
        Ok(Some(text))
    }

    /// Every file that it names, each once.
    #[must_use]
    pub fn file_names(&self) -> BTreeSet<&str> {
        let rows = self.scenario.data.iter().map(|set| &set.rows);
        let of_data = rows.filter_map(|rows| match rows {
            RowSource::File { name, .. } => Some(name.as_str()),
            RowSource::Inline(_) => None,
        });
        let others = self.scenario.files.iter().chain(&self.scenario.replay);
        of_data.chain(others.map(String::as_str)).collect()
    }

    /// The document with every file that it names in it, or referred to, so that it can travel:
    /// `read` gives each that is missing.
    ///
    /// # Errors
    /// In words: what `read` says of a file that is not there, or that all together are too long.
    pub fn with_files<C: Into<Carried>>(
        mut self,
        mut read: impl FnMut(&str) -> Result<C, String>,
    ) -> Result<Self, String> {
        let missing = self.file_names().into_iter();
        let missing = missing.filter(|name| !self.contents.contains_key(*name));
        let missing: Vec<String> = missing.map(str::to_owned).collect();
        if missing.is_empty() {
            return Ok(self);
        }
        let mut lengths = Vec::new();
        for name in missing {
            let carried = read(&name)?.into();
            if let Carried::Here(content) = &carried {
                lengths.push(format!("{name} has {} bytes", content.len()));
            }
            self.carry(name, carried);
        }
        let len = self.to_json().len();
        if len > DOCUMENT_LEN_MAX {
            return Err(format!(
                "with its files, packed, the document has {len} bytes, and at most \
                 {DOCUMENT_LEN_MAX} go over the broker: {}; upload them with PUT /data/NAME, as \
                 client run does with long ones",
                lengths.join(", "),
            ));
        }
        Ok(self)
    }

    /// The document with what a file that it refers to is known by.
    #[must_use]
    pub fn with_reference(mut self, name: &str, reference: Reference) -> Self {
        self.carry(name.to_owned(), Carried::Elsewhere(reference));
        self
    }

    fn carry(&mut self, name: String, carried: Carried) {
        if let (Carried::Elsewhere(reference), Some(replay)) = (&carried, &self.scenario.replay)
            && *replay == name
        {
            self.scenario.set_replayed(reference.rows);
        }
        self.contents.insert(name, carried);
        let entries = self.contents.iter();
        let entries = entries.map(|(name, carried)| (Key::unplaced(name), written(carried)));
        let files = Node {
            place: Place::default(),
            value: Value::Map(entries.collect()),
        };
        self.node.set("files", files);
    }
}

impl From<Vec<u8>> for Carried {
    fn from(content: Vec<u8>) -> Self {
        Self::Here(content)
    }
}

impl From<Reference> for Carried {
    fn from(reference: Reference) -> Self {
        Self::Elsewhere(reference)
    }
}

fn written(carried: &Carried) -> Node {
    match carried {
        Carried::Here(content) => written_content(content),
        Carried::Elsewhere(reference) => {
            let mut entries = vec![
                ("sha256", reference.sha256.to_string()),
                ("bytes", reference.bytes.to_string()),
            ];
            entries.extend(reference.rows.map(|rows| ("rows", rows.to_string())));
            let entries = entries.into_iter();
            let entries = entries.map(|(key, text)| (Key::unplaced(key), Node::text(text)));
            Node {
                place: Place::default(),
                value: Value::Map(entries.collect()),
            }
        }
    }
}

/// A content in the shortest of its forms, a short text as it stands.
fn written_content(content: &[u8]) -> Node {
    match std::str::from_utf8(content) {
        Ok(text) if text.len() <= READABLE_LEN_MAX => return Node::text(text),
        _ => {}
    }
    let (form, bytes) = match packed(content) {
        Ok(packed) if packed.len() < content.len() => ("gzip", BASE64.encode(packed)),
        _ => ("base64", BASE64.encode(content)),
    };
    Node {
        place: Place::default(),
        value: Value::Map(vec![(Key::unplaced(form), Node::text(bytes))]),
    }
}

fn packed(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Runner, Setting};

    fn read(text: &str) -> Result<Document, String> {
        Document::read(text, Setting::default()).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn a_document_takes_its_files_along() {
        let text = "target: http://h/\ndata: {u: {file: u.csv, pick: unique}}\n\
            steps: [{PUT: /$u.id, file: b.bin}]\nload: {closed: 1, sessions: 1}\n";
        let document = read(text).unwrap();
        assert!(document.check_runner(Runner::Cluster).is_err());
        let rows = "id\n".to_owned() + &"1234567\n".repeat(10_000);
        let binary: Vec<u8> = (0..=255).collect();
        let whole = document
            .with_files(|name| match name {
                "u.csv" => Ok(rows.clone().into_bytes()),
                "b.bin" => Ok(binary.clone()),
                _ => Err(format!("{name}?")),
            })
            .unwrap();
        let again = read(&whole.to_json()).unwrap();
        assert_eq!(again.content("u.csv"), Some(rows.as_bytes()));
        assert_eq!(again.content("b.bin"), Some(&binary[..]));
        assert_eq!(again.scenario, whole.scenario);
        assert!(again.check_runner(Runner::Cluster).is_ok());
        assert!(whole.to_json().len() < 4096, "packed");
        assert!(
            !whole.to_masked_json().contains("gzip"),
            "rows are shown to nobody"
        );
        assert!(Document::kept(&whole.to_masked_json()).is_ok());
    }

    #[test]
    fn a_file_that_is_elsewhere_is_referred_to_wherever_the_document_goes() {
        let text = "target: http://h/\ndata: {u: {file: u.csv, pick: unique}}\n\
            steps: [PUT /$u.id]\nload: {closed: 1, sessions: 1}\n";
        let reference = Reference {
            sha256: Sha256::of(b"id\n1\n"),
            bytes: 5,
            rows: None,
        };
        let whole = read(text).unwrap().with_files(|_| Ok(reference)).unwrap();
        let again = read(&whole.to_json()).unwrap();
        assert_eq!(again.reference("u.csv"), Some(&reference));
        assert_eq!(again.references().count(), 1);
        assert_eq!((again.content("u.csv"), again.reference("x")), (None, None));
        assert!(again.check_runner(Runner::Cluster).is_ok());
        let alone = again.check_runner(Runner::Alone).unwrap_err().to_string();
        assert!(alone.contains("files.u.csv: "), "{alone}");
        // What is kept of it still says which file it was.
        let kept = Document::kept(&again.to_masked_json()).unwrap();
        assert_eq!(kept.reference("u.csv"), Some(&reference));
        let repeated = read(&again.to_masked_json()).unwrap();
        assert_eq!(repeated.reference("u.csv"), Some(&reference));
    }

    #[test]
    fn what_is_missing_or_too_long_is_said() {
        let text = "target: http://h/\nsteps: [{PUT: /, file: b.bin}]\n";
        let missing = read(text)
            .unwrap()
            .with_files(|name| Err::<Vec<u8>, _>(format!("{name}: gone")));
        assert_eq!(missing.unwrap_err(), "b.bin: gone");
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = (0..DOCUMENT_LEN_MAX).map(|_| random.u8(..)).collect();
        let long = read(text).unwrap().with_files(|_| Ok(noise.clone()));
        assert!(long.unwrap_err().contains("b.bin has 524288 bytes"));
    }

    #[test]
    fn contents_that_are_none_are_refused_in_place() {
        let of = |files: &str| {
            let text = format!("target: http://h/\nsteps: [{{PUT: /, file: a}}]\nfiles: {files}\n");
            read(&text)
        };
        assert_eq!(of("{a: '$x\n'}").unwrap().content("a"), Some(&b"$x "[..]));
        assert_eq!(
            of("{a: {base64: YQ==}}").unwrap().content("a"),
            Some(&b"a"[..])
        );
        for (files, words) in [
            ("[a]", "3:8: files: expected a map"),
            ("{../a: x}", "files.../a: "),
            ("{a: {base64: '%'}}", "3:21: files.a.base64: "),
            ("{a: {gzip: YQ==}}", "no whole gzip file"),
            ("{a: {zip: YQ==}}", "no such key"),
            ("{a: {}}", "a content is a text"),
            ("{a: {base64: YQ==, bytes: 1}}", "a content is a text"),
            (
                "{a: {sha256: ab, bytes: 1}}",
                "files.a.sha256: \"ab\" is no SHA-256",
            ),
            ("{a: {sha256: SUM}}", "without bytes"),
            (
                "{a: {sha256: SUM, bytes: 1073741825}}",
                "no whole number from 0",
            ),
            ("{a: x, b: y}", "files.b: nothing here names this file"),
        ] {
            let files = files.replace("SUM", &Sha256::of(b"a").to_string());
            let refused = of(&files).unwrap_err();
            assert!(refused.contains(words), "{files}: {refused}");
        }
    }
}
