//! The tables, and how files of earlier versions come to them.

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;

/// The newest schema version.
pub const VERSION: u32 = 6;

/// What SQLite calls its mode in which a file gives free pages back when it is told to.
const INCREMENTAL: u32 = 2;

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
    // 2: complete runs in little room, deletion in slices, tests that stay deleted. Texts of
    // results are deflated, and then blobs, once a run is compact.
    "
    ALTER TABLE tests ADD COLUMN is_compact INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE merged_seconds (
        test_id TEXT NOT NULL,
        part INTEGER NOT NULL,
        payload BLOB NOT NULL,
        UNIQUE (test_id, part)
    );
    CREATE TABLE node_seconds (
        test_id TEXT NOT NULL,
        node_id TEXT NOT NULL,
        part INTEGER NOT NULL,
        payload BLOB NOT NULL,
        UNIQUE (test_id, node_id, part)
    );
    CREATE TABLE last_reports (
        test_id TEXT NOT NULL,
        node_id TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        payload BLOB NOT NULL,
        UNIQUE (test_id, node_id, sequence)
    );
    CREATE TABLE tombstones (
        test_id TEXT PRIMARY KEY,
        until_unix_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE doomed (test_id TEXT NOT NULL, is_whole INTEGER NOT NULL);
    ",
    // 3: searches for a capacity.
    "
    CREATE TABLE searches (test_id TEXT PRIMARY KEY, search TEXT NOT NULL) WITHOUT ROWID;
    ",
    // 4: campaigns of several kinds, of which a search is one: what only that has is its goal.
    "
    ALTER TABLE searches RENAME TO campaigns;
    ALTER TABLE campaigns RENAME COLUMN search TO campaign;
    UPDATE campaigns SET campaign = json_set(
        json_remove(campaign, '$.name', '$.thresholds', '$.unit', '$.bounds', '$.length_ns', '$.runs'),
        '$.labels', json_object('name', campaign ->> '$.name'),
        '$.goal', json_object('capacity', json_object(
            'thresholds', campaign -> '$.thresholds',
            'unit', campaign ->> '$.unit',
            'bounds', campaign -> '$.bounds',
            'length_ns', campaign -> '$.length_ns',
            'runs', campaign -> '$.runs'
        ))
    );
    ",
    // 5: reports that came merged with those of other drivers. None is counted twice; the offsets of
    // two logs may be the same.
    "
    CREATE TABLE merged_parts (
        test_id TEXT NOT NULL,
        partition INTEGER NOT NULL,
        from_offset INTEGER NOT NULL,
        second INTEGER NOT NULL,
        payload BLOB NOT NULL
    );
    CREATE INDEX merged_parts_by_second ON merged_parts (test_id, second);
    ",
    // 6: what the steps of a compact run counted by time. Of one that was compacted before it is not
    // known.
    "
    CREATE TABLE step_seconds (test_id TEXT NOT NULL UNIQUE, payload BLOB NOT NULL);
    ",
];

/// Whether the file is made by this very opening, and then how it is to give room back. It must be
/// said before anything is written to it.
pub(super) fn prepare(connection: &Connection) -> Result<(), StoreError> {
    if version(connection)? == 0 {
        connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    }
    Ok(())
}

/// Brings a file to [`VERSION`], each step in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found = version(connection)?;
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

/// Rewrites a file of version 1, which cannot give room back, into one that can; whether it can
/// now. It takes as much room again while it lasts: without that, the file stays as it is, and
/// free pages are used again.
pub(super) fn make_shrinkable(connection: &Connection) -> Result<bool, StoreError> {
    let mode = || connection.pragma_query_value(None, "auto_vacuum", |row| row.get::<_, u32>(0));
    if mode()? == INCREMENTAL {
        return Ok(true);
    }
    connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    Ok(connection.execute_batch("VACUUM").is_ok() && mode()? == INCREMENTAL)
}

pub(super) fn version(connection: &Connection) -> Result<u32, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
