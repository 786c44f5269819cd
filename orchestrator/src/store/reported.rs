//! What was reported on a run that is not compact, row by row, about in the order in which it came.

use rusqlite::{Connection, OptionalExtension, Row};

use super::StoreError;
use crate::control::RangePart;

/// A row of what was reported.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reported {
    /// Of `reports`.
    Report(i64),
    /// Of `merged_parts`.
    Part(i64),
}

/// What such a row has.
#[derive(Debug)]
pub(super) enum Found {
    /// A message of a driver, as it came.
    Report {
        /// The driver.
        node_id: String,
        /// The last interval that it covers.
        sequence: i64,
        /// The message.
        payload: Vec<u8>,
    },
    /// Reports that came merged.
    Part(Box<RangePart>),
}

impl Reported {
    /// Reads it. `None` when it was deleted meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub(super) fn read(self, connection: &Connection) -> Result<Option<Found>, StoreError> {
        match self {
            Self::Report(rowid) => report(connection, rowid),
            Self::Part(rowid) => part(connection, rowid),
        }
    }
}

/// What was reported on a test, about in the order of its seconds: of each driver in the order in
/// which it came, unless it skipped seconds and was read in both ways.
///
/// # Errors
/// [`StoreError::Sqlite`].
pub(super) fn reported(
    connection: &Connection,
    test_id: &str,
) -> Result<Vec<Reported>, StoreError> {
    let rows = |sql, reported: fn(i64) -> Reported| -> Result<Vec<(i64, Reported)>, StoreError> {
        let mut statement = connection.prepare_cached(sql)?;
        let row = |row: &Row<'_>| Ok((row.get(0)?, reported(row.get(1)?)));
        let rows: Result<Vec<_>, _> = statement.query_map([test_id], row)?.collect();
        Ok(rows?)
    };
    let parts = "SELECT second, rowid FROM merged_parts WHERE test_id = ?1";
    let mut all = rows(parts, Reported::Part)?;
    // A driver's intervals are about a second each.
    let reports = "SELECT sequence, rowid FROM reports WHERE test_id = ?1";
    all.extend(rows(reports, Reported::Report)?);
    all.sort_by_key(|(second, _)| *second);
    Ok(all.into_iter().map(|(_, reported)| reported).collect())
}

fn report(connection: &Connection, rowid: i64) -> Result<Option<Found>, StoreError> {
    let sql = "SELECT node_id, sequence, payload FROM reports WHERE rowid = ?1";
    let row = |row: &Row<'_>| {
        Ok(Found::Report {
            node_id: row.get(0)?,
            sequence: row.get(1)?,
            payload: row.get(2)?,
        })
    };
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([rowid], row).optional()?)
}

/// It decoded when it was read from the broker.
fn part(connection: &Connection, rowid: i64) -> Result<Option<Found>, StoreError> {
    let sql = "SELECT payload FROM merged_parts WHERE rowid = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let payload: Option<Vec<u8>> = statement.query_row([rowid], |row| row.get(0)).optional()?;
    let part = payload.and_then(|payload| RangePart::decode(payload).ok());
    Ok(part.map(|part| Found::Part(Box::new(part))))
}
