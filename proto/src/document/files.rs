//! `files`: what `file:` and `tls.ca` name, within the document, so that it is complete in itself
//! wherever it is read.

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
use crate::workload::RowSource;

/// Contents by the name of their file.
pub(super) type Contents = BTreeMap<String, Vec<u8>>;

const FORMS: [&str; 2] = ["base64", "gzip"];
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
            left = left.saturating_sub(content.len());
            contents.insert(name, content);
        }
    }
    contents
}

/// A text as it stands, `{base64: …}`, or `{gzip: …}`, which is base64 of a gzip file.
fn content(reader: &mut Reader, spot: &Spot<'_>, most: usize) -> Option<Vec<u8>> {
    if spot.scalar().is_some() {
        return reader.raw(spot).map(|text| text.as_bytes().to_vec());
    }
    let fields = reader.fields(spot, &FORMS);
    let (at, is_packed) = match (fields.get("base64"), fields.get("gzip")) {
        (Some(at), None) => (at, false),
        (None, Some(at)) => (at, true),
        _ => {
            reader.wrong(
                spot,
                "a content is a text, {base64: …} or {gzip: …} (base64 of a gzip file)",
            );
            return None;
        }
    };
    let text: String = reader.raw(&at)?.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(text).map_err(|error| error.to_string());
    let bytes = reader.right(&at, bytes)?;
    if !is_packed {
        return Some(bytes);
    }
    let unpacked = unpacked(&bytes, most);
    reader.right(&at, unpacked)
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
        self.contents.get(name).map(Vec::as_slice)
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

    /// The document with every file that it names in it, so that it can travel.
    ///
    /// # Errors
    /// In words: what `read` says of a file that is not there, or that all together are too long.
    pub fn with_files(
        mut self,
        mut read: impl FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, String> {
        let missing = self.file_names().into_iter();
        let missing = missing.filter(|name| !self.contents.contains_key(*name));
        let missing: Vec<String> = missing.map(str::to_owned).collect();
        if missing.is_empty() {
            return Ok(self);
        }
        let mut lengths = Vec::new();
        for name in missing {
            let content = read(&name)?;
            lengths.push(format!("{name} has {} bytes", content.len()));
            self.contents.insert(name, content);
        }
        let entries = self.contents.iter();
        let entries = entries.map(|(name, content)| (Key::unplaced(name), written(content)));
        let files = Node {
            place: Place::default(),
            value: Value::Map(entries.collect()),
        };
        self.node.set("files", files);
        let len = self.to_json().len();
        if len > DOCUMENT_LEN_MAX {
            return Err(format!(
                "with its files, packed, the document has {len} bytes, and at most \
                 {DOCUMENT_LEN_MAX} go over the broker: {}; {}",
                lengths.join(", "),
                match &self.scenario.replay {
                    Some(_) => "driver run plays all of it; import a shorter log for a cluster",
                    None => "use smaller ones, or driver run on each host",
                }
            ));
        }
        Ok(self)
    }
}

/// A content in the shortest of its forms, a short text as it stands.
fn written(content: &[u8]) -> Node {
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
    fn what_is_missing_or_too_long_is_said() {
        let text = "target: http://h/\nsteps: [{PUT: /, file: b.bin}]\n";
        let missing = read(text)
            .unwrap()
            .with_files(|name| Err(format!("{name}: gone")));
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
            ("{a: x, b: y}", "files.b: nothing here names this file"),
        ] {
            let refused = of(files).unwrap_err();
            assert!(refused.contains(words), "{files}: {refused}");
        }
    }
}
