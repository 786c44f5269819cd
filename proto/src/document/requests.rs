//! A request as it is written, compiled to a template.

use http::Method;

use super::check::{BODY_LEN_MAX, HEADERS_MAX};
use super::headers::{HeaderText, header_texts};
use super::reading::{Fields, Reader, Spot};
use super::scope::{Bit, HoleOf};
use super::servers::http_problem;
use super::sets::{Set, file_name};
use super::text::Value;
use crate::secret::is_secret;
use crate::workload::{
    Escape, Field, Fill, Hole, HttpChoice, Piece, RequestTemplate, Target, Template,
};

/// Methods that are keys of a step.
pub const METHODS: [&str; 8] = [
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE",
];
/// Bodies that are keys of a step.
pub(super) const BODIES: [&str; 4] = ["body", "json", "form", "file"];

/// Where a target is allowed, or why not.
pub type Allowed<'a> = dyn Fn(&Target) -> Result<(), String> + 'a;

/// What the requests of a document share while they are compiled.
pub(super) struct Requests<'a> {
    pub(super) targets: Vec<Target>,
    pub(super) sets: Vec<Set>,
    pub(super) files: Vec<String>,
    pub(super) secrets: Vec<String>,
    /// Slots that are used in headers.
    pub(super) slots_in_headers: Vec<usize>,
    /// Header fields of each request that does not have its own of the name.
    pub(super) headers: Vec<HeaderText>,
    pub(super) cookies: bool,
    /// Which HTTP all servers are spoken to in.
    pub(super) http: HttpChoice,
    pub(super) allowed: &'a Allowed<'a>,
}

/// Templates in the making.
#[derive(Default)]
struct Draft {
    holes: Vec<Hole>,
}

impl Draft {
    fn hole(&mut self, into: &mut Template, fill: Fill, escape: Escape) {
        into.pieces.push(Piece::Hole(self.holes.len()));
        self.holes.push(Hole { fill, escape });
    }
}

impl Requests<'_> {
    /// A request by its method and URL, with the fields of its step, if it has any.
    pub(super) fn request(
        &mut self,
        reader: &mut Reader,
        method: &str,
        url: (&Spot<'_>, &str),
        fields: Option<&Fields<'_>>,
    ) -> Option<RequestTemplate> {
        let mut draft = Draft::default();
        let place = self.url(reader, &mut draft, url);
        let own = fields.and_then(|fields| fields.get("headers"));
        let own = own.map(|at| header_texts(reader, &at)).unwrap_or_default();
        let is_elsewhere = place.as_ref().is_some_and(|(target, _)| *target > 0);
        let mut headers = self.headers(reader, &mut draft, (url.0, is_elsewhere), own);
        let (body, content_type) = self.body(reader, &mut draft, fields)?;
        if let Some(kind) = content_type {
            let is_given = |field: &Field| field.name.eq_ignore_ascii_case("content-type");
            if !headers.iter().any(is_given) {
                headers.push(fixed_field("Content-Type", kind));
            }
        }
        if self.cookies
            && !headers
                .iter()
                .any(|f| f.name.eq_ignore_ascii_case("cookie"))
        {
            let mut value = Template::default();
            draft.hole(&mut value, Fill::Cookies, Escape::Nothing);
            headers.push(Field {
                name: "Cookie".to_owned(),
                value,
                is_optional: true,
            });
        }
        let (target, path) = place?;
        Some(RequestTemplate {
            target,
            method: method.to_owned(),
            path,
            headers,
            body,
            holes: draft.holes,
        })
    }

    /// The target's number and the path of a URL.
    fn url(
        &mut self,
        reader: &mut Reader,
        draft: &mut Draft,
        (spot, text): (&Spot<'_>, &str),
    ) -> Option<(usize, Template)> {
        let bits = reader.scope.expand(text);
        let mut bits = reader.right(spot, bits)?;
        let mut path = Template::default();
        let absolute = matches!(bits.first(), Some(Bit::Text(text)) if is_absolute(text));
        let target = if absolute {
            let Some(Bit::Text(first)) = bits.first_mut() else {
                return None;
            };
            let after = first.find("://").map_or(0, |at| at + 3);
            let end = first[after..].find(['/', '?', '#']).map(|at| after + at);
            if end.is_none() && bits.len() > 1 {
                reader.wrong(
                    spot,
                    format!("{text:?}: the host differs from request to request"),
                );
                return None;
            }
            let Some(Bit::Text(first)) = bits.first_mut() else {
                return None;
            };
            let path = first.split_off(end.unwrap_or(first.len()));
            let origin = std::mem::replace(first, path);
            let target = self.target(&origin);
            reader.right(spot, target)?
        } else {
            let base = self.targets.first()?;
            let prefix = base.path.split('?').next().unwrap_or_default();
            path.push(prefix.trim_end_matches('/').as_bytes());
            0
        };
        let is_bare = path.is_empty();
        for (index, bit) in bits.into_iter().enumerate() {
            match bit {
                Bit::Text(text) => {
                    let problem = literal_path(&text, index == 0, absolute);
                    reader.right(spot, problem)?;
                    let mut escaped = Vec::new();
                    if index == 0 && absolute && !text.starts_with('/') {
                        escaped.push(b'/');
                    }
                    Escape::Url.write(text.as_bytes(), &mut escaped);
                    path.push(&escaped);
                }
                Bit::Hole(hole, is_reserved) => {
                    let escape = match (index, is_reserved) {
                        (0, _) => Escape::Path,
                        (_, true) => Escape::Url,
                        (_, false) => Escape::UrlPart,
                    };
                    let fill = self.fill(hole, escape);
                    draft.hole(&mut path, reader.right(spot, fill)?, escape);
                }
            }
        }
        if path.is_empty() && is_bare {
            path.push(b"/");
        }
        Some((target, path))
    }

    /// The number of a target, which has to be allowed.
    fn target(&mut self, origin: &str) -> Result<usize, String> {
        let target = Target::parse(origin)?;
        (self.allowed)(&target)?;
        let mut known = self.targets.iter();
        if let Some(known) = known.position(|known| known.is_server_of(&target)) {
            return Ok(known);
        }
        http_problem(self.http, &target)?;
        self.targets.push(target);
        Ok(self.targets.len() - 1)
    }

    fn headers(
        &mut self,
        reader: &mut Reader,
        draft: &mut Draft,
        (spot, is_elsewhere): (&Spot<'_>, bool),
        own: Vec<HeaderText>,
    ) -> Vec<Field> {
        let is_own = |standard: &&HeaderText| {
            !own.iter()
                .any(|field| field.name.eq_ignore_ascii_case(&standard.name))
        };
        let standard: Vec<HeaderText> = self.headers.iter().filter(is_own).cloned().collect();
        let secret = standard.iter().find(|field| is_secret(&field.name));
        if let Some(HeaderText { name, .. }) = secret.filter(|_| is_elsewhere) {
            reader.wrong(
                spot,
                format!(
                    "another server than the target's, which would get {name} of defaults too: write \
                     {name} at the step, with a value of its own or null"
                ),
            );
        }
        let mut fields = Vec::new();
        for HeaderText { name, value } in standard.into_iter().chain(own) {
            let Some((node, path)) = value else {
                continue;
            };
            let at = Spot { node: &node, path };
            let Some(text) = reader.raw(&at) else {
                continue;
            };
            if let Some(value) = self.template(reader, draft, (&at, text.trim()), Escape::Header) {
                fields.push(Field {
                    name,
                    value,
                    is_optional: false,
                });
            }
        }
        if fields.len() > HEADERS_MAX {
            reader.wrong(
                spot,
                format!("{} header fields; at most {HEADERS_MAX}", fields.len()),
            );
        }
        fields
    }

    fn body(
        &mut self,
        reader: &mut Reader,
        draft: &mut Draft,
        fields: Option<&Fields<'_>>,
    ) -> Option<(Template, Option<&'static str>)> {
        let Some(fields) = fields else {
            return Some((Template::default(), None));
        };
        let given: Vec<(&str, Spot<'_>)> = BODIES
            .into_iter()
            .filter_map(|kind| Some((kind, fields.get(kind)?)))
            .collect();
        if let [_, (kind, spot), ..] = &given[..] {
            let first = given[0].0;
            reader.wrong(
                spot,
                format!("{kind} besides {first}; a request has one body"),
            );
            return None;
        }
        let Some((kind, spot)) = given.first() else {
            return Some((Template::default(), None));
        };
        let (body, content_type) = match *kind {
            "body" => {
                let text = reader.raw(spot)?;
                (
                    self.template(reader, draft, (spot, text), Escape::Nothing)?,
                    None,
                )
            }
            "json" => {
                let mut body = Template::default();
                self.json(reader, draft, spot, &mut body)?;
                (body, Some("application/json"))
            }
            "form" => {
                let body = self.form(reader, draft, spot)?;
                (body, Some("application/x-www-form-urlencoded"))
            }
            _ => {
                let name = reader.parsed(spot, |text| file_name(text).map(str::to_owned))?;
                let pieces = vec![Piece::File(number(&mut self.files, name))];
                (Template { pieces }, None)
            }
        };
        let fixed = body.pieces.iter().map(|piece| match piece {
            Piece::Fixed(bytes) => bytes.len(),
            _ => 0,
        });
        let len: usize = fixed.sum();
        if len > BODY_LEN_MAX {
            reader.wrong(
                spot,
                format!("{len} bytes; at most {BODY_LEN_MAX}: put it into a file"),
            );
        }
        Some((body, content_type))
    }

    /// A JSON value as it is written, on one line; texts have their names replaced. A text that is
    /// nothing but `$int(…)`, `$seq` or `$now` is a number.
    fn json(
        &mut self,
        reader: &mut Reader,
        draft: &mut Draft,
        spot: &Spot<'_>,
        out: &mut Template,
    ) -> Option<()> {
        match &spot.node.value {
            Value::Map(_) => {
                out.push(b"{");
                for (index, (key, entry)) in reader.entries(spot, "").into_iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    out.push(format!("{comma}{}:", quoted(&key.name)).as_bytes());
                    self.json(reader, draft, &entry, out)?;
                }
                out.push(b"}");
            }
            Value::List(_) => {
                out.push(b"[");
                for (index, item) in reader.items(spot).iter().enumerate() {
                    out.push(if index > 0 { b"," } else { b"" });
                    self.json(reader, draft, item, out)?;
                }
                out.push(b"]");
            }
            Value::Scalar(scalar) => match scalar.json_token() {
                Some(token) => out.push(token.as_bytes()),
                None => self.json_text(reader, draft, (spot, &scalar.text), out)?,
            },
        }
        Some(())
    }

    fn json_text(
        &mut self,
        reader: &mut Reader,
        draft: &mut Draft,
        (spot, text): (&Spot<'_>, &str),
        out: &mut Template,
    ) -> Option<()> {
        let bits = reader.scope.expand(text);
        let bits = reader.right(spot, bits)?;
        if let [Bit::Hole(hole @ (HoleOf::Int(..) | HoleOf::Seq | HoleOf::Now), _)] = &bits[..] {
            let fill = self.fill(hole.clone(), Escape::Nothing).ok()?;
            draft.hole(out, fill, Escape::Nothing);
            return Some(());
        }
        out.push(b"\"");
        self.bits(reader, draft, spot, bits, Escape::Json, out)?;
        out.push(b"\"");
        Some(())
    }

    fn form(
        &mut self,
        reader: &mut Reader,
        draft: &mut Draft,
        spot: &Spot<'_>,
    ) -> Option<Template> {
        let mut out = Template::default();
        for (index, (key, entry)) in reader.entries(spot, "a map").into_iter().enumerate() {
            let mut name = Vec::new();
            Escape::Form.write(key.name.as_bytes(), &mut name);
            out.push(if index > 0 { b"&" } else { b"" });
            out.push(&name);
            out.push(b"=");
            let text = reader.raw(&entry)?;
            let bits = reader.scope.expand(text);
            let bits = reader.right(&entry, bits)?;
            self.bits(reader, draft, &entry, bits, Escape::Form, &mut out)?;
        }
        Some(out)
    }

    /// A text whose holes are written in one way, and whose fixed parts are written already.
    fn template(
        &mut self,
        reader: &mut Reader,
        draft: &mut Draft,
        (spot, text): (&Spot<'_>, &str),
        escape: Escape,
    ) -> Option<Template> {
        let bits = reader.scope.expand(text);
        let bits = reader.right(spot, bits)?;
        let mut out = Template::default();
        self.bits(reader, draft, spot, bits, escape, &mut out)?;
        Some(out)
    }

    fn bits(
        &mut self,
        reader: &mut Reader,
        draft: &mut Draft,
        spot: &Spot<'_>,
        bits: Vec<Bit>,
        escape: Escape,
        out: &mut Template,
    ) -> Option<()> {
        for bit in bits {
            match bit {
                Bit::Text(text) if !escape.takes(text.as_bytes()) => {
                    let problem = format!("{text:?} has characters that no header may have");
                    reader.wrong(spot, problem);
                    return None;
                }
                Bit::Text(text) => {
                    let mut written = Vec::new();
                    escape.write(text.as_bytes(), &mut written);
                    out.push(&written);
                }
                Bit::Hole(hole, _) => {
                    let fill = self.fill(hole, escape);
                    draft.hole(out, reader.right(spot, fill)?, escape);
                }
            }
        }
        Some(())
    }

    /// What a hole is filled with, by numbers; what it takes from is used from now on.
    fn fill(&mut self, hole: HoleOf, escape: Escape) -> Result<Fill, String> {
        Ok(match hole {
            HoleOf::Column { data, column } => {
                let column = self.sets[data].column(&column, escape)?;
                Fill::Column { data, column }
            }
            HoleOf::Slot(slot) => {
                if escape == Escape::Header {
                    self.slots_in_headers.push(slot);
                }
                Fill::Slot(slot)
            }
            HoleOf::Uuid => Fill::Uuid,
            HoleOf::Int(from, to) => Fill::Int { from, to },
            HoleOf::Seq => Fill::Seq,
            HoleOf::Now => Fill::Now,
            HoleOf::Secret(name) => Fill::Secret(number(&mut self.secrets, name)),
        })
    }
}

/// The number of a name among names, to which it is added.
pub(super) fn number(names: &mut Vec<String>, name: String) -> usize {
    let known = names.iter().position(|known| *known == name);
    known.unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    })
}

fn fixed_field(name: &str, value: &str) -> Field {
    Field {
        name: name.to_owned(),
        value: Template::fixed(value),
        is_optional: false,
    }
}

fn is_absolute(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

fn literal_path(text: &str, is_first: bool, absolute: bool) -> Result<(), String> {
    if text.contains('#') {
        return Err(format!(
            "{text:?} has a fragment, which is never sent; write %23 for #"
        ));
    }
    if is_first && !absolute && !text.starts_with(['/', '?']) {
        return Err(format!(
            "{text:?} is no URL: write a path from / or one with http:// or https://"
        ));
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("invariant: every text is JSON")
}

/// A method as it is written.
///
/// # Errors
/// In words.
pub(super) fn method(text: &str) -> Result<String, String> {
    let is_upper = !text.contains(|c: char| c.is_ascii_lowercase());
    if text == "CONNECT" || !is_upper || Method::from_bytes(text.as_bytes()).is_err() {
        return Err(format!(
            "{text:?} is no method to load with; one of {} or another in capitals",
            METHODS.join(", ")
        ));
    }
    Ok(text.to_owned())
}
