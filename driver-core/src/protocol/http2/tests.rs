//! Connections with a scripted peer: what is written, what is understood, and what ends them.

mod answers;
mod hostile;
mod requests;

use super::frame::{HEAD_LEN, Head, flag};
use super::fuzzing::{Event, Listener};
use super::*;
use crate::protocol::{Dropped, Text};

/// One frame.
fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(kind, flags, id, payload, &mut out);
    out
}

/// SETTINGS with these entries.
fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let entry = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    let payload: Vec<u8> = entries.iter().flat_map(entry).collect();
    frame(kind::SETTINGS, 0, 0, &payload)
}

fn window_update(id: u32, increment: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, id, &increment.to_be_bytes())
}

fn goaway(last: u32, code: Code) -> Vec<u8> {
    let payload = [last.to_be_bytes(), code.0.to_be_bytes()].concat();
    frame(kind::GOAWAY, 0, 0, &payload)
}

fn rst_stream(id: u32, code: Code) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, id, &code.0.to_be_bytes())
}

/// HEADERS of a whole answer without a body.
fn answer(id: u32, block: &[u8]) -> Vec<u8> {
    frame(
        kind::HEADERS,
        flag::END_HEADERS | flag::END_STREAM,
        id,
        block,
    )
}

/// The frames in these bytes: head and payload.
fn frames(mut bytes: &[u8]) -> Vec<(Head, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LEN>() {
        let head = Head::parse(*head);
        let (payload, rest) = rest.split_at(head.length as usize);
        frames.push((head, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame: {bytes:x?}");
    frames
}

fn template(method: &str) -> Template {
    Template {
        method: method.to_owned(),
        is_https: false,
        authority: Text::fixed("shop:80"),
        path: Text::fixed("/"),
        headers: Vec::new(),
        body: Text::default(),
    }
}

fn with_body(body: Text) -> Template {
    Template {
        body,
        ..template("POST")
    }
}

/// A connection and its peer.
struct Connection {
    http: Http2,
    state: State,
    listener: Listener<false>,
    /// What was sent since it was last looked at.
    out: Vec<u8>,
}

impl Connection {
    /// Right after its preface.
    fn new(templates: &[Template], streams_max: u32) -> Self {
        let mut http = Http2::new(templates, streams_max).unwrap();
        let state = http.open(0, &mut Vec::new());
        Self {
            http,
            state,
            listener: Listener::default(),
            out: Vec::new(),
        }
    }

    /// One on which so many GETs are in flight.
    fn with_gets(count: usize) -> Self {
        let mut connection = Self::new(&[template("GET")], 100);
        connection.reads(&settings(&[]));
        (0..count).for_each(|_| {
            connection.writes(0);
        });
        connection.out.clear();
        connection
    }

    fn room(&self) -> u32 {
        self.http.room(&self.state)
    }

    fn writes(&mut self, request: usize) -> Key {
        assert!(self.room() > 0);
        let mut fill = |hole: usize, out: &mut Vec<u8>| {
            out.extend(std::iter::repeat_n(b'x', hole));
        };
        let key = self
            .http
            .write(&mut self.state, request, &mut fill, &mut self.out);
        self.listener.open.push(key);
        key
    }

    fn read(&mut self, bytes: &[u8]) -> Result<After, Malformed> {
        self.http
            .read(&mut self.state, bytes, &mut self.out, &mut self.listener)
    }

    fn reads(&mut self, bytes: &[u8]) {
        assert_eq!(self.read(bytes), Ok(After::GoesOn));
    }

    fn cancels(&mut self, key: Key) {
        self.listener.open.retain(|open| *open != key);
        assert!(self.http.cancel(&mut self.state, key, &mut self.out));
    }

    /// What was heard since this was last asked.
    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.listener.heard.events)
    }

    /// The frames that were sent since this was last asked.
    fn sent(&mut self) -> Vec<(Head, Vec<u8>)> {
        frames(&std::mem::take(&mut self.out))
    }

    /// The kinds, streams, lengths and flags of those.
    fn sent_heads(&mut self) -> Vec<(u8, u32, u32, u8)> {
        let heads = self.sent().into_iter().map(|(head, _)| head);
        heads
            .map(|head| (head.kind, head.id, head.length, head.flags))
            .collect()
    }
}
