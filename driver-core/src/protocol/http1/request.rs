//! Requests, rendered once before the load starts but for what is filled into their holes.

use std::io::Write;

use proto::workload::{Request, Target};

use super::head::Asked;
use crate::protocol::template::{Template, Text, is_host};

/// Renders the request head and body as they go onto the wire.
///
/// `Host` comes from the target unless the workload's own headers carry it, `Content-Length` from
/// the body; a workload that brings its own is refused when it is validated.
#[must_use]
pub fn render(request: &Request, target: &Target) -> Vec<u8> {
    let compiled = Compiled::new(&Template::fixed(request, target, false));
    let mut out = Vec::new();
    compiled.write(&mut |_, _| {}, &mut Vec::new(), &mut out);
    out
}

/// A request as bytes with holes.
#[derive(Debug)]
pub(super) struct Compiled {
    /// Everything, or what comes before the length of a body that differs from time to time.
    text: Text,
    /// Header fields that are left out when they are empty, behind that text, and what is fixed
    /// behind them.
    optional: Vec<(Vec<u8>, Text)>,
    rest: Text,
    /// A body with holes.
    body: Option<Text>,
    /// How its answer is read.
    pub(super) asked: Asked,
}

impl Compiled {
    pub(super) fn new(template: &Template) -> Self {
        let mut text = Text::fixed(template.method.as_str()).then(" ");
        text.append(&template.path);
        text.push(b" HTTP/1.1\r\n");
        if !template.headers.iter().any(|(name, _)| is_host(name)) {
            field(&mut text, "Host", &template.authority);
        }
        let mut optional = Vec::new();
        for (name, value) in &template.headers {
            if value.is_optional() {
                optional.push((format!("{name}: ").into_bytes(), value.clone()));
            } else {
                field(&mut text, name, value);
            }
        }
        let mut rest = Text::default();
        let body = match template.body.as_fixed() {
            Some(body) => {
                if template.announces_body() {
                    rest.push(format!("Content-Length: {}\r\n", body.len()).as_bytes());
                }
                rest.push(b"\r\n");
                rest.push(body);
                None
            }
            None => Some(template.body.clone()),
        };
        // What is filled in each time is not known here, and says nothing about the connection.
        let fields = template.headers.iter().filter_map(|(name, value)| {
            let value = value.as_fixed()?;
            Some((name.as_str(), value))
        });
        if optional.is_empty() {
            text.append(&std::mem::take(&mut rest));
        }
        Self {
            text,
            optional,
            rest,
            body,
            asked: Asked::of(&template.method, fields),
        }
    }

    pub(super) fn as_fixed(&self) -> Option<&[u8]> {
        let is_fixed = self.body.is_none() && self.optional.is_empty();
        self.text.as_fixed().filter(|_| is_fixed)
    }

    /// Appends the request; `scratch` is lent to render a body of unknown length.
    #[inline]
    pub(super) fn write(
        &self,
        fill: &mut dyn FnMut(usize, &mut Vec<u8>),
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        self.text.render(fill, out);
        for (name, value) in &self.optional {
            let before = out.len();
            out.extend_from_slice(name);
            let empty = out.len();
            value.render(fill, out);
            if out.len() == empty {
                out.truncate(before);
            } else {
                out.extend_from_slice(b"\r\n");
            }
        }
        self.rest.render(fill, out);
        if let Some(body) = &self.body {
            scratch.clear();
            body.render(fill, scratch);
            write!(out, "Content-Length: {}\r\n\r\n", scratch.len())
                .expect("invariant: a vector takes every write");
            out.extend_from_slice(scratch);
        }
    }
}

fn field(text: &mut Text, name: &str, value: &Text) {
    text.push(name.as_bytes());
    text.push(b": ");
    text.append(value);
    text.push(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, headers: &[(&str, &str)], body: &[u8]) -> Request {
        let headers = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Request {
            method: method.to_owned(),
            headers,
            body: body.to_vec(),
        }
    }

    fn rendered(request: &Request) -> String {
        let target = Target::parse("http://[::1]:8000/path?q=1").unwrap();
        String::from_utf8(render(request, &target)).unwrap()
    }

    #[test]
    fn a_get_carries_the_host_and_nothing_it_was_not_told() {
        let text = rendered(&request("GET", &[], b""));
        assert_eq!(text, "GET /path?q=1 HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n");
    }

    #[test]
    fn a_body_brings_its_length() {
        let text = rendered(&request(
            "POST",
            &[("Content-Type", "text/plain")],
            b"hello",
        ));
        assert!(text.ends_with("Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"));
        assert!(rendered(&request("PUT", &[], b"")).contains("Content-Length: 0\r\n"));
    }

    #[test]
    fn an_own_host_wins() {
        let text = rendered(&request("GET", &[("host", "a")], b""));
        assert_eq!(text, "GET /path?q=1 HTTP/1.1\r\nhost: a\r\n\r\n");
    }
}
