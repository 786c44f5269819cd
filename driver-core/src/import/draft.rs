//! A document in the making: requests as an input has them, within the bounds of a document.
//!
//! Texts here are in the writing of documents: a dollar sign is `$$`, and `${NAME}` a variable.

use proto::document::{BODY_LEN_MAX, DOCUMENT_LEN_MAX, HEADERS_MAX, file_name};
use proto::secret::shown_url;
use proto::workload::Escape;

use super::notes::Notes;
use super::secrets::{literal, plain};
use super::yaml;

/// Most requests of a document.
pub(super) const STEPS_MAX: usize = 1000;
/// Most bytes of a URL: what servers take, and what a target has at most.
const URL_LEN_MAX: usize = 8192;
/// Most bytes of the name of a header field: YAML takes a thousand for a name.
const NAME_LEN_MAX: usize = 200;
/// Most bytes of the value of a header field.
const VALUE_LEN_MAX: usize = 32 << 10;
/// Bytes of a document that its requests may fill; the rest is for what is said about them.
const ROOM: usize = DOCUMENT_LEN_MAX - (128 << 10);
/// A longer body is written to a file of its own, where there may be one.
const INLINE_LEN_MAX: usize = 16 << 10;
/// Fields that the driver writes itself, or that are about one connection.
const OF_THE_DRIVER: [&str; 7] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "te",
];

/// A request of the input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Step {
    /// Its line in the input.
    pub(super) line: u64,
    pub(super) method: String,
    /// Path and query, from the first `/`; or the whole URL, where it goes to another server than the
    /// target.
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    /// How long it may take, as documents write it.
    pub(super) timeout: Option<String>,
    /// How long the user thinks before it, ms.
    pub(super) think_ms: u64,
}

/// What a request carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Body {
    #[default]
    Nothing,
    /// A text.
    Text(String),
    /// The file of this name, beside the document.
    File(String),
}

/// A document in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// What it was made of, for its name and its first line.
    pub(super) source: String,
    /// What else there is to say at its top, a line each.
    pub(super) remarks: Vec<String>,
    pub(super) target: String,
    pub(super) cookies: Option<bool>,
    pub(super) http: Option<&'static str>,
    pub(super) insecure: bool,
    pub(super) authorities: Option<String>,
    pub(super) requests: Requests,
    /// The value of `load`.
    pub(super) load: String,
    /// Files that it needs beside itself.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Whether files can be written beside it.
    pub(super) has_folder: bool,
    pub(super) room_taken: usize,
    /// The log that it replays.
    pub(super) replayed: Option<Replayed>,
}

/// A log that was written to a file.
#[derive(Debug)]
pub(super) struct Replayed {
    /// Its name in the document.
    pub(super) file: String,
    /// Requests in it.
    pub(super) requests: u64,
}

/// How the requests of a document belong together.
#[derive(Debug)]
pub(super) enum Requests {
    /// One after the other, in one session.
    InOrder(Vec<Step>),
    /// Each a session of its own, by weight.
    Mix(Vec<(u64, Step)>),
    /// What a replay does with the requests of each method.
    OfReplay(Vec<Step>),
}

impl Default for Requests {
    fn default() -> Self {
        Self::InOrder(Vec::new())
    }
}

impl Requests {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::InOrder(steps) | Self::OfReplay(steps) => steps.len(),
            Self::Mix(entries) => entries.len(),
        }
    }

    pub(super) fn steps(&self) -> Vec<&Step> {
        match self {
            Self::InOrder(steps) | Self::OfReplay(steps) => steps.iter().collect(),
            Self::Mix(entries) => entries.iter().map(|(_, step)| step).collect(),
        }
    }
}

impl Draft {
    /// Each request is a session of its own: none has a cookie of one before, and a mix of fixed
    /// requests costs no more than one.
    pub(super) fn begin_mix(&mut self) {
        self.requests = Requests::Mix(Vec::new());
        self.cookies = Some(false);
    }

    /// Takes a request into the document, unless something in it cannot be: that is noted.
    pub(super) fn take(&mut self, notes: &mut Notes, weight: u64, step: Step) -> bool {
        let Some(step) = checked(notes, step) else {
            return false;
        };
        if self.requests.len() >= STEPS_MAX {
            let kind = "a document has at most 1000 requests";
            notes.left_out(step.line, kind, &shown(&step));
            return false;
        }
        let len = step.written_len();
        if self.room_taken + len > ROOM {
            let kind = "the document is as long as one may be";
            notes.left_out(step.line, kind, &shown(&step));
            return false;
        }
        self.room_taken += len;
        match &mut self.requests {
            Requests::InOrder(steps) | Requests::OfReplay(steps) => steps.push(step),
            Requests::Mix(entries) => entries.push((weight, step)),
        }
        true
    }

    /// The body of a request: in the document where it fits there, else in a file beside it.
    ///
    /// # Errors
    /// Why it can be in neither.
    pub(super) fn body(&mut self, bytes: Vec<u8>) -> Result<Body, &'static str> {
        let is_binary = match std::str::from_utf8(&bytes) {
            Ok("") => return Ok(Body::Nothing),
            Ok(text) if text.len() <= INLINE_LEN_MAX => {
                return Ok(Body::Text(literal(text).into_owned()));
            }
            Ok(text) if !self.has_folder && text.len() <= BODY_LEN_MAX => {
                return Ok(Body::Text(literal(text).into_owned()));
            }
            Ok(_) => false,
            Err(_) => true,
        };
        if !self.has_folder {
            return Err(if is_binary {
                "its body is no text, which needs a file: give --output"
            } else {
                "its body is too long for a document and needs a file: give --output"
            });
        }
        let known = self.files.iter().find(|(_, known)| *known == bytes);
        if let Some((name, _)) = known {
            return Ok(Body::File(name.clone()));
        }
        let name = format!("{}.body-{}.bin", self.source_stem(), self.files.len() + 1);
        self.files.push((name.clone(), bytes));
        Ok(Body::File(name))
    }

    /// What the source is called, as a part of a file's name.
    fn source_stem(&self) -> String {
        let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        self.source.chars().take(60).map(safe).collect()
    }
}

/// The request without what the driver writes itself, if a document can have it.
fn checked(notes: &mut Notes, mut step: Step) -> Option<Step> {
    let line = step.line;
    let url_len = plain(&step.path).len();
    if url_len > URL_LEN_MAX {
        let detail = format!("{url_len} bytes; at most {URL_LEN_MAX} are taken");
        notes.left_out(line, "the URL is too long", &detail);
        return None;
    }
    if step.method == "CONNECT" || !is_method(&step.method) {
        notes.left_out(
            line,
            "no method to load with",
            &format!("{:?}", step.method),
        );
        return None;
    }
    let headers = std::mem::take(&mut step.headers);
    for (name, value) in headers {
        match field_problem(&name, &value) {
            None => step.headers.push((name, value.trim().to_owned())),
            Some(Problem::OfDriver) if name.eq_ignore_ascii_case("content-length") => {}
            Some(Problem::OfDriver) => {
                let kind = "a header field that the driver writes itself";
                notes.changed_alike(line, kind, &name);
            }
            Some(Problem::Pseudo) => {
                notes.changed_alike(
                    line,
                    "a pseudo header of HTTP/2, made anew from the URL",
                    &name,
                );
            }
            Some(Problem::NoName) => {
                notes.changed(line, "no name of a header field", &format!("{name:?}"));
            }
            Some(Problem::NoValue) => {
                notes.changed(line, "a header value that no request can have", &name);
            }
        }
    }
    if step.headers.len() > HEADERS_MAX {
        let detail = format!("{}; at most {HEADERS_MAX}", step.headers.len());
        notes.left_out(line, "too many header fields", &detail);
        return None;
    }
    Some(step)
}

fn is_method(text: &str) -> bool {
    let is_upper = !text.bytes().any(|byte| byte.is_ascii_lowercase());
    is_upper && text.len() <= 30 && http::Method::from_bytes(text.as_bytes()).is_ok()
}

enum Problem {
    OfDriver,
    Pseudo,
    NoName,
    NoValue,
}

fn field_problem(name: &str, value: &str) -> Option<Problem> {
    let lower = name.to_ascii_lowercase();
    if OF_THE_DRIVER.contains(&lower.as_str()) {
        Some(Problem::OfDriver)
    } else if name.starts_with(':') {
        Some(Problem::Pseudo)
    } else if name.len() > NAME_LEN_MAX || http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        Some(Problem::NoName)
    } else if value.len() > VALUE_LEN_MAX || !Escape::Header.takes(value.as_bytes()) {
        Some(Problem::NoValue)
    } else {
        None
    }
}

impl Step {
    /// About how many bytes of a document it is.
    fn written_len(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + yaml::scalar(value).len() + 12);
        let body = match &self.body {
            Body::Nothing => 0,
            Body::Text(text) => yaml::scalar(text).len() + 12,
            Body::File(name) => name.len() + 12,
        };
        let path = yaml::scalar(&self.path).len();
        80 + self.method.len() + path + headers.sum::<usize>() + body
    }

    /// The values of a header field.
    pub(super) fn header<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        let named = self.headers.iter();
        let named = named.filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }
}

/// Whether a file's name, without a dollar sign, leads to no other folder than the document's.
pub(super) fn is_beside(file: &str) -> bool {
    file_name(file).is_ok() && !file.contains(['$', '\n'])
}

/// A request as it may be shown.
pub(super) fn shown(step: &Step) -> String {
    format!("{} {}", step.method, shown_url(&step.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(path: &str) -> Step {
        Step {
            line: 3,
            method: "GET".to_owned(),
            path: path.to_owned(),
            ..Step::default()
        }
    }

    #[test]
    fn what_no_request_can_be_is_left_out_in_words() {
        let mut notes = Notes::default();
        let mut draft = Draft::default();
        assert!(!draft.take(&mut notes, 1, step(&"/x".repeat(50_000))));
        let lower = Step {
            method: "get".to_owned(),
            ..step("/")
        };
        assert!(!draft.take(&mut notes, 1, lower));
        let mut odd = step("/");
        for (name, value) in [(":path", "/"), ("a b", "1"), ("X", "a\r\nb"), ("TE", "x")] {
            odd.headers.push((name.to_owned(), value.to_owned()));
        }
        assert!(draft.take(&mut notes, 1, odd));
        assert_eq!(draft.requests.steps()[0].headers, []);
        assert_eq!(notes.left_out_in_all(), 2);
        assert_eq!(notes.said().len(), 6, "{notes:?}");
    }

    #[test]
    fn a_document_is_full_at_some_point() {
        let mut notes = Notes::default();
        let mut draft = Draft::default();
        let long = "/x".repeat(4000);
        let taken = (0..1200).filter(|_| draft.take(&mut notes, 1, step(&long)));
        let taken = taken.count();
        assert!((20..60).contains(&taken), "{taken}");
        let mut draft = Draft::default();
        let taken = (0..1200).filter(|_| draft.take(&mut notes, 1, step("/")));
        assert_eq!(taken.count(), STEPS_MAX);
    }

    #[test]
    fn bodies_that_are_no_text_go_into_files_once() {
        let mut draft = Draft {
            source: "a b.har".to_owned(),
            has_folder: true,
            ..Draft::default()
        };
        let name = "a_b_har.body-1.bin".to_owned();
        assert_eq!(draft.body(vec![0xff]), Ok(Body::File(name.clone())));
        assert_eq!(draft.body(vec![0xff]), Ok(Body::File(name)));
        assert_eq!(draft.files.len(), 1);
        assert_eq!(draft.body(b"$".to_vec()), Ok(Body::Text("$$".to_owned())));
        draft.has_folder = false;
        assert!(draft.body(vec![0xff]).unwrap_err().contains("--output"));
    }
}
