//! HTTP/1.1 as the engine needs it: requests rendered once into bytes, and an incremental reader
//! of answers that skips bodies without keeping them.

mod body;
mod fuzzing;
mod request;
mod response;

use std::collections::VecDeque;

use super::{After, Answered, Key, Protocol, Sink, Template};
use request::Compiled;

pub use body::Body;
pub use fuzzing::check_reader;
pub use request::render;
pub use response::{Answer, HEAD_LEN_MAX, HEADERS_MAX, HeadMemo, Malformed, Reader, Step};

/// Answers come in the order of the requests, so that no request needs a key.
const KEY: Key = 0;

/// HTTP/1.1 with the requests of one core.
#[derive(Debug)]
pub struct Http1 {
    requests: Vec<Compiled>,
    /// The last head of an answer with a body, and the last of one to HEAD.
    memos: [HeadMemo; 2],
    /// Whether some requests are HEAD and some are not, so that each answer has to be told apart.
    is_mixed: bool,
    /// Where a body with holes is rendered, to know its length before its head is written.
    scratch: Vec<u8>,
}

/// Where one connection is.
#[derive(Debug, Default)]
pub struct State {
    reader: Reader,
    /// Which of the requests in flight are HEAD; kept only where it is not the same for all.
    bodiless: VecDeque<bool>,
    /// Whether the answer that is being read was announced by [`Sink::began`].
    began: bool,
    /// Whether the peer takes no more requests.
    closes: bool,
}

impl Http1 {
    /// Compiles the requests; their places in `templates` are their numbers.
    #[must_use]
    pub fn new(templates: &[Template]) -> Self {
        let requests: Vec<_> = templates.iter().map(Compiled::new).collect();
        let bodiless = requests.iter().filter(|one| one.is_bodiless).count();
        Self {
            is_mixed: bodiless > 0 && bodiless < requests.len(),
            memos: [HeadMemo::new("GET"), HeadMemo::new("HEAD")],
            requests,
            scratch: Vec::new(),
        }
    }

    /// All bytes of a request without holes: they are the same each time.
    #[must_use]
    pub fn as_fixed(&self, request: usize) -> Option<&[u8]> {
        self.requests[request].as_fixed()
    }

    /// Whether the answer that comes next has no body whatever its head says.
    fn is_bodiless(&self, state: &State) -> bool {
        match state.bodiless.front() {
            Some(bodiless) => *bodiless,
            None => self.requests.first().is_some_and(|one| one.is_bodiless),
        }
    }
}

impl Protocol for Http1 {
    type State = State;
    type Malformed = Malformed;
    const IN_ORDER: bool = true;

    fn open(&mut self, _: &mut Vec<u8>) -> State {
        State::default()
    }

    fn room(&self, state: &State) -> u32 {
        if state.closes { 0 } else { u32::MAX }
    }

    #[inline]
    fn write(
        &mut self,
        state: &mut State,
        request: usize,
        fill: &mut dyn FnMut(usize, &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) -> Key {
        let compiled = &self.requests[request];
        if self.is_mixed {
            state.bodiless.push_back(compiled.is_bodiless);
        }
        compiled.write(fill, &mut self.scratch, out);
        KEY
    }

    #[inline]
    fn read<S: Sink>(
        &mut self,
        state: &mut State,
        bytes: &[u8],
        _: &mut Vec<u8>,
        sink: &mut S,
    ) -> Result<After, Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            if !sink.expects() {
                return Ok(After::Unsolicited(at));
            }
            let memo = &mut self.memos[usize::from(self.is_bodiless(state))];
            let step = state.reader.read(memo, &bytes[at..])?;
            at += step.used;
            match step.answer {
                Some(answer) => {
                    state.answered(answer, sink);
                    if state.closes {
                        return Ok(After::Closes);
                    }
                }
                None if !state.began => {
                    state.began = true;
                    sink.began(KEY);
                }
                None => {}
            }
        }
        Ok(After::GoesOn)
    }

    fn end<S: Sink>(&mut self, state: &mut State, sink: &mut S) -> Result<(), Malformed> {
        if let Some(answer) = state.reader.end()? {
            state.answered(answer, sink);
        }
        state.closes = true;
        Ok(())
    }

    fn cancel(&mut self, _: &mut State, _: Key, _: &mut Vec<u8>) -> bool {
        false
    }
}

impl State {
    #[inline]
    fn answered<S: Sink>(&mut self, answer: Answer, sink: &mut S) {
        self.began = false;
        self.closes = !answer.keep_alive;
        self.bodiless.pop_front();
        sink.answered(Answered {
            key: KEY,
            status: answer.status,
        });
    }
}

#[cfg(test)]
mod tests;
