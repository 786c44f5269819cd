//! The rows of a data set: in memory once for all cores of a driver, their values end to end.

use std::io::{BufRead, BufReader, Read};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use proto::workload::{Column, DataSet, Part, Pick, RowFormat, RowSource};
use serde_json::{Map, Value};

/// Most bytes of the values that are kept.
const BYTES_MAX: usize = 1 << 30;
/// Most bytes of one value.
const VALUE_LEN_MAX: usize = 1 << 20;

/// The rows of a data set, with the columns that are in use.
#[derive(Debug)]
pub struct Table {
    name: String,
    pick: Pick,
    columns: usize,
    /// All values, row after row.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<u32>,
    /// This driver among all, once that is known.
    part: OnceLock<Part>,
    /// Rows that sessions of this driver were given, and those that would have been.
    taken: AtomicU64,
    zipf: Option<Zipf>,
}

impl Table {
    /// Reads the rows of a data set for driver `part` of all, or of one whose place is not known
    /// yet; `file` is the content of its file.
    ///
    /// # Errors
    /// In words: which file and row, what is wrong, what is allowed.
    pub fn load(
        set: &DataSet,
        file: Option<&mut dyn Read>,
        part: impl Into<Option<Part>>,
    ) -> Result<Self, String> {
        let mut table = Self {
            name: set.name.clone(),
            pick: set.pick,
            columns: set.columns.len().max(1),
            bytes: Vec::new(),
            ends: Vec::new(),
            part: part.into().map_or_else(OnceLock::new, OnceLock::from),
            taken: AtomicU64::new(0),
            zipf: None,
        };
        match (&set.rows, file) {
            (RowSource::Inline(rows), _) => table.inline(set, rows)?,
            (RowSource::File { name, format }, Some(file)) => {
                let read = match format {
                    RowFormat::Csv => table.separated(set, file, b','),
                    RowFormat::Tsv => table.separated(set, file, b'\t'),
                    RowFormat::JsonLines => table.json_lines(set, file),
                    RowFormat::Lines => table.lines(set, file),
                };
                read.map_err(|problem| format!("{name}: {problem}"))?;
            }
            (RowSource::File { name, .. }, None) => return Err(format!("{name}: not here")),
        }
        if table.rows() == 0 {
            return Err(format!("{}: no rows", table.name));
        }
        table.bytes.shrink_to_fit();
        table.ends.shrink_to_fit();
        if let Pick::Zipf(exponent) = set.pick {
            table.zipf = Some(Zipf::new(table.rows(), exponent));
        }
        Ok(table)
    }

    /// Says which driver of all this is; the first word counts.
    pub fn belongs_to(&self, part: Part) {
        // Every core says the same.
        let _ = self.part.set(part);
    }

    fn part(&self) -> Part {
        self.part.get().copied().unwrap_or(Part::WHOLE)
    }

    /// Its name in the document.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many rows there are, of all drivers.
    #[must_use]
    pub fn rows(&self) -> u64 {
        (self.ends.len() / self.columns) as u64
    }

    /// Bytes that the rows take in memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    /// Rows that belong to this driver and no session was given; 0 where rows are given more than
    /// once.
    #[must_use]
    pub fn left(&self) -> u64 {
        match self.pick {
            Pick::Unique => {
                let mine = self.part().share(self.rows());
                mine.saturating_sub(self.taken.load(Ordering::Relaxed))
            }
            _ => 0,
        }
    }

    /// The row of a new session; `None` when they are used up.
    pub fn pick(&self, random: &mut Rng) -> Option<u32> {
        let rows = self.rows();
        let row = match (self.pick, &self.zipf) {
            (Pick::Next, _) => self.next() % rows,
            (Pick::Unique, _) => Some(self.next()).filter(|row| *row < rows)?,
            (Pick::Zipf(_), Some(zipf)) => zipf.draw(random) - 1,
            (Pick::Random | Pick::Zipf(_), _) => random.u64(0..rows),
        };
        u32::try_from(row).ok()
    }

    /// The next row of this driver, with no end.
    fn next(&self) -> u64 {
        self.part().nth(self.taken.fetch_add(1, Ordering::Relaxed))
    }

    /// A value.
    ///
    /// # Panics
    /// Where there is no such row or column.
    #[must_use]
    #[inline]
    pub fn value(&self, row: u32, column: usize) -> &[u8] {
        let at = row as usize * self.columns + column;
        let start = match at.checked_sub(1) {
            Some(before) => self.ends[before] as usize,
            None => 0,
        };
        &self.bytes[start..self.ends[at] as usize]
    }

    fn inline(&mut self, set: &DataSet, rows: &[Vec<String>]) -> Result<(), String> {
        for row in rows {
            if row.is_empty() {
                self.push("", None)?;
            }
            for (value, column) in row.iter().zip(&set.columns) {
                self.push(value, Some(column))?;
            }
        }
        Ok(())
    }

    fn separated(&mut self, set: &DataSet, file: &mut dyn Read, by: u8) -> Result<(), String> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(by)
            .from_reader(without_mark(file).map_err(|error| error.to_string())?);
        let names = reader.headers().map_err(|error| words(&error))?.clone();
        let places = places(set, &names.iter().collect::<Vec<_>>())?;
        let mut record = csv::StringRecord::new();
        while reader
            .read_record(&mut record)
            .map_err(|error| words(&error))?
        {
            let line = record.position().map_or(0, csv::Position::line);
            if places.is_empty() {
                self.push("", None)?;
            }
            for (place, column) in places.iter().zip(&set.columns) {
                let value = record.get(*place).unwrap_or_default();
                self.push(value, Some(column))
                    .map_err(|problem| format!("line {line}: {problem}"))?;
            }
        }
        Ok(())
    }

    fn lines(&mut self, set: &DataSet, file: &mut dyn Read) -> Result<(), String> {
        for_each_line(file, |line| self.push(line, set.columns.first()))
    }

    fn json_lines(&mut self, set: &DataSet, file: &mut dyn Read) -> Result<(), String> {
        for_each_line(file, |line| {
            let object: Map<String, Value> =
                serde_json::from_str(line).map_err(|error| format!("no JSON object ({error})"))?;
            if set.columns.is_empty() {
                self.push("", None)?;
            }
            for column in &set.columns {
                let value = match object.get(&column.name) {
                    Some(Value::String(text)) => text.clone(),
                    Some(value) => value.to_string(),
                    None => return Err(no_column(&column.name, object.keys())),
                };
                self.push(&value, Some(column))?;
            }
            Ok(())
        })
    }

    fn push(&mut self, value: &str, column: Option<&Column>) -> Result<(), String> {
        if value.len() > VALUE_LEN_MAX {
            let len = value.len();
            return Err(format!("a value of {len} bytes; at most {VALUE_LEN_MAX}"));
        }
        column.map_or(Ok(()), |column| column.check(value))?;
        self.bytes.extend_from_slice(value.as_bytes());
        if self.bytes.len() > BYTES_MAX {
            return Err(format!("more than {BYTES_MAX} bytes of values in use"));
        }
        let end = u32::try_from(self.bytes.len()).expect("invariant: at most 1 GiB");
        self.ends.push(end);
        Ok(())
    }
}

/// Where each column in use is among the names of a file.
fn places(set: &DataSet, names: &[&str]) -> Result<Vec<usize>, String> {
    let place = |column: &Column| {
        if column.name.is_empty() && names.len() == 1 {
            return Ok(0);
        }
        let mut found = (0..names.len()).filter(|at| names[*at] == column.name);
        match (found.next(), found.next()) {
            (Some(at), None) => Ok(at),
            (Some(_), Some(_)) => Err(format!("two columns with the name {}", column.name)),
            _ => Err(no_column(&column.name, names)),
        }
    };
    set.columns.iter().map(place).collect()
}

fn no_column<'n>(
    name: &str,
    names: impl IntoIterator<Item = &'n (impl AsRef<str> + 'n + ?Sized)>,
) -> String {
    let names: Vec<&str> = names.into_iter().map(AsRef::as_ref).collect();
    let missing = if name.is_empty() {
        "which column is meant?".to_owned()
    } else {
        format!("no column {name:?};")
    };
    format!("{missing} there are {}", names.join(", "))
}

fn words(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { pos, .. } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line}: not UTF-8")
        }
        csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line}: {len} values, where the first line has {expected_len}")
        }
        _ => error.to_string(),
    }
}

/// A file without the mark that some programs begin UTF-8 with.
fn without_mark(file: &mut dyn Read) -> std::io::Result<impl Read> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    if reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    Ok(reader)
}

/// Lines that are not empty, without their ends.
fn for_each_line(
    file: &mut dyn Read,
    mut each: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = BufReader::new(without_mark(file).map_err(|error| error.to_string())?);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let most = VALUE_LEN_MAX as u64 * 2;
        let mut bounded = (&mut reader).take(most);
        let len = bounded
            .read_until(b'\n', &mut line)
            .map_err(|error| error.to_string())?;
        if len == 0 {
            break;
        }
        let at = |problem: String| format!("line {number}: {problem}");
        if len as u64 == most {
            return Err(at(format!("more than {most} bytes")));
        }
        let text = std::str::from_utf8(&line).map_err(|_| at("not UTF-8".to_owned()))?;
        let text = text.trim_end_matches(['\n', '\r']);
        if !text.is_empty() {
            each(text).map_err(at)?;
        }
    }
    Ok(())
}

/// Numbers 1 to n, each k with a probability proportional to k^-s, in constant time and memory:
/// rejection-inversion (Hörmann and Derflinger 1996).
#[derive(Debug, Clone, Copy)]
struct Zipf {
    count: f64,
    exponent: f64,
    integral_first: f64,
    integral_last: f64,
    shift: f64,
}

impl Zipf {
    fn new(count: u64, exponent: f64) -> Self {
        let mut zipf = Self {
            count: count as f64,
            exponent,
            integral_first: 0.0,
            integral_last: 0.0,
            shift: 0.0,
        };
        zipf.integral_first = zipf.integral(1.5) - 1.0;
        zipf.integral_last = zipf.integral(zipf.count + 0.5);
        zipf.shift = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    fn draw(&self, random: &mut Rng) -> u64 {
        loop {
            let span = self.integral_first - self.integral_last;
            let area = self.integral_last + random.f64() * span;
            let x = self.inverse(area);
            let k = (x + 0.5).floor().clamp(1.0, self.count);
            if k - x <= self.shift || area >= self.integral(k + 0.5) - self.weight(k) {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 1 to count
                return k as u64;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// The integral of the weight, up to a constant: (x^(1−s) − 1) / (1 − s).
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        growth((1.0 - self.exponent) * log) * log
    }

    fn inverse(&self, area: f64) -> f64 {
        let t = (area * (1.0 - self.exponent)).max(-1.0);
        (log_ratio(t) * area).exp()
    }
}

/// (e^x − 1) / x, also near 0.
fn growth(x: f64) -> f64 {
    if x.abs() > 1e-8 {
        x.exp_m1() / x
    } else {
        1.0 + x / 2.0
    }
}

/// ln(1 + x) / x, also near 0.
fn log_ratio(x: f64) -> f64 {
    if x.abs() > 1e-8 {
        x.ln_1p() / x
    } else {
        1.0 - x / 2.0
    }
}

#[cfg(test)]
mod tests;
