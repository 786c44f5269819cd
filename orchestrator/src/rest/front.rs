//! The public listener: what clients can do to us is bounded here.
//!
//! `tiny_http` has no read timeouts, reads heads of any length, takes a thread for each connection,
//! ends when accepting fails once, and answers what it does not like without a body. So it listens
//! on a Unix socket of this process only, and this front stands before it: one thread with
//! `poll(2)` that holds every client's socket, reads a request whole (head and body, each with a
//! limit and a deadline), checks it, and only then has a relay thread pass it on. Answers are read
//! whole as well and written as the client takes them. A slow client so costs a socket and a
//! buffer, never a thread; when sockets or buffers run out, those that have kept us waiting for
//! longest are closed first.
//!
//! An answer that goes on, a stream of events, is begun by the API like any other, after the same
//! checks; from then on this thread writes what waits for its client, and closes it when that is too
//! slow. One that is a file is begun likewise, and read as its client takes it.

mod connection;
mod downloads;
mod head;
mod relay;
mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, getrlimit};
use rustls::ServerConfig;

use connection::{Connection, Turn};
pub use downloads::Downloads;
pub(super) use head::{FILE, STREAM, is_upload};
use relay::Relay;

use crate::live::{Queues, Taken};

/// Longest head, in bytes.
pub const HEAD_LEN_MAX: usize = 16 << 10;
/// Longest body, in bytes, but for files.
pub const BODY_LEN_MAX: usize = 1 << 20;
/// Most clients at a time, where the system gives us the descriptors.
pub const CONNECTIONS_MAX: usize = 2000;
/// Descriptors that are left to everything else: relay and API threads, readers, the broker.
const OTHER_FILES: u64 = 300;
/// Time that requests in hand have at the end: a trigger waits 5 s for the drivers.
const DRAIN_TIME: Duration = Duration::from_secs(6);
/// Most bytes of requests and answers in all buffers together.
const BUFFERED_MAX: usize = 256 << 20;
/// Most clients that are accepted before the others get their turn.
const ACCEPTS_PER_TURN: usize = 64;
/// Most files that are uploaded at a time: each takes a thread of the relay and one of the API.
const UPLOADS_MAX: usize = 4;
/// Longest sleep: deadlines are noticed after it.
const TURN: Duration = Duration::from_millis(100);
/// Wait after a failed accept (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What went by, for `/metrics`.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Requests passed on.
    pub requests: AtomicU64,
    /// Requests refused by the front.
    pub refused: AtomicU64,
    /// Connections closed because they kept us waiting, or to make room.
    pub closed: AtomicU64,
    /// Connections open now.
    pub open: AtomicU64,
}

/// A Unix socket of this process for `tiny_http`, and the address by which the relay finds it. It
/// has a random name in the abstract namespace, and so leaves no file.
///
/// # Errors
/// When the system has no socket left.
pub fn backend() -> io::Result<(UnixListener, UnixAddr)> {
    let name = format!("dlts-{}-{}", std::process::id(), proto::id::new_report_id());
    let address = UnixAddr::from_abstract_name(name)?;
    Ok((UnixListener::bind_addr(&address)?, address))
}

/// The front.
pub struct Front {
    /// None when we are about to end.
    listener: Option<TcpListener>,
    connections: BTreeMap<u64, Connection>,
    last_id: u64,
    relay: Relay,
    wake: UnixStream,
    /// The events of streams.
    queues: Arc<Queues>,
    /// Which client listens to each.
    listeners: BTreeMap<u64, u64>,
    /// The answers that are files.
    downloads: Arc<Downloads>,
    traffic: Arc<Traffic>,
    /// Not before this instant, after accepting failed.
    accept_from: Instant,
    connections_max: usize,
    tls: Option<Arc<ServerConfig>>,
}

impl Front {
    /// A front that accepts clients from `listener` and passes their requests to `backend`; with
    /// `tls` it speaks https and nothing else. What waits in `queues` goes to those who listen, and
    /// in `downloads` to those who asked for it.
    ///
    /// # Errors
    /// When the system has no socket left.
    pub fn new(
        listener: TcpListener,
        backend: &UnixAddr,
        traffic: Arc<Traffic>,
        tls: Option<Arc<ServerConfig>>,
        queues: Arc<Queues>,
        downloads: Arc<Downloads>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        queues.wake(waker.try_clone()?);
        Ok(Self {
            listener: Some(listener),
            connections: BTreeMap::new(),
            last_id: 0,
            relay: Relay::start(backend, &waker)?,
            wake,
            queues,
            downloads,
            listeners: BTreeMap::new(),
            traffic,
            accept_from: Instant::now(),
            connections_max: connections_max(getrlimit(Resource::Nofile).current),
            tls,
        })
    }

    /// Serves until stopped; then those who have asked get their answers, and nobody else is heard.
    pub fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if self.serve() {
                self.accept();
            }
            self.make_room();
            self.traffic
                .open
                .store(self.connections.len() as u64, Ordering::Relaxed);
        }
        let deadline = Instant::now() + DRAIN_TIME;
        self.listener = None;
        while Instant::now() < deadline {
            self.connections.retain(|_, client| client.is_last_answer());
            if self.connections.is_empty() {
                return;
            }
            self.serve();
        }
    }

    /// Waits for something to do and does it, but accepting; whether that is to be done.
    fn serve(&mut self) -> bool {
        let (accepts, woken, ready) = self.wait();
        if woken {
            self.take_answers();
            self.feed_listeners();
        }
        for id in ready {
            self.turn(id);
        }
        self.expire();
        accepts
    }

    /// Waits for something to do: whether to accept, whether answers came, which clients move.
    fn wait(&self) -> (bool, bool, Vec<u64>) {
        let mut ids = Vec::with_capacity(self.connections.len());
        let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
        for (id, connection) in &self.connections {
            if let Some(interest) = connection.interest() {
                ids.push(*id);
                fds.push(PollFd::from_borrowed_fd(connection.fd(), interest));
            }
        }
        let is_time = Instant::now() >= self.accept_from;
        let listener = self.listener.as_ref().filter(|_| is_time);
        fds.extend(listener.map(|listener| PollFd::new(listener, PollFlags::IN)));
        let timeout = Timespec::try_from(TURN).ok();
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return (false, false, Vec::new());
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let ready = ids.iter().zip(&fds[1..]).filter(|(_, fd)| is_ready(fd));
        let ready = ready.map(|(id, _)| id);
        // A file goes on also when there is room for it again, and when TLS has more of it.
        let uploads = self.connections.iter();
        let uploads = uploads.filter(|(_, client)| client.is_uploading());
        let uploads = uploads.map(|(id, _)| id);
        let ready: BTreeSet<u64> = ready.chain(uploads).copied().collect();
        let ready = ready.into_iter().collect();
        let accepts = listener.is_some() && fds.last().is_some_and(is_ready);
        (accepts, is_ready(&fds[0]), ready)
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        for _ in 0..ACCEPTS_PER_TURN {
            match listener.accept() {
                Ok((stream, _)) => {
                    if let Ok(connection) = Connection::new(stream, self.tls.as_ref()) {
                        self.last_id += 1;
                        self.connections.insert(self.last_id, connection);
                        self.traffic.accepted.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(_) => {
                    self.accept_from = Instant::now() + ACCEPT_PAUSE;
                    return;
                }
            }
        }
    }

    /// Lets a client move on as far as it can.
    fn turn(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match connection.turn() {
            Turn::Wait => self.feed(id),
            Turn::Pass(request) => {
                self.traffic.requests.fetch_add(1, Ordering::Relaxed);
                let is_upload = request.rest.is_some();
                let are_too_many = is_upload && self.uploads() > UPLOADS_MAX;
                let Some(connection) = self.connections.get_mut(&id) else {
                    return;
                };
                if are_too_many {
                    let error = format!("{UPLOADS_MAX} files are uploaded already");
                    connection.answer(head::refusal(503, &error, "try again in a minute"));
                } else if !self.relay.pass(id, request) {
                    connection.answer(head::refusal(503, "the orchestrator is busy", "try again"));
                }
            }
            Turn::Refused => {
                self.traffic.refused.fetch_add(1, Ordering::Relaxed);
            }
            Turn::Close => self.forget(id),
        }
    }

    fn uploads(&self) -> usize {
        let connections = self.connections.values();
        connections.filter(|client| client.is_uploading()).count()
    }

    /// Those for whom something waits, if they have taken what came before.
    fn feed_listeners(&mut self) {
        for ticket in self.queues.ready() {
            let Some(id) = self.listeners.get(&ticket).copied() else {
                continue;
            };
            self.feed(id);
            if self.listeners.contains_key(&ticket) && self.queues.is_slow(ticket) {
                self.close(id);
            }
        }
    }

    /// Gives a listener that has taken all that came before what waits for it.
    fn feed(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(ticket) = connection.ticket().filter(|_| connection.is_hungry()) else {
            return;
        };
        match self.queues.take(ticket) {
            Taken::Bytes(events) if events.is_empty() => return,
            Taken::Bytes(events) => connection.feed(events),
            Taken::Last(events) => {
                self.listeners.remove(&ticket);
                connection.feed_last(events);
            }
            Taken::Gone => return self.close(id),
        }
        if matches!(connection.turn(), Turn::Close) {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: u64) {
        let connection = self.connections.remove(&id);
        if let Some(ticket) = connection.and_then(|connection| connection.ticket()) {
            self.listeners.remove(&ticket);
            self.queues.close(ticket);
        }
    }

    fn take_answers(&mut self) {
        let mut bytes = [0; 256];
        while matches!(self.wake.read(&mut bytes), Ok(1..)) {}
        while let Some((id, answer)) = self.relay.answer() {
            let stream = head::stream_of(&answer);
            let file = head::file_of(&answer, |ticket| self.downloads.take(ticket));
            let Some(connection) = self.connections.get_mut(&id) else {
                if let Some((ticket, _)) = stream {
                    self.queues.close(ticket);
                }
                continue;
            };
            match (stream, file) {
                (Some((ticket, beginning)), _) => {
                    self.listeners.insert(ticket, id);
                    connection.begin_stream(ticket, beginning);
                }
                (None, Some((rest, head))) => connection.answer_with(head, rest),
                (None, None) => connection.answer(answer),
            }
            // Most answers fit into the socket's buffer.
            self.turn(id);
        }
    }

    /// Closes who kept us waiting for too long.
    fn expire(&mut self) {
        let now = Instant::now();
        let late = self
            .connections
            .iter_mut()
            .filter(|(_, connection)| connection.is_late(now));
        let gone: Vec<u64> = late
            .filter_map(|(id, connection)| (!connection.time_out()).then_some(*id))
            .collect();
        for id in gone {
            self.close(id);
        }
    }

    /// Closes those that kept us waiting for longest, when sockets or buffers run out.
    fn make_room(&mut self) {
        loop {
            let buffered: usize = self.connections.values().map(Connection::buffered).sum();
            let is_full = self.connections.len() >= self.connections_max || buffered > BUFFERED_MAX;
            if !is_full {
                return;
            }
            let idle = self
                .connections
                .iter()
                .filter(|(_, c)| c.interest().is_some());
            let Some(id) = idle.min_by_key(|(_, c)| c.since()).map(|(id, _)| *id) else {
                return;
            };
            self.close(id);
        }
    }

    fn close(&mut self, id: u64) {
        self.forget(id);
        self.traffic.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Most clients where this is the limit of open files, if there is one.
fn connections_max(files_max: Option<u64>) -> usize {
    let left = files_max.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES);
    usize::try_from(left).map_or(CONNECTIONS_MAX, |left| left.clamp(1, CONNECTIONS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_for_everything_else() {
        for (files_max, clients) in [(1024, 724), (1 << 20, 2000), (301, 1), (64, 1)] {
            assert_eq!(connections_max(Some(files_max)), clients, "{files_max}");
        }
        assert_eq!(connections_max(None), 2000);
    }
}
