//! Bodies that are files: passed on as they come, in pieces of which few wait.

use std::io::{ErrorKind, Read};

use crossbeam_channel::{Sender, bounded};

use super::{BODY_TIME, Connection, Head, Phase, Request, Turn};

/// Bytes of a file that are passed on at once …
const PIECE_LEN: usize = 64 << 10;
/// … and how many such pieces may wait.
const PIECES_MAX: usize = 8;

/// A file that is read.
#[derive(Debug)]
pub(super) struct Upload {
    pieces: Sender<Vec<u8>>,
    /// Bytes that are still to come.
    left: usize,
}

impl Connection {
    /// Whether a file of its is read, which may go on without a sign of its socket.
    pub(in crate::rest::front) fn is_uploading(&self) -> bool {
        self.phase == Phase::Uploading
    }

    /// Whether it is not read from because what it sent was not taken yet.
    pub(super) fn is_held_up(&self) -> bool {
        let upload = self.upload.as_ref();
        self.is_uploading() && upload.is_some_and(|upload| upload.pieces.is_full())
    }

    /// Passes on the head of a file, with what has come of it.
    pub(super) fn begin_upload(&mut self, head: Head) -> Turn {
        let end = self.input.len().min(head.len + head.body_len);
        let mut bytes = head.rewritten;
        bytes.extend_from_slice(&self.input[head.len..end]);
        let left = head.len + head.body_len - end;
        self.input.drain(..end);
        self.keeps_alive = head.keeps_alive;
        let rest = (left > 0).then(|| {
            let (pieces, rest) = bounded(PIECES_MAX);
            self.upload = Some(Upload { pieces, left });
            rest
        });
        match rest {
            Some(_) => self.begin(Phase::Uploading, BODY_TIME),
            None => self.phase = Phase::Waiting,
        }
        Turn::Pass(Request {
            bytes,
            rest,
            answer_time: head.answer_time,
        })
    }

    /// Reads on of a file, as long as there is room for it.
    pub(super) fn read_upload(&mut self) -> Turn {
        while let Some(upload) = self
            .upload
            .as_mut()
            .filter(|upload| !upload.pieces.is_full())
        {
            let mut piece = vec![0; upload.left.min(PIECE_LEN)];
            match self.socket.read(&mut piece) {
                Ok(0) => return Turn::Close,
                Ok(len) => {
                    piece.truncate(len);
                    upload.left -= len;
                    let is_over = upload.left == 0;
                    // Who is not taking any more has answered.
                    if upload.pieces.try_send(piece).is_err() && !is_over {
                        return Turn::Wait;
                    }
                    self.begin(Phase::Uploading, BODY_TIME);
                    if is_over {
                        self.upload = None;
                        self.phase = Phase::Waiting;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Turn::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Turn::Close,
            }
        }
        Turn::Wait
    }
}
