//! HTTP/1.1 to some servers and HTTP/2 to others, in one load: which is known by the address.
//!
//! What HTTP/1.1 answers in order gets the keys that HTTP/2 tells its answers apart by: the requests
//! of a connection are numbered, and the oldest is the one that is answered.

use std::fmt;
use std::sync::Arc;

use super::http1::{self, Http1};
use super::http2::{self, Http2, Unfit};
use super::{After, Answered, Dropped, Key, Protocol, Sink, Template, Watches};

/// Either of both.
#[derive(Debug)]
pub struct Either {
    http1: Http1,
    http2: Http2,
    /// Whether HTTP/2 is spoken, by endpoint.
    is_http2: Arc<[bool]>,
}

/// Where one connection is.
#[derive(Debug)]
pub enum State {
    /// One of HTTP/1.1.
    One(http1::State, Numbers),
    /// One of HTTP/2.
    Two(Box<http2::State>),
}

/// The requests in flight on a connection of HTTP/1.1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers {
    /// The number of the oldest.
    oldest: Key,
    /// That of the next.
    next: Key,
}

/// Why bytes are none of the connection's protocol.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Malformed {
    /// Of HTTP/1.1.
    One(http1::Malformed),
    /// Of HTTP/2.
    Two(http2::Malformed),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(malformed) => malformed.fmt(f),
            Self::Two(malformed) => malformed.fmt(f),
        }
    }
}

impl Either {
    /// Compiles the requests; their places in `templates` are their numbers. Those that go over
    /// HTTP/2, by `goes_over_http2`, have to be fit for it. `streams_max` as for [`Http2::new`].
    ///
    /// # Errors
    /// [`Unfit`] when a request that goes over HTTP/2 cannot be sent so.
    pub fn new(
        templates: &[Template],
        goes_over_http2: impl Fn(usize) -> bool,
        streams_max: u32,
        is_http2: Arc<[bool]>,
    ) -> Result<Self, Unfit> {
        // What never goes over HTTP/2 only keeps its number there.
        let nothing = Template {
            method: "GET".to_owned(),
            is_https: false,
            authority: super::Text::default(),
            path: super::Text::default(),
            headers: Vec::new(),
            body: super::Text::default(),
        };
        let numbered = templates.iter().enumerate();
        let of_two = numbered.map(|(number, template)| {
            let is_of_two = goes_over_http2(number);
            if is_of_two { template } else { &nothing }.clone()
        });
        let of_two: Vec<Template> = of_two.collect();
        Ok(Self {
            http1: Http1::new(templates),
            http2: Http2::new(&of_two, streams_max)?,
            is_http2,
        })
    }
}

impl Protocol for Either {
    type State = State;
    type Malformed = Malformed;
    const IN_ORDER: bool = false;

    fn open(&mut self, endpoint: usize, out: &mut Vec<u8>) -> State {
        if self.is_http2[endpoint] {
            State::Two(Box::new(self.http2.open(endpoint, out)))
        } else {
            State::One(self.http1.open(endpoint, out), Numbers::default())
        }
    }

    #[inline]
    fn room(&self, state: &State) -> u32 {
        match state {
            // Numbers begin anew as soon as nothing is in flight.
            State::One(_, numbers) if numbers.next == Key::MAX && numbers.oldest < Key::MAX => 0,
            State::One(state, _) => self.http1.room(state),
            State::Two(state) => self.http2.room(state),
        }
    }

    #[inline]
    fn write(
        &mut self,
        state: &mut State,
        request: usize,
        fill: &mut dyn FnMut(usize, &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) -> Key {
        match state {
            State::One(state, numbers) => {
                self.http1.write(state, request, fill, out);
                if numbers.oldest == numbers.next {
                    *numbers = Numbers::default();
                }
                numbers.next += 1;
                numbers.next - 1
            }
            State::Two(state) => self.http2.write(state, request, fill, out),
        }
    }

    #[inline]
    fn read<S: Sink>(
        &mut self,
        state: &mut State,
        bytes: &[u8],
        out: &mut Vec<u8>,
        sink: &mut S,
    ) -> Result<After, Malformed> {
        match state {
            State::One(state, numbers) => {
                let after = self
                    .http1
                    .read(state, bytes, out, &mut Oldest(numbers, sink));
                after.map_err(Malformed::One)
            }
            State::Two(state) => {
                let after = self.http2.read(state, bytes, out, sink);
                after.map_err(Malformed::Two)
            }
        }
    }

    #[inline]
    fn skippable(&self, state: &State) -> u64 {
        match state {
            State::One(state, _) => self.http1.skippable(state),
            State::Two(state) => self.http2.skippable(state),
        }
    }

    fn skipped<S: Sink>(&mut self, state: &mut State, length: u64, sink: &mut S) -> After {
        match state {
            State::One(state, numbers) => {
                let sink = &mut Oldest(numbers, sink);
                self.http1.skipped(state, length, sink)
            }
            State::Two(state) => self.http2.skipped(state, length, sink),
        }
    }

    fn end<S: Sink>(&mut self, state: &mut State, sink: &mut S) -> Result<(), Malformed> {
        match state {
            State::One(state, numbers) => {
                let end = self.http1.end(state, &mut Oldest(numbers, sink));
                end.map_err(Malformed::One)
            }
            State::Two(state) => self.http2.end(state, sink).map_err(Malformed::Two),
        }
    }

    fn cancel(&mut self, state: &mut State, key: Key, out: &mut Vec<u8>) -> bool {
        match state {
            State::One(state, _) => self.http1.cancel(state, key, out),
            State::Two(state) => self.http2.cancel(state, key, out),
        }
    }
}

/// Hears what HTTP/1.1 says of the oldest request, and passes it on under its number.
struct Oldest<'a, S>(&'a mut Numbers, &'a mut S);

impl<S: Sink> Sink for Oldest<'_, S> {
    const WATCHES: bool = S::WATCHES;

    #[inline]
    fn expects(&self) -> bool {
        self.0.oldest < self.0.next
    }

    fn began(&mut self, _: Key) {
        self.1.began(self.0.oldest);
    }

    #[inline]
    fn keeps(&self, _: Key, status: u16) -> bool {
        self.1.keeps(self.0.oldest, status)
    }

    #[inline]
    fn answered(&mut self, answered: Answered<'_>) {
        let key = self.0.oldest;
        self.0.oldest += 1;
        self.1.answered(Answered { key, ..answered });
    }

    fn dropped(&mut self, _: Key, dropped: Dropped) {
        let key = self.0.oldest;
        self.0.oldest += 1;
        self.1.dropped(key, dropped);
    }

    #[inline]
    fn watches(&self, _: Key) -> Watches {
        self.1.watches(self.0.oldest)
    }

    fn field(&mut self, _: Key, name: &[u8], value: &[u8]) {
        self.1.field(self.0.oldest, name, value);
    }

    fn body(&mut self, _: Key, bytes: &[u8]) {
        self.1.body(self.0.oldest, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Text;

    #[derive(Default)]
    struct Heard(Vec<(Key, u16)>);

    impl Sink for Heard {
        fn expects(&self) -> bool {
            true
        }
        fn began(&mut self, _: Key) {}
        fn answered(&mut self, answered: Answered<'_>) {
            self.0.push((answered.key, answered.status));
        }
        fn dropped(&mut self, _: Key, _: Dropped) {}
    }

    fn get(path: &str, field: &str) -> Template {
        Template {
            method: "GET".to_owned(),
            is_https: false,
            authority: Text::fixed("h"),
            path: Text::fixed(path),
            headers: vec![(field.to_owned(), Text::fixed("x"))],
            body: Text::default(),
        }
    }

    fn either(http2: [bool; 2]) -> Result<Either, Unfit> {
        let templates = [get("/0", "X-A"), get("/1", "Upgrade")];
        Either::new(&templates, |number| http2[number], 4, [false, true].into())
    }

    #[test]
    fn only_what_goes_over_http2_has_to_be_fit_for_it() {
        assert!(either([true, false]).is_ok());
        assert!(matches!(either([true, true]), Err(Unfit::Field(_))));
    }

    #[test]
    fn the_address_says_which_is_spoken() {
        let mut either = either([true, false]).unwrap();
        let mut out = Vec::new();
        assert!(matches!(either.open(0, &mut out), State::One(..)));
        assert!(out.is_empty());
        let state = either.open(1, &mut out);
        assert!(matches!(state, State::Two(_)) && out.starts_with(b"PRI * HTTP/2.0"));
        assert_eq!(either.room(&state), 0, "before the peer's settings");
    }

    #[test]
    fn answers_in_order_get_the_keys_of_their_requests() {
        let mut either = either([true, false]).unwrap();
        let (mut out, mut heard) = (Vec::new(), Heard::default());
        let mut state = either.open(0, &mut out);
        let mut write = |state: &mut State, either: &mut Either| {
            either.write(state, 1, &mut |_, _| {}, &mut out)
        };
        let keys = [0; 3].map(|_| write(&mut state, &mut either));
        assert_eq!(keys, [0, 1, 2]);
        let answer = |status| format!("HTTP/1.1 {status} x\r\nContent-Length: 1\r\n\r\nx");
        let two = answer(200) + &answer(404);
        let mut read = |bytes: &[u8], state: &mut State, either: &mut Either| {
            either
                .read(state, bytes, &mut Vec::new(), &mut heard)
                .unwrap()
        };
        assert_eq!(read(two.as_bytes(), &mut state, &mut either), After::GoesOn);
        let third = answer(500);
        read(third.as_bytes(), &mut state, &mut either);
        let at = read(third.as_bytes(), &mut state, &mut either);
        assert_eq!(at, After::Unsolicited(0));
        assert_eq!(heard.0, [(0, 200), (1, 404), (2, 500)]);
        assert_eq!(write(&mut state, &mut either), 0, "numbers begin anew");
        let mut state = either.open(0, &mut Vec::new());
        let State::One(_, numbers) = &mut state else {
            panic!("HTTP/1.1 is spoken there");
        };
        numbers.next = Key::MAX;
        assert_eq!(either.room(&state), 0, "no number is left");
        let State::One(_, numbers) = &mut state else {
            panic!("HTTP/1.1 is spoken there");
        };
        numbers.oldest = Key::MAX;
        assert!(either.room(&state) > 0);
    }
}
