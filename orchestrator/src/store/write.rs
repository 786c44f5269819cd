//! One transaction a batch.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::{Backlog, Store, StoreError};
use crate::control::run::Run;
use crate::control::{Change, Offsets, Outgoing, StoredPart, StoredReport, StoredResult, TestRow};

impl Store {
    /// Writes the changes and the offsets up to which they have read: all of it, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]; nothing was written.
    pub fn write(&mut self, backlog: &Backlog) -> Result<(), StoreError> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        for change in backlog.changes() {
            apply(&transaction, change)?;
        }
        set_offsets(&transaction, &backlog.offsets)?;
        Ok(transaction.commit()?)
    }

    /// Keeps a value under a name.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn set_meta(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        set_meta(&self.connection, name, value)
    }

    /// Moves the log into the database file, so that a copy of that one file is whole.
    pub fn close(self) {
        let _ = self
            .connection
            .pragma_update(None, "wal_checkpoint", "TRUNCATE");
    }
}

fn apply(transaction: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Run(run, row) => set_run(transaction, run, row),
        Change::Row(row) => execute(
            transaction,
            "UPDATE tests SET row = ?2 WHERE test_id = ?1",
            (&row.test_id, json(row)),
        ),
        Change::Campaign(campaign) => execute(
            transaction,
            "INSERT OR REPLACE INTO campaigns VALUES (?1, ?2)",
            (&campaign.test_id, json(campaign)),
        ),
        Change::ForgetCampaign(test_id) => execute(
            transaction,
            "DELETE FROM campaigns WHERE test_id = ?1",
            [test_id],
        ),
        Change::Node(record) => execute(
            transaction,
            "INSERT OR REPLACE INTO nodes VALUES (?1, ?2)",
            (&record.node_id, json(record)),
        ),
        Change::ForgetNode(node_id) => execute(
            transaction,
            "DELETE FROM nodes WHERE node_id = ?1",
            [node_id],
        ),
        Change::Report(report) => add_report(transaction, report),
        Change::Part(part) => add_part(transaction, part),
        Change::Result(result) => set_result(transaction, result),
        Change::Outbox(message) => add_outgoing(transaction, message),
        Change::OutboxDone(token) => {
            execute(transaction, "DELETE FROM outbox WHERE token = ?1", [token])
        }
        Change::ForgetTest {
            test_id,
            until_unix_ms,
        } => forget_test(transaction, test_id, *until_unix_ms),
        Change::ForgetTombstone(test_id) => execute(
            transaction,
            "DELETE FROM tombstones WHERE test_id = ?1",
            [test_id],
        ),
        Change::Complete(test_id) => execute(
            transaction,
            "UPDATE tests SET is_complete = 1 WHERE test_id = ?1",
            [test_id],
        ),
        Change::Cluster(cluster_id) => set_meta(transaction, "cluster_id", cluster_id),
        Change::Clock(ms) => set_meta(transaction, "clock_ms", &ms.to_string()),
    }
}

fn set_run(transaction: &Transaction<'_>, run: &Run, row: &TestRow) -> Result<(), StoreError> {
    let sql = "INSERT INTO tests (number, test_id, is_open, is_complete, row, run) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (number) DO UPDATE SET \
               is_open = ?3, is_complete = ?4, row = ?5, run = ?6";
    let is_open = !run.phase.has_ended();
    let values = params![
        run.number,
        run.test_id,
        is_open,
        row.is_complete,
        json(row),
        json(run)
    ];
    execute(transaction, sql, values)
}

fn add_report(transaction: &Transaction<'_>, report: &StoredReport) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO reports VALUES (?1, ?2, ?3, ?4)";
    let values = params![
        report.test_id,
        report.node_id,
        report.sequence,
        report.payload
    ];
    execute(transaction, sql, values)
}

fn add_part(transaction: &Transaction<'_>, part: &StoredPart) -> Result<(), StoreError> {
    let sql = "INSERT INTO merged_parts VALUES (?1, ?2, ?3, ?4, ?5)";
    let values = params![
        part.test_id,
        part.partition,
        part.from,
        part.second,
        part.payload
    ];
    execute(transaction, sql, values)
}

fn set_result(transaction: &Transaction<'_>, result: &StoredResult) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO results VALUES (?1, ?2, ?3, ?4)";
    let values = params![
        result.test_id,
        result.result,
        result.series,
        json(&result.latencies)
    ];
    execute(transaction, sql, values)
}

fn add_outgoing(transaction: &Transaction<'_>, message: &Outgoing) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO outbox VALUES (?1, ?2, ?3, ?4)";
    let values = params![
        message.token,
        message.topic.name(),
        message.key,
        message.payload
    ];
    execute(transaction, sql, values)
}

/// The test is gone at once; its reports are many, and go in slices.
fn forget_test(
    transaction: &Transaction<'_>,
    test_id: &str,
    until_unix_ms: u64,
) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM tests WHERE test_id = ?1",
        "DELETE FROM results WHERE test_id = ?1",
        "INSERT INTO doomed VALUES (?1, 1)",
    ] {
        execute(transaction, sql, [test_id])?;
    }
    let sql = "INSERT OR REPLACE INTO tombstones VALUES (?1, ?2)";
    execute(transaction, sql, params![test_id, until_unix_ms])
}

fn set_offsets(transaction: &Transaction<'_>, offsets: &Offsets) -> Result<(), StoreError> {
    for ((topic, number), next) in offsets {
        let sql = "INSERT OR REPLACE INTO offsets VALUES (?1, ?2)";
        let name = match number {
            0 => topic.name().to_owned(),
            other => format!("{topic}#{other}"),
        };
        execute(transaction, sql, (name, next))?;
    }
    Ok(())
}

fn set_meta(connection: &Connection, name: &str, value: &str) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
        (name, value),
    )
}

fn execute(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("invariant: records have string keys and finite numbers")
}
