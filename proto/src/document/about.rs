//! What a document says about itself and its runs.

use super::reading::{Fields, Reader};
use crate::units::{self, NS_PER_S};

pub(super) const DRIVERS_KEYS: [&str; 1] = ["min"];
/// Most runs of a test after each other: as many as a comparison takes.
pub const REPEATS_MAX: u32 = 100;
/// Longest rest between two of them, ns.
const REST_NS_MAX: u64 = 3600 * NS_PER_S;

/// What a document says about itself and its runs.
pub(super) struct About {
    pub(super) name: String,
    pub(super) note: String,
    pub(super) tags: Vec<(String, String)>,
    pub(super) drivers_min: Option<u32>,
    pub(super) repeat: u32,
    pub(super) rest_ns: Option<u64>,
}

impl About {
    pub(super) fn read(reader: &mut Reader, fields: &Fields<'_>) -> Self {
        let repeat = fields
            .get("repeat")
            .and_then(|at| reader.whole(&at, 1..=REPEATS_MAX.into()));
        let repeat = repeat.map_or(1, |times| u32::try_from(times).unwrap_or(1));
        Self {
            name: text_of(reader, fields, "name"),
            note: text_of(reader, fields, "note"),
            tags: tags(reader, fields),
            drivers_min: drivers(reader, fields),
            repeat,
            rest_ns: rest(reader, fields, repeat),
        }
    }
}

/// From the end of a run to the next one, which there has to be.
fn rest(reader: &mut Reader, fields: &Fields<'_>, repeat: u32) -> Option<u64> {
    let at = fields.get("rest")?;
    let parse = |text: &str| {
        let ns = units::parse_duration_ns(text).map_err(|error| error.to_string())?;
        let is_right = ns <= REST_NS_MAX;
        is_right
            .then_some(ns)
            .ok_or_else(|| format!("{text:?} is longer than {} s", REST_NS_MAX / NS_PER_S))
    };
    let rest_ns = reader.parsed(&at, parse);
    if repeat == 1 {
        reader.wrong(&at, "it is between runs, and this is one: write repeat: 5");
    }
    rest_ns
}

fn text_of(reader: &mut Reader, fields: &Fields<'_>, name: &str) -> String {
    let Some(at) = fields.get(name) else {
        return String::new();
    };
    let text = reader.text(&at).unwrap_or_default();
    if text.len() > 10_000 {
        reader.wrong(&at, format!("{} bytes; at most 10000", text.len()));
    }
    text
}

fn tags(reader: &mut Reader, fields: &Fields<'_>) -> Vec<(String, String)> {
    let Some(at) = fields.get("tags") else {
        return Vec::new();
    };
    let mut tags = Vec::new();
    for (key, entry) in reader.entries(&at, "a map of labels by name") {
        if let Some(value) = reader.text(&entry) {
            if key.name.len() + value.len() > 1000 {
                reader.wrong(&entry, "a label has at most 1000 bytes");
            }
            tags.push((key.name.clone(), value));
        }
    }
    if tags.len() > 50 {
        reader.wrong(&at, format!("{} labels; at most 50", tags.len()));
    }
    tags
}

fn drivers(reader: &mut Reader, fields: &Fields<'_>) -> Option<u32> {
    let at = fields.get("drivers")?;
    if at.scalar().is_some() {
        let number = reader.whole(&at, 1..=100_000)?;
        return u32::try_from(number).ok();
    }
    let fields = reader.fields(&at, &DRIVERS_KEYS);
    let min = fields.get("min")?;
    let number = reader.whole(&min, 1..=100_000)?;
    u32::try_from(number).ok()
}
