//! Reading: everything at start, single tests for the REST API.

use std::path::Path;

use proto::histogram::{LatenciesWire, SparseLatencies};
use proto::message::Metrics;
use proto::summary::{SeriesRow, Summary};
use proto::topic::Topic;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;

use super::{BUSY_TIMEOUT, Store, StoreError};
use crate::control::run::Run;
use crate::control::{Offsets, Outgoing, Restored, TestDetail, TestRow};

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
        Ok(Loaded {
            node_id: self.meta("node_id")?,
            offsets: self.offsets()?,
            restored: Restored {
                nodes: self.texts("SELECT record FROM nodes", "a driver")?,
                rows: self.rows()?,
                open: self.open_runs()?,
                outbox: self.outbox()?,
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
        let mut summary = Summary::default();
        each_report(&self.connection, &run.test_id, |report| {
            summary.absorb(&report);
        })?;
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
            if let Some(topic) = Topic::from_name(&topic) {
                offsets.insert(topic, next);
            }
        }
        Ok(offsets)
    }

    fn rows(&self) -> Result<Vec<TestRow>, StoreError> {
        let sql = "SELECT number, is_complete, row FROM tests ORDER BY number";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let text: String = row.get(2)?;
            let parsed: TestRow = parse(&text, "a test")?;
            all.push(TestRow {
                number: row.get(0)?,
                is_complete: row.get(1)?,
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
    connection: Connection,
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
        let texts = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let found: Option<(String, String, String)> =
            statement.query_row([test_id], texts).optional()?;
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
        let texts = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
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

    /// Calls `take` with each report on a test, by driver and sequence, without holding them all.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn each_report(&self, test_id: &str, take: impl FnMut(Metrics)) -> Result<(), StoreError> {
        each_report(&self.connection, test_id, take)
    }
}

fn each_report(
    connection: &Connection,
    test_id: &str,
    mut take: impl FnMut(Metrics),
) -> Result<(), StoreError> {
    let sql = "SELECT payload FROM reports WHERE test_id = ?1 ORDER BY node_id, sequence";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![test_id])?;
    while let Some(row) = rows.next()? {
        let mut payload: Vec<u8> = row.get(0)?;
        // It decoded when it was read from the broker.
        if let Ok(report) = proto::codec::decode(&mut payload) {
            take(report);
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
