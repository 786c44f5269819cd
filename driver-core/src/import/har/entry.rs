//! What an import takes of an entry: all shapes of JSON are taken, what is not there is left out.

use serde_json::Value;

/// What is taken of an entry.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) asked: Option<Asked>,
    pub(super) started: Option<String>,
    /// How long it took, ms.
    pub(super) took_ms: Option<f64>,
    /// What the browser loaded it as.
    pub(super) kind: Option<String>,
}

/// A request.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Posted>,
}

/// What a request carries.
#[derive(Debug, Default)]
pub(super) struct Posted {
    pub(super) kind: Option<String>,
    pub(super) text: Option<String>,
    pub(super) params: Vec<(String, String)>,
    pub(super) is_base64: bool,
}

impl Posted {
    /// Whether it is of a media type that begins so.
    pub(super) fn is_of(&self, begin: &str) -> bool {
        let kind = self.kind.as_deref().unwrap_or_default();
        kind.to_ascii_lowercase().starts_with(begin)
    }
}

impl Asked {
    /// A request of the archive, if it has a method and a URL.
    pub(super) fn of(value: &Value) -> Option<Self> {
        Some(Self {
            method: text(value, "method")?.to_ascii_uppercase(),
            url: text(value, "url")?,
            headers: pairs(value.get("headers")),
            body: value
                .get("postData")
                .filter(|data| data.is_object())
                .map(posted),
        })
    }
}

fn posted(value: &Value) -> Posted {
    let coding = text(value, "encoding").or_else(|| text(value, "_encoding"));
    Posted {
        kind: text(value, "mimeType").filter(|kind| !kind.is_empty()),
        text: text(value, "text"),
        params: pairs(value.get("params")),
        is_base64: coding.is_some_and(|coding| coding.eq_ignore_ascii_case("base64")),
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn pairs(value: Option<&Value>) -> Vec<(String, String)> {
    let items = value
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let pair = |item| Some((text(item, "name")?, text(item, "value").unwrap_or_default()));
    items.iter().filter_map(pair).collect()
}

/// Kinds of browsers that are no assets.
const NO_ASSETS: [&str; 8] = [
    "document",
    "xhr",
    "fetch",
    "ping",
    "preflight",
    "eventsource",
    "websocket",
    "beacon",
];
/// Endings of assets.
const ENDINGS: [&str; 22] = [
    "css", "js", "mjs", "map", "png", "jpg", "jpeg", "gif", "webp", "avif", "svg", "ico", "bmp",
    "woff", "woff2", "ttf", "otf", "eot", "mp3", "mp4", "webm", "wasm",
];

/// Whether a request is for a picture, a style, a script, a font or media: as the browser says, else
/// by its ending and by what it accepts.
pub(super) fn is_asset(kind: Option<&str>, asked: &Asked) -> bool {
    match kind {
        Some(kind) if NO_ASSETS.contains(&kind.to_ascii_lowercase().as_str()) => return false,
        Some("image" | "stylesheet" | "script" | "font" | "media" | "texttrack" | "manifest") => {
            return true;
        }
        _ => {}
    }
    let path = asked.url.split(['?', '#']).next().unwrap_or_default();
    let ending = path
        .rsplit('/')
        .next()
        .and_then(|name| name.rsplit_once('.'));
    let ending = ending.map(|(_, ending)| ending.to_ascii_lowercase());
    let accept = asked
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("accept"));
    let accept = accept.map_or("", |(_, value)| value.as_str());
    let is_taken_as = ["image/", "text/css", "font/", "audio/", "video/"];
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
        || is_taken_as.iter().any(|begin| accept.starts_with(begin))
}
