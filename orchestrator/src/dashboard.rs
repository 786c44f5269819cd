//! The dashboard: a page of plain HTML, CSS and JS modules, embedded in the binary.
//!
//! No build step, no CDN, nothing inline: the policy of [`CONTENT_SECURITY_POLICY`] is strict, and
//! the page works without a network beyond the orchestrator. It uses the REST API and nothing else.
//!
//! All assets but the page itself live below `/assets/<version>/`, where the version is a hash of
//! their contents. Browsers may keep them for ever, and modules import each other by relative
//! paths, so that one page never mixes the modules of two versions.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;

#[cfg(test)]
mod tests;

/// What the page may do: load from its own origin only; no inline script or style, no frames.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; \
    base-uri 'none'; frame-ancestors 'none'";

/// Where the versioned assets live.
const PREFIX: &str = "/assets/";
/// Stands in the page for the version.
const VERSION_MARK: &str = "{{version}}";

/// A file of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The contents.
    pub body: &'static [u8],
    /// The same as gzip has it, a third as long.
    pub gzipped: &'static [u8],
    /// Whether the path holds these contents for ever, so that browsers may keep them.
    pub immutable: bool,
}

/// A file as it stands in the source, by its name.
type File = (&'static str, &'static str);

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("dashboard/", $name)))),+]
    };
}

const PAGE: &str = include_str!("dashboard/index.html");
const FILES: [File; 29] = files![
    "api.js",
    "app.js",
    "axis.js",
    "capacity.js",
    "chart.js",
    "compare.js",
    "dom.js",
    "editor.js",
    "form.js",
    "format.js",
    "heat.js",
    "history.js",
    "icon.svg",
    "lines.js",
    "memory.js",
    "nodes.js",
    "notes.js",
    "overview.js",
    "parts.js",
    "repeats.js",
    "report.js",
    "run.js",
    "series.js",
    "sessions.js",
    "stream.js",
    "style.css",
    "test.js",
    "theme.js",
    "trend.js",
];

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut text = String::new();
    let contents = FILES.iter().map(|(_, body)| *body).chain([PAGE]);
    write!(text, "{:016x}", contents.fold(FNV_OFFSET, fnv1a)).expect("invariant: String grows");
    text
});

static PAGE_OF_VERSION: LazyLock<String> = LazyLock::new(|| PAGE.replace(VERSION_MARK, &VERSION));

static GZIPPED_PAGE: LazyLock<Vec<u8>> = LazyLock::new(|| gzipped(&PAGE_OF_VERSION));
static GZIPPED: LazyLock<[Vec<u8>; FILES.len()]> =
    LazyLock::new(|| FILES.map(|(_, body)| gzipped(body)));

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(text.as_bytes());
    written
        .and_then(|()| encoder.finish())
        .expect("invariant: writing to a Vec cannot fail")
}

/// The asset at a path of the URL, without its query; `/` is the page.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    if path == "/" {
        return Some(Asset {
            content_type: content_type("index.html"),
            body: PAGE_OF_VERSION.as_bytes(),
            gzipped: &GZIPPED_PAGE,
            immutable: false,
        });
    }
    let (version, name) = path.strip_prefix(PREFIX)?.split_once('/')?;
    let at = FILES.iter().position(|(known, _)| *known == name)?;
    let (name, body) = FILES[at];
    (version == VERSION.as_str()).then(|| Asset {
        content_type: content_type(name),
        body: body.as_bytes(),
        gzipped: &GZIPPED[at],
        immutable: true,
    })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// FNV-1a, continued from `hash`: tells versions apart, defends against nothing.
fn fnv1a(hash: u64, text: &str) -> u64 {
    text.bytes().fold(hash, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
    })
}
