//! A draft as the text of a document: comments on top, then what a person would have written.

use proto::document::METHODS;

use super::draft::{Body, Draft, Requests, Step};
use super::notes::Notes;
use super::secrets::{Secret, literal};
use super::yaml::{comment, scalar};

/// Notes and secrets that stand in a document; the rest was said where it was imported.
const LISTED_MAX: usize = 100;

/// The document.
pub(super) fn document(draft: &Draft, notes: &Notes, secrets: &[Secret]) -> String {
    let mut out = String::new();
    head(&mut out, draft, notes, secrets);
    line(
        &mut out,
        &format!("name: {}", scalar(&literal(&draft.source))),
    );
    line(&mut out, &format!("target: {}", scalar(&draft.target)));
    let steps = draft.requests.steps();
    let shared = shared_headers(&steps);
    defaults(&mut out, draft, &shared);
    tls(&mut out, draft);
    match &draft.requests {
        Requests::InOrder(steps) => {
            line(&mut out, "steps:");
            for step in steps {
                if step.think_ms > 0 {
                    line(
                        &mut out,
                        &format!("  - think: {}", milliseconds(step.think_ms)),
                    );
                }
                request(&mut out, "  ", step, &shared);
            }
        }
        Requests::Mix(entries) => {
            line(&mut out, "flows:");
            for (weight, step) in entries {
                flow(&mut out, &format!("weight: {weight}"), step, &shared);
            }
        }
        Requests::OfReplay(steps) => {
            line(&mut out, "flows:");
            for step in steps {
                let name = format!("name: {}", scalar(&step.method));
                flow(&mut out, &name, step, &shared);
            }
        }
    }
    line(&mut out, &format!("load: {}", draft.load));
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn head(out: &mut String, draft: &Draft, notes: &Notes, secrets: &[Secret]) {
    line(out, &format!("# Imported from {}.", comment(&draft.source)));
    for remark in &draft.remarks {
        line(out, &format!("# {}", comment(remark)));
    }
    if !notes.said().is_empty() {
        line(out, "# What is not as it was, by the line of the input:");
    }
    for note in notes.said().iter().take(LISTED_MAX) {
        line(
            out,
            &format!("#   {}: {}", note.line, comment(&note.to_string())),
        );
    }
    if notes.said().len() > LISTED_MAX {
        line(out, "#   and more; in all:");
        for count in notes.counts() {
            line(out, &format!("#   {}", comment(&count.to_string())));
        }
    }
    if !secrets.is_empty() {
        line(
            out,
            "# Secrets, from --secret-file (NAME=VALUE a line) or the environment:",
        );
    }
    for secret in secrets.iter().take(LISTED_MAX) {
        line(
            out,
            &format!("#   {}: {}", secret.name, comment(&secret.origin)),
        );
    }
    if secrets.len() > LISTED_MAX {
        line(out, &format!("#   and {} more", secrets.len() - LISTED_MAX));
    }
}

/// Header fields that all requests have alike.
fn shared_headers(steps: &[&Step]) -> Vec<(String, String)> {
    let [first, rest @ ..] = steps else {
        return Vec::new();
    };
    if rest.is_empty() {
        return Vec::new();
    }
    let is_shared = |(name, value): &&(String, String)| {
        let has = |step: &&Step| {
            let mut values = step.header(name);
            values.next() == Some(value) && values.next().is_none()
        };
        has(first) && rest.iter().all(has)
    };
    first.headers.iter().filter(is_shared).cloned().collect()
}

fn defaults(out: &mut String, draft: &Draft, shared: &[(String, String)]) {
    if draft.cookies.is_none() && draft.http.is_none() && shared.is_empty() {
        return;
    }
    line(out, "defaults:");
    if let Some(cookies) = draft.cookies {
        line(out, &format!("  cookies: {cookies}"));
    }
    if let Some(http) = draft.http {
        line(out, &format!("  http: {http}"));
    }
    headers(out, "  ", shared);
}

fn tls(out: &mut String, draft: &Draft) {
    if !draft.insecure && draft.authorities.is_none() {
        return;
    }
    line(out, "tls:");
    if draft.insecure {
        line(out, "  insecure: true");
    }
    if let Some(file) = &draft.authorities {
        line(out, &format!("  ca: {}", scalar(file)));
    }
}

fn flow(out: &mut String, first: &str, step: &Step, shared: &[(String, String)]) {
    line(out, &format!("  - {first}"));
    line(out, "    steps:");
    request(out, "      ", step, shared);
}

/// A step as an item of a list.
fn request(out: &mut String, indent: &str, step: &Step, shared: &[(String, String)]) {
    let own = |(name, _): &&(String, String)| {
        let mut names = shared.iter().map(|(name, _)| name);
        !names.any(|shared| shared.eq_ignore_ascii_case(name))
    };
    let own: Vec<(String, String)> = step.headers.iter().filter(own).cloned().collect();
    let is_known = METHODS.contains(&step.method.as_str());
    let is_bare = own.is_empty() && step.body == Body::Nothing && step.timeout.is_none();
    let path = scalar(&step.path);
    if is_known && is_bare {
        let text = format!("{} {}", step.method, step.path);
        return line(out, &format!("{indent}- {}", scalar(&text)));
    }
    if is_known {
        line(out, &format!("{indent}- {}: {path}", step.method));
    } else {
        line(out, &format!("{indent}- method: {}", scalar(&step.method)));
        line(out, &format!("{indent}  url: {path}"));
    }
    let indent = format!("{indent}  ");
    headers(out, &indent, &own);
    match &step.body {
        Body::Nothing => {}
        Body::Text(text) => line(out, &format!("{indent}body: {}", scalar(text))),
        Body::File(name) => line(out, &format!("{indent}file: {}", scalar(&literal(name)))),
    }
    if let Some(timeout) = &step.timeout {
        line(out, &format!("{indent}timeout: {timeout}"));
    }
}

/// Header fields as a map; a name that comes more than once has a list of values.
fn headers(out: &mut String, indent: &str, fields: &[(String, String)]) {
    if fields.is_empty() {
        return;
    }
    line(out, &format!("{indent}headers:"));
    for (at, (name, value)) in fields.iter().enumerate() {
        let is_same = |(other, _): &&(String, String)| other.eq_ignore_ascii_case(name);
        if fields[..at].iter().any(|field| is_same(&field)) {
            continue;
        }
        let values: Vec<&str> = fields.iter().filter(is_same).map(|(_, v)| &**v).collect();
        let name = scalar(name);
        if values.len() == 1 {
            line(out, &format!("{indent}  {name}: {}", scalar(value)));
            continue;
        }
        line(out, &format!("{indent}  {name}:"));
        for value in values {
            line(out, &format!("{indent}    - {}", scalar(value)));
        }
    }
}

fn milliseconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) {
        format!("{}s", ms / 1000)
    } else {
        format!("{ms}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(method: &str, path: &str, headers: &[(&str, &str)]) -> Step {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Step {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: headers.iter().map(pair).collect(),
            ..Step::default()
        }
    }

    #[test]
    fn a_document_reads_as_a_person_writes_it() {
        let mut last = step("PURGE", "/b", &[("Accept", "*/*"), ("x", "1"), ("X", "2")]);
        last.think_ms = 1500;
        last.body = Body::Text("{\"a\": 1}".to_owned());
        last.timeout = Some("5s".to_owned());
        let draft = Draft {
            source: "a.har".to_owned(),
            target: "https://h".to_owned(),
            insecure: true,
            requests: Requests::InOrder(vec![step("GET", "/a", &[("accept", "*/*")]), last]),
            load: "{closed: 1, for: 10s}".to_owned(),
            ..Draft::default()
        };
        let mut notes = Notes::default();
        notes.left_out(9, "no request", "x");
        let text = document(&draft, &notes, &[]);
        assert_eq!(
            text,
            "# Imported from a.har.\n\
             # What is not as it was, by the line of the input:\n\
             #   9: left out: no request: x\n\
             name: a.har\ntarget: https://h\ndefaults:\n  headers:\n    accept: '*/*'\n\
             tls:\n  insecure: true\nsteps:\n  - GET /a\n  - think: 1500ms\n\
             \x20 - method: PURGE\n    url: /b\n    headers:\n      x:\n        - 1\n        - 2\n\
             \x20   body: '{\"a\": 1}'\n    timeout: 5s\nload: {closed: 1, for: 10s}\n"
        );
        proto::document::Document::read(&text, proto::document::Setting::default()).unwrap();
    }
}
