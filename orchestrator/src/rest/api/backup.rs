//! `GET /backup`: the store as it is now, as a file.

use super::{Answer, Worker};
use crate::rest::front::FILE;

impl Worker {
    pub(super) fn backup(&mut self) -> Answer {
        self.api.downloads.forget_unclaimed();
        let file = match self.api.backups.copy(&self.api.store_path) {
            Ok(Some(file)) => file,
            Ok(None) => {
                let error = "another backup is being made, or sent";
                let answer = Answer::error(503, error, "ask again when it is done");
                return answer.with("Retry-After", "10");
            }
            Err(error) => {
                let error = format!("the store cannot be copied: {error}");
                let hint = "a backup takes as much room again on the store's disk as it is made";
                return Answer::error(503, &error, hint);
            }
        };
        let ticket = self.api.downloads.put(file);
        Answer::new(200, "application/vnd.sqlite3", Vec::new())
            .with(
                "Content-Disposition",
                "attachment; filename=\"orchestrator.sqlite\"",
            )
            .with(FILE, ticket.to_string())
    }
}
