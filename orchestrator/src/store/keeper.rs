//! The slow work on the file, in slices: complete runs are compacted, what is deleted goes row by
//! row, and the room is given back. It has a connection of its own, and a slice holds the file for
//! a few milliseconds only, so that the control thread's transactions go on in between.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::compact::{Compactor, Piece, deflate};
use super::read::report;
use super::reported::{Found, Reported, reported};
use super::{Store, StoreError, configure};

/// Rows that are read, or deleted, in one slice: some 2 MB of reports.
const ROWS_A_SLICE: usize = 256;
/// The same of parts, each of which has the reports of some hundred drivers.
const PARTS_A_SLICE: usize = 8;
/// Pages that are given back in one slice: 1 MB.
const PAGES_A_SLICE: u32 = 256;
/// Free pages that are kept for what comes next.
const PAGES_KEPT: u32 = 64;

/// What belongs to a test, beyond its row and its result: what was reported …
const REPORTED: [&str; 2] = ["reports", "merged_parts"];
/// … and what that becomes in little room.
const COMPACT: [&str; 4] = [
    "merged_seconds",
    "node_seconds",
    "step_seconds",
    "last_reports",
];

/// The one that does it.
#[derive(Debug)]
pub struct Keeper {
    connection: Connection,
    /// Whether the file can give room back.
    is_shrinkable: bool,
}

impl Store {
    /// A keeper of the same file.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn keeper(&self) -> Result<Keeper, StoreError> {
        let connection = Connection::open(&self.path)?;
        configure(&connection)?;
        Ok(Keeper {
            connection,
            is_shrinkable: self.is_shrinkable,
        })
    }
}

impl Reported {
    fn is_in_slice_with(&self, next: &Self) -> bool {
        matches!(
            (self, next),
            (Self::Report(_), Self::Report(_)) | (Self::Part(_), Self::Part(_))
        )
    }

    fn rows_a_slice(self) -> usize {
        match self {
            Self::Report(_) => ROWS_A_SLICE,
            Self::Part(_) => PARTS_A_SLICE,
        }
    }
}

impl Keeper {
    /// Compacts a run on which no report counts any more; `goes_on` is asked between slices. Until
    /// its last slice the run is read as it was; after it the old rows are doomed. Whether it was
    /// done to the end.
    ///
    /// # Errors
    /// [`StoreError`]; the run is as it was, and may be tried again.
    pub fn compact(
        &mut self,
        test_id: &str,
        goes_on: impl Fn() -> bool,
    ) -> Result<bool, StoreError> {
        self.forget_half_done(test_id)?;
        let rows = reported(&self.connection, test_id)?;
        let mut compactor = Compactor::default();
        for slice in rows.chunk_by(Reported::is_in_slice_with) {
            for slice in slice.chunks(slice[0].rows_a_slice()) {
                if !goes_on() {
                    return Ok(false);
                }
                self.compact_slice(test_id, slice, &mut compactor)?;
            }
        }
        self.complete(test_id, &compactor.finish())?;
        Ok(true)
    }

    /// Deletes some of what is doomed, and gives some room back; whether there is more of it.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn tidy(&mut self) -> Result<bool, StoreError> {
        Ok(self.delete_some()? || self.give_back_some()?)
    }

    fn forget_half_done(&mut self, test_id: &str) -> Result<(), StoreError> {
        for table in COMPACT {
            let sql = format!("DELETE FROM {table} WHERE test_id = ?1");
            self.connection.prepare_cached(&sql)?.execute([test_id])?;
        }
        Ok(())
    }

    fn compact_slice(
        &mut self,
        test_id: &str,
        rows: &[Reported],
        compactor: &mut Compactor,
    ) -> Result<(), StoreError> {
        let (mut pieces, mut verbatim) = (Vec::new(), Vec::new());
        for row in rows {
            let (node_id, sequence, payload) = match row.read(&self.connection)? {
                None => continue,
                Some(Found::Part(it)) => {
                    compactor.add_part(&it.part, &it.latencies, &mut pieces);
                    continue;
                }
                Some(Found::Report {
                    node_id,
                    sequence,
                    payload,
                }) => (node_id, sequence, payload),
            };
            match report(&payload) {
                Some(report) if !report.last => compactor.add(&node_id, &report, &mut pieces),
                last => {
                    if let Some(last) = last {
                        compactor.end(&node_id, &last);
                    }
                    verbatim.push((node_id, sequence, deflate(&payload)));
                }
            }
        }
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        for piece in &pieces {
            add_piece(&transaction, test_id, piece)?;
        }
        for (node_id, sequence, payload) in &verbatim {
            let sql = "INSERT OR REPLACE INTO last_reports VALUES (?1, ?2, ?3, ?4)";
            let values = params![test_id, node_id, sequence, payload];
            transaction.prepare_cached(sql)?.execute(values)?;
        }
        Ok(transaction.commit()?)
    }

    /// The last slice: from now on the run is read from its pieces.
    fn complete(&mut self, test_id: &str, pieces: &[Piece]) -> Result<(), StoreError> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        for piece in pieces {
            add_piece(&transaction, test_id, piece)?;
        }
        let sql = "SELECT result, series, latencies FROM results WHERE test_id = ?1";
        let texts = |row: &Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?]);
        let found: Option<[Value; 3]> = transaction
            .prepare_cached(sql)?
            .query_row([test_id], texts)
            .optional()?;
        if let Some(texts) = found {
            let [result, series, latencies] = texts.map(in_less_room);
            let sql =
                "UPDATE results SET result = ?2, series = ?3, latencies = ?4 WHERE test_id = ?1";
            let values = params![test_id, result, series, latencies];
            transaction.prepare_cached(sql)?.execute(values)?;
        }
        let sql = "UPDATE tests SET is_compact = 1 WHERE test_id = ?1";
        transaction.prepare_cached(sql)?.execute([test_id])?;
        let sql = "INSERT INTO doomed VALUES (?1, 0)";
        transaction.prepare_cached(sql)?.execute([test_id])?;
        Ok(transaction.commit()?)
    }

    fn delete_some(&mut self) -> Result<bool, StoreError> {
        let behavior = TransactionBehavior::Immediate;
        let sql = "SELECT rowid, test_id, is_whole FROM doomed ORDER BY rowid LIMIT 1";
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let first: Option<(i64, String, bool)> = self
            .connection
            .prepare_cached(sql)?
            .query_row([], row)
            .optional()?;
        let Some((rowid, test_id, is_whole)) = first else {
            return Ok(false);
        };
        let compact = COMPACT.iter().filter(|_| is_whole);
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        let mut is_done = true;
        for table in REPORTED.iter().chain(compact) {
            let sql = format!(
                "DELETE FROM {table} WHERE rowid IN \
                 (SELECT rowid FROM {table} WHERE test_id = ?1 LIMIT ?2)"
            );
            let most = if *table == REPORTED[1] {
                PARTS_A_SLICE
            } else {
                ROWS_A_SLICE
            };
            let deleted = transaction
                .prepare_cached(&sql)?
                .execute(params![test_id, most])?;
            if deleted == most {
                is_done = false;
                break;
            }
        }
        if is_done {
            let sql = "DELETE FROM doomed WHERE rowid = ?1";
            transaction.prepare_cached(sql)?.execute([rowid])?;
        }
        transaction.commit()?;
        Ok(true)
    }

    fn give_back_some(&mut self) -> Result<bool, StoreError> {
        if !self.is_shrinkable {
            return Ok(false);
        }
        let free: u32 = self
            .connection
            .pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if free <= 2 * PAGES_KEPT {
            return Ok(false);
        }
        let pages = PAGES_A_SLICE.min(free - PAGES_KEPT);
        // It gives back a page a step.
        let mut statement = self
            .connection
            .prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
        Ok(true)
    }
}

fn add_piece(connection: &Connection, test_id: &str, piece: &Piece) -> Result<(), StoreError> {
    match piece {
        Piece::Seconds { part, payload } => connection
            .prepare_cached("INSERT INTO merged_seconds VALUES (?1, ?2, ?3)")?
            .execute(params![test_id, part, payload])?,
        Piece::Node {
            node_id,
            part,
            payload,
        } => connection
            .prepare_cached("INSERT INTO node_seconds VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![test_id, node_id, part, payload])?,
        Piece::Steps { payload } => connection
            .prepare_cached("INSERT INTO step_seconds VALUES (?1, ?2)")?
            .execute(params![test_id, payload])?,
    };
    Ok(())
}

/// A text of a result, deflated; what is a blob is so already.
fn in_less_room(value: Value) -> Value {
    match value {
        Value::Text(text) => Value::Blob(deflate(text.as_bytes())),
        other => other,
    }
}
