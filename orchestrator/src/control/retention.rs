//! What is kept, for how long, and in how much room. Only ended tests are counted and deleted: one
//! that waits for its trigger costs no result, and expires by itself.

use proto::log::Level;
use serde_json::json;

use super::run::Step;
use super::{Action, Actions, Change, Control, KeptFile, Now, TestRow, log};

/// For this long what is still read about a deleted test is dropped, ms.
const TOMBSTONE_MS: u64 = 7 * DAY_MS;
/// A test that nobody triggers expires after this, ms.
const UNTRIGGERED_MS: u64 = DAY_MS;
/// After this the late reports of a run are not waited for any more, ms.
const LATE_MS: u64 = 3_600_000;
/// A run is compacted when everything on it has been written for so long, ms.
const SETTLED_MS: u64 = 5_000;
/// A file that was uploaded is kept for so long at least, ms: the test that names it is on its way.
const UPLOADED_MS: u64 = 600_000;
/// Tests that are deleted at once for want of room.
const DELETED_AT_ONCE: usize = 64;
const DAY_MS: u64 = 86_400_000;

impl Control {
    /// Looks after the store once a second.
    pub(super) fn keep_up(&mut self, now: Now, actions: &mut Actions) {
        if !self.upkeep.is_time(now) {
            return;
        }
        let now_ms = now.wall_ns / 1_000_000;
        while let Some(test_id) = self.tombstones.expire_one(now_ms) {
            actions.push(Action::Persist(Change::ForgetTombstone(test_id)));
        }
        self.retain(now, actions);
        self.expire(now, actions);
        if self.store.is_ok() && self.upkeep.is_free() {
            self.compact_next(now_ms, actions);
        }
    }

    /// Deletes the tests that are kept no longer.
    pub(super) fn retain(&mut self, now: Now, actions: &mut Actions) {
        let surplus = match self.settings.retention_tests {
            0 => 0,
            most => self.list.ended_len().saturating_sub(most),
        };
        let oldest_ms = match self.settings.retention_ms {
            0 => 0,
            most => (now.wall_ns / 1_000_000).saturating_sub(most),
        };
        let is_old = |(at, row): &(usize, &TestRow)| {
            *at < surplus || row.ended_unix_ms.unwrap_or(0) < oldest_ms
        };
        let ended = self.list.ended_oldest_first().enumerate();
        let old = ended.take_while(is_old).map(|(_, row)| row.test_id.clone());
        for test_id in old.collect::<Vec<_>>() {
            self.forget(&test_id, now, actions);
        }
    }

    /// The store and the files hold so many bytes: when they are too many, the files go first that no
    /// test names; then the oldest tests that ended, about as many as it takes. The newest stays, or a
    /// result would be gone before anybody saw it.
    pub(super) fn store_used(
        &mut self,
        store_bytes: u64,
        files: &[KeptFile],
        now: Now,
        actions: &mut Actions,
    ) {
        let used_bytes = store_bytes + files.iter().map(|file| file.bytes).sum::<u64>();
        self.used_bytes = used_bytes;
        let most_bytes = self.settings.retention_bytes;
        let ended = self.list.ended_len();
        if most_bytes == 0 || used_bytes <= most_bytes {
            return;
        }
        if self.remove_files(used_bytes - most_bytes, files, now, actions) || ended <= 1 {
            return;
        }
        let share = (used_bytes - most_bytes) as f64 / used_bytes as f64;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within 0..=ended
        let surplus = (share * ended as f64).ceil() as usize;
        let surplus = surplus.clamp(1, DELETED_AT_ONCE).min(ended - 1);
        let oldest = self.list.ended_oldest_first().take(surplus);
        for test_id in oldest.map(|row| row.test_id.clone()).collect::<Vec<_>>() {
            self.forget(&test_id, now, actions);
        }
        let fields = json!({"tests": surplus, "used_bytes": used_bytes, "most_bytes": most_bytes});
        log(actions, Level::Info, "tests_deleted", fields);
    }

    /// Removes files that no test names, until so many bytes are free; whether there were any.
    fn remove_files(
        &mut self,
        surplus_bytes: u64,
        files: &[KeptFile],
        now: Now,
        actions: &mut Actions,
    ) -> bool {
        let fresh_ms = (now.wall_ns / 1_000_000).saturating_sub(UPLOADED_MS);
        let named = self.list.files();
        let is_left =
            |file: &&KeptFile| file.used_unix_ms < fresh_ms && !named.contains(&file.sha256);
        let mut freed_bytes = 0;
        for file in files.iter().filter(is_left) {
            if freed_bytes >= surplus_bytes {
                break;
            }
            freed_bytes += file.bytes;
            actions.push(Action::RemoveFile(file.sha256));
            let fields = json!({"sha256": file.sha256, "bytes": file.bytes});
            log(actions, Level::Info, "file_removed", fields);
        }
        freed_bytes > 0
    }

    /// Deletes a test that has ended. What is still read about it is dropped.
    pub(super) fn forget(&mut self, test_id: &str, now: Now, actions: &mut Actions) {
        let until_unix_ms = (now.wall_ns / 1_000_000).saturating_add(TOMBSTONE_MS);
        self.list.remove(test_id);
        self.runs.forget(test_id);
        self.upkeep.forget(test_id);
        self.tombstones.add(test_id, until_unix_ms);
        actions.push(Action::Persist(Change::ForgetTest {
            test_id: test_id.to_owned(),
            until_unix_ms,
        }));
    }

    /// Whether a message is about a test that was deleted; it is counted.
    pub(super) fn is_of_deleted(&mut self, test_id: &str) -> bool {
        let is_deleted = self.tombstones.holds(test_id);
        self.counts.of_deleted += u64::from(is_deleted);
        is_deleted
    }

    /// Ends the tests that nobody triggered for a day. The drivers are told to forget them.
    fn expire(&mut self, now: Now, actions: &mut Actions) {
        if self.broker_trouble(now).is_some() {
            return;
        }
        let oldest_ms = (now.wall_ns / 1_000_000).saturating_sub(UNTRIGGERED_MS);
        let is_over = |open: &&super::OpenRun| {
            open.is_waiting() && open.run.queued.is_none() && open.run.created_ms() < oldest_ms
        };
        let over = self.runs.open().filter(is_over);
        let over: Vec<String> = over.map(|open| open.run.test_id.clone()).collect();
        for test_id in over {
            self.cancel_arming(&test_id, "aborted", actions);
            self.send_stop(&test_id, actions);
            let reason = "expired: nobody triggered it for 24 h".to_owned();
            self.end(&test_id, Step::Abort, Some(reason), now, actions);
        }
    }

    /// Has the oldest run compacted on which no report counts any more.
    fn compact_next(&mut self, now_ms: u64, actions: &mut Actions) {
        let is_due = |row: &&TestRow| {
            let since_ms = now_ms.saturating_sub(row.ended_unix_ms.unwrap_or(0));
            let wait_ms = if row.is_complete { SETTLED_MS } else { LATE_MS };
            since_ms >= wait_ms
                && self.upkeep.is_fit(&row.test_id)
                && !self.loading.contains_key(&row.test_id)
        };
        let due = self.list.not_compact().find(is_due);
        let Some((test_id, is_complete)) = due.map(|row| (row.test_id.clone(), row.is_complete))
        else {
            return;
        };
        if !is_complete {
            self.runs.forget(&test_id);
            self.list.set_complete(&test_id);
            actions.push(Action::Persist(Change::Complete(test_id.clone())));
        }
        self.upkeep.begin(&test_id);
        actions.push(Action::Compact(test_id));
    }

    /// A run is kept in little room now, or cannot be.
    pub(super) fn compacted(
        &mut self,
        test_id: &str,
        outcome: Result<(), String>,
        actions: &mut Actions,
    ) {
        self.upkeep.end(test_id, outcome.is_err());
        match outcome {
            Ok(()) => self.list.set_compact(test_id),
            Err(error) => {
                let fields = json!({"test_id": test_id, "error": error});
                log(actions, Level::Warn, "compaction_failed", fields);
            }
        }
    }
}
