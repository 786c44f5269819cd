//! Requests with holes: what is the same in each is rendered once, what differs is filled in.

/// A text in pieces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    /// Its pieces in order; no two fixed ones are neighbours.
    pub pieces: Vec<Piece>,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The same in each request.
    Fixed(Vec<u8>),
    /// The hole of this number in [`RequestTemplate::holes`].
    Hole(usize),
    /// The content of the file of this number in [`super::Scenario::files`].
    File(usize),
}

/// A request of a scenario, before its holes are filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTemplate {
    /// The server that it goes to, by its number in [`super::Scenario::targets`].
    pub target: usize,
    /// The HTTP method.
    pub method: String,
    /// Path and query, beginning with `/` once filled.
    pub path: Template,
    /// Header fields besides those of the framing (`Content-Length`), `Host` only where it is given.
    pub headers: Vec<Field>,
    /// The body; without pieces for none.
    pub body: Template,
    /// What the holes are filled with. Each hole stands in one place.
    pub holes: Vec<Hole>,
}

/// A header field with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Template,
    /// Whether the field is left out where its value is empty (`Cookie` before there is any).
    pub is_optional: bool,
}

/// What one hole is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Where the value comes from.
    pub fill: Fill,
    /// How it is written there.
    pub escape: Escape,
}

/// Where the value of a hole comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// A column of the session's row of a data set, both by number.
    Column {
        /// In [`super::Scenario::data`].
        data: usize,
        /// In [`super::DataSet::columns`].
        column: usize,
    },
    /// What a step before extracted into this slot.
    Slot(usize),
    /// A random UUID (version 4).
    Uuid,
    /// A random whole number from the first to the last, both included.
    Int {
        /// The least.
        from: i64,
        /// The greatest.
        to: i64,
    },
    /// A number that no other request of the run has, on any driver.
    Seq,
    /// The time of the wall clock, ms since 1970.
    Now,
    /// A value that only drivers know, by its number in [`super::Scenario::secrets`].
    Secret(usize),
    /// The cookies of the session that the target may see, as a `Cookie` header has them.
    Cookies,
}

/// How a value is written into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// As it is.
    Nothing,
    /// Into a header: as it is; a value with characters that no header may have is refused before.
    Header,
    /// As a part of a URL: all but unreserved characters percent-encoded (RFC 6570, `{x}`).
    UrlPart,
    /// As any part of a URL that is one already: reserved characters and `%xx` stay (RFC 6570,
    /// `{+x}`).
    Url,
    /// As the beginning of a path: as [`Escape::Url`], and only what begins with `/`.
    Path,
    /// As a value of a form (`application/x-www-form-urlencoded`).
    Form,
    /// Within the quotes of a JSON string.
    Json,
}

impl Template {
    /// A text without holes.
    #[must_use]
    pub fn fixed(bytes: impl Into<Vec<u8>>) -> Self {
        let mut template = Self::default();
        template.push(&bytes.into());
        template
    }

    /// Appends what is the same in each request.
    pub fn push(&mut self, bytes: &[u8]) {
        match self.pieces.last_mut() {
            _ if bytes.is_empty() => {}
            Some(Piece::Fixed(last)) => last.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Fixed(bytes.to_vec())),
        }
    }

    /// The text, if it has no holes.
    #[must_use]
    pub fn as_fixed(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            [] => Some(b""),
            [Piece::Fixed(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// Whether it is nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The text with `each` appending the value of a hole by its number; files count as nothing.
    #[must_use]
    pub fn filled(&self, mut each: impl FnMut(usize, &mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Fixed(bytes) => out.extend_from_slice(bytes),
                Piece::Hole(hole) => each(*hole, &mut out),
                Piece::File(_) => {}
            }
        }
        out
    }

    /// The same text with pieces replaced by bytes where `known` has them.
    pub(super) fn settle(&mut self, known: &impl Fn(&Piece) -> Option<Vec<u8>>) {
        for piece in std::mem::take(&mut self.pieces) {
            match (known(&piece), piece) {
                (Some(bytes), _) | (None, Piece::Fixed(bytes)) => self.push(&bytes),
                (None, piece) => self.pieces.push(piece),
            }
        }
    }
}

impl RequestTemplate {
    /// Whether it is the same each time.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.texts().all(|text| text.as_fixed().is_some())
    }

    /// Path, values of headers, and body.
    pub fn texts(&self) -> impl Iterator<Item = &Template> {
        let values = self.headers.iter().map(|field| &field.value);
        [&self.path].into_iter().chain(values).chain([&self.body])
    }

    pub(super) fn texts_mut(&mut self) -> impl Iterator<Item = &mut Template> {
        let values = self.headers.iter_mut().map(|field| &mut field.value);
        [&mut self.path]
            .into_iter()
            .chain(values)
            .chain([&mut self.body])
    }
}

impl Escape {
    /// Appends `value` in this form.
    pub fn write(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Nothing | Self::Header => out.extend_from_slice(value),
            Self::UrlPart => percent(value, out, is_unreserved),
            Self::Url | Self::Path => url(value, out),
            Self::Form => form(value, out),
            Self::Json => json(value, out),
        }
    }

    /// Whether `value` can stand in such a place at all.
    #[must_use]
    pub fn takes(self, value: &[u8]) -> bool {
        match self {
            Self::Header => value.iter().all(|byte| is_field_byte(*byte)),
            Self::Path => value.starts_with(b"/"),
            _ => true,
        }
    }
}

/// RFC 9110, 5.5: visible characters, space, tab, and bytes beyond ASCII.
const fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// RFC 3986, 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986, 2.2, without `#`, which begins what is never sent.
const fn is_reserved(byte: u8) -> bool {
    matches!(
        byte,
        b':' | b'/'
            | b'?'
            | b'['
            | b']'
            | b'@'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
    )
}

fn percent(value: &[u8], out: &mut Vec<u8>, stays: impl Fn(u8) -> bool) {
    for byte in value {
        if stays(*byte) {
            out.push(*byte);
        } else {
            escape_byte(*byte, out);
        }
    }
}

fn escape_byte(byte: u8, out: &mut Vec<u8>) {
    out.push(b'%');
    out.extend_from_slice(&digits(byte));
}

/// The two hexadecimal digits of a byte.
fn digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [byte >> 4, byte & 15].map(|nibble| DIGITS[usize::from(nibble)])
}

fn url(value: &[u8], out: &mut Vec<u8>) {
    for (at, byte) in value.iter().enumerate() {
        let escapes = || {
            let digits = value.get(at + 1..at + 3);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        if is_unreserved(*byte) || is_reserved(*byte) || (*byte == b'%' && escapes()) {
            out.push(*byte);
        } else {
            escape_byte(*byte, out);
        }
    }
}

fn form(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            b' ' => out.push(b'+'),
            b'*' | b'-' | b'.' | b'_' => out.push(*byte),
            byte if byte.is_ascii_alphanumeric() => out.push(*byte),
            byte => escape_byte(*byte, out),
        }
    }
}

fn json(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x00..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits(*byte));
            }
            _ => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(escape: Escape, value: &str) -> String {
        let mut out = Vec::new();
        escape.write(value.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_written_as_their_place_needs() {
        let value = "a b&c/é%20?\"";
        assert_eq!(written(Escape::Nothing, value), value);
        assert_eq!(
            written(Escape::UrlPart, value),
            "a%20b%26c%2F%C3%A9%2520%3F%22"
        );
        assert_eq!(written(Escape::Url, value), "a%20b&c/%C3%A9%20?%22");
        assert_eq!(written(Escape::Url, "100%"), "100%25");
        assert_eq!(written(Escape::Form, value), "a+b%26c%2F%C3%A9%2520%3F%22");
        assert_eq!(written(Escape::Json, "\"\\\n\u{1}"), r#"\"\\\n\u0001"#);
    }

    #[test]
    fn no_header_takes_a_line_break() {
        assert!(Escape::Header.takes("Bearer é\t1".as_bytes()));
        for value in ["a\r\nX: 1", "a\nb", "\0", "\u{7f}"] {
            assert!(!Escape::Header.takes(value.as_bytes()), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn json_holes_give_json(value in ".*") {
            let text = format!("\"{}\"", written(Escape::Json, &value));
            prop_assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
        }

        #[test]
        fn urls_have_no_bytes_that_end_them(value in ".*") {
            for escape in [Escape::Url, Escape::UrlPart, Escape::Form] {
                let ends = |byte: u8| byte <= b' ' || byte >= 0x7f || byte == b'#';
                prop_assert!(!written(escape, &value).bytes().any(ends));
            }
        }
    }
}
