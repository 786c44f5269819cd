//! Files on their way to the drivers that ask for them: the heartbeats say what is lacking, and one
//! thread reads it from the folder and publishes it, a window at a time.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use proto::bus::Publisher;
use proto::digest::Sha256;
use proto::message::Need;
use proto::topic::Topic;
use proto::transfer::{Chunk, PIECE_LEN, Piece, Sender, WINDOW};
use proto::{clock, log};
use serde_json::json;

use crate::control::Asked;
use crate::files::Files;

/// Questions that wait; a driver that finds no room asks again in a second.
pub const ASKED_MAX: usize = 4096;
/// Longest sleep while somebody asks: what was lost is noticed after it.
const TURN: Duration = Duration::from_millis(50);
/// Longest sleep while nobody does: a stop is noticed after it.
const IDLE: Duration = Duration::from_millis(200);
/// Messages that the client may hold; more only wait for a broker that is away.
#[allow(clippy::cast_possible_truncation)] // sixteen
const IN_FLIGHT_MAX: usize = 2 * (WINDOW / PIECE_LEN) as usize;

/// The thread's work.
pub struct DataSender {
    /// The files.
    pub files: Arc<Files>,
    /// A client of its own: reports and triggers do not wait behind files.
    pub publisher: Publisher,
    /// What drivers ask for.
    pub asked: Receiver<Asked>,
    /// Set to end the thread.
    pub stop: Arc<AtomicBool>,
}

impl DataSender {
    /// Sends until stopped.
    pub fn run(self) {
        let mut sender = Sender::default();
        let mut open = None;
        let mut sent = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let wait = if sender.is_idle() { IDLE } else { TURN };
            match self.asked.recv_timeout(wait) {
                Ok(asked) => {
                    self.hear(&mut sender, &asked);
                    for asked in self.asked.try_iter() {
                        self.hear(&mut sender, &asked);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            sent += self.send(&mut sender, &mut open);
            if sender.is_idle() {
                open = None;
                if sent > 0 {
                    log::info("data_sent", json!({ "bytes": sent }));
                    sent = 0;
                }
            }
        }
    }

    fn hear(&self, sender: &mut Sender, asked: &Asked) {
        let has = |need: &Need| {
            let stored = self.files.find(&need.sha256);
            stored.is_some_and(|stored| stored.bytes == need.bytes)
        };
        sender.heard(&asked.node_id, &asked.needs, has, clock::monotonic_ns());
    }

    /// Publishes what may be under way now; how many bytes that is.
    fn send(&self, sender: &mut Sender, open: &mut Option<(Sha256, File)>) -> u64 {
        let mut sent = 0;
        // What became of each is for the acknowledgements to say; but why none come is said here.
        let mut arrived = self.publisher.poll(Duration::ZERO).into_iter();
        if let Some(error) = arrived.find_map(|delivery| delivery.error) {
            log::warn("data_unsent", json!({"error": error.to_string()}));
        }
        while self.publisher.in_flight() < IN_FLIGHT_MAX {
            let Some(piece) = sender.next(clock::monotonic_ns()) else {
                break;
            };
            let content = match self.read(&piece, open) {
                Ok(content) => content,
                Err(error) => {
                    let fields = json!({"sha256": piece.sha256, "error": error.to_string()});
                    log::warn("data_unreadable", fields);
                    sender.forget(&piece.sha256);
                    *open = None;
                    continue;
                }
            };
            let chunk = Chunk {
                sha256: piece.sha256,
                bytes: piece.bytes,
                offset: piece.offset,
                content: &content,
            };
            let key = piece.sha256.to_string();
            let message = chunk.encode();
            let published = self.publisher.publish_bytes(Topic::Data, &key, &message, 0);
            if let Err(error) = published {
                log::warn("data_unsent", json!({"error": error.to_string()}));
                break;
            }
            sent += piece.len;
        }
        sent
    }

    fn read(&self, piece: &Piece, open: &mut Option<(Sha256, File)>) -> std::io::Result<Vec<u8>> {
        let (_, file) = match open.take_if(|(sha256, _)| *sha256 == piece.sha256) {
            Some(same) => open.insert(same),
            None => open.insert((piece.sha256, self.files.read(&piece.sha256)?)),
        };
        let mut content = vec![0; usize::try_from(piece.len).unwrap_or(0)];
        file.read_exact_at(&mut content, piece.offset)?;
        Ok(content)
    }
}
