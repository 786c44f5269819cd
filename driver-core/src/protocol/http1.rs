//! HTTP/1.1 as the engine needs it: requests rendered once into bytes, and an incremental reader
//! of answers, which keeps no bodies.

mod body;
mod fuzzing;
mod head;
mod memo;
mod request;
mod response;
mod watch;

use std::collections::VecDeque;

use super::{After, Answered, Key, Protocol, Sink, Template};
use request::Compiled;
use watch::Watch;

pub use fuzzing::check_reader;
pub use head::Asked;
pub use memo::HeadMemo;
pub use request::render;
pub use response::{Answer, Extract, HEAD_LEN_MAX, HEADERS_MAX, Malformed, Reader, Step};

/// Answers come in the order of the requests, so that no request needs a key.
const KEY: Key = 0;

/// HTTP/1.1 with the requests of one core.
#[derive(Debug)]
pub struct Http1 {
    requests: Vec<Compiled>,
    /// The heads that were met last, on whatever connection.
    memo: HeadMemo,
    /// Whether answers to some requests are read by another rule than those to others, so that each
    /// has to be told apart.
    is_mixed: bool,
    /// Where a body with holes is rendered, to know its length before its head is written.
    scratch: Vec<u8>,
}

/// Where one connection is.
#[derive(Debug, Default)]
pub struct State {
    reader: Reader,
    /// How to read the answers to the requests in flight; kept only where it is not the same for all.
    asked: VecDeque<Asked>,
    /// Whether the answer that is being read was announced by [`Sink::began`].
    began: bool,
    /// Whether the peer takes no more requests.
    closes: bool,
    /// Whether a request was written that announced the end.
    ends: bool,
}

impl Http1 {
    /// Compiles the requests; their places in `templates` are their numbers.
    #[must_use]
    pub fn new(templates: &[Template]) -> Self {
        let requests: Vec<_> = templates.iter().map(Compiled::new).collect();
        let asked = requests
            .first()
            .map_or_else(Asked::default, |one| one.asked);
        Self {
            is_mixed: requests.iter().any(|one| one.asked != asked),
            memo: HeadMemo::new(asked),
            requests,
            scratch: Vec::new(),
        }
    }

    /// All bytes of a request without holes: they are the same each time.
    #[must_use]
    pub fn as_fixed(&self, request: usize) -> Option<&[u8]> {
        self.requests[request].as_fixed()
    }
}

impl Protocol for Http1 {
    type State = State;
    type Malformed = Malformed;
    const IN_ORDER: bool = true;

    fn open(&mut self, _: usize, _: &mut Vec<u8>) -> State {
        State::default()
    }

    fn room(&self, state: &State) -> u32 {
        if state.closes || state.ends {
            0
        } else {
            u32::MAX
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
        let compiled = &self.requests[request];
        if self.is_mixed {
            state.asked.push_back(compiled.asked);
        }
        state.ends |= compiled.asked.closes;
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
            if let Some(asked) = state.asked.front() {
                self.memo.ask(*asked);
            }
            let (reader, memo) = (&mut state.reader, &mut self.memo);
            let step = if S::WATCHES {
                reader.read_into(memo, &bytes[at..], &mut Watch(sink))?
            } else {
                reader.read(memo, &bytes[at..])?
            };
            let from = at;
            at += step.used;
            match step.answer {
                Some(answer) => {
                    state.answered(answer, &bytes[from..at], sink);
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

    #[inline]
    fn skippable(&self, state: &State) -> u64 {
        state.reader.remaining_length().unwrap_or(0)
    }

    fn skipped<S: Sink>(&mut self, state: &mut State, length: u64, sink: &mut S) -> After {
        if let Some(answer) = state.reader.skipped(length) {
            state.answered(answer, &[], sink);
        }
        if state.closes {
            After::Closes
        } else {
            After::GoesOn
        }
    }

    fn end<S: Sink>(&mut self, state: &mut State, sink: &mut S) -> Result<(), Malformed> {
        if let Some(answer) = state.reader.end()? {
            state.answered(answer, &[], sink);
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
    fn answered<S: Sink>(&mut self, answer: Answer, bytes: &[u8], sink: &mut S) {
        self.began = false;
        self.closes = !answer.keep_alive;
        self.asked.pop_front();
        sink.answered(Answered {
            key: KEY,
            status: answer.status,
            bytes,
        });
    }
}

#[cfg(test)]
mod tests;
