//! The loop that never sleeps: one thread, readiness polled without waiting, one stamp a turn.
//!
//! All arrivals that one poll finds ready get the same stamp, taken right after the poll: they were
//! there by then. Reading and answering come after, so that the answers do not delay the stamps of
//! requests that came in together.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proto::clock::monotonic_ns;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use serde_json::{Value, json};

use super::answer::{Answer, Answers};
use super::grid::{self, Grid};
use super::request::{self, Next, Request};
use super::stamps::{Keep, Stamps};

const LISTENER: u64 = u64::MAX;
const READ_LEN: usize = 64 << 10;
const EVENTS_LEN: usize = 1024;
const BACKLOG: i32 = 4096;
const NO_WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// The server and everything that it has stamped.
#[derive(Debug)]
pub(super) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    poll: std::os::fd::OwnedFd,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    opened: u64,
    read: Vec<u8>,
    /// What goes out in this turn.
    answers: Vec<u8>,
    told: Answers,
    stamps: Stamps,
    idle: Idle,
    idle_at_last_arrival: Idle,
    ended: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// The start of a request whose rest has not come yet.
    partial: Vec<u8>,
    /// Answers that the socket did not take yet, from `unsent_at` on.
    unsent: Vec<u8>,
    unsent_at: usize,
    /// The last plain request: the same bytes again need no parsing.
    familiar: Vec<u8>,
    /// What it is answered.
    familiar_answer: Option<Answer>,
    body_left: usize,
    close: bool,
}

/// An empty turn takes less than a microsecond. One that takes longer than this, ns, was held up: by
/// an interrupt, or by a hypervisor that gave the core to another guest.
const HELD_UP_NS: u64 = 10_000;

/// How long the loop found nothing to do, since the first arrival.
#[derive(Debug, Default, Clone, Copy)]
struct Idle {
    total_ns: u64,
    /// Of that, turns that were held up: an arrival in them got its stamp late.
    held_up_ns: u64,
}

impl Idle {
    fn pass(&mut self, ns: u64) {
        self.total_ns += ns;
        if ns > HELD_UP_NS {
            self.held_up_ns += ns;
        }
    }
}

impl Server {
    pub(super) fn listen(address: SocketAddr, grid: Option<Grid>) -> Result<Self, super::Error> {
        let listen_error = |source| super::Error::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(listen_error)?;
        // The backlog of the standard library drops connections when a thousand come at once.
        rustix::net::listen(&listener, BACKLOG).map_err(io::Error::from)?;
        listener.set_nonblocking(true)?;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from)?;
        epoll::add(
            &poll,
            &listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )
        .map_err(io::Error::from)?;
        let ended = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&ended))?;
        }
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            poll,
            connections: Vec::new(),
            free: Vec::new(),
            opened: 0,
            read: vec![0; READ_LEN],
            answers: Vec::with_capacity(READ_LEN),
            told: Answers::new(),
            stamps: Stamps::new(Keep {
                grid,
                ..Keep::default()
            }),
            idle: Idle::default(),
            idle_at_last_arrival: Idle::default(),
            ended,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn requests(&self) -> u64 {
        self.stamps.requests()
    }

    pub(super) fn serve(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_LEN);
        let mut before_ns = monotonic_ns();
        while !self.ended.load(Ordering::Relaxed) {
            events.clear();
            match epoll::wait(
                &self.poll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&NO_WAIT),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let now_ns = monotonic_ns();
            if events.is_empty() {
                self.idle.pass(now_ns - before_ns);
                before_ns = now_ns;
                continue;
            }
            for event in &events {
                self.turn(event, now_ns);
            }
            before_ns = monotonic_ns();
            self.stamps.answered(before_ns);
        }
        Ok(())
    }

    fn turn(&mut self, event: &Event, now_ns: u64) {
        let id = event.data.u64();
        if id == LISTENER {
            self.accept();
            return;
        }
        let index = usize::try_from(id).expect("invariant: an index was given as data");
        // A connection may have been dropped by an earlier event of the same turn.
        let Some(mut connection) = self.connections[index].take() else {
            return;
        };
        match self.advance(&mut connection, index, now_ns) {
            Ok(true) => self.connections[index] = Some(connection),
            Ok(false) | Err(_) => self.free.push(index),
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream
                .set_nonblocking(true)
                .and_then(|()| stream.set_nodelay(true))
                .is_err()
            {
                continue;
            }
            let index = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let data = EventData::new_u64(index as u64);
            if epoll::add(&self.poll, &stream, data, EventFlags::IN).is_ok() {
                self.opened += 1;
                self.connections[index] = Some(Connection::new(stream));
            } else {
                self.free.push(index);
            }
        }
    }

    /// Reads, stamps, answers. Says whether the connection goes on.
    fn advance(
        &mut self,
        connection: &mut Connection,
        index: usize,
        now_ns: u64,
    ) -> io::Result<bool> {
        let mut read = std::mem::take(&mut self.read);
        let outcome = match connection.stream.read(&mut read) {
            Ok(0) => Ok(false),
            Ok(len) => Ok(self.take_requests(connection, &read[..len], now_ns)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        };
        self.read = read;
        let goes_on = outcome?;
        self.send(connection, index)?;
        Ok(goes_on && (!connection.close || connection.waits()))
    }

    /// Says whether the connection can be understood.
    fn take_requests(&mut self, connection: &mut Connection, fresh: &[u8], now_ns: u64) -> bool {
        if connection.partial.is_empty() {
            let Some(used) = self.take_all(connection, fresh, now_ns) else {
                return false;
            };
            connection.partial.extend_from_slice(&fresh[used..]);
            return true;
        }
        let mut bytes = std::mem::take(&mut connection.partial);
        bytes.extend_from_slice(fresh);
        let Some(used) = self.take_all(connection, &bytes, now_ns) else {
            return false;
        };
        bytes.drain(..used);
        connection.partial = bytes;
        true
    }

    /// Takes as many requests as there are. Says how many bytes those were, `None` for nonsense.
    fn take_all(
        &mut self,
        connection: &mut Connection,
        bytes: &[u8],
        now_ns: u64,
    ) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() && !connection.close {
            let rest = &bytes[at..];
            if connection.body_left > 0 {
                let body = connection.body_left.min(rest.len());
                connection.body_left -= body;
                at += body;
            } else if let Some(answer) = connection.familiar(rest) {
                self.stamp(now_ns);
                answer.write(self.stamps.requests(), &mut self.answers);
                at += connection.familiar.len();
            } else {
                match request::next(rest) {
                    Next::Partial => break,
                    Next::Invalid => return None,
                    Next::Complete(request) => {
                        let answer = self.answer(&request, now_ns);
                        connection.remember(&request, rest, answer);
                        at += request.head_len;
                    }
                }
            }
        }
        Some(at)
    }

    #[inline]
    fn stamp(&mut self, now_ns: u64) {
        if self.stamps.requests() == 0 {
            self.idle = Idle::default();
        }
        self.stamps.arrive(now_ns);
        self.idle_at_last_arrival = self.idle;
    }

    /// Answers a request; gives the answer that the same request may have again, unasked.
    fn answer(&mut self, request: &Request, now_ns: u64) -> Option<Answer> {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((request.target, ""));
        match path {
            "/metric" => self.answer_text(200, &self.stamps.requests().to_string()),
            "/report" => self.answer_text(200, &self.report().to_string()),
            "/stamps" => self.answer_text(200, &self.stamps.listed()),
            "/reset" => self.reset(query),
            _ => match self.told.to(query, request.is_http_1_0) {
                Ok(answer) => {
                    self.stamp(now_ns);
                    answer.write(self.stamps.requests(), &mut self.answers);
                    return Some(answer);
                }
                Err(error) => self.refuse(&error.to_string()),
            },
        }
        None
    }

    fn reset(&mut self, query: &str) {
        match grid::parse_query(query) {
            Ok(keep) => {
                self.stamps = Stamps::new(keep);
                self.opened = 0;
                let gap_ns = keep.grid.map(Grid::gap_ns);
                self.answer_text(200, &json!({ "grid_ns": gap_ns }).to_string());
            }
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn refuse(&mut self, error: &str) {
        self.answer_text(400, &json!({ "error": error }).to_string());
    }

    fn report(&self) -> Value {
        let mut report = self.stamps.report();
        let window_ns = self.stamps.window_ns();
        let share = |ns: u64| (window_ns > 0).then(|| ns as f64 / window_ns as f64);
        let idle = self.idle_at_last_arrival;
        report["busy_share"] = json!(share(idle.total_ns).map(|idle| (1.0 - idle).max(0.0)));
        report["held_up_share"] = json!(share(idle.held_up_ns));
        report["connections"] = json!(self.opened);
        report
    }

    fn answer_text(&mut self, status: u16, text: &str) {
        let len = text.len();
        let head = format!("HTTP/1.1 {status} As Asked\r\nContent-Length: {len}\r\n\r\n{text}");
        self.answers.extend_from_slice(head.as_bytes());
    }

    /// Sends the answers of this turn after what is still unsent; what the socket does not take
    /// waits until the poll says that it is writable.
    fn send(&mut self, connection: &mut Connection, index: usize) -> io::Result<()> {
        let waited = connection.waits();
        let sent = connection.send(&self.answers);
        // Also when that failed: they are for this connection and no other.
        self.answers.clear();
        sent?;
        let waits = connection.waits();
        if waits != waited {
            let flags = if waits {
                EventFlags::IN | EventFlags::OUT
            } else {
                EventFlags::IN
            };
            let data = EventData::new_u64(index as u64);
            epoll::modify(&self.poll, &connection.stream, data, flags)?;
        }
        Ok(())
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            partial: Vec::new(),
            unsent: Vec::new(),
            unsent_at: 0,
            familiar: Vec::new(),
            familiar_answer: None,
            body_left: 0,
            close: false,
        }
    }

    /// Whether answers wait for the socket.
    #[inline]
    fn waits(&self) -> bool {
        self.unsent_at < self.unsent.len()
    }

    /// Sends what waits and then `answers`, as far as the socket takes them; the rest waits.
    fn send(&mut self, answers: &[u8]) -> io::Result<()> {
        if !self.waits() {
            let sent = write_some(&mut self.stream, answers)?;
            self.unsent.extend_from_slice(&answers[sent..]);
            return Ok(());
        }
        self.unsent.extend_from_slice(answers);
        self.unsent_at += write_some(&mut self.stream, &self.unsent[self.unsent_at..])?;
        if !self.waits() {
            self.unsent.clear();
            self.unsent_at = 0;
        }
        Ok(())
    }

    /// The answer to the last request, if that comes again.
    #[inline]
    fn familiar(&self, bytes: &[u8]) -> Option<&Answer> {
        self.familiar_answer
            .as_ref()
            .filter(|_| bytes.starts_with(&self.familiar))
    }

    fn remember(&mut self, request: &Request, bytes: &[u8], answer: Option<Answer>) {
        self.body_left = request.body_len;
        self.close = request.close;
        if answer.is_some() && !request.close && request.body_len == 0 {
            self.familiar.clear();
            self.familiar.extend_from_slice(&bytes[..request.head_len]);
            self.familiar_answer = answer;
        }
    }
}

fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => sent += len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
