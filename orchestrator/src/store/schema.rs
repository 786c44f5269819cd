//! The tables, and how files of earlier versions come to them.

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;

/// The newest schema version.
pub const VERSION: u32 = 1;

/// The step to each version, from the one before it.
const STEPS: [&str; VERSION as usize] = [
    // 1
    "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE offsets (topic TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE nodes (node_id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE tests (
        number INTEGER PRIMARY KEY,
        test_id TEXT NOT NULL UNIQUE,
        is_open INTEGER NOT NULL,
        is_complete INTEGER NOT NULL,
        row TEXT NOT NULL,
        run TEXT NOT NULL
    );
    CREATE INDEX tests_open ON tests (is_open) WHERE is_open;
    CREATE TABLE reports (
        test_id TEXT NOT NULL,
        node_id TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        payload BLOB NOT NULL,
        UNIQUE (test_id, node_id, sequence)
    );
    CREATE TABLE results (
        test_id TEXT PRIMARY KEY,
        result TEXT NOT NULL,
        series TEXT NOT NULL,
        latencies TEXT NOT NULL
    );
    CREATE TABLE outbox (
        token INTEGER PRIMARY KEY,
        topic TEXT NOT NULL,
        key TEXT NOT NULL,
        payload BLOB NOT NULL
    );
    ",
];

/// Brings a file to [`VERSION`], each step in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > VERSION {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            found,
        });
    }
    for (version, step) in (1..).zip(STEPS).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
