//! Passing whole requests to `tiny_http` and reading whole answers.

use std::io::{self, Read, Write};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::head;

/// Threads that pass requests: as many as may be answered at a time.
pub(super) const THREADS: usize = 32;
/// Requests that wait for one of them; clients are told to come again when there are more.
const WAITING_MAX: usize = 256;
/// Time in which an answer must begin: a trigger waits 5 s, the control thread answers in 15 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The same for a copy of the store, which is made before its first byte goes out: 20 GB on a slow disk.
const BACKUP_TIMEOUT: Duration = Duration::from_secs(3600);
/// Longest answer, in bytes.
const ANSWER_LEN_MAX: u64 = 512 << 20;

type Job = (u64, Vec<u8>);

/// The threads.
pub(super) struct Relay {
    jobs: Sender<Job>,
    answers: Receiver<Job>,
}

impl Relay {
    /// Starts the threads; each writes a byte to `waker` when it has an answer.
    pub(super) fn start(backend: &SocketAddr, waker: &UnixStream) -> io::Result<Self> {
        let (jobs, waiting) = bounded::<Job>(WAITING_MAX);
        // Not more than there are requests under way, so bounded by them.
        let (done, answers) = unbounded();
        for at in 0..THREADS {
            let (waiting, done, backend) = (waiting.clone(), done.clone(), backend.clone());
            let mut waker = waker.try_clone()?;
            let work = move || {
                for (id, request) in waiting {
                    let answer = pass(&backend, &request).unwrap_or_else(|_| {
                        head::refusal(503, "the orchestrator is busy", "try again in a second")
                    });
                    let _ = done.send((id, answer));
                    // A full pipe wakes the front as well.
                    let _ = waker.write(&[1]);
                }
            };
            std::thread::Builder::new()
                .name(format!("relay-{at}"))
                .spawn(work)?;
        }
        Ok(Self { jobs, answers })
    }

    /// Passes a request on; false when too many wait.
    pub(super) fn pass(&self, id: u64, request: Vec<u8>) -> bool {
        self.jobs.try_send((id, request)).is_ok()
    }

    /// The next answer, if there is one.
    pub(super) fn answer(&self) -> Option<Job> {
        self.answers.try_recv().ok()
    }
}

fn pass(backend: &SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect_addr(backend)?;
    let is_backup = request.starts_with(b"GET /backup");
    let timeout = if is_backup {
        BACKUP_TIMEOUT
    } else {
        ANSWER_TIMEOUT
    };
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    (&stream).take(ANSWER_LEN_MAX).read_to_end(&mut answer)?;
    if answer.is_empty() {
        Err(io::ErrorKind::UnexpectedEof.into())
    } else {
        Ok(answer)
    }
}
