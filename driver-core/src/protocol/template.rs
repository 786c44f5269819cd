//! A request in its parts, before a protocol compiles it, and text with holes.

use proto::workload::{Request, Target};

/// Bytes with places that are filled in each time they are rendered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The fixed bytes, one after another.
    bytes: Vec<u8>,
    /// Where a hole is (an index into `bytes`, ascending), and its number.
    holes: Vec<(usize, usize)>,
    /// Whether a header field of this value is left out when the value is empty.
    is_optional: bool,
}

impl Text {
    /// Text without holes.
    #[must_use]
    pub fn fixed(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            ..Self::default()
        }
    }

    /// Appends fixed bytes.
    #[must_use]
    pub fn then(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.push(bytes.as_ref());
        self
    }

    /// Appends the hole of this number. A number may occur more than once: it is filled each time.
    #[must_use]
    pub fn then_hole(mut self, hole: usize) -> Self {
        self.holes.push((self.bytes.len(), hole));
        self
    }

    /// The same as the value of a header field that is left out when the value is empty.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.is_optional = true;
        self
    }

    /// Whether a header field of this value is left out when the value is empty.
    pub(super) fn is_optional(&self) -> bool {
        self.is_optional
    }

    /// The bytes of a text without holes.
    #[must_use]
    pub fn as_fixed(&self) -> Option<&[u8]> {
        self.holes.is_empty().then_some(&self.bytes)
    }

    /// Whether nothing is ever rendered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.holes.is_empty()
    }

    /// Appends the fixed bytes to `out`, and between them what `fill(hole, out)` appends.
    #[inline]
    pub fn render(&self, fill: &mut dyn FnMut(usize, &mut Vec<u8>), out: &mut Vec<u8>) {
        let mut from = 0;
        for (at, hole) in &self.holes {
            out.extend_from_slice(&self.bytes[from..*at]);
            fill(*hole, out);
            from = *at;
        }
        out.extend_from_slice(&self.bytes[from..]);
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn append(&mut self, text: &Self) {
        let before = self.bytes.len();
        let shifted = text.holes.iter().map(|(at, hole)| (before + at, *hole));
        self.holes.extend(shifted);
        self.push(&text.bytes);
    }
}

/// A request in its parts.
///
/// What fills a hole in a path or a header field must hold no line end and no NUL: the source of
/// values sees to that, since a protocol cannot refuse a request any more when it writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The method, as it goes onto the wire.
    pub method: String,
    /// Whether the target is spoken to through TLS: `https` or `http` in HTTP/2's `:scheme`.
    pub is_https: bool,
    /// Host and port as in the URL; a `Host` among the headers wins.
    pub authority: Text,
    /// Path and query.
    pub path: Text,
    /// Header fields in their order; names as people write them.
    pub headers: Vec<(String, Text)>,
    /// The body; its length is announced by the protocol.
    pub body: Text,
}

impl Template {
    /// The request of a workload that sends always the same.
    #[must_use]
    pub fn fixed(request: &Request, target: &Target, is_https: bool) -> Self {
        let field = |(name, value): &(String, String)| (name.clone(), Text::fixed(value.as_str()));
        Self {
            method: request.method.clone(),
            is_https,
            authority: Text::fixed(target.authority.as_str()),
            path: Text::fixed(target.path.as_str()),
            headers: request.headers.iter().map(field).collect(),
            body: Text::fixed(request.body.as_slice()),
        }
    }

    /// The value of the header field `Host`, if there is one, or else the URL's authority.
    #[must_use]
    pub fn host(&self) -> &Text {
        let own = self.headers.iter().find(|(name, _)| is_host(name));
        own.map_or(&self.authority, |(_, value)| value)
    }

    /// Whether the length of the body is announced: servers expect it with these methods even when
    /// there is none.
    pub(super) fn announces_body(&self) -> bool {
        !self.body.is_empty() || matches!(self.method.as_str(), "POST" | "PUT" | "PATCH")
    }
}

pub(super) fn is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_where_they_are_each_time_anew() {
        let mut text = Text::fixed("/items/").then_hole(3).then("?again=");
        text.append(&Text::default().then_hole(3).then("&n=").then_hole(0));
        let mut times = 0;
        let mut out = Vec::new();
        text.render(
            &mut |hole, out| {
                times += 1;
                out.extend_from_slice(format!("<{hole}:{times}>").as_bytes());
            },
            &mut out,
        );
        assert_eq!(out, b"/items/<3:1>?again=<3:2>&n=<0:3>");
        assert_eq!(text.as_fixed(), None);
        assert_eq!(Text::fixed("a").then("b").as_fixed(), Some(&b"ab"[..]));
    }
}
