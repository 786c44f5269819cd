//! Drives the state machine over a blocking socket: the shortest engine there can be.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use driver_core::protocol::http2::{Http2, Malformed, State};
use driver_core::protocol::{After, Answered, Dropped, Key, Protocol, Sink, Template, Text};

/// No answer in these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of all requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// How often each code came in a reset.
    pub(crate) resets: BTreeMap<u32, u64>,
    /// Requests that came back unprocessed, and were sent again.
    pub(crate) returned: u64,
    pub(crate) connections: u64,
    pub(crate) most_in_flight: usize,
    /// Answers that came before one to an earlier request.
    pub(crate) overtaken: u64,
    pub(crate) sent: u64,
}

impl Tally {
    pub(crate) fn answered(&self) -> u64 {
        self.statuses.values().sum()
    }
}

/// The requests in flight on one connection.
#[derive(Default)]
struct Flights {
    open: BTreeMap<Key, usize>,
    again: Vec<usize>,
    tally: Tally,
}

impl Sink for Flights {
    fn expects(&self) -> bool {
        !self.open.is_empty()
    }

    fn began(&mut self, key: Key) {
        assert!(self.open.contains_key(&key));
    }

    fn answered(&mut self, answered: Answered) {
        if *self.open.keys().next().unwrap() < answered.key {
            self.tally.overtaken += 1;
        }
        self.open.remove(&answered.key).unwrap();
        *self.tally.statuses.entry(answered.status).or_default() += 1;
    }

    fn dropped(&mut self, key: Key, dropped: Dropped) {
        let request = self.open.remove(&key).unwrap();
        match dropped {
            Dropped::Returned => {
                self.tally.returned += 1;
                self.again.push(request);
            }
            Dropped::Reset(code) => *self.tally.resets.entry(code).or_default() += 1,
        }
    }
}

/// A GET for this path.
pub(crate) fn get(path: &str) -> Template {
    Template {
        method: "GET".to_owned(),
        is_https: false,
        authority: Text::fixed("localhost"),
        path: Text::fixed(path),
        headers: vec![("User-Agent".to_owned(), Text::fixed("dlts"))],
        body: Text::default(),
    }
}

/// A POST of so many bytes.
pub(crate) fn post(path: &str, length: usize) -> Template {
    Template {
        method: "POST".to_owned(),
        body: Text::fixed(vec![b'b'; length]),
        ..get(path)
    }
}

/// A load: each template in turn, `count` requests in all, up to `streams` at a time.
pub(crate) struct Load {
    http: Http2,
    templates: usize,
    count: usize,
    /// What the first connection is told before the peer has said anything.
    pub(crate) forged: Vec<u8>,
}

impl Load {
    pub(crate) fn new(templates: &[Template], count: usize, streams: u32) -> Self {
        Self {
            http: Http2::new(templates, streams).unwrap(),
            templates: templates.len(),
            count,
            forged: Vec::new(),
        }
    }

    /// Runs it; connections that end in good order are followed by new ones.
    pub(crate) fn run(&mut self, port: u16) -> Tally {
        let mut flights = Flights::default();
        let templates = self.templates;
        let mut due: VecDeque<usize> = (0..self.count).map(|index| index % templates).collect();
        while !due.is_empty() {
            flights.tally.connections += 1;
            assert!(flights.tally.connections < 1000, "{:?}", flights.tally);
            self.connection(port, &mut due, &mut flights).unwrap();
            assert!(flights.open.is_empty(), "lost: {:?}", flights.open);
        }
        flights.tally
    }

    fn connection(
        &mut self,
        port: u16,
        due: &mut VecDeque<usize>,
        flights: &mut Flights,
    ) -> Result<(), Malformed> {
        let mut socket = connect(port);
        let mut out = Vec::new();
        let mut state = self.http.open(0, &mut out);
        let forged = std::mem::take(&mut self.forged);
        // The peer must not hear that settings were acknowledged which it did not send.
        self.http
            .read(&mut state, &forged, &mut Vec::new(), flights)?;
        let mut bytes = vec![0; 64 * 1024];
        loop {
            self.fill(&mut state, due, flights, &mut out);
            socket.write_all(&out).unwrap();
            out.clear();
            if due.is_empty() && flights.open.is_empty() {
                return Ok(());
            }
            let length = socket.read(&mut bytes).unwrap();
            if length == 0 {
                return self.http.end(&mut state, flights);
            }
            let after = self
                .http
                .read(&mut state, &bytes[..length], &mut out, flights)?;
            due.extend(flights.again.drain(..));
            if after == After::Closes {
                return Ok(());
            }
        }
    }

    fn fill(
        &mut self,
        state: &mut State,
        due: &mut VecDeque<usize>,
        flights: &mut Flights,
        out: &mut Vec<u8>,
    ) {
        while self.http.room(state) > 0
            && let Some(request) = due.pop_front()
        {
            let key = self.http.write(state, request, &mut |_, _| {}, out);
            flights.open.insert(key, request);
            flights.tally.sent += 1;
        }
        let in_flight = flights.open.len();
        flights.tally.most_in_flight = flights.tally.most_in_flight.max(in_flight);
    }
}

/// What the first bytes of a server that speaks something else, or nothing, lead to: whether there is
/// room for a request, or why not.
pub(crate) fn first_word(port: u16, patience: Duration) -> Result<u32, Malformed> {
    let mut http = Http2::new(&[get("/")], 10).unwrap();
    let mut out = Vec::new();
    let mut state = http.open(0, &mut out);
    let mut socket = connect(port);
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.write_all(&out).unwrap();
    let mut bytes = [0; 1024];
    let mut flights = Flights::default();
    if let Ok(length) = socket.read(&mut bytes) {
        http.read(&mut state, &bytes[..length], &mut out, &mut flights)?;
    }
    Ok(http.room(&state))
}

fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}
