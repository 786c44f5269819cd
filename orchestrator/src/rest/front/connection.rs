//! One client's socket.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use proto::transfer::FILE_LEN_MAX;
use rustix::event::PollFlags;
use rustls::ServerConfig;

use super::downloads::Rest;
use super::head::{self, Head, Parsed};
use super::socket::Socket;
use super::{BODY_LEN_MAX, HEAD_LEN_MAX};

mod upload;

use upload::Upload;

/// Time for a whole head, and for a first request after connecting.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Time for a whole body.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Time between requests of one connection.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Time to take an answer.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// Time in which a client whose connection we end may go on sending, so that it reads the answer.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// A stream without events says after this time that it is still there: proxies close silent ones.
const BEAT_TIME: Duration = Duration::from_secs(10);
/// A comment, which clients skip.
const BEAT: &[u8] = b":\n\n";
/// Bytes that are read in one turn.
const READ_LEN: usize = 16 << 10;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A request is read.
    Reading,
    /// A file is read, and passed on as it comes.
    Uploading,
    /// It is answered by others.
    Waiting,
    /// The answer is written.
    Writing,
    /// The answer goes on for as long as there are events.
    Streaming,
    /// What still comes is thrown away.
    Lingering,
}

/// What came of a client's turn.
#[derive(Debug)]
pub(super) enum Turn {
    /// Nothing more for now.
    Wait,
    /// A whole request, to be passed on.
    Pass(Request),
    /// A request was refused.
    Refused,
    /// It is over.
    Close,
}

/// A request for others.
#[derive(Debug)]
pub(super) struct Request {
    /// It, whole but for what follows.
    pub(super) bytes: Vec<u8>,
    /// What follows of its body, as it comes.
    pub(super) rest: Option<Receiver<Vec<u8>>>,
    /// Time in which its answer must begin, and each piece of it be taken.
    pub(super) answer_time: Duration,
}

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    phase: Phase,
    input: Vec<u8>,
    /// The head of the request that is read, once it is whole.
    head: Option<Head>,
    output: Vec<u8>,
    written: usize,
    /// What comes after the output, of an answer that is a file.
    rest: Option<Rest>,
    keeps_alive: bool,
    upload: Option<Upload>,
    /// The stream that it listens to.
    ticket: Option<u64>,
    since: Instant,
    deadline: Instant,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> std::io::Result<Self> {
        let socket = Socket::new(stream, tls)?;
        let now = Instant::now();
        Ok(Self {
            socket,
            phase: Phase::Reading,
            input: Vec::new(),
            head: None,
            output: Vec::new(),
            written: 0,
            rest: None,
            keeps_alive: true,
            upload: None,
            ticket: None,
            since: now,
            deadline: now + HEAD_TIME,
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.fd()
    }

    /// What to wait for; nothing while others work on its request.
    pub(super) fn interest(&self) -> Option<PollFlags> {
        match self.phase {
            Phase::Reading if self.socket.wants_write() => Some(PollFlags::IN | PollFlags::OUT),
            Phase::Streaming if !self.output.is_empty() => Some(PollFlags::IN | PollFlags::OUT),
            Phase::Reading | Phase::Lingering | Phase::Streaming => Some(PollFlags::IN),
            Phase::Writing => Some(PollFlags::OUT),
            Phase::Uploading => (!self.is_held_up()).then_some(PollFlags::IN),
            Phase::Waiting => None,
        }
    }

    /// Whether an answer is awaited or written, which is its last from now on.
    pub(super) fn is_last_answer(&mut self) -> bool {
        self.keeps_alive = false;
        matches!(self.phase, Phase::Waiting | Phase::Writing)
    }

    /// Since when we wait for it.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Bytes that it makes us hold.
    pub(super) fn buffered(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.phase != Phase::Waiting && now >= self.deadline && !self.is_held_up()
    }

    /// Its time is over: one that sent half a request is told so; whether it stays for that.
    pub(super) fn time_out(&mut self) -> bool {
        if self.is_hungry() {
            self.feed(BEAT.to_vec());
            return matches!(self.stream(), Turn::Wait);
        }
        if self.phase != Phase::Reading || (self.input.is_empty() && self.head.is_none()) {
            return false;
        }
        self.refuse(
            408,
            "the request did not come in time",
            "send head and body at once",
        );
        matches!(self.write(), Turn::Wait | Turn::Refused)
    }

    /// Moves on as far as it can.
    pub(super) fn turn(&mut self) -> Turn {
        match self.phase {
            Phase::Reading => self.read(),
            Phase::Uploading => self.read_upload(),
            Phase::Waiting => Turn::Wait,
            Phase::Writing => self.write(),
            Phase::Streaming => self.listen(),
            Phase::Lingering => self.linger(),
        }
    }

    /// Takes an answer, ready to be written.
    pub(super) fn answer(&mut self, mut answer: Vec<u8>) {
        // What still comes of a file that was refused is no request.
        self.keeps_alive &= self.upload.take().is_none();
        if !self.keeps_alive {
            head::say_close(&mut answer);
        }
        self.begin(Phase::Writing, WRITE_TIME);
        self.output = answer;
        self.written = 0;
    }

    /// Takes the head of an answer and the file that is its body.
    pub(super) fn answer_with(&mut self, head: Vec<u8>, rest: Rest) {
        self.answer(head);
        self.rest = Some(rest);
    }

    /// Takes the beginning of an answer that goes on with the events of a stream.
    pub(super) fn begin_stream(&mut self, ticket: u64, beginning: Vec<u8>) {
        self.ticket = Some(ticket);
        self.input = Vec::new();
        self.feed(beginning);
    }

    /// The stream that it listens to.
    pub(super) fn ticket(&self) -> Option<u64> {
        self.ticket
    }

    /// Whether it listens, and has taken all that there was.
    pub(super) fn is_hungry(&self) -> bool {
        self.phase == Phase::Streaming && self.output.is_empty()
    }

    /// Takes the next events.
    pub(super) fn feed(&mut self, events: Vec<u8>) {
        self.begin(Phase::Streaming, WRITE_TIME);
        self.output = events;
        self.written = 0;
    }

    /// Takes the last events.
    pub(super) fn feed_last(&mut self, events: Vec<u8>) {
        self.keeps_alive = false;
        self.feed(events);
        self.phase = Phase::Writing;
    }

    fn begin(&mut self, phase: Phase, time: Duration) {
        self.phase = phase;
        self.since = Instant::now();
        self.deadline = self.since + time;
    }

    fn read(&mut self) -> Turn {
        let mut chunk = [0; READ_LEN];
        loop {
            match self.socket.read(&mut chunk) {
                Ok(0) => return Turn::Close,
                Ok(len) => {
                    self.input.extend_from_slice(&chunk[..len]);
                    match self.advance(self.input.len() - len) {
                        Turn::Wait => {}
                        other => return other,
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Turn::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Turn::Close,
            }
        }
    }

    /// Looks at what was read, of which the bytes from `new` on are new.
    fn advance(&mut self, new: usize) -> Turn {
        if self.head.is_none() {
            let is_first = new == 0 && !self.input.is_empty();
            if is_first {
                self.begin(Phase::Reading, HEAD_TIME);
            }
            // A head ends with a line.
            if !self.input[new..].contains(&b'\n') && self.input.len() <= HEAD_LEN_MAX {
                return Turn::Wait;
            }
            match head::parse(&self.input) {
                Parsed::Partial if self.input.len() > HEAD_LEN_MAX => {
                    let error = format!("the head is longer than {HEAD_LEN_MAX} bytes");
                    return self.refuse(431, &error, "send fewer or shorter headers");
                }
                Parsed::Partial => return Turn::Wait,
                Parsed::Refused(status, error, hint) => return self.refuse(status, &error, hint),
                Parsed::Whole(head) => {
                    if let Some(refused) = self.take_head(head) {
                        return refused;
                    }
                }
            }
        }
        self.pass_if_whole()
    }

    fn take_head(&mut self, head: Head) -> Option<Turn> {
        if head.len > HEAD_LEN_MAX {
            let error = format!("the head is longer than {HEAD_LEN_MAX} bytes");
            return Some(self.refuse(431, &error, "send fewer or shorter headers"));
        }
        let (most, hint) = if head.is_upload {
            let hint = "split it, or use driver run on each host";
            (usize::try_from(FILE_LEN_MAX).unwrap_or(usize::MAX), hint)
        } else {
            (
                BODY_LEN_MAX,
                "send parameters only, and files with PUT /data/NAME",
            )
        };
        if head.body_len > most {
            let error = format!(
                "the body has {} bytes; at most {most} are taken",
                head.body_len
            );
            return Some(self.refuse(413, &error, hint));
        }
        let has_body = self.input.len() >= head.len + head.body_len;
        if head.expects_continue && !has_body {
            // A client that does not take 25 bytes is not going to take an answer.
            let _ = self.socket.write(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.begin(Phase::Reading, BODY_TIME);
        self.head = Some(head);
        None
    }

    fn pass_if_whole(&mut self) -> Turn {
        if let Some(head) = self.head.take_if(|head| head.is_upload) {
            return self.begin_upload(head);
        }
        let whole = self
            .head
            .take_if(|head| self.input.len() >= head.len + head.body_len);
        let Some(head) = whole else {
            return Turn::Wait;
        };
        let end = head.len + head.body_len;
        let mut request = head.rewritten;
        request.extend_from_slice(&self.input[head.len..end]);
        self.input.drain(..end);
        self.input.shrink_to(READ_LEN);
        self.keeps_alive = head.keeps_alive;
        self.phase = Phase::Waiting;
        Turn::Pass(Request {
            bytes: request,
            rest: None,
            answer_time: head.answer_time,
        })
    }

    fn refuse(&mut self, status: u16, error: &str, hint: &str) -> Turn {
        self.keeps_alive = false;
        self.input = Vec::new();
        self.head = None;
        self.answer(head::refusal(status, error, hint));
        match self.write() {
            Turn::Close => Turn::Close,
            _ => Turn::Refused,
        }
    }

    /// Writes what there is to write; whether that is all of it.
    fn drain(&mut self) -> Result<bool, Turn> {
        while self.written < self.output.len() {
            match self.socket.write(&self.output[self.written..]) {
                Ok(0) => return Err(Turn::Close),
                Ok(len) => self.written += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Turn::Close),
            }
        }
        match self.socket.flush() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(_) => return Err(Turn::Close),
        }
        self.output = Vec::new();
        Ok(true)
    }

    /// What a listener sends is thrown away, a chunk a turn; then it takes what it can.
    fn listen(&mut self) -> Turn {
        match self.linger() {
            Turn::Wait => self.stream(),
            other => other,
        }
    }

    fn stream(&mut self) -> Turn {
        match self.drain() {
            Ok(true) => {
                self.begin(Phase::Streaming, BEAT_TIME);
                Turn::Wait
            }
            Ok(false) => Turn::Wait,
            Err(turn) => turn,
        }
    }

    fn write(&mut self) -> Turn {
        match self.drain() {
            Ok(true) => {}
            Ok(false) => return Turn::Wait,
            Err(turn) => return turn,
        }
        // One chunk a turn: the others wait for no file.
        if let Some(rest) = self.rest.take_if(|rest| rest.len() > 0) {
            return self.go_on(rest);
        }
        self.rest = None;
        if !self.keeps_alive {
            self.socket.end();
            self.begin(Phase::Lingering, LINGER_TIME);
            return Turn::Wait;
        }
        self.begin(Phase::Reading, IDLE_TIME);
        // The next request may have come with the last one.
        match (self.input.is_empty(), self.socket.holds_back()) {
            (true, false) => Turn::Wait,
            (true, true) => self.read(),
            (false, _) => match self.advance(0) {
                Turn::Wait if self.socket.holds_back() => self.read(),
                turn => turn,
            },
        }
    }

    /// Takes the next bytes of a file. A client to whom less comes than it was told sees that it was
    /// cut off.
    fn go_on(&mut self, mut rest: Rest) -> Turn {
        let Ok(bytes) = rest.next() else {
            return Turn::Close;
        };
        self.begin(Phase::Writing, WRITE_TIME);
        (self.output, self.written, self.rest) = (bytes, 0, Some(rest));
        Turn::Wait
    }

    /// One chunk a turn: who sends without end must not keep the others waiting.
    fn linger(&mut self) -> Turn {
        match self.socket.read(&mut [0; READ_LEN]) {
            Ok(1..) => Turn::Wait,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Turn::Wait
            }
            Ok(0) | Err(_) => Turn::Close,
        }
    }
}
