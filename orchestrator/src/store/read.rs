//! Reading: everything at start, single tests for the REST API.

use std::path::Path;

use proto::bus::Partition;
use proto::histogram::{LatenciesWire, SparseLatencies};
use proto::measure::{IntervalFigures, Report};
use proto::message::Metrics;
use proto::summary::{SeriesRow, StepFold, StepGrid, Summary};
use proto::topic::Topic;
use rusqlite::types::{FromSqlError, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use serde::de::DeserializeOwned;

use super::compact::{
    NodeSecond, inflate, node_seconds, part_seconds, read_rows, read_seconds, read_steps,
};
use super::reported::{Found, reported};
use super::{BUSY_TIMEOUT, Store, StoreError};
use crate::control::run::Run;
use crate::control::{Offsets, Outgoing, RangePart, Restored, TestDetail, TestRow};

/// What a store holds when the process starts.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Our id on the bus, if this is not the first start.
    pub node_id: Option<String>,
    /// What the state begins with.
    pub restored: Restored,
    /// Where reading goes on.
    pub offsets: Offsets,
}

/// A test that has ended.
#[derive(Debug, Clone)]
pub struct StoredTest {
    /// The result as JSON, without its series.
    pub result: String,
    /// Second by second.
    pub series: Vec<SeriesRow>,
    /// The merged histograms.
    pub latencies: SparseLatencies,
}

impl Store {
    /// Reads what the state begins with.
    ///
    /// # Errors
    /// [`StoreError`] when the file does not read.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        let offsets = self.offsets()?;
        let counted = offsets
            .iter()
            .filter(|((topic, _), _)| *topic == Topic::Metrics)
            .map(|((_, number), next)| (*number, *next))
            .collect();
        Ok(Loaded {
            node_id: self.meta("node_id")?,
            offsets,
            restored: Restored {
                nodes: self.texts("SELECT record FROM nodes", "a driver")?,
                rows: self.rows()?,
                open: self.open_runs()?,
                campaigns: self.texts("SELECT campaign FROM campaigns", "a campaign")?,
                outbox: self.outbox()?,
                counted,
                tombstones: self.tombstones()?,
                cluster_id: self.meta("cluster_id")?,
                clock_ms: self.meta("clock_ms")?.and_then(|ms| ms.parse().ok()),
            },
        })
    }

    /// A run with everything that was reported on it; `None` when it is unknown.
    ///
    /// # Errors
    /// [`StoreError`] when the file does not read.
    pub fn run_and_reports(&self, test_id: &str) -> Result<Option<(Run, Summary)>, StoreError> {
        let sql = "SELECT run FROM tests WHERE test_id = ?1";
        let text: Option<String> = self
            .connection
            .query_row(sql, [test_id], |row| row.get(0))
            .optional()?;
        let run = text.map(|text| parse(&text, "a run")).transpose()?;
        run.map(|run| self.with_reports(run)).transpose()
    }

    fn with_reports(&self, run: Run) -> Result<(Run, Summary), StoreError> {
        let (mut summary, mut last) = (run.empty_summary(), Vec::new());
        for row in reported(&self.connection, &run.test_id)? {
            match row.read(&self.connection)? {
                Some(Found::Part(it)) if summary.takes([&it.part]) => {
                    summary.absorb_part(&it.part, &it.latencies);
                }
                Some(Found::Report { mut payload, .. }) => {
                    // It decoded when it was read from the broker.
                    match proto::codec::decode::<Metrics>(&mut payload) {
                        Ok(message) if is_last(&message) => last.push(message),
                        Ok(message) => _ = summary.absorb(&message),
                        Err(_) => {}
                    }
                }
                Some(Found::Part(_)) | None => {}
            }
        }
        // After it no part of its node is counted.
        for message in &last {
            summary.absorb(message);
        }
        Ok((run, summary))
    }

    fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM meta WHERE name = ?1";
        Ok(self
            .connection
            .query_row(sql, [name], |row| row.get(0))
            .optional()?)
    }

    fn offsets(&self) -> Result<Offsets, StoreError> {
        let mut statement = self.connection.prepare("SELECT topic, next FROM offsets")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        let mut offsets = Offsets::new();
        for row in rows {
            let (topic, next) = row?;
            if let Some(partition) = partition_of(&topic) {
                offsets.insert(partition, next);
            }
        }
        Ok(offsets)
    }

    fn rows(&self) -> Result<Vec<TestRow>, StoreError> {
        let sql = "SELECT number, is_complete, is_compact, row FROM tests ORDER BY number";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let text: String = row.get(3)?;
            let parsed: TestRow = parse(&text, "a test")?;
            all.push(TestRow {
                number: row.get(0)?,
                is_complete: row.get(1)?,
                is_compact: row.get(2)?,
                ..parsed
            });
        }
        Ok(all)
    }

    fn open_runs(&self) -> Result<Vec<(Run, Summary)>, StoreError> {
        let sql = "SELECT run FROM tests WHERE is_open ORDER BY number";
        let runs: Vec<Run> = self.texts(sql, "a run")?;
        runs.into_iter().map(|run| self.with_reports(run)).collect()
    }

    fn outbox(&self) -> Result<Vec<Outgoing>, StoreError> {
        let sql = "SELECT token, topic, key, payload FROM outbox ORDER BY token";
        let mut statement = self.connection.prepare(sql)?;
        let message = |row: &Row<'_>| {
            let topic: String = row.get(1)?;
            Ok(Topic::from_name(&topic).map(|topic| Outgoing {
                token: row.get(0).unwrap_or(0),
                topic,
                key: row.get(2).unwrap_or_default(),
                payload: row.get(3).unwrap_or_default(),
            }))
        };
        let messages: Result<Vec<_>, _> = statement.query_map([], message)?.collect();
        Ok(messages?.into_iter().flatten().collect())
    }

    fn tombstones(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT test_id, until_unix_ms FROM tombstones";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn texts<T: DeserializeOwned>(
        &self,
        sql: &str,
        what: &'static str,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare(sql)?;
        let texts: Result<Vec<String>, _> = statement.query_map([], |row| row.get(0))?.collect();
        texts?.iter().map(|text| parse(text, what)).collect()
    }
}

/// A connection that only reads, for one REST thread.
#[derive(Debug)]
pub struct Reader {
    pub(super) connection: Connection,
}

impl Reader {
    /// Opens the file for reading.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(Self { connection })
    }

    /// A test that has ended; `None` when it is unknown or has no result yet.
    ///
    /// # Errors
    /// [`StoreError`] when the file does not read.
    pub fn result(&self, test_id: &str) -> Result<Option<StoredTest>, StoreError> {
        let sql = "SELECT result, series, latencies FROM results WHERE test_id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let texts = |row: &Row<'_>| Ok((text_of(row, 0)?, text_of(row, 1)?, text_of(row, 2)?));
        let found = statement.query_row([test_id], texts).optional()?;
        let Some((result, series, latencies)) = found else {
            return Ok(None);
        };
        let wire: LatenciesWire = parse(&latencies, "histograms")?;
        let latencies =
            SparseLatencies::try_from(&wire).map_err(|error| corrupt("histograms", &error))?;
        Ok(Some(StoredTest {
            result,
            series: parse(&series, "a series")?,
            latencies,
        }))
    }

    /// The result of a test that has ended and its series, both as JSON.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn result_texts(&self, test_id: &str) -> Result<Option<(String, String)>, StoreError> {
        let sql = "SELECT result, series FROM results WHERE test_id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let texts = |row: &Row<'_>| Ok((text_of(row, 0)?, text_of(row, 1)?));
        Ok(statement.query_row([test_id], texts).optional()?)
    }

    /// One test with its config.
    ///
    /// # Errors
    /// [`StoreError`] when the file does not read.
    pub fn detail(&self, test_id: &str) -> Result<Option<TestDetail>, StoreError> {
        let sql = "SELECT row, run FROM tests WHERE test_id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let texts = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let found: Option<(String, String)> = statement.query_row([test_id], texts).optional()?;
        let Some((row, run)) = found else {
            return Ok(None);
        };
        Ok(Some(TestDetail::new(
            parse(&run, "a run")?,
            parse(&row, "a test")?,
        )))
    }

    /// Calls `take` with the samples of each second of a test, in any order; what one second has
    /// may come in several calls, and adds.
    ///
    /// # Errors
    /// [`StoreError`] when the file does not read.
    pub fn each_second(
        &self,
        test_id: &str,
        mut take: impl FnMut(u64, &SparseLatencies),
    ) -> Result<(), StoreError> {
        // Of one instant: a run may become compact at any.
        let _instant = self.connection.unchecked_transaction()?;
        if !self.is_compact(test_id)? {
            self.each_interval(test_id, |_, report| {
                take(report.second(), &report.latencies);
            })?;
            return each_part(&self.connection, test_id, |part| {
                take(part.part.second, &part.latencies);
            });
        }
        let sql = "SELECT payload FROM merged_seconds WHERE test_id = ?1 ORDER BY part";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([test_id])?;
        while let Some(row) = rows.next()? {
            let payload: Vec<u8> = row.get(0)?;
            let seconds = read_seconds(&payload).map_err(|e| corrupt("merged seconds", &e))?;
            for merged in seconds {
                let (second, latencies) = merged.map_err(|e| corrupt("histograms", &e))?;
                take(second, &latencies);
            }
        }
        Ok(())
    }

    /// Calls `take` with each second of each driver of a test.
    ///
    /// # Errors
    /// [`StoreError`] when the file does not read.
    pub fn each_node_second(
        &self,
        test_id: &str,
        mut take: impl FnMut(&str, NodeSecond),
    ) -> Result<(), StoreError> {
        let _instant = self.connection.unchecked_transaction()?;
        if !self.is_compact(test_id)? {
            each_part(&self.connection, test_id, |part| {
                for (node_id, rows) in part_seconds(&part.part) {
                    rows.into_iter().for_each(|row| take(node_id, row));
                }
            })?;
            return self.each_interval(test_id, |node_id, report| {
                let figures = IntervalFigures::from(&report.latencies);
                node_seconds(&report, figures)
                    .into_iter()
                    .for_each(|row| take(node_id, row));
            });
        }
        let sql = "SELECT node_id, payload FROM node_seconds WHERE test_id = ?1 \
                   ORDER BY node_id, part";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([test_id])?;
        while let Some(row) = rows.next()? {
            let (node_id, payload): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let seconds = read_rows(&payload).map_err(|e| corrupt("a driver's seconds", &e))?;
            seconds.into_iter().for_each(|row| take(&node_id, row));
        }
        Ok(())
    }

    /// What each step of a test counted by time; nothing of one that was compacted before that was
    /// kept.
    ///
    /// # Errors
    /// [`StoreError`] when the file does not read.
    pub fn steps(&self, test_id: &str) -> Result<StepGrid, StoreError> {
        let _instant = self.connection.unchecked_transaction()?;
        if self.is_compact(test_id)? {
            let sql = "SELECT payload FROM step_seconds WHERE test_id = ?1";
            let mut statement = self.connection.prepare_cached(sql)?;
            let payload: Option<Vec<u8>> = statement
                .query_row([test_id], |row| row.get(0))
                .optional()?;
            let grid = payload.map(|payload| read_steps(&payload)).transpose();
            return Ok(grid.map_err(|e| corrupt("steps", &e))?.unwrap_or_default());
        }
        let mut fold = StepFold::default();
        for row in reported(&self.connection, test_id)? {
            match row.read(&self.connection)? {
                Some(Found::Part(it)) => fold.absorb_part(&it.part),
                Some(Found::Report {
                    node_id, payload, ..
                }) => {
                    if let Some(report) = report(&payload) {
                        fold.absorb(&node_id, &report);
                    }
                }
                None => {}
            }
        }
        Ok(fold.grid().clone())
    }

    fn is_compact(&self, test_id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT is_compact FROM tests WHERE test_id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row([test_id], |row| row.get(0));
        Ok(found.optional()?.unwrap_or(false))
    }

    fn each_interval(
        &self,
        test_id: &str,
        mut take: impl FnMut(&str, Report),
    ) -> Result<(), StoreError> {
        let sql = "SELECT node_id, payload FROM reports WHERE test_id = ?1 \
                   ORDER BY node_id, sequence";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([test_id])?;
        while let Some(row) = rows.next()? {
            let (node_id, payload): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            if let Some(report) = report(&payload).filter(|report| !report.last) {
                take(&node_id, report);
            }
        }
        Ok(())
    }
}

fn is_last(message: &Metrics) -> bool {
    message.report.as_ref().is_some_and(|report| report.last)
}

/// The report in a message; `None` of other implementations.
pub(super) fn report(payload: &[u8]) -> Option<Report> {
    // It decoded when it was read from the broker.
    let message: Metrics = proto::codec::decode(&mut payload.to_vec()).ok()?;
    message.report
}

/// A text that is kept as it is, or deflated.
fn text_of(row: &Row<'_>, at: usize) -> rusqlite::Result<String> {
    let value = row.get_ref(at)?;
    let damaged = |error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(at, value.data_type(), error)
    };
    match value {
        ValueRef::Blob(deflated) => {
            let bytes = inflate(deflated).map_err(|error| damaged(error.into()))?;
            String::from_utf8(bytes).map_err(|error| damaged(Box::new(error)))
        }
        ValueRef::Text(bytes) => {
            String::from_utf8(bytes.to_vec()).map_err(|error| damaged(Box::new(error)))
        }
        _ => Err(damaged(Box::new(FromSqlError::InvalidType))),
    }
}

fn each_part(
    connection: &Connection,
    test_id: &str,
    mut take: impl FnMut(RangePart),
) -> Result<(), StoreError> {
    let sql = "SELECT payload FROM merged_parts WHERE test_id = ?1 ORDER BY second";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([test_id])?;
    while let Some(row) = rows.next()? {
        // It decoded when it was read from the broker.
        if let Ok(part) = RangePart::decode(row.get(0)?) {
            take(part);
        }
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt(what, &error))
}

fn corrupt(what: &'static str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        what,
        error: error.to_string(),
    }
}

/// The first partition of a topic is stored under the topic's name, another as `name#number`.
fn partition_of(name: &str) -> Option<Partition> {
    let (topic, number) = name.split_once('#').unwrap_or((name, "0"));
    Some((Topic::from_name(topic)?, number.parse().ok()?))
}
