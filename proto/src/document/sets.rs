//! The data of a document: rows of files or of the document itself.

use std::path::{Component, Path};

use super::reading::{Reader, Spot};
use super::text::Value;
use crate::workload::{Column, DataSet, Escape, Pick, RowFormat, RowSource};

pub(super) const DATA_KEYS: [&str; 4] = ["file", "inline", "pick", "format"];
/// Most data sets of a document.
const SETS_MAX: usize = 32;
/// Most columns of one that are used.
const COLUMNS_MAX: usize = 256;

/// A data set whose columns are still being found out.
#[derive(Debug)]
pub(super) struct Set {
    name: String,
    pick: Pick,
    origin: Origin,
    /// The columns that are used so far.
    columns: Vec<Column>,
}

#[derive(Debug)]
enum Origin {
    File {
        name: String,
        format: RowFormat,
    },
    Inline {
        names: Vec<String>,
        rows: Vec<Vec<String>>,
    },
}

/// Reads `data`, and makes its names known.
pub(super) fn sets(reader: &mut Reader, spot: &Spot<'_>) -> Vec<Set> {
    let entries = reader.entries(spot, "a map of data sets by name");
    if entries.len() > SETS_MAX {
        reader.wrong(
            spot,
            format!("{} data sets; at most {SETS_MAX}", entries.len()),
        );
    }
    let mut sets = Vec::new();
    for (key, entry) in entries.into_iter().take(SETS_MAX) {
        let known = reader.scope.add_data(&key.name, sets.len());
        reader.right(&entry, known);
        // A wrong set keeps its number, so that no other takes its names.
        sets.push(set(reader, &key.name, &entry).unwrap_or_else(|| Set::empty(&key.name)));
    }
    sets
}

fn set(reader: &mut Reader, name: &str, spot: &Spot<'_>) -> Option<Set> {
    let fields = reader.fields(spot, &DATA_KEYS);
    let pick = fields.get("pick").map(|at| reader.parsed(&at, pick));
    let origin = match (fields.get("file"), fields.get("inline")) {
        (Some(file), None) => {
            let name = reader.parsed(&file, |text| file_name(text).map(str::to_owned))?;
            let format = match fields.get("format") {
                Some(at) => reader.word(&at, &FORMATS)?,
                None => format_of(&name),
            };
            Origin::File { name, format }
        }
        (None, Some(inline)) => {
            if let Some(format) = fields.get("format") {
                reader.wrong(&format, "format is that of a file; it needs file");
            }
            rows(reader, &inline)?
        }
        _ => {
            reader.wrong(
                spot,
                "a data set has either file: users.csv or inline: [a, b]",
            );
            return None;
        }
    };
    Some(Set {
        name: name.to_owned(),
        pick: pick.map_or(Some(Pick::Next), |pick| pick)?,
        origin,
        columns: Vec::new(),
    })
}

const FORMATS: [(&str, RowFormat); 4] = [
    ("csv", RowFormat::Csv),
    ("tsv", RowFormat::Tsv),
    ("jsonl", RowFormat::JsonLines),
    ("lines", RowFormat::Lines),
];

fn format_of(name: &str) -> RowFormat {
    let ending = Path::new(name)
        .extension()
        .and_then(|ending| ending.to_str());
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("tsv") => RowFormat::Tsv,
        Some("jsonl" | "ndjson") => RowFormat::JsonLines,
        Some("txt") => RowFormat::Lines,
        _ => RowFormat::Csv,
    }
}

/// The name of a file within the document's folder.
///
/// # Errors
/// In words, for a name that leads out of it.
pub fn file_name(text: &str) -> Result<&str, String> {
    let parts: Vec<Component<'_>> = Path::new(text).components().collect();
    let is_inside = parts
        .iter()
        .all(|part| matches!(part, Component::Normal(_)));
    if parts.is_empty() || !is_inside || text.contains(['\0', '\\', ':']) || text.len() > 1024 {
        return Err(format!(
            "{text:?} is not a file in the document's folder; write its name from there, without .."
        ));
    }
    Ok(text)
}

fn pick(text: &str) -> Result<Pick, String> {
    let exponent = text
        .strip_prefix("zipf(")
        .and_then(|rest| rest.strip_suffix(')'));
    if let Some(exponent) = exponent {
        let exponent: Option<f64> = exponent.trim().parse().ok();
        let exponent = exponent.filter(|exponent| (0.01..=10.0).contains(exponent));
        let refuse = || format!("{text:?}: the exponent of zipf is from 0.01 to 10");
        return exponent.map(Pick::Zipf).ok_or_else(refuse);
    }
    match text {
        "next" => Ok(Pick::Next),
        "random" => Ok(Pick::Random),
        "unique" => Ok(Pick::Unique),
        "zipf" => Ok(Pick::Zipf(1.0)),
        _ => Err(format!(
            "{text:?} is none of next, random, unique, zipf(1.1)"
        )),
    }
}

/// Rows in the document: single values, or maps that have all the same names.
fn rows(reader: &mut Reader, spot: &Spot<'_>) -> Option<Origin> {
    let items = reader.items(spot);
    let Some(first) = items.first() else {
        reader.wrong(spot, "no rows; give at least one");
        return None;
    };
    let names: Vec<String> = match &first.node.value {
        Value::Map(entries) => entries.iter().map(|(key, _)| key.name.clone()).collect(),
        _ => vec![String::new()],
    };
    let mut rows = Vec::with_capacity(items.len());
    for item in &items {
        rows.push(row(reader, item, &names)?);
    }
    Some(Origin::Inline { names, rows })
}

fn row(reader: &mut Reader, spot: &Spot<'_>, names: &[String]) -> Option<Vec<String>> {
    if names == [String::new()] {
        return reader.text(spot).map(|value| vec![value]);
    }
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let fields = reader.fields(spot, &known);
    let mut row = Vec::with_capacity(names.len());
    for name in names {
        let Some(value) = fields.get(name) else {
            reader.wrong(spot, format!("{name} is missing, which the first row has"));
            return None;
        };
        row.push(reader.text(&value)?);
    }
    Some(row)
}

impl Set {
    fn empty(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            pick: Pick::Next,
            origin: Origin::File {
                name: String::new(),
                format: RowFormat::Csv,
            },
            columns: Vec::new(),
        }
    }

    /// The number of a column by its name, which is used from now on.
    ///
    /// # Errors
    /// In words, with the columns that there are, where they are known.
    pub(super) fn column(&mut self, name: &str, escape: Escape) -> Result<usize, String> {
        if let Origin::Inline { names, .. } = &self.origin {
            let is_only = name.is_empty() && names.len() == 1;
            if !is_only && !names.iter().any(|known| known == name) {
                return Err(self.no_such(name, names));
            }
        }
        let is_list = matches!(
            &self.origin,
            Origin::File {
                format: RowFormat::Lines,
                ..
            }
        );
        if is_list && !name.is_empty() {
            return Err(format!(
                "${}.{name}: a file of lines has no columns",
                self.name
            ));
        }
        let at = self.columns.iter().position(|column| column.name == name);
        if at.is_none() && self.columns.len() == COLUMNS_MAX {
            return Err(format!(
                "{} has more than {COLUMNS_MAX} columns in use",
                self.name
            ));
        }
        let at = at.unwrap_or_else(|| {
            self.columns.push(Column {
                name: name.to_owned(),
                is_in_header: false,
                is_path: false,
            });
            self.columns.len() - 1
        });
        self.columns[at].is_in_header |= escape == Escape::Header;
        self.columns[at].is_path |= escape == Escape::Path;
        Ok(at)
    }

    fn no_such(&self, name: &str, names: &[String]) -> String {
        let set = &self.name;
        if names == [String::new()] {
            return format!("${set}.{name}: {set} has single values; write ${set}");
        }
        let names: Vec<String> = names.iter().map(|name| format!("${set}.{name}")).collect();
        let asked = if name.is_empty() {
            String::new()
        } else {
            format!(".{name}")
        };
        format!("${set}{asked} is no column; there are {}", names.join(", "))
    }

    /// The set with the columns that turned out to be used.
    ///
    /// # Errors
    /// In words, when a value of the document is used in a header that it would break.
    pub(super) fn finish(self) -> Result<DataSet, String> {
        let rows = match self.origin {
            Origin::File { name, format } => RowSource::File { name, format },
            Origin::Inline { names, rows } => {
                let places: Vec<usize> = self
                    .columns
                    .iter()
                    .map(|column| {
                        names
                            .iter()
                            .position(|name| *name == column.name)
                            .unwrap_or(0)
                    })
                    .collect();
                let project =
                    |row: &Vec<String>| places.iter().map(|at| row[*at].clone()).collect();
                RowSource::Inline(rows.iter().map(project).collect())
            }
        };
        let set = DataSet {
            name: self.name,
            rows,
            pick: self.pick,
            columns: self.columns,
        };
        check_values(&set)?;
        Ok(set)
    }
}

fn check_values(set: &DataSet) -> Result<(), String> {
    let RowSource::Inline(rows) = &set.rows else {
        return Ok(());
    };
    for (number, row) in rows.iter().enumerate() {
        for (column, value) in set.columns.iter().zip(row) {
            let checked = column.check(value);
            checked.map_err(|problem| format!("row {number}: {problem}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_in_the_folder() {
        for name in ["users.csv", "data/users.csv", "a b.csv"] {
            assert_eq!(file_name(name), Ok(name));
        }
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "c:\\x",
            "a\0b",
            ".",
            "http://x/",
        ] {
            assert!(file_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn picks_are_words() {
        assert_eq!(pick("zipf(1.1)"), Ok(Pick::Zipf(1.1)));
        assert_eq!(pick("unique"), Ok(Pick::Unique));
        for text in ["", "zipf(0)", "zipf(x)", "any", "zipf(nan)"] {
            assert!(pick(text).is_err(), "{text}");
        }
    }
}
