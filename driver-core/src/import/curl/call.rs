//! One call of curl, as its options describe it.

use super::super::notes::Notes;
use super::super::secrets::plain;
use super::options::{is_aside, long_of, takes_value};

/// What a call sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Data {
    #[default]
    Nothing,
    /// Pieces of text, joined.
    Text(String),
    /// A file of this name.
    File(String),
    /// Fields of `multipart/form-data`.
    Parts(Vec<Part>),
}

/// A field of `multipart/form-data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) value: String,
    /// Its media type, where it has one of its own.
    pub(super) kind: Option<String>,
}

/// A call of curl, in the writing of documents.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of curl")]
pub(super) struct Call {
    pub(super) line: u64,
    pub(super) urls: Vec<String>,
    pub(super) method: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    /// Header fields that are sent although they are empty.
    pub(super) empty: Vec<String>,
    pub(super) data: Data,
    pub(super) upload: Option<String>,
    pub(super) user: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) authorities: Option<String>,
    pub(super) http: Option<&'static str>,
    pub(super) is_json: bool,
    pub(super) is_get: bool,
    pub(super) is_head: bool,
    pub(super) is_insecure: bool,
    pub(super) is_glob_off: bool,
    pub(super) keeps_cookies: bool,
    /// Why a document cannot have it.
    pub(super) cannot: Option<&'static str>,
    /// Options that are about curl itself.
    pub(super) asides: Vec<String>,
}

impl Call {
    /// Reads the words behind `curl`.
    pub(super) fn of(notes: &mut Notes, line: u64, words: &[String]) -> Self {
        let mut call = Self {
            line,
            ..Self::default()
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if let Some(long) = word.strip_prefix("--") {
                let value = takes_value(long).then(|| words.next()).flatten();
                call.option(notes, long, value.map_or("", String::as_str));
            } else if word.len() > 1 && word.starts_with('-') {
                call.short(notes, &word[1..], &mut words);
            } else {
                call.urls.push(word.clone());
            }
        }
        if call.upload.is_some() && call.data != Data::Nothing {
            call.cannot = Some("-T and -d together, which curl refuses too");
        }
        call
    }

    /// Short options in one word, the last perhaps with its value.
    fn short<'w>(
        &mut self,
        notes: &mut Notes,
        text: &str,
        words: &mut impl Iterator<Item = &'w String>,
    ) {
        for (at, letter) in text.char_indices() {
            let Some(long) = long_of(letter) else {
                notes.changed(
                    self.line,
                    "an option that is not known here",
                    &format!("-{letter}"),
                );
                continue;
            };
            if !takes_value(long) {
                self.option(notes, long, "");
                continue;
            }
            let rest = &text[at + letter.len_utf8()..];
            let value = if rest.is_empty() {
                words.next().map_or("", String::as_str)
            } else {
                rest
            };
            return self.option(notes, long, value);
        }
    }

    /// The value of a header field that was given.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        let found = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn option(&mut self, notes: &mut Notes, long: &str, value: &str) {
        match long {
            "url" => self.urls.push(value.to_owned()),
            "request" => self.method = Some(value.to_owned()),
            "header" => self.header_line(notes, value),
            "user-agent" => self.set("User-Agent", value),
            "referer" => self.set("Referer", value.trim_end_matches(";auto")),
            "range" => self.set("Range", &format!("bytes={value}")),
            "oauth2-bearer" => self.set("Authorization", &format!("Bearer {value}")),
            "compressed" => self.set("Accept-Encoding", "deflate, gzip"),
            "cookie" => self.cookie(notes, value),
            "cookie-jar" | "junk-session-cookies" => self.keeps_cookies = true,
            "user" => self.user = Some(value.to_owned()),
            "basic" | "http0.9" | "tcp-nodelay" => {}
            "get" => self.is_get = true,
            "head" => self.is_head = true,
            "insecure" => self.is_insecure = true,
            "globoff" => self.is_glob_off = true,
            "cacert" => self.authorities = Some(value.to_owned()),
            "upload-file" => self.upload = Some(value.to_owned()),
            "max-time" => self.max_time(notes, value),
            "http2-prior-knowledge" => self.http = Some("h2c"),
            "http1.1" => self.http = Some("1.1"),
            "digest" | "ntlm" | "negotiate" | "anyauth" | "aws-sigv4" => {
                self.cannot =
                    Some("an authorization that answers the server, which no fixed header can");
            }
            _ if self.data_option(notes, long, value) => {}
            _ if is_aside(long) => self.asides.push(format!("--{long}")),
            _ => self.unlike(notes, long),
        }
    }

    /// Options that a document has nothing for.
    fn unlike(&mut self, notes: &mut Notes, long: &str) {
        let kind = match long {
            "location" | "location-trusted" => {
                "redirects are not followed: each is a step of its own"
            }
            "http2" => "over https:// HTTP/2 is taken where the server has it; never by an upgrade",
            "cert" | "key" | "pass" | "cert-type" | "key-type" => {
                "a document has no client certificates; driver run URL --cert has"
            }
            "proxy" | "proxy-user" | "noproxy" | "preproxy" | "socks5" | "socks5-hostname" => {
                "requests go to the target itself, through no proxy"
            }
            "connect-timeout" | "retry" | "retry-delay" | "retry-max-time" => {
                "a document has no time to connect and no retries of its own"
            }
            "resolve" | "connect-to" | "interface" | "unix-socket" => {
                "the target's name is looked up as it is; --target names another"
            }
            _ if takes_value(long) => "an option that a document has nothing for",
            _ => "an option that a document has nothing for, taken to have no value",
        };
        notes.changed(self.line, kind, &format!("--{long}"));
    }

    fn set(&mut self, name: &str, value: &str) {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn header_line(&mut self, notes: &mut Notes, text: &str) {
        if text.starts_with('@') {
            let kind = "header fields of a file are not read; write them out";
            return notes.changed(self.line, kind, text);
        }
        if let Some((name, value)) = text.split_once(':') {
            let (name, value) = (name.trim(), value.trim());
            self.headers
                .push((plain(name).into_owned(), value.to_owned()));
        } else if let Some(name) = text.strip_suffix(';') {
            self.headers.push((name.to_owned(), String::new()));
            self.empty.push(name.to_owned());
        } else {
            notes.changed(self.line, "no header field: it has no colon", "");
        }
    }

    fn cookie(&mut self, notes: &mut Notes, value: &str) {
        if value.contains('=') {
            self.headers.push(("Cookie".to_owned(), value.to_owned()));
        } else {
            self.keeps_cookies = true;
            let kind = "cookies of a file are not read; a session keeps those that it is given";
            notes.changed(self.line, kind, "");
        }
    }

    fn max_time(&mut self, notes: &mut Notes, value: &str) {
        let seconds = value.parse().unwrap_or(0.0);
        if (0.001..=3600.0).contains(&seconds) {
            self.timeout = Some(format!("{seconds}s"));
        } else {
            let kind = "--max-time is not within 0.001 and 3600 seconds";
            notes.changed(self.line, kind, value);
        }
    }

    /// Whether an option was one about what is sent.
    fn data_option(&mut self, notes: &mut Notes, long: &str, value: &str) -> bool {
        match long {
            "data" | "data-ascii" | "data-binary" => self.data(notes, long, value),
            "data-raw" => self.add(value, "&"),
            "json" => {
                self.is_json = true;
                if self.header("accept").is_none() {
                    self.set("Accept", "application/json");
                }
                match value.strip_prefix('@') {
                    Some(file) => self.file(file),
                    None => self.add(value, ""),
                }
            }
            "data-urlencode" => self.urlencoded(value),
            "url-query" => self.cannot = Some("--url-query: write the query into the URL"),
            "form-string" => self.part(value, true),
            "form" => self.part(value, false),
            _ => return false,
        }
        true
    }

    fn data(&mut self, notes: &mut Notes, long: &str, value: &str) {
        match value.strip_prefix('@') {
            None => self.add(value, "&"),
            Some(file) => {
                if long != "data-binary" {
                    let kind =
                        "curl takes line ends out of the file of -d; here it is sent as it is";
                    notes.changed(self.line, kind, file);
                }
                self.file(file);
            }
        }
    }

    fn add(&mut self, text: &str, between: &str) {
        match &mut self.data {
            Data::Nothing => self.data = Data::Text(text.to_owned()),
            Data::Text(known) => {
                known.push_str(between);
                known.push_str(text);
            }
            _ => self.cannot = Some("a body of a file and of text together"),
        }
    }

    fn file(&mut self, file: &str) {
        if file == "-" {
            self.cannot = Some("a body from standard input; put it into a file");
        } else if self.data == Data::Nothing {
            self.data = Data::File(file.to_owned());
        } else {
            self.cannot = Some("a body of a file and of text together");
        }
    }

    /// `content`, `=content` or `name=content`; with `@` for `=`, of a file.
    fn urlencoded(&mut self, value: &str) {
        let (name, content) = match value.find(['=', '@']) {
            Some(at) if value[at..].starts_with('@') => {
                self.cannot = Some("--data-urlencode of a file");
                return;
            }
            Some(at) => (&value[..at], &value[at + 1..]),
            None => ("", value),
        };
        if super::super::secrets::next_variable(content).is_some() {
            self.cannot = Some("--data-urlencode of a variable; write form: {name: $NAME}");
            return;
        }
        let mut coded = Vec::new();
        let content = plain(content);
        proto::workload::Escape::UrlPart.write(content.as_bytes(), &mut coded);
        let coded = String::from_utf8_lossy(&coded).into_owned();
        let text = if name.is_empty() {
            coded
        } else {
            format!("{name}={coded}")
        };
        self.add(&text, "&");
    }

    fn part(&mut self, text: &str, is_string: bool) {
        let Some((name, value)) = text.split_once('=') else {
            self.cannot = Some("-F without a name=value");
            return;
        };
        if !is_string && value.starts_with(['@', '<']) {
            self.cannot = Some("-F with a file: a document has files as whole bodies only");
            return;
        }
        let (value, kind) = match value.split_once(";type=") {
            Some((value, kind)) if !is_string => (value, Some(kind.to_owned())),
            _ => (value, None),
        };
        let name = name.replace('"', "%22").replace(['\r', '\n'], " ");
        let value = value.to_owned();
        let part = Part { name, value, kind };
        match &mut self.data {
            Data::Nothing => self.data = Data::Parts(vec![part]),
            Data::Parts(parts) => parts.push(part),
            _ => self.cannot = Some("-F and -d together"),
        }
    }
}
