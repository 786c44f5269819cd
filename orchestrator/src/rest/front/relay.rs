//! Passing whole requests to `tiny_http` and reading whole answers.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::Request;
use super::head;

/// Threads that pass requests: as many as may be answered at a time.
pub(super) const THREADS: usize = 32;
/// Requests that wait for one of them; clients are told to come again when there are more.
const WAITING_MAX: usize = 256;
/// Longest wait for a piece of a file; an answer that comes before its end is noticed after it.
const PIECE_POLL: Duration = Duration::from_millis(100);
/// Longest answer, in bytes.
const ANSWER_LEN_MAX: u64 = 512 << 20;

/// The threads.
pub(super) struct Relay {
    jobs: Sender<(u64, Request)>,
    answers: Receiver<(u64, Vec<u8>)>,
}

impl Relay {
    /// Starts the threads; each writes a byte to `waker` when it has an answer.
    pub(super) fn start(backend: &SocketAddr, waker: &UnixStream) -> io::Result<Self> {
        let (jobs, waiting) = bounded::<(u64, Request)>(WAITING_MAX);
        // Not more than there are requests under way, so bounded by them.
        let (done, answers) = unbounded();
        for at in 0..THREADS {
            let (waiting, done, backend) = (waiting.clone(), done.clone(), backend.clone());
            let mut waker = waker.try_clone()?;
            let work = move || {
                for (id, request) in waiting {
                    let answer = pass(&backend, request, &mut waker).unwrap_or_else(|_| {
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
    pub(super) fn pass(&self, id: u64, request: Request) -> bool {
        self.jobs.try_send((id, request)).is_ok()
    }

    /// The next answer, if there is one.
    pub(super) fn answer(&self) -> Option<(u64, Vec<u8>)> {
        self.answers.try_recv().ok()
    }
}

fn pass(backend: &SocketAddr, request: Request, waker: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect_addr(backend)?;
    stream.set_read_timeout(Some(request.answer_time))?;
    stream.set_write_timeout(Some(request.answer_time))?;
    stream.write_all(&request.bytes)?;
    if let Some(rest) = request.rest {
        pass_rest(&stream, &rest, waker)?;
    }
    let mut answer = Vec::new();
    (&stream).take(ANSWER_LEN_MAX).read_to_end(&mut answer)?;
    if answer.is_empty() {
        Err(io::ErrorKind::UnexpectedEof.into())
    } else {
        Ok(answer)
    }
}

/// Passes a body on as it comes, until it is whole, its client is gone, or it is answered: then
/// nothing more of it is wanted, and its end says so.
fn pass_rest(
    mut stream: &UnixStream,
    rest: &Receiver<Vec<u8>>,
    waker: &mut UnixStream,
) -> io::Result<()> {
    loop {
        let is_answered = has_answer(stream)?;
        match rest.recv_timeout(PIECE_POLL) {
            Ok(piece) if !is_answered => {
                stream.write_all(&piece)?;
                // There is room for the next. A full pipe wakes the front as well.
                let _ = waker.write(&[1]);
            }
            Err(RecvTimeoutError::Timeout) if !is_answered => {}
            // A body that is not whole by then is noticed by its length.
            _ => return stream.shutdown(Shutdown::Write),
        }
    }
}

fn has_answer(stream: &UnixStream) -> io::Result<bool> {
    let mut fds = [PollFd::new(stream, PollFlags::IN)];
    let ready = poll(&mut fds, Some(&Timespec::default()))?;
    Ok(ready > 0)
}
