//! Command lines of curl: one after the other they are the steps of one session.

mod call;
mod options;

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use super::Desk;
use super::draft::{Body, Requests, Step, is_beside};
use super::secrets::literal;
use super::{lines, shell};
use call::{Call, Data, Part};

/// Most bytes of a script.
const SCRIPT_LEN_MAX: u64 = 64 << 20;

pub(super) fn import(desk: &mut Desk<'_>, input: &mut dyn BufRead) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut input = lines::unpacked(input)?.take(SCRIPT_LEN_MAX + 1);
    let end = input.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().count() as u64;
    if let Err(error) = end {
        desk.notes
            .left_out(last, "the input ends early", &lines::end_of(&error));
    }
    if matches!(text, Cow::Owned(_)) {
        let line = 1 + bytes
            .utf8_chunks()
            .next()
            .map_or(0, |chunk| chunk.valid().matches('\n').count());
        desk.notes
            .changed(line as u64, "bytes that are no UTF-8, each replaced", "");
    }
    if bytes.len() as u64 > SCRIPT_LEN_MAX {
        desk.notes
            .left_out(last, "what is behind 64 MiB of command lines", "");
    }
    let commands = shell::commands(&text);
    for name in commands.iter().flat_map(|command| &command.variables) {
        desk.secrets.keep_name(name);
    }
    desk.draft.requests = Requests::InOrder(Vec::new());
    desk.draft.cookies = Some(false);
    desk.draft.load = "{closed: 1, for: 10s}".into();
    let mut asides = Vec::new();
    for command in commands {
        let Some(curl) = place_of_curl(&command.words) else {
            let word = command.words.first().map_or("", String::as_str);
            let word = word.split('=').next().unwrap_or_default();
            let kind = "no command line of curl (of cmd.exe: copy it \"as cURL (bash)\")";
            desk.read += 1;
            desk.notes
                .left_out(command.line, kind, &format!("{word:?}"));
            continue;
        };
        for part in command.words[curl + 1..].split(|word| word == "-:" || word == "--next") {
            let call = Call::of(&mut desk.notes, command.line, part);
            asides.extend(call.asides.iter().cloned());
            match command.problem {
                Some(problem) => {
                    desk.read += 1;
                    desk.notes
                        .left_out(command.line, "only a shell can do this", problem);
                }
                None => requests(desk, &call),
            }
        }
        desk.variables.extend(command.variables);
    }
    remarks(desk, asides);
    Ok(())
}

/// Which word is curl; before it stand at most a prompt, assignments and words that change nothing.
fn place_of_curl(words: &[String]) -> Option<usize> {
    let is_curl = |word: &String| {
        let name = word.rsplit(['/', '\\']).next().unwrap_or_default();
        matches!(name, "curl" | "curl.exe")
    };
    let is_before = |word: &String| {
        word.contains('=') || ["$$", "time", "exec", "env", "sudo"].contains(&word.as_str())
    };
    let at = words.iter().position(is_curl)?;
    words[..at].iter().all(is_before).then_some(at)
}

fn remarks(desk: &mut Desk<'_>, mut asides: Vec<String>) {
    let remarks = &mut desk.draft.remarks;
    remarks
        .push("One session is all requests in order. load says how many at once: raise it.".into());
    remarks
        .push("curl's own User-Agent and Accept: */* are not sent; headers can name them.".into());
    asides.sort();
    asides.dedup();
    if !asides.is_empty() {
        let asides = asides.join(" ");
        remarks.push(format!(
            "About curl itself, not about its requests: {asides}"
        ));
    }
}

/// The requests of one call: one for each URL.
fn requests(desk: &mut Desk<'_>, call: &Call) {
    if call.urls.is_empty() {
        desk.read += 1;
        desk.notes.left_out(call.line, "no URL in the command", "");
    }
    for url in &call.urls {
        desk.read += 1;
        if let Some(step) = request(desk, call, url) {
            desk.draft.take(&mut desk.notes, 1, step);
        }
    }
}

fn request(desk: &mut Desk<'_>, call: &Call, url: &str) -> Option<Step> {
    let line = call.line;
    if let Some(problem) = call.cannot {
        desk.notes.left_out(line, problem, "");
        return None;
    }
    if !call.is_glob_off && url.contains(['{', '}', '[', ']']) && !is_one(url) {
        let kind = "[1-9] and {a,b} in a URL are several: write them out, or give -g";
        desk.notes.left_out(line, kind, "");
        return None;
    }
    let is_of_scheme = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
    let has_scheme = url
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.chars().all(is_of_scheme));
    let url = if has_scheme {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    let url = desk.url(line, &url)?;
    let (path, body, kind) = body(desk, call, url.path)?;
    let path = desk.secrets.path(line, &path);
    let mut headers = call.headers.clone();
    let user = call.user.clone().or(url.user);
    if let Some(user) = user.filter(|_| call.header("authorization").is_none()) {
        headers.push(("Authorization".to_owned(), basic(desk, line, &user)));
    }
    if let Some(kind) = kind.filter(|_| call.header("content-type").is_none()) {
        headers.push(("Content-Type".to_owned(), kind));
    }
    headers.retain(|(name, value)| !value.is_empty() || call.empty.contains(name));
    for (name, value) in &mut headers {
        *value = desk.secrets.header(line, name, value);
    }
    let body = desk.hidden(line, &headers, body);
    speech(desk, call);
    Some(Step {
        line,
        method: method(call, &body),
        path,
        headers,
        body,
        timeout: call.timeout.clone(),
        think_ms: 0,
    })
}

/// Whether brackets of a URL are those of an address, and braces those of a variable.
fn is_one(url: &str) -> bool {
    let mut rest = String::new();
    let mut left = url;
    while let Some((before, _, after)) = super::secrets::next_variable(left) {
        rest.push_str(before);
        left = after;
    }
    rest.push_str(left);
    let host = rest.split("://").last().unwrap_or(&rest);
    let behind = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, behind)) if address.parse::<std::net::Ipv6Addr>().is_ok() => behind,
        _ => host,
    };
    !behind.contains(['{', '}', '[', ']'])
}

fn method(call: &Call, body: &Body) -> String {
    let usual = if call.is_head {
        "HEAD"
    } else if call.upload.is_some() {
        "PUT"
    } else if *body != Body::Nothing || (call.data != Data::Nothing && !call.is_get) {
        "POST"
    } else {
        "GET"
    };
    call.method.clone().unwrap_or_else(|| usual.to_owned())
}

/// What the data of a call become: a longer path, a body, the type of it.
fn body(desk: &mut Desk<'_>, call: &Call, path: String) -> Option<(String, Body, Option<String>)> {
    let line = call.line;
    if let Some(file) = &call.upload {
        return Some((path, file_body(desk, line, file)?, None));
    }
    match &call.data {
        Data::Nothing => Some((path, Body::Nothing, None)),
        Data::Text(text) if call.is_get => {
            let sign = if path.contains('?') { '&' } else { '?' };
            let query = super::servers::sendable(text);
            Some((format!("{path}{sign}{query}"), Body::Nothing, None))
        }
        Data::Text(text) => {
            let kind = if call.is_json { JSON } else { FORM };
            let text = text.clone();
            let body = if text.is_empty() {
                Body::Nothing
            } else {
                Body::Text(text)
            };
            Some((path, body, Some(kind.to_owned())))
        }
        Data::File(file) => {
            let kind = if call.is_json { JSON } else { FORM };
            Some((path, file_body(desk, line, file)?, Some(kind.to_owned())))
        }
        Data::Parts(parts) => {
            let mut parts = parts.clone();
            for Part { name, value, .. } in &mut parts {
                *value = desk.secrets.part(line, name, value);
            }
            let text = multipart(&parts);
            let kind = format!("multipart/form-data; boundary={BOUNDARY}");
            Some((path, Body::Text(text), Some(kind)))
        }
    }
}

/// What stands between the parts of a form, as curl writes it.
const BOUNDARY: &str = "------------------------dlts7MA4YWxkTrZu0gW";

fn multipart(parts: &[Part]) -> String {
    let mut text = String::new();
    for Part { name, value, kind } in parts {
        let disposition = "\r\nContent-Disposition: form-data; name=\"";
        text.extend(["--", BOUNDARY, disposition, name, "\"\r\n"]);
        if let Some(kind) = kind {
            text.extend(["Content-Type: ", kind, "\r\n"]);
        }
        text.extend(["\r\n", value, "\r\n"]);
    }
    text.extend(["--", BOUNDARY, "--\r\n"]);
    text
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// A file as a body: it has to lie beside the document.
fn file_body(desk: &mut Desk<'_>, line: u64, file: &str) -> Option<Body> {
    if !is_beside(file) {
        let kind = "the file of the body is not named from the document's folder: copy it there";
        desk.notes.left_out(line, kind, file);
        return None;
    }
    let kind = "the file of the body has to lie beside the document";
    desk.notes.changed(line, kind, file);
    Some(Body::File(super::secrets::plain(file).into_owned()))
}

/// The value of a basic authorization.
fn basic(desk: &mut Desk<'_>, line: u64, user: &str) -> String {
    use base64::Engine;
    if super::secrets::next_variable(user).is_some() {
        let name = desk.secrets.name_only(
            "BASIC_AUTH",
            format!("base64 of -u of line {line} with its variables replaced"),
        );
        return format!("Basic {name}");
    }
    let user = super::secrets::plain(user);
    let coded = base64::engine::general_purpose::STANDARD.encode(user.as_bytes());
    format!("Basic {}", literal(&coded))
}

/// How the connection speaks, which is one way for the whole document.
fn speech(desk: &mut Desk<'_>, call: &Call) {
    let line = call.line;
    if desk.draft.requests.len() > 0 {
        let differs = call.http.is_some() && call.http != desk.draft.http;
        if differs || (call.is_insecure && !desk.draft.insecure) {
            let kind = "-k and --http… are those of the whole document: as a command has them";
            desk.notes.changed(line, kind, "");
        }
    }
    desk.draft.insecure |= call.is_insecure;
    if call.http.is_some() {
        desk.draft.http = call.http;
    }
    if call.keeps_cookies {
        desk.draft.cookies = Some(true);
    }
    if let Some(file) = &call.authorities {
        if is_beside(file) {
            desk.draft.authorities = Some(file.clone());
            let kind = "the file of --cacert has to lie beside the document";
            desk.notes.changed(line, kind, file);
        } else {
            let kind =
                "--cacert is not named from the document's folder: copy it there, name it in tls";
            desk.notes.changed(line, kind, file);
        }
    }
}
