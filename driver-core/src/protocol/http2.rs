//! HTTP/2 as a client that puts load on a server: a pure state machine a connection.
//!
//! | module | what it does |
//! |---|---|
//! | `frame` | frames and the codes of errors |
//! | `request` | requests compiled to blocks of fields with holes |
//! | `hpack`, `huffman` | the fields of answers, of which only the status is wanted |
//! | `streams` | the requests in flight, found by their ids |
//! | `peer` | what the peer allows |
//! | `sending` | requests to frames, bodies under the peer's windows |
//! | `reading` | frames in any split, and what each kind of them does |
//! | `texts` | answers as text, of which the first bad ones are shown |
//! | `answers` | fields and data to answers |
//!
//! Requests are sent once the peer's settings are known, never before. The windows for answers are
//! as large as they can be, so that a load is never limited by its own reading, and are renewed by
//! halves. What a peer does against the protocol ends the connection with the code of RFC 9113;
//! what it could do without end is counted and bounded. `content-length` and the names of an
//! answer's fields are not checked: a load asks for the status and the end.

mod answers;
mod frame;
mod fuzzing;
mod hpack;
mod huffman;
mod malformed;
mod peer;
mod reading;
mod request;
mod sending;
mod streams;
mod texts;

use super::{After, Key, Protocol, Sink, Template};
use frame::{ID_MAX, PREFACE, kind};
use peer::{Peer, WINDOW_DEFAULT, setting};
use reading::Inward;
use request::Compiled;
use sending::Unsent;
use streams::Streams;
use texts::{Pool, Text};

pub use frame::Code;
pub use fuzzing::check_connection;
pub use malformed::Malformed;
pub use request::Unfit;

/// HTTP/2 with the requests of one core.
#[derive(Debug)]
pub struct Http2 {
    requests: Vec<Compiled>,
    /// Most streams at a time on one connection.
    streams_max: u32,
    /// The preface, our settings and the window of the connection.
    greeting: Vec<u8>,
    /// Where a body with holes is rendered.
    scratch: Vec<u8>,
    /// Where strings of answers are decoded.
    scratches: hpack::Scratch,
    /// Where texts of answers come from.
    pool: Pool,
}

/// Where one connection is.
#[derive(Debug)]
pub struct State {
    streams: Streams,
    peer: Peer,
    inward: Inward,
    decoder: hpack::Decoder,
    /// The rest of a body that waits for a window.
    unsent: Option<Unsent>,
    /// The bytes of that body, when it had holes.
    rendered: Vec<u8>,
    /// Bytes of answers that the connection's window was not yet enlarged for.
    consumed: u32,
    /// The answer that has begun in the bytes that are being read; 0 when there is none.
    begun: u32,
    /// Whether no more requests are taken: GOAWAY came, or the connection is broken.
    is_leaving: bool,
    /// The last stream that the peer may have processed.
    last: u32,
    /// The code of GOAWAY.
    farewell: Option<Code>,
    /// The answers under way that are kept as text.
    texts: Vec<Text>,
}

impl Http2 {
    /// Compiles the requests; their places in `templates` are their numbers. `streams_max` bounds
    /// the streams in flight on one connection, whatever the peer allows.
    ///
    /// # Errors
    /// [`Unfit`] when a request cannot be sent over HTTP/2.
    pub fn new(templates: &[Template], streams_max: u32) -> Result<Self, Unfit> {
        let requests: Result<Vec<_>, _> = templates.iter().map(Compiled::new).collect();
        Ok(Self {
            requests: requests?,
            streams_max: streams_max.clamp(1, 1 << 20),
            greeting: greeting(),
            scratch: Vec::new(),
            scratches: hpack::Scratch::default(),
            pool: Pool::default(),
        })
    }
}

/// What goes before everything (RFC 9113, 3.4).
fn greeting() -> Vec<u8> {
    let settings = [
        (setting::HEADER_TABLE_SIZE, 0),
        (setting::ENABLE_PUSH, 0),
        (setting::INITIAL_WINDOW_SIZE, ID_MAX),
    ];
    let entry = |(id, value): (u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    let payload: Vec<u8> = settings.into_iter().flat_map(entry).collect();
    let mut out = PREFACE.to_vec();
    frame::write(kind::SETTINGS, 0, 0, &payload, &mut out);
    let rest = ID_MAX - WINDOW_DEFAULT.unsigned_abs();
    frame::write_number(kind::WINDOW_UPDATE, 0, rest, &mut out);
    out
}

impl Protocol for Http2 {
    type State = State;
    type Malformed = Malformed;
    const IN_ORDER: bool = false;

    fn open(&mut self, _: usize, out: &mut Vec<u8>) -> State {
        out.extend_from_slice(&self.greeting);
        State {
            streams: Streams::new(self.streams_max),
            peer: Peer::new(),
            inward: Inward::default(),
            decoder: hpack::Decoder::new(),
            unsent: None,
            rendered: Vec::new(),
            consumed: 0,
            begun: 0,
            is_leaving: false,
            last: ID_MAX,
            farewell: None,
            texts: Vec::new(),
        }
    }

    #[inline]
    fn room(&self, state: &State) -> u32 {
        if !state.peer.is_heard || state.is_leaving || state.unsent.is_some() {
            return 0;
        }
        let most = self.streams_max.min(state.peer.streams_max);
        most.saturating_sub(state.streams.open())
            .min(state.streams.left())
    }

    #[inline]
    fn write(
        &mut self,
        state: &mut State,
        request: usize,
        fill: &mut dyn FnMut(usize, &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) -> Key {
        self.send(state, request, fill, out)
    }

    #[inline]
    fn read<S: Sink>(
        &mut self,
        state: &mut State,
        bytes: &[u8],
        out: &mut Vec<u8>,
        sink: &mut S,
    ) -> Result<After, Malformed> {
        if let Err(malformed) = self.digest(state, bytes, out, sink) {
            state.part(malformed.code(), out);
            return Err(malformed);
        }
        state.tell_begun(sink);
        Ok(if state.is_over() {
            After::Closes
        } else {
            After::GoesOn
        })
    }

    fn end<S: Sink>(&mut self, state: &mut State, _: &mut S) -> Result<(), Malformed> {
        state.is_leaving = true;
        let is_begun = state.streams.iter_mut().any(|stream| stream.began);
        if is_begun || state.inward.is_within() {
            return Err(Malformed::Truncated);
        }
        Ok(())
    }

    fn cancel(&mut self, state: &mut State, key: Key, out: &mut Vec<u8>) -> bool {
        state.withdraw(key);
        drop(state.take_text(key));
        if state.streams.forgive(key).is_some() {
            State::reset(key, out);
        }
        true
    }
}

impl State {
    /// Why the peer takes no more requests, once it has said so.
    #[must_use]
    pub fn farewell(&self) -> Option<Code> {
        self.farewell
    }

    /// Says why the connection ends. No stream of the peer's was ever processed, as it has none.
    fn part(&mut self, code: Code, out: &mut Vec<u8>) {
        self.is_leaving = true;
        let payload = [0_u32.to_be_bytes(), code.0.to_be_bytes()].concat();
        frame::write(kind::GOAWAY, 0, 0, &payload, out);
    }

    /// Whether nothing more can come of the connection.
    fn is_over(&self) -> bool {
        let is_used_up = self.is_leaving || self.streams.left() == 0;
        is_used_up && self.streams.open() == 0
    }
}

#[cfg(test)]
mod tests;
