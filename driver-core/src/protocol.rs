//! Requests to plain bytes, and plain bytes to answers: pure state machines, one a connection.
//!
//! | module | what it speaks |
//! |---|---|
//! | [`http1`] | HTTP/1.1: answers come in the order of the requests |
//! | [`http2`] | HTTP/2: answers come as they please, told apart by their streams |
//! | [`either`] | the one with some servers, the other with others |
//! | [`template`] | what a request is before a protocol compiles it |
//!
//! A protocol reads no clock and owns no socket. It gets every byte that came, in any split, and
//! says what it means by calling a [`Sink`]; what has to be sent for the protocol's own sake (a
//! preface, acknowledgements, window updates) it appends to a buffer that it is handed.

pub mod either;
pub mod http1;
pub mod http2;
pub mod template;

use std::fmt;

pub use template::{Template, Text};

/// Tells requests on one connection apart. HTTP/1.1 needs none, since the oldest is answered first.
pub type Key = u32;

/// What an answer's end says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered<'a> {
    /// The request; meaningless where answers come in order.
    pub key: Key,
    /// The status code, 100 to 999.
    pub status: u16,
    /// As much of the answer as the bytes that brought its end hold, as it came. Where a protocol has
    /// it only encoded, as HTTP/1.1 would have written it, if it was [wanted](Sink::keeps).
    pub bytes: &'a [u8],
}

/// Why a request on a connection that goes on gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The peer says that it did not process it (HTTP/2: `REFUSED_STREAM`, or above the last stream
    /// of `GOAWAY`): it may be sent again, the application never saw it.
    Returned,
    /// The peer ended it (HTTP/2: `RST_STREAM` with this error code).
    Reset(u32),
}

/// Who listens to what the bytes mean. All calls concern requests that were written before.
pub trait Sink {
    /// Whether an answer in order is expected at all; bytes of one that is not are nobody's.
    fn expects(&self) -> bool;

    /// The first byte of an answer has come, whose end has not.
    fn began(&mut self, key: Key);

    /// Whether an answer with this status is wanted as text, should it be a bad one; asked where a
    /// protocol has it only encoded, when its head comes.
    fn keeps(&self, key: Key, status: u16) -> bool {
        let _ = (key, status);
        false
    }

    /// An answer is complete.
    fn answered(&mut self, answered: Answered<'_>);

    /// A request will get no answer, and the connection goes on.
    fn dropped(&mut self, key: Key, dropped: Dropped);

    /// What of this answer is looked at; asked only where [`Sink::WATCHES`] is true.
    fn watches(&self, key: Key) -> Watches {
        let _ = key;
        Watches {
            fields: Fields::All,
            body: true,
        }
    }

    /// A piece of an answer's header section, as `name: value`; called only for what
    /// [`Sink::watches`] names.
    fn field(&mut self, key: Key, name: &[u8], value: &[u8]) {
        let _ = (key, name, value);
    }

    /// A piece of an answer's body; called only where [`Sink::watches`] says so.
    fn body(&mut self, key: Key, bytes: &[u8]) {
        let _ = (key, bytes);
    }

    /// Whether fields and bodies are looked at.
    const WATCHES: bool = false;
}

/// What of an answer is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watches {
    /// Its header fields.
    pub fields: Fields,
    /// Its body.
    pub body: bool,
}

/// Which header fields of an answer are looked at: most answers set no cookie, which is known at a
/// glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fields {
    /// None.
    #[default]
    None,
    /// `Set-Cookie`; others may be handed on, too.
    Cookies,
    /// All of them.
    All,
}

/// What comes after the bytes that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The connection goes on.
    GoesOn,
    /// The peer takes nothing more on this connection, and nothing that is awaited can still come.
    Closes,
    /// The bytes from here on (an index into those that were read) answer no request.
    Unsolicited(usize),
}

/// One protocol of requests and answers, with what all connections of a core share.
pub trait Protocol {
    /// Where one connection is.
    type State;
    /// Why bytes are none of this protocol: one line for people.
    type Malformed: fmt::Display + Copy + PartialEq;
    /// Whether answers come in the order of the requests.
    const IN_ORDER: bool;

    /// The state of a new connection to an endpoint; what goes before the first request is appended
    /// to `out`.
    fn open(&mut self, endpoint: usize, out: &mut Vec<u8>) -> Self::State;

    /// How many more requests the connection can take now, besides the configured depth: 0 until
    /// the peer has said what it allows, and once it takes no more.
    fn room(&self, state: &Self::State) -> u32;

    /// Appends request number `request` of the compiled ones; `fill(hole, out)` appends what a hole
    /// in it is filled with. Returns the key by which its answer is told. Only called with room.
    fn write(
        &mut self,
        state: &mut Self::State,
        request: usize,
        fill: &mut dyn FnMut(usize, &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) -> Key;

    /// Reads all of `bytes`. What the peer has to be told is appended to `out`.
    ///
    /// # Errors
    /// When the connection is of no more use; what has to be told before its end (HTTP/2: GOAWAY
    /// with the code) is in `out`.
    fn read<S: Sink>(
        &mut self,
        state: &mut Self::State,
        bytes: &[u8],
        out: &mut Vec<u8>,
        sink: &mut S,
    ) -> Result<After, Self::Malformed>;

    /// How many of the bytes that come next are a body's that nobody looks at; 0 where the next byte
    /// has to be read. So many, or fewer, may be thrown away and told to [`Self::skipped`].
    fn skippable(&self, state: &Self::State) -> u64 {
        let _ = state;
        0
    }

    /// So many bytes of a body were thrown away instead of read.
    fn skipped<S: Sink>(&mut self, state: &mut Self::State, length: u64, sink: &mut S) -> After {
        let _ = (state, length, sink);
        After::GoesOn
    }

    /// The peer has ended the connection in an orderly way, which may complete an answer.
    ///
    /// # Errors
    /// In the middle of an answer.
    fn end<S: Sink>(
        &mut self,
        state: &mut Self::State,
        sink: &mut S,
    ) -> Result<(), Self::Malformed>;

    /// Gives one request up, appending what tells the peer so. `false` when that cannot be done
    /// without ending the connection.
    fn cancel(&mut self, state: &mut Self::State, key: Key, out: &mut Vec<u8>) -> bool;
}
